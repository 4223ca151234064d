/* ECN of either kind over links that mark, and past boxes that clear, change and drop. */
#include "flow.h"
#include "middlebox.h"
#include "packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1u << 20)

static const struct sim_link plain = {.delay_ns = 10 * SIM_MS};

static struct flow_options asking(enum mst_ecn ecn, uint64_t bytes) {
  return (struct flow_options){.client = {.ecn = ecn}, .forward = plain, .back = plain, .to_server = bytes};
}

/* A queue that marks: the sender slows down and nothing is lost, whoever asks for what. */
static void marks_instead_of_losses(void **state) {
  (void)state;
  for (int i = 0; i < 8; i++) {
    enum mst_ecn ecn = i & 1 ? MST_ECN_ACCURATE : MST_ECN_CLASSIC;
    struct flow_options o = asking(ecn, 4 * MIB);
    o.ip6 = i & 2;
    o.client.congestion_control = i & 4 ? "newreno" : "cubic";
    o.forward.rate_bps = 20000000;
    o.forward.aqm_bytes = 40000;
    struct flow f;
    flow_open(&f, &o);
    assert_true(flow_run(&f, 10));
    struct mst_stack_stats stats = flow_stats(&f.client);
    assert_true(f.client.node->out.marked > 0);
    assert_true(stats.tcp_ecn_reductions > 0);
    assert_int_equal(stats.tcp_retrans_segs, 0);
    assert_int_equal(f.client.node->out.lost, 0);
    assert_int_equal(flow_info(&f.client).ecn_mode, ecn == MST_ECN_ACCURATE ? 2 : 1);
    assert_int_equal(flow_close(&f), 0);
  }
}

/* The same link drops what has no ECT. */
static void losses_without(void **state) {
  (void)state;
  struct flow_options o = asking(MST_ECN_OFF, 4 * MIB);
  o.forward.rate_bps = 20000000;
  o.forward.aqm_bytes = 40000;
  struct flow f;
  flow_open(&f, &o);
  assert_true(flow_run(&f, 20));
  assert_true(flow_stats(&f.client).tcp_retrans_segs > 0);
  assert_int_equal(f.client.node->out.marked, 0);
  assert_int_equal(flow_close(&f), 0);
}

/* Every mark is counted, on both sides and in both directions, whatever ACKs are lost. */
static void each_mark_is_counted(void **state) {
  (void)state;
  static const uint32_t chances[] = {1000, 10000, 100000, 300000};
  for (int i = 0; i < 8; i++) {
    struct flow_options o = asking(MST_ECN_ACCURATE, 2 * MIB);
    o.seed = (uint64_t)i;
    o.forward.mark = chances[i / 2];
    if (i % 2) o.to_client = 2 * MIB, o.back.mark = 50000;
    struct flow f;
    flow_open(&f, &o);
    assert_true(flow_run(&f, 300));
    sim_run_for(f.sim, SIM_S);
    struct mst_tcp_info client = flow_info(&f.client), server = flow_info(&f.server);
    assert_int_equal(server.received_ce, f.client.node->out.marked);
    assert_int_equal(client.received_ce, f.server.node->out.marked);
    assert_int_equal(client.delivered_ce, server.received_ce);
    assert_int_equal(server.delivered_ce, client.received_ce);
    assert_int_equal(client.delivered_ce_bytes, server.received_ce_bytes);
    assert_int_equal(server.received_e0_bytes - 1 + server.received_ce_bytes, 2 * MIB);
    assert_int_equal(flow_close(&f), 0);
  }
}

/* Losses and marks together: the count may be guessed too high where ACKs are lost, never too low. */
static void marks_and_losses(void **state) {
  (void)state;
  for (int i = 0; i < 6; i++) {
    struct flow_options o = asking(i % 2 ? MST_ECN_ACCURATE : MST_ECN_CLASSIC, MIB);
    o.seed = (uint64_t)i;
    o.forward.mark = 20000;
    o.forward.loss = o.back.loss = 20000;
    o.back.jitter_ns = 5 * SIM_MS;
    struct flow f;
    flow_open(&f, &o);
    assert_true(flow_run(&f, 300));
    sim_run_for(f.sim, SIM_S);
    if (i % 2) assert_true(flow_info(&f.client).delivered_ce >= flow_info(&f.server).received_ce);
    assert_int_equal(flow_close(&f), 0);
  }
}

static void run_past(struct sim_box *(*box)(struct sim *sim), enum mst_ecn ecn, struct mst_stack_stats *client,
                     struct mst_tcp_info *info) {
  struct flow_options o = asking(ecn, MIB);
  o.to_client = MIB / 4;
  o.forward.mark = o.back.mark = 5000;
  struct flow f;
  flow_open(&f, &o);
  sim_box_add(f.client.node, box(f.sim));
  sim_box_add(f.server.node, box(f.sim));
  assert_true(flow_run(&f, 60));
  *client = flow_stats(&f.client);
  *info = flow_info(&f.client);
  assert_int_equal(flow_close(&f), 0);
}

static struct sim_box *clears_ip(struct sim *sim) {
  return sim_box_bleach(sim, &(struct sim_bleach_options){.ip = true});
}

/* The field of the IP header is cleared on the way: found and counted, where the feedback can tell. */
static void bleached(void **state) {
  (void)state;
  struct mst_stack_stats stats;
  struct mst_tcp_info info;
  run_past(clears_ip, MST_ECN_ACCURATE, &stats, &info);
  assert_int_equal(stats.tcp_ecn_bleached, 1);
  assert_int_equal(stats.tcp_ecn_reductions, 0);
  run_past(clears_ip, MST_ECN_CLASSIC, &stats, &info);
  assert_int_equal(stats.tcp_ecn_reductions, 0);
}

static struct sim_box *clears_syn_flags(struct sim *sim) {
  return sim_box_bleach(sim, &(struct sim_bleach_options){.syn_flags = true});
}

static void flags_of_the_handshake_cleared(void **state) {
  (void)state;
  struct mst_stack_stats stats;
  struct mst_tcp_info info;
  run_past(clears_syn_flags, MST_ECN_ACCURATE, &stats, &info);
  assert_int_equal(info.ecn_mode, 0);
  run_past(clears_syn_flags, MST_ECN_CLASSIC, &stats, &info);
  assert_int_equal(info.ecn_mode, 0);
}

static struct sim_box *clears_flags(struct sim *sim) {
  return sim_box_bleach(sim, &(struct sim_bleach_options){.flags = true});
}

/* After the handshake: the accurate kind notices that its field is changed. */
static void flags_cleared(void **state) {
  (void)state;
  struct mst_stack_stats stats;
  struct mst_tcp_info info;
  run_past(clears_flags, MST_ECN_ACCURATE, &stats, &info);
  assert_int_equal(info.ecn_mode, 2);
  run_past(clears_flags, MST_ECN_CLASSIC, &stats, &info);
  assert_int_equal(stats.tcp_ecn_reductions, 0);
}

static struct sim_box *drops_ecn_syn(struct sim *sim) {
  return sim_box_bleach(sim, &(struct sim_bleach_options){.drop_ecn_syn = true});
}

/* A SYN that asks for ECN is lost, each time. */
static void asking_is_dropped(void **state) {
  (void)state;
  struct mst_stack_stats stats;
  struct mst_tcp_info info;
  run_past(drops_ecn_syn, MST_ECN_CLASSIC, &stats, &info);
  assert_int_equal(info.ecn_mode, 0);
  assert_int_equal(stats.tcp_ecn_fallbacks, 1);
  run_past(drops_ecn_syn, MST_ECN_ACCURATE, &stats, &info);
  assert_int_equal(info.ecn_mode, 0);
  assert_int_equal(stats.tcp_ecn_fallbacks, 1);
}

static struct sim_box *strips_option(struct sim *sim) {
  return sim_box_strip(sim, &(struct sim_strip_options){.kinds = SIM_STRIP_UNKNOWN, .syns = true, .rest = true});
}

/* The AccECN option is taken out: the ACE field does it alone. */
static void option_stripped(void **state) {
  (void)state;
  struct mst_stack_stats stats;
  struct mst_tcp_info info;
  run_past(strips_option, MST_ECN_ACCURATE, &stats, &info);
  assert_int_equal(info.ecn_mode, 2);
  assert_int_equal(info.delivered_ce_bytes, 0);
  assert_true(stats.tcp_delivered_ce > 0 && stats.tcp_ecn_reductions > 0);
  assert_int_equal(stats.tcp_ecn_bleached, 0);
}

static struct sim_box *thins_acks(struct sim *sim) {
  return sim_box_thin_acks(sim, 16, 2 * SIM_MS);
}

static void acks_thinned(void **state) {
  (void)state;
  struct mst_stack_stats stats;
  struct mst_tcp_info info;
  run_past(thins_acks, MST_ECN_ACCURATE, &stats, &info);
  assert_true(stats.tcp_ecn_reductions > 0);
  run_past(thins_acks, MST_ECN_CLASSIC, &stats, &info);
  assert_true(stats.tcp_ecn_reductions > 0);
}

/* Whatever has ECT is lost. */
static bool drops_ect(void *ctx, uint64_t number, const uint8_t *packet, size_t bytes) {
  (void)ctx, (void)number, (void)bytes;
  return packet[1] & 3;
}

static void ect_black_hole(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    struct flow_options o = asking(i ? MST_ECN_ACCURATE : MST_ECN_CLASSIC, 100000);
    o.forward.filter = drops_ect;
    struct flow f;
    flow_open(&f, &o);
    assert_true(flow_run(&f, 120));
    assert_int_equal(flow_stats(&f.client).tcp_ecn_blackholes, 1);
    assert_int_equal(flow_close(&f), 0);
  }
}

/* Large packets that are not cut, with the mark on the whole. */
static void marks_of_uncut_packets(void **state) {
  (void)state;
  struct flow_options o = asking(MST_ECN_ACCURATE, 8 * MIB);
  o.forward.keep_gso = o.back.keep_gso = true;
  o.forward.mark = 50000;
  struct flow f;
  flow_open(&f, &o);
  assert_true(flow_run(&f, 60));
  sim_run_for(f.sim, SIM_S);
  assert_true(flow_info(&f.server).received_ce > f.client.node->out.marked);
  assert_int_equal(flow_info(&f.client).delivered_ce_bytes, flow_info(&f.server).received_ce_bytes);
  assert_int_equal(flow_close(&f), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(marks_instead_of_losses),
      cmocka_unit_test(losses_without),
      cmocka_unit_test(each_mark_is_counted),
      cmocka_unit_test(marks_and_losses),
      cmocka_unit_test(bleached),
      cmocka_unit_test(flags_of_the_handshake_cleared),
      cmocka_unit_test(flags_cleared),
      cmocka_unit_test(asking_is_dropped),
      cmocka_unit_test(option_stripped),
      cmocka_unit_test(acks_thinned),
      cmocka_unit_test(ect_black_hole),
      cmocka_unit_test(marks_of_uncut_packets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
