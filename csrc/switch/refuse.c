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

/* An ICMP error's type and code, by version (RFC 792, RFC 1191, RFC 4443 3). */
struct icmp_kind {
  uint8_t type4, code4, type6, code6;
};
static const struct icmp_kind net_unreachable = {3, 0, 1, 0};
static const struct icmp_kind host_unreachable = {3, 1, 1, 3};
static const struct icmp_kind port_unreachable = {3, 3, 1, 4};
static const struct icmp_kind too_big = {3, 4, 2, 0};

static uint32_t icmp_error(const struct mst_addr *source, const struct mst_addr *destination,
                           const struct icmp_kind *kind, uint32_t mtu, const uint8_t *packet, uint32_t quote_bytes,
                           uint8_t *out) {
  bool ip4 = mst_addr_is_ip4(source);
  uint32_t bytes = 8 + quote_bytes;
  uint32_t l3 = build_ip(out, destination, source, ip4 ? MST_ICMP : MST_ICMP6, bytes);
  uint8_t *icmp = out + l3;
  icmp[0] = ip4 ? kind->type4 : kind->type6;
  icmp[1] = ip4 ? kind->code4 : kind->code6;
  memset(icmp + 2, 0, 2);
  mst__put32(icmp + 4, mtu); /* IPv4 has it in the lower half of the word */
  memcpy(icmp + 8, packet, quote_bytes);
  uint64_t sum = ip4 ? 0 : mst__csum_pseudo(destination, source, MST_ICMP6, bytes);
  uint16_t checksum = (uint16_t)~mst__csum_fold(mst__csum_add(sum, icmp, bytes));
  memcpy(icmp + 2, &checksum, 2);
  return l3 + bytes;
}

uint32_t mst__refusal(const struct mst__refused *packet, enum mst_drop reason, uint32_t mtu, uint8_t *out) {
  struct mst_addr source, destination;
  const struct icmp_kind *kind;
  if (packet->protocol != MST_TCP && packet->protocol != MST_UDP) return 0; /* no error about an error */
  addresses_of(packet->header, packet->l3_bytes, &source, &destination);
  switch (reason) {
  case MST_DROP_NOT_HELD:
    if (packet->protocol == MST_TCP)
      return reset(&source, &destination, packet->header + packet->l3_bytes, packet->header_bytes - packet->l3_bytes,
                   packet->len - packet->l3_bytes, out);
    kind = &port_unreachable;
    break;
  case MST_DROP_NO_ROUTE:
  case MST_DROP_NO_PORT:
  case MST_DROP_PORT_DOWN: kind = &net_unreachable; break;
  case MST_DROP_NEIGHBOUR: kind = &host_unreachable; break;
  case MST_DROP_TOO_BIG: kind = &too_big; break;
  default: return 0;
  }
  uint32_t quote_bytes = packet->header_bytes < QUOTE_MAX ? packet->header_bytes : QUOTE_MAX;
  return icmp_error(&source, &destination, kind, reason == MST_DROP_TOO_BIG ? mtu : 0, packet->header, quote_bytes,
                    out);
}

void mst__explain(struct mst_switch *sw, struct mst__switch_channel *from, const struct mst__refused *packet,
                  enum mst_drop reason, uint32_t mtu) {
  uint8_t answer[MST__REFUSAL_BYTES];
  uint32_t bytes = mst__refusal(packet, reason, mtu, answer);
  if (bytes) mst__deliver_bytes(sw, from, answer, bytes, 0, MST_CSUM_VALID);
}
