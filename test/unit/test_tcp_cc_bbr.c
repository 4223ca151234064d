/* BBR (version 3, draft-ietf-ccwg-bbr-06) over a bottleneck whose every number is known. */
#include "cc_model.h"

#define MSS 1000u

static double drive(struct model *m, uint64_t warm_ns, uint64_t measure_ns) {
  double bps[MODEL_FLOWS_MAX];
  model_run(m, warm_ns);
  model_measure(m, measure_ns, bps);
  return bps[0];
}

/* It finds rate and round trip, and keeps the queue short. */
static void finds_the_path(void **state) {
  (void)state;
  static const struct {
    uint64_t rate, rtt_ms;
  } rows[] = {{10000000, 20}, {100000000, 1}, {100000000, 20}, {100000000, 100}, {1000000000, 10}};
  for (size_t i = 0; i < COUNT(rows); i++) {
    uint64_t bdp = rows[i].rate / 8000 * rows[i].rtt_ms;
    struct model *m = model_new(rows[i].rate, rows[i].rtt_ms * SIM_MS, 4 * bdp + 100000);
    struct model_flow *f = model_add(m, "bbr", 0);
    double bps = drive(m, 3 * SIM_S, 20 * SIM_S);
    double queue = model_mean_queue(m);
    const struct mst__bbr *bbr = &f->cc.state.bbr;
    print_message("%llu Mb/s, %llu ms: %.1f Mb/s, queue %.0f of a BDP of %llu, bw %.1f Mb/s, min_rtt %.2f ms\n",
                  (unsigned long long)(rows[i].rate / 1000000), (unsigned long long)rows[i].rtt_ms, bps / 1e6, queue,
                  (unsigned long long)bdp, (double)bbr->bw * 8e-6, (double)bbr->min_rtt_ns / 1e6);
    assert_true(bps > 0.94 * (double)rows[i].rate);
    assert_true(queue < 0.25 * (double)bdp + 20000);
    assert_true((double)bbr->bw * 8 > 0.95 * (double)rows[i].rate && (double)bbr->bw * 8 < 1.05 * (double)rows[i].rate);
    assert_true(bbr->min_rtt_ns < rows[i].rtt_ms * SIM_MS * 11 / 10 + SIM_MS);
    assert_int_equal(f->losses, 0);
    model_free(m);
  }
}

/* Startup doubles each round, ends three rounds after the plateau, and Drain empties what it queued. */
static void startup_and_drain(void **state) {
  (void)state;
  struct model *m = model_new(100000000, 50 * SIM_MS, 5000000);
  struct model_flow *f = model_add(m, "bbr", 0);
  uint64_t full_at = 0, drained_at = 0;
  for (int ms = 0; ms < 2000 && !drained_at; ms++) {
    model_run(m, SIM_MS);
    if (!full_at && f->cc.state.bbr.full_bw_reached) full_at = m->now_ns;
    if (full_at && f->cc.state.bbr.state != MST__BBR_DRAIN && f->cc.state.bbr.state != MST__BBR_STARTUP)
      drained_at = m->now_ns;
  }
  assert_true(full_at && drained_at);
  double rounds = (double)(full_at - f->start_ns) / 5e7;
  print_message("full after %.1f round trips, drained %.1f ms later\n", rounds, (double)(drained_at - full_at) / 1e6);
  assert_true(rounds < 17); /* log2(2 * 625 / 10) = 7, and four more with a queue that makes them twice as long */
  assert_true(drained_at - full_at < 250 * SIM_MS);
  assert_true(model_queue(m) < 100000);
  model_free(m);
}

/* The cycle DOWN, CRUISE, REFILL, UP: at most 3 s or 63 round trips long. */
static void probes_in_a_cycle(void **state) {
  (void)state;
  struct model *m = model_new(100000000, 40 * SIM_MS, 2000000);
  struct model_flow *f = model_add(m, "bbr", 0);
  model_run(m, 2 * SIM_S);
  unsigned ups = 0, order_errors = 0, last = f->cc.state.bbr.state;
  for (int ms = 0; ms < 60000; ms++) {
    model_run(m, SIM_MS);
    unsigned now = f->cc.state.bbr.state;
    if (now == last) continue;
    if (now == MST__BBR_PROBE_BW_UP) ups++;
    if (now == MST__BBR_PROBE_BW_UP && last != MST__BBR_PROBE_BW_REFILL) order_errors++;
    if (now == MST__BBR_PROBE_BW_CRUISE && last == MST__BBR_PROBE_BW_UP) order_errors++;
    last = now;
  }
  print_message("%u probes in a minute\n", ups);
  assert_in_range(ups, 14, 32);
  assert_int_equal(order_errors, 0);
  model_free(m);
}

/* Every 5 s without a lower sample: 200 ms with half of a bandwidth-delay product. */
static void probes_the_round_trip(void **state) {
  (void)state;
  struct model *m = model_new(50000000, 40 * SIM_MS, 1000000);
  struct model_flow *f = model_add(m, "bbr", 0);
  unsigned times = 0, in_it = 0, last = 0;
  uint32_t least = UINT32_MAX;
  model_run(m, 3 * SIM_S);
  for (int ms = 0; ms < 60000; ms++) {
    model_run(m, SIM_MS);
    unsigned now = f->cc.state.bbr.state;
    if (now == MST__BBR_PROBE_RTT) {
      in_it++;
      if (f->cc.cwnd < least) least = f->cc.cwnd;
      if (last != now) times++;
    }
    last = now;
  }
  print_message("%u times, %.0f ms each, cwnd down to %u\n", times, (double)in_it / times, least);
  assert_in_range(times, 9, 13);
  assert_true(in_it / times > 200 && in_it / times < 400);
  assert_in_range(least, 110000, 140000);
  model_free(m);
}

/* Random losses below the threshold hardly matter; a plain sender has next to nothing here. */
static void random_loss(void **state) {
  (void)state;
  static const struct {
    uint32_t loss;
    double least;
  } rows[] = {{1000, 0.9}, {10000, 0.8}};
  for (size_t i = 0; i < COUNT(rows); i++) {
    struct model *m = model_new(50000000, 40 * SIM_MS, 500000);
    m->loss = rows[i].loss;
    model_add(m, "bbr", 0);
    double bps = drive(m, 5 * SIM_S, 60 * SIM_S);
    print_message("loss %u per million: %.1f Mb/s\n", rows[i].loss, bps / 1e6);
    assert_true(bps > rows[i].least * 50e6);
    model_free(m);
  }
}

/* A queue of a fifth of the pipe: inflight_longterm learns what fits, and few packets are lost once it has. */
static void shallow_queue(void **state) {
  (void)state;
  struct model *m = model_new(100000000, 40 * SIM_MS, 100000);
  struct model_flow *f = model_add(m, "bbr", 0);
  model_run(m, 5 * SIM_S);
  uint64_t lost = f->lost, delivered = f->delivered;
  model_run(m, 60 * SIM_S);
  double share = (double)(f->lost - lost) / (double)(f->delivered - delivered);
  double bps = (double)(f->delivered - delivered) * 8 / 60;
  print_message("%.1f Mb/s, %.3f %% lost, inflight_longterm %u\n", bps / 1e6, share * 100,
                f->cc.state.bbr.inflight_longterm);
  assert_true(bps > 85e6);
  assert_true(share < 0.005);
  assert_true(f->cc.state.bbr.inflight_longterm != MST__BBR_INFINITE);
  model_free(m);
}

static void flows_share(void **state) {
  (void)state;
  struct model *m = model_new(100000000, 30 * SIM_MS, 750000);
  double bps[MODEL_FLOWS_MAX];
  model_add(m, "bbr", 0);
  model_add(m, "bbr", 4 * SIM_S);
  model_run(m, 40 * SIM_S);
  model_measure(m, 60 * SIM_S, bps);
  print_message("%.1f and %.1f Mb/s\n", bps[0] / 1e6, bps[1] / 1e6);
  assert_true(bps[0] + bps[1] > 94e6);
  assert_true(bps[0] > 25e6 && bps[1] > 25e6);
  model_free(m);
}

/* Neither starves the other. */
static void beside_cubic(void **state) {
  (void)state;
  struct model *m = model_new(50000000, 30 * SIM_MS, 375000);
  double bps[MODEL_FLOWS_MAX];
  m->jitter_ns = 200 * SIM_US;
  model_add(m, "bbr", 0);
  model_add(m, "cubic", 0);
  model_run(m, 20 * SIM_S);
  model_measure(m, 60 * SIM_S, bps);
  print_message("bbr %.1f, cubic %.1f Mb/s\n", bps[0] / 1e6, bps[1] / 1e6);
  assert_true(bps[0] > 5e6 && bps[1] > 5e6);
  assert_true(bps[0] + bps[1] > 46e6);
  model_free(m);
}

/* The path becomes four times as fast, and four times slower again. */
static void the_rate_changes(void **state) {
  (void)state;
  struct model *m = model_new(20000000, 40 * SIM_MS, 500000);
  model_add(m, "bbr", 0);
  model_run(m, 5 * SIM_S);
  m->rate_bps = 80000000;
  double up = drive(m, 15 * SIM_S, 10 * SIM_S);
  m->rate_bps = 20000000;
  double down = drive(m, 15 * SIM_S, 10 * SIM_S);
  print_message("then %.1f, then %.1f Mb/s; queue %.0f\n", up / 1e6, down / 1e6, model_mean_queue(m));
  assert_true(up > 70e6);
  assert_true(down > 17e6);
  assert_true(model_mean_queue(m) < 100000);
  model_free(m);
}

/* An application that sends a tenth of what it could: the estimate of the bandwidth stays, no queue is made. */
static void limited_by_the_application(void **state) {
  (void)state;
  struct model *m = model_new(100000000, 40 * SIM_MS, 1000000);
  struct model_flow *f = model_add(m, "bbr", 0);
  model_run(m, 5 * SIM_S);
  assert_true((double)f->cc.state.bbr.bw * 8 > 95e6);
  f->rate_bps = 10000000;
  f->app_at_ns = m->now_ns;
  double bps = drive(m, SIM_S, 20 * SIM_S);
  assert_true(bps > 9.8e6 && bps < 10.2e6);
  assert_true((double)f->cc.state.bbr.bw * 8 > 90e6);
  f->rate_bps = 0;
  bps = drive(m, 200 * SIM_MS, SIM_S);
  assert_true(bps > 90e6);
  model_free(m);
}

/* After a rest it goes on at the rate that it knows, paced, without Startup. */
static void restart_from_idle(void **state) {
  (void)state;
  struct model *m = model_new(100000000, 40 * SIM_MS, 1000000);
  struct model_flow *f = model_add(m, "bbr", 0);
  model_run(m, 5 * SIM_S);
  f->limit_bytes = f->sent_bytes - f->lost;
  model_run(m, 7 * SIM_S);
  assert_int_equal(f->flight_bytes, 0);
  f->limit_bytes = 0;
  model_push(m, (struct model_event){.at_ns = m->now_ns, .flow = 0, .kind = 1});
  double bps[MODEL_FLOWS_MAX];
  model_run(m, 45 * SIM_MS);
  model_measure(m, 45 * SIM_MS, bps);
  print_message("%.1f Mb/s at once, %llu lost, queue at most %llu\n", bps[0] / 1e6, (unsigned long long)f->losses,
                (unsigned long long)m->queue_max_bytes);
  assert_true(bps[0] > 93e6);
  assert_true(m->queue_max_bytes < 40000);
  assert_true(f->cc.state.bbr.state != MST__BBR_STARTUP && f->cc.state.bbr.state != MST__BBR_PROBE_RTT);
  model_free(m);
}

/* A timeout leaves one segment; what was known comes back with the first ACK of what is sent after it. */
static void timeout(void **state) {
  (void)state;
  struct model *m = model_new(50000000, 40 * SIM_MS, 1000000);
  struct model_flow *f = model_add(m, "bbr", 0);
  model_run(m, 5 * SIM_S);
  uint32_t before = f->cc.cwnd;
  m->loss = 1000000;
  model_run(m, 100 * SIM_MS);
  m->loss = 0;
  while (f->cc.cwnd != MSS) model_run(m, SIM_MS);
  double bps = drive(m, 500 * SIM_MS, SIM_S);
  print_message("%.1f Mb/s after a timeout\n", bps / 1e6);
  assert_true(f->cc.cwnd > before / 2);
  assert_true(bps > 40e6);
  model_free(m);
}

/* Marks are taken for losses: the queue stays near the threshold. */
static void marks(void **state) {
  (void)state;
  struct model *m = model_new(50000000, 40 * SIM_MS, 1000000);
  m->mark_bytes = 50000;
  struct model_flow *f = model_add(m, "bbr", 0);
  double bps = drive(m, 5 * SIM_S, 30 * SIM_S);
  print_message("%.1f Mb/s, queue %.0f, at most %llu\n", bps / 1e6, model_mean_queue(m),
                (unsigned long long)m->queue_max_bytes);
  assert_true(bps > 40e6);
  assert_int_equal(f->losses, 0);
  assert_true(model_mean_queue(m) < 40000);
  model_free(m);
}

/* 5.5.11.2: what a loss that was none has changed comes back. */
static void undo(void **state) {
  (void)state;
  struct model *m = model_new(50000000, 40 * SIM_MS, 1000000);
  struct model_flow *f = model_add(m, "bbr", 0);
  model_run(m, 5 * SIM_S);
  while (f->cc.state.bbr.state != MST__BBR_PROBE_BW_CRUISE) model_run(m, SIM_MS);
  uint32_t cwnd = f->cc.cwnd;
  f->cc.ops->on_congestion(&f->cc, MST__CC_LOSS, f->flight_bytes, m->now_ns);
  f->cc.state.bbr.bw_shortterm = f->cc.state.bbr.bw / 2;
  f->cc.state.bbr.inflight_shortterm = cwnd / 2;
  f->cc.cwnd = cwnd / 2;
  f->cc.ops->on_undo(&f->cc);
  assert_int_equal(f->cc.cwnd, cwnd);
  assert_true(f->cc.state.bbr.bw_shortterm == MST__BBR_INFINITE_BW);
  assert_true(f->cc.state.bbr.inflight_shortterm == MST__BBR_INFINITE);
  model_free(m);
}

/* Another algorithm takes over and gives back: the window stays sane. */
static void switched(void **state) {
  (void)state;
  static const char *const names[] = {"cubic", "bbr", "newreno", "bbr", "cubic", "newreno"};
  struct model *m = model_new(50000000, 40 * SIM_MS, 250000);
  struct model_flow *f = model_add(m, "bbr", 0);
  model_run(m, 5 * SIM_S);
  for (size_t i = 0; i < COUNT(names); i++) {
    uint32_t cwnd = f->cc.cwnd;
    mst__cc_switch(&f->cc, mst__cc_find(names[i]), m->now_ns);
    assert_int_equal(f->cc.cwnd, cwnd);
    assert_int_equal(f->cc.pacing_rate != 0, !strcmp(names[i], "bbr"));
    double bps = drive(m, SIM_S, 9 * SIM_S);
    print_message("%s: %.1f Mb/s\n", names[i], bps / 1e6);
    assert_true(bps > 40e6);
  }
  model_free(m);
}

/* In loss recovery the window may be a few bytes for a moment: no limit to begin with. */
static void switched_in_recovery(void **state) {
  (void)state;
  struct mst__cc cc = {.ops = mst__cc_find("bbr"), .mss = 1000, .cwnd = 6, .ssthresh = UINT32_MAX};
  cc.ops->init(&cc, 1);
  cc.cwnd = 6;
  mst__cc_switch(&cc, mst__cc_find("newreno"), 2);
  assert_int_equal(cc.ssthresh, 2000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(finds_the_path),
      cmocka_unit_test(startup_and_drain),
      cmocka_unit_test(probes_in_a_cycle),
      cmocka_unit_test(probes_the_round_trip),
      cmocka_unit_test(random_loss),
      cmocka_unit_test(shallow_queue),
      cmocka_unit_test(flows_share),
      cmocka_unit_test(beside_cubic),
      cmocka_unit_test(the_rate_changes),
      cmocka_unit_test(limited_by_the_application),
      cmocka_unit_test(restart_from_idle),
      cmocka_unit_test(timeout),
      cmocka_unit_test(marks),
      cmocka_unit_test(undo),
      cmocka_unit_test(switched),
      cmocka_unit_test(switched_in_recovery),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
