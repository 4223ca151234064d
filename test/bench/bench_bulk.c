/* One connection, as many bytes as go: to the server, to the client, and both ways at once. Two user stacks in one
 * thread, against the OS's stack over loopback in one thread and in two. */
#include "pair.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 128 << 10 };

enum { TO_SERVER = 1, TO_CLIENT = 2 };

struct end {
  bool sends;
  char *bytes;
  atomic_ullong received;
};

static atomic_bool stop;
static char client_bytes[CHUNK_BYTES], server_bytes[CHUNK_BYTES];

/* One write and one read in turn, as long as either goes on. */
static void on_ready(struct conn *conn, unsigned ready) {
  struct end *end = conn->user;
  bool reads = true, writes = end->sends;
  if (ready & READY_ERROR) die("connect", ECONNREFUSED);
  while ((reads || writes) && !atomic_load_explicit(&stop, memory_order_relaxed)) {
    ssize_t n = writes ? conn_write(conn, end->bytes, CHUNK_BYTES) : 0;
    if (n < 0 && n != -EAGAIN) die("write", (int)n);
    if (n < CHUNK_BYTES) writes = false;
    n = reads ? conn_read(conn, end->bytes, CHUNK_BYTES) : 0;
    if (n < 0 && n != -EAGAIN) die("read", (int)n);
    if (n < CHUNK_BYTES) reads = false;
    if (n > 0) atomic_fetch_add_explicit(&end->received, (unsigned long long)n, memory_order_relaxed);
  }
}

static double gbit_per_s(enum pair_kind kind, int directions, double seconds) {
  struct end client = {.sends = directions & TO_SERVER, .bytes = client_bytes};
  struct end server = {.sends = directions & TO_CLIENT, .bytes = server_bytes};
  const struct pair_ends ends = {on_ready, on_ready, &client, &server};
  atomic_store(&stop, false);
  struct pair *pair = pair_open(kind, &ends, false);
  uint64_t start_ns = now_ns(), begin_ns = start_ns + (uint64_t)(seconds * 0.3e9), end_ns;
  while (now_ns() < begin_ns) pair_turn(pair);
  unsigned long long before = client.received + server.received;
  begin_ns = now_ns();
  end_ns = begin_ns + (uint64_t)(seconds * 1e9);
  while (now_ns() < end_ns) pair_turn(pair);
  double rate = (double)(client.received + server.received - before) * 8 / (double)(now_ns() - begin_ns);
  atomic_store(&stop, true);
  pair_close(pair);
  return rate;
}

static void measure(const char *name, int directions, double seconds) {
  char text[64];
  double ours = gbit_per_s(PAIR_USER, directions, seconds);
  report(name, "gbit_per_s", "higher", ours, gbit_per_s(PAIR_OS, directions, seconds));
  if (!pair_can_run(PAIR_OS_THREADS)) return;
  snprintf(text, sizeof text, "%s, baseline in two threads", name);
  report(text, "gbit_per_s", "higher", ours, gbit_per_s(PAIR_OS_THREADS, directions, seconds));
}

/* So many bytes to the server between user stacks, for a count of instructions. */
static int work(unsigned long long bytes) {
  struct end client = {.sends = true, .bytes = client_bytes}, server = {.bytes = server_bytes};
  const struct pair_ends ends = {on_ready, on_ready, &client, &server};
  struct pair *pair = pair_open(PAIR_USER, &ends, false);
  while (server.received < bytes) pair_turn(pair);
  atomic_store(&stop, true);
  pair_close(pair);
  return 0;
}

/* bench_bulk [--quick | --bytes N] */
int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "--bytes") == 0) return work(strtoull(argv[2], NULL, 10));
  double seconds = argc > 1 && strcmp(argv[1], "--quick") == 0 ? 0.2 : 1;
  measure("to server", TO_SERVER, seconds);
  measure("to client", TO_CLIENT, seconds);
  measure("both ways", TO_SERVER | TO_CLIENT, seconds);
  return 0;
}
