/* Reading: the stack tells of new data once, so what is left when a turn ends or reading starts is read by deferral. */
#include "internal.h"

int mst_uv_read_start(mst_uv_tcp_t *tcp, mst_uv_alloc_cb alloc_cb, mst_uv_read_cb read_cb) {
  if (!alloc_cb || !read_cb || (tcp->flags & MST__UV_CLOSING)) return UV_EINVAL;
  if (tcp->flags & MST__UV_READING) return UV_EALREADY;
  if (!(tcp->flags & MST__UV_READABLE)) return UV_ENOTCONN;
  tcp->alloc_cb = alloc_cb;
  tcp->read_cb = read_cb;
  tcp->flags |= MST__UV_READING;
  mst__uv_handle_activate(MST__UV_HANDLE(tcp), true);
  mst__uv_handle_pend(MST__UV_HANDLE(tcp));
  return 0;
}

int mst_uv_read_stop(mst_uv_tcp_t *tcp) {
  if (!(tcp->flags & MST__UV_READING)) return 0;
  tcp->flags &= ~(unsigned)MST__UV_READING;
  mst__uv_handle_activate(MST__UV_HANDLE(tcp), false);
  return 0;
}

/* What reading has come to: 1 when bytes wait, 0 at the peer's FIN, UV_EAGAIN, or the connection's error. */
static int read_state(const mst_uv_tcp_t *tcp) {
  char none;
  if (mst_readable_bytes(tcp->conn)) return 1;
  return tcp->flags & MST__UV_ERROR_TOLD ? 0 : (int)mst_read(tcp->conn, &none, 1);
}

/* As libuv: EOF stops reading before the callback, an error stops it after. */
static void tell_end(mst_uv_tcp_t *tcp, int status, const uv_buf_t *buf) {
  if (status == 0) {
    mst_uv_read_stop(tcp);
    tcp->read_cb(tcp, UV_EOF, buf);
    return;
  }
  tcp->flags &= ~(unsigned)(MST__UV_READABLE | MST__UV_WRITABLE);
  tcp->flags |= MST__UV_ERROR_TOLD;
  tcp->read_cb(tcp, status, buf);
  mst_uv_read_stop(tcp);
}

/* One alloc_cb and its read_cb. False when there is no more to do now. */
static bool read_once(mst_uv_tcp_t *tcp) {
  int state = read_state(tcp);
  if (state == UV_EAGAIN) return false;

  uv_buf_t buf = uv_buf_init(NULL, 0);
  tcp->alloc_cb(MST__UV_HANDLE(tcp), MST__UV_READ_BYTES, &buf);
  if (!buf.base || !buf.len) {
    tcp->read_cb(tcp, UV_ENOBUFS, &buf);
    mst__uv_handle_pend(MST__UV_HANDLE(tcp));
    return false;
  }
  if (!tcp->conn) {
    tcp->read_cb(tcp, UV_ECANCELED, &buf);
    return false;
  }
  if (state <= 0) {
    tell_end(tcp, state, &buf);
    return false;
  }
  tcp->read_cb(tcp, mst_read(tcp->conn, buf.base, buf.len), &buf);
  return true;
}

void mst__uv_tcp_read(mst_uv_tcp_t *tcp) {
  for (unsigned i = 0; i < MST__UV_READS_PER_TURN; ++i) {
    if (!(tcp->flags & MST__UV_READING) || tcp->connect_req) return;
    if (!read_once(tcp)) return;
  }
  mst__uv_handle_pend(MST__UV_HANDLE(tcp));
}
