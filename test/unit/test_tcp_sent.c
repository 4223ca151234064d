/* The records of what was sent (csrc/tcp/sent.h): what they cost and that they add up, at sizes that packet scripts do
 * not reach. */
#include "sim/script.h"
#include "tcp/conn.h"

#include <stdlib.h>

#define SEGMENT 100u
#define MANY 100000u

/* A connection with `count` segments outstanding, each sent at a time of its own. */
static struct script *outstanding(uint32_t count) {
  struct script *s = script_open(&(struct script_options){.stack = {.send_buffer_bytes = 64 << 20}});
  script_establish(s, "mss 100,sackOK,wscale 14", 65535);
  script_in(s, ". 1 ack 1 win 65535");
  struct mst_conn *conn = s->conn;
  conn->nodelay = true;
  static const uint8_t data[SEGMENT];
  for (uint32_t i = 0; i < count; i++) {
    conn->cc.cwnd = 1u << 30; /* whatever congestion control thinks of it */
    assert_int_equal(mst_write(conn, data, SEGMENT), SEGMENT);
    mst_stack_flush(s->stack, s->stack->now_ns + 1);
  }
  assert_int_equal(conn->snd_nxt - conn->snd_una, count * SEGMENT);
  return s;
}

static void acknowledge(struct script *s, uint32_t ack, uint32_t sacked_from, uint32_t sacked_to) {
  struct mst_conn *conn = s->conn;
  struct mst__tcp tcp = {.seq = conn->rcv_nxt, .ack = conn->iss + ack, .flags = MST__ACK, .window = 65535};
  if (sacked_from != sacked_to) {
    tcp.options.sack_count = 1;
    tcp.options.sack[0] = (struct mst__sack_block){conn->iss + sacked_from, conn->iss + sacked_to};
  }
  assert_true(mst__ack_input(conn, &tcp));
}

static unsigned depth(const struct mst__seq_node *node) {
  if (!node) return 0;
  unsigned left = depth(node->left), right = depth(node->right);
  return 1 + (left > right ? left : right);
}

/* Every second one SACKed, in random order, from a receiver that tells one hole at a time. */
static void sacked_in_random_order(void **state) {
  (void)state;
  struct script *s = outstanding(MANY);
  struct mst_conn *conn = s->conn;
  uint32_t *order = malloc(MANY / 2 * sizeof *order);
  assert_non_null(order);
  struct sim_random random = {.state = 3};
  for (uint32_t i = 0; i < MANY / 2; i++) {
    uint32_t at = (uint32_t)sim_random_below(&random, i + 1);
    order[i] = order[at];
    order[at] = 2 * i + 1;
  }
  for (uint32_t i = 0; i < MANY / 2; i++) {
    uint32_t from = 1 + order[i] * SEGMENT;
    acknowledge(s, 1, from, from + SEGMENT);
  }
  free(order);
  assert_true(mst__sent_check(conn));
  assert_int_equal(conn->sent.sacked_bytes, MANY / 2 * SEGMENT);
  assert_int_equal(conn->sent.count, MANY);
  assert_true(depth(conn->sent.tree.root) < 64); /* what a search costs */
  acknowledge(s, 1 + MANY * SEGMENT, 0, 0);
  assert_int_equal(conn->sent.count, 0);
  assert_true(mst__sent_check(conn));
  script_drain(s);
  script_close(s);
}

/* What is SACKed in a row is one record, however it was told. */
static void neighbours_join(void **state) {
  (void)state;
  struct script *s = outstanding(1000);
  struct mst_conn *conn = s->conn;
  for (uint32_t i = 1; i < 1000; i += 2) acknowledge(s, 1, 1 + i * SEGMENT, 1 + (i + 1) * SEGMENT);
  assert_int_equal(conn->sent.count, 1000);
  for (uint32_t i = 2; i < 1000; i += 2) acknowledge(s, 1, 1 + i * SEGMENT, 1 + (i + 1) * SEGMENT);
  assert_int_equal(conn->sent.count, 2);
  assert_int_equal(conn->sent.sacked_bytes, 999 * SEGMENT);
  assert_true(mst__sent_check(conn));
  script_drain(s);
  script_close(s);
}

/* Segments of one byte each share records, and memory stays within what a few per segment's worth of bytes take. */
static void crumbs_share_records(void **state) {
  (void)state;
  struct script *s = outstanding(1);
  struct mst_conn *conn = s->conn;
  size_t before = s->node->memory.bytes;
  for (uint32_t i = 0; i < 20000; i++) {
    assert_int_equal(mst_write(conn, "", 1), 1);
    mst_stack_flush(s->stack, s->stack->now_ns + 1);
  }
  assert_true(conn->sent.count <= 64 + 20000 / SEGMENT + 1);
  assert_true(s->node->memory.bytes - before < 3 * 20000);
  assert_true(mst__sent_check(conn));
  script_drain(s);
  script_close(s);
}

/* The path takes less: what goes again is cut anew, and a SACK of such a segment is of all of it. */
static void cut_anew(void **state) {
  (void)state;
  struct script *s = outstanding(4);
  struct mst_conn *conn = s->conn;
  mst__conn_set_path_mtu(conn, 40 + 60);
  mst__sent_mark_all_lost(conn);
  acknowledge(s, 1, 61, 121);
  assert_int_equal(conn->sent.sacked_bytes, 60);
  assert_true(mst__sent_check(conn));
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cut_anew),
      cmocka_unit_test(sacked_in_random_order),
      cmocka_unit_test(neighbours_join),
      cmocka_unit_test(crumbs_share_records),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
