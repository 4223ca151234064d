/* Packets whose next hop's MAC address is not known yet. Bounded in neighbours, in packets each and in time. */
#include "switch_internal.h"

#define NEIGHBOURS_MAX 256u
#define NEIGHBOURS_OF_CHANNEL_MAX 16u /* that it was the first to ask for */
#define PACKETS_MAX 16u
#define PATIENCE_NS 3000000000ull

struct waiting_packet {
  struct mst__list node;
  uint32_t room_bytes; /* of this allocation */
  unsigned channel;    /* whose drop it would be */
  uint16_t gso_size;
  uint8_t flags, protocol;
  bool ip6;
  uint32_t l3_bytes, header_bytes, payload_bytes;
  uint32_t resume_bytes;
  uint8_t bytes[];
};

struct waiting_neighbour {
  struct mst__list node;
  unsigned ifindex;
  unsigned channel; /* that was the first to ask */
  struct mst_addr gateway;
  uint64_t since_ns;
  unsigned count;
  struct mst__list packets;
};

static struct waiting_neighbour *find(const struct mst_switch *sw, unsigned ifindex, const struct mst_addr *gateway) {
  MST__LIST_EACH(node, &sw->waiting) {
    struct waiting_neighbour *neighbour = MST__CONTAINER(node, struct waiting_neighbour, node);
    if (neighbour->ifindex == ifindex && mst_addr_equal(&neighbour->gateway, gateway)) return neighbour;
  }
  return NULL;
}

bool mst__neighbour_is_waited_for(const struct mst_switch *sw, unsigned ifindex, const struct mst_addr *gateway) {
  return find(sw, ifindex, gateway) != NULL;
}

static unsigned asked_by(const struct mst_switch *sw, unsigned channel) {
  unsigned count = 0;
  MST__LIST_EACH(node, &sw->waiting)
  count += MST__CONTAINER(node, struct waiting_neighbour, node)->channel == channel;
  return count;
}

static struct waiting_neighbour *add(struct mst_switch *sw, unsigned channel, unsigned ifindex,
                                     const struct mst_addr *gateway) {
  if (sw->waiting_count == NEIGHBOURS_MAX || asked_by(sw, channel) >= NEIGHBOURS_OF_CHANNEL_MAX) return NULL;
  struct waiting_neighbour *neighbour = mst__switch_alloc(sw, sizeof *neighbour);
  if (!neighbour) return NULL;
  neighbour->ifindex = ifindex;
  neighbour->channel = channel;
  neighbour->gateway = *gateway;
  neighbour->since_ns = sw->now_ns;
  mst__list_init(&neighbour->packets);
  mst__list_push_back(&sw->waiting, &neighbour->node);
  sw->waiting_count++;
  return neighbour;
}

enum mst_drop mst__neighbour_wait(struct mst_switch *sw, struct mst__switch_channel *from, unsigned ifindex,
                                  const struct mst_addr *gateway, const struct mst__departing *packet) {
  struct waiting_neighbour *neighbour = find(sw, ifindex, gateway);
  if (!neighbour) neighbour = add(sw, from->id, ifindex, gateway);
  if (!neighbour || neighbour->count == PACKETS_MAX) return MST_DROP_NEIGHBOUR;
  uint32_t room = (uint32_t)sizeof(struct waiting_packet) + packet->header_bytes + packet->payload_bytes;
  struct waiting_packet *waiting = mst__switch_alloc(sw, room);
  if (!waiting) return MST_DROP_NO_MEMORY;
  waiting->room_bytes = room;
  waiting->channel = from->id;
  waiting->gso_size = packet->gso_size;
  waiting->flags = packet->flags;
  waiting->protocol = packet->protocol;
  waiting->ip6 = packet->ip6;
  waiting->l3_bytes = packet->l3_bytes;
  waiting->header_bytes = packet->header_bytes;
  waiting->payload_bytes = packet->payload_bytes;
  memcpy(waiting->bytes, packet->header, packet->header_bytes);
  mst__gather(waiting->bytes + packet->header_bytes, packet->payload, 0, packet->payload_bytes);
  mst__list_push_back(&neighbour->packets, &waiting->node);
  neighbour->count++;
  return MST_DROP_NONE;
}

/* Done with a packet; unless it was sent, its sender is told. */
static void finish(struct mst_switch *sw, struct waiting_packet *packet, enum mst_drop reason, uint32_t mtu) {
  struct mst__switch_channel *from = packet->channel < sw->channel_room ? sw->channels[packet->channel] : NULL;
  if (reason) mst__count_drop(sw, from, reason);
  if (reason && from) {
    const struct mst__refused refused = {
        .header = packet->bytes,
        .l3_bytes = packet->l3_bytes,
        .header_bytes = packet->header_bytes,
        .len = packet->header_bytes + packet->payload_bytes,
        .protocol = packet->protocol,
    };
    mst__explain(sw, from, &refused, reason, mtu);
  }
  mst__switch_free(sw, packet, packet->room_bytes);
}

/* Forget a neighbour; what still waits is dropped. */
static void forget(struct mst_switch *sw, struct waiting_neighbour *neighbour, enum mst_drop reason) {
  struct mst__list *node;
  while ((node = mst__list_pop_front(&neighbour->packets)))
    finish(sw, MST__CONTAINER(node, struct waiting_packet, node), reason, 0);
  mst__list_remove(&neighbour->node);
  mst__switch_free(sw, neighbour, sizeof *neighbour);
  sw->waiting_count--;
}

static int send_packet(struct mst_switch *sw, struct mst__switch_port *port, const uint8_t mac[6],
                       struct waiting_packet *packet) {
  struct mst__departing departing = {
      .header = packet->bytes,
      .l3_bytes = packet->l3_bytes,
      .header_bytes = packet->header_bytes,
      .payload_bytes = packet->payload_bytes,
      .gso_size = packet->gso_size,
      .flags = packet->flags,
      .protocol = packet->protocol,
      .ip6 = packet->ip6,
      .payload = {{packet->bytes + packet->header_bytes, packet->payload_bytes}},
  };
  return mst__transmit(sw, port, mac, &departing, &packet->resume_bytes);
}

/* A port without room drops them: they are few, and nobody waits for them to make room. */
static void send_all(struct mst_switch *sw, struct waiting_neighbour *neighbour, struct mst__switch_port *port,
                     const uint8_t mac[6]) {
  struct mst__list *node;
  while ((node = mst__list_pop_front(&neighbour->packets))) {
    struct waiting_packet *packet = MST__CONTAINER(node, struct waiting_packet, node);
    int result = send_packet(sw, port, mac, packet);
    finish(sw, packet, result == MST__BLOCKED ? MST_DROP_TX_FULL : (enum mst_drop)result, port->port->mtu);
  }
}

void mst__neighbour_retry(struct mst_switch *sw) {
  for (struct mst__list *node = sw->waiting.next, *next; node != &sw->waiting; node = next) {
    next = node->next;
    struct waiting_neighbour *neighbour = MST__CONTAINER(node, struct waiting_neighbour, node);
    uint8_t mac[6];
    enum mst_neighbour_state state = sw->os->neighbour(sw->os->ctx, neighbour->ifindex, &neighbour->gateway, mac);
    if (state == MST_NEIGHBOUR_PENDING) continue;
    for (unsigned i = 0; state == MST_NEIGHBOUR_KNOWN && i < sw->port_count; i++) {
      if (sw->ports[i].port->ifindex != neighbour->ifindex) continue;
      send_all(sw, neighbour, &sw->ports[i], mac);
      break;
    }
    forget(sw, neighbour, MST_DROP_NEIGHBOUR);
  }
  mst__deliver_publish(sw);
}

void mst__neighbour_expire(struct mst_switch *sw) {
  for (struct mst__list *node = sw->waiting.next, *next; node != &sw->waiting; node = next) {
    next = node->next;
    struct waiting_neighbour *neighbour = MST__CONTAINER(node, struct waiting_neighbour, node);
    if (sw->now_ns - neighbour->since_ns > PATIENCE_NS) forget(sw, neighbour, MST_DROP_NEIGHBOUR);
  }
  mst__deliver_publish(sw);
}

void mst__neighbour_forget_channel(struct mst_switch *sw, unsigned id) {
  MST__LIST_EACH(node, &sw->waiting) {
    struct waiting_neighbour *neighbour = MST__CONTAINER(node, struct waiting_neighbour, node);
    MST__LIST_EACH(packet_node, &neighbour->packets) {
      struct waiting_packet *packet = MST__CONTAINER(packet_node, struct waiting_packet, node);
      if (packet->channel == id) packet->channel = MST__CHANNELS_MAX;
    }
  }
}

void mst__neighbour_free(struct mst_switch *sw) {
  while (!mst__list_empty(&sw->waiting))
    forget(sw, MST__CONTAINER(sw->waiting.next, struct waiting_neighbour, node), MST_DROP_NEIGHBOUR);
}
