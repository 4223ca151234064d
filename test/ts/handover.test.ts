// A server is replaced while it is asked, by processes that share a multistackd: nobody is refused or reset.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import { daemonProgram, startDaemon } from './daemon.js';
import { execute, program, register, start, stop } from './programs.js';

const missing = daemonProgram();
if (missing) {
  console.log(`skipped: ${missing}`);
  process.exit(77);
}

const daemon = await startDaemon();
const env = { MULTISTACK: daemon.spec };
const index = new URL('../../dist/index.js', import.meta.url).href;
const net = new URL('../../dist/net.js', import.meta.url).href;
const swapped = [process.execPath, `--import=${register}`];

/** What a server does with its standard input: the first line starts its hand-over, the next ends its part in it. */
const obeys = `
  import { createInterface } from 'node:readline';
  import { handOver, takeOver } from '${index}';
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const obey = async (server) => {
    await lines.next();
    await handOver(server, () => {
      console.log('offered');
      return lines.next();
    });
    console.log('closed');
    process.stdin.destroy();
  };`;

/** Answers with its process id; connections stay open as long as the client wants. */
const httpServer = program(`${obeys}
  import http from 'node:http';
  const [, , port, host, take] = process.argv;
  const server = http.createServer((request, response) => response.end(String(process.pid)));
  server.keepAliveTimeout = 0;
  if (take) takeOver(server);
  server.listen({ port: Number(port), host: host || undefined }, () => console.log('listening'));
  await obey(server);`);

/** The same over multistack/net, without http. */
const netServer = program(`${obeys}
  import { createServer } from '${net}';
  const [, , port, host, take] = process.argv;
  const server = createServer((socket) => socket.end(String(process.pid)));
  server.listen({ port: Number(port), host, takeOver: take === 'take' }, () => console.log('listening'));
  await obey(server);`);

/** One short request after the other, and some on connections that stay, until its standard input ends. */
const client = program(`
  import http from 'node:http';
  import { stats } from '${index}';
  const [, , url] = process.argv;
  const get = (agent) =>
    new Promise((resolve, reject) => {
      http
        .get(url, { agent }, (response) => {
          let text = '';
          response.on('data', (chunk) => (text += chunk));
          response.on('end', () => resolve(text));
          response.on('error', reject);
        })
        .on('error', reject);
    });
  const kept = Array.from({ length: 5 }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }));
  const all = () => Promise.all(kept.map(get));
  const before = await all();
  let going = true;
  process.stdin.on('end', () => (going = false)).resume();
  console.log('going');
  const short = {};
  for (let count = 0; count < 600 || going; count++) {
    const answer = await get(false);
    short[answer] = (short[answer] ?? 0) + 1;
  }
  const after = await all();
  kept.forEach((agent) => agent.destroy());
  console.log(JSON.stringify({ before, after, short, user: stats().routes.connect.user }));`);

interface Told {
  before: string[];
  after: string[];
  short: Record<string, number>;
  user: number;
}

/** Resolves with all that a child has said from now on, once `text` is in it. */
function says(child: ChildProcess, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes(text)) resolve(said);
    });
    child.once('close', () => {
      reject(new Error(`no '${text}' in: ${said}`));
    });
  });
}

function order(child: ChildProcess): void {
  child.stdin?.write('\n');
}

/** `old` hands over to what `command` starts. */
async function replace(old: ChildProcess, command: readonly string[]): Promise<ChildProcess> {
  const offered = says(old, 'offered');
  order(old);
  await offered;
  const [next] = await start(command, env);
  return next;
}

async function endsWell(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  assert.equal(child.exitCode, 0);
}

for (const [name, host, url] of [
  ['of one address', '127.0.0.1', 'http://127.0.0.1:8300/'],
  ['of all addresses', '', 'http://127.0.0.1:8301/'],
] as const) {
  test(`a server ${name} is replaced twice while it is asked: nobody is refused or reset`, async () => {
    const port = new URL(url).port;
    const serve = [...swapped, httpServer, port, host];
    const [first] = await start(serve, env);
    const [asking] = await start([...swapped, client, url], env);
    const second = await replace(first, [...serve, 'take']);
    order(first);
    const third = await replace(second, [...serve, 'take']);
    const told = says(asking, '}\n');
    order(second);
    asking.stdin?.end();
    const { before, after, short, user } = JSON.parse(await told) as Told;
    await endsWell(asking);

    const pids = [first, second, third].map(({ pid }) => String(pid));
    assert.deepEqual(new Set(before), new Set([pids[0]]), "connections that stay are the first server's");
    assert.deepEqual(after, before);
    assert.ok(Object.keys(short).every((pid) => pids.includes(pid)));
    assert.ok((short[pids[2]] ?? 0) > 0, 'the last server has answered');
    const count = Object.values(short).reduce((sum, each) => sum + each);
    assert.ok(count >= 600);
    assert.equal(user, count + before.length);
    await Promise.all([endsWell(first), endsWell(second)]);
    await stop(third);
  });
}

test('the example replaces itself at SIGHUP', async () => {
  const file = fileURLToPath(new URL('../../ts/examples/reload.mjs', import.meta.url));
  const ask = program(`
    const response = await fetch('http://127.0.0.1:8305/');
    console.log(await response.text());`);
  const [first, line] = await start([...swapped, file], { ...env, PORT: '8305' });
  assert.equal(line, `${first.pid} listens on 8305`);
  assert.match((await execute([...swapped, ask], env)).stdout, new RegExp(`^hello from ${first.pid}\n`));
  const next = says(first, 'listens');
  first.kill('SIGHUP');
  const pid = Number.parseInt(await next, 10);
  assert.notEqual(pid, first.pid);
  await endsWell(first);
  assert.match((await execute([...swapped, ask], env)).stdout, new RegExp(`^hello from ${pid}\n`));
  process.kill(pid);
});

const uvHttp = fileURLToPath(new URL('../../build-test/integrations/libuv/examples/uv-http', import.meta.url));
test('uv-http is replaced while it is asked', async () => {
  if (!existsSync(uvHttp)) {
    console.log(`skip: uv-http is replaced: ${uvHttp} is not built`);
    return;
  }
  const serve = [uvHttp, '--listen', '127.0.0.1:8306'];
  const [first] = await start(serve, env);
  const [asking] = await start([...swapped, client, 'http://127.0.0.1:8306/'], env);
  const offered = says(first, 'offered');
  first.kill('SIGHUP');
  await offered;
  const [second] = await start([...serve, '--take'], env);
  first.kill('SIGTERM');
  const told = says(asking, '}\n');
  asking.stdin?.end();
  await told;
  await endsWell(asking);
  await endsWell(first);
  await stop(second);
});

test('multistack/net: listen({ takeOver: true })', async () => {
  const serve = [process.execPath, netServer, '8302', '127.0.0.1'];
  const ask = program(`
    import { connect } from '${net}';
    connect(8302, '127.0.0.1').pipe(process.stdout);`);
  const [first] = await start(serve, env);
  assert.equal((await execute([process.execPath, ask], env)).stdout, String(first.pid));
  const second = await replace(first, [...serve, 'take']);
  order(first);
  await endsWell(first);
  assert.equal((await execute([process.execPath, ask], env)).stdout, String(second.pid));
  await stop(second);
});

test('what nobody offers is not taken; a successor that does not come leaves the server as it was', async () => {
  const [first] = await start([process.execPath, netServer, '8303', '127.0.0.1'], env);
  const taking = await execute([process.execPath, netServer, '8303', '127.0.0.1', 'take'], env);
  assert.match(taking.stderr, /EADDRINUSE/);
  await stop(first);

  const source = program(`
    import { handOver } from '${index}';
    import { connect, createServer } from '${net}';
    const server = createServer((socket) => socket.end('still here'));
    server.listen(8304, '127.0.0.1', async () => {
      await handOver(server, () => Promise.reject(new Error('no successor'))).catch(({ message }) => console.log(message));
      connect(8304, '127.0.0.1').on('close', () => server.close()).pipe(process.stdout);
    });`);
  assert.equal((await execute([process.execPath, source], env)).stdout, 'no successor\nstill here');
});

test('what cannot be handed over is refused and says why', async () => {
  const source = program(`
    import { handOver } from '${index}';
    import net from 'node:net';
    import { createServer } from '${net}';
    const start = () => console.log('never');
    const told = (server) => handOver(server, start).catch(({ code, message }) => console.log(code, message));
    await told({});
    await told(createServer());
    for (const { createServer } of [net, await import('${net}')]) {
      const server = createServer();
      await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
      await told(server);
      server.close();
    }`);
  const { stdout } = await execute([process.execPath, source], { MULTISTACK_PORTS: 'memory' });
  const expected = [
    /^ERR_INVALID_ARG_TYPE .*net\.Server$/,
    /^ERR_INVALID_STATE .*does not listen$/,
    /^ERR_INVALID_STATE .*OS stack$/,
    /^ERR_INVALID_STATE .*only a multistackd/,
  ];
  stdout
    .trim()
    .split('\n')
    .forEach((line, index) => {
      assert.match(line, expected[index] ?? /nothing more/);
    });
  assert.equal(stdout.trim().split('\n').length, expected.length, stdout);
});

test.after(async () => daemon.close());
test.run();
