#include "base/hash.h"
#include "unit.h"

/* Key 00 01 .. 0f, message 00 01 .. n-1; computed with an implementation that reproduces the SipHash paper's 2-4 vector
 * and CPython's hash(). */
static void hashes_as_siphash_1_3_does(void **state) {
  (void)state;
  static const struct {
    size_t bytes;
    uint64_t hash;
  } rows[] = {
      {0, 0xabac0158050fc4dc},  {1, 0xc9f49bf37d57ca93},  {7, 0xd3927d989bb11140},
      {8, 0x369095118d299a8e},  {9, 0x25a48eb36c063de4},  {15, 0xd320d86d2a519956},
      {16, 0xcc4fdd1a7d908b66}, {31, 0x2370dd1f8c21d1bc}, {63, 0x9d199062b7bbb3a8},
  };
  const struct mst__hash_key key = {{0x0706050403020100, 0x0f0e0d0c0b0a0908}};
  uint8_t message[64];
  for (size_t i = 0; i < sizeof message; i++) message[i] = (uint8_t)i;
  for (size_t i = 0; i < COUNT(rows); i++) {
    uint8_t *copy = exact(message, rows[i].bytes);
    assert_true(mst__hash(&key, copy, rows[i].bytes) == rows[i].hash);
    free(copy);
  }
}

static void another_key_gives_another_hash(void **state) {
  (void)state;
  const struct mst__hash_key a = {{1, 2}}, b = {{1, 3}}, c = {{2, 2}};
  assert_true(mst__hash(&a, "tuple", 5) != mst__hash(&b, "tuple", 5));
  assert_true(mst__hash(&a, "tuple", 5) != mst__hash(&c, "tuple", 5));
}

struct item {
  struct mst__hash_node node;
  bool in;
};

static struct mst_env env_of(struct sim_memory *memory) {
  return (struct mst_env){.ctx = memory, .alloc = sim_memory_alloc, .free = sim_memory_free};
}

static unsigned copies(const struct mst__hash_table *table, const struct item *item, uint32_t hash) {
  unsigned found = 0;
  for (struct mst__hash_node *n = mst__hash_first(table, hash); n; n = mst__hash_next(n)) {
    assert_int_equal(n->hash, hash);
    found += n == &item->node;
  }
  return found;
}

#define ITEMS 3000

/* Few hashes, so that chains hold equal and unequal ones. */
static uint32_t hash_of(size_t i) {
  return (uint32_t)(i % 700) * 2654435761u;
}

static void random_walk(struct sim_memory *memory, uint64_t seed) {
  struct mst_env env = env_of(memory);
  struct sim_random random = {seed};
  struct mst__hash_table table;
  struct item *items = calloc(ITEMS, sizeof *items);
  uint32_t count = 0;
  assert_true(mst__hash_table_init(&table, &env, 4));
  for (int step = 0; step < 20000; step++) {
    size_t i = sim_random_below(&random, ITEMS);
    if (items[i].in)
      mst__hash_table_remove(&table, &items[i].node);
    else
      mst__hash_table_insert(&table, &env, &items[i].node, hash_of(i));
    items[i].in = !items[i].in;
    count += items[i].in ? 1 : -1u;
    assert_int_equal(table.count, count);
    assert_int_equal(copies(&table, &items[i], hash_of(i)), items[i].in);
  }
  for (size_t i = 0; i < ITEMS; i++) assert_int_equal(copies(&table, &items[i], hash_of(i)), items[i].in);
  mst__hash_table_free(&table, &env);
  assert_int_equal(memory->blocks, 0);
  free(items);
}

static void finds_exactly_what_is_in(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 5; seed++) {
    struct sim_memory memory = {0};
    random_walk(&memory, seed);
    assert_true(memory.calls > 5); /* it grew */
  }
}

static void works_on_when_it_cannot_grow(void **state) {
  (void)state;
  struct sim_memory memory = {.fail_at = 2, .fail_after = true};
  random_walk(&memory, 6);
}

static void says_when_there_is_no_memory(void **state) {
  (void)state;
  struct sim_memory memory = {.fail_at = 1};
  struct mst_env env = env_of(&memory);
  struct mst__hash_table table;
  assert_false(mst__hash_table_init(&table, &env, 16));
  mst__hash_table_free(&table, &env);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hashes_as_siphash_1_3_does),   cmocka_unit_test(another_key_gives_another_hash),
      cmocka_unit_test(finds_exactly_what_is_in),     cmocka_unit_test(works_on_when_it_cannot_grow),
      cmocka_unit_test(says_when_there_is_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
