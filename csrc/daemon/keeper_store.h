/* What is held, by key: in the keeper itself, which owns the descriptors, and in its master, which borrows them, so
 * that it can tell all of it to another keeper. */
#ifndef MST_DAEMON_KEEPER_STORE_H
#define MST_DAEMON_KEEPER_STORE_H

#include "base/hash.h"
#include "base/list.h"
#include "keeper_wire.h"

#define MST__KEEPER_LEASES_MAX 65536u
#define MST__KEEPER_APPS_MAX 4096u
#define MST__KEEPER_HELD_MAX (MST__KEEPER_LEASES_MAX + MST__KEEPER_APPS_MAX + 256u) /* ports and sockets besides */

struct mst__held {
  struct mst__hash_node node;
  struct mst__list in_order;
  uint16_t key_bytes, value_bytes;
  uint8_t fd_count;
  int fds[MST__KEEPER_FDS_MAX];
  uint8_t bytes[]; /* key, value */
};

struct mst__keeper_store {
  struct mst__hash_key hash_key;
  struct mst__hash_table table;
  struct mst__list all; /* struct mst__held.in_order, oldest first */
  uint32_t count;
  bool owns; /* closes the descriptors of what is dropped */
};

/* 0 or -MST_ENOMEM. */
int mst__keeper_store_init(struct mst__keeper_store *store, bool owns);
void mst__keeper_store_free(struct mst__keeper_store *store);

/* Hold a record in the place of what has the same key. 0, -MST_ENOBUFS (MST__KEEPER_HELD_MAX), -MST_ENOMEM: then
 * nothing has changed and the descriptors are the caller's still. */
int mst__keeper_store_put(struct mst__keeper_store *store, const struct mst__keeper_record *record);
/* NULL: there is none. Both are valid until the next change. */
struct mst__held *mst__keeper_store_find(const struct mst__keeper_store *store, const void *key, uint16_t key_bytes);
struct mst__keeper_record mst__held_record(const struct mst__held *held);
void mst__keeper_store_drop(struct mst__keeper_store *store, struct mst__held *held);

#endif
