// What the scripts of package.json call: `node tools/run.mjs SCRIPT [arguments]`.
import { Failure } from './lib/exec.mjs';

const scripts = {
  build: () => import('./commands/build.mjs'),
  demo: () => import('./demo/demo.mjs'),
  test: () => import('./commands/test.mjs'),
  'test:unit': () => import('./commands/test.mjs'),
  'test:sim': () => import('./commands/test.mjs'),
  'test:integration': () => import('./commands/test.mjs'),
  'test:attack': () => import('./commands/test.mjs'),
  'test:soak': () => import('./commands/test.mjs'),
  fuzz: () => import('./commands/fuzz.mjs'),
  bench: () => import('./bench/bench.mjs'),
  profile: () => import('./bench/profile.mjs'),
  format: () => import('./commands/format.mjs'),
  lint: () => import('./commands/lint.mjs'),
};

const [name, ...rest] = process.argv.slice(2);
try {
  if (!Object.hasOwn(scripts, name ?? '')) {
    throw new Failure(`usage: node tools/run.mjs SCRIPT\nscripts: ${Object.keys(scripts).join(' ')}`, 2);
  }
  const { main } = await scripts[name]();
  process.exitCode = await main(rest, name);
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  console.error(`multistack: ${error.message}`);
  process.exitCode = error.exitCode;
}
