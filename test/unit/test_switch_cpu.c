/* The time of a channel's turns, by samples: about right for who sends, nothing for who does not. */
#include "switch_rig.h"

#define TURNS 20000u
#define TURN_NS 100u

static uint64_t ticking(void *ctx) {
  uint64_t *now_ns = ctx;
  return *now_ns += TURN_NS;
}

static void samples_stand_for_all_turns(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[256];
  uint64_t clock_ns = 1;
  struct mst_switch_stats sender, receiver;
  rig_open(&rig, false, NULL);
  rig.sw->clock_ns = ticking;
  rig.sw->clock_ctx = &clock_ns;
  assert_int_equal(rig_lease(&rig, 0, "127.0.0.1", 1000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(&rig, 1, "127.0.0.1", 2000, MST_UDP, 0), 0);
  size_t bytes = rig_udp(packet, "127.0.0.1", 1000, "127.0.0.1", 2000, 8);
  for (unsigned i = 0; i < TURNS; i++) {
    assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
    rig_process(&rig);
    assert_int_equal(rig_received(&rig, 1, NULL, NULL), 1);
  }
  mst_switch_channel_stats(rig.sw, rig.id[0], &sender);
  mst_switch_channel_stats(rig.sw, rig.id[1], &receiver);
  assert_in_range(sender.cpu_ns, TURNS * TURN_NS * 8 / 10, TURNS * TURN_NS * 12 / 10);
  assert_int_equal(receiver.cpu_ns, 0);
  rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(samples_stand_for_all_turns)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
