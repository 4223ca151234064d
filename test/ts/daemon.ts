// A multistackd of the test's own.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const file = fileURLToPath(new URL('../../build/csrc/multistackd', import.meta.url));

/** Why there is none to start; undefined: there is. */
export function daemonProgram(): string | undefined {
  return existsSync(file) ? undefined : `${file} is not built`;
}

export class Daemon {
  readonly path: string;
  readonly spec: string;
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'multistackd-'));
  #child: ChildProcess | undefined;

  constructor() {
    this.path = path.join(this.#folder, 'control');
    this.spec = `unix:${this.path}`;
  }

  /** Returns when it serves. It dies with this process. */
  async start(...args: string[]): Promise<void> {
    const command = ['--pdeathsig', 'KILL', '--', file, '--socket', this.path, ...args];
    const child = spawn('setpriv', command, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes('serving')) resolve();
      });
      child.once('exit', (code) => {
        reject(new Error(`multistackd ended with ${code}: ${said}`));
      });
    });
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await once(child, 'exit');
    }
  }

  async close(): Promise<void> {
    await this.end();
    rmSync(this.#folder, { recursive: true });
  }
}

export async function startDaemon(...args: string[]): Promise<Daemon> {
  const daemon = new Daemon();
  await daemon.start(...args);
  return daemon;
}
