/* Opening: RFC 9293 3.5, 3.10.1, 3.10.7.1 to 3.10.7.4 up to ESTABLISHED. */
#include "sim/script.h"

#include <stdlib.h>
#include <string.h>

static void passive_open(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1 <mss 1460,-TS,-wscale>");
  assert_null(mst_accept(s->listener));
  assert_int_equal(s->listener_calls, 0);
  script_in(s, ". 1 ack 1 win 65535");
  assert_int_equal(s->listener_calls, 1);
  script_accept(s);
  assert_null(mst_accept(s->listener));
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  assert_int_equal(script_stats(s).tcp_passive_opens, 1);
  struct mst_endpoint remote, local;
  mst_conn_remote(s->conn, &remote);
  mst_conn_local(s->conn, &local);
  assert_true(mst_addr_equal(&remote.addr, &s->peer->ip4) && remote.port == 8080);
  assert_true(mst_addr_equal(&local.addr, &s->node->ip4) && local.port == 80);
  script_silence(s, 5000);
  script_close(s);
}

static void passive_open_ip6(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.ip6 = true});
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 1440>");
  script_out(s, "S. 0 ack 1 <mss 1440>");
  script_in(s, ". 1 ack 1");
  script_accept(s);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_close(s);
}

static void active_open(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  assert_int_equal(script_state(s), MST_SYN_SENT);
  script_out(s, "S 0 win 65535 <mss 1460,TS * 0,wscale 7>");
  script_in(s, "S. 0 ack 1 win 65535 <mss 1460>");
  script_out(s, ". 1 ack 1 <-TS>");
  assert_int_equal(script_events(s), MST_EV_CONNECTED);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  assert_int_equal(script_stats(s).tcp_active_opens, 1);
  script_silence(s, 5000);
  script_close(s);
}

/* Figure 7. */
static void simultaneous_open(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  assert_int_equal(script_state(s), MST_SYN_RECEIVED);
  script_in(s, "S. 0 ack 1 win 65535 <mss 1460>");
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  assert_int_equal(script_events(s), MST_EV_CONNECTED);
  script_drain(s);
  script_in(s, "P. 1:101 ack 1");
  script_out(s, ". 1 ack 101");
  script_read(s, 100);
  script_close(s);
}

/* The same, finished by a bare ACK. */
static void simultaneous_open_ack(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  script_in(s, ". 1 ack 1");
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_close(s);
}

/* What was written before is neither lost nor cut by the acknowledgment of the SYN. */
static void simultaneous_open_written(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_write(s, 10);
  script_out(s, "S 0");
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  script_in(s, "S. 0 ack 1 win 65535 <mss 1460>");
  script_out(s, "P. 1:11 ack 1");
  script_close(s);
}

/* A reset in SYN-RECEIVED of an active opener is a refusal (3.10.7.4). */
static void simultaneous_open_reset(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  script_in(s, "R. 1 ack 1");
  assert_int_equal(script_events(s), MST_EV_ERROR);
  assert_int_equal(mst_conn_error(s->conn), -MST_ECONNREFUSED);
  script_close(s);
}

/* --- SYN-SENT (3.10.7.3) --- */

static void syn_sent_refused(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_in(s, "R. 0 ack 1");
  assert_int_equal(script_events(s), MST_EV_ERROR);
  assert_int_equal(mst_conn_error(s->conn), -MST_ECONNREFUSED);
  char byte;
  assert_int_equal(mst_read(s->conn, &byte, 1), -MST_ECONNREFUSED);
  assert_int_equal(mst_write(s->conn, "x", 1), -MST_ECONNREFUSED);
  assert_int_equal(script_stats(s).tcp_attempt_fails, 1);
  mst_close(s->conn);
  script_silence(s, 5000);
  assert_true(s->node->lease_count <= 1); /* an unused port may stay in the pool */
  script_close(s);
}

/* Old or forged segments do not harm (first to fourth check). */
static void syn_sent_wrong_ack(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_in(s, ". 5 ack 100");
  script_out(s, "R 100");
  script_in(s, ". 5 ack 0");
  script_out(s, "R 0");
  script_in(s, "S. 0 ack 77");
  script_out(s, "R 77");
  script_in(s, "R. 0 ack 77"); /* a reset that acknowledges something else */
  script_silence(s, 0);
  script_in(s, "R 0"); /* a reset without ACK */
  script_silence(s, 0);
  script_in(s, ". 0 ack 1"); /* acceptable ACK, no SYN */
  script_silence(s, 0);
  script_in(s, "F 0");
  script_silence(s, 0);
  assert_int_equal(script_state(s), MST_SYN_SENT);
  assert_int_equal(script_events(s), 0);
  script_in(s, "S. 0 ack 1");
  script_out(s, ". 1 ack 1");
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_close(s);
}

/* MUST-23: at least three minutes for a SYN. Exponential, from 1 s (RFC 6298 2.1). */
static void syn_retransmission(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_out_after(s, 1000, "S 0");
  script_out_after(s, 2000, "S 0");
  script_out_after(s, 4000, "S 0");
  script_out_after(s, 8000, "S 0");
  uint64_t last_ns = 0;
  while (!(s->events & MST_EV_ERROR)) {
    assert_true(s->sim->now_ns - s->start_ns < 1000 * SIM_S);
    if (script_next(s, 10000)) last_ns = s->last_packet->at_ns;
  }
  assert_int_equal(mst_conn_error(s->conn), -MST_ETIMEDOUT);
  assert_true(s->sim->now_ns - s->start_ns >= 180 * SIM_S);
  assert_true(last_ns > s->start_ns + 60 * SIM_S);
  mst_close(s->conn);
  script_silence(s, 10000);
  script_close(s);
}

static void syn_lost_then_answered(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_out_after(s, 1000, "S 0");
  script_in(s, "S. 0 ack 1");
  script_out(s, ". 1 ack 1");
  assert_int_equal(script_events(s), MST_EV_CONNECTED);
  script_close(s);
}

static void write_and_shutdown_while_connecting(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_write(s, 100);
  assert_int_equal(mst_shutdown(s->conn), 0);
  script_flush(s);
  script_out(s, "S 0:0");
  script_silence(s, 0);
  script_in(s, "S. 0 ack 1 win 65535 <mss 1460>");
  if (!script_next(s, 0)) fail_msg("nothing was sent");
  if (!s->last.data_bytes && !script_next(s, 0)) fail_msg("no data was sent"); /* the ACK may go alone or along */
  assert_int_equal(s->last.data_bytes, 100);
  assert_int_equal(s->last.flags & (SIM_FIN | SIM_ACK), SIM_FIN | SIM_ACK);
  assert_int_equal(mst_write(s->conn, "x", 1), -MST_EPIPE);
  script_close(s);
}

static void close_while_connecting(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  mst_close(s->conn);
  script_flush(s);
  script_silence(s, 300000);
  assert_int_equal(script_stats(s).conns, 0);
  assert_true(s->node->lease_count <= 1); /* an unused port may stay in the pool */
  script_close(s);
}

static void connect_errors(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  mst_conn *conn;
  struct mst_endpoint remote = {.addr = s->peer->ip4, .port = 8080};
  s->node->route_error = -MST_ENETUNREACH;
  assert_int_equal(mst_connect(s->stack, NULL, &remote, NULL, NULL, &conn), -MST_ENETUNREACH);
  s->node->route_error = 0;
  remote.port = 0;
  assert_true(mst_connect(s->stack, NULL, &remote, NULL, NULL, &conn) < 0);
  remote.port = 8080;
  mst_binding *binding;
  struct mst_endpoint local = {.addr = s->node->ip4, .port = 5000};
  assert_int_equal(mst_bind(s->stack, MST_TCP, &local, 0, &binding), 0);
  assert_int_equal(mst_connect(s->stack, binding, &remote, NULL, NULL, &conn), 0);
  mst_conn *second;
  assert_int_equal(mst_connect(s->stack, binding, &remote, NULL, NULL, &second), -MST_EADDRINUSE);
  remote.port = 8081;
  assert_int_equal(mst_connect(s->stack, binding, &remote, NULL, NULL, &second), 0);
  mst_unbind(binding);
  script_flush(s);
  assert_int_equal(s->node->lease_count, 1);
  mst_close(conn);
  mst_close(second);
  assert_true(s->node->lease_count <= 1); /* an unused port may stay in the pool */
  /* Multicast and wildcard are no peers (MUST-46, MUST-57). */
  remote.addr = mst_addr_ip4((uint8_t[]){224, 0, 0, 1});
  assert_true(mst_connect(s->stack, NULL, &remote, NULL, NULL, &conn) < 0);
  script_close(s);
}

/* --- LISTEN (3.10.7.2) and CLOSED (3.10.7.1) --- */

static void closed_port(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  mst_binding *binding;
  struct mst_endpoint local = {.addr = MST_ADDR_ANY4, .port = 80};
  assert_int_equal(mst_bind(s->stack, MST_TCP, &local, 0, &binding), 0);
  script_in(s, "S 0");
  script_out(s, "R. 0 ack 1");
  s->iss_known = true;
  script_in(s, "SP 0:10"); /* SEG.LEN counts data and SYN */
  script_out(s, "R. 0 ack 11");
  script_in(s, ". 5 ack 77");
  script_out(s, "R 77");
  script_in(s, "F. 5:15 ack 77");
  script_out(s, "R 77");
  script_in(s, "R 5");
  script_in(s, "R. 5 ack 77");
  script_silence(s, 1000);
  mst_unbind(binding);
  script_close(s);
}

static void listen_wrong_segments(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "R 5");
  script_silence(s, 0);
  script_in(s, ". 5 ack 77");
  script_out(s, "R 77");
  script_in(s, "S. 5 ack 77");
  script_out(s, "R 77");
  script_in(s, "R. 5 ack 77");
  script_in(s, "F 5");
  script_in(s, "P 5:10");
  script_silence(s, 1000);
  script_establish(s, "", 65535);
  script_close(s);
}

/* Data on a SYN is delivered once, whether it is kept or sent again (3.10.7.2). */
static void syn_with_data(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0:10 win 65535 <mss 1460>");
  script_out(s, "S. 0");
  uint32_t taken = s->last.ack - s->peer_isn;
  assert_true(taken == 1 || taken == 11);
  script_in(s, ". 11 ack 1");
  script_in(s, "P. 1:11 ack 1");
  script_accept(s);
  script_in(s, "P. 11:21 ack 1");
  script_read(s, 20);
  assert_int_equal(mst_readable_bytes(s->conn), 0);
  script_close(s);
}

static void syn_received_wrong_segments(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  script_in(s, ". 1 ack 500"); /* fifth check: an ACK that is none */
  script_out(s, "R 500");
  script_in(s, ". 1 ack 0");
  script_out(s, "R 0");
  script_in(s, "P 1:11"); /* no ACK: dropped */
  script_silence(s, 0);
  script_in(s, "S 0 win 65535 <mss 1460>"); /* the SYN again: some answer that repeats ours */
  assert_true(script_next(s, 0));
  assert_int_equal(s->last.ack - s->peer_isn, 1);
  script_in(s, "R 9"); /* in window, not exact: challenged (RFC 5961 3.2) */
  script_out(s, ". 1 ack 1");
  script_in(s, "P. 1:11 ack 1"); /* the handshake's ACK with data */
  script_accept(s);
  script_read(s, 10);
  script_close(s);
}

/* Back to LISTEN, the user need not be told. */
static void syn_received_reset(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  script_in(s, "R 1");
  script_silence(s, 100000);
  assert_int_equal(s->listener_calls, 0);
  assert_null(mst_accept(s->listener));
  assert_int_equal(script_stats(s).conns, 0);
  s->iss_known = false;
  script_establish(s, "", 65535);
  script_close(s);
}

static void syn_received_fin(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  script_in(s, "F. 1:11 ack 1");
  script_out(s, ". 1 ack 12");
  script_accept(s);
  assert_int_equal(script_state(s), MST_CLOSE_WAIT);
  script_read(s, 10);
  char byte;
  assert_int_equal(mst_read(s->conn, &byte, 1), 0);
  script_close(s);
}

static void syn_ack_retransmission(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  script_out_after(s, 1000, "S. 0 ack 1");
  script_out_after(s, 2000, "S. 0 ack 1");
  script_out_after(s, 4000, "S. 0 ack 1");
  while (script_next(s, 300000)) continue;
  assert_int_equal(s->listener_calls, 0);
  assert_int_equal(script_stats(s).conns, 0);
  script_close(s);
}

static void backlog(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 2);
  for (uint16_t port = 1; port <= 2; port++) {
    s->peer_port = port;
    s->iss_known = false;
    script_in(s, "S 0 win 65535 <mss 1460>");
    script_out(s, "S. 0 ack 1");
    script_in(s, ". 1 ack 1");
  }
  s->peer_port = 3;
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_silence(s, 0);
  assert_true(script_drops(s, MST_DROP_TCP_BACKLOG) > 0);
  script_accept(s);
  struct mst_endpoint remote;
  mst_conn_remote(s->conn, &remote);
  assert_int_equal(remote.port, 1); /* the oldest first */
  s->iss_known = false;
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  script_in(s, ". 1 ack 1");
  script_accept(s);
  script_accept(s);
  mst_conn_remote(s->conn, &remote);
  assert_int_equal(remote.port, 3);
  script_close(s);
}

/* A flood of half-open connections is bounded. */
static void half_open_bounded(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.stack.syn_cookies = MST_SYN_COOKIES_NEVER});
  script_listen(s, 16);
  for (uint16_t port = 1; port <= 1000; port++) {
    s->peer_port = port;
    script_in(s, "S 0 win 65535 <mss 1460>");
  }
  assert_in_range(script_stats(s).conns, 16, 64);
  assert_true(script_drops(s, MST_DROP_TCP_BACKLOG) > 0);
  script_close(s);
}

static void listener_close_resets(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  script_in(s, ". 1 ack 1");
  mst_listener_close(s->listener);
  s->listener = NULL;
  script_flush(s);
  script_out(s, "R? 1");
  assert_int_equal(script_stats(s).conns, 0);
  assert_true(s->node->lease_count <= 1); /* an unused port may stay in the pool */
  script_silence(s, 100000);
  script_close(s);
}

static void accepted_outlives_listener(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "", 65535);
  mst_listener_close(s->listener);
  s->listener = NULL;
  script_flush(s);
  script_silence(s, 100);
  assert_int_equal(s->node->lease_count, 1);
  script_in(s, "P. 1:11 ack 1");
  script_read(s, 10);
  mst_abort(s->conn);
  script_flush(s);
  assert_true(s->node->lease_count <= 1); /* an unused port may stay in the pool */
  script_close(s);
}

static void listen_twice(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  mst_binding *binding;
  mst_listener *listener;
  struct mst_endpoint local = {.addr = MST_ADDR_ANY4, .port = 80};
  int rc = mst_bind(s->stack, MST_TCP, &local, 0, &binding);
  if (rc == 0) {
    rc = mst_listen(binding, 0, NULL, NULL, &listener);
    mst_unbind(binding);
  }
  assert_int_equal(rc, -MST_EADDRINUSE);
  script_close(s);
}

/* An idle connection takes at most 2 KB, also when it has been used. */
static void idle_memory(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  size_t before = s->node->memory.bytes;
  for (uint16_t port = 1; port <= 1000; port++) {
    s->peer_port = port;
    s->iss_known = false;
    s->read = s->written = 1;
    script_establish(s, "mss 1460", 65535);
    script_in(s, "P. 1:1001 ack 1");
    script_read(s, 1000);
    script_write(s, 1000);
    script_drain(s);
    script_in(s, ". 1001 ack 1001");
  }
  assert_true((s->node->memory.bytes - before) / 1000 <= 2048);
  script_close(s);
}

struct seen {
  unsigned states[MST_TIME_WAIT + 1];
};

static void see(const struct mst_tcp_info *info, void *user) {
  ((struct seen *)user)->states[info->state]++;
}

static void each_is_listed(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1460", 65535);
  s->peer_port++;
  s->iss_known = false;
  script_in(s, "S 0 win 65535 <mss 1460>");
  struct seen seen = {0};
  mst_stack_each_conn(s->stack, see, &seen);
  assert_int_equal(seen.states[MST_LISTEN], 1);
  assert_int_equal(seen.states[MST_ESTABLISHED], 1);
  assert_int_equal(seen.states[MST_SYN_RECEIVED], 1);
  assert_int_equal(script_stats(s).conns, 2);
  script_close(s);
}

static void conns_max(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.stack.conns_max = 3});
  script_listen(s, 100);
  for (uint16_t port = 1; port <= 5; port++) {
    s->peer_port = port;
    script_in(s, "S 0 win 65535 <mss 1460>");
  }
  assert_int_equal(script_stats(s).conns, 3);
  assert_int_equal(script_drain(s), 3);
  mst_conn *conn;
  struct mst_endpoint remote = {.addr = s->peer->ip4, .port = 8080};
  assert_int_equal(mst_connect(s->stack, NULL, &remote, NULL, NULL, &conn), -MST_ENOMEM);
  script_close(s);
}

/* --- options of the handshake --- */

static void mss_default(void **state) {
  for (int ip6 = 0; ip6 < 2; ip6++) {
    struct script *s = script_open(&(struct script_options){.ip6 = ip6});
    (void)state;
    script_establish(s, "", 65535);
    script_write(s, 5000);
    script_out(s, ip6 ? ". 1:1221 ack 1" : ". 1:537 ack 1"); /* MUST-15 */
    script_close(s);
  }
}

static void mss_follows_mtu(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.route_mtu = 9000});
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 9000>");
  script_out(s, "S. 0 ack 1 <mss 8960>");
  script_in(s, ". 1 ack 1");
  script_accept(s);
  script_write(s, 9000);
  script_out(s, ". 1:8961 ack 1");
  script_close(s);
}

static void mss_of_peer(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  script_write(s, 3000);
  script_out(s, ". 1:1001 ack 1");
  script_out(s, ". 1001:2001 ack 1");
  script_close(s);
}

/* MUST-16: options count. */
static void mss_less_options(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000,TS 1000 0", 65535);
  assert_true(s->timestamps);
  script_write(s, 3000);
  script_out(s, ". 1:989 ack 1");
  script_close(s);
}

static void mss_absurd(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1", 65535);
  script_write(s, 1000);
  assert_true(script_next(s, 0));
  assert_in_range(s->last.data_bytes, 40, 536);
  script_close(s);
}

/* RFC 7323 2.2 and 2.3. */
static void window_scale(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0 win 1000 <mss 1460,wscale 3>");
  script_out(s, "S. 0 ack 1 win 65535 <wscale 7>");
  script_in(s, ". 1 ack 1 win 1000");
  script_accept(s);
  assert_int_equal(script_info(s).snd_wnd, 8000);
  script_in(s, "P. 1:11 ack 1 win 2000");
  assert_int_equal(script_info(s).snd_wnd, 16000);
  assert_true(script_next(s, 100));
  assert_true((uint32_t)s->last.window << 7 >= 65535 - 10 - 128); /* scaled now, and not taken back */
  assert_true(s->last.window < 65535);
  script_close(s);
}

/* The window of a SYN is never scaled. */
static void window_scale_not_on_syn(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0 win 65535 <wscale 7>");
  script_in(s, "S. 0 ack 1 win 1000 <mss 1460,wscale 7>");
  script_out(s, ". 1 ack 1");
  assert_int_equal(script_info(s).snd_wnd, 1000);
  script_close(s);
}

static void window_scale_cap(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1460,wscale 200", 65535);
  script_in(s, ". 1 ack 1 win 1");
  assert_int_equal(script_info(s).snd_wnd, 1u << 14);
  script_close(s);
}

static void window_scale_absent(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  script_in(s, "S. 0 ack 1 win 1000 <mss 1460>");
  script_out(s, ". 1 ack 1 win 65535");
  script_in(s, "P. 1:2 ack 1 win 500");
  assert_int_equal(script_info(s).snd_wnd, 500);
  script_close(s);
}

/* An option of impossible length, an unknown one, and the end of options (MUST-4 to MUST-7). */
static void odd_options(void **state) {
  (void)state;
  static const struct {
    uint8_t bytes[12];
    uint8_t count;
  } cases[] = {
      {{2, 0, 5, 180}, 4},                            /* MSS of length 0 */
      {{2, 40, 5, 180}, 4},                           /* past the header */
      {{1, 1, 1, 1, 0, 2, 4, 5}, 8},                  /* nothing counts after the end */
      {{253, 4, 1, 2, 77, 2, 1, 1, 34, 4, 1, 1}, 12}, /* unknown ones are skipped */
      {{8}, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct script *s = script_open(NULL);
    struct sim_segment segment;
    script_listen(s, 0);
    script_segment(s, "S 0", &segment, NULL, 0);
    segment.options_bytes = cases[i].count;
    memcpy(segment.options, cases[i].bytes, cases[i].count);
    script_inject(s, &segment);
    script_out(s, "S. 0 ack 1 <mss 1460,-wscale,-TS>");
    script_close(s);
  }
}

/* --- initial sequence numbers (RFC 6528) --- */

static uint32_t isn_for(struct script *s, uint16_t port) {
  s->peer_port = port;
  s->iss_known = false;
  script_in(s, "S 0 win 65535 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  script_in(s, "R 1");
  return s->iss;
}

static void isn_by_time(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  uint32_t first = isn_for(s, 1);
  script_wait(s, 1000);
  uint32_t grown = isn_for(s, 1) - first;
  assert_in_range(grown, 240000, 260000); /* 4 us a step (MUST-8) */
  script_close(s);
}

/* The clock of an active open is that of its SYN, though the stack has slept until mst_connect: a second connection of
 * the same name is numbered behind the first. */
static void isn_after_a_rest(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  struct mst_endpoint local = {.addr = MST_ADDR_ANY4, .port = 5000};
  mst_binding *binding;
  assert_int_equal(mst_bind(s->stack, MST_TCP, &local, 0, &binding), 0);
  uint32_t iss[2];
  for (int i = 0; i < 2; i++) {
    struct mst_endpoint remote = {.addr = s->peer->ip4, .port = 80};
    mst_conn *conn;
    script_wait(s, i ? 3600000 : 1000); /* nothing calls the stack meanwhile */
    assert_int_equal(mst_connect(s->stack, binding, &remote, NULL, NULL, &conn), 0);
    script_flush(s);
    assert_true(script_next(s, 0));
    assert_int_equal(s->last.flags, SIM_SYN);
    iss[i] = s->last.seq;
    mst_abort(conn);
  }
  assert_int_equal(iss[1] - iss[0], 3600 * 250000);
  mst_unbind(binding);
  script_close(s);
}

static void isn_by_tuple(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  uint32_t isn[64];
  for (uint16_t i = 0; i < 64; i++) {
    isn[i] = isn_for(s, (uint16_t)(i + 1));
    for (uint16_t j = 0; j < i; j++) assert_int_not_equal(isn[i], isn[j]);
  }
  /* Not a line either: the differences are not all alike. */
  size_t alike = 0;
  for (uint16_t i = 2; i < 64; i++) alike += isn[i] - isn[i - 1] == isn[1] - isn[0];
  assert_true(alike < 3);
  script_close(s);
}

static void isn_by_secret(void **state) {
  (void)state;
  uint32_t isn[2];
  for (unsigned i = 0; i < 2; i++) {
    struct script *s = script_open(&(struct script_options){.seed = 5 + i});
    script_listen(s, 0);
    isn[i] = isn_for(s, 1);
    script_close(s);
  }
  assert_int_not_equal(isn[0], isn[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(passive_open),
      cmocka_unit_test(passive_open_ip6),
      cmocka_unit_test(active_open),
      cmocka_unit_test(simultaneous_open),
      cmocka_unit_test(simultaneous_open_ack),
      cmocka_unit_test(simultaneous_open_reset),
      cmocka_unit_test(simultaneous_open_written),
      cmocka_unit_test(syn_sent_refused),
      cmocka_unit_test(syn_sent_wrong_ack),
      cmocka_unit_test(syn_retransmission),
      cmocka_unit_test(syn_lost_then_answered),
      cmocka_unit_test(write_and_shutdown_while_connecting),
      cmocka_unit_test(close_while_connecting),
      cmocka_unit_test(connect_errors),
      cmocka_unit_test(closed_port),
      cmocka_unit_test(listen_wrong_segments),
      cmocka_unit_test(syn_with_data),
      cmocka_unit_test(syn_received_wrong_segments),
      cmocka_unit_test(syn_received_reset),
      cmocka_unit_test(syn_received_fin),
      cmocka_unit_test(syn_ack_retransmission),
      cmocka_unit_test(backlog),
      cmocka_unit_test(half_open_bounded),
      cmocka_unit_test(listener_close_resets),
      cmocka_unit_test(accepted_outlives_listener),
      cmocka_unit_test(listen_twice),
      cmocka_unit_test(idle_memory),
      cmocka_unit_test(each_is_listed),
      cmocka_unit_test(conns_max),
      cmocka_unit_test(mss_default),
      cmocka_unit_test(mss_follows_mtu),
      cmocka_unit_test(mss_of_peer),
      cmocka_unit_test(mss_less_options),
      cmocka_unit_test(mss_absurd),
      cmocka_unit_test(window_scale),
      cmocka_unit_test(window_scale_not_on_syn),
      cmocka_unit_test(window_scale_cap),
      cmocka_unit_test(window_scale_absent),
      cmocka_unit_test(odd_options),
      cmocka_unit_test(isn_by_time),
      cmocka_unit_test(isn_after_a_rest),
      cmocka_unit_test(isn_by_tuple),
      cmocka_unit_test(isn_by_secret),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
