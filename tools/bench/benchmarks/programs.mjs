// Benchmarks that are a C program each: it measures both sides of one round and prints each figure as a line of JSON.
import path from 'node:path';
import { Failure, capture } from '../../lib/exec.mjs';

/** Exit code of a program that cannot run here. */
const skipped = 77;

export const programBenchmarks = [
  cProgram(
    'switch',
    'validate, look up and copy between two channels on one core; 60 and 1514 bytes, 1 to 50,000 tuples',
  ),
  cProgram('http-pair', 'HTTP requests between two user stacks, against the OS stack over loopback'),
  cProgram('bulk', 'one connection, as many bytes as go, both directions; two user stacks against loopback'),
  cProgram('latency', 'round trip of 64 bytes, both sides spinning; two user stacks against loopback'),
  cProgram(
    'shared',
    'processes that share a multistackd: packets, HTTP, a wake from rest, polling, attaching; against loopback',
  ),
  cProgram('idle-stack', 'CPU of a C program at rest, and memory of its 10,000 idle connections'),
];

function cProgram(name, title) {
  return { name, title, run: (context) => runProgram(`bench_${name.replaceAll('-', '_')}`, context) };
}

export async function runProgram(name, { rounds, quick, programs, record, progress }) {
  for (let round = 0; round < rounds; round++) {
    const { code, output } = await capture([path.join(programs, 'test', name), ...(quick ? ['--quick'] : [])]);
    if (code === skipped) throw new Failure(`${name} cannot run here: ${output.trim()}`, 3);
    if (code !== 0) throw new Failure(`${name} failed (exit ${code}): ${output.trim()}`);
    for (const line of output.split('\n').filter((text) => text.startsWith('{'))) {
      const measured = JSON.parse(line);
      record(measured);
      const { case: of, metric, ours, baseline } = measured;
      progress(`  round ${round + 1}: ${of} ${metric} ${ours}${baseline === undefined ? '' : ` / ${baseline}`}`);
    }
  }
}
