#include "hash.h"
#include <string.h>

/* --- SipHash-1-3 (Aumasson and Bernstein; one compression round, three final rounds) --- */

static inline uint64_t rotate_left(uint64_t v, int bits) {
  return v << bits | v >> (64 - bits);
}

static inline void sip_round(uint64_t v[4]) {
  v[0] += v[1];
  v[1] = rotate_left(v[1], 13) ^ v[0];
  v[0] = rotate_left(v[0], 32);
  v[2] += v[3];
  v[3] = rotate_left(v[3], 16) ^ v[2];
  v[0] += v[3];
  v[3] = rotate_left(v[3], 21) ^ v[0];
  v[2] += v[1];
  v[1] = rotate_left(v[1], 17) ^ v[2];
  v[2] = rotate_left(v[2], 32);
}

static inline void sip_compress(uint64_t v[4], uint64_t word) {
  v[3] ^= word;
  sip_round(v);
  v[0] ^= word;
}

static inline uint64_t load_little_endian(const uint8_t *p, size_t bytes) {
  uint64_t word = 0;
  memcpy(&word, p, bytes);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

static inline void sip_begin(uint64_t v[4], const struct mst__hash_key *key) {
  v[0] = key->k[0] ^ 0x736f6d6570736575;
  v[1] = key->k[1] ^ 0x646f72616e646f6d;
  v[2] = key->k[0] ^ 0x6c7967656e657261;
  v[3] = key->k[1] ^ 0x7465646279746573;
}

static inline uint64_t sip_end(uint64_t v[4]) {
  v[2] ^= 0xff;
  for (int i = 0; i < 3; i++) sip_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t mst__hash(const struct mst__hash_key *key, const void *data, size_t bytes) {
  const uint8_t *p = data;
  uint64_t v[4];
  sip_begin(v, key);
  size_t left = bytes;
  for (; left >= 8; left -= 8, p += 8) sip_compress(v, load_little_endian(p, 8));
  sip_compress(v, (uint64_t)(bytes & 0xff) << 56 | load_little_endian(p, left));
  return sip_end(v);
}

uint64_t mst__hash_words(const struct mst__hash_key *key, uint64_t first, uint64_t second) {
  uint64_t v[4];
  sip_begin(v, key);
  sip_compress(v, first);
  sip_compress(v, second);
  return sip_end(v);
}

/* --- the table --- */

static struct mst__hash_node **alloc_buckets(const struct mst_env *env, uint32_t buckets) {
  struct mst__hash_node **array = env->alloc(env->ctx, buckets * sizeof *array);
  if (array) memset(array, 0, buckets * sizeof *array);
  return array;
}

static void push(struct mst__hash_node **bucket, struct mst__hash_node *node) {
  node->next = *bucket;
  *bucket = node;
}

bool mst__hash_table_init(struct mst__hash_table *table, const struct mst_env *env, uint32_t buckets) {
  *table = (struct mst__hash_table){.buckets = alloc_buckets(env, buckets), .mask = buckets - 1};
  return table->buckets != NULL;
}

void mst__hash_table_free(struct mst__hash_table *table, const struct mst_env *env) {
  if (table->buckets) env->free(env->ctx, table->buckets, ((size_t)table->mask + 1) * sizeof *table->buckets);
  *table = (struct mst__hash_table){0};
}

static void grow(struct mst__hash_table *table, const struct mst_env *env) {
  uint32_t old_buckets = table->mask + 1;
  if (old_buckets > UINT32_MAX / 2) return;
  struct mst__hash_node **larger = alloc_buckets(env, old_buckets * 2);
  if (!larger) return;
  uint32_t mask = old_buckets * 2 - 1;
  for (uint32_t i = 0; i < old_buckets; i++) {
    for (struct mst__hash_node *node = table->buckets[i], *next; node; node = next) {
      next = node->next;
      push(&larger[node->hash & mask], node);
    }
  }
  env->free(env->ctx, table->buckets, old_buckets * sizeof *table->buckets);
  table->buckets = larger;
  table->mask = mask;
}

void mst__hash_table_insert(struct mst__hash_table *table, const struct mst_env *env, struct mst__hash_node *node,
                            uint32_t hash) {
  if (table->count > table->mask) grow(table, env);
  node->hash = hash;
  push(&table->buckets[hash & table->mask], node);
  table->count++;
}

void mst__hash_table_remove(struct mst__hash_table *table, struct mst__hash_node *node) {
  struct mst__hash_node **link = &table->buckets[node->hash & table->mask];
  while (*link != node) link = &(*link)->next;
  *link = node->next;
  node->next = NULL;
  table->count--;
}
