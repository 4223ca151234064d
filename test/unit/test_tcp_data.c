/* Data both ways: reassembly, acknowledgments, windows, Nagle, urgent data (RFC 9293 3.7, 3.8.4 to 3.8.6, 3.10.2,
 * 3.10.3, 3.10.7.4 sixth and seventh). */
#include "sim/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct script *established(void) {
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  return s;
}

/* Past the first segments, which are acknowledged at once. Returns the next sequence number. */
static uint32_t past_quick_acks(struct script *s) {
  uint32_t seq = 1;
  char line[64];
  for (int i = 0; i < 64; i++, seq += 1000) {
    snprintf(line, sizeof line, "P. %u:%u ack 1", seq, seq + 1000);
    script_in(s, line);
    script_read(s, 1000);
  }
  script_wait(s, 500);
  script_drain(s);
  return seq;
}

/* --- receiving --- */

static void in_order(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 1:101 ack 1");
  assert_int_equal(script_events(s), MST_EV_READABLE);
  script_out(s, ". 1 ack 101"); /* quick at the start */
  assert_int_equal(mst_readable_bytes(s->conn), 100);
  script_read(s, 100);
  char byte;
  assert_int_equal(mst_read(s->conn, &byte, 1), -MST_EAGAIN);
  assert_int_equal(script_events(s), 0);
  script_close(s);
}

static void peek_and_consume(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 1:101 ack 1");
  script_in(s, "P. 101:201 ack 1");
  struct mst_iov spans[4];
  size_t count = mst_peek(s->conn, spans, 4), bytes = 0;
  assert_true(count > 0);
  for (size_t i = 0; i < count; i++)
    for (size_t j = 0; j < spans[i].len; j++, bytes++)
      assert_int_equal(((const uint8_t *)spans[i].base)[j], script_byte(1 + (uint32_t)bytes));
  assert_int_equal(bytes, 200);
  mst_consume(s->conn, 150);
  assert_int_equal(mst_readable_bytes(s->conn), 50);
  s->read += 150;
  script_read(s, 50);
  assert_int_equal(mst_peek(s->conn, spans, 4), 0);
  script_close(s);
}

static void out_of_order(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 1001:2001 ack 1");
  script_out(s, ". 1 ack 1"); /* at once (RFC 5681 4.2) */
  assert_int_equal(script_events(s), 0);
  script_in(s, "P. 3001:4001 ack 1");
  script_out(s, ". 1 ack 1");
  script_in(s, "P. 1:1001 ack 1");
  script_out(s, ". 1 ack 2001");
  script_in(s, "P. 2001:3001 ack 1");
  script_out(s, ". 1 ack 4001"); /* what fills a gap: at once */
  script_read(s, 4000);
  script_close(s);
}

static void overlap(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 501:1501 ack 1");
  script_in(s, "P. 1001:2001 ack 1");
  script_in(s, "P. 251:751 ack 1");
  script_in(s, "P. 1:2501 ack 1");
  script_in(s, "P. 101:2601 ack 1"); /* begins before RCV.NXT */
  script_read(s, 2600);
  assert_int_equal(mst_readable_bytes(s->conn), 0);
  script_drain(s);
  script_in(s, "P. 2601:2602 ack 1");
  script_out(s, ". 1 ack 2602");
  script_close(s);
}

static void duplicate(void **state) {
  (void)state;
  struct script *s = established();
  uint32_t next = past_quick_acks(s);
  script_in_with(s, "P. %u:%u ack 1", next - 1000, next);
  script_out(s, ". 1"); /* acknowledged at once, dropped */
  assert_int_equal(s->last.ack - s->peer_isn, next);
  assert_int_equal(mst_readable_bytes(s->conn), 0);
  script_close(s);
}

/* Segments of a stream in any order, with any overlap: each byte once and in order, however it is cut. */
static void reassembly_random(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 300; seed++) {
    struct sim_random random = {seed};
    struct script *s = established();
    uint32_t total = 1 + (uint32_t)sim_random_below(&random, 30000);
    uint32_t rounds = 0;
    while (s->read < 1 + total) {
      /* After many random pieces go through it in order, so that it ends. */
      uint32_t begin = 1 + (uint32_t)sim_random_below(&random, total);
      if (rounds++ > 200) begin = s->read + (uint32_t)mst_readable_bytes(s->conn);
      uint32_t end = begin + 1 + (uint32_t)sim_random_below(&random, 1500);
      if (begin > total) break;
      if (end > total + 1) end = total + 1;
      script_in_with(s, "P. %u:%u ack 1", begin, end);
      if (sim_random_below(&random, 3) == 0)
        script_read(s, (uint32_t)sim_random_below(&random, mst_readable_bytes(s->conn) + 1));
    }
    script_read(s, 1 + total - s->read);
    assert_int_equal(mst_readable_bytes(s->conn), 0);
    script_in_with(s, "F. %u ack 1", total + 1, 0);
    char byte;
    assert_int_equal(mst_read(s->conn, &byte, 1), 0);
    script_close(s);
  }
}

/* The same across the end of sequence space. */
static void wrap(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.peer_isn = 0xffffff00});
  script_establish(s, "mss 1000", 65535);
  script_in(s, "P. 501:1501 ack 1");
  script_out(s, ". 1 ack 1");
  script_in(s, "P. 1:501 ack 1");
  script_out(s, ". 1 ack 1501");
  script_read(s, 1500);
  script_close(s);
}

/* --- acknowledgments --- */

/* RFC 9293 3.8.6.3: below 0.5 s (here 40 ms), and for every second full-sized segment. */
static void delayed_ack(void **state) {
  (void)state;
  struct script *s = established();
  uint32_t next = past_quick_acks(s);
  script_in_with(s, "P. %u:%u ack 1", next, next + 1000);
  script_silence(s, 0);
  script_out_after(s, 40, ". 1");
  assert_int_equal(s->last.ack - s->peer_isn, next + 1000);
  assert_int_equal(script_stats(s).tcp_delayed_acks > 0, 1);
  script_read(s, 1000);
  script_drain(s);
  next += 1000;
  script_in_with(s, "P. %u:%u ack 1", next, next + 1000);
  script_silence(s, 0);
  script_in_with(s, "P. %u:%u ack 1", next + 1000, next + 2000);
  script_out(s, ". 1");
  assert_int_equal(s->last.ack - s->peer_isn, next + 2000);
  script_silence(s, 1000);
  script_close(s);
}

static void ack_rides_on_data(void **state) {
  (void)state;
  struct script *s = established();
  uint32_t next = past_quick_acks(s);
  script_in_with(s, "P. %u:%u ack 1", next, next + 10);
  script_silence(s, 10);
  script_write(s, 5);
  script_out(s, "P. 1:6");
  assert_int_equal(s->last.ack - s->peer_isn, next + 10);
  script_in_with(s, ". %u ack 6", next + 10, 0);
  script_silence(s, 1000);
  script_close(s);
}

/* --- the window that we offer --- */

static struct script *small_receiver(uint32_t bytes) {
  struct script *s = script_open(&(struct script_options){.stack.receive_buffer_bytes = bytes});
  script_establish(s, "mss 1000", 65535);
  return s;
}

static void window_closes_and_opens(void **state) {
  (void)state;
  struct script *s = small_receiver(8000);
  for (uint32_t seq = 1; seq < 8001; seq += 1000) script_in_with(s, "P. %u:%u ack 1", seq, seq + 1000);
  script_wait(s, 100);
  while (script_next(s, 0)) continue;
  assert_int_equal(s->last.window, 0);
  assert_int_equal(s->last.ack - s->peer_isn, 8001);
  /* A probe is answered and its byte not taken (3.8.6.1). */
  script_in(s, ". 8001:8002 ack 1");
  script_out(s, ". 1 ack 8001 win 0");
  script_wait(s, 10000);
  script_drain(s);
  /* SWS avoidance (3.8.6.2.2): a few bytes free tell nobody. */
  script_read(s, 100);
  script_silence(s, 0);
  script_read(s, 7900);
  assert_true(script_next(s, 0));
  assert_true(s->last.window >= 4000);
  script_in(s, ". 8001:8002 ack 1");
  script_read(s, 1);
  script_close(s);
}

static void beyond_the_window(void **state) {
  (void)state;
  struct script *s = small_receiver(4000);
  script_in(s, "P. 1:3001 ack 1");
  script_in(s, "P. 3001:9001 ack 1"); /* only what fits is taken, or none of it */
  script_wait(s, 100);
  script_drain(s);
  assert_in_range(mst_readable_bytes(s->conn), 3000, 4000);
  uint32_t taken = (uint32_t)mst_readable_bytes(s->conn);
  script_read(s, taken);
  script_in_with(s, "P. %u:%u ack 1", 1 + taken, 1 + taken + 500);
  script_read(s, 500);
  script_close(s);
}

/* Out-of-order data is bounded by the window and its memory by some multiple of it, down to segments of one byte. */
static void out_of_order_bounded(void **state) {
  (void)state;
  struct script *s = small_receiver(64000);
  for (uint32_t seq = 2; seq < 64000; seq += 2) script_in_with(s, "P. %u:%u ack 1", seq, seq + 1);
  script_drain(s);
  assert_true(s->node->memory.bytes < 2 * 1024 * 1024);
  script_in_with(s, "P. %u:%u ack 1", 1, 2);
  assert_true(mst_readable_bytes(s->conn) >= 2);
  script_close(s);
}

/* The same once the gaps are filled and nobody reads. */
static void small_segments_bounded(void **state) {
  (void)state;
  struct script *s = small_receiver(64000);
  for (uint32_t seq = 1; seq < 40000; seq += 2) {
    script_in_with(s, "P. %u:%u ack 1", seq + 1, seq + 2);
    script_in_with(s, "P. %u:%u ack 1", seq, seq + 1);
  }
  script_drain(s);
  assert_int_equal(mst_readable_bytes(s->conn), 40000);
  assert_true(s->node->memory.bytes < 300 * 1024);
  script_read(s, 40000);
  script_close(s);
}

/* What was promised is not taken back (3.8.6, SHLD-14), also when the buffer is made smaller. */
static void window_never_shrinks(void **state) {
  (void)state;
  struct script *s = small_receiver(32000);
  uint32_t edge = 0, seq = 1;
  for (int i = 0; i < 28; i++, seq += 1000) {
    script_in_with(s, "P. %u:%u ack 1", seq, seq + 1000);
    if (i == 5) assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_RECEIVE_BUFFER, 4000), 0);
    if (i % 5 == 4) script_read(s, 700);
    while (script_next(s, 0)) {
      uint32_t right = s->last.ack - s->peer_isn + s->last.window;
      assert_true(right >= edge);
      edge = right;
    }
  }
  script_close(s);
}

/* --- the window that we are offered --- */

static void zero_window_probe(void **state) {
  (void)state;
  struct script *s = established();
  script_write(s, 500);
  script_out(s, "P. 1:501 ack 1");
  script_in(s, ". 1 ack 501 win 0");
  script_write(s, 3000);
  script_silence(s, 100);
  /* The first after RTO, then at growing intervals (MUST-36, SHLD-29, SHLD-30). */
  double last_ms = 0, gap_ms = 0;
  for (int i = 0; i < 10; i++) {
    assert_true(script_next(s, 200000));
    assert_true(s->last.data_bytes <= 1);
    double at_ms = (double)(s->last_packet->at_ns - s->start_ns) / 1e6;
    if (i > 1) assert_true(at_ms - last_ms >= gap_ms - 3);
    if (i > 0) gap_ms = at_ms - last_ms;
    last_ms = at_ms;
    script_in(s, ". 1 ack 501 win 0");
  }
  assert_true(gap_ms > 10000);
  assert_true(script_stats(s).tcp_zero_window_probes >= 10);
  script_in(s, ". 1 ack 501 win 65535");
  if (!script_next(s, 0)) fail_msg("the window is open and nothing comes");
  assert_in_range(s->last.data_bytes, 999, 1000);
  script_close(s);
}

/* MUST-37: as long as the probes are answered the connection lives. */
static void zero_window_for_hours(void **state) {
  (void)state;
  struct script *s = established();
  script_write(s, 500);
  script_out(s, "P. 1:501 ack 1");
  script_in(s, ". 1 ack 501 win 0");
  script_write(s, 10);
  for (uint64_t end = s->sim->now_ns + 6 * 3600 * SIM_S; s->sim->now_ns < end;)
    if (script_next(s, 300000)) script_in(s, ". 1 ack 501 win 0");
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_in(s, ". 1 ack 501 win 1000");
  script_next(s, 1000);
  assert_int_equal(s->last.data_bytes + s->last.seq - s->iss, 511);
  script_close(s);
}

/* The long intervals of the probes say nothing about the network: a loss after it is found as fast as before it. */
static void zero_window_leaves_rto(void **state) {
  (void)state;
  struct script *s = established();
  script_write(s, 500);
  script_out(s, "P. 1:501 ack 1");
  script_in(s, ". 1 ack 501 win 0");
  script_write(s, 2000);
  for (int i = 0; i < 8; i++) {
    assert_true(script_next(s, 200000));
    script_in(s, ". 1 ack 501 win 0");
  }
  script_in(s, ". 1 ack 501 win 65535");
  script_out(s, ". 501:1501 ack 1");
  script_drain(s);
  assert_true(script_next(s, 1000));
  assert_int_equal(s->last.seq - s->iss, 501);
  script_close(s);
}

static void zero_window_unanswered(void **state) {
  (void)state;
  struct script *s = established();
  script_write(s, 500);
  script_out(s, "P. 1:501 ack 1");
  script_in(s, ". 1 ack 501 win 0");
  script_write(s, 10);
  uint64_t start_ns = s->sim->now_ns;
  script_events(s);
  while (!(s->events & MST_EV_ERROR)) {
    script_next(s, 10000);
    assert_true(s->sim->now_ns - start_ns < 3600 * SIM_S);
  }
  assert_int_equal(mst_conn_error(s->conn), -MST_ETIMEDOUT);
  script_close(s);
}

/* The byte of a probe that the peer takes after all is counted. */
static void zero_window_probe_taken(void **state) {
  (void)state;
  struct script *s = established();
  script_write(s, 500);
  script_out(s, "P. 1:501 ack 1");
  script_in(s, ". 1 ack 501 win 0");
  script_write(s, 2000);
  assert_true(script_next(s, 1000));
  uint32_t taken = s->last.data_bytes;
  script_in_with(s, ". 1 ack %u win 65535", 501 + taken, 0);
  assert_true(script_next(s, 0));
  assert_int_equal(s->last.seq - s->iss, 501 + taken);
  assert_int_equal(s->last.data_bytes, 1000);
  script_close(s);
}

/* MUST-34, SHLD-15: a peer that shrinks its window. */
static void window_shrinks(void **state) {
  (void)state;
  struct script *s = established();
  script_write(s, 8000);
  assert_int_equal(script_drain(s), 8);
  script_in(s, ". 1 ack 1001 win 2000");
  script_wait(s, 3000);
  script_drain(s);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_in(s, ". 1 ack 3001 win 65535");
  for (uint32_t guard = 0; script_info(s).unacked_bytes && guard < 100; guard++) {
    script_next(s, 1000);
    script_in_with(s, ". 1 ack %u win 65535", s->last.seq - s->iss + s->last.data_bytes, 0);
  }
  assert_int_equal(mst_unacked_bytes(s->conn), 0);
  script_close(s);
}

/* Sender's SWS avoidance (3.8.6.2.1): no small segment into a small opening, until the override timer. */
static void sender_silly_window(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 4000);
  script_write(s, 4000);
  assert_int_equal(script_drain(s), 4);
  script_write(s, 4000);
  script_silence(s, 0);
  script_in(s, ". 1 ack 4001 win 300");
  script_silence(s, 50);
  assert_true(script_next(s, 1100)); /* 0.1 to 1 s */
  assert_int_equal(s->last.data_bytes, 300);
  script_close(s);
}

/* Half of the largest window that the peer has ever offered is sent at once. */
static void sender_half_window(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 800);
  script_write(s, 3000);
  script_out(s, ". 1:801 ack 1");
  script_in(s, ". 1 ack 801 win 400");
  script_out(s, ". 801:1201 ack 1");
  script_close(s);
}

/* SND.WL1 and SND.WL2: an old segment does not set the window. */
static void old_window_update(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 1:11 ack 1 win 5000");
  script_in(s, ". 1 ack 1 win 100");
  assert_int_equal(script_info(s).snd_wnd, 5000);
  script_in(s, ". 11 ack 1 win 300");
  assert_int_equal(script_info(s).snd_wnd, 300);
  script_close(s);
}

/* --- sending --- */

static void nagle(void **state) {
  (void)state;
  struct script *s = established();
  script_write(s, 10);
  script_out(s, "P. 1:11 ack 1");
  script_write(s, 10);
  script_silence(s, 100);
  script_write(s, 10);
  script_silence(s, 0);
  script_in(s, ". 1 ack 11");
  script_out(s, "P. 11:31 ack 1");
  script_write(s, 1005); /* a full segment goes, the rest waits */
  script_out(s, ". 31:1031 ack 1");
  script_silence(s, 0);
  script_in(s, ". 1 ack 1031");
  script_out(s, "P. 1031:1036 ack 1");
  script_close(s);
}

static void nodelay(void **state) {
  (void)state;
  struct script *s = established();
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_NODELAY, 1), 0);
  assert_int_equal(mst_conn_get_option(s->conn, MST_TCP_NODELAY), 1);
  script_write(s, 10);
  script_out(s, "P. 1:11 ack 1");
  script_write(s, 10);
  script_out(s, "P. 11:21 ack 1");
  script_close(s);
}

/* Switching Nagle off lets go of what waits. */
static void nodelay_later(void **state) {
  (void)state;
  struct script *s = established();
  script_write(s, 10);
  script_out(s, "P. 1:11 ack 1");
  script_write(s, 10);
  script_silence(s, 0);
  mst_conn_set_option(s->conn, MST_TCP_NODELAY, 1);
  script_flush(s);
  script_out(s, "P. 11:21 ack 1");
  script_close(s);
}

/* MUST-60, MUST-61: PSH on the last that there is. */
static void push(void **state) {
  (void)state;
  struct script *s = established();
  script_write(s, 2500);
  script_out(s, ". 1:1001 ack 1");
  assert_int_equal(s->last.flags & SIM_PSH, 0);
  script_out(s, ". 1001:2001 ack 1");
  script_in(s, ". 1 ack 2001");
  script_out(s, "P. 2001:2501 ack 1");
  script_close(s);
}

static void send_buffer_full(void **state) {
  (void)state;
  struct script *s = established();
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_SEND_BUFFER, 20000), 0);
  static uint8_t data[100000];
  for (uint32_t i = 0; i < sizeof data; i++) data[i] = script_byte(1 + i);
  ptrdiff_t taken = mst_write(s->conn, data, sizeof data);
  assert_in_range(taken, 10000, 30000);
  assert_int_equal(mst_writable_bytes(s->conn), 0);
  assert_int_equal(mst_write(s->conn, data + taken, 1), -MST_EAGAIN);
  assert_int_equal(mst_unacked_bytes(s->conn), taken);
  script_flush(s);
  script_events(s);
  unsigned events = 0;
  for (int i = 0; i < 100 && mst_unacked_bytes(s->conn); i++) {
    if (!script_next(s, 0)) script_next(s, 1000);
    script_in_with(s, ". 1 ack %u", s->last.seq - s->iss + s->last.data_bytes, 0);
    events |= script_events(s);
  }
  assert_int_equal(events, MST_EV_WRITABLE | MST_EV_DRAINED);
  assert_true(mst_writable_bytes(s->conn) > 0);
  script_close(s);
}

static void writev(void **state) {
  (void)state;
  struct script *s = established();
  uint8_t data[30];
  for (uint32_t i = 0; i < sizeof data; i++) data[i] = script_byte(1 + i);
  struct mst_iov iov[4] = {{data, 10}, {data + 10, 0}, {data + 10, 5}, {data + 15, 15}};
  assert_int_equal(mst_writev(s->conn, iov, 4), 30);
  script_flush(s);
  script_out(s, "P. 1:31 ack 1");
  script_close(s);
}

static void ip_fields(void **state) {
  (void)state;
  struct script *s = established();
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_TOS, 0x28), 0);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_TTL, 7), 0);
  script_write(s, 1);
  script_out(s, "P. 1:2");
  assert_int_equal(s->last.tos, 0x28);
  assert_int_equal(s->last.ttl, 7);
  script_close(s);
}

static void option_errors(void **state) {
  (void)state;
  struct script *s = established();
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_TTL, 0), -MST_EINVAL);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_TTL, 256), -MST_EINVAL);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_OOBINLINE, 0), -MST_EINVAL);
  assert_int_equal(mst_conn_set_option(s->conn, MST_TCP_OOBINLINE, 1), 0);
  assert_int_equal(mst_conn_set_option(s->conn, (enum mst_tcp_option)99, 1), -MST_ENOPROTOOPT);
  assert_int_equal(mst_conn_get_option(s->conn, MST_TCP_TTL), 64);
  assert_int_equal(mst_conn_set_congestion_control(s->conn, "nonesuch"), -MST_ENOENT);
  assert_int_equal(mst_conn_set_congestion_control(s->conn, "newreno"), 0);
  assert_string_equal(script_info(s).congestion_control, "newreno");
  script_close(s);
}

/* A reader who stops and a ring that is full lose nothing. */
static void ring_full(void **state) {
  (void)state;
  struct script *s = established();
  s->node->refuse = 700000;
  mst_conn_set_option(s->conn, MST_TCP_NODELAY, 1);
  for (int i = 0; i < 50; i++) script_write(s, 100);
  for (uint32_t acked = 1; acked < 5001;) {
    if (!script_next(s, 3000)) fail_msg("it stopped at %u", acked);
    uint32_t end = s->last.seq - s->iss + s->last.data_bytes;
    if (end <= acked) continue;
    assert_true(s->last.seq - s->iss <= acked);
    acked = end;
    script_in_with(s, ". 1 ack %u", acked, 0);
  }
  assert_true(s->node->refused > 0);
  script_close(s);
}

/* --- urgent data (RFC 6093) --- */

static void urgent(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 1:11 ack 1");
  assert_false(mst_conn_urgent(s->conn));
  script_in(s, "PU. 11:21 ack 1 urg 5");
  assert_true(mst_conn_urgent(s->conn));
  assert_true(script_events(s) & MST_EV_READABLE);
  script_read(s, 10);
  assert_true(mst_conn_urgent(s->conn));
  script_read(s, 10); /* in line, none missing */
  assert_false(mst_conn_urgent(s->conn));
  assert_int_equal(script_stats(s).tcp_urgent, 1);
  script_close(s);
}

/* The pointer may point to what has not come yet. */
static void urgent_ahead(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "PU. 1:11 ack 1 urg 100");
  script_read(s, 10);
  assert_true(mst_conn_urgent(s->conn));
  script_in(s, "P. 11:201 ack 1");
  script_read(s, 190);
  assert_false(mst_conn_urgent(s->conn));
  script_close(s);
}

/* MUST-30: the pointer counts only with URG; and an absurd one does no harm. */
static void urgent_without_flag(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 1:11 ack 1 urg 5");
  assert_false(mst_conn_urgent(s->conn));
  script_in(s, "U. 11 ack 1 urg 65535");
  script_in(s, "UP. 11:21 ack 1 urg 0");
  script_read(s, 20);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(in_order),
      cmocka_unit_test(peek_and_consume),
      cmocka_unit_test(out_of_order),
      cmocka_unit_test(overlap),
      cmocka_unit_test(duplicate),
      cmocka_unit_test(reassembly_random),
      cmocka_unit_test(wrap),
      cmocka_unit_test(delayed_ack),
      cmocka_unit_test(ack_rides_on_data),
      cmocka_unit_test(window_closes_and_opens),
      cmocka_unit_test(beyond_the_window),
      cmocka_unit_test(out_of_order_bounded),
      cmocka_unit_test(small_segments_bounded),
      cmocka_unit_test(window_never_shrinks),
      cmocka_unit_test(zero_window_probe),
      cmocka_unit_test(zero_window_for_hours),
      cmocka_unit_test(zero_window_leaves_rto),
      cmocka_unit_test(zero_window_unanswered),
      cmocka_unit_test(zero_window_probe_taken),
      cmocka_unit_test(window_shrinks),
      cmocka_unit_test(sender_silly_window),
      cmocka_unit_test(sender_half_window),
      cmocka_unit_test(old_window_update),
      cmocka_unit_test(nagle),
      cmocka_unit_test(nodelay),
      cmocka_unit_test(nodelay_later),
      cmocka_unit_test(push),
      cmocka_unit_test(send_buffer_full),
      cmocka_unit_test(writev),
      cmocka_unit_test(ip_fields),
      cmocka_unit_test(option_errors),
      cmocka_unit_test(ring_full),
      cmocka_unit_test(urgent),
      cmocka_unit_test(urgent_ahead),
      cmocka_unit_test(urgent_without_flag),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
