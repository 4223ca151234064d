#include "channel_end.h"

void mst__channel_end_init(struct mst__channel_end *end, const struct mst__channel_geometry *geometry,
                           uint32_t *rx_ends) {
  *end = (struct mst__channel_end){
      .geometry = *geometry,
      .header = mst__channel_header(geometry),
      .tx = mst__tx_ring(geometry),
      .rx = mst__rx_ring(geometry),
      .tx_mask = geometry->tx_slots - 1,
      .rx_mask = geometry->rx_slots - 1,
      .rx_bytes_mask = geometry->rx_bytes - 1,
      .rx_ends = rx_ends,
  };
  end->tx_tail = mst__ring_load(&end->header->tx_tail);
  end->rx_head = end->rx_published = end->rx_tail = mst__ring_load(&end->header->rx_head);
}

bool mst__tx_take_frags(struct mst__channel_end *end, const struct mst__tx_descriptor *descriptor,
                        struct mst__taken *out) {
  if (out->frag_count > MST_PACKET_IOV_MAX) return false;
  memcpy(out->frags, descriptor->frags, sizeof out->frags);
  MST__COPIED(out->frags);
  out->base = end->geometry.region;
  uint64_t sum = out->inline_bytes;
  for (unsigned i = 0; i < out->frag_count; i++) {
    if ((uint64_t)out->frags[i].offset + out->frags[i].len > end->geometry.region_bytes) return false;
    sum += out->frags[i].len;
  }
  return sum == out->len && sum <= MST_PACKET_BYTES_MAX;
}

/* Learn how far the stack has read. A tail that goes back or overtakes the head is not believed. */
static void look_at_tail(struct mst__channel_end *end) {
  uint32_t tail = mst__ring_load(&end->header->rx_tail);
  uint32_t read = tail - end->rx_tail;
  if (read == 0 || read > end->rx_published - end->rx_tail) return;
  end->rx_read = end->rx_ends[(tail - 1) & end->rx_mask];
  end->rx_tail = tail;
}

uint8_t *mst__rx_make_room(struct mst__channel_end *end, uint32_t need) {
  if (!end->header) return NULL;
  look_at_tail(end);
  if (end->rx_head - end->rx_tail > end->rx_mask) return NULL;
  if (end->rx_head == end->rx_tail) end->rx_read = end->rx_write = 0;
  uint32_t size = end->rx_bytes_mask + 1;
  uint32_t offset = end->rx_write & end->rx_bytes_mask, used = end->rx_write - end->rx_read;
  /* A stack that keeps up empties the ring before this, and is then at its hot beginning again; to go there sooner
   * would cost the room that is skipped, just when a burst comes. */
  uint32_t skip = offset + need > size ? size - offset : 0;
  if (size - used < (uint64_t)skip + need) return NULL;
  end->rx_write += skip;
  return end->geometry.region + end->geometry.rx_bytes_offset + (end->rx_write & end->rx_bytes_mask);
}
