/* 256 channels and 65,536 leases: that they fit, what they cost in memory, and that one channel's end is its own
 * affair.
 */
#include "switch/group.h"
#include "switch_rig.h"

#define CHANNELS 256u
#define LEASES_EACH 256u

struct scale {
  struct rig rig;
  mst_channel *channel[CHANNELS];
  unsigned id[CHANNELS];
};

static size_t allocated, allocations;

static void *count_alloc(void *ctx, size_t bytes) {
  (void)ctx;
  allocated += bytes;
  allocations++;
  return malloc(bytes);
}
static void count_free(void *ctx, void *memory, size_t bytes) {
  (void)ctx;
  allocated -= bytes;
  allocations--;
  free(memory);
}

static struct mst_tuple tuple_of(unsigned channel, unsigned lease, uint8_t flags) {
  uint8_t bytes[4] = {10, 0, (uint8_t)(channel >> 6), (uint8_t)(1 + channel % 64)};
  return (struct mst_tuple){
      .addr = mst_addr_ip4(bytes), .port = (uint16_t)(1024 + lease), .protocol = MST_UDP, .flags = flags};
}

static void open_scale(struct scale *scale) {
  struct mst_channel_options options = {.size = sizeof options, .rx_bytes = 256 << 10, .arena_bytes = 64 << 10};
  *scale = (struct scale){.rig.random = {7}};
  struct mst_switch_options sw = {
      .size = sizeof sw,
      .env = {.ctx = &scale->rig, .alloc = count_alloc, .free = count_free, .random = rig_random},
  };
  allocated = allocations = 0;
  assert_int_equal(mst_switch_create(&sw, &scale->rig.sw), 0);
  for (unsigned i = 0; i < CHANNELS; i++) {
    assert_int_equal(mst_channel_create(&options, &scale->channel[i]), 0);
    assert_int_equal(mst_switch_attach(scale->rig.sw, scale->channel[i], NULL, &scale->id[i]), 0);
  }
}

static void close_scale(struct scale *scale) {
  mst_switch_destroy(scale->rig.sw);
  for (unsigned i = 0; i < CHANNELS; i++) mst_channel_destroy(scale->channel[i]);
  assert_int_equal(allocations, 0);
  assert_int_equal(allocated, 0);
}

static void lease_all(struct scale *scale, uint8_t flags) {
  for (unsigned i = 0; i < CHANNELS; i++) {
    for (unsigned k = 0; k < LEASES_EACH; k++) {
      struct mst_tuple tuple = tuple_of(i, k, flags);
      assert_int_equal(mst_switch_lease(scale->rig.sw, scale->id[i], &tuple), 0);
    }
  }
}

/* One packet from each channel to the next, from and to the lease of this number. */
static void pass_round(struct scale *scale, unsigned lease) {
  uint8_t packet[200];
  for (unsigned i = 0; i < CHANNELS; i++) {
    struct mst_tuple source = tuple_of(i, lease, 0), destination = tuple_of((i + 1) % CHANNELS, lease, 0);
    struct mst_endpoint from = {.addr = source.addr, .port = source.port};
    struct mst_endpoint to = {.addr = destination.addr, .port = destination.port};
    size_t bytes = sim_udp_build(packet, &from, &to, "12345678", 8);
    struct mst_packet out = {.len = (uint32_t)bytes, .iov_count = 1, .iov = {{packet, bytes}}};
    assert_int_equal(mst_channel_send(scale->channel[i], &out), 0);
  }
  assert_int_equal(mst_switch_process_channels(scale->rig.sw, 1024, RIG_MS), CHANNELS);
  for (unsigned i = 0; i < CHANNELS; i++) {
    struct mst_packet got;
    assert_int_equal(mst_channel_receive(scale->channel[i], &got, 1), 1);
    mst_channel_release(scale->channel[i], 1);
  }
}

static void holds_many_channels_and_leases(void **state) {
  (void)state;
  static struct scale scale;
  open_scale(&scale);
  print_message("a channel: %zu bytes\n", allocated / CHANNELS);
  assert_true(allocated / CHANNELS < 16 << 10); /* what switch.h says of a channel */
  size_t before = allocated;
  lease_all(&scale, 0);
  print_message("a lease: %zu bytes\n", (allocated - before) / (CHANNELS * LEASES_EACH));
  assert_true((allocated - before) / (CHANNELS * LEASES_EACH) < 256); /* and of a lease */
  for (unsigned lease = 0; lease < LEASES_EACH; lease += 51) pass_round(&scale, lease);
  for (unsigned i = 0; i < CHANNELS; i++) mst_switch_detach(scale.rig.sw, scale.id[i]);
  assert_int_equal(scale.rig.sw->leases.count, 0);
  assert_int_equal(scale.rig.sw->tuples.count4, 0);
  close_scale(&scale);
}

/* Groups are an index's worth of 16,384; a detach looks at its own alone. */
static void a_detach_costs_what_was_held(void **state) {
  (void)state;
  static struct scale scale;
  open_scale(&scale);
  for (unsigned i = 0; i < 60; i++) {
    for (unsigned k = 0; k < LEASES_EACH; k++) {
      struct mst_tuple tuple = tuple_of(i, k, MST_BIND_GROUP);
      assert_int_equal(mst_switch_lease(scale.rig.sw, scale.id[i], &tuple), 0);
    }
  }
  struct mst_tuple shared = tuple_of(0, 7, MST_BIND_GROUP);
  assert_int_equal(mst_switch_lease(scale.rig.sw, scale.id[200], &shared), 0);
  /* Whoever looked at groups that are not its own would find this. */
  struct mst__group **groups = scale.rig.sw->groups;
  uint32_t index = mst__lease_find(scale.rig.sw, &shared)->holder - MST__HOLDER_GROUP;
  unsigned room = scale.rig.sw->group_room;
  scale.rig.sw->group_room = 0;
  mst_switch_detach(scale.rig.sw, scale.id[200]);
  scale.rig.sw->group_room = room;
  assert_int_equal(groups[index]->count, 1);
  close_scale(&scale);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(holds_many_channels_and_leases),
      cmocka_unit_test(a_detach_costs_what_was_held),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
