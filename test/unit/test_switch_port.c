/* The switch between channels and ports: routes, neighbours, segmentation, checksums, and what comes from a wire. */
#include "switch_rig.h"

#define ETHERNET 14u

static uint8_t buffer[65536];

/* A host 10.0.0.1 / fd00::1 with one device, behind which everything else is. */
static void open_host(struct rig *rig, uint32_t caps, uint32_t mtu) {
  rig_open(rig, true, NULL);
  rig->os.local[0] = "10.0.0.1";
  rig->os.local[1] = "fd00::1";
  rig->os.ifindex = 5;
  rig_add_port(rig, caps, 5, mtu);
  assert_int_equal(rig_lease(rig, 0, "10.0.0.1", 1000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(rig, 0, "10.0.0.1", 1000, MST_TCP, 0), 0);
  assert_int_equal(rig_lease(rig, 0, "fd00::1", 1000, MST_TCP, 0), 0);
  assert_int_equal(rig_lease(rig, 1, "0.0.0.0", 2000, MST_UDP, 0), 0);
}

static size_t outward(uint8_t *out) {
  return rig_udp(out, "10.0.0.1", 1000, "10.0.0.7", 7, 32);
}
static size_t inward(uint8_t *out) {
  return rig_udp(out, "10.0.0.7", 7, "10.0.0.1", 1000, 32);
}

static void sends_what_nobody_here_holds(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_host(&rig, 0, 1500);
  for (int i = 0; i < 3; i++) {
    size_t bytes = outward(packet);
    assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
    assert_int_equal(rig_process(&rig), 1);
    assert_int_equal(rig_far_receive(&rig, buffer, NULL), bytes);
    assert_memory_equal(buffer, packet, bytes);
  }
  unsigned asked = rig.os.route_questions;
  rig_send(&rig, 0, packet, outward(packet), 0);
  rig_process(&rig);
  assert_int_equal(rig.os.route_questions, asked); /* remembered */
  rig.os.ifindex = 0;
  mst_switch_routes_changed(rig.sw);
  rig_expect_drop(&rig, packet, outward(packet), MST_DROP_NO_ROUTE);
  rig.os.ifindex = 6;
  mst_switch_routes_changed(rig.sw);
  rig_expect_drop(&rig, packet, outward(packet), MST_DROP_NO_PORT);
  rig_close(&rig);
}

static void wildcard_sends_from_this_hosts_addresses_only(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_host(&rig, 0, 1500);
  assert_int_equal(rig_send(&rig, 1, packet, rig_udp(packet, "10.0.0.1", 2000, "10.0.0.7", 7, 8), 0), 0);
  rig_process(&rig);
  assert_int_not_equal(rig_far_receive(&rig, buffer, NULL), 0);
  assert_int_equal(rig_send(&rig, 1, packet, rig_udp(packet, "10.0.0.66", 2000, "10.0.0.7", 7, 8), 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_far_receive(&rig, buffer, NULL), 0);
  assert_int_equal(rig_drops(&rig, MST_DROP_SOURCE_NOT_HELD), 1);
  /* Nor does it take what is for another host. */
  assert_int_equal(rig_send(&rig, 0, packet, rig_udp(packet, "10.0.0.1", 1000, "10.0.0.66", 2000, 8), 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 1, NULL, NULL), 0);
  assert_int_not_equal(rig_far_receive(&rig, buffer, NULL), 0);
  rig_far_send(&rig, packet, rig_udp(packet, "10.0.0.7", 7, "10.0.0.66", 2000, 8), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 1, NULL, NULL), 0);
  assert_int_equal(rig_drops(&rig, MST_DROP_NOT_HELD), 1);
  rig_close(&rig);
}

static void loopback_addresses_stay_inside(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_host(&rig, 0, 1500);
  assert_int_equal(rig_lease(&rig, 0, "127.0.0.1", 1000, MST_UDP, 0), 0);
  rig_expect_drop(&rig, packet, rig_udp(packet, "127.0.0.1", 1000, "10.0.0.7", 7, 8), MST_DROP_SOURCE_ADDRESS);
  rig_far_send(&rig, packet, rig_udp(packet, "10.0.0.7", 7, "127.0.0.1", 1000, 8), 0);
  rig_far_send(&rig, packet, rig_udp(packet, "127.0.0.1", 7, "10.0.0.1", 1000, 8), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 0, NULL, NULL), 0);
  assert_int_equal(rig_drops(&rig, MST_DROP_DESTINATION_ADDRESS), 1);
  assert_int_equal(rig_drops(&rig, MST_DROP_SOURCE_ADDRESS), 2);
  rig_close(&rig);
}

static void the_os_is_behind_its_loopback(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  struct mst_route route;
  open_host(&rig, 0, 1500);
  struct mst_addr self = addr("10.0.0.1");
  size_t bytes = rig_udp(packet, "10.0.0.1", 1000, "10.0.0.1", 22, 8);
  rig_expect_drop(&rig, packet, bytes, MST_DROP_NO_PORT);
  rig.port->caps |= MST_PORT_OS_LOOPBACK;
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_far_receive(&rig, buffer, NULL), bytes);
  assert_int_equal(mst_switch_route(rig.sw, &self, &route), 0);
  assert_int_equal(route.flags, MST_ROUTE_LOCAL);
  assert_int_equal(route.mtu, 1500);
  rig_close(&rig);
}

static void routes_tell_source_and_mtu(void **state) {
  (void)state;
  struct rig rig;
  struct mst_route route;
  open_host(&rig, 0, 1400);
  struct mst_addr far = addr("10.0.0.7"), self = addr("10.0.0.1"), loopback = addr("127.0.0.1");
  assert_int_equal(mst_switch_route(rig.sw, &far, &route), 0);
  assert_true(mst_addr_equal(&route.source, &self));
  assert_int_equal(route.mtu, 1400); /* the port's is smaller */
  assert_int_equal(route.flags, 0);
  assert_int_equal(mst_switch_route(rig.sw, &loopback, &route), 0);
  assert_true(mst_addr_equal(&route.source, &loopback));
  assert_int_equal(route.mtu, 65535);
  rig.os.ifindex = 0;
  mst_switch_routes_changed(rig.sw);
  assert_int_equal(mst_switch_route(rig.sw, &far, &route), -MST_ENETUNREACH);
  far = addr("224.0.0.1");
  assert_int_equal(mst_switch_route(rig.sw, &far, &route), -MST_ENETUNREACH);
  rig_close(&rig);
}

static void alone_everything_is_local(void **state) {
  (void)state;
  struct rig rig;
  struct mst_route route;
  rig_open(&rig, false, NULL);
  static const char *const pairs[][2] = {
      {"127.0.0.9", "127.0.0.1"}, {"10.1.2.3", "10.1.2.3"}, {"::1", "::1"}, {"fd00::5", "fd00::5"}};
  for (unsigned i = 0; i < COUNT(pairs); i++) {
    struct mst_addr destination = addr(pairs[i][0]), source = addr(pairs[i][1]);
    assert_int_equal(mst_switch_route(rig.sw, &destination, &route), 0);
    assert_true(mst_addr_equal(&route.source, &source));
    assert_int_equal(route.mtu, 65535);
    assert_int_equal(route.flags, MST_ROUTE_LOCAL);
  }
  rig_close(&rig);
}

static void alone_with_a_wire_the_rest_is_there(void **state) {
  (void)state;
  struct rig rig;
  struct mst_route route;
  uint8_t packet[200];
  rig_open(&rig, false, NULL);
  assert_int_equal(mst_port_memory_pair(1500, &rig.port, &rig.far), 0);
  rig.port->addr4 = addr("10.0.0.1");
  assert_int_equal(mst_switch_add_port(rig.sw, rig.port), 0);
  struct mst_addr far = addr("10.0.0.2"), self = addr("10.0.0.1");
  assert_int_equal(mst_switch_route(rig.sw, &far, &route), 0);
  assert_true(mst_addr_equal(&route.source, &self));
  assert_int_equal(route.mtu, 1500);
  assert_int_equal(rig_lease(&rig, 0, "0.0.0.0", 1000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.2", 1001, MST_UDP, 0), -MST_EADDRNOTAVAIL);
  size_t bytes = rig_udp(packet, "10.0.0.1", 1000, "10.0.0.2", 1000, 8);
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_far_receive(&rig, buffer, NULL), bytes);
  rig_far_send(&rig, packet, rig_udp(packet, "10.0.0.2", 1000, "10.0.0.1", 1000, 8), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 0, NULL, NULL), 1);
  /* A closed port of an address that nobody else has is refused on the wire. */
  rig_far_send(&rig, packet, rig_udp(packet, "10.0.0.2", 1000, "10.0.0.1", 9, 8), 0);
  rig_process(&rig);
  assert_int_not_equal(rig_far_receive(&rig, buffer, NULL), 0);
  assert_int_equal(buffer[9], MST_ICMP);
  rig_close(&rig);
}

/* --- neighbours --- */

static void frames_are_addressed_to_the_neighbour(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_host(&rig, MST_PORT_ETHERNET, 1500);
  rig.os.neighbour = MST_NEIGHBOUR_KNOWN;
  size_t bytes = outward(packet);
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_far_receive(&rig, buffer, NULL), ETHERNET + bytes);
  assert_memory_equal(buffer, "\x02\x00\x00\x00\x00\x99\x02\x00\x00\x00\x00\x01\x08\x00", ETHERNET);
  assert_memory_equal(buffer + ETHERNET, packet, bytes);
  rig_close(&rig);
}

static void packets_wait_for_the_neighbour(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_host(&rig, MST_PORT_ETHERNET, 1500);
  rig.os.neighbour = MST_NEIGHBOUR_PENDING;
  size_t bytes = outward(packet);
  for (int i = 0; i < 20; i++) assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_far_receive(&rig, buffer, NULL), 0);
  assert_int_equal(rig_drops(&rig, MST_DROP_NEIGHBOUR), 4); /* more than it keeps */
  assert_int_equal(rig.os.neighbour_questions, 1);
  rig.os.neighbour = MST_NEIGHBOUR_KNOWN;
  mst_switch_neighbours_changed(rig.sw);
  for (int i = 0; i < 16; i++) {
    assert_int_equal(rig_far_receive(&rig, buffer, NULL), ETHERNET + bytes);
    assert_memory_equal(buffer + ETHERNET, packet, bytes);
  }
  assert_int_equal(rig_far_receive(&rig, buffer, NULL), 0);
  rig_close(&rig);
}

static void waiting_ends_with_failure_or_time(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_host(&rig, MST_PORT_ETHERNET, 1500);
  rig.os.neighbour = MST_NEIGHBOUR_PENDING;
  rig_send(&rig, 0, packet, outward(packet), 0);
  rig_process(&rig);
  rig.os.neighbour = MST_NEIGHBOUR_FAILED;
  mst_switch_neighbours_changed(rig.sw);
  assert_int_equal(rig_drops(&rig, MST_DROP_NEIGHBOUR), 1);
  rig_expect_drop(&rig, packet, outward(packet), MST_DROP_NEIGHBOUR);
  rig.os.neighbour = MST_NEIGHBOUR_PENDING;
  rig_send(&rig, 0, packet, outward(packet), 0);
  rig_process(&rig);
  rig.now_ns += 10000 * RIG_MS;
  rig_process(&rig);
  assert_int_equal(rig_drops(&rig, MST_DROP_NEIGHBOUR), 3);
  rig_send(&rig, 0, packet, outward(packet), 0); /* left waiting when the switch goes */
  rig_process(&rig);
  rig_close(&rig);
}

/* What the switch itself finds out about the way, it tells the sender as a router would. */
static void expect_icmp(struct rig *rig, const uint8_t *about, uint8_t type, uint8_t code) {
  struct mst_packet meta = {0};
  uint8_t icmp[400];
  assert_int_equal(rig_received(rig, 0, icmp, &meta), 1);
  assert_true(sim_packet_checksums_ok(icmp, meta.len));
  assert_int_equal(icmp[9], MST_ICMP);
  assert_int_equal(icmp[20], type);
  assert_int_equal(icmp[21], code);
  assert_memory_equal(icmp + 28, about, 28);
}

static void senders_hear_what_is_wrong(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[2000];
  open_host(&rig, MST_PORT_ETHERNET, 1500);
  rig.os.neighbour = MST_NEIGHBOUR_FAILED;
  rig_expect_drop(&rig, packet, outward(packet), MST_DROP_NEIGHBOUR);
  expect_icmp(&rig, packet, 3, 1);
  rig.os.neighbour = MST_NEIGHBOUR_PENDING;
  for (int i = 0; i < 17; i++) rig_send(&rig, 0, packet, outward(packet), 0);
  rig_process(&rig);
  assert_int_equal(rig_drops(&rig, MST_DROP_NEIGHBOUR), 2);
  assert_int_equal(rig_received(&rig, 0, buffer, NULL), 0); /* nothing is known yet */
  rig.os.neighbour = MST_NEIGHBOUR_FAILED;
  mst_switch_neighbours_changed(rig.sw);
  assert_int_equal(rig_received(&rig, 0, buffer, NULL), 16);
  rig.os.neighbour = MST_NEIGHBOUR_KNOWN;
  rig.port->mtu = 100;
  size_t bytes = rig_udp(packet, "10.0.0.1", 1000, "10.0.0.7", 7, 140);
  rig_expect_drop(&rig, packet, bytes, MST_DROP_TOO_BIG);
  rig_expect_drop(&rig, packet, bytes, MST_DROP_TOO_BIG);
  assert_int_equal(rig_received(&rig, 0, buffer, NULL), 2);
  assert_memory_equal(buffer + 20, "\3\4", 2);
  assert_int_equal(sim_get16(buffer + 26), 100);
  rig.os.ifindex = 0;
  mst_switch_routes_changed(rig.sw);
  rig_expect_drop(&rig, packet, outward(packet), MST_DROP_NO_ROUTE);
  expect_icmp(&rig, packet, 3, 0);
  rig_close(&rig);
}

/* --- what a port cannot do itself --- */

static void send_large(struct rig *rig, bool ip4, uint8_t *payload, uint32_t bytes, uint16_t gso_size) {
  static uint8_t whole[70000];
  struct sim_segment segment = {.source = addr(ip4 ? "10.0.0.1" : "fd00::1"),
                                .destination = addr(ip4 ? "10.0.0.7" : "fd00::7"),
                                .source_port = 1000,
                                .destination_port = 7,
                                .seq = 5,
                                .flags = SIM_ACK | SIM_PSH,
                                .data = payload,
                                .data_bytes = bytes};
  uint32_t len = (uint32_t)sim_segment_build(whole, &segment);
  struct mst_packet packet = {
      .len = len,
      .gso_size = gso_size,
      .flags = MST_CSUM_PARTIAL,
      .iov_count = 3,
      .iov = {{whole, len - bytes}, {payload, bytes / 3}, {payload + bytes / 3, bytes - bytes / 3}}};
  assert_int_equal(mst_channel_send(rig->channel[0], &packet), 0);
}

static void expect_segments(struct rig *rig, const uint8_t *payload, uint32_t bytes, uint32_t from, uint16_t mss,
                            uint32_t until) {
  for (uint32_t offset = from; offset < until; offset += mss) {
    struct sim_segment segment;
    size_t len = rig_far_receive(rig, buffer, NULL);
    assert_true(sim_segment_parse(buffer, len, &segment));
    assert_true(sim_packet_checksums_ok(buffer, len));
    bool last = offset + mss >= bytes;
    assert_int_equal(segment.seq, 5 + offset);
    assert_int_equal(segment.data_bytes, last ? bytes - offset : mss);
    assert_int_equal(segment.flags, last ? SIM_ACK | SIM_PSH : SIM_ACK);
    assert_memory_equal(segment.data, payload + offset, segment.data_bytes);
  }
}

static void segments_where_the_port_does_not(bool ip4) {
  struct rig rig;
  struct mst_port_rx meta = {0};
  open_host(&rig, 0, 1500);
  uint8_t *payload = mst_channel_alloc(rig.channel[0], 60000);
  fill_random(&rig.random, payload, 60000);
  send_large(&rig, ip4, payload, 60000, 1400);
  assert_int_equal(rig_process(&rig), 1);
  expect_segments(&rig, payload, 60000, 0, 1400, 60000);
  assert_int_equal(rig_far_receive(&rig, buffer, NULL), 0);
  /* A port that does both gets it whole. */
  rig.port->caps = MST_PORT_TX_GSO | MST_PORT_TX_CSUM;
  send_large(&rig, ip4, payload, 60000, 1400);
  rig_process(&rig);
  assert_int_equal(rig_far_receive(&rig, buffer, &meta), 60000 + (ip4 ? 40 : 60));
  assert_int_equal(meta.gso_size, 1400);
  assert_int_equal(meta.flags, MST_CSUM_PARTIAL);
  send_large(&rig, ip4, payload, 60000, 1490);
  rig_process(&rig);
  assert_int_equal(rig_drops(&rig, MST_DROP_TOO_BIG), 1);
  rig_close(&rig);
}

static void segments_ip4(void **state) {
  (void)state;
  segments_where_the_port_does_not(true);
}
static void segments_ip6(void **state) {
  (void)state;
  segments_where_the_port_does_not(false);
}

static void completes_checksums(void **state) {
  (void)state;
  struct rig rig;
  struct mst_port_rx meta = {0};
  open_host(&rig, 0, 1500);
  uint8_t *payload = mst_channel_alloc(rig.channel[0], 1000);
  fill_random(&rig.random, payload, 1000);
  send_large(&rig, true, payload, 1000, 0);
  /* Make the checksum field what a stack leaves: the pseudo-header's sum. */
  struct mst__channel_end *end = &rig.sw->channels[rig.id[0]]->end;
  uint8_t *ip = end->tx[end->tx_tail & end->tx_mask].bytes;
  uint32_t sum = 6 + 1020;
  for (int i = 12; i < 20; i += 2) sum += sim_get16(ip + i);
  sim_put16(ip + 36, (sum & 0xffff) + (sum >> 16));
  rig_process(&rig);
  size_t len = rig_far_receive(&rig, buffer, &meta);
  assert_int_equal(len, 1040);
  assert_int_equal(meta.flags & MST_CSUM_PARTIAL, 0);
  assert_true(sim_packet_checksums_ok(buffer, len));
  rig_close(&rig);
}

static void full_port_holds_channels_up(void **state) {
  (void)state;
  struct rig rig;
  open_host(&rig, 0, 1500);
  uint8_t *payload = mst_channel_alloc(rig.channel[0], 60000);
  fill_random(&rig.random, payload, 60000);
  enum { N = 40 };
  for (int i = 0; i < N; i++) send_large(&rig, true, payload, 60000, 1400);
  size_t taken = rig_process(&rig);
  assert_true(taken > 5 && taken < N);
  assert_int_equal(rig_process(&rig), 0);
  /* It goes on where it stopped, in the middle of a packet, with nothing lost and nothing twice. */
  uint32_t offset = 0;
  for (uint32_t done = 0; done < N;) {
    struct sim_segment segment;
    size_t len = rig_far_receive(&rig, buffer, NULL);
    if (!len) {
      rig_process(&rig);
      continue;
    }
    assert_true(sim_segment_parse(buffer, len, &segment));
    assert_true(sim_packet_checksums_ok(buffer, len));
    assert_int_equal(segment.seq, 5 + offset);
    assert_memory_equal(segment.data, payload + offset, segment.data_bytes);
    offset += segment.data_bytes;
    if (offset < 60000) continue;
    offset = 0;
    done++;
  }
  assert_int_equal(rig_far_receive(&rig, buffer, NULL), 0);
  assert_int_equal(rig_drops(&rig, MST_DROP_TX_FULL), 0);
  rig_close(&rig);
}

static void port_that_is_gone(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_host(&rig, 0, 1500);
  rig.far->ops->close(rig.far);
  rig.far = NULL;
  rig_process(&rig);
  rig_expect_drop(&rig, packet, outward(packet), MST_DROP_PORT_DOWN);
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", 99, MST_UDP, 0), 0);
  rig_close(&rig);
}

/* --- from the wire --- */

static void far_drop(struct rig *rig, const uint8_t *packet, size_t bytes, enum mst_drop reason) {
  uint64_t before = rig_drops(rig, reason);
  rig_far_send(rig, packet, bytes, 0);
  rig_process(rig);
  assert_int_equal(rig_drops(rig, reason), before + 1);
  for (unsigned i = 0; i < RIG_CHANNELS; i++) assert_int_equal(rig_received(rig, i, NULL, NULL), 0);
}

static void the_wire_reaches_holders_alone(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  struct mst_packet meta = {0};
  open_host(&rig, 0, 1500);
  size_t bytes = inward(packet);
  rig_far_send(&rig, packet, bytes, 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 0, buffer, &meta), 1);
  assert_int_equal(meta.len, bytes);
  assert_int_equal(meta.flags, MST_CSUM_VALID); /* verified here, and not again */
  assert_memory_equal(buffer, packet, bytes);
  memset(packet + bytes, 0xaa, 10); /* padding of a short frame is cut off */
  rig_far_send(&rig, packet, bytes + 10, 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 0, buffer, &meta), 1);
  assert_int_equal(meta.len, bytes);
  far_drop(&rig, packet, rig_udp(packet, "10.0.0.7", 7, "10.0.0.1", 1001, 8), MST_DROP_NOT_HELD);
  far_drop(&rig, packet, rig_udp(packet, "224.0.0.1", 7, "10.0.0.1", 1000, 8), MST_DROP_SOURCE_ADDRESS);
  far_drop(&rig, packet, rig_udp(packet, "0.0.0.0", 7, "10.0.0.1", 1000, 8), MST_DROP_SOURCE_ADDRESS);
  rig_close(&rig);
}

static void bad_packets_from_the_wire_are_counted(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_host(&rig, 0, 1500);
  size_t bytes = inward(packet);
  packet[bytes - 1] ^= 1;
  far_drop(&rig, packet, bytes, MST_DROP_UDP_CHECKSUM);
  inward(packet);
  packet[10] ^= 1;
  far_drop(&rig, packet, bytes, MST_DROP_IP_CHECKSUM);
  inward(packet);
  sim_put16(packet + 6, 0x2000);
  sim_packet_finish(packet, bytes);
  far_drop(&rig, packet, bytes, MST_DROP_FRAGMENT); /* the first of several, with ports in it */
  sim_put16(packet + 6, 0x0002);
  sim_packet_finish(packet, bytes);
  far_drop(&rig, packet, bytes, MST_DROP_FRAGMENT); /* a later one: payload where ports would be */
  inward(packet);
  far_drop(&rig, packet, 22, MST_DROP_SHORT);
  packet[9] = 47;
  sim_packet_finish(packet, bytes);
  far_drop(&rig, packet, bytes, MST_DROP_PROTOCOL);
  rig_close(&rig);
}

static void partial_checksums_only_where_they_are_known(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_host(&rig, 0, 1500);
  size_t bytes = inward(packet);
  uint32_t sum = 17 + (uint32_t)bytes - 20;
  for (int i = 12; i < 20; i += 2) sum += sim_get16(packet + i);
  sim_put16(packet + 26, (sum & 0xffff) + (sum >> 16));
  far_drop(&rig, packet, bytes, MST_DROP_UDP_CHECKSUM);
  rig_far_send(&rig, packet, bytes, MST_CSUM_PARTIAL);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 0, NULL, NULL), 1);
  rig.port->caps |= MST_PORT_RX_CSUM_PARTIAL;
  rig_far_send(&rig, packet, bytes, 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 0, NULL, NULL), 1);
  packet[27] ^= 1;
  far_drop(&rig, packet, bytes, MST_DROP_UDP_CHECKSUM);
  rig_close(&rig);
}

static void icmp_errors_go_to_the_holder(void **state) {
  (void)state;
  struct rig rig;
  uint8_t sent[200], packet[400];
  open_host(&rig, 0, 1500);
  struct mst_addr router = addr("10.0.0.254");
  size_t sent_bytes = outward(sent);
  size_t bytes = sim_icmp_build(packet, &router, 3, 4, 1200, sent, sent_bytes, 28);
  rig_far_send(&rig, packet, bytes, 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 0, buffer, NULL), 1);
  assert_memory_equal(buffer, packet, bytes);
  /* About what another holds, nobody holds, or no packet of ours at all. */
  sent_bytes = rig_udp(sent, "10.0.0.1", 2000, "10.0.0.7", 7, 8);
  rig_far_send(&rig, packet, sim_icmp_build(packet, &router, 3, 3, 0, sent, sent_bytes, 28), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 0, NULL, NULL), 0);
  assert_int_equal(rig_received(&rig, 1, NULL, NULL), 1);
  sent_bytes = rig_udp(sent, "10.0.0.1", 9999, "10.0.0.7", 7, 8);
  far_drop(&rig, packet, sim_icmp_build(packet, &router, 3, 3, 0, sent, sent_bytes, 28), MST_DROP_NOT_HELD);
  far_drop(&rig, packet, sim_icmp_build(packet, &router, 8, 0, 0, sent, sent_bytes, 28), MST_DROP_ICMP);
  rig_close(&rig);
}

static void random_bytes_from_the_wire_harm_nothing(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[256];
  open_host(&rig, 0, 1500);
  for (unsigned i = 0; i < 20000; i++) {
    size_t bytes = i % 2 ? inward(packet) : rig_udp(packet, "fd00::7", 7, "fd00::1", 1000, 32);
    for (unsigned n = 0; n <= i % 5; n++)
      packet[sim_random_next(&rig.random) % bytes] = (uint8_t)sim_random_next(&rig.random);
    if (i % 3 == 0) bytes = sim_random_next(&rig.random) % bytes + 1;
    if (i % 2 && i % 7 == 0 && bytes > 20) sim_packet_finish(packet, bytes);
    rig_far_send(&rig, packet, bytes, 0);
    rig_process(&rig);
    while (rig_far_receive(&rig, buffer, NULL)) {
    }
    for (unsigned c = 0; c < RIG_CHANNELS; c++) rig_received(&rig, c, NULL, NULL);
  }
  rig_close(&rig);
}

static void a_device_has_one_port(void **state) {
  (void)state;
  struct rig rig;
  struct mst_port *second, *far;
  open_host(&rig, 0, 1500);
  assert_int_equal(mst_port_memory_pair(1500, &second, &far), 0);
  second->ifindex = 5;
  assert_int_equal(mst_switch_add_port(rig.sw, second), -MST_EEXIST);
  second->ops->close(second);
  far->ops->close(far);
  rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sends_what_nobody_here_holds),
      cmocka_unit_test(wildcard_sends_from_this_hosts_addresses_only),
      cmocka_unit_test(loopback_addresses_stay_inside),
      cmocka_unit_test(the_os_is_behind_its_loopback),
      cmocka_unit_test(routes_tell_source_and_mtu),
      cmocka_unit_test(alone_everything_is_local),
      cmocka_unit_test(alone_with_a_wire_the_rest_is_there),
      cmocka_unit_test(frames_are_addressed_to_the_neighbour),
      cmocka_unit_test(packets_wait_for_the_neighbour),
      cmocka_unit_test(waiting_ends_with_failure_or_time),
      cmocka_unit_test(senders_hear_what_is_wrong),
      cmocka_unit_test(segments_ip4),
      cmocka_unit_test(segments_ip6),
      cmocka_unit_test(completes_checksums),
      cmocka_unit_test(full_port_holds_channels_up),
      cmocka_unit_test(port_that_is_gone),
      cmocka_unit_test(the_wire_reaches_holders_alone),
      cmocka_unit_test(bad_packets_from_the_wire_are_counted),
      cmocka_unit_test(partial_checksums_only_where_they_are_known),
      cmocka_unit_test(icmp_errors_go_to_the_holder),
      cmocka_unit_test(random_bytes_from_the_wire_harm_nothing),
      cmocka_unit_test(a_device_has_one_port),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
