/* The known implementation problems of RFC 2525, one test each, named as there. */
#include "sim/script.h"

#include <stdio.h>
#include <stdlib.h>

#define MSS 1000u

/* A sender that always has more to send, in segments of 1,000 bytes. */
static struct script *sending(void) {
  struct script *s =
      script_open(&(struct script_options){.stack = {.congestion_control = "newreno", .send_buffer_bytes = 4 << 20}});
  script_establish(s, "mss 1000,wscale 8", 65535);
  script_in(s, ". 1 ack 1 win 65535");
  script_write(s, (uint32_t)mst_writable_bytes(s->conn));
  return s;
}

static void ack(struct script *s, uint32_t to) {
  char line[64];
  snprintf(line, sizeof line, ". 1 ack %u win 65535", to);
  script_in(s, line);
}

/* Take what was sent: how many segments. *end: the highest number so far. */
static uint32_t burst(struct script *s, uint32_t *end) {
  uint32_t count = 0, room = (uint32_t)mst_writable_bytes(s->conn);
  if (room) script_write(s, room);
  for (; script_next(s, 0); count++) {
    uint32_t last = s->last.seq - s->iss + s->last.data_bytes;
    if (last > *end) *end = last;
  }
  return count;
}

/* 2.1: a connection begins with a small window, whatever the peer offers. */
static void no_initial_slow_start(void **state) {
  (void)state;
  uint32_t end = 1;
  struct script *s = sending();
  assert_int_equal(burst(s, &end), 10);
  script_wait(s, 100);
  assert_int_equal(burst(s, &end), 0);
  ack(s, 1 + 2 * MSS);
  assert_true(burst(s, &end) <= 4);
  script_close(s);
}

/* 2.2: and so it does after a retransmission timeout. */
static void no_slow_start_after_retransmission_timeout(void **state) {
  (void)state;
  uint32_t end = 1;
  struct script *s = sending();
  assert_int_equal(burst(s, &end), 10);
  while (!script_stats(s).tcp_timeouts) script_wait(s, 100);
  burst(s, &end);
  assert_int_equal(script_info(s).snd_cwnd_bytes, MSS);
  uint32_t una = end; /* all has arrived, and each ACK opens the window by a segment or two */
  ack(s, una);
  assert_in_range(script_info(s).snd_cwnd_bytes, MSS, 3 * MSS);
  assert_true(burst(s, &end) <= 3);
  script_close(s);
}

/* 2.3: also when the peer's SYN,ACK has no MSS option. */
static void uninitialized_cwnd(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish_active(s, "", 65535);
  uint32_t end = 1;
  assert_int_equal(burst(s, &end), 10);
  assert_int_equal(end, 1 + 10 * 536);
  script_close(s);
}

/* 2.4: what is sent again are the bytes that were sent first, whatever was written since and however it is cut. */
static void inconsistent_retransmission(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  for (int i = 0; i < 10; i++) script_write(s, 77);
  script_drain(s);
  script_write(s, 5000);
  script_drain(s);
  script_in(s, ". 1 ack 40");
  for (int i = 0; i < 6; i++) {
    script_wait(s, 1000u << i);
    while (script_next(s, 0)) {
      uint32_t seq = s->last.seq - s->iss;
      for (uint32_t at = 0; at < s->last.data_bytes; at++) assert_int_equal(s->last.data[at], script_byte(seq + at));
    }
  }
  assert_true(script_stats(s).tcp_retrans_segs >= 2);
  script_close(s);
}

/* 2.5: data behind a gap is kept, so that the gap alone is sent again. */
static void failure_to_retain_above_sequence_data(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  for (uint32_t seq = 1001; seq < 20001; seq += 1000) {
    char line[64];
    snprintf(line, sizeof line, "P. %u:%u ack 1", seq, seq + 1000);
    script_in(s, line);
    script_out(s, ". 1 ack 1");
  }
  script_in(s, "P. 1:1001 ack 1");
  script_out(s, ". 1 ack 20001");
  script_read(s, 20000);
  script_close(s);
}

/* 2.6: one segment a round trip, with no MSS / 8 for each ACK on top. */
static void extra_additive_constant_in_congestion_avoidance(void **state) {
  (void)state;
  uint32_t end = 1, una = 1;
  struct script *s = sending();
  burst(s, &end);
  for (int i = 0; i < 3; i++) ack(s, una); /* a loss: half the window, and congestion avoidance from there */
  burst(s, &end);
  una = end;
  ack(s, una);
  burst(s, &end);
  uint32_t before = script_info(s).snd_cwnd_bytes;
  assert_true(before >= script_info(s).snd_ssthresh_bytes);
  for (int round = 0; round < 20; round++) {
    uint32_t last = end;
    while (una < last) {
      una = una + MSS < last ? una + MSS : last;
      ack(s, una);
      burst(s, &end);
    }
  }
  assert_in_range(script_info(s).snd_cwnd_bytes - before, 17 * MSS, 22 * MSS);
  script_close(s);
}

/* 2.7: of the SYN, and of the first data when nothing is known. */
static void initial_rto_too_low(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_silence(s, 990);
  script_out_after(s, 10, "S 0");
  script_close(s);
}

/* 2.8: when the recovery is over the window is ssthresh, not what duplicates had made of it. */
static void failure_of_window_deflation_after_loss_recovery(void **state) {
  (void)state;
  uint32_t end = 1;
  struct script *s = sending();
  burst(s, &end);
  for (int i = 0; i < 9; i++) ack(s, 1);
  burst(s, &end);
  ack(s, end);
  struct mst_tcp_info info = script_info(s);
  assert_in_range(info.snd_ssthresh_bytes, 5 * MSS, 6 * MSS);
  assert_true(info.snd_cwnd_bytes <= info.snd_ssthresh_bytes + MSS);
  assert_true(burst(s, &end) <= 7);
  script_close(s);
}

/* Until the connection is given up, in seconds; how many probes there were and the least time between two. */
static double keepalive_death(struct script *s, unsigned *probes, double *least) {
  uint64_t last_ns = 0;
  double begin = (double)s->sim->now_ns / 1e9;
  *probes = 0, *least = 1e9;
  while (!mst_conn_error(s->conn)) {
    if (!script_next(s, 1000) || s->last.flags & SIM_RST) continue;
    double gap = (double)(s->last_packet->at_ns - last_ns) / 1e9;
    if (++*probes > 1 && gap < *least) *least = gap;
    last_ns = s->last_packet->at_ns;
  }
  return (double)s->sim->now_ns / 1e9 - begin;
}

/* 2.9: a dead peer is not given up before several probes have gone, over minutes. */
static void excessively_short_keepalive_connection_timeout(void **state) {
  (void)state;
  unsigned probes;
  double least;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 1000);
  mst_conn_set_option(s->conn, MST_TCP_KEEPALIVE, 1);
  assert_true(keepalive_death(s, &probes, &least) >= 7200 + 9 * 75 - 1);
  assert_int_equal(probes, 9);
  script_close(s);
}

/* 2.10 */
static void failure_to_back_off_retransmission_timeout(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  script_write(s, 100);
  script_out(s, "P. 1:101");
  while (!script_stats(s).tcp_timeouts) script_wait(s, 1);
  assert_true(script_drain(s) >= 1);
  uint64_t last_ns = s->last_packet->at_ns, gap_ns = 0;
  for (int i = 0; i < 8; i++) {
    assert_true(script_next(s, 200000));
    uint64_t now_gap_ns = s->last_packet->at_ns - last_ns;
    if (gap_ns && gap_ns < 60 * SIM_S) assert_true(now_gap_ns >= 2 * gap_ns - 5 * SIM_MS || now_gap_ns >= 119 * SIM_S);
    gap_ns = now_gap_ns;
    last_ns = s->last_packet->at_ns;
  }
  assert_true(gap_ns >= 25 * SIM_S);
  script_close(s);
}

/* 2.11 */
static void insufficient_interval_between_keepalives(void **state) {
  (void)state;
  unsigned probes;
  double least;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 1000);
  mst_conn_set_option(s->conn, MST_TCP_KEEPALIVE, 1);
  script_silence(s, 7199000);
  keepalive_death(s, &probes, &least);
  assert_true(least >= 74.9);
  script_close(s);
}

/* 2.12: both windows are closed, and both sides probe: the ACK of a segment whose byte does not fit is taken, and the
 * window that it tells. */
static void window_probe_deadlock(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.stack.receive_buffer_bytes = 4096});
  script_establish(s, "mss 1000", 1000);
  for (uint32_t seq = 1; seq < 4001; seq += 1000) {
    char line[64];
    snprintf(line, sizeof line, "P. %u:%u ack 1 win 1000", seq, seq + 1000);
    script_in(s, line);
  }
  script_in(s, "P. 4001:4097 ack 1 win 1000");
  script_drain(s);
  assert_int_equal(script_info(s).rcv_wnd, 0);
  script_write(s, 3000);
  script_out(s, ". 1:1001 ack 4097 win 0");
  script_in(s, ". 4097:4098 ack 1001 win 2000"); /* a probe that tells more than it asks */
  assert_int_equal(script_drops(s, MST_DROP_TCP_SEQUENCE), 0);
  script_out(s, ". 1001:2001 ack 4097 win 0");
  script_out(s, "P. 2001:3001 ack 4097 win 0");
  script_close(s);
}

/* 2.13: at least every second full-sized segment is acknowledged. */
static void stretch_ack_violation(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  uint32_t acked = 1, seq = 1;
  for (int i = 0; i < 200; i++, seq += 1000) {
    char line[64];
    snprintf(line, sizeof line, "P. %u:%u ack 1", seq, seq + 1000);
    script_in(s, line);
    while (script_next(s, 0)) acked = s->last.ack - s->peer_isn;
    assert_true(seq + 1000 - acked < 2 * MSS);
    script_read(s, 1000);
    while (script_next(s, 0)) acked = s->last.ack - s->peer_isn;
  }
  script_close(s);
}

/* 2.14: a timeout sends one segment. */
static void retransmission_sends_multiple_packets(void **state) {
  (void)state;
  uint32_t end = 1;
  struct script *s = sending();
  assert_int_equal(burst(s, &end), 10);
  while (!script_stats(s).tcp_timeouts) {
    script_drain(s);
    script_wait(s, 1);
  }
  assert_int_equal(script_drain(s), 1);
  script_close(s);
}

/* 2.15: FIN goes with the last data, or at once behind it, not when that is acknowledged. */
static void failure_to_send_fin_notification_promptly(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  script_write(s, 10); /* small, and unacknowledged: Nagle may not hold the FIN back */
  script_out(s, "P. 1:11");
  script_write(s, 10);
  assert_int_equal(mst_shutdown(s->conn), 0);
  script_flush(s);
  script_out(s, "FP. 11:21");
  script_close(s);
}

/* 2.16: what comes for somebody who has closed both ways is answered by a reset. */
static void failure_to_send_a_rst_after_half_duplex_close(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  mst_close(s->conn);
  s->conn = NULL;
  script_flush(s);
  script_out(s, "F. 1 ack 1");
  script_in(s, "P. 1:101 ack 2");
  script_out(s, "R? 2");
  assert_int_equal(script_stats(s).conns, 0);
  script_close(s);
}

/* 2.17 */
static void failure_to_rst_on_close_with_data_pending(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  script_in(s, "P. 1:101 ack 1");
  script_out(s, ". 1 ack 101");
  mst_close(s->conn);
  s->conn = NULL;
  script_flush(s);
  script_out(s, "R. 1 ack 101");
  script_close(s);
}

/* 2.18: the timestamps of each segment are taken off its data. */
static void options_missing_from_tcp_mss_calculation(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1460,TS 1 0", 65535);
  script_write(s, 5000);
  while (script_next(s, 0)) assert_true(s->last.data_bytes + s->last.options_bytes <= 1460);
  assert_int_equal(script_info(s).snd_mss, 1448);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_initial_slow_start),
      cmocka_unit_test(no_slow_start_after_retransmission_timeout),
      cmocka_unit_test(uninitialized_cwnd),
      cmocka_unit_test(inconsistent_retransmission),
      cmocka_unit_test(failure_to_retain_above_sequence_data),
      cmocka_unit_test(extra_additive_constant_in_congestion_avoidance),
      cmocka_unit_test(initial_rto_too_low),
      cmocka_unit_test(failure_of_window_deflation_after_loss_recovery),
      cmocka_unit_test(excessively_short_keepalive_connection_timeout),
      cmocka_unit_test(failure_to_back_off_retransmission_timeout),
      cmocka_unit_test(insufficient_interval_between_keepalives),
      cmocka_unit_test(window_probe_deadlock),
      cmocka_unit_test(stretch_ack_violation),
      cmocka_unit_test(retransmission_sends_multiple_packets),
      cmocka_unit_test(failure_to_send_fin_notification_promptly),
      cmocka_unit_test(failure_to_send_a_rst_after_half_duplex_close),
      cmocka_unit_test(failure_to_rst_on_close_with_data_pending),
      cmocka_unit_test(options_missing_from_tcp_mss_calculation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
