/* Fairness: whose turn it is, what a channel may send, and what a receiver that does not read costs others. */
#include "switch_rig.h"

#define SERVER_PORT 1000

/* Each channel has an owner of its own. */
static void open_rig(struct rig *rig, const struct mst_channel_options *channel_options,
                     const struct mst_switch_channel_options *options) {
  rig_open(rig, false, channel_options);
  for (unsigned i = 0; i < RIG_CHANNELS; i++) {
    struct mst_switch_channel_options own =
        options ? *options : (struct mst_switch_channel_options){.size = sizeof own};
    own.owner = 1000 + i;
    mst_switch_detach(rig->sw, rig->id[i]);
    assert_int_equal(mst_switch_attach(rig->sw, rig->channel[i], &own, &rig->id[i]), 0);
  }
  assert_int_equal(rig_lease(rig, 0, "10.0.0.1", SERVER_PORT, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(rig, 1, "10.0.0.2", 2000, MST_UDP, 0), 0);
  assert_int_equal(rig_lease(rig, 2, "10.0.0.3", 3000, MST_UDP, 0), 0);
}

static const char *const addresses[] = {"10.0.0.1", "10.0.0.2", "10.0.0.3"};
static const uint16_t ports[] = {SERVER_PORT, 2000, 3000};

static int send_to(struct rig *rig, unsigned from, unsigned to, size_t data_bytes) {
  uint8_t bytes[2100];
  size_t len = rig_udp(bytes, addresses[from], ports[from], addresses[to], ports[to], data_bytes);
  uint8_t *arena = NULL;
  struct mst_packet packet = {.len = (uint32_t)len, .iov_count = 1, .iov = {{bytes, len}}};
  if (len > MST_CHANNEL_INLINE_BYTES) {
    arena = mst_channel_alloc(rig->channel[from], len);
    memcpy(arena, bytes, len);
    packet.iov[0].len = 28;
    packet.iov[1] = (struct mst_iov){arena + 28, len - 28};
    packet.iov_count = 2;
  }
  int error = mst_channel_send(rig->channel[from], &packet);
  if (arena) mst_channel_free(rig->channel[from], arena, len);
  return error;
}

static void fill(struct rig *rig, unsigned from, unsigned to, size_t data_bytes) {
  while (!send_to(rig, from, to, data_bytes)) continue;
}

static struct mst_switch_stats stats_of(const struct rig *rig, unsigned channel) {
  struct mst_switch_stats stats;
  assert_int_equal(mst_switch_channel_stats(rig->sw, rig->id[channel], &stats), 0);
  return stats;
}

static void assert_within(uint64_t value, uint64_t wanted, unsigned percent) {
  if (value * 100 >= wanted * (100 - percent) && value * 100 <= wanted * (100 + percent)) return;
  fail_msg("%llu is not within %u %% of %llu", (unsigned long long)value, percent, (unsigned long long)wanted);
}

/* --- turns --- */

static void a_call_is_bounded_by_its_budget(void **state) {
  (void)state;
  struct rig rig;
  open_rig(&rig, NULL, NULL);
  fill(&rig, 0, 2, 8);
  fill(&rig, 1, 2, 8);
  assert_int_equal(mst_switch_process_channels(rig.sw, 100, RIG_MS), 100);
  assert_int_equal(mst_switch_process_channels(rig.sw, 7, RIG_MS), 7);
  assert_int_equal(rig_received(&rig, 2, NULL, NULL), 107);
  rig_close(&rig);
}

/* 20 bytes against 1,500: in bytes, each packet charged with its headers' cost, they get the same. */
static void channels_share_by_bytes(void **state) {
  (void)state;
  struct rig rig;
  open_rig(&rig, NULL, NULL);
  for (unsigned i = 0; i < 400; i++) {
    fill(&rig, 0, 2, 1472);
    fill(&rig, 1, 2, 8);
    mst_switch_process_channels(rig.sw, 200, RIG_MS);
    rig_received(&rig, 2, NULL, NULL);
  }
  struct mst_switch_stats large = stats_of(&rig, 0), small = stats_of(&rig, 1);
  assert_within(small.from_channel_bytes + 192 * small.from_channel_packets,
                large.from_channel_bytes + 192 * large.from_channel_packets, 10);
  assert_int_equal(rig_drops(&rig, MST_DROP_RX_FULL), 0);
  rig_close(&rig);
}

/* One packet now and then does not wait behind a flood. */
static void a_flood_delays_nobody_by_more_than_a_turn(void **state) {
  (void)state;
  struct rig rig;
  open_rig(&rig, NULL, NULL);
  for (unsigned i = 0; i < 100; i++) {
    fill(&rig, 0, 2, 1472);
    assert_int_equal(send_to(&rig, 1, 2, 8), 0);
    mst_switch_process_channels(rig.sw, 64, RIG_MS);
    rig_received(&rig, 2, NULL, NULL);
    assert_int_equal(stats_of(&rig, 1).from_channel_packets, i + 1);
  }
  rig_close(&rig);
}

/* What is sent before a lease is let go of goes ahead of its turn, and is charged. */
static void releases_are_charged(void **state) {
  (void)state;
  struct rig rig;
  open_rig(&rig, NULL, NULL);
  for (unsigned i = 0; i < 100; i++) {
    fill(&rig, 0, 2, 1472);
    fill(&rig, 1, 2, 1472);
    rig_release(&rig, 0, "10.0.0.1", SERVER_PORT, MST_UDP);
    rig_received(&rig, 2, NULL, NULL);
    assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", SERVER_PORT, MST_UDP, 0), 0);
    fill(&rig, 0, 2, 1472);
    for (unsigned k = 0; k < 10; k++) {
      mst_switch_process_channels(rig.sw, 256, RIG_MS);
      rig_received(&rig, 2, NULL, NULL);
      fill(&rig, 1, 2, 1472);
    }
  }
  assert_within(stats_of(&rig, 0).from_channel_packets, stats_of(&rig, 1).from_channel_packets, 15);
  rig_close(&rig);
}

/* --- limits --- */

/* As the driver would: asleep until the deadline. Returns the packets of channel 0 in one second. */
static struct mst_switch_stats one_second(struct rig *rig, size_t data_bytes, unsigned *calls) {
  uint64_t now_ns = RIG_MS, end_ns = now_ns + 1000 * RIG_MS;
  for (*calls = 0; now_ns < end_ns; (*calls)++) {
    fill(rig, 0, 2, data_bytes);
    mst_switch_process_channels(rig->sw, 1024, now_ns);
    rig_received(rig, 2, NULL, NULL);
    uint64_t deadline_ns = mst_switch_deadline(rig->sw);
    assert_true(deadline_ns != UINT64_MAX);
    assert_true(mst_switch_sleep(rig->sw));
    mst_switch_wake(rig->sw);
    if (deadline_ns > now_ns + 1) /* nothing goes before */
      assert_int_equal(mst_switch_process_channels(rig->sw, 1024, deadline_ns - 1), 0);
    now_ns = deadline_ns > now_ns ? deadline_ns : now_ns + 1;
  }
  return stats_of(rig, 0);
}

static void packets_are_limited(void **state) {
  (void)state;
  struct rig rig;
  unsigned calls;
  struct mst_switch_channel_options options = {.size = sizeof options, .packets_per_s = 20000};
  open_rig(&rig, NULL, &options);
  assert_within(one_second(&rig, 8, &calls).from_channel_packets, 20000, 5);
  rig_close(&rig);
}

static void bytes_are_limited(void **state) {
  (void)state;
  struct rig rig;
  unsigned calls;
  struct mst_switch_channel_options options = {.size = sizeof options, .bytes_per_s = 10000000};
  open_rig(&rig, NULL, &options);
  assert_within(one_second(&rig, 1472, &calls).from_channel_bytes, 10000000, 5);
  rig_close(&rig);
}

static void a_limited_channel_holds_nobody_up(void **state) {
  (void)state;
  struct rig rig;
  struct mst_switch_channel_options options = {.size = sizeof options, .packets_per_s = 100};
  open_rig(&rig, NULL, NULL);
  mst_switch_detach(rig.sw, rig.id[0]);
  assert_int_equal(mst_switch_attach(rig.sw, rig.channel[0], &options, &rig.id[0]), 0);
  assert_int_equal(rig_lease(&rig, 0, "10.0.0.1", SERVER_PORT, MST_UDP, 0), 0);
  fill(&rig, 0, 2, 8);
  fill(&rig, 1, 2, 8);
  while (mst_switch_process_channels(rig.sw, 1024, RIG_MS)) rig_received(&rig, 2, NULL, NULL);
  assert_int_equal(stats_of(&rig, 1).from_channel_packets, 1024);
  assert_true(stats_of(&rig, 0).from_channel_packets < 40);
  rig_close(&rig);
}

/* --- receivers that do not read --- */

/* How a bad client reads in a step of 100 us. */
typedef void reader(struct rig *rig, unsigned step);
static void reads_all(struct rig *rig, unsigned step) {
  (void)step;
  rig_received(rig, 2, NULL, NULL);
}
static void reads_nothing(struct rig *rig, unsigned step) {
  (void)rig;
  (void)step;
}
static void read_one(struct rig *rig) {
  struct mst_packet packet;
  if (mst_channel_receive(rig->channel[2], &packet, 1)) mst_channel_release(rig->channel[2], 1);
}
static void trickles(struct rig *rig, unsigned step) {
  if (step % 90 == 0) read_one(rig); /* every 9 ms: never waited for in full */
}
static void trickles_fast(struct rig *rig, unsigned step) {
  (void)step;
  read_one(rig);
}

/* A server sends to a good client and a bad one in turn. What the good one gets in a second, 16 packets each in each
 * step of 100 us when nothing holds the server up. */
static uint64_t good_client_gets(reader *bad) {
  struct rig rig;
  struct mst_channel_options options = {.size = sizeof options, .tx_slots = 128, .rx_slots = 64};
  open_rig(&rig, &options, NULL);
  for (unsigned step = 0; step < 10000; step++) {
    for (unsigned i = 0; i < 16; i++) {
      if (send_to(&rig, 0, 1, 8)) break;
      if (send_to(&rig, 0, 2, 8)) break;
    }
    for (unsigned i = 0; i < 4; i++) mst_switch_process(rig.sw, 256, RIG_MS + step * 100000ull + i * 25000ull);
    rig_received(&rig, 1, NULL, NULL);
    bad(&rig, step);
  }
  uint64_t got = stats_of(&rig, 1).to_channel_packets;
  rig_close(&rig);
  return got;
}

static void a_bad_client_loses_only_its_own(void **state) {
  (void)state;
  static reader *const bad[] = {reads_nothing, trickles, trickles_fast};
  uint64_t alone = good_client_gets(reads_all);
  for (unsigned i = 0; i < COUNT(bad); i++) assert_within(good_client_gets(bad[i]), alone, 10);
}

/* A server with one client alone, which does not get the processor for 8 ms now and then: nothing is lost. */
static void a_slow_client_loses_nothing(void **state) {
  (void)state;
  struct rig rig;
  struct mst_channel_options options = {.size = sizeof options, .tx_slots = 128, .rx_slots = 64};
  open_rig(&rig, &options, NULL);
  for (unsigned step = 0; step < 5000; step++) {
    for (unsigned i = 0; i < 16; i++) send_to(&rig, 0, 2, 8);
    mst_switch_process(rig.sw, 256, RIG_MS + step * 100000ull);
    if (step % 160 >= 80) rig_received(&rig, 2, NULL, NULL);
  }
  assert_int_equal(rig_drops(&rig, MST_DROP_RX_FULL), 0);
  rig_close(&rig);
}

/* Asleep until the deadline a driver still does not wait for longer than it must. */
static void waiting_for_a_receiver_has_a_deadline(void **state) {
  (void)state;
  struct rig rig;
  struct mst_channel_options options = {.size = sizeof options, .tx_slots = 128, .rx_slots = 16};
  open_rig(&rig, &options, NULL);
  for (unsigned i = 0; i < 17; i++) assert_int_equal(send_to(&rig, 0, 2, 8), 0);
  assert_int_equal(send_to(&rig, 0, 1, 8), 0);
  uint64_t now_ns = RIG_MS;
  unsigned calls = 0;
  for (; !rig_received(&rig, 1, NULL, NULL); calls++) {
    mst_switch_process_channels(rig.sw, 1024, now_ns);
    uint64_t deadline_ns = mst_switch_deadline(rig.sw);
    if (deadline_ns == UINT64_MAX) continue;
    assert_true(mst_switch_sleep(rig.sw)); /* no reason to be awake */
    mst_switch_wake(rig.sw);
    if (deadline_ns > now_ns) now_ns = deadline_ns;
    assert_true(calls < 20);
  }
  assert_true(now_ns <= 12 * RIG_MS);
  /* The receiver moves: there is work. */
  assert_int_equal(send_to(&rig, 0, 2, 8), 0);
  assert_int_equal(rig_received(&rig, 2, NULL, NULL), 16);
  assert_false(mst_switch_sleep(rig.sw));
  mst_switch_wake(rig.sw);
  rig_close(&rig);
}

static void a_receiver_that_is_detached_is_not_waited_for(void **state) {
  (void)state;
  struct rig rig;
  struct mst_channel_options options = {.size = sizeof options, .tx_slots = 128, .rx_slots = 16};
  open_rig(&rig, &options, NULL);
  for (unsigned i = 0; i < 20; i++) assert_int_equal(send_to(&rig, 0, 2, 8), 0);
  assert_int_equal(rig_process(&rig), 16);
  assert_true(mst_switch_sleep(rig.sw));
  mst_switch_detach(rig.sw, rig.id[2]);
  assert_false(mst_switch_sleep(rig.sw));
  mst_switch_wake(rig.sw);
  assert_int_equal(rig_process(&rig), 4);
  rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_call_is_bounded_by_its_budget),
      cmocka_unit_test(channels_share_by_bytes),
      cmocka_unit_test(a_flood_delays_nobody_by_more_than_a_turn),
      cmocka_unit_test(releases_are_charged),
      cmocka_unit_test(packets_are_limited),
      cmocka_unit_test(bytes_are_limited),
      cmocka_unit_test(a_limited_channel_holds_nobody_up),
      cmocka_unit_test(a_bad_client_loses_only_its_own),
      cmocka_unit_test(a_slow_client_loses_nothing),
      cmocka_unit_test(waiting_for_a_receiver_has_a_deadline),
      cmocka_unit_test(a_receiver_that_is_detached_is_not_waited_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
