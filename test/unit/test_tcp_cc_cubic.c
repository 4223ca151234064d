/* CUBIC against its formulas (RFC 9438), hook by hook, and in a model of a bottleneck. */
#include "cc_model.h"

#define MSS 1000u
#define RTT_MS 100u

static uint64_t queue_ns; /* what round trips have more than the path's */

static struct mst__cc make(uint32_t cwnd_segments, uint32_t ssthresh_segments) {
  struct mst__cc cc = {.ops = &mst__cc_cubic, .cwnd = cwnd_segments * MSS, .mss = MSS};
  cc.ssthresh = ssthresh_segments ? ssthresh_segments * MSS : UINT32_MAX;
  cc.ops->init(&cc, SIM_S);
  return cc;
}

static void ack(struct mst__cc *cc, uint64_t now_ns, uint32_t bytes) {
  struct mst__cc_ack a = {.now_ns = now_ns,
                          .srtt_ns = RTT_MS * SIM_MS + queue_ns,
                          .min_rtt_ns = RTT_MS * SIM_MS,
                          .acked_bytes = bytes,
                          .delivered_bytes = bytes,
                          .cwnd_limited = true};
  cc->ops->on_ack(cc, &a);
}

/* One round trip: the whole window is acknowledged, segment by segment, evenly. */
static uint64_t round_trip(struct mst__cc *cc, uint64_t now_ns) {
  uint32_t segments = cc->cwnd / MSS;
  for (uint32_t i = 1; i <= segments; i++) ack(cc, now_ns + RTT_MS * SIM_MS * i / segments, MSS);
  return now_ns + RTT_MS * SIM_MS;
}

static double magnitude(double x) {
  return x < 0 ? -x : x;
}

static double cube(double x) {
  return x * x * x;
}

static double cube_root(double x) {
  double low = 0, high = x + 1;
  for (int i = 0; i < 200; i++) *(cube((low + high) / 2) < x ? &low : &high) = (low + high) / 2;
  return low;
}

static double segments(const struct mst__cc *cc) {
  return (cc->cwnd + (double)cc->state.cubic.now.carry) / MSS; /* with what is earned but no segment yet */
}

/* 4.6: beta 0.7. RFC 8511: 0.85 with ECN. 4.8: one segment after a timeout, ssthresh alike. */
static void decrease(void **state) {
  (void)state;
  struct mst__cc cc = make(100, 100);
  cc.ops->on_congestion(&cc, MST__CC_LOSS, 100 * MSS, SIM_S);
  assert_int_equal(cc.cwnd, 70 * MSS);
  assert_int_equal(cc.ssthresh, 70 * MSS);
  cc = make(100, 100);
  cc.ops->on_congestion(&cc, MST__CC_ECN, 100 * MSS, SIM_S);
  assert_int_equal(cc.cwnd, 85 * MSS);
  assert_int_equal(cc.ssthresh, 85 * MSS);
  cc = make(100, 100);
  cc.ops->on_congestion(&cc, MST__CC_TIMEOUT, 100 * MSS, SIM_S);
  assert_int_equal(cc.cwnd, MSS);
  assert_int_equal(cc.ssthresh, 70 * MSS);
}

/* Figure 5: not below two segments for a loss, one for a mark; ssthresh not below two. */
static void floors(void **state) {
  (void)state;
  struct mst__cc cc = make(2, 2);
  cc.ops->on_congestion(&cc, MST__CC_LOSS, 2 * MSS, SIM_S);
  assert_int_equal(cc.cwnd, 2 * MSS);
  for (int i = 0; i < 10; i++) cc.ops->on_congestion(&cc, MST__CC_ECN, cc.cwnd, SIM_S);
  assert_int_equal(cc.cwnd, MSS);
  assert_int_equal(cc.ssthresh, 2 * MSS);
}

/* A window that is mostly unused when congestion strikes counts by what is under way. */
static void decrease_from_flight(void **state) {
  (void)state;
  struct mst__cc cc = make(100, 100);
  cc.ops->on_congestion(&cc, MST__CC_LOSS, 20 * MSS, SIM_S);
  assert_int_equal(cc.cwnd, 14 * MSS);
  cc = make(100, 100);
  cc.ops->on_congestion(&cc, MST__CC_LOSS, 90 * MSS, SIM_S); /* a whole window but for a moment */
  assert_int_equal(cc.cwnd, 70 * MSS);
}

/* 4.2 and figures 1, 2: W(t) = C (t - K)^3 + W_max with K = cube_root((W_max - cwnd) / C): concave up to W_max, flat
 * there, convex after it. The window follows with a lag of about a round trip, since each ACK aims at W(t + RTT). */
static void follows_the_cubic(void **state) {
  (void)state;
  struct mst__cc cc = make(1000, 1000);
  uint64_t start = 10 * SIM_S, now = start;
  cc.ops->on_congestion(&cc, MST__CC_LOSS, 1000 * MSS, now);
  double k = cube_root(300 / 0.4);
  for (int round = 0; round < 150; round++) {
    double t = (double)(now - start) / 1e9;
    double w = 0.4 * cube(t - k) + 1000;
    if (round > 2) assert_true(magnitude(segments(&cc) - w) < 1 + 0.02 * w);
    now = round_trip(&cc, now);
  }
  assert_true(segments(&cc) > 1050);
}

/* Whatever the size: the cube root is right. */
static void k_is_right(void **state) {
  (void)state;
  static const uint32_t windows[] = {4, 10, 33, 100, 1000, 33333, 1000000};
  for (size_t i = 0; i < COUNT(windows); i++) {
    struct mst__cc cc = make(windows[i], windows[i]);
    cc.ops->on_congestion(&cc, MST__CC_LOSS, cc.cwnd, SIM_S);
    double w_max = windows[i], k = cube_root((w_max - segments(&cc)) / 0.4);
    ack(&cc, 2 * SIM_S, MSS);
    assert_true(magnitude(cc.state.cubic.now.k - k) < 1e-4 * k);
  }
}

/* 4.3: with a small window the Reno-friendly one rules: 0.53 segments a round until cwnd_prior, one from there on. */
static void reno_friendly(void **state) {
  (void)state;
  struct mst__cc cc = make(20, 20);
  uint64_t now = SIM_S;
  cc.ops->on_congestion(&cc, MST__CC_LOSS, cc.cwnd, now);
  cc.cwnd = cc.ssthresh = 14 * MSS;
  double alpha = 3 * 0.3 / 1.7, before = segments(&cc);
  for (int i = 0; i < 5; i++) {
    uint32_t n = cc.cwnd / MSS;
    /* 10 ms a round: the cubic moves little meanwhile */
    for (uint32_t j = 0; j < n; j++) ack(&cc, now += 10 * SIM_MS / n, MSS);
  }
  double grown = segments(&cc) - before;
  assert_true(grown > 5 * alpha * 0.85 && grown < 5 * alpha * 1.1);
  while (segments(&cc) < 20.5) ack(&cc, now += SIM_US * 100, MSS);
  before = segments(&cc);
  for (int i = 0; i < 5; i++) {
    uint32_t n = cc.cwnd / MSS;
    for (uint32_t j = 0; j < n; j++) ack(&cc, now += SIM_US * 100, MSS);
  }
  grown = segments(&cc) - before;
  assert_true(grown > 4.5 && grown < 5.5);
  queue_ns = 20 * SIM_MS; /* not while a queue shows */
  before = segments(&cc);
  for (int i = 0; i < 5; i++) {
    uint32_t n = cc.cwnd / MSS;
    for (uint32_t j = 0; j < n; j++) ack(&cc, now += SIM_US * 100, MSS);
  }
  queue_ns = 0;
  grown = segments(&cc) - before;
  assert_true(grown > 5 * alpha * 0.85 && grown < 5 * alpha * 1.1);
}

/* Growth is the same whether it is acknowledged by one segment at a time or by stretches. */
static void stretched_acks(void **state) {
  (void)state;
  struct mst__cc one = make(1000, 1000), many = make(1000, 1000);
  uint64_t now = SIM_S;
  one.ops->on_congestion(&one, MST__CC_LOSS, one.cwnd, now);
  many.ops->on_congestion(&many, MST__CC_LOSS, many.cwnd, now);
  for (int round = 0; round < 30; round++) {
    for (uint32_t i = 0; i < 70; i++) {
      now += RTT_MS * SIM_MS / 70;
      for (int j = 0; j < 10; j++) ack(&one, now, MSS);
      ack(&many, now, 10 * MSS);
    }
  }
  assert_true(magnitude(segments(&one) - segments(&many)) < 1);
}

/* 4.2: never more than half of what is acknowledged, so that a window is at most 1.5-fold in a round. */
static void growth_is_bounded(void **state) {
  (void)state;
  struct mst__cc cc = make(10, 10);
  uint64_t now = SIM_S;
  cc.ops->on_congestion(&cc, MST__CC_LOSS, cc.cwnd, now);
  ack(&cc, now, MSS);
  double before = segments(&cc);
  ack(&cc, now + 60 * SIM_S, cc.cwnd); /* a minute later the cubic is far away */
  assert_true(magnitude(segments(&cc) - before * 1.5) < 0.5);
  assert_int_equal(cc.cwnd % MSS, 0);
}

/* 4.7: the window shrank since the last reduction, so W_max is told lower than it was. */
static void fast_convergence(void **state) {
  (void)state;
  struct mst__cc cc = make(100, 100);
  cc.ops->on_congestion(&cc, MST__CC_LOSS, cc.cwnd, SIM_S);
  assert_true(magnitude(cc.state.cubic.now.w_max - 100 * MSS) < 1);
  cc.cwnd = 90 * MSS;
  cc.ops->on_congestion(&cc, MST__CC_LOSS, cc.cwnd, SIM_S);
  assert_true(magnitude(cc.state.cubic.now.w_max - 90 * MSS * 0.85) < 1);
  cc.cwnd = 80 * MSS; /* above 76.5: not shrunk */
  cc.ops->on_congestion(&cc, MST__CC_LOSS, cc.cwnd, SIM_S);
  assert_true(magnitude(cc.state.cubic.now.w_max - 80 * MSS) < 1);
}

/* 4.8: after a timeout slow start up to ssthresh, then K is 0 and W_max the window. */
static void timeout(void **state) {
  (void)state;
  struct mst__cc cc = make(100, 100);
  uint64_t now = SIM_S;
  cc.ops->on_congestion(&cc, MST__CC_TIMEOUT, cc.cwnd, now);
  while (cc.cwnd < cc.ssthresh) ack(&cc, now += SIM_MS, MSS);
  assert_int_equal(cc.cwnd, 70 * MSS); /* not past it */
  ack(&cc, now += SIM_MS, MSS);
  assert_true(cc.state.cubic.now.k == 0);
  assert_true(magnitude(cc.state.cubic.now.w_max - 70 * MSS) < MSS);
}

/* 4.9.2: everything as it was, the epoch too. */
static void undo(void **state) {
  (void)state;
  struct mst__cc cc = make(1000, 1000), same;
  uint64_t now = SIM_S;
  cc.ops->on_congestion(&cc, MST__CC_LOSS, cc.cwnd, now);
  for (int i = 0; i < 20; i++) now = round_trip(&cc, now);
  same = cc;
  cc.ops->on_congestion(&cc, MST__CC_LOSS, cc.cwnd, now);
  ack(&cc, now + 10, MSS);
  cc.cwnd = same.cwnd;
  cc.ssthresh = same.ssthresh;
  cc.ops->on_undo(&cc);
  for (int i = 0; i < 20; i++) {
    round_trip(&same, now);
    now = round_trip(&cc, now);
  }
  assert_true(magnitude(segments(&same) - segments(&cc)) < 0.1);
}

/* 4.2, 5.8: time in which the application does not use the window is none. */
static void limited_by_the_application(void **state) {
  (void)state;
  struct mst__cc cc = make(1000, 1000), same;
  uint64_t now = SIM_S;
  cc.ops->on_congestion(&cc, MST__CC_LOSS, cc.cwnd, now);
  for (int i = 0; i < 20; i++) now = round_trip(&cc, now);
  same = cc;
  uint64_t pause_ns = 0;
  for (int i = 0; i < 100; i++) { /* trickles for ten seconds */
    struct mst__cc_ack a = {.acked_bytes = MSS, .delivered_bytes = MSS, .srtt_ns = RTT_MS * SIM_MS};
    a.now_ns = now + (pause_ns += 100 * SIM_MS);
    cc.ops->on_ack(&cc, &a);
  }
  assert_int_equal(cc.cwnd, same.cwnd);
  cc.ops->on_start(&cc, now + (pause_ns += 20 * SIM_S)); /* rests */
  for (int i = 0; i < 20; i++) {
    round_trip(&same, now);
    round_trip(&cc, now + pause_ns);
    now += RTT_MS * SIM_MS;
  }
  assert_true(magnitude(segments(&same) - segments(&cc)) < 1);
}

/* RFC 3465's concern and SACK's: what was delivered counts once SND.UNA moves, what came during recovery never. */
static void what_counts_as_growth(void **state) {
  (void)state;
  struct mst__cc cc = make(10, 0);
  struct mst__cc_ack sack = {.now_ns = SIM_S, .delivered_bytes = 3 * MSS, .cwnd_limited = true};
  cc.ops->on_ack(&cc, &sack);
  assert_int_equal(cc.cwnd, 10 * MSS);
  struct mst__cc_ack both = {.now_ns = SIM_S, .acked_bytes = 4 * MSS, .delivered_bytes = MSS, .cwnd_limited = true};
  cc.ops->on_ack(&cc, &both);
  assert_int_equal(cc.cwnd, 14 * MSS);
  sack.reordering = true; /* then SACK alone is enough */
  cc.ops->on_ack(&cc, &sack);
  assert_int_equal(cc.cwnd, 17 * MSS);
  both.acked_bytes = 50 * MSS; /* a hole is filled */
  both.recovering = true;
  cc.ops->on_ack(&cc, &both);
  assert_int_equal(cc.cwnd, 17 * MSS);
}

/* Before any loss the window goes on at a twentieth a round at least. */
static void no_standstill_after_hystart(void **state) {
  (void)state;
  struct mst__cc cc = make(400, 400);
  uint64_t now = SIM_S;
  for (int i = 0; i < 15; i++) now = round_trip(&cc, now);
  assert_true(segments(&cc) > 400 * 1.9 && segments(&cc) < 400 * 2.3);
}

/* Nor in a hurry where a queue stands: the limit is near. */
static void no_hurry_in_a_queue(void **state) {
  (void)state;
  struct mst__cc cc = make(400, 400);
  uint64_t now = SIM_S;
  queue_ns = 50 * SIM_MS;
  for (int i = 0; i < 15; i++) now = round_trip(&cc, now);
  queue_ns = 0;
  assert_true(segments(&cc) > 400 && segments(&cc) < 420);
}

/* Two flows that begin at different times come to share evenly. */
static void two_flows_converge(void **state) {
  (void)state;
  struct model *m = model_new(100000000, 20 * SIM_MS, 125000);
  double bps[MODEL_FLOWS_MAX];
  m->jitter_ns = 300 * SIM_US; /* or the losses keep step with the packets */
  model_add(m, "cubic", 0);
  model_add(m, "cubic", 5 * SIM_S);
  model_run(m, 40 * SIM_S);
  model_measure(m, 60 * SIM_S, bps);
  double share = bps[0] / (bps[0] + bps[1]);
  print_message("%.1f and %.1f Mb/s, first has %.3f\n", bps[0] / 1e6, bps[1] / 1e6, share);
  assert_true(bps[0] + bps[1] > 98e6);
  assert_true(share > 0.4 && share < 0.6);
  model_free(m);
}

/* At a small bandwidth-delay product it gets along with Reno. */
static void shares_with_reno(void **state) {
  (void)state;
  struct model *m = model_new(20000000, 10 * SIM_MS, 30000);
  double bps[MODEL_FLOWS_MAX];
  m->jitter_ns = SIM_MS;
  model_add(m, "cubic", 0);
  model_add(m, "newreno", SIM_S);
  model_run(m, 20 * SIM_S);
  model_measure(m, 60 * SIM_S, bps);
  double share = bps[0] / (bps[0] + bps[1]);
  print_message("cubic %.1f and newreno %.1f Mb/s: %.3f\n", bps[0] / 1e6, bps[1] / 1e6, share);
  assert_true(share > 0.35 && share < 0.68);
  model_free(m);
}

/* Table 1: the mean window at 100 ms, for a loss of 1e-3, 1e-4: 38 (Reno's) and 187. */
static void response_function(void **state) {
  (void)state;
  static const struct {
    uint32_t loss;
    double least, most;
  } rows[] = {{1000, 30, 60}, {100, 130, 260}};
  for (size_t i = 0; i < COUNT(rows); i++) {
    struct model *m = model_new(10000000000, 100 * SIM_MS, 1 << 30);
    double bps[MODEL_FLOWS_MAX];
    m->loss = rows[i].loss;
    model_add(m, "cubic", 0);
    model_run(m, 100 * SIM_S);
    model_measure(m, 2000 * SIM_S, bps);
    double window = bps[0] * 0.1 / 8 / MSS;
    print_message("loss %u per million: mean window %.1f\n", rows[i].loss, window);
    assert_true(window > rows[i].least && window < rows[i].most);
    model_free(m);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(decrease),
      cmocka_unit_test(floors),
      cmocka_unit_test(decrease_from_flight),
      cmocka_unit_test(follows_the_cubic),
      cmocka_unit_test(k_is_right),
      cmocka_unit_test(reno_friendly),
      cmocka_unit_test(stretched_acks),
      cmocka_unit_test(growth_is_bounded),
      cmocka_unit_test(fast_convergence),
      cmocka_unit_test(timeout),
      cmocka_unit_test(undo),
      cmocka_unit_test(limited_by_the_application),
      cmocka_unit_test(what_counts_as_growth),
      cmocka_unit_test(no_standstill_after_hystart),
      cmocka_unit_test(no_hurry_in_a_queue),
      cmocka_unit_test(two_flows_converge),
      cmocka_unit_test(shares_with_reno),
      cmocka_unit_test(response_function),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
