// From the events of a trace to what is drawn of one connection. Two passes over the file: the first finds the
// connections and how much there is of each, the second takes one of them.
import { UsageError } from '../run.js';
import { Bars, binWidth, Line } from './series.js';
import { readTrace, type TraceEvent } from './trace-file.js';

export type Direction = 'sent' | 'received';

/** What the first pass knows of a connection. */
export interface Summary {
  /** The trace's name for it: "1.7". */
  group: string;
  local: string;
  remote: string;
  start: number;
  end: number;
  events: number;
  onlyCalls: boolean;
  sentBytes: number;
  receivedBytes: number;
}

/** A moment that is marked over the whole height. */
export interface Moment {
  time: number;
  kind: 'timeout' | 'tail_loss_probe' | 'undone';
}

export interface Span {
  start: number;
  end: number;
}

/** What is drawn. Times are milliseconds from the connection's first event; sequence numbers do not wrap. */
export interface Connection {
  summary: Summary;
  direction: Direction;
  data: Bars;
  retransmissions: Bars;
  sacks: Bars;
  lost: Bars;
  acks: Line;
  windowEdge: Line;
  cwnd: Line;
  ssthresh: Line;
  flight: Line;
  srtt: Line;
  rtts: Bars;
  moments: Moment[];
  recoveries: Span[];
  segments: number;
  retransmitted: number;
  bytes: number;
}

const momentsMax = 2_000;

/** The connections of a trace, in the order in which they begin. */
export async function summaries(file: string): Promise<Summary[]> {
  const found = new Map<string, Summary>();
  for await (const event of readTrace(file)) {
    let summary = found.get(event.group);
    if (!summary) {
      const { group, time } = event;
      summary = {
        group,
        local: '',
        remote: '',
        start: time,
        end: time,
        events: 0,
        onlyCalls: true,
        sentBytes: 0,
        receivedBytes: 0,
      };
      found.set(group, summary);
    }
    // A call of the program's is told with the time at which the stack last ran.
    if (summary.events === 0 || summary.onlyCalls) summary.start = event.time;
    summary.onlyCalls = summary.onlyCalls && event.name === 'state_updated';
    summary.end = event.time;
    summary.events++;
    const { local, remote, seq = 0, end = 0 } = event.data;
    if (local !== undefined && remote !== undefined) Object.assign(summary, { local, remote });
    const bytes = (end - seq) >>> 0;
    if (event.name === 'segment_sent') summary.sentBytes += bytes;
    if (event.name === 'segment_received') summary.receivedBytes += bytes;
  }
  return [...found.values()];
}

/** By number from 1 on, by the trace's name, or the one that moved most. */
export function choose(all: readonly Summary[], wanted: string | undefined): Summary {
  if (all.length === 0) throw new UsageError('plot: the trace holds no connection', 1);
  if (wanted === undefined) return all.reduce((most, each) => (volume(each) > volume(most) ? each : most));
  const byNumber = /^\d+$/.test(wanted) ? all.at(Number(wanted) - 1) : undefined;
  const chosen = all.find((each) => each.group === wanted) ?? (wanted === '0' ? undefined : byNumber);
  if (chosen) return chosen;
  throw new UsageError(`plot: there is no connection '${wanted}'; the trace has 1 to ${all.length} (see --list)`);
}

function volume(summary: Summary): number {
  return summary.sentBytes + summary.receivedBytes;
}

/** The second pass. */
export async function collect(file: string, summary: Summary, direction: Direction): Promise<Connection> {
  const collector = new Collector(summary, direction);
  for await (const event of readTrace(file)) if (event.group === summary.group) collector.take(event);
  return collector.finish();
}

/** 32-bit numbers that go round, made to go on. */
class Unwrapped {
  #last = 0;

  /** Near the last one that was told. */
  of(value: number): number {
    const distance = (value - this.#last) | 0;
    const result = this.#last + distance;
    this.#last = Math.max(this.#last, result);
    return result;
  }
}

class Collector {
  readonly #connection: Connection;
  readonly #numbers = new Unwrapped();
  #highest = 0; // the end of what was seen
  #recovering: number | undefined;

  constructor(summary: Summary, direction: Direction) {
    const bin = binWidth(summary.events, summary.end - summary.start);
    const bars = () => new Bars(bin);
    const line = () => new Line(bin);
    this.#connection = {
      summary,
      direction,
      data: bars(),
      retransmissions: bars(),
      sacks: bars(),
      lost: bars(),
      acks: line(),
      windowEdge: line(),
      cwnd: line(),
      ssthresh: line(),
      flight: line(),
      srtt: line(),
      rtts: bars(),
      moments: [],
      recoveries: [],
      segments: 0,
      retransmitted: 0,
      bytes: 0,
    };
  }

  take(event: TraceEvent): void {
    const { direction, summary } = this.#connection;
    const time = Math.max(event.time - summary.start, 0);
    if (event.name === `segment_${direction}`) this.#data(time, event.data);
    else if (event.name === 'segment_sent' || event.name === 'segment_received') this.#answer(time, event.data);
    if (direction === 'sent') this.#sender(time, event);
  }

  #data(time: number, { seq = 0, end = 0, flags = '', retransmission = false }: TraceEvent['data']): void {
    const connection = this.#connection;
    if (seq === end || flags.includes('R')) return;
    const low = this.#numbers.of(seq);
    const high = low + ((end - seq) >>> 0);
    const again = retransmission || (connection.direction === 'received' && high <= this.#highest);
    connection.segments++;
    connection.bytes += high - low;
    if (again) connection.retransmitted++;
    (again ? connection.retransmissions : connection.data).add(time, low, high);
    this.#highest = Math.max(this.#highest, high);
  }

  #answer(time: number, { ack, flags = '', window_bytes: window = 0, sack = [] }: TraceEvent['data']): void {
    if (ack === undefined || flags.includes('R')) return;
    const edge = this.#numbers.of(ack);
    this.#connection.acks.add(time, edge);
    this.#connection.windowEdge.add(time, edge + window);
    for (const [left, right] of sack) {
      const low = this.#numbers.of(left);
      this.#connection.sacks.add(time, low, low + ((right - left) >>> 0));
    }
  }

  #sender(time: number, { name, data }: TraceEvent): void {
    const connection = this.#connection;
    if (data.cwnd_bytes) connection.cwnd.add(time, data.cwnd_bytes);
    if (data.ssthresh_bytes !== undefined) connection.ssthresh.add(time, data.ssthresh_bytes);
    if (data.flight_bytes !== undefined) connection.flight.add(time, data.flight_bytes);
    if (data.srtt_us !== undefined) connection.srtt.add(time, data.srtt_us / 1000);
    if (data.rtt_us !== undefined) connection.rtts.add(time, data.rtt_us / 1000, data.rtt_us / 1000);
    if (name === 'segment_lost' && data.seq !== undefined && data.end !== undefined) {
      const low = this.#numbers.of(data.seq);
      connection.lost.add(time, low, low + ((data.end - data.seq) >>> 0));
    }
    if (
      (name === 'timeout' || name === 'tail_loss_probe' || name === 'undone') &&
      connection.moments.length < momentsMax
    )
      connection.moments.push({ time, kind: name });
    if (name === 'recovery_entered' || name === 'timeout') this.#recovering ??= time;
    if (name === 'recovery_left' || name === 'undone') this.#leave(time);
  }

  #leave(time: number): void {
    const { recoveries } = this.#connection;
    if (this.#recovering !== undefined && recoveries.length < momentsMax)
      recoveries.push({ start: this.#recovering, end: time });
    this.#recovering = undefined;
  }

  finish(): Connection {
    const { summary } = this.#connection;
    this.#leave(summary.end - summary.start);
    return this.#connection;
  }
}
