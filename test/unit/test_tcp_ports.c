/* Four-tuples that are hard to guess and not used again too early: RFC 6056, RFC 6191, RFC 1337. */
#include "sim/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint16_t port_of_connection(struct script *s, uint16_t remote_port) {
  mst_conn *conn;
  struct mst_endpoint remote = {.addr = s->peer->ip4, .port = remote_port}, local;
  assert_int_equal(mst_connect(s->stack, NULL, &remote, NULL, NULL, &conn), 0);
  mst_conn_local(conn, &local);
  mst_close(conn);
  return local.port;
}

/* RFC 6056 2 and 3.3.1: the first ports have nothing to do with each other, nor with another stack's. */
static void ports_are_unpredictable(void **state) {
  (void)state;
  uint16_t ports[2][100];
  for (unsigned i = 0; i < 2; i++) {
    struct script *s = script_open(&(struct script_options){.seed = 11 + i});
    unsigned alike = 0, near = 0;
    for (unsigned n = 0; n < 100; n++) {
      ports[i][n] = port_of_connection(s, 80);
      for (unsigned m = 0; m < n; m++) alike += ports[i][m] == ports[i][n];
      if (n) near += abs(ports[i][n] - ports[i][n - 1]) < 8;
    }
    assert_true(alike < 10);
    assert_true(near < 5);
    script_close(s);
  }
  assert_memory_not_equal(ports[0], ports[1], sizeof ports[0]);
}

/* Who sees the port of one connection does not know that of the next to somebody else. */
static void ports_are_not_shared_in_turn(void **state) {
  (void)state;
  enum { PAIRS = 4000 };
  struct script *s = script_open(&(struct script_options){.seed = 3});
  unsigned same = 0, follows = 0;
  static uint16_t after[65536]; /* what came after this port the last time */
  uint16_t last = port_of_connection(s, 80);
  for (unsigned i = 0; i < PAIRS; i++) {
    uint16_t port = port_of_connection(s, (uint16_t)(81 + i % 7));
    same += port == last;
    follows += after[last] == port;
    after[last] = port;
    last = port;
  }
  assert_true(same < PAIRS / 50);
  assert_true(follows < PAIRS / 20);
  assert_true(s->node->lease_count <= 140);
  script_close(s);
}

/* What the pool's ports are does not stay so: after a while others have taken their place. */
static void pool_is_renewed(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.seed = 3});
  static bool seen[65536];
  unsigned fresh = 0;
  for (unsigned i = 0; i < 2000; i++) seen[port_of_connection(s, 80)] = true;
  for (unsigned i = 0; i < 8000; i++) {
    uint16_t port = port_of_connection(s, 80);
    fresh += !seen[port];
  }
  assert_true(fresh > 7000 / 2);
  script_close(s);
}

/* A port rests while others are there: not the same again within the next connections. */
static void ports_rest(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.seed = 9});
  static unsigned used[65536];
  for (unsigned i = 1; i <= 5000; i++) {
    uint16_t port = port_of_connection(s, 80);
    if (i > 300 && used[port]) assert_true(i - used[port] >= 32);
    used[port] = i;
  }
  script_close(s);
}

/* Spread over the whole range. */
static void ports_are_spread(void **state) {
  (void)state;
  unsigned buckets[8] = {0}, total = 0;
  for (unsigned seed = 1; seed <= 20; seed++) {
    struct script *s = script_open(&(struct script_options){.seed = seed});
    for (unsigned i = 0; i < 100; i++, total++) buckets[port_of_connection(s, 80) >> 13]++;
    script_close(s);
  }
  for (unsigned i = 4; i < 7; i++) assert_in_range(buckets[i], 500, 660); /* the simulator's are 32768 to 60999 */
  assert_in_range(buckets[7], 200, 320);
  assert_int_equal(total, 2000);
}

/* --- TIME-WAIT and the connections that we open --- */

static struct script *bound_in_time_wait(const char *options, uint32_t *snd_nxt) {
  struct script *s = script_open(NULL);
  mst_binding *binding;
  struct mst_endpoint local = {.addr = MST_ADDR_ANY4, .port = 5000}, remote = {.addr = s->peer->ip4, .port = 8080};
  assert_int_equal(mst_bind(s->stack, MST_TCP, &local, 0, &binding), 0);
  assert_int_equal(mst_connect(s->stack, binding, &remote, NULL, NULL, &s->conn), 0);
  mst_unbind(binding);
  s->local_port = 5000;
  script_flush(s);
  script_out(s, "S 0");
  char line[96];
  snprintf(line, sizeof line, "S. 0 ack 1 win 1000 <%s>", options);
  s->timestamps = strstr(options, "TS") != NULL;
  script_in(s, line);
  script_out(s, ". 1 ack 1");
  mst_close(s->conn);
  s->conn = NULL;
  script_flush(s);
  script_out(s, "F. 1 ack 1");
  script_in(s, "F. 1 ack 2");
  script_out(s, ". 2 ack 2");
  assert_int_equal(script_stats(s).time_wait, 1);
  *snd_nxt = s->iss + 2;
  return s;
}

static int connect_again(struct script *s) {
  script_flush(s); /* tells the stack the time */
  mst_binding *binding;
  struct mst_endpoint local = {.addr = MST_ADDR_ANY4, .port = 5000}, remote = {.addr = s->peer->ip4, .port = 8080};
  assert_int_equal(mst_bind(s->stack, MST_TCP, &local, 0, &binding), 0);
  int rc = mst_connect(s->stack, binding, &remote, NULL, NULL, &s->conn);
  mst_unbind(binding);
  script_flush(s);
  return rc;
}

/* RFC 6191: timestamps tell old segments from new ones, so a second is enough. Numbers and timestamps go on growing. */
static void time_wait_is_reused_with_timestamps(void **state) {
  (void)state;
  uint32_t snd_nxt;
  struct script *s = bound_in_time_wait("mss 1000,TS 1000 0", &snd_nxt);
  uint32_t old_stamp = s->ts_recent;
  assert_int_equal(connect_again(s), -MST_EADDRINUSE);
  script_wait(s, 1000);
  assert_int_equal(connect_again(s), 0);
  assert_int_equal(script_stats(s).time_wait, 0);
  s->iss_known = false;
  assert_true(script_next(s, 0));
  assert_int_equal(s->last.flags, SIM_SYN);
  assert_true((int32_t)(s->iss - snd_nxt) > 0);
  assert_true((int32_t)(s->ts_recent - old_stamp) >= 1000);
  s->peer_isn += 100000;
  script_in(s, "S. 0 ack 1 win 1000 <mss 1000>");
  script_out(s, ". 1 ack 1");
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  mst_abort(s->conn);
  s->conn = NULL;
  script_close(s);
}

/* Without them nothing tells, and the tuple rests its 2 MSL. */
static void time_wait_is_not_reused_without(void **state) {
  (void)state;
  uint32_t snd_nxt;
  struct script *s = bound_in_time_wait("mss 1000", &snd_nxt);
  script_wait(s, 59000);
  assert_int_equal(connect_again(s), -MST_EADDRINUSE);
  script_wait(s, 2000);
  assert_int_equal(connect_again(s), 0);
  mst_close(s->conn);
  s->conn = NULL;
  script_close(s);
}

/* RFC 1337 4, hazards H1 to H3, fix F1: an old segment draws our ACK and that a reset; TIME-WAIT outlives it. */
static void time_wait_assassination(void **state) {
  (void)state;
  uint32_t snd_nxt;
  struct script *s = bound_in_time_wait("mss 1000", &snd_nxt);
  script_in(s, "P. -900:1 ack 1");
  script_out(s, ". 2 ack 2");
  script_in(s, "R 2");
  script_in(s, "R. 2 ack 2");
  script_in(s, "R 1");
  script_silence(s, 0);
  assert_int_equal(script_stats(s).time_wait, 1);
  script_wait(s, 61000);
  assert_int_equal(script_stats(s).time_wait, 0);
  script_close(s);
}

/* A new SYN for which the listener has no room leaves the old connection's record where it is. */
static void time_wait_outlives_a_full_backlog(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 1);
  script_in(s, "S 0 win 1000");
  script_out(s, "S. 0 ack 1");
  script_in(s, ". 1 ack 1 win 1000");
  script_accept(s);
  mst_close(s->conn);
  s->conn = NULL;
  script_flush(s);
  script_out(s, "F. 1 ack 1");
  script_in(s, "F. 1 ack 2");
  script_out(s, ". 2 ack 2");
  uint32_t iss = s->iss;
  s->peer_port++;
  s->iss_known = false;
  script_in(s, "S 0 win 1000"); /* takes the only place */
  script_out(s, "S. 0 ack 1");
  s->peer_port--;
  script_in(s, "S 100000 win 1000");
  script_silence(s, 0);
  assert_int_equal(script_stats(s).time_wait, 1);
  s->iss = iss;
  script_in(s, "F. 1 ack 2"); /* and it still answers for the old one */
  script_out(s, ". 2 ack 2");
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ports_are_unpredictable),
      cmocka_unit_test(ports_are_not_shared_in_turn),
      cmocka_unit_test(pool_is_renewed),
      cmocka_unit_test(ports_rest),
      cmocka_unit_test(ports_are_spread),
      cmocka_unit_test(time_wait_is_reused_with_timestamps),
      cmocka_unit_test(time_wait_is_not_reused_without),
      cmocka_unit_test(time_wait_assassination),
      cmocka_unit_test(time_wait_outlives_a_full_backlog),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
