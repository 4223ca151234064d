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

static int refuse(struct mst_failure *failure, const char *format, const char *value) {
  if (!failure) return -MST_EINVAL;
  failure->code = -MST_EINVAL;
  snprintf(failure->message, sizeof failure->message, format, value);
  return -MST_EINVAL;
}

/* The path of the one spec "unix:PATH"; NULL: there is none. */
static int path_in_ports(const char *const *ports, const char **path, struct mst_failure *failure) {
  *path = NULL;
  for (unsigned i = 0; ports && ports[i]; i++) {
    const char *found = path_in(ports[i]);
    if (found && (i || ports[1]))
      return refuse(failure, "%.200s: a multistackd carries the devices, so it is the only port to be named", ports[i]);
    if (found) *path = found;
  }
  return 0;
}

/* The path of the daemon that the options and the environment mean; NULL: the switch is to be here. `must`: it was
 * named, so it has to be there. */
static int path_wanted(const struct mst_host_options *options, const char **path, bool *must,
                       struct mst_failure *failure) {
  const char *wish = secure_getenv("MULTISTACK");
  int error = path_in_ports(options ? options->ports : NULL, path, failure);
  *must = true;
  if (error || *path || (options && options->embedded)) return error;
  if (wish && *wish && !path_in(wish) && strcmp(wish, "embedded"))
    return refuse(failure, "MULTISTACK=%.200s: allowed: unix:PATH (of a multistackd's socket), embedded", wish);
  *path = path_in(wish);
  if (*path) return 0;
  *must = false;
  bool may = !(options && options->ports && options->ports[0]) && !(wish && *wish);
  if (may && !access(MST_ATTACH_DEFAULT_PATH, W_OK)) *path = MST_ATTACH_DEFAULT_PATH;
  return 0;
}

/* The daemon sees the packets, not the host of one of its programs. */
static int refuse_to_record(const char *path, struct mst_failure *failure) {
  return refuse(failure,
                "pcap: the packets of programs on a multistackd are recorded by "
                "`multistack dump --socket %.200s --write FILE`",
                path);
}

static int attach(const char *path, mst_attach **out, struct mst_failure *failure) {
  struct mst_attach_options options = {.size = sizeof options, .path = path};
  return mst_attach_open(&options, out, failure);
}

/* Nobody has asked for a daemon: without it all is as ever, but why it was not that one is told. */
static void go_on_alone(struct mst_host *host, const struct mst_failure *why) {
  if (why->code == -MST_ENOENT || why->code == -MST_ECONNREFUSED) return;
  char line[400];
  snprintf(line, sizeof line, "going on without multistackd: %s", why->message);
  host->log(host->log_ctx, MST_LOG_WARN, line);
}

int mst__shared_open(struct mst_host *host, const struct mst_host_options *options, struct mst_failure *failure) {
  const char *poll_us = secure_getenv("MULTISTACK_POLL_US"), *path;
  struct mst_failure why = {0};
  bool must;
  int error = path_wanted(options, &path, &must, failure);
  if (error || !path) return error;
  if (!must) failure = &why;
  error = options && options->pcap_path ? refuse_to_record(path, failure) : attach(path, &host->ready, failure);
  if (error && !must) go_on_alone(host, &why);
  if (error) return must ? error : 0;
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

bool mst__shared_holds(struct mst_host *host, enum mst_protocol protocol, const struct mst_endpoint *local) {
  mst_attach *any = host->ready ? host->ready : host->stacks ? host->stacks->attach : NULL;
  return any && mst_attach_holds(any, protocol, local);
}

void mst__shared_remove(struct mst__host_stack *entry) {
  mst_attach_close(entry->attach);
  entry->attach = NULL;
}

void mst__shared_process(struct mst__host_stack *entry, uint64_t now_ns) {
  bool was_up = mst_attach_is_up(entry->attach);
  mst_attach_process(entry->attach, now_ns);
  if (!was_up && mst_attach_is_up(entry->attach)) mst_stack_announce(entry->stack);
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
