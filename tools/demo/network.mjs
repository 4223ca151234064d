// A network namespace on a veth link to this one.
import { capture } from '../lib/exec.mjs';
import { Namespace, succeed } from '../lib/namespace.mjs';

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
  const [ours4, theirs4] = [1, 2].map((host) => `198.18.${subnet}.${host}`);
  const [ours6, theirs6] = [1, 2].map((host) => `fd6d:7374:${subnet.toString(16)}::${host}`);
  const ip = (...args) => succeed(['ip', ...args]);

  const peer = await Namespace.create();
  try {
    await ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'veth0', 'netns', String(peer.pid));
    await ip('address', 'add', `${ours4}/30`, 'dev', device);
    await ip('address', 'add', `${ours6}/64`, 'dev', device, 'nodad');
    await ip('link', 'set', device, 'up');
    await peer.run('ip', 'address', 'add', `${theirs4}/30`, 'dev', 'veth0');
    await peer.run('ip', 'address', 'add', `${theirs6}/64`, 'dev', 'veth0', 'nodad');
    await peer.run('ip', 'link', 'set', 'veth0', 'up');
  } catch (error) {
    await peer.remove();
    throw error;
  }
  return {
    device,
    addresses: [ours4, ours6],
    inside: (argv) => peer.inside(argv),
    remove: async () => {
      await capture(['ip', 'link', 'delete', device]);
      await peer.remove();
    },
  };
}
