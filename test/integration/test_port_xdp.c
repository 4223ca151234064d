/* The xdp port on a veth, against a kernel in another namespace: what is held comes to the port and goes out of it, all
 * else stays with the OS. */
#include "port_rig.h"

#include <bpf/libbpf.h>

struct fixture {
  struct mst_port *port;
  uint8_t peer[6];
};

static int setup_with(void **state, unsigned queues, const char *spec) {
  struct fixture *f = calloc(1, sizeof *f);
  *state = f;
  rig_veth(queues);
  rig_peer_mac(f->peer);
  f->port = rig_open(spec);
  return 0;
}

static int setup_native(void **state) {
  return setup_with(state, 1, "xdp:here0");
}
static int setup_generic(void **state) {
  return setup_with(state, 1, "xdp:here0,mode=generic");
}
static int setup_queues(void **state) {
  return setup_with(state, 2, "xdp:here0");
}

static int teardown(void **state) {
  struct fixture *f = *state;
  if (f->port) f->port->ops->close(f->port);
  rig_no_veth();
  free(f);
  return 0;
}

static void expect_udp(struct mst_port *port, const char *text, struct rig_packet *out, char *payload) {
  struct mst_port_rx rx;
  assert_int_equal(rig_receive(port, &rx, 1), 1);
  rig_parse(&rx, out);
  assert_int_equal(out->protocol, MST_UDP);
  assert_int_equal(out->payload_bytes, strlen(text));
  assert_memory_equal(out->payload, text, strlen(text));
  strcpy(payload, text);
  out->payload = payload;
  port->ops->release(port);
}

static void echo_once(struct fixture *f, const char *here, uint16_t number) {
  char payload[64], answer[64];
  struct rig_packet packet, reply;
  int fd = rig_socket(THERE, SOCK_DGRAM, here, number, false);
  assert_int_equal(send(fd, "question", 8, 0), 8);
  expect_udp(f->port, "question", &packet, payload);
  reply = rig_reply(&packet);
  reply.payload = "the answer";
  reply.payload_bytes = 10;
  rig_send(f->port, &reply, f->peer);
  assert_true(rig_ready(fd, POLLIN));
  assert_int_equal(recv(fd, answer, sizeof answer, 0), 10);
  assert_memory_equal(answer, "the answer", 10);
  close(fd);
}

static void held_tuples_come_here_and_answer(void **state) {
  struct fixture *f = *state;
  rig_hold(f->port, MST_UDP, "10.7.0.1", 4000);
  rig_hold(f->port, MST_UDP, "fd07::1", 4000);
  echo_once(f, "10.7.0.1", 4000);
  echo_once(f, "fd07::1", 4000);
}

int main(void) {
  rig_begin();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(held_tuples_come_here_and_answer, setup_native, teardown),
      cmocka_unit_test_setup_teardown(held_tuples_come_here_and_answer, setup_generic, teardown),
      cmocka_unit_test_setup_teardown(held_tuples_come_here_and_answer, setup_queues, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
