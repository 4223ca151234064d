#include "unit.h"
#include "wire/checksum.h"

/* RFC 1071 1, word by word, in network order. */
static uint16_t plain_sum(const uint8_t *data, size_t bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes; i++) {
    sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return (uint16_t)sum;
}

static uint16_t memory_order(uint16_t network) {
  uint8_t bytes[2] = {(uint8_t)(network >> 8), (uint8_t)network};
  uint16_t out;
  memcpy(&out, bytes, 2);
  return out;
}

static void the_example_of_rfc_1071(void **state) {
  (void)state;
  static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  assert_int_equal(mst__csum_fold(mst__csum_add(0, data, sizeof data)), memory_order(0xddf2));
}

static void agrees_with_the_plain_sum_at_every_length_and_alignment(void **state) {
  (void)state;
  struct sim_random random = {1};
  for (size_t bytes = 0; bytes < 300; bytes++) {
    for (size_t shift = 0; shift < 9; shift++) {
      uint8_t *block = malloc(bytes + shift + 1), *copy = malloc(bytes + shift + 1);
      fill_random(&random, block + shift, bytes);
      uint16_t expected = memory_order(plain_sum(block + shift, bytes));
      assert_int_equal(mst__csum_fold(mst__csum_add(0, block + shift, bytes)), expected);
      assert_int_equal(mst__csum_fold(mst__csum_copy(0, copy + shift, block + shift, bytes)), expected);
      assert_memory_equal(copy + shift, block + shift, bytes);
      free(block);
      free(copy);
    }
  }
}

static void copies_exactly_and_no_more(void **state) {
  (void)state;
  uint8_t from[64], to[66];
  memset(from, 0x11, sizeof from);
  for (size_t bytes = 0; bytes <= 64; bytes++) {
    memset(to, 0xee, sizeof to);
    mst__csum_copy(0, to + 1, from, bytes);
    assert_int_equal(to[0], 0xee);
    assert_int_equal(to[bytes + 1], 0xee);
    assert_memory_equal(to + 1, from, bytes);
  }
}

static void pieces_add_up(void **state) {
  (void)state;
  struct sim_random random = {2};
  uint8_t data[4096];
  fill_random(&random, data, sizeof data);
  uint16_t whole = mst__csum_fold(mst__csum_add(0, data, sizeof data));
  for (int i = 0; i < 2000; i++) {
    size_t cut = 2 * sim_random_below(&random, sizeof data / 2);
    uint64_t sum = mst__csum_add(0, data, cut);
    assert_int_equal(mst__csum_fold(mst__csum_add(sum, data + cut, sizeof data - cut)), whole);
    sum = mst__csum_add(0, data + cut, sizeof data - cut);
    assert_int_equal(mst__csum_fold(mst__csum_add(sum, data, cut)), whole);
  }
}

static void carries_do_not_get_lost(void **state) {
  (void)state;
  static uint8_t ones[65536];
  memset(ones, 0xff, sizeof ones);
  assert_int_equal(mst__csum_fold(mst__csum_add(0, ones, sizeof ones)), 0xffff);
  assert_int_equal(mst__csum_fold(UINT64_MAX), 0xffff);
  assert_int_equal(mst__csum_fold(0), 0);
  assert_int_equal(mst__csum_fold(0x1ffffull), 1);
  assert_int_equal(mst__csum_fold(0x10000ull), 1);
  assert_int_equal(mst__csum_fold(0x100000000ull), 1);
  assert_int_equal(mst__csum_fold(0x1000000000000ull), 1);
}

static void pseudo_headers(void **state) {
  (void)state;
  static const uint8_t v4[] = {192, 0, 2, 1, 198, 51, 100, 2, 0, 6, 0x12, 0x34};
  struct mst_addr a = addr("192.0.2.1"), b = addr("198.51.100.2");
  assert_int_equal(mst__csum_fold(mst__csum_pseudo(&a, &b, MST_TCP, 0x1234)), memory_order(plain_sum(v4, sizeof v4)));

  uint8_t v6[40] = {0};
  struct mst_addr c = addr("2001:db8::1"), d = addr("2001:db8:ffff::2");
  memcpy(v6, &c, 16);
  memcpy(v6 + 16, &d, 16);
  v6[33] = 1; /* RFC 8200 8.1: the length has 32 bits */
  v6[35] = 5;
  v6[39] = MST_UDP;
  assert_int_equal(mst__csum_fold(mst__csum_pseudo(&c, &d, MST_UDP, 0x10005)), memory_order(plain_sum(v6, sizeof v6)));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_example_of_rfc_1071),
      cmocka_unit_test(agrees_with_the_plain_sum_at_every_length_and_alignment),
      cmocka_unit_test(copies_exactly_and_no_more),
      cmocka_unit_test(pieces_add_up),
      cmocka_unit_test(carries_do_not_get_lost),
      cmocka_unit_test(pseudo_headers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
