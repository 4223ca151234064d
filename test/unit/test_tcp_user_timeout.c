/* The user timeout (RFC 9293 3.8.3) and the option that tells of it (RFC 5482); with the persist timer (RFC 6429) and
 * keepalive. */
#include "sim/script.h"

#include <stdio.h>

static struct script *established(void) {
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  return s;
}

static int set(struct script *s, enum mst_tcp_option option, int64_t value) {
  int rc = mst_conn_set_option(s->conn, option, value);
  script_flush(s);
  return rc;
}

static int64_t get(struct script *s, enum mst_tcp_option option) {
  return mst_conn_get_option(s->conn, option);
}

static void off_by_default(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0 <-uto>");
  script_in(s, "S. 0 ack 1 <mss 1000,uto 300s>");
  script_out(s, ". 1 ack 1 <-uto>");
  assert_int_equal(get(s, MST_TCP_USER_TIMEOUT), 0);
  assert_int_equal(get(s, MST_TCP_USER_TIMEOUT_PEER), 300000);
  script_close(s);
}

/* RFC 5482 3: in the SYN, and in the first segment without it. */
static void in_syn_and_first_ack(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  struct mst_endpoint remote = {.addr = s->peer->ip4, .port = s->peer_port}, local;
  assert_int_equal(mst_connect(s->stack, NULL, &remote, NULL, NULL, &s->conn), 0);
  mst_conn_local(s->conn, &local);
  s->local_port = local.port;
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT_ADVERTISED, 150000), 0);
  script_out(s, "S 0 <uto 150s>");
  script_out_after(s, 1000, "S 0 <uto 150s>");
  char data[100] = {0};
  mst_write(s->conn, data, sizeof data); /* even when data goes first */
  script_in(s, "S. 0 ack 1 <mss 1000>");
  assert_true(script_next(s, 0));
  assert_int_equal(s->last.data_bytes, sizeof data);
  script_out(s, ". 101 ack 1 <uto 150s>");
  script_in(s, "P. 1:101 ack 101");
  script_out(s, ". 101 ack 101 <-uto>");
  script_close(s);
}

/* RFC 5482 3: in the next segment once it is changed. */
static void when_it_changes(void **state) {
  (void)state;
  struct script *s = established();
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT_ADVERTISED, 120000), 0);
  script_out(s, ". 1 ack 1 <uto 120s>");
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT_ADVERTISED, 40000000), 0);
  script_out(s, ". 1 ack 1 <uto 667m>"); /* more seconds than fit; rounded up */
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT_ADVERTISED, 120001), 0);
  script_out(s, ". 1 ack 1 <uto 121s>");
  script_silence(s, 1000);
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT_ADVERTISED, 999), -MST_EINVAL);
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT_ADVERTISED, 1966020001), -MST_EINVAL);
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT_PEER, 5000), -MST_EINVAL);
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT_ADVERTISED, 0), 0);
  script_silence(s, 1000);
  script_close(s);
}

/* RFC 5482 3.1: min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT)). */
static void adopted(void **state) {
  (void)state;
  static const struct {
    int64_t advertised;
    const char *peer;
    int64_t used;
  } cases[] = {
      {150000, "uto 200s", 200000},  {300000, "uto 200s", 300000}, {5000, "uto 7s", 100000},
      {5000, "uto 30000s", 3600000}, {5000, "uto 20m", 1200000},   {5000, "uto 0s", 0},
      {5000, "uto 0m", 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct script *s = established();
    char line[64];
    snprintf(line, sizeof line, "P. 1:2 ack 1 <%s>", cases[i].peer);
    assert_int_equal(set(s, MST_TCP_USER_TIMEOUT_ADVERTISED, cases[i].advertised), 0);
    script_in(s, line);
    assert_int_equal(get(s, MST_TCP_USER_TIMEOUT), cases[i].used);
    script_read(s, 1);
    script_close(s);
  }
}

static void ends_the_connection(void **state) {
  (void)state;
  struct script *s = established();
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT_ADVERTISED, 110000), 0);
  script_in(s, "P. 1:2 ack 1 <uto 120s>");
  script_read(s, 1);
  script_write(s, 100);
  script_drain(s);
  script_wait(s, 119000);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_wait(s, 2000);
  assert_int_equal(mst_conn_error(s->conn), -MST_ETIMEDOUT);
  script_close(s);
}

/* RFC 5482 3.1: what the program asks for is not overridden, and it can learn what the peer said. */
static void not_changed_when_set(void **state) {
  (void)state;
  struct script *s = established();
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT, 5000), 0);
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT_ADVERTISED, 110000), 0);
  script_in(s, "P. 1:2 ack 1 <uto 300s>");
  assert_int_equal(get(s, MST_TCP_USER_TIMEOUT), 5000);
  assert_int_equal(get(s, MST_TCP_USER_TIMEOUT_PEER), 300000);
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT, 0), 0);
  assert_int_equal(get(s, MST_TCP_USER_TIMEOUT), 300000);
  script_read(s, 1);
  script_close(s);
}

/* Longer than 255 retransmissions take. */
static void half_a_day(void **state) {
  (void)state;
  struct script *s = established();
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT, 12 * 3600 * 1000), 0);
  script_write(s, 100);
  script_wait(s, 11.9 * 3600e3);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  assert_true(script_drain(s) > 300);
  script_wait(s, 0.2 * 3600e3);
  assert_int_equal(mst_conn_error(s->conn), -MST_ETIMEDOUT);
  script_close(s);
}

/* --- a window that stays closed --- */

/* Answers each probe for so many seconds. */
static void answer_probes(struct script *s, double seconds) {
  uint64_t end_ns = s->sim->now_ns + (uint64_t)(seconds * 1e9);
  while (s->sim->now_ns < end_ns && script_state(s) != MST_CLOSED)
    if (script_next(s, (double)(end_ns - s->sim->now_ns) / 1e6) && !(s->last.flags & SIM_RST))
      script_in(s, ". 2 ack 1001 win 0");
}

static struct script *window_closed(void) {
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 1000);
  set(s, MST_TCP_USER_TIMEOUT_ADVERTISED, 110000);
  script_in(s, "P. 1:2 ack 1 win 1000 <uto 120s>");
  script_read(s, 1);
  script_drain(s);
  script_write(s, 2000);
  script_out(s, ". 1:1001");
  script_in(s, ". 2 ack 1001 win 0");
  return s;
}

/* RFC 9293 3.8.6.1, MUST-37: as long as the peer answers; a time that it had a part in does not change that. */
static void probes_are_answered(void **state) {
  (void)state;
  struct script *s = window_closed();
  assert_int_equal(get(s, MST_TCP_USER_TIMEOUT), 120000);
  answer_probes(s, 3600);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_in(s, ". 2 ack 1001 win 1000");
  assert_true(script_drain(s) > 0);
  script_close(s);
}

static void probes_are_not_answered(void **state) {
  (void)state;
  struct script *s = window_closed();
  answer_probes(s, 1000);
  script_wait(s, 300000); /* the next probe within 120 s, and 120 s more */
  assert_int_equal(mst_conn_error(s->conn), -MST_ETIMEDOUT);
  script_close(s);
}

/* RFC 6429 4: the program may set an end to it. */
static void program_sets_an_end(void **state) {
  (void)state;
  struct script *s = window_closed();
  assert_int_equal(set(s, MST_TCP_USER_TIMEOUT, 60000), 0);
  answer_probes(s, 55);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  answer_probes(s, 10);
  assert_int_equal(mst_conn_error(s->conn), -MST_ETIMEDOUT);
  script_close(s);
}

/* --- keepalive --- */

/* As Linux has it: with a user timeout the time decides, not the count of probes. */
static void keepalive_by_time(void **state) {
  (void)state;
  struct script *s = established();
  set(s, MST_TCP_KEEPALIVE_IDLE, 10000);
  set(s, MST_TCP_KEEPALIVE_INTERVAL, 1000);
  set(s, MST_TCP_KEEPALIVE_COUNT, 3);
  set(s, MST_TCP_USER_TIMEOUT, 30000);
  set(s, MST_TCP_KEEPALIVE, 1);
  script_wait(s, 28000);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  assert_true(script_drain(s) >= 17);
  script_wait(s, 3000);
  assert_int_equal(mst_conn_error(s->conn), -MST_ETIMEDOUT);
  script_close(s);
}

/* RFC 9293 3.8.4, MUST-29: one probe that is lost means nothing. */
static void keepalive_after_a_lost_probe(void **state) {
  (void)state;
  struct script *s = established();
  set(s, MST_TCP_KEEPALIVE_IDLE, 10000);
  set(s, MST_TCP_KEEPALIVE_INTERVAL, 1000);
  set(s, MST_TCP_KEEPALIVE_COUNT, 3);
  set(s, MST_TCP_KEEPALIVE, 1);
  for (int i = 0; i < 10; i++) {
    script_out_after(s, 10000, ". 0 ack 1");
    script_out_after(s, 1000, ". 0 ack 1");
    script_in(s, ". 1 ack 1");
  }
  script_wait(s, 14000);
  assert_int_equal(mst_conn_error(s->conn), -MST_ETIMEDOUT);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(off_by_default),
      cmocka_unit_test(in_syn_and_first_ack),
      cmocka_unit_test(when_it_changes),
      cmocka_unit_test(adopted),
      cmocka_unit_test(ends_the_connection),
      cmocka_unit_test(not_changed_when_set),
      cmocka_unit_test(half_a_day),
      cmocka_unit_test(probes_are_answered),
      cmocka_unit_test(probes_are_not_answered),
      cmocka_unit_test(program_sets_an_end),
      cmocka_unit_test(keepalive_by_time),
      cmocka_unit_test(keepalive_after_a_lost_probe),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
