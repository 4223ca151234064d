/* Where the stack tells what it does (multistack/trace.h). Each hook is one branch while nobody listens. */
#ifndef MST_TCP_TRACE_H
#define MST_TCP_TRACE_H

#include "multistack/trace.h"
#include "tcp/conn.h"

static inline bool mst__traced(const mst_stack *stack) {
  return __builtin_expect(stack->trace != NULL, 0);
}

/* What the hooks below call. */
void mst__trace_tell(const struct mst_conn *conn, enum mst_trace_kind kind);
void mst__trace_tell_lost(const struct mst_conn *conn, uint32_t seq, uint32_t end);
void mst__trace_tell_rtt(const struct mst_conn *conn, uint64_t rtt_ns);
void mst__trace_tell_sent(const struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t payload_bytes, uint8_t tos,
                          uint32_t segments);
void mst__trace_tell_state(const struct mst_conn *conn, enum mst_tcp_state old_state);

/* Loss recovery: RECOVERY_ENTERED, RECOVERY_LEFT, TIMEOUT, TAIL_LOSS_PROBE, UNDONE. */
static inline void mst__trace(const struct mst_conn *conn, enum mst_trace_kind kind) {
  if (mst__traced(conn->stack)) mst__trace_tell(conn, kind);
}

static inline void mst__trace_lost(const struct mst_conn *conn, uint32_t seq, uint32_t end) {
  if (mst__traced(conn->stack)) mst__trace_tell_lost(conn, seq, end);
}

static inline void mst__trace_rtt(const struct mst_conn *conn, uint64_t rtt_ns) {
  if (mst__traced(conn->stack)) mst__trace_tell_rtt(conn, rtt_ns);
}

/* Before SND.NXT moves over it. */
static inline void mst__trace_sent(const struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t payload_bytes,
                                   uint8_t tos, uint32_t segments) {
  if (mst__traced(conn->stack)) mst__trace_tell_sent(conn, tcp, payload_bytes, tos, segments);
}

/* A reset, which does not come by way of mst__segment_send. */
static inline void mst__trace_reset(const struct mst_conn *conn, const struct mst__reply *reply) {
  if (!mst__traced(conn->stack)) return;
  mst__trace_tell_sent(conn, &(struct mst__tcp){.seq = reply->seq, .ack = reply->ack, .flags = reply->flags}, 0, 0, 1);
}

static inline void mst__set_state(struct mst_conn *conn, enum mst_tcp_state state) {
  enum mst_tcp_state old_state = (enum mst_tcp_state)conn->state;
  conn->state = (uint8_t)state;
  if (mst__traced(conn->stack)) mst__trace_tell_state(conn, old_state);
}

/* The connection's numbers, to be told when something has changed them. */
struct mst__metrics {
  uint64_t conn_id, srtt_ns, rto_ns, pacing_rate;
  uint32_t cwnd, ssthresh;
};
void mst__trace_received(const struct mst_conn *conn, const struct mst__ip *ip, const struct mst__tcp *tcp,
                         struct mst__metrics *before);
void mst__trace_timer(const struct mst_conn *conn, enum mst__conn_timer timer, struct mst__metrics *before);
/* `key` names the connection, which may be gone. */
void mst__trace_metrics(mst_stack *stack, const struct mst__flow *key, const struct mst__metrics *before);

#endif
