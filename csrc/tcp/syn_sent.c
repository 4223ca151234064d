/* A segment in SYN-SENT (RFC 9293 3.10.7.3). */
#include "tcp/conn.h"

static void take_syn(struct mst_conn *conn, const struct mst__tcp *tcp) {
  conn->irs = tcp->seq;
  conn->rcv_nxt = conn->rcv_adv = conn->last_ack_sent = tcp->seq + 1;
  mst__syn_options(conn, tcp);
  conn->snd_wnd = conn->snd_wnd_max = tcp->window; /* not scaled: RFC 7323 2.2 */
  conn->snd_wl1 = tcp->seq;
  conn->snd_wl2 = tcp->ack;
  conn->last_heard_ns = conn->stack->now_ns;
}

static void syn_acked(struct mst_conn *conn, const struct mst__tcp *tcp) {
  conn->snd_una = tcp->ack;
  if (conn->rtt_running) {
    conn->rtt_running = false;
    mst__rtt_sample(conn, conn->stack->now_ns - conn->rtt_start_ns);
  }
  conn->first_unanswered_ns = 0;
  mst__timer_clear(conn, MST__TIMER_RETRANSMIT);
  conn->syn_wanted = false;
  mst__conn_established(conn);
  conn->stack->stats.tcp_active_opens++;
  if (conn->fin_wanted) conn->state = MST_FIN_WAIT_1;
  conn->ack_now = true;
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
    syn_acked(conn, tcp);
  } else { /* simultaneous open */
    conn->state = MST_SYN_RECEIVED;
    conn->syn_wanted = true;
  }
  mst__output_wanted(conn);
}
