/* The tap port against this host's kernel: both families, 64 KB segments and unfinished checksums both ways, and
 * nothing left behind. */
#include "port_rig.h"

#define SPEC "tap:mst0,host=10.6.0.1/24,host=fd06::1/64,addr=10.6.0.2,addr=fd06::2"

static int setup(void **state) {
  *state = rig_open(SPEC);
  return 0;
}

static int teardown(void **state) {
  struct mst_port *port = *state;
  if (port) port->ops->close(port);
  return if_nametoindex("mst0") ? -1 : 0; /* it went with its descriptor */
}

/* The next TCP or UDP packet; the kernel's own chatter (MLD, router solicitations) goes by. */
static struct mst_port_rx receive(struct mst_port *port, uint8_t protocol, struct rig_packet *out) {
  struct mst_port_rx rx;
  for (;;) {
    assert_int_equal(rig_receive(port, &rx, 1), 1);
    if (rx.data[rx.data[0] >> 4 == 6 ? 6 : 9] != protocol) {
      port->ops->release(port);
      continue;
    }
    rig_parse(&rx, out);
    return rx;
  }
}

/* As rig_send, but the checksum is left to the receiver, and the segments too when `gso_size` says so. */
static void send_offloaded(struct mst_port *port, const struct rig_packet *packet, uint16_t gso_size) {
  uint8_t *room = port->ops->tx_reserve(port, 80 + packet->payload_bytes), transport[60];
  struct mst__tcp tcp = packet->tcp;
  tcp.source_port = packet->source_port;
  tcp.destination_port = packet->destination_port;
  size_t transport_bytes = mst__tcp_build(transport, &tcp);
  const struct mst__ip_fields fields = {.source = &packet->source,
                                        .destination = &packet->destination,
                                        .payload_bytes = (uint32_t)transport_bytes + packet->payload_bytes,
                                        .protocol = MST_TCP,
                                        .ttl = 64};
  size_t ip_bytes = mst__ip_build(room, &fields);
  uint16_t pseudo =
      mst__csum_fold(mst__csum_pseudo(&packet->source, &packet->destination, MST_TCP, fields.payload_bytes));
  memcpy(transport + 16, &pseudo, 2);
  memcpy(room + ip_bytes, transport, transport_bytes);
  if (packet->payload_bytes) memcpy(room + ip_bytes + transport_bytes, packet->payload, packet->payload_bytes);
  port->ops->tx_commit(port, (uint32_t)ip_bytes + fields.payload_bytes, gso_size, MST_CSUM_PARTIAL);
  port->ops->flush(port);
}

static void udp_goes_both_ways(struct mst_port *port, const char *host, const char *stack) {
  char answer[16];
  struct rig_packet in, out;
  int fd = rig_socket(HERE, SOCK_DGRAM, stack, 53, false);
  assert_int_equal(send(fd, "question", 8, 0), 8);
  struct mst_port_rx rx = receive(port, MST_UDP, &in);
  assert_int_equal(rx.flags, MST_CSUM_PARTIAL); /* the kernel left it to us */
  assert_int_equal(in.destination_port, 53);
  assert_memory_equal(in.payload, "question", 8);
  struct mst_addr expected = rig_addr(host);
  assert_true(mst_addr_equal(&in.source, &expected));
  out = rig_reply(&in);
  port->ops->release(port);
  out.payload = "answer";
  out.payload_bytes = 6;
  rig_send(port, &out, NULL); /* with a complete checksum */
  assert_true(rig_ready(fd, POLLIN));
  assert_int_equal(recv(fd, answer, sizeof answer, 0), 6);
  close(fd);
}

static void a_datagram_comes_and_goes(void **state) {
  udp_goes_both_ways(*state, "10.6.0.1", "10.6.0.2");
  udp_goes_both_ways(*state, "fd06::1", "fd06::2");
}

static void tcp_in_large_segments(struct mst_port *port, const char *stack) {
  static uint8_t data[60000], back[60000];
  struct rig_packet in, out;
  for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 11 + (i >> 8));
  int fd = rig_socket(HERE, SOCK_STREAM, stack, 8080, false);
  receive(port, MST_TCP, &in);
  out = rig_reply(&in);
  port->ops->release(port);
  out.tcp = (struct mst__tcp){.flags = MST__SYN | MST__ACK,
                              .seq = 1000,
                              .ack = in.tcp.seq + 1,
                              .window = 65535,
                              .options = {.has = MST__HAS_MSS, .mss = 1400}};
  send_offloaded(port, &out, 0);
  assert_true(rig_ready(fd, POLLOUT));

  assert_int_equal(send(fd, data, sizeof data, 0), sizeof data);
  uint32_t base = out.tcp.ack, next = base, largest = 0;
  while (next - base < sizeof data) {
    struct mst_port_rx rx = receive(port, MST_TCP, &in);
    if (in.payload_bytes && in.tcp.seq == next) {
      assert_memory_equal(in.payload, data + (next - base), in.payload_bytes);
      next += in.payload_bytes;
      if (rx.gso_size) assert_in_range(rx.gso_size, 1000, 1400);
      if (rx.gso_size && rx.len > largest) largest = rx.len;
    }
    port->ops->release(port);
    out.tcp = (struct mst__tcp){.flags = MST__ACK, .seq = 1001, .ack = next, .window = 65535};
    send_offloaded(port, &out, 0);
  }
  assert_true(largest > 10000);

  out.tcp.flags |= MST__PSH;
  out.payload = data;
  out.payload_bytes = sizeof data;
  send_offloaded(port, &out, 1400); /* one packet of 43 segments */
  for (size_t got = 0; got < sizeof back;) {
    assert_true(rig_ready(fd, POLLIN));
    ssize_t n = recv(fd, back + got, sizeof back - got, 0);
    assert_true(n > 0);
    got += (size_t)n;
  }
  assert_memory_equal(data, back, sizeof data);
  rig_reset(port, fd);
}

static void segments_of_64_kilobytes_cross_whole(void **state) {
  tcp_in_large_segments(*state, "10.6.0.2");
  tcp_in_large_segments(*state, "fd06::2");
}

static void what_cannot_be_said_is_dropped_and_counted(void **state) {
  struct mst_port *port = *state;
  struct mst_port_stats before, after;
  port->ops->get_stats(port, &before);
  uint8_t *room = port->ops->tx_reserve(port, 100);
  memset(room, 0, 100);
  room[0] = 0x45;
  room[9] = 47;
  port->ops->tx_commit(port, 100, 0, MST_CSUM_PARTIAL); /* a checksum of a protocol that has none */
  port->ops->tx_reserve(port, 100);
  port->ops->tx_commit(port, 100, 50, 0); /* segments, but a finished checksum */
  port->ops->tx_reserve(port, 100);
  port->ops->tx_commit(port, 3, 0, 0);
  port->ops->get_stats(port, &after);
  assert_int_equal(after.tx_dropped - before.tx_dropped, 3);
  assert_string_equal(after.mode, "tap");
}

/* Neither address lies in a prefix of the host's: a route leads to each. */
static void addresses_outside_a_prefix_get_a_route(void **state) {
  (void)state;
  struct mst_port *port = rig_open("tap:mst1,host=10.5.0.1/32,host=fd05::1/128,addr=10.55.0.2,addr=fd55::2");
  udp_goes_both_ways(port, "10.5.0.1", "10.55.0.2");
  udp_goes_both_ways(port, "fd05::1", "fd55::2");
  port->ops->close(port);
  assert_int_equal(if_nametoindex("mst1"), 0);
  assert_int_not_equal(rig_try("ip route show | grep -q 10.55"), 0);
}

static void a_name_in_use_is_refused(void **state) {
  (void)state;
  struct mst_port *second;
  struct mst_failure failure;
  assert_int_equal(mst_port_open(SPEC, &second, &failure), -MST_EBUSY);
  assert_non_null(strstr(failure.message, "another name"));
  assert_int_equal(mst_port_open("tap:lo,addr=10.6.0.9", &second, &failure), -MST_EINVAL);
}

static void a_device_that_is_deleted_is_told_quietly(void **state) {
  struct mst_port *port = *state;
  struct mst_port_rx rx[4];
  int received;
  rig_run("ip link del mst0");
  while ((received = rig_receive(port, rx, 4)) > 0) port->ops->release(port);
  assert_int_equal(received, -MST_ENETDOWN);
  assert_true(rig_quiet(port));
  struct rig_packet packet = {.source = rig_addr("10.6.0.2"),
                              .destination = rig_addr("10.6.0.1"),
                              .source_port = 1,
                              .destination_port = 2,
                              .protocol = MST_UDP};
  rig_send(port, &packet, NULL);
  struct mst_port_stats stats;
  port->ops->get_stats(port, &stats);
  assert_int_equal(stats.tx_dropped, 1);
}

int main(void) {
  rig_begin();
  if (access("/dev/net/tun", R_OK | W_OK)) {
    printf("skipped: no /dev/net/tun\n");
    return 77;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_datagram_comes_and_goes, setup, teardown),
      cmocka_unit_test_setup_teardown(segments_of_64_kilobytes_cross_whole, setup, teardown),
      cmocka_unit_test_setup_teardown(what_cannot_be_said_is_dropped_and_counted, setup, teardown),
      cmocka_unit_test(addresses_outside_a_prefix_get_a_route),
      cmocka_unit_test_setup_teardown(a_name_in_use_is_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(a_device_that_is_deleted_is_told_quietly, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
