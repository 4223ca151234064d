// How much a connection on the user stack takes ahead of what it can send.
import type { Socket } from 'node:net';
import { invalidValue } from './errors.js';
import { userHandle } from './user-handle.js';

/**
 * Linux's TCP_NOTSENT_LOWAT, for which net has no name: the stack takes no more of what is written than leaves `bytes`
 * not yet sent, and more when less than half of them are left. The rest stays with the socket (`writableLength`), so
 * that `drain` comes when it is about to be sent. 0, the default: as much as the send buffer holds. Of a net.Socket, or
 * of a TLS socket over one; before it connects too, and nothing once it is closed. Throws ERR_INVALID_STATE for a socket
 * that is on the OS stack, ERR_INVALID_ARG_VALUE for what is no number of bytes, ERR_INVALID_ARG_TYPE for what is no
 * socket.
 */
export function setNotsentLowat(socket: Socket, bytes: number): void {
  if (!Number.isInteger(bytes) || bytes < 0 || bytes > 0x7fffffff) {
    throw invalidValue(`multistack: setNotsentLowat wants from 0 to 2147483647 bytes, not ${String(bytes)}`);
  }
  const handle = userHandle(socket, 'setNotsentLowat', 'Node cannot set TCP_NOTSENT_LOWAT there');
  if (handle?.setNotsentLowat(bytes) || socket.destroyed) return;
  socket.once('connect', () => {
    setNotsentLowat(socket, bytes);
  });
}
