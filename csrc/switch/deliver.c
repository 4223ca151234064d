/* Into a channel's receive ring. */
#include "switch_internal.h"

static void mark_dirty(struct mst_switch *sw, struct mst__switch_channel *to) {
  if (to->dirty) return;
  if (sw->dirty_count == sizeof sw->dirty / sizeof sw->dirty[0]) mst__deliver_publish(sw);
  to->dirty = true;
  sw->dirty[sw->dirty_count++] = to;
}

static void ring_sleepers(struct mst_switch *sw) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  for (unsigned i = 0; i < sw->dirty_count; i++) {
    const struct mst__switch_channel *to = sw->dirty[i];
    if (to->options.ring && mst__bell_take(&to->end.header->rx_bell)) to->options.ring(to->options.ring_ctx);
  }
}

void mst__deliver_publish(struct mst_switch *sw) {
  bool sleepers = false;
  for (unsigned i = 0; i < sw->dirty_count; i++) {
    struct mst__switch_channel *to = sw->dirty[i];
    to->dirty = false;
    mst__rx_publish(&to->end);
    sleepers |= to->options.ring != NULL;
  }
  if (sleepers) ring_sleepers(sw);
  sw->dirty_count = 0;
}

/* Headers of 20 to 192 bytes, without a call and without a byte too many: what lies behind them in the buffer may be of
 * a packet to somebody else. */
static inline void copy_headers(uint8_t *to, const uint8_t *from, uint32_t bytes) {
  uint32_t i = 0;
  for (; i + 16 < bytes; i += 16) memcpy(to + i, from + i, 16);
  memcpy(to + bytes - 16, from + bytes - 16, 16);
}

int mst__deliver_outgoing(struct mst_switch *sw, struct mst__switch_channel *from, struct mst__switch_channel *to,
                          const struct mst__outgoing *packet) {
  const struct mst__taken *taken = &packet->taken;
  uint8_t *room = mst__rx_reserve(&to->end, taken->len);
  if (MST_UNLIKELY(!room)) return mst__in_limbo(to) ? MST_DROP_AWAY : mst__patience_full(sw, from, to);
  if (MST_UNLIKELY(to->patience.attempts)) mst__patience_moved(sw, to);
  if (MST_UNLIKELY(from->last_receiver != to->id + 1)) mst__patience_note_other(sw, from, to->id + 1);
  copy_headers(room, taken->bytes, taken->inline_bytes);
  uint8_t *next = room + taken->inline_bytes;
  for (unsigned i = 0; i < taken->frag_count; i++) {
    memmove(next, taken->base + taken->frags[i].offset, taken->frags[i].len); /* it may point into its own ring */
    next += taken->frags[i].len;
  }
  mst__rx_commit(&to->end, taken->len, taken->gso_size, (taken->flags & MST_CSUM_PARTIAL) | MST_CSUM_VALID);
  to->stats.to_channel_packets++;
  to->stats.to_channel_bytes += taken->len;
  if (MST_UNLIKELY(!to->dirty)) mark_dirty(sw, to);
  if (MST_UNLIKELY(sw->observers))
    mst__observe_channel(
        sw, to,
        &(struct mst_switch_seen){
            .data = sw->scratch, .len = taken->len, .gso_size = taken->gso_size, .flags = taken->flags});
  return MST_DROP_NONE;
}

enum mst_drop mst__deliver_bytes(struct mst_switch *sw, struct mst__switch_channel *to, const uint8_t *data,
                                 uint32_t len, uint16_t gso_size, uint8_t flags) {
  uint8_t *room = mst__rx_reserve(&to->end, len);
  if (!room) return mst__in_limbo(to) ? MST_DROP_AWAY : MST_DROP_RX_FULL;
  if (to->patience.attempts) mst__patience_moved(sw, to);
  memcpy(room, data, len);
  mst__rx_commit(&to->end, len, gso_size, flags);
  to->stats.to_channel_packets++;
  to->stats.to_channel_bytes += len;
  mark_dirty(sw, to);
  if (MST_UNLIKELY(sw->observers))
    mst__observe_channel(sw, to,
                         &(struct mst_switch_seen){.data = data, .len = len, .gso_size = gso_size, .flags = flags});
  return MST_DROP_NONE;
}
