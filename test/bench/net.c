#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, WAIT_MAX_NS = 100000000 };

struct listener;

struct net {
  int epoll_fd; /* the OS's stack, or -1 */
  struct listener *listeners;
  mst_host *host;
  mst_stack *stack;
  struct conn *closed;
  bool owns_host;
};

struct listener {
  struct conn conn; /* its event source; first */
  struct listener *next;
  accept_cb accept;
  void *user;
};

void die(const char *what, int error) {
  if (error < 0) error = -error;
  fprintf(stderr, "%s: %s\n", what, strerror(error));
  exit(1);
}

static struct net *new_net(void) {
  struct net *net = calloc(1, sizeof *net);
  if (!net) die("net", ENOMEM);
  net->epoll_fd = -1;
  return net;
}

static struct conn *new_conn(struct net *net, size_t bytes) {
  struct conn *conn = calloc(1, bytes);
  if (!conn) die("connection", ENOMEM);
  conn->net = net;
  conn->fd = -1;
  return conn;
}

struct net *net_os(void) {
  struct net *net = new_net();
  net->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (net->epoll_fd < 0) die("epoll", errno);
  return net;
}

struct net *net_user(const char *const *ports) {
  struct mst_host_options options = {.size = sizeof options, .ports = ports};
  struct mst_failure failure;
  struct net *net = new_net();
  if (mst_host_open(&options, &net->host, &failure)) {
    fprintf(stderr, "%s\n", failure.message);
    exit(1);
  }
  net->owns_host = true;
  int err = mst_host_add_stack(net->host, NULL, &net->stack);
  if (err) die("stack", err);
  return net;
}

struct net *net_user_beside(struct net *first) {
  struct net *net = new_net();
  net->host = first->host;
  int err = mst_host_add_stack(net->host, NULL, &net->stack);
  if (err) die("stack", err);
  return net;
}

static void free_closed(struct net *net) {
  for (struct conn *conn = net->closed, *next; conn; conn = next) {
    next = conn->next_closed;
    free(conn);
  }
  net->closed = NULL;
}

void net_close(struct net *net) {
  free_closed(net);
  for (struct listener *listener = net->listeners, *next; listener; listener = next) {
    next = listener->next;
    if (listener->conn.fd >= 0) close(listener->conn.fd);
    free(listener);
  }
  if (net->owns_host) mst_host_close(net->host);
  if (net->epoll_fd >= 0) close(net->epoll_fd);
  free(net);
}

mst_stack *net_stack(struct net *net) {
  return net->stack;
}

/* --- the OS's stack --- */

static void os_watch(struct conn *conn) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = conn};
  if (epoll_ctl(conn->net->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event)) die("epoll_ctl", errno);
}

static int os_socket(void) {
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket", errno);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static void os_accept(struct conn *conn, unsigned ready) {
  struct listener *listener = (struct listener *)conn;
  int one = 1, fd;
  (void)ready;
  while ((fd = accept4(conn->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    struct conn *accepted = new_conn(conn->net, sizeof *accepted);
    accepted->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    listener->accept(accepted, listener->user);
    os_watch(accepted);
  }
}

static void os_listen(struct listener *listener, const struct sockaddr_in *addr, struct sockaddr_in *out) {
  int one = 1, fd = os_socket();
  socklen_t bytes = sizeof *out;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (const struct sockaddr *)addr, sizeof *addr) || listen(fd, 4096)) die("listen", errno);
  if (out) getsockname(fd, (struct sockaddr *)out, &bytes);
  listener->conn.fd = fd;
  listener->conn.on_ready = os_accept;
  os_watch(&listener->conn);
}

static void os_connect(struct conn *conn, const struct sockaddr_in *addr) {
  conn->fd = os_socket();
  if (connect(conn->fd, (const struct sockaddr *)addr, sizeof *addr) && errno != EINPROGRESS) die("connect", errno);
  os_watch(conn);
}

static unsigned os_ready(struct conn *conn, uint32_t events) {
  unsigned ready = 0;
  if (conn->connecting && (events & (EPOLLOUT | EPOLLERR))) {
    conn->connecting = false;
    ready = events & EPOLLERR ? READY_ERROR : READY_CONNECTED;
  }
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) ready |= READY_READ;
  if (events & EPOLLOUT) ready |= READY_WRITE;
  return ready;
}

static void os_turn(struct net *net, uint64_t wait_ns) {
  struct epoll_event events[EVENTS_MAX];
  struct timespec timeout = {(time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000)};
  int count = epoll_pwait2(net->epoll_fd, events, EVENTS_MAX, &timeout, NULL);
  for (int i = 0; i < count; ++i) {
    struct conn *conn = events[i].data.ptr;
    if (!conn->closed) conn->on_ready(conn, os_ready(conn, events[i].events));
  }
}

/* --- a user stack --- */

static struct mst_endpoint endpoint(const struct sockaddr_in *addr) {
  return (struct mst_endpoint){.addr = mst_addr_ip4((const uint8_t *)&addr->sin_addr), .port = ntohs(addr->sin_port)};
}

static void user_event(mst_conn *core, unsigned events, void *user) {
  struct conn *conn = user;
  unsigned ready = 0;
  (void)core;
  if (events & MST_EV_CONNECTED) ready |= READY_CONNECTED | READY_WRITE;
  if (events & MST_EV_READABLE) ready |= READY_READ;
  if (events & MST_EV_WRITABLE) ready |= READY_WRITE;
  if (events & MST_EV_ERROR) ready |= conn->connecting ? READY_ERROR : READY_READ;
  conn->connecting = false;
  if (ready) conn->on_ready(conn, ready);
}

static void user_accept(mst_listener *core, void *user) {
  struct listener *listener = user;
  mst_conn *accepted;
  while ((accepted = mst_accept(core))) {
    struct conn *conn = new_conn(listener->conn.net, sizeof *conn);
    conn->core = accepted;
    mst_conn_set_option(accepted, MST_TCP_NODELAY, 1);
    listener->accept(conn, listener->user);
    mst_conn_set_event(accepted, user_event, conn);
    conn->on_ready(conn, READY_WRITE | (mst_readable_bytes(accepted) ? READY_READ : 0));
  }
}

static void user_listen(struct listener *listener, const struct sockaddr_in *addr, struct sockaddr_in *out) {
  struct mst_endpoint local = endpoint(addr);
  mst_binding *binding;
  mst_listener *core;
  int err = mst_bind(listener->conn.net->stack, MST_TCP, &local, 0, &binding);
  if (!err) err = mst_listen(binding, 4096, user_accept, listener, &core);
  if (err) die("listen", err);
  mst_unbind(binding);
  if (!out) return;
  mst_listener_local(core, &local);
  *out = *addr;
  out->sin_port = htons(local.port);
}

static void user_connect(struct conn *conn, const struct sockaddr_in *addr) {
  struct mst_endpoint remote = endpoint(addr);
  int err = mst_connect(conn->net->stack, NULL, &remote, user_event, conn, &conn->core);
  if (err) die("connect", err);
  mst_conn_set_option(conn->core, MST_TCP_NODELAY, 1);
}

static void user_wait(struct net *net, uint64_t until_ns) {
  mst_host_flush(net->host);
  uint64_t deadline = mst_host_deadline(net->host), now;
  if (until_ns < deadline) deadline = until_ns;
  if (deadline == 0 || deadline <= (now = mst_host_now(net->host))) return;
  struct pollfd wait = {.fd = mst_host_wait_fd(net->host), .events = POLLIN};
  struct timespec timeout = {(time_t)((deadline - now) / 1000000000), (long)((deadline - now) % 1000000000)};
  ppoll(&wait, 1, deadline == UINT64_MAX ? NULL : &timeout, NULL);
}

static void user_turn(struct net *net, bool spin) {
  mst_host_process(net->host);
  if (!spin) user_wait(net, UINT64_MAX);
}

void net_wait_until(struct net *net, uint64_t until_ns) {
  while (mst_host_now(net->host) < until_ns) {
    mst_host_process(net->host);
    user_wait(net, until_ns);
  }
  free_closed(net);
}

/* --- either --- */

void net_listen(struct net *net, const struct sockaddr_in *addr, accept_cb accept, void *user,
                struct sockaddr_in *out) {
  const struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct listener *listener = (struct listener *)(void *)new_conn(net, sizeof *listener);
  listener->accept = accept;
  listener->user = user;
  listener->next = net->listeners;
  net->listeners = listener;
  if (net->stack)
    user_listen(listener, addr ? addr : &loopback, out);
  else
    os_listen(listener, addr ? addr : &loopback, out);
}

struct conn *net_connect(struct net *net, const struct sockaddr_in *addr, ready_cb on_ready, void *user) {
  struct conn *conn = new_conn(net, sizeof *conn);
  conn->on_ready = on_ready;
  conn->user = user;
  conn->connecting = true;
  if (net->stack)
    user_connect(conn, addr);
  else
    os_connect(conn, addr);
  return conn;
}

ssize_t conn_read(struct conn *conn, void *buffer, size_t bytes) {
  if (conn->core) return mst_read(conn->core, buffer, bytes);
  ssize_t n = read(conn->fd, buffer, bytes);
  return n < 0 ? -errno : n;
}

ssize_t conn_write(struct conn *conn, const void *data, size_t bytes) {
  if (conn->core) return mst_write(conn->core, data, bytes);
  ssize_t n = send(conn->fd, data, bytes, MSG_NOSIGNAL);
  return n < 0 ? -errno : n;
}

void conn_shutdown(struct conn *conn) {
  int err = conn->core ? mst_shutdown(conn->core) : shutdown(conn->fd, SHUT_WR) ? errno : 0;
  if (err) die("shutdown", err);
}

static void closed(struct conn *conn) {
  conn->closed = true;
  conn->next_closed = conn->net->closed;
  conn->net->closed = conn;
}

void conn_close(struct conn *conn) {
  if (conn->closed) return;
  if (conn->core)
    mst_close(conn->core);
  else
    close(conn->fd);
  closed(conn);
}

void conn_abort(struct conn *conn) {
  struct linger at_once = {.l_onoff = 1};
  if (conn->closed) return;
  if (conn->core) {
    mst_abort(conn->core);
  } else {
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(conn->fd);
  }
  closed(conn);
}

void conn_congestion_control(struct conn *conn, const char *name) {
  int err = 0;
  if (conn->core)
    err = mst_conn_set_congestion_control(conn->core, name);
  else if (setsockopt(conn->fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)))
    err = errno;
  if (err) die(name, err);
}

void net_turn(struct net *net, bool spin) {
  if (net->stack)
    user_turn(net, spin);
  else
    os_turn(net, spin ? 0 : WAIT_MAX_NS);
  free_closed(net);
}

void net_turn_until(struct net *net, uint64_t until_ns) {
  uint64_t now = now_ns();
  if (net->stack) {
    user_wait(net, until_ns);
    mst_host_process(net->host);
  } else {
    os_turn(net, until_ns > now ? until_ns - now : 0);
  }
  free_closed(net);
}

static uint64_t clock_ns(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t now_ns(void) {
  return clock_ns(CLOCK_MONOTONIC);
}

uint64_t cpu_ns(void) {
  return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void pin_to_core(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set); /* where it is refused the figures are less steady, not wrong */
}

void report(const char *name, const char *metric, const char *better, double ours, double baseline) {
  printf("{\"case\":\"%s\",\"metric\":\"%s\",\"better\":\"%s\",\"ours\":%.6g", name, metric, better, ours);
  if (baseline > 0) printf(",\"baseline\":%.6g", baseline);
  printf("}\n");
  fflush(stdout);
}
