/* Datagrams to and from the kernel as peer, over veth, lo and tap, IPv4 and IPv6: sizes up to the path's, a wildcard
 * server that answers from the address that was asked, and what ICMP tells either side. Needs root; all devices are in
 * namespaces of this process's own. */
#include "port_rig.h"

#include "multistack/host.h"

#define PORT 5300

struct way {
  const char *spec;
  int where; /* the kernel peer's namespace */
  const char *stack_addr, *peer_addr;
};

#define TAP "tap:mst0,host=10.6.0.1/24,host=fd06::1/64,addr=10.6.0.2,addr=fd06::2"
static const struct way ways[] = {
    {"xdp:here0", THERE, "10.7.0.1", "10.7.0.2"}, {"xdp:here0", THERE, "fd07::1", "fd07::2"},
    {"xdp:lo", HERE, "127.0.0.1", "127.0.0.1"},   {"xdp:lo", HERE, "::1", "::1"},
    {TAP, HERE, "10.6.0.2", "10.6.0.1"},          {TAP, HERE, "fd06::2", "fd06::1"},
};

struct ours {
  mst_host *host;
  mst_stack *stack;
  mst_udp *udp;
  unsigned calls;
  int error;
};

static void on_event(mst_udp *udp, int error, void *user) {
  (void)udp;
  struct ours *o = user;
  o->calls++;
  if (error) o->error = error;
}

static void ours_open(struct ours *o, const char *spec) {
  const char *const ports[] = {spec, NULL};
  struct mst_host_options options = {.size = sizeof options, .ports = ports};
  struct mst_failure failure = {0};
  *o = (struct ours){0};
  if (mst_host_open(&options, &o->host, &failure)) fail_msg("%s", failure.message);
  assert_int_equal(mst_host_add_stack(o->host, NULL, &o->stack), 0);
}

static void ours_bind(struct ours *o, struct mst_addr addr, uint16_t port) {
  mst_binding *binding;
  struct mst_endpoint local = {.addr = addr, .port = port};
  assert_int_equal(mst_bind(o->stack, MST_UDP, &local, 0, &binding), 0);
  assert_int_equal(mst_udp_open(o->stack, binding, on_event, o, &o->udp), 0);
  mst_unbind(binding);
}

static void turn(mst_host *host) {
  mst_host_flush(host);
  struct pollfd pollfd = {.fd = mst_host_wait_fd(host), .events = POLLIN};
  poll(&pollfd, 1, 10);
  mst_host_process(host);
}

/* Until the callback has run once more. */
static void wait_call(struct ours *o) {
  unsigned before = o->calls;
  for (int i = 0; i < RIG_TIMEOUT_MS / 10 && o->calls == before; i++) turn(o->host);
  if (o->calls == before) fail_msg("nothing came");
}

static bool kernel_ready(struct ours *o, int fd) {
  struct pollfd pollfd = {.fd = fd, .events = POLLIN};
  for (int i = 0; i < RIG_TIMEOUT_MS / 10; i++) {
    turn(o->host);
    if (poll(&pollfd, 1, 0) == 1) return true;
  }
  return false;
}

static void fill(uint8_t *data, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) data[i] = (uint8_t)(i * 7 + bytes);
}

/* --- the kernel asks, the stack answers from the address that was asked --- */

static void echo_one(struct ours *o, int fd, size_t bytes) {
  static uint8_t out[65536], in[65536];
  struct mst_endpoint remote, local;
  fill(out, bytes);
  assert_int_equal(send(fd, out, bytes, 0), bytes);
  wait_call(o);
  assert_int_equal(mst_udp_receive(o->udp, in, sizeof in, &remote, &local), bytes);
  assert_memory_equal(in, out, bytes);
  assert_int_equal(local.port, PORT);
  struct mst_iov iov = {in, bytes};
  assert_int_equal(mst_udp_send(o->udp, &iov, 1, &local, &remote), 0);
  memset(in, 0, bytes);
  mst_host_flush(o->host);
  /* The socket is connected: from any other address the answer would not reach it. */
  if (!kernel_ready(o, fd)) fail_msg("no answer to %zu bytes", bytes);
  assert_int_equal(recv(fd, in, sizeof in, 0), bytes);
  assert_memory_equal(in, out, bytes);
}

static void echo_all(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 100, 512, 1400, 1452};
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    struct ours ours;
    ours_open(&ours, ways[i].spec);
    ours_bind(&ours, MST_ADDR_ANY6, PORT);
    int fd = rig_socket(ways[i].where, SOCK_DGRAM, ways[i].stack_addr, PORT, false);
    for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) echo_one(&ours, fd, sizes[j]);
    close(fd);
    mst_host_close(ours.host);
  }
}

/* The second address of a device is not the one that the route would choose. */
static void answers_from_second_address(void **state) {
  (void)state;
  static const char *const addrs[] = {"10.7.0.77", "fd07::77"};
  rig_run("ip addr add 10.7.0.77/24 dev here0; ip addr add fd07::77/64 dev here0 nodad");
  for (size_t i = 0; i < 2; i++) {
    struct ours ours;
    ours_open(&ours, "xdp:here0");
    ours_bind(&ours, MST_ADDR_ANY6, PORT);
    int fd = rig_socket(THERE, SOCK_DGRAM, addrs[i], PORT, false);
    echo_one(&ours, fd, 100);
    close(fd);
    mst_host_close(ours.host);
  }
  rig_run("ip addr del 10.7.0.77/24 dev here0; ip addr del fd07::77/64 dev here0");
}

/* --- the stack asks --- */

static void ask_all(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    struct ours ours;
    struct mst_endpoint remote = {.addr = rig_addr(ways[i].peer_addr), .port = PORT + 1}, from;
    ours_open(&ours, ways[i].spec);
    assert_int_equal(mst_udp_open(ours.stack, NULL, on_event, &ours, &ours.udp), 0);
    int fd = rig_socket(ways[i].where, SOCK_DGRAM, ways[i].peer_addr, PORT + 1, true);
    struct mst_iov iov = {"question", 8};
    char text[16];
    assert_int_equal(mst_udp_send(ours.udp, &iov, 1, NULL, &remote), 0);
    assert_true(kernel_ready(&ours, fd));
    struct sockaddr_storage name;
    socklen_t bytes = sizeof name;
    assert_int_equal(recvfrom(fd, text, sizeof text, 0, (void *)&name, &bytes), 8);
    assert_memory_equal(text, "question", 8);
    assert_int_equal(sendto(fd, "answer", 6, 0, (void *)&name, bytes), 6);
    wait_call(&ours);
    assert_int_equal(mst_udp_receive(ours.udp, text, sizeof text, &from, NULL), 6);
    assert_memory_equal(text, "answer", 6);
    assert_true(mst_addr_equal(&from.addr, &remote.addr) && from.port == PORT + 1);
    close(fd);
    mst_host_close(ours.host);
  }
}

/* Nobody there: the kernel's ICMP is told to the connected socket. */
static void refused(void **state) {
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    struct ours ours;
    struct mst_endpoint remote = {.addr = rig_addr(ways[i].peer_addr), .port = PORT + 2};
    ours_open(&ours, ways[i].spec);
    assert_int_equal(mst_udp_open(ours.stack, NULL, on_event, &ours, &ours.udp), 0);
    assert_int_equal(mst_udp_connect(ours.udp, &remote), 0);
    assert_int_equal(mst_udp_send(ours.udp, &(struct mst_iov){"x", 1}, 1, NULL, NULL), 0);
    wait_call(&ours);
    assert_int_equal(ours.error, -MST_ECONNREFUSED);
    mst_host_close(ours.host);
  }
}

static int setup(void **state) {
  (void)state;
  rig_veth(1);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  rig_no_veth();
  return 0;
}

int main(void) {
  rig_begin();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(echo_all),
      cmocka_unit_test(answers_from_second_address),
      cmocka_unit_test(ask_all),
      cmocka_unit_test(refused),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
