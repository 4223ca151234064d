/* The ACK field (RFC 9293 3.10.7.4, fifth), round-trip times, growth of the congestion window. */
#include "tcp/conn.h"

#define CWND_MAX (1u << 30)

/* The window opens after a probe of one byte: it goes again with what follows it, not alone. */
static void take_back_probe(struct mst_conn *conn) {
  if (conn->snd_nxt - conn->snd_una == 1 && !conn->fin_sent) {
    conn->snd_nxt = conn->snd_sml = conn->snd_una;
    mst__sent_clear(conn);
  } else if (mst__recovery_next(conn)) {
    mst__sent_mark_all_lost(conn);
  }
}

void mst__window_update(struct mst_conn *conn, const struct mst__tcp *tcp) {
  /* The window is counted from SND.UNA, which has moved already: an older ACK would put its end too far on. A newer one
   * tells the latest, even when its segment was sent again and has an old number. */
  if (tcp->ack != conn->snd_una) return;
  bool fresh = mst__seq_lt(conn->snd_wl2, tcp->ack) || mst__seq_le(conn->snd_wl1, tcp->seq);
  if (!fresh) return;
  uint32_t window = (uint32_t)tcp->window << conn->snd_wscale;
  /* The peer's window opens: what waited for the persist timer goes, and the timer is for retransmission again. */
  if (window > conn->snd_wnd) {
    if (conn->snd_wnd == 0) {
      take_back_probe(conn);
      mst__rto_update(conn); /* the probes backed off, the network did not */
      conn->first_unanswered_ns = 0;
      conn->retries = 0;
    }
    if (conn->snd_una == conn->snd_nxt) mst__timer_clear(conn, MST__TIMER_RETRANSMIT);
    mst__output_wanted(conn);
  }
  conn->snd_wnd = window;
  if (window > conn->snd_wnd_max) conn->snd_wnd_max = window;
  conn->snd_wl1 = tcp->seq;
  conn->snd_wl2 = tcp->ack;
}

static uint64_t positive(uint64_t later, uint64_t earlier) {
  return later > earlier ? later - earlier : 0;
}

/* draft-cheng-iccrg-delivery-rate-estimation 3.3: the slower of the two, sending and being acknowledged. */
static void sample_rate(struct mst_conn *conn, const struct mst__ack *ack, struct mst__cc_ack *out) {
  struct mst__sent_queue *sent = &conn->sent;
  uint64_t now_ns = conn->stack->now_ns;
  if (ack->any) {
    uint64_t send_ns = positive(ack->newest_sent_ns, ack->newest_first_sent_ns);
    uint64_t ack_ns = positive(now_ns, ack->newest_delivered_ns);
    uint64_t interval_ns = send_ns > ack_ns ? send_ns : ack_ns;
    out->prior_delivered = ack->newest_delivered;
    out->prior_lost = sent->lost_total - ((uint32_t)sent->lost_total - ack->newest_lost);
    out->app_limited = ack->newest_app_limited;
    out->sample_bytes = sent->delivered - ack->newest_delivered;
    out->interval_ns = interval_ns < conn->min_rtt_ns ? 0 : interval_ns;
    mst__rate_note(conn, out->sample_bytes, out->interval_ns, out->app_limited);
    sent->first_sent_ns = ack->newest_sent_ns;
    sent->delivered_ns = now_ns;
  }
  if (sent->app_limited && sent->delivered > sent->app_limited) sent->app_limited = 0;
}

/* Loss recovery decides what may be sent: by proportional rate reduction, or two new segments of F-RTO's. */
static bool governs_cwnd(const struct mst_conn *conn) {
  const struct mst__recovery *r = &conn->recovery;
  return r->phase == MST__PHASE_RECOVERY || r->phase == MST__PHASE_CWR || r->frto == MST__FRTO_NEW_DATA;
}

static void tell_congestion_control(struct mst_conn *conn, const struct mst__ack *ack, uint32_t arrived,
                                    uint32_t ce_bytes) {
  struct mst__cc_ack out = {
      .now_ns = conn->stack->now_ns,
      .rtt_ns = ack->rtt_ns,
      .srtt_ns = conn->srtt_ns,
      .min_rtt_ns = conn->min_rtt_ns,
      .acked_bytes = ack->acked_bytes,
      .delivered_bytes = arrived,
      .lost_bytes = (uint32_t)(conn->sent.lost_total - ack->prior_lost_total),
      .ce_bytes = ce_bytes,
      .flight_bytes = mst__recovery_flight(conn),
      .prior_flight_bytes = ack->prior_flight_bytes,
      .delivered = conn->sent.delivered,
      .lost = conn->sent.lost_total,
      .prior_lost = conn->sent.lost_total,
      .reordering = conn->sack_ok && conn->recovery.rack.reordering_seen,
      .cwnd_limited = mst__window_is_used(conn, conn->snd_nxt - ack->prior_una),
      .recovering = ack->was_recovering || governs_cwnd(conn) || ce_bytes,
  };
  sample_rate(conn, ack, &out);
  conn->cc.ops->on_ack(&conn->cc, &out);
  if (conn->cc.cwnd > CWND_MAX) conn->cc.cwnd = CWND_MAX;
}

static void restart_retransmit_timer(struct mst_conn *conn) {
  mst_stack *stack = conn->stack;
  conn->retries = 0;
  conn->soft_error = 0;
  if (conn->snd_una == conn->snd_nxt) {
    conn->first_unanswered_ns = 0;
    mst__timer_clear(conn, MST__TIMER_RETRANSMIT);
  } else {
    conn->first_unanswered_ns = stack->now_ns;
    mst__retransmit_timer_set(conn); /* RFC 6298 5.3 */
  }
}

static void tell_writer(struct mst_conn *conn) {
  mst__tell_writer(conn);
  if (conn->want_drain && conn->snd_una == conn->snd_nxt && !conn->sendq.bytes &&
      (!conn->fin_wanted || conn->fin_sent)) {
    conn->want_drain = false;
    mst__conn_notify(conn, MST_EV_DRAINED);
  }
}

/* SND.UNA moves. */
static void advance(struct mst_conn *conn, struct mst__ack *ack) {
  uint32_t acked = ack->tcp->ack - conn->snd_una;
  uint32_t data = acked < conn->sendq.bytes ? acked : conn->sendq.bytes; /* FIN takes a number and no byte */
  mst__sendq_advance(&conn->sendq, conn->stack, data);
  conn->bytes_acked += data;
  conn->snd_una = ack->tcp->ack;
  if (mst__seq_lt(conn->snd_sml, conn->snd_una)) conn->snd_sml = conn->snd_una;
  ack->acked_bytes = acked;
}

static void measure(struct mst_conn *conn, struct mst__ack *ack) {
  if (!ack->rtt_ns && ack->acked_bytes) ack->rtt_ns = mst__rtt_of_echo(conn, ack->tcp);
  if (ack->rtt_ns) mst__rtt_sample(conn, ack->rtt_ns);
}

static void take(struct mst_conn *conn, struct mst__ack *ack) {
  ack->prior_una = conn->snd_una;
  ack->prior_flight_bytes = mst__recovery_flight(conn);
  ack->prior_lost_bytes = conn->sent.lost_bytes;
  ack->prior_lost_total = conn->sent.lost_total;
  ack->was_recovering = governs_cwnd(conn);
  bool forward = mst__seq_gt(ack->tcp->ack, conn->snd_una);
  if (forward) advance(conn, ack);
  mst__sent_acked(conn, ack);
  uint32_t arrived = ack->delivered_bytes; /* loss recovery corrects it by what duplicates only suggest */
  conn->sent.delivered += arrived;
  measure(conn, ack);
  if (forward) restart_retransmit_timer(conn);
  if (forward && conn->mtu_probe.shrunk) mst__mtu_delivered(conn);
  mst__recovery_on_ack(conn, ack);
  uint32_t ce_bytes = mst__ecn_ack(conn, ack->tcp, arrived);
  tell_congestion_control(conn, ack, arrived, ce_bytes);
  if (conn->sent.flight_bytes)
    mst__tlp_schedule(conn);
  else
    mst__timer_clear(conn, MST__TIMER_PROBE);
  if (forward || ack->sacked) tell_writer(conn);
  mst__output_wanted(conn);
}

/* Four of RFC 5681 2's five conditions of a duplicate: the fifth is that data is outstanding. */
static bool is_repeated(const struct mst_conn *conn, const struct mst__tcp *tcp) {
  return tcp->ack == conn->snd_una && !tcp->payload_bytes && !(tcp->flags & (MST__SYN | MST__FIN)) &&
         (uint32_t)tcp->window << conn->snd_wscale == conn->snd_wnd;
}

bool mst__ack_input(struct mst_conn *conn, const struct mst__tcp *tcp) {
  /* RFC 5961 5.2: not older than the largest window, not newer than what was sent. */
  if (mst__seq_gt(tcp->ack, conn->snd_nxt) || mst__seq_lt(tcp->ack, conn->snd_una - conn->snd_wnd_max)) {
    mst__drop(conn->stack, MST_DROP_TCP_ACK_INVALID);
    mst__challenge_ack(conn);
    return false;
  }
  conn->probes = 0;
  struct mst__ack ack = {.tcp = tcp, .repeated = is_repeated(conn, tcp)};
  /* With the window closed it answers a probe. */
  ack.duplicate = ack.repeated && conn->snd_una != conn->snd_nxt && conn->snd_wnd;
  bool informs = conn->sack_ok && tcp->options.sack_count && mst__seq_ge(tcp->ack, conn->snd_una);
  if (mst__seq_gt(tcp->ack, conn->snd_una) || ack.duplicate || informs || (ack.repeated && conn->recovery.probe_out))
    take(conn, &ack);
  mst__window_update(conn, tcp);
  return true;
}
