#include "ip.h"
#include "checksum.h"
#include <string.h>

enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, DESTINATION_OPTIONS = 60 };

#define DONT_FRAGMENT 0x4000
#define MORE_FRAGMENTS_OR_OFFSET 0x3fff
#define EXTENSIONS_MAX 8

/* RFC 791 3.1. Source routing is refused (RFC 1122 3.2.1.8 lets a host, RFC 6274 4.2 advises it). */
static enum mst_drop check_ip4_options(const uint8_t *options, size_t bytes) {
  enum { END = 0, NOP = 1, LOOSE_SOURCE_ROUTE = 131, STRICT_SOURCE_ROUTE = 137 };
  for (size_t at = 0; at < bytes && options[at] != END;) {
    if (options[at] == NOP) {
      at++;
      continue;
    }
    if (options[at] == LOOSE_SOURCE_ROUTE || options[at] == STRICT_SOURCE_ROUTE) return MST_DROP_IP_OPTION;
    if (bytes - at < 2 || options[at + 1] < 2 || options[at + 1] > bytes - at) return MST_DROP_IP_HEADER;
    at += options[at + 1];
  }
  return MST_DROP_NONE;
}

static enum mst_drop parse_ip4(const uint8_t *data, size_t bytes, struct mst__ip *out) {
  if (bytes < MST__IP4_HEADER_BYTES) return MST_DROP_SHORT;
  size_t header_bytes = (data[0] & 15u) * 4, total_bytes = mst__get16(data + 2);
  if (header_bytes < MST__IP4_HEADER_BYTES || total_bytes < header_bytes) return MST_DROP_IP_HEADER;
  if (total_bytes > bytes) return MST_DROP_SHORT;
  size_t options_bytes = header_bytes - MST__IP4_HEADER_BYTES;
  uint64_t sum = mst__csum_ip4_header(data);
  if (options_bytes) sum = mst__csum_add(sum, data + MST__IP4_HEADER_BYTES, options_bytes);
  if (mst__csum_fold(sum) != 0xffff) return MST_DROP_IP_CHECKSUM;
  enum mst_drop drop = check_ip4_options(data + MST__IP4_HEADER_BYTES, options_bytes);
  if (drop) return drop;
  uint16_t fragment = mst__get16(data + 6);
  if (fragment & MORE_FRAGMENTS_OR_OFFSET) return MST_DROP_FRAGMENT;
  *out = (struct mst__ip){
      .source = mst_addr_ip4(data + 12),
      .destination = mst_addr_ip4(data + 16),
      .payload = data + header_bytes,
      .payload_bytes = (uint32_t)(total_bytes - header_bytes),
      .header_bytes = (uint32_t)header_bytes,
      .version = 4,
      .protocol = data[9],
      .ttl = data[8],
      .tos = data[1],
      .dont_fragment = (fragment & DONT_FRAGMENT) != 0,
  };
  return MST_DROP_NONE;
}

/* RFC 8200 4.2: an unknown option is skipped when the two highest bits of its type are 0, else the packet is dropped.
 * (No ICMP is sent for those that ask for it: RFC 4443 makes it the stack's choice by rate limit.) */
static enum mst_drop check_ip6_options(const uint8_t *options, size_t bytes) {
  enum { PAD1 = 0, ACTION = 0xc0 };
  for (size_t at = 0; at < bytes;) {
    if (options[at] == PAD1) {
      at++;
      continue;
    }
    if (options[at] & ACTION) return MST_DROP_IP_OPTION;
    if (bytes - at < 2 || options[at + 1] > bytes - at - 2) return MST_DROP_IP_HEADER;
    at += 2u + options[at + 1];
  }
  return MST_DROP_NONE;
}

enum mst_drop mst__ip6_skip_extensions(const uint8_t *data, size_t bytes, uint8_t *protocol, size_t *at) {
  for (int count = 0; count < EXTENSIONS_MAX; count++) {
    uint8_t kind = *protocol;
    if (kind == ROUTING) return MST_DROP_IP_OPTION;
    if (kind != HOP_BY_HOP && kind != DESTINATION_OPTIONS && kind != FRAGMENT) return MST_DROP_NONE;
    if (kind == HOP_BY_HOP && count > 0) return MST_DROP_IP_HEADER;
    if (bytes - *at < 8) return MST_DROP_SHORT;
    const uint8_t *header = data + *at;
    size_t header_bytes = 8;
    if (kind == FRAGMENT) {
      if (mst__get16(header + 2) & 0xfff9) return MST_DROP_FRAGMENT;
    } else {
      header_bytes += header[1] * 8u;
      if (header_bytes > bytes - *at) return MST_DROP_SHORT;
      enum mst_drop drop = check_ip6_options(header + 2, header_bytes - 2);
      if (drop) return drop;
    }
    *protocol = header[0];
    *at += header_bytes;
  }
  return MST_DROP_IP_OPTION;
}

static enum mst_drop parse_ip6(const uint8_t *data, size_t bytes, struct mst__ip *out) {
  if (bytes < MST__IP6_HEADER_BYTES) return MST_DROP_SHORT;
  size_t total_bytes = MST__IP6_HEADER_BYTES + mst__get16(data + 4), at = MST__IP6_HEADER_BYTES;
  if (total_bytes > bytes) return MST_DROP_SHORT;
  uint8_t protocol = data[6];
  enum mst_drop drop = mst__ip6_skip_extensions(data, total_bytes, &protocol, &at);
  if (drop) return drop;
  *out = (struct mst__ip){
      .payload = data + at,
      .payload_bytes = (uint32_t)(total_bytes - at),
      .header_bytes = (uint32_t)at,
      .version = 6,
      .protocol = protocol,
      .ttl = data[7],
      .tos = (uint8_t)(mst__get16(data) >> 4),
      .dont_fragment = true,
  };
  memcpy(out->source.bytes, data + 8, 16);
  memcpy(out->destination.bytes, data + 24, 16);
  /* A mapped address on the wire would pass for an IPv4 address inside (RFC 4942 2.2). */
  if (mst_addr_is_ip4(&out->source)) return MST_DROP_SOURCE_ADDRESS;
  if (mst_addr_is_ip4(&out->destination)) return MST_DROP_DESTINATION_ADDRESS;
  return MST_DROP_NONE;
}

enum mst_drop mst__ip_parse(const uint8_t *data, size_t bytes, struct mst__ip *out) {
  if (bytes == 0) return MST_DROP_SHORT;
  switch (data[0] >> 4) {
  case 4: return parse_ip4(data, bytes, out);
  case 6: return parse_ip6(data, bytes, out);
  default: return MST_DROP_VERSION;
  }
}

static size_t build_ip4(uint8_t *out, const struct mst__ip_fields *fields) {
  out[0] = 0x45;
  out[1] = fields->tos;
  mst__put16(out + 2, (uint16_t)(MST__IP4_HEADER_BYTES + fields->payload_bytes));
  mst__put16(out + 4, fields->id);
  mst__put16(out + 6, DONT_FRAGMENT);
  out[8] = fields->ttl;
  out[9] = fields->protocol;
  mst__put16(out + 10, 0);
  memcpy(out + 12, fields->source->bytes + 12, 4);
  memcpy(out + 16, fields->destination->bytes + 12, 4);
  uint16_t checksum = (uint16_t)~mst__csum_fold(mst__csum_ip4_header(out));
  memcpy(out + 10, &checksum, 2);
  return MST__IP4_HEADER_BYTES;
}

static size_t build_ip6(uint8_t *out, const struct mst__ip_fields *fields) {
  mst__put32(out, 6u << 28 | (uint32_t)fields->tos << 20);
  mst__put16(out + 4, (uint16_t)fields->payload_bytes);
  out[6] = fields->protocol;
  out[7] = fields->ttl;
  memcpy(out + 8, fields->source->bytes, 16);
  memcpy(out + 24, fields->destination->bytes, 16);
  return MST__IP6_HEADER_BYTES;
}

size_t mst__ip_build(uint8_t *out, const struct mst__ip_fields *fields) {
  return mst_addr_is_ip4(fields->destination) ? build_ip4(out, fields) : build_ip6(out, fields);
}
