/* The daemon's loop: packets, and between them everything else. */
#include "config.h"
#include "daemon.h"
#include "host/host_internal.h"
#include "life.h"
#include "switch/switch_internal.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS 16

/* How often channels are looked over for those that cannot go on, while packets move. */
#define LOOK_NS 1000000u

/* While packets move, the control socket gets one part in so many of the time. */
#define CONTROL_SHARE 16u

int mst__daemon_watch(struct mst__daemon *daemon, struct mst__watch *watch, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = watch};
  return epoll_ctl(daemon->epoll, EPOLL_CTL_ADD, watch->fd, &event) ? -errno : 0;
}

static void bury_the_gone(struct mst__daemon *daemon) {
  struct mst__list *node;
  while ((node = mst__list_pop_front(&daemon->gone))) free(MST__CONTAINER(node, struct mst__client, node));
}

static int timeout_ms(const struct mst__daemon *daemon) {
  uint64_t deadline = mst_host_deadline(daemon->host), watchers = mst__observe_deadline_ns(daemon);
  if (watchers < deadline) deadline = watchers;
  if (deadline == UINT64_MAX) return -1;
  if (deadline <= daemon->now_ns) return 0;
  uint64_t ms = (deadline - daemon->now_ns + 999999) / 1000000;
  return ms > 1000 ? 1000 : (int)ms;
}

void mst__daemon_events(struct mst__daemon *daemon, const struct epoll_event *events, int count) {
  for (int i = 0; i < count; i++) {
    struct mst__watch *watch = events[i].data.ptr;
    if (!watch->client || watch->client->kind != MST__CLIENT_GONE) watch->ready(daemon, watch);
  }
  if (!mst__list_empty(&daemon->watchers)) mst__observe_due(daemon);
  bury_the_gone(daemon);
  mst__leaving_go_on(daemon);
  mst__life_flush(daemon);
}

static void serve(struct mst__daemon *daemon, int wait_ms) {
  struct epoll_event events[EVENTS];
  int count = epoll_wait(daemon->epoll, events, EVENTS, wait_ms);
  uint64_t begin_ns = daemon->now_ns = mst__os_clock_ns();
  mst__daemon_events(daemon, events, count);
  daemon->now_ns = mst__os_clock_ns();
  daemon->control_next_ns = daemon->now_ns + CONTROL_SHARE * (daemon->now_ns - begin_ns);
}

/* Until something is there to do. */
static void rest(struct mst__daemon *daemon) {
  bool idle = mst_switch_sleep(daemon->sw) && mst__list_empty(&daemon->leaving);
  daemon->sleeps++;
  serve(daemon, idle ? timeout_ms(daemon) : 0);
  mst_switch_wake(daemon->sw);
}

static void look_at_routes(struct mst__daemon *daemon) {
  if (daemon->route_generation == daemon->sw->route_generation) return;
  daemon->route_generation = daemon->sw->route_generation;
  mst__server_routes_changed(daemon);
}

static void look_at_channels(struct mst__daemon *daemon, bool busy) {
  if (busy && daemon->now_ns - daemon->channels_looked_ns < LOOK_NS) return;
  daemon->channels_looked_ns = daemon->now_ns;
  mst__fault_close_channels(daemon);
}

void mst__daemon_run(struct mst__daemon *daemon) {
  uint64_t spin_ns = (uint64_t)daemon->config->spin_us * 1000, awake_until_ns = 0;
  while (!daemon->stopping) {
    size_t moved = mst_host_process(daemon->host);
    daemon->now_ns = mst__os_clock_ns();
    if (moved) awake_until_ns = daemon->now_ns + spin_ns;
    look_at_routes(daemon);
    look_at_channels(daemon, moved != 0);
    if (daemon->now_ns >= awake_until_ns) {
      rest(daemon);
      continue;
    }
    if (daemon->now_ns >= daemon->control_next_ns) serve(daemon, 0);
    if (!moved) sched_yield(); /* whoever waits for this core has more to do on it */
  }
}
