/* The embedded deployment's parts, as they see each other. */
#ifndef MST_HOST_INTERNAL_H
#define MST_HOST_INTERNAL_H

#include "multistack/attach.h"
#include "multistack/host.h"
#include "os/env.h"

struct mst__os_linux;
struct mst__trace_file;
struct mst_trace_event;

/* A stack on a channel of its own. Its address is the ctx of the stack's env, and of its net when the switch is here.
 */
struct mst__host_stack {
  struct mst__host_stack *next;
  struct mst_host *host;
  mst_stack *stack;
  mst_channel *channel;
  unsigned id;        /* of the channel in the switch */
  mst_attach *attach; /* to a daemon, whose switch it is then; NULL: to the host's own */
};

struct mst_host {
  mst_switch *sw;
  struct mst__os_linux *os; /* NULL: alone */
  mst_pcap *pcap;
  struct mst__trace_file *trace;  /* NULL: no trace */
  struct mst__host_stack *stacks; /* in the order they were added */
  unsigned stack_count, ports_waited_for;
  int wait_fd;
  bool work_left;                  /* the last process call stopped at its budget */
  char *daemon_path;               /* of the daemon that stacks attach to; NULL: the switch is here */
  mst_attach *ready;               /* attached at opening, for the first stack */
  uint64_t poll_ns, poll_until_ns; /* how long to go on looking before the loop may sleep */
  uint64_t os_looked_ns;
  void (*log)(void *ctx, enum mst_log_level level, const char *line);
  void *log_ctx;
};

/* host.c: wait for ports that the switch got since, from whomever. 0 or -errno. */
int mst__host_wait_for_ports(struct mst_host *host);
/* Stop waiting for a port whose device is gone, and say so. */
void mst__host_port_died(struct mst_host *host, struct mst_port *port);

/* shared.c: stacks of this process on channels of a daemon. */
/* Attach to the daemon that the options and the environment mean, if any: host->daemon_path tells. */
int mst__shared_open(struct mst_host *host, const struct mst_host_options *options, struct mst_failure *failure);
int mst__shared_add(struct mst__host_stack *entry, size_t *arena_bytes);
/* Take the daemon's news before packets are received. */
void mst__shared_process(struct mst__host_stack *entry, uint64_t now_ns);
/* Ring the daemon; false: packets have come meanwhile, so the loop must not sleep. */
bool mst__shared_flush(struct mst__host_stack *entry);
bool mst__shared_holds(struct mst_host *host, enum mst_protocol protocol, const struct mst_endpoint *local);
void mst__shared_remove(struct mst__host_stack *entry);
/* What a stack on it asks of its surroundings. */
struct mst_net mst__shared_net(struct mst__host_stack *entry);

/* port_thread.c: give a port a thread of its own. The wrapper owns `inner` when there is no error. 0, -MST_ENOMEM,
 * -MST_EMFILE. */
int mst__port_thread(struct mst_port *inner, struct mst_port **out);

/* sockets.c: for mst_attach_set_sockets, with a struct mst__host_stack. */
int mst__host_stack_sockets(void *ctx, char *out, size_t bytes);

/* trace_file.c: the event trace of a host's stacks, in one file. */
int mst__trace_file_open(const char *path, struct mst__trace_file **out, struct mst_failure *failure);
/* mst_stack_options.trace, with a struct mst__host_stack. */
void mst__trace_file_event(void *ctx, const struct mst_trace_event *event);
/* Write what was gathered. */
void mst__trace_file_flush(struct mst_host *host);
void mst__trace_file_close(struct mst_host *host);

/* os_linux.c: the OS as the switch needs it. */
int mst__os_linux_open(struct mst__os_linux **out, struct mst_failure *failure);
void mst__os_linux_close(struct mst__os_linux *os);
const struct mst_switch_os *mst__os_linux_ops(struct mst__os_linux *os);
/* The descriptor behind a reservation's cookie: while a copy of it is open anywhere, the tuple is not for the OS's
 * programs. It stays the reservation's. */
int mst__os_linux_reservation_fd(intptr_t cookie);
/* Such a copy as a reservation again, which owns it from here on. -MST_EINVAL: it is not bound to `tuple`. */
int mst__os_linux_reservation_adopt(const struct mst_tuple *tuple, int fd, intptr_t *cookie);
/* Readable when routes, addresses or neighbours have changed. */
int mst__os_linux_wait_fd(const struct mst__os_linux *os);
/* Read what has changed and tell the switch. */
void mst__os_linux_events(struct mst__os_linux *os, mst_switch *sw);

#endif
