/* AF_XDP sockets by hand: libxdp, whose ring accessors serve well, neither knows transmit metadata nor lets two
 * sockets of one queue differ. */
#include "xdp.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Newer than Debian 12's headers. */
#ifndef XDP_UMEM_TX_METADATA_LEN
#define XDP_UMEM_TX_METADATA_LEN (1 << 2) /* Linux 6.11 */
#endif

struct umem_registration { /* struct xdp_umem_reg, of Linux 6.8 on */
  uint64_t addr, len;
  uint32_t chunk_size, headroom, flags, tx_metadata_len;
};

int mst__xdp_socket_open(void) {
  int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0); /* a child would keep the queue bound */
  return fd < 0 ? -errno : fd;
}

int mst__xdp_socket_register(int fd, void *frames, size_t bytes, uint32_t frame_bytes, uint32_t metadata_bytes) {
  const struct umem_registration registration = {.addr = (uintptr_t)frames,
                                                 .len = bytes,
                                                 .chunk_size = frame_bytes,
                                                 .flags = metadata_bytes ? XDP_UMEM_TX_METADATA_LEN : 0,
                                                 .tx_metadata_len = metadata_bytes};
  return setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &registration, sizeof registration) ? -errno : 0;
}

int mst__xdp_socket_bind(int fd, unsigned ifindex, uint32_t queue, uint16_t flags, int shared_with) {
  const struct sockaddr_xdp address = {.sxdp_family = AF_XDP,
                                       .sxdp_flags = flags,
                                       .sxdp_ifindex = ifindex,
                                       .sxdp_queue_id = queue,
                                       .sxdp_shared_umem_fd = flags & XDP_SHARED_UMEM ? (uint32_t)shared_with : 0};
  return bind(fd, (const struct sockaddr *)&address, sizeof address) ? -errno : 0;
}

/* --- rings ------------------------------------------------------------------------------------------------------- */

struct ring_view {
  uint32_t *producer, *consumer, *flags;
  void *entries;
};

static int map_ring(int fd, int option, uint32_t count, struct mst__xdp_mapping *mapping, struct ring_view *view) {
  struct xdp_mmap_offsets offsets;
  socklen_t bytes = sizeof offsets;
  if (setsockopt(fd, SOL_XDP, option, &count, sizeof count)) return -errno;
  if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &bytes)) return -errno;
  /* With another size the kernel is older than 5.4 and has no flags, and so no need-wakeup either. */
  if (bytes != sizeof offsets) return -EOPNOTSUPP;
  const struct xdp_ring_offset *of_ring = &offsets.rx;
  off_t page = XDP_PGOFF_RX_RING;
  size_t entry_bytes = sizeof(struct xdp_desc);
  if (option == XDP_TX_RING) {
    of_ring = &offsets.tx;
    page = XDP_PGOFF_TX_RING;
  } else if (option == XDP_UMEM_FILL_RING) {
    of_ring = &offsets.fr;
    page = (off_t)XDP_UMEM_PGOFF_FILL_RING;
    entry_bytes = sizeof(uint64_t);
  } else if (option == XDP_UMEM_COMPLETION_RING) {
    of_ring = &offsets.cr;
    page = (off_t)XDP_UMEM_PGOFF_COMPLETION_RING;
    entry_bytes = sizeof(uint64_t);
  }
  mapping->bytes = of_ring->desc + count * entry_bytes;
  mapping->memory = mmap(NULL, mapping->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, page);
  if (mapping->memory == MAP_FAILED) {
    mapping->memory = NULL;
    return -errno;
  }
  madvise(mapping->memory, mapping->bytes, MADV_DONTFORK); /* a child would keep the queue bound */
  uint8_t *base = mapping->memory;
  *view = (struct ring_view){.producer = (uint32_t *)(base + of_ring->producer),
                             .consumer = (uint32_t *)(base + of_ring->consumer),
                             .flags = (uint32_t *)(base + of_ring->flags),
                             .entries = base + of_ring->desc};
  return 0;
}

int mst__xdp_socket_producer(int fd, int option, uint32_t count, struct mst__xdp_mapping *mapping,
                             struct xsk_ring_prod *out) {
  struct ring_view view = {0};
  int error = map_ring(fd, option, count, mapping, &view);
  if (error) return error;
  *out = (struct xsk_ring_prod){.cached_cons = count, /* libxdp's: ahead of the consumer by the size */
                                .mask = count - 1,
                                .size = count,
                                .producer = view.producer,
                                .consumer = view.consumer,
                                .ring = view.entries,
                                .flags = view.flags};
  return 0;
}

int mst__xdp_socket_consumer(int fd, int option, uint32_t count, struct mst__xdp_mapping *mapping,
                             struct xsk_ring_cons *out) {
  struct ring_view view = {0};
  int error = map_ring(fd, option, count, mapping, &view);
  if (error) return error;
  *out = (struct xsk_ring_cons){.mask = count - 1,
                                .size = count,
                                .producer = view.producer,
                                .consumer = view.consumer,
                                .ring = view.entries,
                                .flags = view.flags};
  return 0;
}

void mst__xdp_socket_unmap(struct mst__xdp_mapping *mapping) {
  if (mapping->memory) munmap(mapping->memory, mapping->bytes);
  mapping->memory = NULL;
}
