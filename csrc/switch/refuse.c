#include "switch_internal.h"
#include "wire/checksum.h"
#include "wire/ip.h"
#include "wire/segment.h"
#include "wire/tcp.h"

#define TTL 64
#define QUOTE_MAX 256u /* of the refused packet; its headers are what the sender needs */

static void addresses_of(const uint8_t *header, uint32_t l3_bytes, struct mst_addr *source,
                         struct mst_addr *destination) {
  if (l3_bytes == MST__IP4_HEADER_BYTES) {
    *source = mst_addr_ip4(header + 12);
    *destination = mst_addr_ip4(header + 16);
  } else {
    memcpy(source->bytes, header + 8, 16);
    memcpy(destination->bytes, header + 24, 16);
  }
}

/* From the refused packet's destination back to its source. */
static uint32_t build_ip(uint8_t *out, const struct mst_addr *from, const struct mst_addr *to, uint8_t protocol,
                         uint32_t payload_bytes) {
  return (uint32_t)mst__ip_build(
      out, &(struct mst__ip_fields){
               .source = from, .destination = to, .payload_bytes = payload_bytes, .protocol = protocol, .ttl = TTL});
}

static uint32_t reset(const struct mst_addr *source, const struct mst_addr *destination, const uint8_t *segment,
                      uint32_t header_bytes, uint32_t bytes, uint8_t *out) {
  uint8_t flags = segment[13];
  if (flags & MST__RST) return 0;
  struct mst__tcp answer = {
      .source_port = mst__get16(segment + 2), .destination_port = mst__get16(segment), .flags = MST__RST};
  if (flags & MST__ACK) {
    answer.seq = mst__get32(segment + 8);
  } else {
    answer.flags |= MST__ACK;
    answer.ack = mst__get32(segment + 4) + bytes - header_bytes + !!(flags & MST__SYN) + !!(flags & MST__FIN);
  }
  uint32_t l3 = build_ip(out, destination, source, MST_TCP, MST__TCP_HEADER_BYTES);
  mst__tcp_build(out + l3, &answer);
  uint16_t pseudo = mst__csum_fold(mst__csum_pseudo(destination, source, MST_TCP, MST__TCP_HEADER_BYTES));
  memcpy(out + l3 + 16, &pseudo, 2);
  mst__checksum_complete(out + l3, MST__TCP_HEADER_BYTES, MST_TCP);
  return l3 + MST__TCP_HEADER_BYTES;
}

static uint32_t port_unreachable(const struct mst_addr *source, const struct mst_addr *destination,
                                 const uint8_t *packet, uint32_t quote_bytes, uint8_t *out) {
  bool ip4 = mst_addr_is_ip4(source);
  uint32_t bytes = 8 + quote_bytes;
  uint32_t l3 = build_ip(out, destination, source, ip4 ? MST_ICMP : MST_ICMP6, bytes);
  uint8_t *icmp = out + l3;
  memset(icmp, 0, 8);
  icmp[0] = ip4 ? 3 : 1; /* destination unreachable: */
  icmp[1] = ip4 ? 3 : 4; /* port unreachable (RFC 792, RFC 4443 3.1) */
  memcpy(icmp + 8, packet, quote_bytes);
  uint64_t sum = ip4 ? 0 : mst__csum_pseudo(destination, source, MST_ICMP6, bytes);
  uint16_t checksum = (uint16_t)~mst__csum_fold(mst__csum_add(sum, icmp, bytes));
  memcpy(icmp + 2, &checksum, 2);
  return l3 + bytes;
}

uint32_t mst__refusal(const uint8_t *header, uint32_t l3_bytes, uint32_t header_bytes, uint8_t protocol, uint32_t len,
                      uint8_t *out) {
  struct mst_addr source, destination;
  addresses_of(header, l3_bytes, &source, &destination);
  if (protocol == MST_TCP)
    return reset(&source, &destination, header + l3_bytes, header_bytes - l3_bytes, len - l3_bytes, out);
  return port_unreachable(&source, &destination, header, header_bytes < QUOTE_MAX ? header_bytes : QUOTE_MAX, out);
}
