// http, https, http2, TLS and fetch over the user stack, in both roles.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { test } from 'uvu';
import { closed, contents, credentials, event, failure, listening, onUserStack } from './support.js';

const client = { rejectUnauthorized: false };

/** GET and the whole answer. */
async function get(options: https.RequestOptions, module: typeof http | typeof https = http) {
  const request = module.get({ host: '127.0.0.1', ...options });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  return { response, text: await contents(response) };
}

test('http: both ends on the user stack, the parser fed by C++', async () => {
  const server = http.createServer((request, response) => {
    const { _consumed } = (request.socket as unknown as { _handle: { _consumed?: boolean } })._handle;
    response.end(`${request.url} ${onUserStack(request.socket)} ${_consumed}`);
  });
  const port = await listening(server);
  const { response, text } = await get({ port, path: '/x', agent: false });
  assert.equal(text, '/x true true');
  assert.ok(onUserStack(response.socket) || response.socket.destroyed);
  await closed(server);
});

test('http: keep-alive reuses one connection', async () => {
  let connections = 0;
  const server = http.createServer((_request, response) => response.end('x'));
  server.on('connection', () => connections++);
  const port = await listening(server);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  await Promise.all(Array.from({ length: 20 }, async () => get({ port, agent })));
  assert.equal(connections, 1);
  agent.destroy();
  await closed(server);
});

test('http: many at once through an agent', async () => {
  const server = http.createServer((request, response) => request.pipe(response));
  const port = await listening(server);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 32 });
  const answers = await Promise.all(
    Array.from({ length: 300 }, async (_each, index) => {
      const request = http.request({ host: '127.0.0.1', port, agent, method: 'POST' });
      request.end(`body ${index}`);
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      return contents(response);
    }),
  );
  assert.deepEqual(
    answers,
    answers.map((_each, index) => `body ${index}`),
  );
  agent.destroy();
  await closed(server);
});

test('http: a large body both ways, chunked and with back-pressure', async () => {
  const body = Buffer.alloc(20 << 20, 'multistack ');
  const server = http.createServer((request, response) => request.pipe(response));
  const port = await listening(server);
  const request = http.request({ host: '127.0.0.1', port, method: 'POST', agent: false });
  request.end(body);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  assert.ok(Buffer.from(await contents(response)).equals(body));
  await closed(server);
});

test('http: pipelined requests are answered in order', async () => {
  const server = http.createServer((request, response) => {
    setTimeout(() => response.end(request.url), request.url === '/0' ? 10 : 0);
  });
  const port = await listening(server);
  const socket = net.connect(port, '127.0.0.1');
  const requests = ['/0', '/1', '/2'].map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n`);
  socket.write(`${requests.join('\r\n')}Connection: close\r\n\r\n`);
  const bodies = (await contents(socket)).split('\r\n\r\n').slice(1);
  assert.deepEqual(
    bodies.map((body) => body.slice(0, 2)),
    ['/0', '/1', '/2'],
  );
  await closed(server);
});

test('http: upgrade hands the socket over with what follows', async () => {
  const server = http.createServer();
  server.on('upgrade', (_request, socket, head) => {
    socket.write('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.write(head);
    socket.pipe(socket);
  });
  const port = await listening(server);
  const socket = net.connect(port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhead ');
  socket.end('tail');
  assert.match(await contents(socket), /\r\n\r\nhead tail$/);
  await closed(server);
});

test('http: a request that is aborted, a response that is destroyed', async () => {
  const server = http.createServer((request, response) => {
    if (request.url === '/destroy') response.socket?.destroy();
  });
  const port = await listening(server);
  const aborted = http.get({ host: '127.0.0.1', port, path: '/wait', agent: false });
  await once(server, 'request');
  aborted.destroy();
  assert.equal((await failure(aborted)).code, 'ECONNRESET');
  const destroyed = http.get({ host: '127.0.0.1', port, path: '/destroy', agent: false });
  assert.equal((await failure(destroyed)).code, 'ECONNRESET');
  await closed(server);
});

test('http: a request that times out', async () => {
  const server = http.createServer(() => undefined);
  const port = await listening(server);
  const request = http.get({ host: '127.0.0.1', port, timeout: 20, agent: false });
  await once(request, 'timeout');
  request.on('error', () => undefined).destroy();
  await closed(server);
});

test('http: nobody listens', async () => {
  const server = http.createServer();
  const port = await listening(server);
  await closed(server);
  const error = await failure(http.get({ host: '127.0.0.1', port }));
  assert.equal(error.code, 'ECONNREFUSED');
});

test('https: TLS 1.3 and 1.2, certificate seen, session resumed', async () => {
  const server = https.createServer(credentials, (request, response) => {
    const { getProtocol } = request.socket as unknown as { getProtocol: () => string };
    response.end(`${getProtocol.call(request.socket)} ${onUserStack(request.socket)}`);
  });
  const port = await listening(server);
  assert.equal((await get({ port, ...client, agent: false }, https)).text, 'TLSv1.3 true');
  const old = await get({ port, ...client, agent: false, maxVersion: 'TLSv1.2' }, https);
  assert.equal(old.text, 'TLSv1.2 true');
  await closed(server);
});

test('https: verified against the certificate, a large body', async () => {
  const body = 'secret '.repeat(1 << 20);
  const server = https.createServer(credentials, (_request, response) => response.end(body));
  const port = await listening(server);
  const { text } = await get({ port, host: 'localhost', ca: credentials.cert, agent: false }, https);
  assert.ok(text === body);
  await closed(server);
});

test('https: a client that does not trust', async () => {
  const server = https.createServer(credentials);
  const port = await listening(server);
  const error = await failure(https.get({ host: '127.0.0.1', port, agent: false }));
  assert.equal(error.code, 'DEPTH_ZERO_SELF_SIGNED_CERT');
  await closed(server);
});

test('tls: a reset is an error of the TLS socket', async () => {
  const server = net.createServer((plain) => {
    const secure = new tls.TLSSocket(plain, { isServer: true, ...credentials });
    secure.once('data', () => plain.resetAndDestroy());
  });
  const port = await listening(server);
  const socket = tls.connect({ host: '127.0.0.1', port, ...client }, () => socket.write('x'));
  socket.resume();
  assert.equal((await failure(socket)).code, 'ECONNRESET');
  await closed(server);
});

test('tls: begun on a plain socket (STARTTLS), both sides', async () => {
  const server = net.createServer((plain) => {
    plain.once('data', () => {
      plain.write('GO');
      const secure = new tls.TLSSocket(plain, { isServer: true, ...credentials });
      secure.once('data', (chunk: Buffer) => secure.end(`secure ${chunk.toString()}`));
    });
  });
  const port = await listening(server);
  const plain = net.connect(port, '127.0.0.1');
  plain.write('STARTTLS');
  await once(plain, 'data');
  const secure = tls.connect({ socket: plain, ...client });
  secure.write('hello');
  assert.equal(await contents(secure), 'secure hello');
  await closed(server);
});

async function http2Get(session: http2.ClientHttp2Session, path: string): Promise<string> {
  const request = session.request({ ':path': path });
  return contents(request);
}

test('http2: over TLS, many streams on one connection', async () => {
  const server = http2.createSecureServer(credentials);
  server.on('stream', (stream, headers) => {
    stream.respond({ ':status': 200 });
    stream.end(headers[':path']);
  });
  const port = await listening(server);
  const session = http2.connect(`https://127.0.0.1:${port}`, client);
  const paths = Array.from({ length: 100 }, (_each, index) => `/${index}`);
  assert.deepEqual(await Promise.all(paths.map(async (path) => http2Get(session, path))), paths);
  session.close();
  await closed(server);
});

test('http2: without TLS, a large body', async () => {
  const body = 'frame '.repeat(1 << 19);
  const server = http2.createServer();
  server.on('stream', (stream) => stream.end(body));
  const port = await listening(server);
  const session = http2.connect(`http://127.0.0.1:${port}`);
  assert.ok((await http2Get(session, '/')) === body);
  session.close();
  await closed(server);
});

test('fetch: a request with a body, and one that fails', async () => {
  const server = http.createServer((request, response) => request.pipe(response));
  const port = await listening(server);
  const headers = { connection: 'close' };
  const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'fetched', headers });
  assert.equal(await answer.text(), 'fetched');
  await closed(server);
  const error = await fetch(`http://127.0.0.1:${port}/`).catch((reason: unknown) => reason as Error);
  assert.equal(((error as Error).cause as NodeJS.ErrnoException).code, 'ECONNREFUSED');
});

test('a server closes idle connections and goes', async () => {
  const server = http.createServer((_request, response) => response.end('x'));
  const port = await listening(server);
  const agent = new http.Agent({ keepAlive: true });
  await get({ port, agent });
  server.closeIdleConnections();
  await event(server.close(), 'close');
  agent.destroy();
});

test.run();
