/* The embedded deployment: stacks, channels, one switch and its ports in one process and one thread, behind the loop
 * contract: one wait fd, one deadline, one process call. An integration is those three plugged into a loop. */
#ifndef MULTISTACK_HOST_H
#define MULTISTACK_HOST_H

#include "stack.h"
#include "switch.h"
#include "tcp.h"
#include "udp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mst_host mst_host;

struct mst_host_options {
  size_t size;              /* sizeof(struct mst_host_options) */
  const char *const *ports; /* specs for mst_port_open, NULL-terminated; NULL or empty: no device, `memory` alone. The
                               one spec "unix:PATH" means no device of ours but those of the multistackd there */
  const char *pcap_path;    /* record all packets of all channels as pcapng; NULL: no. -MST_EINVAL with a multistackd,
                               for which `multistack dump` does that */
  void (*log)(void *ctx, enum mst_log_level level, const char *line); /* NULL: errors and warnings to stderr */
  void *log_ctx;
  const char *trace_path; /* write the event trace of all stacks (TRACE.md); NULL: to where the environment's
                             MULTISTACK_TRACE says, if it is set */
  bool embedded;          /* never attach to a multistackd */
  unsigned threads;       /* for moving packets: 0 or 1: the caller's alone; of more, each carries a port, in order */
  /* In the place of mst_port_open; mst_host_switch(host) is there by then. NULL: mst_port_open. */
  int (*open_port)(void *ctx, mst_host *host, const char *spec, struct mst_port **out, struct mst_failure *failure);
  void *open_port_ctx;
};

/* Open the ports and make a switch, or attach to a multistackd: to the one that `ports` names, else, unless `embedded`
 * is set, to the one that the environment's MULTISTACK=unix:PATH names; with neither, and no ports, to the one at
 * MST_ATTACH_DEFAULT_PATH if there is one (MULTISTACK=embedded: no). With a device the OS reserves each held tuple and
 * gives routes and neighbours; with none the host is alone: it has 127.0.0.0/8, ::1 and any other address, which all
 * lead to its own stacks. The environment's MULTISTACK_POLL_US is how long the loop keeps looking for packets after the
 * last one before it sleeps. 0 or -MST_E..., told in full by `failure` (may be NULL). */
int mst_host_open(const struct mst_host_options *options, mst_host **out, struct mst_failure *failure);

/* Destroy stacks, switch and ports; the devices are as they were before. In a child of fork() a host that is attached
 * to a multistackd is the parent's: there nothing but this may be called, and it disturbs nobody. */
void mst_host_close(mst_host *host);

/* Add a stack on a channel of its own. `options` may be NULL; its env and net are filled in by the host. The host
 * owns the stack. */
int mst_host_add_stack(mst_host *host, const struct mst_stack_options *options, mst_stack **out);

/* True when packets to (protocol, local) would reach a user stack of this host: one of this process or, with a
 * multistackd, of any program that is attached to it. */
bool mst_host_holds(mst_host *host, enum mst_protocol protocol, const struct mst_endpoint *local);

/* Let a successor of the same user, another stack of this host or another program on the same multistackd, take the
 * local tuple of a listener by mst_bind with MST_BIND_TAKE. From then on new connections are the successor's; those
 * that `stack` has at this moment, half-open ones too, and those that it still answers until then stay. Keep the
 * listener open until, after one more mst_host_process, none is left (mst_host_flows), for closing it resets what is
 * not accepted yet. 0, -MST_EBADF
 * (`stack` is not of this host, or does not hold the tuple), -MST_ENETDOWN, -MST_ENOMEM, -MST_ENOBUFS. */
int mst_host_offer(mst_host *host, mst_stack *stack, const struct mst_tuple *tuple);

/* Connections of `stack` from that tuple: half-open ones too, those in TIME-WAIT not. */
size_t mst_host_flows(const mst_stack *stack, const struct mst_tuple *tuple);

/* Monotonic nanoseconds, the clock of this host's stacks. */
uint64_t mst_host_now(const mst_host *host);

/* Readable when there is something to process. The same descriptor (an epoll) for the host's life. */
int mst_host_wait_fd(const mst_host *host);

/* When process is next wanted even though the fd is silent: in the host's clock; 0: now; UINT64_MAX: never. */
uint64_t mst_host_deadline(const mst_host *host);

/* Do what there is to do: receive, run timers, call back, send. Bounded: work that is left shows as deadline 0. Returns
 * the number of packets moved. */
size_t mst_host_process(mst_host *host);

/* Send what callers outside of process have written since; call it before the loop sleeps. Calls nobody back. */
void mst_host_flush(mst_host *host);

mst_switch *mst_host_switch(mst_host *host);

/* One JSON object of all statistics: ports (mode in force, reason, counters), switch, channels and stacks with their
 * drops by reason. Returns the length without NUL, as snprintf does. */
int mst_host_stats_json(mst_host *host, char *out, size_t bytes);

/* One JSON object of what is known of a connection, under the names of the npm package's TcpInfo; what is not known is
 * left out. Returns the length without NUL, as snprintf does. */
int mst_tcp_info_json(const struct mst_tcp_info *info, char *out, size_t bytes);

/* One JSON array of all sockets of all stacks: those objects, with "protocol" ("tcp" or "udp"). The same return. */
int mst_host_sockets_json(mst_host *host, char *out, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
