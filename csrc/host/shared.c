/* The shared deployment, from the app's side: each stack of this process has a channel of a multistackd. */
#include "host_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static const char *path_in(const char *spec) {
  return spec && !strncmp(spec, "unix:", 5) ? spec + 5 : NULL;
}

const char *mst__shared_path(const struct mst_host_options *options, bool *must) {
  const char *named = options && options->ports && options->ports[0] ? options->ports[0] : NULL;
  const char *wish = secure_getenv("MULTISTACK");
  *must = true;
  if (path_in(named)) return path_in(named);
  if (options && options->embedded) return NULL;
  if (path_in(wish)) return path_in(wish);
  *must = false;
  bool may = !named && !(wish && *wish);
  return may && !access(MST_ATTACH_DEFAULT_PATH, W_OK) ? MST_ATTACH_DEFAULT_PATH : NULL;
}

static int attach(const char *path, mst_attach **out, struct mst_failure *failure) {
  struct mst_attach_options options = {.size = sizeof options, .path = path};
  return mst_attach_open(&options, out, failure);
}

int mst__shared_open(struct mst_host *host, const char *path, struct mst_failure *failure) {
  const char *poll_us = secure_getenv("MULTISTACK_POLL_US");
  int error = attach(path, &host->ready, failure);
  if (error) return error;
  if (poll_us) host->poll_ns = strtoull(poll_us, NULL, 10) * 1000;
  host->daemon_path = strdup(path);
  return host->daemon_path ? 0 : -MST_ENOMEM;
}

int mst__shared_add(struct mst__host_stack *entry, size_t *arena_bytes) {
  struct mst_host *host = entry->host;
  entry->attach = host->ready;
  host->ready = NULL;
  int error = entry->attach ? 0 : attach(host->daemon_path, &entry->attach, NULL);
  if (error) return error;
  struct epoll_event event = {.events = EPOLLIN};
  if (epoll_ctl(host->wait_fd, EPOLL_CTL_ADD, mst_attach_wait_fd(entry->attach), &event)) {
    mst__shared_remove(entry);
    return -MST_ENOMEM;
  }
  entry->channel = mst_attach_channel(entry->attach);
  mst_attach_set_sockets(entry->attach, mst__host_stack_sockets, entry);
  *arena_bytes = mst_channel_arena_bytes(entry->channel);
  return 0;
}

void mst__shared_remove(struct mst__host_stack *entry) {
  mst_attach_close(entry->attach);
  entry->attach = NULL;
}

void mst__shared_process(struct mst__host_stack *entry, uint64_t now_ns) {
  mst_attach_process(entry->attach, now_ns);
}

bool mst__shared_flush(struct mst__host_stack *entry) {
  mst_attach_flush(entry->attach);
  return mst_attach_sleep(entry->attach);
}

/* To a network that is down packets can be given, and are lost. */
static int output(void *ctx, const struct mst_packet *packet) {
  mst_attach *to = ctx;
  return mst_attach_is_up(to) ? mst_channel_send(mst_attach_channel(to), packet) : 0;
}

struct mst_net mst__shared_net(struct mst__host_stack *entry) {
  return (struct mst_net){.ctx = entry->attach,
                          .lease = mst_attach_lease,
                          .release = mst_attach_release,
                          .route = mst_attach_route,
                          .output = output};
}
