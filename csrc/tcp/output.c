/* What may be sent now (RFC 9293 3.8.6.2, 3.7.4). */
#include "tcp/conn.h"

void mst__output_wanted(struct mst_conn *conn) {
  if (!mst__list_linked(&conn->output_node)) mst__list_push_back(&conn->stack->output, &conn->output_node);
}

uint32_t mst__queue_end(const struct mst_conn *conn) {
  if (conn->fin_sent) return conn->snd_nxt - 1;
  return conn->snd_una + conn->sendq.bytes;
}

static uint32_t positive(uint32_t edge, uint32_t from) {
  return mst__seq_gt(edge, from) ? edge - from : 0;
}

uint32_t mst__congestion_room(const struct mst_conn *conn) {
  uint32_t window = conn->cc.cwnd, flight = mst__recovery_flight(conn);
  return window > flight ? window - flight : 0;
}

uint32_t mst__packet_payload_max(const struct mst_conn *conn) {
  uint32_t room = MST_PACKET_BYTES_MAX - MST__IP6_HEADER_BYTES - MST__TCP_HEADER_BYTES - MST__TCP_OPTIONS_MAX;
  uint32_t segment = mst__segment_bytes(conn);
  if (mst__ecn_one_segment(conn)) return segment;
  return room > segment ? room - room % segment : segment;
}

void mst__retransmit_timer_start(struct mst_conn *conn) {
  mst_stack *stack = conn->stack;
  if (!conn->first_unanswered_ns) conn->first_unanswered_ns = stack->now_ns;
  if (!mst__timer_is_set(conn, MST__TIMER_RETRANSMIT)) mst__retransmit_timer_set(conn);
}

/* RFC 9293 3.4.1: the clock that numbers follow goes on while the application rests, and was not told to mst_connect.
 */
static void number_now(struct mst_conn *conn) {
  uint64_t now_ns = conn->stack->now_ns;
  conn->iss += mst__isn_clock(now_ns) - mst__isn_clock(conn->last_heard_ns);
  conn->last_heard_ns = now_ns;
  conn->snd_una = conn->snd_nxt = conn->snd_sml = conn->iss;
}

static int send_syn(struct mst_conn *conn) {
  uint32_t sent;
  if (conn->state == MST_SYN_SENT && conn->snd_nxt == conn->iss) number_now(conn);
  uint8_t flags = conn->state == MST_SYN_RECEIVED ? MST__SYN | MST__ACK : MST__SYN;
  int rc = mst__segment_send(conn, &(struct mst__segment){.seq = conn->iss, .flags = flags}, &sent);
  if (rc) return rc;
  conn->syn_wanted = false;
  if (conn->snd_nxt == conn->iss) {
    conn->syn_sent_ns = conn->stack->now_ns;
    conn->snd_nxt = conn->snd_sml = conn->iss + 1;
  } else {
    conn->syn_sent_ns = 0;
    conn->total_retrans++;
    conn->stack->stats.tcp_retrans_segs++;
    conn->stack->stats.tcp_syn_retrans++;
  }
  mst__retransmit_timer_start(conn);
  return 0;
}

/* How much of `bytes` unsent ones may go, as the sender's side of silly-window avoidance and Nagle's algorithm want it.
 * Nagle in Minshall's variant: a small segment waits only for another small one. */
static uint32_t sendable(const struct mst_conn *conn, uint32_t unsent, uint32_t room) {
  uint32_t segment = mst__segment_bytes(conn), bytes = unsent < room ? unsent : room;
  bool small_may_go = conn->nodelay || conn->fin_wanted || !mst__seq_gt(conn->snd_sml, conn->snd_una);
  if (bytes == unsent && small_may_go) return bytes;
  if (bytes >= segment) return bytes - bytes % segment;
  if (bytes && bytes < unsent && bytes >= conn->snd_wnd_max / 2) return bytes; /* Fs = 1/2 */
  return 0;
}

/* `segment_bytes`: payload of each packet. */
static int send_sized(struct mst_conn *conn, uint32_t bytes, bool fin, uint32_t segment_bytes) {
  bool last = bytes && conn->snd_nxt + bytes == mst__queue_end(conn);
  uint8_t flags = MST__ACK | (fin ? MST__FIN : 0) | (last ? MST__PSH : 0);
  uint32_t seq = conn->snd_nxt, sent;
  struct mst__sent *record = mst__sent_reserve(conn);
  if (!record) return -MST_ENOMEM;
  int rc = mst__segment_send(conn, &(struct mst__segment){seq, bytes, flags, segment_bytes}, &sent);
  if (rc) {
    mst__sent_release(conn, record);
    return rc;
  }
  fin = fin && sent == bytes;
  uint32_t usual = mst__segment_bytes(conn);
  if (segment_bytes > usual && sent < segment_bytes) segment_bytes = sent > usual ? sent : usual; /* cut by memory */
  mst__sent_add(conn, record, seq, seq + sent + fin, segment_bytes);
  if (sent % segment_bytes) conn->snd_sml = seq + sent;
  conn->snd_nxt += sent + fin;
  conn->fin_sent = fin;
  conn->probe_window = false;
  mst__prr_sent(conn, sent);
  mst__pacing_sent(conn, sent);
  mst__retransmit_timer_start(conn);
  return 0;
}

int mst__send_new_segment(struct mst_conn *conn, uint32_t bytes, bool fin) {
  return send_sized(conn, bytes, fin, mst__segment_bytes(conn));
}

static int send_mtu_probe(struct mst_conn *conn, uint32_t bytes) {
  uint32_t seq = conn->snd_nxt;
  int rc = send_sized(conn, bytes, false, bytes);
  if (!rc) mst__mtu_probe_sent(conn, seq, conn->snd_nxt - seq);
  return rc;
}

/* Nothing is under way that would bring an ACK, and something waits for the window: RFC 9293 3.8.6.1. */
static void persist_timer_start(struct mst_conn *conn) {
  if (conn->snd_una != conn->snd_nxt || mst__timer_is_set(conn, MST__TIMER_RETRANSMIT)) return;
  mst__retransmit_timer_set(conn);
}

/* What is delivered from now on tells of the application's pace, not the network's. */
static void app_limited(struct mst_conn *conn) {
  conn->cwnd_limited = false;
  uint32_t flight = conn->sent.flight_bytes;
  if (flight >= conn->cc.cwnd || conn->sent.lost_bytes) return;
  conn->sent.app_limited = conn->sent.delivered + flight ? conn->sent.delivered + flight : 1;
}

uint32_t mst__window_room(const struct mst_conn *conn) {
  return positive(conn->snd_una + conn->snd_wnd, conn->snd_nxt);
}

static int send_new(struct mst_conn *conn) {
  uint32_t end = mst__queue_end(conn);
  if (conn->fin_sent) return 0;
  if (mst__ecn_holds(conn)) return 0;
  if (end != conn->snd_nxt) mst__window_use_start(conn);
  for (;;) {
    uint32_t unsent = end - conn->snd_nxt;
    if (!unsent && !conn->fin_wanted) {
      app_limited(conn);
      return 0;
    }
    uint32_t window_room = mst__window_room(conn), cwnd_room = mst__congestion_room(conn);
    uint32_t room = window_room < cwnd_room ? window_room : cwnd_room;
    conn->cwnd_limited = unsent > cwnd_room && cwnd_room <= window_room;
    uint32_t probe = conn->mtu_probe.searching ? mst__mtu_probe_bytes(conn, unsent, window_room, cwnd_room) : 0;
    if (probe == MST__MTU_PROBE_WAIT) return 0;
    if (room && unsent && !(room = mst__pacing_limit(conn, room))) return 0;
    uint32_t bytes = sendable(conn, unsent, room);
    if (!bytes && unsent && conn->probe_window) bytes = window_room && window_room < unsent ? window_room : 1;
    if (bytes > mst__packet_payload_max(conn)) bytes = mst__packet_payload_max(conn);
    bool fin = conn->fin_wanted && bytes == unsent;
    if (!bytes && !fin) {
      if (unsent && window_room < cwnd_room) app_limited(conn); /* by the one at the other end */
      if (unsent) persist_timer_start(conn);
      return 0;
    }
    int rc = probe ? send_mtu_probe(conn, probe) : mst__send_new_segment(conn, bytes, fin);
    if (rc == -MST_ENOMEM) return 0; /* something is under way: its ACK or its timer brings us here again */
    if (rc) return rc;
    mst__tlp_schedule(conn);
    if (conn->fin_sent) return 0;
  }
}

uint32_t mst__acceptable_seq(const struct mst_conn *conn) {
  uint32_t edge = conn->snd_una + conn->snd_wnd;
  return conn->state >= MST_ESTABLISHED && mst__seq_gt(conn->snd_nxt, edge) ? edge : conn->snd_nxt;
}

static int send_acks(struct mst_conn *conn) {
  uint32_t sent;
  struct mst__segment ack = {.seq = mst__acceptable_seq(conn), .flags = MST__ACK};
  if (conn->probe_wanted) {
    /* RFC 9293 3.8.4: a sequence number that is already acknowledged calls for an answer. */
    struct mst__segment probe = {.seq = conn->snd_una - 1, .flags = MST__ACK};
    int rc = mst__segment_send(conn, &probe, &sent);
    if (rc) return rc;
    conn->probe_wanted = false;
  }
  if (conn->user_timeout.wanted) conn->ack_now = true;
  while (conn->ack_now || conn->acks_owed || mst__ecn_ack_due(conn)) {
    int rc = mst__segment_send(conn, &ack, &sent);
    if (rc) return rc;
  }
  return 0;
}

static void end_timer_start(struct mst_conn *conn) {
  uint64_t now_ns = conn->stack->now_ns;
  conn->end_wanted = false;
  if (conn->state == MST_FIN_WAIT_2)
    mst__timer_set(conn, MST__TIMER_END, now_ns + MST__FIN_WAIT_2_NS);
  else if (conn->linger_ms > 0)
    mst__timer_set(conn, MST__TIMER_END, now_ns + (uint64_t)conn->linger_ms * MST__MS);
}

int mst__output(struct mst_conn *conn) {
  int rc = 0;
  if (conn->state == MST_CLOSED || conn->state == MST_TIME_WAIT) return 0;
  if (conn->end_wanted) end_timer_start(conn);
  if (conn->syn_wanted) rc = send_syn(conn);
  if (conn->state == MST_SYN_SENT) return rc;
  uint32_t snd_nxt = conn->snd_nxt;
  if (!rc && mst__ecn_ack_due(conn)) rc = send_acks(conn); /* a pure one, before data */
  if (!rc && conn->recovery.probe_wanted) rc = mst__probe_send(conn);
  if (!rc && conn->state >= MST_ESTABLISHED && !mst__list_empty(&conn->sent.lost)) rc = mst__resend(conn);
  if (!rc && conn->state >= MST_ESTABLISHED) rc = send_new(conn);
  if (conn->notsent_lowat) mst__tell_writer(conn);
  if (conn->snd_nxt != snd_nxt || conn->cwnd_limited) mst__window_use_note(conn);
  if (!rc) rc = send_acks(conn);
  return rc;
}

void mst__tcp_flush(mst_stack *stack) {
  struct mst__list *node;
  if (stack->memory.pressure) mst__memory_tell_starved(stack); /* who was told before may not have wanted it */
  while ((node = mst__list_pop_front(&stack->output))) {
    struct mst_conn *conn = MST__CONTAINER(node, struct mst_conn, output_node);
    int rc = mst__output(conn);
    mst__chrono_update(conn);
    if (!rc) continue;
    mst__output_wanted(conn); /* behind the others: one that fills the ring each time may not starve them */
    return;
  }
}
