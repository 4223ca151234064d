// This environment's host: opened when the first socket needs it, and shared by all of them.
import { wantedDaemon, type WantedDaemon } from './daemon.js';
import { ENETDOWN, invalidState, invalidValue, isCoded } from './errors.js';
import { native, type HostOptions, type Native } from './native.js';
import { Policy } from './policy.js';
import type { Options, RouteCounts, SocketInfo, Stats } from './types.js';

/** What the addon's events are told to. */
export interface Receiver {
  onEvent(event: number, value: number): void;
}

const slabBytes = 65536;
const indexMask = (1 << 20) - 1;

let settings: Options = {};
let policy: Policy | undefined;
let opened: Native | undefined;
let ports: readonly string[] = [];
let exited = false;

/** What was read last: valid until the event's receiver returns. */
export const slab = Buffer.allocUnsafeSlow(slabBytes);

/** The receivers by slot; an event for a number that is not the slot's present one is stale. */
const receivers: ({ id: number; receiver: Receiver } | undefined)[] = [];

export const routes: RouteCounts = { listen: { user: 0, os: 0 }, connect: { user: 0, os: 0 } };

/**
 * Change what was taken from the environment. The policy may change at any time and holds for later sockets; the rest is
 * given before the first socket.
 */
export function configure(options: Options): void {
  const { ports: wanted, pcap, trace, congestionControl } = options;
  if (opened && (wanted ?? pcap ?? trace ?? congestionControl) !== undefined) {
    throw invalidState(
      'multistack: ports, pcap, trace and congestionControl are settled since the first socket; configure them before it',
    );
  }
  if (wanted?.some((port) => port === ''))
    throw invalidValue('multistack: an empty port spec; allowed: xdp:DEVICE, tap:NAME, unix:PATH');
  const next = options.policy === undefined ? undefined : new Policy(options.policy);
  settings = { ...settings, ...options };
  policy = next ?? policy;
}

/** The policy in force. Throws ERR_INVALID_ARG_VALUE when MULTISTACK_POLICY is bad. */
export function currentPolicy(): Policy {
  return (policy ??= new Policy(process.env['MULTISTACK_POLICY'], 'MULTISTACK_POLICY'));
}

/** The specs of MULTISTACK_PORTS, or undefined when nothing was said. `memory` means no device at all. */
function wantedPorts(): readonly string[] | undefined {
  if (settings.ports) return settings.ports.filter((port) => port !== 'memory');
  const text = process.env['MULTISTACK_PORTS'];
  return text?.split(/[\s;]+/).filter((port) => port !== '' && port !== 'memory');
}

/** The host, opened now if it was not. Throws an error with a code. */
export function host(): Native {
  if (opened) return opened;
  if (exited) throw Object.assign(new Error('multistack: the process exits'), { code: 'ENETDOWN', errno: ENETDOWN });
  const addon = native();
  const rest = {
    pcap: settings.pcap ?? process.env['MULTISTACK_PCAP'],
    trace: settings.trace,
    congestionControl: settings.congestionControl ?? process.env['MULTISTACK_CONGESTION_CONTROL'],
  };
  startWanted(addon, rest);
  process.once('exit', () => {
    opened = undefined;
    exited = true;
    addon.close();
  });
  return addon;
}

/** The host where a connection may find its peer's stack: the opened one, or a multistackd's. */
export function hostOfPeers(): Native | undefined {
  if (opened || peersFailed) return opened;
  try {
    return wantedDaemon(wantedPorts()) ? host() : undefined;
  } catch (error) {
    if (!isCoded(error)) throw error;
    peersFailed = true;
    notice(`connections go to the OS stack, since ${error.message}`);
    return undefined;
  }
}

let peersFailed = false;

type Rest = Omit<HostOptions, 'ports'>;

function startWanted(addon: Native, rest: Rest): void {
  const wanted = wantedPorts();
  const daemon = wantedDaemon(wanted);
  if (daemon && startOnDaemon(addon, daemon, rest)) return;
  if (wanted) start(addon, { ports: wanted, embedded: true, ...rest });
  else startDefault(addon, { embedded: true, ...rest });
}

/** False: nobody has asked for that daemon, and it is not there. */
function startOnDaemon(addon: Native, { spec, must }: WantedDaemon, rest: Rest): boolean {
  try {
    start(addon, { ports: [spec], ...rest });
    return true;
  } catch (error) {
    if (must || !isCoded(error)) throw error;
    if (error.code !== 'ENOENT' && error.code !== 'ECONNREFUSED') notice(`without multistackd, since ${error.message}`);
    return false;
  }
}

function start(addon: Native, options: HostOptions): void {
  addon.open(options, slab, onEvent);
  opened = addon;
  ports = options.ports;
}

/** What says that this user or this kernel cannot have a device at all. */
const notPermitted = ['EPERM', 'EACCES', 'ENOSYS'];

/** Nothing was said: the loopback where that is permitted, else alone; either way say so. */
function startDefault(addon: Native, rest: Rest): void {
  try {
    start(addon, { ports: ['xdp:lo'], ...rest });
    notice('the user stack is on the loopback (xdp:lo); set MULTISTACK_PORTS to choose other ports');
  } catch (error) {
    if (!isCoded(error) || !notPermitted.includes(error.code)) throw error;
    start(addon, { ports: [], ...rest });
    notice(`alone in this process, since ${error.message}; set MULTISTACK_PORTS=memory to be so without this notice`);
  }
}

function notice(text: string): void {
  process.stderr.write(`multistack: ${text}\n`);
}

function onEvent(id: number, event: number, value: number): void {
  const entry = receivers[id & indexMask];
  if (entry?.id === id) entry.receiver.onEvent(event, value);
}

/** The host if a socket has opened it. */
export function openedHost(): Native | undefined {
  return opened;
}

export function register(id: number, receiver: Receiver): void {
  receivers[id & indexMask] = { id, receiver };
}

export function unregister(id: number): void {
  receivers[id & indexMask] = undefined;
}

let activeHandles = 0;

/** Count sockets that keep the process alive; the addon is told of the first and the last. */
export function addActive(change: 1 | -1): void {
  activeHandles += change;
  if (activeHandles === (change === 1 ? 1 : 0)) opened?.setActive(activeHandles > 0);
}

/** How many sockets went where, and the counters of this process's host. */
export function stats(): Stats {
  const text = opened?.stats();
  const counts = { listen: { ...routes.listen }, connect: { ...routes.connect } };
  return text === undefined
    ? { routes: counts }
    : { routes: counts, host: JSON.parse(text) as Record<string, unknown> };
}

/** The connections and listeners of this process's user stack. */
export function sockets(): SocketInfo[] {
  const text = opened?.sockets();
  return text === undefined ? [] : (JSON.parse(text) as SocketInfo[]);
}

/** The port specs in force: none when alone or not yet open. */
export function currentPorts(): readonly string[] {
  return ports;
}
