// Asking a multistackd: what it knows of channels, leases, ports and sockets, and the packets that pass.
// The messages are those of csrc/control/message.h, in the byte order of this machine.
import os from 'node:os';
import { getSystemErrorName } from 'node:util';
import { type CodedError } from './errors.js';
import { native, type ControlSocket } from './native.js';

export const defaultSocket = '/run/multistack/default';

const little = os.endianness() === 'LE';
const magic = 0x4b54534d;
const version = 1;
const Type = { refused: 3, observe: 14, observing: 15, query: 16, answer: 17, packets: 20 } as const;
const headerBytes = 8;
const textAt = 16;

/** Whose a channel is. */
export interface Owner {
  channel: number;
  uid: number;
  pid: number;
  /** As the program says: any text. */
  program: string;
}

export interface Traffic {
  to_channel_packets: number;
  to_channel_bytes: number;
  from_channel_packets: number;
  from_channel_bytes: number;
  /** The daemon's time spent on what was sent, estimated from samples. */
  cpu_ns: number;
  /** By reason, those that are not 0. */
  drops: Record<string, number>;
}

export interface Channel extends Owner, Traffic {
  since_ms: number;
  leases: number;
  memory_bytes: number;
}

export interface Lease {
  channel: number;
  protocol: 'tcp' | 'udp';
  address: string;
  port: number;
  group: boolean;
  v6only: boolean;
}

export interface Port {
  name: string;
  mode: string;
  reason: string;
  mtu: number;
  queues: number;
  zero_copy: boolean;
  rx_packets: number;
  rx_bytes: number;
  tx_packets: number;
  tx_bytes: number;
  rx_dropped: number;
  tx_dropped: number;
}

/** What an app says of its sockets. */
export interface AppSockets extends Owner {
  state: 'told' | 'silent' | 'too_much' | 'gone';
  /** Its own words, which nobody has looked at. */
  sockets: string | null;
}

export interface Capture {
  channel?: number;
  port?: string;
  protocol?: 'tcp' | 'udp';
  address?: string;
  /** Of a TCP or UDP port, at either end. */
  number?: number;
  snap_bytes?: number;
}

export interface Packet {
  timeNs: bigint;
  /** Of the packet, of which `data` may have less. */
  length: number;
  /** Where it was seen; absent: at the port that was asked for. */
  channel?: number;
  outbound: boolean;
  /** And went no further. */
  dropped: boolean;
  data: Buffer;
}

function coded(code: string, message: string): CodedError {
  return Object.assign(new Error(message), { code });
}

/** What to do about a daemon that cannot be reached. */
function unreachable(path: string, error: unknown): unknown {
  const code = (error as Partial<CodedError>).code ?? '';
  const advice: Record<string, string> = {
    ENOENT: 'there is no multistackd; start it: multistackd --socket PATH, or systemctl start multistackd',
    ECONNREFUSED: 'the multistackd that made this socket has ended; start it again',
    EACCES: 'this user may not reach it; ask for permission on the socket and its folder',
    EPROTOTYPE: 'this is the socket of something else',
  };
  return code in advice ? coded(code, `${path}: ${advice[code] ?? ''}`) : error;
}

interface Waiting {
  resolve: (text: string) => void;
  reject: (error: unknown) => void;
}

/** A connection that looks. One question at a time; the others wait for it. */
export class Control {
  readonly #path: string;
  #socket: ControlSocket;
  #serial = 0;
  #parts: Buffer[] = [];
  #waiting: Waiting | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #ended: CodedError | undefined;
  #onPackets: ((packets: Packet[], missed: bigint) => void) | undefined;
  #onEnd: ((error: CodedError) => void) | undefined;

  private constructor(path: string) {
    this.#path = path;
    try {
      this.#socket = new (native().ControlSocket)(path, (message, error) => {
        this.#take(message, error);
      });
    } catch (error) {
      throw unreachable(path, error);
    }
  }

  /** Connect. Rejects with ENOENT, ECONNREFUSED, EACCES or EPROTO, and says what to do. */
  static async open(path = defaultSocket): Promise<Control> {
    const control = new Control(path);
    const hello = Buffer.alloc(headerBytes + 8);
    const view = new DataView(hello.buffer, hello.byteOffset);
    view.setUint32(headerBytes, magic, little);
    view.setUint16(headerBytes + 4, version, little);
    view.setUint16(headerBytes + 6, version, little);
    await control.#ask(Type.observe, hello);
    return control;
  }

  channels(): Promise<{ channels: Channel[]; daemon: { pid: number; uid: number }; switch: Traffic }> {
    return this.#query({ what: 'channels' });
  }

  async leases(): Promise<Lease[]> {
    return (await this.#query<{ leases: Lease[] }>({ what: 'leases' })).leases;
  }

  async ports(): Promise<Port[]> {
    return (await this.#query<{ ports: Port[] }>({ what: 'ports' })).ports;
  }

  async sockets(): Promise<AppSockets[]> {
    return (await this.#query<{ apps: AppSockets[] }>({ what: 'sockets' })).apps;
  }

  /**
   * From now on packets come, and nothing else can be asked. `missed`: how many did not, so far, since this end was slow.
   */
  async capture(filter: Capture, onPackets: (packets: Packet[], missed: bigint) => void): Promise<void> {
    this.#onPackets = onPackets;
    await this.#query({ what: 'capture', ...filter });
  }

  /** Called once when the daemon hangs up without having been asked to. */
  onEnd(handler: (error: CodedError) => void): void {
    this.#onEnd = handler;
  }

  /** Whether packets are taken; those that come meanwhile wait in the daemon, which has room for some. */
  setReading(on: boolean): void {
    this.#socket.setReading(on);
  }

  close(): void {
    this.#ended ??= coded('ECANCELED', 'closed');
    this.#onEnd = undefined;
    this.#socket.close();
    this.#waiting?.reject(this.#ended);
  }

  async #query<T>(question: object): Promise<T> {
    const text = Buffer.from(JSON.stringify(question));
    const message = Buffer.alloc(textAt + text.length);
    new DataView(message.buffer, message.byteOffset).setUint32(headerBytes, text.length, little);
    text.copy(message, textAt);
    const answer = JSON.parse(await this.#ask(Type.query, message)) as T & {
      error?: { code: string; message: string };
    };
    if (answer.error) throw coded(answer.error.code, `${this.#path}: ${answer.error.message}`);
    return answer;
  }

  /** Resolves with the text of the answer. */
  #ask(type: number, message: Buffer): Promise<string> {
    const result = this.#last.then(
      () =>
        new Promise<string>((resolve, reject) => {
          if (this.#ended) throw this.#ended;
          const view = new DataView(message.buffer, message.byteOffset);
          view.setUint16(0, type, little);
          view.setUint32(4, ++this.#serial, little);
          this.#waiting = { resolve, reject };
          this.#parts = [];
          this.#socket.send(message);
        }),
    );
    this.#last = result.catch(() => undefined);
    return result;
  }

  #take(message: Buffer | null, error: number): void {
    if (message === null) {
      const why = error === 0 ? 'it hung up' : getSystemErrorName(-error);
      this.#end(coded(error === 0 ? 'ECONNRESET' : getSystemErrorName(-error), `${this.#path}: multistackd: ${why}`));
      return;
    }
    const view = new DataView(message.buffer, message.byteOffset, message.length);
    const type = message.length >= headerBytes ? view.getUint16(0, little) : 0;
    if (type === Type.packets) this.#takePackets(view, message);
    else if (type === Type.refused) this.#end(this.#refused(view, message));
    else if (view.getUint32(4, little) !== this.#serial) return;
    else if (type === Type.observing) this.#answer('');
    else if (type === Type.answer) this.#takeAnswer(view, message);
  }

  #takeAnswer(view: DataView, message: Buffer): void {
    this.#parts.push(message.subarray(textAt));
    const more = view.getUint8(headerBytes + 4) !== 0;
    if (!more) this.#answer(Buffer.concat(this.#parts).toString());
  }

  #answer(text: string): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#parts = [];
    waiting?.resolve(text);
  }

  #refused(view: DataView, message: Buffer): CodedError {
    const text = message.subarray(headerBytes + 4);
    const end = text.indexOf(0);
    const number = view.getInt32(headerBytes, little);
    return coded(
      getSystemErrorName(number < 0 ? number : -os.constants.errno.EPROTO),
      `${this.#path}: ${text.toString('utf8', 0, end < 0 ? text.length : end)}`,
    );
  }

  #end(error: CodedError): void {
    const waiting = this.#waiting;
    const onEnd = this.#ended ? undefined : this.#onEnd;
    this.#ended ??= error;
    this.#waiting = undefined;
    this.#socket.close();
    if (waiting) waiting.reject(error);
    else onEnd?.(error);
  }

  #takePackets(view: DataView, message: Buffer): void {
    const recordBytes = 24;
    const atPort = 0xffffffff;
    const missed = view.getBigUint64(16, little);
    const packets: Packet[] = [];
    for (let at = 24; at + recordBytes <= message.length;) {
      const bytes = view.getUint32(at + 12, little);
      const channel = view.getUint32(at + 16, little);
      packets.push({
        timeNs: view.getBigUint64(at, little),
        length: view.getUint32(at + 8, little),
        ...(channel !== atPort && { channel }),
        outbound: view.getUint8(at + 20) !== 0,
        dropped: view.getUint8(at + 21) !== 0,
        data: message.subarray(at + recordBytes, at + recordBytes + bytes),
      });
      at += (recordBytes + bytes + 7) & ~7;
    }
    this.#onPackets?.(packets, missed);
  }
}
