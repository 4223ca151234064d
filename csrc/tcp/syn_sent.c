/* A segment in SYN-SENT (RFC 9293 3.10.7.3). */
#include "tcp/trace.h"

static void take_syn(struct mst_conn *conn, const struct mst__tcp *tcp) {
  conn->irs = tcp->seq;
  uint32_t promised = conn->rcv_adv - conn->rcv_nxt; /* by our SYN */
  conn->rcv_nxt = conn->last_ack_sent = tcp->seq + 1;
  conn->rcv_adv = conn->rcv_nxt + promised;
  struct mst__terms terms;
  mst__terms_of_syn(&terms, tcp, conn->rcv_wscale, !conn->stack->tcp.no_sack);
  if (!(tcp->flags & MST__ACK)) terms.ecn = mst__ecn_syn_first(conn->ecn.wanted, tcp);
  terms.ecn.plain |= conn->ecn.syn.plain; /* of our own SYNs */
  mst__conn_set_terms(conn, &terms);
  conn->snd_wnd = conn->snd_wnd_max = tcp->window; /* not scaled: RFC 7323 2.2 */
  conn->snd_wl1 = tcp->seq;
  conn->snd_wl2 = tcp->ack;
  conn->last_heard_ns = conn->stack->now_ns;
  if (tcp->options.has & MST__HAS_USER_TIMEOUT) mst__user_timeout_input(conn, tcp);
}

void mst__syn_acked(struct mst_conn *conn, const struct mst__tcp *tcp) {
  uint64_t rtt_ns = mst__rtt_of_syn(conn, tcp);
  if (rtt_ns) mst__rtt_sample(conn, rtt_ns);
  conn->snd_una = tcp->ack;
  conn->first_unanswered_ns = 0;
  mst__timer_clear(conn, MST__TIMER_RETRANSMIT);
  conn->syn_wanted = false;
  mst__conn_established(conn);
  if (!conn->passive) conn->stack->stats.tcp_active_opens++;
  if (conn->fin_wanted) mst__set_state(conn, MST_FIN_WAIT_1);
  mst__output_wanted(conn); /* what was written meanwhile */
}

void mst__syn_sent_input(struct mst_conn *conn, const struct mst__ip *ip, const struct mst__tcp *tcp) {
  mst_stack *stack = conn->stack;
  bool ack = tcp->flags & MST__ACK;
  if (ack && (mst__seq_le(tcp->ack, conn->iss) || mst__seq_gt(tcp->ack, conn->snd_nxt))) {
    mst__drop(stack, MST_DROP_TCP_ACK_INVALID);
    return mst__reset_reply(stack, ip, tcp);
  }
  if (tcp->flags & MST__RST) {
    if (!ack) return mst__drop(stack, MST_DROP_TCP_RST_INVALID);
    return mst__conn_die(conn, -MST_ECONNREFUSED);
  }
  if (!(tcp->flags & MST__SYN)) return mst__drop(stack, MST_DROP_TCP_NO_ACK);
  take_syn(conn, tcp);
  if (ack) {
    mst__syn_acked(conn, tcp);
    mst__ecn_connected(conn, tcp);
    conn->ack_now = true;
  } else { /* simultaneous open */
    mst__set_state(conn, MST_SYN_RECEIVED);
    conn->syn_wanted = true;
  }
  mst__output_wanted(conn);
}
