// Three hosts behind a link emulator, each a network namespace: a sender on a user stack, a sender on the OS's stack and
// a receiver on the OS's. Each connection crosses a virtual link of its own (test/emulator), so many are measured at
// the same time. All share one core, in real time where that is permitted: the OS's stack works in the emulator's own
// context, so a user stack on another core would be charged with waking that core.
import { once } from 'node:events';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Failure, tryOutput } from '../lib/exec.mjs';
import { Namespace, end, spawnTied } from '../lib/namespace.mjs';

export const firstPort = 5000;
const ports = 400;
const patienceMs = 20_000;

/** In the order of the emulator's devices; the last byte of the address is what its report calls the client. */
const hosts = ['ours', 'os', 'receiver'];
const address = (host) => `10.98.0.${hosts.indexOf(host) + 1}`;
const mac = (host) => `02:4d:53:00:00:0${hosts.indexOf(host) + 1}`;

const core = os.availableParallelism() - 1;

/**
 * The emulator comes after the senders that it wakes: what the OS's stack does on a packet it does at once as well. The
 * receiving application has time.
 */
const priority = { sender: 20, emulator: 10, receiver: 5 };
const realTime = tryOutput(['chrt', '--fifo', '1', 'true']) !== null;

/** Why this machine cannot have it, or undefined. */
export function emulatedLinkObstacle() {
  if (process.getuid() !== 0) return 'it makes network namespaces, which needs root';
  return undefined;
}

export class EmulatedLink {
  #program;
  #namespaces = {};
  #receiver;

  static async create(programs) {
    const link = new EmulatedLink();
    link.#program = path.join(programs, 'test/bench_loss');
    try {
      await link.#setUp();
    } catch (error) {
      await link.remove();
      throw error;
    }
    return link;
  }

  async #setUp() {
    for (const name of ['emulator', ...hosts]) this.#namespaces[name] = await Namespace.create();
    for (const host of hosts) await this.#connect(host);
    this.#receiver = new Part(this.#namespaces.receiver, priority.receiver, [
      ...[this.#program, 'receive', address('receiver')],
      ...[String(firstPort), String(ports)],
    ]);
    await this.#receiver.ready();
  }

  async #connect(host) {
    const { emulator, [host]: namespace } = this.#namespaces;
    await emulator.run(
      'ip',
      'link',
      'add',
      host,
      'type',
      'veth',
      'peer',
      'name',
      'wire',
      'netns',
      String(namespace.pid),
    );
    await emulator.run('ethtool', '-K', host, 'tx', 'off', 'gro', 'off');
    await emulator.run('ip', 'link', 'set', host, 'up');
    await namespace.run('ethtool', '-K', 'wire', 'tx', 'off', 'gro', 'off');
    await namespace.run('ip', 'link', 'set', 'wire', 'address', mac(host), 'up');
    await namespace.run('ip', 'address', 'add', `${address(host)}/24`, 'dev', 'wire');
    for (const other of hosts) {
      if (other === host) continue;
      await namespace.run(
        ...['ip', 'neighbour', 'replace', address(other), 'lladdr', mac(other)],
        ...['nud', 'permanent', 'dev', 'wire'],
      );
    }
    // Each flow learns its path anew, as the user stack's do.
    await namespace.run('sysctl', '--quiet', '--write', 'net.ipv4.tcp_no_metrics_save=1');
  }

  /**
   * Run flows from both senders at the same time.
   * @param {string[]} classes lines of the emulator's configuration
   * @param {string[] | { ours: string[], os: string[] }} jobs lines for `bench_loss send`
   * @returns {Promise<{ flows: { ours: object[], os: object[] }, emulator: object }>} the emulator's report
   */
  async run(classes, jobs, { trace = '' } = {}) {
    const { emulator: emulatorNamespace, ours, os: theirs } = this.#namespaces;
    const emulator = new Part(
      emulatorNamespace,
      priority.emulator,
      ['env', `EMULATOR_TRACE=${trace}`, this.#program, 'emulate', ...hosts],
      classes,
    );
    const senders = [];
    try {
      await emulator.ready();
      const argv = (stack) => [this.#program, 'send', stack, address('receiver')];
      senders.push(new Part(ours, priority.sender, argv('xdp:wire'), [...(jobs.ours ?? jobs), '']));
      senders.push(new Part(theirs, priority.sender, argv('os'), [...(jobs.os ?? jobs), '']));
      await Promise.all(senders.map((sender) => sender.ready()));
      for (const sender of senders) sender.begin();
      await Promise.all(senders.map((sender) => sender.done()));
      return sort(await emulator.stop());
    } finally {
      for (const part of [...senders, emulator]) await part.kill();
    }
  }

  async remove() {
    await this.#receiver?.kill();
    for (const namespace of Object.values(this.#namespaces)) await namespace.remove();
  }
}

function sort(lines) {
  const records = lines.map((line) => JSON.parse(line));
  const emulator = records.pop();
  if (emulator.refused > 0 || emulator.send_failures > 0) {
    throw new Failure(`the link emulator did not carry all packets: ${JSON.stringify(emulator)}`);
  }
  const of = (host) => records.filter(({ client }) => client === hosts.indexOf(host) + 1);
  return { flows: { ours: of('ours'), os: of('os') }, emulator };
}

/** One process of the set-up. */
class Part {
  #argv;
  #child;
  #lines = [];
  #errors = '';
  #ready;
  #closed;

  constructor(namespace, fifoPriority, argv, input = []) {
    this.#argv = argv;
    this.#child = spawnTied(
      namespace.inside([
        ...(realTime ? ['chrt', '--fifo', String(fifoPriority)] : []),
        ...['taskset', '-c', String(core), ...argv],
      ]),
      { stdio: ['pipe', 'pipe', 'pipe'] },
    );
    this.#child.stdin.on('error', () => {}); // told by its end
    this.#child.stdin.write(input.map((line) => `${line}\n`).join(''));
    if (argv.includes('emulate')) this.#child.stdin.end();
    this.#child.stderr.on('data', (chunk) => (this.#errors += chunk));
    const reader = createInterface(this.#child.stdout);
    this.#ready = new Promise((resolve) => {
      reader.on('line', (line) => (line === 'ready' ? resolve(true) : this.#lines.push(line)));
    });
    this.#closed = once(this.#child, 'close');
  }

  async ready() {
    const late = new Promise((resolve) => setTimeout(resolve, patienceMs).unref());
    if (!(await Promise.race([this.#ready, this.#closed.then(() => false), late]))) this.#fail('did not start');
  }

  begin() {
    this.#child.stdin.end('\n');
  }

  /** Resolves when it has ended by itself. */
  async done() {
    const [code] = await this.#closed;
    if (code !== 0) this.#fail('failed');
    return this.#lines;
  }

  stop() {
    this.#child.kill('SIGTERM');
    return this.done();
  }

  kill() {
    return end(this.#child);
  }

  #fail(what) {
    throw new Failure(`${this.#argv.join(' ')} ${what}: ${this.#errors.trim()}`);
  }
}
