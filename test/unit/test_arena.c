/* The size-class allocator of a channel's arena. */
#include "switch/arena.h"
#include "unit.h"

#define ARENA_BYTES ((size_t)4 << 20)

static uint8_t memory[ARENA_BYTES] __attribute__((aligned(64)));

struct piece {
  uint8_t *at;
  size_t bytes;
  uint8_t mark;
};

static void check_mark(const struct piece *piece) {
  for (size_t i = 0; i < piece->bytes; i++) assert_int_equal(piece->at[i], piece->mark);
}

static void pieces_are_aligned_and_apart(void **state) {
  (void)state;
  struct mst__arena arena;
  struct piece pieces[500];
  struct sim_random random = {1};
  mst__arena_init(&arena, memory, ARENA_BYTES);
  for (size_t i = 0; i < COUNT(pieces); i++) {
    size_t bytes = sim_random_next(&random) % 5000 + 1;
    pieces[i] = (struct piece){mst__arena_alloc(&arena, bytes), bytes, (uint8_t)i};
    assert_non_null(pieces[i].at);
    assert_int_equal((uintptr_t)pieces[i].at % 16, 0);
    assert_true(pieces[i].at >= memory && pieces[i].at + bytes <= memory + ARENA_BYTES);
    memset(pieces[i].at, pieces[i].mark, bytes);
  }
  for (size_t i = 0; i < COUNT(pieces); i++) check_mark(&pieces[i]);
}

static void freed_memory_comes_back(void **state) {
  (void)state;
  struct mst__arena arena;
  mst__arena_init(&arena, memory, ARENA_BYTES);
  for (size_t bytes = 1; bytes < 1 << 20; bytes += bytes / 7 + 1) {
    void *first = mst__arena_alloc(&arena, bytes);
    assert_non_null(first);
    mst__arena_free(&arena, first, bytes);
    assert_ptr_equal(mst__arena_alloc(&arena, bytes), first);
    mst__arena_free(&arena, first, bytes);
    if ((size_t)(arena.end - arena.next) < 2 * bytes) mst__arena_init(&arena, memory, ARENA_BYTES);
  }
}

static void random_use_never_overlaps(void **state) {
  (void)state;
  struct mst__arena arena;
  struct piece pieces[64] = {0};
  struct sim_random random = {2};
  mst__arena_init(&arena, memory, ARENA_BYTES);
  for (unsigned step = 0; step < 20000; step++) {
    struct piece *piece = &pieces[sim_random_next(&random) % COUNT(pieces)];
    if (piece->at) {
      check_mark(piece);
      mst__arena_free(&arena, piece->at, piece->bytes);
      piece->at = NULL;
      continue;
    }
    piece->bytes = (size_t)1 << sim_random_next(&random) % 15;
    piece->bytes += sim_random_next(&random) % piece->bytes;
    piece->at = mst__arena_alloc(&arena, piece->bytes);
    piece->mark = (uint8_t)step;
    if (piece->at) memset(piece->at, piece->mark, piece->bytes);
  }
}

static void exhaustion_is_null_and_passes(void **state) {
  (void)state;
  struct mst__arena arena;
  mst__arena_init(&arena, memory, ARENA_BYTES);
  assert_null(mst__arena_alloc(&arena, ARENA_BYTES + 1));
  assert_null(mst__arena_alloc(&arena, SIZE_MAX));
  void *last = NULL;
  unsigned count = 0;
  for (void *piece; (piece = mst__arena_alloc(&arena, 65536)); count++) last = piece;
  assert_int_equal(count, ARENA_BYTES / 65536);
  assert_null(mst__arena_alloc(&arena, 40));
  mst__arena_free(&arena, last, 65536);
  /* What one class gave back serves a smaller one. */
  assert_ptr_equal(mst__arena_alloc(&arena, 40), last);
}

static void deferred_memory_waits_for_the_ring(void **state) {
  (void)state;
  struct mst__arena arena;
  mst__arena_init(&arena, memory, ARENA_BYTES);
  void *a = mst__arena_alloc(&arena, 100), *b = mst__arena_alloc(&arena, 100);
  mst__arena_free_after(&arena, a, 100, UINT32_MAX); /* positions wrap */
  mst__arena_free_after(&arena, b, 100, 1);
  mst__arena_consumed(&arena, UINT32_MAX - 1);
  void *c = mst__arena_alloc(&arena, 100);
  assert_true(c != a && c != b);
  mst__arena_consumed(&arena, UINT32_MAX);
  assert_ptr_equal(mst__arena_alloc(&arena, 100), a);
  mst__arena_consumed(&arena, 1);
  assert_ptr_equal(mst__arena_alloc(&arena, 100), b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pieces_are_aligned_and_apart),       cmocka_unit_test(freed_memory_comes_back),
      cmocka_unit_test(random_use_never_overlaps),          cmocka_unit_test(exhaustion_is_null_and_passes),
      cmocka_unit_test(deferred_memory_waits_for_the_ring),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
