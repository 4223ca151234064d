/* RACK: a segment is lost when one that was sent later has arrived and time for reordering has passed (RFC 8985 6). */
#include "tcp/conn.h"

#define DUP_THRESH 3      /* RFC 8985 6.2 step 4 */
#define PERSIST 16        /* the same */
#define REO_WND_DIVISOR 4 /* of min_RTT */

static void rack_init(struct mst_conn *conn) {
  conn->recovery.rack.reo_wnd_mult = 1;
  conn->recovery.rack.fack = conn->snd_una;
}

/* Step 2: whether what arrived may have been an earlier transmission than the last. The echo tells it of what SND.UNA
 * has passed. With a SACK block it indicates nothing, since it is of what arrived in order before (RFC 7323 4.3). */
static bool ambiguous(const struct mst_conn *conn, const struct mst__sent *sent, uint32_t end,
                      const struct mst__ack *ack) {
  uint64_t now_ns = conn->stack->now_ns;
  if (!(sent->flags & MST__SENT_RETRANSMITTED)) return false;
  if (conn->ts_ok && ack->tcp->options.has & MST__HAS_TIMESTAMPS && mst__seq_le(end, conn->snd_una)) {
    uint32_t sent_ts = (uint32_t)(sent->sent_ns / MST__MS) + conn->ts_offset;
    if (mst__seq_lt(ack->tcp->options.tsecr, sent_ts)) return true;
  }
  return now_ns - sent->sent_ns < conn->min_rtt_ns;
}

/* Steps 2 and 3, for each segment that has arrived. */
static void rack_on_delivered(struct mst_conn *conn, const struct mst__sent *sent, uint32_t end,
                              const struct mst__ack *ack) {
  struct mst__recovery *r = &conn->recovery;
  if (mst__seq_gt(end, r->rack.fack)) {
    r->rack.fack = end;
  } else if (mst__seq_lt(end, r->rack.fack) && !(sent->flags & MST__SENT_RETRANSMITTED)) {
    r->rack.reordering_seen = true;
    r->reordered++;
    conn->stack->stats.tcp_sack_reorder++;
  }
  if (ambiguous(conn, sent, end, ack)) return;
  /* Of this ACK's segments the one sent last, be it a late one. */
  if (ack->newest_sent_ns == sent->sent_ns && ack->newest_end == end)
    r->rack.rtt_ns = conn->stack->now_ns - sent->sent_ns;
  if (!mst__sent_after(sent->sent_ns, end, r->rack.xmit_ns, r->rack.end_seq)) return;
  r->rack.xmit_ns = sent->sent_ns;
  r->rack.end_seq = end;
}

/* Step 4, the adaptation by D-SACK. */
static void rack_on_ack(struct mst_conn *conn, const struct mst__ack *ack) {
  struct mst__recovery *r = &conn->recovery;
  if (r->rack.dsack_round_set && mst__seq_ge(conn->snd_una, r->rack.dsack_round)) r->rack.dsack_round_set = false;
  if (!ack->dsack) return;
  if (r->probe_out && r->probe_retransmitted && ack->dsack_right == r->probe_end) return; /* the probe's own */
  /* What was sent again had only been late. Step 3 cannot tell it from a segment that was retransmitted, and where all
   * late ones are, nothing else would. */
  if (r->phase == MST__PHASE_RECOVERY) r->rack.reordering_seen = true;
  if (r->rack.dsack_round_set) return;
  r->rack.dsack_round_set = true;
  r->rack.dsack_round = conn->snd_nxt;
  if (r->rack.reo_wnd_mult < UINT8_MAX) r->rack.reo_wnd_mult++;
  r->rack.reo_wnd_persist = PERSIST;
}

static void rack_on_leave(struct mst_conn *conn) {
  struct mst__recovery *r = &conn->recovery;
  if (r->rack.reo_wnd_persist && --r->rack.reo_wnd_persist == 0) r->rack.reo_wnd_mult = 1;
}

/* Step 4. */
static uint64_t reo_wnd_ns(const struct mst_conn *conn) {
  const struct mst__recovery *r = &conn->recovery;
  bool recovering = r->phase == MST__PHASE_RECOVERY || r->phase == MST__PHASE_LOSS;
  bool many_sacked = conn->sent.sacked_bytes >= DUP_THRESH * mst__segment_bytes(conn);
  if (!r->rack.reordering_seen && (recovering || many_sacked)) return 0;
  uint64_t window_ns = r->rack.reo_wnd_mult * conn->min_rtt_ns / REO_WND_DIVISOR;
  return window_ns < conn->srtt_ns ? window_ns : conn->srtt_ns;
}

/* The oldest in the network, if something that was sent after it has arrived. */
static struct mst__sent *overtaken(const struct mst_conn *conn) {
  const struct mst__recovery *r = &conn->recovery;
  if (mst__list_empty(&conn->sent.in_flight)) return NULL;
  struct mst__sent *oldest = mst__sent_at(conn->sent.in_flight.next);
  return mst__sent_after(r->rack.xmit_ns, r->rack.end_seq, oldest->sent_ns, oldest->end) ? oldest : NULL;
}

/* Step 5. The list is in the order of sending: what is not yet due ends the search, and the timer comes for it. */
static void mark_lost(struct mst_conn *conn) {
  struct mst__sent *sent = overtaken(conn);
  if (!sent) return;
  uint64_t now_ns = conn->stack->now_ns, allowed_ns = conn->recovery.rack.rtt_ns + reo_wnd_ns(conn);
  for (; sent; sent = overtaken(conn)) {
    if (sent->sent_ns + allowed_ns > now_ns)
      return mst__timer_set(conn, MST__TIMER_REORDER, sent->sent_ns + allowed_ns);
    mst__sent_mark_lost(conn, sent);
  }
}

static bool rack_detect(struct mst_conn *conn, struct mst__ack *ack) {
  (void)ack;
  mst__timer_clear(conn, MST__TIMER_REORDER);
  mark_lost(conn);
  return conn->sent.lost_bytes != 0;
}

/* 6.3: the first one, and what was sent long enough ago. */
static void rack_on_timeout(struct mst_conn *conn) {
  const struct mst__recovery *r = &conn->recovery;
  uint64_t now_ns = conn->stack->now_ns, allowed_ns = r->rack.rtt_ns + reo_wnd_ns(conn);
  struct mst__sent *first = mst__sent_first(&conn->sent);
  for (struct mst__sent *sent = first; sent; sent = mst__sent_next(sent)) {
    if (sent->flags & (MST__SENT_SACKED | MST__SENT_LOST)) continue;
    if (sent == first || sent->sent_ns + allowed_ns <= now_ns) mst__sent_mark_lost(conn, sent);
  }
  /* RFC 6298 5.4: the earliest goes again, and where ACKs tell nothing else it is all that helps. */
  if (first && first->flags & MST__SENT_LOST) mst__sent_first_goes_next(conn);
}

const struct mst__loss_ops mst__loss_rack = {
    .name = "rack",
    .init = rack_init,
    .on_delivered = rack_on_delivered,
    .on_ack = rack_on_ack,
    .detect = rack_detect,
    .on_timeout = rack_on_timeout,
    .on_leave = rack_on_leave,
};
