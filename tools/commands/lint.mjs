// npm run lint: format, clang-tidy, eslint and types, each counted as one test.
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { typeScriptCompiler } from '../build.mjs';
import { capture, root } from '../lib/exec.mjs';
import { cFiles } from '../lib/files.mjs';
import { Tally } from '../lib/tally.mjs';
import { setup } from '../setup.mjs';

export async function main() {
  await setup('lint');
  const tally = new Tally();
  await lint(tally);
  return tally.print();
}

/** @param {import('../lib/tally.mjs').Tally} tally */
export async function lint(tally) {
  const node = process.execPath;
  await check('clang-format', ['clang-format', '--dry-run', '-Werror', ...cFiles()], tally);
  await check(
    'prettier',
    [node, 'node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.'],
    tally,
  );
  await check('eslint', [node, 'node_modules/eslint/bin/eslint.js', '--max-warnings', '0', '.'], tally);
  await check('types', [node, typeScriptCompiler, '-p', 'tsconfig.json'], tally);
  await clangTidy(tally);
}

async function check(name, argv, tally) {
  const { code, output } = await capture(argv);
  report(name, code === 0, output, tally);
}

function report(name, good, output, tally) {
  console.log(`  ${good ? 'passed ' : 'failed '} ${name}`);
  if (good) return tally.pass();
  console.log(output);
  tally.fail(name);
}

/** Every file of the addon's build, as many at a time as there are cores. */
async function clangTidy(tally) {
  const commands = JSON.parse(readFileSync(path.join(root, 'build/compile_commands.json'), 'utf8'));
  const queue = [...new Set(commands.map((command) => command.file))].filter(
    (file) => file.startsWith(root) && !file.includes('/node_modules/') && !file.includes('/build/'),
  );
  const complaints = [];
  const worker = async () => {
    for (let file = queue.shift(); file; file = queue.shift()) {
      const { code, output } = await capture(['clang-tidy', '-p', 'build', '--quiet', '--warnings-as-errors=*', file]);
      if (code !== 0) complaints.push(output);
    }
  };
  await Promise.all(Array.from({ length: os.availableParallelism() }, worker));
  report('clang-tidy', complaints.length === 0, complaints.join('\n'), tally);
}
