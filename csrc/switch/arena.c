#include "arena.h"
#include "base/seq.h"
#include "multistack/channel.h"

#define SLAB_BYTES ((size_t)64 << 10)

/* What a free block holds in place of its contents. */
struct mst__arena_block {
  struct mst__arena_block *next;
  uint32_t size_class;
  uint32_t until; /* of a deferred block: the ring position that must have been consumed */
};

_Static_assert(sizeof(struct mst__arena_block) == MST_CHANNEL_FREED_BYTES, "fits the smallest class, and the promise");

/* Classes 0..3 are 16, 32, 48, 64; from there on each doubling has four steps: 80, 96, 112, 128, 160, ... */
static uint32_t class_of(size_t bytes) {
  if (bytes <= 64) return bytes ? (uint32_t)((bytes - 1) >> 4) : 0;
  unsigned shift = 61 - (unsigned)__builtin_clzll(bytes - 1);
  return (uint32_t)((shift - 4) * 4 + ((bytes - 1) >> shift));
}

static size_t class_bytes(uint32_t size_class) {
  if (size_class < 4) return (size_t)(size_class + 1) << 4;
  return (size_t)(size_class % 4 + 5) << (size_class / 4 + 3);
}

void mst__arena_init(struct mst__arena *arena, void *base, size_t bytes) {
  *arena = (struct mst__arena){.next = base, .end = (uint8_t *)base + bytes};
}

static struct mst__arena_block *pop(struct mst__arena_class *c) {
  struct mst__arena_block *block = c->free;
  if (block) c->free = block->next;
  return block;
}

/* The range is used up: take a free block of any larger class. It comes back as one of the smaller class. */
static void *take_larger(struct mst__arena *arena, uint32_t size_class) {
  while (++size_class < MST__ARENA_CLASSES) {
    struct mst__arena_block *block = pop(&arena->classes[size_class]);
    if (block) return block;
  }
  return NULL;
}

static void *carve(struct mst__arena *arena, uint32_t size_class) {
  struct mst__arena_class *c = &arena->classes[size_class];
  size_t bytes = class_bytes(size_class);
  if ((size_t)(c->end - c->next) < bytes) {
    size_t slab = bytes < SLAB_BYTES / 4 ? SLAB_BYTES : bytes;
    if ((size_t)(arena->end - arena->next) < slab) slab = bytes;
    if ((size_t)(arena->end - arena->next) < slab) return take_larger(arena, size_class);
    c->next = arena->next;
    c->end = arena->next += slab;
  }
  void *memory = c->next;
  c->next += bytes;
  return memory;
}

void *mst__arena_alloc(struct mst__arena *arena, size_t bytes) {
  if (bytes > (size_t)1 << 31) return NULL;
  uint32_t size_class = class_of(bytes);
  struct mst__arena_block *block = pop(&arena->classes[size_class]);
  return block ? block : carve(arena, size_class);
}

static void push(struct mst__arena *arena, struct mst__arena_block *block, uint32_t size_class) {
  block->next = arena->classes[size_class].free;
  arena->classes[size_class].free = block;
}

void mst__arena_free(struct mst__arena *arena, void *memory, size_t bytes) {
  push(arena, memory, class_of(bytes));
}

void mst__arena_free_after(struct mst__arena *arena, void *memory, size_t bytes, uint32_t until) {
  struct mst__arena_block *block = memory;
  *block = (struct mst__arena_block){.size_class = class_of(bytes), .until = until};
  if (arena->deferred_first)
    arena->deferred_last->next = block;
  else
    arena->deferred_first = block;
  arena->deferred_last = block;
}

void mst__arena_consumed(struct mst__arena *arena, uint32_t consumed) {
  while (arena->deferred_first && mst__seq_le(arena->deferred_first->until, consumed)) {
    struct mst__arena_block *block = arena->deferred_first;
    arena->deferred_first = block->next;
    push(arena, block, block->size_class);
  }
}
