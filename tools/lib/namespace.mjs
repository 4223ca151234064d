// Programs and network namespaces that die with this process, however it ends.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Failure, capture } from './exec.mjs';

/** Start a program that the kernel sends `deathSignal` when this process is gone. */
export function spawnTied(argv, { deathSignal = 'KILL', ...options } = {}) {
  return spawn('setpriv', ['--pdeathsig', deathSignal, '--', ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  });
}

/** Run a program that must succeed; resolves to what it printed. */
export async function succeed(argv) {
  const { code, output } = await capture(argv);
  if (code !== 0) throw new Failure(`${argv.join(' ')}: ${output.trim()}`);
  return output;
}

/** End a program that spawnTied started and wait until it is gone. */
export async function end(child, signal = 'SIGKILL') {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}

/** A network namespace without a name, held by one process. */
export class Namespace {
  #holder;

  static async create() {
    const holder = spawnTied(['unshare', '--net', 'sh', '-c', 'ip link set lo up; echo ready; exec cat'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    return new Namespace(holder);
  }

  constructor(holder) {
    this.#holder = holder;
  }

  get pid() {
    return this.#holder.pid;
  }

  /** The command that runs `argv` in it. */
  inside(argv) {
    return ['nsenter', '--net', `--target=${this.pid}`, '--', ...argv];
  }

  /** Run a program in it that must succeed. */
  run(...argv) {
    return succeed(this.inside(argv));
  }

  remove() {
    return end(this.#holder);
  }
}
