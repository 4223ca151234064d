/* Life of a host: its ports, its switch, its stacks. */
#include "host_internal.h"
#include "switch/switch_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define WAIT_FDS_MAX 512u /* a device has a descriptor for each receive queue */

static void log_to_stderr(void *ctx, enum mst_log_level level, const char *line) {
  (void)ctx;
  if (level <= MST_LOG_WARN) fprintf(stderr, "multistack: %s\n", line);
}

static int fail(struct mst_failure *failure, int code, const char *what) {
  if (!failure) return code;
  failure->code = code;
  snprintf(failure->message, sizeof failure->message, "%s: %s", what, mst_strerror(code));
  return code;
}

static int wait_for(struct mst_host *host, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  return epoll_ctl(host->wait_fd, EPOLL_CTL_ADD, fd, &event) && errno != EEXIST ? -errno : 0;
}

int mst__host_wait_for_ports(struct mst_host *host) {
  for (; host->ports_waited_for < host->sw->port_count; host->ports_waited_for++) {
    int fds[WAIT_FDS_MAX];
    struct mst_port *port = host->sw->ports[host->ports_waited_for].port;
    unsigned count = port->ops->wait_fds(port, fds, WAIT_FDS_MAX);
    for (unsigned i = 0; i < count; i++) {
      int error = wait_for(host, fds[i]);
      if (error) return error;
    }
  }
  return 0;
}

void mst__host_port_died(struct mst_host *host, struct mst_port *port) {
  char line[160];
  int fds[WAIT_FDS_MAX];
  unsigned count = port->ops->wait_fds(port, fds, WAIT_FDS_MAX);
  for (unsigned i = 0; i < count; i++) epoll_ctl(host->wait_fd, EPOLL_CTL_DEL, fds[i], NULL);
  snprintf(line, sizeof line, "%s: the device is gone (ENETDOWN); start again with a device that is there", port->name);
  host->log(host->log_ctx, MST_LOG_ERROR, line);
}

static int open_port(struct mst_host *host, const struct mst_host_options *options, const char *spec,
                     struct mst_port **out, struct mst_failure *failure) {
  if (options->open_port) return options->open_port(options->open_port_ctx, host, spec, out, failure);
  return mst_port_open(spec, out, failure);
}

static int open_ports(struct mst_host *host, const struct mst_host_options *options, struct mst_failure *failure) {
  unsigned threads = options ? options->threads : 0;
  for (const char *const *specs = options ? options->ports : NULL; specs && *specs; specs++) {
    struct mst_port *port, *threaded;
    int error = open_port(host, options, *specs, &port, failure);
    if (error) return error;
    if (threads > 1 && !mst__port_thread(port, &threaded)) {
      port = threaded;
      threads--;
    }
    error = mst_switch_add_port(host->sw, port);
    if (error) {
      port->ops->close(port);
      return fail(failure, error, *specs);
    }
    error = mst__host_wait_for_ports(host);
    if (error) return fail(failure, error, *specs);
  }
  return 0;
}

static uint64_t clock_ns(void *ctx) {
  (void)ctx;
  return mst__os_clock_ns();
}

static int open_switch(struct mst_host *host, const struct mst_host_options *options, struct mst_failure *failure) {
  bool devices = options && options->ports && options->ports[0] && !host->daemon_path;
  if (devices) {
    int error = mst__os_linux_open(&host->os, failure);
    if (error) return error;
    error = wait_for(host, mst__os_linux_wait_fd(host->os));
    if (error) return fail(failure, error, "waiting for the OS's routes");
  }
  struct mst_switch_options switch_options = {
      .size = sizeof switch_options,
      .env = {.ctx = host, .alloc = mst__os_alloc, .free = mst__os_free, .random = mst__os_random},
      .clock_ns = clock_ns,
      .os = host->os ? mst__os_linux_ops(host->os) : NULL,
  };
  int error = mst_switch_create(&switch_options, &host->sw);
  return error ? fail(failure, error, "making the switch") : 0;
}

static void stamp_captures(struct mst_host *host) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  host->sw->realtime_offset_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - (int64_t)mst__os_clock_ns();
}

int mst_host_open(const struct mst_host_options *options, mst_host **out, struct mst_failure *failure) {
  if (options && options->size != sizeof *options) return fail(failure, -MST_EINVAL, "mst_host_options.size");
  struct mst_host *host = calloc(1, sizeof *host);
  if (!host) return fail(failure, -MST_ENOMEM, "making a host");
  host->log = options && options->log ? options->log : log_to_stderr;
  host->log_ctx = options ? options->log_ctx : NULL;
  host->wait_fd = epoll_create1(EPOLL_CLOEXEC);
  int error = host->wait_fd < 0 ? fail(failure, -errno, "epoll_create1") : 0;
  if (!error) error = mst__shared_open(host, options, failure);
  if (!error) error = open_switch(host, options, failure);
  if (!error && !host->daemon_path) error = open_ports(host, options, failure);
  if (!error && options && options->pcap_path) {
    stamp_captures(host);
    error = mst_pcap_open(options->pcap_path, &host->pcap, failure);
  }
  const char *trace_path = options && options->trace_path ? options->trace_path : secure_getenv("MULTISTACK_TRACE");
  if (!error && trace_path && *trace_path) error = mst__trace_file_open(trace_path, &host->trace, failure);
  if (error) {
    mst_host_close(host);
    return error;
  }
  *out = host;
  return 0;
}

static void detach(struct mst__host_stack *entry) {
  if (entry->attach) {
    mst__shared_remove(entry);
    return;
  }
  mst_switch_detach(entry->host->sw, entry->id);
  mst_channel_destroy(entry->channel);
}

static void free_stack(struct mst__host_stack *entry) {
  bool here = !entry->attach || mst_attach_is_here(entry->attach);
  if (entry->stack && here) mst_stack_destroy(entry->stack);
  detach(entry);
  free(entry);
}

void mst_host_close(mst_host *host) {
  if (!host) return;
  while (host->stacks) {
    struct mst__host_stack *entry = host->stacks;
    host->stacks = entry->next;
    free_stack(entry);
  }
  if (host->sw) mst_switch_destroy(host->sw);
  if (host->os) mst__os_linux_close(host->os);
  if (host->pcap) mst_pcap_close(host->pcap);
  mst__trace_file_close(host);
  mst_attach_close(host->ready);
  free(host->daemon_path);
  if (host->wait_fd >= 0) close(host->wait_fd);
  free(host);
}

/* --- what a stack asks of its surroundings --- */

static void *stack_alloc(void *ctx, size_t bytes) {
  return mst_channel_alloc(((struct mst__host_stack *)ctx)->channel, bytes);
}
static void stack_free(void *ctx, void *memory, size_t bytes) {
  mst_channel_free(((struct mst__host_stack *)ctx)->channel, memory, bytes);
}
static void stack_log(void *ctx, enum mst_log_level level, const char *line) {
  struct mst_host *host = ((struct mst__host_stack *)ctx)->host;
  host->log(host->log_ctx, level, line);
}
static int stack_lease(void *ctx, struct mst_tuple *tuple) {
  struct mst__host_stack *entry = ctx;
  return mst_switch_lease(entry->host->sw, entry->id, tuple);
}
static void stack_release(void *ctx, const struct mst_tuple *tuple) {
  struct mst__host_stack *entry = ctx;
  mst_switch_release(entry->host->sw, entry->id, tuple);
}
static int stack_route(void *ctx, const struct mst_addr *destination, struct mst_route *out) {
  return mst_switch_route(((struct mst__host_stack *)ctx)->host->sw, destination, out);
}
static int stack_output(void *ctx, const struct mst_packet *packet) {
  return mst_channel_send(((struct mst__host_stack *)ctx)->channel, packet);
}

static int make_stack(struct mst__host_stack *entry, const struct mst_stack_options *given, size_t arena_bytes) {
  struct mst_stack_options options = {.size = sizeof options};
  if (given && given->size != sizeof options) return -MST_EINVAL;
  if (given) options = *given;
  /* A small arena is the bound, less what is lost between blocks of different sizes. */
  if (arena_bytes && !options.memory_max_bytes) options.memory_max_bytes = arena_bytes - arena_bytes / 4;
  options.env = (struct mst_env){
      .ctx = entry, .alloc = stack_alloc, .free = stack_free, .random = mst__os_random, .log = stack_log};
  options.net = entry->attach ? mst__shared_net(entry)
                              : (struct mst_net){.ctx = entry,
                                                 .lease = stack_lease,
                                                 .release = stack_release,
                                                 .route = stack_route,
                                                 .output = stack_output};
  if (entry->host->trace && !options.trace) {
    options.trace = mst__trace_file_event;
    options.trace_ctx = entry;
  }
  return mst_stack_create(&options, &entry->stack);
}

static void append(struct mst_host *host, struct mst__host_stack *entry) {
  struct mst__host_stack **end = &host->stacks;
  while (*end) end = &(*end)->next;
  *end = entry;
  host->stack_count++;
}

/* Address space is free where it is not rationed (RLIMIT_AS, strict overcommit); there less must do. */
static int make_channel(mst_channel **out, size_t *arena_bytes) {
  struct mst_channel_options options = {.size = sizeof options};
  int error = mst_channel_create(&options, out);
  *arena_bytes = 0; /* plenty */
  for (size_t bytes = (size_t)1 << 30; error == -MST_ENOMEM && bytes >= (size_t)64 << 20; bytes /= 4) {
    options.arena_bytes = *arena_bytes = bytes;
    error = mst_channel_create(&options, out);
  }
  return error;
}

static int attach_here(struct mst__host_stack *entry, size_t *arena_bytes) {
  int error = make_channel(&entry->channel, arena_bytes);
  if (error) return error;
  error = mst_switch_attach(entry->host->sw, entry->channel, NULL, &entry->id);
  if (error) mst_channel_destroy(entry->channel);
  return error;
}

int mst_host_add_stack(mst_host *host, const struct mst_stack_options *options, mst_stack **out) {
  struct mst__host_stack *entry = calloc(1, sizeof *entry);
  if (!entry) return -MST_ENOMEM;
  entry->host = host;
  size_t arena_bytes = 0;
  int error = host->daemon_path ? mst__shared_add(entry, &arena_bytes) : attach_here(entry, &arena_bytes);
  if (error) {
    free(entry);
    return error;
  }
  error = make_stack(entry, options, arena_bytes);
  if (error) {
    free_stack(entry);
    return error;
  }
  char name[32];
  snprintf(name, sizeof name, "stack%u", host->stack_count);
  if (host->pcap && !entry->attach) mst_switch_tee(host->sw, entry->id, host->pcap, name);
  mst_stack_advance(entry->stack, mst__os_clock_ns()); /* what is called before the first packet has its time too */
  append(host, entry);
  *out = entry->stack;
  return 0;
}

bool mst_host_holds(mst_host *host, enum mst_protocol protocol, const struct mst_endpoint *local) {
  return host->daemon_path ? mst__shared_holds(host, protocol, local) : mst_switch_holds(host->sw, protocol, local);
}

uint64_t mst_host_now(const mst_host *host) {
  (void)host;
  return mst__os_clock_ns();
}

int mst_host_wait_fd(const mst_host *host) {
  return host->wait_fd;
}

mst_switch *mst_host_switch(mst_host *host) {
  return host->sw;
}
