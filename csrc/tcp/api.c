/* The calls of tcp.h on a connection (RFC 9293 3.10.1 to 3.10.6). */
#include "tcp/trace.h"

static void to_loopback(struct mst_addr *addr) {
  if (!mst_addr_is_any(addr)) return;
  if (mst_addr_is_ip4(addr))
    *addr = mst_addr_ip4((const uint8_t[]){127, 0, 0, 1});
  else
    *addr = (struct mst_addr){{[15] = 1}};
}

/* The local side of a connection to flow->remote. On success the caller owns a reference of *binding. */
static int local_side(mst_stack *stack, mst_binding *binding, const struct mst_addr *source, struct mst__flow *flow,
                      mst_binding **out) {
  flow->local_addr = *source;
  if (!binding) return mst__ephemeral_take(stack, flow, out);
  const struct mst_tuple *tuple = &binding->tuple;
  if (tuple->protocol != MST_TCP || binding->stack != stack) return -MST_EINVAL;
  bool ip4 = mst_addr_is_ip4(&flow->remote_addr);
  bool dual = mst_addr_is_any(&tuple->addr) && !mst_addr_is_ip4(&tuple->addr) && !(tuple->flags & MST_BIND_V6ONLY);
  if (mst_addr_is_ip4(&tuple->addr) != ip4 && !dual) return -MST_EAFNOSUPPORT;
  if (!mst_addr_is_any(&tuple->addr)) flow->local_addr = tuple->addr;
  flow->local_port = tuple->port;
  struct mst__flow *there = mst__flow_find(stack, flow);
  if (there && !mst__time_wait_may_reuse(there)) return -MST_EADDRINUSE;
  *out = mst__binding_ref(binding);
  return 0;
}

int mst_connect(mst_stack *stack, mst_binding *binding, const struct mst_endpoint *remote, mst_conn_event_cb event,
                void *user, mst_conn **out) {
  struct mst__flow flow = {.remote_addr = remote->addr, .remote_port = remote->port};
  struct mst_route route;
  mst_binding *held;
  to_loopback(&flow.remote_addr);
  if (!remote->port) return -MST_ECONNREFUSED;
  if (mst_addr_is_multicast(&flow.remote_addr)) return -MST_ENETUNREACH;
  int rc = mst__path_route(stack, &flow.remote_addr, &route);
  if (rc) return rc;
  rc = local_side(stack, binding, &route.source, &flow, &held);
  if (rc) return rc;
  struct mst__flow *time_wait = mst__flow_find(stack, &flow);
  struct mst_conn *conn = mst__conn_new(stack, held, &flow);
  mst__tcp_binding_unref(held);
  if (!conn) return -MST_ENOMEM;
  if (time_wait) mst__time_wait_reuse(time_wait, conn);
  conn->scope_id = remote->scope_id;
  conn->event = event;
  conn->user = user;
  conn->syn_wanted = true;
  conn->ts_ok = false;
  mst__conn_set_path_mtu(conn, route.mtu);
  mst__conn_init_window(conn);
  mst__output_wanted(conn);
  mst__set_state(conn, MST_SYN_SENT);
  *out = conn;
  return 0;
}

void mst_conn_set_event(mst_conn *conn, mst_conn_event_cb event, void *user) {
  conn->event = event;
  conn->user = user;
  if (conn->events && event) mst__stack_notify(conn->stack, &conn->notice);
}

void *mst_conn_user(const mst_conn *conn) {
  return conn->user;
}
int mst_conn_error(const mst_conn *conn) {
  return conn->error;
}
size_t mst_readable_bytes(const mst_conn *conn) {
  return conn->recvq.bytes;
}

/* What a read finds when there are no bytes. */
static ptrdiff_t nothing_to_read(const mst_conn *conn) {
  if (conn->error) return conn->error;
  if (conn->fin_received || conn->state == MST_CLOSED) return 0;
  return -MST_EAGAIN;
}

static void after_read(mst_conn *conn) {
  if (conn->urgent && !mst__seq_gt(conn->rcv_up, conn->rcv_nxt - conn->recvq.bytes)) conn->urgent = false;
  mst__recv_tuning_read(conn);
  mst__window_opened(conn);
}

ptrdiff_t mst_read(mst_conn *conn, void *buffer, size_t bytes) {
  if (!conn->recvq.bytes) return nothing_to_read(conn);
  size_t n = mst__recvq_read(&conn->recvq, conn->stack, buffer, bytes);
  after_read(conn);
  return (ptrdiff_t)n;
}

size_t mst_peek(mst_conn *conn, struct mst_iov *spans, size_t count) {
  return mst__recvq_peek(&conn->recvq, spans, count);
}

void mst_consume(mst_conn *conn, size_t bytes) {
  mst__recvq_consume(&conn->recvq, conn->stack, bytes);
  after_read(conn);
}

size_t mst_unacked_bytes(const mst_conn *conn) {
  return conn->sendq.bytes;
}

static int cannot_write(const mst_conn *conn) {
  if (conn->error) return conn->error;
  if (conn->fin_wanted || conn->state == MST_CLOSED) return -MST_EPIPE;
  return 0;
}

ptrdiff_t mst_writev(mst_conn *conn, const struct mst_iov *iov, size_t count) {
  int rc = cannot_write(conn);
  if (rc) return rc;
  size_t room = mst_writable_bytes(conn), taken = 0;
  bool all = true;
  for (size_t i = 0; i < count && all; i++) {
    size_t n = iov[i].len < room - taken ? iov[i].len : room - taken;
    size_t appended = n ? mst__sendq_append(&conn->sendq, conn->stack, iov[i].base, n) : 0;
    taken += appended;
    all = appended == iov[i].len;
  }
  if (!all) mst__writer_waits(conn);
  if (taken) {
    conn->want_drain = true;
    mst__output_wanted(conn);
  }
  if (all || taken) return (ptrdiff_t)taken;
  return room && !conn->stack->memory.pressure ? -MST_ENOMEM : -MST_EAGAIN;
}

ptrdiff_t mst_write(mst_conn *conn, const void *data, size_t bytes) {
  return mst_writev(conn, &(struct mst_iov){.base = data, .len = bytes}, 1);
}

int mst_shutdown(mst_conn *conn) {
  if (conn->error) return conn->error;
  if (conn->fin_wanted) return 0;
  if (conn->state == MST_CLOSED) return -MST_ENOTCONN;
  conn->fin_wanted = true;
  conn->want_drain = true;
  if (conn->state == MST_ESTABLISHED) mst__set_state(conn, MST_FIN_WAIT_1);
  if (conn->state == MST_CLOSE_WAIT) mst__set_state(conn, MST_LAST_ACK);
  mst__output_wanted(conn);
  return 0;
}

static bool is_over(const mst_conn *conn) {
  return conn->state == MST_CLOSED || conn->state == MST_SYN_SENT || conn->state == MST_TIME_WAIT;
}

void mst_abort(mst_conn *conn) {
  if (!is_over(conn)) {
    mst__reset_send(conn);
    conn->stack->stats.tcp_estab_resets++;
  }
  mst__set_state(conn, MST_CLOSED);
  mst__conn_free(conn);
}

void mst_close(mst_conn *conn) {
  if (is_over(conn)) {
    if (conn->state == MST_SYN_SENT) mst__set_state(conn, MST_CLOSED);
    return mst__conn_free(conn);
  }
  if (conn->recvq.bytes) {
    conn->stack->stats.tcp_abort_on_close++;
    return mst_abort(conn);
  }
  if (conn->linger_ms == 0) return mst_abort(conn);
  mst_shutdown(conn);
  mst__list_remove(&conn->notice.node);
  conn->event = NULL;
  conn->orphan = true;
  conn->end_wanted = true; /* the clock may be behind here: it is right at the flush */
  mst__output_wanted(conn);
}

void mst_conn_local(const mst_conn *conn, struct mst_endpoint *out) {
  *out = (struct mst_endpoint){.addr = conn->flow.local_addr, .port = conn->flow.local_port};
}

void mst_conn_remote(const mst_conn *conn, struct mst_endpoint *out) {
  *out =
      (struct mst_endpoint){.addr = conn->flow.remote_addr, .port = conn->flow.remote_port, .scope_id = conn->scope_id};
}

bool mst_conn_urgent(const mst_conn *conn) {
  return conn->urgent;
}

size_t mst_conn_urgent_bytes(const mst_conn *conn) {
  return conn->urgent ? conn->rcv_up - (conn->rcv_nxt - conn->recvq.bytes) : 0;
}
