/* Where the transport checksum of a packet stands. */
#include "port_internal.h"

#define IP4_HEADER_BYTES 20u
#define IP6_HEADER_BYTES 40u
#define TCP_HEADER_BYTES 20u
#define UDP_HEADER_BYTES 8u
#define UDP_CHECKSUM_OFFSET 6u

bool mst__port_checksum_place(const uint8_t *packet, uint32_t len, struct mst__checksum_place *out) {
  if (len < IP4_HEADER_BYTES) return false;
  bool ip6 = packet[0] >> 4 == 6;
  uint8_t protocol = packet[ip6 ? 6 : 9];
  out->start = (uint16_t)(ip6 ? IP6_HEADER_BYTES : (packet[0] & 15u) * 4);
  out->offset = protocol == MST_TCP ? MST__TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET;
  if (protocol == MST_TCP) return len >= out->start + TCP_HEADER_BYTES;
  return protocol == MST_UDP && len >= out->start + UDP_HEADER_BYTES;
}
