/* What a connection and a stack tell about themselves. */
#include "sim/script.h"
#include <string.h>

/* Each counter is a field of its own under a name of its own, and none is left out. */
static void counters_are_listed(void **state) {
  (void)state;
  const struct mst_stack_counter *counter, *other;
  size_t count = 0;
  for (; (counter = mst_stack_counter(count)); count++) {
    assert_int_equal(counter->offset, count * sizeof(uint64_t));
    assert_true(strlen(counter->text) > 0);
    for (size_t i = 0; i < count; i++) {
      other = mst_stack_counter(i);
      assert_string_not_equal(counter->name, other->name);
      if (counter->nstat && other->nstat) assert_string_not_equal(counter->nstat, other->nstat);
    }
  }
  assert_int_equal(count * sizeof(uint64_t), offsetof(struct mst_stack_stats, drops));
  assert_null(mst_stack_counter(SIZE_MAX));
  assert_string_equal(mst_stack_counter(0)->name, "ip_in_receives");
  assert_string_equal(mst_stack_counter(0)->nstat, "IpInReceives");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(counters_are_listed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
