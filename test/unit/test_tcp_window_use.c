/* Congestion window validation (RFC 5681 4.1, RFC 2861, RFC 7661): csrc/tcp/window_use.c. */
#include "sim/script.h"

#include <stdio.h>
#include <stdlib.h>

#define MSS 1000u

struct flow {
  struct script *s;
  uint32_t una, end;
};

static struct flow open_flow(const char *algorithm) {
  struct flow f = {script_open(&(struct script_options){.stack = {.congestion_control = algorithm}}), 1, 1};
  script_establish(f.s, "mss 1000,wscale 8", 65535);
  script_in(f.s, ". 1 ack 1 win 65535");
  return f;
}

static void take_sent(struct flow *f) {
  while (script_next(f->s, 0)) {
    uint32_t last = f->s->last.seq - f->s->iss + f->s->last.data_bytes;
    if (last > f->end) f->end = last;
  }
}

static void ack_one(struct flow *f) {
  char line[64];
  f->una = f->una + MSS < f->end ? f->una + MSS : f->end;
  snprintf(line, sizeof line, ". 1 ack %u win 65535", f->una);
  script_in(f->s, line);
  take_sent(f);
}

/* Send so much and have it acknowledged, segment by segment, `ms` later. */
static void round_trip(struct flow *f, uint32_t bytes, double ms) {
  script_write(f->s, bytes);
  take_sent(f);
  script_wait(f->s, ms);
  while (f->una < f->end) ack_one(f);
}

static uint32_t cwnd(struct flow *f) {
  return script_info(f->s).snd_cwnd_bytes;
}

/* In slow start half of the window used makes it grow, less does not. */
static void half_is_enough_in_slow_start(void **state) {
  (void)state;
  struct flow f = open_flow("newreno");
  for (int i = 0; i < 5; i++) round_trip(&f, 4 * MSS, 1);
  assert_int_equal(cwnd(&f), 10 * MSS);
  round_trip(&f, 6 * MSS, 1);
  assert_in_range(cwnd(&f), 11 * MSS, 16 * MSS);
  script_close(f.s);
}

/* Once an RTO (here 200 ms) the window goes halfway to what is used, and what was known stays in ssthresh. */
static void decays_to_what_is_used(void **state) {
  (void)state;
  struct flow f = open_flow("newreno");
  round_trip(&f, 150 * MSS, 10);
  assert_true(cwnd(&f) > 100 * MSS);
  for (int i = 0; i < 100; i++) round_trip(&f, 20 * MSS, 10);
  assert_in_range(cwnd(&f), 20 * MSS, 41 * MSS);                /* and no further: slow start doubles */
  assert_true(script_info(f.s).snd_ssthresh_bytes > 100 * MSS); /* the way back is known */
  script_close(f.s);
}

static void not_below_what_is_used(void **state) {
  (void)state;
  struct flow f = open_flow("newreno");
  round_trip(&f, 150 * MSS, 10);
  for (int i = 0; i < 1000; i++) round_trip(&f, 40 * MSS, 10);
  assert_in_range(cwnd(&f), 40 * MSS, 80 * MSS);
  script_close(f.s);
}

/* A rest halves it for each RTO. */
static void rest(void **state) {
  (void)state;
  struct flow f = open_flow("newreno");
  round_trip(&f, 150 * MSS, 10);
  uint32_t before = cwnd(&f);
  script_wait(f.s, 450);
  script_write(f.s, 1);
  script_flush(f.s);
  assert_in_range(cwnd(&f), before / 4, before / 2);
  take_sent(&f);
  ack_one(&f);
  script_wait(f.s, 10000);
  script_write(f.s, 1);
  script_flush(f.s);
  assert_int_equal(cwnd(&f), 10 * MSS);
  script_close(f.s);
}

static void a_short_pause_is_no_rest(void **state) {
  (void)state;
  struct flow f = open_flow("cubic");
  round_trip(&f, 150 * MSS, 10);
  uint32_t before = cwnd(&f);
  script_wait(f.s, 150);
  script_write(f.s, 1);
  script_flush(f.s);
  assert_int_equal(cwnd(&f), before);
  script_close(f.s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(half_is_enough_in_slow_start), cmocka_unit_test(decays_to_what_is_used),
      cmocka_unit_test(not_below_what_is_used),       cmocka_unit_test(rest),
      cmocka_unit_test(a_short_pause_is_no_rest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
