#include "base/wheel.h"
#include "unit.h"

#define TICK_NS (1ull << MST__WHEEL_TICK_BITS)

static unsigned advance(struct mst__wheel *wheel, uint64_t now_ns) {
  struct mst__list due;
  mst__list_init(&due);
  mst__wheel_advance(wheel, now_ns, &due);
  unsigned count = 0;
  while (mst__list_pop_front(&due)) count++;
  return count;
}

static void fires_within_a_tick_and_never_early(void **state) {
  (void)state;
  static const uint64_t delays[] = {1,
                                    TICK_NS - 1,
                                    TICK_NS,
                                    TICK_NS + 1,
                                    63 * TICK_NS,
                                    64 * TICK_NS,
                                    65 * TICK_NS,
                                    4095 * TICK_NS,
                                    4096 * TICK_NS,
                                    123456789012345,
                                    1ull << 61};
  static const uint64_t starts[] = {0, 5, TICK_NS * 63, TICK_NS * 4095 + 17, 987654321987};
  for (size_t s = 0; s < COUNT(starts); s++) {
    for (size_t i = 0; i < COUNT(delays); i++) {
      struct mst__wheel wheel;
      struct mst__timer timer = {0};
      mst__wheel_init(&wheel, starts[s]);
      uint64_t at = starts[s] + delays[i];
      mst__wheel_arm(&wheel, &timer, at);
      assert_true(mst__timer_armed(&timer));
      assert_int_equal(advance(&wheel, at - 1), 0);
      assert_true(mst__wheel_next_ns(&wheel) < at + TICK_NS);
      assert_int_equal(advance(&wheel, at + TICK_NS - 1), 1);
      assert_false(mst__timer_armed(&timer));
      assert_true(mst__wheel_next_ns(&wheel) == MST__WHEEL_NEVER);
    }
  }
}

static void a_time_in_the_past_fires_at_the_next_advance(void **state) {
  (void)state;
  struct mst__wheel wheel;
  struct mst__timer timer = {0};
  mst__wheel_init(&wheel, 1000 * TICK_NS);
  mst__wheel_arm(&wheel, &timer, 0);
  assert_true(mst__wheel_next_ns(&wheel) <= 1000 * TICK_NS);
  assert_int_equal(advance(&wheel, 1000 * TICK_NS), 1);
  mst__wheel_arm(&wheel, &timer, 1000 * TICK_NS);
  assert_int_equal(advance(&wheel, 1000 * TICK_NS), 1);
}

static void the_clock_may_stand_still_or_go_back(void **state) {
  (void)state;
  struct mst__wheel wheel;
  struct mst__timer timer = {0};
  mst__wheel_init(&wheel, 1000 * TICK_NS);
  mst__wheel_arm(&wheel, &timer, 1001 * TICK_NS);
  assert_int_equal(advance(&wheel, 1000 * TICK_NS), 0);
  assert_int_equal(advance(&wheel, 3 * TICK_NS), 0);
  assert_int_equal(advance(&wheel, 1001 * TICK_NS), 1);
}

static void a_long_rest_costs_no_precision(void **state) {
  (void)state;
  struct mst__wheel wheel;
  struct mst__timer timer = {0};
  mst__wheel_init(&wheel, 0);
  assert_int_equal(advance(&wheel, 123456789 * TICK_NS), 0);
  mst__wheel_arm(&wheel, &timer, 123456790 * TICK_NS);
  assert_true(mst__wheel_next_ns(&wheel) == 123456790 * TICK_NS);
}

static void disarm_leaves_nothing_to_wake_for(void **state) {
  (void)state;
  struct mst__wheel wheel;
  struct mst__timer timers[3] = {{{0}, 0}};
  mst__wheel_init(&wheel, 0);
  for (int i = 0; i < 3; i++) mst__wheel_arm(&wheel, &timers[i], 500 * TICK_NS);
  for (int i = 0; i < 3; i++) {
    assert_true(mst__wheel_next_ns(&wheel) <= 500 * TICK_NS);
    mst__wheel_disarm(&wheel, &timers[i]);
    mst__wheel_disarm(&wheel, &timers[i]); /* again: nothing happens */
  }
  assert_true(mst__wheel_next_ns(&wheel) == MST__WHEEL_NEVER);
  assert_int_equal(advance(&wheel, 1000 * TICK_NS), 0);
}

static void arming_an_armed_timer_moves_it(void **state) {
  (void)state;
  struct mst__wheel wheel;
  struct mst__timer timer = {0};
  mst__wheel_init(&wheel, 0);
  mst__wheel_arm(&wheel, &timer, 10 * TICK_NS);
  mst__wheel_arm(&wheel, &timer, 20 * TICK_NS);
  assert_int_equal(advance(&wheel, 19 * TICK_NS), 0);
  mst__wheel_arm(&wheel, &timer, 20 * TICK_NS);
  assert_int_equal(advance(&wheel, 20 * TICK_NS), 1);
}

static void a_due_timer_can_be_disarmed_or_armed_anew(void **state) {
  (void)state;
  struct mst__wheel wheel;
  struct mst__timer timers[3] = {{{0}, 0}};
  struct mst__list due;
  mst__wheel_init(&wheel, 0);
  mst__list_init(&due);
  for (int i = 0; i < 3; i++) mst__wheel_arm(&wheel, &timers[i], TICK_NS);
  mst__wheel_advance(&wheel, 5 * TICK_NS, &due);
  assert_ptr_equal(mst__list_pop_front(&due), &timers[0].node);
  mst__wheel_disarm(&wheel, &timers[1]);
  mst__wheel_arm(&wheel, &timers[2], 7 * TICK_NS);
  assert_true(mst__list_empty(&due));
  assert_true(mst__wheel_next_ns(&wheel) == 7 * TICK_NS);
  assert_int_equal(advance(&wheel, 7 * TICK_NS), 1);
}

static void never_is_a_long_time(void **state) {
  (void)state;
  struct mst__wheel wheel;
  struct mst__timer timer = {0};
  mst__wheel_init(&wheel, 12345);
  mst__wheel_arm(&wheel, &timer, UINT64_MAX);
  uint64_t now = 12345;
  for (int i = 0; i < 100; i++) {
    uint64_t next = mst__wheel_next_ns(&wheel);
    if (next > now) now = next;
    assert_int_equal(advance(&wheel, now), 0);
  }
  assert_true(mst__timer_armed(&timer));
}

/* A wheel beside a plain array of times: each advance fires just those that are due by tick, in any order. */
#define TIMERS 200

static uint64_t random_delay(struct sim_random *random) {
  return sim_random_next(random) >> (4 + sim_random_below(random, 60));
}

static void check_advance(struct mst__wheel *wheel, struct mst__timer *timers, uint64_t now) {
  struct mst__list due, *node;
  mst__list_init(&due);
  mst__wheel_advance(wheel, now, &due);
  while ((node = mst__list_pop_front(&due))) assert_true(MST__CONTAINER(node, struct mst__timer, node)->at_ns <= now);
  for (int i = 0; i < TIMERS; i++)
    if (mst__timer_armed(&timers[i])) assert_true(timers[i].at_ns > now / TICK_NS * TICK_NS);
}

static void agrees_with_a_plain_list(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    struct sim_random random = {seed};
    struct mst__wheel wheel;
    static struct mst__timer timers[TIMERS];
    memset(timers, 0, sizeof timers);
    uint64_t now = random_delay(&random) / 2;
    mst__wheel_init(&wheel, now);
    for (int step = 0; step < 5000; step++) {
      struct mst__timer *timer = &timers[sim_random_below(&random, TIMERS)];
      uint64_t choice = sim_random_below(&random, 8), next = mst__wheel_next_ns(&wheel);
      uint64_t earliest = UINT64_MAX;
      for (int i = 0; i < TIMERS; i++)
        if (mst__timer_armed(&timers[i]) && timers[i].at_ns < earliest) earliest = timers[i].at_ns;
      if (earliest == UINT64_MAX)
        assert_true(next == MST__WHEEL_NEVER);
      else
        assert_true(next < earliest + TICK_NS || next <= now);
      if (choice < 4)
        mst__wheel_arm(&wheel, timer, now + random_delay(&random));
      else if (choice == 4)
        mst__wheel_disarm(&wheel, timer);
      else if (choice == 5 && next != MST__WHEEL_NEVER && next > now)
        check_advance(&wheel, timers, now = next);
      else if (now < 1ull << 60)
        check_advance(&wheel, timers, now += random_delay(&random) >> 8);
    }
  }
}

/* Driven by its own deadline alone, a wheel wakes at most once a level for a timer. */
static void few_wakeups_for_a_far_timer(void **state) {
  (void)state;
  struct mst__wheel wheel;
  struct mst__timer timer = {0};
  mst__wheel_init(&wheel, 999);
  mst__wheel_arm(&wheel, &timer, 7200ull * 1000000000);
  unsigned wakeups = 0;
  for (uint64_t next; (next = mst__wheel_next_ns(&wheel)) != MST__WHEEL_NEVER; wakeups++) advance(&wheel, next);
  assert_in_range(wakeups, 1, MST__WHEEL_LEVELS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fires_within_a_tick_and_never_early),
      cmocka_unit_test(a_time_in_the_past_fires_at_the_next_advance),
      cmocka_unit_test(the_clock_may_stand_still_or_go_back),
      cmocka_unit_test(a_long_rest_costs_no_precision),
      cmocka_unit_test(disarm_leaves_nothing_to_wake_for),
      cmocka_unit_test(arming_an_armed_timer_moves_it),
      cmocka_unit_test(a_due_timer_can_be_disarmed_or_armed_anew),
      cmocka_unit_test(never_is_a_long_time),
      cmocka_unit_test(agrees_with_a_plain_list),
      cmocka_unit_test(few_wakeups_for_a_far_timer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
