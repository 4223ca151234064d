#include "validate.h"
#include "wire/checksum.h"
#include "wire/ip.h"
#include "wire/tcp.h"
#include "wire/udp.h"

/* A segment smaller than this would make thousands of packets of one. Linux' own least MSS. */
#define GSO_SIZE_MIN 48

static uint32_t load32(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

static uint64_t load64(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return v;
}

/* 0.0.0.0/8, multicast, the reserved class E and the limited broadcast address are nobody's. */
static bool ip4_is_unicast(const uint8_t *addr) {
  return addr[0] != 0 && addr[0] < 224;
}

static bool ip6_is_unicast(const uint8_t *addr) {
  return addr[0] != 0xff && (load64(addr) | load64(addr + 8)) != 0;
}

static enum mst_drop check_ip4(struct mst__outgoing *packet) {
  const uint8_t *header = packet->taken.bytes;
  if (header[0] != 0x45) return (header[0] & 15) > 5 ? MST_DROP_IP_OPTION : MST_DROP_IP_HEADER;
  if (mst__get16(header + 2) != packet->taken.len) return MST_DROP_SHORT;
  if (mst__get16(header + 6) & 0x3fff) return MST_DROP_FRAGMENT; /* MF and the offset */
  if (header[8] == 0) return MST_DROP_IP_HEADER;
  if (mst__csum_fold(mst__csum_ip4_header(header)) != 0xffff) return MST_DROP_IP_CHECKSUM;
  if (!ip4_is_unicast(header + 12)) return MST_DROP_SOURCE_ADDRESS;
  if (!ip4_is_unicast(header + 16)) return MST_DROP_DESTINATION_ADDRESS;
  packet->protocol = header[9];
  packet->l3_bytes = MST__IP4_HEADER_BYTES;
  return MST_DROP_NONE;
}

static enum mst_drop check_ip6(struct mst__outgoing *packet) {
  const uint8_t *header = packet->taken.bytes;
  if (packet->taken.len < MST__IP6_HEADER_BYTES ||
      mst__get16(header + 4) + (uint32_t)MST__IP6_HEADER_BYTES != packet->taken.len)
    return MST_DROP_SHORT;
  if (header[7] == 0) return MST_DROP_IP_HEADER;
  switch (header[6]) {
  case 44: return MST_DROP_FRAGMENT;
  case 0:
  case 43:
  case 51:
  case 60:
  case 135:
  case 139: return MST_DROP_IP_OPTION;
  default: break;
  }
  if (!ip6_is_unicast(header + 8)) return MST_DROP_SOURCE_ADDRESS;
  if (!ip6_is_unicast(header + 24)) return MST_DROP_DESTINATION_ADDRESS;
  /* An IPv4-mapped address on the wire would pass for a tuple of IPv4 (RFC 4942 2.2). */
  static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
  if (!memcmp(header + 8, mapped, 12)) return MST_DROP_SOURCE_ADDRESS;
  if (!memcmp(header + 24, mapped, 12)) return MST_DROP_DESTINATION_ADDRESS;
  packet->protocol = header[6];
  packet->l3_bytes = MST__IP6_HEADER_BYTES;
  return MST_DROP_NONE;
}

static enum mst_drop check_transport(struct mst__outgoing *packet) {
  const uint8_t *transport = packet->taken.bytes + packet->l3_bytes;
  uint32_t room = packet->taken.inline_bytes - packet->l3_bytes;
  uint32_t header_bytes;
  if (packet->protocol == MST_TCP) {
    if (room < MST__TCP_HEADER_BYTES) return MST_DROP_SHORT;
    header_bytes = (uint32_t)(transport[12] >> 4) * 4;
    if (header_bytes < MST__TCP_HEADER_BYTES || header_bytes > room) return MST_DROP_TCP_HEADER;
  } else if (packet->protocol == MST_UDP) {
    header_bytes = MST__UDP_HEADER_BYTES;
    if (room < header_bytes) return MST_DROP_SHORT;
    if (mst__get16(transport + 4) != packet->taken.len - packet->l3_bytes) return MST_DROP_UDP_HEADER;
  } else {
    bool icmp = packet->protocol == (packet->l3_bytes == MST__IP4_HEADER_BYTES ? MST_ICMP : MST_ICMP6);
    return icmp ? MST_DROP_ICMP : MST_DROP_PROTOCOL;
  }
  packet->header_bytes = packet->l3_bytes + header_bytes;
  return MST_DROP_NONE;
}

/* A packet that stands for several leaves their checksums to others and has flags that they can share. One that fits
 * one segment stands for itself. */
static enum mst_drop check_gso(struct mst__outgoing *packet) {
  struct mst__taken *taken = &packet->taken;
  if (taken->gso_size >= taken->len - packet->header_bytes) {
    taken->gso_size = 0;
    return MST_DROP_NONE;
  }
  if (taken->gso_size < GSO_SIZE_MIN || !(taken->flags & MST_CSUM_PARTIAL)) return MST_DROP_DESCRIPTOR;
  if (packet->protocol == MST_TCP && taken->bytes[packet->l3_bytes + 13] & (MST__SYN | MST__RST | MST__URG))
    return MST_DROP_DESCRIPTOR;
  return MST_DROP_NONE;
}

static void name_tuples(struct mst__outgoing *packet) {
  const uint8_t *header = packet->taken.bytes, *ports = header + packet->l3_bytes;
  uint16_t source_port = mst__get16(ports), destination_port = mst__get16(ports + 2);
  packet->source.ip6 = packet->destination.ip6 = packet->l3_bytes == MST__IP6_HEADER_BYTES;
  if (!packet->source.ip6) {
    packet->source.word = mst__tuple_word4(load32(header + 12), source_port, packet->protocol);
    packet->destination.word = mst__tuple_word4(load32(header + 16), destination_port, packet->protocol);
    return;
  }
  memcpy(packet->source.addr, header + 8, 16);
  memcpy(packet->destination.addr, header + 24, 16);
  packet->source.word = mst__tuple_word(source_port, packet->protocol);
  packet->destination.word = mst__tuple_word(destination_port, packet->protocol);
}

enum mst_drop mst__validate(struct mst__outgoing *packet) {
  if (packet->taken.inline_bytes < MST__IP4_HEADER_BYTES) return MST_DROP_SHORT;
  unsigned version = packet->taken.bytes[0] >> 4;
  enum mst_drop drop;
  if (MST_LIKELY(version == 4))
    drop = check_ip4(packet);
  else if (version == 6)
    drop = check_ip6(packet);
  else
    return MST_DROP_VERSION;
  if (drop) return drop;
  if (packet->taken.inline_bytes < packet->l3_bytes) return MST_DROP_SHORT;
  drop = check_transport(packet);
  if (drop) return drop;
  if (packet->taken.gso_size && (drop = check_gso(packet))) return drop;
  name_tuples(packet);
  return MST_DROP_NONE;
}

struct mst_addr mst__outgoing_source(const struct mst__outgoing *packet) {
  struct mst_addr addr;
  if (!packet->source.ip6) return mst_addr_ip4(packet->taken.bytes + 12);
  memcpy(addr.bytes, packet->taken.bytes + 8, 16);
  return addr;
}

struct mst_addr mst__outgoing_destination(const struct mst__outgoing *packet) {
  struct mst_addr addr;
  if (!packet->destination.ip6) return mst_addr_ip4(packet->taken.bytes + 16);
  memcpy(addr.bytes, packet->taken.bytes + 24, 16);
  return addr;
}
