#include "sim/packet.h"
#include "unit.h"
#include "wire/checksum.h"
#include "wire/ip.h"
#include "wire/tcp.h"

static size_t header_with(uint8_t *out, uint8_t flags, const uint8_t *options, size_t bytes) {
  memset(out, 0, 60);
  sim_put16(out, 40000);
  sim_put16(out + 2, 80);
  sim_put32(out + 4, 0x01020304);
  sim_put32(out + 8, 0xfffefdfc);
  size_t header = 20 + (bytes + 3) / 4 * 4;
  out[12] = (uint8_t)(header / 4 << 4);
  out[13] = flags;
  sim_put16(out + 14, 0x8001);
  sim_put16(out + 16, 0xabcd);
  sim_put16(out + 18, 7);
  if (bytes) memcpy(out + 20, options, bytes);
  return header;
}

static enum mst_drop parse(const uint8_t *segment, size_t bytes, struct mst__tcp *out) {
  uint8_t *copy = exact(segment, bytes);
  memset(out, 0xa5, sizeof *out); /* what it leaves unset shows */
  enum mst_drop drop = mst__tcp_parse(copy, bytes, out);
  if (!drop) out->payload = segment + (out->payload - copy);
  free(copy);
  return drop;
}

static struct mst__tcp_options options_of(uint8_t flags, const uint8_t *options, size_t bytes) {
  uint8_t segment[60];
  struct mst__tcp tcp;
  size_t header = header_with(segment, flags, options, bytes);
  assert_int_equal(parse(segment, header, &tcp), MST_DROP_NONE);
  return tcp.options;
}

static void parses_the_fixed_header(void **state) {
  (void)state;
  uint8_t segment[64];
  struct mst__tcp tcp;
  size_t header = header_with(segment, MST__PSH | MST__ACK, NULL, 0);
  memcpy(segment + header, "hey", 3);
  assert_int_equal(parse(segment, header + 3, &tcp), MST_DROP_NONE);
  assert_int_equal(tcp.source_port, 40000);
  assert_int_equal(tcp.destination_port, 80);
  assert_int_equal(tcp.seq, 0x01020304);
  assert_int_equal(tcp.ack, 0xfffefdfc);
  assert_int_equal(tcp.flags, MST__PSH | MST__ACK);
  assert_int_equal(tcp.window, 0x8001);
  assert_int_equal(tcp.checksum, 0xabcd);
  assert_int_equal(tcp.urgent, 7);
  assert_int_equal(tcp.header_bytes, 20);
  assert_ptr_equal(tcp.payload, segment + 20);
  assert_int_equal(tcp.payload_bytes, 3);
  assert_int_equal(tcp.options.has, 0);
  assert_int_equal(tcp.options.sack_count, 0);
}

static void refuses_a_data_offset_outside_the_segment(void **state) {
  (void)state;
  uint8_t segment[60];
  struct mst__tcp tcp;
  size_t header = header_with(segment, MST__ACK, NULL, 0);
  for (size_t cut = 0; cut < header; cut++) assert_int_equal(parse(segment, cut, &tcp), MST_DROP_SHORT);
  for (unsigned offset = 0; offset < 16; offset++) {
    segment[12] = (uint8_t)(offset << 4 | 0x0f); /* reserved bits say nothing */
    assert_int_equal(parse(segment, 20, &tcp), offset == 5 ? MST_DROP_NONE : MST_DROP_TCP_HEADER);
    assert_int_equal(parse(segment, 60, &tcp), offset >= 5 ? MST_DROP_NONE : MST_DROP_TCP_HEADER);
  }
}

static void parses_linux_syn_options(void **state) {
  (void)state;
  static const uint8_t linux_syn[] = {2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7};
  struct mst__tcp_options o = options_of(MST__SYN, linux_syn, sizeof linux_syn);
  assert_int_equal(o.has, MST__HAS_MSS | MST__HAS_SACK_PERMITTED | MST__HAS_TIMESTAMPS | MST__HAS_WSCALE);
  assert_int_equal(o.mss, 1460);
  assert_int_equal(o.tsval, 0x01020304);
  assert_int_equal(o.tsecr, 0);
  assert_int_equal(o.wscale, 7);

  uint8_t built[40];
  assert_int_equal(mst__tcp_build_options(built, &o), sizeof linux_syn);
  assert_memory_equal(built, linux_syn, sizeof linux_syn);
}

static void a_syn_alone_carries_what_belongs_to_it(void **state) {
  (void)state;
  static const uint8_t options[] = {2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 9, 1, 3, 3, 7};
  struct mst__tcp_options o = options_of(MST__ACK, options, sizeof options);
  assert_int_equal(o.has, MST__HAS_TIMESTAMPS);
  assert_int_equal(o.tsecr, 9);
}

static void parses_sack_blocks(void **state) {
  (void)state;
  static const uint8_t options[] = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1,    1,    5,    26,   0, 0, 0, 1,
                                    0, 0, 0, 5,  0, 0, 1, 0, 0, 0, 2, 0, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 4};
  struct mst__tcp_options o = options_of(MST__ACK, options, sizeof options);
  assert_int_equal(o.has, MST__HAS_TIMESTAMPS);
  assert_int_equal(o.sack_count, 3);
  assert_int_equal(o.sack[0].left, 1);
  assert_int_equal(o.sack[0].right, 5);
  assert_int_equal(o.sack[1].left, 0x100);
  assert_int_equal(o.sack[1].right, 0x200);
  assert_int_equal(o.sack[2].left, 0xfffffff0);
  assert_int_equal(o.sack[2].right, 4);
}

/* RFC 9293 3.2, MUST-7: any length must not hurt; MUST-6: unknown options are skipped. */
static void lives_with_illegal_options(void **state) {
  (void)state;
  static const struct {
    uint8_t bytes;
    uint8_t options[16];
    uint8_t has;
  } rows[] = {
      {4, {2, 4, 5, 180}, MST__HAS_MSS},
      {8, {2, 4, 5, 180, 3, 3, 7, 0}, MST__HAS_MSS | MST__HAS_WSCALE},
      {8, {2, 3, 5, 3, 3, 7, 0, 0}, MST__HAS_WSCALE},     /* MSS of a wrong length is skipped by it */
      {8, {2, 0, 5, 180, 3, 3, 7, 0}, 0},                 /* length 0 */
      {8, {2, 1, 5, 180, 3, 3, 7, 0}, 0},                 /* length 1 */
      {8, {3, 3, 7, 2, 200, 5, 180, 0}, MST__HAS_WSCALE}, /* past the header */
      {4, {1, 1, 1, 2}, 0},                               /* no length */
      {8, {0, 0, 0, 0, 2, 4, 5, 180}, 0},                 /* nothing counts after the end */
      {8, {0, 2, 2, 4, 5, 180, 0, 0}, 0},
      {8, {77, 3, 9, 2, 4, 5, 180, 0}, MST__HAS_MSS},               /* unknown */
      {12, {253, 8, 1, 2, 3, 4, 5, 6, 2, 4, 5, 180}, MST__HAS_MSS}, /* experiment (RFC 6994) */
      {4, {4, 3, 0, 0}, 0},
      {4, {4, 2, 0, 0}, MST__HAS_SACK_PERMITTED},
      {12, {8, 9, 1, 2, 3, 4, 5, 6, 7, 3, 3, 1}, MST__HAS_WSCALE},
      {8, {2, 4, 5, 180, 2, 4, 1, 0}, MST__HAS_MSS}, /* twice: the last one */
  };
  for (size_t i = 0; i < COUNT(rows); i++)
    assert_int_equal(options_of(MST__SYN, rows[i].options, rows[i].bytes).has, rows[i].has);
  assert_int_equal(options_of(MST__SYN, rows[14].options, 8).mss, 256);

  /* SACK of no block, of part of one, and none at all. */
  static const uint8_t sacks[][12] = {{5, 2, 0, 0}, {5, 8, 1, 2, 3, 4, 5, 6}, {5, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0}};
  for (size_t i = 0; i < COUNT(sacks); i++) assert_int_equal(options_of(MST__ACK, sacks[i], 12).sack_count, 0);
}

static void any_bytes_are_options(void **state) {
  (void)state;
  struct sim_random random = {4};
  for (int i = 0; i < 20000; i++) {
    uint8_t options[40];
    fill_random(&random, options, sizeof options);
    for (size_t j = 0; j < sizeof options; j++) options[j] %= 12; /* near the kinds and lengths that are known */
    struct mst__tcp_options o = options_of((uint8_t)i, options, sim_random_below(&random, 41));
    assert_true(o.sack_count <= 4);
  }
}

static struct mst__tcp random_header(struct sim_random *random) {
  struct mst__tcp tcp = {0};
  struct mst__tcp_options *o = &tcp.options;
  tcp.source_port = (uint16_t)sim_random_next(random);
  tcp.destination_port = (uint16_t)sim_random_next(random);
  tcp.seq = (uint32_t)sim_random_next(random);
  tcp.ack = (uint32_t)sim_random_next(random);
  tcp.window = (uint16_t)sim_random_next(random);
  tcp.urgent = (uint16_t)sim_random_next(random);
  tcp.flags = (uint8_t)(sim_random_next(random) | MST__SYN);
  o->has = sim_random_next(random) & 15;
  if (o->has & MST__HAS_MSS) o->mss = (uint16_t)sim_random_next(random);
  if (o->has & MST__HAS_WSCALE) o->wscale = (uint8_t)sim_random_next(random);
  if (o->has & MST__HAS_TIMESTAMPS) o->tsval = (uint32_t)sim_random_next(random);
  if (o->has & MST__HAS_TIMESTAMPS) o->tsecr = (uint32_t)sim_random_next(random);
  o->sack_count = (uint8_t)sim_random_below(random, 5);
  for (unsigned i = 0; i < o->sack_count; i++)
    o->sack[i] = (struct mst__sack_block){(uint32_t)sim_random_next(random), (uint32_t)sim_random_next(random)};
  return tcp;
}

static void parses_what_it_builds(void **state) {
  (void)state;
  struct sim_random random = {5};
  for (int i = 0; i < 20000; i++) {
    struct mst__tcp in = random_header(&random), out;
    uint8_t segment[80];
    memset(segment, 0xa5, sizeof segment);
    size_t header = mst__tcp_build(segment, &in);
    assert_in_range(header, 20, 60);
    assert_int_equal(header % 4, 0);
    assert_int_equal(segment[header], 0xa5);
    assert_int_equal(parse(segment, header + 5, &out), MST_DROP_NONE);
    assert_int_equal(out.header_bytes, header);
    assert_int_equal(out.payload_bytes, 5);
    assert_int_equal(out.checksum, 0);
    assert_int_equal(out.source_port, in.source_port);
    assert_int_equal(out.destination_port, in.destination_port);
    assert_int_equal(out.seq, in.seq);
    assert_int_equal(out.ack, in.ack);
    assert_int_equal(out.window, in.window);
    assert_int_equal(out.urgent, in.urgent);
    assert_int_equal(out.flags, in.flags);
    assert_int_equal(out.options.has, in.options.has);
    assert_int_equal(out.options.mss, in.options.mss);
    assert_int_equal(out.options.wscale, in.options.wscale);
    assert_int_equal(out.options.tsval, in.options.tsval);
    assert_int_equal(out.options.tsecr, in.options.tsecr);
    assert_true(out.options.sack_count <= in.options.sack_count);
    assert_memory_equal(out.options.sack, in.options.sack, out.options.sack_count * sizeof in.options.sack[0]);
    /* Blocks are left out only where the next one would not fit. */
    if (out.options.sack_count < in.options.sack_count) assert_true(header + (out.options.sack_count ? 8 : 12) > 60);
  }
}

static void three_sack_blocks_fit_beside_timestamps(void **state) {
  (void)state;
  struct mst__tcp_options o = {.has = MST__HAS_TIMESTAMPS, .sack_count = 4};
  uint8_t built[40];
  assert_int_equal(mst__tcp_build_options(built, &o), 40);
  assert_int_equal(built[15], 2 + 3 * 8);
  o.has = 0;
  assert_int_equal(mst__tcp_build_options(built, &o), 36);
  o.sack_count = 200; /* never past the space */
  assert_int_equal(mst__tcp_build_options(built, &o), 36);
}

static void checks_checksums(void **state) {
  (void)state;
  struct sim_random random = {6};
  for (int i = 0; i < 400; i++) {
    struct sim_segment in = {.source = addr(i % 2 ? "10.0.0.1" : "fd00::1"),
                             .destination = addr(i % 2 ? "10.0.0.2" : "fd00::2"),
                             .source_port = 1,
                             .destination_port = 2,
                             .flags = SIM_ACK};
    uint8_t data[200], packet[400];
    fill_random(&random, data, sizeof data);
    in.data = data;
    in.data_bytes = (uint32_t)sim_random_below(&random, sizeof data);
    size_t bytes = sim_segment_build(packet, &in), ip = i % 2 ? 20 : 40, tcp = bytes - ip;
    uint8_t *segment = exact(packet + ip, tcp);
    assert_true(mst__tcp_checksum_ok(&in.source, &in.destination, segment, tcp, false));
    size_t bit = sim_random_below(&random, tcp * 8);
    segment[bit / 8] ^= (uint8_t)(1 << bit % 8);
    assert_false(mst__tcp_checksum_ok(&in.source, &in.destination, segment, tcp, false));
    /* Partial: the pseudo-header's sum, whatever the rest is. */
    uint16_t partial = mst__csum_fold(mst__csum_pseudo(&in.source, &in.destination, MST_TCP, (uint32_t)tcp));
    memcpy(segment + 16, &partial, 2);
    assert_true(mst__tcp_checksum_ok(&in.source, &in.destination, segment, tcp, true));
    assert_false(mst__tcp_checksum_ok(&in.source, &in.destination, segment, tcp, false));
    free(segment);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parses_the_fixed_header),
      cmocka_unit_test(refuses_a_data_offset_outside_the_segment),
      cmocka_unit_test(parses_linux_syn_options),
      cmocka_unit_test(a_syn_alone_carries_what_belongs_to_it),
      cmocka_unit_test(parses_sack_blocks),
      cmocka_unit_test(lives_with_illegal_options),
      cmocka_unit_test(any_bytes_are_options),
      cmocka_unit_test(parses_what_it_builds),
      cmocka_unit_test(three_sack_blocks_fit_beside_timestamps),
      cmocka_unit_test(checks_checksums),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
