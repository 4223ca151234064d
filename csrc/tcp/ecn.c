/* Explicit congestion notification: the handshake, the classic echo (RFC 3168), and the sender's answer to marks of
 * either kind of feedback. */
#include "tcp/conn.h"

#define HOLES_MAX 2

/* --- the handshake --- */

static bool asks_classic(const struct mst__tcp *syn) {
  return mst__tcp_ace(syn) == 3; /* CWR and ECE (6.1.1) */
}

struct mst__ecn_syn mst__ecn_syn_first(uint8_t granted, const struct mst__tcp *syn) {
  struct mst__ecn_syn ecn = {.ip_ecn = syn->ip_ecn & MST__ECN_MASK};
  uint8_t ace = mst__tcp_ace(syn);
  if (!ace || granted == MST_ECN_OFF) return ecn;
  if (granted == MST_ECN_CLASSIC) /* which knows of no third flag */
    ecn.mode = (ace & 3) == 3 ? MST__ECN_CLASSIC : MST__ECN_NONE;
  else /* any other combination asks for what is yet to come and may be answered so (draft 3.1.3) */
    ecn.mode = asks_classic(syn) ? MST__ECN_CLASSIC : MST__ECN_ACCURATE;
  return ecn;
}

bool mst__ecn_syn_again(struct mst__ecn_syn *ecn, uint8_t granted, const struct mst__tcp *syn) {
  if (ecn->mode == MST__ECN_NONE) return true;
  uint8_t mode = mst__ecn_syn_first(granted, syn).mode;
  ecn->ip_ecn = syn->ip_ecn & MST__ECN_MASK;
  ecn->repeated = true;
  if (mode == MST__ECN_NONE) ecn->plain = true;
  return mode == MST__ECN_NONE || mode == ecn->mode;
}

/* Draft 3.2.3.2.2: first without the option, then without ECN. */
void mst__ecn_syn_ack_lost(struct mst__ecn_syn *ecn) {
  if (ecn->mode != MST__ECN_ACCURATE || ecn->lost == 2) return;
  ecn->lost++;
  if (ecn->lost == 2) ecn->plain = true;
}

uint8_t mst__ecn_syn_ack(struct mst__ecn_syn ecn, struct mst__tcp_options *options) {
  if (ecn.mode == MST__ECN_CLASSIC) return ecn.plain ? 0 : 1; /* ECE; a SYN without ECN is answered without (6.1.1) */
  if (ecn.mode == MST__ECN_NONE || ecn.lost == 2) return 0;
  if (!ecn.lost && !ecn.repeated) mst__accecn_first_option(options);
  return mst__accecn_handshake_ace(ecn.ip_ecn);
}

struct mst__ecn_syn mst__ecn_syn_cookie(struct mst__ecn_syn ecn, bool has_bit) {
  bool kept = ecn.mode == MST__ECN_ACCURATE || (ecn.mode == MST__ECN_CLASSIC && has_bit);
  return kept ? ecn : (struct mst__ecn_syn){.mode = MST__ECN_NONE};
}

struct mst__ecn_syn mst__ecn_syn_of_cookie(uint8_t granted, const struct mst__tcp *ack, bool bit) {
  struct mst__ecn_syn ecn = {.mode = MST__ECN_NONE};
  if (granted == MST_ECN_OFF) return ecn;
  if (bit)
    ecn.mode = MST__ECN_CLASSIC;
  else if (granted != MST_ECN_CLASSIC && mst__tcp_ace(ack) >= 2)
    ecn.mode = MST__ECN_ACCURATE;
  return ecn;
}

/* The flags of our SYN: RFC 3168 6.1.1.1, and draft 3.1.4.1, which tries twice. */
static void mark_syn(struct mst_conn *conn, struct mst__tcp *syn) {
  struct mst__ecn *ecn = &conn->ecn;
  unsigned tries = ecn->wanted == MST_ECN_ACCURATE ? 2 : 1;
  if (ecn->wanted != MST_ECN_CLASSIC && ecn->wanted != MST_ECN_ACCURATE) return;
  if (!conn->retries) ecn->asked = !mst__path_ecn_blocked(conn->stack, &conn->flow.remote_addr);
  if (!ecn->asked) return;
  if (conn->retries >= tries) {
    if (!ecn->syn.plain) conn->stack->stats.tcp_ecn_fallbacks++;
    ecn->syn.plain = true;
    return;
  }
  mst__tcp_set_ace(syn, ecn->wanted == MST_ECN_ACCURATE ? 7 : 3);
}

static void mark_syn_ack(struct mst_conn *conn, struct mst__tcp *syn_ack) {
  mst__tcp_set_ace(syn_ack, mst__ecn_syn_ack(conn->ecn.syn, &syn_ack->options));
  mst__ecn_syn_ack_lost(&conn->ecn.syn); /* unless an answer comes before it goes again */
}

static void start(struct mst_conn *conn, enum mst__ecn_mode mode, bool ect) {
  conn->ecn.mode = (uint8_t)mode;
  conn->ecn.ect = ect;
  conn->ecn.high = conn->snd_una - 1;
  if (mode == MST__ECN_ACCURATE) mst__accecn_start(conn);
}

void mst__ecn_accepted(struct mst_conn *conn, const struct mst__tcp *ack) {
  struct mst__ecn_syn syn = conn->ecn.syn;
  if (syn.mode == MST__ECN_NONE) return;
  start(conn, syn.mode, !syn.plain);
  if (syn.mode == MST__ECN_ACCURATE) mst__accecn_accepted(conn, ack);
}

/* Whoever reflects what it was sent is no party to it (RFC 3168 6.1.1.2, draft table 2). */
void mst__ecn_connected(struct mst_conn *conn, const struct mst__tcp *syn_ack) {
  struct mst__ecn *ecn = &conn->ecn;
  uint8_t ace = mst__tcp_ace(syn_ack);
  if (!ecn->asked) return;
  bool classic = ecn->wanted == MST_ECN_CLASSIC ? (ace & 3) == 1 : ecn->wanted == MST_ECN_ACCURATE && ace == 1;
  if (classic) {
    start(conn, MST__ECN_CLASSIC, !ecn->syn.plain);
  } else if (ecn->wanted == MST_ECN_ACCURATE && ace && ace != 7) {
    start(conn, MST__ECN_ACCURATE, true); /* whatever SYNs went after: draft 3.1.4.1 */
    mst__accecn_connected(conn, syn_ack);
  }
  bool passed = !ecn->syn.plain || ecn->mode != MST__ECN_NONE;
  mst__path_ecn_tried(conn->stack, &conn->flow.remote_addr, passed);
}

void mst__ecn_syn_ack_again(struct mst_conn *conn, const struct mst__tcp *syn_ack) {
  struct mst__ecn *ecn = &conn->ecn;
  if (ecn->mode != MST__ECN_ACCURATE || conn->passive) return;
  if (mst__accecn_is_handshake_ace(mst__tcp_ace(syn_ack))) mst__accecn_syn_ack(&ecn->accurate, syn_ack);
}

/* --- the receiver --- */

/* RFC 3168 6.1.3. A mark that is the first for a while is told at once. */
static void classic_receive(struct mst_conn *conn, const struct mst__tcp *tcp) {
  struct mst__ecn *ecn = &conn->ecn;
  if (tcp->flags & MST__CWR) ecn->echo = false;
  if (tcp->ip_ecn != MST__CE || !tcp->payload_bytes) return;
  if (!ecn->echo) {
    conn->ack_now = true;
    mst__output_wanted(conn);
  }
  ecn->echo = true;
}

void mst__ecn_received(struct mst_conn *conn, const struct mst__tcp *tcp) {
  if (tcp->ip_ecn && tcp->payload_bytes) conn->ecn.seen = true;
  if (tcp->ip_ecn == MST__CE) conn->ecn.received_ce += mst__tcp_segments(tcp);
  if (conn->ecn.mode == MST__ECN_CLASSIC)
    classic_receive(conn, tcp);
  else
    mst__accecn_receive(conn, tcp);
}

/* --- the sender --- */

/* RFC 3168 6.1.4 to 6.1.6: new data alone, which no window probe is. */
static bool takes_ect(const struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t payload_bytes) {
  return payload_bytes && !mst__seq_lt(tcp->seq, conn->snd_nxt) && !conn->probe_window;
}

uint8_t mst__ecn_mark(struct mst_conn *conn, struct mst__tcp *tcp, uint32_t payload_bytes) {
  struct mst__ecn *ecn = &conn->ecn;
  if (tcp->flags & MST__SYN) {
    if (tcp->flags & MST__ACK)
      mark_syn_ack(conn, tcp);
    else
      mark_syn(conn, tcp);
    return MST__NOT_ECT;
  }
  bool fresh = takes_ect(conn, tcp, payload_bytes);
  if (ecn->mode == MST__ECN_ACCURATE) mst__accecn_mark(conn, tcp, payload_bytes);
  if (ecn->mode == MST__ECN_CLASSIC && ecn->echo) tcp->flags |= MST__ECE;
  if (ecn->mode == MST__ECN_CLASSIC && ecn->cwr && fresh) tcp->flags |= MST__CWR;
  return ecn->ect && fresh ? MST__ECT0 : MST__NOT_ECT;
}

void mst__ecn_sent(struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t payload_bytes) {
  if (conn->ecn.mode == MST__ECN_CLASSIC && tcp->flags & MST__CWR) conn->ecn.cwr = false;
  if (conn->ecn.mode == MST__ECN_ACCURATE) mst__accecn_sent(conn, tcp, payload_bytes);
}

/* What went with ECT never arrives, and what is sent again without it does: something drops ECT. */
static void note_hole(struct mst_conn *conn) {
  struct mst__ecn *ecn = &conn->ecn;
  if (mst__seq_gt(conn->snd_una, ecn->high)) ecn->holes = 0;
  if (!ecn->ect || mst__seq_lt(conn->snd_una, ecn->high)) return;
  if (++ecn->holes <= HOLES_MAX) return;
  ecn->ect = false;
  conn->stack->stats.tcp_ecn_blackholes++;
}

void mst__ecn_reduced(struct mst_conn *conn, bool lost) {
  if (lost) note_hole(conn);
  conn->ecn.high = conn->snd_nxt;
  conn->ecn.cwr = true;
}

/* RFC 3168 6.1.2: once a window, of dropped and of marked packets together. */
void mst__ecn_answer(struct mst_conn *conn) {
  struct mst__ecn *ecn = &conn->ecn;
  if (!mst__seq_gt(conn->snd_una, ecn->high) || conn->recovery.phase != MST__PHASE_OPEN) return;
  conn->stack->stats.tcp_ecn_reductions++;
  ecn->hold = conn->cc.cwnd <= conn->cc.mss;
  if (ecn->hold)
    mst__ecn_reduced(conn, false);
  else
    mst__recovery_reduce(conn, MST__CC_ECN);
}

uint32_t mst__ecn_feedback(struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t delivered_bytes) {
  struct mst__ecn *ecn = &conn->ecn;
  uint32_t ce_packets = 0, ce_bytes = 0;
  if (ecn->mode == MST__ECN_ACCURATE) {
    ce_bytes = mst__accecn_feedback(conn, tcp, delivered_bytes, &ce_packets);
  } else if (tcp->flags & MST__ECE) { /* which of them it was is not told */
    ce_bytes = delivered_bytes;
    ce_packets = (delivered_bytes + conn->cc.mss - 1) / conn->cc.mss;
    if (!delivered_bytes) mst__ecn_answer(conn);
  }
  if (mst__seq_gt(conn->snd_una - 1, ecn->high)) ecn->high = conn->snd_una - 2; /* near: it would be ahead again */
  if (!ce_packets) return 0;
  conn->stack->stats.tcp_delivered_ce += ce_packets;
  ecn->delivered_ce += ce_packets;
  if (ecn->deaf) return 0;
  mst__ecn_answer(conn);
  return ce_bytes;
}

/* --- one segment a round trip is too much --- */

bool mst__ecn_timer(struct mst_conn *conn) {
  if (conn->ecn.mode == MST__ECN_ACCURATE) mst__accecn_timeout(conn);
  if (!conn->ecn.hold) return false;
  conn->ecn.hold = false;
  return conn->snd_una == conn->snd_nxt && conn->snd_wnd;
}

bool mst__ecn_holds(struct mst_conn *conn) {
  if (!conn->ecn.hold) return false;
  if (conn->snd_una == conn->snd_nxt && !mst__timer_is_set(conn, MST__TIMER_RETRANSMIT))
    mst__retransmit_timer_set(conn);
  return true;
}
