// node:net over the user stack, for one program that imports it and leaves the global one alone. These are net's own
// classes with a handle of ours underneath, and what is routed where is policy, as everywhere.
import net from 'node:net';
import { takeOver } from './hand-over.js';
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

/** As net's, and whether the address is taken over from a server that is handed over: `takeOver` of 'multistack'. */
export interface ListenOptions extends net.ListenOptions {
  takeOver?: boolean;
}

export class Server extends net.Server {
  override listen(options: ListenOptions, listener?: () => void): this;
  override listen(port?: number, hostname?: string, backlog?: number, listener?: () => void): this;
  override listen(port?: number, hostname?: string, listener?: () => void): this;
  override listen(where?: number | string | object, backlog?: number, listener?: () => void): this;
  override listen(where?: number | string | object, listener?: () => void): this;
  override listen(...values: unknown[]): this {
    const [options] = values;
    const wants = typeof options === 'object' && options !== null && 'takeOver' in options && options.takeOver === true;
    if (wants) takeOver(this);
    return super.listen(...(values as [net.ListenOptions]));
  }
}
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
