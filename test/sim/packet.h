/* Packets for tests, built and taken apart without the code under test. */
#ifndef TEST_SIM_PACKET_H
#define TEST_SIM_PACKET_H

#include "multistack/types.h"

enum {
  SIM_FIN = 1,
  SIM_SYN = 2,
  SIM_RST = 4,
  SIM_PSH = 8,
  SIM_ACK = 16,
  SIM_URG = 32,
  SIM_ECE = 64,
  SIM_CWR = 128,
  SIM_AE = 256, /* the bit before CWR (accurate ECN) */
};

/* A TCP segment in IPv4 or IPv6, by the family of the addresses. */
struct sim_segment {
  struct mst_addr source, destination;
  uint16_t source_port, destination_port;
  uint32_t seq, ack;
  uint16_t window, urgent, flags;
  uint8_t ttl, tos;
  uint8_t options_bytes;
  uint8_t options[40];
  const uint8_t *data;
  uint32_t data_bytes;
};

/* Write the packet, checksums included; returns its length. `out` has room for 100 bytes and the data. */
size_t sim_segment_build(uint8_t *out, const struct sim_segment *segment);

/* Take a packet apart; data points into it. False: no whole TCP segment. */
bool sim_segment_parse(const uint8_t *packet, size_t bytes, struct sim_segment *out);

/* The same without copies: where things are. */
struct sim_tcp_view {
  const uint8_t *tcp, *options, *data;
  size_t ip_bytes, tcp_bytes, option_bytes, data_bytes; /* tcp_bytes: of the header, options included */
  uint32_t seq, ack;
  uint16_t window, source_port, destination_port;
  uint8_t flags;
};
bool sim_tcp_view(const uint8_t *packet, size_t bytes, struct sim_tcp_view *out);
/* The first option of a kind, whole (its second byte is its length); NULL: there is none. */
const uint8_t *sim_tcp_option(const struct sim_tcp_view *view, uint8_t kind);

/* A UDP datagram. */
size_t sim_udp_build(uint8_t *out, const struct mst_endpoint *source, const struct mst_endpoint *destination,
                     const void *data, size_t bytes);

/* An ICMP or ICMPv6 error to the sender of `quoted`, from `router`, quoting up to `quote_bytes` of it. `mtu` goes in
 * the rest of the header. */
size_t sim_icmp_build(uint8_t *out, const struct mst_addr *router, uint8_t type, uint8_t code, uint32_t mtu,
                      const uint8_t *quoted, size_t quoted_bytes, size_t quote_bytes);

/* Where the transport header of a packet begins (no extension headers), its protocol; 0: too short or no IP. */
size_t sim_ip_header(const uint8_t *packet, size_t bytes, uint8_t *protocol);
void sim_ip_addresses(const uint8_t *packet, struct mst_addr *source, struct mst_addr *destination);

/* Write the length fields, IPv4 header checksum and transport checksum of a packet. */
void sim_packet_finish(uint8_t *packet, size_t bytes);

/* Set the ECN field (0: not ECT, 1: ECT(1), 2: ECT(0), 3: CE); an IPv4 header's checksum follows. */
void sim_packet_set_ecn(uint8_t *packet, uint8_t ecn);

/* Whether IPv4 header and transport checksums hold. */
bool sim_packet_checksums_ok(const uint8_t *packet, size_t bytes);

static inline uint16_t sim_get16(const uint8_t *p) {
  return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t sim_get32(const uint8_t *p) {
  return (uint32_t)sim_get16(p) << 16 | sim_get16(p + 2);
}
static inline void sim_put16(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)(v >> 8);
  p[1] = (uint8_t)v;
}
static inline void sim_put32(uint8_t *p, uint32_t v) {
  sim_put16(p, v >> 16);
  sim_put16(p + 2, v);
}

#endif
