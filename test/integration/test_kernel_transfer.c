/* Data to and from the kernel as peer: the whole of MultiStack (stack, channel, switch, port) in this process, kernel
 * sockets in a child. Over veth, lo and tap; IPv4 and IPv6; each side in either role; full duplex; 1 byte to 1 GiB,
 * every byte compared. Needs root; all devices are in namespaces of this process's own. */
#include "pattern.h"
#include "port_rig.h"

#include "multistack/host.h"

#include <sys/syscall.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
#define LARGE (64ull << 20)
#else
#define LARGE (1ull << 30)
#endif

#define CASE_TIMEOUT_S 100

/* --- the kernel's side, in a child --- */

struct peer {
  int where; /* HERE or THERE */
  const char *addr;
  uint16_t port;
  bool server;
  uint64_t send_bytes, receive_bytes;
  unsigned connections;
};

static void child_fail(const char *what) {
  fprintf(stderr, "kernel side: %s (%s)\n", what, strerror(errno));
  _exit(1);
}

static bool peer_send(int fd, uint64_t *sent, uint64_t total) {
  while (*sent < total) {
    size_t n = total - *sent < PATTERN_BYTES ? (size_t)(total - *sent) : PATTERN_BYTES;
    ssize_t taken = send(fd, pattern_at(*sent), n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken < 0 && errno == EAGAIN) return false;
    if (taken < 0) child_fail("send");
    *sent += (uint64_t)taken;
  }
  shutdown(fd, SHUT_WR);
  return true;
}

/* True: the end. */
static bool peer_receive(int fd, uint64_t *received) {
  static uint8_t buffer[1 << 20];
  for (;;) {
    ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return false;
    if (n < 0) child_fail("recv");
    if (n == 0) return true;
    if (!is_pattern(*received, buffer, (size_t)n)) child_fail("wrong bytes");
    *received += (uint64_t)n;
  }
}

static void peer_exchange(const struct peer *peer, int fd) {
  uint64_t sent = 0, received = 0;
  bool all_sent = false, ended = false;
  while (!all_sent || !ended) {
    struct pollfd pollfd = {.fd = fd, .events = (short)((all_sent ? 0 : POLLOUT) | (ended ? 0 : POLLIN))};
    if (poll(&pollfd, 1, CASE_TIMEOUT_S * 1000) <= 0) child_fail("nothing moves");
    if (!all_sent) all_sent = peer_send(fd, &sent, peer->send_bytes);
    if (!ended) ended = peer_receive(fd, &received);
  }
  if (received != peer->receive_bytes) child_fail("the end came at another place");
  close(fd);
}

static int peer_connect(const struct peer *peer) {
  struct sockaddr_storage name;
  socklen_t bytes = rig_sockaddr(&name, peer->addr, peer->port);
  int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, (void *)&name, bytes)) child_fail("connect");
  return fd;
}

static void peer_run(const struct peer *peer, int ready) {
  int listener = -1;
  if (setns(rig_namespace[peer->where], CLONE_NEWNET)) child_fail("setns");
  if (peer->server) {
    struct sockaddr_storage name;
    socklen_t bytes = rig_sockaddr(&name, peer->addr, peer->port);
    int one = 1;
    listener = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&name, bytes) || listen(listener, 128)) child_fail("listen");
  }
  if (write(ready, "", 1) != 1) child_fail("write");
  for (unsigned i = 0; i < peer->connections; i++) {
    int fd = peer->server ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : peer_connect(peer);
    if (fd < 0) child_fail("accept");
    peer_exchange(peer, fd);
  }
  _exit(0);
}

static pid_t peer_start(const struct peer *peer) {
  int ready[2];
  char byte;
  assert_int_equal(pipe(ready), 0);
  pid_t child = fork();
  if (!child) {
    alarm(CASE_TIMEOUT_S + 20);
    peer_run(peer, ready[1]);
  }
  assert_true(child > 0);
  close(ready[1]);
  assert_int_equal(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  return child;
}

/* --- our side --- */

struct ours {
  mst_host *host;
  mst_stack *stack;
  mst_listener *listener;
  mst_conn *conn;
  uint64_t send_bytes, receive_bytes, sent, received;
  bool shut, eof;
  unsigned finished;
  const char *wrong;
};

static void receive_all(struct ours *o) {
  struct mst_iov spans[16];
  for (size_t count; (count = mst_peek(o->conn, spans, 16));) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
      if (!is_pattern(o->received + bytes, spans[i].base, spans[i].len)) o->wrong = "wrong bytes";
      bytes += spans[i].len;
    }
    o->received += bytes;
    mst_consume(o->conn, bytes);
  }
  char byte;
  ptrdiff_t n = mst_read(o->conn, &byte, 1);
  if (n == 0)
    o->eof = true;
  else if (n != -MST_EAGAIN)
    o->wrong = mst_strerror((int)n);
}

static void send_all(struct ours *o) {
  while (o->sent < o->send_bytes) {
    size_t n = o->send_bytes - o->sent < PATTERN_BYTES ? (size_t)(o->send_bytes - o->sent) : PATTERN_BYTES;
    ptrdiff_t taken = mst_write(o->conn, pattern_at(o->sent), n);
    if (taken == -MST_EAGAIN) return;
    if (taken < 0) {
      o->wrong = mst_strerror((int)taken);
      return;
    }
    o->sent += (uint64_t)taken;
    if ((size_t)taken < n) return;
  }
  if (!o->shut) o->shut = mst_shutdown(o->conn) == 0;
}

static void begin(struct ours *o) {
  o->sent = o->received = 0;
  o->shut = o->eof = false;
}

static void finish_when_over(struct ours *o) {
  if (!o->conn || !o->eof || !o->shut) return;
  if (o->received != o->receive_bytes) o->wrong = "the end came at another place";
  mst_close(o->conn);
  o->conn = NULL;
  o->finished++;
}

static void on_event(mst_conn *conn, unsigned events, void *user) {
  struct ours *o = user;
  if (events & MST_EV_ERROR) {
    o->wrong = mst_strerror(mst_conn_error(conn));
    return;
  }
  if (events & MST_EV_READABLE) receive_all(o);
  if (events & (MST_EV_CONNECTED | MST_EV_WRITABLE)) send_all(o);
  finish_when_over(o);
}

static void adopt(struct ours *o, mst_conn *conn) {
  begin(o);
  o->conn = conn;
  mst_conn_set_event(conn, on_event, o);
  receive_all(o);
  send_all(o);
  finish_when_over(o);
}

static void on_listener(mst_listener *listener, void *user) {
  struct ours *o = user;
  /* One after the other; the rest waits in the queue. */
  for (mst_conn *conn; !o->conn && (conn = mst_accept(listener));) adopt(o, conn);
}

static uint64_t deadline_ms(mst_host *host) {
  uint64_t deadline = mst_host_deadline(host), now = mst_host_now(host);
  if (deadline <= now) return 0;
  deadline = (deadline - now + 999999) / 1000000;
  return deadline < 200 ? deadline : 200;
}

static void turn(mst_host *host) {
  mst_host_flush(host);
  struct pollfd pollfd = {.fd = mst_host_wait_fd(host), .events = POLLIN};
  poll(&pollfd, 1, (int)deadline_ms(host));
  mst_host_process(host);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool port_thread; /* the port gets a thread of its own */

static void ours_open(struct ours *o, const char *spec) {
  const char *const ports[] = {spec, NULL};
  struct mst_host_options options = {.size = sizeof options, .ports = ports, .threads = port_thread ? 2 : 1};
  struct mst_failure failure = {0};
  *o = (struct ours){0};
  if (mst_host_open(&options, &o->host, &failure)) fail_msg("%s", failure.message);
  assert_int_equal(mst_host_add_stack(o->host, NULL, &o->stack), 0);
}

static void ours_listen(struct ours *o, const char *addr, uint16_t port) {
  mst_binding *binding;
  struct mst_endpoint local = {.addr = rig_addr(addr), .port = port};
  int rc = mst_bind(o->stack, MST_TCP, &local, 0, &binding);
  if (rc) fail_msg("mst_bind %s %u: %s", addr, port, mst_strerror(rc));
  assert_int_equal(mst_listen(binding, 128, on_listener, o, &o->listener), 0);
  mst_unbind(binding);
}

static void ours_connect(struct ours *o, const char *addr, uint16_t port) {
  struct mst_endpoint remote = {.addr = rig_addr(addr), .port = port};
  begin(o);
  int rc = mst_connect(o->stack, NULL, &remote, on_event, o, &o->conn);
  if (rc) fail_msg("mst_connect %s %u: %s", addr, port, mst_strerror(rc));
}

/* --- the cases --- */

static uint16_t next_port = 7000;

struct way {
  const char *spec;
  int where;                          /* the kernel peer's namespace */
  const char *stack_addr, *peer_addr; /* the latter where the stack connects to */
};

/* Both directions `bytes`, `connections` times; the stack in the given role. */
static void exchange(struct ours *o, const struct way *way, bool stack_serves, uint64_t to_peer, uint64_t to_stack,
                     unsigned connections) {
  uint16_t port = next_port++;
  struct peer peer = {.where = way->where,
                      .addr = stack_serves ? way->stack_addr : way->peer_addr,
                      .port = port,
                      .server = !stack_serves,
                      .send_bytes = to_stack,
                      .receive_bytes = to_peer,
                      .connections = connections};
  o->send_bytes = to_peer;
  o->receive_bytes = to_stack;
  o->finished = 0;
  if (stack_serves) ours_listen(o, way->stack_addr, port);
  pid_t child = peer_start(&peer);
  double start = seconds();
  while (o->finished < connections && !o->wrong && seconds() - start < CASE_TIMEOUT_S) {
    if (!o->conn && !stack_serves) ours_connect(o, way->peer_addr, port);
    if (!o->conn && stack_serves) on_listener(o->listener, o);
    turn(o->host);
  }
  double took = seconds() - start;
  int status = 1;
  while (!o->wrong && o->finished == connections && waitpid(child, &status, WNOHANG) == 0 &&
         seconds() - start < CASE_TIMEOUT_S)
    turn(o->host);
  if (o->wrong || o->finished < connections || status) {
    kill(child, SIGKILL);
    fail_msg("%s %s, %s: %s; %llu of %llu sent, %llu of %llu received, %u of %u connections", way->spec, peer.addr,
             stack_serves ? "serving" : "connecting",
             o->wrong ? o->wrong
             : status ? "kernel side failed"
                      : "timeout",
             (unsigned long long)o->sent, (unsigned long long)to_peer, (unsigned long long)o->received,
             (unsigned long long)to_stack, o->finished, connections);
  }
  if (o->listener) mst_listener_close(o->listener);
  o->listener = NULL;
  if (to_peer + to_stack >= 100 << 20)
    print_message("%s %s, %s: %.0f MiB to the kernel, %.0f from it in %.2f s, %.2f Gb/s\n", way->spec, peer.addr,
                  stack_serves ? "serving" : "connecting", (double)to_peer / 1048576, (double)to_stack / 1048576, took,
                  (double)(to_peer + to_stack) * 8e-9 / took);
}

static void all_sizes(const struct way *way) {
  static const uint64_t sizes[] = {0, 1, 1447, 65536, 1000003, 20 << 20};
  struct ours ours;
  ours_open(&ours, way->spec);
  for (int serves = 0; serves < 2; serves++) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) exchange(&ours, way, serves, sizes[i], sizes[i], 1);
    exchange(&ours, way, serves, 1, 3 << 20, 1);
    exchange(&ours, way, serves, 3 << 20, 1, 1);
    exchange(&ours, way, serves, 300, 100, 200);
  }
  mst_host_close(ours.host);
}

static void one_large(const struct way *way, bool serves, uint64_t bytes) {
  struct ours ours;
  ours_open(&ours, way->spec);
  exchange(&ours, way, serves, bytes, 0, 1);
  exchange(&ours, way, !serves, 0, bytes, 1);
  if (getenv("VERBOSE")) {
    static char text[1 << 16];
    mst_host_stats_json(ours.host, text, sizeof text);
    puts(text);
  }
  mst_host_close(ours.host);
}

static const struct way veth4 = {"xdp:here0", THERE, "10.7.0.1", "10.7.0.2"};
static const struct way veth6 = {"xdp:here0", THERE, "fd07::1", "fd07::2"};
static const struct way lo4 = {"xdp:lo", HERE, "127.0.0.1", "127.0.0.1"};
static const struct way lo6 = {"xdp:lo", HERE, "::1", "::1"};
#define TAP "tap:mst0,host=10.6.0.1/24,host=fd06::1/64,addr=10.6.0.2,addr=fd06::2"
static const struct way tap4 = {TAP, HERE, "10.6.0.2", "10.6.0.1"};
static const struct way tap6 = {TAP, HERE, "fd06::2", "fd06::1"};

static void veth_ip4(void **state) {
  (void)state;
  all_sizes(&veth4);
}
static void veth_ip6(void **state) {
  (void)state;
  all_sizes(&veth6);
}
static void veth_large(void **state) {
  (void)state;
  one_large(&veth4, true, LARGE);
}
static void lo_ip4(void **state) {
  (void)state;
  all_sizes(&lo4);
}
static void lo_ip6(void **state) {
  (void)state;
  all_sizes(&lo6);
}
static void lo_large(void **state) {
  (void)state;
  one_large(&lo6, false, LARGE);
}
static void tap_ip4(void **state) {
  (void)state;
  all_sizes(&tap4);
}
static void tap_ip6(void **state) {
  (void)state;
  all_sizes(&tap6);
}
/* Round all sequence numbers once and more. */
static void tap_large(void **state) {
  (void)state;
  one_large(&tap4, true, 5 * LARGE);
}

/* One packet in a hundred is lost, each way, by the kernel's packet filter. */
static void veth_loss(void **state) {
  (void)state;
  struct ours ours;
  rig_enter(THERE);
  int filtered =
      rig_try("nft 'table inet loss { chain in { type filter hook input priority 0; "
              "meta l4proto tcp numgen random mod 100 == 0 drop; }; chain out { type filter hook output priority 0; "
              "meta l4proto tcp numgen random mod 100 == 0 drop; }; }'");
  rig_enter(HERE);
  if (filtered) skip();
  ours_open(&ours, veth4.spec);
  exchange(&ours, &veth4, true, 5 << 20, 5 << 20, 1);
  exchange(&ours, &veth6, false, 5 << 20, 5 << 20, 1);
  exchange(&ours, &veth4, false, 100, 3000, 50);
  mst_host_close(ours.host);
  rig_enter(THERE);
  rig_try("nft delete table inet loss");
  rig_enter(HERE);
}

/* The same with a thread that carries the port. */
static void veth_threaded(void **state) {
  port_thread = true;
  veth_ip4(state);
  veth_ip6(state);
  veth_loss(state);
  port_thread = false;
}

static void lo_tap_threaded(void **state) {
  port_thread = true;
  lo_ip4(state);
  tap_ip6(state);
  port_thread = false;
}

/* A port of the kernel's that nobody listens on. */ static void refused(void **state) {
  (void)state;
  static const struct way *const ways[] = {&veth4, &veth6, &lo4, &lo6};
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    struct ours ours;
    ours_open(&ours, ways[i]->spec);
    ours_connect(&ours, ways[i]->peer_addr, 9);
    double start = seconds();
    while (!ours.wrong && seconds() - start < 5) turn(ours.host);
    assert_int_equal(mst_conn_error(ours.conn), -MST_ECONNREFUSED);
    mst_host_close(ours.host);
  }
}

static int veth_up(void **state) {
  (void)state;
  rig_veth(1);
  return 0;
}
static int veth_down(void **state) {
  (void)state;
  rig_no_veth();
  return 0;
}

int main(void) {
  pattern_init();
  rig_begin();
  const struct CMUnitTest veth[] = {
      cmocka_unit_test(veth_ip4),   cmocka_unit_test(veth_ip6),  cmocka_unit_test(refused),
      cmocka_unit_test(veth_large), cmocka_unit_test(veth_loss), cmocka_unit_test(veth_threaded),
  };
  const struct CMUnitTest others[] = {
      cmocka_unit_test(lo_ip4),          cmocka_unit_test(lo_ip6),  cmocka_unit_test(lo_large),
      cmocka_unit_test(tap_ip4),         cmocka_unit_test(tap_ip6), cmocka_unit_test(tap_large),
      cmocka_unit_test(lo_tap_threaded),
  };
  int failed = cmocka_run_group_tests_name("veth", veth, veth_up, veth_down);
  return failed + cmocka_run_group_tests_name("lo and tap", others, NULL, NULL);
}
