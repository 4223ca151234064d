// What the tests of sockets share. They run on a host that is alone in the process, which needs no privilege. A test
// file runs patched (net was loaded before us, by the TypeScript loader) unless it is started with
// MULTISTACK_TEST_EARLY=1 and `--import` of the built package (modes.test.ts does).
import type { Server, Socket } from 'node:net';

process.env['MULTISTACK_PORTS'] ??= 'memory';
if (process.env['MULTISTACK_TEST_EARLY'] !== '1') {
  const { install } = await import('../../ts/src/install.js');
  install();
}

/** Whether a socket or a server is carried by the user stack. */
export function onUserStack(owner: Socket | Server): boolean {
  const handle = (owner as unknown as { _handle: object | null })._handle;
  return handle !== null && ('onwrite' in handle || ('_parent' in handle && 'onwrite' in (handle._parent as object)));
}

export { credentials } from './credentials.js';
export { closed, contents, event, failure, listening } from './ends.js';
