// The C tests, counted case by case.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { capture } from './exec.mjs';

/**
 * Run the tests of a build folder that carry `label`.
 * @param {string} folder
 * @param {string} label
 * @param {import('./tally.mjs').Tally} tally
 * @param {{ environment?: Record<string, string>, suffix?: string }} [options] suffix: told apart in names by it
 */
export async function runCtest(folder, label, tally, { environment = {}, suffix = '' } = {}) {
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'multistack-ctest-'));
  try {
    const report = path.join(scratch, 'junit.xml');
    const { code, output } = await capture(
      [
        'ctest',
        ...['--test-dir', folder],
        ...['--label-regex', `^${label}$`],
        ...['--parallel', String(os.availableParallelism())],
        ...['--output-junit', report],
        ...['--test-output-size-passed', '1048576'],
        ...['--test-output-size-failed', '1048576'],
        '--no-tests=error',
      ],
      { env: { ...process.env, ...environment } },
    );
    const cases = parseJunit(readReport(report));
    for (const test of cases) count(test, tally, `${test.name}${suffix}`);
    if (cases.length === 0) {
      console.log(output);
      tally.fail(`${label}${suffix}: ctest ran no test`);
    } else if (code !== 0 && !cases.some((test) => test.outcome === 'failed')) {
      console.log(output);
      tally.fail(`${label}${suffix}: ctest (exit ${code})`);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function readReport(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function parseJunit(xml) {
  return [...xml.matchAll(/<testcase name="([^"]*)"([^>]*)>(.*?)<\/testcase>/gs)].map(([, name, attributes, body]) => ({
    name: decode(name),
    seconds: Number(/ time="([^"]*)"/.exec(attributes)?.[1] ?? 0),
    outcome: body.includes('<failure') ? 'failed' : body.includes('<skipped') ? 'skipped' : 'passed',
    output: decode(/<system-out>(.*?)<\/system-out>/s.exec(body)?.[1] ?? ''),
  }));
}

function decode(text) {
  const named = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return text.replace(/&(lt|gt|quot|apos|amp);/g, (_, name) => named[name]);
}

/** cmocka says how many cases a program had; a program that says nothing is one case. */
function count({ name, seconds, outcome, output }, tally, label) {
  const lines = output.split('\n');
  const listed = (state) =>
    lines.filter((line) => line.startsWith(`[  ${state} ] `) && !/ test\(s\)/.test(line)).map((line) => line.slice(13));
  const passed = lines.reduce(
    (sum, line) => sum + Number(/^\[ {2}PASSED {2}\] (\d+) test\(s\)/.exec(line)?.[1] ?? 0),
    0,
  );
  if (outcome === 'failed') {
    console.log(output);
    const failed = [...new Set(listed('FAILED '))];
    for (const test of failed) tally.fail(`${label}: ${test}`);
    if (failed.length === 0) tally.fail(label);
    tally.pass(passed);
  } else if (outcome === 'skipped') {
    tally.skip(label, lines.findLast((line) => line.trim() !== '')?.trim());
  } else {
    const skipped = [...new Set(listed('SKIPPED'))];
    for (const test of skipped) tally.skip(`${label}: ${test}`);
    tally.pass(passed || 1);
  }
  console.log(`  ${outcome.padEnd(7)} ${name} (${seconds.toFixed(1)} s${passed ? `, ${passed} cases` : ''})`);
}
