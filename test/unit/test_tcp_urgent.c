/* How much urgent data is waiting (RFC 9293 3.8.5, MUST-33). */
#include "sim/script.h"

static void how_much(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  assert_int_equal(mst_conn_urgent_bytes(s->conn), 0);
  script_in(s, "PU. 1:101 ack 1 urg 300"); /* 200 of them are still to come */
  assert_true(mst_conn_urgent(s->conn));
  assert_int_equal(mst_conn_urgent_bytes(s->conn), 300);
  script_read(s, 100);
  assert_int_equal(mst_conn_urgent_bytes(s->conn), 200);
  script_in(s, "P. 101:401 ack 1");
  assert_int_equal(mst_conn_urgent_bytes(s->conn), 200);
  script_read(s, 199);
  assert_true(mst_conn_urgent(s->conn));
  assert_int_equal(mst_conn_urgent_bytes(s->conn), 1);
  script_read(s, 1);
  assert_false(mst_conn_urgent(s->conn));
  assert_int_equal(mst_conn_urgent_bytes(s->conn), 0);
  script_read(s, 100);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(how_much),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
