// The handle that net.Socket and net.Server drive: net's own TCP class in all that they call, over the user stack. It is
// a JSStream, so what reads and writes below JavaScript (the HTTP parser, TLS, http2) takes it for a stream of C++.
import { AsyncResource } from 'node:async_hooks';
import { EADDRNOTAVAIL, EAFNOSUPPORT, EBADF, ECANCELED, EINVAL, ENOTCONN } from './errors.js';
import { deliverRead } from './handle-read.js';
import { Writer } from './handle-write.js';
import { register, routes, unregister, type Receiver } from './host.js';
import {
  JSStreamBase,
  OsTcp,
  ownerOf,
  streamWrap,
  tcpType,
  type OsHandle,
  type Owner,
  type Request,
} from './internals.js';
import { Doing, Liveness } from './liveness.js';
import { Event, native, Option, takeFlag } from './native.js';
import { bindOs, connectWith, listenWith, replaceWhenOwned, type Local } from './os-stack.js';
import { isOsOnly, placeConnection, placeListener, successors, type Placement } from './placement.js';
import type { TcpInfo } from './types.js';

interface Name {
  address?: string;
  family?: string;
  port?: number;
}

type Done = (status: number) => void;

export class TCP extends JSStreamBase implements Receiver {
  readonly #type: number;
  readonly #liveness = new Liveness();
  readonly #writer = new Writer(this.#liveness);
  #id = 0; // the addon's number; 0: none yet, or closed
  #six = false;
  #closing = false;
  #local: Local | undefined; // what bind was asked for
  #os: OsHandle | undefined; // bound on the OS stack before net has named the owner
  #readByCpp = false;
  #readLimit = 0; // of a user's own buffer; 0: none
  #context: AsyncResource | undefined;
  #connected: Done | undefined;
  declare onconnection?: (error: number, client?: TCP) => void;

  constructor(type: number) {
    super();
    this.#type = type;
  }

  // --- life

  ref(): void {
    this.#liveness.reference(true);
  }

  unref(): void {
    this.#liveness.reference(false);
  }

  hasRef(): boolean {
    return this.#liveness.referenced && !this.#closing;
  }

  isClosing(): boolean {
    return this.#closing;
  }

  close(done?: () => void): void {
    this.#close(false, done);
  }

  reset(done?: () => void): number {
    if (this.#closing) return EBADF;
    this.#close(true, done);
    return 0;
  }

  #close(reset: boolean, done?: () => void): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#os?.close();
    this.#letGo(reset);
    const connected = this.#connected;
    this.#connected = undefined;
    this.#liveness.end(Doing.listening | Doing.connecting | Doing.reading);
    setImmediate(() => {
      this.#writer.cancel();
      connected?.(ECANCELED);
      done?.call(this);
    });
  }

  /** Give the user stack's part of it back. */
  #letGo(reset: boolean): void {
    if (this.#id === 0) return;
    unregister(this.#id);
    native().closeSocket(this.#id, reset);
    this.#id = 0;
  }

  // --- naming, listening, connecting

  bind(address: string, port: number, flags = 0): number {
    if (this.#local || this.#id !== 0) return EINVAL;
    this.#local = { address, port, flags };
    return 0;
  }

  bind6(address: string, port: number, flags = 0): number {
    this.#six = true;
    return this.bind(address, port, flags);
  }

  /** A descriptor of the OS's. */
  open(fd: number): number {
    const real = new OsTcp(this.#type);
    const error = real.open(fd);
    if (error === 0) replaceWhenOwned(this, real);
    return error;
  }

  listen(backlog: number): number {
    const owner = ownerOf(this);
    const route = this.#id !== 0 && !isOsOnly(owner) ? 'user' : this.#routeOfListen(owner);
    if (typeof route === 'number') return route;
    const take = owner !== undefined && successors.delete(owner);
    const error = route === 'os' ? this.#bindOs() : this.#bindUser(take ? takeFlag : 0);
    if (error < 0) return error;
    routes.listen[route]++;
    if (this.#os) {
      if (!owner) return EINVAL;
      listenWith(owner, this, this.#os);
      return this.#os.listen(backlog);
    }
    const listening = native().listen(this.#id, backlog);
    if (listening < 0) return listening;
    this.#context = new AsyncResource('TCPSERVERWRAP');
    this.#liveness.begin(Doing.listening);
    return 0;
  }

  /** Let a successor take this listener's address. */
  offer(): number {
    return this.#id === 0 ? EBADF : native().offer(this.#id);
  }

  /** How many connections the address has, those included that the listener has not told of yet; or the error. */
  flows(): number {
    return this.#id === 0 ? EBADF : native().flows(this.#id);
  }

  #routeOfListen(owner: Owner | undefined): Placement {
    if (this.#os) return 'os';
    const { address, port } = (this.#local ??= { address: '0.0.0.0', port: 0, flags: 0 });
    return placeListener(owner, address, port);
  }

  /** Hold the local address on the user stack. A machine without IPv6 listens on IPv4, as net does. */
  #bindUser(more = 0): number {
    if (this.#id !== 0 || !this.#local) return 0;
    const { address, port } = this.#local;
    const flags = this.#local.flags | more;
    let id = native().bind(address, port, flags);
    if ((id === EAFNOSUPPORT || id === EADDRNOTAVAIL) && address === '::') {
      this.#six = false;
      id = native().bind('0.0.0.0', port, flags);
    }
    if (id < 0) return id;
    this.#open(id);
    return 0;
  }

  #bindOs(): number {
    if (this.#os || !this.#local) return 0;
    this.#letGo(false);
    const bound = bindOs(this.#type, this.#local, this.#six);
    if (typeof bound === 'number') return bound;
    this.#os = bound;
    return 0;
  }

  connect(request: Request, address: string, port: number): number {
    return this.#connect(request, address === '0.0.0.0' ? '127.0.0.1' : address, port, false);
  }

  connect6(request: Request, address: string, port: number): number {
    this.#six = true;
    return this.#connect(request, address === '::' ? '::1' : address, port, true);
  }

  #connect(request: Request, address: string, port: number, six: boolean): number {
    const owner = ownerOf(this);
    const route = this.#os ? 'os' : placeConnection(owner, address, port);
    if (typeof route === 'number') return route;
    routes.connect[route]++;
    if (route === 'os') return this.#connectOs(owner, request, address, port, six);

    const bound = this.#bindUser();
    if (bound < 0) return bound;
    const id = native().connect(this.#id, address, port);
    if (id < 0) return id;
    if (this.#id !== 0) unregister(this.#id);
    this.#open(id);
    const context = new AsyncResource('TCPCONNECTWRAP');
    this.#connected = (status) => {
      context.runInAsyncScope(() => request.oncomplete?.(status, this, request, true, true));
    };
    this.#liveness.begin(Doing.connecting);
    return 0;
  }

  #connectOs(owner: Owner | undefined, request: Request, address: string, port: number, six: boolean): number {
    const error = this.#bindOs();
    if (error !== 0) return error;
    const real = this.#os ?? new OsTcp(tcpType.socket);
    this.#os = undefined;
    if (owner) connectWith(owner, real, this.#liveness.referenced);
    return six ? real.connect6(request, address, port) : real.connect(request, address, port);
  }

  #open(id: number): void {
    this.#id = id;
    register(id, this);
    if (this.#readLimit > 0) native().setReadLimit(id, this.#readLimit);
  }

  /** A connection that a listener has accepted. */
  static #accepted(id: number, six: boolean): TCP {
    const client = new TCP(tcpType.socket);
    client.#six = six;
    client.#open(id);
    return client;
  }

  getsockname(out: Name): number {
    if (this.#os) return this.#os.getsockname(out);
    if (this.#id === 0 && this.#local) {
      const { address, port } = this.#local;
      return port !== 0 ? this.#name(out, [address, port]) : this.#bindToName(out);
    }
    return this.#name(out, this.#id === 0 ? undefined : native().local(this.#id));
  }

  /** Who asks for the name of a port that is still to be chosen has it chosen now. */
  #bindToName(out: Name): number {
    const route = this.#routeOfListen(undefined);
    if (typeof route === 'number') return route;
    const error = route === 'os' ? this.#bindOs() : this.#bindUser();
    return error < 0 ? error : this.getsockname(out);
  }

  getpeername(out: Name): number {
    return this.#name(out, this.#id === 0 ? undefined : native().remote(this.#id));
  }

  /** IPv4 on an IPv6 socket is named as the OS names it. */
  #name(out: Name, endpoint: [address: string, port: number] | undefined): number {
    if (!endpoint) return this.#closing ? EBADF : ENOTCONN;
    const [address, port] = endpoint;
    out.address = this.#six && !address.includes(':') ? `::ffff:${address}` : address;
    out.family = this.#six ? 'IPv6' : 'IPv4';
    out.port = port;
    return 0;
  }

  // --- what the addon tells

  onEvent(event: number, value: number): void {
    if (event === Event.read) {
      if (value <= 0) this.#liveness.end(Doing.reading);
      deliverRead(this, value, this.#readByCpp);
    } else if (event === Event.writable) {
      this.#writer.onWritable(this.#id, value);
    } else if (event === Event.connection) {
      this.#context?.runInAsyncScope(() => this.onconnection?.(0, TCP.#accepted(value, this.#six)));
    } else {
      const connected = this.#connected;
      this.#connected = undefined;
      this.#liveness.end(Doing.connecting);
      connected?.(value);
    }
  }

  // --- reading; C++ calls the second name of each

  readStart(): number {
    this.#readByCpp = false;
    return this.#readStart();
  }

  onreadstart(): number {
    this.#readByCpp = true;
    return this.#readStart();
  }

  #readStart(): number {
    if (this.#id === 0) return this.#closing ? EBADF : ENOTCONN;
    const error = native().readStart(this.#id);
    if (error === 0) this.#liveness.begin(Doing.reading);
    return error;
  }

  readStop(): number {
    if (this.#id !== 0) native().readStop(this.#id);
    this.#liveness.end(Doing.reading);
    return 0;
  }

  onreadstop(): number {
    return this.readStop();
  }

  override useUserBuffer(bytes: Uint8Array): void {
    this.#readLimit = bytes.length;
    if (this.#id !== 0) native().setReadLimit(this.#id, bytes.length);
    super.useUserBuffer(bytes);
  }

  // --- writing

  writeBuffer(request: Request | null, bytes: Uint8Array): number | Request {
    return this.#writer.buffer(this.#id, request, bytes);
  }

  writeLatin1String(request: Request | null, text: string): number | Request {
    return this.#writer.latin1(this.#id, request, text);
  }

  writeAsciiString(request: Request | null, text: string): number | Request {
    return this.#writer.latin1(this.#id, request, text);
  }

  writeUtf8String(request: Request | null, text: string): number | Request {
    return this.#writer.utf8(this.#id, request, text);
  }

  writeUcs2String(request: Request | null, text: string): number | Request {
    return this.#writer.buffer(this.#id, request, Buffer.from(text, 'utf16le'));
  }

  writev(request: Request | null, chunks: readonly unknown[], allBuffers: boolean): number | Request {
    return this.#writer.chunks(this.#id, request, chunks, allBuffers);
  }

  /** From C++. */
  onwrite(request: Request, buffers: readonly Uint8Array[]): number {
    return this.#writer.fromCpp(this.#id, buffers, (status) => {
      this.finishWrite(request, status);
    });
  }

  shutdown(request: Request): number {
    const context = new AsyncResource('SHUTDOWNWRAP');
    return this.#shutdown((status) => {
      context.runInAsyncScope(() => request.oncomplete?.(status));
    });
  }

  /** From C++. */
  onshutdown(request: Request): number {
    return this.#shutdown((status) => {
      this.finishShutdown(request, status);
    });
  }

  /** After what waits to be written. `done` comes a turn of the loop later, as from libuv: programs see the order. */
  #shutdown(done: Done): number {
    this.#liveness.begin(Doing.shuttingDown);
    this.#writer.afterAll((failed) => {
      const status = failed < 0 ? failed : native().shutdown(this.#id);
      setImmediate(() => {
        this.#liveness.end(Doing.shuttingDown);
        done(status);
      });
    });
    return 0;
  }

  get writeQueueSize(): number {
    return this.#writer.waitingBytes;
  }

  override get bytesWritten(): number {
    return super.bytesWritten + this.#writer.bytesWritten;
  }

  // --- options and state

  /** The state of the connection; undefined: there is none, or none any more. */
  tcpInfo(): TcpInfo | undefined {
    const text = this.#id === 0 ? undefined : native().tcpInfo(this.#id);
    return text === undefined ? undefined : (JSON.parse(text) as TcpInfo);
  }

  setNoDelay(on: boolean): number {
    return this.#setOption(Option.noDelay, Number(on));
  }

  setKeepAlive(on: boolean, idleSeconds = 0, intervalSeconds = 0, count = 0): number {
    if (on && idleSeconds > 0) this.#setOption(Option.keepAliveIdleMs, idleSeconds * 1000);
    if (on && intervalSeconds > 0) this.#setOption(Option.keepAliveIntervalMs, intervalSeconds * 1000);
    if (on && count > 0) this.#setOption(Option.keepAliveCount, count);
    return this.#setOption(Option.keepAlive, Number(on));
  }

  /** False: there is no connection yet, or none any more. */
  setNotsentLowat(bytes: number): boolean {
    return this.#id !== 0 && this.#setOption(Option.notsentLowat, bytes) === 0;
  }

  setTypeOfService(value: number): number {
    return this.#setOption(Option.typeOfService, value);
  }

  getTypeOfService(): number {
    return this.#id === 0 ? EBADF : native().getOption(this.#id, Option.typeOfService);
  }

  /** net sets the options of a socket again when it is connected. */
  #setOption(option: number, value: number): number {
    return this.#id === 0 ? 0 : native().setOption(this.#id, option, value);
  }

  setSimultaneousAccepts(): number {
    return 0;
  }

  setBlocking(): number {
    return 0;
  }

  getProviderType(): number {
    return 0;
  }

  /** A handle of the OS stack is one too, for whoever asks `handle instanceof TCP`. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(TCP, value) || isInstance(OsTcp, value);
  }
}

function isInstance(constructor: unknown, value: unknown): boolean {
  return Function.prototype[Symbol.hasInstance].call(constructor, value);
}

/** Whether `value` is a handle of the OS's class itself. */
export function isOs(value: unknown): value is OsHandle {
  return isInstance(OsTcp, value);
}

/** Without the state words the write methods of C++ serve, which come back by onwrite. */
if (!streamWrap) {
  for (const name of [
    'writeBuffer',
    'writeLatin1String',
    'writeAsciiString',
    'writeUtf8String',
    'writeUcs2String',
    'writev',
  ]) {
    Reflect.deleteProperty(TCP.prototype, name);
  }
}
