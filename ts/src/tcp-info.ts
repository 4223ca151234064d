// What a connection on the user stack tells of itself.
import type { Socket } from 'node:net';
import type { TcpInfo } from './types.js';
import { userHandle } from './user-handle.js';

/**
 * The state of a connection that the user stack carries: of a net.Socket, or of a TLS socket over one. Undefined before
 * it connects and once it is closed. Throws ERR_INVALID_STATE for a socket that is on the OS stack, of which this process
 * cannot know it (`ss -ti` shows it), and ERR_INVALID_ARG_TYPE for what is no socket.
 */
export function tcpInfo(socket: Socket): TcpInfo | undefined {
  return userHandle(socket, 'tcpInfo', '`ss -ti` shows it')?.tcpInfo();
}
