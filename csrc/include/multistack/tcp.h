/* TCP connections and listeners of a stack (RFC 9293 3.9.1, made for event loops: no call blocks).
 *
 * Life of a connection: mst_connect or mst_accept gives it; events tell its progress; mst_close or mst_abort gives it
 * back, whatever state it is in, and after that call the pointer is dead and no event comes. What was written before
 * mst_close is still delivered, by the stack, in the background. A connection that failed (MST_EV_ERROR) stays
 * readable for its error until it is closed. */
#ifndef MULTISTACK_TCP_H
#define MULTISTACK_TCP_H

#include "stack.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mst_conn mst_conn;
typedef struct mst_listener mst_listener;

enum mst_event {
  MST_EV_CONNECTED = 1, /* established; once */
  MST_EV_READABLE = 2,  /* new data or the peer's FIN has arrived since the last READABLE event */
  MST_EV_WRITABLE = 4,  /* there is room again after a write took less than it was given */
  MST_EV_ERROR = 8,     /* the connection is dead, mst_conn_error tells why; once, and no event after it */
  MST_EV_DRAINED = 16,  /* all that was written (and the FIN, when shut down) is acknowledged */
};

/* `events` is a set of MST_EV_..., at least one; one call per connection and batch of input. */
typedef void (*mst_conn_event_cb)(mst_conn *conn, unsigned events, void *user);

/* At least one connection waits in mst_accept since the last call. */
typedef void (*mst_listener_event_cb)(mst_listener *listener, void *user);

/* Listen on `binding` (MST_TCP). The binding may be unbound after this. `backlog` bounds the established connections
 * that wait for mst_accept, and half-open ones too (0: 128). 0, -MST_EADDRINUSE (there is a listener), -MST_ENOMEM,
 * -MST_EINVAL. */
int mst_listen(mst_binding *binding, unsigned backlog, mst_listener_event_cb event, void *user, mst_listener **out);

/* Stop listening. Connections that nobody accepted are reset. The pointer is dead after this. */
void mst_listener_close(mst_listener *listener);
void mst_listener_local(const mst_listener *listener, struct mst_endpoint *out);

/* The oldest established connection that waits, or NULL. The caller owns it. */
mst_conn *mst_accept(mst_listener *listener);

/* Open a connection to `remote`, from `binding` (shared, may be unbound after this) or, where it is NULL, from an
 * ephemeral port. 0 and *out, then CONNECTED or ERROR; or -MST_EADDRINUSE (the four-tuple exists), -MST_EADDRNOTAVAIL
 * (no ephemeral port), -MST_ENETUNREACH, -MST_EAFNOSUPPORT, -MST_EINVAL, -MST_ENOMEM. */
int mst_connect(mst_stack *stack, mst_binding *binding, const struct mst_endpoint *remote, mst_conn_event_cb event,
                void *user, mst_conn **out);

/* Who is told. A connection from mst_accept tells nobody until this is called; what happened before it is told by the
 * caller's own first mst_read. */
void mst_conn_set_event(mst_conn *conn, mst_conn_event_cb event, void *user);
void *mst_conn_user(const mst_conn *conn);

/* Copy received bytes out, in order, each once. n > 0; 0: the peer sent FIN and all before it was read; -MST_EAGAIN:
 * nothing yet; or the connection's error after all data was read. Reading opens the window. */
ptrdiff_t mst_read(mst_conn *conn, void *buffer, size_t bytes);

/* The same without the copy: up to `count` spans of received bytes, valid until the next call on this connection or
 * the end of the callback. Returns how many, 0 when there is nothing. mst_consume then takes `bytes` off the front. */
size_t mst_peek(mst_conn *conn, struct mst_iov *spans, size_t count);
void mst_consume(mst_conn *conn, size_t bytes);

/* Bytes that can be read now. */
size_t mst_readable_bytes(const mst_conn *conn);

/* Take bytes to send; they are copied. Returns how many, at least 1; -MST_EAGAIN when the buffer is full (WRITABLE
 * comes); -MST_ENOTCONN before the connection attempt; -MST_EPIPE after mst_shutdown; or the connection's error.
 * Writing while connecting is allowed. Sent at the next mst_stack_flush. */
ptrdiff_t mst_write(mst_conn *conn, const void *data, size_t bytes);
ptrdiff_t mst_writev(mst_conn *conn, const struct mst_iov *iov, size_t count);

/* Bytes that were written and are not yet acknowledged, and how many more can be written now. */
size_t mst_unacked_bytes(const mst_conn *conn);
size_t mst_writable_bytes(const mst_conn *conn);

/* Send FIN after what was written. Reading goes on. 0, -MST_ENOTCONN, or the connection's error. */
int mst_shutdown(mst_conn *conn);

/* Close: with unread data, or with linger 0, the peer is reset (RFC 2525 2.17), else FIN after what was written. */
void mst_close(mst_conn *conn);

/* Reset the peer (RFC 9293 3.10.5). */
void mst_abort(mst_conn *conn);

/* 0, or why the connection died: -MST_ECONNREFUSED, -MST_ECONNRESET, -MST_ETIMEDOUT, -MST_ENOBUFS (the stack is short
 * of memory and the peer has taken nothing for minutes), -MST_EHOSTUNREACH ... */
int mst_conn_error(const mst_conn *conn);

void mst_conn_local(const mst_conn *conn, struct mst_endpoint *out);
void mst_conn_remote(const mst_conn *conn, struct mst_endpoint *out);

/* Options and their defaults. Times in milliseconds. Set before connecting or at any time. 0, -MST_EINVAL,
 * -MST_ENOPROTOOPT. */
enum mst_tcp_option {
  MST_TCP_NODELAY,            /* 0; 1 switches Nagle's algorithm off (RFC 9293 3.7.4) */
  MST_TCP_KEEPALIVE,          /* 0; 1 switches keepalive on (RFC 9293 3.8.4) */
  MST_TCP_KEEPALIVE_IDLE,     /* 7,200,000 */
  MST_TCP_KEEPALIVE_INTERVAL, /* 75,000 */
  MST_TCP_KEEPALIVE_COUNT,    /* 9 */
  MST_TCP_LINGER,             /* -1: off; 0: close resets; n: a close in the background that lasts longer resets */
  MST_TCP_USER_TIMEOUT, /* 0: the default of RFC 9293 3.8.3 (R2, about 15 minutes); else when unacknowledged data kills
                         */
  MST_TCP_SEND_BUFFER, /* bytes: the most that may be written ahead. Less may, as long as the congestion window is small
                        */
  MST_TCP_RECEIVE_BUFFER,  /* bytes. Until it is set, the buffer follows what is read, up to the stack's
                              receive_buffer_bytes; the window offered never shrinks below what was promised */
  MST_TCP_OOBINLINE,       /* 1, and only 1: urgent data is delivered in line (RFC 6093 4) */
  MST_TCP_TOS,             /* 0; the DS field of what is sent */
  MST_TCP_TTL,             /* 64 */
  MST_TCP_ECN,             /* enum mst_ecn, the stack's; of a connection that has not yet sent its SYN */
  MST_TCP_MAX_PACING_RATE, /* 0: no limit; else bytes of TCP payload a second, spread evenly */
  MST_TCP_NOTSENT_LOWAT,   /* 0: no bound; else writes take no more than leaves so many bytes not yet sent, and WRITABLE
                              comes when less than half of them are left */
  /* RFC 5482: 0: the user timeout option is neither sent nor heeded; else what the peer is told to wait for us before
   * it gives up, and no less than which we wait for it once it has told us its own (at least 100 s, at most an hour).
   * What MST_TCP_USER_TIMEOUT sets is not changed by that. 1,000 to 1,966,020,000, told in whole seconds or minutes. */
  MST_TCP_USER_TIMEOUT_ADVERTISED,
  MST_TCP_USER_TIMEOUT_PEER, /* what the peer has told; 0: nothing. Not to be set */
};
int mst_conn_set_option(mst_conn *conn, enum mst_tcp_option option, int64_t value);
int64_t mst_conn_get_option(const mst_conn *conn, enum mst_tcp_option option);

/* Choose the congestion control of one connection by name, at any time: it goes on with the present window. 0 or
 * -MST_ENOENT. */
int mst_conn_set_congestion_control(mst_conn *conn, const char *name);

/* The names of those that there are, by index from 0; NULL: no more. "cubic" (RFC 9438, the default), "newreno" (RFC
 * 5681, 6582; "reno" is understood too) and "bbr" (version 3, draft-ietf-ccwg-bbr-06). */
const char *mst_congestion_control_name(size_t index);

/* True while urgent data that has been announced is still to be read (RFC 9293 3.8.5). */
bool mst_conn_urgent(const mst_conn *conn);
/* How many bytes are to be read until the last urgent one, itself included; they may still be on their way. 0: there is
 * no urgent data. */
size_t mst_conn_urgent_bytes(const mst_conn *conn);

enum mst_tcp_state {
  MST_CLOSED,
  MST_LISTEN,
  MST_SYN_SENT,
  MST_SYN_RECEIVED,
  MST_ESTABLISHED,
  MST_FIN_WAIT_1,
  MST_FIN_WAIT_2,
  MST_CLOSE_WAIT,
  MST_CLOSING,
  MST_LAST_ACK,
  MST_TIME_WAIT
};
const char *mst_tcp_state_name(enum mst_tcp_state state);

/* What congestion control reacts to now (Linux's tcp_ca_state). */
enum mst_tcp_ca_state {
  MST_CA_OPEN,     /* nothing suspicious */
  MST_CA_DISORDER, /* duplicate ACKs or SACKs, nothing is lost for certain */
  MST_CA_CWR,      /* the network has marked: the window was reduced and nothing is lost (RFC 3168) */
  MST_CA_RECOVERY, /* what is lost is sent again, found without a timeout */
  MST_CA_LOSS      /* the same after a retransmission timeout */
};
const char *mst_tcp_ca_state_name(enum mst_tcp_ca_state state);

enum mst_tcp_info_options {
  MST_TCPI_OPT_TIMESTAMPS = 1, /* RFC 7323 */
  MST_TCPI_OPT_SACK = 2,       /* RFC 2018 */
  MST_TCPI_OPT_WSCALE = 4,     /* RFC 7323 */
  MST_TCPI_OPT_ECN = 8,        /* RFC 3168, or accurate ECN */
  MST_TCPI_OPT_ECN_SEEN = 16,  /* and the peer's data came with ECT or CE */
};

/* A connection's state, under the names of Linux's struct tcp_info where the meaning is the same; where Linux counts
 * segments and this counts bytes the name ends with _bytes, and times carry their unit. Linux's fields that are not
 * here are not known. Fields are only added at the end: mst_conn_get_info fills what the caller's header knows, and
 * `size` says how much that is. Of a listener `state` and `local` are set alone, in TIME-WAIT `remote` too. */
struct mst_tcp_info {
  size_t size;
  enum mst_tcp_state state;
  enum mst_tcp_ca_state ca_state;
  struct mst_endpoint local, remote;
  const char *congestion_control;

  uint8_t retransmits; /* retransmission timeouts in a row */
  uint8_t probes;      /* zero-window or keepalive probes in a row without an answer */
  uint8_t backoff;     /* doublings of the RTO in force */
  uint8_t options;     /* MST_TCPI_OPT_... in use */
  uint8_t snd_wscale, rcv_wscale;

  uint32_t rto_us;
  uint32_t ato_us; /* how long an ACK is delayed now; 0: not at all */
  uint32_t rtt_us, rttvar_us, min_rtt_us;
  uint32_t snd_mss; /* payload of a full-sized segment sent */
  uint32_t rcv_mss; /* the largest segment that came */
  uint32_t advmss;  /* announced to the peer */
  uint32_t pmtu;

  uint32_t snd_cwnd_bytes, snd_ssthresh_bytes; /* ssthresh UINT32_MAX: none yet */
  uint32_t snd_wnd, rcv_wnd;                   /* bytes offered by the peer, and to it */
  uint32_t unacked_bytes;                      /* sent, not acknowledged by the ACK field */
  uint32_t notsent_bytes;                      /* written, not sent */
  uint32_t unread_bytes;                       /* received in order, not read; not Linux's */
  uint32_t flight_bytes;                       /* thought to be in the network; not Linux's */

  uint32_t last_data_sent_ms, last_data_recv_ms, last_ack_recv_ms; /* ago; UINT32_MAX: never */

  uint64_t pacing_rate;     /* bytes a second, UINT64_MAX: not paced */
  uint64_t max_pacing_rate; /* set by MST_TCP_MAX_PACING_RATE, UINT64_MAX: none */

  uint64_t bytes_sent;    /* of data, retransmissions included */
  uint64_t bytes_retrans; /* of data, sent again */
  uint64_t bytes_acked, bytes_received;
  uint64_t segs_out, segs_in, data_segs_out, data_segs_in;
  uint32_t total_retrans; /* segments, SYNs included */

  uint64_t busy_time_us;      /* something was to be sent or acknowledged; the next two are parts of it */
  uint64_t rwnd_limited_us;   /* the peer's window was used up */
  uint64_t sndbuf_limited_us; /* the application waited for room in the send buffer while all was sent */

  uint16_t total_rto, total_rto_recoveries; /* retransmission timeouts, and rows of them that an ACK has ended */
  uint32_t total_rto_time_ms;               /* spent in those rows */

  uint8_t ecn_mode;      /* 0: none, 1: RFC 3168, 2: accurate */
  uint32_t delivered_ce; /* segments sent that were reported as marked; RFC 3168: acknowledged with ECE */
  uint32_t received_ce;  /* segments received with the mark */
  uint32_t delivered_e0_bytes, delivered_e1_bytes, delivered_ce_bytes; /* as the peer's AccECN option has it, 24 bits */
  uint32_t received_e0_bytes, received_e1_bytes, received_ce_bytes;    /* accurate: as ours has it */

  uint32_t sacked_bytes;          /* outstanding, reported by SACK */
  uint32_t lost_bytes;            /* outstanding, thought lost and not yet sent again */
  uint32_t retrans_bytes;         /* outstanding, sent again and in flight */
  uint64_t delivered_bytes;       /* that arrived, SACKed ones included */
  uint32_t dsack_dups;            /* D-SACKs taken (RFC 2883) */
  uint32_t reord_seen;            /* segments that arrived behind later ones */
  uint32_t rcv_ooopack;           /* segments with data that came out of order */
  uint64_t delivery_rate;         /* bytes a second, the last good sample; 0: none yet */
  bool delivery_rate_app_limited; /* the application had nothing more to send meanwhile */
  uint32_t rcv_rtt_us;            /* the round trip as the receiver sees it; 0: not known */
  uint32_t rcv_space_bytes;       /* the most that was read in one such round trip */
};
/* Fill the first `size` bytes of *out. Calls nobody back. */
void mst_conn_get_info_sized(const mst_conn *conn, struct mst_tcp_info *out, size_t size);
static inline void mst_conn_get_info(const mst_conn *conn, struct mst_tcp_info *out) {
  mst_conn_get_info_sized(conn, out, sizeof *out);
}

/* Call `each` for every connection (TIME-WAIT included) and listener; it must not change the stack. */
void mst_stack_each_conn(const mst_stack *stack, void (*each)(const struct mst_tcp_info *info, void *user), void *user);

#ifdef __cplusplus
}
#endif
#endif
