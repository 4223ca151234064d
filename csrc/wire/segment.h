/* Software segmentation (the work of a NIC's TSO and USO) and checksum completion: pure. */
#ifndef MST_WIRE_SEGMENT_H
#define MST_WIRE_SEGMENT_H

#include "ip.h"

/* A packet that stands for several: its headers, and how its payload is cut. */
struct mst__segments {
  const uint8_t *header;  /* IP without options or extension headers, then TCP or UDP */
  uint32_t l3_bytes;      /* 20 or 40 */
  uint32_t header_bytes;  /* both headers */
  uint32_t payload_bytes; /* of all segments */
  uint32_t segment_bytes; /* payload of each but the last */
  uint8_t protocol;       /* MST_TCP or MST_UDP */
};

/* Write the headers of the segment whose payload begins at `offset`, a multiple of segment_bytes: lengths, the IPv4
 * identification and checksum and TCP's sequence number are its own, FIN and PSH only on the last and CWR only on the
 * first (RFC 3168 6.1.2); the transport checksum is the pseudo-header's sum. Returns the payload bytes it has. */
uint32_t mst__segment_header(const struct mst__segments *segments, uint32_t offset, uint8_t *out);

/* Complete a partial checksum: `transport` are `bytes` of transport header and payload, with the pseudo-header's sum in
 * the checksum field. */
void mst__checksum_complete(uint8_t *transport, uint32_t bytes, uint8_t protocol);

#endif
