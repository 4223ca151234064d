// What crosses to another process is a descriptor, and a socket of the user stack has none. A cluster's listeners
// therefore stay on the OS stack, and sending a socket or a server of the user stack is an error at once, not a hang.
import type * as childProcess from 'node:child_process';
import type * as net from 'node:net';
import { isOs, TCP } from './handle.js';
import { OsTcp, require } from './internals.js';
import { osOnly } from './placement.js';

type Send = (message: unknown, handle?: unknown, ...rest: unknown[]) => unknown;

interface SpawnOptions {
  stdio?: unknown;
}

/** A process that messages can be sent to. */
interface Target {
  _send?: Send;
}

let guarded = false;

/** Idempotent. */
export function guardMessages(): void {
  if (guarded) return;
  guarded = true;
  if (process.channel) guard(process as Target);
  const { ChildProcess } = require('node:child_process') as typeof childProcess;
  const methods = ChildProcess.prototype as unknown as { spawn: (options: SpawnOptions) => unknown };
  const { spawn } = methods;
  methods.spawn = function (this: Target, options) {
    if (Array.isArray(options.stdio)) options.stdio.forEach(refuseUserStack);
    const result = spawn.call(this, options);
    guard(this);
    return result;
  };
}

function guard(target: Target): void {
  const send = target._send;
  if (!send) return;
  target._send = function (message, handle, ...rest) {
    refuseUserStack(handle);
    return send.call(this, message, handle, ...rest);
  };
}

function refuseUserStack(value: unknown): void {
  if (!isUserStack(value)) return;
  const text = 'a socket of the user stack cannot be given to another process; keep it on the OS stack by policy';
  throw Object.assign(new TypeError(`multistack: ${text}`), { code: 'ERR_INVALID_HANDLE_TYPE' });
}

function isUserStack(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const handle = '_handle' in value ? value._handle : value;
  return handle instanceof TCP && !isOs(handle);
}

/** The primary of a cluster listens for its workers through net, from two places of node's own. */
export function guardCluster(): void {
  const module = require('node:net') as typeof net & { _createServerHandle: (...values: unknown[]) => unknown };
  const { createServer, _createServerHandle } = module;
  const patched = function (...values: Parameters<typeof createServer>) {
    const server = createServer(...values);
    if (isClusterRoundRobin()) osOnly.add(server);
    return server;
  } as typeof createServer;
  module.createServer = patched;
  module._createServerHandle = function (address, port, addressType, fd, flags) {
    if (typeof port !== 'number' || port < 0) return _createServerHandle(address, port, addressType, fd, flags);
    const handle = new OsTcp(1);
    const six = addressType === 6 || !address;
    const error = six
      ? handle.bind6((address as string | null) ?? '::', port, Number(flags))
      : handle.bind(address as string, port, Number(flags));
    if (error === 0) return handle;
    handle.close();
    return error;
  };
}

function isClusterRoundRobin(): boolean {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 4;
  const { stack } = new Error();
  Error.stackTraceLimit = limit;
  return stack?.includes('round_robin_handle') ?? false;
}
