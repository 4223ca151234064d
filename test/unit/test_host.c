/* The embedded host without a device: its loop contract, and what it asks of Linux that needs no privilege. */
#include "host/host_internal.h"
#include "unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct transfer {
  mst_listener *listener;
  mst_conn *server, *client;
  size_t want, sent, got;
  int client_error;
  bool ended;
};

static uint8_t byte_at(size_t i) {
  return (uint8_t)(i * 31 >> 3);
}

static void server_event(mst_conn *conn, unsigned events, void *user) {
  struct transfer *t = user;
  uint8_t bytes[8192];
  ptrdiff_t n;
  (void)events;
  while ((n = mst_read(conn, bytes, sizeof bytes)) > 0)
    for (ptrdiff_t i = 0; i < n; i++) assert_int_equal(bytes[i], byte_at(t->got++));
  if (n == 0) t->ended = true;
}

static void accepted(mst_listener *listener, void *user) {
  struct transfer *t = user;
  t->server = mst_accept(listener);
  assert_non_null(t->server);
  mst_conn_set_event(t->server, server_event, t);
  server_event(t->server, 0, t);
}

static void client_event(mst_conn *conn, unsigned events, void *user) {
  struct transfer *t = user;
  if (events & MST_EV_ERROR) {
    t->client_error = mst_conn_error(conn);
    t->ended = true;
    return;
  }
  while (t->sent < t->want) {
    uint8_t bytes[8192];
    size_t count = t->want - t->sent < sizeof bytes ? t->want - t->sent : sizeof bytes;
    for (size_t i = 0; i < count; i++) bytes[i] = byte_at(t->sent + i);
    ptrdiff_t n = mst_write(conn, bytes, count);
    if (n < 0) return;
    t->sent += (size_t)n;
  }
  mst_shutdown(conn);
}

static struct mst_endpoint endpoint(const char *text, uint16_t port) {
  return (struct mst_endpoint){.addr = addr(text), .port = port};
}

/* As a loop does it: process, flush, sleep until the deadline. */
static void run(mst_host *host, const bool *until) {
  while (!*until) {
    mst_host_process(host);
    mst_host_flush(host);
    uint64_t deadline = mst_host_deadline(host), now = mst_host_now(host);
    if (*until || deadline <= now) continue;
    assert_int_not_equal(deadline, UINT64_MAX); /* nothing would ever happen again */
    struct pollfd wait = {.fd = mst_host_wait_fd(host), .events = POLLIN};
    poll(&wait, 1, (int)((deadline - now) / 1000000 + 1));
  }
}

static void transfer(const char *listen, const char *connect, size_t bytes, bool same_stack) {
  mst_host *host;
  mst_stack *server, *client;
  mst_binding *binding;
  struct transfer t = {.want = bytes};
  struct mst_endpoint local = endpoint(listen, 8080), remote = endpoint(connect, 8080);
  assert_int_equal(mst_host_open(NULL, &host, NULL), 0);
  assert_int_equal(mst_host_add_stack(host, NULL, &server), 0);
  client = server;
  if (!same_stack) assert_int_equal(mst_host_add_stack(host, NULL, &client), 0);
  assert_int_equal(mst_bind(server, MST_TCP, &local, 0, &binding), 0);
  assert_int_equal(mst_listen(binding, 0, accepted, &t, &t.listener), 0);
  mst_unbind(binding);
  assert_int_equal(mst_connect(client, NULL, &remote, client_event, &t, &t.client), 0);
  run(host, &t.ended);
  assert_int_equal(t.got, bytes);
  mst_close(t.server);
  mst_close(t.client);
  mst_listener_close(t.listener);
  mst_host_close(host);
}

static void stacks_meet_in_the_switch(void **state) {
  (void)state;
  transfer("127.0.0.1", "127.0.0.1", 3000000, false);
  transfer("0.0.0.0", "192.0.2.1", 100000, false);
  transfer("::1", "::1", 3000000, false);
  transfer("::", "127.0.0.1", 1, false);
  transfer("127.0.0.1", "127.0.0.1", 300000, true);
}

static void closed_port_refuses(void **state) {
  (void)state;
  mst_host *host;
  mst_stack *stack;
  struct transfer t = {0};
  struct mst_endpoint remote = endpoint("127.0.0.1", 9);
  assert_int_equal(mst_host_open(NULL, &host, NULL), 0);
  assert_int_equal(mst_host_add_stack(host, NULL, &stack), 0);
  assert_int_equal(mst_connect(stack, NULL, &remote, client_event, &t, &t.client), 0);
  run(host, &t.ended);
  assert_int_equal(t.client_error, -MST_ECONNREFUSED);
  mst_close(t.client);
  mst_host_close(host);
}

static void host_at_rest_wants_nothing(void **state) {
  (void)state;
  mst_host *host;
  mst_stack *stack;
  assert_int_equal(mst_host_open(NULL, &host, NULL), 0);
  assert_int_equal(mst_host_add_stack(host, NULL, &stack), 0);
  assert_int_equal(mst_host_process(host), 0);
  mst_host_flush(host);
  assert_true(mst_host_deadline(host) == UINT64_MAX);
  struct pollfd wait = {.fd = mst_host_wait_fd(host), .events = POLLIN};
  assert_int_equal(poll(&wait, 1, 0), 0);
  mst_host_close(host);
}

static void stacks_cannot_hold_the_same_tuple(void **state) {
  (void)state;
  mst_host *host;
  mst_stack *a, *b;
  mst_binding *first, *second;
  struct mst_endpoint local = endpoint("127.0.0.1", 80);
  assert_int_equal(mst_host_open(NULL, &host, NULL), 0);
  assert_int_equal(mst_host_add_stack(host, NULL, &a), 0);
  assert_int_equal(mst_host_add_stack(host, NULL, &b), 0);
  assert_int_equal(mst_bind(a, MST_TCP, &local, 0, &first), 0);
  assert_true(mst_switch_holds(mst_host_switch(host), MST_TCP, &local));
  assert_int_equal(mst_bind(b, MST_TCP, &local, 0, &second), -MST_EADDRINUSE);
  mst_unbind(first);
  assert_int_equal(mst_bind(b, MST_TCP, &local, 0, &second), 0);
  mst_unbind(second);
  mst_host_close(host);
}

static void bad_ports_are_told_in_one_line(void **state) {
  (void)state;
  mst_host *host;
  struct mst_failure failure = {0};
  const char *const ports[] = {"nonsense:x", NULL};
  struct mst_host_options options = {.size = sizeof options, .ports = ports};
  int error = mst_host_open(&options, &host, &failure);
  assert_true(error < 0);
  assert_int_equal(failure.code, error);
  assert_non_null(strstr(failure.message, "nonsense"));
  assert_null(strchr(failure.message, '\n'));
  options = (struct mst_host_options){.size = 3};
  assert_int_equal(mst_host_open(&options, &host, NULL), -MST_EINVAL);
  options = (struct mst_host_options){.size = sizeof options, .pcap_path = "/nowhere/at/all.pcapng"};
  assert_int_equal(mst_host_open(&options, &host, &failure), -MST_ENOENT);
}

static void statistics_are_one_json_object(void **state) {
  (void)state;
  mst_host *host;
  mst_stack *stack;
  char text[65536], cut[100];
  assert_int_equal(mst_host_open(NULL, &host, NULL), 0);
  assert_int_equal(mst_host_add_stack(host, NULL, &stack), 0);
  assert_int_equal(mst_host_add_stack(host, NULL, &stack), 0);
  int length = mst_host_stats_json(host, text, sizeof text);
  assert_true(length > 100 && (size_t)length < sizeof text);
  assert_int_equal(strlen(text), length);
  int depth = 0;
  for (const char *c = text; *c; c++) {
    depth += (*c == '{' || *c == '[') - (*c == '}' || *c == ']');
    assert_true(depth > 0 || !c[1]);
  }
  assert_int_equal(depth, 0);
  assert_non_null(strstr(text, "\"tcp_in_segs\":0"));
  assert_int_equal(mst_host_stats_json(host, cut, sizeof cut), length);
  assert_int_equal(strlen(cut), sizeof cut - 1);
  assert_int_equal(mst_host_stats_json(host, NULL, 0), length);
  mst_host_close(host);
}

static void captures_hold_all_packets(void **state) {
  (void)state;
  mst_host *host;
  mst_stack *stack;
  struct transfer t = {0};
  struct mst_endpoint remote = endpoint("127.0.0.1", 9);
  char path[] = "/tmp/multistack-test-XXXXXX";
  close(mkstemp(path));
  struct mst_host_options options = {.size = sizeof options, .pcap_path = path};
  assert_int_equal(mst_host_open(&options, &host, NULL), 0);
  assert_int_equal(mst_host_add_stack(host, NULL, &stack), 0);
  assert_int_equal(mst_connect(stack, NULL, &remote, client_event, &t, &t.client), 0);
  run(host, &t.ended);
  mst_close(t.client);
  mst_host_close(host);
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  uint32_t block[2];
  unsigned packets = 0;
  while (fread(block, sizeof block, 1, file) == 1) {
    packets += block[0] == 6; /* enhanced packet block */
    if (fseek(file, (long)block[1] - 8, SEEK_CUR)) break;
  }
  fclose(file);
  unlink(path);
  assert_int_equal(packets, 2); /* the SYN and its refusal */
}

/* --- Linux --- */

/* A socket of an OS program, bound to a free port of 127.0.0.1. */
static int os_program(uint16_t *port) {
  struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t bytes = sizeof sin;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &bytes), 0);
  *port = ntohs(sin.sin_port);
  return fd;
}

static void reservations_shut_os_programs_out(void **state) {
  (void)state;
  struct mst__os_linux *os;
  intptr_t cookie;
  uint16_t port;
  assert_int_equal(mst__os_linux_open(&os, NULL), 0);
  const struct mst_switch_os *ops = mst__os_linux_ops(os);
  int program = os_program(&port);
  struct mst_tuple tuple = {.addr = addr("127.0.0.1"), .port = port, .protocol = MST_TCP};
  assert_int_equal(ops->reserve(ops->ctx, &tuple, &cookie), -MST_EADDRINUSE);
  tuple.addr = MST_ADDR_ANY6;
  assert_int_equal(ops->reserve(ops->ctx, &tuple, &cookie), -MST_EADDRINUSE);
  tuple.flags = MST_BIND_V6ONLY;
  assert_int_equal(ops->reserve(ops->ctx, &tuple, &cookie), 0);
  ops->unreserve(ops->ctx, cookie);
  close(program);
  tuple = (struct mst_tuple){.addr = addr("127.0.0.1"), .port = port, .protocol = MST_TCP};
  assert_int_equal(ops->reserve(ops->ctx, &tuple, &cookie), 0);
  struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
  program = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(program, (struct sockaddr *)&sin, sizeof sin), -1);
  assert_int_equal(errno, EADDRINUSE);
  ops->unreserve(ops->ctx, cookie);
  assert_int_equal(bind(program, (struct sockaddr *)&sin, sizeof sin), 0);
  close(program);
  tuple = (struct mst_tuple){.addr = addr("198.51.100.77"), .port = port, .protocol = MST_UDP};
  assert_int_equal(ops->reserve(ops->ctx, &tuple, &cookie), -MST_EADDRNOTAVAIL);
  tuple = (struct mst_tuple){.addr = addr("127.0.0.1"), .protocol = MST_UDP};
  assert_int_equal(ops->reserve(ops->ctx, &tuple, &cookie), 0);
  assert_int_not_equal(tuple.port, 0);
  ops->unreserve(ops->ctx, cookie);
  mst__os_linux_close(os);
}

static int os_socket(uint16_t port, int reuse, int *error) {
  struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse), 0);
  *error = bind(fd, (struct sockaddr *)&sin, sizeof sin) ? errno : 0;
  if (!*error) *error = listen(fd, 1) ? errno : 0;
  return fd;
}

/* A server of the OS's that served somebody and ended leaves TIME-WAIT behind; its port can be held all the same, and
 * is then held against programs that would share it too. */
static void ports_in_time_wait_can_be_held(void **state) {
  (void)state;
  struct mst__os_linux *os;
  intptr_t cookie;
  uint16_t port;
  int error;
  close(os_program(&port));
  int listener = os_socket(port, 1, &error);
  assert_int_equal(error, 0);
  struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
  int client = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(client, (struct sockaddr *)&sin, sizeof sin), 0);
  int served = accept(listener, NULL, NULL);
  assert_int_equal(mst__os_linux_open(&os, NULL), 0);
  const struct mst_switch_os *ops = mst__os_linux_ops(os);
  struct mst_tuple tuple = {.addr = addr("127.0.0.1"), .port = port, .protocol = MST_TCP};
  assert_int_equal(ops->reserve(ops->ctx, &tuple, &cookie), -MST_EADDRINUSE); /* it still listens */
  close(listener);
  assert_int_equal(ops->reserve(ops->ctx, &tuple, &cookie), -MST_EADDRINUSE); /* a connection is alive */
  close(served);                                                              /* closes first: TIME-WAIT is here */
  close(client);
  assert_int_equal(ops->reserve(ops->ctx, &tuple, &cookie), 0);
  for (int reuse = 0; reuse < 2; reuse++) {
    close(os_socket(port, reuse, &error));
    assert_int_equal(error, EADDRINUSE);
  }
  int refused = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(refused, (struct sockaddr *)&sin, sizeof sin), -1); /* the reservation serves nobody */
  assert_int_equal(errno, ECONNREFUSED);
  close(refused);
  ops->unreserve(ops->ctx, cookie);
  close(os_socket(port, 1, &error));
  assert_int_equal(error, 0);
  mst__os_linux_close(os);
}

static void routes_come_from_the_kernel(void **state) {
  (void)state;
  struct mst__os_linux *os;
  struct mst_next_hop hop;
  struct mst_addr loopback = addr("127.0.0.1"), broadcast = addr("127.255.255.255");
  assert_int_equal(mst__os_linux_open(&os, NULL), 0);
  const struct mst_switch_os *ops = mst__os_linux_ops(os);
  assert_int_equal(ops->route(ops->ctx, &loopback, &hop), 0);
  assert_true(hop.local);
  assert_true(mst_addr_equal(&hop.source, &loopback));
  assert_int_equal(hop.mtu, 65535);
  assert_int_equal(ops->route(ops->ctx, &broadcast, &hop), -MST_ENETUNREACH);
  struct pollfd wait = {.fd = mst__os_linux_wait_fd(os), .events = POLLIN};
  assert_true(poll(&wait, 1, 0) >= 0);
  mst__os_linux_close(os);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(stacks_meet_in_the_switch),      cmocka_unit_test(closed_port_refuses),
      cmocka_unit_test(host_at_rest_wants_nothing),     cmocka_unit_test(stacks_cannot_hold_the_same_tuple),
      cmocka_unit_test(bad_ports_are_told_in_one_line), cmocka_unit_test(statistics_are_one_json_object),
      cmocka_unit_test(captures_hold_all_packets),      cmocka_unit_test(reservations_shut_os_programs_out),
      cmocka_unit_test(ports_in_time_wait_can_be_held), cmocka_unit_test(routes_come_from_the_kernel),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
