/* Options of a connection. */
#include "tcp/conn.h"

#define BUFFER_MIN 4096

static int set_buffer(uint32_t *bytes, int64_t value) {
  if (value < 1 || value > 1 << 30) return -MST_EINVAL;
  *bytes = value < BUFFER_MIN ? BUFFER_MIN : (uint32_t)value;
  return 0;
}

static int set_receive_buffer(mst_conn *conn, int64_t value) {
  int rc = set_buffer(&conn->receive_buffer_bytes, value);
  if (rc) return rc;
  conn->receive_buffer_fixed = true;
  if (conn->state == MST_SYN_SENT && conn->snd_nxt == conn->iss) mst__conn_init_window(conn);
  mst__window_opened(conn);
  return 0;
}

static int set_u32(uint32_t *to, int64_t value, int64_t least) {
  if (value < least || value > INT32_MAX) return -MST_EINVAL;
  *to = (uint32_t)value;
  return 0;
}

static int set_u8(uint8_t *to, int64_t value, int64_t least) {
  if (value < least || value > UINT8_MAX) return -MST_EINVAL;
  *to = (uint8_t)value;
  return 0;
}

static int set_linger(mst_conn *conn, int64_t value) {
  if (value < -1 || value > INT32_MAX) return -MST_EINVAL;
  conn->linger_ms = (int32_t)value;
  return 0;
}

static int set_keepalive(mst_conn *conn, bool on) {
  conn->keepalive = on;
  conn->probes = 0;
  mst__keepalive_restart(conn);
  return 0;
}

static int set_nodelay(mst_conn *conn, bool on) {
  conn->nodelay = on;
  if (on && conn->sendq.bytes) mst__output_wanted(conn);
  return 0;
}

static int set_pacing_max(mst_conn *conn, int64_t value) {
  if (value < 0) return -MST_EINVAL;
  conn->pacing_max = (uint64_t)value;
  if (conn->sendq.bytes) mst__output_wanted(conn);
  return 0;
}

static int set_ecn(mst_conn *conn, int64_t value) {
  if (conn->state != MST_SYN_SENT || conn->snd_nxt != conn->iss) return -MST_EINVAL;
  return set_u8(&conn->ecn.wanted, value <= MST_ECN_ACCURATE ? value : -1, 0);
}

int mst_conn_set_option(mst_conn *conn, enum mst_tcp_option option, int64_t value) {
  int rc;
  switch (option) {
  case MST_TCP_NODELAY: return set_nodelay(conn, value != 0);
  case MST_TCP_KEEPALIVE: return set_keepalive(conn, value != 0);
  case MST_TCP_KEEPALIVE_IDLE:
    rc = set_u32(&conn->keepalive_idle_ms, value, 1);
    if (!rc) mst__keepalive_restart(conn);
    return rc;
  case MST_TCP_KEEPALIVE_INTERVAL: return set_u32(&conn->keepalive_interval_ms, value, 1);
  case MST_TCP_KEEPALIVE_COUNT: return set_u8(&conn->keepalive_count, value, 1);
  case MST_TCP_LINGER: return set_linger(conn, value);
  case MST_TCP_USER_TIMEOUT: return mst__user_timeout_set(conn, value);
  case MST_TCP_USER_TIMEOUT_ADVERTISED: return mst__user_timeout_advertise(conn, value);
  case MST_TCP_USER_TIMEOUT_PEER: return -MST_EINVAL;
  case MST_TCP_SEND_BUFFER: return set_buffer(&conn->send_buffer_bytes, value);
  case MST_TCP_RECEIVE_BUFFER: return set_receive_buffer(conn, value);
  case MST_TCP_NOTSENT_LOWAT:
    rc = set_u32(&conn->notsent_lowat, value, 0);
    if (!rc) mst__tell_writer(conn);
    return rc;
  case MST_TCP_OOBINLINE: return value == 1 ? 0 : -MST_EINVAL;
  case MST_TCP_TOS: return set_u8(&conn->tos, value & ~3, 0); /* the ECN bits are TCP's own */
  case MST_TCP_TTL: return set_u8(&conn->ttl, value, 1);
  case MST_TCP_ECN: return set_ecn(conn, value);
  case MST_TCP_MAX_PACING_RATE: return set_pacing_max(conn, value);
  }
  return -MST_ENOPROTOOPT;
}

int64_t mst_conn_get_option(const mst_conn *conn, enum mst_tcp_option option) {
  switch (option) {
  case MST_TCP_NODELAY: return conn->nodelay;
  case MST_TCP_KEEPALIVE: return conn->keepalive;
  case MST_TCP_KEEPALIVE_IDLE: return conn->keepalive_idle_ms;
  case MST_TCP_KEEPALIVE_INTERVAL: return conn->keepalive_interval_ms;
  case MST_TCP_KEEPALIVE_COUNT: return conn->keepalive_count;
  case MST_TCP_LINGER: return conn->linger_ms;
  case MST_TCP_USER_TIMEOUT: return conn->user_timeout.ms;
  case MST_TCP_USER_TIMEOUT_ADVERTISED: return conn->user_timeout.advertised_ms;
  case MST_TCP_USER_TIMEOUT_PEER: return conn->user_timeout.peer_ms;
  case MST_TCP_SEND_BUFFER: return conn->send_buffer_bytes;
  case MST_TCP_RECEIVE_BUFFER: return conn->receive_buffer_bytes;
  case MST_TCP_NOTSENT_LOWAT: return conn->notsent_lowat;
  case MST_TCP_OOBINLINE: return 1;
  case MST_TCP_TOS: return conn->tos;
  case MST_TCP_TTL: return conn->ttl;
  case MST_TCP_ECN: return conn->ecn.wanted;
  case MST_TCP_MAX_PACING_RATE: return (int64_t)conn->pacing_max;
  }
  return -MST_ENOPROTOOPT;
}

int mst_conn_set_congestion_control(mst_conn *conn, const char *name) {
  const struct mst__cc_ops *ops = mst__cc_find(name);
  if (!ops) return -MST_ENOENT;
  if (conn->state < MST_ESTABLISHED)
    conn->cc.ops = ops; /* begins with the connection */
  else if (ops != conn->cc.ops)
    mst__cc_switch(&conn->cc, ops, conn->stack->now_ns);
  return 0;
}
