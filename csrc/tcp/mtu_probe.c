#include "tcp/conn.h"

#define BASE_IP4 1200                /* RFC 8899 5.1.2: BASE_PLPMTU, which nearly every path carries */
#define LEAST_IP4 552                /* below it nothing is believed (csrc/stack/path.c) */
#define LEAST_IP6 1280               /* RFC 8200 5: base and least */
#define STALLS_UNPROVEN 2            /* timeouts of one large segment, where none of its size has ever arrived, */
#define STALLS_PROVEN 3              /* and where one has: R1 (RFC 4821 7.7) */
#define STALLS_SMALL 5               /* the same of a segment that nearly every path carries */
#define TRAILING_SEGMENTS 4          /* behind a probe, so that its loss is found at once (RFC 4821 7.4) */
#define RAISE_NS (600 * MST__SECOND) /* RFC 4821 7.3 */
#define TIMEOUT_FACTOR 5             /* RFC 4821 7.6.3 */

static bool is_ip4(const struct mst_conn *conn) {
  return mst_addr_is_ip4(&conn->flow.remote_addr);
}

/* The packet that carries such a payload, and the reverse. */
static uint32_t mtu_of(const struct mst_conn *conn, uint32_t payload_bytes) {
  return payload_bytes + mst__option_bytes(conn) + mst__conn_header_bytes(conn);
}
static uint32_t payload_of(const struct mst_conn *conn, uint32_t mtu) {
  return mtu - mst__option_bytes(conn) - mst__conn_header_bytes(conn);
}

static uint32_t base_mtu(const struct mst_conn *conn) {
  return is_ip4(conn) ? BASE_IP4 : LEAST_IP6;
}

/* What the first hop carries and the peer takes. */
static uint32_t ceiling(const struct mst_conn *conn) {
  mst_stack *stack = conn->stack;
  struct mst_route route;
  uint32_t mtu = conn->mtu_probe.limit, peer = mst__conn_send_mss(conn) + mst__conn_header_bytes(conn);
  if (!stack->net.route(stack->net.ctx, &conn->flow.remote_addr, &route)) mtu = route.mtu;
  if (mtu > MST_PACKET_BYTES_MAX) mtu = MST_PACKET_BYTES_MAX;
  return peer < mtu ? peer : mtu;
}

static bool may_search(const struct mst_conn *conn) {
  return conn->stack->tcp.mtu_probing != MST_MTU_PROBING_OFF;
}

/* Look for more than what is in use, from `next_ns` on. */
static void search(struct mst_conn *conn, uint64_t next_ns) {
  struct mst__mtu_probe *p = &conn->mtu_probe;
  p->searching = may_search(conn);
  p->high = ceiling(conn);
  p->next_ns = next_ns;
}

void mst__mtu_probe_start(struct mst_conn *conn) {
  uint32_t mtu = 0;
  bool unfinished = mst__path_learned(conn->stack, &conn->flow.remote_addr, &mtu);
  conn->mtu_probe.limit = conn->path_mtu;
  bool always = conn->stack->tcp.mtu_probing == MST_MTU_PROBING_ALWAYS;
  if (!always && !unfinished) return;
  if (mtu < base_mtu(conn)) mtu = base_mtu(conn);
  if (always && mtu < conn->path_mtu) mst__conn_set_path_mtu(conn, mtu);
  search(conn, conn->stack->now_ns);
}

/* --- upward --- */

/* RFC 4821 7.3: sizes that links and tunnels have, and the ceiling; the middle one of those that are in question. */
static uint32_t next_mtu(const struct mst_conn *conn) {
  static const uint16_t common[] = {1280, 1300, 1340, 1360, 1380, 1400, 1420,  1440,  1460,
                                    1480, 1492, 1500, 2002, 4352, 9000, 17914, 32000, 65535};
  const size_t total = sizeof common / sizeof *common;
  size_t first = 0;
  while (first < total && common[first] <= conn->path_mtu) first++;
  size_t end = first;
  while (end < total && common[end] <= conn->mtu_probe.high) end++;
  if (end > first) return common[first + (end - first) / 2];
  return 0;
}

/* The last step is to the ceiling itself, which may be any number. */
static uint32_t step(const struct mst_conn *conn) {
  uint32_t mtu = next_mtu(conn), top = ceiling(conn);
  if (!mtu && top > conn->path_mtu && top <= conn->mtu_probe.high) mtu = top;
  return mtu;
}

/* RFC 4821 7.4, but for the window; and what is in use is known to pass. */
static bool quiet(const struct mst_conn *conn) {
  const struct mst__sent_queue *sent = &conn->sent;
  const struct mst__mtu_probe *p = &conn->mtu_probe;
  return !p->mtu && conn->recovery.phase == MST__PHASE_OPEN && !sent->lost_bytes && !sent->sacked_bytes &&
         p->proven_bytes >= mst__segment_bytes(conn) && conn->stack->now_ns >= p->next_ns;
}

uint32_t mst__mtu_probe_bytes(struct mst_conn *conn, uint32_t unsent, uint32_t window_room, uint32_t cwnd_room) {
  uint32_t trailing = TRAILING_SEGMENTS * mst__segment_bytes(conn);
  struct mst__mtu_probe *p = &conn->mtu_probe;
  if (p->mtu && mst__seq_gt(conn->snd_una, p->seq)) p->mtu = 0; /* it arrived, who knows in which packets */
  if (!quiet(conn) || unsent < trailing || window_room < trailing) return 0;
  uint32_t mtu = step(conn);
  if (!mtu) { /* as large as it gets: again after a while, for paths change */
    mst__path_learn(conn->stack, &conn->flow.remote_addr, conn->path_mtu, false);
    search(conn, conn->stack->now_ns + RAISE_NS);
    return 0;
  }
  uint32_t payload = payload_of(conn, mtu), needed = payload + trailing;
  if (unsent < needed || window_room < needed || conn->cc.cwnd < needed) return 0;
  return cwnd_room < payload ? MST__MTU_PROBE_WAIT : payload;
}

void mst__mtu_probe_sent(struct mst_conn *conn, uint32_t seq, uint32_t bytes) {
  if (bytes <= mst__segment_bytes(conn)) return; /* memory's shape has cut it */
  conn->mtu_probe.seq = seq;
  conn->mtu_probe.mtu = mtu_of(conn, bytes);
  conn->mtu_probe.repairing = false;
  conn->stack->stats.tcp_mtu_probes++;
}

void mst__mtu_proven(struct mst_conn *conn, uint16_t payload_bytes) {
  struct mst__mtu_probe *p = &conn->mtu_probe;
  uint32_t mtu = mtu_of(conn, payload_bytes);
  bool probe = p->mtu && mtu >= p->mtu;
  if (mtu > conn->path_mtu && !probe) return; /* sent before the path's MTU shrank: it tells nothing of now */
  p->proven_bytes = payload_bytes;
  if (!probe) return;
  p->mtu = 0;
  conn->stack->stats.tcp_mtup_success++;
  mst__conn_set_path_mtu(conn, mtu);
  mst__path_learn(conn->stack, &conn->flow.remote_addr, mtu, true);
}

/* RFC 4821 7.6.2: the next one waits longer than congestion would take to show. */
static uint64_t pause_ns(const struct mst_conn *conn) {
  uint64_t pause = conn->srtt_ns * (conn->cc.cwnd / conn->cc.mss);
  return pause < RAISE_NS ? pause : RAISE_NS;
}

static void failed(struct mst_conn *conn, uint64_t pause) {
  struct mst__mtu_probe *p = &conn->mtu_probe;
  p->high = p->mtu - 1;
  p->next_ns = conn->stack->now_ns + pause;
  p->mtu = 0;
  conn->stack->stats.tcp_mtup_fail++;
}

bool mst__mtu_probe_loss(struct mst_conn *conn) {
  struct mst__mtu_probe *p = &conn->mtu_probe;
  struct mst__sent *sent = mst__sent_of(mst__seq_tree_find(&conn->sent.tree, p->seq));
  uint8_t flags = sent && sent->node.seq == p->seq ? sent->flags & (MST__SENT_LOST | MST__SENT_RETRANSMITTED) : 0;
  bool alone = flags == MST__SENT_LOST && mst__sent_bytes(sent) == conn->sent.lost_bytes;
  if (p->repairing) {
    p->repairing = alone;
  } else if (alone) {
    failed(conn, pause_ns(conn));
    p->repairing = true;
  } else if (flags) {
    p->mtu = 0; /* RFC 4821 7.6.4: inconclusive */
  }
  return !alone;
}

/* --- downward --- */

static void shrink(struct mst_conn *conn, uint32_t mtu) {
  conn->mtu_probe.mtu = 0;
  conn->mtu_probe.proven_bytes = 0;
  mst__conn_set_path_mtu(conn, mtu);
  if (conn->state < MST_ESTABLISHED) return;
  mst__sent_mark_all_lost(conn);
  mst__output_wanted(conn);
}

/* RFC 5927 7.2: a report of what has been seen to pass is believed when nothing passes any more. */
static bool take_held(struct mst_conn *conn) {
  struct mst__mtu_probe *p = &conn->mtu_probe;
  bool held = p->held;
  p->held = false;
  if (!held || mst__seq_ge(conn->snd_una, p->held_until)) return false;
  uint32_t now = mst__path_too_big(conn->stack, &conn->flow.remote_addr, p->held_mtu, conn->path_mtu);
  if (now >= conn->path_mtu) return false;
  conn->stack->stats.tcp_pmtu_reductions++;
  shrink(conn, now);
  return true;
}

/* How many timeouts of one segment tell that its size is to blame. */
static unsigned stalls_of(const struct mst__mtu_probe *p, uint32_t segment, bool small) {
  if (small && !p->shrunk) return STALLS_SMALL;
  return p->proven_bytes >= segment ? STALLS_PROVEN : STALLS_UNPROVEN;
}

/* RFC 4821 7.7: the same segment timed out again and again, and nobody says why. It need not be a full-sized one. */
static void black_hole(struct mst_conn *conn) {
  const struct mst__sent *first = mst__sent_first(&conn->sent);
  if (!may_search(conn) || !first) return;
  uint32_t segment = mst__segment_bytes(conn), base = base_mtu(conn), least = is_ip4(conn) ? LEAST_IP4 : LEAST_IP6;
  if (mst__sent_bytes(first) < segment) segment = mst__sent_bytes(first);
  uint32_t sent = mtu_of(conn, segment), mtu = sent > base ? base : sent / 2 > least ? sent / 2 : least;
  if (conn->retries < stalls_of(&conn->mtu_probe, segment, sent <= base) || mtu >= sent) return;
  conn->stack->stats.tcp_mtu_black_holes++;
  conn->mtu_probe.shrunk = true;
  shrink(conn, mtu);
  search(conn, conn->stack->now_ns);
}

void mst__mtu_timeout(struct mst_conn *conn) {
  struct mst__mtu_probe *p = &conn->mtu_probe;
  if (p->mtu) failed(conn, TIMEOUT_FACTOR * pause_ns(conn)); /* 7.6.3 */
  if (!take_held(conn)) black_hole(conn);
}

void mst__mtu_delivered(struct mst_conn *conn) {
  conn->mtu_probe.shrunk = false;
  mst__path_learn(conn->stack, &conn->flow.remote_addr, conn->path_mtu, true);
}

void mst__mtu_too_big(struct mst_conn *conn, uint32_t mtu, uint32_t seq) {
  mst_stack *stack = conn->stack;
  struct mst__mtu_probe *p = &conn->mtu_probe;
  bool probe = p->mtu && seq == p->seq;
  if (probe && mtu >= conn->path_mtu && mtu < p->mtu) p->high = mtu; /* RFC 8899 4.6.2 */
  if (mtu >= conn->path_mtu || probe) return;                        /* RFC 1191 5: a report never raises it */
  if (p->proven_bytes && mtu < mtu_of(conn, p->proven_bytes)) {
    p->held = true;
    p->held_mtu = mtu;
    p->held_until = conn->snd_nxt;
    stack->stats.tcp_mtu_held++;
    return;
  }
  uint32_t now = mst__path_too_big(stack, &conn->flow.remote_addr, mtu, conn->path_mtu);
  if (now >= conn->path_mtu) return;
  stack->stats.tcp_pmtu_reductions++;
  shrink(conn, now);
  search(conn, stack->now_ns + RAISE_NS);
}
