// The addon's functions as TypeScript sees them (ts/native). A socket is a number there. Functions that return a number
// return -errno when they fail.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CodedError } from './errors.js';

/** What `onEvent` is told, with its value. */
export const Event = {
  /** 0 or the error */
  connected: 1,
  /** bytes in the slab, 0: end of the stream, < 0: the error */
  read: 2,
  /** there is room again: 0, or the error */
  writable: 3,
  /** the new connection's number */
  connection: 4,
} as const;

/** mst_tcp_option */
export const Option = {
  noDelay: 0,
  keepAlive: 1,
  keepAliveIdleMs: 2,
  keepAliveIntervalMs: 3,
  keepAliveCount: 4,
  typeOfService: 10,
  notsentLowat: 14,
} as const;

/** MST_BIND_TAKE, a flag of bind: take the address over from who offers it. */
export const takeFlag = 4;

export interface HostOptions {
  /** Port specs; none: the host is alone. */
  ports: readonly string[];
  /** Never on a multistackd, whatever the environment says. */
  embedded?: boolean;
  /** Record all packets here as pcapng. */
  pcap?: string | undefined;
  /** By name; none: the stack's default. */
  congestionControl?: string | undefined;
  /** Write the event trace here; undefined: where MULTISTACK_TRACE says. */
  trace?: string | undefined;
}

export type OnEvent = (id: number, event: number, value: number) => void;

/** See ts/native/control.h. */
export interface ControlSocket {
  send(message: Uint8Array): void;
  setReading(on: boolean): void;
  close(): void;
}

export interface Native {
  ControlSocket: new (path: string, onMessage: (message: Buffer | null, error: number) => void) => ControlSocket;
  open(options: HostOptions, slab: Uint8Array, onEvent: OnEvent): void;
  close(): void;
  setActive(active: boolean): void;
  bind(address: string, port: number, flags: number): number;
  listen(binding: number, backlog: number): number;
  connect(binding: number, address: string, port: number): number;
  readStart(id: number): number;
  readStop(id: number): void;
  setReadLimit(id: number, bytes: number): void;
  /** Of at most `stringUnits` characters: all of it, or EAGAIN. */
  writeLatin1(id: number, text: string): number;
  writeUtf8(id: number, text: string): number;
  /** How many bytes were taken; when less than all, `writable` follows. */
  writeBuffer(id: number, bytes: Uint8Array): number;
  shutdown(id: number): number;
  closeSocket(id: number, reset: boolean): void;
  setOption(id: number, option: number, value: number): number;
  getOption(id: number, option: number): number;
  local(id: number): [address: string, port: number] | undefined;
  remote(id: number): [address: string, port: number] | undefined;
  /** Let a successor take the listener's address. */
  offer(listener: number): number;
  /** How many connections the listener's address has, half-open ones too. */
  flows(listener: number): number;
  holds(address: string, port: number): boolean;
  stats(): string | undefined;
  /** JSON text of a SocketInfo[] */
  sockets(): string | undefined;
  /** JSON text of a TcpInfo */
  tcpInfo(id: number): string | undefined;
}

/** The longest string that the native write functions take. */
export const stringUnits = 16384;

/** Load the addon; the package's build puts it in build/Release. */
function load(): Native {
  const file = 'build/Release/multistack.node';
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, file)) && folder !== dirname(folder)) folder = dirname(folder);
  const found = process.env['MULTISTACK_ADDON'] ?? join(folder, file);
  if (!existsSync(found)) {
    const message = `multistack: ${file} is not built; run: npm run build`;
    throw Object.assign(new Error(message), { code: 'ERR_DLOPEN_FAILED' }) satisfies CodedError;
  }
  return createRequire(import.meta.url)(found) as Native;
}

let loaded: Native | undefined;

export function native(): Native {
  return (loaded ??= load());
}
