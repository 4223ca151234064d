/* The stack's side of a channel. */
#include "arena.h"
#include "base/assert.h"
#include "channel_layout.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct mst_channel {
  struct mst__channel_geometry geometry;
  struct mst__channel_header *header;
  struct mst__tx_slot *tx;
  const struct mst__rx_descriptor *rx;
  const uint8_t *arena_base, *arena_end;
  uint32_t tx_mask, rx_mask;
  uint32_t tx_head;              /* the next slot to fill */
  uint32_t tx_tail_seen;         /* the switch's tail when it was last looked at */
  uint32_t rx_next;              /* the next packet that mst_channel_receive gives */
  uint32_t rx_tail;              /* the oldest packet that is not released */
  uint32_t rung_head, rung_tail; /* tx_head and rx_tail when the switch's bell was last looked at */
  bool sleeping;
  int fd; /* of a shared region, or -1 */
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

static int check_options(const struct mst_channel_options *options, struct mst__channel_geometry *geometry) {
  if (options && options->size != sizeof *options) return -MST_EINVAL;
  return lay_out(options, geometry);
}

int64_t mst_channel_region_bytes(const struct mst_channel_options *options) {
  struct mst__channel_geometry geometry = {0};
  int error = check_options(options, &geometry);
  return error ? error : (int64_t)geometry.region_bytes;
}

/* Map the region, with `fd` or without (-1), which the channel owns from here on when there is no error. */
static int make(struct mst__channel_geometry *geometry, int fd, mst_channel **out) {
  struct mst_channel *channel = calloc(1, sizeof *channel);
  if (!channel) return -MST_ENOMEM;
  int kind = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void *region = mmap(NULL, geometry->region_bytes, PROT_READ | PROT_WRITE, kind | MAP_NORESERVE, fd, 0);
  if (region == MAP_FAILED) {
    free(channel);
    return errno == ENOMEM ? -MST_ENOMEM : -MST_EINVAL;
  }
  geometry->region = region;
  channel->geometry = *geometry;
  channel->header = mst__channel_header(geometry);
  channel->tx = mst__tx_ring(geometry);
  channel->rx = mst__rx_ring(geometry);
  channel->tx_mask = geometry->tx_slots - 1;
  channel->rx_mask = geometry->rx_slots - 1;
  channel->arena_base = geometry->region + geometry->arena_offset;
  channel->arena_end = geometry->region + geometry->region_bytes;
  channel->fd = fd;
  *out = channel;
  return 0;
}

/* What nobody can resize cannot be pulled away from under the other side. */
#define REGION_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int make_memfd(uint64_t bytes) {
  int fd = memfd_create("multistack", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return errno == EMFILE || errno == ENFILE ? -MST_EMFILE : -MST_ENOMEM;
  if (!ftruncate(fd, (off_t)bytes) && !fcntl(fd, F_ADD_SEALS, REGION_SEALS)) return fd;
  close(fd);
  return -MST_ENOMEM;
}

int mst_channel_create(const struct mst_channel_options *options, mst_channel **out) {
  struct mst__channel_geometry geometry = {0};
  int error = check_options(options, &geometry);
  if (error) return error;
  int fd = options && options->shared ? make_memfd(geometry.region_bytes) : -1;
  if (fd < -1) return fd;
  error = make(&geometry, fd, out);
  if (error) {
    if (fd >= 0) close(fd);
    return error;
  }
  if (fd >= 0) madvise(geometry.region, geometry.region_bytes, MADV_DONTFORK); /* a child would write to the parent's */
  mst__arena_init(&(*out)->arena, geometry.region + geometry.arena_offset,
                  geometry.region_bytes - geometry.arena_offset);
  return 0;
}

int mst_channel_open(const struct mst_channel_options *options, int fd, mst_channel **out) {
  struct mst__channel_geometry geometry = {0};
  struct stat status;
  int error = check_options(options, &geometry);
  if (error) return error;
  int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & REGION_SEALS) != REGION_SEALS || fstat(fd, &status) ||
      (uint64_t)status.st_size != geometry.region_bytes)
    return -MST_EINVAL;
  int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return -MST_EMFILE;
  error = make(&geometry, own, out);
  if (error) close(own);
  return error;
}

int mst_channel_fd(const mst_channel *channel) {
  return channel->fd;
}

size_t mst_channel_arena_bytes(const mst_channel *channel) {
  return (size_t)(channel->arena_end - channel->arena_base);
}

void mst_channel_restart(mst_channel *channel) {
  MST_ASSERT(channel->rx_next == channel->rx_tail);
  mst__arena_consumed(&channel->arena, channel->tx_head);
  channel->tx_head = channel->tx_tail_seen = channel->rx_next = channel->rx_tail = 0;
  channel->rung_head = channel->rung_tail = 0;
  channel->sleeping = false;
  memset(channel->header, 0, sizeof *channel->header);
}

void mst_channel_disown(mst_channel *channel) {
  channel->geometry.region = NULL;
  if (channel->fd >= 0) close(channel->fd);
  channel->fd = -1;
}

void mst_channel_destroy(mst_channel *channel) {
  if (!channel) return;
  if (channel->geometry.region) munmap(channel->geometry.region, channel->geometry.region_bytes);
  if (channel->fd >= 0) close(channel->fd);
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

bool mst_channel_must_ring(mst_channel *channel) {
  if (channel->rung_head == channel->tx_head && channel->rung_tail == channel->rx_tail) return false;
  channel->rung_head = channel->tx_head;
  channel->rung_tail = channel->rx_tail;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return mst__bell_take(&channel->header->tx_bell);
}

bool mst_channel_sleep(mst_channel *channel) {
  if (!channel->sleeping) {
    mst__bell_set(&channel->header->rx_bell);
    channel->sleeping = true;
  }
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return mst__ring_load(&channel->header->rx_head) == channel->rx_next;
}

bool mst_channel_wake(mst_channel *channel) {
  if (!channel->sleeping) return false;
  channel->sleeping = false;
  return !mst__bell_take(&channel->header->rx_bell);
}
