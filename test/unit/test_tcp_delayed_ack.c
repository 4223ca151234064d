/* When the receiver acknowledges: RFC 9293 3.8.6.3, RFC 5681 4.2. */
#include "sim/script.h"

/* Past the quick ACKs of the start; the next byte is 60001. */
static struct script *settled(uint32_t mss) {
  struct script *s = script_open(&(struct script_options){.route_mtu = 9000});
  script_establish(s, "mss 1000,sackOK", 65535);
  for (uint32_t seq = 1; seq < 60001; seq += mss) {
    script_in_with(s, ". %u:%u ack 1", seq, seq + mss);
    script_read(s, mss);
  }
  script_wait(s, 100);
  script_drain(s);
  return s;
}

static void every_second_segment(void **state) {
  (void)state;
  struct script *s = settled(1000);
  for (uint32_t seq = 60001; seq < 80001; seq += 2000) {
    script_in_with(s, ". %u:%u ack 1", seq, seq + 1000);
    script_silence(s, 0);
    script_in_with(s, ". %u:%u ack 1", seq + 1000, seq + 2000);
    assert_true(script_next(s, 0));
    assert_int_equal(s->last.ack - s->peer_isn, seq + 2000);
    script_read(s, 2000);
  }
  script_silence(s, 100);
  script_close(s);
}

/* The peer's segments get smaller (its path MTU has shrunk): still every second of them. */
static void smaller_segments(void **state) {
  (void)state;
  struct script *s = settled(3000);
  assert_int_equal(script_info(s).rcv_mss, 3000);
  script_in_with(s, ". %u:%u ack 1", 60001, 61001);
  script_in_with(s, ". %u:%u ack 1", 61001, 62001);
  assert_int_equal(script_info(s).rcv_mss, 1000);
  script_drain(s);
  script_in_with(s, ". %u:%u ack 1", 62001, 63001);
  script_in_with(s, ". %u:%u ack 1", 63001, 64001);
  script_out(s, ". 1 ack 64001");
  script_close(s);
}

/* Messages of one size are no full-sized segments: they end with PSH. */
static void small_messages(void **state) {
  (void)state;
  struct script *s = settled(3000);
  for (uint32_t seq = 60001; seq < 64001; seq += 1000) script_in_with(s, "P. %u:%u ack 1", seq, seq + 1000);
  assert_int_equal(script_info(s).rcv_mss, 3000);
  script_silence(s, 39);
  script_out_after(s, 1, ". 1 ack 64001");
  script_close(s);
}

/* What fills a gap, or a part of it, is acknowledged at once, and so is all for a while after it. */
static void quick_after_a_gap(void **state) {
  (void)state;
  struct script *s = settled(1000);
  script_in(s, ". 62001:63001 ack 1");
  script_out(s, ". 1 ack 60001 <sack 62001:63001>");
  script_in(s, ". 60001:61001 ack 1");
  script_out(s, ". 1 ack 61001 <sack 62001:63001>");
  script_in(s, ". 61001:62001 ack 1");
  script_out(s, ". 1 ack 63001 <-sack>");
  for (uint32_t seq = 63001; seq < 73001; seq += 1000) {
    script_in_with(s, ". %u:%u ack 1", seq, seq + 1000);
    assert_true(script_next(s, 0));
    assert_int_equal(s->last.ack - s->peer_isn, seq + 1000);
  }
  script_close(s);
}

static void quick_after_a_duplicate(void **state) {
  (void)state;
  struct script *s = settled(1000);
  script_in(s, ". 59001:60001 ack 1");
  script_out(s, ". 1 ack 60001 <sack 59001:60001>");
  script_in(s, ". 59501:60501 ack 1");
  script_out(s, ". 1 ack 60501 <sack 59501:60001>");
  script_in(s, ". 60501:61501 ack 1");
  script_out(s, ". 1 ack 61501 <-sack>");
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_second_segment),    cmocka_unit_test(smaller_segments),
      cmocka_unit_test(small_messages),          cmocka_unit_test(quick_after_a_gap),
      cmocka_unit_test(quick_after_a_duplicate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
