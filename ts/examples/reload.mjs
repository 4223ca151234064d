// An HTTP server that replaces itself by a new process at SIGHUP, with a new version of this file perhaps. No client is
// refused or reset: the new process takes the address over, and the old one ends with its last connection.
//   multistackd --socket /tmp/multistack &
//   MULTISTACK=unix:/tmp/multistack node --import multistack/register reload.mjs
import { spawn } from 'node:child_process';
import http from 'node:http';
import { handOver, takeOver } from 'multistack';

const port = Number(process.env.PORT ?? 8080);
let leaving = false;

const server = http.createServer((request, response) => {
  if (leaving) response.setHeader('connection', 'close'); // the client comes again, to the successor
  response.end(`hello from ${process.pid}\n`);
});

// Where nobody has the port yet, takeOver changes nothing.
takeOver(server).listen(port, () => {
  console.log(`${process.pid} listens on ${port}`);
  if (!process.send) return;
  process.send('listening');
  process.disconnect();
});

/** Resolves when a new process listens. */
function startSuccessor() {
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    child.once('message', () => {
      leaving = true;
      child.unref();
      resolve();
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the new process ended with ${code}`)));
  });
}

process.on('SIGHUP', () => {
  handOver(server, startSuccessor).catch((error) => console.error(`still here: ${error.message}`));
});
