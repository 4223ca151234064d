// `multistack doctor`: gather the facts of this machine, judge them, print the verdicts.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { table } from '../table.js';
import {
  effectiveCapabilities,
  grantCommand,
  missingCapabilities,
  tapCapabilities,
  xdpCapabilities,
  type Capability,
} from './capabilities.js';
import { daemonFacts, daemonPath, judgeDaemon, type DaemonVerdict } from './daemon.js';
import { judgeDevice, judgeTap, withoutCapabilities, type Link, type PortVerdict } from './devices.js';
import { checkKernel, type Check, type KernelFacts } from './kernel.js';

interface Report {
  ok: boolean;
  checks: Check[];
  ports: PortVerdict[];
  daemon: DaemonVerdict;
}

/** Print what works here. Returns 0 when devices can be carried, 1 when something is missing for it. */
export async function doctor(json: boolean): Promise<number> {
  const report = await examine();
  console.log(json ? JSON.stringify(report, null, 2) : render(report));
  return report.ok ? 0 : 1;
}

async function examine(): Promise<Report> {
  const held = effectiveCapabilities(readOr('/proc/self/status', ''));
  const wanted: Capability[] = xdpCapabilities.filter((name) => name !== 'CAP_IPC_LOCK' || !unlimitedLockedMemory());
  const missing = missingCapabilities(held, wanted);
  const checks = [checkNode(), checkAddon(), ...checkKernel(kernelFacts()), checkCapabilities(wanted, missing)];
  const ports: PortVerdict[] = [
    { port: 'memory', works: true, detail: 'stacks of one process among themselves; no privilege needed' },
    ...links()
      .map((link) => judgeDevice(link, driverOf(link.ifname), receiveQueues(link.ifname)))
      .map((verdict) => withoutCapabilities(verdict, missing)),
    withoutCapabilities(judgeTap(tun()), missingCapabilities(held, tapCapabilities)),
  ];
  const path = daemonPath(process.env);
  return {
    ok: checks.every((check) => check.ok) && ports.some(({ port, works }) => port.startsWith('xdp:') && works),
    checks,
    ports,
    daemon: judgeDaemon(path, await daemonFacts(path)),
  };
}

function checkNode(): Check {
  const ok = Number(process.versions.node.split('.')[0]) >= 20;
  return { name: 'Node', ok, detail: process.version, ...(!ok && { fix: 'install Node 20 or later' }) };
}

/** In a process of its own: a library that is missing must not end this one. */
function checkAddon(): Check {
  const index = new URL('../../index.js', import.meta.url).href;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', `await import('${index}')`], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  const name = 'addon';
  if (status === 0) return { name, ok: true, detail: 'the native part loads' };
  const reason = /^\w*Error.*$/m.exec(stderr)?.[0] ?? `exit ${status ?? 'by signal'}`;
  return { name, ok: false, detail: reason, fix: 'npm run build' };
}

function kernelFacts(): KernelFacts {
  return {
    release: os.release(),
    protocols: readOr('/proc/net/protocols', ''),
    btf: existsSync('/sys/kernel/btf/vmlinux'),
  };
}

function tun(): 'usable' | 'forbidden' | 'missing' {
  if (!existsSync('/dev/net/tun')) return 'missing';
  return writable('/dev/net/tun') ? 'usable' : 'forbidden';
}

function checkCapabilities(wanted: readonly Capability[], missing: readonly Capability[]): Check {
  const name = 'capabilities';
  if (missing.length === 0) return { name, ok: true, detail: wanted.join(' ') };
  const { uid, gid } = os.userInfo();
  return { name, ok: false, detail: `missing: ${missing.join(' ')}`, fix: grantCommand(wanted, uid, gid) };
}

function unlimitedLockedMemory(): boolean {
  return /^Max locked memory\s+unlimited/m.test(readOr('/proc/self/limits', ''));
}

function links(): Link[] {
  const { status, stdout } = spawnSync('ip', ['-json', '-details', 'link', 'show'], { encoding: 'utf8' });
  return status === 0 ? (JSON.parse(stdout) as Link[]) : [];
}

function driverOf(device: string): string | undefined {
  try {
    return path.basename(readlinkSync(`/sys/class/net/${device}/device/driver`));
  } catch {
    return undefined;
  }
}

function receiveQueues(device: string): number {
  try {
    return readdirSync(`/sys/class/net/${device}/queues`).filter((name) => name.startsWith('rx-')).length;
  } catch {
    return 1;
  }
}

function readOr(file: string, otherwise: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return otherwise;
  }
}

function writable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function render({ ok, checks, ports, daemon }: Report): string {
  const mark = (good: boolean): string => (good ? 'ok' : 'no');
  const fixes = [
    ...checks.filter((check) => !check.ok).map((check) => `${check.name}: ${check.fix ?? check.detail}`),
    ...ports.filter((port) => port.fix !== undefined).map((port) => `${port.port}: ${port.fix ?? ''}`),
  ];
  return [
    table(
      ['this machine', '', ''],
      checks.map((check) => [check.name, mark(check.ok), check.detail]),
    ),
    '',
    table(
      ['port', '', ''],
      ports.map((port) => [port.port, mark(port.works), port.detail]),
    ),
    '',
    table(['multistackd', '', ''], [['', mark(daemon.state === 'reachable'), daemon.detail]]),
    '',
    ...(fixes.length > 0 ? ['What would change that:', ...fixes.map((fix) => `  ${fix}`)] : []),
    verdict(ok, daemon),
  ].join('\n');
}

function verdict(ok: boolean, { state }: DaemonVerdict): string {
  if (ok) return 'Devices can be carried here.';
  return `Without that, only the memory port works${state === 'reachable' ? ', and what multistackd carries' : ''}.`;
}
