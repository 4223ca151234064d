// The public types.

/** Who carries a socket: the user stack, the OS's, or (`auto`) the user stack where that is possible. */
export type Route = 'user' | 'os' | 'auto';

export interface Options {
  /**
   * Which listen and connect go to the user stack: rules separated by commas, the first that matches decides.
   * `listen:ADDRESS[:PORT]=user|os|auto` and `connect:ADDRESS[:PORT]=user|os|auto`, where ADDRESS is `*`, an IPv4
   * address or subnet, or an IPv6 one in brackets, and PORT is a number or a range. What no rule matches: `listen`
   * goes to the user stack, `connect` there when the destination is held by a user stack, else to the OS stack.
   */
  policy?: string | readonly string[];
  /** Port specs, as in `multistack run --port`; an empty list: a host alone in this process, without devices. */
  ports?: readonly string[];
  /** Record every packet to this file as pcapng. */
  pcap?: string;
  /** The congestion control of all connections: `cubic` (the default), `newreno` or `bbr`. */
  congestionControl?: string;
}

export interface Endpoint {
  address: string;
  port: number;
}

/** A connection or a listener of the user stack. */
export interface SocketInfo {
  /** RFC 9293's name of the state. */
  state: string;
  local: Endpoint;
  /** All from here on: connections only. */
  remote?: Endpoint;
  congestionControl?: string;
  rttUs?: number;
  congestionWindowBytes?: number;
  unackedBytes?: number;
  unsentBytes?: number;
  unreadBytes?: number;
  retransmits?: number;
  bytesSent?: number;
  bytesReceived?: number;
}

/** How many sockets went to which stack. */
export interface RouteCounts {
  listen: { user: number; os: number };
  connect: { user: number; os: number };
}

export interface Stats {
  routes: RouteCounts;
  /** Ports, switch, channels and stacks of this process's host; absent until a socket has needed it. */
  host?: Record<string, unknown>;
}
