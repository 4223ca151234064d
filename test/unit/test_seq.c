#include "base/seq.h"
#include "unit.h"

static void orders_numbers_within_half_the_circle(void **state) {
  (void)state;
  static const uint32_t starts[] = {0, 1, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 12345};
  static const uint32_t steps[] = {1, 2, 1000, 0x7ffffffe, 0x7fffffff};
  for (size_t i = 0; i < COUNT(starts); i++) {
    uint32_t a = starts[i];
    assert_false(mst__seq_lt(a, a));
    assert_true(mst__seq_le(a, a));
    assert_false(mst__seq_gt(a, a));
    assert_true(mst__seq_ge(a, a));
    for (size_t j = 0; j < COUNT(steps); j++) {
      uint32_t b = a + steps[j];
      assert_true(mst__seq_lt(a, b));
      assert_true(mst__seq_le(a, b));
      assert_true(mst__seq_gt(b, a));
      assert_true(mst__seq_ge(b, a));
      assert_false(mst__seq_lt(b, a));
      assert_false(mst__seq_ge(a, b));
      assert_int_equal(mst__seq_max(a, b), b);
      assert_int_equal(mst__seq_max(b, a), b);
      assert_int_equal(mst__seq_min(a, b), a);
      assert_int_equal(mst__seq_min(b, a), a);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(orders_numbers_within_half_the_circle)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
