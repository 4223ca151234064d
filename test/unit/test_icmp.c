#include "sim/packet.h"
#include "unit.h"
#include "wire/icmp.h"

#define ALL 1000

static const char *const router4 = "192.0.2.254", *const router6 = "2001:db8::fe";

/* A segment that we sent, and the error that a router sends about it. */
static size_t quoted_segment(uint8_t *out, bool ip4) {
  static const uint8_t data[100];
  struct sim_segment sent = {.source = addr(ip4 ? "10.0.0.1" : "fd00::1"),
                             .destination = addr(ip4 ? "10.0.0.2" : "fd00::2"),
                             .source_port = 4000,
                             .destination_port = 80,
                             .seq = 0xdeadbeef,
                             .flags = SIM_ACK,
                             .data = data,
                             .data_bytes = sizeof data};
  return sim_segment_build(out, &sent);
}

static size_t error_about(uint8_t *out, bool ip4, uint8_t type, uint8_t code, uint32_t mtu, size_t quote_bytes) {
  uint8_t sent[256];
  size_t bytes = quoted_segment(sent, ip4);
  struct mst_addr router = addr(ip4 ? router4 : router6);
  return sim_icmp_build(out, &router, type, code, mtu, sent, bytes, quote_bytes);
}

static enum mst_drop parse(const uint8_t *packet, size_t bytes, struct mst__icmp_error *out) {
  struct mst__ip ip;
  uint8_t *copy = exact(packet, bytes);
  assert_int_equal(mst__ip_parse(copy, bytes, &ip), MST_DROP_NONE);
  enum mst_drop drop = mst__icmp_parse(&ip, out);
  free(copy);
  return drop;
}

static void tells_the_kinds_apart(void **state) {
  (void)state;
  static const struct {
    bool ip4;
    uint8_t type, code;
    enum mst__icmp_kind kind;
  } rows[] = {
      {true, 3, 0, MST__ICMP_NET_UNREACHABLE},
      {true, 3, 1, MST__ICMP_HOST_UNREACHABLE},
      {true, 3, 2, MST__ICMP_PROTOCOL_UNREACHABLE},
      {true, 3, 3, MST__ICMP_PORT_UNREACHABLE},
      {true, 3, 4, MST__ICMP_TOO_BIG},
      {true, 3, 5, MST__ICMP_NET_UNREACHABLE},
      {true, 3, 9, MST__ICMP_PROHIBITED},
      {true, 3, 10, MST__ICMP_PROHIBITED},
      {true, 3, 13, MST__ICMP_PROHIBITED},
      {true, 11, 0, MST__ICMP_TIME_EXCEEDED},
      {true, 12, 0, MST__ICMP_PARAMETER_PROBLEM},
      {false, 1, 0, MST__ICMP_NET_UNREACHABLE},
      {false, 1, 1, MST__ICMP_PROHIBITED},
      {false, 1, 3, MST__ICMP_HOST_UNREACHABLE},
      {false, 1, 4, MST__ICMP_PORT_UNREACHABLE},
      {false, 1, 5, MST__ICMP_PROHIBITED},
      {false, 1, 6, MST__ICMP_PROHIBITED},
      {false, 1, 2, MST__ICMP_NET_UNREACHABLE},
      {false, 2, 0, MST__ICMP_TOO_BIG},
      {false, 3, 0, MST__ICMP_TIME_EXCEEDED},
      {false, 4, 0, MST__ICMP_PARAMETER_PROBLEM},
      {false, 4, 1, MST__ICMP_PROTOCOL_UNREACHABLE},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    uint8_t packet[512];
    struct mst__icmp_error error;
    size_t bytes = error_about(packet, rows[i].ip4, rows[i].type, rows[i].code, 1280, ALL);
    assert_int_equal(parse(packet, bytes, &error), MST_DROP_NONE);
    assert_int_equal(error.kind, rows[i].kind);
    assert_int_equal(error.mtu, error.kind == MST__ICMP_TOO_BIG ? 1280 : 0);
    struct mst_addr us = addr(rows[i].ip4 ? "10.0.0.1" : "fd00::1"), them = addr(rows[i].ip4 ? "10.0.0.2" : "fd00::2");
    assert_true(mst_addr_equal(&error.source, &us));
    assert_true(mst_addr_equal(&error.destination, &them));
    assert_int_equal(error.source_port, 4000);
    assert_int_equal(error.destination_port, 80);
    assert_int_equal(error.protocol, MST_TCP);
    assert_true(error.has_seq);
    assert_int_equal(error.seq, 0xdeadbeef);
  }
}

static void what_is_no_error_is_other(void **state) {
  (void)state;
  static const uint8_t types4[] = {0, 4, 5, 8, 9, 13, 14, 42}, types6[] = {128, 129, 133, 135, 136, 137, 143, 200};
  for (size_t i = 0; i < 2 * COUNT(types4); i++) {
    bool ip4 = i % 2;
    uint8_t packet[512];
    struct mst__icmp_error error;
    size_t bytes = error_about(packet, ip4, ip4 ? types4[i / 2] : types6[i / 2], 0, 0, ALL);
    assert_int_equal(parse(packet, bytes, &error), MST_DROP_NONE);
    assert_int_equal(error.kind, MST__ICMP_OTHER);
  }
}

static void other_messages_need_no_quote(void **state) {
  (void)state;
  for (int ip4 = 0; ip4 < 2; ip4++) {
    uint8_t packet[512];
    struct mst__icmp_error error;
    size_t bytes = error_about(packet, ip4, ip4 ? 8 : 128, 0, 0, 0); /* an echo request without data */
    assert_int_equal(parse(packet, bytes, &error), MST_DROP_NONE);
    assert_int_equal(error.kind, MST__ICMP_OTHER);
  }
}

/* RFC 1191 4: 16 bits behind 16 that are unused; RFC 4443 3.2: 32 bits. */
static void the_mtu_has_its_place_and_width(void **state) {
  (void)state;
  for (int ip4 = 0; ip4 < 2; ip4++) {
    uint8_t packet[512];
    struct mst__icmp_error error;
    size_t bytes = error_about(packet, ip4, ip4 ? 3 : 2, ip4 ? 4 : 0, 0, ALL);
    sim_put32(packet + (ip4 ? 20 : 40) + 4, 0x00010500);
    sim_packet_finish(packet, bytes);
    assert_int_equal(parse(packet, bytes, &error), MST_DROP_NONE);
    assert_int_equal(error.mtu, ip4 ? 0x0500 : 0x10500);
  }
}

static void eight_bytes_of_transport_are_enough_and_needed(void **state) {
  (void)state;
  for (int ip4 = 0; ip4 < 2; ip4++) {
    size_t ip = ip4 ? 20 : 40;
    for (size_t quote = 0; quote < ip + 30; quote++) {
      uint8_t packet[512];
      struct mst__icmp_error error;
      size_t bytes = error_about(packet, ip4, ip4 ? 3 : 1, ip4 ? 1 : 3, 0, quote);
      assert_int_equal(parse(packet, bytes, &error), quote < ip + 8 ? MST_DROP_ICMP : MST_DROP_NONE);
    }
  }
}

static void every_flipped_bit_shows_in_the_checksum(void **state) {
  (void)state;
  for (int ip4 = 0; ip4 < 2; ip4++) {
    uint8_t packet[512];
    struct mst__icmp_error error;
    size_t bytes = error_about(packet, ip4, ip4 ? 3 : 1, 4, 0, ALL);
    for (size_t bit = (ip4 ? 20 : 40) * 8; bit < bytes * 8; bit++) {
      packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
      assert_int_equal(parse(packet, bytes, &error), MST_DROP_ICMP);
      packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
  }
}

/* An error about `sent` after one byte of it was changed. */
static enum mst_drop about_changed(bool ip4, size_t at, uint8_t value, struct mst__icmp_error *error) {
  uint8_t sent[256], packet[512];
  size_t bytes = quoted_segment(sent, ip4);
  struct mst_addr router = addr(ip4 ? router4 : router6);
  bytes = sim_icmp_build(packet, &router, ip4 ? 3 : 1, ip4 ? 1 : 3, 0, sent, bytes, ALL);
  size_t quote = (ip4 ? 20 : 40) + 8;
  packet[quote + at] = value;
  sim_packet_finish(packet, bytes);
  return parse(packet, bytes, error);
}

static void distrusts_what_we_cannot_have_sent(void **state) {
  (void)state;
  struct mst__icmp_error error;
  assert_int_equal(about_changed(true, 8, 1, &error), MST_DROP_NONE);        /* TTL counted down, checksum stale */
  assert_int_equal(about_changed(true, 15, 99, &error), MST_DROP_ICMP);      /* somebody else's packet */
  assert_int_equal(about_changed(true, 0, 0x44, &error), MST_DROP_ICMP);     /* header of 16 bytes */
  assert_int_equal(about_changed(true, 0, 0x65, &error), MST_DROP_ICMP);     /* the other version */
  assert_int_equal(about_changed(true, 7, 1, &error), MST_DROP_ICMP);        /* a later fragment: no ports in it */
  assert_int_equal(about_changed(true, 9, MST_ICMP, &error), MST_DROP_ICMP); /* not of a stack */
  assert_int_equal(about_changed(false, 23, 99, &error), MST_DROP_ICMP);
  assert_int_equal(about_changed(false, 0, 0x45, &error), MST_DROP_ICMP);
  assert_int_equal(about_changed(false, 6, 43, &error), MST_DROP_ICMP);
  assert_int_equal(about_changed(false, 6, MST_UDP, &error), MST_DROP_NONE);
  assert_int_equal(error.protocol, MST_UDP);
  assert_false(error.has_seq);
}

static void the_protocol_must_fit_the_version(void **state) {
  (void)state;
  uint8_t packet[512];
  struct mst__icmp_error error;
  size_t bytes = error_about(packet, true, 3, 3, 0, ALL);
  packet[9] = MST_ICMP6;
  sim_packet_finish(packet, bytes);
  assert_int_equal(parse(packet, bytes, &error), MST_DROP_ICMP);
  bytes = error_about(packet, false, 1, 4, 0, ALL);
  packet[6] = MST_ICMP;
  assert_int_equal(parse(packet, bytes, &error), MST_DROP_ICMP);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tells_the_kinds_apart),
      cmocka_unit_test(what_is_no_error_is_other),
      cmocka_unit_test(other_messages_need_no_quote),
      cmocka_unit_test(the_mtu_has_its_place_and_width),
      cmocka_unit_test(eight_bytes_of_transport_are_enough_and_needed),
      cmocka_unit_test(every_flipped_bit_shows_in_the_checksum),
      cmocka_unit_test(distrusts_what_we_cannot_have_sent),
      cmocka_unit_test(the_protocol_must_fit_the_version),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
