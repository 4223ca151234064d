/* A keyed hash and an intrusive chained hash table that grows. The key is secret and random, so that nobody outside can
 * aim at one chain. */
#ifndef MST_BASE_HASH_H
#define MST_BASE_HASH_H

#include "multistack/env.h"
#include <stdbool.h>
#include <stdint.h>

struct mst__hash_key {
  uint64_t k[2];
};

/* SipHash-1-3 of `bytes` bytes. */
uint64_t mst__hash(const struct mst__hash_key *key, const void *data, size_t bytes);
/* The same rounds over two words: for keys of one fixed length. */
uint64_t mst__hash_words(const struct mst__hash_key *key, uint64_t first, uint64_t second);

struct mst__hash_node {
  struct mst__hash_node *next;
  uint32_t hash;
};

struct mst__hash_table {
  struct mst__hash_node **buckets;
  uint32_t mask; /* buckets - 1 */
  uint32_t count;
};

/* `buckets` is a power of two. False: out of memory. */
bool mst__hash_table_init(struct mst__hash_table *table, const struct mst_env *env, uint32_t buckets);
void mst__hash_table_free(struct mst__hash_table *table, const struct mst_env *env);

/* Insert; the table grows when memory allows and works on when it does not. */
void mst__hash_table_insert(struct mst__hash_table *table, const struct mst_env *env, struct mst__hash_node *node,
                            uint32_t hash);
void mst__hash_table_remove(struct mst__hash_table *table, struct mst__hash_node *node);

/* The first node with this hash; walk on with mst__hash_next. */
static inline struct mst__hash_node *mst__hash_match(struct mst__hash_node *node, uint32_t hash) {
  while (node && node->hash != hash) node = node->next;
  return node;
}
static inline struct mst__hash_node *mst__hash_first(const struct mst__hash_table *table, uint32_t hash) {
  return mst__hash_match(table->buckets[hash & table->mask], hash);
}
static inline struct mst__hash_node *mst__hash_next(const struct mst__hash_node *node) {
  return mst__hash_match(node->next, node->hash);
}

#endif
