/* Leases: who may hold which tuple, in which order it is announced, and ephemeral ports. */
#include "switch_rig.h"

static bool held(const struct rig *rig, const char *address, uint16_t port) {
  struct mst_endpoint local = {.addr = addr(address), .port = port};
  return mst_switch_holds(rig->sw, MST_TCP, &local);
}

static int tcp(struct rig *rig, unsigned channel, const char *address, uint16_t port, uint8_t flags) {
  return rig_lease(rig, channel, address, port, MST_TCP, flags);
}

static void a_tuple_has_one_holder(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig, false, NULL);
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, 0), 0);
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", 80, 0), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, 0), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", 81, 0), 0);
  assert_int_equal(tcp(&rig, 1, "10.0.0.2", 80, 0), 0);
  assert_int_equal(rig_lease(&rig, 1, "10.0.0.1", 80, MST_UDP, 0), 0);
  rig_release(&rig, 1, "10.0.0.1", 80, MST_TCP); /* not its holder */
  assert_true(held(&rig, "10.0.0.1", 80));
  rig_release(&rig, 0, "10.0.0.1", 80, MST_TCP);
  assert_false(held(&rig, "10.0.0.1", 80));
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", 80, 0), 0);
  rig_close(&rig);
}

static void wildcards_conflict_with_addresses(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig, false, NULL);
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, 0), 0);
  assert_int_equal(tcp(&rig, 1, "0.0.0.0", 80, 0), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 1, "::", 80, 0), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 1, "::", 80, MST_BIND_V6ONLY), 0);
  assert_int_equal(tcp(&rig, 0, "fd00::1", 80, 0), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 0, "0.0.0.0", 81, 0), 0);
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", 81, 0), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 1, "fd00::1", 81, 0), 0);
  assert_int_equal(tcp(&rig, 0, "::", 82, 0), 0);
  assert_int_equal(tcp(&rig, 1, "0.0.0.0", 82, 0), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", 82, 0), -MST_EADDRINUSE);
  rig_release(&rig, 0, "::", 82, MST_TCP);
  assert_int_equal(tcp(&rig, 1, "0.0.0.0", 82, 0), 0);
  rig_close(&rig);
}

static void groups_share_only_with_groups(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig, false, NULL);
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, MST_BIND_GROUP), 0);
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", 80, 0), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", 80, MST_BIND_GROUP), 0);
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", 80, MST_BIND_GROUP), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 2, "0.0.0.0", 80, 0), -MST_EADDRINUSE);
  assert_int_equal(tcp(&rig, 2, "0.0.0.0", 80, MST_BIND_GROUP), 0);
  rig_release(&rig, 0, "10.0.0.1", 80, MST_TCP);
  assert_true(held(&rig, "10.0.0.1", 80));
  mst_switch_detach(rig.sw, rig.id[1]);
  mst_switch_detach(rig.sw, rig.id[2]);
  assert_false(held(&rig, "10.0.0.1", 80));
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, 0), 0);
  rig_close(&rig);
}

static void impossible_tuples_are_refused(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig, false, NULL);
  assert_int_equal(tcp(&rig, 0, "224.0.0.1", 80, 0), -MST_EADDRNOTAVAIL);
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", 80, MST_ICMP, 0), -MST_EINVAL);
  struct mst_tuple tuple = rig_tuple("10.0.0.1", 80, MST_TCP, 0);
  assert_int_equal(mst_switch_lease(rig.sw, 1000, &tuple), -MST_EBADF);
  rig_close(&rig);
}

static void ephemeral_ports_are_free_and_unpredictable(void **state) {
  (void)state;
  enum { N = 2000 };
  struct rig rig;
  uint16_t ports[N];
  unsigned ascending = 0;
  rig_open(&rig, false, NULL);
  for (unsigned i = 0; i < N; i++) {
    struct mst_tuple tuple = rig_tuple("10.0.0.1", 0, MST_TCP, 0);
    assert_int_equal(mst_switch_lease(rig.sw, rig.id[i % 2], &tuple), 0);
    assert_true(tuple.port >= 32768 && tuple.port <= 60999);
    ports[i] = tuple.port;
    if (i) ascending += ports[i] > ports[i - 1];
  }
  assert_true(ascending > N / 3 && ascending < N * 2 / 3);
  rig_close(&rig);
}

static void ephemeral_ports_run_out(void **state) {
  (void)state;
  struct rig rig;
  struct mst_tuple tuple;
  unsigned count = 0;
  int error;
  rig_open(&rig, false, NULL);
  for (;; count++) {
    tuple = rig_tuple("10.0.0.1", 0, MST_UDP, 0);
    error = mst_switch_lease(rig.sw, rig.id[0], &tuple);
    if (error) break;
  }
  assert_int_equal(error, -MST_ENOBUFS);
  assert_int_equal(count, 60999 - 32768 + 1);
  rig_release(&rig, 0, "10.0.0.1", 40000, MST_UDP);
  tuple = rig_tuple("10.0.0.1", 0, MST_UDP, 0);
  assert_int_equal(mst_switch_lease(rig.sw, rig.id[0], &tuple), 0);
  assert_int_equal(tuple.port, 40000);
  rig_close(&rig);
}

static int block(struct rig *rig, unsigned channel, const char *address, unsigned count, uint16_t *ports) {
  struct mst_addr at = addr(address);
  return mst_switch_lease_block(rig->sw, rig->id[channel], MST_TCP, &at, count, ports);
}

static void blocks_of_ports_are_single_leases(void **state) {
  (void)state;
  struct rig rig;
  uint16_t ports[100] = {0};
  unsigned ascending = 0;
  rig_open(&rig, true, NULL);
  rig.os.local[0] = "10.0.0.1";
  assert_int_equal(block(&rig, 0, "10.0.0.1", 100, ports), 64);
  assert_int_equal(rig.os.reserved, 64);
  assert_int_equal(ports[64], 0);
  for (unsigned i = 0; i < 64; i++) {
    assert_true(held(&rig, "10.0.0.1", ports[i]));
    if (i) ascending += ports[i] > ports[i - 1];
    for (unsigned k = 0; k < i; k++) assert_int_not_equal(ports[k], ports[i]);
  }
  assert_true(ascending > 16 && ascending < 48);
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", ports[0], 0), -MST_EADDRINUSE);
  rig_release(&rig, 0, "10.0.0.1", ports[0], MST_TCP);
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", ports[0], 0), 0);
  assert_int_equal(block(&rig, 0, "10.0.0.1", 0, ports), -MST_EINVAL);
  assert_int_equal(block(&rig, 0, "224.0.0.1", 1, ports), -MST_EADDRNOTAVAIL);
  rig_close(&rig);
}

static void a_block_is_what_is_left(void **state) {
  (void)state;
  struct rig rig;
  uint16_t ports[64];
  int total = 0, got;
  rig_open(&rig, false, NULL);
  while ((got = block(&rig, 0, "10.0.0.1", 60, ports)) == 60) total += got;
  assert_int_equal(total + got, 28232);
  assert_int_equal(block(&rig, 0, "10.0.0.1", 1, ports), -MST_ENOBUFS);
  assert_int_equal(block(&rig, 1, "10.0.0.2", 1, ports), 1);
  rig_close(&rig);
}

static void leases_of_a_channel_are_bounded(void **state) {
  (void)state;
  struct rig rig;
  uint16_t ports[64];
  struct mst_switch_channel_options options = {.size = sizeof options, .leases_max = 10};
  rig_open(&rig, false, NULL);
  mst_switch_detach(rig.sw, rig.id[0]);
  assert_int_equal(mst_switch_attach(rig.sw, rig.channel[0], &options, &rig.id[0]), 0);
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, 0), 0);
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 81, MST_BIND_GROUP), 0);
  assert_int_equal(block(&rig, 0, "10.0.0.1", 64, ports), 8);
  assert_int_equal(block(&rig, 0, "10.0.0.1", 64, ports), -MST_ENOBUFS);
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 82, 0), -MST_ENOBUFS);
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", 82, MST_BIND_GROUP), 0);
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 82, MST_BIND_GROUP), -MST_ENOBUFS);
  struct mst_tuple tuple = rig_tuple("10.0.0.1", 82, MST_TCP, 0);
  assert_int_equal(mst_switch_transfer(rig.sw, rig.id[1], rig.id[0], &tuple), -MST_ENOBUFS);
  rig_release(&rig, 0, "10.0.0.1", 81, MST_TCP);
  assert_int_equal(mst_switch_transfer(rig.sw, rig.id[1], rig.id[0], &tuple), 0);
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 83, 0), -MST_ENOBUFS);
  rig_close(&rig);
}

static void the_os_has_its_say(void **state) {
  (void)state;
  static const int errors[] = {-MST_EADDRINUSE, -MST_EACCES, -MST_EADDRNOTAVAIL};
  struct rig rig;
  rig_open(&rig, true, NULL);
  rig.os.local[0] = "10.0.0.1";
  for (unsigned i = 0; i < COUNT(errors); i++) {
    rig.os.reserve_error = errors[i];
    assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, 0), errors[i]);
    assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, MST_BIND_GROUP), errors[i]);
    assert_false(held(&rig, "10.0.0.1", 80));
  }
  rig.os.reserve_error = 0;
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, MST_BIND_GROUP), 0);
  assert_int_equal(tcp(&rig, 1, "10.0.0.1", 80, MST_BIND_GROUP), 0);
  assert_int_equal(rig.os.reserved, 1); /* a group is one tuple to the OS */
  rig_release(&rig, 0, "10.0.0.1", 80, MST_TCP);
  assert_int_equal(rig.os.reserved, 1);
  rig_release(&rig, 1, "10.0.0.1", 80, MST_TCP);
  assert_int_equal(rig.os.reserved, 0);
  assert_int_equal(tcp(&rig, 0, "::", 80, 0), 0);
  mst_switch_detach(rig.sw, rig.id[0]);
  assert_int_equal(rig.os.reserved, 0);
  rig_close(&rig);
}

/* --- ports hear of tuples, in the right order --- */

static struct {
  struct rig *rig;
  unsigned added, removed;
  int error;
} heard;

static int hear_add(struct mst_port *port, const struct mst_tuple *tuple) {
  (void)port;
  struct mst_endpoint local = {.addr = tuple->addr, .port = tuple->port};
  assert_int_equal(heard.rig->os.reserved, 1);                            /* the OS's programs are out already */
  assert_false(mst_switch_holds(heard.rig->sw, tuple->protocol, &local)); /* and nobody is told yet */
  if (!heard.error) heard.added++;
  return heard.error;
}
static void hear_remove(struct mst_port *port, const struct mst_tuple *tuple) {
  (void)port;
  struct mst_endpoint local = {.addr = tuple->addr, .port = tuple->port};
  assert_false(mst_switch_holds(heard.rig->sw, tuple->protocol, &local));
  heard.removed++;
}

static void ports_are_told_first_and_untold_last(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig, true, NULL);
  rig.os.local[0] = "10.0.0.1";
  rig_add_port(&rig, 0, 5, 1500);
  struct mst_port_ops ops = *rig.port->ops;
  ops.tuple_add = hear_add;
  ops.tuple_remove = hear_remove;
  rig.port->ops = &ops;
  heard.rig = &rig;
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, 0), 0);
  assert_int_equal(heard.added, 1);
  rig_release(&rig, 0, "10.0.0.1", 80, MST_TCP);
  assert_int_equal(heard.removed, 1);
  /* A port that cannot: nothing is left of the attempt. */
  heard.error = -MST_ENOBUFS;
  assert_int_equal(tcp(&rig, 0, "10.0.0.1", 80, 0), -MST_ENOBUFS);
  assert_int_equal(rig.os.reserved, 0);
  assert_false(held(&rig, "10.0.0.1", 80));
  rig_close(&rig);
}

static void own_addresses_of_ports_need_no_reservation(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig, true, NULL);
  rig.os.local[0] = "10.0.0.1";
  assert_int_equal(mst_port_memory_pair(1500, &rig.port, &rig.far), 0);
  rig.port->addr4 = addr("10.9.0.2");
  assert_int_equal(mst_switch_add_port(rig.sw, rig.port), 0);
  rig.os.reserve_error = -MST_EADDRNOTAVAIL;
  assert_int_equal(tcp(&rig, 0, "10.9.0.2", 80, 0), 0);
  assert_int_equal(tcp(&rig, 0, "10.9.0.3", 80, 0), -MST_EADDRNOTAVAIL);
  rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_tuple_has_one_holder),
      cmocka_unit_test(wildcards_conflict_with_addresses),
      cmocka_unit_test(groups_share_only_with_groups),
      cmocka_unit_test(impossible_tuples_are_refused),
      cmocka_unit_test(ephemeral_ports_are_free_and_unpredictable),
      cmocka_unit_test(ephemeral_ports_run_out),
      cmocka_unit_test(blocks_of_ports_are_single_leases),
      cmocka_unit_test(a_block_is_what_is_left),
      cmocka_unit_test(leases_of_a_channel_are_bounded),
      cmocka_unit_test(the_os_has_its_say),
      cmocka_unit_test(ports_are_told_first_and_untold_last),
      cmocka_unit_test(own_addresses_of_ports_need_no_reservation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
