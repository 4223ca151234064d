/* A stack: one instance of the user-space TCP/IP, a machine without clock or I/O. Its driver feeds it packets and the
 * time, and carries away what it sends.
 *
 * One stack, one thread: nothing here locks. `now_ns` is any monotonic clock, the same for all calls, never going
 * back. Callbacks of connections, listeners and UDP sockets run only inside mst_stack_input and mst_stack_advance,
 * and may call anything here but those two, mst_stack_flush and mst_stack_destroy. */
#ifndef MULTISTACK_STACK_H
#define MULTISTACK_STACK_H

#include "drop.h"
#include "env.h"
#include "error.h"
#include "packet.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mst_stack mst_stack;
struct mst_trace_event;

enum mst_route_flags {
  MST_ROUTE_LOCAL = 1, /* stays on this host */
};

struct mst_route {
  struct mst_addr source; /* the address to send from */
  uint32_t mtu;           /* of the first hop, in bytes of IP packet */
  uint32_t flags;         /* MST_ROUTE_... */
};

/* What a stack asks of the host around it. No call here may call back into the stack. */
struct mst_net {
  void *ctx;
  /* Hold `tuple`. With port 0 any free port is taken and written back; the choice is unpredictable (RFC 6056). From the
   * return on, packets to the tuple reach this stack and no OS program can take it. 0, -MST_EADDRINUSE, -MST_EACCES,
   * -MST_EADDRNOTAVAIL, -MST_ENOBUFS (no port free). */
  int (*lease)(void *ctx, struct mst_tuple *tuple);
  /* Let go of what lease gave. */
  void (*release)(void *ctx, const struct mst_tuple *tuple);
  /* How `destination` is reached. 0, -MST_ENETUNREACH, -MST_EHOSTUNREACH. */
  int (*route)(void *ctx, const struct mst_addr *destination, struct mst_route *out);
  /* Send. The headers (iov[0]) are copied before the return; further iov point into memory from env.alloc, which must
   * keep its contents until env.free of it has returned and may be read until then. 0, or -MST_EAGAIN when the ring
   * is full: the stack keeps the packet's data and tries again at the next flush. */
  int (*output)(void *ctx, const struct mst_packet *packet);
};

/* SYN cookies (RFC 4987 3.6): answers to SYNs that keep no state. Without timestamps they lose the window scale and
 * whatever else the SYN offered, but for its MSS, so by default they are the answer to a flood alone. */
enum mst_syn_cookies {
  MST_SYN_COOKIES_ON_OVERFLOW, /* when no more half-open connections are kept (Linux: tcp_syncookies = 1) */
  MST_SYN_COOKIES_NEVER,       /* then a SYN is dropped (0) */
  MST_SYN_COOKIES_ALWAYS,      /* for every SYN (2); when an ACK to one is lost, the peer has to speak first */
};

/* Explicit congestion notification. What a peer asks for is granted in any mode but OFF; CLASSIC grants RFC 3168 alone.
 */
enum mst_ecn {
  MST_ECN_IF_ASKED, /* the default: not asked for (Linux's tcp_ecn=2) */
  MST_ECN_OFF,
  MST_ECN_CLASSIC, /* asked for: RFC 3168 (Linux's tcp_ecn=1) */
  MST_ECN_ACCURATE /* asked for: draft-ietf-tcpm-accurate-ecn, or RFC 3168 where the peer has no more */
};

/* Packetization-layer path MTU discovery (RFC 4821): for paths that drop what is too large and do not say so. */
enum mst_mtu_probing {
  MST_MTU_PROBING_ON_BLACK_HOLE, /* the default: when large segments vanish (Linux: tcp_mtu_probing = 1) */
  MST_MTU_PROBING_OFF,           /* ICMP alone is believed (0) */
  MST_MTU_PROBING_ALWAYS,        /* begin with 1200 bytes (IPv6: 1280) and try what passes (2) */
};

struct mst_stack_options {
  size_t size; /* sizeof(struct mst_stack_options) */
  struct mst_env env;
  struct mst_net net;
  const char *congestion_control; /* a name that mst_congestion_control_name gives; NULL: "cubic" */
  uint32_t send_buffer_bytes;     /* per connection, 0: 4 MiB */
  uint32_t receive_buffer_bytes;  /* per connection, 0: 6 MiB; what the window may grow to as the application reads */
  uint32_t conns_max;             /* 0: 1,048,576; half-open ones count too */
  enum mst_syn_cookies syn_cookies;
  /* For all connections and sockets together, 0: 1 GiB. From three quarters of it on, windows are not opened further
   * than what a connection needs to go on, writers are turned away (-MST_EAGAIN, WRITABLE comes) and SYNs are not
   * answered; at the limit itself data is dropped that was not acknowledged. */
  uint64_t memory_max_bytes;
  bool no_sack; /* neither offer nor accept SACK (RFC 2018); Linux's net.ipv4.tcp_sack=0 */
  void (*trace)(void *ctx, const struct mst_trace_event *event); /* trace.h; NULL: nobody listens */
  void *trace_ctx;
  enum mst_ecn ecn; /* 0: MST_ECN_IF_ASKED */
  enum mst_mtu_probing mtu_probing;
};

/* Make a stack. The options are copied. 0, -MST_EINVAL, -MST_ENOMEM. */
int mst_stack_create(const struct mst_stack_options *options, mst_stack **out);

/* Give back all memory and leases; sends nothing, calls nobody back. All connections, listeners, sockets and bindings
 * of the stack are gone with it. */
void mst_stack_destroy(mst_stack *stack);

/* Take `count` packets, each in one contiguous iov, which need to live only for the call. Runs callbacks. */
void mst_stack_input(mst_stack *stack, const struct mst_packet *packets, size_t count, uint64_t now_ns);

/* Run the timers that are due. Runs callbacks. */
void mst_stack_advance(mst_stack *stack, uint64_t now_ns);

/* Send what connections have ready: call it once a loop turn after the application has run, and after input. */
void mst_stack_flush(mst_stack *stack, uint64_t now_ns);

/* The network is there again after it was away: at the next flush every established connection sends an ACK, so that
 * peers, and whoever leads flows on the way, hear of it. */
void mst_stack_announce(mst_stack *stack);

/* When mst_stack_advance is next wanted; UINT64_MAX: never. */
uint64_t mst_stack_next_deadline(const mst_stack *stack);

/* X(name, nstat, text): counters of a stack. `nstat` is the name under which Linux counts the same thing (`nstat -az`),
 * NULL where it does not; IPv4 and IPv6 are counted together. */
#define MST_STACK_COUNTER_MAP(X)                                                                                       \
  X(ip_in_receives, "IpInReceives", "packets taken in")                                                                \
  X(ip_out_requests, "IpOutRequests", "packets sent")                                                                  \
  X(ip_in_octets, "IpExtInOctets", "bytes of IP packets taken in")                                                     \
  X(ip_out_octets, "IpExtOutOctets", "bytes of IP packets sent")                                                       \
  X(ip_in_no_ect_pkts, "IpExtInNoECTPkts", "packets with Not-ECT in the ECN field")                                    \
  X(ip_in_ect1_pkts, "IpExtInECT1Pkts", "packets with ECT(1)")                                                         \
  X(ip_in_ect0_pkts, "IpExtInECT0Pkts", "packets with ECT(0)")                                                         \
  X(ip_in_ce_pkts, "IpExtInCEPkts", "packets marked with CE")                                                          \
  X(tcp_active_opens, "TcpActiveOpens", "connections opened from here")                                                \
  X(tcp_passive_opens, "TcpPassiveOpens", "connections accepted")                                                      \
  X(tcp_attempt_fails, "TcpAttemptFails", "connections that failed before they were established")                      \
  X(tcp_estab_resets, "TcpEstabResets", "established connections that were reset")                                     \
  X(tcp_in_segs, "TcpInSegs", "segments taken in")                                                                     \
  X(tcp_out_segs, "TcpOutSegs", "segments sent")                                                                       \
  X(tcp_retrans_segs, "TcpRetransSegs", "segments retransmitted")                                                      \
  X(tcp_out_rsts, "TcpOutRsts", "resets sent")                                                                         \
  X(tcp_timeouts, "TcpExtTCPTimeouts", "retransmission timeouts")                                                      \
  X(tcp_syn_retrans, "TcpExtTCPSynRetrans", "SYNs and SYN,ACKs retransmitted")                                         \
  X(tcp_orig_data_sent, "TcpExtTCPOrigDataSent", "segments with data, retransmissions not counted")                    \
  X(tcp_abort_on_data, "TcpExtTCPAbortOnData", "resets since data came after the close")                               \
  X(tcp_abort_on_close, "TcpExtTCPAbortOnClose", "resets since a close left data unread")                              \
  X(tcp_abort_on_memory, "TcpExtTCPAbortOnMemory", "connections given up since others had no memory to send")          \
  X(tcp_abort_on_timeout, "TcpExtTCPAbortOnTimeout", "connections given up since the peer was silent for too long")    \
  X(tcp_embryonic_rsts, "TcpExtEmbryonicRsts", "resets taken in in SYN-RECEIVED")                                      \
  X(tcp_sack_recovery, "TcpExtTCPSackRecovery", "fast recoveries begun, with SACK")                                    \
  X(tcp_reno_recovery, "TcpExtTCPRenoRecovery", "fast recoveries begun, without SACK")                                 \
  X(tcp_fast_retrans, "TcpExtTCPFastRetrans", "segments retransmitted in fast recovery")                               \
  X(tcp_slow_start_retrans, "TcpExtTCPSlowStartRetrans", "segments retransmitted after a timeout")                     \
  X(tcp_lost_retransmit, "TcpExtTCPLostRetransmit", "retransmissions that were lost again")                            \
  X(tcp_dsack_recv, "TcpExtTCPDSACKRecv", "D-SACKs taken in (RFC 2883)")                                               \
  X(tcp_sack_reorder, "TcpExtTCPSACKReorder", "segments found to have arrived behind later ones")                      \
  X(tcp_loss_probes, "TcpExtTCPLossProbes", "tail loss probes sent (RFC 8985 7)")                                      \
  X(tcp_loss_probe_recovery, "TcpExtTCPLossProbeRecovery", "losses that a tail loss probe repaired")                   \
  X(tcp_spurious_rtos, "TcpExtTCPSpuriousRTOs", "timeouts found spurious and undone")                                  \
  X(tcp_spurious_recoveries, NULL, "recoveries found spurious and undone")                                             \
  X(tcp_sack_reneging, "TcpExtTCPSACKReneging", "peers that dropped what they had SACKed")                             \
  X(tcp_ofo_queue, "TcpExtTCPOFOQueue", "segments taken in out of order")                                              \
  X(tcp_dsack_old_sent, "TcpExtTCPDSACKOldSent", "D-SACKs sent for data below RCV.NXT")                                \
  X(tcp_dsack_ofo_sent, "TcpExtTCPDSACKOfoSent", "D-SACKs sent for data held out of order")                            \
  X(tcp_to_zero_window_adv, "TcpExtTCPToZeroWindowAdv", "segments that closed the window offered")                     \
  X(tcp_from_zero_window_adv, "TcpExtTCPFromZeroWindowAdv", "segments that opened it again")                           \
  X(tcp_challenge_acks, "TcpExtTCPChallengeACK", "challenge ACKs sent (RFC 5961)")                                     \
  X(tcp_ack_skipped_challenge, "TcpExtTCPACKSkippedChallenge", "challenge ACKs not sent, for too many were")           \
  X(tcp_delayed_acks, "TcpExtDelayedACKs", "delayed ACKs sent by timer")                                               \
  X(tcp_zero_window_probes, "TcpExtTCPWinProbe", "zero-window probes sent")                                            \
  X(tcp_keepalives, "TcpExtTCPKeepAlive", "keepalive probes sent")                                                     \
  X(tcp_memory_pressures, "TcpExtTCPMemoryPressures", "times that memory became short")                                \
  X(tcp_ofo_pruned, "TcpExtOfoPruned", "runs of data out of order let go for want of memory")                          \
  X(tcp_time_wait, NULL, "connections that entered TIME-WAIT")                                                         \
  X(tcp_urgent, NULL, "segments with URG taken in")                                                                    \
  X(tcp_pmtu_reductions, NULL, "path MTU reductions by ICMP")                                                          \
  X(tcp_mtu_probes, NULL, "probes for a larger path MTU (RFC 4821)")                                                   \
  X(tcp_mtup_success, "TcpExtTCPMTUPSuccess", "of them arrived")                                                       \
  X(tcp_mtup_fail, "TcpExtTCPMTUPFail", "of them lost")                                                                \
  X(tcp_mtu_black_holes, NULL, "path MTU reductions because large segments vanished")                                  \
  X(tcp_mtu_held, NULL, "ICMP reports held back because larger packets had arrived (RFC 5927 7.2)")                    \
  X(tcp_syncookies_sent, "TcpExtSyncookiesSent", "SYN cookies sent")                                                   \
  X(tcp_syncookies_recv, "TcpExtSyncookiesRecv", "SYN cookies that came back")                                         \
  X(tcp_syncookies_failed, "TcpExtSyncookiesFailed", "ACKs to a listener that hold no valid SYN cookie")               \
  X(tcp_req_q_full_do_cookies, "TcpExtTCPReqQFullDoCookies", "SYNs answered by a cookie for lack of room")             \
  X(tcp_req_q_full_drop, "TcpExtTCPReqQFullDrop", "SYNs dropped for lack of room")                                     \
  X(tcp_listen_overflows, "TcpExtListenOverflows", "SYNs and handshakes refused as too many wait for accept")          \
  X(tcp_listen_drops, "TcpExtListenDrops", "SYNs and handshakes refused by a listener for any reason")                 \
  X(tcp_delivered_ce, "TcpExtTCPDeliveredCE", "segments sent that were reported as marked with CE")                    \
  X(tcp_ecn_reductions, NULL, "reductions of the congestion window for marks")                                         \
  X(tcp_ecn_fallbacks, NULL, "handshakes that went on without ECN when packets with it were lost")                     \
  X(tcp_ecn_mangled, NULL, "connections that gave up ECT as the feedback did not fit what was sent")                   \
  X(tcp_ecn_bleached, NULL, "connections that gave up ECT as something clears it on the way")                          \
  X(tcp_ecn_blackholes, NULL, "connections that gave up ECT as packets with it vanish")                                \
  X(udp_in_datagrams, "UdpInDatagrams", "datagrams delivered")                                                         \
  X(udp_out_datagrams, "UdpOutDatagrams", "datagrams sent")                                                            \
  X(udp_no_ports, "UdpNoPorts", "datagrams to no socket")                                                              \
  X(icmp_in_msgs, "IcmpInMsgs", "ICMP messages taken in")

struct mst_stack_stats {
#define MST__X(name, nstat, text) uint64_t name;
  MST_STACK_COUNTER_MAP(MST__X)
#undef MST__X
  uint64_t drops[MST_DROP_COUNT];
  uint64_t conns;        /* now open, TIME-WAIT not included */
  uint64_t time_wait;    /* now in TIME-WAIT */
  uint64_t memory_bytes; /* now taken from env.alloc */
};

void mst_stack_get_stats(const mst_stack *stack, struct mst_stack_stats *out);

struct mst_stack_counter {
  const char *name;  /* of the field in struct mst_stack_stats */
  const char *nstat; /* as in MST_STACK_COUNTER_MAP; NULL: Linux has no such counter */
  const char *text;  /* what it counts */
  size_t offset;     /* of the uint64_t in struct mst_stack_stats */
};

/* The counters in the order of MST_STACK_COUNTER_MAP, then drops that Linux counts too ("drops.TCP_PAWS"), for those
 * who list them. Static. NULL: no counter has this index, nor any higher one. */
const struct mst_stack_counter *mst_stack_counter_at(size_t index);

/* Hold a local tuple before its use. Port 0 takes any free port. A tuple that is bound already in this stack is shared
 * while it has no listener (the meaning of SO_REUSEADDR). 0 or what net.lease returned. The binding belongs to the
 * caller until mst_unbind; listeners and connections made from it keep the lease alive by themselves. */
typedef struct mst_binding mst_binding;
int mst_bind(mst_stack *stack, enum mst_protocol protocol, const struct mst_endpoint *local, unsigned bind_flags,
             mst_binding **out);
void mst_unbind(mst_binding *binding);
void mst_binding_local(const mst_binding *binding, struct mst_endpoint *out);

#ifdef __cplusplus
}
#endif
#endif
