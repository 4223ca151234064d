/* The two ends of one connection, and what turns them: two user stacks in one thread, the OS's stack in one thread, or
 * the OS's stack with each end in a thread and on a core of its own. */
#ifndef BENCH_PAIR_H
#define BENCH_PAIR_H

#include "net.h"

enum pair_kind { PAIR_USER, PAIR_OS, PAIR_OS_THREADS };

/* Which end is told is in `conn->user`: these pointers. */
struct pair_ends {
  ready_cb client_ready, server_ready;
  void *client, *server;
};

struct pair;

/* `ends` lives as long as the pair. With `spin` nobody ever waits. */
struct pair *pair_open(enum pair_kind kind, const struct pair_ends *ends, bool spin);
void pair_turn(struct pair *pair);
void pair_close(struct pair *pair);

/* Whether this machine has the cores for it. */
bool pair_can_run(enum pair_kind kind);

#endif
