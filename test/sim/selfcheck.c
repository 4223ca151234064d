#include "selfcheck.h"
#include "tcp/conn.h"

#include <stdio.h>

/* Bytes or FIN that wait to be sent. */
static bool has_unsent(const struct mst_conn *conn) {
  if (conn->state < MST_ESTABLISHED || conn->state == MST_TIME_WAIT || conn->fin_sent) return false;
  return conn->sendq.bytes != conn->snd_nxt - conn->snd_una || conn->fin_wanted;
}

static bool is_watched(const struct mst_conn *conn) {
  for (int i = 0; i < MST__TIMER_COUNT; i++) {
    if (i == MST__TIMER_DELACK || i == MST__TIMER_KEEPALIVE || i == MST__TIMER_END) continue;
    if (conn->timer_at_ns[i]) return true;
  }
  return mst__list_linked(&conn->output_node);
}

static bool timers_are_armed(const struct mst_conn *conn) {
  for (int i = 0; i < MST__TIMER_COUNT; i++) {
    if (!conn->timer_at_ns[i]) continue;
    if (!mst__timer_armed(&conn->alarm.timer) || conn->alarm.timer.at_ns > conn->timer_at_ns[i]) return false;
  }
  return true;
}

/* The check walks all records: the longer the queue, the more seldom it is looked at. */
static bool records_agree(const struct mst_conn *conn, uint64_t event) {
  uint64_t often = conn->sent.count <= 16 ? 1 : conn->sent.count <= 1000 ? 64 : 4096;
  return event % often || mst__sent_check(conn);
}

static const char *check_conn(const struct mst_conn *conn, uint64_t event) {
  if (conn->state == MST_CLOSED || conn->state == MST_TIME_WAIT) return NULL;
  if (mst__seq_gt(conn->snd_una, conn->snd_nxt)) return "SND.UNA is ahead of SND.NXT";
  if (mst__seq_gt(conn->rcv_nxt, conn->rcv_adv)) return "RCV.NXT is ahead of the window's edge";
  if (!timers_are_armed(conn)) return "a timer is set and not armed";
  if (conn->snd_una != conn->snd_nxt && !is_watched(conn)) return "something is outstanding and no timer runs";
  if (has_unsent(conn) && !is_watched(conn)) return "something is unsent and no timer runs";
  if (conn->state < MST_ESTABLISHED) return NULL;
  /* RFC 6937 counts bytes, so only then. */
  if (conn->cc.cwnd < conn->cc.mss && conn->recovery.phase == MST__PHASE_OPEN)
    return "the congestion window is less than a segment";
  if (!records_agree(conn, event)) return "the records of what was sent do not agree";
  return NULL;
}

static bool fails(const struct mst_conn *conn, const char *what, char *out, size_t bytes) {
  snprintf(out, bytes, "%s (ports %u to %u, %s, snd_una %u, snd_nxt %u, cwnd %u, mss %u)", what, conn->flow.local_port,
           conn->flow.remote_port, mst_tcp_state_name((enum mst_tcp_state)conn->state), conn->snd_una - conn->iss,
           conn->snd_nxt - conn->iss, conn->cc.cwnd, conn->cc.mss);
  return false;
}

bool sim_self_check(const struct sim_node *node, char *out, size_t bytes) {
  const mst_stack *stack = node->stack;
  struct mst_stack_stats stats;
  mst_stack_get_stats(stack, &stats);
  if (stats.memory_bytes != node->memory.bytes) {
    snprintf(out, bytes, "memory_bytes says %llu, the allocator %zu", (unsigned long long)stats.memory_bytes,
             node->memory.bytes);
    return false;
  }
  if (!mst__list_empty(&stack->output) && !node->want_flush) {
    snprintf(out, bytes, "a connection wants to send and nobody will flush");
    return false;
  }
  MST__LIST_EACH(at, &stack->tcp.all) {
    const struct mst_conn *conn = MST__CONTAINER(at, const struct mst_conn, all_node);
    const char *what = check_conn(conn, node->sim->events);
    if (what) return fails(conn, what, out, bytes);
  }
  return true;
}

uint64_t sim_self_timeouts(const struct sim_node *node) {
  return node->stack->stats.tcp_timeouts;
}
