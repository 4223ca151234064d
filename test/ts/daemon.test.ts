// The tests of sockets and of whole programs once more, over a multistackd that the programs are given by environment
// alone; and how one is found.
import assert from 'node:assert/strict';
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

for (const file of ['./net.test.ts', './http.test.ts', './ecosystem.test.ts', './same.test.ts', './process.test.ts']) {
  test(file, async () => {
    const { code, stdout, stderr } = await execute(
      [process.execPath, '--import=tsx', fileURLToPath(new URL(file, import.meta.url))],
      env,
      150_000,
    );
    assert.equal(code, 0, stdout + stderr);
  });
}

const index = new URL('../../dist/index.js', import.meta.url).href;
const server = program(`
  import http from 'node:http';
  const server = http.createServer((request, response) => response.end('hello ' + request.url));
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`);
const client = (port: string): string =>
  program(`
  import { stats } from '${index}';
  const response = await fetch('http://127.0.0.1:${port}/there');
  console.log(await response.text(), stats().routes.connect.user);
`);
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** A server and a client that know of the daemon by these arguments and environments. */
async function meet(command: readonly string[], how: NodeJS.ProcessEnv): Promise<void> {
  const [child, port] = await start([...command, server], how);
  const { code, stdout, stderr } = await execute([...command, client(port)], how);
  await stop(child);
  assert.equal(stdout, 'hello /there 1\n', stderr);
  assert.equal(code, 0);
}

test('two programs meet by MULTISTACK', async () => meet([process.execPath, `--import=${register}`], env));

test('two programs meet by MULTISTACK_PORTS', async () =>
  meet([process.execPath, `--import=${register}`], { MULTISTACK_PORTS: daemon.spec }));

test('two programs meet by multistack run --daemon', async () =>
  meet([process.execPath, main, 'run', '--daemon', daemon.path, '--', process.execPath], {}));

test('two programs meet by multistack run --port', async () =>
  meet([process.execPath, main, 'run', '--port', daemon.spec, '--', process.execPath], {}));

test('MULTISTACK=embedded: no daemon, and no other port than was named', async () => {
  const source = program(`
    import net from 'node:net';
    import { stats } from '${index}';
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      console.log(stats().routes.listen.user, process.env.MULTISTACK_PORTS);
      server.close();
    });`);
  const { stdout, stderr } = await execute([process.execPath, `--import=${register}`, source], {
    MULTISTACK: 'embedded',
    MULTISTACK_PORTS: 'memory',
  });
  assert.equal(stdout, '1 memory\n', stderr);
});

test('a daemon that is not there: what to do about it, in one line', async () => {
  const gone = { MULTISTACK: 'unix:/nonexistent/socket' };
  const told =
    /^multistack: unix:\/nonexistent\/socket: no multistackd there: [^\n]*start it, or set MULTISTACK=embedded\n$/;
  const early = await execute([process.execPath, main, 'run', '--daemon', '/nonexistent/socket', '--', 'node', server]);
  assert.equal(early.code, 1);
  assert.match(early.stderr, told);

  const source = program(`
    import net from 'node:net';
    net.createServer().on('error', ({ code, message }) => console.log(code, message)).listen(0);`);
  const { stdout } = await execute([process.execPath, `--import=${register}`, source], gone);
  assert.match(stdout, /^ENOENT listen ENOENT: unix:\/nonexistent\/socket: no multistackd there: [^\n]*\n$/);
});

test('a program on a daemon does not record its packets: what does is told', async () => {
  const command = [process.execPath, main, 'run', '--daemon', daemon.path, '--pcap', '/tmp/never.pcapng', '--', 'node'];
  const { code, stderr } = await execute([...command, server]);
  assert.equal(code, 1);
  assert.equal(
    stderr,
    'multistack: pcap: the packets of programs on a multistackd are recorded by ' +
      `\`multistack dump --socket ${daemon.path} --write FILE\`\n`,
  );
});

test('what is neither a daemon nor none is refused', async () => {
  const source = program(`
    import net from 'node:net';
    net.createServer().on('error', ({ code, message }) => console.log(message)).listen(0);`);
  const { stdout } = await execute([process.execPath, `--import=${register}`, source], { MULTISTACK: 'yes' });
  assert.match(stdout, /MULTISTACK=yes: allowed: unix:PATH/);
  const both = { MULTISTACK_PORTS: `xdp:lo ${daemon.spec}` };
  assert.match((await execute([process.execPath, `--import=${register}`, source], both)).stdout, /the only port/);
});

test.after(async () => daemon.close());
test.run();
