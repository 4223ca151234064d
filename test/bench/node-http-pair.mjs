// Client and server in one process: node node-http-pair.mjs CONNECTIONS SECONDS prints one line of JSON.
// Every connection is kept alive and has one request under way.
import { once } from 'node:events';
import http from 'node:http';

const connections = Number(process.argv[2] ?? 64);
const seconds = Number(process.argv[3] ?? 3);
const warmUpSeconds = 1;

const server = http.createServer((_request, response) => response.end('hello\n'));
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1');
await once(server, 'listening');

const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
const options = { host: '127.0.0.1', port: server.address().port, agent };
let requests = 0;
let running = true;

function request() {
  return new Promise((resolve, reject) => {
    const outgoing = http.get(options, (response) => {
      response.resume();
      response.once('end', resolve);
    });
    outgoing.once('error', reject);
  });
}

async function client() {
  while (running) {
    await request();
    requests++;
  }
}

const clients = Array.from({ length: connections }, client);
await elapse(warmUpSeconds);
const begin = { requests, time: performance.now(), cpu: process.cpuUsage() };
await elapse(seconds);
const measured = requests - begin.requests;
const wallSeconds = (performance.now() - begin.time) / 1e3;
const cpu = process.cpuUsage(begin.cpu);
running = false;
await Promise.all(clients);
agent.destroy();
server.close();
console.log(
  JSON.stringify({
    requests_per_s: measured / wallSeconds,
    cpu_us_per_request: (cpu.user + cpu.system) / measured,
  }),
);

function elapse(duration) {
  return new Promise((resolve) => setTimeout(resolve, duration * 1e3));
}
