/* The phases of loss recovery, from one to the next. */
#include "tcp/trace.h"

void mst__recovery_init(struct mst_conn *conn) {
  conn->recovery = (struct mst__recovery){.point = conn->snd_una, .probe_rtt_known = conn->rtt_known};
  conn->loss = conn->sack_ok ? &mst__loss_rack : &mst__loss_reno;
  conn->loss->init(conn);
}

static uint32_t flight_size(const struct mst_conn *conn) {
  uint32_t outstanding = conn->snd_nxt - conn->snd_una;
  return outstanding < conn->cc.cwnd ? outstanding : conn->cc.cwnd;
}

static void probe_forget(struct mst_conn *conn) {
  conn->recovery.probe_wanted = conn->recovery.probe_out = false; /* RFC 8985 7.1 */
  mst__timer_clear(conn, MST__TIMER_PROBE);
}

static void count(const struct mst_conn *conn) {
  if (conn->sack_ok)
    conn->stack->stats.tcp_sack_recovery++;
  else
    conn->stack->stats.tcp_reno_recovery++;
}

void mst__recovery_enter(struct mst_conn *conn, enum mst__recovery_phase phase, enum mst__cc_signal signal) {
  struct mst__recovery *r = &conn->recovery;
  bool reducing = r->phase == MST__PHASE_CWR;
  r->phase = (uint8_t)phase;
  r->point = conn->snd_nxt;
  probe_forget(conn);
  if (phase == MST__PHASE_RECOVERY) count(conn);
  mst__ecn_window_reduced(conn, signal);
  if (reducing) return mst__trace(conn, MST_TRACE_RECOVERY_ENTERED); /* once a window */
  mst__undo_remember(conn);
  mst__prr_begin(conn);
  uint32_t cwnd = conn->cc.cwnd;
  conn->cc.ops->on_congestion(&conn->cc, signal, flight_size(conn), conn->stack->now_ns);
  if (!conn->cc.ops->rate_based) conn->cc.cwnd = cwnd; /* it goes down by and by */
  mst__trace(conn, MST_TRACE_RECOVERY_ENTERED);
}

void mst__recovery_reduce(struct mst_conn *conn, enum mst__cc_signal signal) {
  if (conn->recovery.phase == MST__PHASE_OPEN) mst__recovery_enter(conn, MST__PHASE_CWR, signal);
}

static void leave(struct mst_conn *conn) {
  struct mst__recovery *r = &conn->recovery;
  bool by_rate = conn->cc.ops->rate_based;
  if (r->phase != MST__PHASE_LOSS && !by_rate) conn->cc.cwnd = conn->cc.ssthresh;
  if (r->phase != MST__PHASE_CWR)
    conn->loss->on_leave(conn);
  else
    r->point = conn->snd_una - 2; /* nothing was lost: RFC 6582's recover is behind us */
  r->phase = MST__PHASE_OPEN;
  r->frto = MST__FRTO_OFF;
  mst__trace(conn, MST_TRACE_RECOVERY_LEFT);
}

/* RFC 2018 8: the first of what is outstanding cannot have arrived, or the ACK field would have passed it. */
static bool reneged(const struct mst_conn *conn) {
  const struct mst__sent *first = mst__sent_first(&conn->sent);
  return first && first->flags & MST__SENT_SACKED;
}

/* All that was sent has arrived, in order and once: there is nothing to recover, nor to undo. */
static bool nothing_amiss(const struct mst_conn *conn, const struct mst__ack *ack) {
  const struct mst__recovery *r = &conn->recovery;
  return conn->sack_ok && !conn->sent.count && r->phase == MST__PHASE_OPEN && !r->probe_out && !r->undo_known &&
         !ack->tcp->options.sack_count;
}

/* A lost probe of the path's MTU is none. */
static bool congestion(struct mst_conn *conn, bool lost) {
  if (!lost || !(conn->mtu_probe.mtu || conn->mtu_probe.repairing)) return lost;
  return mst__mtu_probe_loss(conn);
}

void mst__recovery_on_ack(struct mst_conn *conn, struct mst__ack *ack) {
  struct mst__recovery *r = &conn->recovery;
  if (nothing_amiss(conn, ack)) {
    if (ack->rtt_ns) r->probe_rtt_known = true;
    return mst__timer_clear(conn, MST__TIMER_REORDER);
  }
  if (conn->loss->on_ack) conn->loss->on_ack(conn, ack);
  if (conn->sack_ok) mst__tlp_on_ack(conn, ack);
  if (r->phase == MST__PHASE_LOSS && r->frto) mst__frto_on_ack(conn, ack);
  if (mst__undo_on_ack(conn, ack)) return;
  if (r->phase != MST__PHASE_OPEN && mst__seq_ge(conn->snd_una, r->point)) leave(conn);
  bool lost = congestion(conn, conn->loss->detect(conn, ack));
  if (lost && r->phase <= MST__PHASE_CWR) mst__recovery_enter(conn, MST__PHASE_RECOVERY, MST__CC_LOSS);
  if ((r->phase == MST__PHASE_RECOVERY || r->phase == MST__PHASE_CWR) && !conn->cc.ops->rate_based)
    mst__prr_on_ack(conn, ack);
}

void mst__recovery_on_reorder_timer(struct mst_conn *conn) {
  struct mst__recovery *r = &conn->recovery;
  if (!conn->loss->detect(conn, NULL)) return;
  if (r->phase <= MST__PHASE_CWR && congestion(conn, true)) {
    struct mst__ack nothing = {.prior_lost_bytes = 0};
    mst__recovery_enter(conn, MST__PHASE_RECOVERY, MST__CC_LOSS);
    if (!conn->cc.ops->rate_based) mst__prr_on_ack(conn, &nothing);
  }
  mst__output_wanted(conn);
}

void mst__recovery_on_timeout(struct mst_conn *conn) {
  struct mst__recovery *r = &conn->recovery;
  /* RFC 5681 3.1: ssthresh is reduced once, not again for the retransmissions of the same flight. */
  bool reduced = r->phase != MST__PHASE_OPEN;
  bool fresh = r->phase <= MST__PHASE_CWR || r->frto == MST__FRTO_WAIT; /* RFC 5682 3.1 step 1 */
  if (!reduced) {
    mst__undo_remember(conn);
    conn->cc.ops->on_congestion(&conn->cc, MST__CC_TIMEOUT, flight_size(conn), conn->stack->now_ns);
  }
  conn->cc.cwnd = mst__segment_bytes(conn);
  mst__ecn_window_reduced(conn, MST__CC_TIMEOUT);
  probe_forget(conn);
  mst__timer_clear(conn, MST__TIMER_REORDER);
  if (reneged(conn)) {
    mst__sent_forget_sacks(conn);
    conn->stack->stats.tcp_sack_reneging++;
    fresh = false;
  }
  r->phase = MST__PHASE_LOSS;
  r->frto = fresh ? MST__FRTO_WAIT : MST__FRTO_OFF;
  r->point = conn->snd_nxt;
  conn->loss->on_timeout(conn);
  mst__trace(conn, MST_TRACE_TIMEOUT);
}

struct mst__sent *mst__recovery_next(const struct mst_conn *conn) {
  const struct mst__list *lost = &conn->sent.lost;
  if (mst__list_empty(lost) || conn->recovery.frto == MST__FRTO_NEW_DATA) return NULL;
  return mst__sent_at(lost->next);
}

void mst__recovery_retransmitted(struct mst_conn *conn, struct mst__sent *sent, uint32_t bytes) {
  struct mst__recovery *r = &conn->recovery;
  if (bytes < mst__sent_bytes(sent)) mst__sent_split(conn, sent, sent->node.seq + bytes);
  mst__sent_again(conn, sent);
  /* Or the timer might go off before the answer can be here. */
  if (sent->node.seq == conn->snd_una && !conn->retries && r->phase != MST__PHASE_OPEN) mst__retransmit_timer_set(conn);
  r->undo_retransmits += bytes;
  if (r->retransmit_seen) return;
  r->retransmit_seen = true;
  r->retransmit_ts = mst__ts_now(conn->stack, conn->ts_offset);
}
