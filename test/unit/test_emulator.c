/* The link emulator judges others, so it is judged itself: what befalls packets, by time and by index, and what it
 * says that a receiver has got. */
#include "emulator/config.h"
#include "unit.h"

#include <stdlib.h>

#define MS 1000000ull

static struct flow_class class_of(const char *line) {
  struct flow_class class;
  assert_true(flow_class_parse(line, &class));
  return class;
}

/* 12 Mb/s: a packet of 1,500 bytes takes 1 ms. */
static void rate_delay_and_queue(void **state) {
  (void)state;
  struct flow_class class = class_of("port=1 | rate=12000000 delay_us=10000 queue=4500 mark=1500 | delay_us=1");
  struct path path = {0};
  for (unsigned i = 0; i < 5; i++) {
    struct path_verdict verdict = path_enter(&path, &class.path[0], 1, 1500, 100 * MS);
    assert_int_equal(verdict.overflowed, i >= 3);
    assert_int_equal(verdict.marked, i == 2);
    if (!verdict.overflowed) assert_int_equal(verdict.due_ns, (100 + i + 1 + 10) * MS);
  }
  assert_int_equal(path_enter(&path, &class.path[0], 1, 1500, 200 * MS).due_ns, 211 * MS);
  assert_int_equal(path_enter(&path, &class.path[1], 1, 1500, 300 * MS).due_ns, 300 * MS + 1000);
}

static void fate_goes_by_index(void **state) {
  (void)state;
  struct flow_class class = class_of("port=1 | loss=50000 reorder=30000 reorder_us=7000 duplicate=20000 drop=3 |");
  struct path one = {0}, other = {0};
  unsigned lost = 0, reordered = 0, duplicated = 0;
  for (unsigned i = 1; i <= 100000; i++) {
    struct path_verdict a = path_enter(&one, &class.path[0], 7, 1500, i * MS);
    struct path_verdict b = path_enter(&other, &class.path[0], 7, 600, 3 * i * MS);
    assert_int_equal(a.lost, b.lost);
    assert_int_equal(a.reordered, b.reordered);
    assert_int_equal(a.duplicated, b.duplicated);
    if (i == 3) assert_true(a.lost);
    if (!a.lost) assert_int_equal(a.due_ns, i * MS + (a.reordered ? 7 * MS : 0));
    lost += a.lost, reordered += a.reordered, duplicated += a.duplicated;
  }
  assert_in_range(lost, 4700, 5300);
  assert_in_range(reordered, 2650, 3050);
  assert_in_range(duplicated, 1750, 2050);
}

/* A sender whose ACKs go alone loses the same segments as one that sends them with data. */
static void packets_without_data_shift_nothing(void **state) {
  (void)state;
  struct flow_class class = class_of("port=1 | loss=50000 reorder=30000 reorder_us=7000 |");
  struct path one = {0}, other = {0};
  unsigned bare_lost = 0;
  for (unsigned i = 1; i <= 10000; i++) {
    bare_lost += path_enter(&other, &class.path[0], 7, 52, i * MS).lost;
    struct path_verdict a = path_enter(&one, &class.path[0], 7, 1500, i * MS);
    struct path_verdict b = path_enter(&other, &class.path[0], 7, 1500, i * MS);
    assert_int_equal(a.lost, b.lost);
    assert_int_equal(a.reordered, b.reordered);
  }
  assert_in_range(bare_lost, 400, 600);
}

static void bursts_last(void **state) {
  (void)state;
  struct flow_class class = class_of("port=1 | drop=2 burst_us=3000 loss=1 |");
  struct path path = {0};
  for (unsigned i = 1; i <= 8; i++)
    assert_int_equal(path_enter(&path, &class.path[0], 1, 100, i * MS).lost, i >= 2 && i <= 4);
}

/* A segment of IPv4 between 10.0.0.9:1000 and 10.0.0.3:5000. */
static struct segment segment_of(bool reply, uint8_t flags, uint32_t seq, uint32_t payload, uint8_t ip[1500]) {
  struct segment segment;
  uint16_t ports[2] = {reply ? 5000 : 1000, reply ? 1000 : 5000}, bytes = (uint16_t)(40 + payload);
  memset(ip, 0, 1500);
  ip[0] = 0x45, ip[1] = 2, ip[2] = (uint8_t)(bytes >> 8), ip[3] = (uint8_t)bytes, ip[9] = 6;
  ip[12] = ip[16] = 10, ip[15] = reply ? 3 : 9, ip[19] = reply ? 9 : 3;
  for (int i = 0; i < 2; i++) ip[20 + 2 * i] = (uint8_t)(ports[i] >> 8), ip[21 + 2 * i] = (uint8_t)ports[i];
  for (int i = 0; i < 4; i++) ip[24 + i] = (uint8_t)(seq >> (24 - 8 * i));
  ip[32] = 0x50, ip[33] = flags;
  assert_true(segment_parse(ip, bytes, &segment));
  assert_int_equal(segment.payload_bytes, payload);
  return segment;
}

static void what_has_arrived(void **state) {
  (void)state;
  static const struct {
    uint32_t from, bytes;
    uint64_t got;
  } steps[] = {{0, 100, 100},  {200, 100, 100}, {400, 100, 100}, {300, 50, 100},  {150, 50, 100},
               {100, 50, 350}, {0, 500, 500},   {400, 100, 500}, {600, 100, 500}, {500, 150, 700}};
  struct flow_class class = class_of("port=5000 goal_bytes=600 goal_from_ms=2 goal_ms=6 | |");
  struct flows *flows = flows_new(&class, 1);
  uint8_t ip[1500];
  enum direction direction;
  uint32_t isn = UINT32_MAX - 150; /* numbers wrap */
  struct segment syn = segment_of(false, SEGMENT_SYN, isn, 0, ip);
  struct flow *flow = flows_find(flows, &syn, 0, &direction);
  assert_non_null(flow);
  assert_int_equal(flow_client(flow), 9);
  flow_enter(flow, direction, &syn, 0);
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    struct segment data = segment_of(false, SEGMENT_ACK, isn + 1 + steps[i].from, steps[i].bytes, ip);
    assert_ptr_equal(flows_find(flows, &data, i * MS, &direction), flow);
    assert_int_equal(direction, FORWARD);
    flow_enter(flow, FORWARD, &data, i * MS);
    flow_arrive(flow, FORWARD, &data, i * MS);
    assert_int_equal(flow->side[FORWARD].arrived.bytes, steps[i].got);
  }
  assert_int_equal(flow->done_ns, 9 * MS);
  assert_int_equal(flow->goal_got_bytes, 400); /* of 500 at 6 ms, 100 came before 2 ms */
  assert_int_equal(flow->side[FORWARD].retransmitted, 6);
  struct segment back = segment_of(true, SEGMENT_ACK, 77, 10, ip);
  assert_ptr_equal(flows_find(flows, &back, 0, &direction), flow);
  assert_int_equal(direction, BACK);
  flows_free(flows);
}

/* The nth flow of each client has the seed of the nth flow of any other. */
static void flows_are_paired(void **state) {
  (void)state;
  struct flow_class class = class_of("port=5000 seed=3 | |");
  struct flows *flows = flows_new(&class, 1);
  uint8_t ip[1500];
  enum direction direction;
  uint64_t seeds[2][3];
  for (unsigned i = 0; i < 6; i++) {
    segment_of(false, SEGMENT_SYN, i, 0, ip);
    ip[15] = (uint8_t)(1 + i % 2), ip[21] = (uint8_t)i;
    struct segment syn;
    assert_true(segment_parse(ip, 40, &syn));
    seeds[i % 2][i / 2] = flows_find(flows, &syn, 0, &direction)->seed;
  }
  assert_memory_equal(seeds[0], seeds[1], sizeof seeds[0]);
  assert_true(seeds[0][0] != seeds[0][1] && seeds[0][1] != seeds[0][2]);
  flows_free(flows);
}

/* RFC 1624: the header's checksum stays right. */
static void a_mark_keeps_the_checksum(void **state) {
  (void)state;
  uint8_t ip[1500];
  segment_of(false, SEGMENT_ACK, 1, 0, ip);
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
  sum = ~((sum & 0xffff) + (sum >> 16));
  ip[10] = (uint8_t)(sum >> 8), ip[11] = (uint8_t)sum;
  segment_mark(ip);
  assert_int_equal(ip[1] & 3, 3);
  sum = 0;
  for (int i = 0; i < 20; i += 2) sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
  assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
}

static void lines_that_are_wrong(void **state) {
  (void)state;
  static const char *const lines[] = {
      "",        "port=0",       "port=1 rate=1", "port=1 | rate=",          "port=1 | speed=1",
      "port=1x", "port=1 | | |", "port",          "port=1 | rate=1 | loss=x"};
  struct flow_class class;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) assert_false(flow_class_parse(lines[i], &class));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rate_delay_and_queue),
      cmocka_unit_test(fate_goes_by_index),
      cmocka_unit_test(packets_without_data_shift_nothing),
      cmocka_unit_test(bursts_last),
      cmocka_unit_test(what_has_arrived),
      cmocka_unit_test(flows_are_paired),
      cmocka_unit_test(a_mark_keeps_the_checksum),
      cmocka_unit_test(lines_that_are_wrong),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
