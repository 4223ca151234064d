/* One IP packet on its way between a stack, the switch and a port, with the meaning of a virtio-net header. */
#ifndef MULTISTACK_PACKET_H
#define MULTISTACK_PACKET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mst_iov {
  const void *base;
  size_t len;
};

enum mst_packet_flags {
  /* The transport checksum field holds the pseudo-header's sum alone (virtio: NEEDS_CSUM): whoever puts the packet on
   * a real wire completes it, nobody else does. */
  MST_CSUM_PARTIAL = 1,
  /* The transport checksum was verified, or the packet never left this host's memory (virtio: DATA_VALID). */
  MST_CSUM_VALID = 2,
};

#define MST_PACKET_IOV_MAX 6
#define MST_PACKET_BYTES_MAX 65535

struct mst_packet {
  uint32_t len;      /* bytes of the IP packet, the sum of the iov */
  uint16_t gso_size; /* transport payload bytes of each segment that this packet stands for; 0: it is one segment */
  uint8_t flags;     /* MST_CSUM_... */
  uint8_t iov_count;
  struct mst_iov iov[MST_PACKET_IOV_MAX]; /* a received packet has one */
};

#ifdef __cplusplus
}
#endif
#endif
