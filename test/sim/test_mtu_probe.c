/* Path MTU discovery by probes (RFC 4821) over links that drop what is too large and do not say so. */
#include "flow.h"
#include "middlebox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define MIB (1u << 20)

/* The small window keeps the interval between probes short, which grows with it (RFC 4821 7.6.2). */
static struct flow_options through(uint32_t route_mtu, uint32_t link_mtu, enum mst_mtu_probing mode) {
  struct sim_link link = {.delay_ns = 5 * SIM_MS, .mtu = link_mtu};
  return (struct flow_options){.client = {.mtu_probing = mode},
                               .server = {.receive_buffer_bytes = 64 << 10},
                               .forward = link,
                               .back = {.delay_ns = 5 * SIM_MS},
                               .mtu = route_mtu};
}

/* A black hole is found, and then the size that passes. */
static void black_hole(void **state) {
  (void)state;
  static const struct {
    uint32_t route, link, found;
    bool ip6;
  } cases[] = {{1500, 1300, 1300, false}, {1500, 1492, 1492, false}, {1500, 1471, 1460, false},
               {9000, 1500, 1500, false}, {9000, 4352, 4352, false}, {1500, 1280, 1280, true},
               {1500, 1400, 1400, true},  {9000, 1500, 1500, true}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct flow_options o = through(cases[i].route, cases[i].link, MST_MTU_PROBING_ON_BLACK_HOLE);
    struct flow f;
    o.ip6 = cases[i].ip6;
    o.to_server = 32 * MIB;
    flow_open(&f, &o);
    assert_true(flow_run(&f, 20));
    assert_int_equal(flow_info(&f.client).pmtu, cases[i].found);
    assert_int_equal(flow_stats(&f.client).tcp_mtu_black_holes, 1);
    assert_true(flow_stats(&f.client).tcp_timeouts <= 2);
    assert_int_equal(flow_close(&f), 0);
  }
}

/* Less than the base passes. */
static void very_small(void **state) {
  (void)state;
  struct flow_options o = through(1500, 700, MST_MTU_PROBING_ON_BLACK_HOLE);
  struct flow f;
  o.to_server = MIB / 4;
  flow_open(&f, &o);
  assert_true(flow_run(&f, 60));
  assert_true(flow_info(&f.client).pmtu <= 700);
  assert_int_equal(flow_close(&f), 0);
}

/* What vanishes need not be as large as a segment may be. */
static void short_messages(void **state) {
  (void)state;
  static const uint32_t cases[][2] = {{1400, 1300}, {1250, 600}, {1100, 600}, {600, 600}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct flow_options o = through(1500, cases[i][1], MST_MTU_PROBING_ON_BLACK_HOLE);
    struct flow f;
    o.to_server = cases[i][0];
    flow_open(&f, &o);
    assert_true(flow_run(&f, 60));
    assert_true(flow_stats(&f.client).tcp_mtu_black_holes > 0);
    assert_int_equal(flow_close(&f), 0);
  }
}

static void no_longer_than_default(struct sim_node *node, const struct sim_seen *seen) {
  (void)node;
  if (!seen->sent) return;
  size_t bytes = seen->gso_size ? seen->gso_size + 52u : seen->len; /* with timestamps */
  assert_true(bytes <= 536 + 40);
}

/* RFC 9293 3.7.1, MUST-15: a peer that names no MSS takes 536 bytes, and probes keep to that. */
static void without_an_mss_option(void **state) {
  (void)state;
  struct flow_options o = through(1500, 0, MST_MTU_PROBING_ALWAYS);
  struct flow f;
  o.to_server = MIB;
  flow_open(&f, &o);
  struct sim_strip_options strip = {.kinds = SIM_STRIP_MSS, .syns = true};
  sim_box_add(f.server.node, sim_box_strip(f.sim, &strip));
  f.client.node->tap = no_longer_than_default;
  assert_true(flow_run(&f, 20));
  assert_int_equal(flow_stats(&f.client).tcp_mtu_probes, 0);
  assert_int_equal(flow_close(&f), 0);
}

/* Always: begins small, and finds what the first hop carries, what the path does, or what the peer takes. */
static void always(void **state) {
  (void)state;
  static const uint32_t cases[][3] = {{1500, 0, 1500}, {9000, 0, 9000}, {9000, 1500, 1500},
                                      {1420, 0, 1420}, {1457, 0, 1457}, {9000, 8000, 4352}};
  for (int ip6 = 0; ip6 < 2; ip6++) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      struct flow_options o = through(cases[i][0], cases[i][1], MST_MTU_PROBING_ALWAYS);
      struct flow f;
      o.ip6 = ip6;
      o.to_server = 32 * MIB;
      flow_open(&f, &o);
      assert_true(flow_run(&f, 20));
      assert_int_equal(flow_info(&f.client).pmtu, cases[i][2]);
      assert_int_equal(flow_stats(&f.client).tcp_timeouts, 0);
      assert_int_equal(flow_close(&f), 0);
    }
  }
}

/* Probes that fail cost no reduction of the window. */
static void failures_are_no_congestion(void **state) {
  (void)state;
  for (int no_sack = 0; no_sack < 2; no_sack++) {
    struct flow_options o = through(9000, 1500, MST_MTU_PROBING_ALWAYS);
    struct flow f;
    o.client.no_sack = no_sack;
    o.to_server = 8 * MIB;
    flow_open(&f, &o);
    assert_true(flow_run(&f, 20));
    struct mst_stack_stats stats = flow_stats(&f.client);
    assert_true(stats.tcp_mtup_fail > 0);
    assert_int_equal(stats.tcp_sack_recovery + stats.tcp_reno_recovery + stats.tcp_timeouts, 0);
    assert_int_equal(flow_info(&f.client).snd_ssthresh_bytes, UINT32_MAX);
    assert_int_equal(flow_close(&f), 0);
  }
}

/* With losses, reordering and data in both directions. */
static void on_a_bad_path(void **state) {
  (void)state;
  for (int i = 0; i < 12; i++) {
    struct flow_options o = through(i % 3 ? 1500 : 9000, i % 2 ? 1400 : 0, (enum mst_mtu_probing)(i / 6 * 2));
    struct flow f;
    o.seed = (uint64_t)i;
    o.client.no_sack = i % 4 == 3;
    o.ip6 = i % 5 == 0;
    o.forward.loss = o.back.loss = 10000;
    o.forward.jitter_ns = 2 * SIM_MS;
    o.to_server = 2 * MIB;
    o.to_client = MIB;
    flow_open(&f, &o);
    assert_true(flow_run(&f, 300));
    assert_int_equal(flow_close(&f), 0);
  }
}

/* The path's MTU shrinks in the middle, and grows again; the second is found after ten minutes. */
static void path_changes(void **state) {
  (void)state;
  struct flow_options o = through(1500, 0, MST_MTU_PROBING_ON_BLACK_HOLE);
  struct flow f;
  o.to_server = MIB;
  flow_open(&f, &o);
  assert_true(flow_run(&f, 5));
  assert_int_equal(flow_info(&f.client).pmtu, 1500);
  f.client.node->out.mtu = 1400;
  f.client.to_send += 32 * MIB;
  assert_true(flow_run(&f, 20));
  assert_int_equal(flow_info(&f.client).pmtu, 1400);
  f.client.node->out.mtu = 0;
  f.client.to_send += 16 * MIB;
  assert_true(flow_run(&f, 20));
  assert_int_equal(flow_info(&f.client).pmtu, 1400);
  sim_run_for(f.sim, 601 * SIM_S);
  f.client.to_send += 16 * MIB;
  assert_true(flow_run(&f, 20));
  assert_int_equal(flow_info(&f.client).pmtu, 1500);
  assert_int_equal(flow_close(&f), 0);
}

/* Path MTU discovery by ICMP as before; after ten minutes it is tried whether more passes. */
static void after_icmp(void **state) {
  (void)state;
  struct flow_options o = through(1500, 1300, MST_MTU_PROBING_ON_BLACK_HOLE);
  struct flow f;
  o.forward.too_big_icmp = true;
  o.to_server = MIB;
  flow_open(&f, &o);
  assert_true(flow_run(&f, 5));
  assert_int_equal(flow_info(&f.client).pmtu, 1300);
  assert_int_equal(flow_stats(&f.client).tcp_mtu_probes, 0);
  f.client.node->out.mtu = 0;
  sim_run_for(f.sim, 601 * SIM_S);
  f.client.to_send += 16 * MIB;
  assert_true(flow_run(&f, 20));
  assert_int_equal(flow_info(&f.client).pmtu, 1500);
  assert_int_equal(flow_close(&f), 0);
}

/* A silence of the whole path is taken for a black hole, and repaired by probes. */
static void outage(void **state) {
  (void)state;
  struct flow_options o = through(1500, 0, MST_MTU_PROBING_ON_BLACK_HOLE);
  struct flow f;
  o.to_server = MIB;
  flow_open(&f, &o);
  assert_true(flow_run(&f, 5));
  f.client.node->out.loss = 1000000;
  f.client.to_send += 32 * MIB;
  assert_false(flow_run(&f, 5));
  f.client.node->out.loss = 0;
  assert_true(flow_run(&f, 30));
  assert_int_equal(flow_info(&f.client).pmtu, 1500);
  assert_int_equal(flow_close(&f), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(black_hole),     cmocka_unit_test(very_small),
      cmocka_unit_test(short_messages), cmocka_unit_test(without_an_mss_option),
      cmocka_unit_test(always),         cmocka_unit_test(failures_are_no_congestion),
      cmocka_unit_test(on_a_bad_path),  cmocka_unit_test(path_changes),
      cmocka_unit_test(after_icmp),     cmocka_unit_test(outage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
