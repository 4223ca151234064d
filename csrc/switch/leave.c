/* A packet from a channel that nobody here holds the destination of: to the OS's own sockets or to a wire. */
#include "switch_internal.h"

static void depart(const struct mst__switch_channel *from, const struct mst__outgoing *packet,
                   struct mst__departing *out) {
  const struct mst__taken *taken = &packet->taken;
  *out = (struct mst__departing){
      .header = taken->bytes,
      .l3_bytes = packet->l3_bytes,
      .header_bytes = packet->header_bytes,
      .payload_bytes = taken->len - packet->header_bytes,
      .gso_size = taken->gso_size,
      .flags = taken->flags,
      .protocol = packet->protocol,
      .ip6 = packet->source.ip6,
      .payload = {{taken->bytes + packet->header_bytes, taken->inline_bytes - packet->header_bytes}},
  };
  for (unsigned i = 0; i < taken->frag_count; i++)
    out->payload[1 + i] = (struct mst_iov){from->end.geometry.region + taken->frags[i].offset, taken->frags[i].len};
}

/* The gateway's MAC address. KNOWN: in route->mac. */
static enum mst_neighbour_state resolve(struct mst_switch *sw, const struct mst__switch_port *port,
                                        struct mst__route *route) {
  if (MST_LIKELY(route->neighbour_generation == sw->neighbour_generation)) return MST_NEIGHBOUR_KNOWN;
  if (sw->waiting_count && mst__neighbour_is_waited_for(sw, port->port->ifindex, &route->hop.gateway))
    return MST_NEIGHBOUR_PENDING;
  enum mst_neighbour_state state = sw->os->neighbour(sw->os->ctx, port->port->ifindex, &route->hop.gateway, route->mac);
  if (state == MST_NEIGHBOUR_KNOWN) route->neighbour_generation = sw->neighbour_generation;
  return state;
}

/* Nobody holds it and nobody else can have it: say so at once, rather than let the sender time out. */
static enum mst_drop refuse(struct mst_switch *sw, struct mst__switch_channel *from,
                            const struct mst__outgoing *packet) {
  uint8_t answer[MST__REFUSAL_BYTES];
  uint32_t bytes = mst__refusal(packet->taken.bytes, packet->l3_bytes, packet->header_bytes, packet->protocol,
                                packet->taken.len, answer);
  if (bytes) mst__deliver_bytes(sw, from, answer, bytes, 0, MST_CSUM_VALID);
  return MST_DROP_NOT_HELD;
}

int mst__leave(struct mst_switch *sw, struct mst__switch_channel *from, struct mst__outgoing *packet) {
  struct mst_addr source = mst__outgoing_source(packet), destination = mst__outgoing_destination(packet);
  struct mst__switch_port *port;
  struct mst__route *route;
  enum mst_drop drop = mst__port_for(sw, &source, &destination, &port, &route);
  if (drop == MST_DROP_NOT_HELD || mst__port_of_address(sw, &destination)) return (int)refuse(sw, from, packet);
  if (drop) return (int)drop;
  if (sw->os && !(port->port->caps & MST_PORT_OS_LOOPBACK)) {
    if (mst_addr_is_loopback(&source)) return MST_DROP_SOURCE_ADDRESS;
    if (mst_addr_is_loopback(&destination)) return MST_DROP_DESTINATION_ADDRESS;
  }
  struct mst__departing departing;
  depart(from, packet, &departing);
  const uint8_t *mac = NULL;
  if (port->port->caps & MST_PORT_ETHERNET) {
    if (!route) return MST_DROP_NO_ROUTE;
    enum mst_neighbour_state state = resolve(sw, port, route);
    if (state == MST_NEIGHBOUR_FAILED) return MST_DROP_NEIGHBOUR;
    if (state == MST_NEIGHBOUR_PENDING)
      return (int)mst__neighbour_wait(sw, from, port->port->ifindex, &route->hop.gateway, &departing);
    mac = route->mac;
  }
  return mst__transmit(port, mac, &departing, &from->resume_bytes);
}
