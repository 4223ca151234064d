/* What one core does as a switch: validate the source, look the destination up, copy, between two channels.
 *
 * N tuples means N held by the sender and N held by the receiver, used in turn. Two ways to measure each case:
 *   mpps, gbps                    one thread sends, switches and receives in turn, and the time inside the switch alone
 *                                 is counted: what one core spends in the switch
 *   pipeline_mpps, pipeline_gbps  one thread switches, pinned to the last core; another, pinned to the first, sends on
 *                                 one channel and receives on the other: what passes from end to end, with the cost of
 *                                 caches that talk to each other
 * Prints one line of JSON for each figure. */
#include "multistack/switch.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define BURST 256u
#define SLICES 20
#define PAYLOADS 256u /* buffers, used in turn, so that a packet is not read from the first-level cache alone */
#define PAYLOAD_BYTES 2048u
#define UDP_OFFSET 20

struct rig {
  mst_switch *sw;
  mst_channel *sender, *receiver;
  unsigned sender_id, receiver_id;
  unsigned tuples, next_tuple;
  uint8_t header[60];
  uint8_t *payload; /* PAYLOADS buffers in the sender's arena */
  unsigned next_payload;
  struct mst_packet packet;
};

static void *alloc(void *ctx, size_t bytes) {
  (void)ctx;
  return malloc(bytes);
}
static void release(void *ctx, void *memory, size_t bytes) {
  (void)ctx;
  (void)bytes;
  free(memory);
}
static void fill_random(void *ctx, void *out, size_t bytes) {
  (void)ctx;
  if (getrandom(out, bytes, 0) != (ssize_t)bytes) abort();
}

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void pin(long core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

static void check(int result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "%s: %s\n", what, mst_strerror(result));
  exit(1);
}

static uint16_t port_of(unsigned i) {
  return (uint16_t)(1024 + i);
}

static void lease_all(struct rig *rig, unsigned id, const char *address) {
  struct mst_tuple tuple = {.protocol = MST_UDP};
  mst_addr_parse(address, &tuple.addr);
  for (unsigned i = 0; i < rig->tuples; i++) {
    tuple.port = port_of(i);
    check(mst_switch_lease(rig->sw, id, &tuple), "lease");
  }
}

/* IPv4 and UDP headers; only the ports change from packet to packet. */
static void build_header(uint8_t *h, unsigned bytes) {
  static const uint8_t fixed[20] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, MST_UDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
  memcpy(h, fixed, sizeof fixed);
  h[2] = (uint8_t)(bytes >> 8);
  h[3] = (uint8_t)bytes;
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += (uint32_t)(h[i] << 8 | h[i + 1]);
  sum = ~((sum & 0xffff) + (sum >> 16));
  h[10] = (uint8_t)(sum >> 8);
  h[11] = (uint8_t)sum;
  h[UDP_OFFSET + 4] = (uint8_t)((bytes - 20) >> 8);
  h[UDP_OFFSET + 5] = (uint8_t)(bytes - 20);
}

static void open_rig(struct rig *rig, unsigned bytes, unsigned tuples) {
  *rig = (struct rig){.tuples = tuples};
  struct mst_switch_options options = {.size = sizeof options,
                                       .env = {.alloc = alloc, .free = release, .random = fill_random}};
  check(mst_switch_create(&options, &rig->sw), "switch");
  check(mst_channel_create(NULL, &rig->sender), "channel");
  check(mst_channel_create(NULL, &rig->receiver), "channel");
  check(mst_switch_attach(rig->sw, rig->sender, NULL, &rig->sender_id), "attach");
  check(mst_switch_attach(rig->sw, rig->receiver, NULL, &rig->receiver_id), "attach");
  lease_all(rig, rig->sender_id, "10.0.0.1");
  lease_all(rig, rig->receiver_id, "10.0.0.2");
  build_header(rig->header, bytes);
  rig->payload = mst_channel_alloc(rig->sender, PAYLOADS * PAYLOAD_BYTES);
  memset(rig->payload, 0x5a, PAYLOADS * PAYLOAD_BYTES);
  unsigned head = bytes < sizeof rig->header ? bytes : (unsigned)sizeof rig->header;
  rig->packet = (struct mst_packet){
      .len = bytes,
      .flags = MST_CSUM_PARTIAL,
      .iov_count = bytes > head ? 2 : 1,
      .iov = {{rig->header, head}, {rig->payload, bytes - head}},
  };
}

static void close_rig(struct rig *rig) {
  mst_switch_destroy(rig->sw);
  mst_channel_destroy(rig->sender);
  mst_channel_destroy(rig->receiver);
}

static unsigned send_burst(struct rig *rig) {
  unsigned sent = 0;
  for (; sent < BURST; sent++) {
    uint16_t port = port_of(rig->next_tuple);
    uint8_t *ports = rig->header + UDP_OFFSET;
    ports[0] = ports[2] = (uint8_t)(port >> 8);
    ports[1] = ports[3] = (uint8_t)port;
    rig->packet.iov[1].base = rig->payload + PAYLOAD_BYTES * (size_t)(rig->next_payload++ % PAYLOADS);
    if (mst_channel_send(rig->sender, &rig->packet)) break;
    if (++rig->next_tuple == rig->tuples) rig->next_tuple = 0;
  }
  return sent;
}

static uint64_t receive_burst(struct rig *rig, uint64_t *check_sum) {
  struct mst_packet packets[64];
  uint64_t total = 0;
  for (;;) {
    size_t count = mst_channel_receive(rig->receiver, packets, 64);
    if (!count) return total;
    for (size_t i = 0; i < count; i++) *check_sum += ((const uint8_t *)packets[i].iov[0].base)[UDP_OFFSET + 1];
    mst_channel_release(rig->receiver, count);
    total += count;
  }
}

static void expect_no_drops(struct rig *rig) {
  struct mst_switch_stats stats;
  mst_switch_get_stats(rig->sw, &stats);
  for (int i = 0; i < MST_DROP_COUNT; i++) {
    if (!stats.drops[i]) continue;
    fprintf(stderr, "dropped %llu: %s\n", (unsigned long long)stats.drops[i], mst_drop_text((enum mst_drop)i));
    exit(1);
  }
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Of the slices of a run, so that being preempted now and then does not count. */
static double median(double slices[SLICES]) {
  qsort(slices, SLICES, sizeof *slices, compare);
  return slices[SLICES / 2];
}

static double one_core_slice(struct rig *rig, double seconds) {
  uint64_t received = 0, sum = 0;
  double inside = 0, end = now_s() + seconds;
  while (now_s() < end) {
    send_burst(rig);
    double start = now_s();
    mst_switch_process_channels(rig->sw, BURST, 0);
    inside += now_s() - start;
    received += receive_burst(rig, &sum);
  }
  return (double)received / inside / 1e6;
}

static double one_core(struct rig *rig, double seconds) {
  double slices[SLICES];
  pin(sysconf(_SC_NPROCESSORS_ONLN) - 1);
  for (int i = 0; i < SLICES; i++) slices[i] = one_core_slice(rig, seconds / SLICES);
  return median(slices);
}

static atomic_bool stop;

/* Looking at an index that the other core is about to write costs both cores: look less often while little comes. */
static void pause_briefly(void) {
  for (int i = 0; i < 16; i++) {
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
  }
}

static void *switch_thread(void *user) {
  struct rig *rig = user;
  pin(sysconf(_SC_NPROCESSORS_ONLN) - 1);
  while (!atomic_load_explicit(&stop, memory_order_relaxed))
    if (mst_switch_process_channels(rig->sw, 1024, 0) < 64) pause_briefly();
  return NULL;
}

static double two_cores_slice(struct rig *rig, double seconds) {
  uint64_t received = 0, sum = 0;
  double start = now_s(), now = start;
  while (now - start < seconds) {
    for (int i = 0; i < 32; i++) {
      send_burst(rig);
      received += receive_burst(rig, &sum);
    }
    now = now_s();
  }
  return (double)received / (now - start) / 1e6;
}

static double two_cores(struct rig *rig, double seconds) {
  pthread_t thread;
  double slices[SLICES];
  atomic_store(&stop, false);
  pthread_create(&thread, NULL, switch_thread, rig);
  pin(0);
  for (int i = 0; i < SLICES; i++) slices[i] = two_cores_slice(rig, seconds / SLICES);
  atomic_store(&stop, true);
  pthread_join(thread, NULL);
  return median(slices);
}

static void report(const char *name, const char *metric, double value) {
  printf("{\"case\":\"%s\",\"metric\":\"%s\",\"better\":\"higher\",\"ours\":%.3f}\n", name, metric, value);
}

static void run_case(unsigned bytes, unsigned tuples, double seconds) {
  struct rig rig;
  char name[32];
  bool large = bytes > 1000;
  double gbps = bytes * 8 / 1e3;
  snprintf(name, sizeof name, "%uB/%u", bytes, tuples);
  open_rig(&rig, bytes, tuples);
  double mpps = one_core(&rig, seconds);
  report(name, "mpps", mpps);
  if (large) report(name, "gbps", mpps * gbps);
  if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
    mpps = two_cores(&rig, seconds);
    report(name, "pipeline_mpps", mpps);
    if (large) report(name, "pipeline_gbps", mpps * gbps);
  }
  expect_no_drops(&rig);
  close_rig(&rig);
}

int main(int argc, char **argv) {
  static const unsigned sizes[] = {60, 1514}, tuples[] = {1, 10000, 50000};
  double seconds = argc > 1 && !strcmp(argv[1], "--quick") ? 0.2 : 1;
  for (size_t s = 0; s < 2; s++)
    for (size_t t = 0; t < 3; t++) run_case(sizes[s], tuples[t], seconds);
  return 0;
}
