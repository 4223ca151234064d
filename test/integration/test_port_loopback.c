/* The xdp port on lo against this host's own kernel: both roles of a TCP handshake, large packets both ways, and no
 * sysctl touched. */
#include "port_rig.h"

static int setup(void **state) {
  struct mst_port_stats stats;
  rig_run("ip addr add 10.8.0.1/32 dev lo; ip addr add fd08::1/128 dev lo nodad");
  struct mst_port *port = rig_open("xdp:lo");
  port->ops->get_stats(port, &stats);
  if (strstr(stats.reason, "before Linux 6.6")) {
    printf("skipped: %s\n", stats.reason);
    exit(77);
  }
  *state = port;
  return 0;
}

static int teardown(void **state) {
  struct mst_port *port = *state;
  port->ops->close(port);
  rig_run("ip addr del 10.8.0.1/32 dev lo; ip addr del fd08::1/128 dev lo");
  return 0;
}

/* The next TCP segment to port `number`; the payload's bytes are checked against the running count. */
static void expect_segment(struct mst_port *port, uint16_t number, struct rig_packet *out) {
  struct mst_port_rx rx;
  assert_int_equal(rig_receive(port, &rx, 1), 1);
  rig_parse(&rx, out);
  assert_int_equal(out->protocol, MST_TCP);
  assert_int_equal(out->destination_port, number);
}

static uint8_t pattern(size_t at) {
  return (uint8_t)(at * 31 + (at >> 8));
}

static void kernel_client(struct mst_port *port, const char *addr) {
  rig_hold(port, MST_TCP, addr, 8080);
  int fd = rig_socket(HERE, SOCK_STREAM, addr, 8080, false);
  struct rig_packet in, out;
  expect_segment(port, 8080, &in);
  assert_int_equal(in.tcp.flags & 0x3f, MST__SYN);
  out = rig_reply(&in);
  out.tcp = (struct mst__tcp){.flags = MST__SYN | MST__ACK, .seq = 1000, .ack = in.tcp.seq + 1, .window = 65535};
  port->ops->release(port);
  rig_send(port, &out, NULL);
  assert_true(rig_ready(fd, POLLOUT)); /* it took the SYN-ACK */

  static uint8_t data[200000];
  for (size_t i = 0; i < sizeof data; i++) data[i] = pattern(i);
  size_t sent = 0, received = 0, largest = 0;
  while (received < 40000) {
    if (sent < 40000) {
      ssize_t n = send(fd, data + sent, 40000 - sent, 0);
      if (n > 0) sent += (size_t)n;
    }
    expect_segment(port, 8080, &in);
    for (uint32_t i = 0; i < in.payload_bytes; i++)
      assert_int_equal(((const uint8_t *)in.payload)[i], pattern(received + i));
    received += in.payload_bytes;
    if (in.payload_bytes > largest) largest = in.payload_bytes;
    out.tcp = (struct mst__tcp){.flags = MST__ACK, .seq = 1001, .ack = in.tcp.seq + in.payload_bytes, .window = 65535};
    port->ops->release(port);
    rig_send(port, &out, NULL);
  }
  assert_true(largest > 4096);

  uint8_t answer[60000];
  out.tcp.flags |= MST__PSH;
  out.payload = data;
  out.payload_bytes = sizeof answer; /* one packet */
  rig_send(port, &out, NULL);
  for (size_t got = 0; got < sizeof answer;) {
    assert_true(rig_ready(fd, POLLIN));
    ssize_t n = recv(fd, answer + got, sizeof answer - got, 0);
    assert_true(n > 0);
    got += (size_t)n;
  }
  assert_memory_equal(answer, data, sizeof answer);
  rig_reset(port, fd);
  struct mst_tuple tuple = rig_tuple(MST_TCP, addr, 8080);
  port->ops->tuple_remove(port, &tuple);
}

static void a_kernel_client_connects_here(void **state) {
  kernel_client(*state, "127.0.0.1");
  kernel_client(*state, "127.0.7.9");
  kernel_client(*state, "::1");
  kernel_client(*state, "10.8.0.1");
  kernel_client(*state, "fd08::1");
}

static void connect_to_kernel(struct mst_port *port, const char *addr) {
  int listener = rig_socket(HERE, SOCK_STREAM, addr, 8081, true);
  struct rig_packet in, out = {.source = rig_addr(addr),
                               .destination = rig_addr(addr),
                               .source_port = 50000,
                               .destination_port = 8081,
                               .protocol = MST_TCP,
                               .tcp = {.flags = MST__SYN, .seq = 77, .window = 65535}};
  rig_hold(port, MST_TCP, addr, 50000);
  rig_send(port, &out, NULL);
  expect_segment(port, 50000, &in);
  assert_int_equal(in.tcp.flags & 0x3f, MST__SYN | MST__ACK);
  assert_int_equal(in.tcp.ack, 78);
  out.tcp = (struct mst__tcp){.flags = MST__ACK, .seq = 78, .ack = in.tcp.seq + 1, .window = 65535};
  port->ops->release(port);
  rig_send(port, &out, NULL);
  assert_true(rig_ready(listener, POLLIN));
  int fd = accept(listener, NULL, NULL);
  assert_true(fd >= 0);
  rig_reset(port, fd);
  close(listener);
  struct mst_tuple tuple = rig_tuple(MST_TCP, addr, 50000);
  port->ops->tuple_remove(port, &tuple);
}

static void the_kernel_accepts_a_connection_from_here(void **state) {
  connect_to_kernel(*state, "127.0.0.1");
  connect_to_kernel(*state, "::1");
  connect_to_kernel(*state, "10.8.0.1");
  connect_to_kernel(*state, "fd08::1");
}

/* A wildcard on lo holds every local address; what is not held is the kernel's, at any size. */
static void a_wildcard_holds_and_the_rest_passes(void **state) {
  struct mst_port *port = *state;
  char text[64];
  rig_hold(port, MST_UDP, "::", 4100);
  static const char *const addrs[] = {"127.0.0.1", "127.9.9.9", "10.8.0.1", "::1", "fd08::1"};
  for (size_t i = 0; i < sizeof addrs / sizeof *addrs; i++) {
    struct mst_port_rx rx;
    struct rig_packet in;
    int fd = rig_socket(HERE, SOCK_DGRAM, addrs[i], 4100, false);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    assert_int_equal(rig_receive(port, &rx, 1), 1);
    rig_parse(&rx, &in);
    assert_string_equal(mst_addr_format(&in.destination, text), addrs[i]);
    assert_int_equal(rx.flags, MST_CSUM_VALID);
    port->ops->release(port);
    close(fd);

    static char data[60000], back[60000];
    int server = rig_socket(HERE, SOCK_DGRAM, addrs[i], 4101, true);
    int client = rig_socket(HERE, SOCK_DGRAM, addrs[i], 4101, false);
    memset(data, (int)i + 1, sizeof data);
    assert_int_equal(send(client, data, sizeof data, 0), sizeof data);
    assert_true(rig_ready(server, POLLIN));
    assert_int_equal(recv(server, back, sizeof back, 0), sizeof back);
    assert_memory_equal(data, back, sizeof data);
    close(client);
    close(server);
  }
  struct mst_tuple tuple = rig_tuple(MST_UDP, "::", 4100);
  port->ops->tuple_remove(port, &tuple);
  rig_kernel_tcp(HERE, "127.0.0.1", 4101);
  rig_kernel_tcp(HERE, "::1", 4101);
}

static void no_sysctl_is_touched(void **state) {
  struct mst_port *port = *state;
  struct mst_port_stats stats;
  rig_run("[ $(sysctl -n net.ipv4.conf.lo.accept_local) = 0 ] && [ $(sysctl -n net.ipv4.conf.lo.route_localnet) = 0 ]");
  port->ops->get_stats(port, &stats);
  assert_string_equal(stats.mode, "generic");
  assert_int_equal(stats.tx_dropped, 0);
}

static int open_as_nobody(const char *spec) {
  int status;
  pid_t child = fork();
  if (!child) {
    struct mst_port *port;
    struct mst_failure failure = {0};
    if (setuid(65534)) _exit(1);
    _exit(mst_port_open(spec, &port, &failure) == -MST_EPERM && strstr(failure.message, "CAP_NET_ADMIN") ? 0 : 1);
  }
  waitpid(child, &status, 0);
  return status;
}

static void without_privilege_it_says_what_is_missing(void **state) {
  (void)state;
  assert_int_equal(open_as_nobody("xdp:lo"), 0);
  assert_int_equal(open_as_nobody("tap:mst0,addr=10.6.0.2"), 0);
}

int main(void) {
  rig_begin();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_kernel_client_connects_here),
      cmocka_unit_test(the_kernel_accepts_a_connection_from_here),
      cmocka_unit_test(a_wildcard_holds_and_the_rest_passes),
      cmocka_unit_test(no_sysctl_is_touched),
      cmocka_unit_test(without_privilege_it_says_what_is_missing),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
