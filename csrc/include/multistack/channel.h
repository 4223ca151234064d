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
#include <stdbool.h>

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
  bool shared;        /* the region can be given to another process: it is a memfd that nobody can resize */
};

/* Make and map a region. 0, -MST_EINVAL, -MST_ENOMEM, -MST_EMFILE. */
int mst_channel_create(const struct mst_channel_options *options, mst_channel **out);

/* Map a region that another process has created, for the switch's side. Takes only a memfd sealed against resizing and
 * of just the size that `options` make; -MST_EINVAL otherwise, -MST_ENOMEM. `fd` stays the caller's. */
int mst_channel_open(const struct mst_channel_options *options, int fd, mst_channel **out);

/* The descriptor of a shared region, the channel's own; -1: not shared. */
int mst_channel_fd(const mst_channel *channel);

/* Bytes of memory for the stack. */
size_t mst_channel_arena_bytes(const mst_channel *channel);

/* Bytes of the region that `options` make, or -MST_EINVAL. */
int64_t mst_channel_region_bytes(const struct mst_channel_options *options);

/* Begin anew after the other side has gone: packets in the rings are lost, memory in the arena stays. Not while packets
 * received are unreleased. */
void mst_channel_restart(mst_channel *channel);
void mst_channel_destroy(mst_channel *channel);

/* In a child of fork(), where a shared region that was created by its parent is not mapped: give up what the child has
 * of it. Nothing but mst_channel_destroy may follow. */
void mst_channel_disown(mst_channel *channel);

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

/* --- the stack's side of a shared channel, where a side that sleeps must be rung --- */

/* To be asked after packets were sent or released: true when the switch sleeps, and the caller is the one to ring. */
bool mst_channel_must_ring(mst_channel *channel);

/* From now on the switch rings for packets. False: some are there already, so there is no reason to sleep. */
bool mst_channel_sleep(mst_channel *channel);

/* Awake again: no rings from here on. True: the switch has rung, or is just about to, once since mst_channel_sleep. */
bool mst_channel_wake(mst_channel *channel);

#ifdef __cplusplus
}
#endif
#endif
