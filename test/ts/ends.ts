// Waiting for what sockets, servers and streams do.
import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import type { Readable } from 'node:stream';

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
