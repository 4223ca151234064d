/* UDP handles. A datagram goes to the stack at once; only a full ring makes it wait for the next turn. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

int mst_uv_udp_init(mst_uv_t *uv, mst_uv_udp_t *udp) {
  void *data = udp->data;
  memset(udp, 0, sizeof *udp);
  udp->data = data;
  mst__uv_handle_init(MST__UV_HANDLE(udp), uv, MST__UV_UDP);
  return 0;
}

static void on_event(mst_udp *core, int error, void *user) {
  mst_uv_udp_t *udp = user;
  (void)core;
  /* As on Linux, an ICMP error is told on a connected socket alone. */
  if (error && (udp->flags & MST__UV_CONNECTED)) udp->error = error;
  udp->flags |= MST__UV_UNREAD;
  mst__uv_udp_deliver(udp);
}

int mst_uv_udp_bind(mst_uv_udp_t *udp, const struct sockaddr *addr, unsigned flags) {
  struct mst_endpoint local;
  mst_binding *binding;
  if ((udp->flags & MST__UV_CLOSING) || udp->udp) return UV_EINVAL;
  if (flags & ~(unsigned)UV_UDP_IPV6ONLY) return UV_EINVAL;
  if (flags && addr->sa_family != AF_INET6) return UV_EINVAL;
  int err = mst__uv_endpoint(addr, &local);
  if (err) return err;
  err = mst_bind(udp->uv->stack, MST_UDP, &local, flags ? MST_BIND_V6ONLY : 0, &binding);
  if (err) return err;
  err = mst_udp_open(udp->uv->stack, binding, on_event, udp, &udp->udp);
  mst_unbind(binding);
  if (!err) udp->family = (uint8_t)addr->sa_family;
  return err;
}

/* As libuv: a first use binds to any port of the wildcard of `family`. */
static int bind_any(mst_uv_udp_t *udp, int family) {
  struct sockaddr_storage any = {.ss_family = (sa_family_t)family};
  return udp->udp ? 0 : mst_uv_udp_bind(udp, (const struct sockaddr *)&any, 0);
}

int mst_uv_udp_connect(mst_uv_udp_t *udp, const struct sockaddr *addr) {
  struct mst_endpoint remote;
  if (udp->flags & MST__UV_CLOSING) return UV_EBADF;
  if (!addr) {
    if (!(udp->flags & MST__UV_CONNECTED)) return UV_ENOTCONN;
    udp->flags &= ~(unsigned)MST__UV_CONNECTED;
    return mst_udp_connect(udp->udp, NULL);
  }
  if (udp->flags & MST__UV_CONNECTED) return UV_EISCONN;
  int err = mst__uv_endpoint(addr, &remote);
  if (!err) err = bind_any(udp, addr->sa_family);
  if (err) return err;
  mst__uv_endpoint_destination(&remote);
  err = mst_udp_connect(udp->udp, &remote);
  if (err) return err;
  memcpy(&udp->peer, addr, addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
  udp->flags |= MST__UV_CONNECTED;
  return 0;
}

/* Whether `addr` suits the handle, and what it needs before its first datagram. */
static int prepare_send(mst_uv_udp_t *udp, const struct sockaddr *addr) {
  if (udp->flags & MST__UV_CLOSING) return UV_EBADF;
  if (addr && (udp->flags & MST__UV_CONNECTED)) return UV_EISCONN;
  if (!addr && !(udp->flags & MST__UV_CONNECTED)) return UV_EDESTADDRREQ;
  return addr ? bind_any(udp, addr->sa_family) : 0;
}

static int send_now(mst_uv_udp_t *udp, const uv_buf_t *bufs, unsigned nbufs, const struct sockaddr *addr) {
  struct mst_iov iov[MST__UV_IOV];
  struct mst_endpoint remote;
  if (nbufs > MST__UV_IOV) return UV_EMSGSIZE;
  if (addr) {
    int err = mst__uv_endpoint(addr, &remote);
    if (err) return err;
    mst__uv_endpoint_destination(&remote);
  }
  size_t count = mst__uv_bufs_iov(bufs, nbufs, 0, iov);
  return mst_udp_send(udp->udp, iov, count, NULL, addr ? &remote : NULL);
}

int mst_uv_udp_try_send(mst_uv_udp_t *udp, const uv_buf_t bufs[], unsigned nbufs, const struct sockaddr *addr) {
  int err = nbufs ? prepare_send(udp, addr) : UV_EINVAL;
  if (err) return err;
  if (udp->first) return UV_EAGAIN;
  err = send_now(udp, bufs, nbufs, addr);
  return err ? err : (int)mst__uv_bufs_bytes(bufs, nbufs);
}

int mst_uv_udp_send(mst_uv_udp_send_t *req, mst_uv_udp_t *udp, const uv_buf_t bufs[], unsigned nbufs,
                    const struct sockaddr *addr, mst_uv_udp_send_cb cb) {
  int err = nbufs ? prepare_send(udp, addr) : UV_EINVAL;
  if (err) return err;
  req->status = udp->first ? UV_EAGAIN : send_now(udp, bufs, nbufs, addr);
  req->bufs = NULL;
  req->addr.ss_family = AF_UNSPEC;
  if (req->status == UV_EAGAIN) {
    err = mst__uv_bufs_copy(&req->bufs, req->bufs_small, bufs, nbufs);
    if (err) return err;
    if (addr)
      memcpy(&req->addr, addr, addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
  }
  req->handle = udp;
  req->cb = cb;
  req->nbufs = nbufs;
  req->bytes = mst__uv_bufs_bytes(bufs, nbufs);
  req->next = NULL;
  if (udp->first)
    udp->last->next = req;
  else
    udp->first = req;
  udp->last = req;
  udp->queued_bytes += req->bytes;
  ++udp->queued_count;
  mst__uv_live_add(udp->uv);
  mst__uv_handle_pend(MST__UV_HANDLE(udp));
  return 0;
}

/* Call back the requests that were queued before this and are done. */
static void send_callbacks(mst_uv_udp_t *udp) {
  const mst_uv_udp_send_t *last = udp->last;
  while (udp->first) {
    mst_uv_udp_send_t *req = udp->first;
    const struct sockaddr *addr = req->addr.ss_family == AF_UNSPEC ? NULL : (const struct sockaddr *)&req->addr;
    if (req->status == UV_EAGAIN) req->status = send_now(udp, req->bufs, req->nbufs, addr);
    if (req->status == UV_EAGAIN) break;
    udp->first = req->next;
    udp->queued_bytes -= req->bytes;
    --udp->queued_count;
    if (req->bufs && req->bufs != req->bufs_small) free(req->bufs);
    mst__uv_live_remove(udp->uv);
    bool was_last = req == last;
    if (req->cb) req->cb(req, req->status);
    if (was_last) break;
  }
  if (udp->first && !(udp->flags & MST__UV_CLOSING)) mst__uv_handle_pend(MST__UV_HANDLE(udp));
}

int mst_uv_udp_recv_start(mst_uv_udp_t *udp, mst_uv_alloc_cb alloc_cb, mst_uv_udp_recv_cb recv_cb) {
  if (!alloc_cb || !recv_cb || (udp->flags & MST__UV_CLOSING)) return UV_EINVAL;
  if (udp->flags & MST__UV_READING) return UV_EALREADY;
  int err = bind_any(udp, AF_INET);
  if (err) return err;
  udp->alloc_cb = alloc_cb;
  udp->recv_cb = recv_cb;
  udp->flags |= MST__UV_READING;
  mst__uv_handle_activate(MST__UV_HANDLE(udp), true);
  if (udp->flags & MST__UV_UNREAD) mst__uv_handle_pend(MST__UV_HANDLE(udp));
  return 0;
}

int mst_uv_udp_recv_stop(mst_uv_udp_t *udp) {
  udp->flags &= ~(unsigned)MST__UV_READING;
  mst__uv_handle_activate(MST__UV_HANDLE(udp), false);
  return 0;
}

/* One alloc_cb and its recv_cb, which as in libuv also tells that there is nothing more. False: stop for this turn. */
static bool receive_once(mst_uv_udp_t *udp) {
  uv_buf_t buf = uv_buf_init(NULL, 0);
  udp->alloc_cb(MST__UV_HANDLE(udp), MST__UV_READ_BYTES, &buf);
  if (!buf.base || !buf.len) {
    udp->recv_cb(udp, UV_ENOBUFS, &buf, NULL, 0);
    if (udp->flags & MST__UV_READING) mst__uv_handle_pend(MST__UV_HANDLE(udp));
    return false;
  }
  struct mst_endpoint remote;
  ptrdiff_t n = udp->udp ? mst_udp_receive(udp->udp, buf.base, buf.len, &remote, NULL) : UV_EAGAIN;
  if (n < 0) {
    int error = udp->error;
    udp->error = 0;
    udp->flags &= ~(unsigned)MST__UV_UNREAD;
    udp->recv_cb(udp, n == UV_EAGAIN ? error : n, &buf, NULL, 0);
    return false;
  }
  struct sockaddr_storage from;
  int from_bytes = sizeof from;
  bool cut = (size_t)n > buf.len;
  mst__uv_sockaddr(&remote, udp->family, (struct sockaddr *)&from, &from_bytes);
  udp->recv_cb(udp, cut ? (ssize_t)buf.len : n, &buf, (const struct sockaddr *)&from, cut ? UV_UDP_PARTIAL : 0);
  return true;
}

void mst__uv_udp_deliver(mst_uv_udp_t *udp) {
  unsigned i = 0;
  send_callbacks(udp);
  while ((udp->flags & MST__UV_READING) && (udp->flags & MST__UV_UNREAD)) {
    if (!receive_once(udp)) return;
    if (++i == MST__UV_READS_PER_TURN) {
      mst__uv_handle_pend(MST__UV_HANDLE(udp));
      return;
    }
  }
}

void mst__uv_udp_close(mst_uv_udp_t *udp) {
  mst_uv_udp_recv_stop(udp);
  for (mst_uv_udp_send_t *req = udp->first; req; req = req->next)
    if (req->status == UV_EAGAIN) req->status = UV_ECANCELED;
  if (udp->udp) mst_udp_close(udp->udp);
  udp->udp = NULL;
}

void mst__uv_udp_finish_close(mst_uv_udp_t *udp) {
  while (udp->first) send_callbacks(udp);
}

int mst_uv_udp_getsockname(const mst_uv_udp_t *udp, struct sockaddr *name, int *namelen) {
  struct mst_endpoint local;
  if (!udp->udp) return UV_EBADF;
  mst_udp_local(udp->udp, &local);
  return mst__uv_sockaddr(&local, udp->family, name, namelen);
}

int mst_uv_udp_getpeername(const mst_uv_udp_t *udp, struct sockaddr *name, int *namelen) {
  struct mst_endpoint remote;
  if (!udp->udp) return UV_EBADF;
  if (!(udp->flags & MST__UV_CONNECTED)) return UV_ENOTCONN;
  mst__uv_endpoint((const struct sockaddr *)&udp->peer, &remote);
  return mst__uv_sockaddr(&remote, udp->family, name, namelen);
}

size_t mst_uv_udp_get_send_queue_size(const mst_uv_udp_t *udp) {
  return udp->queued_bytes;
}

size_t mst_uv_udp_get_send_queue_count(const mst_uv_udp_t *udp) {
  return udp->queued_count;
}
