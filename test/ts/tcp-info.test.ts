// What a connection tells of itself, and the trace of what happened on it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net, { type AddressInfo, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { test } from 'uvu';
import { closed, contents, credentials, event, listening } from './support.js';

const { configure, sockets, stats } = await import('../../ts/src/host.js');
const { tcpInfo } = await import('../../ts/src/tcp-info.js');
const user = await import('../../ts/src/net.js');

const scratch = mkdtempSync(path.join(os.tmpdir(), 'multistack-trace-'));
const trace = path.join(scratch, 'trace.ndjson');
configure({ trace });

test('before it connects and after it has closed a socket has nothing to tell', async () => {
  assert.equal(tcpInfo(new net.Socket()), undefined);
  const server = net.createServer((socket) => socket.end());
  const client = net.connect(await listening(server), '127.0.0.1');
  client.resume();
  await once(client, 'close');
  assert.equal(tcpInfo(client), undefined);
  await closed(server);
});

test('both ends of a connection', async () => {
  const server = net.createServer();
  const port = await listening(server);
  const client = net.connect(port, '127.0.0.1');
  const [[accepted]] = (await Promise.all([event(server, 'connection'), event(client, 'connect')])) as [
    [Socket],
    unknown,
  ];
  client.write('x'.repeat(1000));
  await once(accepted, 'readable');
  accepted.resume();
  const info = tcpInfo(client);
  assert.ok(info);
  assert.equal(info.state, 'ESTABLISHED');
  assert.equal(info.caState, 'Open');
  assert.equal(info.remote.port, port);
  assert.equal(info.congestionControl, 'cubic');
  assert.deepEqual(info.options, ['timestamps', 'sack', 'wscale']);
  assert.equal(info.bytesSent, 1000);
  assert.equal(info.bytesRetrans, 0);
  assert.ok(info.minRttUs <= info.rttUs); // less than 1 within a process
  assert.ok(info.sndCwndBytes >= 2 * info.sndMss);
  assert.equal(info.sndSsthreshBytes, undefined);
  assert.equal(info.lastDataRecvMs, undefined);
  assert.ok(info.lastDataSentMs !== undefined);
  const other = tcpInfo(accepted);
  assert.ok(other);
  assert.deepEqual(other.local, info.remote);
  assert.equal(other.bytesReceived, 1000);
  assert.equal(other.dataSegsIn, info.dataSegsOut);
  const listed = sockets().find((each) => each.local.port === client.localPort && each.remote?.port === port);
  assert.equal(listed?.bytesSent, 1000);
  const { protocol, ...rest } = listed;
  assert.equal(protocol, 'tcp');
  assert.deepEqual(Object.keys(rest).sort(), Object.keys(tcpInfo(client) ?? {}).sort());
  client.destroy();
  accepted.destroy();
  await closed(server);
});

test('sockets of multistack/net have it as a method', async () => {
  const server = user.createServer((socket) => socket.resume());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = user.connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(client, 'connect');
  assert.equal(client.tcpInfo()?.state, 'ESTABLISHED');
  client.destroy();
  assert.equal(client.tcpInfo(), undefined);
  await closed(server);
});

test('a TLS socket tells of the connection below it', async () => {
  const server = tls.createServer(credentials, (socket) => socket.end('hello'));
  const port = await listening(server);
  const client = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(client, 'secureConnect');
  const info = tcpInfo(client);
  assert.ok(info && info.bytesReceived > 0 && info.bytesSent > 0);
  assert.equal(await contents(client), 'hello');
  await closed(server);
});

test('a socket of the OS stack is refused, with the tool that knows', async () => {
  configure({ policy: 'listen:*=os,connect:*=os' });
  const server = net.createServer((socket) => socket.resume());
  const client = net.connect(await listening(server), '127.0.0.1');
  await once(client, 'connect');
  assert.throws(() => tcpInfo(client), { code: 'ERR_INVALID_STATE', message: /on the OS stack; `ss -ti` shows it/ });
  client.destroy();
  await closed(server);
  configure({ policy: '' });
  assert.throws(() => tcpInfo({} as Socket), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => tcpInfo(null as unknown as Socket), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('the counters are there by our names and by those of nstat', () => {
  const { stacks } = stats().host as { stacks: (Record<string, number> & { nstat: Record<string, number> })[] };
  const stack = stacks[0];
  assert.ok(stack);
  assert.ok(stack['tcp_in_segs'] !== 0);
  assert.equal(stack.nstat['TcpInSegs'], stack['tcp_in_segs']);
  assert.equal(stack.nstat['TcpExtTCPOrigDataSent'], stack['tcp_orig_data_sent']);
  assert.equal(stack.nstat['TcpExtTCPTimeouts'], 0);
});

test('the trace tells what happened, in order', async () => {
  await new Promise((resolve) => setImmediate(resolve)); // it is written before the loop sleeps
  const lines = readFileSync(trace, 'utf8').trimEnd().split('\n');
  const [header, ...events] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.ok(header);
  assert.equal(header['file_schema'], 'urn:ietf:params:qlog:file:sequential');
  const named = events.map((each) => each as unknown as { time: number; name: string; data: Record<string, unknown> });
  assert.deepEqual(named[0]?.data['new'], 'SYN-SENT');
  assert.equal(named.find(({ name }) => name === 'tcp:segment_sent')?.data['flags'], 'S');
  assert.ok(named.some(({ name, data }) => name === 'tcp:state_updated' && data['new'] === 'ESTABLISHED'));
  assert.ok(named.every((each, i) => i === 0 || each.time >= (named[i - 1]?.time ?? 0)));
});

test.after(() => {
  rmSync(scratch, { recursive: true });
});

test.run();
