/* The simulator's own links and middleboxes: what goes in at one raw node comes out at the other as they promise. */
#include "middlebox.h"
#include "packet.h"
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct pair {
  struct sim *sim;
  struct sim_node *a, *b;
};

static const uint8_t payload[65000];

static struct pair pair_new(void) {
  struct pair p = {.sim = sim_new(5)};
  p.a = sim_add_raw(p.sim);
  p.b = sim_add_raw(p.sim);
  p.a->out.delay_ns = p.b->out.delay_ns = SIM_MS;
  return p;
}

static struct sim_segment segment(uint32_t seq, uint32_t bytes) {
  return (struct sim_segment){.source_port = 1000,
                              .destination_port = 80,
                              .seq = seq,
                              .ack = 500,
                              .flags = SIM_ACK,
                              .window = 1000,
                              .data = payload,
                              .data_bytes = bytes};
}

static void send(struct sim_node *from, struct sim_node *to, struct sim_segment s) {
  uint8_t packet[66000];
  s.source = from->ip4;
  s.destination = to->ip4;
  size_t bytes = sim_segment_build(packet, &s);
  struct mst_packet out = {.len = (uint32_t)bytes, .iov_count = 1, .iov = {{.base = packet, .len = bytes}}};
  sim_send(from, &out);
}

/* Take the next that has arrived; false: none. Its checksums hold. */
static bool take(struct sim_node *at, struct sim_segment *out) {
  static uint8_t bytes[66000];
  sim_run_for(at->sim, 100 * SIM_MS);
  struct sim_packet *packet = sim_take(at);
  if (!packet) return false;
  size_t len = packet->len;
  memcpy(bytes, packet->bytes, len);
  free(packet);
  assert_true(sim_packet_checksums_ok(bytes, len));
  assert_true(sim_segment_parse(bytes, len, out));
  return true;
}

static unsigned count(struct sim_node *at) {
  struct sim_segment s;
  unsigned n = 0;
  while (take(at, &s)) n++;
  return n;
}

static void reordering_overtakes(void **state) {
  (void)state;
  struct pair p = pair_new();
  struct sim_segment s;
  p.a->out.reorder = 1000000;
  p.a->out.reorder_ns = 3 * SIM_MS;
  send(p.a, p.b, segment(1, 10));
  p.a->out.reorder = 0;
  send(p.a, p.b, segment(11, 10));
  assert_true(take(p.b, &s));
  assert_int_equal(s.seq, 11);
  assert_true(take(p.b, &s));
  assert_int_equal(s.seq, 1);
  assert_int_equal(sim_free(p.sim), 0);
}

static void jitter_may_keep_order(void **state) {
  (void)state;
  struct pair p = pair_new();
  struct sim_segment s;
  p.a->out.jitter_ns = 50 * SIM_MS;
  p.a->out.keep_order = true;
  for (uint32_t i = 0; i < 100; i++) {
    send(p.a, p.b, segment(i, 1));
    sim_run_for(p.sim, 100 * SIM_US);
  }
  for (uint32_t i = 0; i < 100; i++) {
    assert_true(take(p.b, &s));
    assert_int_equal(s.seq, i);
  }
  assert_int_equal(sim_free(p.sim), 0);
}

static void bad_times_lose_in_bursts(void **state) {
  (void)state;
  struct pair p = pair_new();
  p.a->out.bad_start = 20000;
  p.a->out.bad_end = 200000;
  p.a->out.bad_loss = 1000000;
  for (uint32_t i = 0; i < 10000; i++) send(p.a, p.b, segment(i, 1));
  unsigned arrived = count(p.b);
  assert_in_range(arrived, 8500, 9600); /* 1 of 11 is lost in the mean */
  assert_int_equal(sim_free(p.sim), 0);
}

/* What is ECT gets CE where the rest is dropped; the others pass while the queue is short. */
static void queues_mark_and_drop(void **state) {
  (void)state;
  struct pair p = pair_new();
  struct sim_segment s;
  p.a->out.rate_bps = 8000000;
  p.a->out.aqm_bytes = 5000;
  for (int i = 0; i < 20; i++) {
    s = segment(1, 960);
    s.tos = i % 2 ? 2 : 0;
    send(p.a, p.b, s);
  }
  unsigned marked = 0, plain = 0;
  while (take(p.b, &s)) {
    if ((s.tos & 3) == 3) marked++;
    if ((s.tos & 3) == 0) plain++;
  }
  assert_in_range(marked, 4, 8);
  assert_in_range(plain, 3, 8);
  assert_int_equal(p.a->out.marked, marked);
  assert_int_equal(p.a->out.lost, 10 - plain);
  assert_int_equal(sim_free(p.sim), 0);
}

static struct sim_segment syn(void) {
  struct sim_segment s = segment(1, 0);
  s.flags = SIM_SYN;
  static const uint8_t options[] = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7, 30, 4, 9, 9};
  memcpy(s.options, options, sizeof options);
  s.options_bytes = sizeof options;
  return s;
}

static void options_are_stripped(void **state) {
  (void)state;
  for (int pad = 0; pad < 2; pad++) {
    struct pair p = pair_new();
    struct sim_segment s;
    sim_box_add(p.a, sim_box_strip(p.sim, &(struct sim_strip_options){
                                              .kinds = SIM_STRIP_WSCALE | SIM_STRIP_TIMESTAMPS | SIM_STRIP_UNKNOWN,
                                              .syns = true,
                                              .pad = pad,
                                              .mss_clamp = 1000,
                                          }));
    send(p.a, p.b, syn());
    assert_true(take(p.b, &s));
    static const uint8_t shorter[] = {2, 4, 3, 232, 4, 2, 1, 0};
    static const uint8_t padded[] = {2, 4, 3, 232, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    assert_int_equal(s.options_bytes, pad ? sizeof padded : sizeof shorter);
    assert_memory_equal(s.options, pad ? padded : shorter, s.options_bytes);
    assert_int_equal(sim_free(p.sim), 0);
  }
}

static void ecn_is_bleached(void **state) {
  (void)state;
  struct pair p = pair_new();
  struct sim_segment s = syn();
  sim_box_add(p.a, sim_box_bleach(p.sim, &(struct sim_bleach_options){.ip = true, .syn_flags = true}));
  s.flags |= SIM_ECE | SIM_CWR;
  s.tos = 0xb8 | 3;
  send(p.a, p.b, s);
  assert_true(take(p.b, &s));
  assert_int_equal(s.flags, SIM_SYN);
  assert_int_equal(s.tos, 0xb8);
  s = segment(1, 1);
  s.flags |= SIM_ECE;
  send(p.a, p.b, s);
  assert_true(take(p.b, &s));
  assert_int_equal(s.flags, SIM_ACK | SIM_ECE);
  assert_int_equal(sim_free(p.sim), 0);
}

/* What B says about A's numbers comes back as A knows them; SACK blocks only from an honest box. */
static void sequence_numbers_are_rewritten(void **state) {
  (void)state;
  for (int honest = 0; honest < 2; honest++) {
    struct pair p = pair_new();
    struct sim_segment s, back;
    sim_box_add_both(p.a, p.b, sim_box_sequence(p.sim, 1, honest));
    send(p.a, p.b, segment(7000, 100));
    assert_true(take(p.b, &s));
    assert_int_not_equal(s.seq, 7000);
    assert_int_not_equal(s.ack, 500);
    back = segment(s.ack, 0);
    back.source_port = 80;
    back.destination_port = 1000;
    back.ack = s.seq + 100;
    static const uint8_t sack[4] = {1, 1, 5, 10};
    memcpy(back.options, sack, 4);
    sim_put32(back.options + 4, s.seq + 200);
    sim_put32(back.options + 8, s.seq + 300);
    back.options_bytes = 12;
    send(p.b, p.a, back);
    assert_true(take(p.a, &back));
    assert_int_equal(back.seq, 500);
    assert_int_equal(back.ack, 7100);
    assert_int_equal(sim_get32(back.options + 4), honest ? 7200 : s.seq + 200);
    assert_int_equal(sim_get32(back.options + 8), honest ? 7300 : s.seq + 300);
    assert_int_equal(sim_free(p.sim), 0);
  }
}

static void segments_are_split_and_merged(void **state) {
  (void)state;
  struct pair p = pair_new();
  struct sim_segment s;
  sim_box_add(p.a, sim_box_split(p.sim, 400));
  s = segment(100, 1000);
  s.flags |= SIM_FIN;
  send(p.a, p.b, s);
  static const uint32_t bytes[] = {400, 400, 200};
  for (uint32_t i = 0, seq = 100; i < 3; seq += bytes[i++]) {
    assert_true(take(p.b, &s));
    assert_int_equal(s.seq, seq);
    assert_int_equal(s.data_bytes, bytes[i]);
    assert_int_equal(s.flags, i == 2 ? SIM_ACK | SIM_FIN : SIM_ACK);
  }
  sim_box_add(p.a, sim_box_merge(p.sim, 2000, 10 * SIM_MS));
  send(p.a, p.b, segment(100, 1000));
  send(p.a, p.b, segment(1100, 1000));
  send(p.a, p.b, segment(2100, 100));
  assert_true(take(p.b, &s));
  assert_int_equal(s.data_bytes, 2000);
  assert_true(take(p.b, &s));
  assert_int_equal(s.seq, 2100);
  assert_int_equal(s.data_bytes, 100);
  assert_int_equal(sim_free(p.sim), 0);
}

static void acks_are_thinned(void **state) {
  (void)state;
  struct pair p = pair_new();
  struct sim_segment s;
  sim_box_add(p.a, sim_box_thin_acks(p.sim, 4, 10 * SIM_MS));
  for (uint32_t i = 0; i < 6; i++) {
    s = segment(1, 0);
    s.ack = 100 * i;
    send(p.a, p.b, s);
  }
  assert_true(take(p.b, &s));
  assert_int_equal(s.ack, 300);
  assert_true(take(p.b, &s));
  assert_int_equal(s.ack, 500);
  assert_int_equal(count(p.b), 0);
  assert_int_equal(sim_free(p.sim), 0);
}

static void windows_are_taken_unscaled(void **state) {
  (void)state;
  struct pair p = pair_new();
  struct sim_segment s = segment(1, 0);
  sim_box_add_both(p.a, p.b, sim_box_unscaled_window(p.sim));
  s.source_port = 80;
  s.destination_port = 1000;
  send(p.b, p.a, s); /* ack 500, window 1000 */
  send(p.a, p.b, segment(500, 1000));
  send(p.a, p.b, segment(1500, 1));
  assert_int_equal(count(p.b), 1);
  assert_int_equal(sim_free(p.sim), 0);
}

static void addresses_are_forgotten(void **state) {
  (void)state;
  struct pair p = pair_new();
  struct sim_segment s;
  sim_box_add_both(p.a, p.b, sim_box_nat(p.sim, p.a, 2 * SIM_S));
  send(p.a, p.b, segment(1, 1));
  assert_true(take(p.b, &s));
  assert_int_equal(s.source_port, 1000);
  sim_run_for(p.sim, 3 * SIM_S);
  s = segment(500, 1);
  s.source_port = 80;
  s.destination_port = 1000;
  send(p.b, p.a, s);
  assert_int_equal(count(p.a), 0);
  send(p.a, p.b, segment(2, 1));
  assert_true(take(p.b, &s));
  assert_int_equal(s.source_port, 2000);
  s = segment(500, 1);
  s.source_port = 80;
  s.destination_port = 2000;
  send(p.b, p.a, s);
  assert_true(take(p.a, &s));
  assert_int_equal(s.destination_port, 1000);
  assert_int_equal(sim_free(p.sim), 0);
}

static void forgeries_are_marked(void **state) {
  (void)state;
  struct pair p = pair_new();
  sim_box_add(p.a, sim_box_blind(p.sim, 1, 1000000, false));
  send(p.a, p.b, segment(1, 1));
  sim_run_for(p.sim, 10 * SIM_MS);
  for (int i = 0; i < 2; i++) {
    struct sim_packet *packet = sim_take(p.b);
    assert_non_null(packet);
    assert_int_equal(packet->forged, i == 1);
    assert_true(sim_packet_checksums_ok(packet->bytes, packet->len));
    free(packet);
  }
  assert_int_equal(sim_free(p.sim), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reordering_overtakes),
      cmocka_unit_test(jitter_may_keep_order),
      cmocka_unit_test(bad_times_lose_in_bursts),
      cmocka_unit_test(queues_mark_and_drop),
      cmocka_unit_test(options_are_stripped),
      cmocka_unit_test(ecn_is_bleached),
      cmocka_unit_test(sequence_numbers_are_rewritten),
      cmocka_unit_test(segments_are_split_and_merged),
      cmocka_unit_test(acks_are_thinned),
      cmocka_unit_test(windows_are_taken_unscaled),
      cmocka_unit_test(addresses_are_forgotten),
      cmocka_unit_test(forgeries_are_marked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
