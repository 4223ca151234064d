/* The retransmission timeout (RFC 6298 2). */
#include "tcp/trace.h"

void mst__rtt_sample(struct mst_conn *conn, uint64_t rtt_ns) {
  if (!conn->rtt_known) {
    conn->rtt_known = true;
    conn->srtt_ns = rtt_ns;
    conn->rttvar_ns = rtt_ns / 2;
    conn->min_rtt_ns = rtt_ns;
  } else {
    uint64_t error = conn->srtt_ns > rtt_ns ? conn->srtt_ns - rtt_ns : rtt_ns - conn->srtt_ns;
    conn->rttvar_ns = (3 * conn->rttvar_ns + error) / 4;
    conn->srtt_ns = (7 * conn->srtt_ns + rtt_ns) / 8;
    if (rtt_ns < conn->min_rtt_ns) conn->min_rtt_ns = rtt_ns;
  }
  mst__rto_update(conn);
  mst__trace_rtt(conn, rtt_ns);
}

void mst__rto_update(struct mst_conn *conn) {
  if (!conn->rtt_known) {
    conn->rto_ns = MST__RTO_INITIAL_NS;
    return;
  }
  /* The minimum is of the margin, not of the sum: with a sample for each ACK the variance of a steady path is nearly
   * nothing, and a queue that fills within a round trip would look like a loss. */
  uint64_t margin = 4 * conn->rttvar_ns;
  uint64_t rto = conn->srtt_ns + (margin > MST__RTO_MIN_NS ? margin : MST__RTO_MIN_NS);
  conn->rto_ns = rto > MST__RTO_MAX_NS ? MST__RTO_MAX_NS : rto;
}

uint64_t mst__rtt_of_echo(const struct mst_conn *conn, const struct mst__tcp *tcp) {
  if (!conn->ts_ok || !(tcp->options.has & MST__HAS_TIMESTAMPS) || !tcp->options.tsecr) return 0;
  uint32_t ms = mst__ts_now(conn->stack, conn->ts_offset) - tcp->options.tsecr;
  if (ms > MST__RTO_MAX_NS / MST__MS) return 0; /* an echo of what was never sent */
  return ms ? ms * MST__MS : MST__MS / 2;
}

uint64_t mst__rtt_of_syn(const struct mst_conn *conn, const struct mst__tcp *tcp) {
  if (!conn->syn_sent_ns) return mst__rtt_of_echo(conn, tcp);
  uint64_t rtt_ns = conn->stack->now_ns - conn->syn_sent_ns;
  return rtt_ns ? rtt_ns : 1;
}
