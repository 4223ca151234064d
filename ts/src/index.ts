// The package's face: settings, statistics and types. `multistack/net` is net over the user stack, `multistack/register`
// puts it under a whole program.
export { configure, sockets, stats } from './host.js';
export { handOver, takeOver } from './hand-over.js';
export { install } from './install.js';
export { setNotsentLowat } from './notsent-lowat.js';
export { tcpInfo } from './tcp-info.js';
export type { Endpoint, Options, Route, RouteCounts, SocketInfo, Stats, TcpInfo } from './types.js';
