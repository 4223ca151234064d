/* Writing: deferral, order, queues, shutdown. */
#include "net.h"

enum { BIG_BYTES = 16 << 20 };

static char order[64];
static int last_status;

static void note(char what) {
  size_t at = strlen(order);
  assert_true(at + 1 < sizeof order);
  order[at] = what;
}

static void on_write(mst_uv_write_t *req, int status) {
  note(*(char *)req->data);
  last_status = status;
}

static void on_shutdown(mst_uv_shutdown_t *req, int status) {
  (void)req;
  note('S');
  last_status = status;
}

static void on_close(mst_uv_handle_t *handle) {
  (void)handle;
  note('X');
}

static void start(void) {
  memset(order, 0, sizeof order);
  last_status = 1;
  pair_open();
}

static int put(mst_uv_tcp_t *tcp, mst_uv_write_t *req, const char *name, const char *text, size_t bytes) {
  uv_buf_t buf = uv_buf_init((char *)text, (unsigned)bytes);
  req->data = (void *)name;
  return mst_uv_write(req, tcp, &buf, 1, on_write);
}

static char *big(void) {
  static char *bytes;
  if (!bytes) bytes = malloc(BIG_BYTES);
  assert_non_null(bytes);
  for (unsigned i = 0; i < BIG_BYTES / 4; ++i) ((uint32_t *)(void *)bytes)[i] = i * 2654435761u;
  return bytes;
}

static void callbacks_are_deferred_and_in_order(void **state) {
  static mst_uv_write_t a, b, c;
  static mst_uv_shutdown_t shutdown;
  struct sink sink;
  (void)state;
  start();
  assert_int_equal(put(&pair.client, &a, "a", "one", 3), 0);
  assert_int_equal(put(&pair.client, &b, "b", "two", 3), 0);
  assert_int_equal(put(&pair.client, &c, "c", "", 0), 0);
  assert_int_equal(mst_uv_shutdown(&shutdown, &pair.client, on_shutdown), 0);
  assert_string_equal(order, "");
  sink_start(&pair.server, &sink);
  RUN_UNTIL(sink.eof);
  assert_string_equal(order, "abcS");
  assert_int_equal(last_status, 0);
  assert_int_equal(sink.len, 6);
  assert_memory_equal(sink.bytes, "onetwo", 6);
  assert_int_equal(sink.eof, 1);
  free(sink.bytes);
}

static void many_buffers(void **state) {
  static mst_uv_write_t req;
  uv_buf_t bufs[40];
  char text[40];
  struct sink sink;
  (void)state;
  start();
  for (int i = 0; i < 40; ++i) {
    text[i] = (char)('A' + i);
    bufs[i] = uv_buf_init(text + i, i % 3 != 0);
  }
  req.data = "a";
  assert_int_equal(mst_uv_write(&req, &pair.client, bufs, 40, on_write), 0);
  sink_start(&pair.server, &sink);
  RUN_UNTIL(sink.len == 26);
  assert_memory_equal(sink.bytes, "BCEFHIKLNOQRTUWXZ[]^`acdfg", 26);
  free(sink.bytes);
}

static void a_long_write_waits_for_the_reader(void **state) {
  static mst_uv_write_t a, b;
  static mst_uv_shutdown_t shutdown;
  struct sink sink;
  (void)state;
  start();
  assert_int_equal(put(&pair.client, &a, "a", big(), BIG_BYTES), 0);
  assert_int_equal(put(&pair.client, &b, "b", "end", 3), 0);
  assert_int_equal(mst_uv_shutdown(&shutdown, &pair.client, on_shutdown), 0);
  assert_true(mst_uv_stream_get_write_queue_size(&pair.client) > 3);
  for (int i = 0; i < 50; ++i) uv_run(&net.loop, UV_RUN_NOWAIT);
  assert_string_equal(order, "");
  assert_true(mst_uv_stream_get_write_queue_size(&pair.client) > 3);
  sink_start(&pair.server, &sink);
  RUN_UNTIL(sink.eof);
  assert_string_equal(order, "abS");
  assert_int_equal(mst_uv_stream_get_write_queue_size(&pair.client), 0);
  assert_int_equal(sink.len, BIG_BYTES + 3);
  assert_memory_equal(sink.bytes, big(), BIG_BYTES);
  free(sink.bytes);
}

static void a_close_cancels_what_is_queued(void **state) {
  static mst_uv_write_t a, b, c;
  static mst_uv_shutdown_t shutdown;
  (void)state;
  start();
  assert_int_equal(put(&pair.client, &a, "a", big(), BIG_BYTES), 0);
  assert_int_equal(put(&pair.client, &b, "b", big(), BIG_BYTES), 0);
  assert_int_equal(put(&pair.client, &c, "c", "end", 3), 0);
  assert_int_equal(mst_uv_shutdown(&shutdown, &pair.client, on_shutdown), 0);
  mst_uv_close(HANDLE(&pair.client), on_close);
  assert_string_equal(order, "");
  RUN_UNTIL(strchr(order, 'X'));
  assert_string_equal(order, "abcSX");
  assert_int_equal(last_status, UV_ECANCELED);
}

static void try_write_until_it_would_wait(void **state) {
  uv_buf_t buf = uv_buf_init(big(), 1 << 20);
  static mst_uv_write_t req;
  struct sink sink;
  size_t sent = 0;
  int n, calls = 0;
  (void)state;
  start();
  while ((n = mst_uv_try_write(&pair.client, &buf, 1)) >= 0) {
    assert_true(n > 0);
    sent += (size_t)n;
    if (++calls % 4 == 0) uv_run(&net.loop, UV_RUN_NOWAIT);
    assert_true(calls < 1000);
  }
  assert_int_equal(n, UV_EAGAIN);
  assert_int_equal(mst_uv_stream_get_write_queue_size(&pair.client), 0);
  assert_int_equal(put(&pair.client, &req, "a", "x", 1), 0);
  sink_start(&pair.server, &sink);
  RUN_UNTIL(sink.len == sent + 1);
  buf = uv_buf_init("y", 1);
  RUN_UNTIL(order[0] == 'a');
  assert_int_equal(mst_uv_try_write(&pair.client, &buf, 1), 1);
  RUN_UNTIL(sink.len == sent + 2);
  free(sink.bytes);
}

static void nothing_behind_a_queued_write_is_tried(void **state) {
  uv_buf_t buf = uv_buf_init("x", 1);
  static mst_uv_write_t req;
  (void)state;
  start();
  assert_int_equal(put(&pair.client, &req, "a", big(), BIG_BYTES), 0);
  assert_int_equal(mst_uv_try_write(&pair.client, &buf, 1), UV_EAGAIN);
}

static void writes_of_handles_that_cannot(void **state) {
  static mst_uv_tcp_t tcp;
  static mst_uv_write_t req;
  static mst_uv_shutdown_t shutdown;
  uv_buf_t buf = uv_buf_init("x", 1);
  struct sockaddr_storage any = ip4("127.0.0.1", 0);
  (void)state;
  start();
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(put(&tcp, &req, "a", "x", 1), UV_EBADF);
  assert_int_equal(mst_uv_try_write(&tcp, &buf, 1), UV_EBADF);
  assert_int_equal(mst_uv_shutdown(&shutdown, &tcp, on_shutdown), UV_ENOTCONN);
  assert_int_equal(mst_uv_tcp_bind(&tcp, SOCKADDR(any), 0), 0);
  assert_int_equal(put(&tcp, &req, "a", "x", 1), UV_EPIPE);
  assert_int_equal(mst_uv_is_writable(&tcp), 0);
  assert_int_equal(mst_uv_is_writable(&pair.client), 1);
  assert_int_equal(mst_uv_shutdown(&shutdown, &pair.client, on_shutdown), 0);
  assert_int_equal(mst_uv_is_writable(&pair.client), 0);
  assert_int_equal(put(&pair.client, &req, "a", "x", 1), UV_EPIPE);
  assert_int_equal(mst_uv_try_write(&pair.client, &buf, 1), UV_EPIPE);
  assert_int_equal(mst_uv_shutdown(&shutdown, &pair.client, on_shutdown), UV_ENOTCONN);
  mst_uv_close(HANDLE(&pair.client), NULL);
  assert_int_equal(put(&pair.client, &req, "a", "x", 1), UV_EBADF);
}

static void on_connect(mst_uv_connect_t *req, int status) {
  (void)req;
  (void)status;
  note('C');
}

static void written_while_connecting(void **state) {
  static mst_uv_tcp_t tcp, listener;
  static mst_uv_connect_t connect;
  static mst_uv_write_t a, b;
  static mst_uv_shutdown_t shutdown;
  uv_buf_t buf = uv_buf_init("x", 1);
  struct sink sink;
  (void)state;
  memset(order, 0, sizeof order);
  memset(&pair, 0, sizeof pair);
  struct sockaddr_storage addr = net_listen(&listener, ip4("127.0.0.1", 0), pair_on_connection);
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_tcp_connect(&connect, &tcp, SOCKADDR(addr), on_connect), 0);
  assert_int_equal(mst_uv_try_write(&tcp, &buf, 1), UV_EAGAIN);
  assert_int_equal(put(&tcp, &a, "a", "one", 3), 0);
  assert_int_equal(put(&tcp, &b, "b", "two", 3), 0);
  assert_int_equal(mst_uv_stream_get_write_queue_size(&tcp), 6);
  assert_int_equal(mst_uv_shutdown(&shutdown, &tcp, on_shutdown), 0);
  RUN_UNTIL(pair.accepted);
  sink_start(&pair.server, &sink);
  RUN_UNTIL(sink.eof && strlen(order) == 4);
  assert_string_equal(order, "CabS");
  assert_memory_equal(sink.bytes, "onetwo", 6);
  free(sink.bytes);
}

static void written_before_a_refusal(void **state) {
  static mst_uv_tcp_t tcp, listener;
  static mst_uv_connect_t connect;
  static mst_uv_write_t a;
  (void)state;
  memset(order, 0, sizeof order);
  struct sockaddr_storage addr = net_listen(&listener, ip4("127.0.0.1", 0), pair_on_connection);
  mst_uv_close(HANDLE(&listener), NULL);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_tcp_connect(&connect, &tcp, SOCKADDR(addr), on_connect), 0);
  assert_int_equal(put(&tcp, &a, "a", "one", 3), 0);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  assert_string_equal(order, "Ca");
  assert_int_equal(last_status, UV_ECANCELED);
  assert_int_equal(mst_uv_stream_get_write_queue_size(&tcp), 0);
}

static void close_in_write(mst_uv_write_t *req, int status) {
  on_write(req, status);
  mst_uv_close(HANDLE(req->handle), on_close);
}

static void a_handle_closes_in_its_write_callback(void **state) {
  static mst_uv_write_t a, b;
  uv_buf_t buf = uv_buf_init("x", 1);
  (void)state;
  start();
  a.data = "a";
  assert_int_equal(mst_uv_write(&a, &pair.client, &buf, 1, close_in_write), 0);
  assert_int_equal(put(&pair.client, &b, "b", big(), BIG_BYTES), 0);
  RUN_UNTIL(strchr(order, 'X'));
  assert_string_equal(order, "abX");
  assert_int_equal(last_status, UV_ECANCELED);
}

static int rewrites;

static void write_again(mst_uv_write_t *req, int status) {
  uv_buf_t buf = uv_buf_init("x", 1);
  assert_int_equal(status, 0);
  if (++rewrites < 1000) assert_int_equal(mst_uv_write(req, (mst_uv_tcp_t *)req->handle, &buf, 1, write_again), 0);
}

static void a_write_in_each_callback(void **state) {
  static mst_uv_write_t req;
  struct sink sink;
  uv_buf_t buf = uv_buf_init("x", 1);
  (void)state;
  start();
  rewrites = 0;
  sink_start(&pair.server, &sink);
  assert_int_equal(mst_uv_write(&req, &pair.client, &buf, 1, write_again), 0);
  RUN_UNTIL(sink.len == 1000);
  free(sink.bytes);
}

#ifndef OS_STACK
/* Before the connection and on it: what the stack takes at once, and all of it in the end. */
static void the_stack_takes_little_ahead(void **state) {
  static mst_uv_write_t req;
  static mst_uv_tcp_t early;
  struct sink sink;
  (void)state;
  start();
  mst_uv_tcp_init(&net.uv, &early);
  assert_int_equal(mst_uv_tcp_notsent_lowat(&early, 5000), 0);
  assert_int_equal(mst_uv_tcp_notsent_lowat(&early, 1u << 31), UV_EINVAL);
  struct sockaddr_storage addr;
  int len = sizeof addr;
  assert_int_equal(mst_uv_tcp_getpeername(&pair.client, SOCKADDR(addr), &len), 0);
  static mst_uv_connect_t connect;
  assert_int_equal(mst_uv_tcp_connect(&connect, &early, SOCKADDR(addr), NULL), 0);
  assert_int_equal(mst_conn_get_option(mst_uv_tcp_conn(&early), MST_TCP_NOTSENT_LOWAT), 5000);

  /* Less than a segment at a time, each of which Nagle's algorithm would let wait for a delayed ACK. */
  mst_uv_tcp_nodelay(&pair.client, 1);
  assert_int_equal(mst_uv_tcp_notsent_lowat(&pair.client, 16384), 0);
  assert_int_equal(put(&pair.client, &req, "a", big(), BIG_BYTES), 0);
  assert_int_equal(mst_uv_stream_get_write_queue_size(&pair.client), BIG_BYTES - 16384);
  sink_start(&pair.server, &sink);
  RUN_UNTIL(sink.len == BIG_BYTES);
  assert_memory_equal(sink.bytes, big(), BIG_BYTES);
  free(sink.bytes);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      NET_TEST(callbacks_are_deferred_and_in_order),
      NET_TEST(many_buffers),
      NET_TEST(a_long_write_waits_for_the_reader),
      NET_TEST(a_close_cancels_what_is_queued),
      NET_TEST(try_write_until_it_would_wait),
      NET_TEST(nothing_behind_a_queued_write_is_tried),
      NET_TEST(writes_of_handles_that_cannot),
      NET_TEST(written_while_connecting),
      NET_TEST(written_before_a_refusal),
      NET_TEST(a_handle_closes_in_its_write_callback),
      NET_TEST(a_write_in_each_callback),
#ifndef OS_STACK
      NET_TEST(the_stack_takes_little_ahead),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
