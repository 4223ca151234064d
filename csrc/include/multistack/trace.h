/* What happens on the connections of a stack, event by event, as it happens. TRACE.md says how the same is written to a
 * file.
 *
 * Sequence numbers are relative to the initial one of their direction (ISS for what this side sends, IRS for what the
 * peer sends), modulo 2^32: the SYN is 0, the first byte of data 1. A connection that the peer has opened begins with
 * the ACK that ends its handshake: before that there is none (RFC 4987 3.4). */
#ifndef MULTISTACK_TRACE_H
#define MULTISTACK_TRACE_H

#include "tcp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(kind, name, text) */
#define MST_TRACE_MAP(X)                                                                                               \
  X(SEGMENT_SENT, "segment_sent", "a segment was handed to the net")                                                   \
  X(SEGMENT_RECEIVED, "segment_received", "a segment of this connection came; it is not checked yet")                  \
  X(STATE_UPDATED, "state_updated", "another state of RFC 9293 3.3.2")                                                 \
  X(METRICS_UPDATED, "metrics_updated", "input or a timer has changed cwnd, ssthresh, srtt, rto or the pacing rate")   \
  X(RTT_SAMPLED, "rtt_sampled", "a round trip was measured")                                                           \
  X(TIMER_EXPIRED, "timer_expired", "a timer went off; that of pacing is not told")                                    \
  X(SEGMENT_LOST, "segment_lost", "[seq, end) is thought lost")                                                        \
  X(RECOVERY_ENTERED, "recovery_entered",                                                                              \
    "loss was found without a timeout, or the network has marked: the window shrinks")                                 \
  X(RECOVERY_LEFT, "recovery_left", "all that was outstanding when recovery began is acknowledged")                    \
  X(TIMEOUT, "timeout", "the retransmission timeout: all that is outstanding is thought lost (RFC 6298 5.4)")          \
  X(TAIL_LOSS_PROBE, "tail_loss_probe", "a probe for a lost tail (RFC 8985 7)")                                        \
  X(UNDONE, "undone", "the last reduction was for nothing and is taken back (RFC 4015, RFC 5682)")

enum mst_trace_kind {
#define MST__X(kind, name, text) MST_TRACE_##kind,
  MST_TRACE_MAP(MST__X)
#undef MST__X
      MST_TRACE_KINDS
};

struct mst_trace_range {
  uint32_t left, right; /* [left, right) */
};

struct mst_trace_event {
  size_t size;     /* sizeof(struct mst_trace_event) as the library knows it; fields are only added at the end */
  uint64_t now_ns; /* the stack's clock */
  enum mst_trace_kind kind;
  uint64_t conn_id; /* of the connection in its stack: from 1 on, never given twice */
  struct mst_endpoint local, remote;

  /* How the connection stands, in every event; after the event but for SEGMENT_RECEIVED, which comes before. */
  enum mst_tcp_state state;
  uint32_t snd_una, snd_nxt, rcv_nxt;
  uint32_t snd_wnd_bytes; /* offered by the peer, scaled */
  uint32_t cwnd_bytes, ssthresh_bytes;
  uint32_t flight_bytes; /* thought to be in the network; a segment sent is counted */
  uint64_t srtt_ns, rttvar_ns, min_rtt_ns, rto_ns;
  uint64_t pacing_rate; /* bytes a second, 0: not paced */

  /* SEGMENT_SENT, SEGMENT_RECEIVED; seq and end of SEGMENT_LOST too. */
  uint32_t seq, end;     /* SYN and FIN take a number each */
  uint32_t ack;          /* when flags has ACK */
  uint32_t window_bytes; /* offered by this segment, scaled */
  uint16_t flags;        /* as in the header: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128, AE 256 */
  uint16_t segments;     /* that this one is cut into on its way */
  uint8_t ecn;           /* the IP header's field: 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE */
  uint8_t sack_count;
  bool retransmission;            /* sent: some of it was sent before */
  struct mst_trace_range sack[4]; /* in the order of the option; relative as `ack` is */

  enum mst_tcp_state old_state; /* STATE_UPDATED */
  uint64_t rtt_ns;              /* RTT_SAMPLED */
  const char *timer; /* TIMER_EXPIRED: "retransmit", "persist", "delayed_ack", "keepalive" ...; static, else NULL */
};

/* "segment_sent" and so on; "unknown" for what is no kind. */
const char *mst_trace_kind_name(enum mst_trace_kind kind);

/* mst_stack_options.trace. The event is the stack's and lives for the call, which may not call the stack. */
typedef void (*mst_trace_cb)(void *ctx, const struct mst_trace_event *event);

/* The event as one line of JSON without its newline, as TRACE.md describes it. `stack` tells stacks of one file apart.
 * Returns the length without NUL, as snprintf does; never above MST_TRACE_JSON_BYTES - 1. */
#define MST_TRACE_JSON_BYTES 1024
size_t mst_trace_json(const struct mst_trace_event *event, unsigned stack, char *out, size_t bytes);

/* The first line of such a file, the same way. `title` needs no escape in JSON; `epoch_unix_ns` is the wall clock when
 * the stack's clock was 0, 0: not known. */
size_t mst_trace_json_header(const char *title, uint64_t epoch_unix_ns, char *out, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
