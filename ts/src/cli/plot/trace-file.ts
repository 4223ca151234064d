// A trace as TRACE.md describes it, read line by line: files may be larger than memory.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { UsageError } from '../run.js';

/** One line of a trace, of what the plot needs. Sequence numbers are as in the file: modulo 2^32. */
export interface TraceEvent {
  /** Milliseconds. */
  time: number;
  /** Without "tcp:". */
  name: string;
  /** The connection. */
  group: string;
  data: {
    seq?: number;
    end?: number;
    ack?: number;
    window_bytes?: number;
    flags?: string;
    sack?: [left: number, right: number][];
    retransmission?: boolean;
    cwnd_bytes?: number;
    ssthresh_bytes?: number;
    flight_bytes?: number;
    srtt_us?: number;
    rtt_us?: number;
    local?: string;
    remote?: string;
    new?: string;
  };
}

interface Line {
  time?: unknown;
  name?: unknown;
  group_id?: unknown;
  data?: TraceEvent['data'];
  file_schema?: unknown;
}

/** The events of a file in order. A last line that was cut off is left out; any other that is no event is an error. */
export async function* readTrace(file: string): AsyncGenerator<TraceEvent> {
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Infinity });
  let number = 0;
  let broken = 0;
  try {
    for await (const line of lines) {
      number++;
      if (broken > 0) throw notATrace(file, broken);
      if (line === '') continue;
      const event = parse(line);
      if (event === 'broken') broken = number;
      else if (event) yield event;
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`plot: cannot read ${file}: ${(error as Error).message}`, 1);
  }
  if (number === 0 || broken === 1) throw notATrace(file, 1);
}

function notATrace(file: string, line: number): UsageError {
  return new UsageError(`plot: ${file}:${line} is not a line of a trace; make one with multistack run --trace FILE`, 1);
}

/** Undefined: not an event of TCP. */
function parse(text: string): TraceEvent | 'broken' | undefined {
  let line: Line | null;
  try {
    line = JSON.parse(text.charCodeAt(0) === 0x1e ? text.slice(1) : text) as Line | null;
  } catch {
    return 'broken';
  }
  if (typeof line !== 'object' || line === null) return 'broken';
  if ('file_schema' in line) return undefined;
  const { time, name, group_id: group, data } = line;
  if (typeof time !== 'number' || typeof name !== 'string') return 'broken';
  if (typeof group !== 'string' || typeof data !== 'object' || !name.startsWith('tcp:')) return undefined;
  return { time, name: name.slice(4), group, data };
}
