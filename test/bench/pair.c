#include "pair.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct pair {
  enum pair_kind kind;
  bool spin;
  const struct pair_ends *ends;
  struct net *client, *server; /* the same for PAIR_OS */
  pthread_t thread;            /* the server's, for PAIR_OS_THREADS */
  atomic_bool stop;
};

static void on_accept(struct conn *conn, void *user) {
  const struct pair *pair = user;
  conn->on_ready = pair->ends->server_ready;
  conn->user = pair->ends->server;
}

static void *serve(void *arg) {
  struct pair *pair = arg;
  pin_to_core(1);
  while (!atomic_load_explicit(&pair->stop, memory_order_relaxed)) net_turn(pair->server, pair->spin);
  return NULL;
}

bool pair_can_run(enum pair_kind kind) {
  return kind != PAIR_OS_THREADS || sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

struct pair *pair_open(enum pair_kind kind, const struct pair_ends *ends, bool spin) {
  struct pair *pair = calloc(1, sizeof *pair);
  struct sockaddr_in addr;
  if (!pair) die("pair", ENOMEM);
  pair->kind = kind;
  pair->spin = spin;
  pair->ends = ends;
  pair->server = kind == PAIR_USER ? net_user(NULL) : net_os();
  pair->client = kind == PAIR_USER ? net_user_beside(pair->server) : kind == PAIR_OS ? pair->server : net_os();
  pin_to_core(0);
  net_listen(pair->server, NULL, on_accept, pair, &addr);
  net_connect(pair->client, &addr, ends->client_ready, ends->client);
  int err = kind == PAIR_OS_THREADS ? pthread_create(&pair->thread, NULL, serve, pair) : 0;
  if (err) die("thread", err);
  return pair;
}

void pair_turn(struct pair *pair) {
  net_turn(pair->client, pair->spin);
}

void pair_close(struct pair *pair) {
  atomic_store(&pair->stop, true);
  if (pair->kind == PAIR_OS_THREADS) pthread_join(pair->thread, NULL);
  if (pair->client != pair->server) net_close(pair->client);
  net_close(pair->server);
  free(pair);
}
