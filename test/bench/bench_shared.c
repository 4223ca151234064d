/* Processes that share a multistackd, against the OS's stack over loopback.
 *
 *   60B/pair, 60B/64ch    packets through the daemon, from one process to another: each is validated, looked up and
 *                         copied. The daemon has one core, the two processes have the other
 *   http/64               requests between a server and a client process
 *   wake                  round trips of 64 bytes after a rest, when everybody sleeps
 *   polling               round trips back to back, when everybody looks for packets for a while before sleeping
 *   attach                from nothing to the first byte of an answer */
#include "http_work.h"
#include "integration/daemon_rig.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { MESSAGE_BYTES = 64, BURST = 256, SAMPLES = 2000 };

/* What the processes of a run tell each other. */
struct board {
  atomic_ullong packets, answers;
  atomic_bool stop;
};

static struct board *board;
static struct daemon_rig rig;
static bool quick;

static void use_both_cores(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int i = 0; i < sysconf(_SC_NPROCESSORS_ONLN); i++) CPU_SET((size_t)i, &set);
  sched_setaffinity(0, sizeof set, &set);
}

/* `settings`: lines of the configuration file. */
static void start_daemon(const char *settings) {
  char file[] = "/tmp/multistack-bench-XXXXXX";
  int fd = mkstemp(file);
  if (fd < 0 || write(fd, settings, strlen(settings)) != (ssize_t)strlen(settings)) die(file, errno);
  close(fd);
  daemon_open(&rig, (const char *[]){"--config", file, NULL});
  unlink(file);
}

static void end_process(pid_t pid) {
  atomic_store(&board->stop, true);
  if (!app_ended_well(pid)) die("a process of the benchmark", EPROTO);
  atomic_store(&board->stop, false);
}

/* --- packets --- */

struct packets_run {
  unsigned channels, leases; /* of each process */
  uint8_t host;              /* 127.0.0.host is its address */
};

static uint16_t port_of(unsigned i) {
  return (uint16_t)(1024 + i);
}

static mst_attach **attach_all(const struct packets_run *run) {
  mst_attach **all = calloc(run->channels, sizeof *all);
  struct mst_attach_options options = {.size = sizeof options, .path = rig.path};
  struct mst_failure failure;
  options.channel = (struct mst_channel_options){.size = sizeof options.channel, .arena_bytes = 1u << 20};
  for (unsigned i = 0; i < run->channels; i++) {
    if (!mst_attach_open(&options, &all[i], &failure)) continue;
    fprintf(stderr, "%s\n", failure.message);
    exit(1);
  }
  for (unsigned i = 0; i < run->leases; i++) {
    const uint8_t addr[4] = {127, 0, 0, run->host};
    struct mst_tuple tuple = {.protocol = MST_UDP, .port = port_of(i), .addr = mst_addr_ip4(addr)};
    int error = mst_attach_lease(all[i % run->channels], &tuple);
    if (error) die("lease", error);
  }
  return all;
}

static void send_packets(void *ctx, int ready_fd) {
  const struct packets_run *run = ctx;
  mst_attach **all = attach_all(run);
  uint8_t bytes[60] = {0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, MST_UDP, 0, 0, 127, 0, 0, 1, 127, 0, 0, 2, 0, 0, 0, 0, 0, 40};
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
  sum = ~((sum & 0xffff) + (sum >> 16));
  bytes[10] = (uint8_t)(sum >> 8);
  bytes[11] = (uint8_t)sum;
  const struct mst_packet packet = {
      .len = sizeof bytes, .flags = MST_CSUM_PARTIAL, .iov_count = 1, .iov = {{bytes, sizeof bytes}}};
  unsigned *next = calloc(run->channels, sizeof *next);
  for (unsigned i = 0; i < run->channels; i++) next[i] = i;
  app_ready(ready_fd);
  while (!atomic_load_explicit(&board->stop, memory_order_relaxed)) {
    unsigned sent = 0;
    for (unsigned c = 0; c < run->channels; c++) {
      mst_channel *channel = mst_attach_channel(all[c]);
      for (unsigned i = 0; i < BURST; i++) {
        uint16_t port = port_of(next[c]);
        bytes[20] = bytes[22] = (uint8_t)(port >> 8);
        bytes[21] = bytes[23] = (uint8_t)port;
        if (mst_channel_send(channel, &packet)) break;
        next[c] = next[c] + run->channels < run->leases ? next[c] + run->channels : c;
        sent++;
      }
      mst_attach_flush(all[c]);
    }
    if (sent < BURST) sched_yield();
  }
}

static void receive_packets(void *ctx, int ready_fd) {
  const struct packets_run *run = ctx;
  mst_attach **all = attach_all(run);
  struct mst_packet packets[64];
  app_ready(ready_fd);
  while (!atomic_load_explicit(&board->stop, memory_order_relaxed)) {
    size_t total = 0;
    for (unsigned c = 0; c < run->channels; c++) {
      mst_channel *channel = mst_attach_channel(all[c]);
      size_t count;
      while ((count = mst_channel_receive(channel, packets, 64))) {
        for (size_t i = 0; i < count; i++)
          if (((const uint8_t *)packets[i].iov[0].base)[19] != run->host) die("packet", EPROTO);
        mst_channel_release(channel, count);
        total += count;
      }
      mst_attach_flush(all[c]);
    }
    atomic_fetch_add_explicit(&board->packets, total, memory_order_relaxed);
    if (!total) sched_yield();
  }
}

static double packets_per_s(unsigned channels, unsigned leases) {
  struct packets_run sender = {channels, leases, 1}, receiver = {channels, leases, 2};
  pin_to_core(1);
  start_daemon("");
  pin_to_core(0);
  pid_t to = app_process(receive_packets, &receiver), from = app_process(send_packets, &sender);
  usleep(quick ? 100000 : 500000);
  uint64_t start_ns = now_ns(), start = atomic_load(&board->packets);
  usleep(quick ? 300000 : 2000000);
  double rate = (double)(atomic_load(&board->packets) - start) * 1e9 / (double)(now_ns() - start_ns);
  end_process(from);
  end_process(to);
  daemon_close(&rig);
  use_both_cores();
  return rate;
}

static void measure_packets(void) {
  double pair = packets_per_s(1, 1), many = packets_per_s(32, 5000);
  report("60B/pair", "mpps", "higher", pair / 1e6, 0);
  report("60B/64ch", "mpps", "higher", many / 1e6, 0);
  report("60B/64ch against pair", "ratio", "higher", many, pair);
}

/* --- the two ends of connections --- */

static struct net *open_net(bool user) {
  const char *ports[] = {rig.spec, NULL};
  return user ? net_user(ports) : net_os();
}

struct server_run {
  bool user, spin;
  accept_cb accept;
  void *accept_user;
  struct sockaddr_in addr; /* for the clients; in memory that they share */
};

static void serve(void *ctx, int ready_fd) {
  struct server_run *run = ctx;
  struct net *net = open_net(run->user);
  net_listen(net, NULL, run->accept, run->accept_user, &run->addr);
  app_ready(ready_fd);
  while (!atomic_load_explicit(&board->stop, memory_order_relaxed)) net_turn_until(net, now_ns() + 50000000);
  net_close(net);
}

static struct server_run *shared_run(void) {
  void *memory = mmap(NULL, sizeof(struct server_run), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) die("mmap", errno);
  return memory;
}

/* --- http --- */

static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
static size_t body_bytes = 100, answer_bytes;
static uint64_t answers;

static void ask(struct conn *conn) {
  *(size_t *)conn->user = answer_bytes;
  if (conn_write(conn, request, sizeof request - 1) != sizeof request - 1) die("request", EIO);
}

static void on_answer(struct conn *conn, unsigned ready) {
  static char input[65536];
  size_t *left = conn->user;
  if (ready & READY_ERROR) die("connect", ECONNREFUSED);
  if (ready & READY_CONNECTED) ask(conn);
  if (!(ready & READY_READ)) return;
  ssize_t n = conn_read(conn, input, sizeof input);
  if (n == -EAGAIN) return;
  if (n <= 0 || (size_t)n > *left) die("answer", EPROTO);
  *left -= (size_t)n;
  if (*left) return;
  answers++;
  ask(conn);
}

static double requests_per_s(bool user, unsigned connections) {
  static size_t left[1024];
  struct server_run *run = shared_run();
  *run = (struct server_run){.user = user, .accept = http_accept, .accept_user = &body_bytes};
  answer_bytes = http_answer_bytes(body_bytes);
  pid_t server = app_process(serve, run);
  struct net *net = open_net(user);
  for (unsigned i = 0; i < connections; i++) net_connect(net, &run->addr, on_answer, &left[i]);
  uint64_t end_ns = now_ns() + 300000000;
  while (now_ns() < end_ns) net_turn_until(net, end_ns);
  answers = 0;
  uint64_t start_ns = now_ns();
  end_ns = start_ns + (quick ? 300000000 : 2000000000);
  while (now_ns() < end_ns) net_turn_until(net, end_ns);
  double rate = (double)answers * 1e9 / (double)(now_ns() - start_ns);
  end_process(server);
  net_close(net);
  return rate;
}

static void measure_http(unsigned connections) {
  char name[32];
  snprintf(name, sizeof name, "http/%u", connections);
  start_daemon("");
  double ours = requests_per_s(true, connections);
  daemon_close(&rig);
  report(name, "requests_per_s", "higher", ours, requests_per_s(false, connections));
}

/* --- round trips --- */

struct pinger {
  uint64_t sent_ns;
  uint32_t samples_ns[SAMPLES];
  unsigned samples, wanted;
  size_t got;
  bool ready, waiting;
};

static void ping(struct conn *conn) {
  static const char message[MESSAGE_BYTES];
  struct pinger *pinger = conn->user;
  pinger->waiting = true;
  pinger->got = 0;
  pinger->sent_ns = now_ns();
  if (conn_write(conn, message, sizeof message) != sizeof message) die("ping", EIO);
}

static void on_pong(struct conn *conn, unsigned ready) {
  char message[MESSAGE_BYTES];
  struct pinger *pinger = conn->user;
  if (ready & READY_ERROR) die("connect", ECONNREFUSED);
  if (ready & READY_CONNECTED) pinger->ready = true;
  if (!(ready & READY_READ)) return;
  ssize_t n = conn_read(conn, message, sizeof message);
  if (n == -EAGAIN) return;
  if (n <= 0) die("pong", EPROTO);
  pinger->got += (size_t)n;
  if (pinger->got < MESSAGE_BYTES) return;
  pinger->samples_ns[pinger->samples++] = (uint32_t)(now_ns() - pinger->sent_ns);
  pinger->waiting = false;
}

static void on_ping(struct conn *conn, unsigned ready) {
  char message[MESSAGE_BYTES + 1];
  if (!(ready & READY_READ)) return;
  ssize_t n = conn_read(conn, message, sizeof message);
  if (n > 0 && conn_write(conn, message, (size_t)n) != n) die("echo", EIO);
}

static void on_echo_accept(struct conn *conn, void *user) {
  (void)user;
  conn->on_ready = on_ping;
}

static int by_size(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/* Median of round trips, each after a rest of `rest_ns`. */
static double round_trip_us(bool user, uint64_t rest_ns, unsigned wanted) {
  static struct pinger pinger;
  struct server_run *run = shared_run();
  pinger = (struct pinger){.wanted = wanted};
  *run = (struct server_run){.user = user, .accept = on_echo_accept};
  pid_t server = app_process(serve, run);
  struct net *net = open_net(user);
  struct conn *conn = net_connect(net, &run->addr, on_pong, &pinger);
  while (!pinger.ready) net_turn_until(net, now_ns() + 50000000);
  while (pinger.samples < wanted) {
    uint64_t rested_ns = now_ns() + rest_ns;
    while (rest_ns && now_ns() < rested_ns) net_turn_until(net, rested_ns);
    ping(conn);
    while (pinger.waiting) net_turn_until(net, now_ns() + 50000000);
  }
  end_process(server);
  net_close(net);
  qsort(pinger.samples_ns, pinger.samples, sizeof *pinger.samples_ns, by_size);
  return pinger.samples_ns[pinger.samples / 2] / 1e3;
}

static void measure_wakes(void) {
  start_daemon("");
  double ours = round_trip_us(true, 2000000, quick ? 100 : 500);
  daemon_close(&rig);
  report("wake", "round_trip_p50_us", "lower", ours, round_trip_us(false, 2000000, quick ? 100 : 500));
}

static void measure_polling(void) {
  setenv("MULTISTACK_POLL_US", "1000", 1);
  start_daemon("spin_us = 1000\n");
  double ours = round_trip_us(true, 0, SAMPLES);
  daemon_close(&rig);
  unsetenv("MULTISTACK_POLL_US");
  report("polling", "round_trip_p50_us", "lower", ours, round_trip_us(false, 0, SAMPLES));
}

/* --- attach --- */

static double attach_ms(void) {
  static struct pinger pinger;
  struct server_run *run = shared_run();
  *run = (struct server_run){.user = true, .accept = on_echo_accept};
  pid_t server = app_process(serve, run);
  pinger = (struct pinger){.wanted = 1};
  uint64_t start_ns = now_ns();
  struct net *net = open_net(true);
  struct conn *conn = net_connect(net, &run->addr, on_pong, &pinger);
  while (!pinger.ready) net_turn_until(net, now_ns() + 50000000);
  ping(conn);
  while (pinger.waiting) net_turn_until(net, now_ns() + 50000000);
  double ms = (double)(now_ns() - start_ns) / 1e6;
  end_process(server);
  net_close(net);
  return ms;
}

static void measure_attach(void) {
  start_daemon("");
  report("attach", "to_first_byte_ms", "lower", attach_ms(), 0);
  daemon_close(&rig);
}

/* bench_shared [--quick] [CASE] */
int main(int argc, char **argv) {
  quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
  const char *only = argc > 1 + quick ? argv[1 + quick] : "";
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
    puts("two cores are wanted");
    return 77;
  }
  board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (board == MAP_FAILED) die("mmap", errno);
  if (!*only || !strcmp(only, "packets")) measure_packets();
  if (!*only || !strcmp(only, "http")) measure_http(64);
  if (!*only || !strcmp(only, "wake")) measure_wakes();
  if (!*only || !strcmp(only, "polling")) measure_polling();
  if (!*only || !strcmp(only, "attach")) measure_attach();
  return 0;
}
