/* The applications of a random scenario: they read, write, pause, change options and close as the seed says, and
 * compare each byte that comes. */
#include "world.h"

#include <inttypes.h>
#include <string.h>

static uint64_t below(struct world *w, uint64_t limit) {
  return sim_random_below(&w->random, limit);
}

/* The bytes of a stream, eight by eight. */
static uint64_t word_at(uint32_t id, uint64_t index) {
  uint64_t z = index * 0x9e3779b97f4a7c15ull + id * 0x632be59bd9b4e019ull;
  return z ^ z >> 29;
}

static void stream_bytes(uint32_t id, uint64_t position, uint8_t *out, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    uint64_t word = word_at(id, (position + done) / 8);
    size_t skip = (position + done) % 8, n = 8 - skip < bytes - done ? 8 - skip : bytes - done;
    memcpy(out + done, (const uint8_t *)&word + skip, n);
    done += n;
  }
}

static void wake_at(struct end *e, uint64_t at_ns) {
  if (!e->node->wake_at_ns || at_ns < e->node->wake_at_ns) e->node->wake_at_ns = at_ns;
}

void traffic_finish(struct end *e, int error) {
  e->error = error;
  e->closed = true;
  e->finished_ns = e->world->sim->now_ns;
  e->conn = NULL;
  world_progress(e->world, e);
}

static void verify(struct end *e, const uint8_t *data, size_t bytes) {
  static uint8_t expected[1 << 17];
  for (size_t at = 0, n; at < bytes; at += n) {
    n = bytes - at < sizeof expected ? bytes - at : sizeof expected;
    stream_bytes(e->peer_id, e->received, expected, n);
    if (memcmp(expected, data + at, n))
      world_fault(e->world, "wrong bytes behind byte %" PRIu64 " of stream %u", e->received, e->peer_id);
    e->received += n;
  }
  if (e->received > e->to_receive) world_fault(e->world, "more bytes have come than were sent");
  world_progress(e->world, e);
}

static ptrdiff_t take_by_peek(struct end *e, size_t most) {
  struct mst_iov spans[3];
  size_t taken = 0, count = mst_peek(e->conn, spans, 3);
  if (!count) return mst_read(e->conn, spans, 1);
  for (size_t i = 0; i < count && taken < most; i++) {
    size_t n = spans[i].len < most - taken ? spans[i].len : most - taken;
    verify(e, spans[i].base, n);
    taken += n;
  }
  mst_consume(e->conn, taken);
  return (ptrdiff_t)taken;
}

static ptrdiff_t take(struct end *e) {
  static uint8_t buffer[1 << 17];
  size_t most = 1 + below(e->world, e->read_max);
  if (e->by_peek) return take_by_peek(e, most);
  ptrdiff_t n = mst_read(e->conn, buffer, most);
  if (n > 0) verify(e, buffer, (size_t)n);
  return n;
}

static void read_some(struct end *e) {
  struct world *w = e->world;
  while (e->conn && e->can_read && !e->eof) {
    if (e->paused_until_ns > w->sim->now_ns) return wake_at(e, e->paused_until_ns);
    if (sim_random_chance(&w->random, e->pause_chance)) {
      e->paused_until_ns = w->sim->now_ns + below(w, 5 * SIM_S);
      world_progress(w, e); /* several pauses in a row are no stall of the stack's */
      continue;
    }
    ptrdiff_t n = take(e);
    if (n == -MST_EAGAIN)
      e->can_read = false;
    else if (n == 0)
      e->eof = true;
    else if (n < 0)
      return; /* the ERROR event tells */
    if (e->received >= e->abort_after) {
      mst_abort(e->conn);
      return traffic_finish(e, -MST_ECANCELED);
    }
  }
}

static void write_some(struct end *e) {
  static uint8_t buffer[1 << 17];
  struct world *w = e->world;
  while (e->conn && e->can_write && e->sent < e->to_send) {
    size_t n = 1 + below(w, e->write_max);
    if (n > e->to_send - e->sent) n = (size_t)(e->to_send - e->sent);
    stream_bytes(e->id, e->sent, buffer, n);
    ptrdiff_t taken = mst_write(e->conn, buffer, n);
    if (taken == -MST_ENOMEM) return wake_at(e, w->sim->now_ns + 10 * SIM_MS);
    if (taken < 0 && taken != -MST_EAGAIN) return;
    if (taken > 0) e->sent += (uint64_t)taken;
    if (taken < (ptrdiff_t)n) e->can_write = false;
    if (below(w, 4) == 0) return wake_at(e, w->sim->now_ns + below(w, SIM_MS));
  }
  if (!e->conn || e->sent < e->to_send || e->shut || (e->shut_late && !e->eof)) return;
  if (mst_shutdown(e->conn) == 0) e->shut = true;
}

/* Options may change at any time, and no byte may suffer from it. */
static void meddle(struct end *e) {
  static const char *const congestion[] = {"cubic", "newreno", "bbr"};
  struct world *w = e->world;
  switch (below(w, 7)) {
  case 0: mst_conn_set_option(e->conn, MST_TCP_NODELAY, (int64_t)below(w, 2)); break;
  case 1: mst_conn_set_option(e->conn, MST_TCP_SEND_BUFFER, 4096 + (int64_t)below(w, 1 << 20)); break;
  case 2: mst_conn_set_option(e->conn, MST_TCP_RECEIVE_BUFFER, 4096 + (int64_t)below(w, 1 << 20)); break;
  case 3: mst_conn_set_option(e->conn, MST_TCP_MAX_PACING_RATE, 100000 + (int64_t)below(w, 1 << 24)); break;
  case 4: mst_conn_set_option(e->conn, MST_TCP_TOS, (int64_t)below(w, 256)); break;
  case 5: mst_conn_set_option(e->conn, MST_TCP_NOTSENT_LOWAT, (int64_t)below(w, 1 << 17)); break;
  default: mst_conn_set_congestion_control(e->conn, congestion[below(w, 3)]); break;
  }
}

static void pump(struct end *e) {
  if (e->meddles && below(e->world, 100) == 0) meddle(e);
  read_some(e);
  write_some(e);
  if (!e->conn || !e->eof || !e->shut) return;
  if (e->received != e->to_receive)
    world_fault(e->world, "stream %u ended at byte %" PRIu64 " of %" PRIu64, e->peer_id, e->received, e->to_receive);
  mst_close(e->conn);
  traffic_finish(e, 0);
}

void traffic_on_event(mst_conn *conn, unsigned events, void *user) {
  struct end *e = user;
  struct world *w = e->world;
  if (e->conn != conn) return world_fault(w, "an event of a connection that is closed");
  if (events & MST_EV_CONNECTED) world_progress(w, e);
  if (events & MST_EV_READABLE) e->can_read = true;
  if (events & MST_EV_WRITABLE) e->can_write = true;
  if (!(events & MST_EV_ERROR)) return;
  int error = mst_conn_error(conn);
  if (!error) world_fault(w, "an ERROR event without an error");
  mst_close(conn);
  traffic_finish(e, error);
}

void traffic_adopt(struct end *e, mst_conn *conn) {
  e->conn = conn;
  e->can_read = e->can_write = true;
  if (e->nodelay) mst_conn_set_option(conn, MST_TCP_NODELAY, 1);
  if (e->world->may_fail || e->world->keepalive) { /* the reset of a peer that is gone may be lost */
    mst_conn_set_option(conn, MST_TCP_KEEPALIVE_IDLE, 60000);
    mst_conn_set_option(conn, MST_TCP_KEEPALIVE, 1);
  }
  mst_conn_set_event(conn, traffic_on_event, e);
  world_progress(e->world, e);
}

void traffic_app(struct sim_node *node, void *user) {
  struct world *w = user;
  for (uint32_t i = 0; i < w->connections; i++)
    for (int side = 0; side < 2; side++)
      if (w->ends[i][side].node == node && w->ends[i][side].conn) pump(&w->ends[i][side]);
}
