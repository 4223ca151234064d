// Programs that a test writes and runs as processes of their own.
import { execFile, spawn, type ChildProcess, type ExecFileException } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The built package's register, as `--import` and `--require` take it. */
export const register = new URL('../../dist/register.js', import.meta.url).href;

const folder = mkdtempSync(path.join(tmpdir(), 'multistack-'));
process.on('exit', () => {
  rmSync(folder, { recursive: true });
});
let programs = 0;

/** Write a program; `extension` says whether it is a module. */
export function program(source: string, extension: 'mjs' | 'cjs' = 'mjs'): string {
  const file = path.join(folder, `program-${programs++}.${extension}`);
  writeFileSync(file, source);
  return file;
}

export interface Result {
  code: number | string | null;
  stdout: string;
  stderr: string;
}

/** Run a command to its end; one that does not end is killed and fails. */
export async function execute(
  command: readonly string[],
  env: NodeJS.ProcessEnv = {},
  timeout = 30_000,
): Promise<Result> {
  const [file, ...args] = command as [string, ...string[]];
  return new Promise((resolve) => {
    const settings = { timeout, env: { ...process.env, ...env }, maxBuffer: 1 << 26 };
    execFile(file, args, settings, (error: ExecFileException | null, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? error.signal ?? null) : 0, stdout, stderr });
    });
  });
}

/** Start a command that dies with this process; resolves with the first line that it prints. */
export async function start(command: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<[ChildProcess, string]> {
  const tied = ['--pdeathsig', 'KILL', '--', ...command];
  const child = spawn('setpriv', tied, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  const line = await new Promise<string>((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
    });
    child.on('exit', (code) => {
      reject(new Error(`${command.join(' ')} ended with ${code}: ${text}`));
    });
  });
  return [child, line];
}

/** End what `start` has started. */
export async function stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}
