// A program sees the same of its sockets on the user stack as on the OS stack (fixtures/net-behaviour.mjs).
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import { newestNode } from './newest-node.js';
import { execute, register } from './programs.js';

const behaviour = fileURLToPath(new URL('fixtures/net-behaviour.mjs', import.meta.url));

async function same(node: string): Promise<void> {
  const os = await execute([node, behaviour]);
  const user = await execute([node, `--import=${register}`, behaviour], { MULTISTACK_PORTS: 'memory' });
  assert.equal(os.code, 0, os.stderr);
  assert.equal(user.code, 0, user.stderr);
  assert.deepEqual(user.stdout.split('\n'), os.stdout.split('\n'));
}

test(process.version, async () => same(process.execPath));

const newest = newestNode();
if ('missing' in newest) console.log(`skipped: newest Node: ${newest.missing}`);
else test(newest.version, async () => same(newest.path));

test.run();
