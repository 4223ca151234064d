/* Congestion control: RFC 5681, RFC 6582 (NewReno), RFC 6928 (initial window), RFC 9438 (CUBIC). */
#include "sim/script.h"

#include <stdio.h>
#include <stdlib.h>

#define MSS 1000u

static uint32_t left_bytes; /* that are still to be written */

/* Write as much as is taken. */
static void feed(struct script *s) {
  while (left_bytes && mst_writable_bytes(s->conn)) {
    size_t room = mst_writable_bytes(s->conn);
    uint32_t n = left_bytes < room ? left_bytes : (uint32_t)room;
    script_write(s, n);
    left_bytes -= n;
  }
}

/* A sender with so much to send. Segments of 1,000 bytes, a window that does not limit. */
static struct script *sending(const char *algorithm, uint32_t bytes) {
  struct script *s =
      script_open(&(struct script_options){.stack = {.congestion_control = algorithm, .send_buffer_bytes = 4 << 20}});
  script_establish(s, "mss 1000,wscale 8", 65535);
  script_in(s, ". 1 ack 1 win 65535");
  left_bytes = bytes;
  feed(s);
  return s;
}

static void ack(struct script *s, uint32_t to) {
  char line[64];
  snprintf(line, sizeof line, ". 1 ack %u win 65535", to);
  script_in(s, line);
}

/* Take what was sent; returns how many segments; *end is the highest sequence number so far. */
static uint32_t burst(struct script *s, uint32_t *end) {
  uint32_t count = 0;
  feed(s);
  for (; script_next(s, 0); count++) {
    uint32_t last = s->last.seq - s->iss + s->last.data_bytes;
    if (last > *end) *end = last;
  }
  return count;
}

static void initial_window(void **state) {
  (void)state;
  uint32_t end = 1;
  struct script *s = sending(NULL, 100000);
  assert_int_equal(burst(s, &end), 10);
  assert_int_equal(end, 10001);
  assert_string_equal(script_info(s).congestion_control, "cubic");
  script_close(s);
}

/* 10 segments, but no more than 14,600 bytes unless that is less than two. */
static void initial_window_large_mss(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.route_mtu = 9000});
  script_establish(s, "mss 8960,wscale 8", 65535);
  script_write(s, 100000);
  uint32_t end = 1;
  assert_int_equal(burst(s, &end), 2);
  script_close(s);
}

/* RFC 6928 2: a lost SYN means one segment. */
static void initial_window_after_lost_syn(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_out_after(s, 1000, "S 0");
  script_in(s, "S. 0 ack 1 win 65535 <mss 1000>");
  script_out(s, ". 1 ack 1");
  script_write(s, 20000);
  uint32_t end = 1;
  assert_int_equal(burst(s, &end), 1);
  script_close(s);
}

/* RFC 5681 3.1: a segment more for each one acknowledged. */
static void slow_start(void **state) {
  (void)state;
  const char *algorithms[] = {"newreno", "cubic"};
  for (int i = 0; i < 2; i++) {
    struct script *s = sending(algorithms[i], 200000);
    uint32_t end = 1, una = 1;
    burst(s, &end);
    for (int n = 0; n < 10; n++) {
      una += MSS;
      ack(s, una);
      assert_int_equal(burst(s, &end), 2);
    }
    assert_int_equal(script_info(s).snd_cwnd_bytes, 20 * MSS);
    assert_int_equal(end - una, 20 * MSS);
    script_close(s);
  }
}

/* Appropriate byte counting: a stretch ACK earns at most two segments (RFC 3465, L = 2), or what it acknowledges. */
static void stretch_ack(void **state) {
  (void)state;
  struct script *s = sending("newreno", 200000);
  uint32_t end = 1;
  burst(s, &end);
  ack(s, 5 * MSS + 1);
  assert_in_range(script_info(s).snd_cwnd_bytes, 11 * MSS, 15 * MSS);
  script_close(s);
}

/* ACK division earns nothing (RFC 3465 1, RFC 2525). */
static void divided_acks(void **state) {
  (void)state;
  struct script *s = sending("newreno", 200000);
  uint32_t end = 1;
  burst(s, &end);
  for (uint32_t una = 1 + 10; una <= 1001; una += 10) ack(s, una);
  assert_true(script_info(s).snd_cwnd_bytes <= 11 * MSS);
  script_close(s);
}

/* RFC 5681 3.2: the third duplicate ACK. RFC 6582: until all of the flight is acknowledged. */
static void fast_retransmit(void **state) {
  (void)state;
  struct script *s = sending("newreno", 200000);
  uint32_t end = 1;
  assert_int_equal(burst(s, &end), 10);
  ack(s, 1);
  ack(s, 1);
  assert_true(burst(s, &end) <= 2); /* limited transmit (RFC 3042) */
  ack(s, 1);
  assert_true(script_next(s, 0));
  assert_int_equal(s->last.seq - s->iss, 1);
  assert_int_equal(s->last.data_bytes, MSS);
  struct mst_tcp_info info = script_info(s);
  assert_in_range(info.snd_ssthresh_bytes, 5 * MSS, 6 * MSS);
  assert_int_equal(script_stats(s).tcp_retrans_segs, 1);
  ack(s, end); /* the whole flight: recovery ends, the window is ssthresh or less */
  info = script_info(s);
  assert_true(info.snd_cwnd_bytes <= info.snd_ssthresh_bytes + MSS);
  assert_int_equal(script_stats(s).tcp_timeouts, 0);
  script_close(s);
}

static void two_duplicates_are_not_enough(void **state) {
  (void)state;
  struct script *s = sending("newreno", 200000);
  uint32_t end = 1;
  burst(s, &end);
  ack(s, 1);
  ack(s, 1);
  burst(s, &end);
  assert_int_equal(script_stats(s).tcp_retrans_segs, 0);
  ack(s, 3001);
  assert_true(script_info(s).snd_cwnd_bytes > 10 * MSS);
  script_close(s);
}

/* 5681 2: with data or a changed window it is no duplicate. */
static void what_is_no_duplicate(void **state) {
  (void)state;
  struct script *s = sending("newreno", 200000);
  uint32_t end = 1;
  burst(s, &end);
  script_in(s, ". 1 ack 1 win 60000");
  script_in(s, ". 1 ack 1 win 60001");
  script_in(s, ". 1 ack 1 win 60002");
  script_in(s, ". 1 ack 1 win 60003");
  script_in(s, "P. 1:2 ack 1 win 60003");
  script_in(s, "P. 2:3 ack 1 win 60003");
  script_in(s, "P. 3:4 ack 1 win 60003");
  script_drain(s);
  assert_int_equal(script_stats(s).tcp_retrans_segs, 0);
  script_close(s);
}

/* RFC 6582 3.2 step 3: a partial ACK retransmits the next hole at once; several losses in a window need no timeout. */
static void partial_acks(void **state) {
  (void)state;
  struct script *s = sending("newreno", 200000);
  uint32_t end = 1;
  burst(s, &end);
  ack(s, 1);
  ack(s, 1);
  ack(s, 1);
  bool first = false;
  while (script_next(s, 0)) {
    first |= s->last.seq - s->iss == 1;
    uint32_t last = s->last.seq - s->iss + s->last.data_bytes;
    if (last > end) end = last;
  }
  assert_true(first);
  for (uint32_t hole = 2001; hole <= 6001; hole += 2000) {
    ack(s, hole);
    assert_true(script_next(s, 0));
    assert_int_equal(s->last.seq - s->iss, hole);
    script_drain(s);
  }
  assert_int_equal(script_stats(s).tcp_timeouts, 0);
  script_close(s);
}

/* 3.2 step 1: duplicates for what was sent before recovery do not reduce again. */
static void once_a_window(void **state) {
  (void)state;
  struct script *s = sending("newreno", 200000);
  uint32_t end = 1;
  burst(s, &end);
  for (int i = 0; i < 9; i++) ack(s, 1);
  uint32_t ssthresh = script_info(s).snd_ssthresh_bytes;
  burst(s, &end);
  ack(s, 2001); /* partial */
  for (int i = 0; i < 9; i++) ack(s, 2001);
  assert_int_equal(script_info(s).snd_ssthresh_bytes, ssthresh);
  script_close(s);
}

/* Congestion avoidance: about a segment for each round trip. */
static void congestion_avoidance(void **state) {
  (void)state;
  struct script *s = sending("newreno", 1000000);
  uint32_t end = 1, una = 1;
  burst(s, &end);
  ack(s, 1), ack(s, 1), ack(s, 1);
  burst(s, &end);
  una = end;
  ack(s, una);
  burst(s, &end);
  while (script_info(s).snd_cwnd_bytes < script_info(s).snd_ssthresh_bytes) {
    una += MSS;
    ack(s, una);
    burst(s, &end);
  }
  uint32_t before = script_info(s).snd_cwnd_bytes;
  for (int round = 0; round < 5; round++) {
    script_wait(s, 100);
    uint32_t flight_end = end;
    while (una < flight_end) {
      una += MSS;
      ack(s, una);
      burst(s, &end);
    }
  }
  uint32_t grown = script_info(s).snd_cwnd_bytes - before;
  assert_in_range(grown, 3 * MSS, 6 * MSS);
  script_close(s);
}

/* 5681 3.1 (4) and (7): ssthresh is half the flight, cwnd one segment. */
static void timeout(void **state) {
  (void)state;
  struct script *s = sending("newreno", 200000);
  uint32_t end = 1;
  burst(s, &end);
  assert_true(script_next(s, 1100));
  assert_int_equal(s->last.seq - s->iss, 1);
  script_silence(s, 0);
  assert_int_equal(script_info(s).snd_cwnd_bytes, MSS);
  assert_int_equal(script_info(s).snd_ssthresh_bytes, 5 * MSS);
  ack(s, 1001); /* RFC 5682 2.1 step 2b: two new segments first */
  assert_true(script_next(s, 0));
  assert_int_equal(s->last.seq - s->iss, 10001);
  assert_true(script_next(s, 0));
  ack(s, 1001); /* step 3a: slow start again, go-back-N */
  assert_true(script_next(s, 0));
  assert_int_equal(s->last.seq - s->iss, 1001);
  /* A second timeout of the same flight does not halve again (RFC 5681 3.1). */
  script_close(s);
}

/* 5681 4.1: after a long rest not more than the restart window. */
static void restart_after_idle(void **state) {
  (void)state;
  struct script *s = sending("newreno", 60000);
  uint32_t end = 1;
  burst(s, &end);
  for (uint32_t una = 1; una < 60001;) {
    una += MSS;
    ack(s, una);
    burst(s, &end);
  }
  assert_true(script_info(s).snd_cwnd_bytes > 20 * MSS);
  script_wait(s, 60000);
  left_bytes = 100000;
  assert_true(burst(s, &end) <= 10);
  script_close(s);
}

/* A window that is not used does not grow. */
static void application_limited(void **state) {
  (void)state;
  struct script *s = sending("newreno", 0);
  uint32_t end = 1;
  for (int i = 0; i < 200; i++) {
    script_write(s, 100);
    burst(s, &end);
    ack(s, end);
  }
  assert_true(script_info(s).snd_cwnd_bytes <= 12 * MSS);
  script_close(s);
}

/* RFC 9438 4.6: beta is 0.7; 4.2: concave up to W_max in K seconds, then convex. */
static void cubic(void **state) {
  (void)state;
  struct script *s = sending("cubic", 10000000);
  uint32_t end = 1, una = 1;
  burst(s, &end);
  while (script_info(s).snd_cwnd_bytes < 100 * MSS) {
    script_wait(s, 1);
    una += MSS;
    ack(s, una);
    burst(s, &end);
  }
  uint32_t flight = end - una;
  ack(s, una), ack(s, una), ack(s, una);
  burst(s, &end);
  assert_in_range(script_info(s).snd_ssthresh_bytes, flight * 69 / 100, flight * 73 / 100);
  una = end;
  ack(s, una);
  burst(s, &end);
  assert_true(script_info(s).snd_cwnd_bytes <= 75 * MSS);
  /* K = cbrt(100 * 0.3 / 0.4) = 4.2 s: at 100 ms a round the old window is reached after about that time. */
  uint32_t at_2s = 0, at_4s = 0;
  for (int round = 0; round < 50 && mst_unacked_bytes(s->conn); round++) {
    script_wait(s, 100);
    for (uint32_t flight_end = end; una < flight_end;) {
      una += MSS;
      if (una > flight_end) una = flight_end;
      ack(s, una);
      burst(s, &end);
    }
    if (round == 19) at_2s = script_info(s).snd_cwnd_bytes;
    if (round == 41) at_4s = script_info(s).snd_cwnd_bytes;
  }
  assert_in_range(at_2s, 88 * MSS, 99 * MSS);
  assert_in_range(at_4s, 96 * MSS, 106 * MSS);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(initial_window),
      cmocka_unit_test(initial_window_large_mss),
      cmocka_unit_test(initial_window_after_lost_syn),
      cmocka_unit_test(slow_start),
      cmocka_unit_test(stretch_ack),
      cmocka_unit_test(divided_acks),
      cmocka_unit_test(fast_retransmit),
      cmocka_unit_test(two_duplicates_are_not_enough),
      cmocka_unit_test(what_is_no_duplicate),
      cmocka_unit_test(partial_acks),
      cmocka_unit_test(once_a_window),
      cmocka_unit_test(congestion_avoidance),
      cmocka_unit_test(timeout),
      cmocka_unit_test(restart_after_idle),
      cmocka_unit_test(application_limited),
      cmocka_unit_test(cubic),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
