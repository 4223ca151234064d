// `multistack metrics`: what multistackd counts, for Prometheus.
import { once } from 'node:events';
import { lstatSync, unlinkSync } from 'node:fs';
import http from 'node:http';
import { Control, type Channel, type Port, type Traffic } from '../../control.js';
import { UsageError } from '../run.js';
import { exposition, type Metric } from './prometheus.js';

export interface MetricsOptions {
  socket?: string;
  listen: string;
}

const owner = ({ channel, uid, pid, program }: Channel): Record<string, string | number> => ({
  channel,
  uid,
  pid,
  program,
});

function ofChannels(channels: readonly Channel[]): Metric[] {
  const metric = (name: string, help: string, type: Metric['type'], value: (channel: Channel) => number): Metric => ({
    name: `multistack_channel_${name}`,
    help,
    type,
    samples: channels.map((channel) => ({ labels: owner(channel), value: value(channel) })),
  });
  return [
    metric('received_packets_total', 'Packets that the stack got.', 'counter', (each) => each.to_channel_packets),
    metric('received_bytes_total', 'Bytes that the stack got.', 'counter', (each) => each.to_channel_bytes),
    metric('sent_packets_total', 'Packets that the stack sent.', 'counter', (each) => each.from_channel_packets),
    metric('sent_bytes_total', 'Bytes that the stack sent.', 'counter', (each) => each.from_channel_bytes),
    {
      name: 'multistack_channel_dropped_packets_total',
      help: 'Packets that it sent, or should have got, and that were dropped.',
      type: 'counter',
      samples: channels.flatMap((each) =>
        Object.entries(each.drops).map(([reason, value]) => ({ labels: { ...owner(each), reason }, value })),
      ),
    },
    metric('leases', 'Tuples that it holds.', 'gauge', (each) => each.leases),
    metric('memory_bytes', 'Bytes of its shared region.', 'gauge', (each) => each.memory_bytes),
    metric('cpu_seconds_total', "The daemon's time spent on it, by samples.", 'counter', (each) => each.cpu_ns / 1e9),
    metric('start_time_seconds', 'When it attached.', 'gauge', (each) => each.since_ms / 1000),
  ];
}

function ofPorts(ports: readonly Port[]): Metric[] {
  const metric = (name: string, help: string, type: Metric['type'], value: (port: Port) => number): Metric => ({
    name: `multistack_port_${name}`,
    help,
    type,
    samples: ports.map((port) => ({ labels: { port: port.name }, value: value(port) })),
  });
  return [
    metric('received_packets_total', 'Packets from the device.', 'counter', (each) => each.rx_packets),
    metric('received_bytes_total', 'Bytes from the device.', 'counter', (each) => each.rx_bytes),
    metric('sent_packets_total', 'Packets to the device.', 'counter', (each) => each.tx_packets),
    metric('sent_bytes_total', 'Bytes to the device.', 'counter', (each) => each.tx_bytes),
    metric(
      'receive_dropped_total',
      'Packets that the device or the kernel dropped.',
      'counter',
      (each) => each.rx_dropped,
    ),
    metric('send_dropped_total', 'Packets that could not be sent.', 'counter', (each) => each.tx_dropped),
    {
      name: 'multistack_port_info',
      help: 'The mode in force, and why it is not a better one.',
      type: 'gauge',
      samples: ports.map(({ name, mode, reason, zero_copy }) => ({
        labels: { port: name, mode, reason, zero_copy },
        value: 1,
      })),
    },
  ];
}

function ofSwitch(traffic: Traffic): Metric[] {
  const drops = Object.entries(traffic.drops).map(([reason, value]) => ({ labels: { reason }, value }));
  return [
    {
      name: 'multistack_forwarded_packets_total',
      help: 'Packets that were delivered to a stack.',
      type: 'counter',
      samples: [{ labels: {}, value: traffic.to_channel_packets }],
    },
    {
      name: 'multistack_dropped_packets_total',
      help: 'Packets that the switch dropped, of whomever.',
      type: 'counter',
      samples: drops,
    },
  ];
}

/** One look at the daemon, in Prometheus' text. */
export async function scrape(path?: string): Promise<string> {
  const control = await Control.open(path);
  try {
    const { channels, switch: traffic } = await control.channels();
    const ports = await control.ports();
    return exposition([...ofSwitch(traffic), ...ofChannels(channels), ...ofPorts(ports)]);
  } finally {
    control.close();
  }
}

/** Where to listen: "unix:PATH" or "tcp:ADDRESS:PORT". */
export function listenAddress(text: string): { path: string } | { host: string; port: number } {
  const unix = /^unix:(.+)$/.exec(text)?.[1];
  if (unix !== undefined) return { path: unix };
  const tcp: (string | undefined)[] | null = /^tcp:(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const [, v6, v4, port] = tcp ?? [];
  const host = v6 ?? v4;
  if (host === undefined || Number(port) > 65535) {
    throw new UsageError(`metrics: --listen ${text}: allowed: unix:PATH, tcp:ADDRESS:PORT, tcp:[ADDRESS]:PORT`);
  }
  return { host, port: Number(port) };
}

/** The socket of one that has ended is in the way; anything else stays. */
function clear(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

export async function metrics(options: MetricsOptions): Promise<void> {
  const address = listenAddress(options.listen);
  (await Control.open(options.socket)).close(); // say at once that there is none
  const server = http.createServer((request, response) => {
    if (request.url !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('see /metrics\n');
      return;
    }
    scrape(options.socket).then(
      (text) => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text),
      (error: unknown) =>
        response.writeHead(503, { 'content-type': 'text/plain' }).end(`${(error as Error).message}\n`),
    );
  });
  if ('path' in address) {
    clear(address.path);
    process.umask(0o077); // what a user may see is that user's
  }
  server.listen(address);
  await once(server, 'listening');
  const bound = server.address();
  console.log(`listening on ${typeof bound === 'string' ? `unix:${bound}` : `tcp:${bound?.address}:${bound?.port}`}`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      server.close();
      server.closeAllConnections();
    });
  }
  await once(server, 'close');
}
