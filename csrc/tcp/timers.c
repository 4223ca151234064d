/* The timers of a connection share one place in the wheel: it is armed for the earliest and tells which are due. */
#include "tcp/trace.h"
#include <limits.h>

static void arm_earliest(struct mst_conn *conn) {
  uint64_t earliest = 0;
  for (int i = 0; i < MST__TIMER_COUNT; i++)
    if (conn->timer_at_ns[i] && (!earliest || conn->timer_at_ns[i] < earliest)) earliest = conn->timer_at_ns[i];
  if (earliest)
    mst__wheel_arm(&conn->stack->wheel, &conn->alarm.timer, earliest);
  else
    mst__wheel_disarm(&conn->stack->wheel, &conn->alarm.timer);
}

void mst__timer_set(struct mst_conn *conn, enum mst__conn_timer timer, uint64_t at_ns) {
  conn->timer_at_ns[timer] = at_ns;
  /* One that moves later stays in the wheel where it is: it finds nothing due there and moves on. */
  if (!mst__timer_armed(&conn->alarm.timer) || at_ns < conn->alarm.timer.at_ns)
    mst__wheel_arm(&conn->stack->wheel, &conn->alarm.timer, at_ns);
}

void mst__timers_stop(struct mst_conn *conn) {
  for (int i = 0; i < MST__TIMER_COUNT; i++) conn->timer_at_ns[i] = 0;
  mst__wheel_disarm(&conn->stack->wheel, &conn->alarm.timer);
}

static unsigned retries_allowed(const struct mst_conn *conn) {
  if (conn->state == MST_SYN_SENT || conn->state == MST_SYN_RECEIVED) return MST__SYN_RETRIES;
  if (conn->user_timeout.ms) return UINT_MAX; /* time decides, not a count */
  return conn->orphan ? MST__ORPHAN_RETRIES : MST__RETRIES;
}

/* One more of what may be done so often. */
static bool exhausted(uint8_t *count, unsigned allowed) {
  if (*count >= allowed) return true;
  if (*count < UINT8_MAX) ++*count;
  return false;
}

static void give_up(struct mst_conn *conn, int error) {
  if (conn->state >= MST_ESTABLISHED) mst__reset_send(conn);
  mst__conn_die(conn, error);
}

static void timed_out(struct mst_conn *conn) {
  conn->stack->stats.tcp_abort_on_timeout++;
  give_up(conn, conn->soft_error ? conn->soft_error : -MST_ETIMEDOUT);
}

/* RFC 6429 4: a peer that takes nothing for minutes may not keep the memory that others need to send anything. */
static bool starves_others(const struct mst_conn *conn) {
  return conn->rto_ns == MST__RTO_MAX_NS && conn->sendq.bytes && mst__memory_starves(conn->stack);
}

static void out_of_memory(struct mst_conn *conn) {
  conn->stack->stats.tcp_abort_on_memory++;
  give_up(conn, -MST_ENOBUFS);
}

void mst__retransmit_timer_set(struct mst_conn *conn) {
  uint64_t at_ns = conn->stack->now_ns + conn->rto_ns;
  if (conn->user_timeout.ms && conn->first_unanswered_ns) {
    uint64_t end_ns = conn->first_unanswered_ns + conn->user_timeout.ms * MST__MS;
    if (end_ns < at_ns) at_ns = end_ns;
  }
  mst__timer_set(conn, MST__TIMER_RETRANSMIT, at_ns);
}

static void back_off(struct mst_conn *conn) {
  conn->rto_ns *= 2; /* RFC 6298 5.5 */
  if (conn->rto_ns > MST__RTO_MAX_NS) conn->rto_ns = MST__RTO_MAX_NS;
  mst__retransmit_timer_set(conn);
}

/* RFC 9293 3.8.6.1: the peer's window is closed; ask again, less and less often, for as long as it answers. */
static void persist(struct mst_conn *conn) {
  mst_stack *stack = conn->stack;
  /* RFC 6429 4: with nobody left to care, a peer may not keep its window closed for ever, whatever it answers. */
  if (conn->orphan && conn->retries++ >= MST__ORPHAN_PROBES) return timed_out(conn);
  if (exhausted(&conn->probes, retries_allowed(conn))) return timed_out(conn);
  if (!conn->first_unanswered_ns) conn->first_unanswered_ns = stack->now_ns;
  stack->stats.tcp_zero_window_probes++;
  conn->probe_window = true;
  if (conn->snd_una != conn->snd_nxt) mst__sent_mark_all_lost(conn);
  back_off(conn);
  mst__output_wanted(conn);
}

static bool window_closed(const struct mst_conn *conn) {
  return conn->state >= MST_ESTABLISHED && (conn->snd_wnd == 0 || conn->snd_una == conn->snd_nxt);
}

static void retransmit_timeout(struct mst_conn *conn) {
  mst_stack *stack = conn->stack;
  if (conn->ecn.mode && mst__ecn_timer(conn)) return mst__output_wanted(conn);
  bool persists = window_closed(conn);
  /* RFC 9293 3.8.6.1: what is answered goes on, unless the program itself has set a limit. */
  if (persists && !conn->probes && !conn->user_timeout.fixed) conn->first_unanswered_ns = 0;
  if (mst__user_timeout_over(conn, conn->first_unanswered_ns)) return timed_out(conn);
  if (starves_others(conn)) return out_of_memory(conn);
  if (persists) return persist(conn);
  if (exhausted(&conn->retries, retries_allowed(conn))) return timed_out(conn);
  stack->stats.tcp_timeouts++;
  mst__chrono_timeout(conn);
  if (conn->state == MST_SYN_SENT || conn->state == MST_SYN_RECEIVED) {
    conn->syn_wanted = true;
    conn->syn_retransmitted = true;
  } else {
    mst__mtu_timeout(conn);
    mst__recovery_on_timeout(conn);
  }
  back_off(conn);
  mst__output_wanted(conn);
}

static void delayed_ack(struct mst_conn *conn) {
  conn->stack->stats.tcp_delayed_acks++;
  conn->ack_now = true;
  mst__output_wanted(conn);
}

void mst__keepalive_restart(struct mst_conn *conn) {
  if (conn->keepalive && conn->state >= MST_ESTABLISHED && conn->state != MST_TIME_WAIT)
    mst__timer_set(conn, MST__TIMER_KEEPALIVE, conn->stack->now_ns + conn->keepalive_idle_ms * MST__MS);
  else
    mst__timer_clear(conn, MST__TIMER_KEEPALIVE);
}

/* RFC 9293 3.8.4. Data on its way is watched by the retransmission timer. */
static void keepalive(struct mst_conn *conn) {
  mst_stack *stack = conn->stack;
  uint64_t idle_ns = conn->keepalive_idle_ms * MST__MS, heard_ns = conn->last_heard_ns;
  if (stack->now_ns - heard_ns < idle_ns) return mst__timer_set(conn, MST__TIMER_KEEPALIVE, heard_ns + idle_ns);
  uint64_t interval_ns = conn->keepalive_interval_ms * MST__MS;
  mst__timer_set(conn, MST__TIMER_KEEPALIVE, stack->now_ns + interval_ns);
  if (mst__timer_is_set(conn, MST__TIMER_RETRANSMIT)) return;
  bool over = conn->user_timeout.ms ? conn->probes && mst__user_timeout_over(conn, heard_ns)
                                    : conn->probes >= conn->keepalive_count;
  if (over) return timed_out(conn);
  exhausted(&conn->probes, UINT_MAX);
  stack->stats.tcp_keepalives++;
  conn->probe_wanted = true;
  mst__output_wanted(conn);
}

/* Linger is over, or the peer of an orphan does not close. */
static void end(struct mst_conn *conn) {
  if (conn->state != MST_FIN_WAIT_2) mst__reset_send(conn);
  mst__conn_die(conn, -MST_ETIMEDOUT);
}

static void traced_run(struct mst_conn *conn, enum mst__conn_timer timer, void (*run)(struct mst_conn *)) {
  mst_stack *stack = conn->stack;
  struct mst__flow key = conn->flow; /* the connection may not survive */
  struct mst__metrics before;
  mst__trace_timer(conn, timer, &before);
  run(conn);
  mst__trace_metrics(stack, &key, &before);
}

void mst__timers_run(struct mst__alarm *alarm) {
  static void (*const run[MST__TIMER_COUNT])(struct mst_conn *) = {
      [MST__TIMER_REORDER] = mst__recovery_on_reorder_timer,
      [MST__TIMER_PROBE] = mst__tlp_on_timer,
      [MST__TIMER_RETRANSMIT] = retransmit_timeout,
      [MST__TIMER_DELACK] = delayed_ack,
      [MST__TIMER_KEEPALIVE] = keepalive,
      [MST__TIMER_END] = end,
      [MST__TIMER_PACING] = mst__output_wanted,
  };
  struct mst_conn *conn = MST__CONTAINER(alarm, struct mst_conn, alarm);
  uint64_t now_ns = conn->stack->now_ns;
  /* One at a time, since any may be the connection's end: what else is due runs at the next advance, at once. */
  for (int i = 0; i < MST__TIMER_COUNT; i++) {
    if (!conn->timer_at_ns[i] || conn->timer_at_ns[i] > now_ns) continue;
    conn->timer_at_ns[i] = 0;
    arm_earliest(conn);
    if (mst__traced(conn->stack)) return traced_run(conn, (enum mst__conn_timer)i, run[i]);
    return run[i](conn);
  }
  arm_earliest(conn);
}
