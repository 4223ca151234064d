/* A packet from a channel that nobody here holds the destination of: to the OS's own sockets or to a wire. */
#include "switch_internal.h"

static void depart(const struct mst__outgoing *packet, struct mst__departing *out) {
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
    out->payload[1 + i] = (struct mst_iov){taken->base + taken->frags[i].offset, taken->frags[i].len};
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

static int send(struct mst_switch *sw, struct mst__switch_channel *from, struct mst__switch_port *port,
                struct mst__route *route, const struct mst__departing *packet) {
  const uint8_t *mac = NULL;
  if (port->port->caps & MST_PORT_ETHERNET) {
    if (!route) return MST_DROP_NO_ROUTE;
    enum mst_neighbour_state state = resolve(sw, port, route);
    if (state == MST_NEIGHBOUR_FAILED) return MST_DROP_NEIGHBOUR;
    if (state == MST_NEIGHBOUR_PENDING)
      return (int)mst__neighbour_wait(sw, from, port->port->ifindex, &route->hop.gateway, packet);
    mac = route->mac;
  }
  int result = mst__transmit(sw, port, mac, packet, &from->resume_bytes);
  if (result == MST__BLOCKED) from->hold = MST__HOLD_PORT;
  return result;
}

/* Addresses that mean this host to everybody leave it by no wire. */
static enum mst_drop check_loopback(const struct mst_switch *sw, const struct mst_port *port,
                                    const struct mst_addr *source, const struct mst_addr *destination) {
  if (!sw->os || port->caps & MST_PORT_OS_LOOPBACK) return MST_DROP_NONE;
  if (mst_addr_is_loopback(source)) return MST_DROP_SOURCE_ADDRESS;
  return mst_addr_is_loopback(destination) ? MST_DROP_DESTINATION_ADDRESS : MST_DROP_NONE;
}

int mst__leave(struct mst_switch *sw, struct mst__switch_channel *from, struct mst__outgoing *packet) {
  mst__patience_note_other(sw, from, MST__RECEIVER_PORT);
  struct mst_addr source = mst__outgoing_source(packet), destination = mst__outgoing_destination(packet);
  struct mst__switch_port *port = NULL;
  struct mst__route *route = NULL;
  int result = mst__port_of_address(sw, &destination) ? MST_DROP_NOT_HELD
                                                      : (int)mst__port_for(sw, &source, &destination, &port, &route);
  if (!result) result = (int)check_loopback(sw, port->port, &source, &destination);
  if (!result) {
    struct mst__departing departing;
    depart(packet, &departing);
    result = send(sw, from, port, route, &departing);
  }
  /* Of a neighbour that is still being asked for nothing is known yet. */
  bool asking =
      result == MST_DROP_NEIGHBOUR && mst__neighbour_is_waited_for(sw, port->port->ifindex, &route->hop.gateway);
  if (result > MST_DROP_NONE && !asking) {
    const struct mst__refused refused = {
        .header = packet->taken.bytes,
        .l3_bytes = packet->l3_bytes,
        .header_bytes = packet->header_bytes,
        .len = packet->taken.len,
        .protocol = packet->protocol,
    };
    mst__explain(sw, from, &refused, (enum mst_drop)result, port ? port->port->mtu : 0);
  }
  return result;
}
