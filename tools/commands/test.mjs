// npm test and its parts.
import path from 'node:path';
import { buildTests } from '../build.mjs';
import { run } from '../lib/exec.mjs';
import { runCtest } from '../lib/ctest.mjs';
import { Tally } from '../lib/tally.mjs';
import { runUvu } from '../lib/uvu.mjs';
import { setup } from '../setup.mjs';
import { fuzz, fuzzTargets } from './fuzz.mjs';
import { lint } from './lint.mjs';

const isIntegration = (file) => file.includes('/integration/');

const sanitizers = {
  ASAN_OPTIONS: 'detect_stack_use_after_return=1:strict_string_checks=1',
  UBSAN_OPTIONS: 'print_stacktrace=1',
};

/** What each script runs, in order: what is cheap and likely to fail first. */
const parts = {
  'test:unit': [cUnit, typeScriptUnit],
  'test:sim': [cSim],
  'test:integration': [cIntegration, typeScriptIntegration],
  'test:attack': [cAttack],
  'test:soak': [cSoak],
  test: [
    lintAll,
    cUnit,
    cSim,
    typeScriptUnit,
    cIntegration,
    cAttack,
    cSoak,
    cSanitized,
    typeScriptIntegration,
    fuzzAll,
    demoOnce,
  ],
};

/** With arguments a script runs its program alone: npm run test:sim -- --count N --seed FIRST --jobs N, npm run
 * test:attack -- --seconds N NAME, npm run test:soak -- --seconds N --seed N; see the programs' sources. */
const programs = { 'test:sim': 'sim_random', 'test:attack': 'test_attack', 'test:soak': 'soak_daemon' };

export async function main(args, script) {
  await setup(...(script === 'test' ? ['test', 'lint', 'demo'] : ['test']));
  if (args.length > 0 && Object.hasOwn(programs, script)) return runProgram(script, args);
  const tally = new Tally();
  for (const part of parts[script]) await part(tally);
  return tally.print();
}

async function lintAll(tally) {
  console.log('lint');
  await lint(tally);
}

async function cUnit(tally) {
  console.log('C unit tests');
  await runCtest(await buildTests('test'), 'unit', tally);
}

async function cSim(tally) {
  console.log('simulated network');
  await runCtest(await buildTests('test'), 'sim', tally);
}

async function cAttack(tally) {
  console.log('hostile clients of multistackd');
  await runCtest(await buildTests('test'), 'attack', tally);
}

async function cSoak(tally) {
  console.log('a soak of multistackd, two minutes');
  await runCtest(await buildTests('test'), 'soak', tally);
}

async function runProgram(script, args) {
  return run([path.join(await buildTests('test'), 'test', programs[script]), ...args]);
}

async function cSanitized(tally) {
  console.log('all C tests again, under the address and undefined-behaviour sanitizers');
  const folder = await buildTests('sanitize');
  const options = { environment: sanitizers, suffix: ' (sanitizers)' };
  await runCtest(folder, 'unit', tally, options);
  await runCtest(folder, 'sim', tally, options);
  await runCtest(folder, 'integration', tally, options);
}

async function typeScriptUnit(tally) {
  console.log('TypeScript tests');
  await runUvu((file) => !isIntegration(file), tally);
}

async function cIntegration(tally) {
  console.log('integration with the kernel');
  await runCtest(await buildTests('test'), 'integration', tally);
}

async function typeScriptIntegration(tally) {
  console.log('integration with the kernel, from Node');
  await runUvu(isIntegration, tally);
}

async function fuzzAll(tally) {
  console.log('fuzzing');
  await fuzz(fuzzTargets(), 20, tally);
}

async function demoOnce(tally) {
  console.log('demo');
  const { checkDemo } = await import('../demo/check.mjs');
  await checkDemo(tally);
}
