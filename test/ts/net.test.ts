// node:net over the user stack: what the tests of Node itself ask of TCP handles.
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { test } from 'uvu';
import { tcpInfo } from '../../ts/src/tcp-info.js';
import { closed, contents, event, failure, listening, onUserStack } from './support.js';

/** A server, a client that is connected to it, and the server's side of the connection. */
async function pair(options: net.ServerOpts = {}, clientOptions: Partial<net.TcpNetConnectOpts> = {}) {
  const server = net.createServer(options);
  const port = await listening(server);
  const client = net.connect({ port, host: '127.0.0.1', ...clientOptions });
  const [[accepted]] = (await Promise.all([once(server, 'connection'), once(client, 'connect')])) as [
    [Socket],
    unknown,
  ];
  return { server, client, accepted, port };
}

test('echo, on the user stack at both ends', async () => {
  const { server, client, accepted } = await pair();
  assert.ok(onUserStack(server) && onUserStack(client) && onUserStack(accepted));
  accepted.pipe(accepted);
  client.end('hello');
  assert.equal(await contents(client), 'hello');
  assert.equal(client.bytesWritten, 5);
  assert.equal(client.bytesRead, 5);
  await closed(server);
});

test('addresses of both ends', async () => {
  const { server, client, accepted, port } = await pair();
  assert.deepEqual(server.address(), { address: '127.0.0.1', family: 'IPv4', port });
  assert.equal(client.remotePort, port);
  assert.equal(client.remoteFamily, 'IPv4');
  assert.deepEqual(client.address(), {
    address: accepted.remoteAddress,
    family: accepted.remoteFamily,
    port: accepted.remotePort,
  });
  client.destroy();
  await closed(server);
});

test('the IPv6 wildcard takes IPv4, named as mapped', async () => {
  const server = net.createServer((socket) => socket.end(`${socket.remoteAddress} ${socket.remoteFamily}`));
  server.listen(0);
  await once(server, 'listening');
  const { address, port } = server.address() as AddressInfo;
  assert.equal(address, '::');
  assert.equal(await contents(net.connect(port, '127.0.0.1')), '::ffff:127.0.0.1 IPv6');
  assert.equal(await contents(net.connect(port, '::1')), '::1 IPv6');
  await closed(server);
});

test('localhost by name, and a second address where the first refuses', async () => {
  const server = net.createServer((socket) => socket.end('four'));
  const port = await listening(server);
  const lookup = ((_host: string, _options: object, done: (error: null, all: object[]) => void) => {
    done(null, [
      { address: '::1', family: 6 },
      { address: '127.0.0.1', family: 4 },
    ]);
  }) as unknown as net.LookupFunction;
  const client = net.connect({ port, host: 'two.test', lookup, autoSelectFamily: true });
  assert.equal(await contents(client), 'four');
  assert.equal(await contents(net.connect(port, 'localhost')), 'four');
  await closed(server);
});

test('half close: the answer comes after the end of the question', async () => {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    let question = '';
    socket.on('data', (chunk) => (question += chunk.toString()));
    socket.on('end', () => socket.end(`got ${question}`));
  });
  const port = await listening(server);
  const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  client.end('question');
  assert.equal(await contents(client), 'got question');
  await closed(server);
});

test('without allowHalfOpen the end answers the end', async () => {
  const { server, client, accepted } = await pair();
  accepted.resume();
  client.resume();
  client.end();
  const [[hadError]] = (await Promise.all([once(accepted, 'close'), once(client, 'close')])) as [[boolean], unknown];
  assert.equal(hadError, false);
  await closed(server);
});

test('a write after the peer has ended is EPIPE', async () => {
  const { server, client, accepted } = await pair();
  accepted.end();
  client.resume();
  await once(client, 'end');
  client.write('late');
  assert.equal((await failure(client)).code, 'EPIPE');
  await closed(server);
});

test('resetAndDestroy is ECONNRESET at the other end', async () => {
  const { server, client, accepted } = await pair();
  client.on('data', () => undefined);
  accepted.resetAndDestroy();
  const error = await failure(client);
  assert.equal(error.code, 'ECONNRESET');
  assert.equal(error.syscall, 'read');
  await closed(server);
});

test('closing with unread data resets', async () => {
  const { server, client, accepted } = await pair();
  client.resume();
  client.write(Buffer.alloc(1_000_000));
  while (!tcpInfo(accepted)?.unreadBytes) await new Promise(setImmediate);
  accepted.destroy();
  assert.equal((await failure(client)).code, 'ECONNRESET');
  await closed(server);
});

test('nobody listens: ECONNREFUSED with address and port', async () => {
  const server = net.createServer();
  const port = await listening(server);
  await closed(server);
  const error = await failure(net.connect(port, '127.0.0.1'));
  assert.equal(error.code, 'ECONNREFUSED');
  assert.equal(error.syscall, 'connect');
  assert.equal((error as { port?: number }).port, port);
});

test('a port in use: EADDRINUSE on listen', async () => {
  const first = net.createServer();
  const port = await listening(first);
  const error = await failure(net.createServer().listen(port, '127.0.0.1'));
  assert.equal(error.code, 'EADDRINUSE');
  assert.equal(error.syscall, 'listen');
  await closed(first);
  const again = net.createServer().listen(port, '127.0.0.1');
  await once(again, 'listening');
  await closed(again);
});

test('a local address and port for a client', async () => {
  const { port: localPort, server: gone } = await pairServerOnly();
  await closed(gone);
  const { server, client, accepted } = await pair({}, { localAddress: '127.0.0.1', localPort });
  assert.equal(client.localPort, localPort);
  assert.equal(accepted.remotePort, localPort);
  client.destroy();
  await closed(server);
});

async function pairServerOnly() {
  const server = net.createServer();
  return { server, port: await listening(server) };
}

test('100 MB through back-pressure arrive unchanged', async () => {
  const total = 100 << 20;
  const block = randomBytes(1 << 20);
  const sent = createHash('sha256');
  const { server, client, accepted } = await pair();
  const write = pipeline(async function* () {
    for (let bytes = 0; bytes < total; bytes += block.length) {
      block.writeUInt32LE(bytes, 0);
      sent.update(block);
      yield Buffer.from(block);
      await Promise.resolve();
    }
  }, client);
  const received = createHash('sha256');
  let bytes = 0;
  accepted.on('data', (chunk) => {
    received.update(chunk);
    bytes += chunk.length;
    if (bytes % 7 === 0) {
      accepted.pause();
      setTimeout(() => accepted.resume(), 1);
    }
  });
  await Promise.all([write, once(accepted, 'end')]);
  assert.equal(bytes, total);
  assert.equal(received.digest('hex'), sent.digest('hex'));
  await closed(server);
});

test('a reader that pauses stops the writer', async () => {
  const { server, client, accepted } = await pair();
  accepted.pause();
  const block = Buffer.alloc(1 << 20);
  for (let blocks = 0; blocks < 20; blocks++) client.write(block);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(client.writableLength > 0, 'the writer is told to wait');
  assert.ok(client.bytesWritten > 0);
  const drained = once(client, 'drain');
  accepted.resume();
  await drained;
  client.destroy();
  await closed(server);
});

test('writes of every kind, in order', async () => {
  const { server, client, accepted } = await pair();
  client.cork();
  client.write('a');
  client.write('ä', 'latin1');
  client.write(Buffer.from('b'));
  client.write('ε', 'utf8');
  client.uncork();
  client.write('ab', 'utf16le');
  client.write('63', 'hex');
  client.write('x'.repeat(100_000));
  client.end('ascii', 'ascii');
  const expected = Buffer.concat([
    Buffer.from('a'),
    Buffer.from('ä', 'latin1'),
    Buffer.from('bε'),
    Buffer.from('ab', 'utf16le'),
    Buffer.from('c'),
    Buffer.from('x'.repeat(100_000)),
    Buffer.from('ascii'),
  ]);
  const chunks: Buffer[] = [];
  for await (const chunk of accepted) chunks.push(chunk as Buffer);
  assert.ok(Buffer.concat(chunks).equals(expected));
  await closed(server);
});

test('onread with a buffer of the user, small and stopped in between', async () => {
  const server = net.createServer((socket) => socket.end('0123456789'.repeat(100)));
  const port = await listening(server);
  const buffer = Buffer.alloc(64);
  let text = '';
  const client = net.connect({
    port,
    host: '127.0.0.1',
    onread: {
      buffer,
      callback(bytes, chunk) {
        text += Buffer.from(chunk.buffer, chunk.byteOffset, bytes).toString();
        if (text.length > 500 || Math.random() < 0.5) return true;
        setImmediate(() => client.resume());
        return false;
      },
    },
  });
  await once(client, 'close');
  assert.equal(text, '0123456789'.repeat(100));
  await closed(server);
});

test('pauseOnConnect keeps data until it is resumed', async () => {
  const { server, client, accepted } = await pair({ pauseOnConnect: true });
  client.end('kept');
  let early = false;
  accepted.once('data', () => (early = true));
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(early, false);
  assert.equal(accepted.isPaused(), true);
  accepted.resume();
  const [chunk] = (await once(accepted, 'data')) as [Buffer];
  assert.equal(chunk.toString(), 'kept');
  accepted.destroy();
  await closed(server);
});

test('what is written and ended before the connection is sent', async () => {
  const server = net.createServer((socket) => socket.pipe(socket));
  const port = await listening(server);
  const client = net.connect(port, '127.0.0.1');
  client.write('early ');
  client.end('end');
  assert.equal(await contents(client), 'early end');
  await closed(server);
});

test('a timeout of a silent socket', async () => {
  const { server, client } = await pair();
  client.setTimeout(20);
  await once(client, 'timeout');
  client.destroy();
  await closed(server);
});

test('options', async () => {
  const { server, client, accepted } = await pair({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 5000 });
  client.setNoDelay(true).setNoDelay(false).setKeepAlive(true, 1000).setKeepAlive(false);
  client.end('x');
  assert.equal(await contents(accepted), 'x');
  await closed(server);
});

test('destroying a socket that connects', async () => {
  const server = net.createServer();
  const port = await listening(server);
  const client = net.connect(port, '127.0.0.1');
  client.on('connect', () => assert.fail('connected'));
  process.nextTick(() => client.destroy());
  const [hadError] = await event(client, 'close');
  assert.equal(hadError, false);
  await closed(server);
});

test('a socket that was destroyed connects again', async () => {
  const server = net.createServer((socket) => socket.end('again'));
  const port = await listening(server);
  const client = net.connect(port, '127.0.0.1');
  client.resume();
  await event(client, 'close');
  client.connect(port, '127.0.0.1');
  assert.ok(onUserStack(client));
  const [chunk] = (await once(client, 'data')) as [Buffer];
  assert.equal(chunk.toString(), 'again');
  client.destroy();
  await closed(server);
});

test('maxConnections drops what is above', async () => {
  const server = net.createServer();
  server.maxConnections = 1;
  const port = await listening(server);
  const first = net.connect(port, '127.0.0.1');
  await once(server, 'connection');
  const second = net.connect(port, '127.0.0.1');
  const [dropped] = (await once(server, 'drop')) as [{ remotePort: number }];
  assert.equal(typeof dropped.remotePort, 'number');
  second.on('error', () => undefined);
  await event(second, 'close');
  first.destroy();
  await closed(server);
});

test('ticks and promises run between the events of two sockets', async () => {
  const order: string[] = [];
  const server = net.createServer((socket) => {
    socket.on('data', (chunk) => {
      order.push(`data ${chunk.toString()}`);
      process.nextTick(() => order.push('tick'));
      void Promise.resolve().then(() => order.push('promise'));
    });
  });
  const port = await listening(server);
  const clients = [net.connect(port, '127.0.0.1'), net.connect(port, '127.0.0.1')];
  await Promise.all(clients.map((client) => once(client, 'connect')));
  for (const client of clients) client.write('x');
  while (order.length < 6) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(order, ['data x', 'tick', 'promise', 'data x', 'tick', 'promise']);
  for (const client of clients) client.destroy();
  await closed(server);
});

test('asynchronous context follows the sockets', async () => {
  const storage = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  const server = await storage.run('server', async () => {
    const made = net.createServer((socket) => {
      seen.push(storage.getStore());
      socket.resume();
    });
    await listening(made);
    return made;
  });
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, 'connection');
  await storage.run('client', async () => {
    const client = net.connect(port, '127.0.0.1', () => {
      seen.push(storage.getStore());
      client.end('x');
    });
    await once(client, 'connect');
  });
  await accepted;
  await closed(server);
  assert.deepEqual(seen.sort(), ['client', 'server']);
});

test('an exception in a callback is an uncaught exception, and the other sockets go on', async () => {
  const server = net.createServer((socket) => {
    socket.on('data', () => {
      throw new Error('mine');
    });
  });
  const port = await listening(server);
  const uncaught = new Promise<Error>((resolve) => process.once('uncaughtException', resolve));
  const client = net.connect(port, '127.0.0.1', () => client.write('x'));
  assert.equal((await uncaught).message, 'mine');
  const other = net.connect(port, '127.0.0.1');
  await once(other, 'connect');
  other.destroy();
  client.destroy();
  await event(server.close(), 'close').catch(() => undefined);
});

test('many connections at once', async () => {
  const count = 500;
  const server = net.createServer((socket) => socket.pipe(socket));
  const port = await listening(server);
  const answers = await Promise.all(
    Array.from({ length: count }, (_each, index) => {
      const client = net.connect(port, '127.0.0.1');
      client.end(String(index));
      return contents(client);
    }),
  );
  assert.deepEqual(
    answers,
    Array.from({ length: count }, (_each, index) => String(index)),
  );
  await closed(server);
});

test.run();
