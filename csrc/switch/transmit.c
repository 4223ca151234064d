/* Out through a port, with what the port cannot do itself done on the way: segmentation and checksums. */
#include "switch_internal.h"
#include "wire/segment.h"

#define ETHERNET_BYTES 14u

void mst__gather(uint8_t *to, const struct mst_iov *iov, uint32_t offset, uint32_t bytes) {
  while (offset >= iov->len && bytes) offset -= (uint32_t)(iov++)->len;
  while (bytes) {
    uint32_t n = (uint32_t)iov->len - offset;
    if (n > bytes) n = bytes;
    memcpy(to, (const uint8_t *)iov->base + offset, n);
    to += n;
    bytes -= n;
    offset = 0;
    iov++;
  }
}

/* Room for an IP packet of `bytes`, behind the Ethernet header where there is one. */
static uint8_t *reserve(struct mst_port *port, const uint8_t mac[6], bool ip6, uint32_t bytes) {
  if (!(port->caps & MST_PORT_ETHERNET)) return port->ops->tx_reserve(port, bytes);
  uint8_t *frame = port->ops->tx_reserve(port, ETHERNET_BYTES + bytes);
  if (!frame) return NULL;
  memcpy(frame, mac, 6);
  memcpy(frame + 6, port->mac, 6);
  memcpy(frame + 12, ip6 ? "\x86\xdd" : "\x08\x00", 2);
  return frame + ETHERNET_BYTES;
}

static void commit(struct mst__switch_port *port, uint32_t bytes, uint16_t gso_size, uint8_t flags) {
  uint32_t l2_bytes = port->port->caps & MST_PORT_ETHERNET ? ETHERNET_BYTES : 0;
  port->port->ops->tx_commit(port->port, l2_bytes + bytes, gso_size, flags);
  port->used = true;
}

/* The checksum's flags after this port has been considered; completes it where the port does not. */
static uint8_t finish_checksum(const struct mst_port *port, const struct mst__departing *packet, uint8_t *ip,
                               uint32_t bytes) {
  if (!(packet->flags & MST_CSUM_PARTIAL)) return 0;
  if (port->caps & MST_PORT_TX_CSUM) return MST_CSUM_PARTIAL;
  mst__checksum_complete(ip + packet->l3_bytes, bytes - packet->l3_bytes, packet->protocol);
  return 0;
}

static int transmit_segments(struct mst__switch_port *port, const uint8_t mac[6], const struct mst__departing *packet,
                             uint32_t *resume_bytes) {
  struct mst__segments segments = {
      .header = packet->header,
      .l3_bytes = packet->l3_bytes,
      .header_bytes = packet->header_bytes,
      .payload_bytes = packet->payload_bytes,
      .segment_bytes = packet->gso_size,
      .protocol = packet->protocol,
  };
  while (*resume_bytes < packet->payload_bytes) {
    uint32_t left = packet->payload_bytes - *resume_bytes;
    uint32_t bytes = packet->header_bytes + (left < packet->gso_size ? left : packet->gso_size);
    uint8_t *ip = reserve(port->port, mac, packet->ip6, bytes);
    if (!ip) return MST__BLOCKED;
    uint32_t payload = mst__segment_header(&segments, *resume_bytes, ip);
    mst__gather(ip + packet->header_bytes, packet->payload, *resume_bytes, payload);
    commit(port, bytes, 0, finish_checksum(port->port, packet, ip, bytes));
    *resume_bytes += payload;
  }
  return MST_DROP_NONE;
}

static int transmit(struct mst__switch_port *port, const uint8_t mac[6], const struct mst__departing *packet,
                    uint32_t *resume_bytes) {
  if (port->down) return MST_DROP_PORT_DOWN;
  uint32_t bytes = packet->header_bytes + packet->payload_bytes;
  uint32_t on_wire = packet->gso_size ? packet->header_bytes + packet->gso_size : bytes;
  if (on_wire > port->port->mtu) return MST_DROP_TOO_BIG;
  if (packet->gso_size && !(port->port->caps & MST_PORT_TX_GSO)) {
    if (*resume_bytes % packet->gso_size) *resume_bytes = 0; /* the stack has rewritten the packet meanwhile */
    return transmit_segments(port, mac, packet, resume_bytes);
  }
  uint8_t *ip = reserve(port->port, mac, packet->ip6, bytes);
  if (!ip) return MST__BLOCKED;
  memcpy(ip, packet->header, packet->header_bytes);
  mst__gather(ip + packet->header_bytes, packet->payload, 0, packet->payload_bytes);
  commit(port, bytes, packet->gso_size, finish_checksum(port->port, packet, ip, bytes));
  return MST_DROP_NONE;
}

int mst__transmit(struct mst_switch *sw, struct mst__switch_port *port, const uint8_t mac[6],
                  const struct mst__departing *packet, uint32_t *resume_bytes) {
  int result = transmit(port, mac, packet, resume_bytes);
  if (MST_UNLIKELY(sw->observers) && result == MST_DROP_NONE) mst__observe_departing(sw, port, packet);
  return result;
}

void mst__ports_flush(struct mst_switch *sw) {
  for (unsigned i = 0; i < sw->port_count; i++) {
    if (!sw->ports[i].used) continue;
    sw->ports[i].used = false;
    sw->ports[i].port->ops->flush(sw->ports[i].port);
  }
}
