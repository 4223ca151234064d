/* A random scenario: two stacks, a network between them, connections and what their applications do. All of it is
 * drawn from one seed. Each feature draws from numbers of its own, so that a failing scenario can be run again without
 * some of its features and is otherwise the same. */
#ifndef TEST_SIM_WORLD_H
#define TEST_SIM_WORLD_H

#include "invariant.h"
#include "sim.h"

#define WORLD_CONNECTIONS_MAX 6

#define WORLD_FEATURES(X)                                                                                              \
  X(ip6)                                                                                                               \
  X(together)                                                                                                          \
  X(several)                                                                                                           \
  X(delay)                                                                                                             \
  X(jitter)                                                                                                            \
  X(keep_order)                                                                                                        \
  X(loss)                                                                                                              \
  X(bad_times)                                                                                                         \
  X(burst)                                                                                                             \
  X(by_index)                                                                                                          \
  X(reorder)                                                                                                           \
  X(duplicate)                                                                                                         \
  X(corrupt)                                                                                                           \
  X(rate)                                                                                                              \
  X(aqm)                                                                                                               \
  X(mark)                                                                                                              \
  X(mtu)                                                                                                               \
  X(ecn)                                                                                                               \
  X(gso)                                                                                                               \
  X(refuse)                                                                                                            \
  X(small_mtu)                                                                                                         \
  X(buffers)                                                                                                           \
  X(no_sack)                                                                                                           \
  X(congestion)                                                                                                        \
  X(strip_syn)                                                                                                         \
  X(strip_rest)                                                                                                        \
  X(lopsided)                                                                                                          \
  X(clamp)                                                                                                             \
  X(bleach)                                                                                                            \
  X(sequence)                                                                                                          \
  X(dishonest)                                                                                                         \
  X(split)                                                                                                             \
  X(merge)                                                                                                             \
  X(thin_acks)                                                                                                         \
  X(unscaled)                                                                                                          \
  X(nat)                                                                                                               \
  X(blind)                                                                                                             \
  X(blind_in_window)                                                                                                   \
  X(cookies)                                                                                                           \
  X(memory_max) X(memory) X(abort) X(pause) X(peek) X(nodelay) X(shut_late) X(meddle) X(mtu_probing) X(black_hole)

enum world_feature {
#define X(name) WITH_##name,
  WORLD_FEATURES(X)
#undef X
      WORLD_FEATURE_COUNT
};
const char *world_feature_name(enum world_feature feature);

struct world;

/* One end of a connection, and its application. */
struct end {
  struct world *world;
  struct sim_node *node;
  mst_conn *conn;
  uint32_t connection;
  uint32_t id;      /* of the stream that it sends */
  uint32_t peer_id; /* and of that which it receives */
  uint64_t to_send, sent, to_receive, received;
  uint32_t write_max, read_max; /* of one call */
  uint32_t pause_chance;        /* per million, before a read */
  uint64_t paused_until_ns;
  uint64_t abort_after; /* bytes received; UINT64_MAX: it does not */
  bool by_peek, nodelay, shut_late, meddles;
  bool can_read, can_write, shut, eof, closed;
  int error;
  uint64_t finished_ns;
};

struct world {
  uint64_t seed;
  uint64_t off; /* features that are left out: 1 << WITH_... */
  uint64_t on;  /* those that this scenario has */
  bool verbose, print;
  struct sim *sim;
  struct sim_watch *watch;
  struct sim_random random; /* of the applications as they run */
  struct sim_random draw;   /* of the feature that is being drawn */
  struct sim_node *node[2];
  mst_listener *listener;
  struct end ends[WORLD_CONNECTIONS_MAX][2];
  uint32_t connections;
  bool keepalive;
  bool may_fail; /* memory runs out, somebody aborts, a box breaks connections: errors are no fault */
  uint64_t memory_bytes_max[2];
  uint64_t progress_ns[WORLD_CONNECTIONS_MAX];
  uint64_t stall_ns; /* so long without progress or an error is a fault */
  uint64_t index_losses[2][8];
  bool merges[2], recuts[2]; /* boxes that make segments longer, or other ones */
  bool believes_icmp[2];     /* alone: a path that does not tell of what it drops is lost on it */
  char fault[500];           /* what did not hold; "": nothing */
};

__attribute__((format(printf, 2, 3))) void world_fault(struct world *w, const char *format, ...);
void world_progress(struct world *w, const struct end *end);

/* Run a scenario. `w` has seed, off, verbose and print, and is otherwise zero. True: all held. Prints what did not. */
bool world_run(struct world *w);

/* --- draw.c: what the seed says --- */
/* Whether the feature is in: a chance of 1 in `n`. What is drawn next is of its numbers. */
bool world_with(struct world *w, enum world_feature feature, int side, uint64_t n);
uint64_t world_draw(struct world *w, uint64_t limit);
/* Between 1 and 2^bits, each power of two as likely as the next. */
uint64_t world_draw_logarithmic(struct world *w, unsigned bits);
/* Stacks, network and the ends' habits. False: no memory for a stack. */
bool world_draw_all(struct world *w);

/* --- traffic.c: the applications --- */
/* The end of a connection is given to its application. */
void traffic_adopt(struct end *end, mst_conn *conn);
void traffic_finish(struct end *end, int error);
void traffic_on_event(mst_conn *conn, unsigned events, void *user);
void traffic_app(struct sim_node *node, void *user);

#endif
