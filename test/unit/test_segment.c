/* Segmentation: one large packet becomes what a stack without offload would have sent. */
#include "sim/packet.h"
#include "unit.h"
#include "wire/segment.h"

struct large {
  uint8_t packet[66000];
  size_t bytes, ip, header;
  struct mst__segments segments;
};

static void large_tcp(struct large *large, bool ip4, const uint8_t *data, uint32_t bytes, uint32_t mss) {
  struct sim_segment in = {.source = addr(ip4 ? "10.0.0.1" : "fd00::1"),
                           .destination = addr(ip4 ? "10.0.0.2" : "fd00::2"),
                           .source_port = 1,
                           .destination_port = 2,
                           .seq = 0xffffff00,
                           .ack = 77,
                           .window = 99,
                           .flags = SIM_ACK | SIM_PSH | SIM_FIN | SIM_CWR,
                           .options_bytes = 12,
                           .options = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8},
                           .data = data,
                           .data_bytes = bytes};
  large->bytes = sim_segment_build(large->packet, &in);
  large->ip = ip4 ? 20 : 40;
  large->header = large->ip + 32;
  if (ip4) sim_put16(large->packet + 4, 0xfffe);
  large->segments = (struct mst__segments){.header = large->packet,
                                           .l3_bytes = (uint32_t)large->ip,
                                           .header_bytes = (uint32_t)large->header,
                                           .payload_bytes = bytes,
                                           .segment_bytes = mss,
                                           .protocol = MST_TCP};
}

/* The segment at `offset`, completed; returns its length. */
static size_t cut(const struct large *large, uint32_t offset, uint8_t *out) {
  uint32_t payload = mst__segment_header(&large->segments, offset, out);
  memcpy(out + large->header, large->packet + large->header + offset, payload);
  size_t bytes = large->header + payload;
  assert_false(sim_packet_checksums_ok(out, bytes)); /* partial as yet */
  mst__checksum_complete(out + large->ip, (uint32_t)(bytes - large->ip), large->segments.protocol);
  assert_true(sim_packet_checksums_ok(out, bytes));
  assert_int_equal(large->ip == 20 ? sim_get16(out + 2) : sim_get16(out + 4) + 40u, bytes);
  return bytes;
}

static void check_tcp(bool ip4, uint32_t bytes, uint32_t mss) {
  static struct large large;
  static uint8_t data[65000], out[66000];
  struct sim_random random = {bytes + mss};
  fill_random(&random, data, bytes);
  large_tcp(&large, ip4, data, bytes, mss);
  uint32_t offset = 0, index = 0;
  do {
    size_t length = cut(&large, offset, out);
    struct sim_segment segment;
    assert_true(sim_segment_parse(out, length, &segment));
    bool first = offset == 0, last = offset + segment.data_bytes == bytes;
    assert_int_equal(segment.data_bytes, last ? bytes - offset : mss);
    assert_memory_equal(segment.data, data + offset, segment.data_bytes);
    assert_int_equal(segment.seq, 0xffffff00 + offset);
    assert_int_equal(segment.ack, 77);
    assert_int_equal(segment.window, 99);
    assert_int_equal(segment.flags, SIM_ACK | (last ? SIM_PSH | SIM_FIN : 0) | (first ? SIM_CWR : 0));
    assert_int_equal(segment.options_bytes, 12);
    if (ip4) assert_int_equal(sim_get16(out + 4), (uint16_t)(0xfffe + index));
    offset += segment.data_bytes;
    index++;
  } while (offset < bytes);
  assert_int_equal(index, bytes ? (bytes + mss - 1) / mss : 1);
}

static void cuts_tcp(void **state) {
  (void)state;
  static const uint32_t sizes[] = {1, 1447, 1448, 1449, 2896, 64000}, mss[] = {48, 536, 1448};
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (size_t j = 0; j < COUNT(mss); j++)
      for (int ip4 = 0; ip4 < 2; ip4++) check_tcp(ip4, sizes[i], mss[j]);
}

static void cuts_udp(void **state) {
  (void)state;
  static struct large large;
  uint8_t data[1000], out[2000];
  struct sim_random random = {9};
  for (int ip4 = 0; ip4 < 2; ip4++) {
    struct mst_endpoint from = {.addr = addr(ip4 ? "10.0.0.1" : "fd00::1"), .port = 1};
    struct mst_endpoint to = {.addr = addr(ip4 ? "10.0.0.2" : "fd00::2"), .port = 2};
    fill_random(&random, data, sizeof data);
    large.bytes = sim_udp_build(large.packet, &from, &to, data, sizeof data);
    large.ip = ip4 ? 20 : 40;
    large.header = large.ip + 8;
    large.segments =
        (struct mst__segments){large.packet, (uint32_t)large.ip, (uint32_t)large.header, 1000, 300, MST_UDP};
    for (uint32_t offset = 0; offset < 1000; offset += 300) {
      size_t length = cut(&large, offset, out);
      uint32_t payload = offset < 900 ? 300 : 100;
      assert_int_equal(length, large.header + payload);
      assert_int_equal(sim_get16(out + large.ip + 4), 8 + payload);
      assert_memory_equal(out + large.header, data + offset, payload);
    }
  }
}

/* RFC 768: a checksum that comes out as zero is sent as all ones. */
static void a_zero_udp_checksum_is_all_ones(void **state) {
  (void)state;
  uint8_t udp[10] = {0, 1, 0, 2, 0, 10, 0, 0, 0, 0};
  uint32_t sum = 1 + 2 + 10 + 0x1234;
  sim_put16(udp + 6, 0x1234); /* a pseudo-header's sum */
  sim_put16(udp + 8, 0xffff - sum);
  mst__checksum_complete(udp, sizeof udp, MST_UDP);
  assert_int_equal(sim_get16(udp + 6), 0xffff);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cuts_tcp),
      cmocka_unit_test(cuts_udp),
      cmocka_unit_test(a_zero_udp_checksum_is_all_ones),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
