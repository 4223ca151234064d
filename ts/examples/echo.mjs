// An echo server and its client on a user stack, in a program that says so: `multistack/net` is node:net with another
// stack underneath, and the global one is left alone. Without a device (`ports: []`) it needs no privilege.
//   node echo.mjs
import { configure, sockets } from 'multistack';
import { connect, createServer } from 'multistack/net';

configure({ ports: [] });

const server = createServer((socket) => socket.pipe(socket));
server.listen(7, '127.0.0.1', () => {
  const client = connect(7, '127.0.0.1', () => {
    for (const { state, local, remote } of sockets()) {
      console.log(state, `${local.address}:${local.port}`, remote ? `${remote.address}:${remote.port}` : '');
    }
    client.end('hello\n');
  });
  client.pipe(process.stdout);
  client.on('close', () => server.close());
});
