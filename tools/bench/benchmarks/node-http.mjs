// Node's own http, unmodified: both ends in one process, and a server with wrk as its client.
import path from 'node:path';
import { Failure, capture, root } from '../../lib/exec.mjs';
import { Lab, busyMicroseconds, clientCore, labObstacle, serverCore } from '../lab.mjs';
import { wrk } from '../wrk.mjs';

export const nodeHttp = {
  name: 'node-http',
  title: "Node's http stock and swapped; both ends in one process, and with wrk over veth",
  obstacle: labObstacle,
  run,
};

const programs = path.join(root, 'test/bench');
const register = path.join(root, 'dist/register.js');
/** Of the server, on either stack; each has a lab of its own. */
const port = 8080;

async function run(context) {
  for (let round = 0; round < context.rounds; round++) {
    // Each goes first every other round.
    const order = round % 2 === 0 ? ['ours', 'baseline'] : ['baseline', 'ours'];
    for (const connections of context.quick ? [64] : [1, 64]) await onePair(context, order, connections);
    await overVeth(context, order);
  }
}

function imports(stack) {
  return stack === 'ours' ? ['--import', register] : [];
}

async function onePair({ quick, record, progress }, order, connections) {
  const seconds = quick ? 1 : 3;
  const measured = {};
  for (const stack of order) {
    const { code, output } = await capture(
      [
        ...['taskset', '-c', String(serverCore), process.execPath, ...imports(stack)],
        ...[path.join(programs, 'node-http-pair.mjs'), String(connections), String(seconds)],
      ],
      { env: { ...process.env, MULTISTACK_PORTS: 'memory' } },
    );
    if (code !== 0) throw new Failure(`node-http-pair.mjs failed (exit ${code}): ${output.trim()}`);
    measured[stack] = JSON.parse(output.trim().split('\n').at(-1));
  }
  const { ours, baseline } = measured;
  const name = `pair/${connections}`;
  for (const [metric, better] of [
    ['requests_per_s', 'higher'],
    ['cpu_us_per_request', 'lower'],
  ]) {
    record({ case: name, metric, better, ours: ours[metric], baseline: baseline[metric] });
  }
  progress(`  ${name}: ${Math.round(ours.requests_per_s)} / ${Math.round(baseline.requests_per_s)} req/s`);
}

async function overVeth({ quick, record, progress }, order) {
  const seconds = quick ? 1 : 3;
  const measured = {};
  for (const stack of order) {
    const lab = await Lab.create();
    try {
      measured[stack] = await measureServer(lab, stack, seconds);
    } finally {
      await lab.remove();
    }
  }
  const { ours, baseline } = measured;
  for (const [metric, better] of [
    ['requests_per_s', 'higher'],
    ['server_core_us_per_request', 'lower'],
    ['latency_p50_us', 'lower'],
  ]) {
    record({ case: 'veth/64', metric, better, ours: ours[metric], baseline: baseline[metric] });
  }
  progress(`  veth/64: ${Math.round(ours.requests_per_s)} / ${Math.round(baseline.requests_per_s)} req/s`);
}

async function measureServer(lab, stack, seconds) {
  const server = await lab.startServer(
    [
      ...['env', `MULTISTACK_PORTS=xdp:${lab.serverDevice}`, `PORT=${port}`, `HOST=${lab.serverAddress}`],
      ...[process.execPath, ...imports(stack), path.join(programs, 'node-http-server.mjs')],
    ],
    lab.serverAddress,
    port,
  );
  try {
    const load = { url: `http://${lab.serverAddress}:${port}/`, connections: 64, core: clientCore };
    const client = (argv) => lab.atClient(argv);
    await wrk(client, { ...load, seconds: 1 });
    const before = busyMicroseconds(serverCore);
    const { requests, requestsPerSecond, p50Microseconds } = await wrk(client, { ...load, seconds });
    return {
      requests_per_s: requestsPerSecond,
      server_core_us_per_request: (busyMicroseconds(serverCore) - before) / requests,
      latency_p50_us: p50Microseconds,
    };
  } finally {
    await server.stop();
  }
}
