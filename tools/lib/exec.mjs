// Running other programs.
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** A failure that its message explains in full: printed without a stack trace. */
export class Failure extends Error {
  constructor(message, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/**
 * Run a program with our terminal; resolves to its exit code (128 + n after signal n).
 * @param {string[]} argv
 * @param {import('node:child_process').SpawnOptions & { timeoutMs?: number }} [options]
 */
export function run(argv, { timeoutMs, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0], argv.slice(1), { cwd: root, stdio: 'inherit', timeout: timeoutMs, ...options });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? signalExitCode(signal)));
  });
}

/** The same, and a non-zero exit is a Failure. */
export async function must(argv, options) {
  const code = await run(argv, options);
  if (code !== 0) throw new Failure(`${argv.join(' ')} failed (exit ${code})`);
}

/**
 * Run a program, keep what it prints (both streams) and show it as well when `echo`.
 * @returns {Promise<{ code: number, output: string, timedOut: boolean }>}
 */
export function capture(argv, { timeoutMs, echo = false, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0], argv.slice(1), { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], ...options });
    const chunks = [];
    let timedOut = false;
    const timer = timeoutMs && setTimeout(() => ((timedOut = true), child.kill('SIGKILL')), timeoutMs);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => (chunks.push(chunk), echo && process.stdout.write(chunk)));
    }
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? signalExitCode(signal), output: Buffer.concat(chunks).toString(), timedOut });
    });
  });
}

/** What a quick program prints, trimmed; null when it is missing or fails. */
export function tryOutput(argv, options) {
  const { status, stdout } = spawnSync(argv[0], argv.slice(1), { cwd: root, encoding: 'utf8', ...options });
  return status === 0 ? stdout.trim() : null;
}

function signalExitCode(signal) {
  const numbers = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };
  return 128 + (numbers[signal] ?? 6);
}
