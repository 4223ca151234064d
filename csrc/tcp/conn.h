/* The inside of a TCP connection. Field names are RFC 9293 3.3.1's and RFC 7323's. */
#ifndef MST_TCP_CONN_H
#define MST_TCP_CONN_H

#include "base/assert.h"
#include "base/seq.h"
#include "multistack/tcp.h"
#include "stack/stack.h"
#include "tcp/cc/cc.h"
#include "tcp/chrono.h"
#include "tcp/ecn.h"
#include "tcp/loss/loss.h"
#include "tcp/mtu_probe.h"
#include "tcp/recvq.h"
#include "tcp/sack.h"
#include "tcp/sendq.h"
#include "tcp/sent.h"
#include "wire/tcp.h"

#define MST__MS 1000000ull
#define MST__SECOND 1000000000ull

#define MST__MSL_NS (30 * MST__SECOND)        /* RFC 9293 3.4.2 says 2 minutes; 30 s is what hosts use */
#define MST__TIME_WAIT_NS (2 * MST__MSL_NS)   /* RFC 9293 3.6.1 */
#define MST__FIN_WAIT_2_NS (60 * MST__SECOND) /* with nobody left to read */
#define MST__DELACK_NS (40 * MST__MS)         /* RFC 9293 3.8.6.3: below 500 ms */
#define MST__QUICKACKS 16                     /* segments acknowledged at once, at the start */
#define MST__RTO_INITIAL_NS MST__SECOND       /* RFC 6298 2.1 */
#define MST__RTO_MIN_NS (200 * MST__MS)
#define MST__RTO_MAX_NS (120 * MST__SECOND) /* RFC 6298 2.5: at least 60 s */
#define MST__SYN_RETRIES 7                  /* RFC 9293 3.8.3: at least 3 minutes */
#define MST__RETRIES 15                     /* R2 of RFC 9293 3.8.3, about 15 minutes */
#define MST__ORPHAN_RETRIES 8               /* the same for a connection that nobody holds any more */
#define MST__ORPHAN_PROBES 40               /* about an hour, while the peer keeps its window closed */
#define MST__WINDOW_SCALE_MAX 14            /* RFC 7323 2.3 */
#define MST__MSS_DEFAULT_IP4 536            /* RFC 9293 3.7.1 */
#define MST__MSS_DEFAULT_IP6 1220
#define MST__MSS_MIN 48                       /* less than this a peer or an ICMP message may not ask for */
#define MST__RECEIVE_BYTES_FIRST (128u << 10) /* the receive buffer before it has been seen to be too small */
#define MST__SEND_LIMIT_BYTES (256u << 10)    /* what may always be written ahead; more follows cwnd */

/* What the conns table holds: a connection, what there is before it (SYN-RECEIVED) and what is left of it (TIME-WAIT).
 */
enum mst__flow_kind { MST__FLOW_CONN, MST__FLOW_HALF_OPEN, MST__FLOW_TIME_WAIT };

struct mst__flow {
  struct mst__hash_node node;
  struct mst_addr local_addr, remote_addr;
  uint16_t local_port, remote_port;
  uint8_t kind; /* enum mst__flow_kind */
};

/* How many challenge ACKs a peer has had of late. */
struct mst__throttle {
  uint32_t period;
  uint8_t count;
};

enum mst__conn_timer {
  MST__TIMER_REORDER,    /* RFC 8985 6.2 step 5 */
  MST__TIMER_PROBE,      /* RFC 8985 7.2 */
  MST__TIMER_RETRANSMIT, /* RFC 6298; the persist timer of RFC 9293 3.8.6.1 while the peer's window is closed */
  MST__TIMER_DELACK,     /* RFC 9293 3.8.6.3 */
  MST__TIMER_KEEPALIVE,  /* RFC 9293 3.8.4 */
  MST__TIMER_END,        /* linger, and FIN-WAIT-2 of an orphan */
  MST__TIMER_PACING,     /* what congestion control spreads over time may go on */
  MST__TIMER_COUNT
};

/* How much of the congestion window is used (window_use.c). */
struct mst__window_use {
  uint64_t full_at_ns;    /* when it last was used in full */
  uint32_t end_seq;       /* where the round that the next two tell of ends */
  uint32_t outstanding;   /* the most in this round */
  uint32_t starved_bytes; /* the most since full_at_ns */
  bool limited;           /* the window held the sender back in this round */
};

/* How the receive buffer finds its size. */
struct mst__recv_tuning {
  uint64_t rtt_ns; /* as the receiver sees it; 0: not yet */
  uint64_t round_start_ns, window_start_ns;
  uint32_t round_seq;   /* where the reader was at the start of this round trip */
  uint32_t round_bytes; /* the most that was read in one */
  uint32_t window_seq;  /* passing it ends the window that began at window_start_ns */
  uint32_t last_echo;   /* the timestamp echo that was measured last */
};

/* RFC 5482 3, with its names: USER_TIMEOUT, ADV_UTO (0: not ENABLED), REMOTE_UTO (0: none came), not CHANGEABLE. */
struct mst__user_timeout {
  uint32_t ms, advertised_ms, peer_ms;
  bool fixed;
  bool wanted; /* the option is to go out */
};

struct mst_conn {
  struct mst__flow flow;
  mst_stack *stack;
  uint64_t id; /* in the trace */
  mst_binding *binding;
  struct mst__list all_node, output_node, borrowed_node, memory_node;
  struct mst_listener *listener; /* until accepted */
  struct mst__list listener_node;

  mst_conn_event_cb event;
  void *user;
  struct mst__notice notice;
  uint8_t events; /* MST_EV_... to tell */

  uint8_t state; /* enum mst_tcp_state */
  int16_t error; /* -MST_E... once dead */
  int16_t soft_error;
  uint32_t scope_id;

  /* Options of the handshake, and what the application set. */
  bool orphan : 1;  /* mst_close was called: the stack finishes alone */
  bool hashed : 1;  /* in the conns table */
  bool ts_ok : 1;   /* Snd.TS.OK (RFC 7323) */
  bool sack_ok : 1; /* both sides said SACK permitted (RFC 2018 2) */
  bool wscale_ok : 1;
  bool fin_wanted : 1;   /* FIN follows the queued bytes */
  bool fin_sent : 1;     /* SND.NXT has passed it */
  bool fin_received : 1; /* RCV.NXT has passed it */
  bool ack_now : 1;
  bool want_write : 1; /* a write took less than it was given */
  bool want_drain : 1;
  bool cwnd_limited : 1;
  bool syn_wanted : 1;   /* SYN or SYN,ACK is to be sent */
  bool probe_wanted : 1; /* a zero-window probe or keepalive is to be sent */
  bool rtt_known : 1;
  bool syn_retransmitted : 1;
  bool urgent : 1;       /* rcv_up is ahead of what was read */
  bool accept_ready : 1; /* in the listener's queue for mst_accept */
  bool passive : 1;      /* opened by LISTEN (RFC 9293 3.10.7.4, RST in SYN-RECEIVED) */
  bool nodelay : 1;
  bool keepalive : 1;
  bool receive_buffer_fixed : 1; /* by the application: it does not follow what is read */
  bool offered_zero : 1;         /* the window that was offered last */
  bool end_wanted : 1;           /* mst_close was called: the timer of the end is to be set */
  bool probe_window : 1; /* the persist timer went off: a byte may go beyond the window, or less than a segment into it
                          */
  uint8_t tos, ttl;

  /* Send sequence variables. */
  uint32_t iss, snd_una, snd_nxt, snd_wl1, snd_wl2;
  uint32_t snd_wnd;     /* scaled */
  uint32_t snd_wnd_max; /* Max(SND.WND) */
  uint32_t snd_sml;     /* end of the last small segment sent (Nagle, in Minshall's variant) */
  uint32_t snd_mss;     /* Eff.snd.MSS without the options of a segment */
  uint32_t peer_mss;    /* what the peer's MSS option said */
  uint32_t path_mtu;
  uint8_t snd_wscale, rcv_wscale;

  /* Receive sequence variables. */
  uint32_t irs, rcv_nxt, rcv_adv; /* rcv_adv: right edge of the window that was offered */
  uint32_t rcv_up, fin_seq;       /* fin_seq: of a FIN that came out of order or in order */
  uint32_t last_ack_sent;
  uint32_t rcv_mss; /* the largest segment that came, to count full-sized ones */
  uint32_t unacked_segment_bytes;
  bool fin_pending;
  uint8_t quickacks;
  uint16_t last_segment_bytes;
  uint16_t acks_owed; /* duplicates owed to segments out of order */
  struct mst__sack sack;

  /* Timestamps (RFC 7323). */
  uint32_t ts_offset, ts_recent;
  uint64_t ts_recent_at_ns;

  /* RFC 6298 */
  uint64_t srtt_ns, rttvar_ns, rto_ns, min_rtt_ns;
  uint64_t syn_sent_ns;         /* 0: more than once */
  uint8_t retries;              /* of the retransmission timer, in a row */
  uint8_t probes;               /* of keepalive or persist, in a row */
  uint64_t first_unanswered_ns; /* when the oldest unanswered transmission went off; 0: none */
  uint64_t last_heard_ns;
  uint64_t last_data_ns; /* when data was last sent */
  uint64_t probe_answered_ns;
  struct mst__throttle challenges;
  uint64_t last_data_received_ns; /* 0: never */
  struct mst__chrono chrono;

  struct mst__ecn ecn;
  struct mst__mtu_probe mtu_probe;
  struct mst__cc cc;
  struct mst__window_use window_use;
  uint64_t pacing_at_ns; /* when what has been sent will have gone at the pacing rate */
  uint64_t pacing_max;   /* bytes a second that the application allows, 0: any */
  const struct mst__loss_ops *loss;
  struct mst__recovery recovery;
  struct mst__sent_queue sent;

  struct mst__sendq sendq; /* first byte is at snd_una, once SYN is acknowledged */
  struct mst__recvq recvq;
  uint32_t send_buffer_bytes, receive_buffer_bytes;
  uint32_t notsent_lowat; /* 0: none */
  struct mst__recv_tuning tuning;

  struct mst__alarm alarm; /* armed for the earliest of timer_at_ns */
  uint64_t timer_at_ns[MST__TIMER_COUNT];
  uint32_t keepalive_idle_ms, keepalive_interval_ms;
  struct mst__user_timeout user_timeout;
  int32_t linger_ms;
  uint8_t keepalive_count;

  uint64_t bytes_sent, bytes_retrans, bytes_acked, bytes_received;
  uint64_t segs_out, segs_in, data_segs_out, data_segs_in;
  uint32_t total_retrans, rcv_ooopack;
  uint64_t rate_bytes, rate_interval_ns; /* the delivery rate */
  bool rate_app_limited;
};

static inline struct mst_conn *mst__flow_conn(struct mst__flow *flow) {
  return (struct mst_conn *)(void *)flow;
}

/* --- terms.c: what the two SYNs settle --- */
struct mst__terms {
  uint32_t ts_recent;
  uint16_t peer_mss; /* what the peer's MSS option said, 0: nothing */
  uint8_t snd_wscale, rcv_wscale;
  bool wscale_ok, ts_ok, sack_ok;
  struct mst__ecn_syn ecn; /* of the peer's SYN */
};
/* The scale that such a buffer is offered with. */
uint8_t mst__window_scale(uint32_t receive_buffer_bytes);
/* What the peer's SYN leaves us with; `rcv_wscale` and `sack`: what we offer, or have offered. */
void mst__terms_of_syn(struct mst__terms *terms, const struct mst__tcp *tcp, uint8_t rcv_wscale, bool sack);
/* The options of our SYN, or of the SYN,ACK which answers only what was offered. */
void mst__terms_to_options(const struct mst__terms *terms, uint16_t mss, bool answer, struct mst__tcp_options *options);
void mst__conn_terms(const struct mst_conn *conn, struct mst__terms *terms);
void mst__conn_set_terms(struct mst_conn *conn, const struct mst__terms *terms);

/* Bytes thought to be in the network (RFC 6675's pipe). */
static inline uint32_t mst__recovery_flight(const struct mst_conn *conn) {
  uint32_t flight = conn->sent.flight_bytes, left = conn->loss->left ? conn->loss->left(conn) : 0;
  return flight > left ? flight - left : 0;
}

/* --- conn.c: birth, death, events --- */
struct mst__flow *mst__flow_find(mst_stack *stack, const struct mst__flow *key);
void mst__flow_insert(mst_stack *stack, struct mst__flow *flow);

/* A connection in CLOSED, in no table, holding a reference of `binding`. NULL: no memory or too many. */
struct mst_conn *mst__conn_new(mst_stack *stack, mst_binding *binding, const struct mst__flow *flow);
/* Set what the route to the peer decides: MTU, MSS. */
void mst__conn_set_path_mtu(struct mst_conn *conn, uint32_t mtu);
/* SendMSS: what the peer's MSS option said, or stands for one that it did not send (RFC 9293 3.7.1). */
uint32_t mst__conn_send_mss(const struct mst_conn *conn);
/* The MSS that we announce: what one packet of the first hop carries. */
uint16_t mst__conn_announced_mss(const struct mst_conn *conn);
/* Of IP and TCP, without options. */
uint32_t mst__conn_header_bytes(const struct mst_conn *conn);
/* Choose window scale and first window. */
void mst__conn_init_window(struct mst_conn *conn);
/* RFC 6928 */
uint32_t mst__initial_window(const struct mst_conn *conn);
/* The handshake is done: choose loss recovery, start congestion control. */
void mst__conn_established(struct mst_conn *conn);
void mst__conn_notify(struct mst_conn *conn, unsigned events);
/* Dead: `error` (or 0 for an orderly end). Told to its holder; freed at once when it has none. */
void mst__conn_die(struct mst_conn *conn, int error);
/* Take it out of everything and free it. */
void mst__conn_free(struct mst_conn *conn);

/* --- info.c --- */
/* A sample of the delivery rate. */
void mst__rate_note(struct mst_conn *conn, uint64_t bytes, uint64_t interval_ns, bool app_limited);

/* --- timers.c --- */
void mst__timer_set(struct mst_conn *conn, enum mst__conn_timer timer, uint64_t at_ns);
static inline void mst__timer_clear(struct mst_conn *conn, enum mst__conn_timer timer) {
  conn->timer_at_ns[timer] = 0;
}
static inline bool mst__timer_is_set(const struct mst_conn *conn, enum mst__conn_timer timer) {
  return conn->timer_at_ns[timer] != 0;
}
/* The retransmission timer: an RTO from now, or sooner when the user timeout ends before. */
void mst__retransmit_timer_set(struct mst_conn *conn);
void mst__timers_stop(struct mst_conn *conn);
void mst__timers_run(struct mst__alarm *alarm);
void mst__keepalive_restart(struct mst_conn *conn);

/* --- rtt.c --- */
/* What the acknowledgment of our SYN tells of the round trip; 0: nothing. */
uint64_t mst__rtt_of_syn(const struct mst_conn *conn, const struct mst__tcp *tcp);
/* What an echoed timestamp tells (RFC 7323 4.1); 0: nothing. */
uint64_t mst__rtt_of_echo(const struct mst_conn *conn, const struct mst__tcp *tcp);
void mst__rtt_sample(struct mst_conn *conn, uint64_t rtt_ns);
/* Undo all backing off. */
void mst__rto_update(struct mst_conn *conn);

/* --- ecn.c (tcp/ecn.h has the rest) --- */
/* The window was reduced, for `signal`. */
static inline void mst__ecn_window_reduced(struct mst_conn *conn, enum mst__cc_signal signal) {
  if (conn->ecn.mode) mst__ecn_reduced(conn, signal != MST__CC_ECN);
}
static inline uint32_t mst__ecn_ack(struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t delivered_bytes) {
  return conn->ecn.mode ? mst__ecn_feedback(conn, tcp, delivered_bytes) : 0;
}
/* The ACE field has the bit that segmentation clears on all but the first (draft 3.3.4): one segment a packet. */
static inline bool mst__ecn_one_segment(const struct mst_conn *conn) {
  return conn->ecn.mode == MST__ECN_ACCURATE && conn->ecn.accurate.r_cep & 2;
}
static inline bool mst__ecn_ack_due(const struct mst_conn *conn) {
  return conn->ecn.mode == MST__ECN_ACCURATE && mst__accecn_ack_due(conn);
}

/* --- output.c --- */
/* Something may have become ready to send: it goes at the next flush. */
void mst__output_wanted(struct mst_conn *conn);
/* Send all that may be sent. -MST_EAGAIN: the ring is full. */
int mst__output(struct mst_conn *conn);
/* The number of a segment without text: SND.NXT, but not beyond the peer's window, where a probe or FIN may have taken
 * it: there no ACK or RST would be acceptable (RFC 9293 3.4), and two ends that probe each other would be deaf. */
uint32_t mst__acceptable_seq(const struct mst_conn *conn);
/* Where the queued bytes end, and with them where FIN stands. */
uint32_t mst__queue_end(const struct mst_conn *conn);
/* What the congestion window, and what the peer's window leaves to send. */
uint32_t mst__congestion_room(const struct mst_conn *conn);
uint32_t mst__window_room(const struct mst_conn *conn);
/* Whole segments that one packet can carry. */
uint32_t mst__packet_payload_max(const struct mst_conn *conn);
/* Send the next `bytes` that were not sent before. 0, -MST_EAGAIN: the ring is full, -MST_ENOMEM. */
int mst__send_new_segment(struct mst_conn *conn, uint32_t bytes, bool fin);
/* Something went out that is to be acknowledged. */
void mst__retransmit_timer_start(struct mst_conn *conn);

/* --- recv_window.c --- */
/* The window to offer now (RFC 9293 3.8.6.2.2), unscaled bytes; never takes back the right edge. */
uint32_t mst__receive_window(const struct mst_conn *conn);
/* There is more room to receive: tell the peer when it is worth a segment. */
void mst__window_opened(struct mst_conn *conn);
/* The connection is established. */
void mst__recv_tuning_start(struct mst_conn *conn);
/* `tcp` has brought data in order: what does it tell of the round trip? */
void mst__recv_tuning_sample(struct mst_conn *conn, const struct mst__tcp *tcp);
/* The application has read: does it want a larger window? */
void mst__recv_tuning_read(struct mst_conn *conn);

/* --- user_timeout.c --- */
/* It is over for what began at `since_ns` (0: nothing did). */
bool mst__user_timeout_over(const struct mst_conn *conn, uint64_t since_ns);
int mst__user_timeout_set(struct mst_conn *conn, int64_t ms);
int mst__user_timeout_advertise(struct mst_conn *conn, int64_t ms);
void mst__user_timeout_input(struct mst_conn *conn, const struct mst__tcp *tcp);
void mst__user_timeout_fill(const struct mst_conn *conn, uint8_t flags, uint32_t payload, struct mst__tcp_options *o);

/* --- send_buffer.c --- */
/* A write took less than it was given. */
void mst__writer_waits(struct mst_conn *conn);
/* There may be room again. */
void mst__tell_writer(struct mst_conn *conn);

/* --- window_use.c --- */
void mst__window_use_restart(struct mst_conn *conn);
void mst__window_use_account(struct mst_conn *conn);

/* Data is about to go out, and may be the first after a rest. */
static inline void mst__window_use_start(struct mst_conn *conn) {
  if (conn->snd_una == conn->snd_nxt) mst__window_use_restart(conn);
}
/* Data went out, or the window kept it back (conn->cwnd_limited). There is nothing to say of a small window that is not
 * half used. */
static inline void mst__window_use_note(struct mst_conn *conn) {
  const struct mst__window_use *use = &conn->window_use;
  uint32_t outstanding = conn->snd_nxt - conn->snd_una, half = conn->cc.cwnd / 2;
  if (conn->cwnd_limited || use->limited || outstanding > half || use->outstanding > half || half > 5 * conn->cc.mss)
    mst__window_use_account(conn);
}
/* Whether the window is used enough to grow, with so many bytes outstanding. Slow start doubles it in a round, so half
 * of it is enough to show that the rest is wanted. */
static inline bool mst__window_is_used(const struct mst_conn *conn, uint32_t outstanding) {
  const struct mst__window_use *use = &conn->window_use;
  if (use->limited || conn->cc.ops->rate_based) return use->limited;
  if (outstanding < use->outstanding) outstanding = use->outstanding;
  return conn->cc.cwnd < conn->cc.ssthresh && conn->cc.cwnd / 2 < outstanding;
}

/* --- pacing.c --- */
uint32_t mst__pacing_room(struct mst_conn *conn, uint32_t room);
void mst__pacing_account(struct mst_conn *conn, uint32_t bytes);

/* How much of `room` may go now: all, a quantum, or nothing and a timer is set. */
static inline uint32_t mst__pacing_limit(struct mst_conn *conn, uint32_t room) {
  return conn->cc.pacing_rate | conn->pacing_max ? mst__pacing_room(conn, room) : room;
}
static inline void mst__pacing_sent(struct mst_conn *conn, uint32_t bytes) {
  if (conn->cc.pacing_rate | conn->pacing_max) mst__pacing_account(conn, bytes);
}

/* --- resend.c --- */
/* Send again what loss recovery names. */
int mst__resend(struct mst_conn *conn);
/* Send the tail loss probe. */
int mst__probe_send(struct mst_conn *conn);

/* --- segment.c --- */
/* Build and send one segment; `payload_bytes` from `seq` on. */
struct mst__segment {
  uint32_t seq, payload_bytes;
  uint8_t flags;
  uint32_t segment_bytes; /* payload that one packet takes; 0: mst__segment_bytes */
};
int mst__segment_send(struct mst_conn *conn, const struct mst__segment *segment, uint32_t *sent_bytes);
/* A segment outside of any connection: the answer to `tcp` from `ip`. */
struct mst__reply {
  struct mst_addr source, destination;
  uint16_t source_port, destination_port;
  uint32_t seq, ack;
  uint16_t window;
  uint8_t flags;
  uint8_t ace; /* AE, CWR and ECE, as mst__tcp_set_ace takes them */
  struct mst__tcp_options options;
};
/* 0 or -MST_EAGAIN. */
int mst__reply_send(mst_stack *stack, const struct mst__reply *reply);
/* RFC 9293 3.10.7.1: reset whoever sent this. */
void mst__reset_reply(mst_stack *stack, const struct mst__ip *ip, const struct mst__tcp *tcp);
/* Reset the peer of a connection. */
void mst__reset_send(struct mst_conn *conn);
uint32_t mst__ts_now(const mst_stack *stack, uint32_t offset);
/* Bytes of options in every segment with data. */
static inline uint32_t mst__option_bytes(const struct mst_conn *conn) {
  return conn->ts_ok ? 12 : 0;
}
/* Bytes of payload in a full-sized segment. */
static inline uint32_t mst__segment_bytes(const struct mst_conn *conn) {
  uint32_t bytes = conn->snd_mss - mst__option_bytes(conn);
  MST_ASSERT(bytes > 0 && bytes <= conn->snd_mss);
  return bytes;
}

/* --- challenge.c --- */
/* RFC 5961 7: an ACK that tells the truth, limited. */
void mst__challenge_ack(struct mst_conn *conn);
/* Whether one more may go to the peer that has this throttle; counted. */
bool mst__challenge_allowed(mst_stack *stack, struct mst__throttle *throttle);

/* --- isn.c --- */
/* A hash of the four-tuple and `more` under the stack's secret key, another for each purpose. */
enum mst__secret { MST__SECRET_ISN, MST__SECRET_TS_OFFSET, MST__SECRET_COOKIE_MASK, MST__SECRET_COOKIE_CHECK };
uint64_t mst__flow_secret(mst_stack *stack, const struct mst__flow *flow, enum mst__secret purpose, uint64_t more);
/* RFC 6528 3: ISN = M + F(...), M a timer of 4 microseconds. */
static inline uint32_t mst__isn_clock(uint64_t now_ns) {
  return (uint32_t)(now_ns / 4000);
}
uint32_t mst__isn(mst_stack *stack, const struct mst__flow *flow);
uint32_t mst__ts_offset(mst_stack *stack, const struct mst__flow *flow);

/* --- listen.c --- */
struct mst_listener {
  mst_binding *binding;
  mst_stack *stack;
  struct mst__list node;
  struct mst__list half_open; /* struct mst__half_open, oldest first */
  struct mst__list ready;     /* connections, by listener_node */
  uint32_t half_open_count, ready_count, backlog;
  uint64_t cookie_sent_ns; /* when a SYN cookie went last; 0: never */
  mst_listener_event_cb event;
  void *user;
  struct mst__notice notice;
};
/* RFC 9293 3.10.7.2. `above`: NULL, or what our initial sequence number must exceed. False: nothing was opened. */
bool mst__listen_input(mst_binding *binding, const struct mst__ip *ip, struct mst__tcp *tcp, const uint32_t *above);
/* No more can wait to be accepted; counted. */
bool mst__listener_full(struct mst_listener *listener);
void mst__listener_conn_ready(struct mst_conn *conn);
void mst__listener_conn_gone(struct mst_conn *conn);

/* --- input --- */
void mst__conn_input(struct mst_conn *conn, const struct mst__ip *ip, struct mst__tcp *tcp); /* tcp.c */
void mst__syn_sent_input(struct mst_conn *conn, const struct mst__ip *ip, const struct mst__tcp *tcp);
void mst__sync_input(struct mst_conn *conn, const struct mst__ip *ip, struct mst__tcp *tcp);
/* The four cases of RFC 9293 3.4, with `rcv_adv` the right edge of the window. */
bool mst__acceptable(uint32_t rcv_nxt, uint32_t rcv_adv, const struct mst__tcp *tcp);
/* ack.c: the fifth check of 3.10.7.4. False: stop processing. */
bool mst__ack_input(struct mst_conn *conn, const struct mst__tcp *tcp);
void mst__window_update(struct mst_conn *conn, const struct mst__tcp *tcp);
/* text.c: the sixth to eighth. */
void mst__text_input(struct mst_conn *conn, struct mst__tcp *tcp);
/* RFC 5681 4.2: one ACK more, at once and of its own, so that the sender can count them. */
void mst__owe_ack(struct mst_conn *conn);
/* delayed_ack.c: a segment with text has come, in order or not; and `bytes` in order are to be acknowledged. */
void mst__text_came(struct mst_conn *conn, const struct mst__tcp *tcp);
void mst__ack_schedule(struct mst_conn *conn, uint32_t bytes);
/* Our SYN is acknowledged: from SYN-SENT or SYN-RECEIVED to ESTABLISHED or, shut down already, FIN-WAIT-1. */
void mst__syn_acked(struct mst_conn *conn, const struct mst__tcp *tcp);

/* --- time_wait.c --- */
/* Go to TIME-WAIT: a small record takes the connection's place; an orphan is freed. */
void mst__time_wait_enter(struct mst_conn *conn);
void mst__time_wait_input(mst_stack *stack, struct mst__flow *flow, const struct mst__ip *ip, struct mst__tcp *tcp);
/* Whether a connection that we open may take the four-tuple: the peer's timestamps tell the two apart (RFC 6191; the
 * meaning of Linux's tcp_tw_reuse). Then it does, before its SYN. */
bool mst__time_wait_may_reuse(const struct mst__flow *flow);
void mst__time_wait_reuse(struct mst__flow *flow, struct mst_conn *conn);
void mst__time_wait_destroy(mst_stack *stack);
void mst__time_wait_each(const mst_stack *stack, void (*each)(const struct mst_tcp_info *, void *), void *user);

/* --- ephemeral.c --- */
/* Find or lease a local port for a connection to `flow`'s remote side; sets its local port. */
int mst__ephemeral_take(mst_stack *stack, struct mst__flow *flow, mst_binding **binding);
/* Drop a connection's reference of any binding; a pool that has grown large gives unused ports back. */
void mst__tcp_binding_unref(mst_binding *binding);
void mst__ephemeral_destroy(mst_stack *stack);

#endif
