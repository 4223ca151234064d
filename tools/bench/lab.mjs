// A server's and a client's network namespace on one veth link, tuned alike for every stack: each end's receive work
// is in a kernel thread of its own that is pinned to the core of the program it serves, and moderated, as a NIC's
// interrupt would be. So all that a server costs is on its core. An untuned link is left as the kernel makes it: there
// whoever sends does the receiver's work too, so the client's kernel is in what the server's core is charged with.
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { Failure, capture, tryOutput } from '../lib/exec.mjs';
import { Namespace, end, spawnTied, succeed } from '../lib/namespace.mjs';

export const serverCore = 0;
export const clientCore = 1;

/** Within what NICs' drivers have by default. */
const interruptModerationNanoseconds = 50_000;
const patienceMs = 20_000;

/** Why this machine cannot measure between two cores, or undefined. */
export function labObstacle() {
  if (process.getuid() !== 0) return 'it makes network namespaces, which needs root';
  if (tryOutput(['taskset', '-c', String(clientCore), 'true']) === null) return 'it needs two cores';
  return undefined;
}

export class Lab {
  serverAddress = '10.99.0.1';
  #ends;

  static async create({ tuned = true } = {}) {
    const lab = new Lab();
    const id = (process.pid % 46656).toString(36) + (tuned ? '' : 'u');
    lab.#ends = [
      { device: `ms${id}s`, address: lab.serverAddress, core: serverCore, namespace: await Namespace.create() },
      { device: `ms${id}c`, address: '10.99.0.2', core: clientCore, namespace: await Namespace.create() },
    ];
    const [server, client] = lab.#ends;
    try {
      await server.namespace.run(
        ...['ip', 'link', 'add', server.device, 'type', 'veth'],
        ...['peer', 'name', client.device, 'netns', String(client.namespace.pid)],
      );
      for (const { namespace, device, address } of lab.#ends) {
        await namespace.run('ip', 'address', 'add', `${address}/24`, 'dev', device);
        await namespace.run('ip', 'link', 'set', device, 'up');
        if (!tuned) continue;
        // A veth with TSO has the sender's core do the receiver's work; one without hands it to the receiver's NAPI.
        await namespace.run('ethtool', '-K', device, 'gro', 'on', 'tso', 'off');
        const settings = { threaded: 1, napi_defer_hard_irqs: 2, gro_flush_timeout: interruptModerationNanoseconds };
        // Each namespace sees its own devices only in a sysfs that is mounted in it.
        await namespace.run(
          ...['unshare', '--mount', 'sh', '-c'],
          Object.entries(settings).reduce(
            (script, [name, value]) => `${script} && echo ${value} >/sys/class/net/${device}/${name}`,
            'mount -t sysfs sysfs /sys',
          ),
        );
      }
    } catch (error) {
      await lab.remove();
      throw error;
    }
    return lab;
  }

  get serverDevice() {
    return this.#ends[0].device;
  }

  /** Start a server on its core and wait until it answers. */
  async startServer(argv, host, port) {
    const { namespace } = this.#ends[0];
    const child = spawnTied(namespace.inside(['taskset', '-c', String(serverCore), ...argv]), { deathSignal: 'TERM' });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    const closed = once(child, 'close').then(() => 'it ended');
    const silence = await Promise.race([closed, this.#untilItAnswers(host, port)]);
    if (silence) {
      await end(child);
      throw new Failure(`${argv.join(' ')}: ${silence}: ${output.trim()}`);
    }
    await this.#pinReceiveThreads();
    return { pid: child.pid, stop: () => end(child, 'SIGTERM') };
  }

  /** Resolves to null, or to what is wrong. */
  async #untilItAnswers(host, port) {
    const curl = ['curl', '--silent', '--output', '/dev/null', '--max-time', '1', `http://${host}:${port}/`];
    const probe = host === '127.0.0.1' ? this.atServer(curl) : this.atClient(curl);
    for (const deadline = Date.now() + patienceMs; Date.now() < deadline;) {
      if ((await capture(probe)).code === 0) return null;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return `no answer from ${host}:${port}`;
  }

  atServer(argv) {
    return this.#ends[0].namespace.inside(argv);
  }

  atClient(argv) {
    return this.#ends[1].namespace.inside(argv);
  }

  /** Attaching an XDP program makes the threads anew, so this comes after the server's start. */
  async #pinReceiveThreads() {
    for (const { device, core } of this.#ends) {
      const threads = tryOutput(['pgrep', '-x', `napi/${device}-.*`]) ?? '';
      for (const pid of threads.split('\n').filter(Boolean)) {
        await succeed(['taskset', '-pc', String(core), pid]);
        await succeed(['chrt', '--fifo', '-p', '1', pid]);
      }
    }
  }

  async remove() {
    for (const { namespace } of this.#ends) await namespace.remove();
  }
}

/**
 * A clock that runs while a core is not idle: programs, kernel, interrupts. The idle time is what the kernel measures;
 * the busy times it samples by ticks, and misses what runs between them.
 */
export function busyMicroseconds(core) {
  const line = readFileSync('/proc/stat', 'utf8').match(new RegExp(`^cpu${core} (.*)$`, 'm'))[1];
  const [, , , idle, waiting, , , stolen] = line.split(' ').map(Number);
  return performance.now() * 1e3 - (idle + waiting + stolen) * microsecondsPerTick;
}

const microsecondsPerTick = 1e6 / Number(tryOutput(['getconf', 'CLK_TCK']) ?? 100);
