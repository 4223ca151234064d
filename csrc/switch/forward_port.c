/* From a port: only what somebody holds is taken, the rest is counted. A port's memory is the kernel's or the switch's
 * own, so it is read in place and copied once, into the holder's ring. */
#include "switch_internal.h"
#include "wire/checksum.h"
#include "wire/icmp.h"
#include "wire/ip.h"
#include "wire/tcp.h"
#include "wire/udp.h"

#define PORT_BATCH 64u

/* At a time, so that a channel's ring (2 MiB) holds it whoever it is for: packets can have 64 KB. */
#define FORWARD_BYTES_MAX (1u << 20)

/* Addresses that nothing from this port can have. */
static enum mst_drop check_addresses(const struct mst_switch *sw, const struct mst_port *port,
                                     const struct mst__ip *ip) {
  if (mst_addr_is_any(&ip->source) || mst_addr_is_multicast(&ip->source)) return MST_DROP_SOURCE_ADDRESS;
  if (!sw->os || port->caps & MST_PORT_OS_LOOPBACK) return MST_DROP_NONE;
  if (mst_addr_is_loopback(&ip->source)) return MST_DROP_SOURCE_ADDRESS; /* RFC 1122 3.2.1.3 */
  if (mst_addr_is_loopback(&ip->destination)) return MST_DROP_DESTINATION_ADDRESS;
  return MST_DROP_NONE;
}

/* Complete, or from a sender on this machine that left it to hardware that is not there. */
static bool checksum_ok(const struct mst_port *port, const struct mst_port_rx *rx, const struct mst__ip *ip) {
  if (rx->flags & MST_CSUM_VALID) return true;
  uint16_t field;
  memcpy(&field, ip->payload + (ip->protocol == MST_TCP ? 16 : 6), 2);
  if (ip->protocol == MST_UDP && !field) return ip->version == 4; /* RFC 768; RFC 8200 8.1 */
  uint64_t pseudo = mst__csum_pseudo(&ip->source, &ip->destination, ip->protocol, ip->payload_bytes);
  bool partial = rx->flags & MST_CSUM_PARTIAL || port->caps & MST_PORT_RX_CSUM_PARTIAL;
  if (partial && field == mst__csum_fold(pseudo)) return true;
  return mst__csum_fold(mst__csum_add(pseudo, ip->payload, ip->payload_bytes)) == 0xffff;
}

/* The header's length, or 0: malformed. */
static uint32_t transport_header_bytes(const struct mst__ip *ip) {
  uint32_t bytes;
  if (ip->protocol == MST_UDP) {
    if (ip->payload_bytes < MST__UDP_HEADER_BYTES) return 0;
    return mst__get16(ip->payload + 4) <= ip->payload_bytes ? MST__UDP_HEADER_BYTES : 0;
  }
  if (ip->payload_bytes < MST__TCP_HEADER_BYTES) return 0;
  bytes = (uint32_t)(ip->payload[12] >> 4) * 4;
  return bytes >= MST__TCP_HEADER_BYTES && bytes <= ip->payload_bytes ? bytes : 0;
}

/* A closed port at an address that is this switch's alone: nobody else would answer. */
static void refuse(struct mst_switch *sw, struct mst__switch_port *port, const struct mst_port_rx *rx,
                   const struct mst__ip *ip, uint32_t transport_bytes) {
  uint32_t plain = ip->version == 4 ? MST__IP4_HEADER_BYTES : MST__IP6_HEADER_BYTES;
  if (ip->header_bytes != plain || port->port->caps & MST_PORT_ETHERNET) return;
  if (mst__port_of_address(sw, &ip->destination) != port) return;
  uint8_t answer[MST__REFUSAL_BYTES];
  const struct mst__refused refused = {
      .header = rx->data,
      .l3_bytes = plain,
      .header_bytes = plain + transport_bytes,
      .len = plain + ip->payload_bytes,
      .protocol = ip->protocol,
  };
  uint32_t bytes = mst__refusal(&refused, MST_DROP_NOT_HELD, 0, answer);
  uint8_t *room = bytes ? port->port->ops->tx_reserve(port->port, bytes) : NULL;
  if (!room) return;
  memcpy(room, answer, bytes);
  port->port->ops->tx_commit(port->port, bytes, 0, 0);
  port->used = true;
}

static enum mst_drop transport(struct mst_switch *sw, struct mst__switch_port *port, const struct mst_port_rx *rx,
                               const struct mst__ip *ip) {
  uint32_t transport_bytes = transport_header_bytes(ip);
  if (!transport_bytes) return ip->protocol == MST_TCP ? MST_DROP_TCP_HEADER : MST_DROP_UDP_HEADER;
  struct mst__tuple_key local = mst__tuple_key(&ip->destination, mst__get16(ip->payload + 2), ip->protocol);
  uint32_t holder = mst__holder_find(sw, &local, &ip->destination);
  if (!checksum_ok(port->port, rx, ip)) return ip->protocol == MST_TCP ? MST_DROP_TCP_CHECKSUM : MST_DROP_UDP_CHECKSUM;
  if (!holder) {
    refuse(sw, port, rx, ip, transport_bytes);
    return MST_DROP_NOT_HELD;
  }
  struct mst__tuple_key remote = mst__tuple_key(&ip->source, mst__get16(ip->payload), ip->protocol);
  struct mst__switch_channel *to =
      mst__holder_pick(sw, holder, &local, &remote, ip->protocol == MST_TCP ? ip->payload : NULL);
  enum mst_drop drop = mst__deliver_bytes(sw, to, rx->data, ip->header_bytes + ip->payload_bytes, rx->gso_size,
                                          (rx->flags & MST_CSUM_PARTIAL) | MST_CSUM_VALID);
  if (drop) to->stats.drops[drop]++;
  return drop;
}

/* An ICMP error goes to the holder of the tuple that the packet it quotes was sent from. */
static enum mst_drop icmp(struct mst_switch *sw, const struct mst_port_rx *rx, const struct mst__ip *ip) {
  struct mst__icmp_error error;
  enum mst_drop drop = mst__icmp_parse(ip, &error);
  if (drop) return drop;
  if (error.kind == MST__ICMP_OTHER) return MST_DROP_ICMP;
  if (error.protocol != MST_TCP && error.protocol != MST_UDP) return MST_DROP_ICMP;
  struct mst__tuple_key local = mst__tuple_key(&error.source, error.source_port, error.protocol);
  struct mst__tuple_key remote = mst__tuple_key(&error.destination, error.destination_port, error.protocol);
  uint32_t holder = mst__holder_find(sw, &local, &error.source);
  if (!holder) return MST_DROP_NOT_HELD;
  struct mst__switch_channel *to = mst__holder_pick(sw, holder, &local, &remote, NULL);
  drop = mst__deliver_bytes(sw, to, rx->data, ip->header_bytes + ip->payload_bytes, 0, MST_CSUM_VALID);
  if (drop) to->stats.drops[drop]++;
  return drop;
}

static enum mst_drop take_in(struct mst_switch *sw, struct mst__switch_port *port, const struct mst_port_rx *rx) {
  struct mst__ip ip;
  if (rx->len > MST_PACKET_BYTES_MAX) return MST_DROP_TOO_BIG;
  enum mst_drop drop = mst__ip_parse(rx->data, rx->len, &ip);
  if (!drop) drop = check_addresses(sw, port->port, &ip);
  if (drop) return drop;
  switch (ip.protocol) {
  case MST_TCP:
  case MST_UDP: return transport(sw, port, rx, &ip);
  case MST_ICMP:
  case MST_ICMP6:
    if ((ip.protocol == MST_ICMP) != (ip.version == 4)) return MST_DROP_ICMP;
    return icmp(sw, rx, &ip);
  default: return MST_DROP_PROTOCOL;
  }
}

/* Another core has written them, as a rule: wait for all of them together. */
static void prefetch_headers(const struct mst_port_rx *packets, int count) {
  for (int i = 0; i < count; i++) {
    __builtin_prefetch(packets[i].data);
    __builtin_prefetch(packets[i].data + 64);
  }
}

static size_t forward_from(struct mst_switch *sw, struct mst__switch_port *port, unsigned budget) {
  struct mst_port_rx packets[PORT_BATCH];
  size_t done = 0, bytes = 0;
  bool large = port->port->caps & MST_PORT_TX_GSO || port->port->mtu > 9216;
  unsigned batch = large ? FORWARD_BYTES_MAX / 65536 : PORT_BATCH;
  while (done < budget && bytes < FORWARD_BYTES_MAX && !port->down) {
    unsigned want = budget - done < batch ? (unsigned)(budget - done) : batch;
    int count = port->port->ops->receive(port->port, packets, want);
    if (count < 0) port->down = true;
    if (count <= 0) break;
    prefetch_headers(packets, count);
    for (int i = 0; i < count; i++) {
      enum mst_drop drop = take_in(sw, port, &packets[i]);
      bytes += packets[i].len;
      if (drop) sw->stats.drops[drop]++;
      if (MST_UNLIKELY(sw->observers))
        mst__observe_port(sw, port,
                          &(struct mst_switch_seen){.data = packets[i].data,
                                                    .len = packets[i].len,
                                                    .gso_size = packets[i].gso_size,
                                                    .flags = packets[i].flags,
                                                    .drop = drop});
    }
    port->port->ops->release(port->port);
    mst__deliver_publish(sw);
    done += (unsigned)count;
    if ((unsigned)count < want) break;
  }
  return done;
}

size_t mst_switch_process_ports(mst_switch *sw, unsigned budget, uint64_t now_ns) {
  size_t done = 0;
  sw->now_ns = now_ns;
  for (unsigned i = 0; i < sw->port_count; i++) done += forward_from(sw, &sw->ports[i], budget);
  mst__ports_flush(sw);
  return done;
}
