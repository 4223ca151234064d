// node:net over the user stack, for one program that imports it and leaves the global one alone. These are net's own
// classes with a handle of ours underneath, and what is routed where is policy, as everywhere.
import net from 'node:net';
import { guardMessages } from './ipc.js';
import { setNotsentLowat } from './notsent-lowat.js';
import { patchServer, patchSocket } from './patch.js';
import { tcpInfo } from './tcp-info.js';
import type { TcpInfo } from './types.js';

guardMessages();

export class Socket extends net.Socket {
  /** The state of the connection: `tcpInfo` of 'multistack'. */
  tcpInfo(): TcpInfo | undefined {
    return tcpInfo(this);
  }

  /** What the stack takes ahead of sending: `setNotsentLowat` of 'multistack'. */
  setNotsentLowat(bytes: number): this {
    setNotsentLowat(this, bytes);
    return this;
  }
}
patchSocket(Socket.prototype);

export class Server extends net.Server {}
patchServer(Server.prototype);

type ConnectionListener = (socket: net.Socket) => void;

/** As net.createServer. */
export function createServer(listener?: ConnectionListener): Server;
export function createServer(options: net.ServerOpts, listener?: ConnectionListener): Server;
export function createServer(options?: net.ServerOpts | ConnectionListener, listener?: ConnectionListener): Server {
  return typeof options === 'function' ? new Server(options) : new Server(options, listener);
}

/** As net.connect. */
export function connect(options: net.TcpNetConnectOpts | number, listener?: () => void): Socket;
export function connect(port: number, host?: string, listener?: () => void): Socket;
export function connect(...values: unknown[]): Socket {
  const [first] = values;
  const options = typeof first === 'object' && first !== null ? (first as net.TcpNetConnectOpts) : undefined;
  const socket = new Socket(options);
  if (options?.timeout !== undefined) socket.setTimeout(options.timeout);
  return socket.connect(...(values as [net.TcpNetConnectOpts]));
}

/** As net.createConnection. */
export const createConnection = connect;

export default { Socket, Server, createServer, connect, createConnection };
