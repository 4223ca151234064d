// What this package uses of Node's inside, all in one place: the base class that C++ accepts as a stream (JSStream), the
// words that a write leaves for its caller (streamBaseState), and the OS's own TCP handle. All have been the same from
// Node 20 to 26.
import { createRequire } from 'node:module';
import type * as net from 'node:net';
import type * as stream from 'node:stream';
import type * as tls from 'node:tls';

export const require = createRequire(import.meta.url);

/** A request object of net's; C++ or net looks at its properties. */
export interface Request {
  oncomplete?: ((...values: unknown[]) => void) | undefined;
  /** Node 26: null, or the status of a write that ended before it was dispatched. */
  writeStatus?: number | null;
}

/** A C++ stream that is fed and drained from JavaScript. */
export interface JSStream {
  reading?: boolean;
  onread?: ((bytes: ArrayBuffer | undefined) => void) | undefined;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly isStreamBase: boolean;
  getAsyncId(): number;
  /** Give bytes to whoever reads: the socket, a parser, TLS, http2. They are copied. */
  readBuffer(bytes: Uint8Array): void;
  emitEOF(): void;
  finishWrite(request: Request, status: number): void;
  finishShutdown(request: Request, status: number): void;
  useUserBuffer(bytes: Uint8Array): void;
}

/** net's handle class on the OS stack. */
export interface OsHandle extends JSStream {
  onconnection?: unknown;
  open(fd: number): number;
  bind(address: string, port: number, flags?: number): number;
  bind6(address: string, port: number, flags: number): number;
  listen(backlog: number): number;
  connect(request: Request, address: string, port: number): number;
  connect6(request: Request, address: string, port: number): number;
  getsockname(out: object): number;
  getpeername(out: object): number;
  unref(): void;
  close(done?: () => void): void;
}

/** What a TLS handle has on top; net switches its events on once, when they are first listened to. */
interface TlsHandle {
  _parent?: JSStream;
  enableSessionCallbacks?(): void;
  enableKeylogCallback?(): void;
}

/** A net.Socket or net.Server with the members that this package needs. */
export interface Owner {
  _handle: (JSStream & TlsHandle) | null;
  _undestroy?: () => void;
  destroy?(error?: Error): void;
  emit(event: string, ...values: unknown[]): boolean;
  listenerCount(event: string): number;
  [name: symbol]: unknown;
}

interface TcpWrap {
  TCP: new (type: number) => OsHandle;
  constants: { SOCKET: number; SERVER: number; UV_TCP_IPV6ONLY: number };
}

interface StreamWrap {
  kReadBytesOrError: number;
  kBytesWritten: number;
  kLastWriteWasAsync: number;
  /** Node 26 */
  kLastWriteErr?: number;
  streamBaseState: Int32Array;
}

interface Bindings {
  tcp_wrap: TcpWrap;
  stream_wrap: StreamWrap;
  js_stream: { JSStream: new () => JSStream };
}

/** One of Node's bindings, or null where the permission model denies them. */
function binding<Name extends keyof Bindings>(name: Name): Bindings[Name] | null {
  try {
    return (process as unknown as { binding: (name: Name) => Bindings[Name] }).binding(name);
  } catch {
    return null;
  }
}

/** Where the binding is denied: a TLS socket over a JavaScript stream has a JSStream inside. */
function jsStreamOfTls(): new () => JSStream {
  const { TLSSocket } = require('node:tls') as typeof tls;
  const { Duplex } = require('node:stream') as typeof stream;
  const socket = new TLSSocket(
    new Duplex({
      read() {},
      write: (_chunk, _encoding, done) => {
        done();
      },
    }),
  );
  socket.on('error', () => undefined);
  const parent = (socket as unknown as Owner)._handle?._parent;
  socket.destroy();
  return (parent as JSStream).constructor as new () => JSStream;
}

/** The OS's handle class out of a socket, where the binding is denied. */
function tcpOfSocket(): new (type: number) => OsHandle {
  const { Socket } = require('node:net') as typeof net;
  const socket = new Socket();
  socket.on('error', () => undefined);
  socket.connect({ port: 9, host: '127.0.0.1', lookup: () => undefined });
  const handle = (socket as unknown as Owner)._handle as OsHandle;
  socket.destroy();
  return handle.constructor as new (type: number) => OsHandle;
}

const netWasLoaded = (process as unknown as { moduleLoadList: string[] }).moduleLoadList.includes('NativeModule net');

/** The live binding in which net, when it loads, finds its handle class; null when it is too late or denied. */
export const tcpWrap = netWasLoaded ? null : binding('tcp_wrap');
export const streamWrap = binding('stream_wrap');
export const OsTcp = binding('tcp_wrap')?.TCP ?? tcpOfSocket();
export const JSStreamBase = binding('js_stream')?.JSStream ?? jsStreamOfTls();

export const tcpType = { socket: 0, server: 1 } as const;

/** The symbol with this description on `object` or what it inherits from. */
export function findSymbol(object: object, description: string): symbol | undefined {
  for (let each: object | null = object; each; each = Object.getPrototypeOf(each) as object | null) {
    const found = Object.getOwnPropertySymbols(each).find((symbol) => symbol.description === description);
    if (found) return found;
  }
  return undefined;
}

let ownerSymbol: symbol | undefined;

/** The key under which net leaves the socket or server in its handle; known once there is one. */
export function ownerKey(handle: object): symbol | undefined {
  return (ownerSymbol ??= findSymbol(handle, 'owner_symbol'));
}

export function ownerOf(handle: object): Owner | undefined {
  const key = ownerKey(handle);
  return key && ((handle as Record<symbol, unknown>)[key] as Owner | undefined);
}

/** The same key before net has used it on a handle of ours. */
export function ownerKeyOfNet(): symbol {
  if (!ownerSymbol) {
    const { Socket } = require('node:net') as typeof net;
    const handle = new OsTcp(tcpType.socket);
    const socket = new Socket({ handle, manualStart: true } as net.SocketConstructorOpts);
    ownerSymbol = findSymbol(handle, 'owner_symbol');
    socket.destroy();
  }
  if (!ownerSymbol) throw new Error('multistack: this Node keeps no owner in its handles');
  return ownerSymbol;
}
