// Instructions of the clean path, counted by callgrind: nothing is lost, nothing waits, and no machine is too busy to
// count, since the clock is one that moves evenly. Client, server, both stacks and the switch in one thread; the difference of two amounts of work, so that
// setting up costs nothing.
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Failure, capture } from '../../lib/exec.mjs';

/**
 * What the same programs took before loss recovery with SACK, congestion control with pacing, ECN and buffers that tune
 * themselves: with gcc 12 at -O3 on x86-64. It is the budget's base: ten per cent more is the limit.
 */
const works = [
  {
    name: 'request over one of 64 connections',
    program: 'bench_http_pair',
    option: '--requests',
    amounts: [2000, 12_000],
    unit: 1,
    metric: 'instructions_per_request',
    before: 7465,
  },
  {
    name: 'bulk, 64 KiB to the other end',
    program: 'bench_bulk',
    option: '--bytes',
    amounts: [64 * 2 ** 20, 128 * 2 ** 20],
    unit: 65536,
    metric: 'instructions_per_64_kib',
    before: 186_900,
  },
];

export const cost = {
  name: 'cost',
  rounds: 1,
  title: 'instructions of the clean path, against those before SACK loss recovery',
  run,
};

async function run({ programs, record, progress }) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'multistack-cost-'));
  try {
    for (const { name, program, option, amounts, unit, metric, before } of works) {
      const counts = [];
      for (const amount of amounts)
        counts.push(await count(path.join(programs, 'test'), [program, option, String(amount)], folder));
      const ours = ((counts[1] - counts[0]) / (amounts[1] - amounts[0])) * unit;
      record({ case: name, metric, better: 'lower', ours, baseline: before });
      progress(`  ${name}: ${Math.round(ours)} instructions, ${before} before`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function count(programs, [program, ...args], folder) {
  const { code, output } = await capture(
    [
      ...['valgrind', '--tool=callgrind', `--callgrind-out-file=${path.join(folder, 'out')}`],
      ...[path.join(programs, program), ...args],
    ],
    { env: { ...process.env, LD_PRELOAD: path.join(programs, 'libeven_clock.so') } },
  );
  const collected = output.match(/Collected : (\d+)/);
  if (code !== 0 || !collected) throw new Failure(`${program} ${args.join(' ')} under valgrind: ${output.trim()}`);
  return Number(collected[1]);
}
