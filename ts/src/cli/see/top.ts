// `multistack top`: what each channel does, a second at a time.
import { setTimeout as sleep } from 'node:timers/promises';
import { Control, type Channel } from '../../control.js';
import { table } from '../table.js';
import { printable, scaled } from './terminal.js';

export interface TopOptions {
  socket?: string;
  interval: number;
  once?: boolean;
  json?: boolean;
}

/** What a channel did between two looks, and what it has. */
export interface Rates {
  channel: number;
  uid: number;
  pid: number;
  program: string;
  in_packets_per_s: number;
  in_bytes_per_s: number;
  out_packets_per_s: number;
  out_bytes_per_s: number;
  drops_per_s: Record<string, number>;
  /** Of one core. */
  cpu_percent: number;
  leases: number;
  memory_bytes: number;
  totals: Channel;
}

export function rates(before: readonly Channel[], after: readonly Channel[], seconds: number): Rates[] {
  return after.map((now) => {
    // A channel's number is used again after it has gone.
    const was = before.find((each) => each.channel === now.channel && each.pid === now.pid && sameSince(each, now));
    const rate = (key: 'to_channel_packets' | 'to_channel_bytes' | 'from_channel_packets' | 'from_channel_bytes') =>
      Math.max(0, now[key] - (was?.[key] ?? 0)) / seconds;
    const drops = Object.entries(now.drops)
      .map(([reason, count]) => [reason, (count - (was?.drops[reason] ?? 0)) / seconds] as const)
      .filter(([, perSecond]) => perSecond > 0);
    return {
      channel: now.channel,
      uid: now.uid,
      pid: now.pid,
      program: now.program,
      in_packets_per_s: rate('to_channel_packets'),
      in_bytes_per_s: rate('to_channel_bytes'),
      out_packets_per_s: rate('from_channel_packets'),
      out_bytes_per_s: rate('from_channel_bytes'),
      drops_per_s: Object.fromEntries(drops),
      cpu_percent: (Math.max(0, now.cpu_ns - (was?.cpu_ns ?? 0)) / (seconds * 1e9)) * 100,
      leases: now.leases,
      memory_bytes: now.memory_bytes,
      totals: now,
    };
  });
}

/** It is told by the clock of each answer, so it may be off by a little. */
function sameSince(a: Channel, b: Channel): boolean {
  return Math.abs(a.since_ms - b.since_ms) < 50;
}

export async function top(options: TopOptions): Promise<void> {
  const control = await Control.open(options.socket);
  try {
    let before = await look(control);
    do {
      await sleep(options.interval * 1000);
      const after = await look(control);
      show(rates(before.channels, after.channels, (after.at - before.at) / 1000), options);
      before = after;
    } while (options.once !== true);
  } finally {
    control.close();
  }
}

async function look(control: Control): Promise<{ at: number; channels: Channel[] }> {
  const { channels } = await control.channels();
  return { at: performance.now(), channels };
}

function show(found: readonly Rates[], options: TopOptions): void {
  if (options.json === true) {
    console.log(JSON.stringify(found));
    return;
  }
  const fresh = options.once !== true && process.stdout.isTTY ? '\x1b[H\x1b[J' : '';
  const busiest = found.toSorted((a, b) => b.cpu_percent - a.cpu_percent || a.channel - b.channel);
  const head = [
    'channel',
    'uid',
    'pid',
    'program',
    'in p/s',
    'in B/s',
    'out p/s',
    'out B/s',
    'cpu %',
    'leases',
    'drops/s',
  ];
  const rows = busiest.map((each) => [
    String(each.channel),
    String(each.uid),
    String(each.pid),
    printable(each.program),
    scaled(each.in_packets_per_s),
    scaled(each.in_bytes_per_s),
    scaled(each.out_packets_per_s),
    scaled(each.out_bytes_per_s),
    each.cpu_percent.toFixed(1),
    String(each.leases),
    Object.entries(each.drops_per_s)
      .map(([reason, perSecond]) => `${reason} ${scaled(perSecond)}`)
      .join(', ') || '-',
  ]);
  console.log(`${fresh}${table(head, rows)}`);
}
