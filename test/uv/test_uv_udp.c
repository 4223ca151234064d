/* Datagrams. */
#include "net.h"

static char order[32];
static struct {
  char bytes[65536];
  ssize_t len;
  unsigned flags;
  int count, error;
  struct sockaddr_storage from;
} got;

static void note(char what) {
  order[strlen(order)] = what;
}

static void on_send(mst_uv_udp_send_t *req, int status) {
  assert_int_equal(status, 0);
  note(*(char *)req->data);
}

static void on_status(mst_uv_udp_send_t *req, int status) {
  *(int *)req->data = status;
}

static void on_recv(mst_uv_udp_t *udp, ssize_t nread, const uv_buf_t *buf, const struct sockaddr *addr,
                    unsigned flags) {
  (void)udp;
  if (nread == 0 && !addr) return;
  if (nread < 0) {
    got.error = (int)nread;
    return;
  }
  ++got.count;
  got.len = nread;
  got.flags = flags;
  memcpy(got.bytes, buf->base, (size_t)nread);
  memcpy(&got.from, addr, addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
}

static struct sockaddr_storage udp_local(mst_uv_udp_t *udp) {
  struct sockaddr_storage out;
  int bytes = sizeof out;
  memset(&out, 0, sizeof out);
  assert_int_equal(mst_uv_udp_getsockname(udp, SOCKADDR(out), &bytes), 0);
  return out;
}

static struct sockaddr_storage receiver(mst_uv_udp_t *udp, struct sockaddr_storage any) {
  memset(&got, 0, sizeof got);
  memset(order, 0, sizeof order);
  mst_uv_udp_init(&net.uv, udp);
  assert_int_equal(mst_uv_udp_bind(udp, SOCKADDR(any), 0), 0);
  assert_int_equal(mst_uv_udp_recv_start(udp, sink_alloc, on_recv), 0);
  return udp_local(udp);
}

static void send_and_receive(void **state) {
  static mst_uv_udp_t in, out;
  static mst_uv_udp_send_t a, b;
  uv_buf_t bufs[] = {uv_buf_init("data", 4), uv_buf_init("gram", 4)};
  (void)state;
  struct sockaddr_storage addr = receiver(&in, ip4("127.0.0.1", 0)), from;
  mst_uv_udp_init(&net.uv, &out);
  a.data = "a";
  b.data = "b";
  assert_int_equal(mst_uv_udp_send(&a, &out, bufs, 2, SOCKADDR(addr), on_send), 0);
  assert_int_equal(mst_uv_udp_send(&b, &out, bufs, 1, SOCKADDR(addr), on_send), 0);
  assert_string_equal(order, "");
  RUN_UNTIL(got.count == 2 && strlen(order) == 2);
  assert_string_equal(order, "ab");
  assert_int_equal(got.len, 4);
  from = udp_local(&out);
  assert_int_equal(port_of(&got.from), port_of(&from));
}

static void over_ip6_and_empty(void **state) {
  static mst_uv_udp_t in, out;
  uv_buf_t empty = uv_buf_init("", 0);
  (void)state;
  struct sockaddr_storage addr = receiver(&in, ip6("::1", 0));
  mst_uv_udp_init(&net.uv, &out);
  assert_int_equal(mst_uv_udp_try_send(&out, &empty, 1, SOCKADDR(addr)), 0);
  RUN_UNTIL(got.count == 1);
  assert_int_equal(got.len, 0);
  assert_int_equal(got.from.ss_family, AF_INET6);
}

static void small_alloc(mst_uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  static char space[3];
  (void)handle;
  (void)suggested;
  *buf = uv_buf_init(space, sizeof space);
}

static void what_does_not_fit_is_cut_and_marked(void **state) {
  static mst_uv_udp_t in, out;
  uv_buf_t buf = uv_buf_init("datagram", 8);
  (void)state;
  struct sockaddr_storage addr = receiver(&in, ip4("127.0.0.1", 0));
  assert_int_equal(mst_uv_udp_recv_start(&in, small_alloc, on_recv), UV_EALREADY);
  assert_int_equal(mst_uv_udp_recv_stop(&in), 0);
  assert_int_equal(mst_uv_udp_recv_start(&in, small_alloc, on_recv), 0);
  mst_uv_udp_init(&net.uv, &out);
  assert_int_equal(mst_uv_udp_try_send(&out, &buf, 1, SOCKADDR(addr)), 8);
  RUN_UNTIL(got.count == 1);
  assert_int_equal(got.len, 3);
  assert_int_equal(got.flags, UV_UDP_PARTIAL);
}

static void connected(void **state) {
  static mst_uv_udp_t in, out, other;
  static mst_uv_udp_send_t req;
  uv_buf_t buf = uv_buf_init("x", 1);
  struct sockaddr_storage peer, back;
  int bytes = sizeof peer;
  (void)state;
  struct sockaddr_storage addr = receiver(&in, ip4("127.0.0.1", 0));
  mst_uv_udp_init(&net.uv, &out);
  assert_int_equal(mst_uv_udp_connect(&out, NULL), UV_ENOTCONN);
  assert_int_equal(mst_uv_udp_send(&req, &out, &buf, 1, NULL, NULL), UV_EDESTADDRREQ);
  assert_int_equal(mst_uv_udp_connect(&out, SOCKADDR(addr)), 0);
  assert_int_equal(mst_uv_udp_connect(&out, SOCKADDR(addr)), UV_EISCONN);
  assert_int_equal(mst_uv_udp_send(&req, &out, &buf, 1, SOCKADDR(addr), NULL), UV_EISCONN);
  assert_int_equal(mst_uv_udp_getpeername(&out, SOCKADDR(peer), &bytes), 0);
  assert_int_equal(port_of(&peer), port_of(&addr));
  assert_int_equal(mst_uv_udp_try_send(&out, &buf, 1, NULL), 1);
  RUN_UNTIL(got.count == 1);
  /* Only the peer is heard. */
  back = udp_local(&out);
  assert_int_equal(mst_uv_udp_recv_stop(&in), 0);
  assert_int_equal(mst_uv_udp_recv_start(&out, sink_alloc, on_recv), 0);
  mst_uv_udp_init(&net.uv, &other);
  assert_int_equal(mst_uv_udp_try_send(&other, &buf, 1, SOCKADDR(back)), 1);
  assert_int_equal(mst_uv_udp_try_send(&in, &buf, 1, SOCKADDR(back)), 1);
  RUN_UNTIL(got.count == 2);
  assert_int_equal(port_of(&got.from), port_of(&addr));
  assert_int_equal(mst_uv_udp_connect(&out, NULL), 0);
  assert_int_equal(mst_uv_udp_getpeername(&out, SOCKADDR(peer), &bytes), UV_ENOTCONN);
}

static void nobody_there_is_told_to_the_connected(void **state) {
  static mst_uv_udp_t gone, out;
  uv_buf_t buf = uv_buf_init("x", 1);
  (void)state;
  struct sockaddr_storage addr = receiver(&gone, ip4("127.0.0.1", 0)), any = ip4("127.0.0.1", 0);
  mst_uv_close(HANDLE(&gone), NULL);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  mst_uv_udp_init(&net.uv, &out);
  assert_int_equal(mst_uv_udp_bind(&out, SOCKADDR(any), 0), 0);
  assert_int_equal(mst_uv_udp_connect(&out, SOCKADDR(addr)), 0);
  assert_int_equal(mst_uv_udp_recv_start(&out, sink_alloc, on_recv), 0);
  assert_int_equal(mst_uv_udp_try_send(&out, &buf, 1, NULL), 1);
  RUN_UNTIL(got.error);
  assert_int_equal(got.error, UV_ECONNREFUSED);
}

static void binding(void **state) {
  static mst_uv_udp_t first, second;
  struct sockaddr_storage name, unix_address = {.ss_family = AF_UNIX};
  int bytes = sizeof name;
  (void)state;
  struct sockaddr_storage addr = receiver(&first, ip4("127.0.0.1", 0));
  mst_uv_udp_init(&net.uv, &second);
  assert_int_equal(mst_uv_udp_getsockname(&second, SOCKADDR(name), &bytes), UV_EBADF);
  assert_int_equal(mst_uv_udp_bind(&second, SOCKADDR(addr), 0), UV_EADDRINUSE);
  assert_int_equal(mst_uv_udp_bind(&second, SOCKADDR(unix_address), 0), UV_EINVAL);
}

static void liveness(void **state) {
  static mst_uv_udp_t udp;
  static mst_uv_udp_send_t req;
  uv_buf_t buf = uv_buf_init("x", 1);
  int status = 1;
  (void)state;
  struct sockaddr_storage addr = receiver(&udp, ip4("127.0.0.1", 0));
  assert_int_equal(mst_uv_is_active(HANDLE(&udp)), 1);
  assert_int_equal(uv_loop_alive(&net.loop), 1);
  assert_int_equal(mst_uv_udp_recv_stop(&udp), 0);
  assert_int_equal(uv_loop_alive(&net.loop), 0);
  req.data = &status;
  assert_int_equal(mst_uv_udp_send(&req, &udp, &buf, 1, SOCKADDR(addr), on_status), 0);
  assert_int_equal(uv_loop_alive(&net.loop), 1);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  assert_int_equal(status, 0);
  assert_int_equal(got.count, 0);
  assert_int_equal(mst_uv_udp_recv_start(&udp, sink_alloc, on_recv), 0);
  RUN_UNTIL(got.count == 1);
}

static void too_long(void **state) {
  static mst_uv_udp_t udp;
  static char bytes[70000];
  uv_buf_t buf = uv_buf_init(bytes, sizeof bytes);
  struct sockaddr_storage addr = ip4("127.0.0.1", 9);
  (void)state;
  mst_uv_udp_init(&net.uv, &udp);
  assert_int_equal(mst_uv_udp_try_send(&udp, &buf, 1, SOCKADDR(addr)), UV_EMSGSIZE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      NET_TEST(send_and_receive),
      NET_TEST(over_ip6_and_empty),
      NET_TEST(what_does_not_fit_is_cut_and_marked),
      NET_TEST(connected),
      NET_TEST(nobody_there_is_told_to_the_connected),
      NET_TEST(binding),
      NET_TEST(liveness),
      NET_TEST(too_long),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
