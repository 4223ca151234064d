/* Where packets go that nobody here holds the destination of: the OS's routes, remembered per destination, and the
 * addresses that ports have for themselves. */
#include "switch_internal.h"

#define LOOPBACK_MTU MST_PACKET_BYTES_MAX

/* To ask the OS costs about as much as copying so many bytes. */
#define QUESTION_CHARGE 65536u

/* A wildcard when the port has none of this family. */
static struct mst_addr own_address(const struct mst_port *port, bool ip4) {
  return ip4 ? port->addr4 : port->addr6;
}

static bool has_own_address(const struct mst_port *port, bool ip4) {
  return !mst_addr_is_any(ip4 ? &port->addr4 : &port->addr6);
}

struct mst__switch_port *mst__port_of_address(struct mst_switch *sw, const struct mst_addr *addr) {
  if (!sw->own_addresses || mst_addr_is_any(addr)) return NULL;
  for (unsigned i = 0; i < sw->port_count; i++) {
    struct mst_addr own = own_address(sw->ports[i].port, mst_addr_is_ip4(addr));
    if (mst_addr_equal(&own, addr)) return &sw->ports[i];
  }
  return NULL;
}

/* The first port that has an address of this family for itself. */
static struct mst__switch_port *port_with_address(struct mst_switch *sw, bool ip4) {
  for (unsigned i = 0; i < sw->port_count; i++)
    if (has_own_address(sw->ports[i].port, ip4)) return &sw->ports[i];
  return NULL;
}

static struct mst__switch_port *port_with_cap(struct mst_switch *sw, uint32_t cap) {
  for (unsigned i = 0; i < sw->port_count; i++)
    if (sw->ports[i].port->caps & cap) return &sw->ports[i];
  return NULL;
}

static struct mst__switch_port *port_by_ifindex(struct mst_switch *sw, unsigned ifindex) {
  for (unsigned i = 0; i < sw->port_count; i++)
    if (sw->ports[i].port->ifindex == ifindex) return &sw->ports[i];
  return NULL;
}

struct mst__route *mst__route_find(struct mst_switch *sw, const struct mst_addr *destination) {
  uint64_t words[2];
  memcpy(words, destination->bytes, 16);
  uint64_t hash = mst__tuple_mix(words[0] ^ sw->tuples.secret[1], words[1] ^ sw->tuples.secret[2]);
  struct mst__route *route = &sw->routes[hash & (MST__ROUTES - 1)];
  if (MST_LIKELY(route->route_generation == sw->route_generation && mst_addr_equal(&route->destination, destination)))
    return route;
  *route = (struct mst__route){.destination = *destination, .route_generation = sw->route_generation};
  sw->surcharge += QUESTION_CHARGE;
  route->error = sw->os->route(sw->os->ctx, destination, &route->hop);
  if (!route->error && !route->hop.local) route->port = port_by_ifindex(sw, route->hop.ifindex);
  return route;
}

bool mst__is_local(struct mst_switch *sw, const struct mst_addr *addr) {
  if (!sw->os && !sw->own_addresses) return true;
  if (mst__port_of_address(sw, addr)) return true;
  if (!sw->os) return mst_addr_is_loopback(addr);
  const struct mst__route *route = mst__route_find(sw, addr);
  return !route->error && route->hop.local;
}

enum mst_drop mst__port_for(struct mst_switch *sw, const struct mst_addr *source, const struct mst_addr *destination,
                            struct mst__switch_port **port, struct mst__route **route) {
  *route = NULL;
  *port = mst__port_of_address(sw, source);
  if (*port) {
    if (!sw->os || !((*port)->port->caps & MST_PORT_ETHERNET)) return MST_DROP_NONE;
    *route = mst__route_find(sw, destination);
    return (*route)->error ? MST_DROP_NO_ROUTE : MST_DROP_NONE;
  }
  if (!sw->os) {
    *port = sw->port_count ? &sw->ports[0] : NULL;
    return *port ? MST_DROP_NONE : MST_DROP_NOT_HELD;
  }
  *route = mst__route_find(sw, destination);
  if ((*route)->error) return MST_DROP_NO_ROUTE;
  *port = (*route)->hop.local ? port_with_cap(sw, MST_PORT_OS_LOOPBACK) : (*route)->port;
  return *port ? MST_DROP_NONE : MST_DROP_NO_PORT;
}

static void local_route(const struct mst_addr *source, struct mst_route *out) {
  *out = (struct mst_route){.source = *source, .mtu = LOOPBACK_MTU, .flags = MST_ROUTE_LOCAL};
}

static uint32_t smaller(uint32_t a, uint32_t b) {
  return a < b ? a : b;
}

/* Through a port that has its own address, from there. */
static int route_from_own(struct mst__switch_port *port, bool ip4, struct mst_route *out) {
  if (!port) return -MST_ENETUNREACH;
  *out = (struct mst_route){.source = own_address(port->port, ip4), .mtu = smaller(port->port->mtu, LOOPBACK_MTU)};
  return 0;
}

/* Alone: every address leads to this host itself, unless there are ports; then what is not its own leads to the
 * first. */
static int route_alone(struct mst_switch *sw, const struct mst_addr *destination, struct mst_route *out) {
  static const uint8_t localhost[4] = {127, 0, 0, 1};
  bool ip4 = mst_addr_is_ip4(destination), loopback = mst_addr_is_loopback(destination);
  struct mst_addr source = ip4 && loopback ? mst_addr_ip4(localhost) : *destination;
  if (!sw->port_count || loopback || mst__port_of_address(sw, destination)) {
    local_route(&source, out);
    return 0;
  }
  if (sw->own_addresses)
    return has_own_address(sw->ports[0].port, ip4) ? route_from_own(&sw->ports[0], ip4, out) : -MST_ENETUNREACH;
  *out = (struct mst_route){.source = source, .mtu = smaller(sw->ports[0].port->mtu, LOOPBACK_MTU)};
  return 0;
}

int mst_switch_route(mst_switch *sw, const struct mst_addr *destination, struct mst_route *out) {
  if (mst_addr_is_any(destination) || mst_addr_is_multicast(destination)) return -MST_ENETUNREACH;
  if (!sw->os) return route_alone(sw, destination, out);
  bool ip4 = mst_addr_is_ip4(destination);
  if (mst__port_of_address(sw, destination)) {
    local_route(destination, out);
    return 0;
  }
  const struct mst__route *route = mst__route_find(sw, destination);
  if (route->error) return route->error;
  struct mst__switch_port *own = port_with_address(sw, ip4);
  if (route->hop.local) {
    const struct mst__switch_port *lo = port_with_cap(sw, MST_PORT_OS_LOOPBACK);
    if (!lo && own && !mst_addr_is_loopback(destination)) return route_from_own(own, ip4, out);
    local_route(&route->hop.source, out);
    if (lo) out->mtu = smaller(lo->port->mtu, LOOPBACK_MTU);
    return 0;
  }
  if (!route->port) return route_from_own(own, ip4, out); /* the OS forwards for it, or does not */
  if (has_own_address(route->port->port, ip4)) return route_from_own(route->port, ip4, out);
  *out = (struct mst_route){
      .source = route->hop.source,
      .mtu = smaller(smaller(route->hop.mtu ? route->hop.mtu : LOOPBACK_MTU, route->port->port->mtu), LOOPBACK_MTU),
  };
  return 0;
}

void mst_switch_routes_changed(mst_switch *sw) {
  sw->route_generation++;
  mst_switch_neighbours_changed(sw);
}
