/* NewReno's window against RFC 5681, RFC 3465 and RFC 8511, hook by hook. */
#include "cc_model.h"

#define MSS 1000u

static struct mst__cc make(uint32_t cwnd_segments, uint32_t ssthresh_segments) {
  struct mst__cc cc = {.ops = &mst__cc_newreno, .cwnd = cwnd_segments * MSS, .mss = MSS};
  cc.ssthresh = ssthresh_segments ? ssthresh_segments * MSS : UINT32_MAX;
  cc.ops->init(&cc, SIM_S);
  return cc;
}

static void ack(struct mst__cc *cc, uint32_t bytes) {
  struct mst__cc_ack a = {.now_ns = SIM_S, .acked_bytes = bytes, .delivered_bytes = bytes, .cwnd_limited = true};
  cc->ops->on_ack(cc, &a);
}

/* RFC 9406 4.3: one ACK earns eight segments at most in the first slow start; RFC 3465 2.2: two in a later one; 2.3:
 * one after a timeout, until congestion avoidance. */
static void limit_of_an_ack(void **state) {
  (void)state;
  struct mst__cc cc = make(20, 0);
  ack(&cc, 5 * MSS);
  assert_int_equal(cc.cwnd, 25 * MSS);
  ack(&cc, 20 * MSS);
  assert_int_equal(cc.cwnd, 33 * MSS);
  cc = make(20, 100);
  ack(&cc, 20 * MSS);
  assert_int_equal(cc.cwnd, 22 * MSS);
  cc.ops->on_congestion(&cc, MST__CC_TIMEOUT, 20 * MSS, SIM_S);
  assert_int_equal(cc.cwnd, MSS);
  ack(&cc, 5 * MSS);
  assert_int_equal(cc.cwnd, 2 * MSS);
  for (int i = 0; i < 40; i++) ack(&cc, 2 * MSS);
  assert_true(cc.cwnd >= cc.ssthresh);
  cc.ssthresh = 50 * MSS;
  uint32_t before = cc.cwnd;
  ack(&cc, 5 * MSS);
  assert_int_equal(cc.cwnd, before + 2 * MSS);
}

/* Divided ACKs earn what they acknowledge. */
static void divided(void **state) {
  (void)state;
  struct mst__cc cc = make(10, 0);
  for (int i = 0; i < 100; i++) ack(&cc, 10);
  assert_int_equal(cc.cwnd, 11 * MSS);
}

/* Slow start does not pass ssthresh; then a segment for each window acknowledged. */
static void avoidance(void **state) {
  (void)state;
  struct mst__cc cc = make(10, 11);
  ack(&cc, 2 * MSS);
  assert_int_equal(cc.cwnd, 11 * MSS);
  for (int i = 0; i < 10; i++) ack(&cc, MSS);
  assert_int_equal(cc.cwnd, 11 * MSS);
  ack(&cc, MSS);
  assert_int_equal(cc.cwnd, 12 * MSS);
  ack(&cc, 12 * MSS);
  assert_int_equal(cc.cwnd, 13 * MSS);
}

/* RFC 5681 (4): half of what is under way, though never less than two segments; RFC 8511: 0.8 with ECN, and RFC 3168
 * 6.1.2: down to one segment. */
static void decrease(void **state) {
  (void)state;
  struct mst__cc cc = make(100, 100);
  cc.ops->on_congestion(&cc, MST__CC_LOSS, 60 * MSS, SIM_S);
  assert_int_equal(cc.cwnd, 30 * MSS);
  cc = make(100, 100);
  cc.ops->on_congestion(&cc, MST__CC_LOSS, 150 * MSS, SIM_S); /* with what recovery has added */
  assert_int_equal(cc.ssthresh, 50 * MSS);
  cc = make(100, 100);
  cc.ops->on_congestion(&cc, MST__CC_ECN, 100 * MSS, SIM_S);
  assert_int_equal(cc.cwnd, 80 * MSS);
  cc = make(2, 2);
  cc.ops->on_congestion(&cc, MST__CC_LOSS, 2 * MSS, SIM_S);
  assert_int_equal(cc.cwnd, 2 * MSS);
  for (int i = 0; i < 10; i++) cc.ops->on_congestion(&cc, MST__CC_ECN, cc.cwnd, SIM_S);
  assert_int_equal(cc.cwnd, MSS);
  assert_int_equal(cc.ssthresh, 2 * MSS);
}

static void no_growth(void **state) {
  (void)state;
  struct mst__cc cc = make(10, 0);
  struct mst__cc_ack a = {.acked_bytes = MSS, .delivered_bytes = MSS, .cwnd_limited = false};
  cc.ops->on_ack(&cc, &a);
  assert_int_equal(cc.cwnd, 10 * MSS);
  a.cwnd_limited = a.recovering = true;
  cc.ops->on_ack(&cc, &a);
  assert_int_equal(cc.cwnd, 10 * MSS);
}

/* The mean window is near sqrt(3 / (2 p)) segments (RFC 5681's algorithm, as RFC 9438 4.3 analyses it). */
static void response_function(void **state) {
  (void)state;
  struct model *m = model_new(10000000000, 50 * SIM_MS, 1 << 30);
  double bps[MODEL_FLOWS_MAX];
  m->loss = 1000;
  model_add(m, "newreno", 0);
  model_run(m, 20 * SIM_S);
  model_measure(m, 1000 * SIM_S, bps);
  double window = bps[0] * 0.05 / 8 / MSS;
  print_message("mean window %.1f\n", window);
  assert_true(window > 33 && window < 45); /* 38.7 */
  model_free(m);
}

static void two_flows_converge(void **state) {
  (void)state;
  struct model *m = model_new(20000000, 20 * SIM_MS, 50000);
  double bps[MODEL_FLOWS_MAX];
  m->jitter_ns = 300 * SIM_US;
  model_add(m, "newreno", 0);
  model_add(m, "reno", 5 * SIM_S);
  model_run(m, 20 * SIM_S);
  model_measure(m, 100 * SIM_S, bps);
  print_message("%.2f and %.2f Mb/s\n", bps[0] / 1e6, bps[1] / 1e6);
  assert_true(bps[0] + bps[1] > 19.5e6);
  assert_true(bps[0] > 0.8 * bps[1] && bps[0] < 1.25 * bps[1]);
  model_free(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(limit_of_an_ack),    cmocka_unit_test(divided),   cmocka_unit_test(avoidance),
      cmocka_unit_test(decrease),           cmocka_unit_test(no_growth), cmocka_unit_test(response_function),
      cmocka_unit_test(two_flows_converge),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
