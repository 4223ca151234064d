// The OS stack's part of test_stacks.sh: an HTTP server for one file, and UDP sockets that send back what they get.
//   node os_peers.mjs FILE http:ADDR:PORT|udp:ADDR:PORT...
// Prints "listening" when all are up.
import dgram from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';

const [file, ...sockets] = process.argv.slice(2);
const body = readFileSync(file);

for (const socket of sockets) {
  const [kind, address, port] = socket.split(':');
  if (kind === 'http') {
    const server = http.createServer((request, response) => response.end(body));
    await once(server.listen(Number(port), address), 'listening');
  } else {
    const echo = dgram.createSocket('udp4');
    echo.on('message', (message, from) => echo.send(message, from.port, from.address));
    echo.bind(Number(port), address);
    await once(echo, 'listening');
  }
}
console.log('listening');
