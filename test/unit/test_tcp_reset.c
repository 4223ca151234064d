/* Blind attacks: RFC 5961, and the first four checks of RFC 9293 3.10.7.4 in every synchronized state. */
#include "sim/script.h"

#include <stdio.h>
#include <stdlib.h>

/* A connection brought to a state; RCV.NXT and SND.NXT (relative) of that moment. */
struct reached {
  struct script *s;
  uint32_t rcv_nxt, snd_nxt;
  char line[128];
};

static void reach(struct reached *r, enum mst_tcp_state wanted) {
  struct script *s = r->s = script_open(NULL);
  r->rcv_nxt = r->snd_nxt = 1;
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  if (wanted == MST_SYN_RECEIVED) return;
  script_in(s, ". 1 ack 1");
  script_accept(s);
  if (wanted == MST_CLOSE_WAIT || wanted == MST_LAST_ACK) {
    script_in(s, "F. 1 ack 1");
    script_out(s, ". 1 ack 2");
    r->rcv_nxt = 2;
  }
  if (wanted == MST_ESTABLISHED || wanted == MST_CLOSE_WAIT) return;
  mst_shutdown(s->conn);
  script_flush(s);
  script_out(s, "F. 1");
  r->snd_nxt = 2;
  if (wanted == MST_FIN_WAIT_1 || wanted == MST_LAST_ACK) return;
  if (wanted == MST_FIN_WAIT_2) script_in(s, ". 1 ack 2");
  if (wanted == MST_CLOSING) script_in(s, "F. 1 ack 1");
  if (wanted == MST_TIME_WAIT) script_in(s, "F. 1 ack 2");
  r->rcv_nxt = wanted == MST_FIN_WAIT_2 ? 1 : 2;
  script_drain(s);
}

static void inject(struct reached *r, const char *flags, int64_t offset, bool with_ack) {
  char ack[32] = "";
  if (with_ack) snprintf(ack, sizeof ack, " ack %u", r->snd_nxt);
  snprintf(r->line, sizeof r->line, "%s %lld%s", flags, (long long)((int64_t)r->rcv_nxt + offset), ack);
  script_in(r->s, r->line);
}

static void expect_ack(struct reached *r) {
  snprintf(r->line, sizeof r->line, ". %u ack %u", r->snd_nxt, r->rcv_nxt);
  if (r->s->conn == NULL) snprintf(r->line, sizeof r->line, ". 1 ack 1"); /* SYN-RECEIVED */
  script_out(r->s, r->line);
}

static const enum mst_tcp_state states[] = {MST_SYN_RECEIVED, MST_ESTABLISHED, MST_FIN_WAIT_1, MST_FIN_WAIT_2,
                                            MST_CLOSE_WAIT,   MST_CLOSING,     MST_LAST_ACK,   MST_TIME_WAIT};
#define EACH_STATE(i) for (size_t i = 0; i < sizeof states / sizeof *states; i++)

static void check_state(struct reached *r, enum mst_tcp_state wanted) {
  if (r->s->conn)
    assert_int_equal(script_state(r->s), wanted);
  else
    assert_int_equal(script_stats(r->s).conns, 1);
}

static void exact_reset(void **state) {
  (void)state;
  EACH_STATE(i) {
    struct reached r;
    reach(&r, states[i]);
    script_events(r.s);
    inject(&r, "R", 0, false);
    script_silence(r.s, 0);
    bool told = states[i] != MST_SYN_RECEIVED && states[i] != MST_TIME_WAIT;
    if (told) {
      assert_int_equal(script_events(r.s) & MST_EV_ERROR, MST_EV_ERROR);
      int error = mst_conn_error(r.s->conn);
      assert_true(error == -MST_ECONNRESET || error == -MST_EPIPE);
    }
    if (r.s->conn) mst_close(r.s->conn);
    script_silence(r.s, 1000);
    assert_int_equal(script_stats(r.s).conns, 0);
    script_close(r.s);
  }
}

/* In the window but not exact: a challenge ACK and nothing else (3.2). */
static void reset_in_window(void **state) {
  (void)state;
  EACH_STATE(i) {
    struct reached r;
    reach(&r, states[i]);
    inject(&r, "R", 1, false);
    expect_ack(&r);
    check_state(&r, states[i]);
    inject(&r, "R.", 30000, true);
    expect_ack(&r);
    check_state(&r, states[i]);
    if (states[i] != MST_TIME_WAIT) assert_true(script_stats(r.s).tcp_challenge_acks >= 2);
    script_close(r.s);
  }
}

static void reset_outside_window(void **state) {
  (void)state;
  EACH_STATE(i) {
    struct reached r;
    reach(&r, states[i]);
    inject(&r, "R", -1, false);
    inject(&r, "R", 70000000, false);
    inject(&r, "R.", -100000, true);
    script_silence(r.s, 0);
    check_state(&r, states[i]);
    script_close(r.s);
  }
}

/* Wherever its sequence number is (4.2). SYN-RECEIVED may answer a repeated SYN with its SYN,ACK instead, TIME-WAIT
 * may take a new one. */
static void syn(void **state) {
  (void)state;
  static const int64_t offsets[] = {0, 1, 30000, -5, 100000000};
  EACH_STATE(i) {
    if (states[i] == MST_TIME_WAIT) continue;
    for (size_t j = 0; j < sizeof offsets / sizeof *offsets; j++) {
      struct reached r;
      reach(&r, states[i]);
      inject(&r, "S", offsets[j], false);
      expect_ack(&r);
      script_silence(r.s, 0);
      check_state(&r, states[i]);
      inject(&r, "S.", offsets[j], true);
      if (states[i] != MST_SYN_RECEIVED) expect_ack(&r);
      check_state(&r, states[i]);
      script_close(r.s);
    }
  }
}

/* The challenge is answered by a peer that has really restarted: then the reset is exact. */
static void restart_is_found(void **state) {
  (void)state;
  struct reached r;
  reach(&r, MST_ESTABLISHED);
  inject(&r, "S", 5000, false);
  expect_ack(&r);
  inject(&r, "R", 0, false);
  assert_int_equal(mst_conn_error(r.s->conn), -MST_ECONNRESET);
  script_close(r.s);
}

/* RFC 5961 5.2: ACKs outside of [SND.UNA - MAX.SND.WND, SND.NXT] are answered and go no further. */
static void blind_data(void **state) {
  (void)state;
  struct reached r;
  reach(&r, MST_ESTABLISHED);
  script_in(r.s, "P. 1:11 ack 50000");
  script_out(r.s, ". 1 ack 1");
  script_in(r.s, "P. 1:11 ack -100000");
  script_out(r.s, ". 1 ack 1");
  assert_int_equal(mst_readable_bytes(r.s->conn), 0);
  assert_int_equal(script_drops(r.s, MST_DROP_TCP_ACK_INVALID), 2);
  script_in(r.s, "P. 1:11 ack 0"); /* old, but not too old */
  script_read(r.s, 10);
  script_close(r.s);
}

static void no_ack_no_entry(void **state) {
  (void)state;
  EACH_STATE(i) {
    struct reached r;
    reach(&r, states[i]);
    inject(&r, "P", 0, false);
    inject(&r, "F", 0, false);
    check_state(&r, states[i]);
    if (states[i] != MST_TIME_WAIT) assert_true(script_drops(r.s, MST_DROP_TCP_NO_ACK) >= 1);
    script_close(r.s);
  }
}

static void out_of_window_data(void **state) {
  (void)state;
  struct reached r;
  reach(&r, MST_ESTABLISHED);
  script_in(r.s, "P. 50000000:50000010 ack 1");
  script_out(r.s, ". 1 ack 1");
  script_in(r.s, "P. -100:-90 ack 1");
  script_out(r.s, ". 1 ack 1");
  assert_int_equal(mst_readable_bytes(r.s->conn), 0);
  assert_true(script_drops(r.s, MST_DROP_TCP_SEQUENCE) + script_drops(r.s, MST_DROP_TCP_DUPLICATE) >= 2);
  script_close(r.s);
}

/* RFC 5961 7: 10 in any 5 seconds for each connection. */
static void challenge_limit(void **state) {
  (void)state;
  struct reached r;
  reach(&r, MST_ESTABLISHED);
  for (int i = 0; i < 5000; i++) inject(&r, "R", 1, false);
  assert_int_equal(script_drain(r.s), 10);
  assert_int_equal(script_stats(r.s).tcp_challenge_acks, 10);
  assert_int_equal(script_stats(r.s).tcp_ack_skipped_challenge, 4990);
  check_state(&r, MST_ESTABLISHED);
  script_wait(r.s, 5000);
  inject(&r, "R", 1, false);
  expect_ack(&r);
  script_close(r.s);
}

/* And a number a second of the whole stack, which is drawn from 500 to 1,499 each time. */
static void challenge_limit_of_all(void **state) {
  (void)state;
  struct reached r;
  size_t sent[8];
  unsigned alike = 0;
  reach(&r, MST_ESTABLISHED);
  struct script *s = r.s;
  for (int i = 1; i < 400; i++) {
    s->peer_port++;
    s->iss_known = false;
    script_establish(s, "", 65535);
  }
  for (int second = 0; second < 8; second++) {
    script_wait(s, 5000);
    uint64_t before = script_stats(s).tcp_challenge_acks;
    for (int i = 0; i < 400 * 10; i++) {
      s->peer_port = (uint16_t)(8080 + i % 400);
      script_in(s, "R 2");
    }
    script_drain(s);
    sent[second] = script_stats(s).tcp_challenge_acks - before;
    assert_in_range(sent[second], 500, 1499);
    for (int i = 0; i < second; i++) alike += sent[i] == sent[second];
  }
  assert_true(alike < 3); /* what one second had does not tell what the next has */
  script_close(s);
}

/* Data that came before the reset can still be read, then the error shows. */
static void data_before_reset(void **state) {
  (void)state;
  struct reached r;
  reach(&r, MST_ESTABLISHED);
  script_in(r.s, "P. 1:11 ack 1");
  script_drain(r.s);
  script_in(r.s, "R 11");
  script_read(r.s, 10);
  char byte;
  assert_int_equal(mst_read(r.s->conn, &byte, 1), -MST_ECONNRESET);
  assert_int_equal(mst_write(r.s->conn, "x", 1), -MST_ECONNRESET);
  assert_int_equal(mst_shutdown(r.s->conn), -MST_ECONNRESET);
  assert_int_equal(script_stats(r.s).tcp_estab_resets, 1);
  mst_close(r.s->conn);
  script_close(r.s);
}

/* A wrong checksum is counted and has no effect (MUST-3). */
static void bad_checksum(void **state) {
  (void)state;
  struct reached r;
  uint8_t packet[256], data[16];
  struct sim_segment segment;
  reach(&r, MST_ESTABLISHED);
  script_segment(r.s, "P. 1:11 ack 1", &segment, data, sizeof data);
  size_t bytes = sim_segment_build(packet, &segment);
  packet[bytes - 1] ^= 1;
  sim_input(r.s->node, packet, bytes, 0);
  script_flush(r.s);
  script_silence(r.s, 100);
  assert_int_equal(script_drops(r.s, MST_DROP_TCP_CHECKSUM), 1);
  script_segment(r.s, "R 1", &segment, data, sizeof data);
  bytes = sim_segment_build(packet, &segment);
  packet[bytes - 2] ^= 0x40; /* of the urgent pointer */
  sim_input(r.s->node, packet, bytes, 0);
  check_state(&r, MST_ESTABLISHED);
  script_close(r.s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(exact_reset),          cmocka_unit_test(reset_in_window),
      cmocka_unit_test(reset_outside_window), cmocka_unit_test(syn),
      cmocka_unit_test(restart_is_found),     cmocka_unit_test(blind_data),
      cmocka_unit_test(no_ack_no_entry),      cmocka_unit_test(out_of_window_data),
      cmocka_unit_test(challenge_limit),      cmocka_unit_test(challenge_limit_of_all),
      cmocka_unit_test(data_before_reset),    cmocka_unit_test(bad_checksum),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
