/* What a receiver reports: SACK (RFC 2018 2 to 5) and D-SACK (RFC 2883 4). */
#include "sim/script.h"

#include <stdio.h>

static struct script *established(void) {
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000,sackOK", 65535);
  return s;
}

static struct script *with_timestamps(void) {
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000,sackOK,TS 1000 0", 65535);
  return s;
}

/* Up to byte 4000, all acknowledged and read. */
static struct script *at_4000(void) {
  struct script *s = established();
  for (uint32_t seq = 1; seq < 4000; seq += 500) {
    char line[64];
    snprintf(line, sizeof line, "P. %u:%u ack 1", seq, seq + 500 > 4000 ? 4000 : seq + 500);
    script_in(s, line);
  }
  script_read(s, 3999);
  script_drain(s);
  return s;
}

/* --- agreement --- */

static void offered_and_accepted(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 1460,sackOK,TS 1 0,wscale 7>");
  script_out(s, "S. 0 ack 1 <mss 1460,sackOK,TS * 1,wscale 7>");
  script_close(s);
  s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0 <mss 1460,sackOK,TS * 0,wscale 7>");
  script_close(s);
}

/* As Linux has them: MSS, SACK permitted and timestamps in one row of words, window scale. */
static void order_of_options(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_connect(s);
  script_out(s, "S 0");
  static const uint8_t kinds[] = {2, 4, 8, 1, 3};
  const uint8_t *option = s->last.options;
  for (size_t i = 0; i < sizeof kinds; i++) {
    assert_int_equal(*option, kinds[i]);
    option += *option == 1 ? 1 : option[1];
  }
  assert_int_equal(option - s->last.options, s->last.options_bytes);
  script_close(s);
}

static void not_offered(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 1000>");
  script_out(s, "S. 0 ack 1 <-sackOK>");
  script_in(s, ". 1 ack 1");
  script_accept(s);
  script_in(s, "P. 1001:2001 ack 1");
  script_out(s, ". 1 ack 1 <-sack>");
  script_in(s, "P. 1001:2001 ack 1");
  script_out(s, ". 1 ack 1 <-sack>");
  script_close(s);
}

static void not_accepted(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish_active(s, "mss 1000", 65535);
  script_in(s, "P. 1001:2001 ack 1");
  script_out(s, ". 1 ack 1 <-sack>");
  script_close(s);
}

static void switched_off(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.stack.no_sack = true});
  script_listen(s, 0);
  script_in(s, "S 0 win 65535 <mss 1000,sackOK>");
  script_out(s, "S. 0 ack 1 <-sackOK>");
  script_in(s, ". 1 ack 1");
  script_accept(s);
  script_in(s, "P. 1001:2001 ack 1");
  script_out(s, ". 1 ack 1 <-sack>");
  script_close(s);
  s = script_open(&(struct script_options){.stack.no_sack = true});
  script_connect(s);
  script_out(s, "S 0 <-sackOK>");
  script_in(s, "S. 0 ack 1 <mss 1000,sackOK>"); /* that was not asked */
  script_out(s, ". 1 ack 1");
  script_in(s, "P. 1001:2001 ack 1");
  script_out(s, ". 1 ack 1 <-sack>");
  script_close(s);
}

/* --- RFC 2018 4 --- */

static void first_block_is_the_newest(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 1001:2001 ack 1");
  script_out(s, ". 1 ack 1 <sack 1001:2001>");
  script_in(s, "P. 3001:4001 ack 1");
  script_out(s, ". 1 ack 1 <sack 3001:4001 1001:2001>");
  script_in(s, "P. 5001:6001 ack 1");
  script_out(s, ". 1 ack 1 <sack 5001:6001 3001:4001 1001:2001>");
  script_in(s, "P. 7001:8001 ack 1");
  script_out(s, ". 1 ack 1 <sack 7001:8001 5001:6001 3001:4001 1001:2001>");
  script_in(s, "P. 9001:10001 ack 1"); /* the oldest report makes room */
  script_out(s, ". 1 ack 1 <sack 9001:10001 7001:8001 5001:6001 3001:4001>");
  script_in(s, "P. 6001:6501 ack 1"); /* the whole block that it is a part of, and each block once */
  script_out(s, ". 1 ack 1 <sack 5001:6501 9001:10001 7001:8001 3001:4001>");
  script_in(s, "P. 6501:7001 ack 1"); /* two become one */
  script_out(s, ". 1 ack 1 <sack 5001:8001 9001:10001 3001:4001>");
  script_in(s, "P. 1:1001 ack 1"); /* SND.UNA moves to where the next gap is */
  script_out(s, ". 1 ack 2001 <sack 5001:8001 9001:10001 3001:4001>");
  script_in(s, "P. 4001:5001 ack 1");
  script_out(s, ". 1 ack 2001 <sack 3001:8001 9001:10001>");
  script_in(s, "P. 2001:3001 ack 1");
  script_out(s, ". 1 ack 8001 <sack 9001:10001>");
  script_in(s, "P. 8001:9001 ack 1");
  script_out(s, ". 1 ack 10001 <-sack>");
  script_read(s, 10000);
  script_close(s);
}

/* A block that was forgotten is reported in full once a segment touches it. */
static void block_of_many(void **state) {
  (void)state;
  struct script *s = established();
  char line[96];
  for (uint32_t i = 0; i < 20; i++) {
    snprintf(line, sizeof line, "P. %u:%u ack 1", 1001 + 200 * i, 1101 + 200 * i);
    script_in(s, line);
  }
  script_drain(s);
  script_in(s, "P. 1101:1201 ack 1");
  script_out(s, ". 1 ack 1 <sack 1001:1301 4801:4901 4601:4701 4401:4501>");
  script_close(s);
}

static void three_beside_timestamps(void **state) {
  (void)state;
  struct script *s = with_timestamps();
  script_in(s, "P. 1001:2001 ack 1");
  script_in(s, "P. 3001:4001 ack 1");
  script_in(s, "P. 5001:6001 ack 1");
  script_in(s, "P. 7001:8001 ack 1");
  for (int i = 0; i < 3; i++) assert_true(script_next(s, 0));
  script_out(s, ". 1 ack 1 <TS * *,sack 7001:8001 5001:6001 3001:4001>");
  script_close(s);
}

/* Data carries the blocks where they fit beside it; else an ACK of its own does. */
static void blocks_in_data(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "P. 1001:2001 ack 1");
  script_out(s, ". 1 ack 1 <sack 1001:2001>");
  script_write(s, 100);
  script_out(s, "P. 1:101 ack 1 <sack 1001:2001>");
  script_write(s, 1000); /* a full segment has no room */
  script_out(s, "P. 101:1101 ack 1 <-sack>");
  script_silence(s, 0);
  script_in(s, ". 2001 ack 1101");
  script_drain(s);

  struct sim_segment segment;
  static uint8_t bytes[1000];
  uint8_t data[1000] = {0};
  assert_int_equal(mst_write(s->conn, data, sizeof data), sizeof data);
  script_segment(s, "P. 3001:4001 ack 1101", &segment, bytes, sizeof bytes);
  script_inject(s, &segment); /* news, and a full segment to send in the same turn */
  assert_true(script_next(s, 0));
  assert_int_equal(s->last.data_bytes, 1000);
  assert_int_equal(s->last.options_bytes, 0);
  script_out(s, ". 2101 ack 1 <sack 3001:4001 1001:2001>");
  script_silence(s, 0);
  script_close(s);
}

static void fin_out_of_order(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "F. 1001:2001 ack 1");
  script_out(s, ". 1 ack 1 <sack 1001:2001>");
  script_in(s, "P. 1:1001 ack 1");
  script_out(s, ". 1 ack 2002 <-sack>");
  script_read(s, 2000);
  script_close(s);
}

/* A segment without text that is ahead of what we have brings no news: answering it would be answered in turn when both
 * sides have lost something. */
static void ack_from_ahead(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, ". 1001 ack 1");
  script_silence(s, 1000);
  script_close(s);
}

/* One batch: as many ACKs as there are blocks that had news, each with its own in front. */
static void batch(void **state) {
  (void)state;
  static const char *const lines[] = {"P. 1001:2001 ack 1", "P. 2001:3001 ack 1", "P. 5001:6001 ack 1",
                                      "P. 3001:4001 ack 1"};
  enum { COUNT = sizeof lines / sizeof *lines };
  struct script *s = established();
  static uint8_t data[COUNT][1000], packets[COUNT][1200];
  struct mst_packet batch[COUNT] = {0};
  for (int i = 0; i < COUNT; i++) {
    struct sim_segment segment;
    script_segment(s, lines[i], &segment, data[i], sizeof data[i]);
    batch[i].len = (uint32_t)sim_segment_build(packets[i], &segment);
    batch[i].iov_count = 1;
    batch[i].iov[0] = (struct mst_iov){.base = packets[i], .len = batch[i].len};
  }
  mst_stack_input(s->stack, batch, COUNT, s->sim->now_ns);
  script_flush(s);
  script_out(s, ". 1 ack 1 <sack 5001:6001>");
  script_out(s, ". 1 ack 1 <sack 1001:4001 5001:6001>");
  script_silence(s, 500);
  script_close(s);
}

/* --- RFC 2883 4: the examples, with bytes 4000 on --- */

/* 4.1.1 and 5.1 */
static void duplicate_of_acknowledged(void **state) {
  (void)state;
  struct script *s = at_4000();
  script_in(s, "P. 3000:3500 ack 1");
  script_out(s, ". 1 ack 4000 <sack 3000:3500>");
  script_in(s, "P. 3000:3500 ack 1"); /* once for each */
  script_out(s, ". 1 ack 4000 <sack 3000:3500>");
  script_in(s, "P. 4000:4500 ack 1");
  script_out(s, ". 1 ack 4500 <-sack>");
  script_close(s);
}

/* 4.1.2 */
static void duplicate_before_a_gap(void **state) {
  (void)state;
  struct script *s = at_4000();
  script_in(s, "P. 4500:5000 ack 1");
  script_out(s, ". 1 ack 4000 <sack 4500:5000>");
  script_in(s, "P. 3000:3500 ack 1");
  script_out(s, ". 1 ack 4000 <sack 3000:3500 4500:5000>");
  script_in(s, "P. 5500:6000 ack 1");
  script_out(s, ". 1 ack 4000 <sack 5500:6000 4500:5000>");
  script_close(s);
}

/* 4.1.3 */
static void duplicate_of_out_of_order(void **state) {
  (void)state;
  struct script *s = at_4000();
  script_in(s, "P. 4500:5000 ack 1");
  script_out(s, ". 1 ack 4000 <sack 4500:5000>");
  script_in(s, "P. 5000:5500 ack 1");
  script_out(s, ". 1 ack 4000 <sack 4500:5500>");
  script_in(s, "P. 5000:5500 ack 1");
  script_out(s, ". 1 ack 4000 <sack 5000:5500 4500:5500>");
  assert_int_equal(script_drops(s, MST_DROP_TCP_OFO_FULL), 0);
  script_close(s);
}

/* 4.2.1, plus 3000 */
static void part_of_a_segment(void **state) {
  (void)state;
  struct script *s = at_4000();
  script_in(s, "P. 5000:5500 ack 1");
  script_out(s, ". 1 ack 4000 <sack 5000:5500>");
  script_in(s, "P. 4000:4500 ack 1");
  script_out(s, ". 1 ack 4500 <sack 5000:5500>");
  script_in(s, "P. 4000:5000 ack 1");
  script_out(s, ". 1 ack 5500 <sack 4000:4500>");
  script_read(s, 1500);
  script_close(s);
}

/* 4.2.2: only the first of two parts. */
static void two_parts_below(void **state) {
  (void)state;
  struct script *s = at_4000();
  script_in(s, "P. 6000:6500 ack 1");
  script_out(s, ". 1 ack 4000 <sack 6000:6500>");
  script_in(s, "P. 4000:4500 ack 1");
  script_out(s, ". 1 ack 4500 <sack 6000:6500>");
  script_in(s, "P. 5000:5500 ack 1");
  script_out(s, ". 1 ack 4500 <sack 5000:5500 6000:6500>");
  script_in(s, "P. 4000:5500 ack 1");
  script_out(s, ". 1 ack 5500 <sack 4000:4500 6000:6500>");
  script_read(s, 1500);
  script_close(s);
}

/* 4.2.3 */
static void two_parts_above(void **state) {
  (void)state;
  struct script *s = at_4000();
  script_in(s, "P. 6500:7000 ack 1");
  script_out(s, ". 1 ack 4000 <sack 6500:7000>");
  script_in(s, "P. 4500:5000 ack 1");
  script_out(s, ". 1 ack 4000 <sack 4500:5000 6500:7000>");
  script_in(s, "P. 5000:5500 ack 1");
  script_out(s, ". 1 ack 4000 <sack 4500:5500 6500:7000>");
  script_in(s, "P. 4500:6000 ack 1");
  script_out(s, ". 1 ack 4000 <sack 4500:5500 4500:6000 6500:7000>");
  script_close(s);
}

/* A segment in order that reaches what had come before it. */
static void part_that_was_ahead(void **state) {
  (void)state;
  struct script *s = at_4000();
  script_in(s, "P. 4500:5000 ack 1");
  script_out(s, ". 1 ack 4000 <sack 4500:5000>");
  script_in(s, "P. 4000:5500 ack 1");
  script_out(s, ". 1 ack 5500 <sack 4500:5000>");
  script_read(s, 1500);
  script_close(s);
}

/* 4.3 */
static void duplicate_by_paws(void **state) {
  (void)state;
  struct script *s = with_timestamps();
  script_wait(s, 10);
  script_in(s, "P. 1:1001 ack 1");
  script_out(s, ". 1 ack 1001 <-sack>");
  script_in(s, "P. 1:1001 ack 1 <TS 900 0>");
  script_out(s, ". 1 ack 1001 <TS * *,sack 1:1001>");
  assert_int_equal(script_drops(s, MST_DROP_TCP_PAWS), 1);
  script_close(s);
}

static void duplicate_fin(void **state) {
  (void)state;
  struct script *s = established();
  script_in(s, "F. 1:1001 ack 1");
  script_out(s, ". 1 ack 1002");
  script_in(s, "F. 1:1001 ack 1");
  script_out(s, ". 1 ack 1002 <sack 1:1002>");
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(offered_and_accepted),
      cmocka_unit_test(order_of_options),
      cmocka_unit_test(not_offered),
      cmocka_unit_test(not_accepted),
      cmocka_unit_test(switched_off),
      cmocka_unit_test(first_block_is_the_newest),
      cmocka_unit_test(block_of_many),
      cmocka_unit_test(three_beside_timestamps),
      cmocka_unit_test(blocks_in_data),
      cmocka_unit_test(fin_out_of_order),
      cmocka_unit_test(ack_from_ahead),
      cmocka_unit_test(batch),
      cmocka_unit_test(duplicate_of_acknowledged),
      cmocka_unit_test(duplicate_before_a_gap),
      cmocka_unit_test(duplicate_of_out_of_order),
      cmocka_unit_test(part_of_a_segment),
      cmocka_unit_test(two_parts_below),
      cmocka_unit_test(two_parts_above),
      cmocka_unit_test(part_that_was_ahead),
      cmocka_unit_test(duplicate_by_paws),
      cmocka_unit_test(duplicate_fin),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
