// The tests of sockets once more, in the other ways that they can run: installed before net is loaded, and on the newest
// Node, with the same binary of the addon.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import { newestNode } from './newest-node.js';

const register = new URL('../../dist/register.js', import.meta.url).href;
const early = { flags: [`--import=${register}`], env: { MULTISTACK_TEST_EARLY: '1' } };
const patched = { flags: [], env: {} };

async function passes(
  node: string,
  file: string,
  { flags, env }: { flags: string[]; env: NodeJS.ProcessEnv },
): Promise<void> {
  const args = [...flags, '--import=tsx', fileURLToPath(new URL(file, import.meta.url))];
  const settings = { timeout: 120_000, env: { ...process.env, MULTISTACK_PORTS: 'memory', ...env } };
  const output = await new Promise<string>((resolve) => {
    execFile(node, args, settings, (error, stdout, stderr) => {
      resolve(error ? `${stdout}${stderr}` : '');
    });
  });
  assert.equal(output, '');
}

const files = ['./net.test.ts', './http.test.ts', './ecosystem.test.ts'];
for (const file of files) {
  test(`installed before net: ${file}`, async () => passes(process.execPath, file, early));
}

const newest = newestNode();
if ('missing' in newest) {
  console.log(`skipped: newest Node: ${newest.missing}`);
} else {
  const { path, version } = newest;
  for (const file of files) {
    test(`${version}, installed before net: ${file}`, async () => passes(path, file, early));
    test(`${version}, patched: ${file}`, async () => passes(path, file, patched));
  }
  test(`${version}: ./process.test.ts`, async () => passes(path, './process.test.ts', patched));
}

test.run();
