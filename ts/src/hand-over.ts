// A server replaced by another process while it is asked: its address is offered, the successor takes it, and what this
// process still has ends in peace.
import type { Server } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { getSystemErrorName } from 'node:util';
import { invalidState, invalidType } from './errors.js';
import { isOs, type TCP } from './handle.js';
import { currentPorts } from './host.js';
import { successors } from './placement.js';

/** How often it is looked whether the last connection has ended. */
const lookMs = 20;

/**
 * Hand the address of `server`, which listens on a multistackd, to a successor: another process of the same user that
 * listens there after `takeOver`. `start` is called once the address is offered, and settles when the successor listens:
 * from then on all new connections are its, while those that this process has stay until they end. The result resolves
 * when the last of them has, and `server` is closed. No connection is refused or reset.
 *
 * Where `start` rejects the result does too, and `server` serves as before; it may be handed over again. Rejects with
 * ERR_INVALID_STATE for a server that does not listen, or is on the OS stack, or is on a user stack of this process
 * alone; with ERR_INVALID_ARG_TYPE for what is no server; with the system's code when multistackd refuses.
 */
export async function handOver(server: Server, start: () => PromiseLike<unknown>): Promise<void> {
  const handle = listenerOf(server);
  const error = handle.offer();
  if (error < 0) throw refused(error);
  await start();
  while (handle.flows() > 0) await setTimeout(lookMs);
  if (server.listening) await new Promise((closed) => server.close(closed));
}

/**
 * The next `listen` of `server` takes the address over from the process that offers it (`handOver`); where nobody has
 * it, it listens as ever. A server on the OS stack takes nothing over. Returns `server`.
 */
export function takeOver<S extends Server>(server: S): S {
  successors.add(server);
  return server;
}

function listenerOf(server: Server): TCP {
  const owner = server as unknown as { _handle?: TCP | null } | null | undefined;
  if (typeof owner !== 'object' || owner === null || !('listening' in owner)) {
    throw invalidType('multistack: handOver wants a net.Server');
  }
  const handle = owner._handle;
  if (!handle) throw cannot('it does not listen');
  if (isOs(handle) || !('offer' in handle)) throw cannot('it is on the OS stack');
  if (!currentPorts()[0]?.startsWith('unix:'))
    throw cannot('only a multistackd can pass an address to another process');
  return handle;
}

function cannot(why: string): Error {
  return invalidState(`multistack: the server cannot be handed over: ${why}`);
}

function refused(error: number): Error {
  const code = getSystemErrorName(error);
  return Object.assign(new Error(`multistack: the server cannot be handed over: ${code}`), { code, errno: error });
}
