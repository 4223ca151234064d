/* Reassembly: any order, any overlap, the copy that came first wins, and what it costs is bounded. */
#include "sim/script.h"
#include "tcp/recvq.h"

#include <stdlib.h>
#include <string.h>

enum { STREAM = 1 << 20 };
#define FIRST_SEQ 0xfff80000u /* the numbers wrap in the middle */

struct rig {
  struct sim *sim;
  mst_stack *stack;
  struct mst__recvq queue;
  struct sim_random random;
};

static void rig_open(struct rig *r, uint64_t seed) {
  *r = (struct rig){.sim = sim_new(seed), .random = {seed}};
  r->stack = sim_add_stack(r->sim, NULL)->stack;
}

static void rig_close(struct rig *r) {
  mst__recvq_free(&r->queue, r->stack);
  assert_int_equal(sim_free(r->sim), 0);
}

static uint32_t below(struct rig *r, uint32_t limit) {
  return (uint32_t)sim_random_below(&r->random, limit);
}

/* --- against a model that keeps one cell a byte --- */

struct model {
  uint8_t bytes[STREAM]; /* 0: not there */
  uint32_t end;          /* of what is in order */
};

/* The first part of [at, at + bytes) that the model has. */
static struct mst__sack_block model_insert(struct model *m, uint32_t at, const uint8_t *data, uint32_t bytes) {
  struct mst__sack_block duplicate = {0};
  bool over = false;
  for (uint32_t i = 0; i < bytes; i++) {
    bool held = m->bytes[at + i] != 0;
    if (!held) m->bytes[at + i] = data[i];
    if (held && !over && duplicate.left == duplicate.right) duplicate.left = FIRST_SEQ + at + i;
    if (held && !over) duplicate.right = FIRST_SEQ + at + i + 1;
    if (!held && duplicate.left != duplicate.right) over = true;
  }
  return duplicate;
}

static void compare_with(struct rig *r, struct model *m) {
  static uint8_t got[STREAM];
  uint32_t read = (uint32_t)mst__recvq_read(&r->queue, r->stack, got, sizeof got);
  assert_memory_equal(got, m->bytes + m->end - read, read);
}

static void disagreeing_copies(void **state) {
  (void)state;
  static uint8_t data[3000];
  static struct model m;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    struct rig r;
    rig_open(&r, seed);
    memset(&m, 0, sizeof m);
    uint32_t longest = seed % 2 ? 3000 : 40, length = seed % 2 ? STREAM : STREAM / 16;
    while (m.end < length) {
      uint32_t ahead = length - m.end < 60000 ? length - m.end : 60000;
      uint32_t at = m.end + 1 + below(&r, ahead), bytes = 1 + below(&r, longest);
      if (below(&r, 10) == 0 || at >= length) { /* fill the gap in front, as text.c does */
        uint32_t gap = mst__recvq_gap(&r.queue, FIRST_SEQ + m.end);
        at = m.end;
        if (bytes > gap) bytes = gap;
      }
      if (bytes > length - at) bytes = length - at;
      uint8_t copy = (uint8_t)(1 + below(&r, 255)); /* each segment brings its own truth */
      memset(data, copy, bytes);
      if (at == m.end) {
        uint32_t lost;
        assert_true(mst__recvq_append(&r.queue, r.stack, data, bytes));
        memset(m.bytes + at, copy, bytes);
        m.end = mst__recvq_join(&r.queue, r.stack, FIRST_SEQ + at + bytes) - FIRST_SEQ;
        assert_true(mst__recvq_detach(&r.queue, r.stack, &lost));
        compare_with(&r, &m);
        continue;
      }
      struct mst__sack_block duplicate, expected = model_insert(&m, at, data, bytes), run;
      struct mst__text text = {.seq = FIRST_SEQ + at, .bytes = bytes, .data = data};
      assert_true(mst__recvq_insert(&r.queue, r.stack, text, UINT32_MAX, &duplicate));
      assert_memory_equal(&duplicate, &expected, sizeof duplicate);
      assert_true(mst__recvq_run(&r.queue, text.seq, &run));
      uint32_t left = run.left - FIRST_SEQ, right = run.right - FIRST_SEQ;
      assert_true(left <= at && right >= at + bytes);
      assert_int_equal(m.bytes[left - 1], 0);
      assert_true(right == STREAM || m.bytes[right] == 0);
    }
    assert_null(r.queue.runs.first);
    assert_int_equal(r.queue.ofo_bytes, 0);
    assert_int_equal(r.queue.memory_bytes, 0);
    rig_close(&r);
  }
}

/* Through the whole stack: the bytes that came first are read, wherever the later ones lie. */
static void first_copy_is_read(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000,sackOK", 65535);
  script_in(s, "P. 501:1001 ack 1");
  script_out(s, ". 1 ack 1 <sack 501:1001>");
  struct sim_segment segment;
  static uint8_t data[2000];
  script_segment(s, "P. 401:1501 ack 1", &segment, data, sizeof data);
  memset(data + 100, 0xee, 500); /* not what was there */
  script_inject(s, &segment);
  script_out(s, ". 1 ack 1 <sack 501:1001 401:1501>");
  script_segment(s, "P. 1:1601 ack 1", &segment, data, sizeof data);
  memset(data + 400, 0xdd, 1100);
  script_inject(s, &segment);
  script_out(s, ". 1 ack 1601 <sack 401:1501>");
  script_read(s, 1600);
  script_close(s);
}

/* --- what it costs --- */

static uint32_t depth_of(const struct mst__seq_node *node) {
  if (!node) return 0;
  uint32_t left = depth_of(node->left), right = depth_of(node->right);
  return 1 + (left > right ? left : right);
}

/* 100,000 pieces, no two of which touch, come in the order that is worst for the set: no search takes more than a small
 * multiple of log2(100,000) = 17 steps. Then what lies between them. */
static void hundred_thousand(void **state) {
  (void)state;
  enum { PIECES = 100000, ORDERS = 4 };
  static uint32_t order[PIECES];
  for (int kind = 0; kind < ORDERS; kind++) {
    struct rig r;
    rig_open(&r, 7);
    for (uint32_t i = 0; i < PIECES; i++) order[i] = i;
    for (uint32_t i = 0; i < PIECES; i++) {
      uint32_t j = kind == 0 ? i : kind == 1 ? PIECES - 1 - i : kind == 2 ? i ^ 1 : below(&r, PIECES);
      if (kind == 1 && j <= i) break;
      uint32_t other = order[j];
      order[j] = order[i];
      order[i] = other;
    }
    struct mst__sack_block duplicate;
    struct mst__text text = {.bytes = 2, .data = (const uint8_t *)"ab"};
    for (uint32_t i = 0; i < PIECES; i++) {
      text.seq = FIRST_SEQ + 1 + 3 * order[i];
      assert_true(mst__recvq_insert(&r.queue, r.stack, text, UINT32_MAX, &duplicate));
      if (i % 10000 == 9999) assert_true(depth_of(r.queue.runs.root) < 60);
    }
    text.bytes = 1;
    for (uint32_t i = 1; i < PIECES; i++) {
      text.seq = FIRST_SEQ + 3 * i;
      assert_true(mst__recvq_insert(&r.queue, r.stack, text, UINT32_MAX, &duplicate));
    }
    struct mst__sack_block run;
    assert_true(mst__recvq_run(&r.queue, FIRST_SEQ + 1, &run));
    assert_int_equal(run.right - run.left, 3 * PIECES - 1);
    assert_int_equal(mst__recvq_join(&r.queue, r.stack, FIRST_SEQ + 1), FIRST_SEQ + 3 * PIECES);
    assert_int_equal(r.queue.ofo_bytes, 0);
    assert_true(r.queue.memory_bytes < 2 * r.queue.bytes + 200000);
    rig_close(&r);
  }
}

static uint64_t memory(struct script *s) {
  return script_stats(s).memory_bytes;
}

/* Bytes one by one, each with a gap behind it or none, forward and backward: what is held stays within twice the
 * buffer, whatever overhead a byte has. */
static void tiny_segments(void **state) {
  (void)state;
  enum { BUFFER = 65536 };
  for (int kind = 0; kind < 4; kind++) {
    struct script *s = script_open(&(struct script_options){.stack.receive_buffer_bytes = BUFFER});
    script_establish(s, "mss 1000,sackOK", 65535);
    uint64_t before = memory(s), most = 0;
    uint32_t step = kind & 1 ? 1 : 2;
    for (uint32_t i = 0; i < 20000; i++) {
      uint32_t seq = kind & 2 ? 40001 - step * i : 2 + step * i;
      script_in_with(s, "P. %u:%u ack 1", seq, seq + 1);
      script_drain(s);
      if (memory(s) - before > most) most = memory(s) - before;
    }
    assert_true(most <= 2 * BUFFER + 1024);
    assert_true(script_info(s).rcv_wnd >= 65000);
    script_close(s);
  }
}

/* The same in order, with nobody who reads. */
static void tiny_segments_in_order(void **state) {
  (void)state;
  enum { BUFFER = 65536 };
  struct script *s = script_open(&(struct script_options){.stack.receive_buffer_bytes = BUFFER});
  script_establish(s, "mss 1000,sackOK", 65535);
  uint64_t before = memory(s);
  for (uint32_t seq = 1; seq < 60000; seq++) {
    uint32_t ahead = seq + 1;
    if (seq % 8 == 1) script_in_with(s, "P. %u:%u ack 1", ahead, ahead + 1);
    script_in_with(s, "P. %u:%u ack 1", seq, seq + 1);
    script_drain(s);
  }
  assert_true(memory(s) - before <= 2 * BUFFER + 65536);
  script_read(s, 60000 - 1);
  assert_true(memory(s) <= before);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(disagreeing_copies),     cmocka_unit_test(first_copy_is_read),
      cmocka_unit_test(hundred_thousand),       cmocka_unit_test(tiny_segments),
      cmocka_unit_test(tiny_segments_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
