/* Captures: who sees what, in both directions, and that what is seen is what was sent. */
#include "switch_rig.h"

struct seen {
  unsigned count, outbound, dropped;
  uint8_t last[65536];
  uint32_t len, id;
  char port[48];
};

static void see(void *user, const struct mst_switch_seen *packet) {
  struct seen *seen = user;
  seen->count++;
  seen->outbound += packet->outbound;
  seen->dropped += packet->drop != MST_DROP_NONE;
  memcpy(seen->last, packet->data, packet->len);
  seen->len = packet->len;
  seen->id = packet->id;
  strncpy(seen->port, packet->port ? packet->port : "", sizeof seen->port - 1);
}

static struct mst_switch_filter any(void) {
  return (struct mst_switch_filter){.size = sizeof(struct mst_switch_filter), .id = MST_SWITCH_ANY};
}

static void open_pair(struct rig *rig) {
  rig_open(rig, false, NULL);
  assert_int_equal(rig_lease(rig, 0, "10.0.0.1", 1000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(rig, 1, "10.0.0.2", 2000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(rig, 2, "10.0.0.3", 3000, MST_UDP, 0), 0);
}

static void send_udp(struct rig *rig, unsigned channel, const char *from, uint16_t from_port, const char *to,
                     uint16_t to_port) {
  uint8_t packet[200];
  assert_int_equal(rig_send(rig, channel, packet, rig_udp(packet, from, from_port, to, to_port, 8), 0), 0);
  rig_process(rig);
}

static void a_channel_is_seen_in_both_directions(void **state) {
  (void)state;
  struct rig rig;
  static struct seen seen;
  struct mst_switch_filter filter = any();
  open_pair(&rig);
  filter.id = rig.id[1];
  int capture = mst_switch_capture(rig.sw, &filter, see, &seen);
  assert_true(capture >= 0);
  send_udp(&rig, 0, "10.0.0.1", 1000, "10.0.0.2", 2000);
  assert_int_equal(seen.count, 1);
  assert_int_equal(seen.outbound, 0);
  send_udp(&rig, 1, "10.0.0.2", 2000, "10.0.0.1", 1000);
  assert_int_equal(seen.count, 2);
  assert_int_equal(seen.outbound, 1);
  assert_int_equal(seen.id, rig.id[1]);
  send_udp(&rig, 0, "10.0.0.1", 1000, "10.0.0.3", 3000);
  assert_int_equal(seen.count, 2);
  send_udp(&rig, 1, "10.0.0.1", 1000, "10.0.0.3", 3000); /* forged */
  assert_int_equal(seen.count, 3);
  assert_int_equal(seen.dropped, 1);
  mst_switch_capture_end(rig.sw, capture);
  mst_switch_capture_end(rig.sw, capture);
  send_udp(&rig, 1, "10.0.0.2", 2000, "10.0.0.1", 1000);
  assert_int_equal(seen.count, 3);
  assert_int_equal(rig.sw->observers, 0);
  rig_close(&rig);
}

static unsigned count_with(const struct mst_switch_filter *filter) {
  struct rig rig;
  static struct seen seen;
  seen.count = 0;
  open_pair(&rig);
  assert_true(mst_switch_capture(rig.sw, filter, see, &seen) >= 0);
  send_udp(&rig, 0, "10.0.0.1", 1000, "10.0.0.2", 2000);
  send_udp(&rig, 2, "10.0.0.3", 3000, "10.0.0.2", 2000);
  rig_close(&rig);
  return seen.count;
}

static void filters_choose(void **state) {
  (void)state;
  struct mst_switch_filter filter = any();
  assert_int_equal(count_with(&filter), 4); /* each at both channels */
  filter.protocol = MST_TCP;
  assert_int_equal(count_with(&filter), 0);
  filter.protocol = MST_UDP;
  filter.addr = addr("10.0.0.1");
  assert_int_equal(count_with(&filter), 2);
  filter.port = 2000; /* 10.0.0.2's */
  assert_int_equal(count_with(&filter), 0);
  filter.addr = addr("10.0.0.2");
  assert_int_equal(count_with(&filter), 4);
  strcpy(filter.port_name, "memory");
  assert_int_equal(count_with(&filter), 0);
}

static void captures_are_bounded(void **state) {
  (void)state;
  struct rig rig;
  static struct seen seen;
  struct mst_switch_filter filter = any();
  open_pair(&rig);
  int capture = 0;
  for (unsigned i = 0; i < 8; i++) assert_true((capture = mst_switch_capture(rig.sw, &filter, see, &seen)) >= 0);
  assert_int_equal(mst_switch_capture(rig.sw, &filter, see, &seen), -MST_ENOBUFS);
  mst_switch_capture_end(rig.sw, capture);
  assert_int_equal(mst_switch_capture(rig.sw, &filter, see, &seen), capture);
  memset(filter.port_name, 'x', sizeof filter.port_name);
  assert_int_equal(mst_switch_capture(rig.sw, &filter, see, &seen), -MST_EINVAL);
  filter.size = 1;
  assert_int_equal(mst_switch_capture(rig.sw, &filter, see, &seen), -MST_EINVAL);
  mst_switch_capture_end(rig.sw, -1);
  mst_switch_capture_end(rig.sw, 8);
  rig_close(&rig);
}

static void a_port_is_seen_in_both_directions(void **state) {
  (void)state;
  struct rig rig;
  static struct seen seen;
  uint8_t packet[200], got[200];
  rig_open(&rig, true, NULL);
  rig.os.local[0] = "10.0.0.1";
  rig.os.ifindex = 5;
  rig_add_port(&rig, 0, 5, 1500);
  strcpy(rig.port->name, "near");
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", 1000, MST_UDP, 0), 0);
  struct mst_switch_filter filter = any();
  strcpy(filter.port_name, "near");
  assert_true(mst_switch_capture(rig.sw, &filter, see, &seen) >= 0);
  size_t bytes = rig_udp(packet, "10.0.0.1", 1000, "10.9.9.9", 9, 8);
  assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
  rig_process(&rig);
  assert_int_equal(rig_far_receive(&rig, got, NULL), bytes);
  assert_int_equal(seen.count, 1);
  assert_int_equal(seen.outbound, 1);
  assert_string_equal(seen.port, "near");
  assert_int_equal(seen.len, bytes);
  assert_memory_equal(seen.last, packet, bytes);
  rig_far_send(&rig, packet, rig_udp(packet, "10.9.9.9", 9, "10.0.0.1", 1000, 8), 0);
  rig_process(&rig);
  assert_int_equal(seen.count, 2);
  assert_int_equal(seen.outbound, 1);
  rig_close(&rig);
}

/* --- what is seen is what is sent, though the sender rewrites its payload meanwhile --- */

static uint8_t *payload;
static struct seen rewritten;

static void see_and_rewrite(void *user, const struct mst_switch_seen *packet) {
  see(user, packet);
  memset(payload, 0xbb, 1000);
}

static void payload_is_read_once(void **state) {
  (void)state;
  struct rig rig;
  uint8_t header[1028];
  open_pair(&rig);
  size_t bytes = rig_udp(header, "10.0.0.1", 1000, "10.0.0.2", 2000, 1000);
  payload = mst_channel_alloc(rig.channel[0], 1000);
  memset(payload, 0xaa, 1000);
  struct mst_packet packet = {
      .len = (uint32_t)bytes, .iov_count = 3, .iov = {{header, 28}, {payload, 500}, {payload + 500, 500}}};
  struct mst_switch_filter filter = any();
  assert_true(mst_switch_capture(rig.sw, &filter, see_and_rewrite, &rewritten) >= 0);
  assert_int_equal(mst_channel_send(rig.channel[0], &packet), 0);
  rig_process(&rig);
  assert_int_equal(rewritten.count, 2);
  assert_int_equal(rewritten.last[28], 0xaa);
  assert_int_equal(rewritten.last[1027], 0xaa);
  static uint8_t got[65536];
  assert_int_equal(rig_received(&rig, 1, got, NULL), 1);
  for (unsigned i = 28; i < 1028; i++) assert_int_equal(got[i], 0xaa);
  rig_close(&rig);
}

/* Descriptors of any content, captured: what can be sent is seen, nothing else is looked at. */
static void random_descriptors_are_survived(void **state) {
  (void)state;
  struct rig rig;
  static struct seen seen;
  struct mst_channel_options options = {.size = sizeof options, .arena_bytes = 1 << 20};
  rig_open(&rig, false, &options);
  struct mst_switch_filter filter = any();
  assert_true(mst_switch_capture(rig.sw, &filter, see, &seen) >= 0);
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", 1000, MST_UDP, 0), 0);
  struct mst__channel_end *end = &rig.sw->channels[rig.id[0]]->end;
  uint8_t packet[200];
  for (unsigned i = 0; i < 20000; i++) {
    size_t bytes = rig_udp(packet, "10.0.0.1", 1000, "10.0.0.1", 1000, 8); /* to itself */
    assert_int_equal(rig_send(&rig, 0, packet, bytes, 0), 0);
    struct mst__tx_descriptor *d = &end->tx[(end->header->tx_head.value - 1) & end->tx_mask].descriptor;
    uint8_t noise[sizeof *d];
    fill_random(&rig.random, noise, sizeof noise);
    if (noise[0] & 1) memcpy(d, noise, sizeof *d);
    if (noise[0] & 2) d->inline_bytes &= 255;
    if (noise[0] & 4) d->frag_count &= 7;
    for (unsigned f = 0; noise[0] & 8 && f < MST_PACKET_IOV_MAX; f++) {
      d->frags[f].offset &= 0x1fffff;
      d->frags[f].len &= 0x3fff;
    }
    if (noise[0] & 16) {
      d->len = d->inline_bytes;
      for (unsigned f = 0; f < d->frag_count && f < MST_PACKET_IOV_MAX; f++) d->len += d->frags[f].len;
    }
    rig_process(&rig);
    rig_received(&rig, 0, NULL, NULL);
  }
  assert_true(seen.count > 10000);
  rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_channel_is_seen_in_both_directions),
      cmocka_unit_test(filters_choose),
      cmocka_unit_test(captures_are_bounded),
      cmocka_unit_test(a_port_is_seen_in_both_directions),
      cmocka_unit_test(payload_is_read_once),
      cmocka_unit_test(random_descriptors_are_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
