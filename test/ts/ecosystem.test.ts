// What stands on net and http: express, fastify, axios, ws, fetch's own keep-alive, node:http's proxying.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import axios from 'axios';
import express from 'express';
import fastify from 'fastify';
import { test } from 'uvu';
import { WebSocket, WebSocketServer } from 'ws';
import { closed, contents, listening, onUserStack } from './support.js';

test('express serves, axios asks', async () => {
  const app = express();
  app.use(express.json());
  app.post('/sum', (request, response) => {
    const { a, b } = request.body as { a: number; b: number };
    response.json({ sum: a + b, user: onUserStack(request.socket) });
  });
  const server = http.createServer(app);
  const port = await listening(server);
  const { data, status } = await axios.post<unknown>(`http://127.0.0.1:${port}/sum`, { a: 1, b: 2 });
  assert.equal(status, 200);
  assert.deepEqual(data, { sum: 3, user: true });
  const missing = await axios.get(`http://127.0.0.1:${port}/none`, { validateStatus: null });
  assert.equal(missing.status, 404);
  await closed(server);
});

test('fastify serves, fetch asks', async () => {
  const app = fastify();
  app.get('/hello/:name', (request) => ({ hello: (request.params as { name: string }).name }));
  const address = await app.listen({ port: 0, host: '127.0.0.1' });
  assert.ok(onUserStack(app.server));
  const answers = await Promise.all(
    ['a', 'b', 'c'].map(async (name) => (await fetch(`${address}/hello/${name}`)).json()),
  );
  assert.deepEqual(answers, [{ hello: 'a' }, { hello: 'b' }, { hello: 'c' }]);
  await app.close();
});

test('axios follows redirects and streams', async () => {
  const server = http.createServer((request, response) => {
    if (request.url === '/from') response.writeHead(302, { location: '/to' }).end();
    else response.end('x'.repeat(1 << 20));
  });
  const port = await listening(server);
  const { data } = await axios.get<http.IncomingMessage>(`http://127.0.0.1:${port}/from`, { responseType: 'stream' });
  assert.equal((await contents(data)).length, 1 << 20);
  await closed(server);
});

test('ws: messages both ways, large, and an orderly close', async () => {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(sockets, 'listening');
  sockets.on('connection', (socket) => {
    socket.on('message', (data) => {
      socket.send(data);
    });
  });
  const { port } = sockets.address() as { port: number };
  const client = new WebSocket(`ws://127.0.0.1:${port}`);
  await once(client, 'open');
  for (const text of ['hello', 'x'.repeat(1 << 20), 'bye']) {
    client.send(text);
    const [data] = (await once(client, 'message')) as [Buffer];
    assert.ok(data.toString() === text);
  }
  client.close(1000, 'done');
  const [code] = (await once(client, 'close')) as [number];
  assert.equal(code, 1000);
  sockets.close();
  await once(sockets, 'close');
});

test('a proxy: a server that is a client', async () => {
  const origin = http.createServer((request, response) => response.end(`origin ${request.url}`));
  const originPort = await listening(origin);
  const proxy = http.createServer((request, response) => {
    const onward = http.request({ host: '127.0.0.1', port: originPort, path: request.url, agent: false }, (answer) => {
      answer.pipe(response);
    });
    request.pipe(onward);
  });
  const proxyPort = await listening(proxy);
  const { data } = await axios.get<string>(`http://127.0.0.1:${proxyPort}/through`);
  assert.equal(data, 'origin /through');
  await closed(proxy);
  await closed(origin);
});

test.run();
