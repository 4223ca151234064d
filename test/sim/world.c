/* One random scenario, from its first packet to the last byte of memory given back. */
#include "world.h"
#include "middlebox.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LIMIT_NS (24 * 3600 * SIM_S)
#define REST_NS (3600 * SIM_S) /* after it everything is gone, TIME-WAIT too */
#define ORPHAN_PATIENCE_NS (3600 * SIM_S)

void world_fault(struct world *w, const char *format, ...) {
  if (w->fault[0]) return;
  va_list args;
  va_start(args, format);
  vsnprintf(w->fault, sizeof w->fault, format, args);
  va_end(args);
}

void world_progress(struct world *w, const struct end *end) {
  w->progress_ns[end->connection] = w->sim->now_ns;
}

static bool together(const struct world *w) {
  return w->on >> WITH_together & 1;
}

static double seconds(const struct world *w) {
  return (double)(w->sim->now_ns - 1000 * SIM_S) / 1e9;
}

/* --- opening --- */

static void on_listener(mst_listener *listener, void *user) {
  struct world *w = user;
  mst_conn *conn;
  while ((conn = mst_accept(listener))) {
    struct mst_endpoint remote;
    mst_conn_remote(conn, &remote);
    struct end *found = NULL;
    for (uint32_t i = 0; i < w->connections; i++)
      if (remote.port == 10000 + i) found = &w->ends[i][1];
    if (found && !found->conn && !found->closed) {
      traffic_adopt(found, conn);
      continue;
    }
    if (!w->may_fail) world_fault(w, "a connection that nobody opened");
    mst_abort(conn);
  }
}

static mst_binding *bind_port(struct world *w, int side, uint16_t port) {
  mst_binding *binding;
  const struct sim_node *node = w->node[side];
  struct mst_endpoint local = {.addr = w->on >> WITH_ip6 & 1 ? node->ip6 : node->ip4, .port = port};
  for (int tries = 0; tries < 1000; tries++) {
    int rc = mst_bind(node->stack, MST_TCP, &local, 0, &binding);
    if (!rc) return binding;
    if (rc != -MST_ENOMEM) break;
  }
  world_fault(w, "mst_bind failed");
  return NULL;
}

static void open_end(struct world *w, uint32_t i, int side) {
  struct end *e = &w->ends[i][side];
  mst_binding *binding = bind_port(w, side, (uint16_t)((side ? 20000 : 10000) + i));
  if (!binding) return;
  const struct sim_node *peer = w->node[!side];
  uint16_t port = side ? (uint16_t)(10000 + i) : together(w) ? (uint16_t)(20000 + i) : 80;
  struct mst_endpoint remote = {.addr = w->on >> WITH_ip6 & 1 ? peer->ip6 : peer->ip4, .port = port};
  mst_conn *conn;
  int rc = mst_connect(w->node[side]->stack, binding, &remote, traffic_on_event, e, &conn);
  mst_unbind(binding);
  if (!rc) return traffic_adopt(e, conn);
  if (rc != -MST_ENOMEM) world_fault(w, "mst_connect failed");
  traffic_finish(e, rc);
}

static void open_listener(struct world *w) {
  mst_binding *binding = bind_port(w, 1, 80);
  if (!binding) return;
  int rc = -MST_ENOMEM;
  for (int tries = 0; rc == -MST_ENOMEM && tries < 1000; tries++)
    rc = mst_listen(binding, 16, on_listener, w, &w->listener);
  mst_unbind(binding);
  if (rc) world_fault(w, "mst_listen failed");
}

static bool build(struct world *w) {
  w->sim = sim_new(w->seed);
  w->watch = sim_watch_new(w->sim);
  if (w->print) sim_watch_print(w->watch);
  if (!world_draw_all(w)) return false;
  for (int side = 0; side < 2; side++) {
    sim_watch_node(w->watch, w->node[side], w->recuts[side]);
    w->node[side]->app = traffic_app;
    w->node[side]->user = w;
  }
  if (!together(w)) open_listener(w);
  for (uint32_t i = 0; i < w->connections; i++) {
    w->progress_ns[i] = w->sim->now_ns;
    open_end(w, i, 0);
    if (together(w)) open_end(w, i, 1);
  }
  sim_turn(w->node[0]);
  sim_turn(w->node[1]);
  return true;
}

/* --- what must hold --- */

static bool is_over(const struct end ends[2]) {
  /* A client that failed early need not have reached the server. */
  return ends[0].closed && !ends[1].conn && (ends[1].closed || ends[0].error);
}

/* RFC 9293 3.8.3: a listener gives up when all answers to its SYN,ACK are lost (by_index names as many of the first
 * packets as there are tries). A client that waits for the other to speak never hears of it, and nobody is at fault. */
static bool waits_in_vain(const struct world *w, const struct end ends[2]) {
  struct mst_stack_stats stats;
  mst_stack_get_stats(w->node[1]->stack, &stats);
  bool never_accepted = !ends[1].conn && !ends[1].closed, silent = !ends[0].sent && !ends[0].shut;
  return w->on >> WITH_by_index & 1 && stats.tcp_attempt_fails && ends[0].conn && silent && never_accepted;
}

static void let_go(struct world *w, struct end *e) {
  w->may_fail = true;
  mst_abort(e->conn);
  traffic_finish(e, -MST_ECANCELED);
}

/* RFC 6429 4: whoever has closed gives up on a reader that keeps its window closed for an hour, and its resets may be
 * lost, all of them. The reader is then not told, and has nothing to ask for. */
static bool is_left_alone(struct world *w, struct end ends[2]) {
  for (int side = 0; side < 2; side++) {
    const struct end *peer = &ends[!side];
    bool given_up = peer->closed && !peer->error && w->sim->now_ns - peer->finished_ns > ORPHAN_PATIENCE_NS;
    if (!ends[side].conn || !given_up) continue;
    let_go(w, &ends[side]);
    return true;
  }
  return false;
}

static bool any_left_alone(struct world *w) {
  bool any = false;
  for (uint32_t i = 0; i < w->connections; i++) any |= is_left_alone(w, w->ends[i]);
  return any;
}

static bool all_over(const struct world *w) {
  for (uint32_t i = 0; i < w->connections; i++)
    if (!is_over(w->ends[i])) return false;
  return true;
}

static void check_step(struct world *w) {
  const char *wrong = sim_watch_check(w->watch);
  if (wrong) world_fault(w, "%s", wrong);
  for (int side = 0; side < 2; side++)
    if (w->node[side]->memory.bytes > w->memory_bytes_max[side])
      world_fault(w, "memory is not bounded: %zu bytes", w->node[side]->memory.bytes);
  for (uint32_t i = 0; i < w->connections; i++) {
    if (w->sim->now_ns - w->progress_ns[i] > w->stall_ns && !is_over(w->ends[i]) && !is_left_alone(w, w->ends[i]))
      world_fault(w, "connection %u stalls: nothing for %.1f s", i, (double)(w->sim->now_ns - w->progress_ns[i]) / 1e9);
    if (waits_in_vain(w, w->ends[i])) let_go(w, &w->ends[i][0]);
  }
}

/* RFC 6429 4: whoever has closed need not wait for ever for a reader that keeps the window closed for an hour. */
static bool given_up(const struct end *e, const struct end *peer) {
  return e->error == -MST_ECONNRESET && peer->closed && !peer->error &&
         e->finished_ns - peer->finished_ns > ORPHAN_PATIENCE_NS;
}

static void check_end(struct world *w) {
  for (uint32_t i = 0; i < w->connections && !w->may_fail; i++)
    for (int side = 0; side < 2; side++) {
      const struct end *e = &w->ends[i][side];
      if (given_up(e, &w->ends[i][!side])) continue;
      if (e->error) world_fault(w, "%u%c: an error without a cause: %d", i, 'A' + side, e->error);
      if (e->received != e->to_receive) world_fault(w, "%u%c: bytes are missing", i, 'A' + side);
    }
  for (int side = 0; side < 2; side++) {
    struct mst_stack_stats stats;
    mst_stack_get_stats(w->node[side]->stack, &stats);
    if (stats.conns || stats.time_wait)
      world_fault(w, "%c: %" PRIu64 " connections are left over", 'A' + side, stats.conns + stats.time_wait);
  }
}

/* --- what it was --- */

static void describe_node(const struct sim_node *n, int side) {
  const struct sim_link *l = &n->out;
  struct mst_stack_stats stats;
  mst_stack_get_stats(n->stack, &stats);
  printf(
      "  %c: mtu %u; link: delay %.3f ms, jitter %.3f%s, loss %u, bad %u/%u/%u, burst %u x %u, reorder %u by %.3f ms, "
      "dup %u, corrupt %u, rate %" PRIu64 " queue %u aqm %u, mark %u, mtu %u, gso %d; boxes:",
      'A' + side, n->route_mtu, (double)l->delay_ns / 1e6, (double)l->jitter_ns / 1e6, l->keep_order ? " fifo" : "",
      l->loss, l->bad_start, l->bad_end, l->bad_loss, l->burst_start, l->burst_packets, l->reorder,
      (double)l->reorder_ns / 1e6, l->duplicate, l->corrupt, l->rate_bps, l->queue_bytes, l->aqm_bytes, l->mark, l->mtu,
      l->keep_gso);
  for (unsigned i = 0; i < l->box_count; i++) printf(" %s", sim_box_name(l->boxes[i]));
  printf("\n     stack: refuse %u, failing %u, conns %" PRIu64 ", memory %zu, timeouts %" PRIu64
         ", retransmitted %" PRIu64 ", packets %" PRIu64 ", lost %" PRIu64 ", marked %" PRIu64 "\n",
         n->refuse, n->memory.fail_chance, stats.conns, n->memory.bytes, stats.tcp_timeouts, stats.tcp_retrans_segs,
         l->packets, l->lost, l->marked);
}

static void describe_end(const struct end *e, int side) {
  printf("  %u%c: sent %" PRIu64 " of %" PRIu64 ", received %" PRIu64 " of %" PRIu64 ", error %d%s%s%s%s%s\n",
         e->connection, 'A' + side, e->sent, e->to_send, e->received, e->to_receive, e->error, e->shut ? ", shut" : "",
         e->eof ? ", eof" : "", e->closed ? ", closed" : "", e->can_read ? ", can read" : "",
         e->can_write ? ", can write" : "");
  if (!e->conn) return;
  struct mst_tcp_info info;
  mst_conn_get_info(e->conn, &info);
  printf("     %s, %s, cwnd %u, window %u, unacked %u, unsent %u, unread %u, rto %u ms, retries %u\n",
         mst_tcp_state_name(info.state), info.congestion_control, info.snd_cwnd_bytes, info.snd_wnd, info.unacked_bytes,
         info.notsent_bytes, info.unread_bytes, info.rto_us / 1000, info.retransmits);
}

static void describe(const struct world *w) {
  printf("seed %" PRIu64 " at %.6f s, after %" PRIu64 " events: %s\n ", w->seed, seconds(w), w->sim->events,
         w->fault[0] ? w->fault : "ok");
  for (int f = 0; f < WORLD_FEATURE_COUNT; f++)
    if (w->on >> f & 1) printf(" %s", world_feature_name((enum world_feature)f));
  printf("%s; may stall for %.0f s\n", w->may_fail ? "; errors are no fault" : "", (double)w->stall_ns / 1e9);
  for (int side = 0; side < 2; side++)
    if (w->node[side]) describe_node(w->node[side], side);
  for (uint32_t i = 0; i < w->connections; i++)
    for (int side = 0; side < 2; side++) describe_end(&w->ends[i][side], side);
}

bool world_run(struct world *w) {
  bool built = build(w);
  uint64_t limit_ns = w->sim->now_ns + LIMIT_NS;
  while (built && !w->fault[0] && !all_over(w)) {
    if (!sim_step(w->sim, limit_ns) && !any_left_alone(w)) world_fault(w, "nothing happens any more");
    check_step(w);
  }
  for (uint64_t end_ns = w->sim->now_ns + REST_NS; built && !w->fault[0] && sim_step(w->sim, end_ns);) check_step(w);
  if (built && !w->fault[0]) check_end(w);
  if (w->verbose || w->fault[0]) describe(w);
  sim_watch_free(w->watch);
  if (sim_free(w->sim)) {
    printf("seed %" PRIu64 ": memory or leases were not given back\n", w->seed);
    return false;
  }
  return !w->fault[0];
}
