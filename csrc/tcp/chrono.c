#include "tcp/chrono.h"
#include "tcp/conn.h"

static enum mst__chrono_kind kind_of(const struct mst_conn *conn) {
  uint32_t queued = conn->sendq.bytes, outstanding = conn->snd_nxt - conn->snd_una;
  if (!queued) return MST__CHRONO_IDLE;
  if (queued <= outstanding) return conn->want_write ? MST__CHRONO_SNDBUF_LIMITED : MST__CHRONO_BUSY;
  if (conn->cwnd_limited || conn->state < MST_ESTABLISHED) return MST__CHRONO_BUSY;
  uint32_t unsent = queued - outstanding, worth = mst__segment_bytes(conn);
  if (unsent < worth) worth = unsent;
  return conn->snd_wnd < outstanding + worth ? MST__CHRONO_RWND_LIMITED : MST__CHRONO_BUSY;
}

static void change(struct mst_conn *conn, enum mst__chrono_kind kind) {
  struct mst__chrono *chrono = &conn->chrono;
  uint64_t now_ns = conn->stack->now_ns;
  chrono->spent_ns[chrono->kind] += now_ns - chrono->since_ns;
  chrono->since_ns = now_ns;
  chrono->kind = (uint8_t)kind;
}

void mst__chrono_update(struct mst_conn *conn) {
  enum mst__chrono_kind kind = kind_of(conn);
  if (kind != conn->chrono.kind) change(conn, kind);
  if (!conn->chrono.rto_since_ns || conn->retries) return;
  conn->chrono.total_rto_time_ns += conn->stack->now_ns - conn->chrono.rto_since_ns;
  conn->chrono.rto_since_ns = 0;
}

void mst__chrono_timeout(struct mst_conn *conn) {
  struct mst__chrono *chrono = &conn->chrono;
  if (chrono->total_rto < UINT16_MAX) chrono->total_rto++;
  if (chrono->rto_since_ns) return;
  if (chrono->total_rto_recoveries < UINT16_MAX) chrono->total_rto_recoveries++;
  chrono->rto_since_ns = conn->stack->now_ns;
}

uint64_t mst__chrono_spent(const struct mst_conn *conn, enum mst__chrono_kind kind) {
  const struct mst__chrono *chrono = &conn->chrono;
  uint64_t running_ns = chrono->kind == kind ? conn->stack->now_ns - chrono->since_ns : 0;
  return chrono->spent_ns[kind] + running_ns;
}
