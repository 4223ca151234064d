// The demo as a test: what it shows is right, and however it ends nothing of it stays.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { capture, root } from '../lib/exec.mjs';
import { compare, lookAround } from './residue.mjs';

const demo = [process.execPath, 'tools/run.mjs', 'demo'];
const patienceMs = 30_000;

/** @param {import('../lib/tally.mjs').Tally} tally */
export async function checkDemo(tally) {
  if (process.getuid() !== 0) return tally.skip('demo', 'needs root');
  await leavesNothing('demo -- --once', tally, showOnce);
  await leavesNothing('demo, ended by Ctrl-C', tally, (env) => endBySignal('SIGINT', demo, env));
  await leavesNothing('demo, ended by kill -9', tally, (env) => endBySignal('SIGKILL', demo, env));
  await leavesNothing('demo, ended by kill -9 of npm', tally, (env) =>
    endBySignal('SIGKILL', ['npm', 'run', '--silent', 'demo'], env),
  );
}

/** `act` returns what went wrong, or null. */
async function leavesNothing(name, tally, act) {
  const mark = `MULTISTACK_DEMO_MARK=${process.pid}-${tally.passed}-${name.length}`;
  const before = lookAround(mark);
  const [variable, value] = mark.split('=');
  const problem = (await act({ ...process.env, [variable]: value })) ?? (await leftBehind(before, mark));
  console.log(`  ${problem === null ? 'passed ' : 'failed '} ${name}`);
  if (problem === null) return tally.pass();
  console.log(problem);
  tally.fail(name);
}

async function showOnce(env) {
  const { code, output } = await capture([...demo, '--once'], { env, timeoutMs: 120_000 });
  return code === 0 ? null : `exit ${code}\n${output}`;
}

async function endBySignal(signal, [program, ...args], env) {
  const child = spawn(program, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), 120_000);
  let output = '';
  const shown = new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk;
        if (output.includes('Ctrl-C ends the demo')) resolve(true);
      });
    }
    child.once('close', () => resolve(false));
  });
  const closed = once(child, 'exit');
  if (await shown) child.kill(signal);
  const [code, endedBy] = await closed;
  clearTimeout(timer);
  child.stdout.destroy();
  child.stderr.destroy();
  if (!(await shown)) return `it ended by itself (exit ${code})\n${output}`;
  return endedBy === signal || code === 0 ? null : `exit ${code}\n${output}`;
}

/** The kernel takes a moment to tear a namespace down after its last process. */
async function leftBehind(before, mark) {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const rest = compare(before, lookAround(mark));
    if (rest.length === 0) return null;
    if (Date.now() > deadline) return `left behind:\n${rest.join('\n')}`;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
