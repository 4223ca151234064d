/* What outlives the daemon. The keeper holds, from the moment that each comes into being:
 *
 *   the control socket                so that apps find somebody to wait for
 *   each port's place at its device   so that no held packet reaches the OS
 *   each app                          a pidfd, its user, and the token by which it is known again
 *   each lease                        the OS's reservation, and whose it is
 *
 * The next daemon adopts all of it. For each app that lives there is a limbo, a channel id without a channel, which
 * holds the app's leases, and whose packets are dropped, until the app has attached again and claimed them. What is not
 * claimed in time is let go of. */
#ifndef MST_DAEMON_LIFE_H
#define MST_DAEMON_LIFE_H

#include "daemon.h"

/* First of all, since it forks: adopt what a daemon before has left, or begin with nothing. 0, -MST_EBUSY (a daemon is
 * there), ... of mst__keeper_open. */
int mst__life_open(struct mst__daemon *daemon, struct mst_failure *failure);

/* mst_host_options.open_port, with the daemon as ctx: in the place of the port that was there before, if one was. */
int mst__life_open_port(void *daemon, mst_host *host, const char *spec, struct mst_port **out,
                        struct mst_failure *failure);

/* The control socket from before, -1: none. Hold one. */
int mst__life_listener(const struct mst__daemon *daemon);
void mst__life_hold_listener(struct mst__daemon *daemon, int fd);

/* The host is open: from here on apps may claim. 0 or -errno. */
int mst__life_begin(struct mst__daemon *daemon);

/* An app attaches with `token`, or with a new one when it is nobody's: the client's token, and its limbo if there is
 * one. The client has its id. */
void mst__life_attached(struct mst__client *client, const uint8_t token[MST__CONTROL_TOKEN_BYTES]);
/* It has gone; before its id is detached. */
void mst__life_gone(struct mst__client *client);

/* Give the app what its limbo holds. 0; -MST_ENOENT: it holds no such thing; the errors of mst_switch_transfer. */
int mst__life_claim(struct mst__client *client, const struct mst_tuple *tuple);
/* A lease is the client's from here on; is about to be released. */
void mst__life_leased(struct mst__client *client, const struct mst_tuple *tuple);
void mst__life_released(struct mst__client *client, const struct mst_tuple *tuple);

/* Wait until the keeper, too, has let go of what was released. True: it was worth the wait. */
bool mst__life_settle(struct mst__daemon *daemon);

/* Tell the keeper; once for many changes. */
void mst__life_flush(struct mst__daemon *daemon);

/* A newer daemon asks this one to make room. */
void mst__life_yield(struct mst__client *client, const struct mst__control_header *question);
/* Ask the one at `path` to make room, and wait until it has, or there is none. 0, or why it does not. */
int mst__life_replace(const char *path, struct mst_failure *failure);

/* The daemon ends: nothing is left; or, when it yields or could not begin, all is left to the next. */
void mst__life_close(struct mst__daemon *daemon, bool leave);

#endif
