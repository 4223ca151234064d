/* The packet parsers. The first byte chooses which checksums are made to fit, so that the bytes behind them are
 * reached; the rest is an IP packet, and as well a bare segment, datagram and set of options. */
#include "wire/checksum.h"
#include "wire/icmp.h"
#include "wire/ip.h"
#include "wire/tcp.h"
#include "wire/udp.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition) ((condition) ? (void)0 : abort())

enum { FIX_IP = 1, FIX_TRANSPORT = 2 };

/* Reads all bytes of a range, for the sanitizer to see where they are. */
static unsigned touch(const uint8_t *data, size_t bytes) {
  unsigned sum = 0;
  for (size_t i = 0; i < bytes; i++) sum += data[i];
  return sum;
}

static void check_within(const uint8_t *outer, size_t outer_bytes, const uint8_t *inner, size_t inner_bytes) {
  CHECK(inner >= outer && inner_bytes <= outer_bytes && inner + inner_bytes <= outer + outer_bytes);
  volatile unsigned sum = touch(inner, inner_bytes);
  (void)sum;
}

/* --- checksums --- */

static uint16_t plain_sum(const uint8_t *data, size_t bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes; i++) {
    sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
    sum = (sum & 0xffff) + (sum >> 16);
  }
  uint16_t out;
  memcpy(&out, (uint8_t[]){(uint8_t)(sum >> 8), (uint8_t)sum}, 2);
  return out;
}

static void check_checksums(const uint8_t *data, size_t bytes) {
  uint16_t expected = plain_sum(data, bytes);
  uint8_t *copy = malloc(bytes + 1);
  CHECK(copy);
  CHECK(mst__csum_fold(mst__csum_add(0, data, bytes)) == expected);
  CHECK(mst__csum_fold(mst__csum_copy(0, copy, data, bytes)) == expected);
  CHECK(memcmp(copy, data, bytes) == 0);
  size_t cut = bytes ? data[0] % (bytes + 1) & ~(size_t)1 : 0;
  CHECK(mst__csum_fold(mst__csum_add(mst__csum_add(0, data + cut, bytes - cut), data, cut)) == expected);
  free(copy);
}

/* --- transports --- */

static void check_options(const struct mst__tcp_options *in) {
  uint8_t header[60];
  struct mst__tcp tcp = {.flags = MST__SYN, .options = *in}, again;
  size_t bytes = mst__tcp_build(header, &tcp);
  CHECK(bytes >= 20 && bytes <= 60 && bytes % 4 == 0);
  CHECK(mst__tcp_parse(header, bytes, &again) == MST_DROP_NONE);
  const struct mst__tcp_options *out = &again.options;
  CHECK(out->has == in->has && out->mss == in->mss && out->wscale == in->wscale);
  CHECK(out->tsval == in->tsval && out->tsecr == in->tsecr);
  CHECK(out->sack_count <= in->sack_count && in->sack_count <= 4);
  CHECK(memcmp(out->sack, in->sack, out->sack_count * sizeof in->sack[0]) == 0);
}

static void check_tcp(const uint8_t *data, size_t bytes) {
  struct mst__tcp tcp;
  if (mst__tcp_parse(data, bytes, &tcp)) return;
  CHECK(tcp.header_bytes + tcp.payload_bytes == bytes);
  check_within(data, bytes, tcp.payload, tcp.payload_bytes);
  check_options(&tcp.options);
}

static void check_udp(const uint8_t *data, size_t bytes) {
  struct mst__udp udp;
  if (mst__udp_parse(data, bytes, &udp)) return;
  check_within(data, bytes, udp.payload, udp.payload_bytes);
  uint8_t header[8];
  struct mst__udp again;
  CHECK(mst__udp_build(header, udp.source_port, udp.destination_port, 0) == 8);
  CHECK(mst__udp_parse(header, 8, &again) == MST_DROP_NONE);
  CHECK(again.source_port == udp.source_port && again.destination_port == udp.destination_port);
}

static void check_icmp(const struct mst__ip *ip) {
  struct mst__icmp_error error;
  if (mst__icmp_parse(ip, &error) || error.kind == MST__ICMP_OTHER) return;
  CHECK(mst_addr_equal(&error.source, &ip->destination));
  CHECK(error.protocol == MST_TCP || error.protocol == MST_UDP);
  CHECK(!error.has_seq || error.protocol == MST_TCP);
  CHECK(mst_addr_is_ip4(&error.source) == (ip->version == 4));
}

/* --- IP --- */

static void check_ip_build(const struct mst__ip *ip) {
  struct mst__ip_fields fields = {.source = &ip->source,
                                  .destination = &ip->destination,
                                  .payload_bytes = ip->payload_bytes,
                                  .protocol = MST_TCP,
                                  .ttl = ip->ttl,
                                  .tos = ip->tos};
  uint8_t *packet = calloc(1, 40 + ip->payload_bytes);
  CHECK(packet);
  size_t header = mst__ip_build(packet, &fields);
  struct mst__ip again;
  CHECK(mst__ip_parse(packet, header + ip->payload_bytes, &again) == MST_DROP_NONE);
  CHECK(mst_addr_equal(&again.source, &ip->source) && mst_addr_equal(&again.destination, &ip->destination));
  CHECK(again.payload_bytes == ip->payload_bytes && again.ttl == ip->ttl && again.tos == ip->tos);
  CHECK(again.version == ip->version && again.dont_fragment);
  free(packet);
}

static void fix_ip_checksum(uint8_t *packet, size_t bytes) {
  if (bytes < 20 || packet[0] >> 4 != 4) return;
  size_t header = (packet[0] & 15u) * 4;
  if (header < 20 || header > bytes) return;
  memset(packet + 10, 0, 2);
  uint16_t sum = (uint16_t)~plain_sum(packet, header);
  memcpy(packet + 10, &sum, 2);
}

static void fix_transport_checksum(uint8_t *packet, const struct mst__ip *ip) {
  bool icmp = ip->protocol == MST_ICMP || ip->protocol == MST_ICMP6;
  size_t field = icmp ? 2 : ip->protocol == MST_TCP ? 16 : 6;
  if (ip->payload_bytes < field + 2) return;
  uint8_t *payload = packet + (ip->payload - packet);
  memset(payload + field, 0, 2);
  uint64_t sum =
      ip->protocol == MST_ICMP ? 0 : mst__csum_pseudo(&ip->source, &ip->destination, ip->protocol, ip->payload_bytes);
  uint16_t checksum = (uint16_t)~mst__csum_fold(mst__csum_add(sum, payload, ip->payload_bytes));
  memcpy(payload + field, &checksum, 2);
}

static void check_ip(uint8_t *packet, size_t bytes, uint8_t mode) {
  struct mst__ip ip;
  if (mode & FIX_IP) fix_ip_checksum(packet, bytes);
  if (mst__ip_parse(packet, bytes, &ip)) return;
  CHECK(ip.version == 4 || ip.version == 6);
  CHECK(mst_addr_is_ip4(&ip.source) == (ip.version == 4) && mst_addr_is_ip4(&ip.destination) == (ip.version == 4));
  CHECK(ip.payload == packet + ip.header_bytes);
  check_within(packet, bytes, ip.payload, ip.payload_bytes);
  check_ip_build(&ip);
  if (mode & FIX_TRANSPORT) {
    fix_transport_checksum(packet, &ip);
    if (ip.protocol == MST_TCP && ip.payload_bytes >= 20)
      CHECK(mst__tcp_checksum_ok(&ip.source, &ip.destination, ip.payload, ip.payload_bytes, false));
  }
  if (ip.protocol == MST_TCP) check_tcp(ip.payload, ip.payload_bytes);
  if (ip.protocol == MST_UDP) check_udp(ip.payload, ip.payload_bytes);
  check_icmp(&ip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1 || size > 65536) return 0;
  size_t bytes = size - 1;
  uint8_t *packet = malloc(bytes ? bytes : 1);
  CHECK(packet);
  if (bytes) memcpy(packet, data + 1, bytes);
  check_checksums(packet, bytes);
  check_tcp(packet, bytes);
  check_udp(packet, bytes);
  check_ip(packet, bytes, data[0]);
  free(packet);
  return 0;
}
