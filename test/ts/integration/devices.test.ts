// Node programs on the user stack with the kernel as their peer, over lo and over a veth link, in network namespaces of
// their own. Needs root.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { test } from 'uvu';
import { execute, program, register, start, stop } from '../programs.js';

if (process.getuid?.() !== 0) {
  console.log('skipped: it makes network namespaces, which needs root');
  process.exit(77);
}

const node = process.execPath;
const onUserStack = [node, `--import=${register}`];

/** Prints its port, then serves: /who says which stack, /down sends 64 MB, /up hashes what it gets, /exit ends. */
const server = program(`
  import http from 'node:http';
  import { createHash } from 'node:crypto';
  const body = Buffer.alloc(64 << 20, 'multistack');
  http.createServer(async (request, response) => {
    if (request.url === '/down') return response.end(body);
    if (request.url === '/exit') return response.end(body, () => process.exit());
    const hash = createHash('sha256');
    for await (const chunk of request) hash.update(chunk);
    const who = 'onwrite' in request.socket._handle ? 'user' : 'os';
    response.end(JSON.stringify({ who, hash: hash.digest('hex') }));
  }).listen(process.argv[2] ?? 8080, () => console.log('up'));
`);

/** Asks the base URL of its argument for all of these, and prints what it found. */
const client = program(`
  import { createHash } from 'node:crypto';
  import http from 'node:http';
  const body = Buffer.alloc(64 << 20, 'multistack');
  const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');
  const ask = (path, sent) => new Promise((resolve, reject) => {
    const request = http.request(process.argv[2] + path, { method: 'POST' }, async (response) => {
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      resolve(Buffer.concat(chunks));
    });
    request.on('socket', (socket) => socket.on('connect', () => (mine = 'onwrite' in socket._handle ? 'user' : 'os')));
    request.on('error', reject);
    request.end(sent);
  });
  let mine;
  const { who } = JSON.parse(await ask('/who'));
  const up = JSON.parse(await ask('/up', body));
  console.log(mine, who, up.hash === hash(body), hash(await ask('/down')) === hash(body));
`);

/** A namespace without a name that lives as long as its holder. */
class Namespace {
  static async create(): Promise<Namespace> {
    const [holder] = await start(['unshare', '--net', 'sh', '-c', 'ip link set lo up; echo ready; exec cat']);
    return new Namespace(holder);
  }

  private constructor(readonly holder: ChildProcess) {}

  inside(...command: string[]): string[] {
    return ['nsenter', '--net', `--target=${this.holder.pid}`, '--', ...command];
  }

  async run(...command: string[]): Promise<string> {
    const { code, stdout, stderr } = await execute(this.inside(...command));
    assert.equal(code, 0, `${command.join(' ')}: ${stderr}`);
    return stdout.trim();
  }

  async remove(): Promise<void> {
    await stop(this.holder, 'SIGKILL');
  }
}

interface Link {
  ours: Namespace;
  theirs: Namespace;
}

/** Two namespaces, 10.99.1.1 and 10.99.1.2, fd99::1 and fd99::2, on one veth link. */
async function withLink(body: (link: Link) => Promise<void>): Promise<void> {
  const ours = await Namespace.create();
  const theirs = await Namespace.create();
  try {
    await ours.run(
      'ip',
      'link',
      'add',
      'veth0',
      'type',
      'veth',
      'peer',
      'name',
      'veth1',
      'netns',
      String(theirs.holder.pid),
    );
    for (const [namespace, device, number] of [
      [ours, 'veth0', 1],
      [theirs, 'veth1', 2],
    ] as const) {
      await namespace.run('ip', 'address', 'add', `10.99.1.${number}/24`, 'dev', device);
      await namespace.run('ip', 'address', 'add', `fd99::${number}/64`, 'dev', device, 'nodad');
      await namespace.run('ip', 'link', 'set', device, 'up');
    }
    await body({ ours, theirs });
  } finally {
    await ours.remove();
    await theirs.remove();
  }
}

test('lo: a server on each stack at the same addresses, asked by a program of the OS stack', async () => {
  const namespace = await Namespace.create();
  const [user] = await start(namespace.inside(...onUserStack, server, '8080'), { MULTISTACK_PORTS: 'xdp:lo' });
  const [os] = await start(namespace.inside(node, server, '8081'));
  for (const host of ['127.0.0.1', 'localhost', '[::1]']) {
    assert.equal(await namespace.run(node, client, `http://${host}:8080`), 'os user true true', host);
    assert.equal(await namespace.run(node, client, `http://${host}:8081`), 'os os true true', host);
  }
  await stop(user);
  await stop(os);
  assert.doesNotMatch(await namespace.run('ip', 'link', 'show', 'lo'), /xdp/);
  await namespace.remove();
});

test('veth: IPv4 and IPv6, both roles', async () => {
  await withLink(async ({ ours, theirs }) => {
    const ports = { MULTISTACK_PORTS: 'xdp:veth0' };
    const [user] = await start(ours.inside(...onUserStack, server), ports);
    for (const host of ['10.99.1.1', '[fd99::1]']) {
      assert.equal(await theirs.run(node, client, `http://${host}:8080`), 'os user true true', host);
    }
    await stop(user);

    const [os] = await start(theirs.inside(node, server));
    for (const host of ['10.99.1.2', '[fd99::2]']) {
      const command = ours.inside(...onUserStack, client, `http://${host}:8080`);
      const result = await execute(command, { ...ports, MULTISTACK_POLICY: 'connect:*=user' });
      assert.equal(result.stdout.trim(), 'user os true true', `${host}: ${result.stderr}`);
    }
    await stop(os);
  });
});

test('veth: what was written before process.exit arrives', async () => {
  await withLink(async ({ ours, theirs }) => {
    const [user] = await start(ours.inside(...onUserStack, server), { MULTISTACK_PORTS: 'xdp:veth0' });
    const size = await theirs.run('sh', '-c', 'curl -s http://10.99.1.1:8080/exit | wc -c');
    assert.equal(Number(size), 64 << 20);
    await stop(user);
  });
});

test('veth: a port that an OS program has is EADDRINUSE, and the OS program goes on', async () => {
  await withLink(async ({ ours, theirs }) => {
    const [os] = await start(ours.inside(node, server, '8080'));
    const late = program(`
      import net from 'node:net';
      net.createServer().on('error', ({ code, syscall }) => console.log(code, syscall)).listen(8080);`);
    const { stdout } = await execute(ours.inside(...onUserStack, late), { MULTISTACK_PORTS: 'xdp:veth0' });
    assert.equal(stdout.trim(), 'EADDRINUSE listen');
    assert.equal(await theirs.run(node, client, 'http://10.99.1.1:8080'), 'os os true true');
    await stop(os);
  });
});

test('veth: nobody there is ECONNREFUSED, no route is ENETUNREACH', async () => {
  await withLink(async ({ ours }) => {
    const lost = program(`
      import net from 'node:net';
      for (const host of ['10.99.1.2', '192.0.2.1']) {
        await new Promise((resolve) => net.connect(9, host).on('error', ({ code }) => resolve(console.log(code))));
      }`);
    const env = { MULTISTACK_PORTS: 'xdp:veth0', MULTISTACK_POLICY: 'connect:*=user' };
    const { stdout } = await execute(ours.inside(...onUserStack, lost), env);
    assert.equal(stdout.trim(), 'ECONNREFUSED\nENETUNREACH');
  });
});

test('veth: kill -9 leaves the device as it was', async () => {
  await withLink(async ({ ours, theirs }) => {
    const [user] = await start(ours.inside(...onUserStack, server), { MULTISTACK_PORTS: 'xdp:veth0' });
    assert.match(await ours.run('ip', 'link', 'show', 'veth0'), /xdp/);
    await stop(user, 'SIGKILL');
    assert.doesNotMatch(await ours.run('ip', 'link', 'show', 'veth0'), /xdp/);
    const [os] = await start(ours.inside(node, server));
    assert.equal(await theirs.run(node, client, 'http://10.99.1.1:8080'), 'os os true true');
    await stop(os);
  });
});

test.run();
