/* The right edge of the peer's window (RFC 9293 3.10.7.4, fifth; 3.8.6): which segment may move it, and where to. And
 * the congestion window beside it, which is never less than a segment once recovery is over. */
#include "sim/script.h"
#include "tcp/conn.h"

#include <stdio.h>

/* 2,000 bytes are out, which fill the peer's window, and 1,000 more wait. */
static struct script *window_filled(void) {
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 2000);
  script_write(s, 3000);
  script_out(s, ". 1:1001 ack 1");
  script_out(s, ". 1001:2001 ack 1");
  script_silence(s, 1);
  return s;
}

/* A segment sent again has an old number and the newest ACK and window. */
static void new_ack_with_an_old_number(void **state) {
  (void)state;
  struct script *s = window_filled();
  script_in(s, "P. 11:21 ack 1 win 2000"); /* SND.WL1 is 11 */
  script_out(s, ". 2001 ack 1");
  script_in(s, "P. 1:11 ack 2001 win 0");
  script_out(s, ". 2001 ack 21");
  script_silence(s, 100);
  script_in(s, ". 21 ack 2001 win 2000");
  script_out(s, "P. 2001:3001 ack 21");
  script_close(s);
}

/* One that comes late speaks of a window that ends where its own ACK says. */
static void old_ack_with_a_new_number(void **state) {
  (void)state;
  struct script *s = window_filled();
  script_in(s, ". 1 ack 2001 win 0");
  script_in(s, "P. 11:21 ack 1001 win 1000");
  script_out(s, ". 2001 ack 1");
  script_silence(s, 100);
  script_close(s);
}

/* While a byte is out as a probe of a closed window, ACKs keep inside the window, or the peer could not take them. */
static void acks_beside_a_probe(void **state) {
  (void)state;
  struct script *s = window_filled();
  script_in(s, ". 1 ack 2001 win 0");
  script_out_after(s, 200, ". 2001:2002 ack 1");
  script_in(s, "P. 1:11 ack 2001 win 0");
  script_out(s, ". 2001:2001 ack 11");
  mst_abort(s->conn);
  s->conn = NULL;
  script_out(s, "R. 2001 ack 11");
  script_close(s);
}

/* Both ends have probed each other's closed window, and the other has taken the byte: neither numbers its ACKs so that
 * they are acceptable, until one takes an ACK all the same. */
static void probes_that_cross(void **state) {
  (void)state;
  struct script *s = window_filled();
  script_in(s, ". 1 ack 2001 win 0");
  script_out_after(s, 200, ". 2001:2002 ack 1");
  script_in(s, "P. 1:2 ack 2001 win 0");
  script_out(s, ". 2001:2001 ack 2");
  script_in(s, ". 1 ack 2003 win 0"); /* of what was not sent */
  script_out(s, ". 2001:2001 ack 2");
  script_in(s, ". -2 ack 2002 win 2000"); /* of long ago */
  script_out(s, ". 2001:2001 ack 2");
  script_in(s, ". 1 ack 2002 win 2000");
  script_out(s, "P. 2002:3001 ack 2");
  script_close(s);
}

/* RFC 7323 2.2: the window of a SYN,ACK is not scaled, that of a simultaneous open neither. */
static void window_of_a_simultaneous_syn_ack(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_in(s, "S 0 win 2000 <mss 1000,wscale 7>");
  script_out(s, "S. 0 ack 1");
  script_write(s, 5000);
  script_in(s, "S. 0 ack 1 win 2000 <mss 1000,wscale 7>");
  while (script_next(s, 1)) assert_true(s->last.seq + s->last.data_bytes - s->iss <= 2001);
  script_close(s);
}

/* What comes through while the peer's window is the limit says nothing of the path: a model of it would take a lazy
 * reader for a network of a few bytes a second. */
static void slow_reader_is_no_slow_path(void **state) {
  (void)state;
  struct script *s = window_filled();
  script_in(s, ". 1 ack 2001 win 0");
  assert_true(s->conn->sent.app_limited);
  script_out_after(s, 200, ". 2001:2002 ack 1");
  script_in(s, ". 1 ack 2002 win 0");
  assert_true(s->conn->sent.app_limited);
  script_close(s);
}

/* RFC 4015 3.2 opens the window by what was acknowledged, and that may be a few bytes. */
static void undone_timeout_leaves_a_segment(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1012,sackOK,TS 1000 0", 65535);
  script_write(s, 16);
  script_out(s, "P. 1:17 ack 1");
  uint32_t original = s->ts_recent;
  script_wait(s, 500);
  assert_true(script_stats(s).tcp_timeouts > 0);
  script_drain(s);
  char ack[80];
  snprintf(ack, sizeof ack, ". 1 ack 17 <TS 1500 %u>", original);
  script_in(s, ack);
  assert_true(script_stats(s).tcp_spurious_rtos > 0);
  assert_true(script_info(s).snd_cwnd_bytes >= 1000);
  script_write(s, 1000);
  script_out(s, "P. 17:1017 ack 1");
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(new_ack_with_an_old_number),
      cmocka_unit_test(old_ack_with_a_new_number),
      cmocka_unit_test(acks_beside_a_probe),
      cmocka_unit_test(probes_that_cross),
      cmocka_unit_test(window_of_a_simultaneous_syn_ack),
      cmocka_unit_test(slow_reader_is_no_slow_path),
      cmocka_unit_test(undone_timeout_leaves_a_segment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
