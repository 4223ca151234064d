/* The event trace: what happens on a connection, exactly and in order. */
#include "multistack/trace.h"
#include "sim/script.h"
#include <stdio.h>
#include <string.h>

#define EVENTS_MAX 256

static struct {
  struct mst_trace_event events[EVENTS_MAX];
  size_t count, taken;
} trace;

static void note(void *ctx, const struct mst_trace_event *event) {
  assert_ptr_equal(ctx, &trace);
  assert_int_equal(event->size, sizeof *event);
  assert_true(trace.count < EVENTS_MAX);
  trace.events[trace.count++] = *event;
}

static struct script *traced_script(void) {
  memset(&trace, 0, sizeof trace);
  struct script *s = script_open(&(struct script_options){
      .stack = {.trace = note, .trace_ctx = &trace, .congestion_control = "newreno"}, .route_mtu = 1040});
  return s;
}

static void add_flags(char *out, unsigned flags) {
  const char *names = "FSRP.UEW";
  for (unsigned i = 0; i < 8; i++)
    if (flags & 1u << i) *out++ = names[i];
  *out = '\0';
}

/* An event as a line: its kind, and what that kind is about. */
static const char *line_of(const struct mst_trace_event *e) {
  static char line[256];
  char flags[10];
  int n = snprintf(line, sizeof line, "%s", mst_trace_kind_name(e->kind));
  char *to = line + n;
  size_t room = sizeof line - (size_t)n;
  switch (e->kind) {
  case MST_TRACE_SEGMENT_SENT:
  case MST_TRACE_SEGMENT_RECEIVED:
    add_flags(flags, e->flags);
    n = snprintf(to, room, " %s %u:%u ack %u win %u%s", flags, e->seq, e->end, e->ack, e->window_bytes,
                 e->retransmission ? " again" : "");
    for (unsigned i = 0; i < e->sack_count; i++)
      n += snprintf(to + n, room - (size_t)n, " sack %u:%u", e->sack[i].left, e->sack[i].right);
    break;
  case MST_TRACE_STATE_UPDATED:
    snprintf(to, room, " %s %s", mst_tcp_state_name(e->old_state), mst_tcp_state_name(e->state));
    break;
  case MST_TRACE_METRICS_UPDATED:
    snprintf(to, room, " cwnd %u rto %u ms", e->cwnd_bytes, (unsigned)(e->rto_ns / 1000000));
    break;
  case MST_TRACE_RTT_SAMPLED: snprintf(to, room, " %u ms", (unsigned)(e->rtt_ns / 1000000)); break;
  case MST_TRACE_SEGMENT_LOST: snprintf(to, room, " %u:%u", e->seq, e->end); break;
  case MST_TRACE_TIMER_EXPIRED: snprintf(to, room, " %s", e->timer); break;
  default: break;
  }
  return line;
}

#define expect(line) expect_at(line, __FILE__, __LINE__)
static void expect_at(const char *line, const char *file, int at) {
  const char *got = trace.taken < trace.count ? line_of(&trace.events[trace.taken]) : "(nothing)";
  if (strcmp(got, line) == 0) {
    trace.taken++;
    return;
  }
  fail_msg("%s:%d: the event is '%s', not '%s'", file, at, got, line);
}

#define expect_nothing() expect_at_end(__FILE__, __LINE__)
static void expect_at_end(const char *file, int at) {
  if (trace.taken < trace.count)
    fail_msg("%s:%d: an event too many: '%s'", file, at, line_of(&trace.events[trace.taken]));
}

static const struct mst_trace_event *last_event(void) {
  return &trace.events[trace.count - 1];
}

static void take(struct script *s) {
  while (script_next(s, 0)) continue;
}

/* Passive open, a request and its answer, orderly close by the peer first. */
static void life_of_a_connection(void **state) {
  (void)state;
  struct script *s = traced_script();
  script_listen(s, 0);
  script_in(s, "S 0 win 1000 <mss 1000,wscale 2>");
  script_out(s, "S. 0 ack 1");
  expect_nothing(); /* there is a connection when the handshake is done */
  script_wait(s, 20);
  script_in(s, ". 1 ack 1 win 1000");
  expect("state_updated CLOSED SYN-RECEIVED");
  assert_int_equal(last_event()->conn_id, 1);
  assert_int_equal(last_event()->snd_nxt, 1);
  expect("segment_received . 1:1 ack 1 win 4000");
  expect("rtt_sampled 20 ms");
  expect("state_updated SYN-RECEIVED ESTABLISHED");
  expect("metrics_updated cwnd 10000 rto 220 ms");
  expect_nothing();
  script_accept(s);

  script_in(s, "P. 1:101 ack 1 win 1000");
  expect("segment_received P. 1:101 ack 1 win 4000");
  script_read(s, 100);
  script_write(s, 500);
  script_flush(s);
  take(s);
  const struct mst_trace_event *sent = last_event();
  assert_int_equal(sent->kind, MST_TRACE_SEGMENT_SENT);
  assert_int_equal(sent->seq, 1);
  assert_int_equal(sent->end, 501);
  assert_int_equal(sent->ack, 101);
  assert_int_equal(sent->flight_bytes, 500);
  assert_int_equal(sent->snd_una, 1);
  assert_int_equal(sent->snd_nxt, 501);
  assert_int_equal(sent->segments, 1);
  assert_int_equal(sent->local.port, s->local_port);
  assert_int_equal(sent->remote.port, s->peer_port);
  trace.taken = trace.count;

  script_in(s, "F. 101 ack 501 win 1000");
  expect("segment_received F. 101:102 ack 501 win 4000");
  expect("rtt_sampled 0 ms");
  expect("state_updated ESTABLISHED CLOSE-WAIT");
  trace.taken = trace.count; /* cwnd and rto, and the ACK */
  mst_close(s->conn);
  s->conn = NULL;
  script_flush(s);
  take(s);
  expect("state_updated CLOSE-WAIT LAST-ACK");
  trace.taken = trace.count;
  script_in(s, ". 102 ack 502 win 1000");
  expect("segment_received . 102:102 ack 502 win 4000");
  script_close(s);
  assert_int_equal(last_event()->kind, MST_TRACE_STATE_UPDATED);
  assert_int_equal(last_event()->state, MST_CLOSED);
}

/* The peer's first number is known from its SYN,ACK on, which is 0 in the trace. */
static void active_open(void **state) {
  (void)state;
  struct script *s = traced_script();
  script_establish_active(s, "mss 1000", 5000);
  expect("state_updated CLOSED SYN-SENT");
  expect("segment_sent S 0:1 ack 0 win 65535");
  expect("segment_received S. 0:1 ack 1 win 5000");
  expect("rtt_sampled 0 ms");
  expect("state_updated SYN-SENT ESTABLISHED");
  expect("metrics_updated cwnd 10000 rto 200 ms");
  assert_int_equal(trace.events[trace.taken].seq, 1);
  script_close(s);
}

/* What is sent again says so, and a timer tells which it is. */
static void timeout(void **state) {
  (void)state;
  struct script *s = traced_script();
  script_establish(s, "mss 1000", 5000);
  script_write(s, 1000);
  script_flush(s);
  take(s);
  trace.taken = trace.count;
  script_wait(s, 250);
  expect("timer_expired retransmit");
  expect("segment_lost 1:1001");
  expect("timeout");
  expect("metrics_updated cwnd 1000 rto 400 ms");
  expect("segment_sent P. 1:1001 ack 1 win 65535 again");
  expect_nothing();
  script_in(s, ". 1 ack 1001 win 5000");
  expect("segment_received . 1:1 ack 1001 win 5000");
  expect("recovery_left");
  script_close(s);
}

/* Three duplicates, and the whole flight acknowledged. */
static void fast_recovery(void **state) {
  (void)state;
  struct script *s = traced_script();
  script_establish(s, "mss 1000", 20000);
  script_write(s, 5000);
  script_flush(s);
  take(s);
  trace.taken = trace.count;
  for (int i = 0; i < 3; i++) {
    expect_nothing();
    script_in(s, ". 1 ack 1 win 20000");
    expect("segment_received . 1:1 ack 1 win 20000");
  }
  expect("segment_lost 1:1001");
  expect("recovery_entered");
  expect("metrics_updated cwnd 2000 rto 200 ms");
  assert_int_equal(trace.events[trace.taken - 1].ssthresh_bytes, 2500);
  expect("segment_sent . 1:1001 ack 1 win 65535 again");
  expect_nothing();
  script_in(s, ". 1 ack 5001 win 20000");
  expect("segment_received . 1:1 ack 5001 win 20000");
  expect("recovery_left");
  script_close(s);
}

/* The peer's SACK blocks are relative as its ACK is. */
static void sack_blocks(void **state) {
  (void)state;
  struct script *s = traced_script();
  script_establish(s, "mss 1000,sackOK", 20000);
  script_write(s, 3000);
  script_flush(s);
  take(s);
  trace.taken = trace.count;
  script_in(s, ". 1 ack 1 win 20000 <sack 1001:2001>");
  expect("segment_received . 1:1 ack 1 win 20000 sack 1001:2001");
  script_close(s);
}

/* A reset that ends a connection is told with its cause. */
static void reset(void **state) {
  (void)state;
  struct script *s = traced_script();
  script_establish(s, "mss 1000", 5000);
  trace.taken = trace.count;
  mst_abort(s->conn);
  s->conn = NULL;
  expect("segment_sent R. 1:1 ack 1 win 0");
  expect("state_updated ESTABLISHED CLOSED");
  expect_nothing();
  script_close(s);
}

/* Without a listener nothing is told, and every kind has a name. */
static void names(void **state) {
  (void)state;
  for (int i = 0; i < MST_TRACE_KINDS; i++)
    assert_string_not_equal(mst_trace_kind_name((enum mst_trace_kind)i), "unknown");
  assert_string_equal(mst_trace_kind_name(MST_TRACE_KINDS), "unknown");
  memset(&trace, 0, sizeof trace);
  struct script *s = script_open(NULL);
  script_establish(s, "", 5000);
  script_close(s);
  assert_int_equal(trace.count, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(life_of_a_connection),
      cmocka_unit_test(active_open),
      cmocka_unit_test(timeout),
      cmocka_unit_test(fast_recovery),
      cmocka_unit_test(sack_blocks),
      cmocka_unit_test(reset),
      cmocka_unit_test(names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
