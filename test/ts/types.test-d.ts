// The public types, tested as types: this file is compiled and never run. A line after @ts-expect-error must not compile.
import type net from 'node:net';
import type tls from 'node:tls';
import {
  configure,
  install,
  sockets,
  stats,
  setNotsentLowat,
  tcpInfo,
  type Options,
  type Route,
  type SocketInfo,
  type Stats,
  type TcpInfo,
} from 'multistack';
import userNet, { connect, createConnection, createServer, Server, Socket } from 'multistack/net';
import 'multistack/register';

type Equal<A, B> = [A, B] extends [B, A] ? true : false;
const same = <A, B>(equal: Equal<A, B>) => equal;

// configure
same<Parameters<typeof configure>, [options: Options]>(true);
configure({});
configure({ policy: 'listen:*=user', ports: ['xdp:eth0'], pcap: '/tmp/x.pcapng', trace: '/tmp/x.ndjson' });
configure({ policy: ['listen:*:80=user', 'connect:*=os'], ports: [] });
// @ts-expect-error: a policy is text
configure({ policy: 1 });
// @ts-expect-error: ports are a list
configure({ ports: 'xdp:lo' });
// @ts-expect-error: no such option
configure({ port: ['xdp:lo'] });
// @ts-expect-error: configure returns nothing
same<ReturnType<typeof configure>, object>(true);
// @ts-expect-error: install takes nothing
install(1);

// stats, sockets
same<ReturnType<typeof stats>, Stats>(true);
same<ReturnType<typeof sockets>, SocketInfo[]>(true);
const counted: number = stats().routes.listen.user;
const state: string | undefined = sockets()[0]?.remote?.address;
// @ts-expect-error: a listener has no remote end
const remote: string = sockets()[0].remote.address;
const route: Route = 'auto';
// @ts-expect-error: not a stack
const noRoute: Route = 'kernel';
export const used = [counted, state, remote, route, noRoute];

// tcpInfo
same<ReturnType<typeof tcpInfo>, TcpInfo | undefined>(true);
same<Parameters<typeof tcpInfo>, [socket: net.Socket]>(true);
same<ReturnType<Socket['tcpInfo']>, TcpInfo | undefined>(true);
same<Parameters<typeof setNotsentLowat>, [socket: net.Socket, bytes: number]>(true);
export function told(socket: net.Socket, secure: tls.TLSSocket): number {
  tcpInfo(secure);
  // @ts-expect-error: there may be nothing to tell
  const careless: number = tcpInfo(socket).rttUs;
  // @ts-expect-error: there is no slow-start threshold before congestion
  const threshold: number = tcpInfo(socket)?.sndSsthreshBytes;
  // @ts-expect-error: a server is no connection
  tcpInfo(createServer());
  const found: number | undefined = sockets()[0]?.sndCwndBytes;
  return careless + threshold + (found ?? tcpInfo(socket)?.bytesRetrans ?? 0);
}

// net: its classes are node's own
const server: net.Server = createServer();
createServer((socket) => {
  const accepted: net.Socket = socket;
  accepted.setNoDelay();
});
createServer({ allowHalfOpen: true, noDelay: true }, (socket) => socket.pipe(socket));
// @ts-expect-error: no such option
createServer({ halfOpen: true });
server.listen(80, '::', () => undefined);
server.listen({ port: 80 });
createServer().listen({ port: 80, host: '::', takeOver: true }, () => undefined);
createServer().listen(80, '::', () => undefined);
const client: net.Socket = connect({ port: 80, host: 'localhost', localPort: 1 }, () => undefined);
connect(80, 'localhost', () => client.setNoDelay());
connect(80);
createConnection(80, 'localhost');
// @ts-expect-error: a path is not TCP
connect('/tmp/socket');
// @ts-expect-error: the port is missing
connect({ host: 'localhost' });
same<InstanceType<typeof Server> extends net.Server ? true : false, true>(true);
same<InstanceType<typeof Socket> extends net.Socket ? true : false, true>(true);
same<typeof userNet.createServer, typeof createServer>(true);
new Socket({ allowHalfOpen: true }).connect(80).on('data', (chunk) => chunk.toString());
