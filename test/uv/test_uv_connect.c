/* Binding, listening, connecting, accepting, and what the handles are called. */
#include "net.h"

static int calls, last_status;

static void on_status(mst_uv_connect_t *req, int status) {
  (void)req;
  ++calls;
  last_status = status;
}

static void no_connection(mst_uv_tcp_t *listener, int status) {
  (void)listener;
  (void)status;
  fail();
}

/* A port that nobody listens on. */
static struct sockaddr_storage silent(void) {
  static mst_uv_tcp_t tcp;
  struct sockaddr_storage addr = net_listen(&tcp, ip4("127.0.0.1", 0), no_connection);
  int closed = 0;
  tcp.data = &closed;
  mst_uv_close(HANDLE(&tcp), NULL);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  return addr;
}

static void connects_and_names_both_ends(void **state) {
  struct sockaddr_storage client, server, peer;
  int bytes = sizeof peer;
  (void)state;
  pair_open();
  assert_int_equal(pair.connected, 1);
  client = local_of(&pair.client);
  server = local_of(&pair.server);
  assert_int_equal(client.ss_family, AF_INET);
  assert_int_equal(mst_uv_tcp_getpeername(&pair.client, SOCKADDR(peer), &bytes), 0);
  assert_int_equal(bytes, sizeof(struct sockaddr_in));
  assert_memory_equal(&peer, &server, sizeof(struct sockaddr_in));
  bytes = sizeof peer;
  assert_int_equal(mst_uv_tcp_getpeername(&pair.server, SOCKADDR(peer), &bytes), 0);
  assert_memory_equal(&peer, &client, sizeof(struct sockaddr_in));
}

static void a_short_name_is_cut(void **state) {
  struct sockaddr_storage name;
  int bytes = 4;
  (void)state;
  pair_open();
  memset(&name, 0xee, sizeof name);
  assert_int_equal(mst_uv_tcp_getsockname(&pair.client, SOCKADDR(name), &bytes), 0);
  assert_int_equal(bytes, sizeof(struct sockaddr_in));
  assert_int_equal(((unsigned char *)&name)[4], 0xee);
}

static void names_of_what_is_not_connected(void **state) {
  static mst_uv_tcp_t tcp;
  struct sockaddr_storage name, any = ip4("0.0.0.0", 0);
  int bytes = sizeof name;
  (void)state;
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_tcp_getsockname(&tcp, SOCKADDR(name), &bytes), UV_EBADF);
  assert_int_equal(mst_uv_tcp_getpeername(&tcp, SOCKADDR(name), &bytes), UV_EBADF);
  assert_int_equal(mst_uv_tcp_bind(&tcp, SOCKADDR(any), 0), 0);
  name = local_of(&tcp);
  assert_int_not_equal(port_of(&name), 0);
  bytes = sizeof name;
  assert_int_equal(mst_uv_tcp_getpeername(&tcp, SOCKADDR(name), &bytes), UV_ENOTCONN);
}

static void refused(void **state) {
  static mst_uv_tcp_t tcp;
  mst_uv_connect_t req;
  struct sockaddr_storage addr = silent();
  (void)state;
  calls = 0;
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_tcp_connect(&req, &tcp, SOCKADDR(addr), on_status), 0);
  assert_int_equal(calls, 0);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  assert_int_equal(calls, 1);
  assert_int_equal(last_status, UV_ECONNREFUSED);
  assert_int_equal(mst_uv_tcp_connect(&req, &tcp, SOCKADDR(addr), on_status), UV_ECONNABORTED);
}

static void a_second_connect_is_refused(void **state) {
  static mst_uv_tcp_t tcp, listener;
  mst_uv_connect_t req, second;
  (void)state;
  calls = 0;
  memset(&pair, 0, sizeof pair);
  struct sockaddr_storage addr = net_listen(&listener, ip4("127.0.0.1", 0), pair_on_connection);
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_tcp_connect(&req, &tcp, SOCKADDR(addr), on_status), 0);
  assert_int_equal(mst_uv_tcp_connect(&second, &tcp, SOCKADDR(addr), on_status), UV_EALREADY);
  RUN_UNTIL(calls && pair.accepted);
  assert_int_equal(calls, 1);
}

static void close_during_connect(void **state) {
  static mst_uv_tcp_t tcp, listener;
  mst_uv_connect_t req;
  (void)state;
  calls = 0;
  memset(&pair, 0, sizeof pair);
  struct sockaddr_storage addr = net_listen(&listener, ip4("127.0.0.1", 0), pair_on_connection);
  mst_uv_unref(HANDLE(&listener));
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_tcp_connect(&req, &tcp, SOCKADDR(addr), on_status), 0);
  mst_uv_close(HANDLE(&tcp), NULL);
  assert_int_equal(calls, 0);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  assert_int_equal(calls, 1);
  assert_int_equal(last_status, UV_ECANCELED);
}

static void an_address_in_use_is_told_by_listen(void **state) {
  static mst_uv_tcp_t first, second;
  (void)state;
  struct sockaddr_storage addr = net_listen(&first, ip4("127.0.0.1", 0), no_connection), name;
  int bytes = sizeof name;
  mst_uv_tcp_init(&net.uv, &second);
  assert_int_equal(mst_uv_tcp_bind(&second, SOCKADDR(addr), 0), 0);
  assert_int_equal(mst_uv_tcp_getsockname(&second, SOCKADDR(name), &bytes), UV_EADDRINUSE);
  assert_int_equal(mst_uv_listen(&second, 1, no_connection), UV_EADDRINUSE);
}

static void an_address_in_use_is_told_by_connect(void **state) {
  static mst_uv_tcp_t first, second;
  mst_uv_connect_t req;
  (void)state;
  calls = 0;
  struct sockaddr_storage addr = net_listen(&first, ip4("127.0.0.1", 0), no_connection);
  mst_uv_unref(HANDLE(&first));
  mst_uv_tcp_init(&net.uv, &second);
  assert_int_equal(mst_uv_tcp_bind(&second, SOCKADDR(addr), 0), 0);
  assert_int_equal(mst_uv_tcp_connect(&req, &second, SOCKADDR(addr), on_status), 0);
  assert_int_equal(calls, 0);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  assert_int_equal(calls, 1);
  assert_int_equal(last_status, UV_EADDRINUSE);
}

static void two_can_bind_and_one_listen(void **state) {
  static mst_uv_tcp_t first, second;
  struct sockaddr_storage any = ip4("127.0.0.1", 0), addr;
  (void)state;
  mst_uv_tcp_init(&net.uv, &first);
  mst_uv_tcp_init(&net.uv, &second);
  assert_int_equal(mst_uv_tcp_bind(&first, SOCKADDR(any), 0), 0);
  addr = local_of(&first);
  assert_int_equal(mst_uv_tcp_bind(&second, SOCKADDR(addr), 0), 0);
  assert_int_equal(mst_uv_listen(&first, 1, no_connection), 0);
  assert_int_equal(mst_uv_listen(&second, 1, no_connection), UV_EADDRINUSE);
}

static void bad_binds(void **state) {
  static mst_uv_tcp_t tcp;
  struct sockaddr_storage any = ip4("127.0.0.1", 0), unix_address = {.ss_family = AF_UNIX};
  (void)state;
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_tcp_bind(&tcp, SOCKADDR(unix_address), 0), UV_EINVAL);
  assert_int_equal(mst_uv_tcp_bind(&tcp, SOCKADDR(any), UV_TCP_IPV6ONLY), UV_EINVAL);
  assert_int_equal(mst_uv_tcp_bind(&tcp, SOCKADDR(any), 0), 0);
  assert_int_equal(mst_uv_tcp_bind(&tcp, SOCKADDR(any), 0), UV_EINVAL);
}

static void listening_needs_no_bind(void **state) {
  static mst_uv_tcp_t tcp;
  struct sockaddr_storage name;
  (void)state;
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_listen(&tcp, 1, no_connection), 0);
  name = local_of(&tcp);
  assert_int_equal(name.ss_family, AF_INET);
  assert_int_not_equal(port_of(&name), 0);
  assert_int_equal(mst_uv_listen(&tcp, 2, no_connection), 0);
}

static void a_connected_handle_cannot_listen(void **state) {
  (void)state;
  pair_open();
  assert_int_equal(mst_uv_listen(&pair.client, 1, no_connection), UV_EINVAL);
}

/* Connect from `from` (may be NULL) to the listener at `listen` by way of `to`; returns whether it came through. */
static int reaches(struct sockaddr_storage listen, unsigned flags, struct sockaddr_storage to) {
  static mst_uv_tcp_t tcp, listener;
  mst_uv_connect_t req;
  calls = 0;
  memset(&pair, 0, sizeof pair);
  mst_uv_tcp_init(&net.uv, &listener);
  assert_int_equal(mst_uv_tcp_bind(&listener, SOCKADDR(listen), flags), 0);
  assert_int_equal(mst_uv_listen(&listener, 8, pair_on_connection), 0);
  listen = local_of(&listener);
  ((struct sockaddr_in *)&to)->sin_port = ((struct sockaddr_in *)&listen)->sin_port;
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_tcp_connect(&req, &tcp, SOCKADDR(to), on_status), 0);
  RUN_UNTIL(calls && (last_status || pair.accepted));
  if (!last_status) {
    struct sockaddr_storage ours = local_of(&pair.server);
    assert_int_equal(ours.ss_family, listen.ss_family);
  }
  mst_uv_walk(&net.uv, close_any, NULL);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  return last_status;
}

static void address_families(void **state) {
  (void)state;
  assert_int_equal(reaches(ip6("::1", 0), 0, ip6("::1", 0)), 0);
  assert_int_equal(reaches(ip6("::", 0), 0, ip6("::1", 0)), 0);
  assert_int_equal(reaches(ip6("::", 0), 0, ip4("127.0.0.1", 0)), 0);
  assert_int_equal(reaches(ip6("::", 0), UV_TCP_IPV6ONLY, ip6("::1", 0)), 0);
  assert_int_equal(reaches(ip6("::", 0), UV_TCP_IPV6ONLY, ip4("127.0.0.1", 0)), UV_ECONNREFUSED);
  assert_int_equal(reaches(ip4("0.0.0.0", 0), 0, ip4("127.0.0.9", 0)), 0);
  assert_int_equal(reaches(ip4("127.0.0.1", 0), 0, ip4("127.0.0.9", 0)), UV_ECONNREFUSED);
}

static void a_wildcard_destination_is_loopback(void **state) {
  (void)state;
  assert_int_equal(reaches(ip4("127.0.0.1", 0), 0, ip4("0.0.0.0", 0)), 0);
  assert_int_equal(reaches(ip6("::1", 0), 0, ip6("::", 0)), 0);
}

static void connects_from_where_it_is_bound(void **state) {
  static mst_uv_tcp_t tcp, listener;
  mst_uv_connect_t req;
  struct sockaddr_storage from = ip4("127.0.0.3", 0), peer;
  int bytes = sizeof peer;
  (void)state;
  calls = 0;
  memset(&pair, 0, sizeof pair);
  struct sockaddr_storage addr = net_listen(&listener, ip4("127.0.0.1", 0), pair_on_connection);
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_tcp_bind(&tcp, SOCKADDR(from), 0), 0);
  from = local_of(&tcp);
  assert_int_equal(mst_uv_tcp_connect(&req, &tcp, SOCKADDR(addr), on_status), 0);
  RUN_UNTIL(calls && pair.accepted);
  assert_int_equal(last_status, 0);
  assert_int_equal(mst_uv_tcp_getpeername(&pair.server, SOCKADDR(peer), &bytes), 0);
  assert_memory_equal(&peer, &from, sizeof(struct sockaddr_in));
}

static int waiting;

static void accept_later(mst_uv_tcp_t *listener, int status) {
  (void)listener;
  assert_int_equal(status, 0);
  ++waiting;
}

static void the_next_connection_waits_for_accept(void **state) {
  static mst_uv_tcp_t listener, clients[3], servers[3];
  mst_uv_connect_t reqs[3];
  (void)state;
  calls = waiting = 0;
  struct sockaddr_storage addr = net_listen(&listener, ip4("127.0.0.1", 0), accept_later);
  for (int i = 0; i < 3; ++i) {
    mst_uv_tcp_init(&net.uv, &clients[i]);
    mst_uv_tcp_init(&net.uv, &servers[i]);
    assert_int_equal(mst_uv_tcp_connect(&reqs[i], &clients[i], SOCKADDR(addr), on_status), 0);
  }
  assert_int_equal(mst_uv_accept(&listener, &servers[0]), UV_EAGAIN);
  RUN_UNTIL(calls == 3 && waiting == 1);
  for (int i = 0; i < 3; ++i) {
    assert_int_equal(mst_uv_accept(&listener, &servers[i]), 0);
    assert_int_equal(waiting, i + 1);
    if (i < 2) RUN_UNTIL(waiting == i + 2);
  }
  assert_int_equal(mst_uv_accept(&listener, &servers[0]), UV_EAGAIN);
}

static void close_listener(mst_uv_tcp_t *listener, int status) {
  (void)status;
  ++waiting;
  mst_uv_close(HANDLE(listener), NULL);
}

static void a_listener_closes_in_its_callback(void **state) {
  static mst_uv_tcp_t listener, clients[2];
  mst_uv_connect_t reqs[2];
  (void)state;
  calls = waiting = 0;
  struct sockaddr_storage addr = net_listen(&listener, ip4("127.0.0.1", 0), close_listener);
  for (int i = 0; i < 2; ++i) {
    mst_uv_tcp_init(&net.uv, &clients[i]);
    assert_int_equal(mst_uv_tcp_connect(&reqs[i], &clients[i], SOCKADDR(addr), on_status), 0);
  }
  uv_run(&net.loop, UV_RUN_DEFAULT);
  assert_int_equal(waiting, 1);
  assert_int_equal(calls, 2);
}

static void options_before_and_after(void **state) {
  static mst_uv_tcp_t tcp;
  (void)state;
  mst_uv_tcp_init(&net.uv, &tcp);
  assert_int_equal(mst_uv_tcp_nodelay(&tcp, 1), 0);
  assert_int_equal(mst_uv_tcp_keepalive(&tcp, 1, 60), 0);
  pair_open();
  assert_int_equal(mst_uv_tcp_nodelay(&pair.client, 1), 0);
  assert_int_equal(mst_uv_tcp_nodelay(&pair.client, 0), 0);
  assert_int_equal(mst_uv_tcp_keepalive(&pair.client, 1, 60), 0);
  assert_int_equal(mst_uv_tcp_keepalive(&pair.client, 0, 0), 0);
  assert_int_equal(mst_uv_tcp_keepalive(&pair.client, 1, 0), UV_EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      NET_TEST(connects_and_names_both_ends),
      NET_TEST(a_short_name_is_cut),
      NET_TEST(names_of_what_is_not_connected),
      NET_TEST(refused),
      NET_TEST(a_second_connect_is_refused),
      NET_TEST(close_during_connect),
      NET_TEST(an_address_in_use_is_told_by_listen),
      NET_TEST(an_address_in_use_is_told_by_connect),
      NET_TEST(two_can_bind_and_one_listen),
      NET_TEST(bad_binds),
      NET_TEST(listening_needs_no_bind),
      NET_TEST(a_connected_handle_cannot_listen),
      NET_TEST(address_families),
      NET_TEST(a_wildcard_destination_is_loopback),
      NET_TEST(connects_from_where_it_is_bound),
      NET_TEST(the_next_connection_waits_for_accept),
      NET_TEST(a_listener_closes_in_its_callback),
      NET_TEST(options_before_and_after),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
