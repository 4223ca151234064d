// An HTTP server as anybody would write it: it knows nothing of MultiStack.
//   node hello-http.mjs                                        on the OS stack
//   multistack run --port xdp:lo -- node hello-http.mjs        on a user stack
import http from 'node:http';

const port = Number(process.env.PORT ?? 8080);

const server = http.createServer((request, response) => {
  const { localAddress, remoteAddress, remotePort } = request.socket;
  // The C++ class that Node's socket stands on: LibuvStreamWrap is the OS stack's, JSStream is MultiStack's.
  const stream = Object.getPrototypeOf(Object.getPrototypeOf(request.socket._handle));
  response.setHeader('x-stream', stream.constructor.name);
  response.end(`hello ${remoteAddress}:${remotePort} from ${localAddress}:${port}\n`);
});

server.listen(port, () => console.log(`listening on ${port}`));

process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
