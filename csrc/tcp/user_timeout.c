/* How long the peer may leave us without an answer (RFC 9293 3.8.3, 3.9.1.8), and the option that two peers tell each
 * other of it by (RFC 5482). */
#include "tcp/conn.h"

#define LOWER_LIMIT_MS 100000u  /* RFC 5482 3.1: at least 100 s, and above the retransmission timeout */
#define UPPER_LIMIT_MS 3600000u /* RFC 5482 6: what a peer may make us keep a dead connection for */
#define FIELD_MAX 0x7fffu
#define MINUTES 0x8000u

bool mst__user_timeout_over(const struct mst_conn *conn, uint64_t since_ns) {
  if (!conn->user_timeout.ms || !since_ns) return false;
  return conn->stack->now_ns - since_ns >= conn->user_timeout.ms * MST__MS;
}

static uint32_t larger(uint32_t a, uint32_t b) {
  return a > b ? a : b;
}

/* RFC 5482 3.1: USER_TIMEOUT = min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT)). */
static void adopt(struct mst_conn *conn) {
  struct mst__user_timeout *u = &conn->user_timeout;
  if (u->fixed || !u->advertised_ms || !u->peer_ms) return;
  uint32_t lower = larger(LOWER_LIMIT_MS, (uint32_t)(conn->rto_ns / MST__MS) + 1);
  uint32_t ms = larger(larger(u->advertised_ms, u->peer_ms), lower);
  u->ms = ms < UPPER_LIMIT_MS ? ms : UPPER_LIMIT_MS;
}

int mst__user_timeout_set(struct mst_conn *conn, int64_t ms) {
  struct mst__user_timeout *u = &conn->user_timeout;
  if (ms < 0 || ms > INT32_MAX) return -MST_EINVAL;
  u->ms = (uint32_t)ms;
  u->fixed = ms != 0;
  adopt(conn);
  return 0;
}

int mst__user_timeout_advertise(struct mst_conn *conn, int64_t ms) {
  struct mst__user_timeout *u = &conn->user_timeout;
  if (ms != 0 && (ms < 1000 || ms > FIELD_MAX * 60000LL)) return -MST_EINVAL;
  u->advertised_ms = (uint32_t)ms;
  u->wanted = ms != 0;
  if (!ms && !u->fixed) u->ms = 0;
  adopt(conn);
  if (u->wanted && conn->state >= MST_ESTABLISHED) mst__output_wanted(conn);
  return 0;
}

void mst__user_timeout_input(struct mst_conn *conn, const struct mst__tcp *tcp) {
  uint16_t field = tcp->options.user_timeout;
  uint64_t ms = (uint64_t)(field & FIELD_MAX) * (field & MINUTES ? 60000 : 1000);
  conn->user_timeout.peer_ms = (uint32_t)ms; /* 32,767 minutes are below 2^31 ms */
  adopt(conn);
}

/* In seconds where they suffice, rounded up. A segment with data may have no room; the option has an ACK of its own. */
void mst__user_timeout_fill(const struct mst_conn *conn, uint8_t flags, uint32_t payload, struct mst__tcp_options *o) {
  const struct mst__user_timeout *u = &conn->user_timeout;
  if (!u->advertised_ms || payload || !(u->wanted || flags & MST__SYN)) return;
  uint32_t seconds = u->advertised_ms / 1000 + !!(u->advertised_ms % 1000);
  o->has |= MST__HAS_USER_TIMEOUT;
  o->user_timeout = (uint16_t)(seconds <= FIELD_MAX ? seconds : MINUTES | (seconds + 59) / 60);
}
