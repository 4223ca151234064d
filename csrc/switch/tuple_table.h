/* Who holds which tuple, for the packet path: open addressing with linear probing, a keyed hash, and keys so compact
 * that a cache line holds eight IPv4 tuples (two of IPv6). An entry names a holder by a small number; what a holder is,
 * and what else there is to know of a lease, is not this table's business. */
#ifndef MST_SWITCH_TUPLE_TABLE_H
#define MST_SWITCH_TUPLE_TABLE_H

#include "base/assert.h"
#include "multistack/env.h"
#include "multistack/types.h"
#include <string.h>

#define MST__HOLDER_MAX 0x7fff /* 0: nobody */

/* A tuple in the form of its table. `word` is an entry's word without the holder. */
struct mst__tuple_key {
  uint64_t addr[2]; /* IPv6: the address in memory order */
  uint64_t word;    /* [IPv4 address (32)] port (16) UDP (1) holder (15) */
  bool ip6;
};

struct mst__tuple6 {
  uint64_t addr[2];
  uint64_t word;
  uint64_t reserved;
};

struct mst__tuple_table {
  uint64_t *entries4;           /* 0: empty; a port is never 0 */
  struct mst__tuple6 *entries6; /* word 0: empty */
  uint32_t mask4, mask6;
  uint32_t count4, count6;
  uint32_t wildcards4, wildcards6;
  uint64_t secret[4];
};

int mst__tuple_table_init(struct mst__tuple_table *table, const struct mst_env *env);
void mst__tuple_table_free(struct mst__tuple_table *table, const struct mst_env *env);

static inline uint64_t mst__tuple_word(uint16_t port, uint8_t protocol) {
  return (uint64_t)port << 16 | (uint64_t)(protocol == MST_UDP) << 15;
}

/* `ip4` is the address as it lies in memory. */
static inline uint64_t mst__tuple_word4(uint32_t ip4, uint16_t port, uint8_t protocol) {
  return (uint64_t)ip4 << 32 | mst__tuple_word(port, protocol);
}

static inline struct mst__tuple_key mst__tuple_key(const struct mst_addr *addr, uint16_t port, uint8_t protocol) {
  struct mst__tuple_key key = {.ip6 = !mst_addr_is_ip4(addr)};
  if (key.ip6) {
    memcpy(key.addr, addr->bytes, 16);
    key.word = mst__tuple_word(port, protocol);
  } else {
    uint32_t ip4;
    memcpy(&ip4, addr->bytes + 12, 4);
    key.word = mst__tuple_word4(ip4, port, protocol);
  }
  return key;
}

static inline uint64_t mst__tuple_mix(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint32_t mst__tuple_hash4(const struct mst__tuple_table *table, uint64_t word) {
  return (uint32_t)mst__tuple_mix(word ^ table->secret[0], table->secret[1]) & table->mask4;
}
static inline uint32_t mst__tuple_hash6(const struct mst__tuple_table *table, const uint64_t addr[2], uint64_t word) {
  uint64_t mixed = mst__tuple_mix(addr[0] ^ table->secret[0], addr[1] ^ table->secret[1]);
  return (uint32_t)mst__tuple_mix(mixed ^ word ^ table->secret[2], table->secret[3]) & table->mask6;
}

/* The holder of exactly this key; `at` is its hash. */
static inline uint32_t mst__tuple_find4(const struct mst__tuple_table *table, uint64_t word, uint32_t at) {
  for (;; at = (at + 1) & table->mask4) {
    uint64_t entry = table->entries4[at];
    if (MST_LIKELY((entry ^ word) <= MST__HOLDER_MAX)) return (uint32_t)(entry & MST__HOLDER_MAX);
    if (!entry) return 0;
  }
}
static inline uint32_t mst__tuple_find6(const struct mst__tuple_table *table, const uint64_t addr[2], uint64_t word,
                                        uint32_t at) {
  for (;; at = (at + 1) & table->mask6) {
    const struct mst__tuple6 *entry = &table->entries6[at];
    if ((entry->word ^ word) <= MST__HOLDER_MAX && entry->addr[0] == addr[0] && entry->addr[1] == addr[1])
      return (uint32_t)(entry->word & MST__HOLDER_MAX);
    if (!entry->word) return 0;
  }
}
static inline uint32_t mst__tuple_find(const struct mst__tuple_table *table, const struct mst__tuple_key *key) {
  if (key->ip6) return mst__tuple_find6(table, key->addr, key->word, mst__tuple_hash6(table, key->addr, key->word));
  return mst__tuple_find4(table, key->word, mst__tuple_hash4(table, key->word));
}

/* The holder of the wildcard of this key's family, port and protocol. */
static inline uint32_t mst__tuple_find_any(const struct mst__tuple_table *table, bool ip6, uint64_t word) {
  word &= 0xffffffff;
  if (!ip6) return table->wildcards4 ? mst__tuple_find4(table, word, mst__tuple_hash4(table, word)) : 0;
  static const uint64_t any[2];
  return table->wildcards6 ? mst__tuple_find6(table, any, word, mst__tuple_hash6(table, any, word)) : 0;
}

/* Add a key that is not there. 0 or -MST_ENOMEM, with nothing changed. */
int mst__tuple_table_add(struct mst__tuple_table *table, const struct mst_env *env, const struct mst__tuple_key *key,
                         uint32_t holder);
/* Change the holder of a key that is there. */
void mst__tuple_table_set(struct mst__tuple_table *table, const struct mst__tuple_key *key, uint32_t holder);
/* Remove a key that is there. */
void mst__tuple_table_remove(struct mst__tuple_table *table, const struct mst__tuple_key *key);

#endif
