/* What watchers are told. */
#include "host/host_internal.h"
#include "host/stats.h"
#include "observe.h"
#include "switch/switch_internal.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES 32768u

/* --- parts --- */

void mst__answer_put_owner(struct mst__json *json, const struct mst__owner *owner) {
  mst__json_put(json, "\"channel\":%u,\"uid\":%u,\"pid\":%d,\"program\":", owner->channel, (unsigned)owner->uid,
                (int)owner->pid);
  mst__json_put_string(json, owner->program);
}

struct mst__owner mst__answer_owner(const struct mst__client *app) {
  struct mst__owner owner = {.channel = app->id, .uid = app->peer.uid, .pid = app->peer.pid};
  memcpy(owner.program, app->name, sizeof owner.program);
  return owner;
}

void mst__answer_element(struct mst__watcher *watcher) {
  mst__json_put(&watcher->text, watcher->comma ? ",{" : "{");
  watcher->comma = true;
}

static uint64_t since_ms(uint64_t now_ns, uint64_t since_ns) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 - (now_ns - since_ns) / 1000000;
}

static void put_channel(struct mst__watcher *watcher, const struct mst__client *app) {
  struct mst__json *json = &watcher->text;
  const struct mst__daemon *daemon = app->daemon;
  struct mst_switch_stats stats = {0};
  struct mst__owner owner = mst__answer_owner(app);
  mst_switch_channel_stats(daemon->sw, app->id, &stats);
  mst__answer_element(watcher);
  mst__answer_put_owner(json, &owner);
  mst__json_put(json, ",\"since_ms\":%" PRIu64 ",\"leases\":%" PRIu32 ",\"memory_bytes\":%zu,",
                since_ms(daemon->now_ns, app->since_ns), mst__channel_of(daemon->sw, app->id)->lease_count,
                app->region_bytes);
  mst__json_put_switch_stats(json, &stats);
  mst__json_put(json, "}");
}

struct lease_list {
  struct mst__watcher *watcher;
  unsigned channel;
};

static void put_lease(const struct mst_tuple *tuple, void *user) {
  const struct lease_list *list = user;
  char address[MST_ADDR_TEXT_BYTES];
  mst__answer_element(list->watcher);
  mst__json_put(&list->watcher->text,
                "\"channel\":%u,\"protocol\":\"%s\",\"address\":\"%s\",\"port\":%u,\"group\":%s,\"v6only\":%s}",
                list->channel, tuple->protocol == MST_TCP ? "tcp" : "udp", mst_addr_format(&tuple->addr, address),
                tuple->port, tuple->flags & MST_BIND_GROUP ? "true" : "false",
                tuple->flags & MST_BIND_V6ONLY ? "true" : "false");
}

static void put_leases(struct mst__watcher *watcher, const struct mst__client *app) {
  struct lease_list list = {watcher, app->id};
  mst_switch_each_lease(app->daemon->sw, app->id, put_lease, &list);
}

/* --- questions --- */

/* The next element of a list over channels; false: there are no more. */
static bool next_app(struct mst__watcher *watcher, void (*put)(struct mst__watcher *, const struct mst__client *)) {
  const struct mst__daemon *daemon = watcher->client->daemon;
  while (watcher->next < daemon->sw->channel_room && watcher->text.length < PIECE_BYTES) {
    unsigned id = watcher->next++;
    const struct mst__client *app = mst__app_of(daemon, id);
    bool wanted = watcher->question.channel < 0 || watcher->question.channel == id;
    if (app && wanted && mst__observe_sees(watcher->client, app)) put(watcher, app);
  }
  return watcher->next < daemon->sw->channel_room;
}

static bool next_channels(struct mst__watcher *watcher) {
  struct mst_switch_stats stats = {0};
  if (next_app(watcher, put_channel)) return true;
  mst_switch_get_stats(watcher->client->daemon->sw, &stats);
  mst__json_put(&watcher->text, "],\"daemon\":{\"pid\":%d,\"uid\":%u},\"switch\":{", (int)getpid(), geteuid());
  mst__json_put_switch_stats(&watcher->text, &stats);
  mst__json_put(&watcher->text, "}}");
  return false;
}

static bool next_leases(struct mst__watcher *watcher) {
  if (next_app(watcher, put_leases)) return true;
  mst__json_put(&watcher->text, "]}");
  return false;
}

static bool next_ports(struct mst__watcher *watcher) {
  mst__json_put(&watcher->text, "{");
  mst__json_put_ports(&watcher->text, watcher->client->daemon->sw);
  mst__json_put(&watcher->text, "}");
  return false;
}

static const struct kind {
  const char *name, *head;
  int (*begin)(struct mst__watcher *watcher, struct mst_failure *failure);
  bool (*next)(struct mst__watcher *watcher);
} kinds[] = {
    {"channels", "{\"channels\":[", NULL, next_channels},
    {"leases", "{\"leases\":[", NULL, next_leases},
    {"ports", "", NULL, next_ports},
    {"sockets", "{\"apps\":[", mst__sockets_ask, mst__sockets_next},
    {"capture", "", mst__capture_begin, mst__capture_next},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

int mst__answer_begin(struct mst__watcher *watcher, struct mst_failure *failure) {
  for (watcher->kind = 0; watcher->kind < KINDS; watcher->kind++) {
    if (strcmp(kinds[watcher->kind].name, watcher->question.what)) continue;
    mst__json_put(&watcher->text, "%s", kinds[watcher->kind].head);
    return kinds[watcher->kind].begin ? kinds[watcher->kind].begin(watcher, failure) : 0;
  }
  snprintf(failure->message, sizeof failure->message, "nothing is known of that; ask a multistackd as new as you are");
  return -MST_EINVAL;
}

bool mst__answer_next(struct mst__watcher *watcher) {
  return kinds[watcher->kind].next(watcher);
}
