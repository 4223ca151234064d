/* Memory of one stack, out of one contiguous range that is mapped lazily: size classes, four to each doubling, with a
 * free list each. Allocation and release are O(1). Nothing here is ever read by the switch. */
#ifndef MST_SWITCH_ARENA_H
#define MST_SWITCH_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MST__ARENA_CLASSES 104 /* 16 B ... 2 GiB */

struct mst__arena_block;

struct mst__arena {
  uint8_t *next, *end; /* what no class has taken yet */
  struct mst__arena_class {
    struct mst__arena_block *free;
    uint8_t *next, *end; /* the slab that is being carved */
  } classes[MST__ARENA_CLASSES];
  /* Freed, but perhaps still read by the switch: oldest first. */
  struct mst__arena_block *deferred_first, *deferred_last;
};

/* Manage `bytes` at `base`, which is aligned to 64. */
void mst__arena_init(struct mst__arena *arena, void *base, size_t bytes);

/* `bytes` aligned to 16, or NULL. */
void *mst__arena_alloc(struct mst__arena *arena, size_t bytes);

/* `bytes` is what was asked for. */
void mst__arena_free(struct mst__arena *arena, void *memory, size_t bytes);

/* Free once the ring position `until` has been consumed; positions never decrease (modulo 2^32) from call to call. */
void mst__arena_free_after(struct mst__arena *arena, void *memory, size_t bytes, uint32_t until);

/* Everything before the ring position `consumed` has been consumed. */
void mst__arena_consumed(struct mst__arena *arena, uint32_t consumed);

#endif
