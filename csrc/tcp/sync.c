/* A segment for a connection in SYN-RECEIVED or a later state (RFC 9293 3.10.7.4). */
#include "tcp/trace.h"

#define PAWS_IDLE_NS (24ull * 24 * 3600 * MST__SECOND) /* RFC 7323 5.5 */
#define PROBE_ANSWER_NS (500 * MST__MS)
#define PROBE_LENGTH_MAX 2 /* what may be sent beyond a window */

static uint32_t segment_length(const struct mst__tcp *tcp) {
  return tcp->payload_bytes + !!(tcp->flags & MST__SYN) + !!(tcp->flags & MST__FIN);
}

bool mst__acceptable(uint32_t rcv_nxt, uint32_t rcv_adv, const struct mst__tcp *tcp) {
  uint32_t length = segment_length(tcp), last = tcp->seq + length - 1, window = rcv_adv - rcv_nxt;
  if (!window) return tcp->seq == rcv_nxt; /* for its ACK, URG and RST only: its text is cut below */
  if (tcp->seq - rcv_nxt < window) return true;
  return length && last - rcv_nxt < window;
}

/* A segment without text may be a probe. One is answered out of the connection's own allowance, as an attacker may have
 * spent what all share; more are limited, or two confused ends would never stop. */
static void answer_probe(struct mst_conn *conn) {
  uint64_t now_ns = conn->stack->now_ns;
  if (now_ns - conn->probe_answered_ns < PROBE_ANSWER_NS) return mst__challenge_ack(conn);
  conn->probe_answered_ns = now_ns;
  conn->ack_now = true;
  mst__output_wanted(conn);
}

/* Text that our peer may well have sent: it ends not further back than a window. */
static bool plausible(const struct mst_conn *conn, const struct mst__tcp *tcp) {
  uint32_t window = conn->receive_buffer_bytes > 65535 ? conn->receive_buffer_bytes : 65535;
  uint32_t end = tcp->seq + segment_length(tcp), oldest = conn->rcv_nxt - window;
  return !(tcp->flags & MST__SYN) && end - oldest <= conn->rcv_adv - oldest;
}

/* An answer that tells where we are. What was sent twice is answered each time: its sender counts (RFC 5681 4.2, RFC
 * 2883). */
static void acknowledge_unacceptable(struct mst_conn *conn, const struct mst__tcp *tcp) {
  if (tcp->flags & MST__RST) return;
  if (!segment_length(tcp)) return answer_probe(conn);
  if (!plausible(conn, tcp)) return mst__challenge_ack(conn);
  mst__sack_old(conn, tcp->seq, tcp->seq + segment_length(tcp));
  mst__owe_ack(conn);
}

/* "If the RCV.WND is zero, no segments will be acceptable, but special allowance should be made to accept valid ACKs":
 * so for one who has not heard that its probe of our window (a byte, FIN or both) was taken, and counts from before.
 * Two ends whose probes cross would else be deaf to each other for ever. */
static bool acknowledges_from_before(const struct mst_conn *conn, const struct mst__tcp *tcp) {
  if (conn->state < MST_ESTABLISHED || (tcp->flags & (MST__ACK | MST__SYN | MST__RST)) != MST__ACK) return false;
  bool fresh = mst__seq_gt(tcp->ack, conn->snd_una) && !mst__seq_gt(tcp->ack, conn->snd_nxt);
  return fresh && conn->rcv_nxt - tcp->seq <= PROBE_LENGTH_MAX;
}

/* RFC 7323 5.3, R1, and 3.2. True: drop. */
static bool paws_rejects(struct mst_conn *conn, const struct mst__tcp *tcp) {
  if (!conn->ts_ok || tcp->flags & MST__RST) return false;
  if (!(tcp->options.has & MST__HAS_TIMESTAMPS)) {
    mst__drop(conn->stack, MST_DROP_TCP_PAWS);
    return true;
  }
  if (!mst__seq_lt(tcp->options.tsval, conn->ts_recent)) return false;
  if (conn->stack->now_ns - conn->ts_recent_at_ns > PAWS_IDLE_NS) return false;
  mst__drop(conn->stack, MST_DROP_TCP_PAWS);
  acknowledge_unacceptable(conn, tcp);
  return true;
}

/* RFC 7323 4.3. */
static void update_ts_recent(struct mst_conn *conn, const struct mst__tcp *tcp) {
  if (!conn->ts_ok || !(tcp->options.has & MST__HAS_TIMESTAMPS)) return;
  if (mst__seq_gt(tcp->seq, conn->last_ack_sent)) return;
  bool stale = conn->stack->now_ns - conn->ts_recent_at_ns > PAWS_IDLE_NS;
  if (mst__seq_lt(tcp->options.tsval, conn->ts_recent) && !stale) return;
  conn->ts_recent = tcp->options.tsval;
  conn->ts_recent_at_ns = conn->stack->now_ns;
}

/* Cut what is left and right of the window. */
static void trim(struct mst_conn *conn, struct mst__tcp *tcp) {
  if (mst__seq_lt(tcp->seq, conn->rcv_nxt)) {
    uint32_t cut = conn->rcv_nxt - tcp->seq;
    if (tcp->flags & MST__SYN) {
      tcp->flags &= (uint8_t)~MST__SYN;
      tcp->seq++;
      cut--;
    }
    if (cut > tcp->payload_bytes) cut = tcp->payload_bytes;
    mst__sack_old(conn, tcp->seq, tcp->seq + cut);
    tcp->seq += cut;
    tcp->urgent = tcp->urgent > cut ? (uint16_t)(tcp->urgent - cut) : 0;
    tcp->payload += cut;
    tcp->payload_bytes -= cut;
    if (tcp->payload_bytes + cut > 0) { /* the peer sends what we have */
      conn->ack_now = true;
      conn->quickacks = MST__QUICKACKS;
    }
  }
  uint32_t room = mst__seq_gt(conn->rcv_adv, tcp->seq) ? conn->rcv_adv - tcp->seq : 0;
  if (tcp->payload_bytes > room) {
    tcp->payload_bytes = room;
    tcp->flags &= (uint8_t) ~(MST__FIN | MST__PSH);
    conn->ack_now = true;
  }
  if (conn->ack_now) mst__output_wanted(conn);
}

/* Second check: RFC 5961 3.2. */
static void reset_input(struct mst_conn *conn, const struct mst__tcp *tcp) {
  if (tcp->seq != conn->rcv_nxt) {
    mst__drop(conn->stack, MST_DROP_TCP_RST_INVALID);
    return mst__challenge_ack(conn);
  }
  int error = -MST_ECONNRESET;
  if (conn->state == MST_SYN_RECEIVED) {
    conn->stack->stats.tcp_embryonic_rsts++;
    error = -MST_ECONNREFUSED;
  }
  if (conn->state == MST_CLOSE_WAIT) error = -MST_EPIPE;
  mst__conn_die(conn, error);
}

/* True: the connection is established now, or was. */
static bool establish(struct mst_conn *conn, const struct mst__ip *ip, const struct mst__tcp *tcp) {
  if (conn->state != MST_SYN_RECEIVED) return true;
  if (!mst__seq_gt(tcp->ack, conn->snd_una) || mst__seq_gt(tcp->ack, conn->snd_nxt)) {
    mst__drop(conn->stack, MST_DROP_TCP_ACK_INVALID);
    mst__reset_reply(conn->stack, ip, tcp);
    return false;
  }
  conn->snd_wnd = conn->snd_wnd_max = (uint32_t)tcp->window << conn->snd_wscale;
  conn->snd_wl1 = tcp->seq;
  conn->snd_wl2 = tcp->ack;
  mst__syn_acked(conn, tcp);
  mst__ecn_accepted(conn, tcp);
  return true;
}

/* What the acknowledgment of our FIN does. False: the connection is gone. */
static bool fin_acked(struct mst_conn *conn) {
  if (!conn->fin_sent || conn->snd_una != conn->snd_nxt) return true;
  switch (conn->state) {
  case MST_FIN_WAIT_1:
    mst__set_state(conn, MST_FIN_WAIT_2);
    if (conn->orphan) mst__timer_set(conn, MST__TIMER_END, conn->stack->now_ns + MST__FIN_WAIT_2_NS);
    return true;
  case MST_CLOSING: mst__time_wait_enter(conn); return false;
  case MST_LAST_ACK: mst__conn_die(conn, 0); return false;
  default: return true;
  }
}

/* The SYN,ACK of a simultaneous open repeats the SYN that brought us here (RFC 9293 3.5, figure 7): what counts is its
 * ACK. */
static void simultaneous_syn_ack(const struct mst_conn *conn, struct mst__tcp *tcp) {
  bool syn_ack = (tcp->flags & (MST__SYN | MST__ACK | MST__RST)) == (MST__SYN | MST__ACK);
  if (conn->state != MST_SYN_RECEIVED || !syn_ack || tcp->seq != conn->irs) return;
  tcp->flags &= (uint8_t)~MST__SYN;
  tcp->seq++;
  tcp->window >>= conn->snd_wscale; /* of a SYN it is not scaled (RFC 7323 2.2), and from here on it is taken to be */
}

/* A SYN again: the answer was lost. */
static bool repeated_syn(struct mst_conn *conn, const struct mst__tcp *tcp) {
  if (conn->state != MST_SYN_RECEIVED || !(tcp->flags & MST__SYN) || tcp->flags & (MST__ACK | MST__RST)) return false;
  if (tcp->seq != conn->irs) return false;
  if (!mst__ecn_syn_again(&conn->ecn.syn, conn->ecn.wanted, tcp)) {
    mst__reset_send(conn);
    mst__conn_die(conn, -MST_ECONNRESET);
    return true;
  }
  conn->syn_wanted = true;
  mst__output_wanted(conn);
  return true;
}

void mst__sync_input(struct mst_conn *conn, const struct mst__ip *ip, struct mst__tcp *tcp) {
  mst_stack *stack = conn->stack;
  if (repeated_syn(conn, tcp)) return;
  simultaneous_syn_ack(conn, tcp);
  if (paws_rejects(conn, tcp)) return;
  if (!mst__acceptable(conn->rcv_nxt, conn->rcv_adv, tcp)) {
    mst__drop(stack, MST_DROP_TCP_SEQUENCE);
    if (tcp->flags & MST__SYN && tcp->seq == conn->irs) mst__ecn_syn_ack_again(conn, tcp);
    if (acknowledges_from_before(conn, tcp) && (!mst__ack_input(conn, tcp) || !fin_acked(conn))) return;
    return acknowledge_unacceptable(conn, tcp);
  }
  if (tcp->flags & MST__RST) return reset_input(conn, tcp);
  if (tcp->flags & MST__SYN && !mst__seq_lt(tcp->seq, conn->rcv_nxt)) { /* RFC 5961 4.2 */
    mst__drop(stack, MST_DROP_TCP_SYN_IN_WINDOW);
    return mst__challenge_ack(conn);
  }
  if (!(tcp->flags & MST__ACK)) return mst__drop(stack, MST_DROP_TCP_NO_ACK);
  conn->last_heard_ns = stack->now_ns;
  if (!establish(conn, ip, tcp)) return;
  if (!mst__ack_input(conn, tcp)) return;
  if (conn->ecn.mode) mst__ecn_received(conn, tcp);
  if (tcp->options.has & MST__HAS_USER_TIMEOUT) mst__user_timeout_input(conn, tcp);
  update_ts_recent(conn, tcp);
  trim(conn, tcp);
  if (!fin_acked(conn)) return;
  mst__text_input(conn, tcp);
}
