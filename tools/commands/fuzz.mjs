// npm run fuzz -- [TARGET] [--seconds N]: libFuzzer on the committed corpus; what it finds new stays in build-fuzz/.
// npm run fuzz -- TARGET --coverage: what of the sources that it is about the corpus reaches, found inputs included, by file.
import { mkdirSync, existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { buildTests } from '../build.mjs';
import { Failure, capture, must, root } from '../lib/exec.mjs';
import { globSync } from '../lib/files.mjs';
import { Tally } from '../lib/tally.mjs';
import { setupTools } from '../setup.mjs';

export async function main(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { seconds: { type: 'string', default: '60' }, coverage: { type: 'boolean', default: false } },
  });
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 1) throw new Failure('--seconds wants a whole number above 0', 2);
  const unknown = positionals.find((name) => !fuzzTargets().includes(name));
  if (unknown) throw new Failure(`no fuzz target ${unknown}; there are: ${fuzzTargets().join(' ')}`, 2);

  await setupTools('build', 'test');
  if (values.coverage) return coverage(positionals.length > 0 ? positionals : fuzzTargets());
  const tally = new Tally();
  await fuzz(positionals.length > 0 ? positionals : fuzzTargets(), seconds, tally);
  return tally.print();
}

export function fuzzTargets() {
  return globSync('test/fuzz', /\/fuzz_\w+\.c$/).map((file) => path.basename(file, '.c').slice('fuzz_'.length));
}

/** What a target is about; the others are about TCP. */
const subjects = {
  switch: ['csrc/switch'],
  control: ['csrc/daemon', 'csrc/control'],
  question: ['csrc/daemon'],
  config: ['csrc/daemon'],
};

/** Run each target over its corpus once, built with counters, and print them. */
async function coverage(targets) {
  const folder = await buildTests('coverage');
  for (const target of targets) {
    const program = path.join(folder, 'test', `fuzz_${target}`);
    const raw = path.join(folder, `${target}.profraw`);
    const profile = path.join(folder, `${target}.profdata`);
    const corpus = [path.join(root, 'build-fuzz/corpus', target), path.join(root, 'test/fuzz/corpus', target)];
    const env = { ...process.env, LLVM_PROFILE_FILE: raw };
    const { code, output } = await capture([program, '-runs=0', ...corpus.filter(existsSync)], { env });
    if (code !== 0) throw new Failure(`${output}\nfuzz ${target} fails on its own corpus`);
    await must(['llvm-profdata', 'merge', '-sparse', raw, '-o', profile]);
    console.log(`fuzz ${target}`);
    const sources = (subjects[target] ?? ['csrc/tcp']).flatMap((where) => globSync(where, /\.c$/));
    await must(['llvm-cov', 'report', program, `-instr-profile=${profile}`, '-show-functions=0', ...sources]);
  }
  return 0;
}

/**
 * @param {string[]} targets
 * @param {number} seconds for each target
 * @param {import('../lib/tally.mjs').Tally} tally
 */
export async function fuzz(targets, seconds, tally) {
  const folder = await buildTests('fuzz');
  for (const target of targets) {
    const found = path.join(folder, 'corpus', target);
    const seeds = path.join(root, 'test/fuzz/corpus', target);
    mkdirSync(found, { recursive: true });
    const { code, output } = await capture([
      path.join(folder, 'test', `fuzz_${target}`),
      `-max_total_time=${seconds}`,
      '-timeout=10',
      '-print_final_stats=1',
      `-artifact_prefix=${folder}/crash-${target}-`,
      found,
      ...(existsSync(seeds) ? [seeds] : []),
    ]);
    if (code === 0) {
      const runs = /stat::number_of_executed_units: (\d+)/.exec(output)?.[1] ?? '?';
      const coverage = [...output.matchAll(/ cov: (\d+)/g)].at(-1)?.[1] ?? '?';
      console.log(`  passed  fuzz ${target} (${seconds} s, ${runs} inputs, ${coverage} edges)`);
      tally.pass();
    } else {
      console.log(output.split('\n').slice(-120).join('\n'));
      tally.fail(`fuzz ${target}`);
    }
  }
}
