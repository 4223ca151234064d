/* TCP handles: bind, listen, accept, connect, names, options, and the events of a connection. */
#include "internal.h"

#include <string.h>

/* Where libuv would have a descriptor. */
static bool is_open(const mst_uv_tcp_t *tcp) {
  return tcp->conn || tcp->listener || tcp->binding;
}

int mst_uv_tcp_init(mst_uv_t *uv, mst_uv_tcp_t *tcp) {
  void *data = tcp->data;
  memset(tcp, 0, sizeof *tcp);
  tcp->data = data;
  mst__uv_handle_init(MST__UV_HANDLE(tcp), uv, MST__UV_TCP);
  return 0;
}

int mst_uv_tcp_bind(mst_uv_tcp_t *tcp, const struct sockaddr *addr, unsigned flags) {
  struct mst_endpoint local;
  if ((tcp->flags & MST__UV_CLOSING) || is_open(tcp)) return UV_EINVAL;
  if (flags & ~(UV_TCP_IPV6ONLY | MST_UV_TCP_TAKE)) return UV_EINVAL;
  if ((flags & UV_TCP_IPV6ONLY) && addr->sa_family != AF_INET6) return UV_EINVAL;
  int err = mst__uv_endpoint(addr, &local);
  if (err) return err;
  tcp->family = (uint8_t)addr->sa_family;
  unsigned bind_flags =
      (flags & UV_TCP_IPV6ONLY ? MST_BIND_V6ONLY : 0u) | (flags & MST_UV_TCP_TAKE ? MST_BIND_TAKE : 0u);
  err = mst_bind(tcp->uv->stack, MST_TCP, &local, bind_flags, &tcp->binding);
  if (err) tcp->binding = NULL;
  tcp->delayed_error = err == UV_EADDRINUSE ? err : 0;
  return tcp->delayed_error ? 0 : err;
}

static void on_listener(mst_listener *listener, void *user) {
  (void)listener;
  mst__uv_tcp_accept_more(user);
}

/* As the kernel does for a socket that was never bound: any port of the IPv4 wildcard. */
static int bind_any(mst_uv_tcp_t *tcp) {
  struct sockaddr_in any = {.sin_family = AF_INET};
  return mst_uv_tcp_bind(tcp, (const struct sockaddr *)&any, 0);
}

int mst_uv_listen(mst_uv_tcp_t *tcp, int backlog, mst_uv_connection_cb cb) {
  int err = 0;
  if ((tcp->flags & MST__UV_CLOSING) || tcp->conn) return UV_EINVAL;
  if (tcp->delayed_error) return tcp->delayed_error;
  if (!tcp->binding) err = bind_any(tcp);
  if (!err) err = tcp->delayed_error;
  if (!err && !tcp->listener)
    err = mst_listen(tcp->binding, backlog > 0 ? (unsigned)backlog : 1, on_listener, tcp, &tcp->listener);
  if (err) return err;
  tcp->connection_cb = cb;
  mst__uv_handle_activate(MST__UV_HANDLE(tcp), true);
  return 0;
}

static struct mst_tuple tuple_of(const mst_uv_tcp_t *tcp) {
  struct mst_endpoint local;
  mst_listener_local(tcp->listener, &local);
  return (struct mst_tuple){.addr = local.addr, .port = local.port, .protocol = MST_TCP};
}

int mst_uv_tcp_offer(mst_uv_tcp_t *tcp) {
  if (!tcp->listener) return UV_EINVAL;
  struct mst_tuple tuple = tuple_of(tcp);
  return mst_host_offer(tcp->uv->host, tcp->uv->stack, &tuple);
}

size_t mst_uv_tcp_flows(const mst_uv_tcp_t *tcp) {
  if (!tcp->listener) return 0;
  struct mst_tuple tuple = tuple_of(tcp);
  return mst_host_flows(tcp->uv->stack, &tuple);
}

void mst__uv_tcp_accept_more(mst_uv_tcp_t *tcp) {
  if (tcp->flags & MST__UV_ACCEPTING) return;
  while (tcp->listener && !tcp->accepted && (tcp->accepted = mst_accept(tcp->listener))) {
    tcp->flags |= MST__UV_ACCEPTING;
    tcp->connection_cb(tcp, 0);
    tcp->flags &= ~(unsigned)MST__UV_ACCEPTING;
  }
}

int mst_uv_accept(mst_uv_tcp_t *server, mst_uv_tcp_t *client) {
  if (!server->accepted) return UV_EAGAIN;
  if (client->flags & MST__UV_CLOSING) return UV_EINVAL;
  if (is_open(client)) return UV_EBUSY;
  mst__uv_tcp_adopt(client, server->accepted, server->family);
  client->flags |= MST__UV_CONNECTED;
  server->accepted = NULL;
  if (!(server->flags & MST__UV_ACCEPTING)) mst__uv_handle_pend(MST__UV_HANDLE(server));
  return 0;
}

void mst__uv_tcp_adopt(mst_uv_tcp_t *tcp, mst_conn *conn, int family) {
  tcp->conn = conn;
  tcp->family = (uint8_t)family;
  tcp->flags |= MST__UV_READABLE | MST__UV_WRITABLE;
  mst_conn_set_event(conn, mst__uv_tcp_event, tcp);
  if (tcp->flags & MST__UV_NODELAY) mst_uv_tcp_nodelay(tcp, 1);
  if (tcp->flags & MST__UV_KEEPALIVE) mst_uv_tcp_keepalive(tcp, 1, tcp->keepalive_delay_s);
  if (tcp->notsent_lowat) mst_uv_tcp_notsent_lowat(tcp, tcp->notsent_lowat);
}

int mst_uv_tcp_connect(mst_uv_connect_t *req, mst_uv_tcp_t *tcp, const struct sockaddr *addr, mst_uv_connect_cb cb) {
  struct mst_endpoint remote;
  if (tcp->flags & MST__UV_CLOSING) return UV_EINVAL;
  int err = mst__uv_endpoint(addr, &remote);
  if (err) return err;
  if (tcp->connect_req) return UV_EALREADY;
  if (tcp->listener || (tcp->flags & MST__UV_CONNECTED)) return UV_EISCONN;
  if (tcp->conn) return UV_ECONNABORTED; /* the kernel's word for a socket whose attempt failed */
  mst__uv_endpoint_destination(&remote);
  if (!tcp->delayed_error) {
    mst_conn *conn;
    err = mst_connect(tcp->uv->stack, tcp->binding, &remote, mst__uv_tcp_event, tcp, &conn);
    if (err) return err;
    mst__uv_tcp_adopt(tcp, conn, addr->sa_family);
  }
  req->handle = tcp;
  req->cb = cb;
  tcp->connect_req = req;
  mst__uv_live_add(tcp->uv);
  if (tcp->delayed_error) mst__uv_handle_pend(MST__UV_HANDLE(tcp));
  return 0;
}

static void finish_connect(mst_uv_tcp_t *tcp, int status) {
  mst_uv_connect_t *req = tcp->connect_req;
  tcp->connect_req = NULL;
  mst__uv_live_remove(tcp->uv);
  tcp->flags |= status ? MST__UV_ERROR_TOLD : MST__UV_CONNECTED;
  if (req->cb) req->cb(req, status);
  if (tcp->flags & MST__UV_CLOSING) return;
  if (status) mst__uv_tcp_write_cancel(tcp, UV_ECANCELED);
  mst__uv_tcp_write_more(tcp);
}

void mst__uv_tcp_event(mst_conn *conn, unsigned events, void *user) {
  mst_uv_tcp_t *tcp = user;
  if (tcp->connect_req && (events & MST_EV_CONNECTED))
    finish_connect(tcp, 0);
  else if (tcp->connect_req && (events & MST_EV_ERROR))
    finish_connect(tcp, mst_conn_error(conn));
  if (events & (MST_EV_READABLE | MST_EV_ERROR)) mst__uv_tcp_read(tcp);
  if (events & (MST_EV_WRITABLE | MST_EV_ERROR)) mst__uv_tcp_write_more(tcp);
}

void mst__uv_tcp_deliver(mst_uv_tcp_t *tcp) {
  if (tcp->connect_req && tcp->delayed_error) {
    int err = tcp->delayed_error;
    tcp->delayed_error = 0;
    finish_connect(tcp, err);
  }
  mst__uv_tcp_accept_more(tcp);
  mst__uv_tcp_read(tcp);
  mst__uv_tcp_write_callbacks(tcp);
}

/* What the stack holds goes at once; the callbacks come from the loop. */
void mst__uv_tcp_close(mst_uv_tcp_t *tcp) {
  if (tcp->listener) mst_listener_close(tcp->listener);
  if (tcp->accepted) mst_close(tcp->accepted);
  if (tcp->conn) mst_close(tcp->conn);
  if (tcp->binding) mst_unbind(tcp->binding);
  tcp->listener = NULL;
  tcp->accepted = tcp->conn = NULL;
  tcp->binding = NULL;
  tcp->flags &= ~(unsigned)(MST__UV_READING | MST__UV_READABLE | MST__UV_WRITABLE);
  tcp->flags |= MST__UV_SHUT;
  tcp->shutdown_status = UV_ECANCELED;
}

void mst__uv_tcp_finish_close(mst_uv_tcp_t *tcp) {
  if (tcp->connect_req) {
    mst_uv_connect_t *req = tcp->connect_req;
    tcp->connect_req = NULL;
    mst__uv_live_remove(tcp->uv);
    if (req->cb) req->cb(req, UV_ECANCELED);
  }
  mst__uv_tcp_write_cancel(tcp, UV_ECANCELED);
  mst__uv_tcp_write_callbacks(tcp);
}

int mst_uv_tcp_close_reset(mst_uv_tcp_t *tcp, mst_uv_close_cb cb) {
  if (tcp->shutdown_req) return UV_EINVAL;
  if (tcp->conn) mst_abort(tcp->conn);
  tcp->conn = NULL;
  mst_uv_close(MST__UV_HANDLE(tcp), cb);
  return 0;
}

int mst_uv_fileno(const mst_uv_handle_t *handle, uv_os_fd_t *fd) {
  bool open = handle->type == MST__UV_TCP ? is_open((const mst_uv_tcp_t *)(const void *)handle)
                                          : ((const mst_uv_udp_t *)(const void *)handle)->udp != NULL;
  *fd = -1;
  return open ? UV_ENOTSUP : UV_EBADF;
}

int mst_uv_tcp_getsockname(const mst_uv_tcp_t *tcp, struct sockaddr *name, int *namelen) {
  struct mst_endpoint local;
  if (tcp->delayed_error) return tcp->delayed_error;
  if (tcp->conn)
    mst_conn_local(tcp->conn, &local);
  else if (tcp->listener)
    mst_listener_local(tcp->listener, &local);
  else if (tcp->binding)
    mst_binding_local(tcp->binding, &local);
  else
    return UV_EBADF;
  return mst__uv_sockaddr(&local, tcp->family, name, namelen);
}

int mst_uv_tcp_getpeername(const mst_uv_tcp_t *tcp, struct sockaddr *name, int *namelen) {
  struct mst_endpoint remote;
  if (tcp->delayed_error) return tcp->delayed_error;
  if (!is_open(tcp)) return UV_EBADF;
  if (!(tcp->flags & MST__UV_CONNECTED) || mst_conn_error(tcp->conn)) return UV_ENOTCONN;
  mst_conn_remote(tcp->conn, &remote);
  return mst__uv_sockaddr(&remote, tcp->family, name, namelen);
}

static void set_flag(mst_uv_tcp_t *tcp, unsigned flag, int enable) {
  tcp->flags = enable ? tcp->flags | flag : tcp->flags & ~flag;
}

int mst_uv_tcp_nodelay(mst_uv_tcp_t *tcp, int enable) {
  set_flag(tcp, MST__UV_NODELAY, enable);
  return tcp->conn ? mst_conn_set_option(tcp->conn, MST_TCP_NODELAY, enable != 0) : 0;
}

int mst_uv_tcp_keepalive(mst_uv_tcp_t *tcp, int enable, unsigned delay_s) {
  int err = 0;
  if (tcp->conn && enable) err = mst_conn_set_option(tcp->conn, MST_TCP_KEEPALIVE_IDLE, (int64_t)delay_s * 1000);
  if (tcp->conn && !err) err = mst_conn_set_option(tcp->conn, MST_TCP_KEEPALIVE, enable != 0);
  if (err) return err;
  set_flag(tcp, MST__UV_KEEPALIVE, enable);
  tcp->keepalive_delay_s = delay_s;
  return 0;
}

int mst_uv_tcp_notsent_lowat(mst_uv_tcp_t *tcp, unsigned bytes) {
  if (bytes > INT32_MAX) return UV_EINVAL;
  tcp->notsent_lowat = bytes;
  return tcp->conn ? mst_conn_set_option(tcp->conn, MST_TCP_NOTSENT_LOWAT, bytes) : 0;
}

mst_conn *mst_uv_tcp_conn(const mst_uv_tcp_t *tcp) {
  return tcp->conn;
}
