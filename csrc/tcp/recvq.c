#include "tcp/recvq.h"
#include "base/seq.h"
#include <string.h>

/* How far into the chunks out of order a segment may go: a peer can make thousands of them, and would have each of its
 * segments walk past them all. What is refused comes again when it is nearer to the front. */
#define OFO_STEPS_MAX 512

#define CHUNK_BYTES_MAX 65536 /* header included, unless one packet needs more */

static uint32_t round_capacity(uint32_t bytes) {
  uint32_t whole = 512;
  while (whole - sizeof(struct mst__recv_chunk) < bytes && whole < CHUNK_BYTES_MAX) whole *= 2;
  uint32_t capacity = whole - (uint32_t)sizeof(struct mst__recv_chunk);
  return capacity < bytes ? bytes : capacity;
}

static struct mst__recv_chunk *chunk_new(mst_stack *stack, uint32_t capacity) {
  struct mst__recv_chunk *chunk = mst__alloc(stack, sizeof *chunk + capacity);
  if (chunk) *chunk = (struct mst__recv_chunk){.capacity = capacity};
  return chunk;
}

static void chunk_free(mst_stack *stack, struct mst__recv_chunk *chunk) {
  mst__free(stack, chunk, sizeof *chunk + chunk->capacity);
}

static void chunk_fill(struct mst__recv_chunk *chunk, const void *data, uint32_t bytes) {
  memcpy(chunk->data + chunk->end, data, bytes);
  chunk->end += bytes;
}

static void link_last(struct mst__recvq *queue, struct mst__recv_chunk *chunk) {
  chunk->next = NULL;
  if (queue->last)
    queue->last->next = chunk;
  else
    queue->first = chunk;
  queue->last = chunk;
}

static uint32_t tail_room(const struct mst__recvq *queue) {
  return queue->last ? queue->last->capacity - queue->last->end : 0;
}

/* Copy to the end of the owned chunks; all or nothing. `expected` counts what will follow, these bytes included. */
static bool append_owned(struct mst__recvq *queue, mst_stack *stack, const uint8_t *data, uint32_t bytes,
                         uint32_t expected) {
  uint32_t here = tail_room(queue);
  if (here > bytes) here = bytes;
  struct mst__recv_chunk *chunk = NULL;
  if (bytes > here && !(chunk = chunk_new(stack, round_capacity(expected - here)))) return false;
  if (here) chunk_fill(queue->last, data, here);
  if (!chunk) return true;
  chunk_fill(chunk, data + here, bytes - here);
  link_last(queue, chunk);
  return true;
}

static void borrowed_free(struct mst__recvq *queue, mst_stack *stack) {
  mst__free(stack, queue->borrowed, sizeof *queue->borrowed);
  queue->borrowed = NULL;
}

static bool borrow(struct mst__recvq *queue, mst_stack *stack, const uint8_t *data, uint32_t bytes) {
  if (!queue->borrowed) {
    queue->borrowed = mst__alloc(stack, sizeof *queue->borrowed);
    if (!queue->borrowed) return false;
    queue->borrowed->first = queue->borrowed->count = 0;
  }
  struct mst__borrowed *b = queue->borrowed;
  if (b->first + b->count == MST__BORROWED_MAX) return false;
  b->spans[b->first + b->count++] = (struct mst_iov){.base = data, .len = bytes};
  return true;
}

/* Copy borrowed spans, oldest first, until memory runs out. True: none is left. */
static bool own_borrowed(struct mst__recvq *queue, mst_stack *stack) {
  struct mst__borrowed *b = queue->borrowed;
  uint32_t expected = 0;
  for (uint32_t i = 0; i < b->count; i++) expected += (uint32_t)b->spans[b->first + i].len;
  for (; b->count; b->first++, b->count--) {
    struct mst_iov *span = &b->spans[b->first];
    if (!append_owned(queue, stack, span->base, (uint32_t)span->len, expected)) return false;
    expected -= (uint32_t)span->len;
  }
  b->first = 0;
  return true;
}

bool mst__recvq_append(struct mst__recvq *queue, mst_stack *stack, const uint8_t *data, uint32_t bytes) {
  if (!borrow(queue, stack, data, bytes)) {
    if (queue->borrowed && !own_borrowed(queue, stack)) return false;
    if (!borrow(queue, stack, data, bytes)) return false;
  }
  queue->bytes += bytes;
  return true;
}

bool mst__recvq_detach(struct mst__recvq *queue, mst_stack *stack, uint32_t *lost) {
  struct mst__borrowed *b = queue->borrowed;
  *lost = 0;
  if (!b) return true;
  if (!own_borrowed(queue, stack))
    for (uint32_t i = 0; i < b->count; i++) *lost += (uint32_t)b->spans[b->first + i].len;
  queue->bytes -= *lost;
  borrowed_free(queue, stack);
  return !*lost;
}

static uint32_t chunk_bytes(const struct mst__recv_chunk *chunk) {
  return chunk->end - chunk->begin;
}
static uint32_t chunk_end_seq(const struct mst__recv_chunk *chunk) {
  return chunk->seq + chunk_bytes(chunk);
}

static void ofo_link(struct mst__recvq *queue, struct mst__recv_chunk *before, struct mst__recv_chunk *chunk) {
  chunk->next = before ? before->next : queue->ofo_first;
  if (before)
    before->next = chunk;
  else
    queue->ofo_first = chunk;
  if (!chunk->next) queue->ofo_last = chunk;
}

/* Keep [seq, seq+bytes), which overlaps nothing, behind `before`. */
static bool ofo_keep(struct mst__recvq *queue, mst_stack *stack, struct mst__recv_chunk *before, uint32_t seq,
                     const uint8_t *data, uint32_t bytes, uint32_t room) {
  bool run = before && chunk_end_seq(before) == seq;
  if (run && before->capacity - before->end >= bytes) {
    chunk_fill(before, data, bytes);
    return true;
  }
  /* The longer a run, the larger its chunks, so that it has few. */
  bool larger = run && before->capacity + sizeof *before < CHUNK_BYTES_MAX;
  uint32_t capacity = round_capacity(larger && before->capacity >= bytes ? before->capacity + 1 : bytes);
  uint32_t memory = capacity + (uint32_t)sizeof(struct mst__recv_chunk);
  if (queue->ofo_bytes + memory > room) return false;
  struct mst__recv_chunk *chunk = chunk_new(stack, capacity);
  if (!chunk) return false;
  chunk->seq = seq;
  chunk_fill(chunk, data, bytes);
  ofo_link(queue, before, chunk);
  queue->ofo_bytes += memory;
  return true;
}

bool mst__recvq_insert(struct mst__recvq *queue, mst_stack *stack, uint32_t seq, const uint8_t *data, uint32_t bytes,
                       uint32_t room) {
  bool kept = false;
  uint32_t steps = 0;
  struct mst__recv_chunk *before = NULL, *at = queue->ofo_first;
  if (queue->ofo_last && mst__seq_ge(seq, chunk_end_seq(queue->ofo_last)))
    return ofo_keep(queue, stack, queue->ofo_last, seq, data, bytes, room);
  while (bytes) {
    while (at && mst__seq_le(chunk_end_seq(at), seq)) {
      if (++steps > OFO_STEPS_MAX) return kept;
      before = at;
      at = at->next;
    }
    if (at && mst__seq_le(at->seq, seq)) { /* the front is held already */
      uint32_t held = chunk_end_seq(at) - seq;
      if (held >= bytes) return kept;
      seq += held;
      data += held;
      bytes -= held;
      continue;
    }
    uint32_t piece = bytes;
    if (at && at->seq - seq < piece) piece = at->seq - seq;
    if (!ofo_keep(queue, stack, before, seq, data, piece, room)) return kept;
    kept = true;
    seq += piece;
    data += piece;
    bytes -= piece;
    struct mst__recv_chunk *prior = before ? before->next : queue->ofo_first;
    if (prior != at) before = prior; /* the piece became a chunk of its own */
  }
  return kept;
}

uint32_t mst__recvq_join(struct mst__recvq *queue, mst_stack *stack, uint32_t rcv_nxt) {
  while (queue->ofo_first && mst__seq_le(queue->ofo_first->seq, rcv_nxt)) {
    struct mst__recv_chunk *chunk = queue->ofo_first;
    uint32_t lost;
    if (mst__seq_gt(chunk_end_seq(chunk), rcv_nxt) && queue->borrowed && !mst__recvq_detach(queue, stack, &lost))
      return rcv_nxt - lost;
    queue->ofo_first = chunk->next;
    if (!queue->ofo_first) queue->ofo_last = NULL;
    queue->ofo_bytes -= chunk->capacity + (uint32_t)sizeof *chunk;
    if (mst__seq_le(chunk_end_seq(chunk), rcv_nxt)) {
      chunk_free(stack, chunk);
      continue;
    }
    chunk->begin += rcv_nxt - chunk->seq;
    uint32_t bytes = chunk_bytes(chunk);
    rcv_nxt += bytes;
    queue->bytes += bytes;
    if (bytes > tail_room(queue)) {
      link_last(queue, chunk);
      continue;
    }
    /* Small ones together, or a peer could make us hold a whole chunk for each byte. */
    chunk_fill(queue->last, chunk->data + chunk->begin, bytes);
    chunk_free(stack, chunk);
  }
  return rcv_nxt;
}

size_t mst__recvq_peek(const struct mst__recvq *queue, struct mst_iov *spans, size_t count) {
  size_t used = 0;
  for (const struct mst__recv_chunk *c = queue->first; c && used < count; c = c->next)
    if (chunk_bytes(c)) spans[used++] = (struct mst_iov){.base = c->data + c->begin, .len = chunk_bytes(c)};
  const struct mst__borrowed *b = queue->borrowed;
  for (uint32_t i = 0; b && i < b->count && used < count; i++) spans[used++] = b->spans[b->first + i];
  return used;
}

static size_t consume_owned(struct mst__recvq *queue, mst_stack *stack, size_t bytes) {
  while (bytes && queue->first) {
    struct mst__recv_chunk *chunk = queue->first;
    uint32_t held = chunk_bytes(chunk);
    if (bytes < held) {
      chunk->begin += (uint32_t)bytes;
      return 0;
    }
    bytes -= held;
    queue->first = chunk->next;
    if (!queue->first) queue->last = NULL;
    chunk_free(stack, chunk);
  }
  return bytes;
}

void mst__recvq_consume(struct mst__recvq *queue, mst_stack *stack, size_t bytes) {
  if (bytes > queue->bytes) bytes = queue->bytes;
  queue->bytes -= (uint32_t)bytes;
  bytes = consume_owned(queue, stack, bytes);
  struct mst__borrowed *b = queue->borrowed;
  while (bytes && b && b->count) {
    struct mst_iov *span = &b->spans[b->first];
    size_t n = bytes < span->len ? bytes : span->len;
    span->base = (const uint8_t *)span->base + n;
    span->len -= n;
    bytes -= n;
    if (span->len) break;
    b->first++;
    b->count--;
  }
}

size_t mst__recvq_read(struct mst__recvq *queue, mst_stack *stack, void *buffer, size_t bytes) {
  uint8_t *to = buffer;
  size_t copied = 0;
  struct mst_iov spans[4];
  while (copied < bytes) {
    size_t count = mst__recvq_peek(queue, spans, 4), taken = 0;
    for (size_t i = 0; i < count && copied < bytes; i++) {
      size_t n = spans[i].len < bytes - copied ? spans[i].len : bytes - copied;
      memcpy(to + copied, spans[i].base, n);
      copied += n;
      taken += n;
    }
    if (!taken) break;
    mst__recvq_consume(queue, stack, taken);
  }
  return copied;
}

void mst__recvq_free(struct mst__recvq *queue, mst_stack *stack) {
  if (queue->borrowed) borrowed_free(queue, stack);
  while (queue->first) {
    struct mst__recv_chunk *chunk = queue->first;
    queue->first = chunk->next;
    chunk_free(stack, chunk);
  }
  while (queue->ofo_first) {
    struct mst__recv_chunk *chunk = queue->ofo_first;
    queue->ofo_first = chunk->next;
    chunk_free(stack, chunk);
  }
  *queue = (struct mst__recvq){0};
}
