/* Whose a channel is: groups among one owner's channels, leases that wait in limbo, and their way from one channel to
 * another. */
#include "switch_rig.h"

static uint8_t buffer[65536];

static unsigned attach(struct rig *rig, mst_channel *channel, uint32_t owner) {
  struct mst_switch_channel_options options = {.size = sizeof options, .owner = owner};
  unsigned id = 0;
  assert_int_equal(mst_switch_attach(rig->sw, channel, &options, &id), 0);
  return id;
}

/* Channels 0 and 1 belong to one owner, channel 2 to another. */
static void open_owned(struct rig *rig, bool with_os) {
  rig_open(rig, with_os, NULL);
  rig->os.local[0] = "10.0.0.1";
  rig->os.local[1] = "10.0.0.3";
  for (unsigned i = 0; i < RIG_CHANNELS; i++) {
    mst_switch_detach(rig->sw, rig->id[i]);
    rig->id[i] = attach(rig, rig->channel[i], i < 2 ? 1000 : 1001);
  }
}

static int tcp(struct rig *rig, unsigned channel, const char *address, uint16_t port, uint8_t flags) {
  return rig_lease(rig, channel, address, port, MST_TCP, flags);
}

static void groups_are_of_one_owner(void **state) {
  (void)state;
  struct rig rig;
  open_owned(&rig, false);
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, MST_BIND_GROUP), 0);
  assert_int_equal(tcp(&rig, 2, "10.0.0.1", 80, MST_BIND_GROUP), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", 80, MST_BIND_GROUP), 0);
  assert_int_equal(tcp(&rig, 2, "0.0.0.0", 80, MST_BIND_GROUP), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 2, "10.0.0.2", 80, MST_BIND_GROUP), 0);
  assert_int_equal(tcp(&rig, 0, "0.0.0.0", 80, MST_BIND_GROUP), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 0, "::", 81, MST_BIND_GROUP), 0);
  assert_int_equal(tcp(&rig, 2, "10.0.0.2", 81, MST_BIND_GROUP), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 1, "10.0.0.2", 81, MST_BIND_GROUP), 0);
  rig_close(&rig);
}

/* A packet from channel 2 to 10.0.0.1:1000. */
static void send_to_it(struct rig *rig) {
  uint8_t packet[200];
  size_t bytes = rig_udp(packet, "10.0.0.3", 3000, "10.0.0.1", 1000, 8);
  assert_int_equal(rig_send(rig, 2, packet, bytes, 0), 0);
  assert_int_equal(rig_process(rig), 1);
}

static void limbo_holds_and_drops(void **state) {
  (void)state;
  struct rig rig;
  open_owned(&rig, false);
  unsigned limbo = attach(&rig, NULL, 1000);
  struct mst_tuple tuple = rig_tuple("10.0.0.1", 1000, MST_UDP, 0);
  assert_int_equal(mst_switch_lease(rig.sw, limbo, &tuple), 0);
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", 1000, MST_UDP, 0), -MST_EADDRINUSE);
  assert_int_equal(rig_lease(&rig, 2, "10.0.0.3", 3000, MST_UDP, 0), 0);
  send_to_it(&rig);
  send_to_it(&rig);
  assert_int_equal(rig_drops(&rig, MST_DROP_AWAY), 2);
  assert_true(mst_switch_sleep(rig.sw));
  mst_switch_wake(rig.sw);
  mst_switch_detach(rig.sw, limbo);
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", 1000, MST_UDP, 0), 0);
  rig_close(&rig);
}

static void packets_of_a_port_to_limbo_are_dropped(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_owned(&rig, true);
  rig_add_port(&rig, 0, 5, 1500);
  unsigned limbo = attach(&rig, NULL, 1000);
  struct mst_tuple tuple = rig_tuple("10.0.0.1", 1000, MST_UDP, 0);
  assert_int_equal(mst_switch_adopt_lease(rig.sw, limbo, &tuple, 77), 0);
  rig_far_send(&rig, packet, rig_udp(packet, "10.9.9.9", 9, "10.0.0.1", 1000, 8), 0);
  rig_process(&rig);
  assert_int_equal(rig_drops(&rig, MST_DROP_AWAY), 1);
  assert_int_equal(rig_far_receive(&rig, buffer, NULL), 0);
  rig_close(&rig);
}

static struct { unsigned added, removed; } heard;
static int hear_add(struct mst_port *port, const struct mst_tuple *tuple) {
  (void)port;
  (void)tuple;
  heard.added++;
  return 0;
}
static void hear_remove(struct mst_port *port, const struct mst_tuple *tuple) {
  (void)port;
  (void)tuple;
  heard.removed++;
}

/* Adopted, handed to a stack, given up: the OS hears of the end alone, and ports of the first and the last. */
static void a_transfer_is_seen_by_nobody(void **state) {
  (void)state;
  struct rig rig;
  open_owned(&rig, true);
  rig_add_port(&rig, 0, 5, 1500);
  struct mst_port_ops ops = *rig.port->ops;
  ops.tuple_add = hear_add;
  ops.tuple_remove = hear_remove;
  rig.port->ops = &ops;
  heard.added = heard.removed = 0;
  rig.os.reserve_error = -MST_EADDRINUSE; /* nothing may be reserved anew */
  rig.os.reserved = 1;
  unsigned limbo = attach(&rig, NULL, 1000);
  struct mst_tuple tuple = rig_tuple("10.0.0.1", 1000, MST_UDP, 0);
  assert_int_equal(mst_switch_adopt_lease(rig.sw, limbo, &tuple, 77), 0);
  assert_int_equal(mst_switch_adopt_lease(rig.sw, limbo, &tuple, 78), -MST_EADDRINUSE);
  assert_int_equal(heard.added, 1);
  assert_int_equal(mst_switch_transfer(rig.sw, limbo, rig.id[2], &tuple), -MST_EACCES);
  assert_int_equal(mst_switch_transfer(rig.sw, rig.id[1], rig.id[0], &tuple), -MST_ENOENT);
  assert_int_equal(mst_switch_transfer(rig.sw, limbo, 1000, &tuple), -MST_EBADF);
  assert_int_equal(mst_switch_transfer(rig.sw, limbo, rig.id[0], &tuple), 0);
  assert_int_equal(heard.added, 1);
  assert_int_equal(heard.removed, 0);
  assert_int_equal(rig.os.reserved, 1);
  rig.os.reserve_error = 0;
  assert_int_equal(rig_lease(&rig, 2, "10.0.0.3", 3000, MST_UDP, 0), 0);
  send_to_it(&rig);
  assert_int_equal(rig_received(&rig, 0, buffer, NULL), 1);
  mst_switch_detach(rig.sw, limbo); /* it has nothing left */
  send_to_it(&rig);
  assert_int_equal(rig_received(&rig, 0, buffer, NULL), 1);
  rig_release(&rig, 0, "10.0.0.1", 1000, MST_UDP);
  assert_int_equal(heard.removed, 1);
  assert_int_equal(rig.os.reserved, 1); /* 10.0.0.3's */
  rig_close(&rig);
}

static void what_was_sent_before_the_transfer_is_forwarded(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_owned(&rig, false);
  struct mst_tuple tuple = rig_tuple("10.0.0.1", 1000, MST_UDP, 0);
  assert_int_equal(mst_switch_lease(rig.sw, rig.id[0], &tuple), 0);
  assert_int_equal(rig_lease(&rig, 2, "10.0.0.3", 3000, MST_UDP, 0), 0);
  size_t bytes = rig_udp(packet, "10.0.0.1", 1000, "10.0.0.3", 3000, 8);
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  assert_int_equal(mst_switch_transfer(rig.sw, rig.id[0], rig.id[1], &tuple), 0);
  assert_int_equal(rig_received(&rig, 2, buffer, NULL), 1);
  /* From here on it is another's. */
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  assert_int_equal(rig_send(&rig, 1, packet, bytes, 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 2, buffer, NULL), 1);
  assert_int_equal(rig_drops(&rig, MST_DROP_SOURCE_NOT_HELD), 1);
  rig_close(&rig);
}

/* Wildcards of both families stand in the table twice. */
static void wildcards_are_handed_over_whole(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_owned(&rig, false);
  struct mst_tuple tuple = rig_tuple("::", 1000, MST_UDP, 0);
  assert_int_equal(mst_switch_lease(rig.sw, rig.id[0], &tuple), 0);
  assert_int_equal(rig_lease(&rig, 2, "10.0.0.3", 3000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(&rig, 2, "fd00::3", 3000, MST_UDP, 0), 0);
  assert_int_equal(mst_switch_transfer(rig.sw, rig.id[0], rig.id[1], &tuple), 0);
  send_to_it(&rig);
  assert_int_equal(rig_send(&rig, 2, packet, rig_udp(packet, "fd00::3", 3000, "fd00::1", 1000, 8), 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 1, buffer, NULL), 2);
  rig_close(&rig);
}

/* Two members are away; each finds its own place again, and every flow the member that it had. */
static void seats_of_a_group_are_handed_over_with_their_flows(void **state) {
  (void)state;
  enum { FLOWS = 200 };
  struct rig rig;
  uint8_t packet[200];
  unsigned before[FLOWS], limbo[2];
  open_owned(&rig, false);
  struct mst_tuple tuple = rig_tuple("10.0.0.1", 1000, MST_UDP, MST_BIND_GROUP);
  for (unsigned i = 0; i < 2; i++) assert_int_equal(mst_switch_lease(rig.sw, rig.id[i], &tuple), 0);
  for (unsigned flow = 0; flow < FLOWS; flow++)
    assert_int_equal(rig_lease(&rig, 2, "10.0.0.3", 3000 + flow, MST_UDP, 0), 0);
  for (unsigned round = 0; round < 2; round++) {
    for (unsigned flow = 0; flow < FLOWS; flow++) {
      size_t bytes = rig_udp(packet, "10.0.0.3", 3000 + flow, "10.0.0.1", 1000, 8);
      assert_int_equal(rig_send(&rig, 2, packet, bytes, 0), 0);
      rig_process(&rig);
      unsigned got = rig_received(&rig, 0, buffer, NULL) ? 0 : 1;
      if (got == 1) assert_int_equal(rig_received(&rig, 1, buffer, NULL), 1);
      if (round) assert_int_equal(got, before[flow]);
      before[flow] = got;
    }
    for (unsigned i = 0; i < 2; i++) {
      limbo[i] = attach(&rig, NULL, 1000);
      assert_int_equal(mst_switch_transfer(rig.sw, rig.id[i], limbo[i], &tuple), 0);
    }
    assert_int_equal(mst_switch_transfer(rig.sw, limbo[1], limbo[0], &tuple), -MST_EADDRINUSE);
    for (unsigned i = 2; i--;) assert_int_equal(mst_switch_transfer(rig.sw, limbo[i], rig.id[i], &tuple), 0);
  }
  rig_close(&rig);
}

static void count_lease(const struct mst_tuple *tuple, void *user) {
  *(uint32_t *)user += tuple->port;
}

static void leases_can_be_listed(void **state) {
  (void)state;
  struct rig rig;
  uint32_t sum = 0;
  open_owned(&rig, false);
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, MST_BIND_GROUP), 0);
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 1000, 0), 0);
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", 80, MST_BIND_GROUP), 0);
  assert_int_equal(mst_switch_each_lease(rig.sw, rig.id[0], count_lease, &sum), 0);
  assert_int_equal(sum, 1080);
  rig_release(&rig, 0, "10.0.0.1", 80, MST_TCP);
  sum = 0;
  assert_int_equal(mst_switch_each_lease(rig.sw, rig.id[0], count_lease, &sum), 0);
  assert_int_equal(sum, 1000);
  assert_int_equal(mst_switch_each_lease(rig.sw, 99, count_lease, &sum), -MST_EBADF);
  rig_close(&rig);
}

static void what_is_not_held_is_not_released(void **state) {
  (void)state;
  struct rig rig;
  struct mst_endpoint local = {.addr = addr("10.0.0.1"), .port = 80};
  open_owned(&rig, false);
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, MST_BIND_GROUP), 0);
  rig_release(&rig, 1, "10.0.0.1", 80, MST_TCP);
  rig_release(&rig, 2, "10.0.0.1", 80, MST_TCP);
  rig_release(&rig, 0, "10.0.0.1", 81, MST_TCP);
  struct mst_tuple tuple = rig_tuple("10.0.0.1", 80, MST_TCP, 0);
  mst_switch_release(rig.sw, 4000000000u, &tuple);
  assert_true(mst_switch_holds(rig.sw, MST_TCP, &local));
  rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(groups_are_of_one_owner),
      cmocka_unit_test(limbo_holds_and_drops),
      cmocka_unit_test(packets_of_a_port_to_limbo_are_dropped),
      cmocka_unit_test(a_transfer_is_seen_by_nobody),
      cmocka_unit_test(what_was_sent_before_the_transfer_is_forwarded),
      cmocka_unit_test(wildcards_are_handed_over_whole),
      cmocka_unit_test(seats_of_a_group_are_handed_over_with_their_flows),
      cmocka_unit_test(leases_can_be_listed),
      cmocka_unit_test(what_is_not_held_is_not_released),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
