/* The memory of a stack is bounded: what gives way, and in which order (mst_stack_options.memory_max_bytes). */
#include "sim/script.h"

#include <stdlib.h>
#include <string.h>

enum { LIMIT = 1 << 20 };

static struct script *established(void) {
  struct script *s = script_open(&(struct script_options){.stack.memory_max_bytes = LIMIT});
  script_establish(s, "mss 1000,sackOK,wscale 7", 65535);
  mst_conn_set_option(s->conn, MST_TCP_RECEIVE_BUFFER, LIMIT);
  return s;
}

static uint64_t memory(struct script *s) {
  return script_stats(s).memory_bytes;
}

static uint64_t pressures(struct script *s) {
  return script_stats(s).tcp_memory_pressures;
}

/* Send in order until memory is short. Returns the next sequence number. */
static uint32_t fill(struct script *s) {
  uint32_t seq = 1;
  for (; !pressures(s); seq += 1000) {
    assert_true(seq < LIMIT);
    script_in_with(s, "P. %u:%u ack 1", seq, seq + 1000);
    script_drain(s);
  }
  return seq;
}

static uint32_t right_edge(struct script *s) {
  struct mst_tcp_info info = script_info(s);
  return 1 + (uint32_t)info.bytes_received + info.rcv_wnd;
}

/* The right edge stops where it was: what was offered may still come. Reading opens the window again. */
static void window_closes(void **state) {
  (void)state;
  struct script *s = established();
  uint32_t seq = fill(s), edge = right_edge(s), before = seq;
  for (; seq < before + 50000; seq += 1000) {
    script_in_with(s, "P. %u:%u ack 1", seq, seq + 1000);
    script_drain(s);
    assert_int_equal(right_edge(s), edge);
  }
  assert_true(script_info(s).rcv_wnd > 0);
  script_read(s, seq - 1);
  assert_true(right_edge(s) > edge);
  script_close(s);
}

/* A reader who keeps up goes on, with a few segments at a time, though another connection holds all there is. */
static void others_go_on(void **state) {
  (void)state;
  struct script *s = established();
  fill(s);
  mst_conn *hog = s->conn;
  s->conn = NULL;
  script_in(s, ". 1 ack 1"); /* nothing of the hog's changes */
  script_drain(s);
  assert_int_equal(pressures(s), 1);
  s->peer_port = 9090;
  script_in(s, "S 0 win 65535 <mss 1000>");
  script_silence(s, 3000);
  assert_true(script_drops(s, MST_DROP_NO_MEMORY) > 0);
  char data[4096];
  while (mst_read(hog, data, sizeof data) > 0) continue; /* now there is room */
  s->iss_known = false;
  script_in(s, "S 0 win 65535 <mss 1000>");
  script_out(s, "S. 0 ack 1");
  script_close(s);
}

static void writer_is_turned_away(void **state) {
  (void)state;
  static char data[65536];
  struct script *s = established();
  uint32_t seq = fill(s);
  assert_int_equal(mst_writable_bytes(s->conn), 16384);
  assert_int_equal(mst_write(s->conn, data, sizeof data), 16384);
  assert_int_equal(mst_write(s->conn, data, sizeof data), -MST_EAGAIN);
  script_flush(s);
  script_drain(s);
  script_events(s);
  script_read(s, seq - 1);
  script_wait(s, 1);
  assert_int_equal(script_events(s) & MST_EV_WRITABLE, MST_EV_WRITABLE);
  assert_true(mst_writable_bytes(s->conn) > 65536);
  script_close(s);
}

/* --- writers beside a connection that holds all there is --- */

enum { SMALL = 160000, WRITERS = 20 };

struct writer {
  mst_conn *conn;
  uint32_t iss, acked;
  uint16_t port;
  unsigned told;
};

struct writers {
  struct script *s;
  mst_conn *hog;
  struct writer all[WRITERS];
  uint32_t hog_iss, hog_seq;
};

/* What the script sends next is of this connection. */
static void speak_for(struct script *s, uint16_t port, uint32_t iss) {
  s->peer_port = port;
  s->iss = iss;
}

static mst_conn *open_one(struct script *s, uint16_t port) {
  s->peer_port = port;
  s->iss_known = false;
  script_in(s, "S 0 win 65535 <mss 1000,sackOK,wscale 7>");
  script_out(s, "S. 0 ack 1");
  script_in(s, ". 1 ack 1 win 65535");
  script_accept(s);
  return s->conn;
}

/* Until some of it finds no memory. */
static void fill_hog(struct writers *w) {
  speak_for(w->s, 9000, w->hog_iss);
  for (uint64_t drops = script_drops(w->s, MST_DROP_NO_MEMORY); drops == script_drops(w->s, MST_DROP_NO_MEMORY);) {
    script_in_with(w->s, "P. %u:%u ack 1", w->hog_seq, w->hog_seq + 1000);
    if (drops == script_drops(w->s, MST_DROP_NO_MEMORY)) w->hog_seq += 1000;
  }
  script_drain(w->s);
}

static struct writers writers_beside_a_hog(void) {
  struct writers w = {.hog_seq = 1};
  w.s = script_open(&(struct script_options){.stack.memory_max_bytes = SMALL});
  script_listen(w.s, WRITERS + 1);
  for (uint16_t i = 0; i < WRITERS; i++) {
    struct writer *one = &w.all[i];
    one->port = 9001 + i;
    one->conn = open_one(w.s, one->port);
    one->iss = w.s->iss;
  }
  w.hog = open_one(w.s, 9000);
  w.hog_iss = w.s->iss;
  mst_conn_set_option(w.hog, MST_TCP_RECEIVE_BUFFER, SMALL);
  fill_hog(&w);
  return w;
}

static void note_events(mst_conn *conn, unsigned events, void *user) {
  (void)conn;
  *(unsigned *)user |= events;
}

/* Each writes once, until one is turned away: its number. */
static int write_all(struct writers *w) {
  static char data[500];
  for (int i = 0; i < WRITERS; i++) {
    struct writer *one = &w->all[i];
    mst_conn_set_event(one->conn, note_events, &one->told);
    ptrdiff_t n = mst_write(one->conn, data, sizeof data);
    script_flush(w->s);
    script_drain(w->s);
    one->told = 0;
    if (n == -MST_EAGAIN) return i;
    assert_int_equal(n, sizeof data);
  }
  fail_msg("nobody was turned away");
  return 0;
}

/* What a slow reader gives back, its peer takes at once, and that for ever: who has nothing under way goes on beside.
 */
static void a_full_reader_starves_nobody(void **state) {
  (void)state;
  static char data[65536];
  struct writers w = writers_beside_a_hog();
  struct writer *one = &w.all[0];
  mst_conn_set_event(one->conn, note_events, &one->told);
  for (int round = 0; round < 50; round++) {
    ptrdiff_t n = mst_write(one->conn, data, sizeof data);
    assert_in_range(n, 900, 1024);
    one->acked += (uint32_t)n;
    one->told = 0;
    script_flush(w.s);
    script_drain(w.s);
    char byte[500];
    assert_int_equal(mst_read(w.hog, byte, sizeof byte), sizeof byte);
    fill_hog(&w);
    speak_for(w.s, one->port, one->iss);
    script_in_with(w.s, ". 1 ack %u win %u", one->acked + 1, 65535);
    assert_int_equal(one->told & MST_EV_WRITABLE, MST_EV_WRITABLE);
    assert_int_equal(mst_writable_bytes(one->conn), 16384); /* still short */
  }
  script_close(w.s);
}

/* The little that is kept for writers with nothing under way is used up too: who was turned away is told as soon as
 * some of it is back, and the next one when that one does not want it. */
static void who_was_turned_away_is_told(void **state) {
  (void)state;
  struct writers w = writers_beside_a_hog();
  int away = write_all(&w);
  struct writer *next = &w.all[away + 1];
  mst_conn_set_event(next->conn, note_events, &next->told);
  assert_in_range(away, 3, WRITERS - 2);
  assert_int_equal(mst_write(next->conn, "x", 1), -MST_EAGAIN);
  script_wait(w.s, 10);
  assert_int_equal((w.all[away].told | next->told) & MST_EV_WRITABLE, 0);
  speak_for(w.s, w.all[0].port, w.all[0].iss);
  script_in_with(w.s, ". 1 ack %u win %u", 501, 65535);
  assert_int_equal(w.all[away].told & MST_EV_WRITABLE, MST_EV_WRITABLE);
  script_flush(w.s);
  script_wait(w.s, 1);
  assert_int_equal(next->told & MST_EV_WRITABLE, MST_EV_WRITABLE);
  script_close(w.s);
}

/* RFC 6429 4: one whose peer has taken nothing for minutes gives way, and no more than needed. */
static void who_does_not_progress_gives_way(void **state) {
  (void)state;
  struct writers w = writers_beside_a_hog();
  int away = write_all(&w), given_up = 0;
  script_wait(w.s, 60000);
  assert_int_equal(w.all[away].told & MST_EV_WRITABLE, 0);
  script_wait(w.s, 400000);
  assert_int_equal(w.all[away].told & MST_EV_WRITABLE, MST_EV_WRITABLE);
  for (int i = 0; i < away; i++) {
    if (!(w.all[i].told & MST_EV_ERROR)) continue;
    assert_int_equal(mst_conn_error(w.all[i].conn), -MST_ENOBUFS);
    given_up++;
  }
  assert_int_equal(given_up, 1);
  assert_int_equal(script_stats(w.s).tcp_abort_on_memory, 1);
  script_close(w.s);
}

/* A connection that is opened meanwhile has no measure of segments yet. */
static void opens_with_a_window(void **state) {
  (void)state;
  struct script *s = established();
  fill(s);
  mst_conn *other;
  struct mst_endpoint remote = {.addr = s->peer->ip4, .port = 9090};
  assert_int_equal(mst_connect(s->stack, NULL, &remote, NULL, NULL, &other), 0);
  script_flush(s);
  assert_true(script_next(s, 0));
  assert_int_equal(s->last.flags, SIM_SYN);
  assert_int_equal(s->last.window, 4 * 536);
  script_close(s);
}

/* Beyond the limit what came out of order goes first; what was acknowledged stays, and what cannot be kept is not
 * acknowledged. */
static void acknowledged_stays(void **state) {
  (void)state;
  struct script *s = established();
  uint32_t ahead = 820001, seq = 1, acked = 1;
  for (uint32_t i = 0; i < 100; i++) {
    script_in_with(s, "P. %u:%u ack 1", ahead + 2000 * i, ahead + 2000 * i + 1000);
  }
  script_drain(s);
  for (int refused = 0; refused < 5;) {
    script_in_with(s, "P. %u:%u ack 1", seq, seq + 1000);
    uint32_t had = acked;
    while (script_next(s, 0)) acked = s->last.ack - s->peer_isn;
    assert_true(memory(s) < LIMIT + 65536); /* the tables are counted there too */
    if (acked > had) seq = acked;
    refused += acked == had;
  }
  assert_true(script_stats(s).tcp_ofo_pruned > 0);
  assert_true(script_drops(s, MST_DROP_NO_MEMORY) > 0);
  script_read(s, acked - 1);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_close(s);
}

/* --- two stacks with many connections and far too little memory --- */

enum { CONNS = 40, BYTES = 300000 };

struct end {
  struct crowd *crowd;
  mst_conn *conn;
  uint32_t written, read;
};

struct crowd {
  struct sim *sim;
  struct sim_node *client, *server;
  struct end clients[CONNS], servers[CONNS];
  uint32_t accepted;
  struct sim_random random;
};

static uint8_t byte_at(uint32_t position) {
  return (uint8_t)(position * 7 + (position >> 8) * 3);
}

static void write_some(struct end *e) {
  uint8_t data[3000];
  while (e->written < BYTES) {
    uint32_t n = BYTES - e->written < sizeof data ? BYTES - e->written : sizeof data;
    for (uint32_t i = 0; i < n; i++) data[i] = byte_at(e->written + i);
    ptrdiff_t taken = mst_write(e->conn, data, n);
    if (taken <= 0) {
      assert_int_equal(taken, -MST_EAGAIN);
      return;
    }
    e->written += (uint32_t)taken;
  }
}

static void on_end(mst_conn *conn, unsigned events, void *user) {
  struct end *e = user;
  (void)conn;
  assert_int_equal(events & MST_EV_ERROR, 0);
  if (e->written < BYTES) write_some(e);
}

static void on_accept(mst_listener *listener, void *user) {
  struct crowd *crowd = user;
  mst_conn *conn;
  while ((conn = mst_accept(listener))) {
    struct end *e = &crowd->servers[crowd->accepted++];
    *e = (struct end){.crowd = crowd, .conn = conn};
    mst_conn_set_event(conn, on_end, e);
    write_some(e);
  }
}

static void read_some(struct end *e) {
  uint8_t data[20000];
  ptrdiff_t n = mst_read(e->conn, data, sizeof data);
  for (ptrdiff_t i = 0; i < n; i++) assert_int_equal(data[i], byte_at(e->read + (uint32_t)i));
  if (n > 0) e->read += (uint32_t)n;
}

/* Every millisecond some of them read something. */
static void lazy_reader(struct sim_node *node, void *user) {
  struct crowd *crowd = user;
  if (node->wake_at_ns > crowd->sim->now_ns) return;
  node->wake_at_ns = crowd->sim->now_ns + SIM_MS;
  for (int i = 0; i < 4; i++) {
    struct end *e = &(node == crowd->client ? crowd->clients : crowd->servers)[sim_random_below(&crowd->random, CONNS)];
    if (e->conn) read_some(e);
  }
}

static bool all_read(void *user) {
  struct crowd *crowd = user;
  for (int i = 0; i < CONNS; i++)
    if (crowd->clients[i].read < BYTES || crowd->servers[i].read < BYTES) return false;
  return true;
}

static void crowd_of_lazy_readers(void **state) {
  (void)state;
  struct mst_stack_options options = {.memory_max_bytes = LIMIT};
  static struct crowd crowd;
  crowd = (struct crowd){.sim = sim_new(5), .random = {5}};
  crowd.client = sim_add_stack(crowd.sim, &options);
  crowd.server = sim_add_stack(crowd.sim, &options);
  struct sim_link link = {.delay_ns = 5 * SIM_MS, .jitter_ns = SIM_MS, .rate_bps = 1000000000, .loss = 3000};
  crowd.client->out = crowd.server->out = link;
  crowd.client->app = crowd.server->app = lazy_reader;
  crowd.client->user = crowd.server->user = &crowd;
  mst_binding *binding;
  mst_listener *listener;
  struct mst_endpoint at = {.addr = crowd.server->ip4, .port = 80};
  assert_int_equal(mst_bind(crowd.server->stack, MST_TCP, &at, 0, &binding), 0);
  assert_int_equal(mst_listen(binding, CONNS, on_accept, &crowd, &listener), 0);
  mst_unbind(binding);
  for (int i = 0; i < CONNS; i++) {
    struct end *e = &crowd.clients[i];
    *e = (struct end){.crowd = &crowd};
    assert_int_equal(mst_connect(crowd.client->stack, NULL, &at, on_end, e, &e->conn), 0);
  }
  uint64_t start_ns = crowd.sim->now_ns;
  crowd.client->wake_at_ns = crowd.server->wake_at_ns = 1;
  sim_turn(crowd.client);
  sim_turn(crowd.server);
  assert_true(sim_run_until(crowd.sim, all_read, &crowd, 900 * SIM_S));
  struct mst_stack_stats stats;
  mst_stack_get_stats(crowd.server->stack, &stats);
  assert_true(stats.tcp_memory_pressures > 0);
  assert_true(crowd.server->memory.bytes_max < LIMIT + 65536); /* and the tables */
  assert_true(crowd.client->memory.bytes_max < LIMIT + 65536);
  print_message("%u connections, %.1f s, %llu times short, %llu runs pruned\n", CONNS,
                (double)(crowd.sim->now_ns - start_ns) / 1e9, (unsigned long long)stats.tcp_memory_pressures,
                (unsigned long long)stats.tcp_ofo_pruned);
  assert_int_equal(sim_free(crowd.sim), 0);
}

/* A limit that one large piece would break does not turn a writer away for good. */
static void a_small_limit_serves(void **state) {
  (void)state;
  static char data[65536];
  struct script *s = script_open(&(struct script_options){.stack.memory_max_bytes = 48000});
  script_establish(s, "mss 1000,sackOK,wscale 7", 65535);
  for (uint32_t sent = 0; sent < 1000000;) {
    ptrdiff_t n = mst_write(s->conn, data, sizeof data);
    assert_true(n > 0);
    sent += (uint32_t)n;
    for (uint32_t acked = s->last.ack; acked != sent + 1;) {
      script_flush(s);
      while (script_next(s, 0)) acked = s->last.seq - s->iss + s->last.data_bytes;
      script_in_with(s, ". 1 ack %u win %u", acked, 65535);
    }
    script_events(s);
  }
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(window_closes),
      cmocka_unit_test(others_go_on),
      cmocka_unit_test(writer_is_turned_away),
      cmocka_unit_test(opens_with_a_window),
      cmocka_unit_test(acknowledged_stays),
      cmocka_unit_test(crowd_of_lazy_readers),
      cmocka_unit_test(a_small_limit_serves),
      cmocka_unit_test(a_full_reader_starves_nobody),
      cmocka_unit_test(who_was_turned_away_is_told),
      cmocka_unit_test(who_does_not_progress_gives_way),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
