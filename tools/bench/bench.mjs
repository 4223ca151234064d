// npm run bench -- NAME [--json] [--rounds N] [--quick] [options of that benchmark] | --list
import { parseArgs } from 'node:util';
import { buildTests } from '../build.mjs';
import { Failure } from '../lib/exec.mjs';
import { setup } from '../setup.mjs';
import { benchmarks } from './benchmarks/index.mjs';
import { describeMachine } from './machine.mjs';
import { Results } from './results.mjs';

/** A benchmark that cannot run on this machine. */
const cannotRun = 3;

const commonOptions = {
  json: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  quick: { type: 'boolean', default: false },
  rounds: { type: 'string' },
};

export async function main(args) {
  const named = benchmarks.find(({ name }) => args.includes(name));
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { ...commonOptions, ...named?.options },
  });
  if (values.list) {
    for (const { name, title } of benchmarks) console.log(`${name.padEnd(12)} ${title}`);
    return 0;
  }
  const benchmark = benchmarks.find(({ name }) => name === positionals[0]);
  if (benchmark === undefined || positionals.length > 1) {
    throw new Failure(
      `usage: npm run bench -- ${benchmarks.map(({ name }) => name).join('|')} [--json] [--rounds N]`,
      2,
    );
  }
  const rounds = Number(values.rounds ?? (values.quick ? 1 : (benchmark.rounds ?? 5)));
  if (!Number.isInteger(rounds) || rounds < 1) throw new Failure('--rounds wants a whole number above 0', 2);
  const obstacle = benchmark.obstacle?.();
  if (obstacle) throw new Failure(`benchmark ${benchmark.name} cannot run here: ${obstacle}`, cannotRun);

  await setup('bench');
  const programs = await buildTests('bench');
  const progress = values.json ? () => {} : (text) => console.log(text);

  const results = new Results();
  progress(`${benchmark.name}: ${benchmark.title}`);
  await benchmark.run({
    rounds,
    quick: values.quick,
    options: values,
    programs,
    record: (measured) => results.add(measured),
    progress,
  });
  const report = { benchmark: benchmark.name, machine: describeMachine(), results: results.summarize() };
  if (values.json) console.log(JSON.stringify(report));
  else await print(report);
  return 0;
}

async function print({ machine, results }) {
  const { table } = await import('../../dist/cli/table.js'); // there only since the setup
  const show = (value) => (value === undefined ? '' : String(value));
  const columns = ['case', 'metric', 'better', 'ours', 'baseline', 'ratio', 'rounds', 'spread'];
  console.log(
    table(
      [...columns, ''],
      results.map((result) => [...columns.map((key) => show(result[key])), isWorse(result) ? 'worse' : '']),
    ),
  );
  console.log(`\n${machine.cpu}, ${machine.cores} cores, kernel ${machine.kernel}, Node ${machine.node}`);
  console.log('Absolute figures are not comparable between runs or machines: quote ratios.');
}

/** By more than a measurement is good for. */
function isWorse({ better, ratio }) {
  return better === 'lower' ? ratio > 1.01 : ratio < 0.99;
}
