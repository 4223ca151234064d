// Which ports would work: xdp on each network device, from what `ip -json -details link` says of it, and tap.
import type { Capability } from './capabilities.js';

/** The fields of iproute2's JSON that matter here. */
export interface Link {
  ifname: string;
  link_type: string;
  flags: string[];
  mtu: number;
  linkinfo?: { info_kind?: string };
  xdp?: { mode?: number; prog?: { id?: number }; attached?: unknown[] };
}

export interface PortVerdict {
  port: string;
  works: boolean;
  detail: string;
  /** The command that makes it work, where there is one. */
  fix?: string;
}

/** Drivers with XDP of their own in kernels of today; the rest get generic mode, which works everywhere. */
const nativeDrivers = new Set(
  (
    'veth virtio_net tun bonding ena gve hv_netvsc vmxnet3 e1000e igb igc ixgbe ixgbevf i40e ice mlx4_core mlx5_core ' +
    'bnxt_en nfp qede sfc mvneta mvpp2 stmmac dpaa2_eth fsl_enetc cpsw am65-cpsw-nuss lan966x mana octeontx2-nicpf thunder-nic'
  ).split(' '),
);

/**
 * @param link what the kernel says of the device
 * @param driver its driver, undefined for a software device
 * @param queues its receive queues
 */
export function judgeDevice(link: Link, driver: string | undefined, queues: number): PortVerdict {
  const port = `xdp:${link.ifname}`;
  const program = attachedProgram(link);
  if (link.link_type !== 'ether' && link.link_type !== 'loopback') {
    return { port, works: false, detail: `has no Ethernet header (link type ${link.link_type})` };
  }
  if (program !== undefined) {
    return {
      port,
      works: false,
      detail: `XDP program ${program} is attached and is not displaced`,
      fix: `ip link set dev ${link.ifname} xdp off`,
    };
  }
  if (!link.flags.includes('UP')) {
    return { port, works: false, detail: 'is down', fix: `ip link set dev ${link.ifname} up` };
  }
  return {
    port,
    works: true,
    detail: `${expectedMode(link, driver)}, ${plural(queues, 'receive queue')}, MTU ${link.mtu}`,
  };
}

/** @param tun whether /dev/net/tun is there and may be opened */
export function judgeTap(tun: 'usable' | 'forbidden' | 'missing'): PortVerdict {
  const port = 'tap:NAME';
  if (tun === 'usable') return { port, works: true, detail: '/dev/net/tun' };
  return tun === 'missing'
    ? { port, works: false, detail: 'there is no /dev/net/tun', fix: 'modprobe tun' }
    : { port, works: false, detail: 'this user may not open /dev/net/tun', fix: 'chmod 0666 /dev/net/tun' };
}

/** The same verdict for a process that lacks `missing`; the report tells once how to get them. */
export function withoutCapabilities(verdict: PortVerdict, missing: readonly Capability[]): PortVerdict {
  if (missing.length === 0 || !verdict.works) return verdict;
  return { ...verdict, works: false, detail: `needs ${missing.join(' ')}; then: ${verdict.detail}` };
}

function attachedProgram({ xdp }: Link): string | undefined {
  if (xdp === undefined || (xdp.mode ?? 0) === 0) return undefined;
  return xdp.prog?.id === undefined ? 'of another owner' : `id ${xdp.prog.id}`;
}

function expectedMode(link: Link, driver: string | undefined): string {
  if (link.link_type === 'loopback') return 'generic mode (lo has no other)';
  const kind = driver ?? link.linkinfo?.info_kind;
  if (kind === undefined) return 'generic mode expected (unknown driver)';
  return nativeDrivers.has(kind)
    ? `native mode expected (driver ${kind})`
    : `generic mode expected (driver ${kind} has no XDP of its own)`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
