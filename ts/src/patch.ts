// The methods of net and tls that make a handle, made to make ours. They serve the sockets of multistack/net, and all
// sockets where net was loaded before us.
import type * as tls from 'node:tls';
import { isOs, TCP } from './handle.js';
import { findSymbol, OsTcp, ownerKeyOfNet, require, tcpType, type Owner } from './internals.js';
import { chosen } from './os-stack.js';

type Method = (this: object, ...values: unknown[]) => unknown;

/** A prototype as a bag of methods, some of which net does not document. */
type Methods = Partial<Record<string | symbol, Method>>;

interface ConnectOptions {
  path?: string;
  port?: number | string;
}

/**
 * connect gives a socket that has no handle one of ours. What net itself makes for a second address to try, of the OS's
 * class, is exchanged too.
 */
export function patchSocket(prototype: object): void {
  const methods = prototype as Methods;
  const reinitialize = findSymbol(prototype, 'kReinitializeHandle');
  const { connect } = methods;
  if (!reinitialize || !connect) throw new Error('multistack: this Node makes its sockets in a way not known here');

  methods['connect'] = function (...values) {
    const normalized = normalize(values);
    const [options] = normalized;
    const socket = this as Owner & { destroyed: boolean };
    const wantsHandle = socket._handle === null || socket.destroyed;
    if (wantsHandle && !options.path && options.port !== undefined) {
      if (socket.destroyed) Object.assign(socket, { _handle: null, _peername: null, _sockname: null });
      methods[reinitialize]?.call(this, new TCP(tcpType.socket));
    }
    return connect.call(this, normalized);
  };

  const original = methods[reinitialize];
  methods[reinitialize] = function (handle) {
    if (!isOs(handle) || chosen.has(handle)) return original?.call(this, handle);
    handle.close();
    return original?.call(this, new TCP(tcpType.socket));
  };
  // The same for every prototype that is patched.
  Object.defineProperty(OsTcp, Symbol.hasInstance, {
    configurable: true,
    value: (value: unknown) => value instanceof TCP,
  });
}

/** net's own normal form of connect's arguments. */
function normalize(values: unknown[]): [ConnectOptions, unknown] {
  if (Array.isArray(values[0])) return values[0] as [ConnectOptions, unknown];
  const internals = require('node:net') as { _normalizeArgs: (values: unknown[]) => [ConnectOptions, unknown] };
  return internals._normalizeArgs(values);
}

interface Listening {
  _handle: TCP | null;
}

/** _listen2 finds a handle of ours, bound. */
export function patchServer(prototype: object): void {
  const methods = prototype as Methods;
  const listen = methods['_listen2'];
  if (!listen) throw new Error('multistack: this Node makes its servers in a way not known here');
  methods['_listen2'] = function (address, port, addressType, backlog, fd, flags) {
    const server = this as Listening;
    let at = address;
    let type = addressType;
    if (!server._handle && typeof fd !== 'number' && addressType !== -1) {
      if (!at) [at, type] = ['::', 6];
      const handle = new TCP(tcpType.server);
      if (type === 6) handle.bind6(at as string, port as number, flags as number);
      else handle.bind(at as string, port as number, flags as number);
      server._handle = handle;
    }
    return listen.call(this, at, port, type, backlog, fd, flags);
  };
}

/** A TLS socket that will connect makes its handle itself. */
export function patchTls(): void {
  const { TLSSocket } = require('node:tls') as typeof tls;
  const methods = TLSSocket.prototype as unknown as Methods;
  const wrap = methods['_wrapHandle'];
  methods['_wrapHandle'] = function (socket, given, ...rest) {
    let handle = given as object | null | undefined;
    if (!handle && !(this as { _tlsOptions: { pipe?: boolean } })._tlsOptions.pipe) {
      handle = new TCP(tcpType.socket);
      (handle as Record<symbol, unknown>)[ownerKeyOfNet()] = this;
    }
    return wrap?.call(this, socket, handle, ...rest);
  };
}
