/* Pacing: data is spread over time (csrc/tcp/pacing.c). */
#include "sim/script.h"

#include <stdio.h>
#include <stdlib.h>

#define MSS 1000u
#define RATE 1000000 /* bytes a second: a segment a millisecond */

static struct script *paced(int64_t rate, uint32_t write_bytes) {
  struct script *s = script_open(&(struct script_options){.stack = {.congestion_control = "newreno"}});
  script_establish(s, "mss 1000,wscale 8", 65535);
  script_in(s, ". 1 ack 1 win 65535");
  if (rate) assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_MAX_PACING_RATE, rate), 0);
  script_write(s, write_bytes);
  return s;
}

static uint32_t count(struct script *s, double ms) {
  uint64_t until_ns = s->sim->now_ns + (uint64_t)(ms * 1e6);
  uint32_t n = 0;
  while (s->sim->now_ns <= until_ns && script_next(s, (double)(until_ns - s->sim->now_ns) / 1e6)) n++;
  return n;
}

/* Two segments at a time, no sooner than the rate allows; a timer sends, no ACK has come. */
static void spread_by_timer(void **state) {
  (void)state;
  struct script *s = paced(RATE, 10 * MSS);
  uint32_t at_once = count(s, 0);
  assert_in_range(at_once, 2, 4);
  count(s, 0.1); /* out of step with the ticks */
  for (uint32_t sent = at_once; sent < 10; sent += 2) {
    assert_int_equal(count(s, 1.8), 0);
    assert_int_equal(count(s, 0.2), 2);
  }
  assert_int_equal(script_stats(s).tcp_timeouts, 0);
  script_close(s);
}

static void not_paced_by_default(void **state) {
  (void)state;
  struct script *s = paced(0, 10 * MSS);
  assert_int_equal(mst_conn_get_option(s->conn, MST_TCP_MAX_PACING_RATE), 0);
  assert_int_equal(count(s, 0), 10);
  script_close(s);
}

/* The limit is lifted while data waits. */
static void lifted(void **state) {
  (void)state;
  struct script *s = paced(RATE, 10 * MSS);
  uint32_t sent = count(s, 0);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_MAX_PACING_RATE, 0), 0);
  assert_int_equal(mst_conn_get_option(s->conn, MST_TCP_MAX_PACING_RATE), 0);
  script_flush(s);
  assert_int_equal(sent + count(s, 0), 10);
  script_close(s);
}

static void bad_values(void **state) {
  (void)state;
  struct script *s = paced(0, MSS);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_MAX_PACING_RATE, -1), -MST_EINVAL);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_MAX_PACING_RATE, INT64_MAX), 0);
  assert_int_equal(mst_conn_get_option(s->conn, MST_TCP_MAX_PACING_RATE), INT64_MAX);
  script_close(s);
}

/* Retransmissions keep to the rate too, and FIN goes with the last byte. */
static void retransmission_and_fin(void **state) {
  (void)state;
  struct script *s = paced(RATE, 8 * MSS);
  mst_shutdown(s->conn);
  assert_int_equal(count(s, 20), 8);
  assert_true(s->last.flags & SIM_FIN);
  assert_true(script_next(s, 1200)); /* the timeout */
  assert_int_equal(s->last.seq - s->iss, 1);
  script_in(s, ". 1 ack 1001 win 65535");
  assert_true(count(s, 0.5) <= 4);
  script_close(s);
}

/* Over a second the rate is what was asked for: quanta, ticks and late timers cost nothing. */
static void rate_is_met(void **state) {
  (void)state;
  struct script *s = paced(5 * RATE, 4000);
  uint32_t una = 1, bytes = 0, left = 8000 * MSS;
  uint64_t end_ns = s->sim->now_ns + 1000 * SIM_MS;
  while (s->sim->now_ns < end_ns) {
    size_t room = mst_writable_bytes(s->conn);
    if (room && left) {
      uint32_t n = room < left ? (uint32_t)room : left;
      script_write(s, n);
      left -= n;
    }
    if (!script_next(s, 5)) break;
    bytes += s->last.data_bytes;
    una += s->last.data_bytes;
    char line[64];
    snprintf(line, sizeof line, ". 1 ack %u win 65535", una);
    script_in(s, line);
  }
  assert_in_range(bytes, 4850000, 5150000);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(spread_by_timer), cmocka_unit_test(not_paced_by_default),
      cmocka_unit_test(lifted),          cmocka_unit_test(bad_values),
      cmocka_unit_test(rate_is_met),     cmocka_unit_test(retransmission_and_fin),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
