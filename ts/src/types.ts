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
  /**
   * Port specs, as in `multistack run --port`: devices, or `unix:PATH` alone for the multistackd whose socket that is. An
   * empty list: a host alone in this process, without devices. Where MULTISTACK=unix:PATH is set, that daemon takes the
   * place of devices; where nothing is said at all, the one at /run/multistack/default does, if there is one.
   */
  ports?: readonly string[];
  /** Record every packet to this file as pcapng. Not with a multistackd: `multistack dump` records there. */
  pcap?: string;
  /** The congestion control of all connections: `cubic` (the default), `newreno` or `bbr`. */
  congestionControl?: string;
  /** Write the event trace of all connections to this file (TRACE.md); `multistack plot` draws it. */
  trace?: string;
}

export interface Endpoint {
  address: string;
  port: number;
}

/**
 * The state of a connection, under the names of Linux's `struct tcp_info` where the meaning is the same. Names tell the
 * units; `...Bytes` stands where Linux counts segments. What is not known (yet) is absent.
 */
export interface TcpInfo {
  /** RFC 9293's name of the state. */
  state: string;
  local: Endpoint;
  remote: Endpoint;
  caState: 'Open' | 'Disorder' | 'CWR' | 'Recovery' | 'Loss';
  /** By name, as in Linux: "cubic". */
  congestionControl: string;
  /** What is in use. */
  options: ('timestamps' | 'sack' | 'wscale' | 'ecn' | 'ecnseen')[];
  ecnMode: 'none' | 'classic' | 'accurate';
  /** Retransmission timeouts in a row. */
  retransmits: number;
  /** Zero-window or keepalive probes in a row without an answer. */
  probes: number;
  /** Doublings of the RTO in force. */
  backoff: number;
  sndWscale: number;
  rcvWscale: number;
  rtoUs: number;
  /** How long an ACK is delayed now; 0: not at all. */
  atoUs: number;
  rttUs: number;
  rttvarUs: number;
  minRttUs: number;
  /** Payload of a full-sized segment sent. */
  sndMss: number;
  /** The largest segment that came. */
  rcvMss: number;
  /** Announced to the peer. */
  advmss: number;
  pmtu: number;
  sndCwndBytes: number;
  /** Absent until congestion was met. */
  sndSsthreshBytes?: number;
  /** Bytes offered by the peer. */
  sndWnd: number;
  /** Bytes offered to the peer. */
  rcvWnd: number;
  /** Sent and not acknowledged. */
  unackedBytes: number;
  /** Written and not sent. */
  notsentBytes: number;
  /** Received and not read; not Linux's. */
  unreadBytes: number;
  /** Thought to be in the network; not Linux's. */
  flightBytes: number;
  /** Outstanding, reported by SACK. */
  sackedBytes: number;
  /** Outstanding, thought lost and not yet sent again. */
  lostBytes: number;
  /** Outstanding, sent again and in flight. */
  retransBytes: number;
  /** That arrived, SACKed ones included. */
  deliveredBytes: number;
  /** Segments reported as marked by the network. */
  deliveredCe: number;
  /** Segments that came with the mark; not Linux's. */
  receivedCe: number;
  /** D-SACKs taken in (RFC 2883). */
  dsackDups: number;
  /** Segments that arrived behind later ones. */
  reordSeen: number;
  /** Segments that came out of order. */
  rcvOoopack: number;
  /** The round trip as the receiver sees it; 0: not known. */
  rcvRttUs: number;
  /** The most that was read in one such round trip. */
  rcvSpaceBytes: number;
  /** Bytes a second; 0: not known. */
  deliveryRate: number;
  /** The application had nothing more to send while it was measured. */
  deliveryRateAppLimited: boolean;
  /** Bytes a second; absent: not paced. */
  pacingRate?: number;
  /** Bytes a second; absent: no limit. */
  maxPacingRate?: number;
  lastDataSentMs?: number;
  lastDataRecvMs?: number;
  lastAckRecvMs?: number;
  /** Retransmissions included. */
  bytesSent: number;
  bytesRetrans: number;
  bytesAcked: number;
  bytesReceived: number;
  segsOut: number;
  segsIn: number;
  dataSegsOut: number;
  dataSegsIn: number;
  totalRetrans: number;
  /** Something was to be sent or acknowledged; the next two are parts of it. */
  busyTimeUs: number;
  /** The peer's window was used up. */
  rwndLimitedUs: number;
  /** The program waited for room in the send buffer while all was sent. */
  sndbufLimitedUs: number;
  totalRto: number;
  totalRtoRecoveries: number;
  totalRtoTimeMs: number;
}

/** A socket of the user stack. Of a listener, of UDP and in TIME-WAIT only the first are there. */
export type SocketInfo = { protocol: 'tcp' | 'udp' } & Pick<TcpInfo, 'state' | 'local'> & Partial<TcpInfo>;

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
