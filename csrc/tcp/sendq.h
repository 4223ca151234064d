/* The send queue: bytes written and not yet acknowledged, in chunks that packets point into. Positions are offsets
 * from the first unacknowledged byte. */
#ifndef MST_TCP_SENDQ_H
#define MST_TCP_SENDQ_H

#include "multistack/packet.h"
#include "stack/stack.h"

#define MST__SEND_CHUNK_LEAST 1024 /* bytes with its header */

struct mst__send_chunk {
  struct mst__send_chunk *next;
  uint32_t capacity, begin, end; /* of data */
  uint8_t data[];
};

struct mst__sendq {
  struct mst__send_chunk *first, *last;
  uint32_t bytes;
  /* Where the last gather ended, so that the next one need not walk the chunks. */
  struct mst__send_chunk *cursor;
  uint32_t cursor_offset; /* the position of the cursor chunk's first byte */
};

/* Append a copy; returns how many bytes there was memory for. */
size_t mst__sendq_append(struct mst__sendq *queue, mst_stack *stack, const void *data, size_t bytes);

/* Point up to `count` iov at the bytes from `offset` on, `*bytes` at most; `*bytes` becomes what the iov hold. */
size_t mst__sendq_gather(struct mst__sendq *queue, uint32_t offset, uint32_t *bytes, struct mst_iov *iov, size_t count);

/* Drop acknowledged bytes off the front. */
void mst__sendq_advance(struct mst__sendq *queue, mst_stack *stack, uint32_t bytes);
void mst__sendq_free(struct mst__sendq *queue, mst_stack *stack);

#endif
