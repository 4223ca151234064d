/* UDP header (RFC 768): parse and build, pure. */
#ifndef MST_WIRE_UDP_H
#define MST_WIRE_UDP_H

#include "multistack/drop.h"
#include "multistack/types.h"

#define MST__UDP_HEADER_BYTES 8

struct mst__udp {
  uint16_t source_port, destination_port;
  uint16_t checksum; /* 0: not computed (IPv4 only) */
  const uint8_t *payload;
  uint32_t payload_bytes;
};

enum mst_drop mst__udp_parse(const uint8_t *datagram, size_t bytes, struct mst__udp *out);

/* Write the header with checksum 0; returns 8. */
size_t mst__udp_build(uint8_t *out, uint16_t source_port, uint16_t destination_port, uint32_t payload_bytes);

/* Whether the checksum of a received datagram of `bytes` bytes (by its own length field) holds; none at all will do for
 * IPv4 (RFC 768) and not for IPv6 (RFC 8200 8.1); `allow_partial`: the pseudo-header's sum alone will do. */
bool mst__udp_checksum_ok(const struct mst_addr *source, const struct mst_addr *destination, const uint8_t *datagram,
                          size_t bytes, bool allow_partial);

#endif
