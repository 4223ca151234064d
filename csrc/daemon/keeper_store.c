/* A hash table of records, and a list of them in the order in which they came. */
#include "keeper_store.h"
#include "host/host_internal.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct mst_env env = {.alloc = mst__os_alloc, .free = mst__os_free, .random = mst__os_random};

int mst__keeper_store_init(struct mst__keeper_store *store, bool owns) {
  *store = (struct mst__keeper_store){.owns = owns};
  mst__list_init(&store->all);
  mst__os_random(NULL, &store->hash_key, sizeof store->hash_key);
  return mst__hash_table_init(&store->table, &env, 64) ? 0 : -MST_ENOMEM;
}

void mst__keeper_store_free(struct mst__keeper_store *store) {
  while (!mst__list_empty(&store->all))
    mst__keeper_store_drop(store, MST__CONTAINER(store->all.next, struct mst__held, in_order));
  mst__hash_table_free(&store->table, &env);
}

static uint32_t hash_of(const struct mst__keeper_store *store, const void *key, uint16_t key_bytes) {
  return (uint32_t)mst__hash(&store->hash_key, key, key_bytes);
}

struct mst__held *mst__keeper_store_find(const struct mst__keeper_store *store, const void *key, uint16_t key_bytes) {
  struct mst__hash_node *node = mst__hash_first(&store->table, hash_of(store, key, key_bytes));
  for (; node; node = mst__hash_next(node)) {
    struct mst__held *held = MST__CONTAINER(node, struct mst__held, node);
    if (held->key_bytes == key_bytes && !memcmp(held->bytes, key, key_bytes)) return held;
  }
  return NULL;
}

void mst__keeper_store_drop(struct mst__keeper_store *store, struct mst__held *held) {
  mst__hash_table_remove(&store->table, &held->node);
  mst__list_remove(&held->in_order);
  store->count--;
  for (unsigned i = 0; store->owns && i < held->fd_count; i++) close(held->fds[i]);
  free(held);
}

int mst__keeper_store_put(struct mst__keeper_store *store, const struct mst__keeper_record *record) {
  if (record->fd_count > MST__KEEPER_FDS_MAX || record->key_bytes + record->value_bytes > (int)MST__KEEPER_BYTES_MAX)
    return -MST_EINVAL;
  struct mst__held *before = mst__keeper_store_find(store, record->key, record->key_bytes);
  if (!before && store->count == MST__KEEPER_HELD_MAX) return -MST_ENOBUFS;
  struct mst__held *held = malloc(sizeof *held + record->key_bytes + record->value_bytes);
  if (!held) return -MST_ENOMEM;
  *held = (struct mst__held){
      .key_bytes = record->key_bytes, .value_bytes = record->value_bytes, .fd_count = record->fd_count};
  if (record->fd_count) memcpy(held->fds, record->fds, record->fd_count * sizeof *held->fds);
  if (record->key_bytes) memcpy(held->bytes, record->key, record->key_bytes);
  if (record->value_bytes) memcpy(held->bytes + record->key_bytes, record->value, record->value_bytes);
  if (before) mst__keeper_store_drop(store, before);
  mst__hash_table_insert(&store->table, &env, &held->node, hash_of(store, record->key, record->key_bytes));
  mst__list_push_back(&store->all, &held->in_order);
  store->count++;
  return 0;
}

struct mst__keeper_record mst__held_record(const struct mst__held *held) {
  return (struct mst__keeper_record){.type = MST__KEEPER_HOLD,
                                     .key_bytes = held->key_bytes,
                                     .value_bytes = held->value_bytes,
                                     .fd_count = held->fd_count,
                                     .key = held->bytes,
                                     .value = held->bytes + held->key_bytes,
                                     .fds = held->fds};
}
