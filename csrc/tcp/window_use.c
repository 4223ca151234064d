/* Congestion window validation. A window that was not used in full says nothing of the network: it does not grow, and
 * it shrinks towards what is used (RFC 7661's intent by the means of RFC 2861, as Linux does it); after a rest it
 * begins anew (RFC 5681 4.1). An algorithm that models the path by rates is left alone: it does this itself. */
#include "tcp/conn.h"

/* So much of what was learned is kept for slow start to return to (RFC 2861 3.2, RFC 7661 4.4). */
static void keep_ssthresh(struct mst__cc *cc) {
  uint32_t known = cc->cwnd / 4 * 3;
  if (cc->ssthresh < known) cc->ssthresh = known;
}

/* Once an RTO: halfway to what is used. What the network or the send buffer holds back, nobody can use. */
static void decay(struct mst_conn *conn) {
  uint32_t used = mst__initial_window(conn);
  if (conn->cc.ops->rate_based || conn->want_write || conn->recovery.phase != MST__PHASE_OPEN) return;
  if (conn->window_use.starved_bytes > used) used = conn->window_use.starved_bytes;
  if (used >= conn->cc.cwnd) return;
  keep_ssthresh(&conn->cc);
  conn->cc.cwnd = conn->cc.cwnd / 2 + used / 2;
}

void mst__window_use_account(struct mst_conn *conn) {
  struct mst__window_use *use = &conn->window_use;
  uint32_t outstanding = conn->snd_nxt - conn->snd_una;
  bool limited = conn->cwnd_limited || outstanding + conn->cc.mss > conn->cc.cwnd;
  bool next_round = mst__seq_ge(conn->snd_una, use->end_seq);
  if (limited || next_round || (!use->limited && outstanding > use->outstanding)) {
    use->limited = limited;
    use->outstanding = outstanding;
    use->end_seq = conn->snd_nxt;
  }
  uint64_t now_ns = conn->stack->now_ns;
  if (mst__window_is_used(conn, outstanding)) {
    use->starved_bytes = 0;
    use->full_at_ns = now_ns;
    return;
  }
  if (outstanding > use->starved_bytes) use->starved_bytes = outstanding;
  if (now_ns - use->full_at_ns < conn->rto_ns) return;
  decay(conn);
  use->starved_bytes = 0;
  use->full_at_ns = now_ns;
}

void mst__window_use_restart(struct mst_conn *conn) {
  struct mst__cc *cc = &conn->cc;
  uint64_t now_ns = conn->stack->now_ns, rest_ns = now_ns - conn->last_data_ns;
  if (cc->ops->on_start) cc->ops->on_start(cc, now_ns);
  if (rest_ns <= conn->rto_ns || cc->ops->rate_based) return;
  /* Halved for each RTO of rest (RFC 2861 3.1), so a short one does not forget all; a long one leads to RFC 5681's
   * restart window. */
  uint32_t least = mst__initial_window(conn);
  if (cc->cwnd <= least) return;
  keep_ssthresh(cc);
  for (; rest_ns > conn->rto_ns && cc->cwnd > least; rest_ns -= conn->rto_ns) cc->cwnd /= 2;
  if (cc->cwnd < least) cc->cwnd = least;
  conn->window_use.starved_bytes = 0;
  conn->window_use.full_at_ns = now_ns;
}
