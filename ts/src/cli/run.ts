// `multistack run`: another program, started so that its sockets are on a user stack.
import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import path from 'node:path';

export interface RunOptions {
  port: string[];
  /** The socket of a multistackd. */
  daemon?: string;
  policy?: string;
  pcap?: string;
  congestionControl?: string;
  trace?: string;
  /** A file, or true: stderr. */
  stats?: string | boolean;
}

/** A mistake of the caller, told in one line. */
export class UsageError extends Error {
  constructor(
    message: string,
    readonly exitCode = 2,
  ) {
    super(message);
  }
}

const register = new URL('../register.js', import.meta.url).href;
const statistics = new URL('./statistics.js', import.meta.url).href;

/** Run `command` and resolve to its exit code (128 + n after signal n). */
export async function run(command: readonly string[], options: RunOptions): Promise<number> {
  const [program, ...args] = nodeCommand(command, process.env);
  return supervise([...dieWithParent(), program, ...args], environment(process.env, options));
}

/** The environment that puts a Node program on the user stack. */
export function environment(inherited: NodeJS.ProcessEnv, options: RunOptions): NodeJS.ProcessEnv {
  const imports = [register, ...(options.stats ? [statistics] : [])].map((url) => `--import=${url}`);
  return {
    ...inherited,
    NODE_OPTIONS: [inherited.NODE_OPTIONS, ...imports].filter(Boolean).join(' '),
    ...whereTo(inherited, options),
    ...(options.policy !== undefined && { MULTISTACK_POLICY: options.policy }),
    ...(options.stats && { MULTISTACK_STATS: options.stats === true ? '-' : path.resolve(options.stats) }),
    ...(options.pcap !== undefined && { MULTISTACK_PCAP: path.resolve(options.pcap) }),
    ...(options.congestionControl !== undefined && { MULTISTACK_CONGESTION_CONTROL: options.congestionControl }),
    ...(options.trace !== undefined && { MULTISTACK_TRACE: path.resolve(options.trace) }),
  };
}

/** What is named on the command line goes before what the environment says, and is opened before the program starts. */
function whereTo({ MULTISTACK: wish }: NodeJS.ProcessEnv, { port, daemon }: RunOptions): NodeJS.ProcessEnv {
  const ports = daemon === undefined ? port : [`unix:${path.resolve(daemon)}`];
  if (daemon !== undefined && port.length > 0)
    throw new UsageError('run: --daemon carries the devices: no --port beside it');
  const opened = { MULTISTACK_OPENED_FOR: String(process.pid) };
  if (ports.length > 0) return { MULTISTACK: 'embedded', MULTISTACK_PORTS: ports.join(' '), ...opened };
  return wish?.startsWith('unix:') ? opened : {};
}

/**
 * What to execute for `command`, whose first word is node, a program that node interprets, or a script file.
 * Anything else is refused: nothing in NODE_OPTIONS would reach it.
 */
export function nodeCommand(command: readonly string[], env: NodeJS.ProcessEnv): [string, ...string[]] {
  const [name = '', ...args] = command;
  if (/\.[cm]?[jt]s$/.test(name) && isFile(name)) return [process.execPath, name, ...args];

  const file = findProgram(name, env.PATH ?? '');
  if (file === undefined) throw new UsageError(`run: there is no program '${name}'`, 127);
  if (/^node(js)?$/.test(path.basename(file)) || /^#!.*\bnode\b/.test(firstLine(file))) return [file, ...args];
  throw new UsageError(
    `run: '${name}' is not a Node program; other programs need the interposition library, which this version does ` +
      `not have`,
  );
}

function findProgram(name: string, searchPath: string): string | undefined {
  const candidates = name.includes('/')
    ? [name]
    : searchPath.split(':').map((folder) => path.join(folder || '.', name));
  return candidates.find((candidate) => isFile(candidate) && isExecutable(candidate));
}

function isFile(file: string): boolean {
  try {
    return statSync(file).isFile();
  } catch {
    return false; // absent, or in a folder that is not for this user
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function firstLine(file: string): string {
  const descriptor = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(128);
    const length = readSync(descriptor, bytes);
    return bytes.toString('latin1', 0, length).split('\n', 1)[0] ?? '';
  } finally {
    closeSync(descriptor);
  }
}

/** The kernel ends the program when we are killed, so that no device stays taken. */
function dieWithParent(): string[] {
  const setpriv = findProgram('setpriv', process.env.PATH ?? '');
  return setpriv === undefined ? [] : [setpriv, '--pdeathsig', 'TERM', '--'];
}

function supervise([program = '', ...args]: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: 'inherit' });
    const forward = (signal: NodeJS.Signals): void => {
      // A terminal sends its signals to the whole foreground group: the program has this one already.
      const fromTerminal = signal === 'SIGINT' || signal === 'SIGQUIT';
      if (!(fromTerminal && process.stdin.isTTY)) child.kill(signal);
    };
    for (const signal of ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, forward);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : osConstants.signals[signal]));
    });
  });
}
