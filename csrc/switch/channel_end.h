/* The switch's side of a channel. All state is in the switch's own memory; of what the stack's side can write nothing
 * is believed: indices are checked against what is possible, offsets against the region, and headers are copied out
 * before they are looked at, so that what was validated is what is forwarded. */
#ifndef MST_SWITCH_CHANNEL_END_H
#define MST_SWITCH_CHANNEL_END_H

#include "base/assert.h"
#include "channel_layout.h"
#include <stdbool.h>
#include <string.h>

/* While the stack keeps up, the byte ring turns within its first part, which stays in the cache. */
#define MST__RX_HOT_BYTES (128u << 10)

struct mst__channel_end {
  struct mst__channel_geometry geometry;
  struct mst__channel_header *header; /* NULL: no channel; there is never room, and nothing must be taken */
  struct mst__tx_slot *tx;
  struct mst__rx_descriptor *rx;
  uint32_t tx_mask, rx_mask, rx_bytes_mask;
  uint32_t tx_tail;      /* the next slot to take */
  uint32_t rx_head;      /* the next descriptor to write */
  uint32_t rx_published; /* rx_head as the stack knows it */
  uint32_t rx_tail;      /* the stack's tail when it was last looked at and made sense */
  /* Positions in the byte ring run free like indices. [rx_read, rx_write) is in use, gaps at the wrap included. */
  uint32_t rx_read, rx_write;
  uint32_t *rx_ends; /* by slot: rx_write after that packet */
};

/* A packet taken from a channel: its headers, in the switch's memory, and where the rest lies. The buffer has slack for
 * copies of whole cache lines. */
struct mst__taken {
  _Alignas(64) uint8_t bytes[MST_CHANNEL_INLINE_BYTES];
  uint32_t len;
  uint32_t inline_bytes; /* of `bytes` */
  uint16_t gso_size;
  uint8_t flags;
  uint8_t frag_count;
  struct mst__tx_frag frags[MST_PACKET_IOV_MAX]; /* from base; checked: inside the region, and the sum is len */
  const uint8_t *base;
};

/* `rx_ends` has room for geometry.rx_slots. */
void mst__channel_end_init(struct mst__channel_end *end, const struct mst__channel_geometry *geometry,
                           uint32_t *rx_ends);

/* How many packets wait to be taken. An impossible head of the stack counts as none and is reported in `broken`; the
 * ring then goes on from there. */
static inline uint32_t mst__tx_waiting(struct mst__channel_end *end, bool *broken) {
  uint32_t head = mst__ring_load(&end->header->tx_head);
  uint32_t waiting = head - end->tx_tail;
  *broken = waiting > end->tx_mask + 1;
  if (MST_LIKELY(!*broken)) return waiting;
  end->tx_tail = head;
  mst__ring_store(&end->header->tx_tail, head);
  return 0;
}

/* What was copied from shared memory is looked at in the copy from here on: no compiler may go back to the original. */
#define MST__COPIED(array) __asm__ volatile("" : "+m"(array))

/* Copy the i-th waiting packet's descriptor and headers out. False: the descriptor is impossible. */
bool mst__tx_take_frags(struct mst__channel_end *end, const struct mst__tx_descriptor *descriptor,
                        struct mst__taken *out);
static inline bool mst__tx_take(struct mst__channel_end *end, uint32_t i, struct mst__taken *out) {
  const struct mst__tx_slot *slot = &end->tx[(end->tx_tail + i) & end->tx_mask];
  const volatile struct mst__tx_descriptor *d = &slot->descriptor; /* each field is read once */
  out->len = d->len;
  out->inline_bytes = d->inline_bytes;
  out->gso_size = d->gso_size;
  out->flags = d->flags & (MST_CSUM_PARTIAL | MST_CSUM_VALID);
  out->frag_count = d->frag_count;
  if (MST_UNLIKELY(out->inline_bytes > MST_CHANNEL_INLINE_BYTES)) return false;
  memcpy(out->bytes, slot->bytes, 64);
  if (out->inline_bytes > 64) memcpy(out->bytes + 64, slot->bytes + 64, MST_CHANNEL_INLINE_BYTES - 64);
  MST__COPIED(out->bytes);
  if (MST_LIKELY(out->frag_count == 0)) return out->len == out->inline_bytes;
  return mst__tx_take_frags(end, &slot->descriptor, out);
}

/* The first `count` waiting packets are done with. */
static inline void mst__tx_done(struct mst__channel_end *end, uint32_t count) {
  end->tx_tail += count;
  mst__ring_store(&end->header->tx_tail, end->tx_tail);
}

/* Room for a packet of `bytes`, aligned to 64 and a multiple of 64 long, or NULL: full. */
uint8_t *mst__rx_make_room(struct mst__channel_end *end, uint32_t bytes);
static inline uint8_t *mst__rx_reserve(struct mst__channel_end *end, uint32_t bytes) {
  uint32_t offset = end->rx_write & end->rx_bytes_mask, size = end->rx_bytes_mask + 1;
  uint32_t need = (bytes + 63) & ~63u;
  if (MST_LIKELY(end->rx_head - end->rx_tail <= end->rx_mask && end->rx_write != end->rx_read &&
                 offset < MST__RX_HOT_BYTES && offset + need <= size && size - (end->rx_write - end->rx_read) >= need))
    return end->geometry.region + end->geometry.rx_bytes_offset + offset;
  return mst__rx_make_room(end, need);
}

/* The room given last now holds a packet of `len` bytes. The stack sees it after mst__rx_publish. */
static inline void mst__rx_commit(struct mst__channel_end *end, uint32_t len, uint16_t gso_size, uint8_t flags) {
  uint32_t slot = end->rx_head++ & end->rx_mask;
  uint32_t offset = end->rx_write & end->rx_bytes_mask;
  end->rx[slot] = (struct mst__rx_descriptor){
      .offset = (uint32_t)end->geometry.rx_bytes_offset + offset, .len = len, .gso_size = gso_size, .flags = flags};
  end->rx_write += (len + 63) & ~63u;
  end->rx_ends[slot] = end->rx_write;
}

/* The stack has released something since its tail was last looked at. */
static inline bool mst__rx_has_moved(const struct mst__channel_end *end) {
  return mst__ring_load(&end->header->rx_tail) != end->rx_tail;
}

static inline void mst__rx_publish(struct mst__channel_end *end) {
  end->rx_published = end->rx_head;
  mst__ring_store(&end->header->rx_head, end->rx_head);
}

#endif
