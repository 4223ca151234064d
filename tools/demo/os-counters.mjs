// Packets that the OS stack takes in for a port. The table belongs to a running nft, so that it goes
// when nft goes.
import { once } from 'node:events';
import { capture } from '../lib/exec.mjs';
import { spawnTied } from '../lib/namespace.mjs';

/**
 * @param {string} table its name
 * @param {number[]} ports
 * @returns {Promise<{ read: () => Promise<Map<number, number>>, remove: () => Promise<void> }>}
 */
export async function countOsPackets(table, ports) {
  const counters = ports.map((port) => `counter port${port} { }`).join('; ');
  const rules = ports.map((port) => `tcp dport ${port} counter name port${port}`).join('; ');
  const nft = spawnTied(['nft', '--interactive'], { stdio: ['pipe', 'pipe', 'inherit'] });
  nft.stdin.write(
    `add table inet ${table} { flags owner; ${counters}; ` +
      `chain in { type filter hook input priority -300; ${rules}; }; }\n` +
      'list tables\n',
  );
  await once(nft.stdout, 'data');

  return {
    read: async () => {
      const { code, output } = await capture(['nft', '--json', 'list', 'counters', 'table', 'inet', table]);
      if (code !== 0) return new Map();
      const packets = new Map(
        JSON.parse(output).nftables.flatMap(({ counter }) => (counter ? [[counter.name, counter.packets]] : [])),
      );
      return new Map(ports.map((port) => [port, packets.get(`port${port}`)]));
    },
    remove: async () => {
      nft.stdin.end();
      if (nft.exitCode === null && nft.signalCode === null) await once(nft, 'close');
    },
  };
}
