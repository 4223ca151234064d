/* A switch with a few channels, an OS whose answers the test sets, and the far end of a wire in memory. */
#ifndef TEST_UNIT_SWITCH_RIG_H
#define TEST_UNIT_SWITCH_RIG_H

#include "multistack/switch.h"
#include "sim/packet.h"
#include "switch/switch_internal.h"
#include "unit.h"

#define RIG_CHANNELS 3u
#define RIG_MS 1000000ull

struct rig_os {
  struct mst_switch_os ops;
  int reserve_error;
  unsigned reserved;    /* now */
  const char *local[4]; /* addresses of this host */
  unsigned ifindex;     /* where everything else leads; 0: nowhere */
  enum mst_neighbour_state neighbour;
  unsigned route_questions, neighbour_questions;
};

struct rig {
  mst_switch *sw;
  mst_channel *channel[RIG_CHANNELS];
  unsigned id[RIG_CHANNELS];
  struct mst_port *port, *far; /* the switch's end of a wire, and the other */
  struct rig_os os;
  struct sim_random random;
  uint64_t now_ns;
};

static inline void *rig_alloc(void *ctx, size_t bytes) {
  (void)ctx;
  return malloc(bytes);
}
static inline void rig_free(void *ctx, void *memory, size_t bytes) {
  (void)ctx;
  (void)bytes;
  free(memory);
}
static inline void rig_random(void *ctx, void *out, size_t bytes) {
  fill_random(&((struct rig *)ctx)->random, out, bytes);
}

static inline int rig_reserve(void *ctx, struct mst_tuple *tuple, intptr_t *cookie) {
  struct rig_os *os = ctx;
  if (os->reserve_error) return os->reserve_error;
  assert_int_not_equal(tuple->port, 0);
  *cookie = tuple->port;
  os->reserved++;
  return 0;
}
static inline void rig_unreserve(void *ctx, intptr_t cookie) {
  (void)cookie;
  ((struct rig_os *)ctx)->reserved--;
}
static inline int rig_route(void *ctx, const struct mst_addr *destination, struct mst_next_hop *out) {
  struct rig_os *os = ctx;
  os->route_questions++;
  *out = (struct mst_next_hop){.source = *destination, .gateway = *destination, .mtu = MST_PACKET_BYTES_MAX};
  out->local = mst_addr_is_loopback(destination);
  for (unsigned i = 0; i < COUNT(os->local) && os->local[i]; i++) {
    struct mst_addr local = addr(os->local[i]);
    if (mst_addr_equal(&local, destination)) out->local = true;
  }
  if (out->local) return 0;
  if (!os->ifindex) return -MST_ENETUNREACH;
  out->source = addr(mst_addr_is_ip4(destination) ? "10.0.0.1" : "fd00::1");
  out->ifindex = os->ifindex;
  out->mtu = 1500;
  return 0;
}
static inline enum mst_neighbour_state rig_neighbour(void *ctx, unsigned ifindex, const struct mst_addr *gateway,
                                                     uint8_t mac[6]) {
  struct rig_os *os = ctx;
  (void)ifindex;
  (void)gateway;
  os->neighbour_questions++;
  memcpy(mac, "\x02\x00\x00\x00\x00\x99", 6);
  return os->neighbour;
}

/* Without `with_os` the host is alone. */
static inline void rig_open(struct rig *rig, bool with_os, const struct mst_channel_options *channel_options) {
  *rig = (struct rig){.random = {7}, .now_ns = RIG_MS};
  rig->os.ops = (struct mst_switch_os){.ctx = &rig->os,
                                       .reserve = rig_reserve,
                                       .unreserve = rig_unreserve,
                                       .route = rig_route,
                                       .neighbour = rig_neighbour};
  struct mst_switch_options options = {
      .size = sizeof options,
      .env = {.ctx = rig, .alloc = rig_alloc, .free = rig_free, .random = rig_random},
      .os = with_os ? &rig->os.ops : NULL,
  };
  assert_int_equal(mst_switch_create(&options, &rig->sw), 0);
  for (unsigned i = 0; i < RIG_CHANNELS; i++) {
    assert_int_equal(mst_channel_create(channel_options, &rig->channel[i]), 0);
    assert_int_equal(mst_switch_attach(rig->sw, rig->channel[i], NULL, &rig->id[i]), 0);
  }
}

/* A wire; the switch has the near end as a port with these properties. */
static inline void rig_add_port(struct rig *rig, uint32_t caps, unsigned ifindex, uint32_t mtu) {
  assert_int_equal(mst_port_memory_pair(MST_PACKET_BYTES_MAX, &rig->port, &rig->far), 0);
  rig->port->caps = caps;
  rig->port->ifindex = ifindex;
  rig->port->mtu = mtu;
  memcpy(rig->port->mac, "\x02\x00\x00\x00\x00\x01", 6);
  assert_int_equal(mst_switch_add_port(rig->sw, rig->port), 0);
}

static inline void rig_close(struct rig *rig) {
  mst_switch_destroy(rig->sw);
  for (unsigned i = 0; i < RIG_CHANNELS; i++) mst_channel_destroy(rig->channel[i]);
  if (rig->far) rig->far->ops->close(rig->far);
}

static inline struct mst_tuple rig_tuple(const char *address, uint16_t port, uint8_t protocol, uint8_t flags) {
  return (struct mst_tuple){.addr = addr(address), .port = port, .protocol = protocol, .flags = flags};
}

static inline int rig_lease(struct rig *rig, unsigned channel, const char *address, uint16_t port, uint8_t protocol,
                            uint8_t flags) {
  struct mst_tuple tuple = rig_tuple(address, port, protocol, flags);
  return mst_switch_lease(rig->sw, rig->id[channel], &tuple);
}

static inline void rig_release(struct rig *rig, unsigned channel, const char *address, uint16_t port,
                               uint8_t protocol) {
  struct mst_tuple tuple = rig_tuple(address, port, protocol, 0);
  mst_switch_release(rig->sw, rig->id[channel], &tuple);
}

static inline size_t rig_udp(uint8_t *out, const char *source, uint16_t source_port, const char *destination,
                             uint16_t destination_port, size_t bytes) {
  static const uint8_t data[2000] = "data";
  struct mst_endpoint from = {.addr = addr(source), .port = source_port};
  struct mst_endpoint to = {.addr = addr(destination), .port = destination_port};
  return sim_udp_build(out, &from, &to, data, bytes);
}

static inline int rig_send(struct rig *rig, unsigned channel, const void *bytes, size_t len, uint8_t flags) {
  struct mst_packet packet = {.len = (uint32_t)len, .flags = flags, .iov_count = 1, .iov = {{bytes, len}}};
  return mst_channel_send(rig->channel[channel], &packet);
}

static inline size_t rig_process(struct rig *rig) {
  rig->now_ns += RIG_MS;
  return mst_switch_process(rig->sw, 1024, rig->now_ns);
}

/* How many packets wait for a channel; all are taken, the last is copied to `last` (65536 bytes, may be NULL). */
static inline size_t rig_received(struct rig *rig, unsigned channel, uint8_t *last, struct mst_packet *meta) {
  struct mst_packet packet;
  size_t total = 0;
  while (mst_channel_receive(rig->channel[channel], &packet, 1) == 1) {
    if (last) memcpy(last, packet.iov[0].base, packet.len);
    if (meta) *meta = packet;
    mst_channel_release(rig->channel[channel], 1);
    total++;
  }
  return total;
}

static inline uint64_t rig_drops(const struct rig *rig, enum mst_drop reason) {
  struct mst_switch_stats stats;
  mst_switch_get_stats(rig->sw, &stats);
  return stats.drops[reason];
}

/* Send `packet` from channel 0: it is dropped for this reason alone, and nobody gets anything. */
static inline void rig_expect_drop(struct rig *rig, const void *packet, size_t bytes, enum mst_drop reason) {
  uint64_t before = rig_drops(rig, reason);
  struct mst_switch_stats stats;
  assert_int_equal(rig_send(rig, 0, packet, bytes, 0), 0);
  rig_process(rig);
  assert_int_equal(rig_drops(rig, reason), before + 1);
  mst_switch_channel_stats(rig->sw, rig->id[0], &stats);
  assert_int_equal(stats.drops[reason], before + 1);
  for (unsigned i = 1; i < RIG_CHANNELS; i++) assert_int_equal(rig_received(rig, i, NULL, NULL), 0);
}

/* From the far end of the wire, as the near end's peer would. */
static inline void rig_far_send(struct rig *rig, const void *packet, size_t bytes, uint8_t flags) {
  uint8_t *room = rig->far->ops->tx_reserve(rig->far, (uint32_t)bytes);
  assert_non_null(room);
  memcpy(room, packet, bytes);
  rig->far->ops->tx_commit(rig->far, (uint32_t)bytes, 0, flags);
  rig->far->ops->flush(rig->far);
}

/* Take one frame at the far end; its length, 0: there is none. */
static inline size_t rig_far_receive(struct rig *rig, uint8_t *out, struct mst_port_rx *meta) {
  struct mst_port_rx rx;
  if (rig->far->ops->receive(rig->far, &rx, 1) != 1) return 0;
  memcpy(out, rx.data, rx.len);
  if (meta) *meta = rx;
  rig->far->ops->release(rig->far);
  return rx.len;
}

#endif
