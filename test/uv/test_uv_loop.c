/* What keeps the loop alive, and what does not. */
#include "net.h"

static void no_connection(mst_uv_tcp_t *listener, int status) {
  (void)listener;
  (void)status;
}

static int alive(void) {
  return uv_loop_alive(&net.loop);
}

static void an_open_handle_does_not(void **state) {
  static mst_uv_tcp_t tcp;
  struct sockaddr_storage any = ip4("127.0.0.1", 0);
  (void)state;
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_has_ref(HANDLE(&tcp)), 1);
  assert_int_equal(alive(), 0);
  assert_int_equal(mst_uv_tcp_bind(&tcp, SOCKADDR(any), 0), 0);
  assert_int_equal(mst_uv_is_active(HANDLE(&tcp)), 0);
  assert_int_equal(alive(), 0);
}

static void listening_does_unless_unreferenced(void **state) {
  static mst_uv_tcp_t tcp;
  (void)state;
  net_listen(&tcp, ip4("127.0.0.1", 0), no_connection);
  assert_int_equal(mst_uv_is_active(HANDLE(&tcp)), 1);
  assert_int_equal(alive(), 1);
  mst_uv_unref(HANDLE(&tcp));
  mst_uv_unref(HANDLE(&tcp));
  assert_int_equal(mst_uv_has_ref(HANDLE(&tcp)), 0);
  assert_int_equal(mst_uv_is_active(HANDLE(&tcp)), 1);
  assert_int_equal(alive(), 0);
  mst_uv_ref(HANDLE(&tcp));
  assert_int_equal(alive(), 1);
  mst_uv_unref(HANDLE(&tcp));
  mst_uv_close(HANDLE(&tcp), NULL);
  assert_int_equal(mst_uv_is_closing(HANDLE(&tcp)), 1);
  assert_int_equal(alive(), 1);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  assert_int_equal(alive(), 0);
}

static void a_connection_does_while_it_reads(void **state) {
  struct sink sink;
  (void)state;
  pair_open();
  uv_run(&net.loop, UV_RUN_DEFAULT);
  assert_int_equal(mst_uv_is_active(HANDLE(&pair.client)), 0);
  sink_start(&pair.client, &sink);
  assert_int_equal(mst_uv_is_active(HANDLE(&pair.client)), 1);
  assert_int_equal(alive(), 1);
  assert_int_equal(mst_uv_read_stop(&pair.client), 0);
  assert_int_equal(alive(), 0);
  mst_uv_unref(HANDLE(&pair.client));
  sink_start(&pair.client, &sink);
  assert_int_equal(alive(), 0);
}

static int status_of_write = 1;

static void on_write(mst_uv_write_t *req, int status) {
  (void)req;
  status_of_write = status;
}

static void requests_do_even_of_unreferenced_handles(void **state) {
  static mst_uv_tcp_t tcp, listener;
  static mst_uv_connect_t connect;
  static mst_uv_write_t write;
  static mst_uv_shutdown_t shutdown;
  uv_buf_t buf = uv_buf_init("x", 1);
  (void)state;
  memset(&pair, 0, sizeof pair);
  struct sockaddr_storage addr = net_listen(&listener, ip4("127.0.0.1", 0), pair_on_connection);
  mst_uv_unref(HANDLE(&listener));
  mst_uv_tcp_init(&net.uv, &tcp);
  mst_uv_unref(HANDLE(&tcp));
  assert_int_equal(mst_uv_tcp_connect(&connect, &tcp, SOCKADDR(addr), pair_on_connect), 0);
  assert_int_equal(mst_uv_is_active(HANDLE(&tcp)), 0);
  assert_int_equal(alive(), 1);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  assert_int_equal(pair.connected, 1);
  assert_int_equal(mst_uv_write(&write, &tcp, &buf, 1, on_write), 0);
  assert_int_equal(alive(), 1);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  assert_int_equal(status_of_write, 0);
  assert_int_equal(mst_uv_shutdown(&shutdown, &tcp, NULL), 0);
  assert_int_equal(alive(), 1);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  assert_int_equal(alive(), 0);
}

static int closes;

static void count_close(mst_uv_handle_t *handle) {
  assert_int_equal(mst_uv_is_closing(handle), 1);
  assert_int_equal(mst_uv_is_active(handle), 0);
  ++closes;
}

static void a_close_is_deferred_and_finished(void **state) {
  static mst_uv_tcp_t tcp;
  (void)state;
  closes = 0;
  mst_uv_tcp_init(&net.uv, &tcp);
  mst_uv_close(HANDLE(&tcp), count_close);
  assert_int_equal(closes, 0);
  assert_int_equal(uv_run(&net.loop, UV_RUN_NOWAIT), 0);
  assert_int_equal(closes, 1);
}

static void on_timer(uv_timer_t *timer) {
  uv_close((uv_handle_t *)timer, NULL);
}

/* A waiting loop wakes for both: its own timers and what comes from the stack. */
static void other_handles_run_beside(void **state) {
  static uv_timer_t timer;
  struct sink sink;
  uv_buf_t buf = uv_buf_init("x", 1);
  (void)state;
  pair_open();
  sink_start(&pair.server, &sink);
  uv_timer_init(&net.loop, &timer);
  uv_timer_start(&timer, on_timer, 20, 0);
  assert_int_equal(mst_uv_try_write(&pair.client, &buf, 1), 1);
  RUN_UNTIL(sink.len == 1);
  RUN_UNTIL(uv_is_closing((uv_handle_t *)&timer));
  free(sink.bytes);
}

#ifndef OS_STACK
static void a_stack_with_handles_is_not_detached(void **state) {
  static mst_uv_tcp_t tcp;
  (void)state;
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_detach(&net.uv, NULL), UV_EBUSY);
  assert_int_equal(alive(), 0);
}

static void no_descriptor_stands_behind(void **state) {
  static mst_uv_tcp_t tcp;
  uv_os_fd_t fd;
  (void)state;
  pair_open();
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_fileno(HANDLE(&tcp), &fd), UV_EBADF);
  assert_int_equal(mst_uv_fileno(HANDLE(&pair.client), &fd), UV_ENOTSUP);
  assert_non_null(mst_uv_tcp_conn(&pair.client));
  assert_ptr_equal(mst_uv_handle_get_loop(HANDLE(&tcp)), &net.loop);
}

static mst_conn *far_conn;
static int detached;

static void on_far_listener(mst_listener *listener, void *user) {
  (void)user;
  far_conn = mst_accept(listener);
}

static void on_detached(mst_uv_t *uv) {
  (void)uv;
  ++detached;
}

/* Listen on another stack of the host, which the loop of `net` does not know of. */
static struct sockaddr_storage far_listen(mst_stack *stack) {
  struct mst_endpoint local = {.port = 0};
  mst_binding *binding;
  mst_listener *listener;
  assert_int_equal(mst_addr_parse("127.0.0.1", &local.addr), 0);
  assert_int_equal(mst_bind(stack, MST_TCP, &local, 0, &binding), 0);
  assert_int_equal(mst_listen(binding, 1, on_far_listener, NULL, &listener), 0);
  mst_binding_local(binding, &local);
  mst_unbind(binding);
  return ip4("127.0.0.1", local.port);
}

/* A program that closes and leaves: detaching waits until a slow reader has got the last byte. */
static void detaching_delivers_what_was_closed_over(void **state) {
  enum { BYTES = 200000 };
  static char bytes[BYTES];
  static mst_uv_tcp_t tcp;
  static mst_uv_connect_t connect;
  static struct sink sink;
  struct mst_host_options options = {.size = sizeof options};
  struct mst_stack_options slow = {.size = sizeof slow, .receive_buffer_bytes = 65536};
  mst_host *host;
  mst_stack *near_stack, *far_stack;
  mst_uv_t uv;
  uv_buf_t buf = uv_buf_init(bytes, BYTES);
  (void)state;
  detached = 0;
  memset(&pair, 0, sizeof pair);
  assert_int_equal(mst_host_open(&options, &host, NULL), 0);
  assert_int_equal(mst_host_add_stack(host, NULL, &near_stack), 0);
  assert_int_equal(mst_host_add_stack(host, &slow, &far_stack), 0);
  assert_int_equal(mst_uv_attach(&net.loop, &uv, host, near_stack), 0);
  struct sockaddr_storage addr = far_listen(far_stack);
  mst_uv_tcp_init(&uv, &tcp);
  assert_int_equal(mst_uv_tcp_connect(&connect, &tcp, SOCKADDR(addr), pair_on_connect), 0);
  RUN_UNTIL(pair.connected);
  sink_start(&tcp, &sink); /* which keeps the loop while the other end is still to hear of it */
  RUN_UNTIL(far_conn);
  assert_int_equal(mst_uv_try_write(&tcp, &buf, 1), BYTES);
  mst_uv_close(HANDLE(&tcp), NULL);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  assert_int_equal(mst_uv_detach(&uv, on_detached), 0);
  size_t got = 0;
  ptrdiff_t n;
  while ((n = mst_read(far_conn, bytes, 10000)) != 0) {
    if (n > 0) got += (size_t)n;
    if (n < 0) assert_false(detached);
    uv_run(&net.loop, UV_RUN_NOWAIT);
  }
  assert_int_equal(got, BYTES);
  RUN_UNTIL(detached);
  mst_host_close(host);
}

static void a_host_of_the_callers_own(void **state) {
  struct mst_host_options options = {.size = sizeof options};
  mst_host *host;
  mst_stack *stack;
  mst_uv_t uv;
  (void)state;
  assert_int_equal(mst_host_open(&options, &host, NULL), 0);
  assert_int_equal(mst_host_add_stack(host, NULL, &stack), 0);
  assert_int_equal(mst_uv_attach(&net.loop, &uv, host, stack), 0);
  assert_ptr_equal(mst_uv_host(&uv), host);
  assert_ptr_equal(mst_uv_stack(&uv), stack);
  assert_int_equal(mst_uv_detach(&uv, NULL), 0);
  assert_int_equal(mst_uv_detach(&uv, NULL), UV_EALREADY);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  mst_host_close(host);
}

/* The successor is another stack of the host, on which handles are made meanwhile. */
static void a_listener_that_is_offered_is_taken(void **state) {
  static mst_uv_tcp_t first, second, third;
  mst_stack *own = net.uv.stack, *other;
  (void)state;
  struct sockaddr_storage addr = net_listen(&first, ip4("127.0.0.1", 0), no_connection);
  assert_int_equal(mst_host_add_stack(mst_uv_host(&net.uv), NULL, &other), 0);
  mst_uv_tcp_init(&net.uv, &second);
  assert_int_equal(mst_uv_tcp_offer(&second), UV_EINVAL);
  net.uv.stack = other;
  assert_int_equal(mst_uv_tcp_bind(&second, SOCKADDR(addr), MST_UV_TCP_TAKE), 0);
  assert_int_equal(mst_uv_listen(&second, 1, no_connection), UV_EADDRINUSE);
  net.uv.stack = own;
  assert_int_equal(mst_uv_tcp_offer(&first), 0);
  net.uv.stack = other;
  mst_uv_tcp_init(&net.uv, &third);
  assert_int_equal(mst_uv_tcp_bind(&third, SOCKADDR(addr), MST_UV_TCP_TAKE), 0);
  assert_int_equal(mst_uv_listen(&third, 1, no_connection), 0);
  net.uv.stack = own;
}

static void a_port_that_cannot_open_is_told(void **state) {
  const char *ports[] = {"xdp:no-such-device", NULL};
  struct mst_host_options options = {.size = sizeof options, .ports = ports, .embedded = true};
  struct mst_failure failure = {0};
  mst_uv_t uv;
  (void)state;
  int err = mst_uv_init(&net.loop, &uv, &options, &failure);
  assert_int_not_equal(err, 0);
  assert_int_equal(failure.code, err);
  assert_non_null(strstr(failure.message, "no-such-device"));
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      NET_TEST(an_open_handle_does_not),
      NET_TEST(listening_does_unless_unreferenced),
      NET_TEST(a_connection_does_while_it_reads),
      NET_TEST(requests_do_even_of_unreferenced_handles),
      NET_TEST(a_close_is_deferred_and_finished),
      NET_TEST(other_handles_run_beside),
#ifndef OS_STACK
      NET_TEST(a_stack_with_handles_is_not_detached),
      NET_TEST(no_descriptor_stands_behind),
      NET_TEST(detaching_delivers_what_was_closed_over),
      NET_TEST(a_host_of_the_callers_own),
      NET_TEST(a_listener_that_is_offered_is_taken),
      NET_TEST(a_port_that_cannot_open_is_told),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
