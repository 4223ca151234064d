/* Accurate ECN on the wire: the flag AE and the option; and what may be set. */
#include "sim/script.h"
#include "wire/tcp.h"

#include <string.h>

static void flags(void **state) {
  (void)state;
  for (unsigned ace = 0; ace < 8; ace++) {
    struct mst__tcp in = {.flags = MST__ACK | MST__PSH}, out;
    uint8_t segment[60];
    mst__tcp_set_ace(&in, (uint8_t)ace);
    assert_int_equal(in.ae, ace >> 2);
    assert_int_equal(in.flags & (MST__ACK | MST__PSH), MST__ACK | MST__PSH);
    size_t bytes = mst__tcp_build(segment, &in);
    assert_int_equal(segment[12] & 15, ace >> 2);
    assert_int_equal(mst__tcp_parse(segment, bytes, &out), MST_DROP_NONE);
    assert_int_equal(mst__tcp_ace(&out), ace);
    assert_int_equal(out.header_bytes, bytes);
  }
}

static void option_both_orders(void **state) {
  (void)state;
  for (unsigned order1 = 0; order1 < 2; order1++) {
    for (uint8_t count = 0; count <= 3; count++) {
      struct mst__tcp in = {.flags = MST__ACK}, out;
      struct mst__tcp_options *o = &in.options;
      o->has = MST__HAS_ACCECN | MST__HAS_TIMESTAMPS;
      o->accecn_order1 = order1;
      o->accecn_count = count;
      o->accecn[MST__E0B] = 0x123456;
      o->accecn[MST__CEB] = 0xffffff;
      o->accecn[MST__E1B] = 1;
      uint8_t segment[60];
      size_t bytes = mst__tcp_build(segment, &in);
      assert_int_equal(bytes % 4, 0);
      assert_int_equal(segment[32], order1 ? 174 : 172);
      assert_int_equal(segment[33], 2 + 3 * count);
      assert_int_equal(mst__tcp_parse(segment, bytes, &out), MST_DROP_NONE);
      assert_int_equal(out.options.has, o->has);
      assert_int_equal(out.options.accecn_count, count);
      assert_int_equal(out.options.accecn_order1, order1);
      for (unsigned i = 0; i < count; i++) {
        unsigned counter = mst__accecn_counter_at(order1, i);
        assert_int_equal(out.options.accecn[counter], o->accecn[counter]);
      }
    }
  }
}

/* The fields are 24 bits of larger counters. */
static void option_takes_the_low_bits(void **state) {
  (void)state;
  struct mst__tcp_options o = {.has = MST__HAS_ACCECN, .accecn_count = 1, .accecn = {0x89abcdef}};
  uint8_t built[40];
  assert_int_equal(mst__tcp_build_options(built, &o), 8);
  assert_memory_equal(built, "\xac\x05\xab\xcd\xef\x01\x01\x01", 8);
}

static void option_beside_sack(void **state) {
  (void)state;
  struct mst__tcp_options o = {.has = MST__HAS_ACCECN | MST__HAS_TIMESTAMPS, .sack_count = 4, .accecn_count = 2};
  uint8_t built[40];
  assert_int_equal(mst__tcp_build_options(built, &o), 12 + 8 + 4 + 16);
  o.accecn_count = 3;
  assert_int_equal(mst__tcp_build_options(built, &o), 12 + 12 + 4 + 8);
  o.has |= MST__HAS_MSS | MST__HAS_WSCALE;
  assert_int_equal(mst__tcp_build_options(built, &o), 32);
}

static void segments(void **state) {
  (void)state;
  struct mst__tcp tcp = {.payload_bytes = 3000};
  assert_int_equal(mst__tcp_segments(&tcp), 1);
  tcp.gso_size = 1000;
  assert_int_equal(mst__tcp_segments(&tcp), 3);
  tcp.payload_bytes = 3001;
  assert_int_equal(mst__tcp_segments(&tcp), 4);
  tcp.payload_bytes = 0;
  assert_int_equal(mst__tcp_segments(&tcp), 1);
}

static void options_are_checked(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  assert_null(sim_add_stack(s->sim, &(struct mst_stack_options){.ecn = (enum mst_ecn)(MST_ECN_ACCURATE + 1)}));
  struct mst_endpoint remote = {.addr = s->peer->ip4, .port = 80};
  mst_conn *conn;
  assert_int_equal(mst_connect(s->stack, NULL, &remote, NULL, NULL, &conn), 0);
  assert_int_equal(mst_conn_get_option(conn, MST_TCP_ECN), MST_ECN_IF_ASKED);
  assert_int_equal(mst_conn_set_option(conn, MST_TCP_ECN, 4), -MST_EINVAL);
  assert_int_equal(mst_conn_set_option(conn, MST_TCP_ECN, -1), -MST_EINVAL);
  assert_int_equal(mst_conn_set_option(conn, MST_TCP_ECN, MST_ECN_ACCURATE), 0);
  assert_int_equal(mst_conn_get_option(conn, MST_TCP_ECN), MST_ECN_ACCURATE);
  mst_close(conn);
  script_close(s);
}

/* Which field a packet came with is counted. */
static void packets_are_counted(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  script_in(s, "P. 1:101 ack 1 [ect0]");
  script_in(s, "P. 101:201 ack 1 [ect1]");
  script_in(s, "P. 201:301 ack 1 [ce]");
  struct mst_stack_stats stats = script_stats(s);
  assert_int_equal(stats.ip_in_ect0_pkts, 1);
  assert_int_equal(stats.ip_in_ect1_pkts, 1);
  assert_int_equal(stats.ip_in_ce_pkts, 1);
  assert_int_equal(stats.ip_in_no_ect_pkts, 2);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(flags),
      cmocka_unit_test(option_both_orders),
      cmocka_unit_test(option_takes_the_low_bits),
      cmocka_unit_test(option_beside_sack),
      cmocka_unit_test(segments),
      cmocka_unit_test(options_are_checked),
      cmocka_unit_test(packets_are_counted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
