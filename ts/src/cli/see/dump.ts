// `multistack dump`: packets as they pass, as pcapng.
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import { Control, type Capture, type Packet } from '../../control.js';
import { UsageError } from '../run.js';
import { interfaceBlock, packetBlock, sectionBlock } from './pcapng.js';
import { printable } from './terminal.js';

export interface DumpOptions {
  socket?: string;
  channel?: string;
  port?: string;
  tuple?: string;
  count?: string;
  snaplen?: string;
  write?: string;
}

const tupleForm = /^(tcp|udp):(\*|\[[0-9a-fA-F:.]+\]|[0-9.]+):(\*|\d{1,5})$/;

function wholeNumber(name: string, text: string | undefined, most: number): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text) || Number(text) > most) {
    throw new UsageError(`dump: ${name} ${text}: allowed: a number up to ${most}`);
  }
  return Number(text);
}

/** What the options ask of the daemon. */
export function captureOf(options: DumpOptions): Capture {
  const channel = wholeNumber('--channel', options.channel, 65535);
  const snaplen = wholeNumber('--snaplen', options.snaplen, 65535);
  const tuple = options.tuple === undefined ? undefined : tupleForm.exec(options.tuple);
  if (tuple === null || Number(tuple?.[3]) > 65535) {
    throw new UsageError(
      `dump: --tuple ${options.tuple}: allowed: tcp:ADDRESS:PORT or udp:ADDRESS:PORT, with an IPv6 address in ` +
        `brackets, and * for any`,
    );
  }
  const [, protocol, address, number] = (tuple ?? []) as (string | undefined)[];
  return {
    ...(channel !== undefined && { channel }),
    ...(options.port !== undefined && { port: options.port }),
    ...(protocol !== undefined && { protocol: protocol as 'tcp' | 'udp' }),
    ...(address !== undefined && address !== '*' && { address: address.replace(/[[\]]/g, '') }),
    ...(number !== undefined && number !== '*' && { number: Number(number) }),
    ...(snaplen !== undefined && { snap_bytes: snaplen }),
  };
}

/** Writes packets, and what a reader has to know of where they were seen. */
class Recorder {
  readonly #out: Writable;
  readonly #describe: (packet: Packet) => { name: string; description: string };
  readonly #interfaces = new Map<string, number>();
  #missed = 0n;
  written = 0;

  constructor(out: Writable, describe: (packet: Packet) => { name: string; description: string }) {
    this.#out = out;
    this.#describe = describe;
    out.write(sectionBlock());
  }

  get missed(): bigint {
    return this.#missed;
  }

  /** False: the reader is behind. */
  write(packet: Packet, missed: bigint): boolean {
    const { name, description } = this.#describe(packet);
    let number = this.#interfaces.get(name);
    if (number === undefined) {
      this.#interfaces.set(name, (number = this.#interfaces.size));
      this.#out.write(interfaceBlock(name, description));
    }
    const lost = missed - this.#missed;
    this.#missed = missed;
    this.written++;
    return this.#out.write(
      packetBlock({
        ...packet,
        ...(packet.dropped && { comment: 'dropped by the switch' }),
        interface: number,
        dropped: lost,
      }),
    );
  }
}

/** Names for the places where packets are seen. */
async function places(
  path: string | undefined,
  { port }: Capture,
): Promise<(packet: Packet) => { name: string; description: string }> {
  const control = await Control.open(path);
  const { channels } = await control.channels();
  const mode = (await control.ports()).find(({ name }) => name === port)?.mode;
  control.close();
  if (port !== undefined && mode === undefined) throw new UsageError(`dump: multistackd has no port '${port}'`, 1);
  return ({ channel }) => {
    if (channel === undefined) return { name: port ?? 'port', description: mode ?? '' };
    const owner = channels.find((each) => each.channel === channel);
    const description = owner ? `uid ${owner.uid} pid ${owner.pid} ${printable(owner.program)}` : 'attached later';
    return { name: `channel${channel}`, description };
  };
}

export async function dump(options: DumpOptions): Promise<void> {
  const filter = captureOf(options);
  const most = wholeNumber('--count', options.count, Number.MAX_SAFE_INTEGER) ?? Infinity;
  const toFile = options.write !== undefined && options.write !== '-';
  if (!toFile && process.stdout.isTTY) {
    throw new UsageError('dump: packets are no text; give a file (-w FILE) or a reader (| tcpdump -nr -)');
  }
  const describe = await places(options.socket, filter);
  const control = await Control.open(options.socket);
  const out: Writable = toFile ? createWriteStream(options.write ?? '') : process.stdout;
  const recorder = new Recorder(out, describe);
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      resolve();
    };
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
    out.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') stop();
      else reject(error);
    });
    out.on('drain', () => {
      control.setReading(true);
    });
    control.onEnd(reject);
    const take = (packets: Packet[], missed: bigint): void => {
      for (const packet of packets) {
        if (recorder.written >= most) return;
        if (!recorder.write(packet, missed)) control.setReading(false);
      }
      if (recorder.written >= most) stop();
    };
    control.capture(filter, take).then(() => {
      process.stderr.write('multistack: capturing\n');
    }, reject);
  }).finally(() => {
    control.close();
  });
  if (toFile) {
    out.end();
    await once(out, 'finish');
  }
  process.stderr.write(`multistack: ${recorder.written} packets, ${recorder.missed} missed\n`);
}
