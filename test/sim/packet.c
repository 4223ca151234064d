/* Packets for tests. On purpose plain, and independent of csrc/wire. */
#include "packet.h"

#include <string.h>

/* The one's complement sum does not care for byte order but at the end (RFC 1071 2), so four bytes go at a time. */
static uint32_t sum_words(uint32_t begin, const uint8_t *data, size_t bytes) {
  uint64_t sum = 0;
  uint32_t word;
  size_t at = 0;
  for (; at + 4 <= bytes; at += 4) {
    memcpy(&word, data + at, 4);
    sum += word;
  }
  uint8_t rest[4] = {0};
  for (size_t i = 0; at + i < bytes; i++) rest[i] = data[at + i];
  memcpy(&word, rest, 4);
  sum += word;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  uint8_t folded[2];
  uint16_t native = (uint16_t)sum;
  memcpy(folded, &native, 2);
  sum = begin + sim_get16(folded);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint32_t)sum;
}

static uint16_t transport_checksum(const uint8_t *packet, size_t header, size_t bytes, uint8_t protocol) {
  uint32_t sum = 0;
  size_t transport = bytes - header;
  if (protocol != MST_ICMP) {
    bool v4 = packet[0] >> 4 == 4;
    sum = sum_words(0, packet + (v4 ? 12 : 8), v4 ? 8 : 32);
    uint8_t tail[4] = {(uint8_t)(transport >> 8), (uint8_t)transport, 0, protocol};
    sum = sum_words(sum, tail, 4);
  }
  return (uint16_t)~sum_words(sum, packet + header, transport);
}

size_t sim_ip_header(const uint8_t *packet, size_t bytes, uint8_t *protocol) {
  if (bytes < 20) return 0;
  if (packet[0] >> 4 == 4) {
    size_t header = (size_t)(packet[0] & 15) * 4;
    *protocol = packet[9];
    return header >= 20 && header <= bytes ? header : 0;
  }
  if (packet[0] >> 4 != 6 || bytes < 40) return 0;
  *protocol = packet[6];
  return 40;
}

void sim_ip_addresses(const uint8_t *packet, struct mst_addr *source, struct mst_addr *destination) {
  if (packet[0] >> 4 == 4) {
    *source = mst_addr_ip4(packet + 12);
    *destination = mst_addr_ip4(packet + 16);
  } else {
    memcpy(source->bytes, packet + 8, 16);
    memcpy(destination->bytes, packet + 24, 16);
  }
}

static size_t checksum_offset(uint8_t protocol) {
  switch (protocol) {
  case MST_TCP: return 16;
  case MST_UDP: return 6;
  default: return 2;
  }
}

void sim_packet_finish(uint8_t *packet, size_t bytes) {
  uint8_t protocol;
  size_t header = sim_ip_header(packet, bytes, &protocol);
  if (!header) return;
  if (packet[0] >> 4 == 4) {
    sim_put16(packet + 2, (uint32_t)bytes);
    sim_put16(packet + 10, 0);
    sim_put16(packet + 10, (uint16_t)~sum_words(0, packet, header));
  } else {
    sim_put16(packet + 4, (uint32_t)(bytes - 40));
  }
  size_t at = header + checksum_offset(protocol);
  if (at + 2 > bytes) return;
  sim_put16(packet + at, 0);
  uint16_t sum = transport_checksum(packet, header, bytes, protocol);
  sim_put16(packet + at, protocol == MST_UDP && !sum ? 0xffff : sum);
}

void sim_packet_set_ecn(uint8_t *packet, uint8_t ecn) {
  if (packet[0] >> 4 == 6) {
    packet[1] = (uint8_t)((packet[1] & 0xcf) | ecn << 4);
    return;
  }
  size_t header = (size_t)(packet[0] & 15) * 4;
  packet[1] = (uint8_t)((packet[1] & 0xfc) | ecn);
  sim_put16(packet + 10, 0);
  sim_put16(packet + 10, (uint16_t)~sum_words(0, packet, header));
}

bool sim_packet_checksums_ok(const uint8_t *packet, size_t bytes) {
  uint8_t protocol;
  size_t header = sim_ip_header(packet, bytes, &protocol);
  if (!header || header + checksum_offset(protocol) + 2 > bytes) return false;
  if (packet[0] >> 4 == 4 && sum_words(0, packet, header) != 0xffff) return false;
  return transport_checksum(packet, header, bytes, protocol) == 0;
}

/* The IP header, without lengths and checksums; returns its bytes. */
static size_t build_ip(uint8_t *out, const struct mst_addr *source, const struct mst_addr *destination,
                       uint8_t protocol, uint8_t ttl, uint8_t tos) {
  if (mst_addr_is_ip4(destination)) {
    memset(out, 0, 20);
    out[0] = 0x45;
    out[1] = tos;
    out[6] = 0x40;
    out[8] = ttl;
    out[9] = protocol;
    memcpy(out + 12, source->bytes + 12, 4);
    memcpy(out + 16, destination->bytes + 12, 4);
    return 20;
  }
  memset(out, 0, 40);
  out[0] = (uint8_t)(0x60 | tos >> 4);
  out[1] = (uint8_t)(tos << 4);
  out[6] = protocol;
  out[7] = ttl;
  memcpy(out + 8, source->bytes, 16);
  memcpy(out + 24, destination->bytes, 16);
  return 40;
}

size_t sim_segment_build(uint8_t *out, const struct sim_segment *segment) {
  size_t ip =
      build_ip(out, &segment->source, &segment->destination, MST_TCP, segment->ttl ? segment->ttl : 64, segment->tos);
  uint8_t *tcp = out + ip;
  size_t options = (segment->options_bytes + 3u) / 4 * 4;
  memset(tcp, 0, 20 + options);
  sim_put16(tcp, segment->source_port);
  sim_put16(tcp + 2, segment->destination_port);
  sim_put32(tcp + 4, segment->seq);
  sim_put32(tcp + 8, segment->ack);
  tcp[12] = (uint8_t)((20 + options) / 4 << 4 | (segment->flags & SIM_AE ? 1 : 0));
  tcp[13] = (uint8_t)segment->flags;
  sim_put16(tcp + 14, segment->window);
  sim_put16(tcp + 18, segment->urgent);
  memcpy(tcp + 20, segment->options, segment->options_bytes);
  if (segment->data_bytes) memcpy(tcp + 20 + options, segment->data, segment->data_bytes);
  size_t bytes = ip + 20 + options + segment->data_bytes;
  sim_packet_finish(out, bytes);
  return bytes;
}

bool sim_segment_parse(const uint8_t *packet, size_t bytes, struct sim_segment *out) {
  uint8_t protocol;
  size_t ip = sim_ip_header(packet, bytes, &protocol);
  if (!ip || protocol != MST_TCP || ip + 20 > bytes) return false;
  const uint8_t *tcp = packet + ip;
  size_t header = (size_t)(tcp[12] >> 4) * 4;
  if (header < 20 || ip + header > bytes) return false;
  bool v4 = packet[0] >> 4 == 4;
  *out = (struct sim_segment){
      .source_port = sim_get16(tcp),
      .destination_port = sim_get16(tcp + 2),
      .seq = sim_get32(tcp + 4),
      .ack = sim_get32(tcp + 8),
      .flags = (uint16_t)((tcp[12] & 1) << 8 | tcp[13]),
      .window = sim_get16(tcp + 14),
      .urgent = sim_get16(tcp + 18),
      .ttl = v4 ? packet[8] : packet[7],
      .tos = v4 ? packet[1] : (uint8_t)(packet[0] << 4 | packet[1] >> 4),
      .options_bytes = (uint8_t)(header - 20),
      .data = tcp + header,
      .data_bytes = (uint32_t)(bytes - ip - header),
  };
  sim_ip_addresses(packet, &out->source, &out->destination);
  memcpy(out->options, tcp + 20, header - 20);
  return true;
}

bool sim_tcp_view(const uint8_t *packet, size_t bytes, struct sim_tcp_view *out) {
  uint8_t protocol;
  size_t ip = sim_ip_header(packet, bytes, &protocol);
  if (!ip || protocol != MST_TCP || ip + 20 > bytes) return false;
  const uint8_t *tcp = packet + ip;
  size_t header = (size_t)(tcp[12] >> 4) * 4;
  if (header < 20 || ip + header > bytes) return false;
  *out = (struct sim_tcp_view){
      .tcp = tcp,
      .options = tcp + 20,
      .data = tcp + header,
      .ip_bytes = ip,
      .tcp_bytes = header,
      .option_bytes = header - 20,
      .data_bytes = bytes - ip - header,
      .seq = sim_get32(tcp + 4),
      .ack = sim_get32(tcp + 8),
      .window = sim_get16(tcp + 14),
      .source_port = sim_get16(tcp),
      .destination_port = sim_get16(tcp + 2),
      .flags = tcp[13],
  };
  return true;
}

const uint8_t *sim_tcp_option(const struct sim_tcp_view *view, uint8_t kind) {
  const uint8_t *at = view->options, *end = at + view->option_bytes;
  while (at < end && *at) {
    if (*at == 1) {
      at++;
      continue;
    }
    if (end - at < 2 || at[1] < 2 || at[1] > end - at) return NULL;
    if (*at == kind) return at;
    at += at[1];
  }
  return NULL;
}

size_t sim_udp_build(uint8_t *out, const struct mst_endpoint *source, const struct mst_endpoint *destination,
                     const void *data, size_t bytes) {
  size_t ip = build_ip(out, &source->addr, &destination->addr, MST_UDP, 64, 0);
  sim_put16(out + ip, source->port);
  sim_put16(out + ip + 2, destination->port);
  sim_put16(out + ip + 4, (uint32_t)(8 + bytes));
  if (bytes) memcpy(out + ip + 8, data, bytes);
  sim_packet_finish(out, ip + 8 + bytes);
  return ip + 8 + bytes;
}

size_t sim_icmp_build(uint8_t *out, const struct mst_addr *router, uint8_t type, uint8_t code, uint32_t mtu,
                      const uint8_t *quoted, size_t quoted_bytes, size_t quote_bytes) {
  struct mst_addr source, destination;
  sim_ip_addresses(quoted, &source, &destination);
  uint8_t protocol = mst_addr_is_ip4(&source) ? MST_ICMP : MST_ICMP6;
  size_t ip = build_ip(out, router, &source, protocol, 64, 0);
  if (quote_bytes > quoted_bytes) quote_bytes = quoted_bytes;
  out[ip] = type;
  out[ip + 1] = code;
  sim_put32(out + ip + 4, mtu);
  memcpy(out + ip + 8, quoted, quote_bytes);
  sim_packet_finish(out, ip + 8 + quote_bytes);
  return ip + 8 + quote_bytes;
}
