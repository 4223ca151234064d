// `multistack plot`: a trace as a picture.
import { writeFileSync } from 'node:fs';
import { UsageError } from '../run.js';
import { table } from '../table.js';
import { choose, collect, summaries, type Direction, type Summary } from './connection.js';
import { drawPage } from './page.js';
import { drawSvg } from './svg.js';
import { amount, bytesUnit, timeUnit } from './units.js';

export interface PlotOptions {
  /** Number from 1 on, or the trace's name for it. */
  conn?: string;
  direction?: string;
  output?: string;
  list?: boolean;
}

/** Draw one connection of the trace in `file`, or list all. Prints what was done. */
export async function plot(file: string, options: PlotOptions): Promise<void> {
  const output = options.output ?? `${file}.html`;
  const format = /\.(svg|html?)$/.exec(output)?.[1];
  if (format === undefined) throw new UsageError(`plot: '${output}' is neither a .html nor a .svg file`);
  const direction = options.direction;
  if (direction !== undefined && direction !== 'sent' && direction !== 'received')
    throw new UsageError(`plot: there is no direction '${direction}'; allowed: sent, received`);

  const all = await summaries(file);
  if (options.list) {
    console.log(list(all));
    return;
  }
  const summary = choose(all, options.conn);
  const connection = await collect(file, summary, direction ?? busier(summary));
  if (connection.segments === 0)
    throw new UsageError(`plot: connection ${summary.group} has ${connection.direction} no segment with data`, 1);
  const picture = format === 'svg' ? drawSvg(connection) : drawPage(connection);
  try {
    writeFileSync(output, picture);
  } catch (error) {
    throw new UsageError(`plot: cannot write ${output}: ${(error as Error).message}`, 1);
  }
  console.log(`${output}: connection ${summary.group}, ${connection.segments} segments ${connection.direction}`);
}

function busier({ sentBytes, receivedBytes }: Summary): Direction {
  return sentBytes >= receivedBytes ? 'sent' : 'received';
}

function list(all: readonly Summary[]): string {
  const rows = all.map((each, i) => {
    const time = each.end - each.start;
    const bytes = [each.sentBytes, each.receivedBytes].map((count) => amount(count, bytesUnit(count)));
    return [String(i + 1), each.group, each.local, each.remote, ...bytes, amount(time, timeUnit(time))];
  });
  return table(['number', 'name', 'local', 'remote', 'sent', 'received', 'time'], rows);
}
