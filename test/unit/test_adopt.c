/* What outlives a switch comes to the next one: reservations that are held already, ports that wait for their tuples.
 */
#include "switch_rig.h"

static bool held(const struct rig *rig, const char *address, uint16_t port) {
  struct mst_endpoint local = {.addr = addr(address), .port = port};
  return mst_switch_holds(rig->sw, MST_TCP, &local);
}

static int adopt(struct rig *rig, unsigned id, const char *address, uint16_t port, uint8_t flags) {
  struct mst_tuple tuple = rig_tuple(address, port, MST_TCP, flags);
  return mst_switch_adopt_lease(rig->sw, id, &tuple, port);
}

static void an_adopted_reservation_is_the_switchs(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig, true, NULL);
  rig.os.local[0] = "10.0.0.1";
  rig.os.reserve_error = -MST_EADDRINUSE; /* by the reservation itself */
  rig.os.reserved = 3;                    /* from before */
  assert_int_equal(adopt(&rig, rig.id[0], "10.0.0.1", 80, 0), 0);
  assert_int_equal(adopt(&rig, rig.id[0], "::", 81, 0), 0);
  assert_int_equal(adopt(&rig, rig.id[1], "10.0.0.1", 82, MST_BIND_GROUP), 0);
  assert_true(held(&rig, "10.0.0.1", 80));
  assert_int_equal(rig_lease(&rig, 1, "10.0.0.1", 80, MST_TCP, 0), -MST_EADDRINUSE);
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", 82, MST_TCP, MST_BIND_GROUP), 0); /* joins */
  assert_int_equal(rig.os.reserved, 3);
  rig_release(&rig, 0, "10.0.0.1", 80, MST_TCP);
  assert_int_equal(rig.os.reserved, 2);
  mst_switch_detach(rig.sw, rig.id[0]);
  mst_switch_detach(rig.sw, rig.id[1]);
  assert_int_equal(rig.os.reserved, 0);
  rig_close(&rig);
}

static void a_reservation_that_is_not_adopted_stays_the_callers(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig, true, NULL);
  rig.os.local[0] = "10.0.0.1";
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", 80, MST_TCP, 0), 0);
  assert_int_equal(adopt(&rig, rig.id[1], "10.0.0.1", 80, 0), -MST_EADDRINUSE);
  assert_int_equal(adopt(&rig, rig.id[1], "0.0.0.0", 80, 0), -MST_EADDRINUSE);
  assert_int_equal(adopt(&rig, rig.id[1], "10.0.0.1", 0, 0), -MST_EINVAL);
  assert_int_equal(adopt(&rig, 99, "10.0.0.1", 81, 0), -MST_EBADF);
  assert_int_equal(rig.os.reserved, 1);
  rig_close(&rig);
}

static struct mst_port_ops wired_ops; /* a memory port's, and these */
static unsigned added, added_at_begin;
static int begin_error;

static int hear_add(struct mst_port *port, const struct mst_tuple *tuple) {
  (void)port;
  (void)tuple;
  added++;
  return 0;
}
static void hear_remove(struct mst_port *port, const struct mst_tuple *tuple) {
  (void)port;
  (void)tuple;
}
static int hear_begin(struct mst_port *port) {
  (void)port;
  added_at_begin = added;
  return begin_error;
}

static int add_port(struct rig *rig) {
  assert_int_equal(mst_port_memory_pair(MST_PACKET_BYTES_MAX, &rig->port, &rig->far), 0);
  wired_ops = *rig->port->ops;
  wired_ops.tuple_add = hear_add;
  wired_ops.tuple_remove = hear_remove;
  wired_ops.begin = hear_begin;
  rig->port->ops = &wired_ops;
  added = 0;
  added_at_begin = 99;
  return mst_switch_add_port(rig->sw, rig->port);
}

static void a_port_begins_when_it_knows_all_tuples(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig, true, NULL);
  rig.os.local[0] = "10.0.0.1";
  for (uint16_t port = 1; port <= 40; port++) assert_int_equal(adopt(&rig, rig.id[0], "10.0.0.1", port, 0), 0);
  assert_int_equal(add_port(&rig), 0);
  assert_int_equal(added_at_begin, 40);
  rig_close(&rig);
}

static void a_port_that_does_not_begin_is_not_the_switchs(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig, true, NULL);
  begin_error = -MST_EPERM;
  assert_int_equal(add_port(&rig), -MST_EPERM);
  begin_error = 0;
  assert_int_equal(rig.sw->port_count, 0);
  rig.port->ops->close(rig.port);
  rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_adopted_reservation_is_the_switchs),
      cmocka_unit_test(a_reservation_that_is_not_adopted_stays_the_callers),
      cmocka_unit_test(a_port_begins_when_it_knows_all_tuples),
      cmocka_unit_test(a_port_that_does_not_begin_is_not_the_switchs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
