// The words of an app about its sockets. It may say anything: each value is looked at before it is shown.
import type { AppSockets, Owner } from '../../control.js';

/** A socket of either stack, as a row shows it. */
export interface Row {
  stack: 'user' | 'os';
  protocol: 'tcp' | 'udp';
  state: string;
  recvQ: number;
  sendQ: number;
  local: { address: string; port: number };
  remote?: { address: string; port: number };
  cwndBytes?: number;
  /** The OS counts segments. */
  cwndSegments?: number;
  rttUs?: number;
  owner?: { uid: number; pid?: number; program?: string; channel?: number };
}

const states = new Set(
  (
    'LISTEN SYN-SENT SYN-RECEIVED ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 CLOSE-WAIT CLOSING LAST-ACK TIME-WAIT CLOSED ' +
    'UNCONNECTED'
  ).split(' '),
);

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function endpoint(value: unknown): Row['local'] | undefined {
  if (!isObject(value)) return undefined;
  const { address, port } = value;
  if (typeof address !== 'string' || !/^[0-9a-fA-F:.%\w-]{1,64}$/.test(address)) return undefined;
  const number = count(port);
  return number === undefined || number > 65535 ? undefined : { address, port: number };
}

function row(value: unknown, owner: Owner): Row | undefined {
  if (!isObject(value)) return undefined;
  const { protocol, state } = value;
  const local = endpoint(value['local']);
  const remote = endpoint(value['remote']);
  if ((protocol !== 'tcp' && protocol !== 'udp') || local === undefined) return undefined;
  if (typeof state !== 'string' || !states.has(state)) return undefined;
  const cwndBytes = count(value['sndCwndBytes']);
  const rttUs = count(value['rttUs']);
  return {
    stack: 'user',
    protocol,
    state,
    recvQ: count(value['unreadBytes']) ?? 0,
    sendQ: (count(value['unackedBytes']) ?? 0) + (count(value['notsentBytes']) ?? 0),
    local,
    ...(remote && { remote }),
    ...(cwndBytes !== undefined && { cwndBytes }),
    ...(rttUs !== undefined && { rttUs }),
    owner: { uid: owner.uid, pid: owner.pid, program: owner.program, channel: owner.channel },
  };
}

/** What can be shown of an app's sockets, and what to say of the rest. */
export function rowsOf(app: AppSockets): { rows: Row[]; complaint?: string } {
  if (app.state === 'silent') return { rows: [], complaint: 'did not answer in time' };
  if (app.state === 'too_much') return { rows: [], complaint: 'answered with more than is taken' };
  if (app.state === 'gone' || app.sockets === null) return { rows: [] };
  let list: unknown;
  try {
    list = JSON.parse(app.sockets);
  } catch {
    return { rows: [], complaint: 'answered with what is no JSON' };
  }
  if (!Array.isArray(list)) return { rows: [], complaint: 'answered with what is no list' };
  const rows: Row[] = [];
  let omitted = 0;
  let bad = 0;
  for (const each of list as unknown[]) {
    const found = row(each, app);
    const left = isObject(each) ? count(each['omitted']) : undefined;
    if (found) rows.push(found);
    else if (left !== undefined) omitted += left;
    else bad++;
  }
  const complaint = [
    ...(omitted > 0 ? [`has ${omitted} more sockets than it could tell of`] : []),
    ...(bad > 0 ? [`told of ${bad} sockets that are none`] : []),
  ].join(', ');
  return complaint === '' ? { rows } : { rows, complaint };
}
