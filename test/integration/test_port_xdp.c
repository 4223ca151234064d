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
  for (unsigned i = 0; i < 20; i++) {
    echo_once(f, "10.7.0.1", 4000);
    echo_once(f, "fd07::1", 4000);
  }
}

static struct mst_port_stats stats_of(struct fixture *f) {
  struct mst_port_stats stats;
  f->port->ops->get_stats(f->port, &stats);
  return stats;
}

static void says_native(void **state) {
  struct mst_port_stats stats = stats_of(*state);
  assert_string_equal(stats.mode, "native");
  assert_int_equal(stats.queues, 1);
  assert_non_null(strstr(stats.reason, "zero-copy refused by driver veth"));
}

static void says_generic_and_why(void **state) {
  struct mst_port_stats stats = stats_of(*state);
  assert_string_equal(stats.mode, "generic");
  assert_non_null(strstr(stats.reason, "asked for"));
}

/* A datagram from there reaches a kernel socket here. */
static void expect_kernel_udp(const char *addr, uint16_t number) {
  char answer[8];
  int server = rig_socket(HERE, SOCK_DGRAM, addr, number, true);
  int client = rig_socket(THERE, SOCK_DGRAM, addr, number, false);
  assert_int_equal(send(client, "kernel", 6, 0), 6);
  assert_true(rig_ready(server, POLLIN));
  assert_int_equal(recv(server, answer, sizeof answer, 0), 6);
  close(client);
  close(server);
}

static void expect_kernel_ping(const char *addr) {
  struct sockaddr_storage name;
  socklen_t bytes = rig_sockaddr(&name, addr, 0);
  bool ip4 = name.ss_family == AF_INET;
  uint8_t request[8] = {[0] = ip4 ? 8 : 128, [7] = 1}, answer[128];
  uint16_t checksum = (uint16_t)~mst__csum_fold(mst__csum_add(0, request, sizeof request));
  memcpy(request + 2, &checksum, 2); /* for ICMPv6 the kernel writes it */
  rig_enter(THERE);
  int fd = socket(name.ss_family, SOCK_RAW | SOCK_CLOEXEC, ip4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
  rig_enter(HERE);
  assert_int_equal(sendto(fd, request, sizeof request, 0, (void *)&name, bytes), sizeof request);
  do { /* the kernel's neighbour discovery is seen too */
    assert_true(rig_ready(fd, POLLIN));
    assert_true(recv(fd, answer, sizeof answer, 0) > 0);
  } while (ip4 ? answer[20] != 0 : answer[0] != 129);
  close(fd);
}

static void what_is_not_held_stays_with_the_kernel(void **state) {
  struct fixture *f = *state;
  struct mst_port_rx rx;
  rig_hold(f->port, MST_UDP, "0.0.0.0", 4000);
  rig_hold(f->port, MST_TCP, "::", 4001); /* the same word of the port bitmap as 4002 */
  expect_kernel_ping("10.7.0.1");
  expect_kernel_ping("fd07::1");
  expect_kernel_udp("10.7.0.1", 4001); /* held, but for TCP */
  expect_kernel_udp("fd07::1", 4000);  /* held, but for IPv4 */
  rig_kernel_tcp(THERE, "10.7.0.1", 4002);
  rig_kernel_tcp(THERE, "fd07::1", 4002);
  assert_int_equal(f->port->ops->receive(f->port, &rx, 1), 0);
}

static void a_tuple_given_back_is_the_kernels_again(void **state) {
  struct fixture *f = *state;
  struct mst_tuple tuple = rig_tuple(MST_UDP, "::", 4000);
  rig_hold(f->port, MST_UDP, "::", 4000);
  rig_hold(f->port, MST_UDP, "10.7.0.1", 4000);
  echo_once(f, "10.7.0.1", 4000);
  f->port->ops->tuple_remove(f->port, &tuple);
  echo_once(f, "10.7.0.1", 4000); /* the exact tuple holds it still */
  expect_kernel_udp("fd07::1", 4000);
  tuple = rig_tuple(MST_UDP, "10.7.0.1", 4000);
  f->port->ops->tuple_remove(f->port, &tuple);
  expect_kernel_udp("10.7.0.1", 4000);
  f->port->ops->tuple_remove(f->port, &tuple); /* once more does no harm */
  rig_hold(f->port, MST_UDP, "10.7.0.1", 4000);
  echo_once(f, "10.7.0.1", 4000);
}

/* A wildcard holds all addresses of this host, also those added later, and none that packets merely pass through to. */
static void a_wildcard_holds_local_addresses_alone(void **state) {
  struct fixture *f = *state;
  struct rig_packet packet;
  char payload[64], text[MST_ADDR_TEXT_BYTES];
  rig_hold(f->port, MST_UDP, "::", 4000);
  echo_once(f, "10.7.0.1", 4000);
  echo_once(f, "fd07::1", 4000);
  rig_run("ip addr add 10.7.0.77/24 dev here0 && ip addr add fd07::77/64 dev here0 nodad");
  struct mst_tuple other = rig_tuple(MST_UDP, "::", 4009);
  assert_int_equal(f->port->ops->tuple_add(f->port, &other), 0); /* takes the news in */
  echo_once(f, "10.7.0.77", 4000);
  echo_once(f, "fd07::77", 4000);

  rig_enter(THERE);
  rig_run("ip route add 10.99.0.0/16 via 10.7.0.1 && ip -6 route add fd99::/16 via fd07::1");
  rig_enter(HERE);
  static const char *const addrs[] = {"10.99.0.1", "fd99::1", "10.7.0.1"};
  for (size_t i = 0; i < 3; i++) {
    int fd = rig_socket(THERE, SOCK_DGRAM, addrs[i], 4000, false);
    assert_int_equal(send(fd, "passing", 7, 0), 7);
    close(fd);
  }
  expect_udp(f->port, "passing", &packet, payload);
  assert_string_equal(mst_addr_format(&packet.destination, text), "10.7.0.1");
}

static void icmp_error(struct fixture *f, const char *source, const char *destination) {
  struct mst_port_rx rx;
  struct rig_packet packet = {.source = rig_addr(source),
                              .destination = rig_addr(destination),
                              .source_port = 4000,
                              .destination_port = 9,
                              .protocol = MST_UDP};
  rig_hold(f->port, MST_UDP, source, 4000);
  rig_send(f->port, &packet, f->peer); /* nobody listens there */
  assert_int_equal(rig_receive(f->port, &rx, 1), 1);
  if (rx.data[0] >> 4 == 4) {
    assert_int_equal(rx.data[9], MST_ICMP);
    assert_int_equal(rx.data[20], 3); /* destination unreachable */
  } else {
    assert_int_equal(rx.data[6], MST_ICMP6);
    assert_int_equal(rx.data[40], 1);
  }
  f->port->ops->release(f->port);
}

static void icmp_errors_go_to_the_holder(void **state) {
  icmp_error(*state, "10.7.0.1", "10.7.0.2");
  icmp_error(*state, "fd07::1", "fd07::2");
}

/* First and later fragments of a held tuple come here, where they are counted and dropped; others are reassembled by
 * the kernel, also when their payload looks like a held port. */
static void fragments(struct fixture *f, const char *addr) {
  static uint16_t data[3000]; /* every 16 bits of it read 4000 in network order */
  struct mst_port_rx rx[8];
  for (size_t i = 0; i < 3000; i++) data[i] = htons(4000);
  int held = rig_socket(THERE, SOCK_DGRAM, addr, 4000, false);
  assert_int_equal(send(held, data, sizeof data, 0), sizeof data);
  for (int got = 0; got < 5;) { /* 6008 bytes in pieces of 1480 or 1448 */
    int n = rig_receive(f->port, rx, 8);
    for (int i = 0; i < n; i++) {
      struct mst__ip ip;
      assert_int_equal(mst__ip_parse(rx[i].data, rx[i].len, &ip), MST_DROP_FRAGMENT);
    }
    f->port->ops->release(f->port);
    got += n;
  }
  close(held);

  static uint16_t back[3000];
  int server = rig_socket(HERE, SOCK_DGRAM, addr, 4444, true);
  int client = rig_socket(THERE, SOCK_DGRAM, addr, 4444, false);
  assert_int_equal(send(client, data, sizeof data, 0), sizeof data);
  assert_true(rig_ready(server, POLLIN));
  assert_int_equal(recv(server, back, sizeof back, 0), sizeof data);
  assert_memory_equal(data, back, sizeof data);
  close(client);
  close(server);
  assert_int_equal(f->port->ops->receive(f->port, rx, 8), 0);
}

static void fragments_are_never_read_as_ports(void **state) {
  struct fixture *f = *state;
  rig_hold(f->port, MST_UDP, "::", 4000);
  fragments(f, "10.7.0.1");
  fragments(f, "fd07::1");
}

/* IPv4 options and IPv6 extension headers do not hide the ports. */
static void headers_with_options_are_read(void **state) {
  struct fixture *f = *state;
  struct rig_packet packet;
  char payload[64];
  static const uint8_t router_alert4[4] = {0x94, 4, 0, 0}, padded6[8] = {0, 0, 1, 4};
  rig_hold(f->port, MST_UDP, "::", 4000);
  int fd = rig_socket(THERE, SOCK_DGRAM, "10.7.0.1", 4000, false);
  assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, router_alert4, sizeof router_alert4), 0);
  assert_int_equal(send(fd, "with options", 12, 0), 12);
  expect_udp(f->port, "with options", &packet, payload);
  close(fd);
  fd = rig_socket(THERE, SOCK_DGRAM, "fd07::1", 4000, false);
  assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_DSTOPTS, padded6, sizeof padded6), 0);
  assert_int_equal(send(fd, "with options", 12, 0), 12);
  expect_udp(f->port, "with options", &packet, payload);
  close(fd);
}

/* In generic mode the peer's kernel hands over segments of many MTUs: they come in several buffers. */
static void large_segments_are_put_together(void **state) {
  struct fixture *f = *state;
  static uint8_t data[60000];
  struct mst_port_rx rx[16];
  struct rig_packet in, out;
  uint32_t largest = 0;
  if (strstr(stats_of(f).reason, "before Linux 6.6")) skip();
  rig_hold(f->port, MST_TCP, "10.7.0.1", 8080);
  int fd = rig_socket(THERE, SOCK_STREAM, "10.7.0.1", 8080, false);
  assert_int_equal(rig_receive(f->port, rx, 1), 1);
  rig_parse(&rx[0], &in);
  out = rig_reply(&in);
  out.tcp = (struct mst__tcp){.flags = MST__SYN | MST__ACK,
                              .seq = 1000,
                              .ack = in.tcp.seq + 1,
                              .window = 65535,
                              .options = {.has = MST__HAS_MSS, .mss = 1460}};
  f->port->ops->release(f->port);
  rig_send(f->port, &out, f->peer);
  assert_true(rig_ready(fd, POLLOUT));
  for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 13 + (i >> 8));
  assert_int_equal(send(fd, data, sizeof data, 0), sizeof data);
  uint32_t next = out.tcp.ack, base = next;
  while (next - base < sizeof data) {
    int n = rig_receive(f->port, rx, 16);
    for (int i = 0; i < n; i++) {
      rig_parse(&rx[i], &in);
      if (in.tcp.seq != next || !in.payload_bytes) continue;
      assert_memory_equal(in.payload, data + (next - base), in.payload_bytes);
      next += in.payload_bytes;
      if (rx[i].len > largest) largest = rx[i].len;
    }
    f->port->ops->release(f->port);
    out.tcp = (struct mst__tcp){.flags = MST__ACK, .seq = 1001, .ack = next, .window = 65535};
    rig_send(f->port, &out, f->peer);
  }
  assert_true(largest > 8192);
  close(fd);
}

/* Each flow has a queue by its hash; what came on a queue without a socket would be the kernel's. */
static void all_queues_are_served(void **state) {
  struct fixture *f = *state;
  assert_int_equal(stats_of(f).queues, 2);
  held_tuples_come_here_and_answer(state);
  f->port->ops->close(f->port);
  f->port = rig_open("xdp:here0,queues=1");
  assert_int_equal(stats_of(f).queues, 1);
  assert_non_null(strstr(stats_of(f).reason, "queues=1 of 2"));
}

/* More than the rings hold goes out, in order. */
static void many_packets_go_out_in_order(void **state) {
  struct fixture *f = *state;
  enum { COUNT = 20000 };
  int server = rig_socket(THERE, SOCK_DGRAM, "10.7.0.2", 4500, true);
  int buffer = 64 << 20;
  setsockopt(server, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  rig_hold(f->port, MST_UDP, "10.7.0.1", 4000);
  for (uint32_t i = 0; i < COUNT; i++) {
    struct rig_packet packet = {.source = rig_addr("10.7.0.1"),
                                .destination = rig_addr("10.7.0.2"),
                                .source_port = 4000,
                                .destination_port = 4500,
                                .protocol = MST_UDP,
                                .payload = &i,
                                .payload_bytes = sizeof i};
    rig_send(f->port, &packet, f->peer);
  }
  for (uint32_t i = 0; i < COUNT; i++) {
    uint32_t number;
    assert_true(rig_ready(server, POLLIN));
    assert_int_equal(recv(server, &number, sizeof number, 0), sizeof number);
    assert_int_equal(number, i);
  }
  close(server);
  assert_int_equal(stats_of(f).tx_packets, COUNT);
}

static void a_program_that_is_there_stays(void **state) {
  struct fixture *f = *state;
  struct mst_port *second;
  struct mst_failure failure;
  assert_int_equal(mst_port_open("xdp:here0", &second, &failure), -MST_EBUSY);
  assert_non_null(strstr(failure.message, "another XDP program"));
  assert_non_null(strstr(failure.message, "multistack"));
  assert_int_equal(mst_port_open("xdp:here0,mode=generic", &second, &failure), -MST_EBUSY);
  rig_hold(f->port, MST_UDP, "10.7.0.1", 4000);
  echo_once(f, "10.7.0.1", 4000);
}

static void a_device_that_goes_away_is_told_once_and_quietly(void **state) {
  struct fixture *f = *state;
  struct mst_port_rx rx[4];
  int received;
  rig_hold(f->port, MST_UDP, "10.7.0.1", 4000);
  echo_once(f, "10.7.0.1", 4000);
  rig_run("ip link del here0");
  while ((received = rig_receive(f->port, rx, 4)) > 0) f->port->ops->release(f->port);
  assert_int_equal(received, -MST_ENETDOWN);
  assert_true(rig_quiet(f->port));
  for (int i = 0; i < 5000; i++) { /* what is sent goes nowhere, and nothing is stuck */
    struct rig_packet packet = {.source = rig_addr("10.7.0.1"),
                                .destination = rig_addr("10.7.0.2"),
                                .source_port = 4000,
                                .destination_port = 4500,
                                .protocol = MST_UDP};
    rig_send(f->port, &packet, f->peer);
  }
  assert_int_equal(f->port->ops->receive(f->port, rx, 4), -MST_ENETDOWN);
  struct mst_tuple tuple = rig_tuple(MST_UDP, "0.0.0.0", 4001);
  assert_int_equal(f->port->ops->tuple_add(f->port, &tuple), -MST_ENETDOWN);
  f->port->ops->tuple_remove(f->port, &tuple);
  stats_of(f);
}

static void a_device_that_is_down_for_a_while_works_again(void **state) {
  struct fixture *f = *state;
  rig_hold(f->port, MST_UDP, "10.7.0.1", 4000);
  echo_once(f, "10.7.0.1", 4000);
  rig_run("ip link set here0 down");
  for (int i = 0; i < 5000; i++) {
    struct rig_packet packet = {.source = rig_addr("10.7.0.1"),
                                .destination = rig_addr("10.7.0.2"),
                                .source_port = 4000,
                                .destination_port = 4500,
                                .protocol = MST_UDP};
    rig_send(f->port, &packet, f->peer);
  }
  assert_true(stats_of(f).tx_dropped > 0);
  rig_run("ip link set here0 up && ip addr add fd07::1/64 dev here0 nodad");
  echo_once(f, "10.7.0.1", 4000);
}

static uint32_t attached_program(void) {
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  assert_int_equal(bpf_xdp_query((int)if_nametoindex("here0"), 0, &query), 0);
  return query.prog_id;
}

static void close_and_kill_leave_no_program(void **state) {
  struct fixture *f = *state;
  assert_int_not_equal(attached_program(), 0);
  f->port->ops->close(f->port);
  f->port = NULL;
  assert_int_equal(attached_program(), 0);

  int ready[2];
  char byte;
  assert_int_equal(pipe(ready), 0);
  pid_t child = fork();
  if (!child) {
    rig_hold(rig_open("xdp:here0"), MST_UDP, "10.7.0.1", 4000);
    if (write(ready[1], "x", 1) == 1) pause();
    _exit(1);
  }
  assert_int_equal(read(ready[0], &byte, 1), 1);
  assert_int_not_equal(attached_program(), 0);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  for (int i = 0; attached_program() && i < 1000; i++) poll(NULL, 0, 1); /* the kernel tidies up behind the exit */
  assert_int_equal(attached_program(), 0);
  expect_kernel_udp("10.7.0.1", 4000);
}

static void unsuitable_devices_are_refused(void **state) {
  (void)state;
  struct mst_port *port;
  struct mst_failure failure;
  rig_veth(1);
  rig_run("ip link set here0 down");
  assert_int_equal(mst_port_open("xdp:here0", &port, &failure), -MST_ENETDOWN);
  assert_non_null(strstr(failure.message, "ip link set here0 up"));
  rig_no_veth();
  rig_run("ip tuntap add dev tun7 mode tun && ip link set tun7 up");
  assert_int_equal(mst_port_open("xdp:tun7", &port, &failure), -MST_EOPNOTSUPP);
  rig_run("ip tuntap del dev tun7 mode tun");
  assert_int_equal(mst_port_open("xdp:lo,mode=native", &port, &failure), -MST_EOPNOTSUPP);
  assert_non_null(strstr(failure.message, "xdp:lo"));
}

#define NATIVE(test) cmocka_unit_test_setup_teardown(test, setup_native, teardown)
#define GENERIC(test) cmocka_unit_test_setup_teardown(test, setup_generic, teardown)
#define BOTH(test) NATIVE(test), GENERIC(test)

int main(void) {
  rig_begin();
  const struct CMUnitTest tests[] = {
      NATIVE(says_native),
      GENERIC(says_generic_and_why),
      BOTH(held_tuples_come_here_and_answer),
      BOTH(what_is_not_held_stays_with_the_kernel),
      NATIVE(a_tuple_given_back_is_the_kernels_again),
      BOTH(a_wildcard_holds_local_addresses_alone),
      BOTH(icmp_errors_go_to_the_holder),
      BOTH(fragments_are_never_read_as_ports),
      BOTH(headers_with_options_are_read),
      GENERIC(large_segments_are_put_together),
      cmocka_unit_test_setup_teardown(all_queues_are_served, setup_queues, teardown),
      BOTH(many_packets_go_out_in_order),
      NATIVE(a_program_that_is_there_stays),
      GENERIC(a_program_that_is_there_stays),
      BOTH(a_device_that_goes_away_is_told_once_and_quietly),
      NATIVE(a_device_that_is_down_for_a_while_works_again),
      BOTH(close_and_kill_leave_no_program),
      cmocka_unit_test(unsuitable_devices_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
