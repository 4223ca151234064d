/* Random scenarios by seed: two stacks, a network with random faults, connections whose ends read, write, pause and
 * close at random. What must hold: bytes arrive in order and once, every connection ends, with all its bytes unless
 * somebody broke it off, memory stays bounded, and all of it comes back.
 *
 *   sim_random [--count N] [--seed FIRST] [--verbose] */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_MAX 6
#define HOURS (3600 * SIM_S)

struct world;

/* One end of a connection, and its application. */
struct end {
  struct world *world;
  struct sim_node *node;
  mst_conn *conn;
  uint32_t id;      /* of the stream that it sends */
  uint32_t peer_id; /* and of that which it receives */
  uint64_t to_send, sent, to_receive, received;
  uint32_t write_max, read_max; /* of one call */
  uint32_t pause_chance;        /* per million, before a read */
  uint64_t paused_until_ns;
  uint64_t abort_after; /* bytes received; UINT64_MAX: it does not */
  bool by_peek, nodelay, shut_late;
  bool can_read, can_write, shut, eof, closed;
  int error;
};

struct world {
  struct sim *sim;
  struct sim_random random;
  struct sim_node *node[2];
  mst_listener *listener;
  struct end ends[CONNECTIONS_MAX][2];
  uint32_t connections;
  bool may_fail; /* memory runs out or somebody aborts: errors are no fault */
  bool ip6, together;
  uint32_t buffer_bytes[2];
  uint64_t last_progress_ns;
  const char *fault; /* what did not hold */
};

static bool verbose;

static uint64_t below(struct world *w, uint64_t limit) {
  return sim_random_below(&w->random, limit);
}

static bool one_in(struct world *w, uint64_t n) {
  return below(w, n) == 0;
}

/* Between 1 and 2^bits, each power of two as likely as the next. */
static uint64_t logarithmic(struct world *w, unsigned bits) {
  return 1 + below(w, 1ull << below(w, bits + 1));
}

static void fault(struct world *w, const char *what) {
  if (!w->fault) w->fault = what;
}

static uint8_t byte_at(uint32_t id, uint64_t position) {
  uint64_t x = position * 0x9e3779b97f4a7c15ull + id * 0x632be59bd9b4e019ull;
  return (uint8_t)(x >> 56 ^ x >> 24);
}

/* --- the application of one end --- */

static void wake_at(struct end *e, uint64_t at_ns) {
  if (!e->node->wake_at_ns || at_ns < e->node->wake_at_ns) e->node->wake_at_ns = at_ns;
}

static void finish(struct end *e, int error) {
  e->error = error;
  e->closed = true;
  e->conn = NULL;
}

static bool verify(struct end *e, const uint8_t *data, size_t bytes) {
  for (size_t i = 0; i < bytes; i++)
    if (data[i] != byte_at(e->peer_id, e->received + i)) return false;
  e->received += bytes;
  e->world->last_progress_ns = e->world->sim->now_ns;
  return e->received <= e->to_receive;
}

static ptrdiff_t take_by_peek(struct end *e, size_t most) {
  struct mst_iov spans[3];
  size_t taken = 0, count = mst_peek(e->conn, spans, 3);
  if (!count) return mst_read(e->conn, spans, 1);
  for (size_t i = 0; i < count && taken < most; i++) {
    size_t n = spans[i].len < most - taken ? spans[i].len : most - taken;
    if (!verify(e, spans[i].base, n)) fault(e->world, "wrong bytes (peek)");
    taken += n;
  }
  mst_consume(e->conn, taken);
  return (ptrdiff_t)taken;
}

static ptrdiff_t take(struct end *e) {
  static uint8_t buffer[1 << 17];
  size_t most = 1 + below(e->world, e->read_max);
  if (e->by_peek) return take_by_peek(e, most);
  ptrdiff_t n = mst_read(e->conn, buffer, most);
  if (n > 0 && !verify(e, buffer, (size_t)n)) fault(e->world, "wrong bytes");
  return n;
}

static void read_some(struct end *e) {
  struct world *w = e->world;
  while (e->conn && e->can_read && !e->eof) {
    if (e->paused_until_ns > w->sim->now_ns) return wake_at(e, e->paused_until_ns);
    if (sim_random_chance(&w->random, e->pause_chance)) {
      e->paused_until_ns = w->sim->now_ns + below(w, 5 * SIM_S);
      continue;
    }
    ptrdiff_t n = take(e);
    if (n == -MST_EAGAIN)
      e->can_read = false;
    else if (n == 0)
      e->eof = true;
    else if (n < 0)
      return; /* the ERROR event tells */
    if (e->received >= e->abort_after) {
      mst_abort(e->conn);
      return finish(e, -MST_ECANCELED);
    }
  }
}

static void write_some(struct end *e) {
  static uint8_t buffer[1 << 17];
  struct world *w = e->world;
  while (e->conn && e->can_write && e->sent < e->to_send) {
    size_t n = 1 + below(w, e->write_max);
    if (n > e->to_send - e->sent) n = (size_t)(e->to_send - e->sent);
    for (size_t i = 0; i < n; i++) buffer[i] = byte_at(e->id, e->sent + i);
    ptrdiff_t taken = mst_write(e->conn, buffer, n);
    if (taken == -MST_ENOMEM) return wake_at(e, w->sim->now_ns + 10 * SIM_MS);
    if (taken < 0 && taken != -MST_EAGAIN) return;
    if (taken > 0) e->sent += (uint64_t)taken;
    if (taken < (ptrdiff_t)n) e->can_write = false;
    if (one_in(w, 4)) return wake_at(e, w->sim->now_ns + below(w, SIM_MS));
  }
  if (!e->conn || e->sent < e->to_send || e->shut || (e->shut_late && !e->eof)) return;
  if (mst_shutdown(e->conn) == 0) e->shut = true;
}

static void pump(struct end *e) {
  read_some(e);
  write_some(e);
  if (!e->conn || !e->eof || !e->shut) return;
  if (e->received != e->to_receive) fault(e->world, "the end came too early");
  mst_close(e->conn);
  finish(e, 0);
}

static void on_event(mst_conn *conn, unsigned events, void *user) {
  struct end *e = user;
  struct world *w = e->world;
  if (e->conn != conn) return fault(w, "an event of a connection that is closed");
  if (events & MST_EV_READABLE) e->can_read = true;
  if (events & MST_EV_WRITABLE) e->can_write = true;
  if (!(events & MST_EV_ERROR)) return;
  int error = mst_conn_error(conn);
  if (!error) fault(w, "an ERROR event without an error");
  mst_close(conn);
  finish(e, error);
}

static void adopt(struct end *e, mst_conn *conn) {
  e->conn = conn;
  e->can_read = e->can_write = true;
  if (e->nodelay) mst_conn_set_option(conn, MST_TCP_NODELAY, 1);
  if (e->world->may_fail) { /* the reset of a peer that is gone may be lost */
    mst_conn_set_option(conn, MST_TCP_KEEPALIVE_IDLE, 60000);
    mst_conn_set_option(conn, MST_TCP_KEEPALIVE, 1);
  }
  mst_conn_set_event(conn, on_event, e);
}

static void on_listener(mst_listener *listener, void *user) {
  struct world *w = user;
  mst_conn *conn;
  while ((conn = mst_accept(listener))) {
    struct mst_endpoint remote;
    mst_conn_remote(conn, &remote);
    struct end *found = NULL;
    for (uint32_t i = 0; i < w->connections; i++)
      if (remote.port == 10000 + i) found = &w->ends[i][1];
    if (!found || found->conn || found->closed) {
      fault(w, "a connection that nobody opened");
      mst_abort(conn);
      continue;
    }
    adopt(found, conn);
  }
}

static void app(struct sim_node *node, void *user) {
  struct world *w = user;
  for (uint32_t i = 0; i < w->connections; i++)
    for (int side = 0; side < 2; side++)
      if (w->ends[i][side].node == node && w->ends[i][side].conn) pump(&w->ends[i][side]);
}

/* --- building a world --- */

static void random_link(struct world *w, struct sim_link *link) {
  if (!one_in(w, 3)) link->delay_ns = logarithmic(w, 27); /* up to 134 ms */
  if (one_in(w, 3)) link->jitter_ns = below(w, link->delay_ns + 1);
  if (one_in(w, 2)) link->loss = (uint32_t)below(w, 50000);
  if (one_in(w, 4)) link->duplicate = (uint32_t)below(w, 30000);
  if (one_in(w, 4)) link->corrupt = (uint32_t)below(w, 20000);
  if (one_in(w, 6)) {
    link->burst_start = (uint32_t)below(w, 2000);
    link->burst_packets = (uint32_t)below(w, 5); /* less than the retries of a connection */
  }
  if (one_in(w, 3)) {
    link->rate_bps = 1000000 * logarithmic(w, 10);
    link->queue_bytes = 140000 + (uint32_t)below(w, 500000);
  }
  link->keep_gso = one_in(w, 3);
}

static bool add_stack(struct world *w, int side) {
  static const uint32_t buffers[] = {4096, 20000, 65535, 300000, 0};
  static const uint32_t mtus[] = {576, 1280, 1500, 1500, 9000, 65535};
  uint32_t failing = w->may_fail && one_in(w, 2) ? (uint32_t)below(w, 5000) : 0;
  struct mst_stack_options options = {
      .congestion_control = one_in(w, 2) ? "newreno" : "cubic",
      .send_buffer_bytes = buffers[below(w, 5)],
      .receive_buffer_bytes = buffers[below(w, 5)],
  };
  w->buffer_bytes[side] = (options.send_buffer_bytes ? options.send_buffer_bytes : 4u << 20) +
                          3 * (options.receive_buffer_bytes ? options.receive_buffer_bytes : 4u << 20);
  struct sim_node *node = sim_add_stack_with(w->sim, &options, (struct sim_memory){.random = {below(w, UINT64_MAX)}});
  if (!node) return false;
  node->memory.fail_chance = failing;
  node->route_mtu = mtus[below(w, 6)];
  if (w->ip6 && node->route_mtu < 1280) node->route_mtu = 1280;
  if (one_in(w, 4)) node->refuse = (uint32_t)below(w, 300000);
  random_link(w, &node->out);
  node->app = app;
  node->user = w;
  w->node[side] = node;
  return true;
}

static void random_end(struct world *w, uint32_t i, int side, uint64_t bytes) {
  w->ends[i][side] = (struct end){
      .world = w,
      .node = w->node[side],
      .id = i * 2 + (uint32_t)side,
      .peer_id = i * 2 + !side,
      .to_send = bytes,
      .write_max = (uint32_t)logarithmic(w, 16),
      .read_max = (uint32_t)logarithmic(w, 16),
      .pause_chance = one_in(w, 3) ? (uint32_t)below(w, 20000) : 0,
      .abort_after = w->may_fail && one_in(w, 4) ? below(w, 100000) : UINT64_MAX,
      .by_peek = one_in(w, 2),
      .nodelay = one_in(w, 2),
      .shut_late = side == 0 && one_in(w, 3),
  };
}

static mst_binding *bind_port(struct world *w, int side, uint16_t port) {
  mst_binding *binding;
  struct mst_endpoint local = {.addr = w->ip6 ? w->node[side]->ip6 : w->node[side]->ip4, .port = port};
  for (int tries = 0; tries < 1000; tries++) {
    int rc = mst_bind(w->node[side]->stack, MST_TCP, &local, 0, &binding);
    if (!rc) return binding;
    if (rc != -MST_ENOMEM) break;
  }
  fault(w, "mst_bind failed");
  return NULL;
}

static void open_end(struct world *w, uint32_t i, int side) {
  struct end *e = &w->ends[i][side];
  mst_binding *binding = bind_port(w, side, (uint16_t)((side ? 20000 : 10000) + i));
  if (!binding) return;
  struct sim_node *peer = w->node[!side];
  uint16_t port = side ? (uint16_t)(10000 + i) : w->together ? (uint16_t)(20000 + i) : 80;
  struct mst_endpoint remote = {.addr = w->ip6 ? peer->ip6 : peer->ip4, .port = port};
  mst_conn *conn;
  int rc = mst_connect(w->node[side]->stack, binding, &remote, on_event, e, &conn);
  mst_unbind(binding);
  if (rc) {
    if (rc != -MST_ENOMEM) fault(w, "mst_connect failed");
    return finish(e, rc);
  }
  adopt(e, conn);
}

static void open_listener(struct world *w) {
  mst_binding *binding = bind_port(w, 1, 80);
  if (!binding) return;
  int rc = -MST_ENOMEM;
  for (int tries = 0; rc == -MST_ENOMEM && tries < 1000; tries++)
    rc = mst_listen(binding, 16, on_listener, w, &w->listener);
  mst_unbind(binding);
  if (rc) fault(w, "mst_listen failed");
}

static bool build(struct world *w, uint64_t seed) {
  *w = (struct world){.random = {seed * 0x2545f4914f6cdd1dull + 1}, .sim = sim_new(seed)};
  w->may_fail = one_in(w, 4);
  w->ip6 = one_in(w, 2);
  w->together = one_in(w, 6); /* simultaneous open */
  if (!add_stack(w, 0) || !add_stack(w, 1)) return false;
  w->connections = 1 + (uint32_t)below(w, CONNECTIONS_MAX);
  if (!w->together) open_listener(w);
  for (uint32_t i = 0; i < w->connections; i++) {
    for (int side = 0; side < 2; side++) random_end(w, i, side, one_in(w, 5) ? 0 : logarithmic(w, 20));
    w->ends[i][0].to_receive = w->ends[i][1].to_send;
    w->ends[i][1].to_receive = w->ends[i][0].to_send;
    open_end(w, i, 0);
    if (w->together) open_end(w, i, 1);
  }
  w->last_progress_ns = w->sim->now_ns;
  sim_turn(w->node[0]);
  sim_turn(w->node[1]);
  return true;
}

/* --- what must hold --- */

static bool all_closed(const struct world *w) {
  for (uint32_t i = 0; i < w->connections; i++) {
    const struct end *client = &w->ends[i][0], *server = &w->ends[i][1];
    if (!client->closed || server->conn) return false;
    /* A client that failed early need not have reached the server. */
    if (!server->closed && !client->error) return false;
  }
  return true;
}

static void check_step(struct world *w) {
  for (int side = 0; side < 2; side++) {
    size_t most = 2 * 1024 * 1024 + (size_t)w->connections * w->buffer_bytes[side];
    if (w->node[side]->memory.bytes > most) fault(w, "memory is not bounded");
  }
  if (w->sim->now_ns - w->last_progress_ns > HOURS) fault(w, "no progress");
}

static void check_end(struct world *w) {
  for (uint32_t i = 0; i < w->connections; i++)
    for (int side = 0; side < 2; side++) {
      struct end *e = &w->ends[i][side];
      if (w->may_fail) continue;
      if (e->error) fault(w, "an error without a cause");
      if (e->received != e->to_receive) fault(w, "bytes are missing");
    }
  for (int side = 0; side < 2; side++) {
    struct mst_stack_stats stats;
    mst_stack_get_stats(w->node[side]->stack, &stats);
    if (stats.conns || stats.time_wait) fault(w, "connections are left over");
    if (stats.memory_bytes != w->node[side]->memory.bytes) fault(w, "memory_bytes is wrong");
  }
}

static void describe(const struct world *w) {
  for (int side = 0; side < 2; side++) {
    const struct sim_node *n = w->node[side];
    if (!n) continue;
    struct mst_stack_stats stats;
    mst_stack_get_stats(n->stack, &stats);
    printf("  %c: mtu %u, delay %" PRIu64 " us, jitter %" PRIu64 " us, loss %u, dup %u, corrupt %u, burst %u x %u, "
           "rate %" PRIu64 ", refuse %u, failing %u, gso %d; conns %" PRIu64 ", packets %" PRIu64 ", lost %" PRIu64
           ", memory %zu, timeouts %" PRIu64 ", retransmitted %" PRIu64 "\n",
           'A' + side, n->route_mtu, n->out.delay_ns / 1000, n->out.jitter_ns / 1000, n->out.loss, n->out.duplicate,
           n->out.corrupt, n->out.burst_start, n->out.burst_packets, n->out.rate_bps, n->refuse, n->memory.fail_chance,
           n->out.keep_gso, stats.conns, n->out.packets, n->out.lost, n->memory.bytes, stats.tcp_timeouts,
           stats.tcp_retrans_segs);
  }
  for (uint32_t i = 0; i < w->connections; i++)
    for (int side = 0; side < 2; side++) {
      const struct end *e = &w->ends[i][side];
      printf("  %u%c: sent %" PRIu64 " of %" PRIu64 ", received %" PRIu64 " of %" PRIu64 ", error %d%s%s%s%s%s\n", i,
             'A' + side, e->sent, e->to_send, e->received, e->to_receive, e->error, e->shut ? ", shut" : "",
             e->eof ? ", eof" : "", e->closed ? ", closed" : "", e->can_read ? ", can read" : "",
             e->can_write ? ", can write" : "");
      if (!e->conn) continue;
      struct mst_tcp_info info;
      mst_conn_get_info(e->conn, &info);
      printf("     %s cwnd %u, window %u, unacked %u, unsent %u, unread %u, rto %u ms, retries %u\n",
             mst_tcp_state_name(info.state), info.snd_cwnd_bytes, info.snd_wnd, info.unacked_bytes, info.notsent_bytes,
             info.unread_bytes, info.rto_us / 1000, info.retransmits);
    }
}

static bool run(uint64_t seed) {
  static struct world world;
  struct world *w = &world;
  bool built = build(w, seed);
  uint64_t limit_ns = w->sim->now_ns + 24 * HOURS;
  while (built && !w->fault && !all_closed(w)) {
    if (!sim_step(w->sim, limit_ns)) fault(w, "nothing happens any more");
    check_step(w);
  }
  for (uint64_t end_ns = w->sim->now_ns + HOURS; built && !w->fault && sim_step(w->sim, end_ns);) continue;
  if (built && !w->fault) check_end(w);
  if (verbose || w->fault) {
    printf("seed %" PRIu64 ": %s, %" PRIu64 " events, %.3f s, %u connections%s%s%s\n", seed, w->fault ? w->fault : "ok",
           w->sim->events, (double)(w->sim->now_ns - 1000 * SIM_S) / 1e9, w->connections, w->ip6 ? ", ip6" : "",
           w->together ? ", together" : "", w->may_fail ? ", may fail" : "");
    describe(w);
  }
  bool ok = !w->fault;
  if (sim_free(w->sim)) {
    printf("seed %" PRIu64 ": memory or leases were not given back\n", seed);
    ok = false;
  }
  return ok;
}

int main(int argc, char **argv) {
  uint64_t count = 200, first = 1, failed = 0;
  for (int i = 1; i < argc; i++) {
    bool value = i + 1 < argc;
    if (!strcmp(argv[i], "--verbose")) {
      verbose = true;
    } else if (value && !strcmp(argv[i], "--count")) {
      count = strtoull(argv[++i], NULL, 0);
    } else if (value && !strcmp(argv[i], "--seed")) {
      first = strtoull(argv[++i], NULL, 0);
    } else {
      fprintf(stderr, "usage: %s [--count N] [--seed FIRST] [--verbose]\n", argv[0]);
      return 2;
    }
  }
  for (uint64_t seed = first; seed < first + count; seed++) {
    failed += !run(seed);
    fflush(stdout);
  }
  printf("%" PRIu64 " passed, %" PRIu64 " failed, 0 skipped\n", count - failed, failed);
  return failed ? 1 : 0;
}
