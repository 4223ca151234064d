/* A channel between two processes: the region is a memfd that neither can resize, and sleepers are rung. */
#include "multistack/channel.h"
#include "switch_rig.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct mst_channel_options small = {
    .size = sizeof small, .rx_bytes = 256u << 10, .arena_bytes = 1u << 20, .shared = true};

static int memfd_of(int64_t bytes, int seals) {
  int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  assert_true(fd >= 0);
  assert_int_equal(ftruncate(fd, bytes), 0);
  assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
  return fd;
}

static void region_that_can_be_resized_is_refused(void **state) {
  (void)state;
  int64_t bytes = mst_channel_region_bytes(&small);
  const int resizable[] = {0, F_SEAL_SHRINK, F_SEAL_GROW | F_SEAL_SEAL, F_SEAL_SHRINK | F_SEAL_GROW};
  mst_channel *channel;
  for (unsigned i = 0; i < sizeof resizable / sizeof *resizable; i++) {
    int fd = memfd_of(bytes, resizable[i]);
    assert_int_equal(mst_channel_open(&small, fd, &channel), -MST_EINVAL);
    close(fd);
  }
  int sealed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  const struct {
    int64_t bytes;
    int seals;
  } wrong[] = {{bytes - 4096, sealed}, {bytes + 4096, sealed}, {bytes, sealed | F_SEAL_WRITE}};
  for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    int fd = memfd_of(wrong[i].bytes, wrong[i].seals);
    assert_int_equal(mst_channel_open(&small, fd, &channel), -MST_EINVAL);
    close(fd);
  }
  int file = open("/dev/null", O_RDWR | O_CLOEXEC);
  assert_int_equal(mst_channel_open(&small, file, &channel), -MST_EINVAL);
  close(file);
}

static void two_mappings_see_the_same_rings(void **state) {
  (void)state;
  mst_channel *stack_side, *switch_side;
  assert_int_equal(mst_channel_create(&small, &stack_side), 0);
  assert_int_equal(mst_channel_open(&small, mst_channel_fd(stack_side), &switch_side), 0);
  void *memory = mst_channel_alloc(stack_side, 4096);
  uint8_t header[40] = {0x45};
  struct mst_packet packet = {.len = 40, .iov_count = 1, .iov = {{header, 40}}};
  assert_int_equal(mst_channel_send(stack_side, &packet), 0);
  const struct mst__channel_geometry *g = mst__channel_geometry(switch_side);
  assert_int_equal(mst__ring_load(&mst__channel_header(g)->tx_head), 1);
  assert_int_equal(mst__tx_ring(g)[0].bytes[0], 0x45);
  mst_channel_restart(stack_side);
  assert_int_equal(mst__ring_load(&mst__channel_header(g)->tx_head), 0);
  mst_channel_free(stack_side, memory, 4096);
  mst_channel_destroy(switch_side);
  mst_channel_destroy(stack_side);
}

static void sleeper_is_rung_once(void **state) {
  (void)state;
  mst_channel *channel;
  assert_int_equal(mst_channel_create(&small, &channel), 0);
  struct mst__channel_header *shared = mst__channel_header(mst__channel_geometry(channel));
  uint8_t header[40] = {0x45};
  struct mst_packet packet = {.len = 40, .iov_count = 1, .iov = {{header, 40}}};

  assert_false(mst_channel_must_ring(channel)); /* nothing was sent */
  assert_int_equal(mst_channel_send(channel, &packet), 0);
  assert_false(mst_channel_must_ring(channel)); /* the switch is awake */
  mst__bell_set(&shared->tx_bell);
  assert_false(mst_channel_must_ring(channel)); /* nothing since */
  assert_int_equal(mst_channel_send(channel, &packet), 0);
  assert_true(mst_channel_must_ring(channel));
  assert_int_equal(mst_channel_send(channel, &packet), 0);
  assert_false(mst_channel_must_ring(channel)); /* rung already */

  assert_true(mst_channel_sleep(channel));
  assert_false(mst_channel_wake(channel)); /* woke by itself */
  assert_true(mst_channel_sleep(channel));
  assert_true(mst__bell_take(&shared->rx_bell));
  assert_true(mst_channel_wake(channel));
  assert_false(mst_channel_wake(channel));
  mst__ring_store(&shared->rx_head, 1);
  assert_false(mst_channel_sleep(channel)); /* a packet is there */
  mst_channel_destroy(channel);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(region_that_can_be_resized_is_refused),
      cmocka_unit_test(two_mappings_see_the_same_rings),
      cmocka_unit_test(sleeper_is_rung_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
