/* The AF_XDP sockets of one receive queue, with memory of their own.
 *
 *   frames  | 0 .. rx_frames-1: circulate fill ring -> kernel -> rx ring -> receive/release -> fill ring |
 *           | rx_frames ..:     tx_free -> reserve/commit -> tx ring -> kernel -> completion ring -> tx_free |
 *
 *   a frame to transmit  | struct tx_metadata, METADATA_BYTES | Ethernet frame |
 *
 * One socket receives, another transmits: each packet that a socket of copy mode has sent would wake who waits for that
 * socket, and each look at it by epoll would try to send. A packet larger than a frame comes as several descriptors and
 * is copied together. */
#include "xdp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_xdp.h>

#define FRAME_BYTES 4096u
#define METADATA_BYTES (FRAME_BYTES - MST__XDP_TX_BYTES_MAX)
#define COMPLETIONS_MIN 64u /* the kernel wants the ring where nothing is sent too */
#define RX_PEEK_MAX 512u
#define KICKS_MAX 256

/* Newer than Debian 12's headers. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4) /* Linux 6.6 */
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif
#ifndef XDP_TX_METADATA
#define XDP_TX_METADATA (1 << 1) /* Linux 6.8 */
#endif
#ifndef XDP_TXMD_FLAGS_CHECKSUM
#define XDP_TXMD_FLAGS_CHECKSUM (1 << 1)
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9 /* Linux 6.17: packets that one sendto of copy mode sends; 32 before */
#endif

struct tx_metadata { /* struct xsk_tx_metadata */
  uint64_t flags;
  uint16_t checksum_start, checksum_offset;
  uint32_t unused;
  uint64_t launch_time;
};
_Static_assert(sizeof(struct tx_metadata) <= METADATA_BYTES && METADATA_BYTES % 8 == 0, "metadata's room");

static uint32_t frames_for(const struct mst__xdp_device *device) {
  return device->queues <= 4 ? 2048 : 1024;
}

static int map_frames(struct mst__xdp_queue *queue) {
  queue->frames_bytes = (size_t)(queue->rx_frames + queue->tx_frames) * FRAME_BYTES;
  /* Shared: of private memory that a device has pinned every fork would copy all of it. */
  queue->frames = mmap(NULL, queue->frames_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (queue->frames == MAP_FAILED) {
    queue->frames = NULL;
    return -errno;
  }
  /* Without CAP_IPC_LOCK the frames count against this limit. */
  struct rlimit limit;
  if (!getrlimit(RLIMIT_MEMLOCK, &limit) && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_MEMLOCK, &limit);
  }
  return 0;
}

/* In copy mode the kernel, and so each driver, completes checksums where it knows of metadata; in zero-copy mode some
 * drivers would. */
static int register_frames(struct mst__xdp_queue *queue, bool zero_copy) {
  queue->tx_checksum = !zero_copy && queue->tx_frames;
  if (queue->tx_checksum) {
    if (!mst__xdp_socket_register(queue->rx_fd, queue->frames, queue->frames_bytes, FRAME_BYTES, METADATA_BYTES))
      return 0;
    queue->tx_checksum = false;
  }
  return mst__xdp_socket_register(queue->rx_fd, queue->frames, queue->frames_bytes, FRAME_BYTES, 0);
}

static int open_receive(struct mst__xdp_queue *queue, const struct mst__xdp_device *device, uint32_t index,
                        uint16_t flags) {
  uint32_t completions = queue->tx_frames ? queue->tx_frames : COMPLETIONS_MIN;
  int fd = queue->rx_fd = mst__xdp_socket_open();
  if (fd < 0) return fd;
  int error = register_frames(queue, flags & XDP_ZEROCOPY);
  if (!error)
    error = mst__xdp_socket_producer(fd, XDP_UMEM_FILL_RING, queue->rx_frames, &queue->fill_map, &queue->fill);
  if (!error)
    error =
        mst__xdp_socket_consumer(fd, XDP_UMEM_COMPLETION_RING, completions, &queue->completion_map, &queue->completion);
  if (!error) error = mst__xdp_socket_consumer(fd, XDP_RX_RING, queue->rx_frames, &queue->rx_map, &queue->rx);
  return error ? error : mst__xdp_socket_bind(fd, device->ifindex, index, flags | XDP_USE_NEED_WAKEUP, -1);
}

static int open_transmit(struct mst__xdp_queue *queue, const struct mst__xdp_device *device, uint32_t index) {
  int fd = queue->tx_fd = mst__xdp_socket_open();
  if (fd < 0) return fd;
  int error = mst__xdp_socket_producer(fd, XDP_TX_RING, queue->tx_frames, &queue->tx_map, &queue->tx);
  return error ? error : mst__xdp_socket_bind(fd, device->ifindex, index, XDP_SHARED_UMEM, queue->rx_fd);
}

static void close_sockets(struct mst__xdp_queue *queue) {
  mst__xdp_socket_unmap(&queue->fill_map);
  mst__xdp_socket_unmap(&queue->completion_map);
  mst__xdp_socket_unmap(&queue->rx_map);
  mst__xdp_socket_unmap(&queue->tx_map);
  if (queue->tx_fd >= 0) close(queue->tx_fd);
  if (queue->rx_fd >= 0) close(queue->rx_fd);
  queue->rx_fd = queue->tx_fd = -1;
}

/* A socket that could not be bound in one way is of no use for another. */
static int bind_once(struct mst__xdp_queue *queue, const struct mst__xdp_device *device, uint32_t index,
                     uint16_t flags) {
  int error = open_receive(queue, device, index, flags);
  if (!error && queue->tx_frames) error = open_transmit(queue, device, index);
  if (error) close_sockets(queue);
  return error;
}

static int bind_best(struct mst__xdp_queue *queue, const struct mst__xdp_device *device, uint32_t index, bool native,
                     char *reason) {
  static const uint16_t ways[] = {XDP_ZEROCOPY | XDP_USE_SG, XDP_ZEROCOPY, XDP_COPY | XDP_USE_SG, XDP_COPY};
  int error = -EOPNOTSUPP, zero_copy_error = 0;
  for (size_t i = native ? 0 : 2; i < sizeof ways / sizeof *ways; i++) {
    error = bind_once(queue, device, index, ways[i]);
    if (!error) {
      queue->zero_copy = ways[i] & XDP_ZEROCOPY;
      queue->multi_buffer = ways[i] & XDP_USE_SG;
      break;
    }
    if (ways[i] & XDP_ZEROCOPY) zero_copy_error = error;
  }
  if (!error && native && !queue->zero_copy)
    mst__port_reason(reason, "zero-copy refused by driver %s: %s", *device->driver ? device->driver : "(unnamed)",
                     strerror(-zero_copy_error));
  return error;
}

static void fill_all(struct mst__xdp_queue *queue) {
  uint32_t index = 0;
  xsk_ring_prod__reserve(&queue->fill, queue->rx_frames, &index);
  for (uint32_t i = 0; i < queue->rx_frames; i++)
    *xsk_ring_prod__fill_addr(&queue->fill, index + i) = (uint64_t)i * FRAME_BYTES;
  xsk_ring_prod__submit(&queue->fill, queue->rx_frames);
}

/* Copy mode: let one sendto send the whole ring, and all of it be under way at once. */
static void tune_transmit(const struct mst__xdp_queue *queue) {
  uint32_t budget = queue->tx_frames;
  int bytes = (int)(queue->tx_frames * FRAME_BYTES);
  setsockopt(queue->tx_fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof budget);
  setsockopt(queue->tx_fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
}

int mst__xdp_queue_open(struct mst__xdp_queue *queue, const struct mst__xdp_device *device, uint32_t index,
                        bool transmit, bool native, char *reason) {
  *queue = (struct mst__xdp_queue){.rx_fd = -1, .tx_fd = -1};
  queue->rx_frames = frames_for(device);
  queue->tx_frames = transmit ? frames_for(device) : 0;
  int error = map_frames(queue);
  if (!error) error = bind_best(queue, device, index, native, reason);
  if (!error && transmit) {
    queue->tx_free = malloc(queue->tx_frames * sizeof *queue->tx_free);
    if (!queue->tx_free) error = -ENOMEM;
  }
  if (error) {
    mst__xdp_queue_close(queue);
    return error;
  }
  if (transmit) tune_transmit(queue);
  for (uint32_t i = 0; i < queue->tx_frames; i++)
    queue->tx_free[queue->tx_free_count++] = (uint64_t)(queue->rx_frames + i) * FRAME_BYTES;
  fill_all(queue);
  return 0;
}

void mst__xdp_queue_close(struct mst__xdp_queue *queue) {
  close_sockets(queue);
  if (queue->frames) munmap(queue->frames, queue->frames_bytes);
  free(queue->tx_free);
  *queue = (struct mst__xdp_queue){.rx_fd = -1, .tx_fd = -1};
}

/* The packet in descriptors `index` and on, of which `available` are there: how many it takes, 0 when its end is not
 * there or there is no room to copy it together. */
static uint32_t take_packet(struct mst__xdp_queue *queue, struct mst__xdp_bounce *bounce, uint32_t index,
                            uint32_t available, struct mst_port_rx *out) {
  const struct xdp_desc *first = xsk_ring_cons__rx_desc(&queue->rx, index);
  out->gso_size = 0;
  out->flags = 0;
  if (!(first->options & XDP_PKT_CONTD)) {
    out->data = queue->frames + first->addr;
    out->len = first->len;
    return 1;
  }
  uint32_t used = bounce->used;
  for (uint32_t i = 0; i < available; i++) {
    const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&queue->rx, index + i);
    if (used + desc->len > MST__XDP_BOUNCE_BYTES) return 0;
    memcpy(bounce->data + used, queue->frames + desc->addr, desc->len);
    used += desc->len;
    if (desc->options & XDP_PKT_CONTD) continue;
    out->data = bounce->data + bounce->used;
    out->len = used - bounce->used;
    bounce->used = used;
    return i + 1;
  }
  return 0;
}

unsigned mst__xdp_queue_receive(struct mst__xdp_queue *queue, struct mst__xdp_bounce *bounce, struct mst_port_rx *out,
                                unsigned count) {
  uint32_t index, taken = 0;
  uint32_t available = xsk_ring_cons__peek(&queue->rx, RX_PEEK_MAX, &index);
  if (!available) return 0;
  if (!queue->rx_held) queue->rx_first = index;
  unsigned n = 0;
  while (n < count && taken < available) {
    uint32_t descriptors = take_packet(queue, bounce, index + taken, available - taken, &out[n]);
    if (!descriptors) break;
    taken += descriptors;
    if (out[n].len <= MST__ETHERNET_BYTES) continue;
    out[n].data += MST__ETHERNET_BYTES;
    out[n].len -= MST__ETHERNET_BYTES;
    n++;
  }
  xsk_ring_cons__cancel(&queue->rx, available - taken);
  queue->rx_held += taken;
  return n;
}

void mst__xdp_queue_release(struct mst__xdp_queue *queue) {
  uint32_t index;
  if (!queue->rx_held) return;
  /* The fill ring has a place for every receive frame, so this is never refused. */
  if (xsk_ring_prod__reserve(&queue->fill, queue->rx_held, &index) == queue->rx_held) {
    for (uint32_t i = 0; i < queue->rx_held; i++)
      *xsk_ring_prod__fill_addr(&queue->fill, index + i) =
          xsk_ring_cons__rx_desc(&queue->rx, queue->rx_first + i)->addr & ~(uint64_t)(FRAME_BYTES - 1);
    xsk_ring_prod__submit(&queue->fill, queue->rx_held);
  }
  xsk_ring_cons__release(&queue->rx, queue->rx_held);
  queue->rx_held = 0;
  if (xsk_ring_prod__needs_wakeup(&queue->fill)) recv(queue->rx_fd, NULL, 0, MSG_DONTWAIT);
}

/* After each flush, and the frame that came back last is the next to be used: it is still in the cache. */
static void reclaim(struct mst__xdp_queue *queue) {
  uint32_t index;
  uint32_t done = xsk_ring_cons__peek(&queue->completion, queue->tx_frames, &index);
  if (!done) return;
  for (uint32_t i = 0; i < done; i++)
    queue->tx_free[queue->tx_free_count++] = *xsk_ring_cons__comp_addr(&queue->completion, index + i) - METADATA_BYTES;
  xsk_ring_cons__release(&queue->completion, done);
}

uint8_t *mst__xdp_queue_reserve(struct mst__xdp_queue *queue) {
  if (!queue->tx_free_count) mst__xdp_queue_flush(queue);
  if (!queue->tx_free_count) return NULL;
  return queue->frames + queue->tx_free[queue->tx_free_count - 1] + METADATA_BYTES;
}

void mst__xdp_queue_commit(struct mst__xdp_queue *queue, uint32_t len, const struct mst__checksum_place *checksum) {
  uint32_t index;
  if (!len || xsk_ring_prod__reserve(&queue->tx, 1, &index) != 1) return;
  uint64_t frame = queue->tx_free[--queue->tx_free_count];
  struct xdp_desc *desc = xsk_ring_prod__tx_desc(&queue->tx, index);
  *desc = (struct xdp_desc){.addr = frame + METADATA_BYTES, .len = len};
  if (checksum) {
    *(struct tx_metadata *)(queue->frames + frame) =
        (struct tx_metadata){.flags = XDP_TXMD_FLAGS_CHECKSUM,
                             .checksum_start = (uint16_t)(MST__ETHERNET_BYTES + checksum->start),
                             .checksum_offset = checksum->offset};
    desc->options = XDP_TX_METADATA;
  }
  queue->tx_pending++;
}

static bool all_taken(const struct mst__xdp_queue *queue) {
  return __atomic_load_n(queue->tx.consumer, __ATOMIC_ACQUIRE) == queue->tx.cached_prod;
}

/* One sendto is enough on kernels that let the budget be set; older ones send 32 packets each time and say EAGAIN. */
bool mst__xdp_queue_flush(struct mst__xdp_queue *queue) {
  xsk_ring_prod__submit(&queue->tx, queue->tx_pending);
  queue->tx_pending = 0;
  for (int kicks = 0; kicks < KICKS_MAX && !all_taken(queue); kicks++) {
    if (!xsk_ring_prod__needs_wakeup(&queue->tx)) break;
    uint32_t before = __atomic_load_n(queue->tx.consumer, __ATOMIC_ACQUIRE);
    int error = sendto(queue->tx_fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 ? errno : 0;
    queue->tx_down = error == ENETDOWN || error == ENXIO;
    if (error != EAGAIN || __atomic_load_n(queue->tx.consumer, __ATOMIC_ACQUIRE) == before) break;
  }
  reclaim(queue);
  return queue->zero_copy || queue->tx_down || all_taken(queue);
}
