/* The stack's side of a channel. */
#include "arena.h"
#include "base/assert.h"
#include "channel_layout.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct mst_channel {
  struct mst__channel_geometry geometry;
  struct mst__channel_header *header;
  struct mst__tx_slot *tx;
  const struct mst__rx_descriptor *rx;
  const uint8_t *arena_base, *arena_end;
  uint32_t tx_mask, rx_mask;
  uint32_t tx_head;      /* the next slot to fill */
  uint32_t tx_tail_seen; /* the switch's tail when it was last looked at */
  uint32_t rx_next;      /* the next packet that mst_channel_receive gives */
  uint32_t rx_tail;      /* the oldest packet that is not released */
  struct mst__arena arena;
};

const struct mst__channel_geometry *mst__channel_geometry(const mst_channel *channel) {
  return &channel->geometry;
}

static bool power_of_two(uint32_t n) {
  return n != 0 && (n & (n - 1)) == 0;
}

static uint64_t align_page(uint64_t n) {
  return (n + 4095) & ~(uint64_t)4095;
}

static int lay_out(const struct mst_channel_options *options, struct mst__channel_geometry *g) {
  g->tx_slots = options && options->tx_slots ? options->tx_slots : 1024;
  g->rx_slots = options && options->rx_slots ? options->rx_slots : 1024;
  g->rx_bytes = options && options->rx_bytes ? options->rx_bytes : 2u << 20;
  if (!power_of_two(g->tx_slots) || !power_of_two(g->rx_slots) || !power_of_two(g->rx_bytes)) return -MST_EINVAL;
  if (g->tx_slots > 1u << 20 || g->rx_slots > 1u << 20) return -MST_EINVAL;
  if (g->rx_bytes < 256u << 10 || g->rx_bytes > 1u << 30) return -MST_EINVAL;
  g->tx_offset = align_page(sizeof(struct mst__channel_header));
  g->rx_offset = align_page(g->tx_offset + g->tx_slots * sizeof(struct mst__tx_slot));
  g->rx_bytes_offset = align_page(g->rx_offset + g->rx_slots * sizeof(struct mst__rx_descriptor));
  g->arena_offset = g->rx_bytes_offset + g->rx_bytes;
  uint64_t arena_max = MST__CHANNEL_REGION_MAX - g->arena_offset;
  uint64_t arena_bytes = options && options->arena_bytes ? align_page(options->arena_bytes) : arena_max;
  if (arena_bytes > arena_max) return -MST_EINVAL;
  g->region_bytes = g->arena_offset + arena_bytes;
  return 0;
}

int mst_channel_create(const struct mst_channel_options *options, mst_channel **out) {
  struct mst__channel_geometry geometry = {0};
  if (options && options->size != sizeof *options) return -MST_EINVAL;
  int error = lay_out(options, &geometry);
  if (error) return error;
  struct mst_channel *channel = calloc(1, sizeof *channel);
  if (!channel) return -MST_ENOMEM;
  void *region =
      mmap(NULL, geometry.region_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) {
    free(channel);
    return -MST_ENOMEM;
  }
  geometry.region = region;
  channel->geometry = geometry;
  channel->header = mst__channel_header(&geometry);
  channel->tx = mst__tx_ring(&geometry);
  channel->rx = mst__rx_ring(&geometry);
  channel->tx_mask = geometry.tx_slots - 1;
  channel->rx_mask = geometry.rx_slots - 1;
  channel->arena_base = geometry.region + geometry.arena_offset;
  channel->arena_end = geometry.region + geometry.region_bytes;
  mst__arena_init(&channel->arena, geometry.region + geometry.arena_offset,
                  geometry.region_bytes - geometry.arena_offset);
  *out = channel;
  return 0;
}

void mst_channel_destroy(mst_channel *channel) {
  if (!channel) return;
  munmap(channel->geometry.region, channel->geometry.region_bytes);
  free(channel);
}

static void look_at_tail(struct mst_channel *channel) {
  channel->tx_tail_seen = mst__ring_load(&channel->header->tx_tail);
  mst__arena_consumed(&channel->arena, channel->tx_tail_seen);
}

void *mst_channel_alloc(void *ctx, size_t bytes) {
  struct mst_channel *channel = ctx;
  if (channel->arena.deferred_first) look_at_tail(channel);
  return mst__arena_alloc(&channel->arena, bytes);
}

void mst_channel_free(void *ctx, void *memory, size_t bytes) {
  struct mst_channel *channel = ctx;
  if (!memory) return;
  if (channel->tx_tail_seen != channel->tx_head) look_at_tail(channel);
  if (channel->tx_tail_seen == channel->tx_head)
    mst__arena_free(&channel->arena, memory, bytes);
  else
    mst__arena_free_after(&channel->arena, memory, bytes, channel->tx_head);
}

/* Copy the whole packet beside its descriptor. */
static int fill_inline(struct mst__tx_slot *slot, const struct mst_packet *packet) {
  uint32_t filled = 0;
  for (unsigned i = 0; i < packet->iov_count; i++) {
    if (packet->iov[i].len > packet->len - filled) return -MST_EINVAL;
    memcpy(slot->bytes + filled, packet->iov[i].base, packet->iov[i].len);
    filled += (uint32_t)packet->iov[i].len;
  }
  slot->descriptor.inline_bytes = filled;
  slot->descriptor.frag_count = 0;
  return filled == packet->len ? 0 : -MST_EINVAL;
}

static int fill_frags(struct mst_channel *channel, struct mst__tx_slot *slot, const struct mst_packet *packet) {
  if (packet->iov[0].len > MST_CHANNEL_INLINE_BYTES) return -MST_EFAULT;
  for (unsigned i = 1; i < packet->iov_count; i++) {
    const uint8_t *base = packet->iov[i].base;
    if (base < channel->arena_base || base > channel->arena_end ||
        packet->iov[i].len > (size_t)(channel->arena_end - base))
      return -MST_EFAULT;
    slot->descriptor.frags[i - 1] = (struct mst__tx_frag){
        .offset = (uint32_t)(base - channel->geometry.region),
        .len = (uint32_t)packet->iov[i].len,
    };
  }
  memcpy(slot->bytes, packet->iov[0].base, packet->iov[0].len);
  slot->descriptor.inline_bytes = (uint32_t)packet->iov[0].len;
  slot->descriptor.frag_count = (uint8_t)(packet->iov_count - 1);
  return 0;
}

int mst_channel_send(void *ctx, const struct mst_packet *packet) {
  struct mst_channel *channel = ctx;
  uint32_t head = channel->tx_head;
  if (head - channel->tx_tail_seen > channel->tx_mask) {
    look_at_tail(channel);
    if (head - channel->tx_tail_seen > channel->tx_mask) return -MST_EAGAIN;
  }
  if (packet->iov_count == 0 || packet->iov_count > MST_PACKET_IOV_MAX || packet->len > MST_PACKET_BYTES_MAX)
    return -MST_EINVAL;
  struct mst__tx_slot *slot = &channel->tx[head & channel->tx_mask];
  slot->descriptor.len = packet->len;
  slot->descriptor.gso_size = packet->gso_size;
  slot->descriptor.flags = packet->flags;
  int error = packet->len <= MST_CHANNEL_INLINE_BYTES ? fill_inline(slot, packet) : fill_frags(channel, slot, packet);
  if (error) return error;
  channel->tx_head = head + 1;
  mst__ring_store(&channel->header->tx_head, head + 1);
  return 0;
}

size_t mst_channel_receive(mst_channel *channel, struct mst_packet *packets, size_t count) {
  uint32_t ready = mst__ring_load(&channel->header->rx_head) - channel->rx_next;
  if (count > ready) count = ready;
  for (size_t i = 0; i < count; i++) {
    const struct mst__rx_descriptor *d = &channel->rx[channel->rx_next++ & channel->rx_mask];
    packets[i].len = d->len;
    packets[i].gso_size = d->gso_size;
    packets[i].flags = d->flags;
    packets[i].iov_count = 1;
    packets[i].iov[0] = (struct mst_iov){channel->geometry.region + d->offset, d->len};
  }
  return count;
}

void mst_channel_release(mst_channel *channel, size_t count) {
  MST_ASSERT(count <= channel->rx_next - channel->rx_tail);
  channel->rx_tail += (uint32_t)count;
  mst__ring_store(&channel->header->rx_tail, channel->rx_tail);
}
