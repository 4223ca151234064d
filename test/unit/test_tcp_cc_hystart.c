/* HyStart++ (RFC 9406): rounds told ACK by ACK, then over a bottleneck. */
#include "cc_model.h"

#define MSS 1000u

struct slow_start {
  struct mst__cc cc;
  uint64_t now_ns, delivered;
  uint64_t gap_ns, min_rtt_ns; /* between ACKs; of the path */
};

static struct slow_start begin(void) {
  struct slow_start s = {.now_ns = SIM_S, .gap_ns = SIM_US, .min_rtt_ns = 50 * SIM_MS};
  s.cc = (struct mst__cc){.ops = &mst__cc_cubic, .cwnd = 10 * MSS, .ssthresh = UINT32_MAX, .mss = MSS};
  s.cc.ops->init(&s.cc, s.now_ns);
  return s;
}

/* `count` ACKs, each of a segment that was sent when `sent_at` had been delivered; the first sample is `rtt_us`, the
 * others a little more. Returns how much the window has grown. */
static uint32_t acks_of(struct slow_start *s, uint64_t sent_at, uint32_t count, uint32_t rtt_us) {
  uint32_t before = s->cc.cwnd;
  for (uint32_t i = 0; i < count; i++) {
    s->delivered += MSS;
    struct mst__cc_ack a = {.now_ns = s->now_ns += s->gap_ns,
                            .rtt_ns = (rtt_us + i) * SIM_US,
                            .srtt_ns = rtt_us * SIM_US,
                            .min_rtt_ns = s->min_rtt_ns,
                            .acked_bytes = MSS,
                            .delivered_bytes = MSS,
                            .delivered = s->delivered,
                            .prior_delivered = sent_at,
                            .cwnd_limited = true};
    s->cc.ops->on_ack(&s->cc, &a);
  }
  return s->cc.cwnd - before;
}

static uint32_t round_of(struct slow_start *s, uint32_t count, uint32_t rtt_us) {
  return acks_of(s, s->delivered, count, rtt_us);
}

static bool over(const struct slow_start *s) {
  return s->cc.ssthresh != UINT32_MAX;
}

static void doubles_while_round_trips_stay(void **state) {
  (void)state;
  struct slow_start s = begin();
  for (uint32_t n = 10; n < 10000; n *= 2) assert_int_equal(round_of(&s, n, 50000), n * MSS);
  assert_false(over(&s));
}

/* 4.2: RttThresh is an eighth of the last round's minimum, between 4 and 16 ms. */
static void threshold(void **state) {
  (void)state;
  static const struct {
    uint32_t rtt_us, stays_us, ends_us;
  } rows[] = {{1000, 4900, 5000}, {10000, 13900, 14000}, {80000, 89900, 90000}, {400000, 415900, 416000}};
  for (size_t i = 0; i < COUNT(rows); i++) {
    struct slow_start s = begin();
    round_of(&s, 20, rows[i].rtt_us);
    assert_int_equal(round_of(&s, 20, rows[i].stays_us), 20 * MSS);
    s = begin();
    round_of(&s, 20, rows[i].rtt_us);
    assert_int_equal(round_of(&s, 20, rows[i].ends_us), 7 * MSS + 13 * MSS / 4); /* from the eighth sample on */
    assert_false(over(&s));
  }
}

/* Seven samples are not enough. */
static void few_samples(void **state) {
  (void)state;
  struct slow_start s = begin();
  round_of(&s, 20, 1000);
  assert_int_equal(round_of(&s, 7, 50000), 7 * MSS);
  assert_int_equal(round_of(&s, 7, 100000), 7 * MSS);
}

/* CSS lasts five rounds, the one that it begins in included; then ssthresh is the window. */
static void conservative_slow_start(void **state) {
  (void)state;
  struct slow_start s = begin();
  round_of(&s, 100, 10000);
  round_of(&s, 100, 20000); /* CSS begins here: the first round of it */
  for (int i = 2; i <= 5; i++) {
    assert_int_equal(round_of(&s, 100, 20000 + 100), 25 * MSS);
    assert_false(over(&s));
  }
  uint32_t before = s.cc.cwnd;
  round_of(&s, 1, 20000);
  assert_true(over(&s));
  assert_int_equal(s.cc.ssthresh, before);
}

/* The increase was none: slow start goes on at full speed, and can end again. */
static void resumes(void **state) {
  (void)state;
  struct slow_start s = begin();
  round_of(&s, 100, 10000);
  round_of(&s, 100, 20000);
  assert_int_equal(round_of(&s, 100, 10000), 7 * MSS / 4 + 93 * MSS);
  assert_int_equal(round_of(&s, 100, 10000), 100 * MSS);
  assert_true(round_of(&s, 100, 30000) < 50 * MSS);
  assert_false(over(&s));
}

/* Loss ends it all; a later slow start is the plain one (4.2's last words). */
static void only_the_first(void **state) {
  (void)state;
  struct slow_start s = begin();
  round_of(&s, 100, 10000);
  s.cc.ops->on_congestion(&s.cc, MST__CC_TIMEOUT, s.cc.cwnd, s.now_ns);
  assert_int_equal(s.cc.ssthresh, 77 * MSS);
  round_of(&s, 10, 10000);
  assert_int_equal(round_of(&s, 20, 90000), 20 * MSS);
}

/* No numbers of delivered bytes: no rounds, plain slow start. */
static void without_samples(void **state) {
  (void)state;
  struct slow_start s = begin();
  for (int i = 0; i < 100; i++) {
    struct mst__cc_ack a = {
        .rtt_ns = (1 + (uint64_t)i) * SIM_MS, .acked_bytes = MSS, .delivered_bytes = MSS, .cwnd_limited = true};
    s.cc.ops->on_ack(&s.cc, &a);
  }
  assert_int_equal(s.cc.cwnd, 110 * MSS);
}

/* ACKs that come close together for half of a round trip: the pipe is full, CSS begins, and it does not resume. */
static void train(void **state) {
  (void)state;
  struct slow_start s = begin();
  s.min_rtt_ns = 20 * SIM_MS;
  s.gap_ns = 100 * SIM_US;
  round_of(&s, 10, 20000);
  assert_int_equal(round_of(&s, 90, 20000), 90 * MSS); /* 9 ms */
  assert_int_equal(round_of(&s, 140, 20000), 101 * MSS + 39 * MSS / 4);
  for (int i = 2; i <= 5; i++) assert_int_equal(round_of(&s, 100, 19000), 25 * MSS);
  round_of(&s, 1, 20000);
  assert_true(over(&s));
}

/* Gaps of more than 2 ms break a train, and a small window makes none. */
static void no_train(void **state) {
  (void)state;
  struct slow_start s = begin();
  s.min_rtt_ns = 20 * SIM_MS;
  s.gap_ns = 2100 * SIM_US;
  round_of(&s, 20, 20000);
  assert_int_equal(round_of(&s, 50, 20000), 50 * MSS);
  s = begin();
  s.min_rtt_ns = SIM_MS;
  s.gap_ns = 200 * SIM_US;
  assert_int_equal(round_of(&s, 5, 1000), 5 * MSS);
}

/* A train may begin in the middle of a round: where recovery or reordering has broken one. */
static void train_after_a_gap(void **state) {
  (void)state;
  struct slow_start s = begin();
  s.min_rtt_ns = 20 * SIM_MS;
  s.gap_ns = 100 * SIM_US;
  round_of(&s, 10, 20000);
  uint64_t round = s.delivered;
  round_of(&s, 50, 20000);
  s.now_ns += 5 * SIM_MS;
  assert_int_equal(acks_of(&s, round, 150, 20000), 101 * MSS + 49 * MSS / 4); /* 10 ms after the gap */
}

/* And round trips longer than the path's: for CUBIC slow start is over. */
static void train_in_a_queue(void **state) {
  (void)state;
  struct slow_start s = begin();
  s.min_rtt_ns = 20 * SIM_MS;
  s.gap_ns = 100 * SIM_US;
  round_of(&s, 10, 20000);
  round_of(&s, 140, 20000);
  round_of(&s, 7, 24000);
  assert_false(over(&s));
  round_of(&s, 7, 23900);
  round_of(&s, 20, 23900);
  assert_false(over(&s));
  uint32_t before = s.cc.cwnd;
  assert_int_equal(round_of(&s, 8, 24000), 7 * MSS / 4);
  assert_true(over(&s));
  assert_int_equal(s.cc.ssthresh, before + 7 * MSS / 4);
}

static uint64_t lost_at_start(const char *name, uint64_t queue, bool plain) {
  struct model *m = model_new(100000000, 50 * SIM_MS, queue);
  struct model_flow *f = model_add(m, name, 0);
  if (plain) f->cc.ssthresh = UINT32_MAX - 1; /* known, as if: no HyStart++ */
  model_run(m, 3 * SIM_S);
  uint64_t losses = f->losses;
  assert_true(f->delivered > (uint64_t)(plain ? 60 : 85) * 3000000 / 8 || !strcmp(name, "newreno"));
  model_free(m);
  return losses;
}

/* Slow start overflows a queue by a window; so little is lost here that the first ACKs of recovery tell it all. */
static void ends_before_overflow(void **state) {
  (void)state;
  static const char *const names[] = {"cubic", "newreno"};
  static const uint64_t queues[] = {312500, 625000, 1250000, 2500000, 5000000}; /* half to eight times the pipe */
  for (size_t i = 0; i < COUNT(names); i++) {
    for (size_t j = 0; j < COUNT(queues); j++) {
      uint64_t ours = lost_at_start(names[i], queues[j], false), plain = lost_at_start(names[i], queues[j], true);
      print_message("%s, queue %llu: %llu lost, %llu without\n", names[i], (unsigned long long)queues[j],
                    (unsigned long long)ours, (unsigned long long)plain);
      assert_true(ours < plain / 4);
    }
  }
}

/* Where round trips vary by 3 ms around 1 ms, nothing ends slow start but the queue. */
static void jitter_does_not_end_it(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    struct model *m = model_new(1000000000, SIM_MS, 1 << 20);
    m->jitter_ns = 3 * SIM_MS;
    m->random.state = seed;
    struct model_flow *f = model_add(m, "cubic", 0);
    model_run(m, 12 * SIM_MS);
    assert_int_equal(f->cc.ssthresh, UINT32_MAX);
    assert_true(f->cc.cwnd > 60 * MSS);
    model_free(m);
  }
}

static uint64_t completion_ns(uint64_t rate_bps, uint64_t rtt_ns, uint64_t queue, bool plain) {
  struct model *m = model_new(rate_bps, rtt_ns, queue);
  struct model_flow *f = model_add(m, "cubic", 0);
  f->limit_bytes = 100000;
  if (plain) f->cc.ssthresh = UINT32_MAX - 1; /* known, as if: no HyStart++ */
  model_run(m, 20 * SIM_S);
  assert_true(f->done_ns != 0);
  uint64_t ns = f->done_ns - f->start_ns;
  model_free(m);
  return ns;
}

/* 100 KB are never later for it. */
static void short_flows_are_not_slowed(void **state) {
  (void)state;
  static const uint64_t rates[] = {10000000, 30000000, 100000000, 1000000000}, rtts_ms[] = {1, 5, 20, 50, 100};
  for (size_t i = 0; i < COUNT(rates); i++) {
    for (size_t j = 0; j < COUNT(rtts_ms); j++) {
      uint64_t bdp = rates[i] / 8000 * rtts_ms[j], queue = bdp > 125000 ? bdp : 125000;
      uint64_t ours = completion_ns(rates[i], rtts_ms[j] * SIM_MS, queue, false);
      uint64_t plain = completion_ns(rates[i], rtts_ms[j] * SIM_MS, queue, true);
      if (ours > plain)
        fail_msg("%llu Mb/s, %llu ms: %.2f ms, not %.2f", (unsigned long long)(rates[i] / 1000000),
                 (unsigned long long)rtts_ms[j], (double)ours / 1e6, (double)plain / 1e6);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(doubles_while_round_trips_stay),
      cmocka_unit_test(threshold),
      cmocka_unit_test(few_samples),
      cmocka_unit_test(conservative_slow_start),
      cmocka_unit_test(resumes),
      cmocka_unit_test(only_the_first),
      cmocka_unit_test(without_samples),
      cmocka_unit_test(train),
      cmocka_unit_test(train_after_a_gap),
      cmocka_unit_test(train_in_a_queue),
      cmocka_unit_test(no_train),
      cmocka_unit_test(ends_before_overflow),
      cmocka_unit_test(jitter_does_not_end_it),
      cmocka_unit_test(short_flows_are_not_slowed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
