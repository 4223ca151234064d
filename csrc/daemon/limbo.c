/* What a daemon before has left, taken up. */
#include "config.h"
#include "host/host_internal.h"
#include "life_internal.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PATIENCE_S 10 /* for apps to come back */

/* It is in no list any more. */
static void close_legacy(struct mst__legacy *legacy) {
  for (unsigned i = 0; i < legacy->fd_count; i++) close(legacy->fds[i]);
  free(legacy);
}

/* Nobody wants it any more. */
static void let_go(struct mst__daemon *daemon, struct mst__legacy *legacy) {
  mst__keeper_drop(daemon->life->keeper, legacy->key, legacy->key_bytes);
  close_legacy(legacy);
}

static struct mst__legacy *pop(struct mst__list *list) {
  struct mst__list *node = mst__list_pop_front(list);
  return node ? MST__CONTAINER(node, struct mst__legacy, node) : NULL;
}

/* --- open: sort what is there --- */

/* False: it is of no kind that is known here. */
static bool list_for(struct mst__life *life, const struct mst__keeper_record *record, struct mst__list **out) {
  switch (record->key_bytes ? *(const char *)record->key : 0) {
  case MST__KEEPER_APP:
    if (record->key_bytes != sizeof(struct life_app_key) || record->value_bytes != sizeof(struct life_app_value) ||
        record->fd_count != 1)
      return false;
    *out = &life->apps;
    return true;
  case LIFE_LEASE:
    if (record->key_bytes != sizeof(struct life_lease_key) || record->value_bytes != sizeof(struct life_lease_value) ||
        record->fd_count > 1)
      return false;
    *out = &life->leases;
    return true;
  case LIFE_PORT: *out = &life->ports; return true;
  default: return false;
  }
}

static void sort(void *ctx, const struct mst__keeper_record *record) {
  struct mst__daemon *daemon = ctx;
  struct mst__life *life = daemon->life;
  if (record->key_bytes == 1 && *(const char *)record->key == LIFE_LISTENER && record->fd_count == 1) {
    life->listener = record->fds[0];
    return;
  }
  struct mst__list *list;
  struct mst__legacy *legacy = list_for(life, record, &list) ? calloc(1, sizeof *legacy) : NULL;
  if (!legacy) {
    for (unsigned i = 0; i < record->fd_count; i++) close(record->fds[i]);
    mst__keeper_drop(life->keeper, record->key, record->key_bytes);
    return;
  }
  memcpy(legacy->key, record->key, legacy->key_bytes = record->key_bytes);
  memcpy(legacy->value, record->value, legacy->value_bytes = record->value_bytes);
  memcpy(legacy->fds, record->fds, record->fd_count * sizeof *record->fds);
  legacy->fd_count = record->fd_count;
  mst__list_push_back(list, &legacy->node);
}

int mst__life_open(struct mst__daemon *daemon, struct mst_failure *failure) {
  const struct mst__daemon_config *config = daemon->config;
  bool changes = geteuid() == 0 && *config->user;
  struct mst__keeper_options options = {.socket_path = config->socket_path,
                                        .keep_s = config->keep_s,
                                        .uid = changes ? config->user_uid : geteuid(),
                                        .gid = changes ? config->user_gid : getegid(),
                                        .log_ctx = &daemon->log,
                                        .log = mst__log_env};
  struct mst__life *life = calloc(1, sizeof *life);
  int error = life ? mst__keeper_open(&options, &life->keeper, failure) : -MST_ENOMEM;
  if (error) {
    free(life);
    return error;
  }
  life->listener = life->patience.fd = -1;
  mst__list_init(&life->apps);
  mst__list_init(&life->leases);
  mst__list_init(&life->ports);
  mst__list_init(&life->limbos);
  mst__list_init(&life->gone);
  daemon->life = life;
  mst__keeper_each_adopted(life->keeper, sort, daemon);
  return 0;
}

/* --- begin: apps and their leases into limbo --- */

static struct mst__limbo *find_limbo(const struct mst__life *life, const uint8_t token[MST__CONTROL_TOKEN_BYTES]) {
  MST__LIST_EACH(at, &life->limbos) {
    struct mst__limbo *limbo = MST__CONTAINER(at, struct mst__limbo, node);
    if (!limbo->guard && !memcmp(limbo->token, token, sizeof limbo->token)) return limbo;
  }
  return NULL;
}

struct mst__limbo *mst__life_limbo_of(const struct mst__client *client, const uint8_t token[MST__CONTROL_TOKEN_BYTES]) {
  struct mst__limbo *limbo = find_limbo(client->daemon->life, token);
  return limbo && limbo->uid == client->peer.uid && !limbo->client ? limbo : NULL;
}

static void nothing_more(struct mst__daemon *daemon, struct mst__watch *watch) {
  (void)daemon;
  (void)watch;
}

/* With whatever it holds still. Its watch may stand in the batch of events under way. */
static void end_limbo(struct mst__daemon *daemon, struct mst__limbo *limbo) {
  if (limbo->client)
    limbo->client->limbo = NULL;
  else if (!limbo->guard)
    mst__life_drop_app(daemon, limbo->token);
  if (!limbo->guard) mst__life_drop_leases(daemon, limbo->id, limbo->token);
  mst_switch_detach(daemon->sw, limbo->id);
  if (limbo->death.fd >= 0) close(limbo->death.fd);
  limbo->death.ready = nothing_more;
  mst__list_remove(&limbo->node);
  mst__list_push_back(&daemon->life->gone, &limbo->node);
}

void mst__life_bury(struct mst__life *life) {
  for (struct mst__list *at = life->gone.next, *next; at != &life->gone; at = next) {
    next = at->next;
    free(MST__CONTAINER(at, struct mst__limbo, node));
  }
  mst__list_init(&life->gone);
}

static void app_has_died(struct mst__daemon *daemon, struct mst__watch *watch) {
  end_limbo(daemon, MST__CONTAINER(watch, struct mst__limbo, death));
}

static bool is_dead(int pidfd) {
  struct pollfd ended = {.fd = pidfd, .events = POLLIN};
  return poll(&ended, 1, 0) == 1;
}

static void put_in_limbo(struct mst__daemon *daemon, struct mst__legacy *app) {
  struct life_app_value value;
  struct mst__limbo *limbo = is_dead(app->fds[0]) ? NULL : calloc(1, sizeof *limbo);
  memcpy(&value, app->value, sizeof value);
  struct mst_switch_channel_options rights = {.size = sizeof rights, .owner = value.uid};
  if (!limbo || mst_switch_attach(daemon->sw, NULL, &rights, &limbo->id)) {
    free(limbo);
    let_go(daemon, app);
    return;
  }
  memcpy(limbo->token, app->key + 1, sizeof limbo->token);
  limbo->uid = value.uid;
  limbo->death = (struct mst__watch){.ready = app_has_died, .fd = app->fds[0]};
  mst__daemon_watch(daemon, &limbo->death, EPOLLIN);
  mst__list_push_back(&daemon->life->limbos, &limbo->node);
  app->fd_count = 0;
  close_legacy(app);
}

/* The second of a group needs no reservation: it has one. */
static int adopt_lease(struct mst__daemon *daemon, unsigned id, const struct mst_tuple *tuple,
                       struct mst__legacy *lease) {
  intptr_t cookie = MST_SWITCH_NO_COOKIE;
  bool joins = tuple->flags & MST_BIND_GROUP && mst_switch_reservation(daemon->sw, tuple) != MST_SWITCH_NO_COOKIE;
  int error = 0;
  if (lease->fd_count && !joins) error = mst__os_linux_reservation_adopt(tuple, lease->fds[0], &cookie);
  if (!error) error = mst_switch_adopt_lease(daemon->sw, id, tuple, cookie);
  if (!error && !joins) lease->fd_count = 0;
  return error;
}

/* Which member of a group a flow was with is not known any more, until that member has sent in it. A guard is a member
 * that stays in limbo to the end of patience: so nobody who is back gets a segment of another's flow, and resets it. */
static void guard_group(struct mst__daemon *daemon, uid_t uid, const struct mst_tuple *tuple) {
  struct mst__limbo *guard = NULL;
  MST__LIST_EACH(at, &daemon->life->limbos) {
    struct mst__limbo *limbo = MST__CONTAINER(at, struct mst__limbo, node);
    if (limbo->guard && limbo->uid == uid) guard = limbo;
  }
  if (!guard) {
    struct mst_switch_channel_options rights = {.size = sizeof rights, .owner = uid};
    guard = calloc(1, sizeof *guard);
    if (!guard || mst_switch_attach(daemon->sw, NULL, &rights, &guard->id)) {
      free(guard);
      return;
    }
    guard->guard = true;
    guard->uid = uid;
    guard->death.fd = -1;
    mst__list_push_back(&daemon->life->limbos, &guard->node);
  }
  mst_switch_adopt_lease(daemon->sw, guard->id, tuple, MST_SWITCH_NO_COOKIE); /* it may be there already */
}

static void put_lease_in_limbo(struct mst__daemon *daemon, struct mst__legacy *lease) {
  struct life_lease_key key;
  struct life_lease_value value;
  memcpy(&key, lease->key, sizeof key);
  memcpy(&value, lease->value, sizeof value);
  const struct mst_tuple tuple = {.addr = key.addr, .port = key.port, .protocol = key.protocol, .flags = value.flags};
  struct mst__limbo *limbo = find_limbo(daemon->life, key.token);
  int error = limbo ? adopt_lease(daemon, limbo->id, &tuple, lease) : -MST_ENOENT;
  if (error) {
    char text[MST_ADDR_TEXT_BYTES];
    mst_addr_format(&tuple.addr, text);
    if (limbo)
      mst__log(&daemon->log, MST_LOG_WARN, "a lease of %s port %u from before cannot be held on to: %s", text,
               tuple.port, mst_strerror(error));
    let_go(daemon, lease);
    return;
  }
  if (lease->fd_count) mst__life_hold_lease(daemon, &tuple, key.token); /* by the group's descriptor */
  if (tuple.flags & MST_BIND_GROUP) guard_group(daemon, limbo->uid, &tuple);
  close_legacy(lease);
}

static void take_up_apps(struct mst__daemon *daemon) {
  struct mst__life *life = daemon->life;
  struct mst__legacy *legacy;
  while ((legacy = pop(&life->apps))) put_in_limbo(daemon, legacy);
  while ((legacy = pop(&life->leases))) put_lease_in_limbo(daemon, legacy);
}

/* --- ports --- */

static struct mst__legacy *legacy_of(const struct mst__life *life, const char *spec) {
  MST__LIST_EACH(at, &life->ports) {
    struct mst__legacy *legacy = MST__CONTAINER(at, struct mst__legacy, node);
    if (legacy->key_bytes == 1 + strlen(spec) && !memcmp(legacy->key + 1, spec, strlen(spec))) return legacy;
  }
  return NULL;
}

/* Leases first: a port must know them before it takes over. */
int mst__life_open_port(void *ctx, mst_host *host, const char *spec, struct mst_port **out,
                        struct mst_failure *failure) {
  struct mst__daemon *daemon = ctx;
  daemon->sw = mst_host_switch(host);
  take_up_apps(daemon);
  struct mst__legacy *legacy = legacy_of(daemon->life, spec);
  int error = mst_port_open_adopted(spec, legacy ? legacy->fds : NULL, legacy ? legacy->fd_count : 0, out, failure);
  if (legacy) {
    legacy->fd_count = 0;
    mst__list_remove(&legacy->node);
    close_legacy(legacy);
  }
  if (!error) mst__life_hold_port(daemon, spec, *out);
  return error;
}

/* --- patience --- */

static void patience_ends(struct mst__daemon *daemon, struct mst__watch *watch) {
  struct mst__life *life = daemon->life;
  unsigned missing = 0;
  struct mst__list *node;
  while ((node = mst__list_pop_front(&life->limbos))) {
    struct mst__limbo *limbo = MST__CONTAINER(node, struct mst__limbo, node);
    missing += !limbo->client && !limbo->guard;
    end_limbo(daemon, limbo);
  }
  close(watch->fd);
  watch->fd = -1;
  if (missing)
    mst__log(&daemon->log, MST_LOG_WARN, "%u programs have not come back in %d s: what they held is free", missing,
             PATIENCE_S);
}

int mst__life_begin(struct mst__daemon *daemon) {
  static const struct itimerspec once = {.it_value.tv_sec = PATIENCE_S};
  struct mst__life *life = daemon->life;
  take_up_apps(daemon);
  struct mst__legacy *port;
  while ((port = pop(&life->ports))) let_go(daemon, port); /* of a configuration that is no more */
  mst__life_flush(daemon);
  if (mst__list_empty(&life->limbos)) return 0;
  life->patience =
      (struct mst__watch){.ready = patience_ends, .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
  if (life->patience.fd < 0 || timerfd_settime(life->patience.fd, 0, &once, NULL)) return -errno;
  return mst__daemon_watch(daemon, &life->patience, EPOLLIN);
}

int mst__life_claim(struct mst__client *client, const struct mst_tuple *tuple) {
  if (!client->limbo) return -MST_ENOENT;
  return mst_switch_transfer(client->daemon->sw, client->limbo->id, client->id, tuple);
}

/* --- the end --- */

static void close_all(struct mst__list *list) {
  for (struct mst__list *at = list->next, *next; at != list; at = next) {
    next = at->next;
    close_legacy(MST__CONTAINER(at, struct mst__legacy, node));
  }
  mst__list_init(list);
}

void mst__life_close(struct mst__daemon *daemon, bool leave) {
  struct mst__life *life = daemon->life;
  if (!life) return;
  if (leave)
    mst__keeper_leave(life->keeper);
  else
    mst__keeper_end(life->keeper);
  close_all(&life->apps);
  close_all(&life->leases);
  close_all(&life->ports);
  for (struct mst__list *at = life->limbos.next, *next; at != &life->limbos; at = next) {
    next = at->next;
    struct mst__limbo *limbo = MST__CONTAINER(at, struct mst__limbo, node);
    if (limbo->death.fd >= 0) close(limbo->death.fd);
    free(limbo);
  }
  mst__life_bury(life);
  if (life->patience.fd >= 0) close(life->patience.fd);
  free(life);
  daemon->life = NULL;
}
