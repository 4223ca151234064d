// multistack/net: one program's sockets over the user stack, with the global net as it was.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { test } from 'uvu';
import { configure, sockets, stats } from '../../ts/src/host.js';
import * as user from '../../ts/src/net.js';
import { contents, failure } from './ends.js';

configure({ ports: ['memory'] });

const isUser = (owner: net.Socket | net.Server) => 'onwrite' in (owner as unknown as { _handle: object })._handle;

test('the global net is left alone', async () => {
  const server = net.createServer().listen(0);
  await once(server, 'listening');
  assert.equal(isUser(server), false);
  const client = net.connect((server.address() as AddressInfo).port);
  await once(client, 'connect');
  assert.equal(isUser(client), false);
  client.destroy();
  server.close();
  assert.deepEqual(sockets(), []);
});

test('createServer and connect: echo, with instances of net', async () => {
  const server = user.createServer((socket) => socket.pipe(socket));
  assert.ok(server instanceof net.Server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = user.connect(port, '127.0.0.1');
  assert.ok(client instanceof net.Socket);
  client.end('echo');
  assert.equal(await contents(client), 'echo');
  server.close();
});

test('resetAndDestroy, and a socket that is made first', async () => {
  const server = user.createServer((socket) => socket.on('data', () => socket.resetAndDestroy()));
  server.listen(0);
  await once(server, 'listening');
  const client = new user.Socket();
  client.connect((server.address() as AddressInfo).port, 'localhost', () => client.write('x'));
  client.resume();
  assert.equal((await failure(client)).code, 'ECONNRESET');
  server.close();
});

test('sockets and stats tell what there is', async () => {
  const server = user.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = user.connect(port, '127.0.0.1');
  const [[accepted]] = (await Promise.all([once(server, 'connection'), once(client, 'connect')])) as [
    [net.Socket],
    unknown,
  ];
  const listener = sockets().find((socket) => socket.state === 'LISTEN');
  assert.deepEqual(listener, { protocol: 'tcp', state: 'LISTEN', local: { address: '127.0.0.1', port } });
  const established = sockets().filter((socket) => socket.state === 'ESTABLISHED');
  assert.equal(established.length, 2);
  assert.ok(established.some((socket) => socket.remote?.port === port && socket.congestionControl === 'cubic'));
  const { routes, host } = stats();
  assert.ok(routes.listen.user > 0 && routes.connect.user > 0);
  assert.ok(host && typeof host === 'object');
  client.destroy();
  accepted.destroy();
  server.close();
});

test('configure: policy in code; ports are settled once a socket has been made', () => {
  assert.throws(
    () => {
      configure({ ports: ['xdp:lo'] });
    },
    { code: 'ERR_INVALID_STATE' },
  );
  assert.throws(
    () => {
      configure({ policy: 'x' });
    },
    { code: 'ERR_INVALID_ARG_VALUE' },
  );
  configure({ policy: ['listen:*=os'] });
  const server = user.createServer().listen(0);
  assert.equal(isUser(server), false);
  server.close();
  configure({ policy: '' });
});

test.run();
