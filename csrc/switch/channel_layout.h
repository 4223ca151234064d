/* The bytes of a channel's region, as both sides see them (the picture is in channel.h). */
#ifndef MST_SWITCH_CHANNEL_LAYOUT_H
#define MST_SWITCH_CHANNEL_LAYOUT_H

#include "multistack/channel.h"
#include <stdbool.h>

#define MST__CHANNEL_REGION_MAX ((uint64_t)1 << 32) /* offsets are 32 bits */

/* Where a packet to be sent lies: `inline_bytes` beside the descriptor, then the fragments. */
struct mst__tx_descriptor {
  uint32_t len;
  uint16_t gso_size;
  uint8_t flags;
  uint8_t frag_count;
  uint32_t inline_bytes;
  uint32_t reserved;
  struct mst__tx_frag {
    uint32_t offset, len; /* from the start of the region */
  } frags[MST_PACKET_IOV_MAX];
};

struct mst__tx_slot {
  struct mst__tx_descriptor descriptor;
  uint8_t bytes[MST_CHANNEL_INLINE_BYTES];
};

struct mst__rx_descriptor {
  uint32_t offset, len; /* from the start of the region */
  uint16_t gso_size;
  uint8_t flags;
  uint8_t reserved[5];
};

_Static_assert(sizeof(struct mst__tx_descriptor) == 64, "a descriptor is one cache line");
_Static_assert(sizeof(struct mst__tx_slot) == 256, "a slot is a power of two");
_Static_assert(sizeof(struct mst__rx_descriptor) == 16, "four descriptors a cache line");

/* Ring indices run free modulo 2^32. Each has two cache lines to itself (the second because processors fetch pairs). */
struct mst__ring_index {
  _Alignas(128) uint32_t value;
};

struct mst__channel_header {
  struct mst__ring_index tx_head; /* written by the stack */
  struct mst__ring_index tx_tail; /* written by the switch */
  struct mst__ring_index rx_head; /* written by the switch */
  struct mst__ring_index rx_tail; /* written by the stack */
  /* Ring me: set by a side before it sleeps, cleared by the one who rings, so a side that is awake is never rung. */
  struct mst__ring_index tx_bell; /* the switch's, for packets sent and packets released */
  struct mst__ring_index rx_bell; /* the stack's, for packets received */
};

/* Where the parts are: agreed at creation, kept by each side in its own memory. */
struct mst__channel_geometry {
  uint8_t *region;
  uint64_t region_bytes;
  uint32_t tx_slots, rx_slots, rx_bytes; /* powers of two */
  uint64_t tx_offset, rx_offset, rx_bytes_offset, arena_offset;
};

static inline struct mst__channel_header *mst__channel_header(const struct mst__channel_geometry *g) {
  return (struct mst__channel_header *)(void *)g->region;
}
static inline struct mst__tx_slot *mst__tx_ring(const struct mst__channel_geometry *g) {
  return (struct mst__tx_slot *)(void *)(g->region + g->tx_offset);
}
static inline struct mst__rx_descriptor *mst__rx_ring(const struct mst__channel_geometry *g) {
  return (struct mst__rx_descriptor *)(void *)(g->region + g->rx_offset);
}

static inline uint32_t mst__ring_load(const struct mst__ring_index *index) {
  return __atomic_load_n(&index->value, __ATOMIC_ACQUIRE);
}
/* Whoever sleeps sets its bell, and whoever has moved an index looks at the other's, each after a full fence: one of
 * the two sees what the other did. */
static inline void mst__bell_set(struct mst__ring_index *bell) {
  __atomic_store_n(&bell->value, 1, __ATOMIC_RELAXED);
}
/* True for one of those who take it. */
static inline bool mst__bell_take(struct mst__ring_index *bell) {
  return __atomic_load_n(&bell->value, __ATOMIC_RELAXED) && __atomic_exchange_n(&bell->value, 0, __ATOMIC_RELAXED);
}
static inline void mst__ring_store(struct mst__ring_index *index, uint32_t value) {
  __atomic_store_n(&index->value, value, __ATOMIC_RELEASE);
}

const struct mst__channel_geometry *mst__channel_geometry(const mst_channel *channel);

#endif
