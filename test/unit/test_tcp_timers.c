/* Timers: RFC 6298, keepalive (RFC 9293 3.8.4), user timeout and R2 (3.8.3). Times are exact to the wheel's tick. */
#include "sim/script.h"

#include <stdio.h>
#include <stdlib.h>

/* The handshake takes rtt_ms, the only sample so far; no timestamps. */
static struct script *with_rtt(double rtt_ms) {
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_wait(s, rtt_ms);
  script_in(s, "S. 0 ack 1 win 65535 <mss 1000>");
  script_out(s, ". 1 ack 1");
  script_events(s);
  return s;
}

/* 2.2: SRTT = R, RTTVAR = R / 2, RTO = SRTT + 4 RTTVAR; 5.5: doubles. */
static void first_sample(void **state) {
  (void)state;
  struct script *s = with_rtt(100);
  script_write(s, 100);
  script_out(s, "P. 1:101");
  script_out_after(s, 300, "P. 1:101");
  script_out_after(s, 600, "P. 1:101");
  script_out_after(s, 1200, "P. 1:101");
  script_out_after(s, 2400, "P. 1:101");
  assert_int_equal(script_stats(s).tcp_timeouts, 4);
  assert_int_equal(script_stats(s).tcp_retrans_segs, 4);
  script_close(s);
}

/* 2.3: RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R'|, SRTT = 7/8 SRTT + 1/8 R'. */
static void second_sample(void **state) {
  (void)state;
  struct script *s = with_rtt(100);
  script_write(s, 100);
  script_out(s, "P. 1:101");
  script_wait(s, 200);
  script_in(s, ". 1 ack 101");
  assert_in_range(script_info(s).rtt_us, 112400, 112600);
  assert_in_range(script_info(s).rttvar_us, 62400, 62600);
  script_write(s, 100);
  script_out(s, "P. 101:201");
  script_out_after(s, 362.5, "P. 101:201");
  script_close(s);
}

static void minimum(void **state) {
  (void)state;
  struct script *s = with_rtt(1);
  script_write(s, 100);
  script_out(s, "P. 1:101");
  script_out_after(s, 200, "P. 1:101");
  script_close(s);
}

/* 5.7: a SYN that had to be sent again makes the first RTO 3 s. */
static void after_lost_syn(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_out_after(s, 1000, "S 0");
  script_in(s, "S. 0 ack 1 win 65535 <mss 1000>");
  script_out(s, ". 1 ack 1");
  script_write(s, 100);
  script_out(s, "P. 1:101");
  script_out_after(s, 3000, "P. 1:101");
  script_close(s);
}

/* Karn (3): the ACK of a retransmission is no sample, and the doubled RTO stays until there is one. */
static void karn(void **state) {
  (void)state;
  struct script *s = with_rtt(100);
  script_write(s, 100);
  script_out(s, "P. 1:101");
  script_out_after(s, 300, "P. 1:101");
  script_wait(s, 10);
  script_in(s, ". 1 ack 101");
  assert_in_range(script_info(s).rtt_us, 99900, 100100);
  script_write(s, 100);
  script_out(s, "P. 101:201");
  script_out_after(s, 600, "P. 101:201");
  script_close(s);
}

/* 5.2, 5.3: off when all is acknowledged, restarted by an ACK of new data. */
static void restart(void **state) {
  (void)state;
  struct script *s = with_rtt(100);
  script_write(s, 2000);
  script_out(s, ". 1:1001");
  script_out(s, ". 1001:2001");
  script_wait(s, 100);
  script_in(s, ". 1 ack 1001");
  double rto_ms = script_info(s).rto_us / 1000.0;
  script_out_after(s, rto_ms, "P. 1001:2001");
  script_in(s, ". 1 ack 2001");
  script_silence(s, 100000);
  script_close(s);
}

/* 5.4: only the first segment, and the window falls to one (RFC 5681 3.1). */
static void timeout_sends_one(void **state) {
  (void)state;
  struct script *s = with_rtt(100);
  script_write(s, 8000);
  assert_int_equal(script_drain(s), 8);
  script_out_after(s, 300, ". 1:1001");
  script_silence(s, 0);
  assert_int_equal(script_info(s).snd_cwnd_bytes, 1000);
  script_close(s);
}

/* 3.8.3: R2 is at least 100 s, and RTO never above 120 s here (2.5: at least 60). */
static void gives_up(void **state) {
  (void)state;
  struct script *s = with_rtt(100);
  script_write(s, 100);
  script_out(s, "P. 1:101");
  uint64_t start_ns = s->sim->now_ns, last_ns = start_ns, longest_ns = 0;
  while (!(s->events & MST_EV_ERROR)) {
    assert_true(s->sim->now_ns - start_ns < 7200 * SIM_S);
    if (!script_next(s, 10000)) continue;
    if (s->last_packet->at_ns - last_ns > longest_ns) longest_ns = s->last_packet->at_ns - last_ns;
    last_ns = s->last_packet->at_ns;
  }
  assert_int_equal(mst_conn_error(s->conn), -MST_ETIMEDOUT);
  assert_in_range((s->sim->now_ns - start_ns) / SIM_S, 100, 3600);
  assert_in_range(longest_ns / SIM_S, 60, 121);
  mst_close(s->conn);
  assert_int_equal(script_stats(s).conns, 0);
  script_close(s);
}

static void user_timeout(void **state) {
  (void)state;
  struct script *s = with_rtt(100);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_USER_TIMEOUT, 5000), 0);
  script_write(s, 100);
  uint64_t start_ns = s->sim->now_ns;
  while (!(s->events & MST_EV_ERROR)) {
    script_next(s, 100);
    assert_true(s->sim->now_ns - start_ns < 60 * SIM_S);
  }
  assert_int_equal(mst_conn_error(s->conn), -MST_ETIMEDOUT);
  assert_in_range((s->sim->now_ns - start_ns) / SIM_MS, 5000, 5200);
  script_close(s);
}

static void user_timeout_not_when_answered(void **state) {
  (void)state;
  struct script *s = with_rtt(100);
  mst_conn_set_option(s->conn, MST_TCP_USER_TIMEOUT, 1000);
  for (uint32_t i = 0; i < 10; i++) {
    char line[64];
    script_write(s, 100);
    script_wait(s, 250);
    script_drain(s);
    snprintf(line, sizeof line, ". 1 ack %u", 101 + i * 100);
    script_in(s, line);
  }
  script_wait(s, 10000);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_close(s);
}

/* --- keepalive --- */

static void keepalive_default_off(void **state) {
  (void)state;
  struct script *s = with_rtt(10);
  script_silence(s, 48 * 3600 * 1000.0); /* MUST-25: off unless asked for */
  assert_int_equal(mst_conn_get_option(s->conn, MST_TCP_KEEPALIVE), 0);
  assert_int_equal(mst_conn_get_option(s->conn, MST_TCP_KEEPALIVE_IDLE), 7200000);
  assert_int_equal(mst_conn_get_option(s->conn, MST_TCP_KEEPALIVE_INTERVAL), 75000);
  assert_int_equal(mst_conn_get_option(s->conn, MST_TCP_KEEPALIVE_COUNT), 9);
  script_close(s);
}

static struct script *keeping_alive(void) {
  struct script *s = with_rtt(10);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_KEEPALIVE_IDLE, 10000), 0);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_KEEPALIVE_INTERVAL, 2000), 0);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_KEEPALIVE_COUNT, 3), 0);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_KEEPALIVE, 1), 0);
  return s;
}

static void keepalive_dead_peer(void **state) {
  (void)state;
  struct script *s = keeping_alive();
  script_out_after(s, 10000, ". 0 ack 1");
  script_out_after(s, 2000, ". 0 ack 1");
  script_out_after(s, 2000, ". 0 ack 1");
  assert_int_equal(script_events(s), 0);
  script_wait(s, 2005);
  assert_int_equal(script_events(s), MST_EV_ERROR);
  assert_int_equal(mst_conn_error(s->conn), -MST_ETIMEDOUT);
  assert_int_equal(script_stats(s).tcp_keepalives, 3);
  script_close(s);
}

static void keepalive_live_peer(void **state) {
  (void)state;
  struct script *s = keeping_alive();
  for (int i = 0; i < 5; i++) {
    script_out_after(s, 10000, ". 0 ack 1");
    script_in(s, ". 1 ack 1");
    script_silence(s, 9990);
    script_in(s, ". 1 ack 1"); /* anything heard starts the time again */
  }
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_close(s);
}

/* MUST-26: only when idle. */
static void keepalive_not_with_data_under_way(void **state) {
  (void)state;
  struct script *s = keeping_alive();
  script_write(s, 100);
  uint64_t end = s->sim->now_ns + 30 * SIM_S;
  while (s->sim->now_ns < end)
    if (script_next(s, 1000)) assert_int_equal(s->last.data_bytes, 100);
  script_close(s);
}

static void keepalive_switched_on_late(void **state) {
  (void)state;
  struct script *s = with_rtt(10);
  script_wait(s, 60000);
  mst_conn_set_option(s->conn, MST_TCP_KEEPALIVE_IDLE, 10000);
  mst_conn_set_option(s->conn, MST_TCP_KEEPALIVE, 1);
  assert_true(script_next(s, 10010));
  assert_int_equal(s->last.seq - s->iss, 0);
  script_in(s, ". 1 ack 1");
  mst_conn_set_option(s->conn, MST_TCP_KEEPALIVE, 0);
  script_silence(s, 100000);
  script_close(s);
}

/* We answer those of a peer (SEG.SEQ = RCV.NXT - 1, with or without a byte). */
static void keepalive_answered(void **state) {
  (void)state;
  struct script *s = with_rtt(10);
  script_in(s, ". 0 ack 1");
  script_out(s, ". 1 ack 1");
  script_in(s, ". 0:1 ack 1");
  script_out(s, ". 1 ack 1");
  assert_int_equal(mst_readable_bytes(s->conn), 0);
  script_close(s);
}

/* An idle connection wants no timer at all. */
static void idle_is_silent(void **state) {
  (void)state;
  struct script *s = with_rtt(10);
  script_write(s, 10);
  script_drain(s);
  script_in(s, ". 1 ack 11");
  script_wait(s, 10000);
  assert_true(mst_stack_next_deadline(s->stack) == UINT64_MAX);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(first_sample),
      cmocka_unit_test(second_sample),
      cmocka_unit_test(minimum),
      cmocka_unit_test(after_lost_syn),
      cmocka_unit_test(karn),
      cmocka_unit_test(restart),
      cmocka_unit_test(timeout_sends_one),
      cmocka_unit_test(gives_up),
      cmocka_unit_test(user_timeout),
      cmocka_unit_test(user_timeout_not_when_answered),
      cmocka_unit_test(keepalive_default_off),
      cmocka_unit_test(keepalive_dead_peer),
      cmocka_unit_test(keepalive_live_peer),
      cmocka_unit_test(keepalive_not_with_data_under_way),
      cmocka_unit_test(keepalive_switched_on_late),
      cmocka_unit_test(keepalive_answered),
      cmocka_unit_test(idle_is_silent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
