#include "sim/packet.h"
#include "unit.h"
#include "wire/checksum.h"
#include "wire/udp.h"

static enum mst_drop parse(const uint8_t *datagram, size_t bytes, struct mst__udp *out) {
  uint8_t *copy = exact(datagram, bytes);
  enum mst_drop drop = mst__udp_parse(copy, bytes, out);
  if (!drop) out->payload = datagram + (out->payload - copy);
  free(copy);
  return drop;
}

static void parses_what_it_builds(void **state) {
  (void)state;
  uint8_t datagram[16];
  struct mst__udp udp;
  memset(datagram, 0xa5, sizeof datagram);
  assert_int_equal(mst__udp_build(datagram, 53, 65535, 4), 8);
  assert_int_equal(parse(datagram, 12, &udp), MST_DROP_NONE);
  assert_int_equal(udp.source_port, 53);
  assert_int_equal(udp.destination_port, 65535);
  assert_int_equal(udp.checksum, 0);
  assert_ptr_equal(udp.payload, datagram + 8);
  assert_int_equal(udp.payload_bytes, 4);
  sim_put16(datagram + 6, 0x1234);
  assert_int_equal(parse(datagram, 12, &udp), MST_DROP_NONE);
  assert_int_equal(udp.checksum, 0x1234);
  mst__udp_build(datagram, 1, 2, 0);
  assert_int_equal(parse(datagram, 8, &udp), MST_DROP_NONE);
  assert_int_equal(udp.payload_bytes, 0);
}

static void the_length_field_rules(void **state) {
  (void)state;
  uint8_t datagram[16] = {0};
  struct mst__udp udp;
  for (unsigned length = 0; length < 20; length++) {
    sim_put16(datagram + 4, length);
    enum mst_drop drop = parse(datagram, 16, &udp);
    assert_int_equal(drop, length < 8 || length > 16 ? MST_DROP_UDP_HEADER : MST_DROP_NONE);
    if (!drop) assert_int_equal(udp.payload_bytes, length - 8);
  }
  for (size_t bytes = 0; bytes < 8; bytes++) assert_int_equal(parse(datagram, bytes, &udp), MST_DROP_SHORT);
}

static void checks_checksums(void **state) {
  (void)state;
  struct sim_random random = {7};
  for (int i = 0; i < 400; i++) {
    struct mst_endpoint from = {.addr = addr(i % 2 ? "10.0.0.1" : "fd00::1"), .port = 1};
    struct mst_endpoint to = {.addr = addr(i % 2 ? "10.0.0.2" : "fd00::2"), .port = 2};
    uint8_t data[100], packet[200];
    fill_random(&random, data, sizeof data);
    size_t bytes = sim_udp_build(packet, &from, &to, data, sim_random_below(&random, sizeof data));
    size_t ip = i % 2 ? 20 : 40, udp_bytes = bytes - ip;
    uint8_t *udp = exact(packet + ip, udp_bytes);
    assert_true(mst__udp_checksum_ok(&from.addr, &to.addr, udp, udp_bytes, false));
    udp[sim_random_below(&random, 6)] ^= 4;
    assert_false(mst__udp_checksum_ok(&from.addr, &to.addr, udp, udp_bytes, false));
    assert_false(mst__udp_checksum_ok(&from.addr, &to.addr, udp, udp_bytes, true));
    /* RFC 768: none is all right; RFC 8200 8.1: not over IPv6. */
    memset(udp + 6, 0, 2);
    assert_int_equal(mst__udp_checksum_ok(&from.addr, &to.addr, udp, udp_bytes, false), i % 2);
    uint16_t partial = mst__csum_fold(mst__csum_pseudo(&from.addr, &to.addr, MST_UDP, (uint32_t)udp_bytes));
    memcpy(udp + 6, &partial, 2);
    assert_true(mst__udp_checksum_ok(&from.addr, &to.addr, udp, udp_bytes, true));
    assert_false(mst__udp_checksum_ok(&from.addr, &to.addr, udp, 7, true));
    free(udp);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parses_what_it_builds),
      cmocka_unit_test(the_length_field_rules),
      cmocka_unit_test(checks_checksums),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
