/* Writing: what the stack takes at once needs no queue; what it does not waits for its WRITABLE event. Callbacks are
 * always deferred, in the order of the writes, the shutdown's after them. */
#include "internal.h"

#include <stdlib.h>

static void push(struct mst_uv_write_queue *queue, mst_uv_write_t *req) {
  req->next = NULL;
  if (queue->first)
    queue->last->next = req;
  else
    queue->first = req;
  queue->last = req;
}

static mst_uv_write_t *pop(struct mst_uv_write_queue *queue) {
  mst_uv_write_t *req = queue->first;
  if (req) queue->first = req->next;
  return req;
}

/* UV_EBADF, UV_EPIPE as libuv's uv__check_before_write. */
static int check_writable(const mst_uv_tcp_t *tcp) {
  if (!tcp->conn && !tcp->binding) return UV_EBADF;
  return tcp->flags & MST__UV_WRITABLE ? 0 : UV_EPIPE;
}

/* Bytes that the stack took, less than all when its buffer is full, or its error. */
static ptrdiff_t write_some(mst_uv_tcp_t *tcp, const uv_buf_t *bufs, unsigned nbufs) {
  ptrdiff_t taken = 0;
  unsigned at = 0;
  if (tcp->flags & MST__UV_ERROR_TOLD) return UV_EPIPE;
  while (at < nbufs) {
    struct mst_iov iov[MST__UV_IOV];
    unsigned batch = nbufs - at < MST__UV_IOV ? nbufs - at : MST__UV_IOV;
    size_t count = mst__uv_bufs_iov(bufs + at, batch, 0, iov);
    size_t bytes = mst__uv_bufs_bytes(bufs + at, batch);
    ptrdiff_t n = count ? mst_writev(tcp->conn, iov, count) : 0;
    if (n == UV_EAGAIN || (n < 0 && taken)) return taken;
    if (n < 0) tcp->flags |= MST__UV_ERROR_TOLD;
    if (n < 0) return n;
    taken += n;
    if ((size_t)n < bytes) break;
    at += batch;
  }
  return taken;
}

/* Forget the first `bytes` of what is left of a request. */
static void advance(mst_uv_write_t *req, size_t bytes) {
  while (req->at < req->nbufs && bytes >= req->bufs[req->at].len) bytes -= req->bufs[req->at++].len;
  if (req->at == req->nbufs) return;
  req->bufs[req->at].base += bytes;
  req->bufs[req->at].len -= bytes;
}

static void finish(mst_uv_tcp_t *tcp, mst_uv_write_t *req, int status) {
  if (req->bufs && req->bufs != req->bufs_small) free(req->bufs);
  req->bufs = NULL;
  req->status = status;
  push(&tcp->done, req);
  mst__uv_handle_pend(MST__UV_HANDLE(tcp));
}

/* FIN once everything before it is with the stack. */
static void shut_when_drained(mst_uv_tcp_t *tcp) {
  if (!tcp->shutdown_req || (tcp->flags & MST__UV_SHUT) || tcp->queued.first || tcp->connect_req) return;
  tcp->shutdown_status = tcp->conn ? mst_shutdown(tcp->conn) : UV_ENOTCONN;
  tcp->flags |= MST__UV_SHUT;
  mst__uv_handle_pend(MST__UV_HANDLE(tcp));
}

void mst__uv_tcp_write_more(mst_uv_tcp_t *tcp) {
  if (!tcp->conn || tcp->connect_req) return;
  while (tcp->queued.first) {
    mst_uv_write_t *req = tcp->queued.first;
    size_t left = mst__uv_bufs_bytes(req->bufs + req->at, req->nbufs - req->at);
    ptrdiff_t n = write_some(tcp, req->bufs + req->at, req->nbufs - req->at);
    if (n >= 0 && (size_t)n < left) {
      advance(req, (size_t)n);
      tcp->queued_bytes -= (size_t)n;
      return;
    }
    tcp->queued_bytes -= left;
    finish(tcp, pop(&tcp->queued), n < 0 ? (int)n : 0);
  }
  shut_when_drained(tcp);
}

void mst__uv_tcp_write_cancel(mst_uv_tcp_t *tcp, int status) {
  while (tcp->queued.first) finish(tcp, pop(&tcp->queued), status);
  tcp->queued_bytes = 0;
}

void mst__uv_tcp_write_callbacks(mst_uv_tcp_t *tcp) {
  struct mst_uv_write_queue done = tcp->done;
  mst_uv_write_t *req;
  tcp->done.first = NULL;
  while ((req = pop(&done))) {
    mst__uv_live_remove(tcp->uv);
    if (req->cb) req->cb(req, req->status);
  }
  if (tcp->shutdown_req && (tcp->flags & MST__UV_SHUT)) {
    mst_uv_shutdown_t *shutdown = tcp->shutdown_req;
    tcp->shutdown_req = NULL;
    mst__uv_live_remove(tcp->uv);
    if (shutdown->cb) shutdown->cb(shutdown, tcp->shutdown_status);
  }
}

int mst_uv_write(mst_uv_write_t *req, mst_uv_tcp_t *tcp, const uv_buf_t bufs[], unsigned nbufs, mst_uv_write_cb cb) {
  int err = check_writable(tcp);
  if (!nbufs) err = UV_EINVAL;
  if (err) return err;

  size_t bytes = mst__uv_bufs_bytes(bufs, nbufs);
  ptrdiff_t n = 0;
  req->handle = tcp;
  req->cb = cb;
  req->bufs = NULL;
  req->nbufs = nbufs;
  req->at = 0;
  if (!tcp->connect_req && !tcp->queued.first) {
    n = write_some(tcp, bufs, nbufs);
    if (n < 0 || (size_t)n == bytes) {
      mst__uv_live_add(tcp->uv);
      finish(tcp, req, n < 0 ? (int)n : 0);
      return 0;
    }
  }
  /* Nothing was taken yet when this fails for the first time, so the caller can try again. */
  err = mst__uv_bufs_copy(&req->bufs, req->bufs_small, bufs, nbufs);
  if (err && n == 0) return err;
  mst__uv_live_add(tcp->uv);
  if (err) {
    finish(tcp, req, err);
    return 0;
  }
  advance(req, (size_t)n);
  tcp->queued_bytes += bytes - (size_t)n;
  push(&tcp->queued, req);
  return 0;
}

int mst_uv_try_write(mst_uv_tcp_t *tcp, const uv_buf_t bufs[], unsigned nbufs) {
  if (tcp->connect_req || tcp->queued.first) return UV_EAGAIN;
  int err = check_writable(tcp);
  if (err) return err;
  ptrdiff_t n = write_some(tcp, bufs, nbufs);
  return n == 0 && mst__uv_bufs_bytes(bufs, nbufs) ? UV_EAGAIN : (int)n;
}

int mst_uv_shutdown(mst_uv_shutdown_t *req, mst_uv_tcp_t *tcp, mst_uv_shutdown_cb cb) {
  if (!(tcp->flags & MST__UV_WRITABLE) || tcp->shutdown_req) return UV_ENOTCONN;
  req->handle = tcp;
  req->cb = cb;
  tcp->shutdown_req = req;
  tcp->flags &= ~(unsigned)MST__UV_WRITABLE;
  mst__uv_live_add(tcp->uv);
  shut_when_drained(tcp);
  return 0;
}

size_t mst_uv_stream_get_write_queue_size(const mst_uv_tcp_t *tcp) {
  return tcp->queued_bytes;
}

int mst_uv_is_readable(const mst_uv_tcp_t *tcp) {
  return (tcp->flags & MST__UV_READABLE) != 0;
}

int mst_uv_is_writable(const mst_uv_tcp_t *tcp) {
  return (tcp->flags & MST__UV_WRITABLE) != 0;
}
