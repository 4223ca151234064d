/* Reading: stopping and starting, ends and errors, from inside callbacks. */
#include "net.h"

#include <signal.h>

static uv_buf_t text(const char *string) {
  return uv_buf_init((char *)string, (unsigned)strlen(string));
}

static void put(mst_uv_tcp_t *tcp, const char *string) {
  uv_buf_t buf = text(string);
  assert_int_equal(mst_uv_try_write(tcp, &buf, 1), strlen(string));
}

static int closed;

static void on_close(mst_uv_handle_t *handle) {
  (void)handle;
  ++closed;
}

static void start(void) {
  closed = 0;
  pair_open();
}

static void what_came_before_reading_is_read(void **state) {
  struct sink sink;
  (void)state;
  start();
  put(&pair.client, "early");
  mst_uv_close(HANDLE(&pair.client), NULL);
  for (int i = 0; i < 20; ++i) uv_run(&net.loop, UV_RUN_NOWAIT);
  sink_start(&pair.server, &sink);
  assert_int_equal(sink.calls, 0);
  RUN_UNTIL(sink.eof);
  assert_int_equal(sink.len, 5);
  assert_memory_equal(sink.bytes, "early", 5);
  free(sink.bytes);
}

static mst_uv_tcp_t late;

static void accept_nothing(mst_uv_tcp_t *listener, int status) {
  (void)listener;
  assert_int_equal(status, 0);
  ++pair.accepted;
}

static void what_came_before_accept_is_read(void **state) {
  static mst_uv_tcp_t tcp, listener;
  mst_uv_connect_t req;
  struct sink sink;
  (void)state;
  memset(&pair, 0, sizeof pair);
  struct sockaddr_storage addr = net_listen(&listener, ip4("127.0.0.1", 0), accept_nothing);
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_tcp_connect(&req, &tcp, SOCKADDR(addr), pair_on_connect), 0);
  RUN_UNTIL(pair.connected && pair.accepted);
  put(&tcp, "early");
  mst_uv_close(HANDLE(&tcp), NULL);
  for (int i = 0; i < 20; ++i) uv_run(&net.loop, UV_RUN_NOWAIT);
  mst_uv_tcp_init(&net.uv, &late);
  assert_int_equal(mst_uv_accept(&listener, &late), 0);
  sink_start(&late, &sink);
  RUN_UNTIL(sink.eof);
  assert_int_equal(sink.len, 5);
  free(sink.bytes);
}

static void starting_twice_and_too_early(void **state) {
  static mst_uv_tcp_t tcp;
  struct sink sink;
  (void)state;
  start();
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_read_start(&tcp, sink_alloc, sink_read), UV_ENOTCONN);
  assert_int_equal(mst_uv_is_readable(&tcp), 0);
  assert_int_equal(mst_uv_read_stop(&tcp), 0);
  assert_int_equal(mst_uv_is_readable(&pair.server), 1);
  assert_int_equal(mst_uv_read_start(&pair.server, NULL, sink_read), UV_EINVAL);
  sink_start(&pair.server, &sink);
  assert_int_equal(mst_uv_read_start(&pair.server, sink_alloc, sink_read), UV_EALREADY);
  mst_uv_close(HANDLE(&pair.server), NULL);
  assert_int_equal(mst_uv_read_start(&pair.server, sink_alloc, sink_read), UV_EINVAL);
}

static void alloc_two(mst_uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  static char two[2];
  (void)handle;
  (void)suggested;
  *buf = uv_buf_init(two, sizeof two);
}

static void read_and_stop(mst_uv_tcp_t *tcp, ssize_t nread, const uv_buf_t *buf) {
  sink_read(tcp, nread, buf);
  if (nread > 0) assert_int_equal(mst_uv_read_stop(tcp), 0);
}

static void stopping_in_the_callback_stops_at_once(void **state) {
  struct sink sink = {0};
  (void)state;
  start();
  pair.server.data = &sink;
  put(&pair.client, "abcdef");
  for (size_t got = 2; got <= 6; got += 2) {
    assert_int_equal(mst_uv_read_start(&pair.server, alloc_two, read_and_stop), 0);
    RUN_UNTIL(sink.len == got);
    for (int i = 0; i < 20; ++i) uv_run(&net.loop, UV_RUN_NOWAIT);
    assert_int_equal(sink.len, got);
  }
  assert_memory_equal(sink.bytes, "abcdef", 6);
  free(sink.bytes);
}

static void read_and_close(mst_uv_tcp_t *tcp, ssize_t nread, const uv_buf_t *buf) {
  sink_read(tcp, nread, buf);
  if (nread > 0) mst_uv_close(HANDLE(tcp), on_close);
}

static void closing_in_the_callback(void **state) {
  struct sink sink = {0};
  (void)state;
  start();
  pair.server.data = &sink;
  put(&pair.client, "abcdef");
  assert_int_equal(mst_uv_read_start(&pair.server, alloc_two, read_and_close), 0);
  RUN_UNTIL(closed);
  assert_int_equal(sink.calls, 1);
  assert_int_equal(sink.len, 2);
  free(sink.bytes);
}

static void closed_over_unread_data_the_peer_is_reset(void **state) {
  struct sink server = {0}, client;
  (void)state;
  start();
  sink_start(&pair.client, &client);
  pair.server.data = &server;
  put(&pair.client, "abcdef");
  assert_int_equal(mst_uv_read_start(&pair.server, alloc_two, read_and_close), 0);
  RUN_UNTIL(client.calls);
  assert_int_equal(client.error, UV_ECONNRESET);
  assert_int_equal(client.eof, 0);
  free(server.bytes);
}

static int allocs_refused;

static void alloc_none_twice(mst_uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  if (allocs_refused++ < 2)
    *buf = uv_buf_init(NULL, 0);
  else
    sink_alloc(handle, suggested, buf);
}

static void no_buffer_is_told_and_tried_again(void **state) {
  struct sink sink = {0};
  (void)state;
  start();
  allocs_refused = 0;
  pair.server.data = &sink;
  assert_int_equal(mst_uv_read_start(&pair.server, alloc_none_twice, sink_read), 0);
  put(&pair.client, "abc");
  RUN_UNTIL(sink.len == 3);
  assert_int_equal(sink.enobufs, 2);
  free(sink.bytes);
}

static void eof_comes_once_and_ends_reading(void **state) {
  static mst_uv_shutdown_t shutdown;
  struct sink sink, back;
  (void)state;
  start();
  sink_start(&pair.server, &sink);
  sink_start(&pair.client, &back);
  assert_int_equal(mst_uv_is_active(HANDLE(&pair.server)), 1);
  assert_int_equal(mst_uv_shutdown(&shutdown, &pair.client, NULL), 0);
  RUN_UNTIL(sink.eof);
  assert_int_equal(mst_uv_is_active(HANDLE(&pair.server)), 0);
  put(&pair.server, "the other half is open");
  RUN_UNTIL(back.len == 22);
  assert_int_equal(sink.calls, 1);
  mst_uv_close(HANDLE(&pair.server), NULL);
  RUN_UNTIL(back.eof);
  free(back.bytes);
}

static void a_reset_is_told_to_the_reader(void **state) {
  struct sink sink;
  uv_buf_t buf = text("x");
  (void)state;
  start();
  sink_start(&pair.server, &sink);
  assert_int_equal(mst_uv_tcp_close_reset(&pair.client, on_close), 0);
  RUN_UNTIL(sink.error);
  assert_int_equal(closed, 1);
  assert_int_equal(sink.error, UV_ECONNRESET);
  assert_int_equal(mst_uv_is_active(HANDLE(&pair.server)), 0);
  assert_int_equal(mst_uv_is_readable(&pair.server), 0);
  assert_int_equal(mst_uv_is_writable(&pair.server), 0);
  assert_int_equal(mst_uv_read_start(&pair.server, sink_alloc, sink_read), UV_ENOTCONN);
  assert_int_equal(mst_uv_try_write(&pair.server, &buf, 1), UV_EPIPE);
}

static int write_status;

static void on_write(mst_uv_write_t *req, int status) {
  (void)req;
  write_status = status;
}

static void a_reset_fails_queued_writes(void **state) {
  enum { BYTES = 32 << 20 };
  static mst_uv_write_t req;
  char *bytes = calloc(1, BYTES);
  uv_buf_t buf = uv_buf_init(bytes, BYTES);
  (void)state;
  start();
  write_status = 0;
  assert_int_equal(mst_uv_write(&req, &pair.server, &buf, 1, on_write), 0);
  for (int i = 0; i < 20; ++i) uv_run(&net.loop, UV_RUN_NOWAIT);
  assert_int_equal(mst_uv_tcp_close_reset(&pair.client, NULL), 0);
  RUN_UNTIL(write_status);
  assert_int_equal(write_status, UV_ECONNRESET);
  buf.len = 1;
  assert_int_equal(mst_uv_try_write(&pair.server, &buf, 1), UV_EPIPE);
  free(bytes);
}

static void no_reset_while_shutting_down(void **state) {
  static mst_uv_shutdown_t shutdown;
  (void)state;
  start();
  assert_int_equal(mst_uv_shutdown(&shutdown, &pair.client, NULL), 0);
  assert_int_equal(mst_uv_tcp_close_reset(&pair.client, NULL), UV_EINVAL);
}

static void stop_other(mst_uv_tcp_t *tcp, ssize_t nread, const uv_buf_t *buf) {
  sink_read(tcp, nread, buf);
  if (nread <= 0) return;
  if (!mst_uv_is_closing(HANDLE(&pair.client))) mst_uv_close(HANDLE(&pair.client), on_close);
  if (!mst_uv_is_closing(HANDLE(&pair.server))) mst_uv_close(HANDLE(&pair.server), on_close);
}

static void one_callback_closes_both_ends(void **state) {
  struct sink a = {0}, b = {0};
  (void)state;
  start();
  pair.client.data = &a;
  pair.server.data = &b;
  assert_int_equal(mst_uv_read_start(&pair.client, sink_alloc, stop_other), 0);
  assert_int_equal(mst_uv_read_start(&pair.server, sink_alloc, stop_other), 0);
  put(&pair.client, "abc");
  put(&pair.server, "abc");
  RUN_UNTIL(closed == 2);
  assert_int_equal(a.calls + b.calls, 1);
  free(a.bytes);
  free(b.bytes);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN); /* libuv leaves it to the program */
  const struct CMUnitTest tests[] = {
      NET_TEST(what_came_before_reading_is_read),  NET_TEST(what_came_before_accept_is_read),
      NET_TEST(starting_twice_and_too_early),      NET_TEST(stopping_in_the_callback_stops_at_once),
      NET_TEST(closing_in_the_callback),           NET_TEST(closed_over_unread_data_the_peer_is_reset),
      NET_TEST(no_buffer_is_told_and_tried_again), NET_TEST(eof_comes_once_and_ends_reading),
      NET_TEST(a_reset_is_told_to_the_reader),     NET_TEST(a_reset_fails_queued_writes),
      NET_TEST(no_reset_while_shutting_down),      NET_TEST(one_callback_closes_both_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
