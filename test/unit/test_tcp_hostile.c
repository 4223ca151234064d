/* Peers that mean harm, and applications that call in odd orders: what a connection holds, and what a packet costs,
 * stays bounded. */
#include "sim/script.h"

#include <stdlib.h>

/* --- receiving --- */

/* The window field is coarse: rounding it up for each of many tiny segments must not move the right edge for ever. */
static void window_creep(void **state) {
  (void)state;
  enum { BUFFER = 1 << 20, SCALE = 5 };
  struct script *s = script_open(&(struct script_options){.stack.receive_buffer_bytes = BUFFER});
  script_establish(s, "mss 1000,wscale 0", 65535);
  mst_conn_set_option(s->conn, MST_TCP_RECEIVE_BUFFER, BUFFER);
  uint32_t seq = 1, window = 65535;
  for (int i = 0; i < 5000 && window; i++) {
    uint32_t bytes = window > 1100 ? 1000 : (1 << SCALE) - 1;
    script_in_with(s, "P. %u:%u ack 1", seq, seq + bytes);
    script_wait(s, 50);
    script_drain(s);
    struct mst_tcp_info info = script_info(s);
    seq = 1 + (uint32_t)info.bytes_received;
    if (info.rcv_wnd < 1000 && i % 16) continue;
    script_in_with(s, "P. %u:%u ack 1", 0, 1); /* asks for the window */
    while (script_next(s, 1)) window = (uint32_t)s->last.window << SCALE;
  }
  assert_true(mst_readable_bytes(s->conn) >= BUFFER - 1000);
  assert_true(mst_readable_bytes(s->conn) < BUFFER + (1 << SCALE));
  script_read(s, seq - 1);
  script_close(s);
}

/* Thousands of single bytes, each with a gap behind it. */
static void many_gaps(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000,wscale 0", 65535);
  mst_conn_set_option(s->conn, MST_TCP_RECEIVE_BUFFER, 1 << 20);
  for (uint32_t i = 0; i < 3000; i++) script_in_with(s, "P. %u:%u ack 1", 4 + 3 * i, 5 + 3 * i);
  assert_int_equal(script_drops(s, MST_DROP_TCP_OFO_FULL), 0);
  script_in_with(s, "P. %u:%u ack 1", 5 + 3 * 2990, 6 + 3 * 2990);
  assert_int_equal(script_drops(s, MST_DROP_TCP_OFO_FULL), 0);
  for (uint32_t seq = 1; seq < 10001; seq += 1000) script_in_with(s, "P. %u:%u ack 1", seq, seq + 1000);
  script_read(s, 10000);
  script_close(s);
}

/* A long run of whole segments behind a gap takes few chunks. */
static void long_run(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000,wscale 0", 65535);
  uint32_t last = 3000001;
  for (uint32_t seq = 1001; seq < last; seq += 1000) {
    if (seq % 10000 != 1) script_in_with(s, "P. %u:%u ack 1", seq, seq + 1000);
    script_drain(s);
    if (seq == 60001) script_in_with(s, "P. %u:%u ack 1", 1, 1001); /* opens the window to its full width */
  }
  assert_int_equal(script_drops(s, MST_DROP_TCP_OFO_FULL), 0);
  script_close(s);
}

/* --- sending --- */

/* The probe that the peer had no room for is no measure of the round trip. */
static void probe_is_not_timed(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 1000);
  script_write(s, 2000);
  script_out(s, ". 1:1001");
  script_in(s, ". 1 ack 1001 win 0");
  script_out_after(s, 200, ". 1001:1002");
  script_wait(s, 190);
  script_in(s, ". 1 ack 1001 win 5000");
  script_out(s, "P. 1001:2001");
  script_in(s, ". 1 ack 2001 win 5000");
  assert_true(script_info(s).rtt_us < 5000);
  script_close(s);
}

/* The byte of a probe was not taken: it goes again with the rest. */
static void probe_of_several(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 4000);
  script_write(s, 3000);
  script_out(s, ". 1:1001");
  script_out(s, ". 1001:2001");
  script_out(s, "P. 2001:3001");
  script_in(s, ". 1 ack 1001 win 0"); /* shrunk */
  script_out_after(s, 200, ". 1001:1002");
  script_in(s, ". 1 ack 1001 win 4000");
  script_out(s, ". 1001:2001");
  script_close(s);
}

/* Nobody holds it any more: a peer that keeps its window closed and answers every probe may not keep its memory. */
static void closed_window_orphan(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 1000);
  script_write(s, 5000);
  script_out(s, ". 1:1001");
  script_in(s, ". 1 ack 1001 win 0");
  mst_close(s->conn);
  s->conn = NULL;
  for (int i = 0; i < 150 && script_stats(s).conns; i++) {
    script_wait(s, 30000);
    if (script_drain(s) && script_stats(s).conns) script_in(s, ". 1 ack 1001 win 0");
  }
  assert_int_equal(script_stats(s).conns, 0);
  script_close(s);
}

/* The time that the window was closed is over when it opens. */
static void user_timeout_after_closed_window(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 1000);
  mst_conn_set_option(s->conn, MST_TCP_USER_TIMEOUT, 10000);
  script_write(s, 2000);
  script_out(s, ". 1:1001");
  script_in(s, ". 1 ack 1001 win 0");
  script_wait(s, 9000);
  script_drain(s);
  script_in(s, ". 1 ack 1001 win 5000");
  script_out(s, "P. 1001:2001");
  script_out_after(s, 200, "P. 1001:2001");
  script_wait(s, 5000);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_wait(s, 5000);
  assert_int_equal(mst_conn_error(s->conn), -MST_ETIMEDOUT);
  script_close(s);
}

/* --- the wrong addresses --- */

static void inject_from(struct script *s, const char *line, struct mst_addr source, uint16_t port) {
  struct sim_segment segment;
  uint8_t data[16];
  script_segment(s, line, &segment, data, sizeof data);
  segment.source = source;
  segment.source_port = port;
  script_inject(s, &segment);
}

/* RFC 9293 3.9.2.3, MUST-57, and RFC 1122 3.2.1.3: nothing is sent to where nobody can be. */
static void no_answer_to_many(void **state) {
  (void)state;
  static const uint8_t sources[][4] = {{224, 0, 0, 1}, {255, 255, 255, 255}, {0, 0, 0, 0}};
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  for (size_t i = 0; i < 3; i++) {
    uint64_t sent = script_stats(s).tcp_out_segs;
    inject_from(s, ". 1 ack 1", mst_addr_ip4(sources[i]), 8080);
    inject_from(s, "S 0", mst_addr_ip4(sources[i]), 8080);
    s->local_port++;
    inject_from(s, ". 1 ack 1", mst_addr_ip4(sources[i]), 8080);
    s->local_port--;
    assert_int_equal(script_stats(s).tcp_out_segs, sent);
    assert_int_equal(script_drops(s, MST_DROP_SOURCE_ADDRESS), 3 * (i + 1));
  }
  script_close(s);
}

/* A SYN from a listener's own tuple would have it talk to itself. */
static void syn_from_own_tuple(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  inject_from(s, "S 0 win 1000", s->node->ip4, s->local_port);
  assert_int_equal(script_stats(s).tcp_out_segs, 0);
  assert_int_equal(script_stats(s).conns, 0);
  script_close(s);
}

/* RFC 5961 7: the budget of challenge ACKs is everybody's; a flood that spends it may not make us deaf to the probes of
 * other connections' peers. */
static void probe_is_answered_during_flood(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 500);
  for (int i = 0; i < 300; i++) {
    s->peer_port++;
    s->iss_known = false;
    script_establish(s, "mss 1000", 1000);
  }
  uint16_t quiet_port = s->peer_port;
  for (int i = 0; i < 299 * 10; i++) {
    s->peer_port = (uint16_t)(quiet_port - 299 + i % 299);
    script_in(s, "R 500");
  }
  script_drain(s);
  assert_true(script_stats(s).tcp_ack_skipped_challenge > 1000);
  s->peer_port = quiet_port;
  script_in(s, ". 0 ack 1"); /* keepalive */
  script_out(s, ". 1 ack 1");
  script_in(s, ". 0 ack 1");
  script_silence(s, 0);
  script_close(s);
}

/* --- half-open connections --- */

/* Who did not answer for a while gives way; who has just begun does not. */
static void old_half_open_gives_way(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.stack.syn_cookies = MST_SYN_COOKIES_NEVER});
  script_listen(s, 2);
  for (int i = 0; i < 3; i++) {
    s->peer_port++;
    script_in(s, "S 0 win 1000");
  }
  assert_int_equal(script_drops(s, MST_DROP_TCP_BACKLOG), 1);
  script_wait(s, 1500);
  script_drain(s);
  s->peer_port++;
  s->iss_known = false;
  script_in(s, "S 0 win 1000");
  script_out(s, "S. 0 ack 1");
  assert_int_equal(script_stats(s).conns, 2);
  script_in(s, ". 1 ack 1");
  script_accept(s);
  script_close(s);
}

/* --- odd orders --- */

static void keepalive_in_time_wait(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_time_wait(s);
  assert_int_equal(script_state(s), MST_TIME_WAIT);
  script_events(s);
  mst_conn_set_option(s->conn, MST_TCP_KEEPALIVE_IDLE, 1000);
  mst_conn_set_option(s->conn, MST_TCP_KEEPALIVE_INTERVAL, 1000);
  mst_conn_set_option(s->conn, MST_TCP_KEEPALIVE_COUNT, 2);
  mst_conn_set_option(s->conn, MST_TCP_KEEPALIVE, 1);
  script_silence(s, 10000);
  assert_int_equal(script_events(s), 0);
  script_close(s);
}

/* Set between mst_connect and its SYN, a receive buffer counts for the window scale. */
static void receive_buffer_before_syn(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  struct mst_endpoint remote = {.addr = s->peer->ip4, .port = s->peer_port};
  mst_conn *conn;
  assert_int_equal(mst_connect(s->stack, NULL, &remote, NULL, NULL, &conn), 0);
  assert_int_equal(mst_conn_set_option(conn, MST_TCP_RECEIVE_BUFFER, 64 << 20), 0);
  script_flush(s);
  script_out(s, "S 0 <wscale 11>");
  mst_close(conn);
  script_close(s);
}

struct closer {
  struct script *s;
  unsigned when, seen; /* MST_EV_... */
  bool abort;
};

static void close_in_event(mst_conn *conn, unsigned events, void *user) {
  struct closer *c = user;
  assert_int_equal(c->seen & c->when, 0); /* nothing comes after the close */
  c->seen |= events;
  if (!(events & c->when)) return;
  mst_conn_set_option(conn, MST_TCP_RECEIVE_BUFFER, 5000);
  mst_write(conn, "x", 1);
  mst_shutdown(conn);
  assert_true(mst_write(conn, "x", 1) < 0);
  if (c->abort)
    mst_abort(conn);
  else
    mst_close(conn);
}

/* Closed or aborted in each kind of callback, after calls that make no sense there. */
static void close_in_any_event(void **state) {
  (void)state;
  static const unsigned events[] = {MST_EV_CONNECTED, MST_EV_READABLE, MST_EV_WRITABLE, MST_EV_ERROR, MST_EV_DRAINED};
  for (size_t i = 0; i < 10; i++) {
    struct script *s = script_open(NULL);
    struct closer c = {.s = s, .when = events[i % 5], .abort = i >= 5};
    struct mst_endpoint remote = {.addr = s->peer->ip4, .port = s->peer_port}, local;
    mst_conn *conn;
    assert_int_equal(mst_connect(s->stack, NULL, &remote, close_in_event, &c, &conn), 0);
    mst_conn_local(conn, &local);
    s->local_port = local.port;
    static const uint8_t zeros[300000];
    assert_true(mst_write(conn, zeros, 3000) == 3000);
    if (c.when == MST_EV_WRITABLE) mst_write(conn, zeros, sizeof zeros);
    script_flush(s);
    script_out(s, "S 0");
    script_in(s, "S. 0 ack 1 win 65535 <mss 1460>");
    for (int round = 0; round < 40 && !(c.seen & c.when); round++) {
      uint32_t last = 0;
      while (script_next(s, 1)) last = s->last.seq + s->last.data_bytes - s->iss;
      if (c.when == MST_EV_READABLE) script_in(s, "P. 1:101 ack 1 win 65535");
      if (c.when == MST_EV_ERROR) script_in(s, "R. 1 ack 1");
      if (last) script_in_with(s, ". 1 ack %u win 65535", last, 0);
    }
    assert_int_equal(c.seen & c.when, c.when);
    script_wait(s, 1000);
    script_drain(s);
    script_close(s);
  }
}

static void close_inside(mst_listener *listener, void *user) {
  mst_conn **kept = user;
  *kept = mst_accept(listener);
  mst_listener_close(listener);
}

/* A listener closed inside its own callback, with one connection accepted, one ready and one half open. */
static void close_listener_inside(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  mst_binding *binding;
  mst_listener *listener;
  mst_conn *kept = NULL;
  struct mst_endpoint local = {.addr = MST_ADDR_ANY4, .port = s->local_port};
  assert_int_equal(mst_bind(s->stack, MST_TCP, &local, 0, &binding), 0);
  assert_int_equal(mst_listen(binding, 8, close_inside, &kept, &listener), 0);
  mst_unbind(binding);
  uint8_t packets[4][128];
  struct mst_packet batch[4];
  uint32_t isn[3];
  for (uint16_t i = 0; i < 3; i++) {
    s->peer_port = 9000 + i;
    s->iss_known = false;
    script_in(s, "S 0 win 1000");
    script_out(s, "S. 0 ack 1");
    isn[i] = s->iss;
  }
  for (uint16_t i = 0; i < 2; i++) {
    struct sim_segment segment;
    uint8_t data[8];
    s->peer_port = 9000 + i;
    s->iss = isn[i];
    script_segment(s, ". 1 ack 1 win 1000", &segment, data, sizeof data);
    size_t bytes = sim_segment_build(packets[i], &segment);
    batch[i] = (struct mst_packet){.len = (uint32_t)bytes, .iov_count = 1, .iov = {{packets[i], bytes}}};
  }
  mst_stack_input(s->stack, batch, 2, s->sim->now_ns);
  script_flush(s);
  assert_non_null(kept);
  assert_int_equal(script_stats(s).conns, 1);
  assert_int_equal(script_stats(s).tcp_out_rsts, 2);
  assert_int_equal(mst_conn_error(kept), 0);
  mst_abort(kept);
  script_flush(s);
  script_drain(s);
  script_close(s);
}

/* A larger buffer opens a closed window at once: nothing else would tell the peer. */
static void larger_buffer_opens_window(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.stack.receive_buffer_bytes = 8000});
  script_establish(s, "mss 1000", 65535);
  for (uint32_t seq = 1; seq < 8001; seq += 1000) script_in_with(s, "P. %u:%u ack 1", seq, seq + 1000);
  script_drain(s);
  assert_int_equal(script_info(s).rcv_wnd, 0);
  mst_conn_set_option(s->conn, MST_TCP_RECEIVE_BUFFER, 20000);
  script_flush(s);
  script_out(s, ". 1 ack 8001 win 12000");
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(window_creep),
      cmocka_unit_test(many_gaps),
      cmocka_unit_test(long_run),
      cmocka_unit_test(probe_is_not_timed),
      cmocka_unit_test(probe_of_several),
      cmocka_unit_test(closed_window_orphan),
      cmocka_unit_test(user_timeout_after_closed_window),
      cmocka_unit_test(no_answer_to_many),
      cmocka_unit_test(syn_from_own_tuple),
      cmocka_unit_test(probe_is_answered_during_flood),
      cmocka_unit_test(old_half_open_gives_way),
      cmocka_unit_test(keepalive_in_time_wait),
      cmocka_unit_test(receive_buffer_before_syn),
      cmocka_unit_test(close_in_any_event),
      cmocka_unit_test(close_listener_inside),
      cmocka_unit_test(larger_buffer_opens_window),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
