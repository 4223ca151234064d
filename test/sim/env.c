/* Chance and memory of the simulator. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64 */
uint64_t sim_random_next(struct sim_random *random) {
  uint64_t z = random->state += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}

uint64_t sim_random_below(struct sim_random *random, uint64_t limit) {
  return limit ? sim_random_next(random) % limit : 0;
}

bool sim_random_chance(struct sim_random *random, uint32_t per_million) {
  return per_million && sim_random_below(random, 1000000) < per_million;
}

/* Sits before each block; 16 bytes, so that the block stays aligned. */
struct block {
  size_t bytes;
  uint64_t magic;
};
#define BLOCK_LIVE 0x6c69766520626c6bull
#define BLOCK_DEAD 0x6465616420626c6bull

static bool allowed(struct sim_memory *memory, size_t bytes) {
  uint64_t call = ++memory->calls;
  if (memory->fail_at && (call == memory->fail_at || (memory->fail_after && call > memory->fail_at))) return false;
  if (memory->bytes_limit && memory->bytes + bytes > memory->bytes_limit) return false;
  return !sim_random_chance(&memory->random, memory->fail_chance);
}

void *sim_memory_alloc(void *ctx, size_t bytes) {
  struct sim_memory *memory = ctx;
  if (!allowed(memory, bytes)) return NULL;
  struct block *block = malloc(sizeof *block + bytes);
  if (!block) abort();
  *block = (struct block){bytes, BLOCK_LIVE};
  /* Not zeroed by contract, so not zero. */
  memset(block + 1, 0xa5, bytes < 4096 ? bytes : 4096);
  memory->blocks++;
  memory->bytes += bytes;
  if (memory->bytes > memory->bytes_max) memory->bytes_max = memory->bytes;
  return block + 1;
}

void sim_memory_free(void *ctx, void *at, size_t bytes) {
  struct sim_memory *memory = ctx;
  if (!at) return;
  struct block *block = (struct block *)at - 1;
  if (block->magic != BLOCK_LIVE || block->bytes != bytes) {
    fprintf(stderr, "free of %zu bytes: the block has %zu, %s\n", bytes, block->bytes,
            block->magic == BLOCK_DEAD ? "freed already" : "its header is broken or live");
    abort();
  }
  block->magic = BLOCK_DEAD;
  memset(at, 0xdd, bytes < 4096 ? bytes : 4096);
  memory->blocks--;
  memory->bytes -= bytes;
  free(block);
}
