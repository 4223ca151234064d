/* The parts of a daemon's life, as they see each other: life.c gives, limbo.c takes up, yield.c changes hands. */
#ifndef MST_DAEMON_LIFE_INTERNAL_H
#define MST_DAEMON_LIFE_INTERNAL_H

#include "keeper.h"
#include "life.h"

/* Keys and values of what the keeper holds. They are read by other builds of the daemon: change them, and change
 * LIFE_..., and what was held under the old ones is let go of. Nothing in them is left to the compiler to pad. */
#define LIFE_LISTENER 'S'
#define LIFE_PORT 'P' /* the spec follows */
#define LIFE_LEASE 'T'

struct life_app_key {
  char kind; /* MST__KEEPER_APP */
  uint8_t token[MST__CONTROL_TOKEN_BYTES];
};

struct life_app_value {
  uint32_t uid;
};

struct life_lease_key {
  char kind;
  uint8_t protocol;
  uint16_t port;
  struct mst_addr addr;
  uint8_t token[MST__CONTROL_TOKEN_BYTES]; /* of who holds it; a group has a record for each member */
};
_Static_assert(sizeof(struct life_lease_key) == 20 + MST__CONTROL_TOKEN_BYTES, "no padding");

struct life_lease_value {
  uint8_t flags; /* MST_BIND_... */
};

/* An app that was attached to the daemon before. */
struct mst__limbo {
  struct mst__list node;
  struct mst__watch death; /* its pidfd */
  uint8_t token[MST__CONTROL_TOKEN_BYTES];
  uid_t uid;
  unsigned id;                /* in the switch */
  struct mst__client *client; /* the same app, attached again */
  bool guard;                 /* of groups: see limbo.c */
};

/* A record that was adopted and has no place yet. */
struct mst__legacy {
  struct mst__list node;
  uint8_t key[MST__KEEPER_BYTES_MAX], value[MST__KEEPER_BYTES_MAX];
  uint16_t key_bytes, value_bytes;
  int fds[MST__KEEPER_FDS_MAX];
  unsigned fd_count;
};

struct mst__life {
  struct mst__keeper *keeper;
  struct mst__watch keeper_watch, patience;
  pid_t keeper_pid;                     /* whom keeper_watch is about */
  int listener;                         /* adopted; -1: none */
  struct mst__list apps, leases, ports; /* struct mst__legacy */
  struct mst__list limbos, gone;        /* struct mst__limbo; gone until the batch of events is over */
};

/* life.c */
void mst__life_watch_keeper(struct mst__daemon *daemon);
void mst__life_hold_port(struct mst__daemon *daemon, const char *spec, struct mst_port *port);
void mst__life_drop_app(struct mst__daemon *daemon, const uint8_t token[MST__CONTROL_TOKEN_BYTES]);
void mst__life_hold_lease(struct mst__daemon *daemon, const struct mst_tuple *tuple,
                          const uint8_t token[MST__CONTROL_TOKEN_BYTES]);
void mst__life_drop_lease(struct mst__daemon *daemon, const struct mst_tuple *tuple,
                          const uint8_t token[MST__CONTROL_TOKEN_BYTES]);
/* All that the id holds. */
void mst__life_drop_leases(struct mst__daemon *daemon, unsigned id, const uint8_t token[MST__CONTROL_TOKEN_BYTES]);

/* limbo.c */
void mst__life_bury(struct mst__life *life);
/* Who attaches with this token; NULL: nobody who was there before. */
struct mst__limbo *mst__life_limbo_of(const struct mst__client *client, const uint8_t token[MST__CONTROL_TOKEN_BYTES]);

#endif
