/* A server of the daemon's tests: it sends back the pattern that it gets. */
#ifndef TEST_DAEMON_ECHO_H
#define TEST_DAEMON_ECHO_H

#include "daemon_rig.h"
#include "pattern.h"

struct echo {
  mst_conn *conn;
  uint64_t received, sent;
  bool ended;
};

static inline void echo_end(struct echo *session) {
  mst_close(session->conn);
  free(session);
}

/* The pattern is the same everywhere, so what was received need not be kept to be sent. False: the peer is gone. */
static inline bool echo_receive(struct echo *session) {
  static uint8_t buffer[1 << 16];
  ptrdiff_t n;
  while ((n = mst_read(session->conn, buffer, sizeof buffer)) > 0) {
    if (!is_pattern(session->received, buffer, (size_t)n)) rig_fail("wrong bytes");
    session->received += (uint64_t)n;
  }
  if (n == 0) session->ended = true;
  return n == 0 || n == -MST_EAGAIN;
}

static inline bool echo_send(struct echo *session) {
  while (session->sent < session->received) {
    uint64_t left = session->received - session->sent;
    ptrdiff_t n = mst_write(session->conn, pattern_at(session->sent), left < PATTERN_BYTES ? left : PATTERN_BYTES);
    if (n == -MST_EAGAIN) return true;
    if (n < 0) return false;
    session->sent += (uint64_t)n;
  }
  return true;
}

static inline void echo_event(mst_conn *conn, unsigned events, void *user) {
  struct echo *session = user;
  (void)conn;
  (void)events;
  if (!echo_receive(session) || !echo_send(session) || (session->ended && session->sent == session->received))
    echo_end(session);
}

static inline void echo_accept(mst_listener *listener, void *user) {
  mst_conn *conn;
  (void)user;
  while ((conn = mst_accept(listener))) {
    struct echo *session = calloc(1, sizeof *session);
    if (!session) rig_fail("out of memory");
    session->conn = conn;
    mst_conn_set_event(conn, echo_event, session);
    echo_event(conn, 0, session);
  }
}

#endif
