#include "sim/packet.h"
#include "unit.h"
#include "wire/ip.h"

/* A UDP packet as a plain builder makes it. */
static size_t sample(uint8_t *out, const char *source, const char *destination) {
  struct mst_endpoint from = {.addr = addr(source), .port = 1000}, to = {.addr = addr(destination), .port = 2000};
  return sim_udp_build(out, &from, &to, "hello", 5);
}

static enum mst_drop parse(const uint8_t *packet, size_t bytes, struct mst__ip *out) {
  uint8_t *copy = exact(packet, bytes);
  enum mst_drop drop = mst__ip_parse(copy, bytes, out);
  if (!drop) out->payload = packet + (out->payload - copy);
  free(copy);
  return drop;
}

static enum mst_drop drop_of(const uint8_t *packet, size_t bytes) {
  struct mst__ip ip;
  return parse(packet, bytes, &ip);
}

/* Change a byte of a good IPv4 packet and make its header checksum fit again. */
static enum mst_drop drop_with(size_t at, uint8_t value) {
  uint8_t packet[128];
  size_t bytes = sample(packet, "10.0.0.1", "10.0.0.2");
  packet[at] = value;
  size_t header = (packet[0] & 15u) * 4;
  sim_put16(packet + 10, 0);
  uint32_t sum = 0;
  for (size_t i = 0; i < header; i += 2) sum += sim_get16(packet + i);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  sim_put16(packet + 10, ~sum);
  return drop_of(packet, bytes);
}

static void parses_ip4(void **state) {
  (void)state;
  uint8_t packet[128];
  size_t bytes = sample(packet, "10.0.0.1", "192.168.255.2");
  packet[1] = 0xb9;
  sim_packet_finish(packet, bytes);
  struct mst__ip ip;
  assert_int_equal(parse(packet, bytes, &ip), MST_DROP_NONE);
  struct mst_addr source = addr("10.0.0.1"), destination = addr("192.168.255.2");
  assert_true(mst_addr_equal(&ip.source, &source));
  assert_true(mst_addr_equal(&ip.destination, &destination));
  assert_ptr_equal(ip.payload, packet + 20);
  assert_int_equal(ip.payload_bytes, 13);
  assert_int_equal(ip.header_bytes, 20);
  assert_int_equal(ip.version, 4);
  assert_int_equal(ip.protocol, MST_UDP);
  assert_int_equal(ip.ttl, 64);
  assert_int_equal(ip.tos, 0xb9);
  assert_true(ip.dont_fragment);
}

static void parses_ip6(void **state) {
  (void)state;
  uint8_t packet[128];
  size_t bytes = sample(packet, "2001:db8::1", "fe80::2");
  packet[0] = 0x6b;
  packet[1] = 0x9f; /* traffic class 0xb9, and a flow label */
  struct mst__ip ip;
  assert_int_equal(parse(packet, bytes, &ip), MST_DROP_NONE);
  struct mst_addr source = addr("2001:db8::1"), destination = addr("fe80::2");
  assert_true(mst_addr_equal(&ip.source, &source));
  assert_true(mst_addr_equal(&ip.destination, &destination));
  assert_ptr_equal(ip.payload, packet + 40);
  assert_int_equal(ip.payload_bytes, 13);
  assert_int_equal(ip.version, 6);
  assert_int_equal(ip.protocol, MST_UDP);
  assert_int_equal(ip.ttl, 64);
  assert_int_equal(ip.tos, 0xb9);
  assert_true(ip.dont_fragment);
}

static void cuts_padding_off(void **state) {
  (void)state;
  uint8_t packet[128] = {0};
  struct mst__ip ip;
  sample(packet, "10.0.0.1", "10.0.0.2");
  assert_int_equal(parse(packet, 60, &ip), MST_DROP_NONE); /* the least Ethernet payload is 46 */
  assert_int_equal(ip.payload_bytes, 13);
  memset(packet, 0, sizeof packet);
  sample(packet, "::1", "::1");
  assert_int_equal(parse(packet, 100, &ip), MST_DROP_NONE);
  assert_int_equal(ip.payload_bytes, 13);
}

static void every_cut_is_short(void **state) {
  (void)state;
  static const char *const hosts[] = {"10.0.0.1", "fd00::1"};
  for (size_t i = 0; i < COUNT(hosts); i++) {
    uint8_t packet[128];
    size_t bytes = sample(packet, hosts[i], hosts[i]);
    for (size_t cut = 0; cut < bytes; cut++) assert_int_equal(drop_of(packet, cut), MST_DROP_SHORT);
  }
}

static void refuses_malformed_ip4(void **state) {
  (void)state;
  assert_int_equal(drop_with(1, 3), MST_DROP_NONE);
  assert_int_equal(drop_with(0, 0x44), MST_DROP_IP_HEADER); /* header of 16 bytes */
  assert_int_equal(drop_with(3, 19), MST_DROP_IP_HEADER);   /* total length below the header's */
  assert_int_equal(drop_with(2, 1), MST_DROP_SHORT);        /* total length above what is there */
  for (unsigned version = 0; version < 16; version++) {
    uint8_t first = (uint8_t)(version << 4 | 5);
    if (version != 4 && version != 6) assert_int_equal(drop_with(0, first), MST_DROP_VERSION);
  }
  uint8_t packet[128];
  size_t bytes = sample(packet, "10.0.0.1", "10.0.0.2");
  for (size_t i = 1; i < 20; i++) {
    if (i == 2 || i == 3) continue; /* the length is looked at first */
    packet[i] ^= 0x10;
    assert_int_equal(drop_of(packet, bytes), MST_DROP_IP_CHECKSUM);
    packet[i] ^= 0x10;
  }
}

static void never_takes_an_ip4_fragment(void **state) {
  (void)state;
  assert_int_equal(drop_with(6, 0x20), MST_DROP_FRAGMENT); /* the first: MF */
  assert_int_equal(drop_with(6, 0x60), MST_DROP_FRAGMENT); /* with DF too */
  assert_int_equal(drop_with(7, 0x01), MST_DROP_FRAGMENT); /* the last: an offset */
  assert_int_equal(drop_with(6, 0x1f), MST_DROP_FRAGMENT);
}

static void a_packet_that_may_be_fragmented_is_none_yet(void **state) {
  (void)state;
  uint8_t packet[128];
  struct mst__ip ip;
  size_t bytes = sample(packet, "10.0.0.1", "10.0.0.2");
  packet[6] = 0;
  sim_packet_finish(packet, bytes);
  assert_int_equal(parse(packet, bytes, &ip), MST_DROP_NONE);
  assert_false(ip.dont_fragment);
}

static enum mst_drop with_ip4_options(const uint8_t *options, size_t options_bytes, struct mst__ip *ip) {
  static uint8_t packet[192]; /* `ip` points into it */
  uint8_t plain[128];
  size_t bytes = sample(plain, "10.0.0.1", "10.0.0.2");
  memcpy(packet, plain, 20);
  memcpy(packet + 20, options, options_bytes);
  memcpy(packet + 20 + options_bytes, plain + 20, bytes - 20);
  packet[0] = (uint8_t)(0x45 + options_bytes / 4);
  sim_packet_finish(packet, bytes + options_bytes);
  return parse(packet, bytes + options_bytes, ip);
}

static void skips_ip4_options_but_source_routes(void **state) {
  (void)state;
  struct mst__ip ip;
  static const struct {
    uint8_t options[8];
    enum mst_drop drop;
  } rows[] = {
      {{1, 1, 1, 1, 1, 1, 1, 1}, MST_DROP_NONE},
      {{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, MST_DROP_NONE}, /* nothing counts after the end */
      {{148, 4, 0, 0, 0, 0, 0, 0}, MST_DROP_NONE},                    /* router alert */
      {{7, 7, 4, 10, 0, 0, 9, 0}, MST_DROP_NONE},                     /* record route */
      {{30, 2, 30, 2, 30, 2, 30, 2}, MST_DROP_NONE},                  /* as short as one may be, to the end */
      {{131, 7, 4, 10, 0, 0, 9, 0}, MST_DROP_IP_OPTION},              /* loose source route */
      {{1, 137, 7, 4, 10, 0, 0, 9}, MST_DROP_IP_OPTION},              /* strict source route */
      {{148, 9, 0, 0, 0, 0, 0, 0}, MST_DROP_IP_HEADER},               /* longer than the header */
      {{148, 1, 0, 0, 0, 0, 0, 0}, MST_DROP_IP_HEADER},
      {{148, 0, 0, 0, 0, 0, 0, 0}, MST_DROP_IP_HEADER},
      {{1, 1, 1, 1, 1, 1, 1, 148}, MST_DROP_IP_HEADER}, /* no length */
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    assert_int_equal(with_ip4_options(rows[i].options, 8, &ip), rows[i].drop);
    if (rows[i].drop) continue;
    assert_int_equal(ip.header_bytes, 28);
    assert_int_equal(ip.payload_bytes, 13);
    assert_memory_equal(ip.payload + 8, "hello", 5);
  }
}

/* An IPv6 packet whose first header is `first` and whose extension headers are the bytes given. */
static enum mst_drop with_extensions(uint8_t first, const uint8_t *extensions, size_t bytes, struct mst__ip *ip) {
  uint8_t plain[128], packet[512];
  size_t plain_bytes = sample(plain, "fd00::1", "fd00::2");
  memcpy(packet, plain, 40);
  memcpy(packet + 40, extensions, bytes);
  memcpy(packet + 40 + bytes, plain + 40, plain_bytes - 40);
  packet[6] = first;
  sim_put16(packet + 4, (uint32_t)(plain_bytes - 40 + bytes));
  return parse(packet, plain_bytes + bytes, ip);
}

static void walks_ip6_extension_headers(void **state) {
  (void)state;
  enum { HOP = 0, ROUTE = 43, FRAG = 44, DEST = 60 };
  static const struct {
    uint8_t first;
    uint8_t bytes;
    uint8_t extensions[24];
    enum mst_drop drop;
  } rows[] = {
      {HOP, 8, {MST_UDP, 0, 5, 2, 0, 0, 1, 0}, MST_DROP_NONE}, /* router alert, PadN of none */
      {HOP, 8, {MST_UDP, 0, 1, 4, 0, 0, 0, 0}, MST_DROP_NONE},
      {HOP, 8, {MST_UDP, 0, 0, 0, 0, 0, 0, 0}, MST_DROP_NONE},          /* six Pad1 */
      {HOP, 8, {MST_UDP, 0, 0x3e, 4, 9, 9, 9, 9}, MST_DROP_NONE},       /* unknown, may be skipped */
      {HOP, 8, {MST_UDP, 0, 0x7e, 4, 9, 9, 9, 9}, MST_DROP_IP_OPTION},  /* unknown, may not */
      {HOP, 8, {MST_UDP, 0, 0xc2, 4, 0, 1, 0, 0}, MST_DROP_IP_OPTION},  /* jumbogram (RFC 2675) */
      {DEST, 8, {MST_UDP, 0, 0xc9, 4, 0, 0, 0, 0}, MST_DROP_IP_OPTION}, /* home address (RFC 6275) */
      {HOP, 8, {MST_UDP, 0, 1, 5, 0, 0, 0, 0}, MST_DROP_IP_HEADER},     /* past its header */
      {HOP, 8, {MST_UDP, 0, 0, 0, 0, 0, 0, 1}, MST_DROP_IP_HEADER},     /* no length */
      {HOP, 8, {MST_UDP, 9, 1, 4, 0, 0, 0, 0}, MST_DROP_SHORT},         /* past the packet */
      {DEST, 8, {MST_UDP, 0, 1, 4, 0, 0, 0, 0}, MST_DROP_NONE},
      {DEST, 16, {MST_UDP, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, MST_DROP_NONE},
      {HOP, 16, {DEST, 0, 1, 4, 0, 0, 0, 0, MST_UDP, 0, 1, 4, 0, 0, 0, 0}, MST_DROP_NONE},
      {DEST,
       16,
       {HOP, 0, 1, 4, 0, 0, 0, 0, MST_UDP, 0, 1, 4, 0, 0, 0, 0},
       MST_DROP_IP_HEADER}, /* hop-by-hop is first */
      {ROUTE, 8, {MST_UDP, 0, 0, 0, 0, 0, 0, 0}, MST_DROP_IP_OPTION},
      {FRAG, 8, {MST_UDP, 0, 0, 0, 1, 2, 3, 4}, MST_DROP_NONE},     /* atomic (RFC 6946) */
      {FRAG, 8, {MST_UDP, 0, 0, 6, 1, 2, 3, 4}, MST_DROP_NONE},     /* reserved bits say nothing */
      {FRAG, 8, {MST_UDP, 0, 0, 1, 1, 2, 3, 4}, MST_DROP_FRAGMENT}, /* the first */
      {FRAG, 8, {MST_UDP, 0, 0, 8, 1, 2, 3, 4}, MST_DROP_FRAGMENT}, /* a later one */
      {FRAG, 8, {MST_UDP, 0, 0xff, 0xf8, 1, 2, 3, 4}, MST_DROP_FRAGMENT},
      {DEST, 16, {FRAG, 0, 1, 4, 0, 0, 0, 0, MST_UDP, 0, 0, 9, 0, 0, 0, 0}, MST_DROP_FRAGMENT},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    struct mst__ip ip;
    assert_int_equal(with_extensions(rows[i].first, rows[i].extensions, rows[i].bytes, &ip), rows[i].drop);
    if (rows[i].drop) continue;
    assert_int_equal(ip.protocol, MST_UDP);
    assert_int_equal(ip.header_bytes, 40u + rows[i].bytes);
    assert_int_equal(ip.payload_bytes, 13);
    assert_memory_equal(ip.payload + 8, "hello", 5);
  }
}

static void bounds_the_chain_of_extension_headers(void **state) {
  (void)state;
  uint8_t chain[40 * 8];
  for (size_t i = 0; i < 40; i++) memcpy(chain + 8 * i, (uint8_t[]){60, 0, 1, 4, 0, 0, 0, 0}, 8);
  chain[39 * 8] = MST_UDP;
  struct mst__ip ip;
  assert_int_equal(with_extensions(60, chain, sizeof chain, &ip), MST_DROP_IP_OPTION);
  chain[6 * 8] = MST_UDP;
  assert_int_equal(with_extensions(60, chain, 7 * 8, &ip), MST_DROP_NONE);
}

/* Inside, an IPv4-mapped address is an IPv4 address: on the wire it would borrow that one's tuples. */
static void refuses_mapped_addresses_on_the_wire(void **state) {
  (void)state;
  uint8_t packet[128];
  struct mst_addr mapped = addr("127.0.0.1");
  size_t bytes = sample(packet, "fd00::1", "fd00::2");
  memcpy(packet + 8, &mapped, 16);
  assert_int_equal(drop_of(packet, bytes), MST_DROP_SOURCE_ADDRESS);
  bytes = sample(packet, "fd00::1", "fd00::2");
  memcpy(packet + 24, &mapped, 16);
  assert_int_equal(drop_of(packet, bytes), MST_DROP_DESTINATION_ADDRESS);
}

static void parses_what_it_builds(void **state) {
  (void)state;
  struct sim_random random = {3};
  for (int i = 0; i < 5000; i++) {
    struct mst_addr source, destination;
    fill_random(&random, &source, sizeof source);
    fill_random(&random, &destination, sizeof destination);
    bool ip4 = i % 2;
    if (ip4) {
      source = mst_addr_ip4(source.bytes);
      destination = mst_addr_ip4(destination.bytes);
    }
    struct mst__ip_fields fields = {
        .source = &source,
        .destination = &destination,
        .payload_bytes = (uint32_t)sim_random_below(&random, 100),
        .id = (uint16_t)sim_random_next(&random),
        .protocol = MST_TCP,
        .ttl = (uint8_t)sim_random_next(&random),
        .tos = (uint8_t)sim_random_next(&random),
    };
    uint8_t packet[160];
    memset(packet, 0xa5, sizeof packet);
    size_t header = mst__ip_build(packet, &fields);
    assert_int_equal(header, ip4 ? 20 : 40);
    assert_int_equal(packet[header], 0xa5);
    struct mst__ip ip;
    assert_int_equal(parse(packet, header + fields.payload_bytes, &ip), MST_DROP_NONE);
    assert_true(mst_addr_equal(&ip.source, &source) && mst_addr_equal(&ip.destination, &destination));
    assert_int_equal(ip.payload_bytes, fields.payload_bytes);
    assert_int_equal(ip.protocol, MST_TCP);
    assert_int_equal(ip.ttl, fields.ttl);
    assert_int_equal(ip.tos, fields.tos);
    assert_true(ip.dont_fragment);
    if (ip4) assert_int_equal(sim_get16(packet + 4), fields.id);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parses_ip4),
      cmocka_unit_test(parses_ip6),
      cmocka_unit_test(cuts_padding_off),
      cmocka_unit_test(every_cut_is_short),
      cmocka_unit_test(refuses_malformed_ip4),
      cmocka_unit_test(never_takes_an_ip4_fragment),
      cmocka_unit_test(a_packet_that_may_be_fragmented_is_none_yet),
      cmocka_unit_test(skips_ip4_options_but_source_routes),
      cmocka_unit_test(walks_ip6_extension_headers),
      cmocka_unit_test(bounds_the_chain_of_extension_headers),
      cmocka_unit_test(refuses_mapped_addresses_on_the_wire),
      cmocka_unit_test(parses_what_it_builds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
