#include "segment.h"
#include "checksum.h"
#include "tcp.h"
#include "udp.h"
#include <string.h>

#define IP4_LENGTH 2
#define IP4_ID 4
#define IP4_CHECKSUM 10
#define IP6_LENGTH 4
#define TCP_SEQ 4
#define TCP_FLAGS 13
#define TCP_CHECKSUM 16
#define UDP_LENGTH 4
#define UDP_CHECKSUM 6

static uint32_t checksum_offset(uint8_t protocol) {
  return protocol == MST_TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
}

static void put_checksum(uint8_t *at, uint16_t in_memory_order) {
  memcpy(at, &in_memory_order, 2);
}

/* Fix the IP header; returns the pseudo-header's sum for `transport_bytes`. */
static uint64_t segment_ip(const struct mst__segments *s, uint32_t index, uint32_t transport_bytes, uint8_t *ip) {
  struct mst_addr source, destination;
  if (s->l3_bytes == MST__IP4_HEADER_BYTES) {
    mst__put16(ip + IP4_LENGTH, (uint16_t)(s->l3_bytes + transport_bytes));
    mst__put16(ip + IP4_ID, (uint16_t)(mst__get16(ip + IP4_ID) + index));
    memset(ip + IP4_CHECKSUM, 0, 2);
    put_checksum(ip + IP4_CHECKSUM, (uint16_t)~mst__csum_fold(mst__csum_add(0, ip, MST__IP4_HEADER_BYTES)));
    source = mst_addr_ip4(ip + 12);
    destination = mst_addr_ip4(ip + 16);
  } else {
    mst__put16(ip + IP6_LENGTH, (uint16_t)transport_bytes);
    memcpy(source.bytes, ip + 8, 16);
    memcpy(destination.bytes, ip + 24, 16);
  }
  return mst__csum_pseudo(&source, &destination, s->protocol, transport_bytes);
}

uint32_t mst__segment_header(const struct mst__segments *s, uint32_t offset, uint8_t *out) {
  uint32_t left = s->payload_bytes - offset;
  uint32_t payload = left < s->segment_bytes ? left : s->segment_bytes;
  uint32_t transport_bytes = s->header_bytes - s->l3_bytes + payload;
  memcpy(out, s->header, s->header_bytes);
  uint64_t pseudo = segment_ip(s, offset / s->segment_bytes, transport_bytes, out);
  uint8_t *transport = out + s->l3_bytes;
  if (s->protocol == MST_TCP) {
    mst__put32(transport + TCP_SEQ, mst__get32(transport + TCP_SEQ) + offset);
    if (payload < left) transport[TCP_FLAGS] &= (uint8_t) ~(MST__FIN | MST__PSH);
    if (offset) transport[TCP_FLAGS] &= (uint8_t)~MST__CWR;
  } else {
    mst__put16(transport + UDP_LENGTH, (uint16_t)transport_bytes);
  }
  put_checksum(transport + checksum_offset(s->protocol), mst__csum_fold(pseudo));
  return payload;
}

void mst__checksum_complete(uint8_t *transport, uint32_t bytes, uint8_t protocol) {
  uint16_t checksum = (uint16_t)~mst__csum_fold(mst__csum_add(0, transport, bytes));
  if (!checksum && protocol == MST_UDP) checksum = 0xffff; /* RFC 768: zero means none */
  put_checksum(transport + checksum_offset(protocol), checksum);
}
