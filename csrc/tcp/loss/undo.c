/* Spurious recoveries: found by timestamps (Eifel detection, RFC 3522) and by D-SACK (RFC 2883, RFC 3708), undone as
 * RFC 4015 wants it. */
#include "tcp/trace.h"

void mst__undo_remember(struct mst_conn *conn) {
  struct mst__recovery *r = &conn->recovery;
  r->undo_known = true;
  r->retransmit_seen = false;
  r->prior_cwnd = conn->cc.cwnd;
  r->prior_ssthresh = conn->cc.ssthresh;
  r->undo_una = conn->snd_una;
  r->undo_retransmits = 0;
}

/* RFC 3522 3.2 steps 4 and 5: the first ACK that moves on echoes a time before the retransmission. */
static bool eifel(struct mst_conn *conn, const struct mst__ack *ack) {
  struct mst__recovery *r = &conn->recovery;
  if (!conn->ts_ok || !r->retransmit_seen || !ack->acked_bytes) return false;
  const struct mst__tcp_options *options = &ack->tcp->options;
  return options->has & MST__HAS_TIMESTAMPS && mst__seq_lt(options->tsecr, r->retransmit_ts);
}

/* Every byte that was sent again has been reported as a duplicate. */
static bool all_duplicates(struct mst_conn *conn, const struct mst__ack *ack) {
  struct mst__recovery *r = &conn->recovery;
  if (!ack->dsack || !r->undo_retransmits) return false;
  if (mst__seq_lt(ack->dsack_left, r->undo_una) || mst__seq_gt(ack->dsack_right, r->point)) return false;
  uint32_t bytes = ack->dsack_right - ack->dsack_left;
  r->undo_retransmits -= bytes < r->undo_retransmits ? bytes : r->undo_retransmits;
  return !r->undo_retransmits;
}

static void nothing_is_lost(struct mst_conn *conn) {
  while (!mst__list_empty(&conn->sent.lost)) mst__sent_unmark_lost(conn, mst__sent_at(conn->sent.lost.next));
}

/* RFC 4015 3.1 step 9: with ECN-Echo the network is congested all the same. */
static bool congested(const struct mst_conn *conn, const struct mst__ack *ack) {
  return conn->ecn.mode == MST__ECN_CLASSIC && ack->tcp->flags & MST__ECE;
}

static void reverse(struct mst_conn *conn, struct mst__ack *ack) {
  struct mst__recovery *r = &conn->recovery;
  if (!congested(conn, ack)) {
    if (conn->cc.cwnd < r->prior_cwnd) conn->cc.cwnd = r->prior_cwnd;
    if (conn->cc.ssthresh < r->prior_ssthresh) conn->cc.ssthresh = r->prior_ssthresh;
    if (conn->cc.ops->on_undo) conn->cc.ops->on_undo(&conn->cc);
  } else if (r->phase != MST__PHASE_LOSS && !conn->cc.ops->rate_based) {
    conn->cc.cwnd = conn->cc.ssthresh; /* the reduction is over at once */
  }
  ack->was_recovering = true;
  r->undo_known = false;
  r->phase = MST__PHASE_OPEN;
  nothing_is_lost(conn);
  conn->stack->stats.tcp_spurious_recoveries++;
  mst__trace(conn, MST_TRACE_UNDONE);
}

bool mst__undo_on_ack(struct mst_conn *conn, struct mst__ack *ack) {
  struct mst__recovery *r = &conn->recovery;
  if (!r->undo_known) return false;
  if (r->phase != MST__PHASE_OPEN && eifel(conn, ack)) {
    if (conn->sack_ok && r->phase == MST__PHASE_RECOVERY) r->rack.reordering_seen = true; /* RFC 8985 6.2 step 3 */
    if (r->phase == MST__PHASE_LOSS)
      mst__undo_timeout(conn, ack);
    else
      reverse(conn, ack);
    return true;
  }
  if (!all_duplicates(conn, ack)) return false;
  reverse(conn, ack);
  return true;
}

/* RFC 4015 3.2: what was in the network may be there still, so the window opens from there on. */
void mst__undo_timeout(struct mst_conn *conn, struct mst__ack *ack) {
  uint32_t window = mst__initial_window(conn);
  conn->stack->stats.tcp_spurious_rtos++;
  conn->recovery.frto = MST__FRTO_OFF;
  uint32_t prior_cwnd = conn->recovery.prior_cwnd;
  reverse(conn, ack);
  if (!congested(conn, ack)) {
    uint32_t opened = ack->acked_bytes < window ? ack->acked_bytes : window, segment = mst__segment_bytes(conn);
    if (conn->cc.ssthresh < prior_cwnd) conn->cc.ssthresh = prior_cwnd;
    conn->cc.cwnd = mst__recovery_flight(conn) + (opened > segment ? opened : segment); /* less could send nothing */
  }
  /* Step 8: the path is slower than was believed. */
  if (ack->rtt_ns > conn->srtt_ns) conn->srtt_ns = ack->rtt_ns;
  if (ack->rtt_ns / 2 > conn->rttvar_ns) conn->rttvar_ns = ack->rtt_ns / 2;
  mst__rto_update(conn);
}
