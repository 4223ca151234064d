/* Whole transfers between two stacks: 1 byte to tens of megabytes, over good and bad links, hashes compared. */
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct transfer {
  uint64_t bytes;
  struct sim_link link; /* of both directions */
  uint32_t mtu;
  bool ip6, both_ways, loopback;
  struct mst_stack_options options;
  double at_most_s; /* virtual; 0: an hour */
};

struct side {
  const struct transfer *transfer;
  struct sim_node *node;
  mst_conn *conn;
  struct sim_random source; /* of the bytes that it sends */
  uint64_t sent, received, sent_hash, received_hash, to_send, to_receive;
  bool shut, eof, drained;
};

static uint64_t hash(uint64_t h, const uint8_t *data, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) h = (h ^ data[i]) * 0x100000001b3ull;
  return h;
}

static void read_all(struct side *side) {
  struct mst_iov spans[16];
  for (size_t count; (count = mst_peek(side->conn, spans, 16));) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
      side->received_hash = hash(side->received_hash, spans[i].base, spans[i].len);
      bytes += spans[i].len;
    }
    side->received += bytes;
    mst_consume(side->conn, bytes);
  }
  char byte;
  ptrdiff_t n = mst_read(side->conn, &byte, 1);
  if (n == 0)
    side->eof = true;
  else
    assert_int_equal(n, -MST_EAGAIN);
}

static void write_all(struct side *side) {
  static uint64_t words[4096];
  while (side->sent < side->to_send) {
    size_t n = mst_writable_bytes(side->conn);
    if (n > sizeof words) n = sizeof words;
    if (n > side->to_send - side->sent) n = (size_t)(side->to_send - side->sent);
    if (!n) n = 1; /* asks for the WRITABLE event */
    for (size_t i = 0; i < (n + 7) / 8; i++) words[i] = sim_random_next(&side->source);
    ptrdiff_t taken = mst_write(side->conn, words, n);
    if (taken == -MST_EAGAIN) return;
    assert_true(taken > 0);
    side->sent_hash = hash(side->sent_hash, (const uint8_t *)words, (size_t)taken);
    side->sent += (uint64_t)taken;
  }
  if (side->shut) return;
  assert_int_equal(mst_shutdown(side->conn), 0);
  side->shut = true;
}

static void on_event(mst_conn *conn, unsigned events, void *user) {
  struct side *side = user;
  assert_ptr_equal(conn, side->conn);
  assert_int_equal(events & MST_EV_ERROR, 0);
  if (events & MST_EV_DRAINED) side->drained = true;
  if (events & MST_EV_READABLE) read_all(side);
  if (events & (MST_EV_WRITABLE | MST_EV_CONNECTED)) write_all(side);
}

static void on_listener(mst_listener *listener, void *user) {
  struct side *side = user;
  side->conn = mst_accept(listener);
  assert_non_null(side->conn);
  mst_conn_set_event(side->conn, on_event, side);
  read_all(side);
  write_all(side);
}

static void open_both(struct side *client, struct side *server) {
  mst_binding *binding;
  mst_listener *listener;
  const struct mst_addr *addr = client->transfer->ip6 ? &server->node->ip6 : &server->node->ip4;
  struct mst_endpoint at = {.addr = *addr, .port = 80};
  assert_int_equal(mst_bind(server->node->stack, MST_TCP, &at, 0, &binding), 0);
  assert_int_equal(mst_listen(binding, 0, on_listener, server, &listener), 0);
  mst_unbind(binding);
  assert_int_equal(mst_connect(client->node->stack, NULL, &at, on_event, client, &client->conn), 0);
  write_all(client);
  sim_turn(client->node);
}

static bool over(void *user) {
  struct side *sides = user;
  return sides[0].eof && sides[1].eof && sides[0].drained && sides[1].drained;
}

static double run(const struct transfer *t) {
  struct sim *sim = sim_new(t->bytes + 3);
  struct side sides[2];
  for (int i = 0; i < 2; i++) {
    struct sim_node *node = t->loopback && i ? sides[0].node : sim_add_stack(sim, &t->options);
    node->out = t->link;
    if (t->mtu) node->route_mtu = t->mtu;
    sides[i] = (struct side){.transfer = t, .node = node, .source = {(uint64_t)i + 1}};
    sides[i].to_send = i == 0 || t->both_ways ? t->bytes : 0;
    sides[i].to_receive = i == 1 || t->both_ways ? t->bytes : 0;
  }
  uint64_t start_ns = sim->now_ns;
  open_both(&sides[0], &sides[1]);
  if (!sim_run_until(sim, over, sides, (uint64_t)((t->at_most_s ? t->at_most_s : 3600) * 1e9)))
    fail_msg("%llu and %llu of %llu bytes have come", (unsigned long long)sides[1].received,
             (unsigned long long)sides[0].received, (unsigned long long)t->bytes);
  double seconds = (double)(sim->now_ns - start_ns) / 1e9;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(sides[i].received, sides[i].to_receive);
    assert_int_equal(sides[i].received_hash, sides[!i].sent_hash);
    mst_close(sides[i].conn);
  }
  sim_run_for(sim, 300 * SIM_S);
  struct mst_stack_stats stats;
  mst_stack_get_stats(sides[0].node->stack, &stats);
  assert_int_equal(stats.conns + stats.time_wait, 0);
  assert_int_equal(sim_free(sim), 0);
  return seconds;
}

static const struct sim_link good = {.delay_ns = 100 * SIM_US};

static void sizes(void **state) {
  (void)state;
  static const uint64_t bytes[] = {0, 1, 2, 535, 536, 1447, 1448, 1449, 1460, 65535, 65536, 100000, 1 << 20};
  for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++)
    for (int ip6 = 0; ip6 < 2; ip6++) run(&(struct transfer){.bytes = bytes[i], .link = good, .ip6 = ip6});
}

static void mtus(void **state) {
  (void)state;
  static const uint32_t mtus[] = {576, 1280, 1500, 9000, 65535};
  for (size_t i = 0; i < sizeof mtus / sizeof *mtus; i++) {
    run(&(struct transfer){.bytes = 2 << 20, .link = good, .mtu = mtus[i], .both_ways = true});
    if (mtus[i] >= 1280) run(&(struct transfer){.bytes = 2 << 20, .link = good, .mtu = mtus[i], .ip6 = true});
  }
}

static void large(void **state) {
  (void)state;
  struct sim_link link = {.delay_ns = 5 * SIM_MS, .rate_bps = 1000000000, .queue_bytes = 1 << 20};
  double seconds = run(&(struct transfer){.bytes = 50 << 20, .link = link, .at_most_s = 30});
  print_message("50 MiB at 1 Gb/s, 10 ms: %.2f s\n", seconds);
  link = (struct sim_link){.delay_ns = 10 * SIM_US, .keep_gso = true};
  run(&(struct transfer){.bytes = 64 << 20, .link = link, .mtu = 65535, .both_ways = true});
}

static void to_itself(void **state) {
  (void)state;
  run(&(struct transfer){.bytes = 4 << 20, .link = good, .loopback = true, .mtu = 65535});
}

static void small_buffers(void **state) {
  (void)state;
  struct mst_stack_options options = {.send_buffer_bytes = 4096, .receive_buffer_bytes = 4096};
  run(&(struct transfer){.bytes = 1 << 20, .link = good, .options = options, .both_ways = true});
  options = (struct mst_stack_options){.receive_buffer_bytes = 100, .send_buffer_bytes = 100};
  run(&(struct transfer){.bytes = 10000, .link = good, .options = options});
}

/* Each fault alone and all together, for each algorithm. */
static void faults(void **state) {
  (void)state;
  static const struct sim_link links[] = {
      {.delay_ns = 10 * SIM_MS, .loss = 10000},
      {.delay_ns = 10 * SIM_MS, .loss = 50000},
      {.delay_ns = 10 * SIM_MS, .jitter_ns = 8 * SIM_MS},
      {.delay_ns = 10 * SIM_MS, .duplicate = 50000},
      {.delay_ns = 10 * SIM_MS, .corrupt = 20000},
      {.delay_ns = 10 * SIM_MS, .burst_start = 1000, .burst_packets = 6},
      {.delay_ns = 10 * SIM_MS, .rate_bps = 10000000, .queue_bytes = 20000},
      {.delay_ns = 10 * SIM_MS, .jitter_ns = 5 * SIM_MS, .loss = 10000, .duplicate = 10000, .corrupt = 10000},
  };
  for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
    double seconds[2];
    for (int reno = 0; reno < 2; reno++)
      seconds[reno] = run(&(struct transfer){.bytes = 2 << 20,
                                             .link = links[i],
                                             .options = {.congestion_control = reno ? "newreno" : "cubic"},
                                             .both_ways = i % 2,
                                             .ip6 = reno});
    print_message("link %zu: cubic %.2f s, newreno %.2f s\n", i, seconds[0], seconds[1]);
  }
}

static void large_with_loss(void **state) {
  (void)state;
  struct sim_link link = {.delay_ns = SIM_MS, .loss = 1000, .duplicate = 1000, .corrupt = 500, .jitter_ns = 100000};
  run(&(struct transfer){.bytes = 20 << 20, .link = link});
}

/* A router between that carries less than both ends think (RFC 1191); and one that does not tell is given up on. */
static void path_mtu(void **state) {
  (void)state;
  for (int ip6 = 0; ip6 < 2; ip6++) {
    struct sim_link link = {.delay_ns = SIM_MS, .mtu = 1300, .too_big_icmp = true};
    double seconds =
        run(&(struct transfer){.bytes = 1 << 20, .link = link, .mtu = 1500, .ip6 = ip6, .both_ways = true});
    assert_true(seconds < 2);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sizes),           cmocka_unit_test(mtus),          cmocka_unit_test(large),
      cmocka_unit_test(to_itself),       cmocka_unit_test(small_buffers), cmocka_unit_test(faults),
      cmocka_unit_test(large_with_loss), cmocka_unit_test(path_mtu),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
