// What a demo could leave behind on this machine, looked up before and after it.
import { readFileSync, readdirSync } from 'node:fs';
import { tryOutput } from '../lib/exec.mjs';

const sysctls = ['lo', 'all', 'default'].flatMap((device) =>
  ['accept_local', 'route_localnet', 'rp_filter'].map((name) => `/proc/sys/net/ipv4/conf/${device}/${name}`),
);

/** @param {string} mark in the environment of every process of the demo */
export function lookAround(mark) {
  const found = new Map();
  for (const link of JSON.parse(tryOutput(['ip', '-json', 'link', 'show']) ?? '[]')) {
    if (link.ifname === 'lo' || link.ifname.startsWith('mst')) found.set(`link ${link.ifname}`, describeXdp(link.xdp));
  }
  for (const file of sysctls) found.set(file, readFileSync(file, 'utf8').trim());
  for (const table of (tryOutput(['nft', 'list', 'tables']) ?? '').split('\n')) {
    if (table.includes('multistack_demo')) found.set(table, 'present');
  }
  for (const pid of markedProcesses(mark)) found.set(`process ${pid}`, 'runs');
  return found;
}

/** The differences, in words; none: everything is as it was. */
export function compare(before, after) {
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((key) => before.get(key) !== after.get(key))
    .map((key) => `${key}: ${before.get(key) ?? 'absent'} before, ${after.get(key) ?? 'absent'} after`);
}

function describeXdp(xdp) {
  return xdp?.mode ? `XDP program ${xdp.prog?.id ?? ''}` : 'no XDP program';
}

function markedProcesses(mark) {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/environ`, 'latin1').includes(mark);
    } catch {
      return false;
    }
  });
}
