// A network namespace on a veth link, held by a process that dies with us: nothing of it outlives the demo.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Failure, capture } from '../lib/exec.mjs';

/** Start a program that the kernel kills when this process ends, however it ends. */
export function spawnTied(argv, options = {}) {
  return spawn('setpriv', ['--pdeathsig', options.deathSignal ?? 'KILL', '--', ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  });
}

/**
 * @typedef {object} VethNetwork
 * @property {string} device our end
 * @property {string[]} addresses of our end, IPv4 and IPv6
 * @property {(argv: string[]) => string[]} inside the command that runs `argv` in the namespace
 * @property {() => Promise<void>} remove
 */

/** @returns {Promise<VethNetwork>} */
export async function makeNetwork(id) {
  const device = `mst${id}`;
  const subnet = 1 + (id % 254);
  const ours = [`198.18.${subnet}.1`, `fd6d:7374:${subnet.toString(16)}::1`];
  const theirs = [`198.18.${subnet}.2`, `fd6d:7374:${subnet.toString(16)}::2`];

  const holder = spawnTied(['unshare', '--net', 'sh', '-c', 'echo ready; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  const inside = (argv) => ['nsenter', '--net', `--target=${holder.pid}`, '--', ...argv];
  try {
    await ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'veth0', 'netns', String(holder.pid));
    await ip('address', 'add', `${ours[0]}/30`, 'dev', device);
    await ip('address', 'add', `${ours[1]}/64`, 'dev', device, 'nodad');
    await ip('link', 'set', device, 'up');
    await succeed(inside(['ip', 'address', 'add', `${theirs[0]}/30`, 'dev', 'veth0']));
    await succeed(inside(['ip', 'address', 'add', `${theirs[1]}/64`, 'dev', 'veth0', 'nodad']));
    await succeed(inside(['ip', 'link', 'set', 'veth0', 'up']));
  } catch (error) {
    holder.kill('SIGKILL');
    throw error;
  }
  return {
    device,
    addresses: ours,
    inside,
    remove: async () => {
      await capture(['ip', 'link', 'delete', device]);
      if (holder.exitCode === null && holder.signalCode === null) {
        holder.kill('SIGKILL');
        await once(holder, 'close');
      }
    },
  };
}

function ip(...args) {
  return succeed(['ip', ...args]);
}

async function succeed(argv) {
  const { code, output } = await capture(argv);
  if (code !== 0) throw new Failure(`${argv.join(' ')}: ${output.trim()}`);
}
