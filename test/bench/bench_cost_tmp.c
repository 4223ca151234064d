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

/* Both ends on `server` and `client` (the same for the OS), turned by the one loop of `server`. */
static double requests_per_s(struct net *server, struct net *client, unsigned connections, double seconds) {
  struct client *clients = calloc(connections, sizeof *clients);
  struct conn **conns = calloc(connections, sizeof(struct conn *));
  struct sockaddr_in addr;
  if (!clients || !conns) die("clients", ENOMEM);
  answer_bytes = http_answer_bytes(body_bytes);
  connected = 0;
  net_listen(server, NULL, http_accept, &body_bytes, &addr);
  for (unsigned i = 0; i < connections; ++i) conns[i] = net_connect(client, &addr, on_ready, &clients[i]);
  while (connected < connections) net_turn(server, false);
  uint64_t end_ns = now_ns() + (uint64_t)(seconds * 0.3e9);
  extern uint64_t target; (void)end_ns; while (answers < target) net_turn(server, true);
  answers = 0;
  uint64_t start_ns = now_ns();
  end_ns = start_ns + (uint64_t)(seconds * 1e9);
  extern uint64_t target; (void)end_ns; while (answers < target) net_turn(server, true);
  double rate = (double)answers * 1e9 / (double)(now_ns() - start_ns);
  for (unsigned i = 0; i < connections; ++i) conn_close(conns[i]);
  for (unsigned i = 0; i < 100; ++i) net_turn(server, true);
  free(conns);
  free(clients);
  return rate;
}

uint64_t target;
int main(int argc, char **argv) {
  target = strtoull(argv[1], NULL, 10); (void)argc;
  struct net *server = net_user(NULL), *client = net_user_beside(server);
  requests_per_s(server, client, 64, 1);
  net_close(client);
  net_close(server);
  return 0;
}
