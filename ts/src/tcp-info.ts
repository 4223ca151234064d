// What a connection on the user stack tells of itself.
import type { Socket } from 'node:net';
import { invalidState, invalidType } from './errors.js';
import { isOs, TCP } from './handle.js';
import type { Owner } from './internals.js';
import type { TcpInfo } from './types.js';

/**
 * The state of a connection that the user stack carries: of a net.Socket, or of a TLS socket over one. Undefined before
 * it connects and once it is closed. Throws ERR_INVALID_STATE for a socket that is on the OS stack, of which this process
 * cannot know it (`ss -ti` shows it), and ERR_INVALID_ARG_TYPE for what is no socket.
 */
export function tcpInfo(socket: Socket): TcpInfo | undefined {
  const owner = socket as unknown as Owner | null | undefined;
  if (typeof owner !== 'object' || owner === null || !('_handle' in owner)) {
    throw invalidType('multistack: tcpInfo wants a net.Socket or a tls.TLSSocket');
  }
  const handle = owner._handle?._parent ?? owner._handle;
  if (!handle) return undefined;
  // What instanceof says of the OS's class too is settled by the method itself.
  if ('tcpInfo' in handle) return (handle as unknown as TCP).tcpInfo();
  const why = isOs(handle) ? 'it is on the OS stack; `ss -ti` shows it' : 'it is not a TCP socket';
  throw invalidState(`multistack: the user stack does not carry this socket: ${why}`);
}
