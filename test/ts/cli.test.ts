// The `multistack` command: what it judges, what it starts, what it refuses.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { effectiveCapabilities, grantCommand, missingCapabilities } from '../../ts/src/cli/doctor/capabilities.js';
import { daemonPath, judgeDaemon } from '../../ts/src/cli/doctor/daemon.js';
import { judgeDevice, judgeTap, withoutCapabilities, type Link } from '../../ts/src/cli/doctor/devices.js';
import { checkKernel } from '../../ts/src/cli/doctor/kernel.js';
import { environment, nodeCommand } from '../../ts/src/cli/run.js';
import { daemonProgram, startDaemon } from './daemon.js';

const main = new URL('../../dist/cli/main.js', import.meta.url).pathname;

function multistack(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
}

const eth0: Link = { ifname: 'eth0', link_type: 'ether', flags: ['BROADCAST', 'UP'], mtu: 1500 };

test('capabilities are read from the mask of the kernel', () => {
  assert.equal(
    [...effectiveCapabilities('Name:\tnode\nCapEff:\t0000000000003000\n')],
    ['CAP_NET_ADMIN', 'CAP_NET_RAW'],
  );
  assert.equal(effectiveCapabilities('CapEff:\t0000000000000000\n').size, 0);
  assert.equal(effectiveCapabilities('').size, 0);
});

test('CAP_SYS_ADMIN stands for CAP_BPF', () => {
  const held = effectiveCapabilities('CapEff:\t0000000000200000\n');
  assert.equal(missingCapabilities(held, ['CAP_BPF', 'CAP_NET_RAW']), ['CAP_NET_RAW']);
});

test('the command that grants capabilities names them and the user', () => {
  const command = grantCommand(['CAP_NET_ADMIN', 'CAP_BPF'], 1000, 1001);
  assert.match(command, '--reuid=1000 --regid=1001');
  assert.match(command, '--ambient-caps=+net_admin,+bpf');
});

test('a device works in native mode where its driver has XDP, else in generic mode', () => {
  assert.match(judgeDevice(eth0, 'virtio_net', 4).detail, /^native mode expected .* 4 receive queues/);
  assert.match(judgeDevice(eth0, 'e100', 1).detail, /^generic mode expected .* 1 receive queue,/);
  assert.match(judgeDevice({ ...eth0, linkinfo: { info_kind: 'veth' } }, undefined, 1).detail, /native.*veth/);
  assert.match(judgeDevice({ ...eth0, ifname: 'lo', link_type: 'loopback' }, undefined, 1).detail, /^generic mode/);
});

test('a device with a program of another owner is refused with the command that frees it', () => {
  const verdict = judgeDevice({ ...eth0, xdp: { mode: 1, prog: { id: 42 } } }, 'virtio_net', 1);
  assert.not(verdict.works);
  assert.match(verdict.detail, 'id 42');
  assert.is(verdict.fix, 'ip link set dev eth0 xdp off');
});

test('a device that is down, or has no Ethernet header, is refused', () => {
  assert.is(judgeDevice({ ...eth0, flags: [] }, 'virtio_net', 1).fix, 'ip link set dev eth0 up');
  assert.not(judgeDevice({ ...eth0, link_type: 'none' }, undefined, 1).works);
});

test('a port that lacks capabilities does not work, and says which', () => {
  const verdict = withoutCapabilities(judgeDevice(eth0, 'virtio_net', 1), ['CAP_BPF']);
  assert.not(verdict.works);
  assert.match(verdict.detail, /^needs CAP_BPF; then: native/);
  assert.is(withoutCapabilities(judgeTap('missing'), ['CAP_NET_ADMIN']).fix, 'modprobe tun');
  assert.ok(withoutCapabilities(judgeTap('usable'), []).works);
});

test('the kernel is judged by release and AF_XDP', () => {
  const facts = { release: '6.1.0-13-amd64', protocols: 'XDP  1088 0\n', btf: true };
  assert.ok(checkKernel(facts).every((check) => check.ok));
  const old = checkKernel({ ...facts, release: '5.4.0', protocols: 'TCP 1 2\n' });
  assert.equal(
    old.filter((check) => !check.ok).map((check) => [check.name, check.fix !== undefined]),
    [
      ['kernel', true],
      ['AF_XDP', true],
    ],
  );
});

test('run accepts node, scripts and programs that node interprets', () => {
  assert.equal(nodeCommand(['node', 'app.js'], { PATH: process.env.PATH }).slice(1), ['app.js']);
  assert.equal(nodeCommand([main, 'x'], {}), [process.execPath, main, 'x']);
  assert.match(nodeCommand(['npm', 'start'], { PATH: process.env.PATH })[0], /npm$/);
});

test('run refuses what node does not interpret', () => {
  const env = { PATH: process.env.PATH };
  assert.throws(() => nodeCommand(['sh', '-c', 'true'], env), /not a Node program.*interposition library/);
  assert.throws(() => nodeCommand(['no-such-program'], env), /no program 'no-such-program'/);
});

test('run hands ports, policy and capture to the program, and keeps its NODE_OPTIONS', () => {
  const options = { port: ['xdp:eth0,mode=generic', 'xdp:lo'], policy: 'listen:*:8080=user', pcap: 'x.pcapng' };
  const env = environment({ NODE_OPTIONS: '--no-warnings' }, options);
  assert.match(env.NODE_OPTIONS ?? '', /^--no-warnings --import=file:\/\/\/.*register\.js$/);
  assert.is(env.MULTISTACK_PORTS, 'xdp:eth0,mode=generic xdp:lo');
  assert.is(env.MULTISTACK_POLICY, 'listen:*:8080=user');
  assert.is(env.MULTISTACK_PCAP, `${process.cwd()}/x.pcapng`);
  assert.is(environment({}, { port: [] }).MULTISTACK_PORTS, undefined);
  assert.is(environment({}, { port: [], congestionControl: 'bbr' }).MULTISTACK_CONGESTION_CONTROL, 'bbr');
});

test('run passes the exit code on', () => {
  assert.is(multistack('run', '--', 'node', '-e', 'process.exit(7)').status, 7);
  assert.is(multistack('run', '--', 'node', '-e', 'process.kill(process.pid, "SIGKILL")').status, 137);
});

test('run forwards SIGTERM', async () => {
  const script = 'process.on("SIGTERM", () => process.exit(5)); setInterval(() => {}, 1e6); console.log("ready")';
  const child = spawn(process.execPath, [main, 'run', '--', 'node', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  assert.equal(await once(child, 'close'), [5, null]);
});

test('a program that is killed takes the program that it runs along', async () => {
  const script = 'setInterval(() => {}, 1e6); console.log(process.pid)';
  const child = spawn(process.execPath, [main, 'run', '--', 'node', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  // The pipe ends when its last writer, the program, is gone.
  await once(child.stdout, 'end');
});

test('a port that cannot be opened ends the program before it starts, in one line', () => {
  const { status, stdout, stderr } = multistack('run', '--port', 'xdp:none0', '--', 'node', '-p', '"started"');
  assert.is(status, 1);
  assert.is(stdout, '');
  assert.match(stderr, /^multistack: xdp:none0: .*\n$/);
});

test('a mistake is one line and a non-zero exit', () => {
  const { status, stderr } = multistack('run', '--', 'true');
  assert.is(status, 2);
  assert.match(stderr, /^multistack: run: 'true' is not a Node program.*\n$/);
  assert.is.not(multistack('run').status, 0);
  assert.is.not(multistack('dance').status, 0);
});

test('doctor prints one JSON object and exits by its verdict', () => {
  const { status, stdout } = multistack('doctor', '--json');
  const report = JSON.parse(stdout) as {
    ok: boolean;
    checks: { name: string; ok: boolean; fix?: string }[];
    ports: unknown[];
  };
  assert.is(status, report.ok ? 0 : 1);
  assert.ok(report.checks.some((check) => check.name === 'AF_XDP'));
  assert.ok(report.checks.every((check) => check.ok || check.fix !== undefined));
  assert.ok(report.ports.length >= 1);
});

test('a daemon is there, or not, or not for this user', () => {
  const path = '/run/multistack/default';
  const there = judgeDaemon(path, { pid: 12, uid: 34 });
  assert.equal([there.state, there.pid, there.uid], ['reachable', 12, 34]);
  assert.match(there.detail, /^\/run\/multistack\/default: process 12 of uid 34/);
  assert.is(judgeDaemon(path, { code: 'ENOENT', message: '' }).detail, `none at ${path}`);
  const refused = judgeDaemon(path, { code: 'EACCES', message: 'ask for permission' });
  assert.equal([refused.state, refused.detail], ['forbidden', 'ask for permission']);
  assert.is(judgeDaemon(path, { code: 'ECONNREFUSED', message: 'it has ended' }).state, 'failed');
  assert.is(daemonPath({}), path);
  assert.is(daemonPath({ MULTISTACK: 'unix:/tmp/x' }), '/tmp/x');
});

function daemonOfDoctor(MULTISTACK: string): { state: string; pid?: number; uid?: number; path: string } {
  const env = { ...process.env, MULTISTACK };
  const { stdout } = spawnSync(process.execPath, [main, 'doctor', '--json'], { encoding: 'utf8', env });
  return (JSON.parse(stdout) as { daemon: ReturnType<typeof daemonOfDoctor> }).daemon;
}

test('doctor tells of a daemon', async () => {
  assert.is(daemonOfDoctor('unix:/nonexistent/socket').state, 'none');
  if (daemonProgram()) return;
  const daemon = await startDaemon();
  const { state, pid, uid, path } = daemonOfDoctor(daemon.spec);
  assert.equal([state, path, uid], ['reachable', daemon.path, process.geteuid?.()]);
  assert.is(readFileSync(`/proc/${pid}/comm`, 'utf8'), 'multistackd\n');
  await daemon.close();
});

test.run();
