// A whole program on the user stack, from outside: how it starts, routes, fails and ends. Each case is a process.
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import { credentials } from './credentials.js';
import { execute, program, register, type Result } from './programs.js';

interface Settings {
  env?: NodeJS.ProcessEnv;
  flags?: string[];
}

/** Run `source` as a program of its own under register, on a host that is alone. */
async function run(source: string, { env = {}, flags = [`--import=${register}`] }: Settings = {}): Promise<Result> {
  return execute([process.execPath, ...flags, program(source)], { MULTISTACK_PORTS: 'memory', ...env });
}

/** A file for a program to fork, as a literal. */
function child(source: string): string {
  return JSON.stringify(program(source, 'cjs'));
}

async function prints(source: string, expected: string, settings?: Settings): Promise<void> {
  const { code, stdout, stderr } = await run(source, settings);
  assert.equal(stdout.trim(), expected, stderr);
  assert.equal(code, 0, stderr);
}

const head = `
  import net from 'node:net';
  import { once } from 'node:events';
  const isUser = (owner) => 'onwrite' in owner._handle;
  const listen = async (server, ...where) => {
    await once(server.listen(...where), 'listening');
    return server.address().port;
  };
`;

test('a program ends when nothing is left to do', async () => {
  await prints(
    `${head}
    const server = net.createServer((socket) => socket.end('bye').on('close', () => server.close()));
    const port = await listen(server, 0);
    net.connect(port).on('data', (data) => console.log(String(data)));`,
    'bye',
  );
});

test('an open connection that does not read keeps nothing alive', async () => {
  await prints(
    `${head}
    const server = net.createServer({ pauseOnConnect: true });
    const port = await listen(server, 0, '127.0.0.1');
    const client = net.connect(port, '127.0.0.1');
    const [socket] = await once(server, 'connection');
    server.unref();
    client.unref();
    console.log('end');`,
    'end',
  );
});

test('unref of a server lets go, ref holds again', async () => {
  await prints(
    `${head}
    const server = net.createServer();
    await listen(server, 0);
    server.unref();
    setTimeout(() => { console.log('late'); server.close(); }, 50);
    server.ref();`,
    'late',
  );
  await prints(
    `${head} const server = net.createServer(); await listen(server, 0); server.unref(); console.log('now');`,
    'now',
  );
});

test('process.exit in a callback of a socket', async () => {
  const { code } = await run(
    `${head}
    const server = net.createServer((socket) => socket.on('data', () => process.exit(7)));
    const port = await listen(server, 0);
    net.connect(port).write('x');`,
  );
  assert.equal(code, 7);
});

test('an uncaught exception in a callback ends the program', async () => {
  const { code, stderr } = await run(
    `${head}
    const server = net.createServer((socket) => { throw new Error('from the listener'); });
    net.connect(await listen(server, 0));`,
  );
  assert.equal(code, 1);
  assert.match(stderr, /Error: from the listener/);
});

test('policy: listen by port, connect by who holds the address', async () => {
  await prints(
    `${head}
    const [user, os] = [net.createServer((s) => s.end('user')), net.createServer((s) => s.end('os'))];
    const userPort = await listen(user, 0, '127.0.0.1');
    const osPort = await listen(os, 0, '127.0.0.2');
    console.log(isUser(user), isUser(os));
    for (const [port, host] of [[userPort, '127.0.0.1'], [osPort, '127.0.0.2']]) {
      const client = net.connect(port, host);
      const [data] = await once(client, 'data');
      console.log(String(data), isUser(client));
      client.destroy();
    }
    user.close();
    os.close();`,
    'true false\nuser true\nos false',
    { env: { MULTISTACK_POLICY: 'listen:127.0.0.2=os' } },
  );
});

test('sockets on the OS stack: http, https-like wrapping, pending data and options survive the exchange', async () => {
  await prints(
    `${head}
    import http from 'node:http';
    const server = http.createServer((request, response) => request.pipe(response));
    const port = await listen(server, 0, '127.0.0.1');
    const plain = net.connect({ port, host: '127.0.0.1', noDelay: true });
    plain.end('POST / HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nhi');
    let text = '';
    for await (const chunk of plain) text += chunk;
    console.log(isUser(server), text.includes('hi'));
    const response = await fetch('http://localhost:' + port, { method: 'POST', body: 'fetched', headers: { connection: 'close' } });
    console.log(await response.text());
    server.close();`,
    'false true\nfetched',
    { env: { MULTISTACK_POLICY: 'listen:*=os' } },
  );
});

test('TLS on the OS stack: a handle is exchanged under a TLS socket', async () => {
  await prints(
    `${head}
    import https from 'node:https';
    const credentials = ${JSON.stringify({ key: credentials.key.toString(), cert: credentials.cert.toString() })};
    const server = https.createServer(credentials, (request, response) => {
      if (request.method === 'POST') request.pipe(response);
      else response.end(String(request.socket.isSessionReused()));
    });
    const port = await listen(server, 0, '127.0.0.1');
    const agent = new https.Agent({ maxCachedSessions: 1 });
    for (let i = 0; i < 2; i++) {
      const [response] = await once(https.get({ host: 'localhost', port, agent, ca: credentials.cert }), 'response');
      for await (const chunk of response) console.log(String(chunk));
    }
    for (const host of ['127.0.0.1', 'localhost']) {
      const request = https.request({ host, port, method: 'POST', agent: false, ca: credentials.cert, servername: 'localhost' });
      request.end('x'.repeat(100000));
      const [response] = await once(request, 'response');
      let text = '';
      for await (const chunk of response) text += chunk;
      console.log(text.length, 'onwrite' in request.socket._handle._parent);
    }
    server.close();`,
    'false\ntrue\n100000 false\n100000 false',
    { env: { MULTISTACK_POLICY: 'listen:*=os' } },
  );
});

test('a descriptor that the program was given is a socket of the OS stack', async () => {
  const reader = child(`process.stdin.on('data', (data) => {
    console.log(String(data), process.stdin.constructor.name, 'onwrite' in process.stdin._handle);
    process.stdin.destroy();
  })`);
  await prints(
    `${head}
    import { spawn } from 'node:child_process';
    const server = net.createServer({ pauseOnConnect: true }, (socket) => {
      const reader = spawn(process.execPath, ['--import=${register}', ${reader}], { stdio: [socket, 'inherit', 'inherit'] });
      reader.on('exit', () => { socket.destroy(); server.close(); });
    });
    net.connect(await listen(server, 0, '127.0.0.1'), '127.0.0.1').end('given');`,
    'given Socket false',
    { env: { MULTISTACK_POLICY: 'listen:*=os' } },
  );
});

test('a bad policy ends the program before it starts, in one line', async () => {
  const { code, stdout, stderr } = await run(`console.log('ran')`, { env: { MULTISTACK_POLICY: 'listen:*=kernel' } });
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.match(stderr, /^multistack: MULTISTACK_POLICY: rule 1, [^\n]+ allowed: user, os, auto\n$/);
});

test('a port that cannot be opened: an error event with a code that says what to do', async () => {
  const source = `${head}
    const server = net.createServer().on('error', ({ code, message, syscall }) => console.log(code, syscall, message));
    server.listen(0);`;
  const { code, stdout, stderr } = await run(source, {
    env: { MULTISTACK: 'embedded', MULTISTACK_PORTS: 'xdp:nonesuch0' },
  });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^E[A-Z]+ listen listen E[A-Z]+: [^\n]*nonesuch0[^\n]*\n$/);
  await prints(
    source.replace(`server.listen(0)`, `server.listen(0, () => { console.log(isUser(server)); server.close(); })`),
    'false',
    {
      env: { MULTISTACK: 'embedded', MULTISTACK_PORTS: 'xdp:nonesuch0', MULTISTACK_POLICY: 'listen:*=auto' },
    },
  );
});

test('--require', async () => {
  await prints(
    `${head} const server = net.createServer(); await listen(server, 0); console.log(isUser(server)); server.close();`,
    'true',
    { flags: ['--require', fileURLToPath(register)] },
  );
});

test('worker threads have a host of their own', async () => {
  const worker = child(`
    const net = require('node:net');
    const { parentPort } = require('node:worker_threads');
    const server = net.createServer((socket) => socket.pipe(socket));
    server.listen(0, '127.0.0.1', () => {
      const client = net.connect(server.address().port, '127.0.0.1');
      client.end('worker');
      client.on('data', (data) => parentPort.postMessage(String(data) + ('onwrite' in client._handle)));
      client.on('close', () => server.close());
    });`);
  await prints(
    `import { Worker } from 'node:worker_threads';
    const results = await Promise.all([1, 2].map(() => new Promise((resolve, reject) => {
      const worker = new Worker(${worker});
      let said;
      worker.on('message', (text) => (said = text));
      worker.on('error', reject);
      worker.on('exit', (code) => resolve(said + code));
    })));
    console.log(...results);`,
    'workertrue0 workertrue0',
  );
});

test('a worker thread that is terminated with open sockets, in a callback', async () => {
  const worker = child(`
    const net = require('node:net');
    const { parentPort } = require('node:worker_threads');
    const server = net.createServer((socket) => socket.on('data', () => { parentPort.postMessage('in'); for (;;); }));
    server.listen(8080, '127.0.0.1', () => net.connect(8080, '127.0.0.1').write('x'));`);
  await prints(
    `import { Worker } from 'node:worker_threads';
    import { once } from 'node:events';
    const worker = new Worker(${worker});
    await once(worker, 'message');
    await worker.terminate();
    console.log('terminated');`,
    'terminated',
  );
});

test('cluster: the listeners of workers are on the OS stack', async () => {
  for (const policy of ['rr', 'none']) {
    await prints(
      `import cluster from 'node:cluster';
      import { once } from 'node:events';
      import http from 'node:http';
      if (cluster.isPrimary) {
        const worker = cluster.fork();
        const [{ port }] = await once(worker, 'listening');
        const response = await fetch('http://127.0.0.1:' + port, { headers: { connection: 'close' } });
        console.log(await response.text());
        worker.kill();
      } else {
        http.createServer((request, response) => response.end('worker ' + ('onwrite' in request.socket._handle))).listen(0, '127.0.0.1');
      }`,
      'worker false',
      { env: { NODE_CLUSTER_SCHED_POLICY: policy } },
    ).catch((error: unknown) => {
      throw new Error(`schedule ${policy}`, { cause: error });
    });
  }
});

test('a socket of the user stack cannot be given to a child, and that is said', async () => {
  await prints(
    `${head}
    import { fork, spawn } from 'node:child_process';
    const child = fork(${child(`process.on('message', (message, handle) => {
      process.send(!!handle);
      process.disconnect();
      handle?.close?.();
    })`)});
    const server = net.createServer();
    await listen(server, 0, '127.0.0.1');
    try { child.send('take', server); } catch ({ code, message }) { console.log(code, message); }
    const client = net.connect(server.address().port, '127.0.0.1');
    await once(client, 'connect');
    try { spawn('cat', { stdio: [client] }); } catch ({ code }) { console.log(code); }
    client.destroy();
    server.close();
    const os = net.createServer();
    await listen(os, 0, '127.0.0.2');
    child.send('take', os);
    console.log(...(await once(child, 'message')).slice(0, 1));
    os.close();`,
    'ERR_INVALID_HANDLE_TYPE multistack: a socket of the user stack cannot be given to another process; keep it on the OS stack by policy\nERR_INVALID_HANDLE_TYPE\ntrue',
    { env: { MULTISTACK_POLICY: 'listen:127.0.0.2=os' } },
  );
});

test('a forked child is on the user stack too', async () => {
  await prints(
    `${head}
    import { fork } from 'node:child_process';
    const child = fork(${child(`
      const net = require('net');
      const server = net.createServer((socket) => socket.end('bye')).listen(0, () => {
        const client = net.connect(server.address().port);
        client.on('data', () => {
          process.send('onwrite' in server._handle && 'onwrite' in client._handle);
          client.destroy();
          server.close();
          process.disconnect();
        });
      })`)});
    console.log(...(await once(child, 'message')).slice(0, 1));`,
    'true',
  );
});

test('under the permission model', async () => {
  const [major] = process.versions.node.split('.');
  const flag = Number(major) >= 24 ? '--permission' : '--experimental-permission';
  const network = Number(major) >= 25 ? ['--allow-net'] : [];
  await prints(
    `${head}
    import http from 'node:http';
    const server = http.createServer((request, response) => request.pipe(response));
    const port = await listen(server, 0, '127.0.0.1');
    const response = await fetch('http://127.0.0.1:' + port, { method: 'POST', body: 'x'.repeat(1e6), headers: { connection: 'close' } });
    console.log(isUser(server), (await response.text()).length);
    const refused = net.connect(port + 1, '127.0.0.1');
    refused.on('error', ({ code }) => console.log(code));
    server.close();`,
    'true 1000000\nECONNREFUSED',
    { flags: [flag, ...network, '--allow-addons', '--allow-fs-read=*', '--no-warnings', `--import=${register}`] },
  );
});

test.run();
