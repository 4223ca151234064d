/* Accurate ECN feedback (draft-ietf-tcpm-accurate-ecn): counters of marks, the ACE field and the AccECN option. */
#include "tcp/conn.h"

#define CEP_START 5   /* 3.2.1 */
#define BYTES_START 1 /* of E0B and E1B; CEB starts with 0 */
#define OPTION_MASK 0xffffffu
#define REPORT_SEGMENTS 6 /* the ACE field tells of 7 without doubt */
#define ACE_MASK 7u
#define THINNED_X16 (4 * 16) /* ACKs that acknowledge so much on average are no sign of lost ones (A.2.1) */
#define SILENT_SEGMENTS 32   /* delivered with no trace of ECT: something cleared it */
#define ALL_CE_ROUNDS 4      /* 3.2.2.3 */
#define ALL_CE_OVER UINT8_MAX

void mst__accecn_start(struct mst_conn *conn) {
  struct mst__accecn *a = &conn->ecn.accurate;
  a->r_cep = a->s_cep = CEP_START;
  a->r_bytes[MST__E0B] = a->s_bytes[MST__E0B] = BYTES_START;
  a->r_bytes[MST__E1B] = a->s_bytes[MST__E1B] = BYTES_START;
  a->round_end = conn->snd_nxt;
}

/* --- the handshake --- */

uint8_t mst__accecn_handshake_ace(uint8_t ip_ecn) {
  static const uint8_t aces[] = {[MST__NOT_ECT] = 2, [MST__ECT1] = 3, [MST__ECT0] = 4, [MST__CE] = 6};
  return aces[ip_ecn & MST__ECN_MASK];
}

bool mst__accecn_is_handshake_ace(uint8_t ace) {
  return ace == 2 || ace == 3 || ace == 4 || ace == 6;
}

void mst__accecn_first_option(struct mst__tcp_options *options) {
  options->has |= MST__HAS_ACCECN;
  options->accecn_count = MST__ACCECN_COUNTERS;
  options->accecn[MST__E0B] = options->accecn[MST__E1B] = BYTES_START;
  options->accecn[MST__CEB] = 0;
}

/* Feedback that what left as Not-ECT came as something else: stay off ECT, and go on listening (3.2.2.3). */
static void mangled(struct mst_conn *conn) {
  if (conn->ecn.ect) conn->stack->stats.tcp_ecn_mangled++;
  conn->ecn.ect = false;
}

static void handshake_feedback(struct mst_conn *conn, uint8_t ace) {
  if (mst__accecn_is_handshake_ace(ace) && ace != mst__accecn_handshake_ace(MST__NOT_ECT)) mangled(conn);
  if (ace == mst__accecn_handshake_ace(MST__CE)) mst__ecn_answer(conn);
}

/* 3.2.3.2.1 and 3.2.3.2.4: does the option come through, and whole? */
static void test_option(struct mst__accecn *a, const struct mst__tcp *tcp) {
  const struct mst__tcp_options *o = &tcp->options;
  if (!(o->has & MST__HAS_ACCECN)) return;
  a->option_seen = true;
  for (unsigned i = 0; i < o->accecn_count; i++)
    if (i != MST__CEB && !o->accecn[mst__accecn_counter_at(o->accecn_order1, i)]) a->option_ignored = true;
}

/* Before any data: what the peer starts with is its own matter (3.2.3.2.4). */
static void take_start(struct mst__accecn *a, const struct mst__tcp_options *o) {
  for (unsigned i = 0; i < o->accecn_count; i++) {
    unsigned counter = mst__accecn_counter_at(o->accecn_order1, i);
    a->s_bytes[counter] = o->accecn[counter];
  }
}

void mst__accecn_accepted(struct mst_conn *conn, const struct mst__tcp *ack) {
  struct mst__accecn *a = &conn->ecn.accurate;
  uint8_t ace = mst__tcp_ace(ack);
  test_option(a, ack);
  take_start(a, &ack->options);
  if (ack->payload_bytes || ack->options.sack_count) return;
  if (ace == 0) { /* note 1: the client is in no mode of ECN */
    conn->ecn.ect = false;
    conn->ecn.deaf = true;
  }
  if (ace == mst__accecn_handshake_ace(MST__CE)) a->s_cep++;
  handshake_feedback(conn, ace);
}

void mst__accecn_syn_ack(struct mst__accecn *a, const struct mst__tcp *syn_ack) {
  a->peer_ip_ecn = a->last_ip_ecn = syn_ack->ip_ecn & MST__ECN_MASK;
  a->handshake_ack = true;
  if (syn_ack->ip_ecn == MST__CE && a->r_cep == CEP_START) a->r_cep++; /* once, however many come (3.2.2.2) */
}

void mst__accecn_connected(struct mst_conn *conn, const struct mst__tcp *syn_ack) {
  struct mst__accecn *a = &conn->ecn.accurate;
  test_option(a, syn_ack);
  take_start(a, &syn_ack->options);
  a->option_test = true;
  mst__accecn_syn_ack(a, syn_ack);
  handshake_feedback(conn, mst__tcp_ace(syn_ack));
}

/* --- the receiver of data --- */

static void count_bytes(struct mst__accecn *a, const struct mst__tcp *tcp) {
  static const uint8_t counters[] = {[MST__ECT0] = MST__E0B, [MST__CE] = MST__CEB, [MST__ECT1] = MST__E1B};
  if (tcp->ip_ecn == MST__NOT_ECT || !tcp->payload_bytes) return;
  unsigned counter = counters[tcp->ip_ecn & MST__ECN_MASK];
  a->r_bytes[counter] += tcp->payload_bytes;
  a->unreported_bytes += tcp->payload_bytes;
  a->ever |= (uint8_t)(1u << counter) & 7;
  a->pending |= (uint8_t)(1u << counter) & 7;
}

void mst__accecn_receive(struct mst_conn *conn, const struct mst__tcp *tcp) {
  struct mst__accecn *a = &conn->ecn.accurate;
  bool data = tcp->payload_bytes > 0, ce = tcp->ip_ecn == MST__CE;
  count_bytes(a, tcp);
  if (ce) {
    uint32_t packets = mst__tcp_segments(tcp), unacked = a->ce_unacked + packets;
    a->r_cep += packets;
    a->ce_unacked = unacked < UINT8_MAX ? (uint8_t)unacked : UINT8_MAX;
    /* 3.2.2.5.1: the first mark after what was not marked, and every second (without data, third) mark. */
    bool change = data && a->last_ip_ecn != MST__CE;
    unsigned limit = data || conn->rcv_nxt != conn->last_ack_sent ? 2 : 3;
    if (change || a->ce_unacked >= limit) {
      conn->ack_now = true;
      mst__output_wanted(conn);
    }
  }
  a->last_ip_ecn = tcp->ip_ecn & MST__ECN_MASK;
}

/* --- what we send --- */

/* How many of the option's fields, in the order that is best, tell all of `counters`. */
static unsigned fields_for(unsigned counters, bool order1) {
  unsigned count = 0;
  for (unsigned i = 0; i < MST__ACCECN_COUNTERS; i++)
    if (counters & 1u << mst__accecn_counter_at(order1, i)) count = i + 1;
  return count;
}

static uint32_t padded(uint32_t bytes) {
  return (bytes + 3) & ~3u;
}

/* Room for the option: of the 40 bytes, where two SACK blocks go first (3.2.3.3), and of the packet. */
static uint32_t option_room(const struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t payload_bytes) {
  const struct mst__tcp_options *o = &tcp->options;
  uint32_t blocks = o->sack_count < 2 ? o->sack_count : 2;
  uint32_t used = (o->has & MST__HAS_TIMESTAMPS ? 12 : 0) + (o->has & MST__HAS_USER_TIMEOUT ? 4 : 0), room;
  room = MST__TCP_OPTIONS_MAX - used - (blocks ? 4 + 8 * blocks : 0);
  if (!payload_bytes) return room;
  if (o->sack_count) used += 4 + 8u * o->sack_count;
  uint32_t segment = mst__segment_bytes(conn), payload = payload_bytes < segment ? payload_bytes : segment;
  uint32_t left = conn->snd_mss > used + payload ? conn->snd_mss - used - payload : 0;
  return left < room ? left : room;
}

static void put_option(struct mst_conn *conn, struct mst__tcp *tcp, uint32_t payload_bytes) {
  struct mst__accecn *a = &conn->ecn.accurate;
  struct mst__tcp_options *o = &tcp->options;
  bool test = a->handshake_ack || (a->option_test && payload_bytes);
  if (a->option_blocked || (!a->pending && !test)) return;
  unsigned ever = test ? 7 : a->ever;
  bool order1 = ever & 1u << MST__E1B && !(ever & 1u << MST__E0B);
  unsigned least = fields_for(a->pending, order1), count = fields_for(ever, order1);
  uint32_t room = option_room(conn, tcp, payload_bytes);
  while (count > least && padded(2 + 3 * count) > room) count--;
  if (padded(2 + 3 * count) > room) return;
  o->has |= MST__HAS_ACCECN;
  o->accecn_order1 = order1;
  o->accecn_count = (uint8_t)count;
  for (unsigned i = 0; i < MST__ACCECN_COUNTERS; i++) o->accecn[i] = a->r_bytes[i] & OPTION_MASK;
}

void mst__accecn_mark(struct mst_conn *conn, struct mst__tcp *tcp, uint32_t payload_bytes) {
  struct mst__accecn *a = &conn->ecn.accurate;
  bool handshake = a->handshake_ack && !payload_bytes && !tcp->options.sack_count && !(tcp->flags & MST__FIN);
  mst__tcp_set_ace(tcp, handshake ? mst__accecn_handshake_ace(a->peer_ip_ecn) : a->r_cep & ACE_MASK);
  put_option(conn, tcp, payload_bytes);
}

void mst__accecn_sent(struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t payload_bytes) {
  struct mst__accecn *a = &conn->ecn.accurate;
  a->ce_unacked = 0;
  if (!payload_bytes) {
    a->handshake_ack = false;
    a->unreported_bytes = 0; /* what had no room now has none later either */
  }
  if (!(tcp->options.has & MST__HAS_ACCECN)) return;
  if (payload_bytes) a->option_test = false;
  a->pending = 0;
  a->unreported_bytes = 0;
}

bool mst__accecn_ack_due(const struct mst_conn *conn) {
  const struct mst__accecn *a = &conn->ecn.accurate;
  /* Where data leaves no room for the option, a pure ACK goes before it (3.2.3.3: as consistently as possible). */
  return a->handshake_ack || (a->unreported_bytes > REPORT_SEGMENTS * conn->rcv_mss && !a->option_blocked);
}

void mst__accecn_timeout(struct mst_conn *conn) {
  struct mst__accecn *a = &conn->ecn.accurate;
  if (!conn->passive && !a->option_test && conn->snd_una == conn->iss + 1) a->option_blocked = true;
}

/* --- the sender of data --- */

/* Take the option's counters. Returns the bytes newly reported as CE; *any: it reports something. */
static uint32_t take_option(struct mst_conn *conn, const struct mst__tcp *tcp, bool *any) {
  struct mst__accecn *a = &conn->ecn.accurate;
  const struct mst__tcp_options *o = &tcp->options;
  uint32_t delta[MST__ACCECN_COUNTERS] = {0};
  for (unsigned i = 0; i < o->accecn_count; i++) {
    unsigned counter = mst__accecn_counter_at(o->accecn_order1, i);
    delta[counter] = (o->accecn[counter] - a->s_bytes[counter]) & OPTION_MASK;
    a->s_bytes[counter] += delta[counter];
    *any |= delta[counter] > 0;
  }
  a->option_seen = true;
  if (delta[MST__E1B]) mangled(conn); /* we send no ECT(1) */
  return delta[MST__CEB];
}

/* How many marks the ACE field stands for when `packets` were acknowledged: it may have wrapped (3.2.2.5.2, A.2). */
static uint32_t ce_packets(const struct mst_conn *conn, uint8_t ace, uint32_t packets, bool option, uint32_t ce_bytes) {
  const struct mst__accecn *a = &conn->ecn.accurate;
  uint32_t least = (ace - a->s_cep) & ACE_MASK, mss = conn->cc.mss;
  if (packets <= ACE_MASK) return least;
  uint32_t safe = packets - ((packets - least) & ACE_MASK);
  if (option) {
    if (!ce_bytes) return least;
    if (ce_bytes <= mss * least && ce_bytes / safe < mss / 2) return least;
    return safe;
  }
  return a->ack_packets_x16 >= THINNED_X16 ? least : safe;
}

/* Each packet of the first rounds marked: that is no queue (3.2.2.3). */
static void test_all_ce(struct mst_conn *conn, uint32_t packets, uint32_t marks) {
  struct mst__accecn *a = &conn->ecn.accurate;
  if (a->all_ce_rounds == ALL_CE_OVER) return;
  a->round_packets = (uint16_t)(a->round_packets + packets);
  a->round_ce = (uint16_t)(a->round_ce + marks);
  if (mst__seq_lt(conn->snd_una, a->round_end)) return;
  bool all = a->round_ce && a->round_ce >= a->round_packets;
  a->round_end = conn->snd_nxt;
  a->round_packets = a->round_ce = 0;
  a->all_ce_rounds = all ? a->all_ce_rounds + 1 : ALL_CE_OVER;
  if (a->all_ce_rounds != ALL_CE_ROUNDS) return;
  mangled(conn);
  conn->ecn.deaf = true;
}

/* Neither ECT nor CE of what went with ECT is ever told, though the option works (A.4). */
static void test_bleached(struct mst_conn *conn, uint32_t delivered_bytes) {
  struct mst__accecn *a = &conn->ecn.accurate;
  if (!conn->ecn.ect || !a->option_seen || a->option_ignored) return;
  a->silent_bytes += delivered_bytes;
  if (a->silent_bytes < SILENT_SEGMENTS * conn->cc.mss) return;
  conn->ecn.ect = false;
  conn->stack->stats.tcp_ecn_bleached++;
}

/* 3.2.2.4: the first feedback after the handshake is zero: nobody counts. */
static bool zeroed(struct mst_conn *conn, uint8_t ace, uint32_t packets) {
  struct mst__accecn *a = &conn->ecn.accurate;
  if (a->feedback_seen) return false;
  a->feedback_seen = true;
  if (ace || packets + CEP_START > ACE_MASK) return false;
  mangled(conn);
  conn->ecn.deaf = true;
  return true;
}

uint32_t mst__accecn_feedback(struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t delivered_bytes,
                              uint32_t *marks) {
  struct mst__accecn *a = &conn->ecn.accurate;
  uint8_t ace = mst__tcp_ace(tcp);
  *marks = 0;
  if (!delivered_bytes) return 0; /* nothing tells that a later ACK has not superseded it */
  if (!a->feedback_seen) test_option(a, tcp);
  bool option = tcp->options.has & MST__HAS_ACCECN && !a->option_ignored, any = false;
  /* 3.2.3.3: where there is room, what no option tells has not happened. */
  bool nothing = a->option_seen && !a->option_ignored && (!tcp->payload_bytes || !a->trace_seen);
  uint32_t packets = (delivered_bytes - 1) / conn->cc.mss + 1;
  if (zeroed(conn, ace, packets)) return 0;
  uint32_t ce_bytes = option ? take_option(conn, tcp, &any) : 0;
  *marks = ce_packets(conn, ace, packets, option || nothing, ce_bytes);
  a->s_cep += *marks;
  a->ack_packets_x16 = (uint16_t)((7 * a->ack_packets_x16 + 16 * (packets < 64 ? packets : 64)) / 8);
  /* 3.2.3.2.5: bytes were marked and no packet. */
  if (ce_bytes && a->s_cep == CEP_START) mangled(conn);
  test_all_ce(conn, packets, *marks);
  a->trace_seen |= any || *marks;
  if (!a->trace_seen) test_bleached(conn, delivered_bytes);
  if (option) return ce_bytes;
  uint64_t estimate = (uint64_t)*marks * conn->cc.mss; /* A.3 */
  return estimate < delivered_bytes ? (uint32_t)estimate : delivered_bytes;
}
