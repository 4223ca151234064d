/* Round trips of 64 bytes, both ends polling all the time: two user stacks in one thread, against the OS's stack over
 * loopback in one thread and in two. */
#include "pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES = 64, SAMPLES_MAX = 1 << 20 };

struct client {
  uint64_t start_ns, warm_ns, end_ns;
  size_t got, samples;
  uint32_t *round_trips_ns;
  bool done;
};

struct figures {
  double median_us, p99_us;
};

static void ping(struct conn *conn) {
  static const char message[MESSAGE_BYTES];
  ((struct client *)conn->user)->start_ns = now_ns();
  if (conn_write(conn, message, sizeof message) != sizeof message) die("ping", EIO);
}

static void on_pong(struct conn *conn, unsigned ready) {
  char message[MESSAGE_BYTES];
  struct client *client = conn->user;
  if (ready & READY_ERROR) die("connect", ECONNREFUSED);
  if (ready & READY_CONNECTED) ping(conn);
  if (!(ready & READY_READ)) return;
  ssize_t n = conn_read(conn, message, sizeof message);
  if (n == -EAGAIN) return;
  if (n <= 0) die("pong", EPROTO);
  client->got += (size_t)n;
  if (client->got < MESSAGE_BYTES) return;
  client->got = 0;
  uint64_t now = now_ns();
  if (now >= client->warm_ns && client->samples < SAMPLES_MAX)
    client->round_trips_ns[client->samples++] = (uint32_t)(now - client->start_ns);
  client->done = now >= client->end_ns;
  if (!client->done) ping(conn);
}

static void on_ping(struct conn *conn, unsigned ready) {
  char message[MESSAGE_BYTES + 1];
  if (!(ready & READY_READ)) return;
  ssize_t n = conn_read(conn, message, sizeof message);
  if (n > 0 && conn_write(conn, message, (size_t)n) != n) die("echo", EIO);
}

static int by_size(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static struct figures measure(enum pair_kind kind, double seconds) {
  struct client client = {.round_trips_ns = malloc(SAMPLES_MAX * sizeof(uint32_t))};
  if (!client.round_trips_ns) die("samples", ENOMEM);
  client.warm_ns = now_ns() + (uint64_t)(seconds * 0.3e9);
  client.end_ns = client.warm_ns + (uint64_t)(seconds * 1e9);
  const struct pair_ends ends = {on_pong, on_ping, &client, NULL};
  struct pair *pair = pair_open(kind, &ends, true);
  while (!client.done) pair_turn(pair);
  pair_close(pair);
  qsort(client.round_trips_ns, client.samples, sizeof(uint32_t), by_size);
  size_t median = client.samples / 2, p99 = client.samples * 99 / 100;
  struct figures figures = {client.round_trips_ns[median] / 1e3, client.round_trips_ns[p99] / 1e3};
  free(client.round_trips_ns);
  return figures;
}

int main(int argc, char **argv) {
  double seconds = argc > 1 && strcmp(argv[1], "--quick") == 0 ? 0.2 : 1;
  struct figures ours = measure(PAIR_USER, seconds);
  struct figures os = measure(PAIR_OS, seconds);
  report("one thread", "round_trip_p50_us", "lower", ours.median_us, os.median_us);
  report("one thread", "round_trip_p99_us", "lower", ours.p99_us, os.p99_us);
  if (!pair_can_run(PAIR_OS_THREADS)) return 0;
  os = measure(PAIR_OS_THREADS, seconds);
  report("baseline in two threads", "round_trip_p50_us", "lower", ours.median_us, os.median_us);
  report("baseline in two threads", "round_trip_p99_us", "lower", ours.p99_us, os.p99_us);
  return 0;
}
