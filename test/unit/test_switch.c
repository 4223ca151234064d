/* The switch between channels: who may send as what, who gets what, and what is dropped for which reason. The first
 * tests are what the first MultiStack got wrong. */
#include "switch_rig.h"

static uint8_t buffer[65536];

/* Channel 0 holds 10.0.0.1:1000, channel 1 10.0.0.2:2000 (UDP and TCP), the same in IPv6. */
static void open_pair(struct rig *rig) {
  static const uint8_t protocols[] = {MST_UDP, MST_TCP};
  rig_open(rig, false, NULL);
  for (unsigned i = 0; i < 2; i++) {
    assert_int_equal(rig_lease(rig, 0, "10.0.0.1", 1000, protocols[i], 0), 0);
    assert_int_equal(rig_lease(rig, 1, "10.0.0.2", 2000, protocols[i], 0), 0);
    assert_int_equal(rig_lease(rig, 0, "fd00::1", 1000, protocols[i], 0), 0);
    assert_int_equal(rig_lease(rig, 1, "fd00::2", 2000, protocols[i], 0), 0);
  }
}

static size_t good(uint8_t *out) {
  return rig_udp(out, "10.0.0.1", 1000, "10.0.0.2", 2000, 32);
}

static void stack_to_stack(bool ip4) {
  struct rig rig;
  struct mst_packet meta = {0};
  uint8_t packet[200];
  open_pair(&rig);
  size_t bytes = ip4 ? good(packet) : rig_udp(packet, "fd00::1", 1000, "fd00::2", 2000, 32);
  assert_int_equal(rig_send(&rig, 0, packet, bytes, MST_CSUM_PARTIAL), 0);
  assert_int_equal(rig_process(&rig), 1);
  assert_int_equal(rig_received(&rig, 1, buffer, &meta), 1);
  assert_int_equal(meta.len, bytes);
  assert_int_equal(meta.flags, MST_CSUM_PARTIAL | MST_CSUM_VALID);
  assert_memory_equal(buffer, packet, bytes);
  assert_int_equal(rig_process(&rig), 0);
  struct mst_switch_stats stats;
  mst_switch_get_stats(rig.sw, &stats);
  assert_int_equal(stats.from_channel_packets, 1);
  assert_int_equal(stats.to_channel_bytes, bytes);
  rig_close(&rig);
}

static void delivers_between_two_stacks_ip4(void **state) {
  (void)state;
  stack_to_stack(true);
}
static void delivers_between_two_stacks_ip6(void **state) {
  (void)state;
  stack_to_stack(false);
}

static void source_of_another_stack_is_refused(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_pair(&rig);
  /* Channel 0 as channel 1, which is registered. */
  size_t bytes = rig_udp(packet, "10.0.0.2", 2000, "10.0.0.2", 2000, 8);
  rig_expect_drop(&rig, packet, bytes, MST_DROP_SOURCE_NOT_HELD);
  bytes = rig_udp(packet, "fd00::2", 2000, "fd00::2", 2000, 8);
  rig_expect_drop(&rig, packet, bytes, MST_DROP_SOURCE_NOT_HELD);
  rig_close(&rig);
}

static void source_that_nobody_holds_is_refused(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_pair(&rig);
  size_t bytes = rig_udp(packet, "10.0.0.1", 1001, "10.0.0.2", 2000, 8);
  rig_expect_drop(&rig, packet, bytes, MST_DROP_SOURCE_NOT_HELD);
  bytes = rig_udp(packet, "10.0.0.3", 1000, "10.0.0.2", 2000, 8);
  rig_expect_drop(&rig, packet, bytes, MST_DROP_SOURCE_NOT_HELD);
  rig_release(&rig, 0, "10.0.0.1", 1000, MST_UDP);
  rig_expect_drop(&rig, packet, good(packet), MST_DROP_SOURCE_NOT_HELD);
  rig_close(&rig);
}

/* The last reset of a connection is sent, and its tuple let go of, before the switch has looked. */
static void what_was_sent_before_the_release_is_forwarded(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_pair(&rig);
  assert_int_equal(rig_send(&rig, 0, packet, good(packet), 0), 0);
  rig_release(&rig, 0, "10.0.0.1", 1000, MST_UDP);
  assert_int_equal(rig_drops(&rig, MST_DROP_SOURCE_NOT_HELD), 0);
  assert_int_equal(mst_switch_process_channels(rig.sw, 16, 0), 1);
  assert_int_equal(mst_switch_process_channels(rig.sw, 16, 0), 0);
  assert_int_equal(rig_received(&rig, 1, buffer, NULL), 1);
  rig_close(&rig);
}

/* The sender rewrites the packet after the switch has looked: what arrives is what was validated. */
static void what_is_validated_is_what_is_forwarded(void **state) {
  (void)state;
  struct rig rig;
  struct mst__outgoing packet;
  uint8_t bytes[200];
  open_pair(&rig);
  struct mst__channel_end *end = &rig.sw->channels[rig.id[0]]->end;
  assert_int_equal(rig_send(&rig, 0, bytes, good(bytes), 0), 0);
  assert_true(mst__tx_take(end, 0, &packet.taken));
  memset(end->tx[0].bytes, 0xff, sizeof end->tx[0].bytes);
  assert_int_equal(mst__validate(&packet), MST_DROP_NONE);
  assert_int_equal(mst__deliver_outgoing(rig.sw, rig.sw->channels[rig.id[0]], rig.sw->channels[rig.id[1]], &packet), 0);
  mst__deliver_publish(rig.sw);
  assert_int_equal(rig_received(&rig, 1, buffer, NULL), 1);
  assert_memory_equal(buffer, bytes, packet.taken.len);
  rig_close(&rig);
}

static void nothing_but_the_packet_is_copied(void **state) {
  (void)state;
  struct rig rig;
  uint8_t bytes[200];
  open_pair(&rig);
  size_t len = rig_udp(bytes, "10.0.0.1", 1000, "10.0.0.2", 2000, 1); /* 29: no multiple of anything */
  struct mst__channel_end *end = &rig.sw->channels[rig.id[0]]->end;
  memset(end->tx[0].bytes, 0xee, sizeof end->tx[0].bytes);
  assert_int_equal(rig_send(&rig, 0, bytes, len, 0), 0);
  rig_process(&rig);
  struct mst_packet packet;
  assert_int_equal(mst_channel_receive(rig.channel[1], &packet, 1), 1);
  for (size_t i = len; i < 64; i++) assert_int_equal(((const uint8_t *)packet.iov[0].base)[i], 0);
  rig_close(&rig);
}

static void fragments_are_not_read_as_ports(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_pair(&rig);
  size_t bytes = good(packet);
  static const uint16_t fields[] = {0x2000, 0x0001, 0x3fff, 0x2001};
  for (unsigned i = 0; i < COUNT(fields); i++) {
    sim_put16(packet + 6, fields[i]);
    sim_packet_finish(packet, bytes);
    rig_expect_drop(&rig, packet, bytes, MST_DROP_FRAGMENT);
  }
  bytes = rig_udp(packet, "fd00::1", 1000, "fd00::2", 2000, 32);
  packet[6] = 44;
  rig_expect_drop(&rig, packet, bytes, MST_DROP_FRAGMENT);
  rig_close(&rig);
}

static void malformed_headers_are_refused(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_pair(&rig);
  size_t bytes = good(packet);
  packet[0] = 0x55;
  rig_expect_drop(&rig, packet, bytes, MST_DROP_VERSION);
  packet[0] = 0x44;
  rig_expect_drop(&rig, packet, bytes, MST_DROP_IP_HEADER);
  packet[0] = 0x46;
  rig_expect_drop(&rig, packet, bytes, MST_DROP_IP_OPTION);
  good(packet);
  packet[10] ^= 1;
  rig_expect_drop(&rig, packet, bytes, MST_DROP_IP_CHECKSUM);
  good(packet);
  rig_expect_drop(&rig, packet, bytes - 1, MST_DROP_SHORT);
  rig_expect_drop(&rig, packet, 19, MST_DROP_SHORT);
  packet[8] = 0;
  sim_packet_finish(packet, bytes);
  rig_expect_drop(&rig, packet, bytes, MST_DROP_IP_HEADER);
  good(packet);
  packet[25]++; /* UDP length */
  rig_expect_drop(&rig, packet, bytes, MST_DROP_UDP_HEADER);
  rig_close(&rig);
}

static void malformed_ip6_headers_are_refused(void **state) {
  (void)state;
  static const uint8_t extensions[] = {0, 43, 51, 60, 135};
  struct rig rig;
  uint8_t packet[200];
  open_pair(&rig);
  size_t bytes = rig_udp(packet, "fd00::1", 1000, "fd00::2", 2000, 32);
  rig_expect_drop(&rig, packet, bytes - 1, MST_DROP_SHORT);
  rig_expect_drop(&rig, packet, 39, MST_DROP_SHORT);
  for (unsigned i = 0; i < COUNT(extensions); i++) {
    packet[6] = extensions[i];
    rig_expect_drop(&rig, packet, bytes, MST_DROP_IP_OPTION);
  }
  packet[6] = 58;
  rig_expect_drop(&rig, packet, bytes, MST_DROP_PROTOCOL);
  rig_udp(packet, "fd00::1", 1000, "fd00::2", 2000, 32);
  packet[7] = 0;
  rig_expect_drop(&rig, packet, bytes, MST_DROP_IP_HEADER);
  /* An IPv4-mapped source on the wire would pass for the IPv4 tuple. */
  rig_udp(packet, "fd00::1", 1000, "fd00::2", 2000, 32);
  memcpy(packet + 8, addr("10.0.0.1").bytes, 16);
  rig_expect_drop(&rig, packet, bytes, MST_DROP_SOURCE_ADDRESS);
  rig_close(&rig);
}

static void other_protocols_are_not_carried(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_pair(&rig);
  size_t bytes = good(packet);
  static const uint8_t protocols[] = {0, 1, 2, 47, 58, 132, 255};
  for (unsigned i = 0; i < COUNT(protocols); i++) {
    packet[9] = protocols[i];
    sim_packet_finish(packet, bytes);
    rig_expect_drop(&rig, packet, bytes, MST_DROP_PROTOCOL);
  }
  rig_close(&rig);
}

static void tcp_headers_are_checked(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_pair(&rig);
  struct sim_segment segment = {.source = addr("10.0.0.1"),
                                .destination = addr("10.0.0.2"),
                                .source_port = 1000,
                                .destination_port = 2000,
                                .flags = SIM_ACK};
  size_t bytes = sim_segment_build(packet, &segment);
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 1, NULL, NULL), 1);
  packet[32] = 0x40;
  rig_expect_drop(&rig, packet, bytes, MST_DROP_TCP_HEADER);
  packet[32] = 0x60;
  rig_expect_drop(&rig, packet, bytes, MST_DROP_TCP_HEADER);
  sim_put16(packet + 2, 39);
  sim_packet_finish(packet, 39);
  rig_expect_drop(&rig, packet, 39, MST_DROP_SHORT);
  rig_close(&rig);
}

static void addresses_that_are_nobodys_are_refused(void **state) {
  (void)state;
  static const char *const bad4[] = {"0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "0.1.2.3"};
  static const char *const bad6[] = {"::", "ff02::1"};
  struct rig rig;
  uint8_t packet[200];
  open_pair(&rig);
  assert_int_equal(rig_lease(&rig, 0, "0.0.0.0", 3000, MST_UDP, 0), 0);
  for (unsigned i = 0; i < COUNT(bad4); i++) {
    size_t bytes = rig_udp(packet, bad4[i], 3000, "10.0.0.2", 2000, 8);
    rig_expect_drop(&rig, packet, bytes, MST_DROP_SOURCE_ADDRESS);
    bytes = rig_udp(packet, "10.0.0.1", 1000, bad4[i], 2000, 8);
    rig_expect_drop(&rig, packet, bytes, MST_DROP_DESTINATION_ADDRESS);
  }
  for (unsigned i = 0; i < COUNT(bad6); i++) {
    size_t bytes = rig_udp(packet, bad6[i], 1000, "fd00::2", 2000, 8);
    rig_expect_drop(&rig, packet, bytes, MST_DROP_SOURCE_ADDRESS);
    bytes = rig_udp(packet, "fd00::1", 1000, bad6[i], 2000, 8);
    rig_expect_drop(&rig, packet, bytes, MST_DROP_DESTINATION_ADDRESS);
  }
  rig_close(&rig);
}

static void hostile_descriptors_are_counted(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_pair(&rig);
  struct mst__channel_end *end = &rig.sw->channels[rig.id[0]]->end;
  struct sim_random random = {11};
  size_t bytes = good(packet);
  for (unsigned i = 0; i < 20000; i++) {
    struct mst__tx_slot *slot = &end->tx[end->tx_tail & end->tx_mask];
    assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
    uint8_t *target = sim_random_next(&random) % 2 ? (uint8_t *)&slot->descriptor : slot->bytes;
    for (unsigned n = 0; n < 1 + i % 4; n++) target[sim_random_next(&random) % 64] = (uint8_t)sim_random_next(&random);
    rig_process(&rig);
    for (unsigned c = 0; c < RIG_CHANNELS; c++) rig_received(&rig, c, NULL, NULL);
  }
  assert_true(rig_drops(&rig, MST_DROP_DESCRIPTOR) > 100);
  mst__ring_store(&end->header->tx_head, end->tx_tail + 100000);
  uint64_t before = rig_drops(&rig, MST_DROP_DESCRIPTOR);
  rig_process(&rig);
  assert_int_equal(rig_drops(&rig, MST_DROP_DESCRIPTOR), before + 1);
  rig_close(&rig);
}

/* --- large packets --- */

static size_t send_large(struct rig *rig, uint8_t *payload, size_t bytes, uint16_t gso_size, uint8_t flags,
                         uint8_t tcp_flags) {
  static uint8_t whole[70000];
  struct sim_segment segment = {.source = addr("10.0.0.1"),
                                .destination = addr("10.0.0.2"),
                                .source_port = 1000,
                                .destination_port = 2000,
                                .flags = tcp_flags,
                                .data = payload,
                                .data_bytes = (uint32_t)bytes};
  size_t len = sim_segment_build(whole, &segment);
  struct mst_packet packet = {.len = (uint32_t)len,
                              .gso_size = gso_size,
                              .flags = flags,
                              .iov_count = 2,
                              .iov = {{whole, 40}, {payload, bytes}}};
  assert_int_equal(mst_channel_send(rig->channel[0], &packet), 0);
  return len;
}

static void large_packets_pass_whole_between_stacks(void **state) {
  (void)state;
  struct rig rig;
  struct mst_packet meta = {0};
  open_pair(&rig);
  uint8_t *payload = mst_channel_alloc(rig.channel[0], 65000);
  fill_random(&rig.random, payload, 65000);
  size_t len = send_large(&rig, payload, 65000, 1448, MST_CSUM_PARTIAL, SIM_ACK | SIM_PSH);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 1, buffer, &meta), 1);
  assert_int_equal(meta.len, len);
  assert_int_equal(meta.gso_size, 1448);
  assert_memory_equal(buffer + 40, payload, 65000);
  /* What fits one segment is no GSO. */
  send_large(&rig, payload, 1448, 1448, MST_CSUM_PARTIAL, SIM_ACK);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 1, buffer, &meta), 1);
  assert_int_equal(meta.gso_size, 0);
  rig_close(&rig);
}

static void contradictory_gso_is_refused(void **state) {
  (void)state;
  struct rig rig;
  open_pair(&rig);
  uint8_t *payload = mst_channel_alloc(rig.channel[0], 5000);
  memset(payload, 1, 5000);
  send_large(&rig, payload, 5000, 1, MST_CSUM_PARTIAL, SIM_ACK);
  send_large(&rig, payload, 5000, 1000, 0, SIM_ACK);
  send_large(&rig, payload, 5000, 1000, MST_CSUM_PARTIAL, SIM_SYN);
  send_large(&rig, payload, 5000, 1000, MST_CSUM_PARTIAL, SIM_RST | SIM_ACK);
  rig_process(&rig);
  assert_int_equal(rig_drops(&rig, MST_DROP_DESCRIPTOR), 4);
  assert_int_equal(rig_received(&rig, 1, NULL, NULL), 0);
  rig_close(&rig);
}

/* --- full receivers --- */

static void full_receiver_holds_the_sender_up(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  struct mst_channel_options options = {.size = sizeof options, .tx_slots = 64, .rx_slots = 16};
  rig_open(&rig, false, &options);
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", 1000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(&rig, 1, "10.0.0.2", 2000, MST_UDP, 0), 0);
  size_t bytes = good(packet);
  for (unsigned i = 0; i < 40; i++) assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  assert_int_equal(rig_process(&rig), 16);
  assert_int_equal(rig_process(&rig), 0);
  assert_int_equal(rig_received(&rig, 1, NULL, NULL), 16);
  assert_int_equal(rig_process(&rig), 16);
  assert_int_equal(rig_drops(&rig, MST_DROP_RX_FULL), 0);
  rig_close(&rig);
}

static void dead_receiver_does_not_stop_the_sender(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  struct mst_channel_options options = {.size = sizeof options, .tx_slots = 64, .rx_slots = 16};
  rig_open(&rig, false, &options);
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", 1000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(&rig, 1, "10.0.0.2", 2000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(&rig, 2, "10.0.0.2", 2001, MST_UDP, 0), 0);
  size_t bytes = good(packet);
  for (unsigned i = 0; i < 20; i++) assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  bytes = rig_udp(packet, "10.0.0.1", 1000, "10.0.0.2", 2001, 8);
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  for (unsigned i = 0; i < 20; i++) rig_process(&rig);
  assert_int_equal(rig_drops(&rig, MST_DROP_RX_FULL), 4);
  assert_int_equal(rig_received(&rig, 2, NULL, NULL), 1);
  /* Once it moves it gets packets again. */
  assert_int_equal(rig_received(&rig, 1, NULL, NULL), 16);
  assert_int_equal(rig_send(&rig, 0, packet, good(packet), 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 1, NULL, NULL), 1);
  rig_close(&rig);
}

/* --- wildcards, groups, nobody --- */

static void exact_address_comes_before_the_wildcard(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  rig_open(&rig, false, NULL);
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", 1000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(&rig, 1, "0.0.0.0", 2000, MST_UDP, MST_BIND_GROUP), 0);
  assert_int_equal(rig_lease(&rig, 2, "10.0.0.2", 2000, MST_UDP, MST_BIND_GROUP), 0);
  size_t bytes = rig_udp(packet, "10.0.0.1", 1000, "10.0.0.2", 2000, 8);
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  bytes = rig_udp(packet, "10.0.0.1", 1000, "10.0.0.3", 2000, 8);
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 1, NULL, NULL), 2);
  assert_int_equal(rig_received(&rig, 2, NULL, NULL), 1);
  rig_close(&rig);
}

static void wildcard_of_both_families_gets_both(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_pair(&rig);
  assert_int_equal(rig_lease(&rig, 2, "::", 80, MST_UDP, 0), 0);
  assert_int_equal(rig_send(&rig, 0, packet, rig_udp(packet, "10.0.0.1", 1000, "10.0.0.9", 80, 8), 0), 0);
  assert_int_equal(rig_send(&rig, 0, packet, rig_udp(packet, "fd00::1", 1000, "fd00::9", 80, 8), 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 2, NULL, NULL), 2);
  /* and sends from both */
  assert_int_equal(rig_send(&rig, 2, packet, rig_udp(packet, "10.0.0.9", 80, "10.0.0.1", 1000, 8), 0), 0);
  assert_int_equal(rig_send(&rig, 2, packet, rig_udp(packet, "fd00::9", 80, "fd00::1", 1000, 8), 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 0, NULL, NULL), 2);
  rig_release(&rig, 2, "::", 80, MST_UDP);
  assert_int_equal(rig_lease(&rig, 2, "::", 80, MST_UDP, MST_BIND_V6ONLY), 0);
  assert_int_equal(rig_send(&rig, 0, packet, rig_udp(packet, "10.0.0.1", 1000, "10.0.0.9", 80, 8), 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 2, NULL, NULL), 0);
  assert_int_equal(rig_drops(&rig, MST_DROP_NOT_HELD), 1);
  rig_close(&rig);
}

/* Every flow keeps its member, and the flows are spread. */
static void groups_share_by_flow(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  size_t got[RIG_CHANNELS] = {0};
  rig_open(&rig, false, NULL);
  assert_int_equal(rig_lease(&rig, 1, "10.0.0.2", 2000, MST_UDP, MST_BIND_GROUP), 0);
  assert_int_equal(rig_lease(&rig, 2, "10.0.0.2", 2000, MST_UDP, MST_BIND_GROUP), 0);
  for (uint16_t port = 1000; port < 1200; port++) {
    assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", port, MST_UDP, 0), 0);
    size_t bytes = rig_udp(packet, "10.0.0.1", port, "10.0.0.2", 2000, 8);
    for (int i = 0; i < 3; i++) assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
    rig_process(&rig);
    size_t one = rig_received(&rig, 1, NULL, NULL), two = rig_received(&rig, 2, NULL, NULL);
    assert_true((one == 3 && two == 0) || (one == 0 && two == 3));
    got[1] += one;
    got[2] += two;
  }
  assert_true(got[1] > 150 && got[2] > 150);
  /* Both may send from it, and who leaves is out. */
  for (unsigned i = 1; i < 3; i++)
    assert_int_equal(rig_send(&rig, i, packet, rig_udp(packet, "10.0.0.2", 2000, "10.0.0.1", 1000, 8), 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 0, NULL, NULL), 2);
  rig_release(&rig, 1, "10.0.0.2", 2000, MST_UDP);
  assert_int_equal(rig_send(&rig, 1, packet, rig_udp(packet, "10.0.0.2", 2000, "10.0.0.1", 1000, 8), 0), 0);
  for (uint16_t port = 1000; port < 1100; port++)
    assert_int_equal(rig_send(&rig, 0, packet, rig_udp(packet, "10.0.0.1", port, "10.0.0.2", 2000, 8), 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_drops(&rig, MST_DROP_SOURCE_NOT_HELD), 1);
  assert_int_equal(rig_received(&rig, 1, NULL, NULL), 0);
  assert_int_equal(rig_received(&rig, 2, NULL, NULL), 100);
  rig_close(&rig);
}

static void nobody_answers_at_once(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  struct sim_segment segment = {.source = addr("10.0.0.1"),
                                .destination = addr("10.0.0.2"),
                                .source_port = 1000,
                                .destination_port = 2999,
                                .seq = 77,
                                .flags = SIM_SYN};
  open_pair(&rig);
  assert_int_equal(rig_send(&rig, 0, packet, sim_segment_build(packet, &segment), 0), 0);
  rig_process(&rig);
  struct mst_packet meta = {0};
  assert_int_equal(rig_received(&rig, 0, buffer, &meta), 1);
  assert_true(sim_packet_checksums_ok(buffer, meta.len));
  struct sim_segment answer;
  assert_true(sim_segment_parse(buffer, meta.len, &answer));
  assert_int_equal(answer.flags, SIM_RST | SIM_ACK);
  assert_int_equal(answer.ack, 78);
  assert_int_equal(answer.source_port, 2999);
  assert_int_equal(answer.destination_port, 1000);
  /* A reset is not answered. */
  segment.flags = SIM_RST;
  assert_int_equal(rig_send(&rig, 0, packet, sim_segment_build(packet, &segment), 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 0, NULL, NULL), 0);
  /* UDP hears of it by ICMP, in both families. */
  assert_int_equal(rig_send(&rig, 0, packet, rig_udp(packet, "10.0.0.1", 1000, "10.0.0.2", 2999, 8), 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 0, buffer, &meta), 1);
  assert_true(sim_packet_checksums_ok(buffer, meta.len));
  assert_int_equal(buffer[9], MST_ICMP);
  assert_memory_equal(buffer + 20, "\3\3", 2);
  assert_int_equal(rig_send(&rig, 0, packet, rig_udp(packet, "fd00::1", 1000, "fd00::2", 2999, 8), 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_received(&rig, 0, buffer, &meta), 1);
  assert_true(sim_packet_checksums_ok(buffer, meta.len));
  assert_int_equal(buffer[6], MST_ICMP6);
  assert_memory_equal(buffer + 40, "\1\4", 2);
  assert_int_equal(rig_drops(&rig, MST_DROP_NOT_HELD), 4);
  rig_close(&rig);
}

static void detached_channel_holds_nothing(void **state) {
  (void)state;
  struct rig rig;
  uint8_t packet[200];
  open_pair(&rig);
  mst_switch_detach(rig.sw, rig.id[1]);
  struct mst_endpoint local = {.addr = addr("10.0.0.2"), .port = 2000};
  assert_false(mst_switch_holds(rig.sw, MST_UDP, &local));
  assert_int_equal(rig_send(&rig, 0, packet, good(packet), 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_drops(&rig, MST_DROP_NOT_HELD), 1);
  struct mst_switch_stats stats;
  assert_int_equal(mst_switch_channel_stats(rig.sw, rig.id[1], &stats), -MST_EBADF);
  assert_int_equal(rig_lease(&rig, 1, "10.0.0.2", 2000, MST_UDP, 0), -MST_EBADF);
  assert_int_equal(rig_lease(&rig, 2, "10.0.0.2", 2000, MST_UDP, 0), 0);
  rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(source_of_another_stack_is_refused),
      cmocka_unit_test(source_that_nobody_holds_is_refused),
      cmocka_unit_test(what_was_sent_before_the_release_is_forwarded),
      cmocka_unit_test(what_is_validated_is_what_is_forwarded),
      cmocka_unit_test(delivers_between_two_stacks_ip4),
      cmocka_unit_test(delivers_between_two_stacks_ip6),
      cmocka_unit_test(fragments_are_not_read_as_ports),
      cmocka_unit_test(nothing_but_the_packet_is_copied),
      cmocka_unit_test(malformed_headers_are_refused),
      cmocka_unit_test(malformed_ip6_headers_are_refused),
      cmocka_unit_test(other_protocols_are_not_carried),
      cmocka_unit_test(tcp_headers_are_checked),
      cmocka_unit_test(addresses_that_are_nobodys_are_refused),
      cmocka_unit_test(hostile_descriptors_are_counted),
      cmocka_unit_test(large_packets_pass_whole_between_stacks),
      cmocka_unit_test(contradictory_gso_is_refused),
      cmocka_unit_test(full_receiver_holds_the_sender_up),
      cmocka_unit_test(dead_receiver_does_not_stop_the_sender),
      cmocka_unit_test(exact_address_comes_before_the_wildcard),
      cmocka_unit_test(wildcard_of_both_families_gets_both),
      cmocka_unit_test(groups_share_by_flow),
      cmocka_unit_test(nobody_answers_at_once),
      cmocka_unit_test(detached_channel_holds_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
