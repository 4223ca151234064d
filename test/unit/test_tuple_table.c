/* The table of held tuples against a plain list. */
#include "multistack/error.h"
#include "switch/tuple_table.h"
#include "unit.h"

static int allocations_left;

static void *alloc(void *ctx, size_t bytes) {
  (void)ctx;
  return allocations_left-- > 0 ? malloc(bytes) : NULL;
}
static void release(void *ctx, void *memory, size_t bytes) {
  (void)ctx;
  (void)bytes;
  free(memory);
}
static void chance(void *ctx, void *out, size_t bytes) {
  fill_random(ctx, out, bytes);
}

static struct sim_random random_source = {3};
static const struct mst_env env = {.ctx = &random_source, .alloc = alloc, .free = release, .random = chance};

static void open_table(struct mst__tuple_table *table) {
  allocations_left = 1000;
  assert_int_equal(mst__tuple_table_init(table, &env), 0);
}

/* The n-th of many different tuples, a few addresses and many ports. */
static struct mst__tuple_key nth(unsigned n, bool ip6) {
  struct mst_addr at = addr(ip6 ? "fd00::" : "10.0.0.0");
  at.bytes[15] = (uint8_t)(n % 7);
  return mst__tuple_key(&at, (uint16_t)(n / 14 + 1), n / 7 % 2 ? MST_UDP : MST_TCP);
}

static void finds_what_was_added(bool ip6) {
  enum { N = 5000 };
  struct mst__tuple_table table;
  open_table(&table);
  for (unsigned i = 0; i < N; i++) {
    struct mst__tuple_key key = nth(i, ip6);
    assert_int_equal(mst__tuple_find(&table, &key), 0);
    assert_int_equal(mst__tuple_table_add(&table, &env, &key, i % MST__HOLDER_MAX + 1), 0);
  }
  for (unsigned i = 0; i < N; i++) {
    struct mst__tuple_key key = nth(i, ip6);
    assert_int_equal(mst__tuple_find(&table, &key), i % MST__HOLDER_MAX + 1);
  }
  struct mst__tuple_key other = nth(N, ip6);
  assert_int_equal(mst__tuple_find(&table, &other), 0);
  mst__tuple_table_free(&table, &env);
}

static void finds_ip4(void **state) {
  (void)state;
  finds_what_was_added(false);
}
static void finds_ip6(void **state) {
  (void)state;
  finds_what_was_added(true);
}

/* Adding, changing and removing in random order: removal closes gaps and loses nobody. */
static void random_use(bool ip6) {
  enum { N = 700 };
  struct mst__tuple_table table;
  uint32_t holders[N] = {0};
  struct sim_random random = {4 + ip6};
  open_table(&table);
  for (unsigned step = 0; step < 30000; step++) {
    unsigned i = (unsigned)(sim_random_next(&random) % N);
    uint32_t holder = (uint32_t)(sim_random_next(&random) % MST__HOLDER_MAX) + 1;
    struct mst__tuple_key key = nth(i, ip6);
    if (!holders[i]) {
      assert_int_equal(mst__tuple_table_add(&table, &env, &key, holder), 0);
      holders[i] = holder;
    } else if (step % 3) {
      mst__tuple_table_remove(&table, &key);
      holders[i] = 0;
    } else {
      mst__tuple_table_set(&table, &key, holder);
      holders[i] = holder;
    }
    if (step % 100) continue;
    for (unsigned j = 0; j < N; j++) {
      struct mst__tuple_key every = nth(j, ip6);
      assert_int_equal(mst__tuple_find(&table, &every), holders[j]);
    }
  }
  mst__tuple_table_free(&table, &env);
}

static void random_use_ip4(void **state) {
  (void)state;
  random_use(false);
}
static void random_use_ip6(void **state) {
  (void)state;
  random_use(true);
}

static void families_protocols_and_wildcards_are_apart(void **state) {
  (void)state;
  struct mst__tuple_table table;
  open_table(&table);
  struct mst__tuple_key any4 = mst__tuple_key(&MST_ADDR_ANY4, 80, MST_TCP);
  struct mst__tuple_key any6 = mst__tuple_key(&MST_ADDR_ANY6, 80, MST_TCP);
  struct mst__tuple_key udp4 = mst__tuple_key(&MST_ADDR_ANY4, 80, MST_UDP);
  assert_int_equal(mst__tuple_find_any(&table, false, any4.word), 0);
  assert_int_equal(mst__tuple_table_add(&table, &env, &any4, 1), 0);
  assert_int_equal(mst__tuple_find_any(&table, true, any6.word), 0);
  assert_int_equal(mst__tuple_find_any(&table, false, udp4.word), 0);
  assert_int_equal(mst__tuple_table_add(&table, &env, &any6, 2), 0);
  assert_int_equal(mst__tuple_table_add(&table, &env, &udp4, 3), 0);
  struct mst_addr host = addr("10.1.2.3");
  struct mst__tuple_key exact_key = mst__tuple_key(&host, 80, MST_TCP);
  assert_int_equal(mst__tuple_find(&table, &exact_key), 0);
  assert_int_equal(mst__tuple_find_any(&table, false, exact_key.word), 1);
  assert_int_equal(mst__tuple_find_any(&table, true, any6.word), 2);
  mst__tuple_table_remove(&table, &any4);
  assert_int_equal(mst__tuple_find_any(&table, false, exact_key.word), 0);
  mst__tuple_table_free(&table, &env);
}

static void no_memory_leaves_the_table_whole(void **state) {
  (void)state;
  struct mst__tuple_table table;
  for (allocations_left = 0; allocations_left < 2;) {
    int before = allocations_left;
    assert_int_equal(mst__tuple_table_init(&table, &env), -MST_ENOMEM);
    allocations_left = before + 1;
  }
  open_table(&table);
  allocations_left = 0;
  unsigned n = 0;
  for (;; n++) {
    struct mst__tuple_key key = nth(n, false);
    int error = mst__tuple_table_add(&table, &env, &key, 1);
    if (!error) continue;
    assert_int_equal(error, -MST_ENOMEM);
    break;
  }
  for (unsigned i = 0; i <= n; i++) {
    struct mst__tuple_key key = nth(i, false);
    assert_int_equal(mst__tuple_find(&table, &key), i < n);
  }
  mst__tuple_table_free(&table, &env);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(finds_ip4),
      cmocka_unit_test(finds_ip6),
      cmocka_unit_test(random_use_ip4),
      cmocka_unit_test(random_use_ip6),
      cmocka_unit_test(families_protocols_and_wildcards_are_apart),
      cmocka_unit_test(no_memory_leaves_the_table_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
