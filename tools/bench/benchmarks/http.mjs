// An epoll-style HTTP server in C, on the user stack and on the OS stack, with wrk as its client.
import path from 'node:path';
import { Lab, busyMicroseconds, clientCore, labObstacle, serverCore } from '../lab.mjs';
import { wrk } from '../wrk.mjs';

export const http = {
  name: 'http',
  title: 'the same C server on user stack and OS stack; wrk over veth and lo, 1 to 1,000 connections',
  obstacle: labObstacle,
  run,
};

/** One each: what the OS stack remembers of closed connections would keep a user stack off its port. */
const ports = { ours: 8080, baseline: 8081 };

async function run({ rounds, quick, programs, record, progress }) {
  const labs = [await Lab.create()];
  try {
    labs.push(await Lab.create({ tuned: false }));
    const loads = quick ? [64] : [1, 64, 1000];
    const links = [overVeth(labs[0], 'veth', loads), overVeth(labs[1], 'veth untuned', [64]), overLo(labs[0], loads)];
    for (let round = 0; round < rounds; round++) {
      for (const link of links) {
        const measured = {};
        for (const stack of round % 2 === 0 ? ['ours', 'baseline'] : ['baseline', 'ours']) {
          measured[stack] = await measureServer(link, stack, { programs, seconds: quick ? 1 : 3 });
        }
        link.loads.forEach((connections, i) => {
          const name = `${link.name}/${connections}`;
          recordPair(record, name, measured.ours[i], measured.baseline[i], link.name);
          progress(`  round ${round + 1}: ${name} ${describe(measured.ours[i])} / ${describe(measured.baseline[i])}`);
        });
      }
    }
  } finally {
    for (const lab of labs) await lab.remove();
  }
}

function overVeth(lab, name, loads) {
  const client = (argv) => lab.atClient(argv);
  return { lab, name, loads, client, device: lab.serverDevice, address: lab.serverAddress };
}

function overLo(lab, loads) {
  return { lab, name: 'lo', loads, client: (argv) => lab.atServer(argv), device: 'lo', address: '127.0.0.1' };
}

/** One start of the server, and each load on it. */
async function measureServer(link, stack, { programs, seconds }) {
  const port = ports[stack];
  const server = await link.lab.startServer(
    [
      path.join(programs, 'test/bench_http_server'),
      ...['--listen', `${link.address}:${port}`],
      ...(stack === 'ours' ? ['--port', `xdp:${link.device}`] : ['--os']),
    ],
    link.address,
    port,
  );
  try {
    const url = `http://${link.address}:${port}/`;
    await wrk(link.client, { url, connections: 64, seconds: 1, core: clientCore });
    const measured = [];
    for (const connections of link.loads) {
      const cores = [serverCore, clientCore];
      const before = cores.map(busyMicroseconds);
      const load = await wrk(link.client, { url, connections, seconds, core: clientCore });
      const [onServer, onClient] = cores.map((core, i) => (busyMicroseconds(core) - before[i]) / load.requests);
      measured.push({ ...load, serverCore: onServer, bothCores: onServer + onClient });
    }
    return measured;
  } finally {
    await server.stop();
  }
}

function recordPair(record, name, ours, baseline, link) {
  const add = (metric, better, key) => record({ case: name, metric, better, ours: ours[key], baseline: baseline[key] });
  add('requests_per_s', 'higher', 'requestsPerSecond');
  // On lo the kernel receives for the server on the client's core, so only the sum tells.
  if (link !== 'lo') add('server_core_us_per_request', 'lower', 'serverCore');
  else add('both_cores_us_per_request', 'lower', 'bothCores');
  add('latency_p50_us', 'lower', 'p50Microseconds');
  add('latency_p99_us', 'lower', 'p99Microseconds');
}

function describe({ requestsPerSecond, serverCore: cost }) {
  return `${Math.round(requestsPerSecond)} req/s at ${cost.toFixed(2)} us`;
}
