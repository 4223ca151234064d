/* A channel: the shared-memory ring pair between one stack and the switch. One mapping, two sides:
 *
 *   region  +--------+---------------------+--------------------+------------------+--------------------+
 *           | header | tx ring and headers | rx ring            | rx bytes         | arena              |
 *           +--------+---------------------+--------------------+------------------+--------------------+
 *   stack            writes head             writes tail          reads              reads and writes
 *   switch           writes tail             writes head          writes             reads (payload of tx)
 *
 * The switch believes nothing that the stack's side can write: it masks every index, bounds every offset, and copies a
 * packet before it looks at it. Each ring has one producer and one consumer; each side is used by one thread. */
#ifndef MULTISTACK_CHANNEL_H
#define MULTISTACK_CHANNEL_H

#include "env.h"
#include "error.h"
#include "packet.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mst_channel mst_channel;

struct mst_channel_options {
  size_t size;        /* sizeof(struct mst_channel_options) */
  uint32_t tx_slots;  /* power of two, 0: 1024 */
  uint32_t rx_slots;  /* power of two, 0: 1024 */
  uint32_t rx_bytes;  /* power of two, 0: 2 MiB; at least 256 KiB */
  size_t arena_bytes; /* address space for the stack's memory, 0: 4 GiB minus the rest; pages are taken on first use */
};

/* Map a region of this process. 0, -MST_EINVAL, -MST_ENOMEM. */
int mst_channel_create(const struct mst_channel_options *options, mst_channel **out);
void mst_channel_destroy(mst_channel *channel);

/* --- the stack's side --- */

/* Memory from the arena; the shapes of mst_env.alloc and .free, with the channel as ctx. What is freed while a packet
 * that the switch has not yet taken may point into it is kept back until the switch has taken it; all but its first
 * MST_CHANNEL_FREED_BYTES keep their contents so long. */
#define MST_CHANNEL_FREED_BYTES 16
void *mst_channel_alloc(void *channel, size_t bytes);
void mst_channel_free(void *channel, void *memory, size_t bytes);

/* The shape of mst_net.output. Packets of up to MST_CHANNEL_INLINE_BYTES are copied whole; of longer ones iov[0] is
 * copied and must not exceed that, and the rest must lie in the arena (-MST_EFAULT). -MST_EAGAIN: ring full. */
#define MST_CHANNEL_INLINE_BYTES 192
int mst_channel_send(void *channel, const struct mst_packet *packet);

/* Up to `count` received packets, each one contiguous iov in the region, valid until mst_channel_release of them. */
size_t mst_channel_receive(mst_channel *channel, struct mst_packet *packets, size_t count);
void mst_channel_release(mst_channel *channel, size_t count);

#ifdef __cplusplus
}
#endif
#endif
