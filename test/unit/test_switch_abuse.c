/* What is held against a channel, how much of it, and for how long. */
#include "switch_rig.h"

static void open_pair(struct rig *rig) {
  rig_open(rig, false, NULL);
  assert_int_equal(rig_lease(rig, 0, "10.0.0.1", 1000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(rig, 1, "10.0.0.2", 2000, MST_UDP, 0), 0);
}

static bool abusive(const struct rig *rig, unsigned channel) {
  return mst_switch_is_abusive(rig->sw, rig->id[channel]);
}

/* `count` packets with the source port `port`, in no time. */
static void send_as(struct rig *rig, uint16_t port, unsigned count) {
  uint8_t packet[200];
  size_t bytes = rig_udp(packet, "10.0.0.1", port, "10.0.0.2", 2000, 8);
  for (unsigned sent = 0; sent < count; sent++) {
    assert_int_equal(rig_send(rig, 0, packet, bytes, 0), 0);
    if (sent % 500 == 499) mst_switch_process_channels(rig->sw, 1024, rig->now_ns);
    if (sent % 500 == 499) rig_received(rig, 1, NULL, NULL);
  }
  mst_switch_process_channels(rig->sw, 1024, rig->now_ns);
}

static void forged_sources_are_abuse_after_a_while(void **state) {
  (void)state;
  struct rig rig;
  open_pair(&rig);
  send_as(&rig, 1001, 9999);
  assert_false(abusive(&rig, 0));
  send_as(&rig, 1001, 1);
  assert_true(abusive(&rig, 0));
  assert_false(abusive(&rig, 1));
  rig.now_ns += 60000 * RIG_MS;
  send_as(&rig, 1000, 1);
  assert_true(abusive(&rig, 0)); /* for good */
  rig_close(&rig);
}

static void mistakes_are_forgotten(void **state) {
  (void)state;
  struct rig rig;
  open_pair(&rig);
  for (unsigned second = 0; second < 30; second++) {
    send_as(&rig, 1001, 900);
    rig.now_ns += 1000 * RIG_MS;
  }
  assert_false(abusive(&rig, 0));
  for (unsigned second = 0; second < 30; second++) {
    send_as(&rig, 1001, 2000);
    rig.now_ns += 1000 * RIG_MS;
  }
  assert_true(abusive(&rig, 0));
  rig_close(&rig);
}

static void impossible_indices_are_abuse_soon(void **state) {
  (void)state;
  struct rig rig;
  open_pair(&rig);
  struct mst__channel_header *header = rig.sw->channels[rig.id[0]]->end.header;
  for (unsigned i = 0; i < 100; i++) {
    assert_false(abusive(&rig, 0));
    header->tx_head.value += 100000;
    rig_process(&rig);
  }
  assert_int_equal(rig_drops(&rig, MST_DROP_DESCRIPTOR), 100);
  header->tx_head.value += 100000;
  rig_process(&rig); /* what leaked away meanwhile */
  header->tx_head.value += 100000;
  rig_process(&rig);
  assert_true(abusive(&rig, 0));
  rig_close(&rig);
}

static void misfortune_is_not_abuse(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_pair(&rig);
  size_t bytes = rig_udp(packet, "10.0.0.1", 1000, "10.0.0.9", 9, 8); /* nobody */
  for (unsigned i = 0; i < 20000; i++) {
    assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
    if (i % 500 == 499) mst_switch_process_channels(rig.sw, 1024, rig.now_ns);
    if (i % 500 == 499) rig_received(&rig, 0, NULL, NULL);
  }
  assert_false(abusive(&rig, 0));
  assert_true(rig_drops(&rig, MST_DROP_NOT_HELD) > 19000);
  rig_close(&rig);
}

static void others_can_blame_too(void **state) {
  (void)state;
  struct rig rig;
  open_pair(&rig);
  mst_switch_blame(rig.sw, rig.id[1], 9000);
  assert_false(abusive(&rig, 1));
  mst_switch_blame(rig.sw, rig.id[1], UINT32_MAX);
  assert_true(abusive(&rig, 1));
  mst_switch_blame(rig.sw, 99, 1);
  assert_false(mst_switch_is_abusive(rig.sw, 99));
  rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(forged_sources_are_abuse_after_a_while),
      cmocka_unit_test(mistakes_are_forgotten),
      cmocka_unit_test(impossible_indices_are_abuse_soon),
      cmocka_unit_test(misfortune_is_not_abuse),
      cmocka_unit_test(others_can_blame_too),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
