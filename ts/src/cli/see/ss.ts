// `multistack ss`: the sockets of both stacks in one table.
import { Control, defaultSocket } from '../../control.js';
import { isCoded } from '../../errors.js';
import { table } from '../table.js';
import { rowsOf, type Row } from './app-sockets.js';
import { osSockets } from './os-sockets.js';
import { printable } from './terminal.js';

export interface SsOptions {
  socket?: string;
  tcp?: boolean;
  udp?: boolean;
  listening?: boolean;
  all?: boolean;
  json?: boolean;
}

const passive = (row: Row): boolean => row.state === 'LISTEN' || row.state === 'UNCONNECTED';

/** What of it the options ask for: as ss, without -l and -a what is connected. */
export function wanted(rows: readonly Row[], options: SsOptions): Row[] {
  return rows.filter((row) => {
    const protocol = options.tcp === options.udp || (row.protocol === 'tcp' ? options.tcp : options.udp) === true;
    return protocol && (options.all === true || passive(row) === (options.listening === true));
  });
}

export async function ss(options: SsOptions): Promise<void> {
  const { rows, complaints } = await userSockets(options.socket);
  const chosen = wanted([...rows, ...osSockets()], options);
  console.log(options.json === true ? JSON.stringify(chosen, null, 2) : render(chosen));
  for (const complaint of complaints) console.error(`multistack: ${complaint}`);
}

async function userSockets(path: string | undefined): Promise<{ rows: Row[]; complaints: string[] }> {
  let control: Control;
  try {
    control = await Control.open(path);
  } catch (error) {
    // Nobody named one: then there is none to be missed.
    if (path !== undefined || !isCoded(error) || !['ENOENT', 'ECONNREFUSED'].includes(error.code)) throw error;
    return { rows: [], complaints: [`no multistackd at ${defaultSocket}: these are the OS's sockets alone`] };
  }
  const told = (await control.sockets()).map((app) => ({ app, ...rowsOf(app) }));
  control.close();
  const complaints = told.flatMap(({ app, complaint }) =>
    complaint === undefined
      ? []
      : [`channel ${app.channel}, uid ${app.uid}, pid ${app.pid}, ${printable(app.program)}: ${complaint}`],
  );
  return { rows: told.flatMap(({ rows }) => rows), complaints };
}

function render(rows: readonly Row[]): string {
  const head = ['stack', 'proto', 'state', 'recv-q', 'send-q', 'local', 'remote', 'cwnd', 'rtt', 'owner'];
  return table(head, rows.map(cells));
}

function cells(row: Row): string[] {
  const cwnd = row.cwndBytes === undefined ? row.cwndSegments && `${row.cwndSegments} seg` : `${row.cwndBytes}`;
  return [
    row.stack,
    row.protocol,
    row.state,
    String(row.recvQ),
    String(row.sendQ),
    endpoint(row.local),
    row.remote ? endpoint(row.remote) : '*',
    cwnd ?? '-',
    row.rttUs === undefined || row.rttUs === 0 ? '-' : `${(row.rttUs / 1000).toFixed(3)} ms`,
    owner(row),
  ].map((cell) => String(cell));
}

function endpoint({ address, port }: Row['local']): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function owner({ owner }: Row): string {
  if (!owner) return '-';
  const channel = owner.channel === undefined ? '' : ` channel ${owner.channel}`;
  const process = owner.pid === undefined ? '' : ` pid ${owner.pid} ${printable(owner.program ?? '')}`;
  return `uid ${owner.uid}${process}${channel}`;
}
