/* What a user stack takes while nothing happens: memory of 10,000 connections that are idle (both ends in one process,
 * so figures are of one end), CPU of a loop with them at rest, and CPU of a loop without any. There is no baseline. */
#include "net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONNECTIONS = 10000, CONNECTIONS_QUICK = 1000 };

static unsigned opened;

static void on_client(struct conn *conn, unsigned ready) {
  static const char message[64];
  if (ready & READY_ERROR) die("connect", ECONNREFUSED);
  if ((ready & READY_CONNECTED) && conn_write(conn, message, sizeof message) < 0) die("write", EIO);
}

/* Each connection has carried a little before it falls idle. */
static void on_server(struct conn *conn, unsigned ready) {
  char message[64];
  if (!(ready & READY_READ)) return;
  if (conn_read(conn, message, sizeof message) == sizeof message) ++opened;
}

static void on_accept(struct conn *conn, void *user) {
  (void)user;
  conn->on_ready = on_server;
}

static uint64_t stack_bytes(struct net *server, struct net *client) {
  struct mst_stack_stats a, b;
  mst_stack_get_stats(net_stack(server), &a);
  mst_stack_get_stats(net_stack(client), &b);
  return a.memory_bytes + b.memory_bytes;
}

static uint64_t resident_bytes(void) {
  char line[128], *resident;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || !fgets(line, sizeof line, file) || !(resident = strchr(line, ' '))) die("/proc/self/statm", EIO);
  fclose(file);
  return strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* CPU microseconds a second of a loop that waits as an application's does. */
static double cpu_us_per_s(struct net *net, double seconds) {
  uint64_t start_ns = now_ns(), start_cpu_ns = cpu_ns(), end_ns = start_ns + (uint64_t)(seconds * 1e9);
  net_wait_until(net, end_ns);
  return (double)(cpu_ns() - start_cpu_ns) / 1e3 / ((double)(now_ns() - start_ns) / 1e9);
}

int main(int argc, char **argv) {
  bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
  double seconds = quick ? 1 : 5;
  unsigned count = quick ? CONNECTIONS_QUICK : CONNECTIONS;
  char name[32];
  struct sockaddr_in addr;
  struct net *server = net_user(NULL), *client = net_user_beside(server);
  net_listen(server, NULL, on_accept, NULL, &addr);
  report("at rest", "cpu_us_per_s", "lower", cpu_us_per_s(server, seconds), 0);

  uint64_t stack_before = stack_bytes(server, client), resident_before = resident_bytes();
  for (unsigned i = 0; i < count; ++i) {
    net_connect(client, &addr, on_client, NULL);
    if (i % 100 == 99) net_turn(server, true);
  }
  while (opened < count) net_turn(server, true);
  net_wait_until(server, now_ns() + 300000000); /* delayed ACKs and what else is under way come to rest */

  snprintf(name, sizeof name, "%u connections", count);
  double ends = 2.0 * count;
  report(name, "bytes_per_connection", "lower", (double)(stack_bytes(server, client) - stack_before) / ends, 0);
  report(name, "resident_bytes_per_connection", "lower", (double)(resident_bytes() - resident_before) / ends, 0);
  report(name, "cpu_us_per_s", "lower", cpu_us_per_s(server, seconds), 0);
  net_close(client);
  net_close(server);
  return 0;
}
