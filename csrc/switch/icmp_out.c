/* ICMP that a channel sends: by policy, and then only that a port of its own is unreachable. It says something about a
 * packet that came to a tuple which the channel holds, to the one who sent that packet (mst__icmp_parse sees to that),
 * and about nothing else. */
#include "switch_internal.h"
#include "wire/icmp.h"
#include "wire/ip.h"

#define ICMP_HEADER_BYTES 8

static enum mst_drop check(struct mst_switch *sw, const struct mst__switch_channel *from, const struct mst__ip *ip,
                           const struct mst__icmp_error *error) {
  if (error->kind != MST__ICMP_PORT_UNREACHABLE) return MST_DROP_PROTOCOL;
  if (error->protocol != MST_TCP && error->protocol != MST_UDP) return MST_DROP_PROTOCOL;
  if (!mst_addr_equal(&ip->source, &error->destination)) return MST_DROP_SOURCE_NOT_HELD;
  struct mst__tuple_key key = mst__tuple_key(&error->destination, error->destination_port, error->protocol);
  uint32_t holder = mst__holder_find(sw, &key, &error->destination);
  return holder && mst__holder_is(sw, holder, from->id) ? MST_DROP_NONE : MST_DROP_SOURCE_NOT_HELD;
}

int mst__forward_icmp(struct mst_switch *sw, struct mst__switch_channel *from, struct mst__outgoing *packet) {
  struct mst__ip ip;
  struct mst__icmp_error error;
  if (!from->options.icmp_errors) return MST_DROP_PROTOCOL;
  if (packet->taken.gso_size || packet->taken.flags & MST_CSUM_PARTIAL) return MST_DROP_DESCRIPTOR;
  if (packet->taken.inline_bytes < packet->l3_bytes + ICMP_HEADER_BYTES) return MST_DROP_SHORT;
  mst__own_packet(sw, &packet->taken);
  enum mst_drop drop = mst__ip_parse(sw->scratch, packet->taken.len, &ip);
  if (!drop) drop = mst__icmp_parse(&ip, &error);
  if (!drop) drop = check(sw, from, &ip, &error);
  if (drop) return drop;
  if (!mst__rate_room(&from->icmp_rate, sw->now_ns)) return MST_DROP_ICMP_RATE;
  mst__rate_take(&from->icmp_rate, sw->now_ns, 1);
  packet->header_bytes = packet->l3_bytes + ICMP_HEADER_BYTES;
  packet->source.ip6 = ip.version == 6;
  packet->destination.ip6 = ip.version == 6;
  struct mst__tuple_key sender = mst__tuple_key(&error.source, error.source_port, error.protocol);
  struct mst__tuple_key receiver = mst__tuple_key(&error.destination, error.destination_port, error.protocol);
  uint32_t holder = mst__holder_find(sw, &sender, &error.source);
  if (!holder) return mst__leave(sw, from, packet);
  return mst__deliver_outgoing(sw, from, mst__holder_pick(sw, holder, &sender, &receiver, NULL), packet);
}
