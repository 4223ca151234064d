// What the tests of sockets share. They run on a host that is alone in the process, which needs no privilege. A test
// file runs patched (net was loaded before us, by the TypeScript loader) unless it is started with
// MULTISTACK_TEST_EARLY=1 and `--import` of the built package (modes.test.ts does).
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Readable } from 'node:stream';

process.env['MULTISTACK_PORTS'] ??= 'memory';
if (process.env['MULTISTACK_TEST_EARLY'] !== '1') {
  const { install } = await import('../../ts/src/install.js');
  install();
}

const fixture = (name: string) => readFileSync(new URL(`fixtures/${name}`, import.meta.url));

/** A certificate for localhost that signs itself. */
export const credentials = { key: fixture('key.pem'), cert: fixture('cert.pem') };

/** Whether a socket or a server is carried by the user stack. */
export function onUserStack(owner: Socket | Server): boolean {
  const handle = (owner as unknown as { _handle: object | null })._handle;
  return handle !== null && ('onwrite' in handle || ('_parent' in handle && 'onwrite' in (handle._parent as object)));
}

/** Listen on a free port of the loopback and resolve to the port. */
export async function listening(server: Server, host = '127.0.0.1'): Promise<number> {
  server.listen(0, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** All that a stream brings. */
export async function contents(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as Buffer));
  return Buffer.concat(chunks).toString();
}

/** Resolve with the first values of an event, also when it is an error. */
export async function event(emitter: NodeJS.EventEmitter, name: string): Promise<unknown[]> {
  return new Promise((resolve) =>
    emitter.once(name, (...values: unknown[]) => {
      resolve(values);
    }),
  );
}

/** The error that an emitter emits. */
export async function failure(emitter: NodeJS.EventEmitter): Promise<NodeJS.ErrnoException> {
  const [error] = await event(emitter, 'error');
  return error as NodeJS.ErrnoException;
}

/** Close a server and wait for it. */
export async function closed(server: Server): Promise<void> {
  await new Promise((resolve) => server.close(resolve));
}
