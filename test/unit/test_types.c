/* Addresses, error names and drop names. */
#include "unit.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>

static void parses_and_formats_the_usual_text(void **state) {
  (void)state;
  static const char *const same[] = {
      "0.0.0.0", "127.0.0.1", "255.255.255.255",           "10.1.2.3",  "::",
      "::1",     "fe80::1",   "2001:db8::8:800:200c:417a", "ff02::1:2", "1:2:3:4:5:6:7:8"};
  char text[MST_ADDR_TEXT_BYTES];
  for (size_t i = 0; i < COUNT(same); i++) {
    struct mst_addr a;
    assert_int_equal(mst_addr_parse(same[i], &a), 0);
    assert_ptr_equal(mst_addr_format(&a, text), text);
    assert_string_equal(text, same[i]);
  }
  /* RFC 5952: shortest form, lower case; IPv4-mapped text is IPv4. */
  struct mst_addr a = addr("2001:DB8:0:0:8:800:200C:417A");
  assert_string_equal(mst_addr_format(&a, text), "2001:db8::8:800:200c:417a");
  a = addr("::ffff:192.0.2.1");
  assert_string_equal(mst_addr_format(&a, text), "192.0.2.1");
  a = mst_addr_ip4((const uint8_t[]){192, 0, 2, 7});
  struct mst_addr parsed = addr("192.0.2.7");
  assert_true(mst_addr_equal(&a, &parsed));
  memset(&a, 0xff, sizeof a);
  assert_string_equal(mst_addr_format(&a, text), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void refuses_what_is_no_address(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",           "1",    "1.2.3",   "1.2.3.4.5", "1.2.3.256",    "01.2.3.4x",     " 1.2.3.4",          "1.2.3.4 ",
      "localhost",  ":::",  "1::2::3", "12345::",   "fe80::1%eth0", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::1.2.3",
      "0x7f000001", "[::1]"};
  for (size_t i = 0; i < COUNT(bad); i++) {
    struct mst_addr a = {{42}}, before = a;
    assert_int_equal(mst_addr_parse(bad[i], &a), -MST_EINVAL);
    assert_memory_equal(&a, &before, sizeof a);
  }
}

static void format_then_parse_gives_the_address_back(void **state) {
  (void)state;
  struct sim_random random = {1};
  for (int i = 0; i < 20000; i++) {
    struct mst_addr a, b;
    char text[MST_ADDR_TEXT_BYTES];
    fill_random(&random, &a, sizeof a);
    for (int j = 0; j < 16; j++) /* runs of zeros, for the :: of the text form */
      if (sim_random_below(&random, 2)) a.bytes[j] = 0;
    if (i % 3 == 0) a = mst_addr_ip4(a.bytes);
    assert_int_equal(mst_addr_parse(mst_addr_format(&a, text), &b), 0);
    assert_true(mst_addr_equal(&a, &b));
  }
}

static void classifies(void **state) {
  (void)state;
  static const struct {
    const char *text;
    bool ip4, any, loopback, multicast;
  } rows[] = {
      {"0.0.0.0", true, true, false, false},
      {"::", false, true, false, false},
      {"127.0.0.1", true, false, true, false},
      {"127.255.3.4", true, false, true, false},
      {"128.0.0.1", true, false, false, false},
      {"::1", false, false, true, false},
      {"::2", false, false, false, false},
      {"223.255.255.255", true, false, false, false},
      {"224.0.0.1", true, false, false, true},
      {"239.255.255.255", true, false, false, true},
      {"240.0.0.1", true, false, false, false},
      {"255.255.255.255", true, false, false, true},
      {"255.255.255.254", true, false, false, false},
      {"ff02::1", false, false, false, true},
      {"fe80::1", false, false, false, false},
      {"::fffe:1.2.3.4", false, false, false, false},
      {"::ffff:127.0.0.1", true, false, true, false},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    struct mst_addr a = addr(rows[i].text);
    assert_int_equal(mst_addr_is_ip4(&a), rows[i].ip4);
    assert_int_equal(mst_addr_is_any(&a), rows[i].any);
    assert_int_equal(mst_addr_is_loopback(&a), rows[i].loopback);
    assert_int_equal(mst_addr_is_multicast(&a), rows[i].multicast);
  }
}

static void errors_have_the_numbers_of_linux_and_names(void **state) {
  (void)state;
#define MST__X(name, number, message)                                                                                  \
  assert_int_equal(MST_##name, name);                                                                                  \
  assert_string_equal(mst_err_name(-MST_##name), #name);                                                               \
  assert_string_equal(mst_err_name(MST_##name), #name);                                                                \
  assert_string_equal(mst_strerror(-MST_##name), message);
  MST_ERROR_MAP(MST__X)
#undef MST__X
  static const int unknown[] = {0, 99999, -99999, INT_MAX, INT_MIN};
  for (size_t i = 0; i < COUNT(unknown); i++) {
    assert_string_equal(mst_err_name(unknown[i]), "UNKNOWN");
    assert_non_null(mst_strerror(unknown[i]));
  }
}

static void drops_have_names_and_texts(void **state) {
  (void)state;
  assert_string_equal(mst_drop_name(MST_DROP_NONE), "none");
  assert_string_equal(mst_drop_name(MST_DROP_SOURCE_NOT_HELD), "source_not_held");
  assert_string_equal(mst_drop_text(MST_DROP_FRAGMENT), "fragment");
  for (unsigned i = 0; i < MST_DROP_COUNT; i++) {
    const char *name = mst_drop_name((enum mst_drop)i);
    assert_non_null(mst_drop_text((enum mst_drop)i));
    for (const char *c = name; *c; c++)
      assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
    for (unsigned j = 0; j < i; j++) assert_string_not_equal(name, mst_drop_name((enum mst_drop)j));
  }
  assert_null(mst_drop_name(MST_DROP_COUNT));
  assert_null(mst_drop_text(MST_DROP_COUNT));
  assert_null(mst_drop_name((enum mst_drop) - 1));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parses_and_formats_the_usual_text),          cmocka_unit_test(refuses_what_is_no_address),
      cmocka_unit_test(format_then_parse_gives_the_address_back),   cmocka_unit_test(classifies),
      cmocka_unit_test(errors_have_the_numbers_of_linux_and_names), cmocka_unit_test(drops_have_names_and_texts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
