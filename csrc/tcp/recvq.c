#include "tcp/recvq.h"
#include <string.h>

#define CHUNK_BYTES_MAX 65536 /* header included, unless one packet needs more */

uint32_t mst__recv_chunk_capacity(uint32_t bytes) {
  uint32_t whole = 256;
  while (whole - sizeof(struct mst__recv_chunk) < bytes && whole < CHUNK_BYTES_MAX) whole *= 2;
  uint32_t capacity = whole - (uint32_t)sizeof(struct mst__recv_chunk);
  return capacity < bytes ? bytes : capacity;
}

struct mst__recv_chunk *mst__recv_chunk_new(mst_stack *stack, uint32_t capacity) {
  size_t bytes = sizeof(struct mst__recv_chunk) + capacity;
  struct mst__recv_chunk *chunk = mst__memory_to_receive(stack, bytes) ? mst__alloc(stack, bytes) : NULL;
  if (chunk) *chunk = (struct mst__recv_chunk){.capacity = capacity};
  return chunk;
}

void mst__recv_chunk_free(mst_stack *stack, struct mst__recv_chunk *chunk) {
  mst__free(stack, chunk, mst__recv_chunk_memory(chunk));
}

void mst__recv_chunks_free(mst_stack *stack, struct mst__recv_chunk *chunk) {
  while (chunk) {
    struct mst__recv_chunk *next = chunk->next;
    mst__recv_chunk_free(stack, chunk);
    chunk = next;
  }
}

void mst__recv_chunk_fill(struct mst__recv_chunk *chunk, const void *data, uint32_t bytes) {
  memcpy(chunk->data + chunk->end, data, bytes);
  chunk->end += bytes;
}

void mst__recvq_link(struct mst__recvq *queue, struct mst__recv_chunk *chunk) {
  chunk->next = NULL;
  if (queue->last)
    queue->last->next = chunk;
  else
    queue->first = chunk;
  queue->last = chunk;
  queue->memory_bytes += mst__recv_chunk_memory(chunk);
}

static uint32_t tail_room(const struct mst__recvq *queue) {
  return queue->last ? mst__recv_chunk_room(queue->last) : 0;
}

/* Copy to the end of the owned chunks; all or nothing. `expected` counts what will follow, these bytes included. */
static bool append_owned(struct mst__recvq *queue, mst_stack *stack, const uint8_t *data, uint32_t bytes,
                         uint32_t expected) {
  uint32_t here = tail_room(queue);
  if (here > bytes) here = bytes;
  struct mst__recv_chunk *chunk = NULL;
  if (bytes > here && !(chunk = mst__recv_chunk_new(stack, mst__recv_chunk_capacity(expected - here)))) return false;
  if (here) mst__recv_chunk_fill(queue->last, data, here);
  if (!chunk) return true;
  mst__recv_chunk_fill(chunk, data + here, bytes - here);
  mst__recvq_link(queue, chunk);
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
    while (!append_owned(queue, stack, span->base, (uint32_t)span->len, expected))
      if (!mst__recvq_prune(queue, stack)) return false;
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

size_t mst__recvq_peek(const struct mst__recvq *queue, struct mst_iov *spans, size_t count) {
  size_t used = 0;
  for (const struct mst__recv_chunk *c = queue->first; c && used < count; c = c->next)
    if (mst__recv_chunk_bytes(c))
      spans[used++] = (struct mst_iov){.base = c->data + c->begin, .len = mst__recv_chunk_bytes(c)};
  const struct mst__borrowed *b = queue->borrowed;
  for (uint32_t i = 0; b && i < b->count && used < count; i++) spans[used++] = b->spans[b->first + i];
  return used;
}

static size_t consume_owned(struct mst__recvq *queue, mst_stack *stack, size_t bytes) {
  while (bytes && queue->first) {
    struct mst__recv_chunk *chunk = queue->first;
    uint32_t held = mst__recv_chunk_bytes(chunk);
    if (bytes < held) {
      chunk->begin += (uint32_t)bytes;
      return 0;
    }
    bytes -= held;
    queue->first = chunk->next;
    if (!queue->first) queue->last = NULL;
    queue->memory_bytes -= mst__recv_chunk_memory(chunk);
    mst__recv_chunk_free(stack, chunk);
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
  size_t copied = 0;
  struct mst_iov span;
  if (bytes > queue->bytes) bytes = queue->bytes;
  while (copied < bytes && mst__recvq_peek(queue, &span, 1)) {
    size_t n = span.len < bytes - copied ? span.len : bytes - copied;
    memcpy((uint8_t *)buffer + copied, span.base, n);
    mst__recvq_consume(queue, stack, n);
    copied += n;
  }
  return copied;
}

void mst__recvq_free(struct mst__recvq *queue, mst_stack *stack) {
  if (queue->borrowed) borrowed_free(queue, stack);
  mst__recv_chunks_free(stack, queue->first);
  mst__reassembly_free(queue, stack);
  *queue = (struct mst__recvq){0};
}
