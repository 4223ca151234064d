/* What a connection and a stack tell about themselves. */
#include "sim/script.h"
#include <string.h>

/* Each counter is a field of its own under a name of its own, and none is left out. */
static void counters_are_listed(void **state) {
  (void)state;
  const struct mst_stack_counter *counter, *other;
  size_t count = 0, fields = 0;
  for (; (counter = mst_stack_counter_at(count)); count++) {
    if (counter->offset >= offsetof(struct mst_stack_stats, drops)) {
      assert_true(counter->offset < offsetof(struct mst_stack_stats, conns));
      assert_non_null(counter->nstat);
    } else {
      assert_int_equal(counter->offset, count * sizeof(uint64_t));
      fields++;
    }
    assert_true(strlen(counter->text) > 0);
    for (size_t i = 0; i < count; i++) {
      other = mst_stack_counter_at(i);
      assert_string_not_equal(counter->name, other->name);
      if (counter->nstat && other->nstat) assert_string_not_equal(counter->nstat, other->nstat);
    }
  }
  assert_int_equal(fields * sizeof(uint64_t), offsetof(struct mst_stack_stats, drops));
  assert_null(mst_stack_counter_at(SIZE_MAX));
  assert_string_equal(mst_stack_counter_at(0)->name, "ip_in_receives");
  assert_string_equal(mst_stack_counter_at(0)->nstat, "IpInReceives");
}

static struct script *established(const char *options, unsigned window) {
  struct script *s = script_open(&(struct script_options){.stack = {.congestion_control = "newreno"}});
  script_establish(s, options, window);
  return s;
}

static void write_and_send(struct script *s, uint32_t bytes) {
  script_write(s, bytes);
  script_flush(s);
  script_drain(s);
}

/* What the handshake has settled. */
static void terms(void **state) {
  (void)state;
  struct script *s = established("mss 1000,TS 1 0,wscale 3", 5000);
  struct mst_tcp_info info = script_info(s);
  assert_int_equal(info.size, sizeof info);
  assert_int_equal(info.state, MST_ESTABLISHED);
  assert_int_equal(info.ca_state, MST_CA_OPEN);
  assert_int_equal(info.options, MST_TCPI_OPT_TIMESTAMPS | MST_TCPI_OPT_WSCALE);
  assert_int_equal(info.snd_wscale, 3);
  assert_int_equal(info.rcv_wscale, 7);
  assert_int_equal(info.snd_mss, 988);
  assert_int_equal(info.advmss, 1460);
  assert_int_equal(info.pmtu, 1500);
  assert_int_equal(info.snd_wnd, 5000 << 3);
  assert_int_equal(info.local.port, s->local_port);
  assert_int_equal(info.remote.port, s->peer_port);
  assert_true(info.max_pacing_rate == UINT64_MAX);
  script_close(s);
}

static void option_free(void **state) {
  (void)state;
  struct script *s = established("", 5000);
  assert_int_equal(script_info(s).options, 0);
  assert_int_equal(script_info(s).snd_mss, 536);
  script_close(s);
}

/* A caller that was compiled against a shorter struct gets what it knows and no byte more. */
static void shorter_struct(void **state) {
  (void)state;
  struct script *s = established("mss 1000", 5000);
  struct mst_tcp_info info;
  memset(&info, 0xaa, sizeof info);
  size_t known = offsetof(struct mst_tcp_info, ca_state);
  mst_conn_get_info_sized(s->conn, &info, known);
  assert_int_equal(info.size, known);
  assert_int_equal(info.state, MST_ESTABLISHED);
  const uint8_t *bytes = (const uint8_t *)&info;
  for (size_t i = known; i < sizeof info; i++) assert_int_equal(bytes[i], 0xaa);
  script_close(s);
}

static void counts_of_data(void **state) {
  (void)state;
  struct script *s = established("mss 1000", 5000);
  uint64_t segs_in = script_info(s).segs_in, segs_out = script_info(s).segs_out;
  write_and_send(s, 2500);
  struct mst_tcp_info info = script_info(s);
  assert_int_equal(info.unacked_bytes, 2500);
  assert_int_equal(info.flight_bytes, 2500);
  assert_int_equal(info.notsent_bytes, 0);
  assert_int_equal(info.bytes_sent, 2500);
  assert_int_equal(info.bytes_acked, 0);
  assert_int_equal(info.data_segs_out, 3);
  assert_int_equal(info.segs_out, segs_out + 3);
  script_in(s, ". 1 ack 2501 win 5000");
  script_in(s, "P. 1:701 ack 2501 win 5000");
  info = script_info(s);
  assert_int_equal(info.bytes_acked, 2500);
  assert_int_equal(info.unacked_bytes, 0);
  assert_int_equal(info.bytes_received, 700);
  assert_int_equal(info.unread_bytes, 700);
  assert_int_equal(info.data_segs_in, 1);
  assert_int_equal(info.segs_in, segs_in + 2);
  assert_int_equal(info.rcv_mss, 700);
  assert_int_equal(info.bytes_retrans, 0);
  assert_int_equal(script_stats(s).tcp_orig_data_sent, 3);
  script_close(s);
}

static void ages(void **state) {
  (void)state;
  struct script *s = established("mss 1000", 5000);
  assert_int_equal(script_info(s).last_data_sent_ms, UINT32_MAX);
  assert_int_equal(script_info(s).last_data_recv_ms, UINT32_MAX);
  write_and_send(s, 100);
  script_wait(s, 30);
  script_in(s, ". 1 ack 101 win 5000");
  script_wait(s, 20);
  script_in(s, "P. 1:11 ack 101 win 5000");
  script_wait(s, 10);
  mst_stack_advance(s->stack, s->sim->now_ns);
  struct mst_tcp_info info = script_info(s);
  assert_int_equal(info.last_data_sent_ms, 60);
  assert_int_equal(info.last_data_recv_ms, 10);
  assert_int_equal(info.last_ack_recv_ms, 10);
  script_close(s);
}

/* Timeouts: how many, in how many rows, and how long the rows lasted until an ACK. */
static void timeouts(void **state) {
  (void)state;
  struct script *s = established("mss 1000", 5000);
  write_and_send(s, 1000);
  assert_true(script_next(s, 1100));
  assert_true(script_next(s, 2100));
  struct mst_tcp_info info = script_info(s);
  assert_int_equal(info.ca_state, MST_CA_LOSS);
  assert_int_equal(info.retransmits, 2);
  assert_int_equal(info.backoff, 2);
  assert_int_equal(info.total_rto, 2);
  assert_int_equal(info.total_rto_recoveries, 1);
  assert_int_equal(info.total_retrans, 2);
  assert_int_equal(info.bytes_sent, 3000);
  assert_int_equal(info.bytes_retrans, 2000);
  script_in(s, ". 1 ack 1001 win 5000");
  info = script_info(s);
  assert_int_equal(info.ca_state, MST_CA_OPEN);
  assert_int_equal(info.retransmits, 0);
  assert_int_equal(info.backoff, 0);
  assert_int_equal(info.total_rto, 2);
  assert_in_range(info.total_rto_time_ms, 390, 410); /* the second came 400 ms after the first */
  script_close(s);
}

static void recovery(void **state) {
  (void)state;
  struct script *s = established("mss 1000", 50000);
  write_and_send(s, 8000);
  script_in(s, ". 1 ack 1 win 50000");
  assert_int_equal(script_info(s).ca_state, MST_CA_DISORDER);
  script_in(s, ". 1 ack 1 win 50000");
  script_in(s, ". 1 ack 1 win 50000");
  assert_int_equal(script_info(s).ca_state, MST_CA_RECOVERY);
  assert_int_equal(script_info(s).total_retrans, 1);
  script_in(s, ". 1 ack 8001 win 50000");
  assert_int_equal(script_info(s).ca_state, MST_CA_OPEN);
  script_close(s);
}

/* The chronograph: idle, busy, held back by the peer's window, held back by the send buffer. */
static void chronograph(void **state) {
  (void)state;
  struct script *s = established("mss 1000", 2000);
  script_wait(s, 50);
  mst_stack_advance(s->stack, s->sim->now_ns);
  assert_int_equal(script_info(s).busy_time_us, 0);
  write_and_send(s, 1000);
  script_wait(s, 30);
  script_in(s, ". 1 ack 1001 win 2000");
  struct mst_tcp_info info = script_info(s);
  assert_int_equal(info.busy_time_us, 30000);
  assert_int_equal(info.rwnd_limited_us, 0);

  script_wait(s, 25);
  write_and_send(s, 3000); /* the window has room for two segments */
  assert_int_equal(script_info(s).notsent_bytes, 1000);
  script_wait(s, 40);
  script_in(s, ". 1 ack 3001 win 2000");
  script_drain(s);
  script_wait(s, 10);
  script_in(s, ". 1 ack 4001 win 2000");
  info = script_info(s);
  assert_int_equal(info.rwnd_limited_us, 40000);
  assert_int_equal(info.busy_time_us, 80000);
  assert_int_equal(info.sndbuf_limited_us, 0);
  script_close(s);
}

static void limited_by_send_buffer(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.stack = {.send_buffer_bytes = 4000}});
  script_establish(s, "mss 1000", 50000);
  static uint8_t data[6000];
  assert_int_equal(mst_write(s->conn, data, sizeof data), 4000);
  script_flush(s);
  script_wait(s, 20);
  mst_stack_advance(s->stack, s->sim->now_ns);
  struct mst_tcp_info info = script_info(s);
  assert_int_equal(info.sndbuf_limited_us, 20000);
  assert_int_equal(info.busy_time_us, 20000);
  script_close(s);
}

/* What SACK has told of what is outstanding. */
static void scoreboard(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0 win 50000 <mss 1000,sackOK>");
  script_out(s, "S. 0 ack 1");
  script_wait(s, 20);
  script_in(s, ". 1 ack 1 win 50000");
  script_accept(s);
  assert_int_equal(script_info(s).options, MST_TCPI_OPT_SACK);
  assert_int_equal(script_info(s).min_rtt_us, 20000);
  write_and_send(s, 8000);
  script_wait(s, 20);
  script_in(s, ". 1 ack 1 win 50000 <sack 1001:3001>");
  struct mst_tcp_info info = script_info(s);
  assert_int_equal(info.ca_state, MST_CA_DISORDER);
  assert_int_equal(info.sacked_bytes, 2000);
  assert_int_equal(info.delivered_bytes, 2000);
  assert_int_equal(info.flight_bytes, 6000);
  assert_int_equal(info.unacked_bytes, 8000);
  script_in(s, ". 1 ack 1 win 50000 <sack 1001:4001>");
  info = script_info(s);
  assert_int_equal(info.ca_state, MST_CA_RECOVERY);
  assert_int_equal(info.sacked_bytes, 3000);
  assert_int_equal(info.lost_bytes + info.retrans_bytes, 1000);
  script_drain(s);
  info = script_info(s);
  assert_int_equal(info.lost_bytes, 0);
  assert_int_equal(info.retrans_bytes, 1000);
  assert_int_equal(info.bytes_retrans, 1000);
  script_in(s, ". 1 ack 8001 win 50000");
  info = script_info(s);
  assert_int_equal(info.ca_state, MST_CA_OPEN);
  assert_int_equal(info.sacked_bytes + info.retrans_bytes + info.flight_bytes, 0);
  assert_int_equal(info.delivered_bytes, 8000);
  assert_int_equal(script_stats(s).tcp_sack_recovery, 1);
  assert_int_equal(script_stats(s).tcp_reno_recovery, 0);
  assert_int_equal(script_stats(s).tcp_fast_retrans, 1);
  script_close(s);
}

static void dsack_received(void **state) {
  (void)state;
  struct script *s = established("mss 1000,sackOK", 50000);
  write_and_send(s, 3000);
  script_in(s, ". 1 ack 2001 win 50000");
  script_in(s, ". 1 ack 2001 win 50000 <sack 1:1001>");
  assert_int_equal(script_info(s).dsack_dups, 1);
  assert_int_equal(script_stats(s).tcp_dsack_recv, 1);
  script_close(s);
}

/* 10,000 bytes in a round trip of 50 ms; less, when that was all there was, does not count against the path. */
static void delivery_rate(void **state) {
  (void)state;
  struct script *s = established("mss 1000,sackOK", 50000);
  assert_int_equal(script_info(s).delivery_rate, 0);
  write_and_send(s, 10000);
  script_wait(s, 50);
  script_in(s, ". 1 ack 10001 win 50000");
  assert_in_range(script_info(s).delivery_rate, 190000, 200000);
  write_and_send(s, 1000);
  script_wait(s, 50);
  script_in(s, ". 1 ack 11001 win 50000");
  assert_in_range(script_info(s).delivery_rate, 190000, 200000);
  script_close(s);
}

static void receiver(void **state) {
  (void)state;
  struct script *s = established("mss 1000,sackOK", 50000);
  script_in(s, "P. 1001:2001 ack 1 win 50000");
  script_in(s, "P. 1001:2001 ack 1 win 50000"); /* again: held out of order */
  script_drain(s);
  struct mst_tcp_info info = script_info(s);
  assert_int_equal(info.rcv_ooopack, 2);
  assert_int_equal(info.bytes_received, 0);
  assert_int_equal(script_stats(s).tcp_ofo_queue, 2);
  assert_int_equal(script_stats(s).tcp_dsack_ofo_sent, 1);
  script_in(s, "P. 1:1001 ack 1 win 50000");
  script_in(s, "P. 1:1001 ack 1 win 50000"); /* again: read already, or to be */
  script_drain(s);
  assert_int_equal(script_info(s).bytes_received, 2000);
  assert_int_equal(script_info(s).data_segs_in, 4);
  assert_int_equal(script_stats(s).tcp_dsack_old_sent, 1);
  script_close(s);
}

static void zero_windows(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.stack = {.receive_buffer_bytes = 4000}});
  script_establish(s, "mss 1000", 5000);
  script_in(s, "P. 1:1001 ack 1 win 5000");
  script_in(s, "P. 1001:2001 ack 1 win 5000");
  script_in(s, "P. 2001:3001 ack 1 win 5000");
  script_in(s, "P. 3001:4001 ack 1 win 5000");
  script_drain(s);
  assert_int_equal(script_info(s).rcv_wnd, 0);
  assert_int_equal(script_stats(s).tcp_to_zero_window_adv, 1);
  assert_int_equal(script_stats(s).tcp_from_zero_window_adv, 0);
  script_read(s, 4000);
  script_flush(s);
  script_drain(s);
  assert_int_equal(script_stats(s).tcp_to_zero_window_adv, 1);
  assert_int_equal(script_stats(s).tcp_from_zero_window_adv, 1);
  script_close(s);
}

static void names(void **state) {
  (void)state;
  assert_string_equal(mst_tcp_ca_state_name(MST_CA_OPEN), "Open");
  assert_string_equal(mst_tcp_ca_state_name(MST_CA_LOSS), "Loss");
  assert_string_equal(mst_tcp_ca_state_name((enum mst_tcp_ca_state)9), "Unknown");
}

/* Why connections end, under the names that Linux counts it. */
static void aborts(void **state) {
  (void)state;
  struct script *s = established("mss 1000", 5000);
  script_in(s, "P. 1:11 ack 1 win 5000");
  mst_close(s->conn); /* unread */
  s->conn = NULL;
  assert_int_equal(script_stats(s).tcp_abort_on_close, 1);
  script_close(s);

  s = established("mss 1000", 5000);
  mst_close(s->conn);
  s->conn = NULL;
  script_flush(s);
  script_drain(s);
  script_in(s, "P. 1:11 ack 1 win 5000");
  assert_int_equal(script_stats(s).tcp_abort_on_data, 1);
  script_close(s);

  s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0 win 5000");
  script_out(s, "S. 0 ack 1");
  script_in(s, "R 1");
  assert_int_equal(script_stats(s).tcp_embryonic_rsts, 1);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(terms),
      cmocka_unit_test(option_free),
      cmocka_unit_test(shorter_struct),
      cmocka_unit_test(counts_of_data),
      cmocka_unit_test(ages),
      cmocka_unit_test(timeouts),
      cmocka_unit_test(recovery),
      cmocka_unit_test(chronograph),
      cmocka_unit_test(limited_by_send_buffer),
      cmocka_unit_test(scoreboard),
      cmocka_unit_test(dsack_received),
      cmocka_unit_test(delivery_rate),
      cmocka_unit_test(receiver),
      cmocka_unit_test(zero_windows),
      cmocka_unit_test(names),
      cmocka_unit_test(aborts),
      cmocka_unit_test(counters_are_listed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
