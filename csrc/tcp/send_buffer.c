/* How much may be written ahead, and who is told when there is room. The limit follows the congestion window, so that
 * there is always another window's worth to send while the application is asked for more; MST_TCP_SEND_BUFFER bounds
 * it, and MST_TCP_NOTSENT_LOWAT bounds the part that is not sent yet. */
#include "tcp/conn.h"

#define PRESSURE_BYTES (16u << 10)

static uint32_t send_limit(const struct mst_conn *conn) {
  uint32_t limit = conn->cc.cwnd < UINT32_MAX / 2 ? 2 * conn->cc.cwnd : UINT32_MAX;
  if (limit < MST__SEND_LIMIT_BYTES) limit = MST__SEND_LIMIT_BYTES;
  limit += conn->sent.sacked_bytes + conn->sent.lost_bytes; /* they have left the network and are not in the window */
  if (limit > conn->send_buffer_bytes) limit = conn->send_buffer_bytes;
  return conn->stack->memory.pressure && limit > PRESSURE_BYTES ? PRESSURE_BYTES : limit;
}

static uint32_t unsent_bytes(const struct mst_conn *conn) {
  if (conn->state < MST_ESTABLISHED) return conn->sendq.bytes;
  return mst__queue_end(conn) - conn->snd_nxt + conn->fin_sent;
}

size_t mst_writable_bytes(const struct mst_conn *conn) {
  uint32_t limit = send_limit(conn), room = conn->sendq.bytes < limit ? limit - conn->sendq.bytes : 0;
  if (!conn->notsent_lowat || !room) return room;
  uint32_t unsent = unsent_bytes(conn), left = unsent < conn->notsent_lowat ? conn->notsent_lowat - unsent : 0;
  return left < room ? left : room;
}

/* Not for each byte of room: a third of the buffer, or half of the unsent bytes that are allowed, or before there is
 * nothing left to send. */
static bool worth_telling(const struct mst_conn *conn) {
  size_t room = mst_writable_bytes(conn);
  if (!room) return false;
  if (conn->sent.sacked_bytes && unsent_bytes(conn) < conn->cc.cwnd / 2) return true;
  return room >= conn->sendq.bytes / 2 || (conn->notsent_lowat && 2ull * unsent_bytes(conn) < conn->notsent_lowat);
}

void mst__tell_writer(struct mst_conn *conn) {
  if (!conn->want_write || !worth_telling(conn)) return;
  conn->want_write = false;
  mst__conn_notify(conn, MST_EV_WRITABLE);
}

void mst__writer_waits(struct mst_conn *conn) {
  struct mst__memory *memory = &conn->stack->memory;
  conn->want_write = true;
  if (memory->pressure && !mst__list_linked(&conn->memory_node))
    mst__list_push_back(&memory->waiting, &conn->memory_node);
}
