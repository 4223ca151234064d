#include "icmp.h"
#include "checksum.h"
#include <string.h>

#define ICMP_HEADER_BYTES 8
#define QUOTE_BYTES 8 /* of the transport, that an error must quote at least (RFC 792) */

static enum mst__icmp_kind unreachable_kind4(uint8_t code) {
  switch (code) {
  case 1:
  case 7:
  case 8:
  case 12: return MST__ICMP_HOST_UNREACHABLE;
  case 2: return MST__ICMP_PROTOCOL_UNREACHABLE;
  case 3: return MST__ICMP_PORT_UNREACHABLE;
  case 4: return MST__ICMP_TOO_BIG;
  case 9:
  case 10:
  case 13: return MST__ICMP_PROHIBITED;
  default: return MST__ICMP_NET_UNREACHABLE;
  }
}

static enum mst__icmp_kind kind4(uint8_t type, uint8_t code) {
  switch (type) {
  case 3: return unreachable_kind4(code);
  case 11: return MST__ICMP_TIME_EXCEEDED;
  case 12: return MST__ICMP_PARAMETER_PROBLEM;
  default: return MST__ICMP_OTHER;
  }
}

static enum mst__icmp_kind unreachable_kind6(uint8_t code) {
  switch (code) {
  case 1:
  case 5:
  case 6: return MST__ICMP_PROHIBITED;
  case 3: return MST__ICMP_HOST_UNREACHABLE;
  case 4: return MST__ICMP_PORT_UNREACHABLE;
  default: return MST__ICMP_NET_UNREACHABLE;
  }
}

static enum mst__icmp_kind kind6(uint8_t type, uint8_t code) {
  switch (type) {
  case 1: return unreachable_kind6(code);
  case 2: return MST__ICMP_TOO_BIG;
  case 3: return MST__ICMP_TIME_EXCEEDED;
  case 4: return code == 1 ? MST__ICMP_PROTOCOL_UNREACHABLE : MST__ICMP_PARAMETER_PROBLEM;
  default: return MST__ICMP_OTHER;
  }
}

/* The quoted IP header, whose packet is cut short and whose checksum a router may have left stale: `*transport` is the
 * offset of what it carries. */
static bool parse_quoted_ip4(const uint8_t *quote, size_t bytes, struct mst__icmp_error *out, size_t *transport) {
  if (bytes < MST__IP4_HEADER_BYTES || quote[0] >> 4 != 4) return false;
  *transport = (quote[0] & 15u) * 4;
  bool later_fragment = (mst__get16(quote + 6) & 0x1fff) != 0;
  if (*transport < MST__IP4_HEADER_BYTES || *transport > bytes || later_fragment) return false;
  out->source = mst_addr_ip4(quote + 12);
  out->destination = mst_addr_ip4(quote + 16);
  out->protocol = quote[9];
  return true;
}

static bool parse_quoted_ip6(const uint8_t *quote, size_t bytes, struct mst__icmp_error *out, size_t *transport) {
  if (bytes < MST__IP6_HEADER_BYTES || quote[0] >> 4 != 6) return false;
  *transport = MST__IP6_HEADER_BYTES;
  memcpy(out->source.bytes, quote + 8, 16);
  memcpy(out->destination.bytes, quote + 24, 16);
  out->protocol = quote[6];
  return mst__ip6_skip_extensions(quote, bytes, &out->protocol, transport) == MST_DROP_NONE;
}

static bool parse_quote(const struct mst__ip *ip, struct mst__icmp_error *out) {
  const uint8_t *quote = ip->payload + ICMP_HEADER_BYTES;
  size_t bytes = ip->payload_bytes - ICMP_HEADER_BYTES, transport;
  bool ok = ip->version == 4 ? parse_quoted_ip4(quote, bytes, out, &transport)
                             : parse_quoted_ip6(quote, bytes, out, &transport);
  if (!ok || bytes - transport < QUOTE_BYTES) return false;
  out->source_port = mst__get16(quote + transport);
  out->destination_port = mst__get16(quote + transport + 2);
  out->has_seq = out->protocol == MST_TCP;
  if (out->has_seq) out->seq = mst__get32(quote + transport + 4);
  /* An error comes to whoever sent what it quotes. */
  return mst_addr_equal(&out->source, &ip->destination) && (out->protocol == MST_TCP || out->protocol == MST_UDP);
}

static bool checksum_ok(const struct mst__ip *ip) {
  uint64_t sum = 0;
  if (ip->version == 6) sum = mst__csum_pseudo(&ip->source, &ip->destination, MST_ICMP6, ip->payload_bytes);
  return mst__csum_fold(mst__csum_add(sum, ip->payload, ip->payload_bytes)) == 0xffff;
}

enum mst_drop mst__icmp_parse(const struct mst__ip *ip, struct mst__icmp_error *out) {
  const uint8_t *p = ip->payload;
  bool expected = ip->version == 4 ? ip->protocol == MST_ICMP : ip->protocol == MST_ICMP6;
  if (!expected || ip->payload_bytes < ICMP_HEADER_BYTES || !checksum_ok(ip)) return MST_DROP_ICMP;
  *out = (struct mst__icmp_error){.kind = ip->version == 4 ? kind4(p[0], p[1]) : kind6(p[0], p[1])};
  if (out->kind == MST__ICMP_OTHER) return MST_DROP_NONE;
  if (out->kind == MST__ICMP_TOO_BIG) out->mtu = ip->version == 4 ? mst__get16(p + 6) : mst__get32(p + 4);
  return parse_quote(ip, out) ? MST_DROP_NONE : MST_DROP_ICMP;
}
