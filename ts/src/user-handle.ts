// The handle of ours beneath a socket, for what only the user stack offers.
import type { Socket } from 'node:net';
import { invalidState, invalidType } from './errors.js';
import { isOs, TCP } from './handle.js';
import type { Owner } from './internals.js';

/**
 * Of a net.Socket, or of a TLS socket over one. Undefined before it connects and once it is closed. Throws
 * ERR_INVALID_STATE for a socket that is on the OS stack, with `elsewhere`: who offers it there; and
 * ERR_INVALID_ARG_TYPE for what is no socket. `caller` is the function that wants it.
 */
export function userHandle(socket: Socket, caller: string, elsewhere: string): TCP | undefined {
  const owner = socket as unknown as Owner | null | undefined;
  if (typeof owner !== 'object' || owner === null || !('_handle' in owner)) {
    throw invalidType(`multistack: ${caller} wants a net.Socket or a tls.TLSSocket`);
  }
  const handle = owner._handle?._parent ?? owner._handle;
  if (!handle) return undefined;
  // What instanceof says of the OS's class too is settled by the method itself.
  if ('tcpInfo' in handle) return handle as unknown as TCP;
  const why = isOs(handle) ? `it is on the OS stack; ${elsewhere}` : 'it is not a TCP socket';
  throw invalidState(`multistack: the user stack does not carry this socket: ${why}`);
}
