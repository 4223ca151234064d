// npm run profile -- NAME: a Node benchmark under clinic doctor and clinic flame.
import { globSync } from '../lib/files.mjs';
import { Failure, capture, root } from '../lib/exec.mjs';
import { setup } from '../setup.mjs';

/** Fetched when it is first wanted: it is as large as all else together, and nothing but this needs it. */
const clinic = 'clinic@13.0.0';

/** The command of each Node benchmark that is one process. */
const programs = {
  'node-http': ['--import', 'multistack/register', 'test/bench/node-http-pair.mjs', '64', '5'],
};

export async function main(args) {
  const [name] = args;
  if (args.length !== 1 || !Object.hasOwn(programs, name)) {
    throw new Failure(`usage: npm run profile -- ${Object.keys(programs).join('|')}`, 2);
  }
  await setup();
  const pages = [];
  for (const tool of ['doctor', 'flame']) pages.push(await profile(tool, name));
  for (const page of pages) console.log(page);
  return 0;
}

/** Returns where the page is. */
async function profile(tool, name) {
  const folder = `.clinic/${name}`;
  const before = new Set(pagesIn(folder));
  console.error(`clinic ${tool}: ${name}`);
  const { code, output } = await capture(
    [
      ...['npm', 'exec', '--yes', '--loglevel=error', `--package=${clinic}`, '--'],
      ...['clinic', tool, '--open=false', '--dest', folder, '--', 'node', ...programs[name]],
    ],
    // Without a terminal it would wait for an answer about telemetry, and do nothing.
    { env: { ...process.env, NO_INSIGHT: '1', MULTISTACK_PORTS: 'memory' } },
  );
  const page = pagesIn(folder).find((file) => !before.has(file) && file.endsWith(`clinic-${tool}.html`));
  if (code !== 0 || page === undefined) throw new Failure(`clinic ${tool} made no page: ${output.trim()}`);
  return `${root}/${page}`;
}

function pagesIn(folder) {
  try {
    return globSync(folder, /\.html$/);
  } catch {
    return [];
  }
}
