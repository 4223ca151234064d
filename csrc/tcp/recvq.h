/* The receive queue: bytes in order that wait for the reader, and bytes that came out of order.
 *
 *   rcv_nxt - readable      owned chunks  | borrowed spans |  gap   | run |  gap  | run ...
 *
 * During a batch of input, bytes in order are only pointed at in the packets ("borrowed"), so that a reader who reads
 * in its callback pays one copy. What is left at the end of the batch is copied into chunks.
 *
 * Out of order, bytes without a gap between them are one run: a list of chunks whose first is in an ordered set. A
 * segment finds its place in O(log n) of the runs, whatever their number and its place. */
#ifndef MST_TCP_RECVQ_H
#define MST_TCP_RECVQ_H

#include "base/seq_tree.h"
#include "multistack/packet.h"
#include "stack/stack.h"
#include "wire/tcp.h"

struct mst__recv_chunk {
  struct mst__recv_chunk *next;
  uint32_t capacity, begin, end;
  /* Of the first chunk of a run; node.seq is the run's first byte. */
  uint32_t run_end;
  struct mst__recv_chunk *run_last;
  struct mst__seq_node node;
  uint8_t data[];
};

#define MST__BORROWED_MAX 64

struct mst__recvq {
  struct mst__recv_chunk *first, *last; /* in order */
  struct mst__seq_tree runs;            /* out of order, never touching each other */
  uint32_t bytes;                       /* readable */
  uint32_t memory_bytes, ofo_bytes;     /* memory that the chunks in order and out of order take */
  uint32_t balance;                     /* state of the generator that balances `runs`; 0: not seeded */
  struct mst__borrowed *borrowed;       /* only during input */
};

struct mst__borrowed {
  uint32_t first, count; /* spans in use */
  struct mst_iov spans[MST__BORROWED_MAX];
};

/* Bytes of a segment. */
struct mst__text {
  uint32_t seq, bytes;
  const uint8_t *data;
};

/* Append bytes in order, borrowed. False: out of memory, nothing was taken. */
bool mst__recvq_append(struct mst__recvq *queue, mst_stack *stack, const uint8_t *data, uint32_t bytes);

/* Copy what is borrowed. False: out of memory, and `*lost` newest bytes are gone (the caller takes RCV.NXT back: they
 * were not yet acknowledged). */
bool mst__recvq_detach(struct mst__recvq *queue, mst_stack *stack, uint32_t *lost);

size_t mst__recvq_read(struct mst__recvq *queue, mst_stack *stack, void *buffer, size_t bytes);
size_t mst__recvq_peek(const struct mst__recvq *queue, struct mst_iov *spans, size_t count);
void mst__recvq_consume(struct mst__recvq *queue, mst_stack *stack, size_t bytes);
void mst__recvq_free(struct mst__recvq *queue, mst_stack *stack);

/* --- reassembly.c --- */
/* Keep bytes out of order. What is held already stays as it came first; the first part of `text` of which that is true
 * is told in *duplicate (empty: none). The chunks may take `room` bytes of memory. False: some of it was not kept. */
bool mst__recvq_insert(struct mst__recvq *queue, mst_stack *stack, struct mst__text text, uint32_t room,
                       struct mst__sack_block *duplicate);

/* Move bytes that are in order now behind the readable ones; returns the new RCV.NXT. */
uint32_t mst__recvq_join(struct mst__recvq *queue, mst_stack *stack, uint32_t rcv_nxt);

/* Let go of the run that is the furthest from being in order: the peer has it still (RFC 2018 8). False: there is none.
 */
bool mst__recvq_prune(struct mst__recvq *queue, mst_stack *stack);
void mst__reassembly_free(struct mst__recvq *queue, mst_stack *stack);

/* The run that holds `seq`. False: none. */
bool mst__recvq_run(const struct mst__recvq *queue, uint32_t seq, struct mst__sack_block *out);

/* How many bytes are missing at `rcv_nxt` before the first run; UINT32_MAX: there is no run. */
static inline uint32_t mst__recvq_gap(const struct mst__recvq *queue, uint32_t rcv_nxt) {
  return queue->runs.first ? queue->runs.first->seq - rcv_nxt : UINT32_MAX;
}

/* --- chunks --- */
uint32_t mst__recv_chunk_capacity(uint32_t bytes);
struct mst__recv_chunk *mst__recv_chunk_new(mst_stack *stack, uint32_t capacity);
void mst__recv_chunk_free(mst_stack *stack, struct mst__recv_chunk *chunk);
void mst__recv_chunks_free(mst_stack *stack, struct mst__recv_chunk *first);
void mst__recv_chunk_fill(struct mst__recv_chunk *chunk, const void *data, uint32_t bytes);
static inline uint32_t mst__recv_chunk_bytes(const struct mst__recv_chunk *chunk) {
  return chunk->end - chunk->begin;
}
static inline uint32_t mst__recv_chunk_room(const struct mst__recv_chunk *chunk) {
  return chunk->capacity - chunk->end;
}
static inline uint32_t mst__recv_chunk_memory(const struct mst__recv_chunk *chunk) {
  return chunk->capacity + (uint32_t)sizeof *chunk;
}
/* Put a chunk behind those in order. */
void mst__recvq_link(struct mst__recvq *queue, struct mst__recv_chunk *chunk);

#endif
