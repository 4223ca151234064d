/* ICMP from a channel: by policy, and then only about tuples that it holds, to who has asked for it. */
#include "switch_rig.h"

static uint8_t buffer[65536];

/* Channel 0 holds 10.0.0.1:1000 and fd00::1:1000 and may send ICMP errors, channel 1 holds 10.0.0.2:2000. */
static void open_pair(struct rig *rig, bool icmp_errors) {
  struct mst_switch_channel_options options = {.size = sizeof options, .icmp_errors = icmp_errors};
  rig_open(rig, false, NULL);
  mst_switch_detach(rig->sw, rig->id[0]);
  assert_int_equal(mst_switch_attach(rig->sw, rig->channel[0], &options, &rig->id[0]), 0);
  assert_int_equal(rig_lease(rig, 0, "10.0.0.1", 1000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(rig, 0, "fd00::1", 1000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(rig, 1, "10.0.0.2", 2000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(rig, 1, "fd00::2", 2000, MST_UDP, 0), 0);
}

/* Port unreachable from `router`, quoting a datagram from (from, from_port) to (to, to_port). */
static size_t unreachable(uint8_t *out, const char *router, const char *from, uint16_t from_port, const char *to,
                          uint16_t to_port, uint8_t type, uint8_t code) {
  uint8_t quoted[200];
  struct mst_addr source = addr(router);
  size_t bytes = rig_udp(quoted, from, from_port, to, to_port, 8);
  return sim_icmp_build(out, &source, type, code, 0, quoted, bytes, bytes);
}

static void nothing_without_permission(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[300];
  open_pair(&rig, false);
  rig_expect_drop(&rig, packet, unreachable(packet, "10.0.0.1", "10.0.0.2", 2000, "10.0.0.1", 1000, 3, 3),
                  MST_DROP_PROTOCOL);
  rig_close(&rig);
}

static void port_unreachable_of_its_own(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[300];
  open_pair(&rig, true);
  size_t bytes = unreachable(packet, "10.0.0.1", "10.0.0.2", 2000, "10.0.0.1", 1000, 3, 3);
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 1, buffer, NULL), 1);
  assert_memory_equal(buffer, packet, bytes);
  bytes = unreachable(packet, "fd00::1", "fd00::2", 2000, "fd00::1", 1000, 1, 4);
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 1, buffer, NULL), 1);
  assert_memory_equal(buffer, packet, bytes);
  rig_close(&rig);
}

static void nothing_else(void **state) {
  (void)state;
  struct rig rig;
  uint8_t p[300];
  open_pair(&rig, true);
  /* of another's port, of nobody's, from another's address, about somebody else's packet */
  rig_expect_drop(&rig, p, unreachable(p, "10.0.0.2", "10.0.0.1", 1000, "10.0.0.2", 2000, 3, 3),
                  MST_DROP_SOURCE_NOT_HELD);
  rig_expect_drop(&rig, p, unreachable(p, "10.0.0.1", "10.0.0.2", 2000, "10.0.0.1", 1001, 3, 3),
                  MST_DROP_SOURCE_NOT_HELD);
  rig_expect_drop(&rig, p, unreachable(p, "10.0.0.9", "10.0.0.2", 2000, "10.0.0.1", 1000, 3, 3),
                  MST_DROP_SOURCE_NOT_HELD);
  size_t bytes = unreachable(p, "10.0.0.1", "10.0.0.2", 2000, "10.0.0.1", 1000, 3, 3);
  p[19] += 5; /* to a third */
  assert_int_equal(sim_get16(p + 4), 0);
  sim_put16(p + 4, 0xfffa); /* the identification makes up for it in the checksum */
  rig_expect_drop(&rig, p, bytes, MST_DROP_ICMP);
  /* too big, host unreachable, redirect, echo */
  static const uint8_t kinds[][2] = {{3, 4}, {3, 1}, {11, 0}};
  for (unsigned i = 0; i < COUNT(kinds); i++)
    rig_expect_drop(&rig, p, unreachable(p, "10.0.0.1", "10.0.0.2", 2000, "10.0.0.1", 1000, kinds[i][0], kinds[i][1]),
                    MST_DROP_PROTOCOL);
  rig_expect_drop(&rig, p, unreachable(p, "10.0.0.1", "10.0.0.2", 2000, "10.0.0.1", 1000, 5, 0), MST_DROP_PROTOCOL);
  bytes = unreachable(p, "10.0.0.1", "10.0.0.2", 2000, "10.0.0.1", 1000, 3, 3);
  p[bytes - 1] ^= 1; /* the checksum */
  rig_expect_drop(&rig, p, bytes, MST_DROP_ICMP);
  bytes = unreachable(p, "10.0.0.1", "10.0.0.2", 2000, "10.0.0.1", 1000, 3, 3);
  assert_int_equal(rig_send(&rig, 0, p, bytes, MST_CSUM_PARTIAL), 0);
  rig_process(&rig);
  assert_int_equal(rig_drops(&rig, MST_DROP_DESCRIPTOR), 1);
  assert_int_equal(rig_received(&rig, 1, NULL, NULL), 0);
  rig_close(&rig);
}

static void leaves_by_a_port(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[300];
  struct mst_port_rx meta;
  open_pair(&rig, true);
  rig_add_port(&rig, 0, 0, 1500);
  size_t bytes = unreachable(packet, "10.0.0.1", "10.9.9.9", 9, "10.0.0.1", 1000, 3, 3);
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_far_receive(&rig, buffer, &meta), bytes);
  assert_memory_equal(buffer, packet, bytes);
  rig_close(&rig);
}

static void its_rate_is_limited(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[300];
  open_pair(&rig, true);
  size_t bytes = unreachable(packet, "10.0.0.1", "10.0.0.2", 2000, "10.0.0.1", 1000, 3, 3), got = 0;
  for (unsigned ms = 0; ms < 1000; ms++) {
    for (unsigned i = 0; i < 5; i++) assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
    rig_process(&rig);
    got += rig_received(&rig, 1, NULL, NULL);
  }
  assert_true(got > 900 && got < 1100);
  assert_int_equal(rig_drops(&rig, MST_DROP_ICMP_RATE), 5000 - got);
  assert_false(mst_switch_is_abusive(rig.sw, rig.id[0])); /* others made it say so */
  rig_close(&rig);
}

/* --- addresses that are nobody's own --- */

/* A socket can be bound to a broadcast address, or by ip_nonlocal_bind to any; a tuple of ours cannot. */
static void only_the_hosts_own_addresses_can_be_held(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig, true, NULL);
  rig.os.local[0] = "10.0.0.1";
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.255", 1000, MST_UDP, 0), -MST_EADDRNOTAVAIL);
  assert_int_equal(rig_lease(&rig, 0, "8.8.8.8", 53, MST_UDP, MST_BIND_GROUP), -MST_EADDRNOTAVAIL);
  assert_int_equal(rig.os.reserved, 0);
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", 1000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(&rig, 0, "0.0.0.0", 1001, MST_UDP, 0), 0);
  rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_without_permission),
      cmocka_unit_test(port_unreachable_of_its_own),
      cmocka_unit_test(nothing_else),
      cmocka_unit_test(leaves_by_a_port),
      cmocka_unit_test(its_rate_is_limited),
      cmocka_unit_test(only_the_hosts_own_addresses_can_be_held),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
