// npm run demo: one unmodified Node HTTP server on a user stack and on the OS stack, on the same addresses.
// `-- --once` checks what it showed and ends; without it the servers stay until Ctrl-C.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Failure } from '../lib/exec.mjs';
import { readStatistics } from '../lib/statistics.mjs';
import { setup } from '../setup.mjs';
import { makeNetwork } from './network.mjs';
import { countOsPackets } from './os-counters.mjs';
import { request } from './requests.mjs';
import { startOnOsStack, startOnUserStack } from './servers.mjs';

const userPort = 8080;
const osPort = 8081;

export async function main(args) {
  const { values } = parseArgs({ args, options: { once: { type: 'boolean', default: false } } });
  if (process.getuid() !== 0) {
    throw new Failure('the demo carries network devices, which needs root: sudo npm run demo');
  }
  await setup('demo');
  for (const port of [userPort, osPort]) await mustBeFree(port);

  const stopped = untilStopped();
  const undo = [];
  try {
    const shown = await Promise.race([show(undo), stopped.then(() => null)]);
    if (shown === null) return 130;
    const wrong = complaints(shown);
    for (const line of wrong) console.error(`wrong: ${line}`);
    if (values.once) return wrong.length === 0 ? 0 : 1;
    console.log(`\nBoth servers go on: try curl http://localhost:${userPort}/ yourself. Ctrl-C ends the demo.`);
    await stopped;
    return 0;
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

/** Start everything, make the requests, print what came of them. What has to be undone is added to `undo`. */
async function show(undo) {
  const { table } = await import('../../dist/cli/table.js'); // there only since the setup
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'multistack-demo-'));
  undo.push(() => rmSync(scratch, { recursive: true, force: true }));
  const statisticsFile = path.join(scratch, 'statistics.json');

  const network = await makeNetwork(process.pid);
  undo.push(network.remove);
  const counters = await countOsPackets(`multistack_demo_${process.pid}`, [userPort, osPort]);
  undo.push(counters.remove);
  const user = await startOnUserStack(userPort, ['lo', network.device], statisticsFile);
  undo.push(user.stop);
  const plain = await startOnOsStack(osPort);
  undo.push(plain.stop);

  console.log('One program, ts/examples/hello-http.mjs, started twice:');
  console.log(`  port ${userPort}  multistack run --port xdp:lo --port xdp:${network.device} -- node hello-http.mjs`);
  console.log(`  port ${osPort}  node hello-http.mjs`);
  for (const note of user.notes()) console.log(`  ${note}`);

  const answers = [
    ...(await askAll('From this host', ['localhost', '127.0.0.1', '[::1]'])),
    ...(await askAll(
      `From another network namespace, over a veth link`,
      network.addresses.map((address) => (address.includes(':') ? `[${address}]` : address)),
      network.inside,
    )),
  ];
  const statistics = await readStatistics(user.signal, statisticsFile);
  const osPackets = await counters.read();
  console.log('\nDevices of the user stack');
  for (const { name, mode, reason } of statistics.host?.ports ?? []) {
    console.log(`  ${name}: ${mode} mode${reason ? `, since ${reason}` : ''}`);
  }
  const rows = summarize(answers, statistics, osPackets);
  console.log();
  console.log(
    table(
      ['port', 'answered by', 'requests', 'connections', 'packets to the user stack', 'packets to the OS stack'],
      rows.map((row) => Object.values(row).map((value) => String(value))),
    ),
  );
  return { answers, rows };
}

async function askAll(title, hosts, inside) {
  console.log(`\n${title}`);
  const answers = [];
  for (const port of [userPort, osPort]) {
    for (const host of hosts) {
      const answer = await request(`http://${host}:${port}/`, inside);
      console.log(`  $ curl ${answer.url.padEnd(34)} ${answer.stack.padEnd(11)} ${answer.body}`);
      answers.push({ ...answer, port });
    }
  }
  return answers;
}

/** One row for each server. */
function summarize(answers, statistics, osPackets) {
  return [userPort, osPort].map((port) => {
    const mine = answers.filter((answer) => answer.port === port);
    const user = port === userPort ? userStackTotals(statistics) : { connections: 0, packets: 0 };
    return {
      port,
      stack: [...new Set(mine.map((answer) => answer.stack))].join(', '),
      requests: mine.filter((answer) => answer.stack !== 'nobody').length,
      connections: port === userPort ? user.connections : mine.length,
      userPackets: user.packets,
      osPackets: osPackets.get(port),
    };
  });
}

/** Over all stacks of the process. */
function userStackTotals({ host }) {
  const sum = (counter) => (host?.stacks ?? []).reduce((total, stack) => total + (stack[counter] ?? 0), 0);
  return { connections: sum('tcp_passive_opens'), packets: sum('ip_in_receives') };
}

function complaints({ answers, rows: [user, os] }) {
  const expected = new Map([
    [userPort, 'user stack'],
    [osPort, 'OS stack'],
  ]);
  const wrong = answers
    .filter((answer) => answer.stack !== expected.get(answer.port))
    .map((answer) => `${answer.url} was answered by ${answer.stack}: ${answer.body}`);
  if (user.connections !== user.requests) wrong.push(`the user stack has accepted ${user.connections} connections`);
  if (user.osPackets !== 0) wrong.push(`the OS stack took in ${user.osPackets} packets for port ${userPort}`);
  if (!(os.osPackets > 0)) wrong.push(`the OS stack took in no packet for port ${osPort}`);
  return wrong;
}

async function mustBeFree(port) {
  const server = net.createServer();
  await new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new Failure(`port ${port} is wanted by the demo: ${error.message}`)));
    server.listen(port, () => server.close(resolve));
  });
}

/** Resolves at Ctrl-C, SIGTERM or hang-up, and when whoever started the demo is gone (killed, perhaps). */
function untilStopped() {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, resolve);
    const watched = ancestorsUpToNpm();
    setInterval(() => watched.every(isAlive) || resolve(), 200).unref();
  });
}

function ancestorsUpToNpm() {
  const chain = [];
  if (process.env.npm_lifecycle_event === undefined) return chain;
  for (let pid = process.ppid; pid > 1; pid = parse(pid)?.parent ?? 0) {
    chain.push(pid);
    if (/^npm\b/.test(parse(pid)?.name ?? '')) break;
  }
  return chain;
}

function isAlive(pid) {
  const found = parse(pid);
  return found !== null && found.state !== 'Z';
}

/** The fields of /proc/PID/stat that matter here; the name may hold spaces and parentheses. */
function parse(pid) {
  try {
    const [, name, state, parent] = /\((.*)\) (\w) (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    return { name, state, parent: Number(parent) };
  } catch {
    return null;
  }
}
