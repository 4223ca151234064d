// An HTTP server for a load generator: the smallest response that Node's http makes.
import http from 'node:http';

const server = http.createServer((_request, response) => response.end('hello\n'));
server.keepAliveTimeout = 60_000;
server.listen(Number(process.env.PORT ?? 8080), process.env.HOST ?? '127.0.0.1');

process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
