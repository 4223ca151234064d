/* Tuples as keys: the same protocol, address and port, whatever their flags. */
#ifndef MST_BASE_TUPLE_H
#define MST_BASE_TUPLE_H

#include "base/hash.h"
#include "multistack/types.h"
#include <string.h>

static inline uint32_t mst__tuple_key_hash(const struct mst__hash_key *key, const struct mst_tuple *tuple) {
  uint8_t bytes[19];
  memcpy(bytes, tuple->addr.bytes, 16);
  memcpy(bytes + 16, &tuple->port, 2);
  bytes[18] = tuple->protocol;
  return (uint32_t)mst__hash(key, bytes, sizeof bytes);
}

static inline bool mst__tuple_same(const struct mst_tuple *a, const struct mst_tuple *b) {
  return a->port == b->port && a->protocol == b->protocol && mst_addr_equal(&a->addr, &b->addr);
}

#endif
