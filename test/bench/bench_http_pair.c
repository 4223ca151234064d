/* HTTP requests between two ends in one process and one thread: two user stacks that meet in the switch, against the
 * OS's stack over loopback. The same client and the same server on both. */
#include "http_work.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
static size_t body_bytes = 100;

struct client {
  size_t left; /* bytes of the answer still to come */
};

static size_t answer_bytes;
static uint64_t answers, connected;

static void ask(struct conn *conn) {
  struct client *client = conn->user;
  client->left = answer_bytes;
  if (conn_write(conn, request, sizeof request - 1) != sizeof request - 1) die("request", EIO);
}

static void on_ready(struct conn *conn, unsigned ready) {
  static char input[65536];
  struct client *client = conn->user;
  if (ready & READY_ERROR) die("connect", ECONNREFUSED);
  if (ready & READY_CONNECTED) {
    ++connected;
    ask(conn);
  }
  if (!(ready & READY_READ)) return;
  ssize_t n = conn_read(conn, input, sizeof input);
  if (n == -EAGAIN) return;
  if (n <= 0 || (size_t)n > client->left) die("answer", EPROTO);
  client->left -= (size_t)n;
  if (client->left) return;
  ++answers;
  ask(conn);
}

struct crowd {
  struct client *clients;
  struct conn **conns;
  unsigned count;
};

/* Both ends on `server` and `client` (the same for the OS), turned by the one loop of `server`. */
static struct crowd crowd_open(struct net *server, struct net *client, unsigned connections) {
  struct crowd crowd = {calloc(connections, sizeof *crowd.clients), calloc(connections, sizeof *crowd.conns),
                        connections};
  struct sockaddr_in addr;
  if (!crowd.clients || !crowd.conns) die("clients", ENOMEM);
  answer_bytes = http_answer_bytes(body_bytes);
  connected = 0;
  net_listen(server, NULL, http_accept, &body_bytes, &addr);
  for (unsigned i = 0; i < connections; ++i) crowd.conns[i] = net_connect(client, &addr, on_ready, &crowd.clients[i]);
  while (connected < connections) net_turn(server, false);
  return crowd;
}

static void crowd_close(struct crowd *crowd, struct net *server) {
  for (unsigned i = 0; i < crowd->count; ++i) conn_close(crowd->conns[i]);
  for (unsigned i = 0; i < 100; ++i) net_turn(server, true);
  free(crowd->conns);
  free(crowd->clients);
}

static double requests_per_s(struct net *server, struct net *client, unsigned connections, double seconds) {
  struct crowd crowd = crowd_open(server, client, connections);
  uint64_t end_ns = now_ns() + (uint64_t)(seconds * 0.3e9);
  while (now_ns() < end_ns) net_turn(server, true);
  answers = 0;
  uint64_t start_ns = now_ns();
  end_ns = start_ns + (uint64_t)(seconds * 1e9);
  while (now_ns() < end_ns) net_turn(server, true);
  double rate = (double)answers * 1e9 / (double)(now_ns() - start_ns);
  crowd_close(&crowd, server);
  return rate;
}

static void measure(unsigned connections, double seconds) {
  char name[32];
  snprintf(name, sizeof name, "pair/%u", connections);
  struct net *server = net_user(NULL), *client = net_user_beside(server);
  double ours = requests_per_s(server, client, connections, seconds);
  net_close(client);
  net_close(server);
  struct net *os = net_os();
  double baseline = requests_per_s(os, os, connections, seconds);
  net_close(os);
  report(name, "requests_per_s", "higher", ours, baseline);
}

/* So many requests over 64 connections of user stacks, for a count of instructions. */
static int work(uint64_t requests) {
  struct net *server = net_user(NULL), *client = net_user_beside(server);
  struct crowd crowd = crowd_open(server, client, 64);
  while (answers < requests) net_turn(server, true);
  crowd_close(&crowd, server);
  net_close(client);
  net_close(server);
  return 0;
}

/* bench_http_pair [--quick | --requests N] */
int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "--requests") == 0) return work(strtoull(argv[2], NULL, 10));
  bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
  pin_to_core(0);
  measure(1, quick ? 0.2 : 1);
  measure(64, quick ? 0.2 : 1);
  if (!quick) measure(400, 1);
  return 0;
}
