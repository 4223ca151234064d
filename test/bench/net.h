/* One program, two stacks: connections on the OS's stack (edge-triggered epoll) and on a user stack, behind the same
 * few calls, so that a benchmark's work is the same code on both. */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include "multistack/multistack.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct net;
struct conn;

enum { READY_READ = 1, READY_WRITE = 2, READY_CONNECTED = 4, READY_ERROR = 8 };

/* As with edge-triggered epoll: read until there is less than was asked for, write until less is taken. */
typedef void (*ready_cb)(struct conn *conn, unsigned ready);
/* A new connection of a listener; the callback sets `on_ready` and `user`. */
typedef void (*accept_cb)(struct conn *conn, void *user);

struct conn {
  struct net *net;
  ready_cb on_ready;
  void *user;
  mst_conn *core; /* on a user stack */
  int fd;         /* on the OS's stack */
  bool connecting, closed;
  struct conn *next_closed;
};

/* Each ends the program with a message when it cannot be done. */
struct net *net_os(void);
/* `ports` as for mst_host_open. */
struct net *net_user(const char *const *ports);
/* A second stack on the same host. */
struct net *net_user_beside(struct net *first);
void net_close(struct net *net);

/* Listen on IPv4 `addr`, or on any port of 127.0.0.1 where it is NULL; writes the address back to `out` (or NULL). */
void net_listen(struct net *net, const struct sockaddr_in *addr, accept_cb accept, void *user, struct sockaddr_in *out);
struct conn *net_connect(struct net *net, const struct sockaddr_in *addr, ready_cb on_ready, void *user);

/* Bytes, 0 at the peer's end, or negative: -EAGAIN, or an error. */
ssize_t conn_read(struct conn *conn, void *buffer, size_t bytes);
ssize_t conn_write(struct conn *conn, const void *data, size_t bytes);
/* No more is written; reading goes on. */
void conn_shutdown(struct conn *conn);
/* Freed after the turn. */
void conn_close(struct conn *conn);
/* The same, and the peer is reset. */
void conn_abort(struct conn *conn);
/* "cubic", "bbr" ... */
void conn_congestion_control(struct conn *conn, const char *name);

/* Do what there is to do; with `spin` never wait, else now and then for nothing. */
void net_turn(struct net *net, bool spin);

/* Wait at most until then (now_ns) for something to do, and do it. */
void net_turn_until(struct net *net, uint64_t until_ns);

/* Turn a user stack's loop until then, waiting as an application does. */
void net_wait_until(struct net *net, uint64_t until_ns);

mst_stack *net_stack(struct net *net);

/* --- and what benchmarks share beside --- */

uint64_t now_ns(void);
/* CPU time of this process. */
uint64_t cpu_ns(void);
void pin_to_core(int core);
_Noreturn void die(const char *what, int error);
/* One line of JSON; without a baseline it is left out when `baseline` is not above 0. */
void report(const char *name, const char *metric, const char *better, double ours, double baseline);

#endif
