/* A channel: what goes in at one side comes out at the other, and nothing that the stack's side writes into the shared
 * region hurts the switch's. */
#include "switch/channel_end.h"
#include "unit.h"

struct pair {
  mst_channel *channel;
  struct mst__channel_end end;
  uint32_t *rx_ends;
};

static void open_pair(struct pair *pair, const struct mst_channel_options *options) {
  assert_int_equal(mst_channel_create(options, &pair->channel), 0);
  const struct mst__channel_geometry *geometry = mst__channel_geometry(pair->channel);
  pair->rx_ends = calloc(geometry->rx_slots, sizeof *pair->rx_ends);
  mst__channel_end_init(&pair->end, geometry, pair->rx_ends);
}

static void close_pair(struct pair *pair) {
  free(pair->rx_ends);
  mst_channel_destroy(pair->channel);
}

static const struct mst_channel_options small = {
    .size = sizeof small, .tx_slots = 8, .rx_slots = 8, .rx_bytes = 256 << 10, .arena_bytes = 1 << 20};

static uint32_t waiting(struct pair *pair) {
  bool broken;
  uint32_t count = mst__tx_waiting(&pair->end, &broken);
  assert_false(broken);
  return count;
}

static void refuses_impossible_sizes(void **state) {
  (void)state;
  mst_channel *channel;
  struct mst_channel_options options = {.size = sizeof options, .tx_slots = 3};
  assert_int_equal(mst_channel_create(&options, &channel), -MST_EINVAL);
  options = (struct mst_channel_options){.size = sizeof options, .rx_bytes = 128 << 10};
  assert_int_equal(mst_channel_create(&options, &channel), -MST_EINVAL);
  options = (struct mst_channel_options){.size = sizeof options, .arena_bytes = (size_t)5 << 30};
  assert_int_equal(mst_channel_create(&options, &channel), -MST_EINVAL);
  options = (struct mst_channel_options){.size = 1};
  assert_int_equal(mst_channel_create(&options, &channel), -MST_EINVAL);
}

static void small_packets_travel_whole(void **state) {
  (void)state;
  struct pair pair;
  struct mst__taken taken;
  open_pair(&pair, &small);
  uint8_t bytes[MST_CHANNEL_INLINE_BYTES];
  for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
  for (unsigned len = 20; len <= sizeof bytes; len++) {
    struct mst_packet packet = {
        .len = len, .flags = MST_CSUM_PARTIAL, .iov_count = 2, .iov = {{bytes, 20}, {bytes + 20, len - 20}}};
    assert_int_equal(mst_channel_send(pair.channel, &packet), 0);
    assert_int_equal(waiting(&pair), 1);
    assert_true(mst__tx_take(&pair.end, 0, &taken));
    assert_int_equal(taken.len, len);
    assert_int_equal(taken.flags, MST_CSUM_PARTIAL);
    assert_memory_equal(taken.bytes, bytes, len);
    mst__tx_done(&pair.end, 1);
  }
  close_pair(&pair);
}

static void large_packets_travel_by_reference(void **state) {
  (void)state;
  struct pair pair;
  struct mst__taken taken;
  open_pair(&pair, &small);
  uint8_t header[60] = {1, 2, 3};
  uint8_t *payload = mst_channel_alloc(pair.channel, 3000);
  struct mst_packet packet = {
      .len = 3060, .gso_size = 1000, .iov_count = 3, .iov = {{header, 60}, {payload, 1000}, {payload + 1000, 2000}}};
  assert_int_equal(mst_channel_send(pair.channel, &packet), 0);
  assert_true(mst__tx_take(&pair.end, 0, &taken));
  assert_int_equal(taken.len, 3060);
  assert_int_equal(taken.gso_size, 1000);
  assert_int_equal(taken.inline_bytes, 60);
  assert_int_equal(taken.frag_count, 2);
  assert_ptr_equal(pair.end.geometry.region + taken.frags[0].offset, payload);
  assert_ptr_equal(pair.end.geometry.region + taken.frags[1].offset, payload + 1000);
  close_pair(&pair);
}

static void payload_must_lie_in_the_arena(void **state) {
  (void)state;
  struct pair pair;
  open_pair(&pair, &small);
  uint8_t bytes[1000] = {0};
  struct mst_packet outside = {.len = 1060, .iov_count = 2, .iov = {{bytes, 60}, {bytes, 1000}}};
  assert_int_equal(mst_channel_send(pair.channel, &outside), -MST_EFAULT);
  struct mst_packet one_piece = {.len = 1000, .iov_count = 1, .iov = {{bytes, 1000}}};
  assert_int_equal(mst_channel_send(pair.channel, &one_piece), -MST_EFAULT);
  uint8_t *end = pair.end.geometry.region + pair.end.geometry.region_bytes;
  struct mst_packet beyond = {.len = 1060, .iov_count = 2, .iov = {{bytes, 60}, {end - 999, 1000}}};
  assert_int_equal(mst_channel_send(pair.channel, &beyond), -MST_EFAULT);
  assert_int_equal(waiting(&pair), 0);
  close_pair(&pair);
}

static void lengths_must_agree(void **state) {
  (void)state;
  struct pair pair;
  open_pair(&pair, &small);
  uint8_t bytes[300] = {0};
  struct mst_packet more = {.len = 100, .iov_count = 2, .iov = {{bytes, 60}, {bytes, 300}}};
  assert_int_equal(mst_channel_send(pair.channel, &more), -MST_EINVAL);
  struct mst_packet less = {.len = 100, .iov_count = 1, .iov = {{bytes, 60}}};
  assert_int_equal(mst_channel_send(pair.channel, &less), -MST_EINVAL);
  struct mst_packet none = {.len = 0, .iov_count = 0};
  assert_int_equal(mst_channel_send(pair.channel, &none), -MST_EINVAL);
  assert_int_equal(waiting(&pair), 0);
  close_pair(&pair);
}

static void full_ring_says_try_again(void **state) {
  (void)state;
  struct pair pair;
  open_pair(&pair, &small);
  uint8_t bytes[40] = {0};
  struct mst_packet packet = {.len = 40, .iov_count = 1, .iov = {{bytes, 40}}};
  for (int i = 0; i < 8; i++) assert_int_equal(mst_channel_send(pair.channel, &packet), 0);
  assert_int_equal(mst_channel_send(pair.channel, &packet), -MST_EAGAIN);
  mst__tx_done(&pair.end, 1);
  assert_int_equal(mst_channel_send(pair.channel, &packet), 0);
  assert_int_equal(mst_channel_send(pair.channel, &packet), -MST_EAGAIN);
  close_pair(&pair);
}

static void freed_payload_waits_until_it_is_taken(void **state) {
  (void)state;
  struct pair pair;
  open_pair(&pair, &small);
  uint8_t header[60] = {0};
  uint8_t *payload = mst_channel_alloc(pair.channel, 1000);
  struct mst_packet packet = {.len = 1060, .iov_count = 2, .iov = {{header, 60}, {payload, 1000}}};
  assert_int_equal(mst_channel_send(pair.channel, &packet), 0);
  mst_channel_free(pair.channel, payload, 1000);
  uint8_t *other = mst_channel_alloc(pair.channel, 1000);
  assert_ptr_not_equal(other, payload);
  mst__tx_done(&pair.end, 1);
  assert_ptr_equal(mst_channel_alloc(pair.channel, 1000), payload);
  close_pair(&pair);
}

static void deliver(struct pair *pair, uint32_t len, uint8_t mark) {
  uint8_t *room = mst__rx_reserve(&pair->end, len);
  assert_non_null(room);
  assert_int_equal((uintptr_t)room % 64, 0);
  memset(room, mark, len);
  mst__rx_commit(&pair->end, len, 0, MST_CSUM_VALID);
  mst__rx_publish(&pair->end);
}

static void take(struct pair *pair, uint32_t len, uint8_t mark) {
  struct mst_packet packet;
  assert_int_equal(mst_channel_receive(pair->channel, &packet, 1), 1);
  assert_int_equal(packet.len, len);
  assert_int_equal(packet.flags, MST_CSUM_VALID);
  const uint8_t *bytes = packet.iov[0].base;
  for (uint32_t i = 0; i < len; i++) assert_int_equal(bytes[i], mark);
  mst_channel_release(pair->channel, 1);
}

static void receive_ring_goes_round(void **state) {
  (void)state;
  struct pair pair;
  struct sim_random random = {5};
  open_pair(&pair, &small);
  uint32_t lens[4096];
  unsigned in = 0, out = 0;
  while (out < COUNT(lens)) {
    uint32_t len = (uint32_t)(sim_random_next(&random) % (in % 3 ? 1500 : 65535)) + 1;
    bool room = in < COUNT(lens) && in - out < 8 && mst__rx_reserve(&pair.end, len);
    if (room && sim_random_next(&random) % 2) {
      lens[in] = len;
      deliver(&pair, len, (uint8_t)in);
      in++;
    } else if (in > out) {
      take(&pair, lens[out], (uint8_t)out);
      out++;
    }
  }
  close_pair(&pair);
}

static void empty_ring_starts_over(void **state) {
  (void)state;
  struct pair pair;
  open_pair(&pair, &small);
  uint8_t *first = mst__rx_reserve(&pair.end, 1000);
  unsigned used = 0;
  for (unsigned i = 0; i < 1000; i++) {
    deliver(&pair, 1000, (uint8_t)i);
    take(&pair, 1000, (uint8_t)i);
    uint8_t *next = mst__rx_reserve(&pair.end, 1000);
    if ((unsigned)(next - first) > used) used = (unsigned)(next - first);
  }
  assert_true(used <= MST__RX_HOT_BYTES);
  close_pair(&pair);
}

static void full_receive_ring_has_no_room(void **state) {
  (void)state;
  struct pair pair;
  open_pair(&pair, &small);
  for (unsigned i = 0; i < 8; i++) deliver(&pair, 100, (uint8_t)i);
  assert_null(mst__rx_reserve(&pair.end, 100)); /* of descriptors */
  for (unsigned i = 0; i < 8; i++) take(&pair, 100, (uint8_t)i);
  for (unsigned i = 0; i < 4; i++) deliver(&pair, 64 << 10, (uint8_t)i);
  assert_null(mst__rx_reserve(&pair.end, 100)); /* of bytes */
  close_pair(&pair);
}

/* --- a hostile stack --- */

static void impossible_heads_are_no_packets(void **state) {
  (void)state;
  struct pair pair;
  open_pair(&pair, &small);
  static const uint32_t heads[] = {9, 1000, 0x80000000, UINT32_MAX};
  for (unsigned i = 0; i < COUNT(heads); i++) {
    bool broken;
    mst__ring_store(&pair.end.header->tx_head, pair.end.tx_tail + heads[i]);
    assert_int_equal(mst__tx_waiting(&pair.end, &broken), 0);
    assert_true(broken);
    assert_int_equal(mst__tx_waiting(&pair.end, &broken), 0); /* and the ring goes on */
    assert_false(broken);
  }
  close_pair(&pair);
}

static void impossible_descriptors_are_refused(void **state) {
  (void)state;
  struct pair pair;
  struct mst__taken taken;
  open_pair(&pair, &small);
  uint32_t region = (uint32_t)pair.end.geometry.region_bytes;
  const struct mst__tx_descriptor bad[] = {
      {.len = 193, .inline_bytes = 193},
      {.len = 40, .inline_bytes = UINT32_MAX},
      {.len = 60, .inline_bytes = 40},
      {.len = 40, .inline_bytes = 60},
      {.len = 140, .inline_bytes = 40, .frag_count = 7, .frags = {{0, 100}}},
      {.len = 140, .inline_bytes = 40, .frag_count = 255, .frags = {{0, 100}}},
      {.len = 140, .inline_bytes = 40, .frag_count = 1, .frags = {{region - 99, 100}}},
      {.len = 140, .inline_bytes = 40, .frag_count = 1, .frags = {{UINT32_MAX, 100}}},
      {.len = 140, .inline_bytes = 40, .frag_count = 1, .frags = {{0, 101}}},
      {.len = 39, .inline_bytes = 40, .frag_count = 1, .frags = {{0, UINT32_MAX}}},
      {.len = 40, .inline_bytes = 40, .frag_count = 2, .frags = {{0, 0x80000000}, {0, 0x80000000}}},
      {.len = 65536, .inline_bytes = 40, .frag_count = 1, .frags = {{0, 65496}}},
  };
  for (unsigned i = 0; i < COUNT(bad); i++) {
    pair.end.tx[0].descriptor = bad[i];
    assert_false(mst__tx_take(&pair.end, 0, &taken));
  }
  close_pair(&pair);
}

static void tails_that_lie_free_nothing(void **state) {
  (void)state;
  struct pair pair;
  open_pair(&pair, &small);
  for (unsigned i = 0; i < 8; i++) deliver(&pair, 100, (uint8_t)i);
  static const uint32_t tails[] = {9, 100, UINT32_MAX, 0x80000000};
  for (unsigned i = 0; i < COUNT(tails); i++) {
    mst__ring_store(&pair.end.header->rx_tail, tails[i]);
    assert_null(mst__rx_reserve(&pair.end, 100));
  }
  mst__ring_store(&pair.end.header->rx_tail, 4);
  assert_non_null(mst__rx_reserve(&pair.end, 100));
  mst__ring_store(&pair.end.header->rx_tail, 2); /* back again */
  deliver(&pair, 100, 0);
  assert_int_equal(pair.end.rx_tail, 4);
  close_pair(&pair);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(refuses_impossible_sizes),
      cmocka_unit_test(small_packets_travel_whole),
      cmocka_unit_test(large_packets_travel_by_reference),
      cmocka_unit_test(payload_must_lie_in_the_arena),
      cmocka_unit_test(lengths_must_agree),
      cmocka_unit_test(full_ring_says_try_again),
      cmocka_unit_test(freed_payload_waits_until_it_is_taken),
      cmocka_unit_test(receive_ring_goes_round),
      cmocka_unit_test(empty_ring_starts_over),
      cmocka_unit_test(full_receive_ring_has_no_room),
      cmocka_unit_test(impossible_heads_are_no_packets),
      cmocka_unit_test(impossible_descriptors_are_refused),
      cmocka_unit_test(tails_that_lie_free_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
