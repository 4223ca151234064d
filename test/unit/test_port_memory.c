/* The memory pair: what one end sends the other receives, in order, with its virtio-net meaning, and a full pipe says
 * when it has room again. */
#include "multistack/port.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct pair {
  struct mst_port *a, *b;
};

static int setup(void **state) {
  struct pair *pair = calloc(1, sizeof *pair);
  *state = pair;
  return mst_port_memory_pair(1500, &pair->a, &pair->b);
}

static int teardown(void **state) {
  struct pair *pair = *state;
  if (pair->a) pair->a->ops->close(pair->a);
  if (pair->b) pair->b->ops->close(pair->b);
  free(pair);
  return 0;
}

static bool readable(struct mst_port *port) {
  int fd;
  assert_int_equal(port->ops->wait_fds(port, &fd, 1), 1);
  return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) == 1;
}

static bool send_bytes(struct mst_port *port, uint32_t len, uint8_t fill, uint16_t gso_size, uint8_t flags) {
  uint8_t *room = port->ops->tx_reserve(port, len);
  if (!room) return false;
  memset(room, fill, len);
  port->ops->tx_commit(port, len, gso_size, flags);
  return true;
}

static void carries_packets_in_order_with_their_meaning(void **state) {
  struct pair *pair = *state;
  struct mst_port_rx rx[4];
  assert_false(readable(pair->b));
  assert_true(send_bytes(pair->a, 60, 1, 0, 0));
  assert_true(send_bytes(pair->a, 65535, 2, 1448, MST_CSUM_PARTIAL));
  assert_int_equal(pair->b->ops->receive(pair->b, rx, 4), 0); /* not flushed yet */
  pair->a->ops->flush(pair->a);
  assert_true(readable(pair->b));
  assert_int_equal(pair->b->ops->receive(pair->b, rx, 4), 2);
  assert_int_equal(rx[0].len, 60);
  assert_int_equal(rx[0].data[59], 1);
  assert_int_equal(rx[1].len, 65535);
  assert_int_equal(rx[1].data[65534], 2);
  assert_int_equal(rx[1].gso_size, 1448);
  assert_int_equal(rx[1].flags, MST_CSUM_PARTIAL);
  pair->b->ops->release(pair->b);
  assert_false(readable(pair->b));
  assert_int_equal(pair->b->ops->receive(pair->b, rx, 4), 0);
}

static void stays_readable_until_all_is_received(void **state) {
  struct pair *pair = *state;
  struct mst_port_rx rx[1];
  send_bytes(pair->a, 100, 1, 0, 0);
  send_bytes(pair->a, 100, 2, 0, 0);
  pair->a->ops->flush(pair->a);
  assert_int_equal(pair->b->ops->receive(pair->b, rx, 1), 1);
  pair->b->ops->release(pair->b);
  assert_true(readable(pair->b));
  assert_int_equal(pair->b->ops->receive(pair->b, rx, 1), 1);
  assert_false(readable(pair->b));
}

static void a_reservation_can_be_given_back_or_shortened(void **state) {
  struct pair *pair = *state;
  struct mst_port_rx rx[2];
  assert_non_null(pair->a->ops->tx_reserve(pair->a, 1000));
  pair->a->ops->tx_commit(pair->a, 0, 0, 0);
  uint8_t *room = pair->a->ops->tx_reserve(pair->a, 1000);
  room[0] = 7;
  pair->a->ops->tx_commit(pair->a, 1, 0, 0);
  pair->a->ops->flush(pair->a);
  assert_int_equal(pair->b->ops->receive(pair->b, rx, 2), 1);
  assert_int_equal(rx[0].len, 1);
  assert_int_equal(rx[0].data[0], 7);
}

static void a_full_pipe_refuses_and_then_signals_room(void **state) {
  struct pair *pair = *state;
  struct mst_port_rx rx[64];
  unsigned sent = 0, received = 0;
  while (send_bytes(pair->a, 60000, (uint8_t)sent, 0, 0)) sent++;
  assert_in_range(sent, 10, 20);
  pair->a->ops->flush(pair->a);
  assert_false(readable(pair->a));
  int n = pair->b->ops->receive(pair->b, rx, 64);
  assert_int_equal(n, sent);
  for (received = 0; received < sent; received++) assert_int_equal(rx[received].data[0], received);
  assert_null(pair->a->ops->tx_reserve(pair->a, 60000)); /* received is not yet released */
  pair->b->ops->release(pair->b);
  assert_true(readable(pair->a));
  assert_int_equal(pair->a->ops->receive(pair->a, rx, 64), 0);
  assert_false(readable(pair->a));
  assert_true(send_bytes(pair->a, 60000, 9, 0, 0));
}

static void wraps_many_times_without_loss(void **state) {
  struct pair *pair = *state;
  struct mst_port_rx rx[8];
  uint32_t next_out = 0, next_in = 0;
  while (next_in < 20000) {
    for (unsigned i = 0; i < 5; i++) {
      uint32_t len = 4 + next_out * 7919 % 3000;
      uint8_t *room = pair->a->ops->tx_reserve(pair->a, len);
      if (!room) break;
      memcpy(room, &next_out, 4);
      pair->a->ops->tx_commit(pair->a, len, 0, 0);
      next_out++;
    }
    pair->a->ops->flush(pair->a);
    int n = pair->b->ops->receive(pair->b, rx, 8);
    for (int i = 0; i < n; i++, next_in++) {
      assert_int_equal(rx[i].len, 4 + next_in * 7919 % 3000);
      assert_memory_equal(rx[i].data, &next_in, 4);
    }
    pair->b->ops->release(pair->b);
  }
  struct mst_port_stats stats;
  pair->b->ops->get_stats(pair->b, &stats);
  assert_int_equal(stats.rx_packets, next_in);
  assert_string_equal(stats.mode, "memory");
}

static void the_peer_that_closes_is_a_device_that_is_gone(void **state) {
  struct pair *pair = *state;
  struct mst_port_rx rx[2];
  send_bytes(pair->a, 40, 1, 0, 0);
  pair->a->ops->flush(pair->a);
  pair->a->ops->close(pair->a);
  pair->a = NULL;
  assert_true(readable(pair->b));
  assert_int_equal(pair->b->ops->receive(pair->b, rx, 2), 1); /* sent before it closed */
  pair->b->ops->release(pair->b);
  assert_int_equal(pair->b->ops->receive(pair->b, rx, 2), -MST_ENETDOWN);
  assert_false(readable(pair->b)); /* a wait fd does not spin */
  assert_true(send_bytes(pair->b, 40, 1, 0, 0));
  struct mst_port_stats stats;
  pair->b->ops->get_stats(pair->b, &stats);
  assert_int_equal(stats.tx_dropped, 1);
}

static void refuses_an_impossible_mtu(void **state) {
  (void)state;
  struct mst_port *a, *b;
  assert_int_equal(mst_port_memory_pair(0, &a, &b), -MST_EINVAL);
  assert_int_equal(mst_port_memory_pair(70000, &a, &b), -MST_EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(carries_packets_in_order_with_their_meaning, setup, teardown),
      cmocka_unit_test_setup_teardown(stays_readable_until_all_is_received, setup, teardown),
      cmocka_unit_test_setup_teardown(a_reservation_can_be_given_back_or_shortened, setup, teardown),
      cmocka_unit_test_setup_teardown(a_full_pipe_refuses_and_then_signals_room, setup, teardown),
      cmocka_unit_test_setup_teardown(wraps_many_times_without_loss, setup, teardown),
      cmocka_unit_test_setup_teardown(the_peer_that_closes_is_a_device_that_is_gone, setup, teardown),
      cmocka_unit_test(refuses_an_impossible_mtu),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
