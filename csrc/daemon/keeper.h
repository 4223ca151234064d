/* The keeper: a small process that holds what must outlive the daemon, and does nothing else.
 *
 *   daemon  --HOLD key value fds, DROP key-->  keeper        while both live
 *   daemon dies                                keeper        waits while an app lives, keep_s at most
 *   new daemon  --ADOPT-->  keeper  --all that it holds-->   the new daemon is its master
 *   daemon  --END-->                           keeper        lets go of everything
 *
 * What it holds are records: a key, a value, and descriptors. A key's first byte is its kind. The keeper knows one: of
 * an app the first descriptor is a pidfd.
 *
 * It listens beside the control socket, and so also tells a second daemon that there is one already.
 *
 * Keepers are born of another small process, the nursery, which the daemon starts first of all and which ends with it:
 * so a keeper that was killed can be replaced by a daemon that may start no processes itself any more, and it has
 * nothing of the daemon's memory. */
#ifndef MST_DAEMON_KEEPER_H
#define MST_DAEMON_KEEPER_H

#include "keeper_wire.h"
#include "multistack/env.h"
#include "multistack/error.h"
#include <sys/types.h>

#define MST__KEEPER_APP 'A' /* kind of the key of an app */
#define MST__KEEPER_SUFFIX ".keeper"

struct mst__keeper;

struct mst__keeper_options {
  const char *socket_path; /* of the control socket */
  uint32_t keep_s;         /* how long it waits for a new daemon */
  uid_t uid;               /* whom it becomes when it is started as root; who may adopt it, besides root */
  gid_t gid;
  void *log_ctx;
  void (*log)(void *ctx, enum mst_log_level level, const char *line);
};

/* Adopt the keeper that a dead daemon has left at this socket, or start one. The daemon calls it first of all: it
 * forks. Strings of the options are copied. 0, -MST_EBUSY (a daemon with that socket runs; `failure` has its pid),
 * -MST_EPERM (it is another user's), -MST_EPROTO (of a build that is not understood) ... */
int mst__keeper_open(const struct mst__keeper_options *options, struct mst__keeper **out, struct mst_failure *failure);

/* What an adopted keeper holds: the descriptors are the callee's from here on, and stay held until they are dropped; it
 * may drop this one record. Call it once, right after mst__keeper_open; before, they are nobody's. */
void mst__keeper_each_adopted(struct mst__keeper *keeper,
                              void (*each)(void *ctx, const struct mst__keeper_record *record), void *ctx);

/* Hold `record` (its type does not matter), in the place of what has the same key. Its descriptors must stay open until
 * it is dropped: another keeper may need them. 0, -MST_ENOBUFS (65,536 leases and 4,096 apps are held), -MST_ENOMEM. */
int mst__keeper_hold(struct mst__keeper *keeper, const struct mst__keeper_record *record);
void mst__keeper_drop(struct mst__keeper *keeper, const void *key, uint16_t key_bytes);
/* Send what was held and dropped; until then the keeper does not know. Returns at once when nothing was. */
void mst__keeper_flush(struct mst__keeper *keeper);
/* Wait until it has closed what was dropped: a socket is bound until its last descriptor is closed. True: something was
 * to be closed, and is. Some 50 us; at most 100 ms, after which it counts as dead. */
bool mst__keeper_settle(struct mst__keeper *keeper);

/* Readable when mst__keeper_process has something to do: the keeper has died, and there is another after it. -1: no
 * keeper could be started. It changes in mst__keeper_process and mst__keeper_flush. */
int mst__keeper_wait_fd(const struct mst__keeper *keeper);
void mst__keeper_process(struct mst__keeper *keeper);
pid_t mst__keeper_pid(const struct mst__keeper *keeper); /* 0: none */

/* Let go of everything: when it returns, so has the keeper, and nothing of it is left. */
void mst__keeper_end(struct mst__keeper *keeper);
/* Leave everything to the keeper, for another daemon to adopt, once this process has ended. */
void mst__keeper_leave(struct mst__keeper *keeper);

/* What a keeper begins with. */
struct mst__keeper_seed {
  uint32_t keep_s, master_pid;
  char path[112]; /* where it listens */
};

/* keeper_process.c: be the keeper. `master` does not block. */
_Noreturn void mst__keeper_be(const struct mst__keeper_seed *seed, int master, int listener);

/* keeper_nursery.c: be the nursery of which keepers are born. All other descriptors and all rights of the process go.
 */
_Noreturn void mst__keeper_nursery(int master, uid_t uid, gid_t gid);

#endif
