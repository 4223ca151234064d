// The capabilities of a process, from /proc/PID/status.

/** Bit numbers of <linux/capability.h> that MultiStack can need. */
const bits = {
  CAP_NET_BIND_SERVICE: 10,
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_SYS_ADMIN: 21,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
} as const;

export type Capability = keyof typeof bits;

/** The effective capabilities in the text of /proc/PID/status. */
export function effectiveCapabilities(status: string): Set<Capability> {
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const held = new Set<Capability>();
  for (const [name, bit] of Object.entries(bits) as [Capability, number][]) {
    if (((mask >> BigInt(bit)) & 1n) === 1n) held.add(name);
  }
  // These two were split off from CAP_SYS_ADMIN, which still implies them.
  if (held.has('CAP_SYS_ADMIN')) held.add('CAP_BPF').add('CAP_PERFMON');
  return held;
}

/** What is missing of `needed`, in that order. */
export function missingCapabilities(held: ReadonlySet<Capability>, needed: readonly Capability[]): Capability[] {
  return needed.filter((name) => !held.has(name));
}

/** What an xdp port asks of its process: load and attach a program, AF_XDP sockets, locked memory for their frames. */
export const xdpCapabilities = ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_BPF', 'CAP_PERFMON', 'CAP_IPC_LOCK'] as const;

/** What a tap port asks of its process. */
export const tapCapabilities = ['CAP_NET_ADMIN'] as const;

/** The command line prefix that gives a user's process `capabilities` without making it root. */
export function grantCommand(capabilities: readonly Capability[], uid: number, gid: number): string {
  const list = capabilities.map((name) => `+${name.slice('CAP_'.length).toLowerCase()}`).join(',');
  return (
    `sudo --preserve-env setpriv --reuid=${uid} --regid=${gid} --init-groups ` +
    `--inh-caps=${list} --ambient-caps=${list} multistack run ...`
  );
}
