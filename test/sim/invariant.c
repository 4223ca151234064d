#include "invariant.h"
#include "packet.h"
#include "ranges.h"
#include "selfcheck.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLOWS_MAX 32
#define ISS_MAX 8
#define FORGED_MAX 8
#define NODES_MAX SIM_NODES_MAX

enum { KIND_MSS = 2, KIND_WSCALE = 3, KIND_SACK_PERMITTED = 4, KIND_SACK = 5, KIND_TIMESTAMPS = 8 };

/* What a SYN has. */
struct syn {
  bool seen, sack, timestamps;
  int wscale; /* -1: none */
  uint32_t mss;
};

/* A connection as one stack has it. Sequence numbers are those that it sees itself. */
struct flow {
  bool ip4;
  uint16_t local_port, peer_port; /* local_port 0: free */
  struct syn sent, received;

  /* What it sends. */
  uint32_t iss[ISS_MAX]; /* of the SYNs sent; a listener that keeps no state may send several before one is taken */
  unsigned iss_count;
  bool settled;     /* the peer has acknowledged iss[0] */
  uint32_t snd_max; /* end of all that was sent */
  uint32_t snd_una; /* highest ACK received */
  uint32_t edge;    /* rightmost end of the windows it was offered */
  uint32_t fin_end; /* behind its FIN */
  bool edge_known, fin_sent;
  struct sim_ranges sacked;
  uint64_t timeouts; /* of the stack when the first of `sacked` came */
  uint32_t tsval;
  bool tsval_known;

  /* What it receives. */
  uint32_t irs, rcv_nxt; /* behind what has come without a gap */
  uint32_t rcv_max;      /* behind all that has come */
  bool irs_known;
  unsigned forged_syns; /* so many have come: a SYN,ACK may answer one */
  uint32_t forged_irs[FORGED_MAX];
  bool untracked;
  struct sim_ranges received_ranges;
  uint32_t offered, acked; /* right edge of its window, and the ACK, that it last sent */
  bool offered_known;
  uint32_t tsval_received;
  bool tsval_received_known;
};

struct watched {
  struct sim_node *node;
  bool recut;
  struct flow flows[FLOWS_MAX];
};

struct sim_watch {
  struct sim *sim;
  struct watched nodes[NODES_MAX];
  size_t count;
  bool print;
  bool failed;
  char fault[400];
};

/* One segment on its way in or out, with what is known of its connection. */
struct pass {
  struct sim_watch *watch;
  struct watched *at;
  struct flow *flow;
  const struct sim_seen *seen;
  struct sim_tcp_view v;
  uint32_t end; /* behind data, SYN and FIN */
};

__attribute__((format(printf, 2, 3))) static void fault(const struct pass *p, const char *format, ...) {
  struct sim_watch *watch = p->watch;
  if (watch->failed) return;
  watch->failed = true;
  va_list args;
  va_start(args, format);
  int n = vsnprintf(watch->fault, sizeof watch->fault, format, args);
  va_end(args);
  const struct flow *f = p->flow;
  snprintf(watch->fault + n, sizeof watch->fault - (size_t)n,
           " (node %u, port %u to %u, seq %u:%u ack %u win %u flags %02x, snd_una %u snd_max %u edge %u rcv_nxt %u)",
           p->at->node->ip4.bytes[15], f->local_port, f->peer_port, p->v.seq - f->iss[0],
           p->v.seq - f->iss[0] + (uint32_t)p->v.data_bytes, p->v.ack - f->irs, p->v.window, p->v.flags,
           f->snd_una - f->iss[0], f->snd_max - f->iss[0], f->edge - f->iss[0], f->rcv_nxt - f->irs);
}

/* --- connections --- */

static struct flow *find_flow(struct watched *at, const struct sim_seen *seen, const struct sim_tcp_view *v) {
  uint16_t local = seen->sent ? v->source_port : v->destination_port;
  uint16_t peer = seen->sent ? v->destination_port : v->source_port;
  bool ip4 = seen->bytes[0] >> 4 == 4;
  for (int i = 0; i < FLOWS_MAX; i++) {
    struct flow *f = &at->flows[i];
    if (!f->local_port) *f = (struct flow){.local_port = local, .peer_port = peer, .ip4 = ip4};
    if (f->local_port == local && f->peer_port == peer && f->ip4 == ip4) return f;
  }
  return NULL;
}

static void read_syn(const struct sim_tcp_view *v, struct syn *syn) {
  const uint8_t *mss = sim_tcp_option(v, KIND_MSS), *wscale = sim_tcp_option(v, KIND_WSCALE);
  *syn = (struct syn){
      .seen = true,
      .sack = sim_tcp_option(v, KIND_SACK_PERMITTED) != NULL,
      .timestamps = sim_tcp_option(v, KIND_TIMESTAMPS) != NULL,
      .wscale = wscale ? (wscale[2] > 14 ? 14 : wscale[2]) : -1,
      .mss = mss ? sim_get16(mss + 2) : 0,
  };
}

static bool scaled(const struct flow *f) {
  return f->sent.wscale >= 0 && f->received.wscale >= 0;
}
static bool has_timestamps(const struct flow *f) {
  return f->sent.timestamps && f->received.timestamps;
}

static uint32_t tsval_of(const uint8_t *option) {
  return sim_get32(option + 2);
}

/* --- what is sent --- */

static void check_form(const struct pass *p) {
  const struct sim_tcp_view *v = &p->v;
  uint8_t f = v->flags;
  bool syn = f & SIM_SYN, fin = f & SIM_FIN, rst = f & SIM_RST;
  if ((syn && (fin || rst)) || (fin && rst) || f & SIM_URG) fault(p, "flags that do not go together");
  if (!(f & (SIM_ACK | SIM_SYN | SIM_RST))) fault(p, "a segment without ACK");
  if (v->tcp[12] & 0x0e) fault(p, "reserved bits are set");
  if (rst && v->data_bytes) fault(p, "a reset with data");
  if (f & SIM_ACK || !v->ack) return;
  fault(p, "an acknowledgment number without ACK");
}

static void check_size(const struct pass *p) {
  const struct sim_tcp_view *v = &p->v;
  const struct flow *f = p->flow;
  if (!v->data_bytes) return;
  size_t payload = p->seen->gso_size ? p->seen->gso_size : v->data_bytes;
  if (v->ip_bytes + v->tcp_bytes + payload > p->at->node->route_mtu) fault(p, "longer than the first hop's MTU");
  uint32_t mss = f->received.mss ? f->received.mss : f->ip4 ? 536 : 1220;
  if (mss < 48) mss = 48;
  if (f->received.seen && payload + v->option_bytes > mss) fault(p, "longer than the peer's MSS of %u", mss);
}

static void check_options(const struct pass *p) {
  struct flow *f = p->flow;
  const uint8_t *timestamps = sim_tcp_option(&p->v, KIND_TIMESTAMPS);
  bool settled = f->sent.seen && f->received.seen;
  if (settled && !(p->v.flags & (SIM_SYN | SIM_RST)) && !timestamps == has_timestamps(f))
    fault(p, timestamps ? "timestamps that were not agreed" : "timestamps are missing");
  if (!timestamps) return;
  if (f->tsval_known && sim_after(f->tsval, tsval_of(timestamps))) fault(p, "its timestamps go back");
  f->tsval = tsval_of(timestamps);
  f->tsval_known = true;
}

/* RFC 2018 4, RFC 2883 4: blocks tell of what has come; only the first may be a duplicate's. */
static void check_sack_sent(const struct pass *p) {
  const struct flow *f = p->flow;
  const uint8_t *sack = sim_tcp_option(&p->v, KIND_SACK);
  if (!sack) return;
  if (!f->sent.sack || !f->received.sack) return fault(p, "SACK was not agreed");
  if (sack[1] < 10 || sack[1] % 8 != 2) return fault(p, "a SACK option of %u bytes", sack[1]);
  for (unsigned at = 2; at < sack[1]; at += 8) {
    uint32_t left = sim_get32(sack + at), right = sim_get32(sack + at + 4);
    if (!sim_after(right, left)) return fault(p, "an empty SACK block");
    if (sim_after(right, f->rcv_max)) return fault(p, "a SACK block ahead of what has come");
    if (!sim_after(left, p->v.ack)) {
      if (at == 2) continue;
      return fault(p, "a SACK block that is no duplicate's below the ACK");
    }
    uint32_t from = sim_after(f->rcv_nxt, left) ? f->rcv_nxt : left; /* it need not have taken what came before */
    if (!sim_after(right, from) || f->received_ranges.overflowed) continue;
    if (!sim_ranges_cover(&f->received_ranges, from, right))
      return fault(p, "a SACK block of what has not come: %u:%u", left - f->irs, right - f->irs);
  }
}

static void check_ack_sent(const struct pass *p) {
  struct flow *f = p->flow;
  if (!(p->v.flags & SIM_ACK) || p->v.flags & SIM_RST || !f->irs_known) return;
  if (sim_after(p->v.ack, f->rcv_nxt) && !f->received_ranges.overflowed) fault(p, "it acknowledges what has not come");
  if (sim_after(p->v.ack, f->rcv_max)) fault(p, "it acknowledges what nobody sent");
  unsigned shift = p->v.flags & SIM_SYN || !scaled(f) ? 0 : (unsigned)f->sent.wscale;
  uint32_t edge = p->v.ack + ((uint32_t)p->v.window << shift);
  /* RFC 9293 3.8.6, SHLD-14. A window field that is scaled cannot say it more exactly (RFC 7323 2.4). */
  if (f->offered_known && sim_after(f->offered, edge + (1u << shift) - 1))
    fault(p, "its window shrinks by %u", f->offered - edge);
  if (f->offered_known && sim_after(f->acked, p->v.ack)) fault(p, "its ACK goes back by %u", f->acked - p->v.ack);
  f->acked = p->v.ack;
  if (!f->offered_known || sim_after(edge, f->offered)) f->offered = edge;
  f->offered_known = true;
}

/* RFC 2018 5.1: what was SACKed is not sent again, but after a timeout, and by who has the memory to note it. */
static void check_not_sacked(const struct pass *p) {
  struct flow *f = p->flow;
  const struct sim_memory *memory = &p->at->node->memory;
  if (p->at->recut || memory->fail_chance || memory->fail_at || memory->bytes_limit) return;
  if (!f->sacked.count) return;
  if (sim_self_timeouts(p->at->node) != f->timeouts) {
    f->sacked.count = 0;
    return;
  }
  uint32_t step = p->seen->gso_size ? p->seen->gso_size : (uint32_t)p->v.data_bytes;
  for (uint32_t at = 0; at < p->v.data_bytes; at += step) {
    uint32_t left = p->v.seq + at, right = left + step;
    if (sim_after(right, p->v.seq + (uint32_t)p->v.data_bytes)) right = p->v.seq + (uint32_t)p->v.data_bytes;
    /* A receiver need not SACK the FIN with the last bytes before it, and FIN goes with them. */
    bool with_fin = p->v.flags & SIM_FIN && at + step >= p->v.data_bytes;
    if (!with_fin && sim_ranges_cover(&f->sacked, left, right))
      return fault(p, "it sends again what was SACKed: %u:%u", left - f->iss[0], right - f->iss[0]);
  }
}

static void check_data_sent(const struct pass *p) {
  struct flow *f = p->flow;
  const struct sim_tcp_view *v = &p->v;
  if (sim_after(v->seq, f->snd_max)) return fault(p, "it leaves a gap of %u", v->seq - f->snd_max);
  if (f->fin_sent && sim_after(p->end, f->fin_end)) return fault(p, "it sends behind its FIN");
  if (v->flags & SIM_FIN) {
    if (f->fin_sent && f->fin_end != p->end) return fault(p, "its FIN has moved");
    f->fin_sent = true;
    f->fin_end = p->end;
  }
  if (v->data_bytes) {
    uint32_t data_end = v->seq + (uint32_t)v->data_bytes;
    /* RFC 9293 3.8.6.1: a probe may go one byte beyond. */
    if (f->edge_known && sim_after(data_end, f->edge + 1))
      fault(p, "it sends %u bytes beyond the window", data_end - f->edge);
    check_not_sacked(p);
  }
  if (sim_after(p->end, f->snd_max)) f->snd_max = p->end;
}

static void restart_send(struct flow *f, uint32_t iss) {
  f->snd_una = iss;
  f->snd_max = iss + 1;
  f->edge_known = f->fin_sent = false;
  f->sacked.count = 0;
}

static void syn_sent(struct pass *p) {
  struct flow *f = p->flow;
  uint32_t iss = p->v.seq;
  bool known = false;
  for (unsigned i = 0; i < f->iss_count; i++) known |= f->iss[i] == iss;
  if (!known && f->settled) /* another connection of the same name */
    *f = (struct flow){.local_port = f->local_port,
                       .peer_port = f->peer_port,
                       .ip4 = f->ip4,
                       .received = f->received,
                       .untracked = f->forged_syns > 0};
  if (!known) {
    memmove(f->iss + 1, f->iss, sizeof f->iss - sizeof *f->iss);
    f->iss[0] = iss;
    if (f->iss_count < ISS_MAX) f->iss_count++;
    restart_send(f, iss);
  }
  /* A cookie is the same for the same SYN, and an old one may come when the connection is over. */
  if (known && f->settled && f->offered_known && sim_after(f->acked, p->v.ack)) f->untracked = true;
  if (!f->settled) read_syn(&p->v, &f->sent);
  if (p->v.flags & SIM_ACK && f->irs_known && !f->settled && f->irs != p->v.ack - 1) f->untracked = true;
  if (p->v.flags & SIM_ACK && !f->irs_known) {
    f->irs = p->v.ack - 1;
    f->irs_known = true;
    f->rcv_nxt = f->rcv_max = p->v.ack;
    f->received_ranges.count = 0;
    f->offered_known = false;
  }
}

/* A half-open connection of a forged SYN may answer others with an ACK while its own SYN,ACK waits for room in the
 * ring: that ACK is under terms that were not seen. */
static bool answers_forged_syn(const struct pass *p) {
  for (unsigned i = 0; i < p->flow->forged_syns && i < FORGED_MAX; i++)
    if (p->v.flags & SIM_ACK && p->v.ack == p->flow->forged_irs[i] + 1) return true;
  return false;
}

static void segment_sent(struct pass *p) {
  struct flow *f = p->flow;
  check_form(p);
  if (p->v.flags & SIM_RST) return;
  bool over = f->settled; /* what came before a SYN; the next connection may have the same ISS, at the same time */
  if (p->v.flags & SIM_SYN) syn_sent(p);
  if ((over || !(p->v.flags & SIM_SYN)) && answers_forged_syn(p)) f->untracked = true;
  if (!f->iss_count || f->untracked) return;
  check_size(p);
  check_options(p);
  check_sack_sent(p);
  check_ack_sent(p);
  check_data_sent(p);
}

/* --- what is received --- */

static void syn_received(struct pass *p) {
  struct flow *f = p->flow;
  bool answers = p->v.flags & SIM_ACK;
  if (f->settled || (answers && (!f->iss_count || p->v.ack != f->iss[0] + 1))) return;
  if (f->irs_known && f->irs != p->v.seq && answers) return;
  if (!f->irs_known || f->irs != p->v.seq) {
    read_syn(&p->v, &f->received); /* of one SYN: the SYN,ACK of a simultaneous open may say otherwise */
    f->irs = p->v.seq;
    f->irs_known = f->sent.seen; /* a listener's answer tells which SYN it took */
    f->rcv_nxt = f->rcv_max = p->v.seq + 1;
    f->received_ranges.count = 0;
  }
  if (!answers) return;
  f->edge = p->v.ack + p->v.window;
  f->edge_known = true;
}

/* One of several SYN,ACKs is the one that the peer took. */
static void settle(struct flow *f, uint32_t ack) {
  for (unsigned i = 0; i < f->iss_count; i++) {
    if (f->iss[i] + 1 != ack) continue;
    if (i) {
      f->iss[0] = f->iss[i];
      restart_send(f, f->iss[0]);
    }
    f->settled = true;
    f->iss_count = 1;
    return;
  }
}

/* Whether the stack can but take this segment's ACK and options (RFC 9293 3.4, RFC 7323 5.3). */
static bool acceptable(const struct pass *p, const uint8_t *timestamps) {
  const struct flow *f = p->flow;
  bool ahead = p->end == p->v.seq ? !sim_after(f->rcv_nxt, p->v.seq) : sim_after(p->end, f->rcv_nxt);
  if (!ahead || !f->offered_known || sim_after(p->v.seq, f->offered)) return false;
  if (!has_timestamps(f)) return true;
  return timestamps && !(f->tsval_received_known && sim_after(f->tsval_received, tsval_of(timestamps)));
}

static void take_sack(const struct pass *p) {
  struct flow *f = p->flow;
  const uint8_t *sack = sim_tcp_option(&p->v, KIND_SACK);
  if (!sack || !f->sent.sack || !f->received.sack || sack[1] < 10) return;
  if (!f->sacked.count) f->timeouts = sim_self_timeouts(p->at->node);
  for (unsigned at = 2; at + 8 <= sack[1]; at += 8) {
    uint32_t left = sim_get32(sack + at), right = sim_get32(sack + at + 4);
    bool possible = sim_after(right, left) && sim_after(left, f->snd_una) && !sim_after(right, f->snd_max);
    if (possible) sim_ranges_add(&f->sacked, left, right);
  }
}

static void take_ack(const struct pass *p, const uint8_t *timestamps) {
  struct flow *f = p->flow;
  uint32_t ack = p->v.ack;
  if (!f->settled) settle(f, ack);
  if (sim_after(ack, f->snd_max) || sim_after(f->snd_una - 0x20000000u, ack)) return;
  bool can_but = acceptable(p, timestamps) && !sim_after(f->snd_una, ack);
  /* RFC 2018 8: a receiver whose ACK stops short of what it had SACKed has dropped that. */
  if (can_but && f->sacked.count && ack == f->sacked.at[0].left) f->sacked.count = 0;
  if (sim_after(ack, f->snd_una)) f->snd_una = ack;
  sim_ranges_trim(&f->sacked, f->snd_una);
  if (can_but) take_sack(p);
  uint32_t edge = ack + ((uint32_t)p->v.window << (scaled(f) ? f->received.wscale : 0));
  if (!f->edge_known || sim_after(edge, f->edge)) f->edge = edge;
  f->edge_known = true;
}

static void take_data(const struct pass *p) {
  struct flow *f = p->flow;
  if (p->end == p->v.seq) return;
  sim_ranges_add(&f->received_ranges, p->v.seq, p->end);
  if (sim_after(p->end, f->rcv_max)) f->rcv_max = p->end;
  while (f->received_ranges.count && !sim_after(f->received_ranges.at[0].left, f->rcv_nxt)) {
    if (sim_after(f->received_ranges.at[0].right, f->rcv_nxt)) f->rcv_nxt = f->received_ranges.at[0].right;
    sim_ranges_trim(&f->received_ranges, f->rcv_nxt);
  }
}

static void segment_received(struct pass *p) {
  struct flow *f = p->flow;
  if (p->v.flags & SIM_RST || f->untracked) return;
  if (p->v.flags & SIM_SYN) return syn_received(p);
  if (!f->irs_known) return;
  const uint8_t *timestamps = sim_tcp_option(&p->v, KIND_TIMESTAMPS);
  if (p->v.flags & SIM_ACK) take_ack(p, timestamps);
  take_data(p);
  if (!timestamps) return;
  if (!f->tsval_received_known || sim_after(tsval_of(timestamps), f->tsval_received))
    f->tsval_received = tsval_of(timestamps);
  f->tsval_received_known = true;
}

/* --- the tap --- */

static void print_sack(const struct sim_tcp_view *v, uint32_t base) {
  const uint8_t *sack = sim_tcp_option(v, KIND_SACK);
  for (unsigned at = 2; sack && at + 8 <= sack[1]; at += 8)
    printf(" sack %u:%u", sim_get32(sack + at) - base, sim_get32(sack + at + 4) - base);
}

static void print_segment(const struct pass *p) {
  const struct sim_tcp_view *v = &p->v;
  const struct flow *f = p->flow;
  bool sent = p->seen->sent;
  char flags[9];
  int n = 0;
  for (int i = 0; i < 8; i++)
    if (v->flags & 1 << i) flags[n++] = "FSRP.UEW"[i];
  flags[n] = 0;
  uint32_t seq = v->seq - (sent ? f->iss[0] : f->irs), ack_base = sent ? f->irs : f->iss[0];
  printf("%14.6f %c:%u %s %u %-4s %u:%u ack %u win %u", (double)(p->watch->sim->now_ns - 1000 * SIM_S) / 1e9,
         '@' + p->at->node->ip4.bytes[15], f->local_port, sent ? "->" : "<-", f->peer_port, flags, seq,
         seq + (uint32_t)v->data_bytes, v->flags & SIM_ACK ? v->ack - ack_base : 0, v->window);
  if (p->seen->gso_size) printf(" gso %u", p->seen->gso_size);
  print_sack(v, ack_base);
  printf("%s%s\n", (p->seen->bytes[0] >> 4 == 4 ? p->seen->bytes[1] & 3 : p->seen->bytes[1] >> 4 & 3) == 3 ? " CE" : "",
         p->seen->forged ? " forged" : "");
}

static void tap(struct sim_node *node, const struct sim_seen *seen) {
  struct sim_watch *watch = node->tap_ctx;
  struct pass p = {.watch = watch, .seen = seen};
  for (size_t i = 0; i < watch->count; i++)
    if (watch->nodes[i].node == node) p.at = &watch->nodes[i];
  if (!sim_tcp_view(seen->bytes, seen->len, &p.v)) return;
  if (seen->corrupted && !sim_packet_checksums_ok(seen->bytes, seen->len)) return;
  p.flow = find_flow(p.at, seen, &p.v);
  if (!p.flow) return;
  p.end = p.v.seq + (uint32_t)p.v.data_bytes + !!(p.v.flags & SIM_SYN) + !!(p.v.flags & SIM_FIN);
  if (watch->print) print_segment(&p);
  if (seen->forged && p.v.flags & SIM_SYN) {
    p.flow->forged_irs[p.flow->forged_syns++ % FORGED_MAX] = p.v.seq;
    if (!p.flow->settled) p.flow->untracked = true;
  }
  if (seen->sent)
    segment_sent(&p);
  else if (!seen->forged)
    segment_received(&p);
}

/* --- */

struct sim_watch *sim_watch_new(struct sim *sim) {
  struct sim_watch *watch = calloc(1, sizeof *watch);
  if (!watch) abort();
  watch->sim = sim;
  return watch;
}

void sim_watch_free(struct sim_watch *watch) {
  for (size_t i = 0; i < watch->count; i++) watch->nodes[i].node->tap = NULL;
  free(watch);
}

void sim_watch_node(struct sim_watch *watch, struct sim_node *node, bool recut) {
  struct watched *at = &watch->nodes[watch->count++];
  at->node = node;
  at->recut = recut;
  node->tap = tap;
  node->tap_ctx = watch;
}

void sim_watch_print(struct sim_watch *watch) {
  watch->print = true;
}

const char *sim_watch_check(struct sim_watch *watch) {
  for (size_t i = 0; i < watch->count && !watch->failed; i++) {
    struct sim_node *node = watch->nodes[i].node;
    watch->failed = !sim_self_check(node, watch->fault, sizeof watch->fault);
  }
  return watch->failed ? watch->fault : NULL;
}
