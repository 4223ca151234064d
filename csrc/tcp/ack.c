/* The ACK field (RFC 9293 3.10.7.4, fifth), round-trip times, growth of the congestion window. */
#include "tcp/conn.h"

#define CWND_MAX (1u << 30)

/* The window opens after a probe of one byte: it goes again with what follows it, not alone. */
static void take_back_probe(struct mst_conn *conn) {
  uint32_t seq, bytes;
  if (conn->snd_nxt - conn->snd_una == 1 && !conn->fin_sent) {
    conn->snd_nxt = conn->snd_sml = conn->snd_una;
    conn->rtt_running = false;
    conn->loss->resend_all(conn); /* which is nothing now */
  } else if (conn->loss->next(conn, &seq, &bytes)) {
    conn->loss->resend_all(conn);
  }
}

void mst__window_update(struct mst_conn *conn, const struct mst__tcp *tcp) {
  bool fresh =
      mst__seq_lt(conn->snd_wl1, tcp->seq) || (conn->snd_wl1 == tcp->seq && mst__seq_le(conn->snd_wl2, tcp->ack));
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

static void grow_window(struct mst_conn *conn, uint32_t acked_bytes, uint64_t rtt_ns) {
  struct mst__cc_ack ack = {
      .now_ns = conn->stack->now_ns,
      .rtt_ns = rtt_ns,
      .srtt_ns = conn->srtt_ns,
      .min_rtt_ns = conn->min_rtt_ns,
      .acked_bytes = acked_bytes,
      .delivered_bytes = acked_bytes,
      .cwnd_limited = mst__window_is_used(conn),
  };
  conn->cc.ops->on_ack(&conn->cc, &ack);
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
    mst__timer_set(conn, MST__TIMER_RETRANSMIT, stack->now_ns + conn->rto_ns); /* RFC 6298 5.3 */
  }
}

static void tell_writer(struct mst_conn *conn) {
  if (conn->want_write && mst_writable_bytes(conn) >= conn->sendq.bytes / 2) {
    conn->want_write = false;
    mst__conn_notify(conn, MST_EV_WRITABLE);
  }
  if (conn->want_drain && conn->snd_una == conn->snd_nxt && !conn->sendq.bytes &&
      (!conn->fin_wanted || conn->fin_sent)) {
    conn->want_drain = false;
    mst__conn_notify(conn, MST_EV_DRAINED);
  }
}

static void new_data_acked(struct mst_conn *conn, const struct mst__tcp *tcp) {
  uint32_t acked = tcp->ack - conn->snd_una;
  bool recovering = conn->loss->recovering(conn);
  uint32_t data = acked < conn->sendq.bytes ? acked : conn->sendq.bytes; /* FIN takes a number and no byte */
  uint64_t rtt_ns = mst__rtt_measure(conn, tcp);
  mst__sendq_advance(&conn->sendq, conn->stack, data);
  conn->bytes_acked += data;
  conn->snd_una = tcp->ack;
  if (mst__seq_lt(conn->snd_sml, conn->snd_una)) conn->snd_sml = conn->snd_una;
  if (rtt_ns) mst__rtt_sample(conn, rtt_ns);
  restart_retransmit_timer(conn);
  conn->loss->on_ack(conn, &(struct mst__loss_ack){.acked_bytes = acked});
  if (!recovering) grow_window(conn, data, rtt_ns);
  tell_writer(conn);
  mst__output_wanted(conn);
}

/* RFC 5681 2, the five conditions of a duplicate. */
static bool is_duplicate(const struct mst_conn *conn, const struct mst__tcp *tcp) {
  return tcp->ack == conn->snd_una && conn->snd_una != conn->snd_nxt && !tcp->payload_bytes &&
         !(tcp->flags & (MST__SYN | MST__FIN)) && (uint32_t)tcp->window << conn->snd_wscale == conn->snd_wnd;
}

bool mst__ack_input(struct mst_conn *conn, const struct mst__tcp *tcp) {
  /* RFC 5961 5.2: not older than the largest window, not newer than what was sent. */
  if (mst__seq_gt(tcp->ack, conn->snd_nxt) || mst__seq_lt(tcp->ack, conn->snd_una - conn->snd_wnd_max)) {
    mst__drop(conn->stack, MST_DROP_TCP_ACK_INVALID);
    mst__challenge_ack(conn);
    return false;
  }
  conn->probes = 0;
  if (mst__seq_gt(tcp->ack, conn->snd_una)) {
    new_data_acked(conn, tcp);
  } else if (is_duplicate(conn, tcp)) {
    conn->loss->on_ack(conn, &(struct mst__loss_ack){.duplicate = true});
    mst__output_wanted(conn);
  }
  mst__window_update(conn, tcp);
  return true;
}
