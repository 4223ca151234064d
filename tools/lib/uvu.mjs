// The TypeScript tests: each file is a process of its own, since what they test changes the process they run in.
import { globSync } from './files.mjs';
import { capture } from './exec.mjs';

const timeoutMs = 180_000;

/**
 * Run every test/ts/**.test.ts that `wanted` accepts.
 * @param {(file: string) => boolean} wanted
 * @param {import('./tally.mjs').Tally} tally
 */
export async function runUvu(wanted, tally) {
  const files = globSync('test/ts', /\.test\.ts$/).filter(wanted);
  for (const file of files) {
    const begun = performance.now();
    const { code, output, timedOut } = await capture([process.execPath, '--import', 'tsx', file], { timeoutMs });
    const summary = countCases(file, code, output, timedOut, tally);
    console.log(`  ${summary} ${file} (${((performance.now() - begun) / 1000).toFixed(1)} s)`);
  }
}

function countCases(file, code, output, timedOut, tally) {
  const lines = output.split('\n').map((line) => line.replace(/\x1b\[[0-9;]*m/g, ''));
  const number = (word) => {
    const line = lines.findLast((text) => text.trim().startsWith(`${word}:`));
    return line === undefined ? null : Number(line.split(':')[1]);
  };
  const reasons = lines.filter((line) => /^skip(ped)?: /.test(line)).map((line) => line.replace(/^skip(ped)?: /, ''));
  if (code === 77) {
    tally.skip(file, reasons.join('; '));
    return 'skipped';
  }

  tally.pass(number('Passed') ?? 0);
  for (const reason of reasons) tally.skip(`${file}: ${reason}`);
  for (let unnamed = (number('Skipped') ?? 0) - reasons.length; unnamed > 0; unnamed--) {
    tally.skip(`${file}: a case that it does not name`);
  }
  if (code === 0 && number('Total') !== null) return 'passed ';

  console.log(output);
  const failed = lines.map((line) => /^\s*FAIL\s+(.*)$/.exec(line)?.[1]).filter(Boolean);
  for (const name of failed) tally.fail(`${file}: ${name}`);
  if (failed.length === 0) tally.fail(`${file}: ${timedOut ? `no end after ${timeoutMs / 1000} s` : `exit ${code}`}`);
  return 'failed ';
}
