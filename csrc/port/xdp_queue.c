/* The AF_XDP socket of one receive queue, with memory of its own.
 *
 *   frames  | 0 .. rx_frames-1: circulate fill ring -> kernel -> rx ring -> receive/release -> fill ring |
 *           | rx_frames ..:     tx_free -> reserve/commit -> tx ring -> kernel -> completion ring -> tx_free |
 *
 * A packet larger than a frame comes as several descriptors and is copied together. */
#include "xdp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_xdp.h>
#include <xdp/libxdp.h>

#define FRAME_BYTES 4096u
#define RX_PEEK_MAX 512u
#define KICKS_MAX 256

/* Newer than Debian 12's headers. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4) /* Linux 6.6 */
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9 /* Linux 6.17: packets that one sendto of copy mode sends; 32 before */
#endif

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

static int create_umem(struct mst__xdp_queue *queue) {
  const struct xsk_umem_config config = {
      .fill_size = queue->rx_frames, .comp_size = queue->tx_frames ? queue->tx_frames : 64, .frame_size = FRAME_BYTES};
  return xsk_umem__create(&queue->umem, queue->frames, queue->frames_bytes, &queue->fill, &queue->completion, &config);
}

/* A umem whose socket could not be bound starts afresh: libxdp has used up its rings. */
static int bind_once(struct mst__xdp_queue *queue, const struct mst__xdp_device *device, uint32_t index,
                     uint16_t flags) {
  int error = create_umem(queue);
  if (error) return error;
  const struct xsk_socket_config config = {.rx_size = queue->rx_frames,
                                           .tx_size = queue->tx_frames,
                                           .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
                                           .bind_flags = flags | XDP_USE_NEED_WAKEUP};
  error = xsk_socket__create(&queue->socket, device->name, index, queue->umem, &queue->rx,
                             queue->tx_frames ? &queue->tx : NULL, &config);
  if (!error) {
    fcntl(xsk_socket__fd(queue->socket), F_SETFD, FD_CLOEXEC); /* a child would keep the queue bound */
    return 0;
  }
  queue->socket = NULL;
  xsk_umem__delete(queue->umem);
  queue->umem = NULL;
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
  setsockopt(mst__xdp_queue_fd(queue), SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof budget);
  setsockopt(mst__xdp_queue_fd(queue), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
}

int mst__xdp_queue_open(struct mst__xdp_queue *queue, const struct mst__xdp_device *device, uint32_t index,
                        bool transmit, bool native, char *reason) {
  memset(queue, 0, sizeof *queue);
  queue->rx_frames = frames_for(device);
  queue->tx_frames = transmit ? frames_for(device) : 0;
  libxdp_print_fn_t print = libxdp_set_print(NULL);
  int error = map_frames(queue);
  if (!error) error = bind_best(queue, device, index, native, reason);
  libxdp_set_print(print);
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
  if (queue->socket) xsk_socket__delete(queue->socket);
  if (queue->umem) xsk_umem__delete(queue->umem);
  if (queue->frames) munmap(queue->frames, queue->frames_bytes);
  free(queue->tx_free);
  memset(queue, 0, sizeof *queue);
}

int mst__xdp_queue_fd(const struct mst__xdp_queue *queue) {
  return xsk_socket__fd(queue->socket);
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
  if (xsk_ring_prod__needs_wakeup(&queue->fill)) recv(mst__xdp_queue_fd(queue), NULL, 0, MSG_DONTWAIT);
}

static void reclaim(struct mst__xdp_queue *queue) {
  uint32_t index;
  uint32_t done = xsk_ring_cons__peek(&queue->completion, queue->tx_frames, &index);
  if (!done) return;
  for (uint32_t i = 0; i < done; i++)
    queue->tx_free[queue->tx_free_count++] = *xsk_ring_cons__comp_addr(&queue->completion, index + i);
  xsk_ring_cons__release(&queue->completion, done);
}

uint8_t *mst__xdp_queue_reserve(struct mst__xdp_queue *queue) {
  if (!queue->tx_free_count) reclaim(queue);
  if (!queue->tx_free_count) {
    mst__xdp_queue_flush(queue);
    reclaim(queue);
  }
  return queue->tx_free_count ? queue->frames + queue->tx_free[queue->tx_free_count - 1] : NULL;
}

void mst__xdp_queue_commit(struct mst__xdp_queue *queue, uint32_t len) {
  uint32_t index;
  if (!len || xsk_ring_prod__reserve(&queue->tx, 1, &index) != 1) return;
  struct xdp_desc *desc = xsk_ring_prod__tx_desc(&queue->tx, index);
  desc->addr = queue->tx_free[--queue->tx_free_count];
  desc->len = len;
  desc->options = 0;
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
    if (!xsk_ring_prod__needs_wakeup(&queue->tx)) return true;
    uint32_t before = __atomic_load_n(queue->tx.consumer, __ATOMIC_ACQUIRE);
    int error = sendto(mst__xdp_queue_fd(queue), NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 ? errno : 0;
    queue->tx_down = error == ENETDOWN || error == ENXIO;
    if (error != EAGAIN || __atomic_load_n(queue->tx.consumer, __ATOMIC_ACQUIRE) == before) break;
  }
  return queue->zero_copy || queue->tx_down || all_taken(queue);
}
