/* An app's side of multistackd: a channel to the daemon's switch, for any kind of stack.
 *
 * The stack's calls for packets are those of channel.h, on mst_attach_channel. What it asks of the host (leases,
 * routes) is asked of the daemon here; the shapes are those of struct mst_net, with the attachment as ctx. When the
 * daemon dies it is looked for again and the leases are claimed from its successor; meanwhile nothing is carried, as on
 * a network that is down. One thread. */
#ifndef MULTISTACK_ATTACH_H
#define MULTISTACK_ATTACH_H

#include "channel.h"
#include "stack.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MST_ATTACH_DEFAULT_PATH "/run/multistack/default"

#define MST_ATTACH_SOCKETS_BYTES ((size_t)1 << 20)

typedef struct mst_attach mst_attach;

struct mst_attach_options {
  size_t size;                        /* sizeof(struct mst_attach_options) */
  const char *path;                   /* of the control socket, NULL: MST_ATTACH_DEFAULT_PATH */
  const char *name;                   /* for those who look, NULL: the program's */
  struct mst_channel_options channel; /* .size 0: a channel of the default size; shared either way */
  uint32_t wait_ms;                   /* how long calls wait for an answer of the daemon, 0: 5000 */
};

/* Attach. 0, -MST_ENOENT or -MST_ECONNREFUSED (no daemon there), -MST_EACCES, -MST_EPROTO (it speaks another version),
 * -MST_ENOMEM, told in full by `failure` (may be NULL). */
int mst_attach_open(const struct mst_attach_options *options, mst_attach **out, struct mst_failure *failure);

/* Leases are given back, the channel is destroyed; its packets must have been released. */
void mst_attach_close(mst_attach *attach);

mst_channel *mst_attach_channel(mst_attach *attach);

/* Readable when packets or news of the daemon have come. The same descriptor (an epoll) for the attachment's life. */
int mst_attach_wait_fd(const mst_attach *attach);

/* To be called when the descriptor is readable or the deadline is over, before packets are received: takes news, looks
 * for a daemon that has gone. Not while packets received are unreleased. `now_ns`: any monotonic clock. */
void mst_attach_process(mst_attach *attach, uint64_t now_ns);

/* When process is next wanted even though the descriptor is silent, in the same clock; UINT64_MAX: never. */
uint64_t mst_attach_deadline(const mst_attach *attach);

/* Rings the daemon, if it sleeps, for what was sent or released since. Once each turn of the loop. */
void mst_attach_flush(mst_attach *attach);

/* The caller is about to wait for the descriptor. False: there are packets already. mst_attach_process ends it. */
bool mst_attach_sleep(mst_attach *attach);

/* False in a child of fork(): what its parent has attached is the parent's alone, the region is not mapped in the
 * child, and nothing but mst_attach_close may be called there. */
bool mst_attach_is_here(const mst_attach *attach);
/* True while there is a daemon at the other end. */
bool mst_attach_is_up(const mst_attach *attach);
/* Counts up each time that routes or addresses may have changed. */
uint64_t mst_attach_route_generation(const mst_attach *attach);

/* What to answer when the daemon asks which sockets the stack has, for `multistack ss`: `sockets` writes one JSON array
 * into room for MST_ATTACH_SOCKETS_BYTES, of objects as mst_host_sockets_json writes them; the last may be {"omitted":
 * COUNT} when there are more. It returns the length without NUL, and is called within mst_attach_process. NULL, as at
 * first: no sockets. */
void mst_attach_set_sockets(mst_attach *attach, int (*sockets)(void *ctx, char *out, size_t bytes), void *ctx);

/* The shapes of mst_net.lease, .release and .route; -MST_ENETDOWN while there is no daemon. */
int mst_attach_lease(void *attach, struct mst_tuple *tuple);
void mst_attach_release(void *attach, const struct mst_tuple *tuple);
int mst_attach_route(void *attach, const struct mst_addr *destination, struct mst_route *out);

/* True when some stack of this host, of whatever program, would get packets to `local`. That it is so is believed for a
 * tenth of a second. */
bool mst_attach_holds(mst_attach *attach, enum mst_protocol protocol, const struct mst_endpoint *local);

/* Let another channel of the same user take `tuple` (a lease with MST_BIND_TAKE): from then on new flows are its, those
 * with `remotes` and whatever else has packets sent from here stay. 0, -MST_EBADF (not held), -MST_ENETDOWN. */
int mst_attach_offer(mst_attach *attach, const struct mst_tuple *tuple, const struct mst_endpoint *remotes,
                     size_t count);

#ifdef __cplusplus
}
#endif
#endif
