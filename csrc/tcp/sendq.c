#include "tcp/sendq.h"
#include "multistack/channel.h"
#include <string.h>

/* Whole chunks, header included, are size classes of the arena. A long queue is made of large chunks, so that one
 * 64 KB packet needs few of them. */
static const uint32_t chunk_sizes[] = {MST__SEND_CHUNK_LEAST, 4096, 16384, 65536};

_Static_assert(offsetof(struct mst__send_chunk, data) >= MST_CHANNEL_FREED_BYTES, "a freed chunk may still be sent");

static uint32_t chunk_capacity(const struct mst__sendq *queue, size_t bytes) {
  size_t want = bytes + queue->bytes / 2;
  for (size_t i = 0; i < sizeof chunk_sizes / sizeof *chunk_sizes; i++) {
    uint32_t capacity = chunk_sizes[i] - (uint32_t)sizeof(struct mst__send_chunk);
    if (want <= capacity) return capacity;
  }
  return 65536 - (uint32_t)sizeof(struct mst__send_chunk);
}

static struct mst__send_chunk *chunk_new(mst_stack *stack, uint32_t capacity, bool first) {
  size_t bytes = sizeof(struct mst__send_chunk) + capacity;
  return mst__memory_to_send(stack, bytes, first) ? mst__alloc(stack, bytes) : NULL;
}

static struct mst__send_chunk *chunk_add(struct mst__sendq *queue, mst_stack *stack, size_t bytes) {
  uint32_t capacity = chunk_capacity(queue, bytes);
  struct mst__send_chunk *chunk = chunk_new(stack, capacity, false);
  /* A little is better than nothing, where nothing is short but the piece was large, or no ACK would bring the writer
   * back. */
  if (!chunk && (!stack->memory.pressure || !queue->first)) {
    capacity = chunk_sizes[0] - (uint32_t)sizeof *chunk;
    chunk = chunk_new(stack, capacity, !queue->first);
  }
  if (!chunk) return NULL;
  *chunk = (struct mst__send_chunk){.capacity = capacity};
  if (queue->last)
    queue->last->next = chunk;
  else
    queue->first = chunk;
  queue->last = chunk;
  return chunk;
}

size_t mst__sendq_append(struct mst__sendq *queue, mst_stack *stack, const void *data, size_t bytes) {
  const uint8_t *from = data;
  size_t left = bytes;
  while (left) {
    struct mst__send_chunk *chunk = queue->last;
    if (!chunk || chunk->end == chunk->capacity) chunk = chunk_add(queue, stack, left);
    if (!chunk) break;
    size_t n = chunk->capacity - chunk->end;
    if (n > left) n = left;
    memcpy(chunk->data + chunk->end, from, n);
    chunk->end += (uint32_t)n;
    queue->bytes += (uint32_t)n;
    from += n;
    left -= n;
  }
  return bytes - left;
}

static void cursor_seek(struct mst__sendq *queue, uint32_t offset) {
  if (!queue->cursor || offset < queue->cursor_offset) {
    queue->cursor = queue->first;
    queue->cursor_offset = 0;
  }
  while (queue->cursor) {
    uint32_t held = queue->cursor->end - queue->cursor->begin;
    if (offset - queue->cursor_offset < held || !queue->cursor->next) return;
    queue->cursor_offset += held;
    queue->cursor = queue->cursor->next;
  }
}

size_t mst__sendq_gather(struct mst__sendq *queue, uint32_t offset, uint32_t *bytes, struct mst_iov *iov,
                         size_t count) {
  uint32_t left = *bytes;
  size_t used = 0;
  cursor_seek(queue, offset);
  uint32_t skip = offset - queue->cursor_offset;
  for (const struct mst__send_chunk *chunk = queue->cursor; chunk && left && used < count; chunk = chunk->next) {
    uint32_t n = chunk->end - chunk->begin - skip;
    if (n > left) n = left;
    iov[used].base = chunk->data + chunk->begin + skip;
    iov[used].len = n;
    if (n) used++;
    left -= n;
    skip = 0;
  }
  *bytes -= left;
  return used;
}

void mst__sendq_advance(struct mst__sendq *queue, mst_stack *stack, uint32_t bytes) {
  queue->bytes -= bytes;
  if (queue->cursor && queue->cursor_offset >= bytes)
    queue->cursor_offset -= bytes;
  else
    queue->cursor = NULL;
  while (queue->first) {
    struct mst__send_chunk *chunk = queue->first;
    uint32_t held = chunk->end - chunk->begin;
    if (bytes < held) {
      chunk->begin += bytes;
      return;
    }
    bytes -= held;
    queue->first = chunk->next;
    if (!queue->first) queue->last = NULL;
    mst__free(stack, chunk, sizeof *chunk + chunk->capacity);
  }
}

void mst__sendq_free(struct mst__sendq *queue, mst_stack *stack) {
  mst__sendq_advance(queue, stack, queue->bytes);
  *queue = (struct mst__sendq){0};
}
