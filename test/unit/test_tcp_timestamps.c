/* Timestamps and PAWS (RFC 7323 3 to 5). */
#include "sim/script.h"

#include <stdio.h>
#include <stdlib.h>

/* The peer's clock reads 1000 at the start, and ticks milliseconds. */
static struct script *established(void) {
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1012,sackOK,TS 1000 0", 65535);
  assert_true(s->timestamps);
  return s;
}

static void negotiated(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 1460,TS 1000 0>");
  script_out(s, "S. 0 ack 1 <TS * 1000>");
  s->timestamps = true;
  script_in(s, ". 1 ack 1");
  script_accept(s);
  script_write(s, 10);
  script_out(s, "P. 1:11 ack 1 <TS * 1000>");
  script_close(s);

  s = script_open(NULL); /* asked for, not granted */
  script_connect(s);
  script_out(s, "S 0 <TS * 0>");
  script_in(s, "S. 0 ack 1 <mss 1460>");
  script_out(s, ". 1 ack 1 <-TS>");
  script_in(s, "P. 1:11 ack 1 <TS 5 5>"); /* and ignored when it comes (3.2) */
  script_read(s, 10);
  script_out(s, ". 1 ack 11 <-TS>");
  script_close(s);
}

/* 5.4: a clock between 1 ms and 1 s a tick, and growing. */
static void our_clock(void **state) {
  (void)state;
  struct script *s = established();
  script_write(s, 10);
  script_out(s, "P. 1:11");
  uint32_t first = s->ts_recent;
  script_wait(s, 50);
  script_in(s, ". 1 ack 11");
  script_wait(s, 900);
  script_write(s, 10);
  script_out(s, "P. 11:21");
  assert_in_range(s->ts_recent - first, 1, 1001);
  script_close(s);
}

/* Two connections do not share an offset (RFC 7323 7.1, off-path probing). */
static void our_offset(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  uint32_t values[3];
  for (uint16_t i = 0; i < 3; i++) {
    s->peer_port = (uint16_t)(i + 1);
    s->iss_known = false;
    script_in(s, "S 0 win 65535 <mss 1460,TS 1000 0>");
    script_out(s, "S. 0 ack 1");
    values[i] = s->ts_recent;
  }
  assert_true(values[0] != values[1] && values[1] != values[2]);
  script_close(s);
}

/* 4.3 (2): what is echoed is of the segment at Last.ACK.sent, so that a delayed ACK tells the longest time. */
static void echo_of_first(void **state) {
  (void)state;
  struct script *s = established();
  char line[64];
  uint32_t seq = 1;
  for (int i = 0; i < 64; i++, seq += 1000) {
    snprintf(line, sizeof line, "P. %u:%u ack 1", seq, seq + 1000);
    script_in(s, line);
    script_read(s, 1000);
  }
  script_wait(s, 500);
  script_drain(s);
  snprintf(line, sizeof line, "P. %u:%u ack 1 <TS 50000 0>", seq, seq + 1000);
  script_in(s, line);
  script_silence(s, 0);
  snprintf(line, sizeof line, "P. %u:%u ack 1 <TS 50020 0>", seq + 1000, seq + 2000);
  script_in(s, line);
  script_out(s, ". 1 <TS * 50000>");
  script_close(s);
}

static void echo_out_of_order(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 1:1001 ack 1 <TS 2000 0>");
  script_out(s, ". 1 ack 1001 <TS * 2000>");
  script_in(s, "P. 2001:3001 ack 1 <TS 2010 0>"); /* beyond a gap: the echo stays */
  script_out(s, ". 1 ack 1001 <TS * 2000>");
  script_in(s, "P. 1001:2001 ack 1 <TS 2020 0>");
  script_out(s, ". 1 ack 3001 <TS * 2020>");
  script_close(s);
}

/* 5.3 R1 */
static void paws_drops(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 1:11 ack 1 <TS 5000 0>");
  script_drain(s);
  script_in(s, "P. 11:21 ack 1 <TS 4000 0>");
  script_out(s, ". 1 ack 11 <TS * 5000>");
  assert_int_equal(mst_readable_bytes(s->conn), 10);
  assert_int_equal(script_drops(s, MST_DROP_TCP_PAWS), 1);
  script_in(s, "F. 11 ack 1 <TS 4000 0>");
  script_out(s, ". 1 ack 11");
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_in(s, "P. 11:21 ack 1 <TS 5000 0>"); /* the same again is fine */
  script_read(s, 20);
  script_close(s);
}

/* 5.2: resets are not tested, with a timestamp or without. */
static void paws_spares_resets(void **state) {
  (void)state;
  for (int with = 0; with < 2; with++) {
    struct script *s = established();
    script_in(s, "P. 1:11 ack 1 <TS 5000 0>");
    script_drain(s);
    script_in(s, with ? "R 11 <TS 1 0>" : "R 11");
    assert_int_equal(mst_conn_error(s->conn), -MST_ECONNRESET);
    script_close(s);
  }
}

/* 3.2: once agreed on, a segment without is dropped. */
static void missing(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 1:11 ack 1 <>");
  assert_int_equal(mst_readable_bytes(s->conn), 0);
  script_drain(s);
  script_in(s, "P. 1:11 ack 1");
  script_read(s, 10);
  script_close(s);
}

/* 5.5: after 24 days of silence TS.Recent is no longer believed. */
static void paws_after_24_days(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 1:11 ack 1 <TS 5000 0>");
  script_drain(s);
  double day_ms = 24 * 3600 * 1000.0;
  script_wait(s, 23 * day_ms);
  script_in(s, "P. 11:21 ack 1 <TS 4000 0>");
  assert_int_equal(mst_readable_bytes(s->conn), 10);
  script_wait(s, 2 * day_ms);
  script_drain(s);
  script_in(s, "P. 11:21 ack 1 <TS 4000 0>");
  script_read(s, 20);
  script_out(s, ". 1 ack 21 <TS * 4000>");
  script_close(s);
}

static void paws_wraps(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 1012,TS 4294967000 0>");
  script_out(s, "S. 0 ack 1 <TS * 4294967000>");
  script_in(s, ". 1 ack 1 <TS 4294967200 0>");
  script_accept(s);
  script_in(s, "P. 1:11 ack 1 <TS 100 0>");
  script_out(s, ". 1 ack 11 <TS * 100>");
  script_in(s, "P. 11:21 ack 1 <TS 4294967290 0>");
  assert_int_equal(mst_readable_bytes(s->conn), 10);
  script_close(s);
}

/* 4.1: the echo gives a sample even for what was sent twice (Karn's ambiguity is gone). */
static void rtt_of_retransmission(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_wait(s, 100);
  s->timestamps = true;
  script_in(s, "S. 0 ack 1 win 65535 <mss 1012,TS 1000 0>");
  script_out(s, ". 1 ack 1");
  script_write(s, 100);
  script_out(s, "P. 1:101");
  script_out_after(s, 300, "P. 1:101");
  script_wait(s, 50);
  script_in(s, ". 1 ack 101"); /* echoes the second */
  struct mst_tcp_info info = script_info(s);
  assert_in_range(info.rtt_us, 50000, 99000);
  assert_true(info.rto_us < 400000);
  script_close(s);
}

/* Echoes that nobody sent do not break the estimate. */
static void absurd_echo(void **state) {
  (void)state;
  struct script *s = established();
  script_write(s, 100);
  script_out(s, "P. 1:101");
  script_wait(s, 20);
  script_in(s, ". 1 ack 101 <TS 9000 0>");
  assert_true(script_info(s).rto_us <= 3000000);
  script_write(s, 100);
  script_out(s, "P. 101:201");
  script_in(s, ". 1 ack 201 <TS 9001 2147483648>");
  assert_true(script_info(s).rto_us <= 3000000);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(negotiated),
      cmocka_unit_test(our_clock),
      cmocka_unit_test(our_offset),
      cmocka_unit_test(echo_of_first),
      cmocka_unit_test(echo_out_of_order),
      cmocka_unit_test(paws_drops),
      cmocka_unit_test(paws_spares_resets),
      cmocka_unit_test(missing),
      cmocka_unit_test(paws_after_24_days),
      cmocka_unit_test(paws_wraps),
      cmocka_unit_test(rtt_of_retransmission),
      cmocka_unit_test(absurd_echo),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
