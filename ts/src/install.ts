// Putting our handle under every socket of this process. Where net is not yet loaded it finds our class in its binding,
// and nothing of it is touched. Where it is (a forked child), or where the binding is denied (the permission model), the
// few methods that make a handle are patched.
import type * as net from 'node:net';
import { TCP } from './handle.js';
import { require, tcpWrap } from './internals.js';
import { guardCluster, guardMessages } from './ipc.js';
import { patchServer, patchSocket, patchTls } from './patch.js';

let installed = false;

/** Idempotent. */
export function install(): void {
  if (installed) return;
  installed = true;
  if (tcpWrap) {
    tcpWrap.TCP = TCP;
  } else {
    const { Server, Socket } = require('node:net') as typeof net;
    patchSocket(Socket.prototype);
    patchServer(Server.prototype);
    patchTls();
  }
  guardMessages();
  guardCluster();
}
