/* An echo server. It stops reading from a peer that does not read what was echoed. */
#include "server.h"

#include <stddef.h>
#include <stdlib.h>

#define ECHO_QUEUE_MAX_BYTES (1 << 20)

struct chunk {
  mst_uv_write_t req;
  char bytes[65536];
};

static mst_uv_t *stack;
static mst_uv_tcp_t server;

/* A peer's handle is its own `data`; the server's has none. */
static void on_closed(mst_uv_handle_t *handle) {
  free(handle->data);
}

static void close_handle(mst_uv_handle_t *handle, void *arg) {
  (void)arg;
  if (!mst_uv_is_closing(handle)) mst_uv_close(handle, on_closed);
}

static void close_peer(mst_uv_tcp_t *tcp) {
  close_handle((mst_uv_handle_t *)tcp, NULL);
}

static void on_alloc(mst_uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buf) {
  struct chunk *chunk = malloc(sizeof *chunk);
  (void)handle;
  (void)suggested_bytes;
  *buf = chunk ? uv_buf_init(chunk->bytes, sizeof chunk->bytes) : uv_buf_init(NULL, 0);
}

static void on_read(mst_uv_tcp_t *tcp, ssize_t nread, const uv_buf_t *buf);

static void on_written(mst_uv_write_t *req, int status) {
  mst_uv_tcp_t *tcp = (mst_uv_tcp_t *)req->handle;
  free(req); /* the first member of its chunk */
  if (status < 0)
    close_peer(tcp);
  else if (mst_uv_is_readable(tcp) && mst_uv_stream_get_write_queue_size(tcp) < ECHO_QUEUE_MAX_BYTES / 2)
    mst_uv_read_start(tcp, on_alloc, on_read);
}

static void on_shut(mst_uv_shutdown_t *req, int status) {
  (void)status;
  close_peer((mst_uv_tcp_t *)req->handle);
  free(req);
}

/* The peer will send no more: answer with our own end once all is echoed. */
static void finish(mst_uv_tcp_t *tcp) {
  mst_uv_shutdown_t *req = malloc(sizeof *req);
  if (req && mst_uv_shutdown(req, tcp, on_shut) == 0) return;
  free(req);
  close_peer(tcp);
}

static void on_read(mst_uv_tcp_t *tcp, ssize_t nread, const uv_buf_t *buf) {
  struct chunk *chunk = buf->base ? (struct chunk *)(void *)(buf->base - offsetof(struct chunk, bytes)) : NULL;
  if (nread > 0) {
    uv_buf_t echo = uv_buf_init(buf->base, (unsigned)nread);
    if (mst_uv_write(&chunk->req, tcp, &echo, 1, on_written) == 0) {
      if (mst_uv_stream_get_write_queue_size(tcp) > ECHO_QUEUE_MAX_BYTES) mst_uv_read_stop(tcp);
      return;
    }
    close_peer(tcp);
  } else if (nread == UV_EOF) {
    finish(tcp);
  } else if (nread < 0) {
    close_peer(tcp);
  }
  free(chunk);
}

static void on_connection(mst_uv_tcp_t *listener, int status) {
  mst_uv_tcp_t *tcp = status ? NULL : calloc(1, sizeof *tcp);
  if (!tcp) return;
  mst_uv_tcp_init(stack, tcp);
  tcp->data = tcp;
  mst_uv_tcp_nodelay(tcp, 1);
  if (mst_uv_accept(listener, tcp) || mst_uv_read_start(tcp, on_alloc, on_read)) close_peer(tcp);
}

int server_start(mst_uv_t *uv, const struct sockaddr *addr, unsigned bind_flags) {
  stack = uv;
  int err = mst_uv_tcp_init(uv, &server);
  if (!err) err = mst_uv_tcp_bind(&server, addr, bind_flags);
  if (!err) err = mst_uv_listen(&server, 511, on_connection);
  return err;
}

void server_stop(void) {
  mst_uv_walk(stack, close_handle, NULL);
}

mst_uv_tcp_t *server_listener(void) {
  return &server;
}
