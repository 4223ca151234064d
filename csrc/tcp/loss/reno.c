/* Loss recovery without SACK: fast retransmit and fast recovery (RFC 5681 3.2) with NewReno's partial ACKs (RFC 6582),
 * limited transmit (RFC 3042), go-back after a timeout. */
#include "tcp/trace.h"

#define DUPLICATE_THRESHOLD 3 /* RFC 5681 3.2 */

static struct mst__reno *reno_of(struct mst_conn *conn) {
  return &conn->recovery.reno;
}

static void reno_init(struct mst_conn *conn) {
  /* RFC 6582 3.2 step 1, one less: else the loss of the very first segment would never pass step 2. */
  *reno_of(conn) = (struct mst__reno){.recover = conn->iss - 1, .rtx_nxt = conn->snd_una, .rtx_end = conn->snd_una};
}

static void mark(struct mst_conn *conn, uint32_t bytes) {
  struct mst__reno *reno = reno_of(conn);
  reno->rtx_nxt = conn->snd_una;
  reno->rtx_end = conn->snd_una + bytes;
  if (mst__seq_gt(reno->rtx_end, conn->snd_nxt)) reno->rtx_end = conn->snd_nxt;
}

static void enter_recovery(struct mst_conn *conn) {
  struct mst__reno *reno = reno_of(conn);
  reno->phase = MST__RENO_RECOVERY;
  reno->recover = conn->snd_nxt;
  reno->inflation_bytes = DUPLICATE_THRESHOLD * mst__segment_bytes(conn);
  conn->cc.ops->on_congestion(&conn->cc, MST__CC_LOSS, conn->snd_nxt - conn->snd_una, conn->stack->now_ns);
  mark(conn, mst__segment_bytes(conn));
  mst__trace(conn, MST_TRACE_RECOVERY_ENTERED);
}

static void on_duplicate(struct mst_conn *conn) {
  struct mst__reno *reno = reno_of(conn);
  if (reno->phase == MST__RENO_RECOVERY) {
    reno->inflation_bytes += mst__segment_bytes(conn);
    return;
  }
  if (reno->phase == MST__RENO_LOSS) return;
  if (reno->duplicate_acks < UINT16_MAX) reno->duplicate_acks++;
  /* RFC 6582 3.2 step 2: duplicates that a timeout's own retransmissions caused are no sign of loss. */
  if (reno->duplicate_acks == DUPLICATE_THRESHOLD && mst__seq_gt(conn->snd_una - 1, reno->recover))
    enter_recovery(conn);
}

/* RFC 6582 3.2 step 3, full acknowledgment. */
static void leave_recovery(struct mst_conn *conn) {
  struct mst__reno *reno = reno_of(conn);
  uint32_t flight = conn->snd_nxt - conn->snd_una, mss = mst__segment_bytes(conn);
  uint32_t window = (flight > mss ? flight : mss) + mss;
  conn->cc.cwnd = window < conn->cc.ssthresh ? window : conn->cc.ssthresh;
  reno->phase = MST__RENO_OPEN;
  reno->inflation_bytes = 0;
  mst__trace(conn, MST_TRACE_RECOVERY_LEFT);
}

/* RFC 6582 3.2 step 3, partial acknowledgment: the next hole, and deflate by what was acknowledged. */
static void on_partial(struct mst_conn *conn, uint32_t acked_bytes) {
  struct mst__reno *reno = reno_of(conn);
  uint32_t mss = mst__segment_bytes(conn);
  uint32_t deflate = acked_bytes >= mss ? acked_bytes - mss : acked_bytes;
  reno->inflation_bytes = reno->inflation_bytes > deflate ? reno->inflation_bytes - deflate : 0;
  mark(conn, mss);
}

static void reno_on_ack(struct mst_conn *conn, const struct mst__loss_ack *ack) {
  struct mst__reno *reno = reno_of(conn);
  if (!ack->acked_bytes) {
    if (ack->duplicate) on_duplicate(conn);
    return;
  }
  reno->duplicate_acks = 0;
  reno->rtx_nxt = mst__seq_max(reno->rtx_nxt, conn->snd_una);
  reno->rtx_end = mst__seq_max(reno->rtx_end, reno->rtx_nxt);
  if (reno->phase == MST__RENO_OPEN) {
    /* Keep it near, or it would be ahead again after 2^31 bytes. */
    if (mst__seq_gt(conn->snd_una - 1, reno->recover)) reno->recover = conn->snd_una - 2;
    return;
  }
  bool full = mst__seq_ge(conn->snd_una, reno->recover);
  if (reno->phase == MST__RENO_LOSS) {
    if (!full) return;
    reno->phase = MST__RENO_OPEN;
    mst__trace(conn, MST_TRACE_RECOVERY_LEFT);
  } else if (full) {
    leave_recovery(conn);
  } else {
    on_partial(conn, ack->acked_bytes);
  }
}

static void reno_on_timeout(struct mst_conn *conn) {
  struct mst__reno *reno = reno_of(conn);
  /* RFC 5681 3.1: ssthresh is halved once, not for each timeout of the same segment. */
  if (conn->retries <= 1)
    conn->cc.ops->on_congestion(&conn->cc, MST__CC_TIMEOUT, conn->snd_nxt - conn->snd_una, conn->stack->now_ns);
  conn->cc.cwnd = mst__segment_bytes(conn);
  reno->phase = MST__RENO_LOSS;
  reno->recover = conn->snd_nxt;
  reno->inflation_bytes = 0;
  reno->duplicate_acks = 0;
  mark(conn, conn->snd_nxt - conn->snd_una);
  mst__trace(conn, MST_TRACE_TIMEOUT);
}

static void reno_resend_all(struct mst_conn *conn) {
  mark(conn, conn->snd_nxt - conn->snd_una);
}

static bool reno_next(const struct mst_conn *conn, uint32_t *seq, uint32_t *bytes) {
  const struct mst__reno *reno = &conn->recovery.reno;
  if (!mst__seq_lt(reno->rtx_nxt, reno->rtx_end)) return false;
  *seq = reno->rtx_nxt;
  *bytes = reno->rtx_end - reno->rtx_nxt;
  return true;
}

static void reno_on_retransmitted(struct mst_conn *conn, uint32_t seq, uint32_t bytes) {
  reno_of(conn)->rtx_nxt = seq + bytes;
}

static uint32_t reno_flight(const struct mst_conn *conn) {
  const struct mst__reno *reno = &conn->recovery.reno;
  bool resending = reno->phase != MST__RENO_RECOVERY && mst__seq_lt(reno->rtx_nxt, reno->rtx_end);
  return (resending ? reno->rtx_nxt : conn->snd_nxt) - conn->snd_una;
}

static bool reno_recovering(const struct mst_conn *conn) {
  return conn->recovery.reno.phase == MST__RENO_RECOVERY;
}

static uint32_t reno_allowance(const struct mst_conn *conn) {
  const struct mst__reno *reno = &conn->recovery.reno;
  if (reno->phase == MST__RENO_RECOVERY) return reno->inflation_bytes;
  if (reno->phase == MST__RENO_LOSS || !reno->duplicate_acks) return 0;
  return (reno->duplicate_acks < 2 ? reno->duplicate_acks : 2) * mst__segment_bytes(conn); /* RFC 3042 2 */
}

const struct mst__loss_ops mst__loss_reno = {
    .name = "reno",
    .init = reno_init,
    .on_ack = reno_on_ack,
    .on_timeout = reno_on_timeout,
    .resend_all = reno_resend_all,
    .next = reno_next,
    .on_retransmitted = reno_on_retransmitted,
    .flight = reno_flight,
    .recovering = reno_recovering,
    .allowance = reno_allowance,
};
