/* Buffers that find their size: the receive window (dynamic right-sizing), what may be written ahead,
 * MST_TCP_NOTSENT_LOWAT. */
#include "sim/middlebox.h"
#include "sim/script.h"

#include <stdio.h>
#include <stdlib.h>

/* --- two stacks, one of which sends as fast as it may --- */

struct bulk {
  struct sim *sim;
  struct sim_node *from, *to;
  mst_conn *writer, *reader;
  uint64_t wanted, written, received;
  uint64_t least_queued; /* of the writer, once it has begun, while there was more to write */
  uint32_t read_bytes;   /* read so many each read_every_ns; 0: all, at once */
  uint64_t read_every_ns;
  int64_t receive_buffer, send_buffer;
};

static void write_more(struct bulk *b) {
  static uint8_t zeros[65536];
  while (b->written < b->wanted) {
    uint64_t left = b->wanted - b->written;
    ptrdiff_t n = mst_write(b->writer, zeros, left < sizeof zeros ? (size_t)left : sizeof zeros);
    if (n <= 0) return;
    b->written += (uint64_t)n;
  }
}

static void on_writer(mst_conn *conn, unsigned events, void *user) {
  struct bulk *b = user;
  (void)conn;
  assert_int_equal(events & MST_EV_ERROR, 0);
  size_t queued = mst_unacked_bytes(b->writer);
  if (b->received > b->wanted / 2 && queued < b->least_queued) b->least_queued = queued;
  write_more(b);
}

static void read_some(struct bulk *b, size_t most) {
  static uint8_t data[65536];
  while (most) {
    ptrdiff_t n = mst_read(b->reader, data, most < sizeof data ? most : sizeof data);
    if (n <= 0) return;
    b->received += (uint64_t)n;
    most -= (size_t)n;
  }
}

static void on_reader(mst_conn *conn, unsigned events, void *user) {
  struct bulk *b = user;
  (void)conn, (void)events;
  if (!b->read_bytes) read_some(b, SIZE_MAX);
}

static void slow_reader(struct sim_node *node, void *user) {
  struct bulk *b = user;
  if (!b->read_bytes || node->wake_at_ns > b->sim->now_ns) return;
  if (b->reader) read_some(b, b->read_bytes);
  node->wake_at_ns = b->sim->now_ns + b->read_every_ns;
}

static void on_accept(mst_listener *listener, void *user) {
  struct bulk *b = user;
  b->reader = mst_accept(listener);
  mst_conn_set_event(b->reader, on_reader, b);
  if (b->receive_buffer) assert_int_equal(mst_conn_set_option(b->reader, MST_TCP_RECEIVE_BUFFER, b->receive_buffer), 0);
}

static void bulk_open(struct bulk *b, const struct sim_link *link, const struct mst_stack_options *options) {
  b->sim = sim_new(1);
  b->from = sim_add_stack(b->sim, options);
  b->to = sim_add_stack(b->sim, options);
  b->from->out = b->to->out = *link;
  b->to->app = slow_reader;
  b->to->user = b;
  b->least_queued = UINT64_MAX;
}

static void bulk_start(struct bulk *b) {
  mst_binding *binding;
  mst_listener *listener;
  struct mst_endpoint at = {.addr = b->to->ip4, .port = 80};
  assert_int_equal(mst_bind(b->to->stack, MST_TCP, &at, 0, &binding), 0);
  assert_int_equal(mst_listen(binding, 0, on_accept, b, &listener), 0);
  mst_unbind(binding);
  assert_int_equal(mst_connect(b->from->stack, NULL, &at, on_writer, b, &b->writer), 0);
  if (b->send_buffer) assert_int_equal(mst_conn_set_option(b->writer, MST_TCP_SEND_BUFFER, b->send_buffer), 0);
  write_more(b);
  b->to->wake_at_ns = b->sim->now_ns + 1;
  sim_turn(b->to);
  sim_turn(b->from);
}

static bool all_received(void *user) {
  struct bulk *b = user;
  return b->received == b->wanted;
}

/* Returns the virtual seconds that it took. */
static double bulk_run(struct bulk *b) {
  uint64_t start_ns = b->sim->now_ns;
  bulk_start(b);
  assert_true(sim_run_until(b->sim, all_received, b, 600 * SIM_S));
  return (double)(b->sim->now_ns - start_ns) / 1e9;
}

static uint32_t receive_buffer(struct bulk *b) {
  return (uint32_t)mst_conn_get_option(b->reader, MST_TCP_RECEIVE_BUFFER);
}

static void bulk_close(struct bulk *b) {
  assert_int_equal(sim_free(b->sim), 0);
}

/* 160 Mb/s with 100 ms: 2 MB are under way. */
static const struct sim_link far_away = {.delay_ns = 50 * SIM_MS, .rate_bps = 160000000, .queue_bytes = 4 << 20};

/* --- the receive window --- */

static void starts_small(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000,wscale 7", 65535);
  assert_int_equal(mst_conn_get_option(s->conn, MST_TCP_RECEIVE_BUFFER), 128 << 10);
  assert_int_equal(script_info(s).rcv_wnd, 65535);
  script_in(s, "P. 1:1001 ack 1");
  script_out(s, ". 1 ack 1001 win 1016"); /* (128 KiB - 1000) / 128: the scale is for 6 MiB */
  script_close(s);
}

/* The window is never what holds the sender back: the time is what the rate and slow start take. */
static void grows_to_the_path(void **state) {
  (void)state;
  struct bulk b = {.wanted = 40 << 20};
  bulk_open(&b, &far_away, NULL);
  double seconds = bulk_run(&b);
  print_message("40 MiB at 160 Mb/s and 100 ms: %.2f s, receive buffer %u\n", seconds, receive_buffer(&b));
  assert_true(seconds < 2.1 + 1.3);
  assert_in_range(receive_buffer(&b), 4 << 20, 6 << 20);
  struct mst_tcp_info info;
  mst_conn_get_info(b.writer, &info);
  assert_true((double)info.rwnd_limited_us < 0.02e6 * seconds);
  bulk_close(&b);
}

static void grows_without_timestamps(void **state) {
  (void)state;
  struct bulk b = {.wanted = 40 << 20};
  bulk_open(&b, &far_away, NULL);
  struct sim_strip_options strip = {.kinds = SIM_STRIP_TIMESTAMPS, .syns = true, .rest = true, .pad = true};
  sim_box_add(b.from, sim_box_strip(b.sim, &strip));
  double seconds = bulk_run(&b);
  print_message("without timestamps: %.2f s, receive buffer %u\n", seconds, receive_buffer(&b));
  assert_true(seconds < 2.1 + 1.3);
  bulk_close(&b);
}

static void stays_within_the_limit(void **state) {
  (void)state;
  struct bulk b = {.wanted = 10 << 20};
  bulk_open(&b, &far_away, &(struct mst_stack_options){.receive_buffer_bytes = 400000});
  double seconds = bulk_run(&b);
  assert_int_equal(receive_buffer(&b), 400000);
  assert_in_range(seconds * 100, 10 * (10 << 20) / 400000, 13 * (10 << 20) / 400000);
  bulk_close(&b);
}

/* Who reads little needs little, however much has come. */
static void follows_the_reader(void **state) {
  (void)state;
  struct bulk b = {.wanted = 1 << 20, .read_bytes = 5000, .read_every_ns = 20 * SIM_MS};
  bulk_open(&b, &far_away, NULL);
  bulk_run(&b);
  assert_true(receive_buffer(&b) < 256 << 10);
  bulk_close(&b);
}

static void fixed_by_the_application(void **state) {
  (void)state;
  struct bulk b = {.wanted = 4 << 20, .receive_buffer = 200000};
  bulk_open(&b, &far_away, NULL);
  bulk_run(&b);
  assert_int_equal(receive_buffer(&b), 200000);
  bulk_close(&b);
}

/* On a short path a few reads of a round trip are enough: no megabytes. */
static void small_on_a_short_path(void **state) {
  (void)state;
  static const struct sim_link near = {.delay_ns = 100 * SIM_US, .rate_bps = 100000000, .queue_bytes = 100000};
  struct bulk b = {.wanted = 20 << 20};
  bulk_open(&b, &near, NULL);
  bulk_run(&b);
  assert_true(receive_buffer(&b) < 1 << 20);
  bulk_close(&b);
}

/* --- what may be written ahead --- */

/* There is always another window's worth: the sender never has to wait for its application. */
static void writes_far_ahead(void **state) {
  (void)state;
  struct bulk b = {.wanted = 40 << 20};
  bulk_open(&b, &far_away, NULL);
  bulk_run(&b);
  assert_true(b.least_queued > 2000000);
  bulk_close(&b);
}

static void send_buffer_is_a_bound(void **state) {
  (void)state;
  struct bulk b = {.wanted = 4 << 20, .send_buffer = 100000};
  bulk_open(&b, &far_away, NULL);
  double seconds = bulk_run(&b);
  assert_true(seconds * 100000 / 0.1 > 4 << 20); /* no more than one buffer in a round trip */
  bulk_close(&b);
}

static struct script *established(void) {
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  return s;
}

static void notsent_lowat(void **state) {
  (void)state;
  static uint8_t zeros[100000];
  struct script *s = established();
  assert_int_equal(mst_conn_get_option(s->conn, MST_TCP_NOTSENT_LOWAT), 0);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_NOTSENT_LOWAT, 8000), 0);
  assert_int_equal(mst_conn_get_option(s->conn, MST_TCP_NOTSENT_LOWAT), 8000);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_NOTSENT_LOWAT, -1), -MST_EINVAL);
  assert_int_equal(mst_writable_bytes(s->conn), 8000);
  assert_int_equal(mst_write(s->conn, zeros, sizeof zeros), 8000);
  assert_int_equal(mst_write(s->conn, zeros, sizeof zeros), -MST_EAGAIN);
  script_flush(s); /* all of it goes, and so there is room at once */
  script_wait(s, 1);
  assert_int_equal(script_drain(s), 8);
  assert_int_equal(script_events(s), MST_EV_WRITABLE);
  assert_int_equal(mst_writable_bytes(s->conn), 8000);
  assert_int_equal(mst_write(s->conn, zeros, sizeof zeros), 8000);
  script_flush(s); /* 2,000 of them; the rest waits for the congestion window */
  script_wait(s, 1);
  assert_int_equal(script_drain(s), 2);
  assert_int_equal(mst_writable_bytes(s->conn), 2000);
  assert_int_equal(script_events(s), 0); /* more than half of them wait still */
  script_in(s, ". 1 ack 2001");
  script_wait(s, 1);
  assert_int_equal(script_events(s), MST_EV_WRITABLE);
  assert_true(mst_writable_bytes(s->conn) > 4000);
  script_close(s);
}

/* It counts what is not sent, not what is not acknowledged. */
static void notsent_is_not_unacked(void **state) {
  (void)state;
  struct script *s = established();
  mst_conn_set_option(s->conn, MST_TCP_NOTSENT_LOWAT, 100);
  for (int i = 0; i < 10; i++) {
    char bytes[100] = {0};
    assert_int_equal(mst_write(s->conn, bytes, sizeof bytes), sizeof bytes);
    mst_conn_set_option(s->conn, MST_TCP_NODELAY, 1);
    script_flush(s);
  }
  assert_int_equal(mst_unacked_bytes(s->conn), 1000);
  assert_int_equal(mst_writable_bytes(s->conn), 100);
  mst_shutdown(s->conn);
  script_flush(s);
  assert_int_equal(mst_writable_bytes(s->conn), 100); /* the FIN is no byte */
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(starts_small),
      cmocka_unit_test(grows_to_the_path),
      cmocka_unit_test(grows_without_timestamps),
      cmocka_unit_test(stays_within_the_limit),
      cmocka_unit_test(follows_the_reader),
      cmocka_unit_test(fixed_by_the_application),
      cmocka_unit_test(small_on_a_short_path),
      cmocka_unit_test(writes_far_ahead),
      cmocka_unit_test(send_buffer_is_a_bound),
      cmocka_unit_test(notsent_lowat),
      cmocka_unit_test(notsent_is_not_unacked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
