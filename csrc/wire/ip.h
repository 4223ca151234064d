/* IPv4 (RFC 791) and IPv6 (RFC 8200) headers: parse and build, pure. */
#ifndef MST_WIRE_IP_H
#define MST_WIRE_IP_H

#include "multistack/drop.h"
#include "multistack/types.h"

#define MST__IP4_HEADER_BYTES 20
#define MST__IP6_HEADER_BYTES 40

/* The ECN field, the two low bits of `tos` (RFC 3168 5). */
enum mst__ip_ecn { MST__NOT_ECT = 0, MST__ECT1 = 1, MST__ECT0 = 2, MST__CE = 3, MST__ECN_MASK = 3 };

struct mst__ip {
  struct mst_addr source, destination;
  const uint8_t *payload; /* transport header; in the parsed bytes */
  uint32_t payload_bytes; /* by the length field, what follows it (padding) cut off */
  uint32_t header_bytes;  /* with accepted extension headers */
  uint8_t version;        /* 4 or 6 */
  uint8_t protocol;       /* the transport's */
  uint8_t ttl;            /* or hop limit */
  uint8_t tos;            /* DS field and ECN */
  bool dont_fragment;     /* always true for IPv6 */
};

/* Parse the header of `bytes` bytes of IP packet. IPv4 header checksum is verified. Source routing is refused
 * (IP_OPTION), other IPv4 options are skipped; of IPv6's extension headers hop-by-hop and destination options are
 * skipped when all in them may be (RFC 8200 4.2), routing headers are refused; a fragment is FRAGMENT (an IPv6 atomic
 * fragment, RFC 6946, is not). An IPv4-mapped address in an IPv6 header is refused (SOURCE_ADDRESS,
 * DESTINATION_ADDRESS). */
enum mst_drop mst__ip_parse(const uint8_t *data, size_t bytes, struct mst__ip *out);

/* Skip what mst__ip_parse skips, from `*at` (<= bytes) on; both in-outs are then the transport's. */
enum mst_drop mst__ip6_skip_extensions(const uint8_t *data, size_t bytes, uint8_t *protocol, size_t *at);

/* What a header that we send says. Both versions: chosen by the family of `destination`. */
struct mst__ip_fields {
  const struct mst_addr *source, *destination;
  uint32_t payload_bytes;
  uint16_t id; /* IPv4 identification; DF is always set (RFC 6864) */
  uint8_t protocol, ttl, tos;
};

/* Write the header, IPv4 checksum included; returns its bytes (20 or 40). `out` has room for 40. */
size_t mst__ip_build(uint8_t *out, const struct mst__ip_fields *fields);

static inline uint16_t mst__get16(const uint8_t *p) {
  return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t mst__get32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void mst__put16(uint8_t *p, uint16_t v) {
  p[0] = (uint8_t)(v >> 8);
  p[1] = (uint8_t)v;
}
static inline void mst__put32(uint8_t *p, uint32_t v) {
  mst__put16(p, (uint16_t)(v >> 16));
  mst__put16(p + 2, (uint16_t)v);
}

#endif
