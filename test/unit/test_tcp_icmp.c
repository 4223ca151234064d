/* What ICMP may do to TCP: RFC 1191, RFC 8201, RFC 5927, RFC 9293 3.9.2.2. */
#include "sim/script.h"

#include <stdlib.h>

static void path_mtu(void **state) {
  (void)state;
  for (int ip6 = 0; ip6 < 2; ip6++) {
    struct script *s = script_open(&(struct script_options){.ip6 = ip6});
    script_establish(s, "mss 1440", 65535);
    script_write(s, 2880);
    script_out(s, ". 1:1441");
    script_out(s, "P. 1441:2881");
    script_icmp(s, ip6 ? 2 : 3, ip6 ? 0 : 4, 1300, 1);
    assert_int_equal(script_info(s).pmtu, 1300);
    assert_int_equal(script_stats(s).tcp_pmtu_reductions, 1);
    /* What did not get through is sent again at once, smaller, and not taken for congestion (RFC 8201 5.4). */
    uint32_t payload = ip6 ? 1240 : 1260;
    assert_true(script_next(s, 0));
    assert_int_equal(s->last.seq - s->iss, 1);
    assert_int_equal(s->last.data_bytes, payload);
    assert_true(script_info(s).snd_cwnd_bytes >= 10 * payload);
    script_in(s, ". 1 ack 2881");
    script_drain(s);
    /* Another connection to the same peer begins there. */
    mst_abort(s->conn);
    s->conn = NULL;
    script_flush(s);
    script_drain(s);
    s->peer_port = 9999;
    s->iss_known = false;
    script_in(s, "S 0 win 65535 <mss 1440>");
    script_out(s, "S. 0 ack 1");
    script_in(s, ". 1 ack 1");
    script_accept(s);
    s->written = 1;
    script_write(s, 2880);
    assert_true(script_next(s, 0));
    assert_int_equal(s->last.data_bytes, payload);
    script_close(s);
  }
  (void)state;
}

/* RFC 5927 4.1: it must quote a sequence number that is under way. */
static void path_mtu_forged(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1460", 65535);
  script_write(s, 2920);
  script_drain(s);
  script_icmp(s, 3, 4, 600, 2921); /* SND.NXT: not sent yet */
  script_icmp(s, 3, 4, 600, 100000);
  script_icmp(s, 3, 4, 600, (uint32_t)-1000);
  script_silence(s, 0);
  assert_int_equal(script_info(s).pmtu, 1500);
  assert_int_equal(script_drops(s, MST_DROP_ICMP), 3);
  script_in(s, ". 1 ack 2921");
  script_icmp(s, 3, 4, 600, 1); /* acknowledged already */
  assert_int_equal(script_info(s).pmtu, 1500);
  /* Another port altogether. */
  s->peer_port = 1;
  script_icmp(s, 3, 4, 600, 1);
  s->peer_port = 8080;
  assert_int_equal(script_info(s).pmtu, 1500);
  script_close(s);
}

/* RFC 1191 3 and RFC 8201 4: a floor, and never an increase. */
static void path_mtu_absurd(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1460", 65535);
  script_write(s, 2920);
  script_drain(s);
  script_icmp(s, 3, 4, 9000, 1);
  assert_int_equal(script_info(s).pmtu, 1500);
  script_icmp(s, 3, 4, 20, 1);
  assert_int_equal(script_info(s).pmtu, 552); /* as Linux has it */
  script_wait(s, 1000);
  while (script_next(s, 0)) assert_true(s->last.data_bytes >= 28);
  script_close(s);

  s = script_open(&(struct script_options){.ip6 = true});
  script_establish(s, "mss 1440", 65535);
  script_write(s, 2880);
  script_drain(s);
  script_icmp(s, 2, 0, 600, 1);
  assert_true(script_info(s).pmtu >= 1280);
  script_close(s);
}

/* RFC 1191 5: a router that does not tell; the next plateau. */
static void path_mtu_untold(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1460", 65535);
  script_write(s, 2920);
  script_drain(s);
  script_icmp(s, 3, 4, 0, 1);
  assert_in_range(script_info(s).pmtu, 1006, 1492);
  script_close(s);
}

/* Hard errors end a connection attempt, and nothing else (RFC 5927 5.2). */
static void hard_error(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_icmp(s, 3, 3, 0, 77); /* not our sequence number */
  assert_int_equal(script_events(s), 0);
  script_icmp(s, 3, 3, 0, 0);
  sim_run_for(s->sim, 0);
  assert_int_equal(script_events(s), MST_EV_ERROR);
  assert_int_equal(mst_conn_error(s->conn), -MST_ECONNREFUSED);
  script_close(s);
}

static void hard_error_established(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1460", 65535);
  script_write(s, 100);
  script_drain(s);
  for (uint8_t code = 0; code < 16; code++)
    if (code != 4) script_icmp(s, 3, code, 0, 1);
  script_icmp(s, 11, 0, 0, 1);
  script_icmp(s, 12, 0, 0, 1);
  script_icmp(s, 4, 0, 0, 1); /* source quench does nothing (MUST-55) */
  assert_int_equal(script_events(s), 0);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  assert_int_equal(script_info(s).snd_cwnd_bytes, 14600);
  script_in(s, ". 1 ack 101");
  assert_int_equal(mst_unacked_bytes(s->conn), 0);
  script_close(s);
}

/* Soft errors do not end an attempt (MUST-56), but name the reason when it does end. */
static void soft_error(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_icmp(s, 3, 1, 0, 0);
  assert_int_equal(script_events(s), 0);
  script_out_after(s, 1000, "S 0");
  while (!(s->events & MST_EV_ERROR)) {
    script_next(s, 100000);
    assert_true(s->sim->now_ns - s->start_ns < 1000 * SIM_S);
  }
  int error = mst_conn_error(s->conn);
  assert_true(error == -MST_EHOSTUNREACH || error == -MST_ETIMEDOUT);
  script_close(s);
}

/* RFC 5461 4.2: told again of the retransmission, it ends the attempt. */
static void soft_error_again(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_icmp(s, 3, 1, 0, 0);
  script_icmp(s, 3, 1, 0, 0);
  assert_int_equal(script_events(s), 0);
  script_out_after(s, 1000, "S 0");
  script_icmp(s, 3, 1, 0, 0);
  sim_run_for(s->sim, 0);
  assert_int_equal(script_events(s), MST_EV_ERROR);
  assert_int_equal(mst_conn_error(s->conn), -MST_EHOSTUNREACH);
  script_close(s);
}

static void hard_error_ip6(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.ip6 = true});
  script_connect(s);
  script_out(s, "S 0");
  script_icmp(s, 1, 4, 0, 0);
  sim_run_for(s->sim, 0);
  assert_int_equal(script_events(s), MST_EV_ERROR);
  assert_int_equal(mst_conn_error(s->conn), -MST_ECONNREFUSED);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(path_mtu),        cmocka_unit_test(path_mtu_forged),  cmocka_unit_test(path_mtu_absurd),
      cmocka_unit_test(path_mtu_untold), cmocka_unit_test(hard_error),       cmocka_unit_test(hard_error_established),
      cmocka_unit_test(soft_error),      cmocka_unit_test(soft_error_again), cmocka_unit_test(hard_error_ip6),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
