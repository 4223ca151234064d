/* Specs of ports that cannot be opened: an error code and one line that says what to do. */
#include "multistack/port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *spec, int code, const char *part) {
  struct mst_failure failure = {0};
  struct mst_port *port = (void *)1;
  assert_int_equal(mst_port_open(spec, &port, &failure), code);
  assert_null(port);
  assert_int_equal(failure.code, code);
  if (!strstr(failure.message, part)) fail_msg("\"%s\" lacks \"%s\"", failure.message, part);
  assert_null(strchr(failure.message, '\n'));
  assert_int_equal(mst_port_open(spec, &port, NULL), code);
}

static void refuses_what_is_no_spec(void **state) {
  (void)state;
  expect("", -MST_EINVAL, "xdp:DEVICE");
  expect("eth0", -MST_EINVAL, "xdp:DEVICE");
  expect("xdp", -MST_EINVAL, "xdp:DEVICE");
  expect("xdp:", -MST_EINVAL, "no device");
  expect("xdp:,mode=native", -MST_EINVAL, "no device");
  expect("dpdk:eth0", -MST_EINVAL, "no kind");
  expect("xd:eth0", -MST_EINVAL, "no kind");
}

static void refuses_unknown_options(void **state) {
  (void)state;
  expect("xdp:lo,mode=fast", -MST_EINVAL, "mode=native");
  expect("xdp:lo,speed", -MST_EINVAL, "speed");
  expect("xdp:lo,queues=0", -MST_EINVAL, "queues=0");
  expect("xdp:lo,queues=2x", -MST_EINVAL, "queues=2x");
  expect("xdp:lo,queues=", -MST_EINVAL, "queues");
  expect("tap:t0,host=10.0.0.1", -MST_EINVAL, "ADDR/LEN");
  expect("tap:t0,host=10.0.0.1/33", -MST_EINVAL, "ADDR/LEN");
  expect("tap:t0,host=fd00::1/129", -MST_EINVAL, "ADDR/LEN");
  expect("tap:t0,host=10.0.0.1/", -MST_EINVAL, "ADDR/LEN");
  expect("tap:t0,addr=10.0.0", -MST_EINVAL, "addr=ADDR");
  expect("tap:t0,addr=0.0.0.0", -MST_EINVAL, "addr=ADDR");
  expect("tap:t0,addr=10.0.0.2,addr=10.0.0.3", -MST_EINVAL, "one address");
  expect("tap:t0,mtu=9000", -MST_EINVAL, "mtu");
  expect("tap:t0", -MST_EINVAL, "addr=ADDR");
  expect("tap:a-name-of-too-many-letters,addr=10.0.0.2", -MST_EINVAL, "15");
}

static void names_the_device_that_is_not_there(void **state) {
  (void)state;
  expect("xdp:nothere0", -MST_ENODEV, "nothere0");
  expect("xdp:nothere0,mode=generic,queues=1", -MST_ENODEV, "ip link");
  expect("xdp:a-name-of-too-many-letters", -MST_ENODEV, "no such device");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(refuses_what_is_no_spec),
      cmocka_unit_test(refuses_unknown_options),
      cmocka_unit_test(names_the_device_that_is_not_there),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
