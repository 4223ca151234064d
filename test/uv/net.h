/* What the cases of this folder share: a loop with a stack on it (or with the kernel's, when OS_STACK is defined) and a
 * connected pair of handles. */
#ifndef TEST_UV_NET_H
#define TEST_UV_NET_H

#include "os.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct net {
  uv_loop_t loop;
  mst_uv_t uv;
};

static struct net net;

static inline int net_open(void **state) {
  (void)state;
  memset(&net, 0, sizeof net);
  assert_int_equal(uv_loop_init(&net.loop), 0);
  net.uv.loop = &net.loop;
#ifndef OS_STACK
  assert_int_equal(mst_uv_init(&net.loop, &net.uv, NULL, NULL), 0);
#endif
  return 0;
}

static inline void close_any(mst_uv_handle_t *handle, void *arg) {
  (void)arg;
  if (!mst_uv_is_closing(handle)) mst_uv_close(handle, NULL);
}

/* Close what a case left open; then nothing may keep the loop. */
static inline int net_close(void **state) {
  (void)state;
  mst_uv_walk(&net.uv, close_any, NULL);
  uv_run(&net.loop, UV_RUN_DEFAULT);
#ifndef OS_STACK
  assert_int_equal(mst_uv_detach(&net.uv, NULL), 0);
  uv_run(&net.loop, UV_RUN_DEFAULT);
#endif
  assert_int_equal(uv_loop_close(&net.loop), 0);
  return 0;
}

#define NET_TEST(function) cmocka_unit_test_setup_teardown(function, net_open, net_close)

/* Turn the loop until `condition`; a loop that ends before it fails the case. */
#define RUN_UNTIL(condition)                                                                                           \
  do {                                                                                                                 \
    int alive_ = 1;                                                                                                    \
    while (!(condition) && alive_) alive_ = uv_run(&net.loop, UV_RUN_ONCE);                                            \
    assert_true(condition);                                                                                            \
  } while (0)

#define HANDLE(h) ((mst_uv_handle_t *)(h))

static inline struct sockaddr_storage ip4(const char *host, int port) {
  struct sockaddr_storage out;
  memset(&out, 0, sizeof out);
  assert_int_equal(uv_ip4_addr(host, port, (struct sockaddr_in *)&out), 0);
  return out;
}

static inline struct sockaddr_storage ip6(const char *host, int port) {
  struct sockaddr_storage out;
  memset(&out, 0, sizeof out);
  assert_int_equal(uv_ip6_addr(host, port, (struct sockaddr_in6 *)&out), 0);
  return out;
}

#define SOCKADDR(storage) ((struct sockaddr *)&(storage))

static inline int port_of(const struct sockaddr_storage *addr) {
  return ntohs(((const struct sockaddr_in *)addr)->sin_port); /* at the same place in sockaddr_in6 */
}

static inline struct sockaddr_storage local_of(mst_uv_tcp_t *tcp) {
  struct sockaddr_storage out;
  int bytes = sizeof out;
  memset(&out, 0, sizeof out);
  assert_int_equal(mst_uv_tcp_getsockname(tcp, SOCKADDR(out), &bytes), 0);
  return out;
}

typedef void (*net_connection_cb)(mst_uv_tcp_t *listener, int status);

/* Listen on any port of `addr`; returns the address with the port. */
static inline struct sockaddr_storage net_listen(mst_uv_tcp_t *tcp, struct sockaddr_storage addr,
                                                 net_connection_cb cb) {
  assert_int_equal(mst_uv_tcp_init(&net.uv, tcp), 0);
  assert_int_equal(mst_uv_tcp_bind(tcp, SOCKADDR(addr), 0), 0);
  assert_int_equal(mst_uv_listen(tcp, 1024, cb), 0);
  return local_of(tcp);
}

/* Two handles with a connection between them. */
struct pair {
  mst_uv_tcp_t listener, client, server;
  mst_uv_connect_t connect;
  int connected, accepted;
};

static struct pair pair;

static inline void pair_on_connection(mst_uv_tcp_t *listener, int status) {
  assert_int_equal(status, 0);
  assert_int_equal(mst_uv_tcp_init(&net.uv, &pair.server), 0);
  assert_int_equal(mst_uv_accept(listener, &pair.server), 0);
  ++pair.accepted;
}

static inline void pair_on_connect(mst_uv_connect_t *req, int status) {
  (void)req;
  assert_int_equal(status, 0);
  ++pair.connected;
}

static inline void pair_open(void) {
  memset(&pair, 0, sizeof pair);
  struct sockaddr_storage addr = net_listen(&pair.listener, ip4("127.0.0.1", 0), pair_on_connection);
  assert_int_equal(mst_uv_tcp_init(&net.uv, &pair.client), 0);
  assert_int_equal(mst_uv_tcp_connect(&pair.connect, &pair.client, SOCKADDR(addr), pair_on_connect), 0);
  RUN_UNTIL(pair.connected && pair.accepted);
  mst_uv_close(HANDLE(&pair.listener), NULL);
}

/* Reading that keeps what came. */
struct sink {
  char *bytes;
  size_t len, room;
  int calls, eof, error, enobufs;
};

static inline void sink_alloc(mst_uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  static char space[65536];
  (void)handle;
  assert_int_equal(suggested, 65536);
  *buf = uv_buf_init(space, sizeof space);
}

static inline void sink_read(mst_uv_tcp_t *tcp, ssize_t nread, const uv_buf_t *buf) {
  struct sink *sink = tcp->data;
  if (nread == 0) return;
  ++sink->calls;
  if (nread == UV_EOF) {
    ++sink->eof;
  } else if (nread == UV_ENOBUFS) {
    ++sink->enobufs;
  } else if (nread < 0) {
    sink->error = (int)nread;
  } else {
    if (sink->len + (size_t)nread > sink->room) {
      sink->room = 2 * (sink->len + (size_t)nread);
      sink->bytes = realloc(sink->bytes, sink->room);
      assert_non_null(sink->bytes);
    }
    memcpy(sink->bytes + sink->len, buf->base, (size_t)nread);
    sink->len += (size_t)nread;
  }
}

static inline void sink_start(mst_uv_tcp_t *tcp, struct sink *sink) {
  memset(sink, 0, sizeof *sink);
  tcp->data = sink;
  assert_int_equal(mst_uv_read_start(tcp, sink_alloc, sink_read), 0);
}

#endif
