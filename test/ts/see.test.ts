// Seeing what goes on: ss, top, dump and metrics, against a real multistackd with a program of two sockets.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import { rowsOf, type Row } from '../../ts/src/cli/see/app-sockets.js';
import { parseLine } from '../../ts/src/cli/see/os-sockets.js';
import { exposition } from '../../ts/src/cli/see/prometheus.js';
import { printable, scaled } from '../../ts/src/cli/see/terminal.js';
import type { Rates } from '../../ts/src/cli/see/top.js';
import { Control } from '../../ts/src/control.js';
import { daemonProgram, startDaemon } from './daemon.js';
import { contents } from './ends.js';
import { execute, program, register, start, stop } from './programs.js';

const missing = daemonProgram();
if (missing) {
  console.log(`skipped: ${missing}`);
  process.exit(77);
}

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const daemon = await startDaemon();
const folder = path.dirname(daemon.path);
chmodSync(folder, 0o755);
const talker = program(`
  import net from 'node:net';
  const server = net.createServer((socket) => socket.resume());
  server.listen(8080, '127.0.0.1', () => {
    const client = net.connect(8080, '127.0.0.1', () => {
      setInterval(() => client.write('hello'), 5);
      console.log('ready');
    });
  });
`);
const [app] = await start([process.execPath, `--import=${register}`, talker], {
  MULTISTACK: daemon.spec,
  MULTISTACK_POLICY: 'listen:*=user,connect:*=user',
});

const multistack = (...args: string[]): ReturnType<typeof execute> =>
  execute([process.execPath, main, ...args, '--socket', daemon.path]);

/** As a user who has no channel. */
function asNobody(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const who = ['--reuid=65534', '--regid=65534', '--clear-groups', '--'];
  return spawnSync('setpriv', [...who, process.execPath, main, ...args, '--socket', daemon.path], { encoding: 'utf8' });
}

test('ss lists the sockets of both stacks', async () => {
  const { stdout, code } = await multistack('ss', '-a', '--json');
  assert.equal(code, 0);
  const user = (JSON.parse(stdout) as Row[]).filter((row) => row.stack === 'user');
  assert.deepEqual(user.map((row) => row.state).sort(), ['ESTABLISHED', 'ESTABLISHED', 'LISTEN']);
  const sender = user.find((row) => row.remote?.port === 8080);
  assert.ok(sender?.cwndBytes !== undefined && sender.rttUs !== undefined);
  assert.equal(sender.owner?.pid, app.pid);
  assert.equal(sender.owner?.uid, process.getuid?.());
  const listening = await multistack('ss', '-tl');
  assert.match(listening.stdout, /^user +tcp +LISTEN +0 +0 +127\.0\.0\.1:8080 +\* /m);
  assert.doesNotMatch(listening.stdout, /ESTABLISHED/);
});

test('top shows what a channel does in a while', async () => {
  const { stdout } = await multistack('top', '--once', '--json', '-n', '0.3');
  const [channel] = JSON.parse(stdout) as Rates[];
  assert.ok(channel.out_packets_per_s > 0 && channel.in_bytes_per_s > 0);
  assert.equal(channel.program, 'node');
  assert.ok(channel.leases >= 2);
  assert.match((await multistack('top', '--once', '-n', '0.1')).stdout, /^channel +uid +pid +program +in p\/s/);
});

test('dump records a tuple in both directions, as others read it', async () => {
  const file = path.join(folder, 'dump.pcapng');
  const { code, stderr } = await multistack('dump', '-c', '40', '--tuple', 'tcp:*:8080', '-w', file);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /40 packets, 0 missed/);
  const fields = ['-e', 'frame.interface_name', '-e', 'tcp.dstport'];
  const read = await execute(['tshark', '-r', file, '-T', 'fields', ...fields]);
  if (read.code === 'ENOENT') {
    console.log('skip: dump read by tshark: it is not installed');
    return;
  }
  const lines = read.stdout.trim().split('\n');
  assert.equal(lines.length, 40);
  assert.ok(lines.every((line) => line.startsWith('channel0\t')));
  assert.ok(lines.some((line) => line.endsWith('\t8080')) && lines.some((line) => !line.endsWith('\t8080')));
});

/** What a scrape of `multistack metrics --listen <where>` gets. */
async function scrape(where: string, target: (line: string) => http.RequestOptions) {
  const [server, line] = await start([process.execPath, main, 'metrics', '--listen', where, '-S', daemon.path]);
  const text = await new Promise<string>((resolve, reject) => {
    http
      .get({ ...target(line), path: '/metrics', agent: false }, (response) => {
        resolve(contents(response));
      })
      .on('error', reject);
  });
  await stop(server);
  return { line, text };
}

test('metrics are what Prometheus reads', async () => {
  const socket = path.join(folder, 'metrics');
  const { line, text } = await scrape(`unix:${socket}`, () => ({ socketPath: socket }));
  assert.equal(line, `listening on unix:${socket}`);
  assert.match(text, /^multistack_channel_sent_packets_total\{channel="0",uid="\d+",pid="\d+",program="node"\} [1-9]/m);
  const sample = /^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_]\w*="([^"\\\n]|\\[\\n"])*",?)*\})? -?[0-9.e+-]+$/;
  for (const each of text.trimEnd().split('\n')) assert.match(each, /^# (HELP|TYPE) \S+ \S/.test(each) ? /^#/ : sample);
});

test('metrics over TCP', async () => {
  const { text } = await scrape('tcp:127.0.0.1:0', (line) => {
    const port = /^listening on tcp:127\.0\.0\.1:(\d+)$/.exec(line)?.[1];
    return { host: '127.0.0.1', port };
  });
  assert.match(text, /^multistack_channel_sent_packets_total\{/m);
});

test('a label has what it must have escaped', () => {
  const samples = [{ labels: { program: 'a"b\\c\nd' }, value: 1 }];
  const text = exposition([{ name: 'x', help: 'a\\b\nc', type: 'gauge', samples }]);
  assert.equal(text, '# HELP x a\\\\b\\nc\n# TYPE x gauge\nx{program="a\\"b\\\\c\\nd"} 1\n');
});

test('a user sees its own alone', () => {
  const { stdout, status, stderr } = asNobody('ss', '-a', '--json');
  if (process.getuid?.() !== 0 || /EACCES|Cannot find|MODULE_NOT_FOUND/.test(stderr)) {
    console.log('skip: a user sees its own alone: no root, or a folder that others may not read');
    return;
  }
  assert.equal(status, 0, stderr);
  assert.deepEqual(
    (JSON.parse(stdout) as Row[]).filter((row) => row.stack === 'user'),
    [],
  );
  assert.equal(asNobody('top', '--once', '--json', '-n', '0.05').stdout, '[]\n');
  assert.match(asNobody('dump', '--channel', '0').stderr, /no channel of this number \(EACCES\)/);
});

test('mistakes are told in one line', async () => {
  const none = await execute([process.execPath, main, 'top', '--socket', path.join(folder, 'none')]);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /^multistack: top: .*there is no multistackd; start it: .*\(ENOENT\)\n$/);
  assert.match((await multistack('dump', '--tuple', 'x')).stderr, /^multistack: dump: --tuple x: allowed: .*\n$/);
  assert.match((await multistack('dump', '--port', 'xdp:none')).stderr, /has no port 'xdp:none'/);
  assert.match((await multistack('metrics', '--listen', '80')).stderr, /allowed: unix:PATH, tcp:ADDRESS:PORT/);
});

test('questions are answered in their order, and end with the connection', async () => {
  const control = await Control.open(daemon.path);
  const [channels, leases, ports] = await Promise.all([control.channels(), control.leases(), control.ports()]);
  assert.equal(channels.channels[0]?.leases, leases.length);
  assert.deepEqual(ports, []);
  control.close();
  await assert.rejects(control.channels(), { code: 'ECANCELED' });
});

test('the words of an app are believed in nothing', () => {
  const owner = { channel: 1, uid: 2, pid: 3, program: '\x1b[2J' };
  const told = (sockets: string): ReturnType<typeof rowsOf> => rowsOf({ ...owner, state: 'told', sockets });
  assert.match(told('rubbish').complaint ?? '', /no JSON/);
  assert.match(told('{}').complaint ?? '', /no list/);
  assert.match(told('['.repeat(1 << 20)).complaint ?? '', /no JSON/);
  const socket = { protocol: 'tcp', state: 'LISTEN', local: { address: '::', port: 1 } };
  const bad = [1, null, { ...socket, state: '\x1b[2J' }, { ...socket, local: { address: '\n', port: 1 } }];
  const found = told(JSON.stringify([socket, ...bad, { omitted: 7 }]));
  assert.equal(found.rows.length, 1);
  assert.equal(found.complaint, 'has 7 more sockets than it could tell of, told of 4 sockets that are none');
  assert.equal(rowsOf({ ...owner, state: 'silent', sockets: null }).complaint, 'did not answer in time');
  assert.equal(printable(owner.program), '\\x1b[2J');
  assert.equal(printable('a\u202eb'), 'a\\u202eb');
});

test("the kernel's lists are read", () => {
  const line =
    '   0: 0100007F:1F90 0200007F:0050 01 00000002:00000003 00:00000000 00000000  1000        0 42 1 0 20 4 30 10 -1';
  assert.deepEqual(parseLine(line, 'tcp'), {
    stack: 'os',
    protocol: 'tcp',
    state: 'ESTABLISHED',
    recvQ: 3,
    sendQ: 2,
    local: { address: '127.0.0.1', port: 8080 },
    remote: { address: '127.0.0.2', port: 80 },
    cwndSegments: 10,
    owner: { uid: 1000 },
    inode: '42',
  });
  assert.equal(scaled(1500), '1.50k');
});

test.after(async () => {
  await stop(app);
  await daemon.close();
});
test.run();
