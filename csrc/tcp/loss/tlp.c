/* The tail loss probe (RFC 8985 7): when ACKs stay out, one segment asks for them, long before the timeout. */
#include "tcp/trace.h"

#define SLACK_NS (2 * MST__MS)          /* what hosts are late by, where the round trip is less */
#define MAX_ACK_DELAY_NS (60 * MST__MS) /* TLP.max_ack_delay: above the 40 to 50 ms that hosts delay an ACK */

/* 7.2: in recovery, and with segments SACKed, others take care. */
static bool may_probe(const struct mst_conn *conn) {
  const struct mst__recovery *r = &conn->recovery;
  return conn->sack_ok && r->phase <= MST__PHASE_CWR && !r->probe_out && conn->snd_wnd && conn->sent.flight_bytes &&
         !conn->sent.sacked_bytes && !conn->sent.lost_bytes;
}

static uint64_t pto_ns(const struct mst_conn *conn) {
  if (!conn->rtt_known) return MST__SECOND;
  bool one = conn->sent.flight_bytes <= mst__segment_bytes(conn);
  return 2 * conn->srtt_ns + SLACK_NS + (one ? MAX_ACK_DELAY_NS : 0);
}

void mst__tlp_schedule(struct mst_conn *conn) {
  if (!may_probe(conn)) return mst__timer_clear(conn, MST__TIMER_PROBE);
  uint64_t at_ns = conn->stack->now_ns + pto_ns(conn), timeout_ns = conn->timer_at_ns[MST__TIMER_RETRANSMIT];
  mst__timer_set(conn, MST__TIMER_PROBE, timeout_ns && timeout_ns < at_ns ? timeout_ns : at_ns);
}

/* 7.3 */
void mst__tlp_on_timer(struct mst_conn *conn) {
  struct mst__recovery *r = &conn->recovery;
  if (!may_probe(conn) || !r->probe_rtt_known) return;
  r->probe_wanted = true;
  mst__retransmit_timer_set(conn);
  mst__output_wanted(conn);
}

void mst__tlp_sent(struct mst_conn *conn, bool retransmitted) {
  struct mst__recovery *r = &conn->recovery;
  r->probe_wanted = r->probe_rtt_known = false;
  r->probe_out = true;
  r->probe_retransmitted = retransmitted;
  r->probe_end = conn->snd_nxt;
  conn->stack->stats.tcp_loss_probes++;
  mst__trace(conn, MST_TRACE_TAIL_LOSS_PROBE);
}

/* 7.4.2 */
void mst__tlp_on_ack(struct mst_conn *conn, const struct mst__ack *ack) {
  struct mst__recovery *r = &conn->recovery;
  if (ack->rtt_ns) r->probe_rtt_known = true;
  if (!r->probe_out || mst__seq_lt(conn->snd_una, r->probe_end)) return;
  bool both_arrived = (ack->dsack && ack->dsack_right == r->probe_end) ||
                      (ack->repeated && !ack->tcp->options.sack_count && conn->snd_una == r->probe_end);
  if (!r->probe_retransmitted || both_arrived) {
    r->probe_out = false;
  } else if (mst__seq_gt(conn->snd_una, r->probe_end)) {
    r->probe_out = false;
    conn->stack->stats.tcp_loss_probe_recovery++;
    mst__recovery_reduce(conn, MST__CC_LOSS); /* the probe repaired one */
  }
}
