/* The receive queue: bytes in order that wait for the reader, and bytes that came out of order.
 *
 *   rcv_nxt - readable      owned chunks  | borrowed spans |  gap   | out of order ...
 *
 * During a batch of input, bytes in order are only pointed at in the packets ("borrowed"), so that a reader who reads
 * in its callback pays one copy. What is left at the end of the batch is copied into chunks. */
#ifndef MST_TCP_RECVQ_H
#define MST_TCP_RECVQ_H

#include "multistack/packet.h"
#include "stack/stack.h"

struct mst__recv_chunk {
  struct mst__recv_chunk *next;
  uint32_t capacity, begin, end;
  uint32_t seq; /* of the first byte, while out of order */
  uint8_t data[];
};

#define MST__BORROWED_MAX 64

struct mst__recvq {
  struct mst__recv_chunk *first, *last;         /* in order */
  struct mst__recv_chunk *ofo_first, *ofo_last; /* by seq, never overlapping */
  uint32_t bytes;                               /* readable */
  uint32_t ofo_bytes;                           /* memory that the out of order ones take */
  struct mst__borrowed *borrowed;               /* only during input */
};

struct mst__borrowed {
  uint32_t first, count; /* spans in use */
  struct mst_iov spans[MST__BORROWED_MAX];
};

/* Append bytes in order, borrowed. False: out of memory, nothing was taken. */
bool mst__recvq_append(struct mst__recvq *queue, mst_stack *stack, const uint8_t *data, uint32_t bytes);

/* Copy what is borrowed. False: out of memory, and `*lost` newest bytes are gone (the caller takes RCV.NXT back: they
 * were not yet acknowledged). */
bool mst__recvq_detach(struct mst__recvq *queue, mst_stack *stack, uint32_t *lost);

/* Keep bytes out of order; what overlaps with bytes already kept is cut (first copy wins). Takes at most `room` bytes
 * of memory. False: nothing was kept. */
bool mst__recvq_insert(struct mst__recvq *queue, mst_stack *stack, uint32_t seq, const uint8_t *data, uint32_t bytes,
                       uint32_t room);

/* Move bytes that are in order now behind the readable ones; returns the new RCV.NXT. */
uint32_t mst__recvq_join(struct mst__recvq *queue, mst_stack *stack, uint32_t rcv_nxt);

size_t mst__recvq_read(struct mst__recvq *queue, mst_stack *stack, void *buffer, size_t bytes);
size_t mst__recvq_peek(const struct mst__recvq *queue, struct mst_iov *spans, size_t count);
void mst__recvq_consume(struct mst__recvq *queue, mst_stack *stack, size_t bytes);
void mst__recvq_free(struct mst__recvq *queue, mst_stack *stack);

#endif
