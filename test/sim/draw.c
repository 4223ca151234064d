/* What the seed says of a scenario. */
#include "middlebox.h"
#include "tcp/cc/cc.h"
#include "world.h"

#include <math.h>
#include <string.h>

#define BLACK_HOLE_TIMEOUTS 6 /* until segments are as small as they need be */

static const char *const names[] = {
#define X(name) #name,
    WORLD_FEATURES(X)
#undef X
};

const char *world_feature_name(enum world_feature feature) {
  return names[feature];
}

static void draw_from(struct world *w, uint64_t salt) {
  w->draw.state = w->seed * 0x2545f4914f6cdd1dull + salt * 0x9e3779b97f4a7c15ull + 1;
  sim_random_next(&w->draw);
}

uint64_t world_draw(struct world *w, uint64_t limit) {
  return sim_random_below(&w->draw, limit);
}

uint64_t world_draw_logarithmic(struct world *w, unsigned bits) {
  return 1 + world_draw(w, 1ull << world_draw(w, bits + 1));
}

bool world_with(struct world *w, enum world_feature feature, int side, uint64_t n) {
  draw_from(w, 1 + (uint64_t)feature * 64 + (uint64_t)side);
  if (world_draw(w, n) || w->off >> feature & 1) return false;
  w->on |= 1ull << feature;
  return true;
}

static uint32_t chance(struct world *w, uint32_t most) {
  return (uint32_t)world_draw(w, most);
}

/* --- links --- */

static void draw_time(struct world *w, int side, struct sim_link *link) {
  link->delay_ns = 10 * SIM_US;
  if (!world_with(w, WITH_delay, side, 3))
    ; /* two of three are fast */
  else
    link->delay_ns = world_draw_logarithmic(w, 27); /* up to 134 ms */
  if (world_with(w, WITH_jitter, side, 5)) link->jitter_ns = world_draw(w, link->delay_ns + SIM_MS);
  link->keep_order = world_with(w, WITH_keep_order, side, 2);
  if (world_with(w, WITH_reorder, side, 4)) {
    link->reorder = chance(w, 100000);
    link->reorder_ns = world_draw_logarithmic(w, 25);
  }
  if (world_with(w, WITH_rate, side, 4)) {
    link->rate_bps = 1000000 * world_draw_logarithmic(w, 10);
    link->queue_bytes = 70000 + (uint32_t)world_draw(w, 500000);
    if (world_with(w, WITH_aqm, side, 2)) link->aqm_bytes = 10000 + (uint32_t)world_draw(w, link->queue_bytes / 2);
  }
}

static void draw_faults(struct world *w, int side, struct sim_link *link) {
  if (world_with(w, WITH_loss, side, 3)) link->loss = chance(w, 50000);
  if (world_with(w, WITH_duplicate, side, 6)) link->duplicate = chance(w, 30000);
  if (world_with(w, WITH_corrupt, side, 6)) link->corrupt = chance(w, 20000);
  if (world_with(w, WITH_mark, side, 6)) link->mark = chance(w, 100000);
  if (world_with(w, WITH_burst, side, 8)) {
    link->burst_start = chance(w, 2000);
    link->burst_packets = chance(w, 5); /* less than the retries of a connection */
  }
  if (world_with(w, WITH_bad_times, side, 6)) {
    link->bad_start = chance(w, 10000);
    link->bad_end = 500000 + chance(w, 500000); /* eight losses in a row end a connection that nobody holds */
    link->bad_loss = 100000 + chance(w, 300000);
  }
  if (world_with(w, WITH_by_index, side, 5)) {
    uint64_t *lose = w->index_losses[side], at = 0;
    for (int i = 0; i < 7; i++) lose[i] = at += world_draw_logarithmic(w, 7);
    lose[7] = UINT64_MAX;
    link->lose = lose;
  }
}

/* --- boxes --- */

static void draw_strip(struct world *w, int side) {
  struct sim_node *node = w->node[side], *peer = w->node[!side];
  if (world_with(w, WITH_clamp, side, 8)) {
    struct sim_strip_options clamp = {.syns = true, .mss_clamp = (uint16_t)(400 + world_draw(w, 1400))};
    sim_box_add(node, sim_box_strip(w->sim, &clamp));
  }
  if (side == 0 && world_with(w, WITH_strip_syn, side, 8)) {
    struct sim_strip_options strip = {.kinds = 1 + (unsigned)world_draw(w, 63), .syns = true, .pad = world_draw(w, 2)};
    sim_box_add(node, sim_box_strip(w->sim, &strip));
    /* What one SYN offers and the other's answer seems not to take leaves the two ends of two minds. */
    if (!world_with(w, WITH_lopsided, side, 4))
      sim_box_add(peer, sim_box_strip(w->sim, &strip));
    else if (w->on >> WITH_together & 1)
      w->may_fail |= (strip.kinds & (SIM_STRIP_WSCALE | SIM_STRIP_TIMESTAMPS)) != 0;
  }
  if (world_with(w, WITH_strip_rest, side, 12)) {
    static const unsigned kinds[] = {SIM_STRIP_SACK, SIM_STRIP_UNKNOWN, SIM_STRIP_SACK | SIM_STRIP_UNKNOWN};
    struct sim_strip_options strip = {.kinds = kinds[world_draw(w, 3)], .rest = true, .pad = world_draw(w, 2)};
    sim_box_add(node, sim_box_strip(w->sim, &strip));
  }
  if (world_with(w, WITH_bleach, side, 8)) {
    struct sim_bleach_options bleach = {world_draw(w, 2), world_draw(w, 2), world_draw(w, 2), world_draw(w, 4) == 0};
    sim_box_add(node, sim_box_bleach(w->sim, &bleach));
  }
}

static void draw_stream_boxes(struct world *w, int side) {
  struct sim_node *node = w->node[side];
  w->recuts[side] = world_with(w, WITH_split, side, 8);
  if (w->recuts[side]) sim_box_add(node, sim_box_split(w->sim, 100 + (uint32_t)world_draw(w, 1400)));
  w->merges[side] = world_with(w, WITH_merge, side, 8);
  w->recuts[side] |= w->merges[side];
  if (w->merges[side])
    sim_box_add(node, sim_box_merge(w->sim, 2000 + (uint32_t)world_draw(w, 60000), world_draw_logarithmic(w, 22)));
  if (world_with(w, WITH_thin_acks, side, 8))
    sim_box_add(node, sim_box_thin_acks(w->sim, 2 + (unsigned)world_draw(w, 8), world_draw_logarithmic(w, 23)));
  if (world_with(w, WITH_blind, side, 8)) {
    uint64_t seed = world_draw(w, UINT64_MAX);
    uint32_t often = chance(w, 50000);
    bool in_window = world_with(w, WITH_blind_in_window, side, 3);
    sim_box_add(node, sim_box_blind(w->sim, seed, often, in_window));
    w->may_fail |= in_window;
  }
}

static void draw_boxes(struct world *w) {
  struct sim_node *a = w->node[0], *b = w->node[1];
  for (int side = 0; side < 2; side++) {
    draw_strip(w, side);
    draw_stream_boxes(w, side);
  }
  if (world_with(w, WITH_sequence, 0, 6)) {
    uint64_t seed = world_draw(w, UINT64_MAX);
    sim_box_add_both(a, b, sim_box_sequence(w->sim, seed, !world_with(w, WITH_dishonest, 0, 2)));
  }
  if (world_with(w, WITH_unscaled, 0, 16)) sim_box_add_both(a, b, sim_box_unscaled_window(w->sim));
  if (!(w->on >> WITH_together & 1) && world_with(w, WITH_nat, 0, 16)) {
    sim_box_add_both(a, b, sim_box_nat(w->sim, a, 100 * SIM_MS + world_draw(w, 5 * SIM_S)));
    w->may_fail = true;
  }
  /* A router whose report quotes numbers that the sender does not know is not believed (RFC 5927 4.1). */
  bool translated = w->on >> WITH_sequence & 1 || w->on >> WITH_nat & 1;
  for (int side = 0; side < 2; side++) {
    struct sim_link *link = &w->node[side]->out;
    if (w->merges[side]) continue; /* what is merged is as long as the box likes, and nobody can make it shorter */
    if (!translated && world_with(w, WITH_mtu, side, 8)) {
      link->mtu = 1280 + (uint32_t)world_draw(w, 300);
      link->too_big_icmp = true;
    } else if (!w->believes_icmp[side] && world_with(w, WITH_black_hole, side, 8)) {
      link->mtu = (w->on >> WITH_ip6 & 1 ? 1280 : 600) + (uint32_t)world_draw(w, 900);
      w->recuts[side] = true; /* after timeouts, and all that was not SACKed is one then */
    }
  }
}

/* --- stacks --- */

static const char *draw_congestion_control(struct world *w, int side) {
  static const char *const all[] = {"newreno", "cubic", "bbr", "bbr3"};
  if (!world_with(w, WITH_congestion, side, 2)) return NULL;
  const char *name = all[world_draw(w, 4)];
  return mst__cc_find(name) ? name : NULL;
}

static bool draw_stack(struct world *w, int side) {
  static const uint32_t buffers[] = {4096, 20000, 65535, 300000, 0};
  static const uint32_t mtus[] = {576, 1280, 9000, 65535};
  struct mst_stack_options options = {.congestion_control = draw_congestion_control(w, side)};
  if (world_with(w, WITH_buffers, side, 2)) {
    options.send_buffer_bytes = buffers[world_draw(w, 5)];
    options.receive_buffer_bytes = buffers[world_draw(w, 5)];
  }
  options.no_sack = world_with(w, WITH_no_sack, side, 8);
  if (world_with(w, WITH_ecn, side, 2)) options.ecn = (enum mst_ecn)(1 + world_draw(w, 3));
  if (world_with(w, WITH_cookies, side, 8)) options.syn_cookies = MST_SYN_COOKIES_ALWAYS;
  if (world_with(w, WITH_mtu_probing, side, 4))
    options.mtu_probing = world_draw(w, 4) ? MST_MTU_PROBING_ALWAYS : MST_MTU_PROBING_OFF;
  w->believes_icmp[side] = options.mtu_probing == MST_MTU_PROBING_OFF;
  if (world_with(w, WITH_memory_max, side, 10)) options.memory_max_bytes = 40000 + world_draw_logarithmic(w, 22);
  draw_from(w, 1000 + (uint64_t)side);
  struct sim_memory memory = {.random = {world_draw(w, UINT64_MAX)}};
  struct sim_node *node = sim_add_stack_with(w->sim, &options, memory);
  if (!node) return false;
  w->node[side] = node;
  node->route_mtu = world_with(w, WITH_small_mtu, side, 2) ? mtus[world_draw(w, 4)] : 1500;
  if (w->on >> WITH_ip6 & 1 && node->route_mtu < 1280) node->route_mtu = 1280;
  if (world_with(w, WITH_refuse, side, 5)) node->refuse = chance(w, 300000);
  if (world_with(w, WITH_memory, side, 8)) {
    node->memory.fail_chance = chance(w, 5000);
    w->may_fail = true;
  }
  node->out.keep_gso = world_with(w, WITH_gso, side, 3);
  draw_time(w, side, &node->out);
  draw_faults(w, side, &node->out);
  uint64_t send = options.send_buffer_bytes ? options.send_buffer_bytes : 4u << 20;
  uint64_t receive = options.receive_buffer_bytes ? options.receive_buffer_bytes : 6u << 20;
  w->memory_bytes_max[side] = 2 * 1024 * 1024 + w->connections * (send + 3 * receive);
  /* What a stack has before its first connection is not counted. */
  if (options.memory_max_bytes) w->memory_bytes_max[side] = options.memory_max_bytes + 40000;
  w->may_fail |= options.memory_max_bytes != 0;
  /* When a cookie's ACK is lost, its sender has to speak first, before the cookie is too old. */
  w->keepalive |= options.syn_cookies == MST_SYN_COOKIES_ALWAYS;
  return true;
}

static void draw_end(struct world *w, uint32_t i, int side) {
  int salt = (int)(i * 2) + side;
  draw_from(w, 2000 + (uint64_t)salt);
  struct end *e = &w->ends[i][side];
  *e = (struct end){
      .world = w,
      .node = w->node[side],
      .connection = i,
      .id = i * 2 + (uint32_t)side,
      .peer_id = i * 2 + !side,
      .to_send = world_draw(w, 5) ? world_draw_logarithmic(w, 20) : 0,
      .write_max = (uint32_t)world_draw_logarithmic(w, 16),
      .read_max = (uint32_t)world_draw_logarithmic(w, 16),
      .abort_after = UINT64_MAX,
  };
  e->by_peek = world_with(w, WITH_peek, salt, 2);
  e->nodelay = world_with(w, WITH_nodelay, salt, 2);
  if (e->nodelay && !(w->on >> WITH_memory_max & 1))
    w->memory_bytes_max[side] += 128 * e->to_send; /* a record a byte */
  e->meddles = world_with(w, WITH_meddle, salt, 6);
  /* Small segments go again as one; who is short of memory keeps parts of them. */
  w->recuts[side] |= e->nodelay || e->meddles || w->on >> WITH_memory_max & 1;
  if (e->meddles) w->memory_bytes_max[side] += 4u << 20;
  if (world_with(w, WITH_pause, salt, 3)) e->pause_chance = chance(w, 20000);
  if (side == 0) e->shut_late = world_with(w, WITH_shut_late, salt, 3);
  if (!world_with(w, WITH_abort, salt, 30)) return;
  e->abort_after = world_draw(w, 100000);
  w->may_fail = true;
}

/* --- how long nothing may happen --- */

static double lost(const struct sim_link *link) {
  double p = (link->loss + link->corrupt + (double)link->burst_start * link->burst_packets) / 1e6;
  if (link->rate_bps) p += 0.15;
  if (link->bad_start) {
    double stays = (1 - link->bad_end / 1e6) * link->bad_loss / 1e6;
    if (stays > p) p = stays;
    p += 0.05;
  }
  return link->lose ? p + 0.05 : p;
}

/* So many timeouts in a row that bad luck alone makes them once in 10^10, and what they add up to. */
static uint64_t stall_bound(const struct world *w) {
  double arrives = 1;
  uint64_t rtt_ns = 0;
  for (int side = 0; side < 2; side++) {
    const struct sim_link *link = &w->node[side]->out;
    arrives *= 1 - lost(link);
    rtt_ns += link->delay_ns + link->jitter_ns + link->reorder_ns + 10 * SIM_MS;
    if (link->rate_bps) rtt_ns += link->queue_bytes * 8 * SIM_S / link->rate_bps;
  }
  unsigned timeouts = 1;
  if (arrives < 1) timeouts += (unsigned)ceil(log(1e-10) / log(1 - arrives));
  if (w->on >> WITH_black_hole & 1) timeouts += BLACK_HOLE_TIMEOUTS;
  uint64_t rto_ns = 3 * (SIM_S + rtt_ns), sum_ns = 10 * SIM_S + 2 * rtt_ns;
  for (unsigned i = 0; i < timeouts; i++) {
    sum_ns += rto_ns < 120 * SIM_S ? rto_ns : 120 * SIM_S;
    rto_ns *= 2;
    if (rto_ns > 120 * SIM_S) rto_ns = 120 * SIM_S;
  }
  return sum_ns;
}

bool world_draw_all(struct world *w) {
  draw_from(w, 0);
  w->random.state = world_draw(w, UINT64_MAX);
  world_with(w, WITH_ip6, 0, 2);
  world_with(w, WITH_together, 0, 6); /* simultaneous open */
  w->connections = world_with(w, WITH_several, 0, 2) ? 2 + (uint32_t)world_draw(w, WORLD_CONNECTIONS_MAX - 1) : 1;
  for (int side = 0; side < 2; side++)
    if (!draw_stack(w, side)) return false;
  draw_boxes(w);
  for (uint32_t i = 0; i < w->connections; i++) {
    for (int side = 0; side < 2; side++) draw_end(w, i, side);
    w->ends[i][0].to_receive = w->ends[i][1].to_send;
    w->ends[i][1].to_receive = w->ends[i][0].to_send;
  }
  w->may_fail |= w->keepalive && (lost(&w->node[0]->out) > 0 || lost(&w->node[1]->out) > 0);
  w->stall_ns = w->may_fail ? 3600 * SIM_S : stall_bound(w) + (w->keepalive ? 200 * SIM_S : 0);
  return true;
}
