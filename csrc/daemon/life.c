/* What the keeper is given, and when. */
#include "life.h"
#include "config.h"
#include "host/host_internal.h"
#include "keeper.h"
#include "life_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

/* --- the keeper in the loop --- */

static void keeper_ready(struct mst__daemon *daemon, struct mst__watch *watch) {
  (void)watch;
  mst__keeper_process(daemon->life->keeper);
  mst__life_watch_keeper(daemon);
}

void mst__life_watch_keeper(struct mst__daemon *daemon) {
  struct mst__life *life = daemon->life;
  pid_t pid = mst__keeper_pid(life->keeper);
  if (pid == life->keeper_pid) return;
  life->keeper_pid = pid;
  life->keeper_watch = (struct mst__watch){.ready = keeper_ready, .fd = mst__keeper_wait_fd(life->keeper)};
  if (pid) mst__daemon_watch(daemon, &life->keeper_watch, EPOLLIN); /* the one before left the epoll with its end */
}

void mst__life_flush(struct mst__daemon *daemon) {
  mst__life_bury(daemon->life);
  mst__keeper_flush(daemon->life->keeper);
  mst__life_watch_keeper(daemon);
}

bool mst__life_settle(struct mst__daemon *daemon) {
  bool settled = mst__keeper_settle(daemon->life->keeper);
  mst__life_watch_keeper(daemon);
  return settled;
}

static void hold(struct mst__daemon *daemon, const void *key, size_t key_bytes, const void *value, size_t value_bytes,
                 const int *fds, unsigned fd_count) {
  const struct mst__keeper_record record = {.key = key,
                                            .key_bytes = (uint16_t)key_bytes,
                                            .value = value,
                                            .value_bytes = (uint16_t)value_bytes,
                                            .fds = fds,
                                            .fd_count = (uint8_t)fd_count};
  if (mst__keeper_hold(daemon->life->keeper, &record))
    mst__log(&daemon->log, MST_LOG_WARN,
             "the keeper holds as much as it can: something new will not outlive this daemon");
}

/* --- sockets, ports --- */

int mst__life_listener(const struct mst__daemon *daemon) {
  return daemon->life->listener;
}

void mst__life_hold_listener(struct mst__daemon *daemon, int fd) {
  const char key = LIFE_LISTENER;
  hold(daemon, &key, sizeof key, NULL, 0, &fd, 1);
}

void mst__life_hold_port(struct mst__daemon *daemon, const char *spec, struct mst_port *port) {
  char key[1 + MST__CONFIG_SPEC_BYTES] = {LIFE_PORT};
  int fds[MST_PORT_EXPORT_MAX];
  if (!port->ops->export_fds || strlen(spec) > MST__KEEPER_BYTES_MAX - 1) return;
  unsigned count = port->ops->export_fds(port, fds, MST_PORT_EXPORT_MAX);
  memcpy(key + 1, spec, strlen(spec));
  hold(daemon, key, 1 + strlen(spec), NULL, 0, fds, count);
}

/* --- apps --- */

static int pidfd_of(const struct mst__client *client) {
  int fd;
  socklen_t bytes = sizeof fd;
  if (!getsockopt(client->control.fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &bytes)) return fd;
  return (int)syscall(SYS_pidfd_open, client->peer.pid, 0);
}

static struct life_app_key app_key(const uint8_t token[MST__CONTROL_TOKEN_BYTES]) {
  struct life_app_key key = {.kind = MST__KEEPER_APP};
  memcpy(key.token, token, sizeof key.token);
  return key;
}

void mst__life_drop_app(struct mst__daemon *daemon, const uint8_t token[MST__CONTROL_TOKEN_BYTES]) {
  struct life_app_key key = app_key(token);
  mst__keeper_drop(daemon->life->keeper, &key, sizeof key);
}

void mst__life_attached(struct mst__client *client, const uint8_t token[MST__CONTROL_TOKEN_BYTES]) {
  struct life_app_value value = {.uid = client->peer.uid};
  client->limbo = mst__life_limbo_of(client, token);
  if (client->limbo)
    memcpy(client->token, token, sizeof client->token);
  else
    mst__os_random(NULL, client->token, sizeof client->token);
  struct life_app_key key = app_key(client->token);
  client->pidfd = pidfd_of(client);
  if (client->pidfd >= 0) hold(client->daemon, &key, sizeof key, &value, sizeof value, &client->pidfd, 1);
  if (client->limbo) client->limbo->client = client; /* its own pidfd is in no record any more */
}

void mst__life_gone(struct mst__client *client) {
  if (client->limbo) client->limbo->client = NULL;
  client->limbo = NULL;
  mst__life_drop_leases(client->daemon, client->id, client->token);
  mst__life_drop_app(client->daemon, client->token);
  if (client->pidfd >= 0) close(client->pidfd);
  client->pidfd = -1;
}

/* --- leases --- */

static struct life_lease_key lease_key(const struct mst_tuple *tuple, const uint8_t token[MST__CONTROL_TOKEN_BYTES]) {
  struct life_lease_key key = {
      .kind = LIFE_LEASE, .protocol = tuple->protocol, .port = tuple->port, .addr = tuple->addr};
  memcpy(key.token, token, sizeof key.token);
  return key;
}

void mst__life_hold_lease(struct mst__daemon *daemon, const struct mst_tuple *tuple,
                          const uint8_t token[MST__CONTROL_TOKEN_BYTES]) {
  struct life_lease_key key = lease_key(tuple, token);
  struct life_lease_value value = {.flags = tuple->flags & (uint8_t)~MST_BIND_TAKE};
  intptr_t cookie = mst_switch_reservation(daemon->sw, tuple);
  int fd = cookie == MST_SWITCH_NO_COOKIE ? -1 : mst__os_linux_reservation_fd(cookie);
  hold(daemon, &key, sizeof key, &value, sizeof value, &fd, fd >= 0);
}

void mst__life_drop_lease(struct mst__daemon *daemon, const struct mst_tuple *tuple,
                          const uint8_t token[MST__CONTROL_TOKEN_BYTES]) {
  struct life_lease_key key = lease_key(tuple, token);
  mst__keeper_drop(daemon->life->keeper, &key, sizeof key);
}

struct holder {
  struct mst__daemon *daemon;
  const uint8_t *token;
};

static void drop_one(const struct mst_tuple *tuple, void *user) {
  const struct holder *holder = user;
  mst__life_drop_lease(holder->daemon, tuple, holder->token);
}

void mst__life_drop_leases(struct mst__daemon *daemon, unsigned id, const uint8_t token[MST__CONTROL_TOKEN_BYTES]) {
  struct holder holder = {.daemon = daemon, .token = token};
  mst_switch_each_lease(daemon->sw, id, drop_one, &holder);
}

void mst__life_leased(struct mst__client *client, const struct mst_tuple *tuple) {
  mst__life_hold_lease(client->daemon, tuple, client->token);
}

void mst__life_released(struct mst__client *client, const struct mst_tuple *tuple) {
  mst__life_drop_lease(client->daemon, tuple, client->token);
}
