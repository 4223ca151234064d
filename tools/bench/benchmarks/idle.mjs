// What a stack, and a Node server on one, take while nothing happens. There is no baseline: the aim is nothing.
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { root } from '../../lib/exec.mjs';
import { end, spawnTied } from '../../lib/namespace.mjs';
import { readStatistics } from '../../lib/statistics.mjs';
import { Lab, labObstacle } from '../lab.mjs';
import { median } from '../results.mjs';
import { runProgram } from './programs.mjs';

export const idle = {
  name: 'idle',
  title: 'CPU of a server at rest, and memory of an idle connection',
  obstacle: labObstacle,
  run,
};

const port = 8080;
const connections = 1000;

async function run(context) {
  await runProgram('bench_idle_stack', context);
  const { rounds, quick, record, progress } = context;
  for (let round = 0; round < rounds; round++) {
    const lab = await Lab.create();
    const scratch = mkdtempSync(path.join(os.tmpdir(), 'multistack-idle-'));
    try {
      await oneRound(lab, path.join(scratch, 'statistics.json'), quick ? 1 : 15, record, progress);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
      await lab.remove();
    }
  }
}

async function oneRound(lab, statisticsFile, seconds, record, progress) {
  const server = await lab.startServer(
    [
      ...['env', `PORT=${port}`, `HOST=${lab.serverAddress}`, `MULTISTACK_PORTS=xdp:${lab.serverDevice}`],
      `MULTISTACK_STATS=${statisticsFile}`,
      ...[process.execPath, '--import', path.join(root, 'dist/register.js')],
      ...['--import', path.join(root, 'dist/cli/statistics.js')],
      path.join(root, 'test/bench/node-http-server.mjs'),
    ],
    lab.serverAddress,
    port,
  );
  try {
    const cpuAtRest = await cpuShare(server.pid, seconds);
    record({ case: 'node at rest', metric: 'cpu_us_per_s', better: 'lower', ours: cpuAtRest });

    const before = await stackMemory(server, statisticsFile);
    const clients = spawnTied(
      lab.atClient([
        ...[process.execPath, path.join(root, 'test/bench/idle-clients.mjs')],
        ...[lab.serverAddress, String(port), String(connections)],
      ]),
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    await once(clients.stdout, 'data');
    const perConnection = ((await stackMemory(server, statisticsFile)) - before) / connections;
    const cpuWithConnections = await cpuShare(server.pid, seconds);
    await end(clients);
    const name = `node with ${connections} connections`;
    record({ case: name, metric: 'cpu_us_per_s', better: 'lower', ours: cpuWithConnections });
    record({ case: name, metric: 'bytes_per_connection', better: 'lower', ours: perConnection });
    progress(
      `  at rest ${cpuAtRest.toFixed(0)} us/s; ${name}: ${cpuWithConnections.toFixed(0)} us/s, ${perConnection} bytes each`,
    );
  } finally {
    await server.stop();
  }
}

async function stackMemory(server, file) {
  const { host } = await readStatistics((signal) => process.kill(server.pid, signal), file);
  return host.stacks.reduce((total, stack) => total + stack.memory_bytes, 0);
}

/** Microseconds of CPU that the process takes in a second, by the median: V8 collects garbage in one or another. */
async function cpuShare(pid, seconds) {
  const samples = [];
  for (let second = 0; second < seconds; second++) {
    const before = cpuNanoseconds(pid);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    samples.push((cpuNanoseconds(pid) - before) / 1e3);
  }
  return median(samples);
}

function cpuNanoseconds(pid) {
  return readdirSync(`/proc/${pid}/task`).reduce(
    (total, thread) => total + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
    0,
  );
}
