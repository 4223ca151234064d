/* Closing: RFC 9293 3.6, 3.10.4, 3.10.5, 3.10.7.4 from the FINs on; TIME-WAIT. */
#include "sim/script.h"

#include <stdlib.h>

static struct script *established(void) {
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1460", 65535);
  return s;
}

static uint64_t conns(struct script *s) {
  return script_stats(s).conns;
}

static uint64_t time_wait(struct script *s) {
  return script_stats(s).time_wait;
}

static void passive_close(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "F. 1 ack 1");
  script_out(s, ". 1 ack 2");
  assert_int_equal(script_events(s), MST_EV_READABLE);
  assert_int_equal(script_state(s), MST_CLOSE_WAIT);
  char byte;
  assert_int_equal(mst_read(s->conn, &byte, 1), 0);
  assert_int_equal(mst_read(s->conn, &byte, 1), 0);
  script_write(s, 100); /* the other half stays open */
  script_out(s, "P. 1:101 ack 2");
  script_in(s, ". 2 ack 101");
  assert_int_equal(mst_shutdown(s->conn), 0);
  script_flush(s);
  script_out(s, "F. 101 ack 2");
  assert_int_equal(script_state(s), MST_LAST_ACK);
  script_in(s, ". 2 ack 102");
  mst_close(s->conn);
  script_flush(s);
  script_silence(s, 1000);
  assert_int_equal(conns(s), 0);
  assert_int_equal(time_wait(s), 0);
  script_close(s);
}

static void active_close(void **state) {
  (void)state;
  struct script *s = established();
  assert_int_equal(mst_shutdown(s->conn), 0);
  assert_int_equal(mst_shutdown(s->conn), 0); /* once more is no error and sends nothing */
  script_flush(s);
  script_out(s, "F. 1 ack 1");
  script_silence(s, 0);
  assert_int_equal(script_state(s), MST_FIN_WAIT_1);
  script_in(s, ". 1 ack 2");
  assert_int_equal(script_state(s), MST_FIN_WAIT_2);
  assert_int_equal(script_events(s), MST_EV_DRAINED);
  script_in(s, "P. 1:101 ack 2"); /* we still receive */
  script_out(s, ". 2 ack 101");
  script_read(s, 100);
  script_in(s, "F. 101 ack 2");
  script_out(s, ". 2 ack 102");
  assert_int_equal(script_state(s), MST_TIME_WAIT);
  char byte;
  assert_int_equal(mst_read(s->conn, &byte, 1), 0);
  mst_close(s->conn);
  script_flush(s);
  assert_int_equal(time_wait(s), 1);
  script_wait(s, 59000);
  assert_int_equal(time_wait(s), 1);
  script_wait(s, 1100);
  assert_int_equal(time_wait(s), 0);
  script_silence(s, 1000);
  script_close(s);
}

/* Figure 13. */
static void simultaneous_close(void **state) {
  (void)state;
  struct script *s = established();
  mst_shutdown(s->conn);
  script_flush(s);
  script_out(s, "F. 1 ack 1");
  script_in(s, "F. 1 ack 1");
  script_out(s, ". 2 ack 2");
  assert_int_equal(script_state(s), MST_CLOSING);
  script_in(s, ". 2 ack 2");
  assert_int_equal(script_state(s), MST_TIME_WAIT);
  mst_close(s->conn);
  script_wait(s, 61100);
  assert_int_equal(time_wait(s), 0);
  script_close(s);
}

static void fin_with_ack_of_fin(void **state) {
  (void)state;
  struct script *s = established();
  mst_shutdown(s->conn);
  script_flush(s);
  script_out(s, "F. 1 ack 1");
  script_in(s, "F. 1 ack 2");
  script_out(s, ". 2 ack 2");
  assert_int_equal(script_state(s), MST_TIME_WAIT);
  script_close(s);
}

static void fin_with_data(void **state) {
  (void)state;
  struct script *s = established();
  uint8_t data[100];
  for (uint32_t i = 0; i < 100; i++) data[i] = script_byte(1 + i);
  assert_int_equal(mst_write(s->conn, data, 100), 100);
  mst_shutdown(s->conn);
  script_flush(s);
  script_out(s, "F. 1:101 ack 1");
  script_in(s, "F. 1:51 ack 102");
  script_out(s, ". 102 ack 52");
  assert_int_equal(script_state(s), MST_TIME_WAIT);
  script_read(s, 50);
  char byte;
  assert_int_equal(mst_read(s->conn, &byte, 1), 0);
  script_close(s);
}

/* A FIN that overtakes data waits for it. */
static void fin_out_of_order(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "F. 101:201 ack 1");
  script_out(s, ". 1 ack 1");
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_in(s, "P. 1:101 ack 1");
  script_out(s, ". 1 ack 202");
  assert_int_equal(script_state(s), MST_CLOSE_WAIT);
  script_read(s, 200);
  char byte;
  assert_int_equal(mst_read(s->conn, &byte, 1), 0);
  script_close(s);
}

static void data_after_fin_is_ignored(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "F. 1 ack 1");
  script_out(s, ". 1 ack 2");
  script_in(s, "P. 2:102 ack 1");
  script_drain(s);
  assert_int_equal(mst_readable_bytes(s->conn), 0);
  assert_int_equal(script_state(s), MST_CLOSE_WAIT);
  script_close(s);
}

static void fin_retransmission(void **state) {
  (void)state;
  struct script *s = established();
  mst_close(s->conn);
  script_flush(s);
  script_out(s, "F. 1 ack 1");
  script_out_after(s, 200, "F. 1 ack 1");
  script_out_after(s, 400, "F. 1 ack 1");
  script_out_after(s, 800, "F. 1 ack 1");
  uint64_t start_ns = s->sim->now_ns;
  while (conns(s)) { /* an orphan does not stay for ever */
    script_next(s, 10000);
    assert_true(s->sim->now_ns - start_ns < 1000 * SIM_S);
  }
  script_close(s);
}

static void close_delivers_what_was_written(void **state) {
  (void)state;
  struct script *s = established();
  script_write(s, 3000);
  mst_close(s->conn);
  script_flush(s);
  script_out(s, ". 1:1461 ack 1");
  script_out(s, ". 1461:2921 ack 1");
  script_next(s, 0);
  if (!(s->last.flags & SIM_FIN)) script_out(s, "F. 3001 ack 1");
  script_in(s, ". 1 ack 1461"); /* the rest is lost */
  while (!script_next(s, 1000) || s->last.seq - s->iss != 1461) continue;
  script_in(s, ". 1 ack 3002");
  script_in(s, "F. 1 ack 3002");
  script_drain(s);
  assert_int_equal(conns(s), 0);
  assert_int_equal(time_wait(s), 1);
  script_close(s);
}

/* RFC 2525 2.17: close with unread data resets. */
static void close_with_unread_data(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 1:101 ack 1");
  script_drain(s);
  mst_close(s->conn);
  script_flush(s);
  script_out(s, "R? 1");
  assert_int_equal(conns(s), 0);
  script_silence(s, 100000);
  script_close(s);
}

static void close_after_fin_read(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "F. 1:101 ack 1");
  script_drain(s);
  script_read(s, 100);
  mst_close(s->conn);
  script_flush(s);
  script_out(s, "F. 1 ack 102");
  script_in(s, ". 102 ack 2");
  assert_int_equal(conns(s), 0);
  script_close(s);
}

/* RFC 9293 3.6.1 and RFC 1122 4.2.2.13: data after CLOSE resets. */
static void data_after_close(void **state) {
  (void)state;
  struct script *s = established();
  mst_close(s->conn);
  script_flush(s);
  script_out(s, "F. 1 ack 1");
  script_in(s, "P. 1:101 ack 2");
  script_out(s, "R? 2");
  assert_int_equal(conns(s), 0);
  assert_int_equal(script_drops(s, MST_DROP_TCP_AFTER_CLOSE), 1);
  script_close(s);
}

static void fin_wait_2_orphan(void **state) {
  (void)state;
  struct script *s = established();
  mst_close(s->conn);
  script_flush(s);
  script_out(s, "F. 1 ack 1");
  script_in(s, ". 1 ack 2");
  script_wait(s, 59000);
  assert_int_equal(conns(s) + time_wait(s), 1);
  script_wait(s, 62000);
  assert_int_equal(conns(s) + time_wait(s), 0);
  script_close(s);
}

/* Held by its user, it may stay half-closed as long as it likes (RFC 9293 3.6). */
static void fin_wait_2_held(void **state) {
  (void)state;
  struct script *s = established();
  mst_shutdown(s->conn);
  script_flush(s);
  script_out(s, "F. 1 ack 1");
  script_in(s, ". 1 ack 2");
  script_wait(s, 3600 * 1000.0);
  assert_int_equal(script_state(s), MST_FIN_WAIT_2);
  script_in(s, "P. 1:11 ack 2");
  script_read(s, 10);
  script_close(s);
}

static void linger_zero(void **state) {
  (void)state;
  struct script *s = established();
  script_write(s, 100);
  script_out(s, "P. 1:101 ack 1");
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_LINGER, 0), 0);
  mst_close(s->conn);
  script_flush(s);
  script_out(s, "R? 101");
  assert_int_equal(conns(s), 0);
  script_close(s);
}

static void linger_timeout(void **state) {
  (void)state;
  struct script *s = established();
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_LINGER, 2000), 0);
  script_write(s, 100);
  mst_close(s->conn);
  script_flush(s);
  uint64_t closed_ns = s->sim->now_ns;
  bool reset = false;
  while (!reset && script_next(s, 5000)) reset = s->last.flags & SIM_RST;
  assert_true(reset);
  assert_in_range(s->last_packet->at_ns - closed_ns, 2000 * SIM_MS, 2005 * SIM_MS);
  assert_int_equal(conns(s), 0);
  script_close(s);
}

static void linger_in_time(void **state) {
  (void)state;
  struct script *s = established();
  mst_conn_set_option(s->conn, MST_TCP_LINGER, 2000);
  script_write(s, 100);
  mst_close(s->conn);
  script_flush(s);
  script_drain(s);
  script_in(s, ". 1 ack 102");
  script_in(s, "F. 1 ack 102");
  script_out(s, ". 102 ack 2");
  script_silence(s, 5000);
  assert_int_equal(time_wait(s), 1);
  script_close(s);
}

static void abort_by_state(void **state) {
  (void)state;
  struct script *s = established();
  mst_abort(s->conn);
  script_flush(s);
  script_out(s, "R? 1");
  assert_int_equal(conns(s), 0);
  script_close(s);

  s = established(); /* CLOSE-WAIT */
  script_in(s, "F. 1 ack 1");
  script_drain(s);
  mst_abort(s->conn);
  script_flush(s);
  script_out(s, "R? 1");
  assert_int_equal(conns(s), 0);
  script_close(s);

  s = established(); /* FIN-WAIT-1 */
  mst_shutdown(s->conn);
  script_flush(s);
  script_drain(s);
  mst_abort(s->conn);
  script_flush(s);
  script_out(s, "R? 2");
  assert_int_equal(conns(s), 0);
  script_close(s);

  s = established(); /* TIME-WAIT: the peer knows all, nothing is sent */
  mst_shutdown(s->conn);
  script_flush(s);
  script_in(s, "F. 1 ack 2");
  script_drain(s);
  mst_abort(s->conn);
  script_flush(s);
  script_silence(s, 0);
  assert_int_equal(conns(s), 0);
  script_close(s);

  s = script_open(NULL); /* SYN-SENT */
  script_connect(s);
  script_out(s, "S 0");
  mst_abort(s->conn);
  script_flush(s);
  script_silence(s, 10000);
  assert_int_equal(conns(s), 0);
  script_close(s);
}

/* --- TIME-WAIT --- */

static struct script *in_time_wait(const char *options) {
  struct script *s = script_open(NULL);
  script_establish(s, options, 65535);
  mst_shutdown(s->conn);
  script_flush(s);
  script_out(s, "F. 1 ack 1");
  script_in(s, "F. 1 ack 2");
  script_out(s, ". 2 ack 2");
  mst_close(s->conn);
  s->conn = NULL;
  script_flush(s);
  assert_int_equal(time_wait(s), 1);
  return s;
}

/* A retransmitted FIN is acknowledged and starts 2 MSL again. */
static void time_wait_fin(void **state) {
  (void)state;
  struct script *s = in_time_wait("mss 1460");
  script_wait(s, 50000);
  script_in(s, "F. 1 ack 2");
  script_out(s, ". 2 ack 2");
  script_wait(s, 50000);
  assert_int_equal(time_wait(s), 1);
  script_wait(s, 11000);
  assert_int_equal(time_wait(s), 0);
  script_close(s);
}

static void time_wait_old_data(void **state) {
  (void)state;
  struct script *s = in_time_wait("mss 1460");
  script_in(s, "P. 1:101 ack 2");
  script_out(s, ". 2 ack 2");
  script_silence(s, 0);
  assert_int_equal(time_wait(s), 1);
  script_close(s);
}

/* RFC 9293 3.6.1 (RFC 1122 4.2.2.13): a SYN above all that was received may open again. */
static void time_wait_reuse_by_seq(void **state) {
  (void)state;
  struct script *s = in_time_wait("mss 1460");
  uint32_t old_iss = s->iss;
  s->iss_known = false;
  s->peer_isn += 100000;
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  assert_true((int32_t)(s->iss - (old_iss + 2)) > 0); /* larger than the old one's SND.NXT */
  script_in(s, ". 1 ack 1");
  script_accept(s);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  assert_int_equal(time_wait(s), 0);
  script_close(s);
}

static void time_wait_old_syn(void **state) {
  (void)state;
  struct script *s = in_time_wait("mss 1460");
  script_in(s, "S -1000 win 65535 <mss 1460>");
  script_out(s, ". 2 ack 2");
  assert_int_equal(time_wait(s), 1);
  script_close(s);
}

/* RFC 6191 2: a larger timestamp will do even when the sequence number is older. */
static void time_wait_reuse_by_timestamp(void **state) {
  (void)state;
  struct script *s = in_time_wait("mss 1460,TS 1000 0");
  s->iss_known = false;
  s->peer_isn -= 100000;
  script_in(s, "S 0 win 65535 <mss 1460,TS 5000 0>");
  script_out(s, "S. 0 ack 1 <TS * 5000>");
  script_in(s, ". 1 ack 1 <TS 5000 0>");
  script_accept(s);
  script_close(s);
}

static void time_wait_old_timestamp(void **state) {
  (void)state;
  struct script *s = in_time_wait("mss 1460,TS 1000 0");
  script_in(s, "S 100000 win 65535 <mss 1460,TS 10 0>");
  script_out(s, ". 2 ack 2");
  assert_int_equal(time_wait(s), 1);
  script_close(s);
}

/* Nothing leaks however many pass through. */
static void time_wait_many(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  for (uint16_t port = 1; port <= 2000; port++) {
    s->peer_port = port;
    s->iss_known = false;
    script_establish(s, "mss 1460", 65535);
    mst_close(s->conn);
    script_flush(s);
    script_out(s, "F. 1 ack 1");
    script_in(s, "F. 1 ack 2");
    script_out(s, ". 2 ack 2");
  }
  assert_int_equal(conns(s), 0);
  assert_int_equal(time_wait(s), 2000);
  assert_true(s->node->memory.bytes < 2000 * 400); /* a small record each, whatever a connection takes */
  script_wait(s, 61100);
  assert_int_equal(time_wait(s), 0);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(passive_close),
      cmocka_unit_test(active_close),
      cmocka_unit_test(simultaneous_close),
      cmocka_unit_test(fin_with_ack_of_fin),
      cmocka_unit_test(fin_with_data),
      cmocka_unit_test(fin_out_of_order),
      cmocka_unit_test(data_after_fin_is_ignored),
      cmocka_unit_test(fin_retransmission),
      cmocka_unit_test(close_delivers_what_was_written),
      cmocka_unit_test(close_with_unread_data),
      cmocka_unit_test(close_after_fin_read),
      cmocka_unit_test(data_after_close),
      cmocka_unit_test(fin_wait_2_orphan),
      cmocka_unit_test(fin_wait_2_held),
      cmocka_unit_test(linger_zero),
      cmocka_unit_test(linger_timeout),
      cmocka_unit_test(linger_in_time),
      cmocka_unit_test(abort_by_state),
      cmocka_unit_test(time_wait_fin),
      cmocka_unit_test(time_wait_old_data),
      cmocka_unit_test(time_wait_reuse_by_seq),
      cmocka_unit_test(time_wait_old_syn),
      cmocka_unit_test(time_wait_reuse_by_timestamp),
      cmocka_unit_test(time_wait_old_timestamp),
      cmocka_unit_test(time_wait_many),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
