/* 256 channels and 65,536 leases of one real daemon, or as many as the limit of open files allows: what each of them
 * costs it, and that nothing is left of them. */
#include "daemon_rig.h"
#include "unit/unit.h"
#include <dirent.h>
#include <sched.h>
#include <sys/resource.h>

enum { CHANNELS = 256, LEASES_MAX = 65536, FIRST_PORT = 20000, LEAVE_AT_ONCE = 32 };

/* What multistackd(8) promises; a tenth of it is the measurement's. */
enum { CHANNEL_BYTES_MAX = 64 << 10, CHANNEL_DESCRIPTORS_MAX = 4, LEASE_BYTES_MAX = 1 << 10 };

struct cost {
  long bytes, descriptors;
};

static struct cost cost_of(pid_t pid) {
  char path[64];
  struct cost cost = {0};
  long ignored;
  snprintf(path, sizeof path, "/proc/%d/statm", pid);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  assert_int_equal(fscanf(file, "%ld %ld", &ignored, &cost.bytes), 2);
  fclose(file);
  cost.bytes *= sysconf(_SC_PAGESIZE);
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR *folder = opendir(path);
  assert_non_null(folder);
  while (readdir(folder)) cost.descriptors++;
  closedir(folder);
  return cost;
}

static bool on_device; /* or the switch has no operating system, and its leases no reservations */

/* A reservation is a descriptor, so the limit of open files is one of leases. The daemon raises its own to the hard
 * one. */
static unsigned leases_possible(void) {
  struct rlimit limit;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_max >= LEASES_MAX + CHANNELS * (CHANNEL_DESCRIPTORS_MAX + 1)) return LEASES_MAX;
  return (unsigned)(limit.rlim_max / CHANNELS - CHANNEL_DESCRIPTORS_MAX - 1) * CHANNELS;
}

static mst_attach *attach(const struct daemon_rig *rig) {
  struct mst_attach_options options = {.size = sizeof options, .path = rig->path};
  mst_attach *attached;
  options.channel = (struct mst_channel_options){.size = sizeof options.channel, .arena_bytes = 1u << 20};
  assert_int_equal(mst_attach_open(&options, &attached, NULL), 0);
  return attached;
}

static struct mst_tuple tuple_of(unsigned channel, unsigned lease) {
  const uint8_t address[4] = {127, 1, (uint8_t)channel, 1};
  return (struct mst_tuple){
      .addr = mst_addr_ip4(address), .port = (uint16_t)(FIRST_PORT + lease), .protocol = lease & 1 ? MST_UDP : MST_TCP};
}

/* A lease of one that has nothing else to do is a turn of the daemon's loop. */
static void turn(mst_attach *one) {
  static uint16_t port = FIRST_PORT;
  struct mst_tuple tuple = {.addr = endpoint("127.0.0.1", 0).addr, .port = port++, .protocol = MST_UDP};
  assert_int_equal(mst_attach_lease(one, &tuple), 0);
  mst_attach_release(one, &tuple);
}

/* What the daemon costs when it has no more than so many descriptors: those who have left do so little by little. */
static struct cost settled(const struct daemon_rig *rig, mst_attach *one, unsigned leases, long descriptors) {
  unsigned rounds = 2 + leases / LEAVE_AT_ONCE;
  while (--rounds && cost_of(rig->pid).descriptors > descriptors)
    for (unsigned i = 0; i < 64; i++) turn(one);
  return cost_of(rig->pid);
}

static void channels_and_leases_cost_little_and_leave_nothing(void **state) {
  struct daemon_rig *rig = *state;
  static mst_attach *channels[CHANNELS - 1];
  unsigned leases = leases_possible() / CHANNELS * (CHANNELS - 1);
  mst_attach *one = attach(rig);
  struct cost none = settled(rig, one, 0, 0);
  for (unsigned i = 0; i < CHANNELS - 1; i++) channels[i] = attach(rig);
  struct cost attached = settled(rig, one, 0, 0);
  for (unsigned i = 0; i < leases; i++) {
    struct mst_tuple tuple = tuple_of(i % (CHANNELS - 1), i / (CHANNELS - 1));
    assert_int_equal(mst_attach_lease(channels[i % (CHANNELS - 1)], &tuple), 0);
  }
  struct cost leased = settled(rig, one, 0, 0);
  struct cost channel = {(attached.bytes - none.bytes) / (CHANNELS - 1),
                         (attached.descriptors - none.descriptors) / (CHANNELS - 1)};
  long lease_bytes = (leased.bytes - attached.bytes) / (long)leases;
  print_message("a channel: %ld bytes, %ld descriptors; a lease: %ld bytes, %.3f descriptors (%u leases%s)\n",
                channel.bytes, channel.descriptors, lease_bytes,
                (double)(leased.descriptors - attached.descriptors) / leases, leases,
                leases < LEASES_MAX / CHANNELS * (CHANNELS - 1) ? ": no more fit the limit of open files" : "");
  assert_in_range(channel.bytes, 0, CHANNEL_BYTES_MAX);
  assert_in_range(channel.descriptors, 1, CHANNEL_DESCRIPTORS_MAX);
  assert_in_range(lease_bytes, 0, LEASE_BYTES_MAX);
  assert_in_range(leased.descriptors - attached.descriptors, 0, on_device ? leases + 1 : 1);

  for (unsigned i = 0; i < CHANNELS - 1; i++) mst_attach_close(channels[i]);
  assert_in_range(settled(rig, one, leases, none.descriptors).descriptors, 0, none.descriptors);
  struct mst_tuple again = tuple_of(0, 0);
  assert_int_equal(mst_attach_lease(one, &again), 0);
  mst_attach_close(one);
}

/* A loopback device of the test's own. False: not permitted. */
static bool make_loopback(void) {
  return geteuid() == 0 && !unshare(CLONE_NEWNET) && !system("ip link set lo up");
}

static int setup(void **state) {
  static struct daemon_rig rig;
  static const char *const ports[] = {"--port", "xdp:lo", NULL};
  on_device = make_loopback();
  daemon_open(&rig, on_device ? ports : NULL);
  *state = &rig;
  return 0;
}

static int teardown(void **state) {
  daemon_close(*state);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(channels_and_leases_cost_little_and_leave_nothing)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
