// How much the user stack takes ahead of what it can send.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import tls from 'node:tls';
import { test } from 'uvu';
import { closed, contents, credentials, event, listening } from './support.js';

const { configure } = await import('../../ts/src/host.js');
const { setNotsentLowat } = await import('../../ts/src/notsent-lowat.js');
const { tcpInfo } = await import('../../ts/src/tcp-info.js');
const user = await import('../../ts/src/net.js');

const text = 'x'.repeat(1 << 20);

/** What the stack has taken of `text`, which was just written. */
function takenBy(socket: Socket): number | undefined {
  return tcpInfo(socket)?.notsentBytes;
}

test('writes wait with the socket, and all arrives', async () => {
  const server = net.createServer();
  const port = await listening(server);
  const client = net.connect(port, '127.0.0.1');
  const [[accepted]] = (await Promise.all([event(server, 'connection'), event(client, 'connect')])) as [
    [Socket],
    unknown,
  ];
  setNotsentLowat(client, 16384);
  client.write(text);
  assert.equal(takenBy(client), 16384);
  setNotsentLowat(client, 0);
  client.end();
  assert.equal(await contents(accepted), text);
  await closed(server);
});

test('before it connects', async () => {
  const server = net.createServer((socket) => socket.resume());
  const port = await listening(server);
  const client = new net.Socket();
  setNotsentLowat(client, 8192);
  client.connect(port, '127.0.0.1');
  await once(client, 'connect');
  client.write(text);
  assert.equal(takenBy(client), 8192);
  client.destroy();
  setNotsentLowat(client, 8192);
  await closed(server);
});

test('a method of sockets of multistack/net', async () => {
  const server = user.createServer((socket) => socket.resume());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = user.connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(client, 'connect');
  client.setNotsentLowat(4096).write(text);
  assert.equal(takenBy(client), 4096);
  client.destroy();
  await closed(server);
});

test('a TLS socket sets it on the connection below it', async () => {
  const server = tls.createServer(credentials, (socket) => socket.end('hello'));
  const port = await listening(server);
  const client = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(client, 'secureConnect');
  setNotsentLowat(client, 4096);
  client.write(text);
  await new Promise(setImmediate);
  assert.ok((takenBy(client) ?? Infinity) <= 4096);
  client.destroy();
  await closed(server);
});

test('what cannot be set is refused', async () => {
  const socket = new net.Socket();
  for (const bytes of [-1, 0.5, NaN, 2 ** 31]) {
    assert.throws(
      () => {
        setNotsentLowat(socket, bytes);
      },
      { code: 'ERR_INVALID_ARG_VALUE' },
    );
  }
  assert.throws(
    () => {
      setNotsentLowat({} as Socket, 1);
    },
    { code: 'ERR_INVALID_ARG_TYPE' },
  );
  configure({ policy: 'listen:*=os,connect:*=os' });
  const server = net.createServer((accepted) => accepted.resume());
  const client = net.connect(await listening(server), '127.0.0.1');
  await once(client, 'connect');
  assert.throws(
    () => {
      setNotsentLowat(client, 1);
    },
    { code: 'ERR_INVALID_STATE', message: /on the OS stack/ },
  );
  client.destroy();
  await closed(server);
  configure({ policy: '' });
});

test.run();
