#include "tuple_table.h"
#include "multistack/error.h"

#define FIRST_SLOTS 1024u

static bool is_wildcard(const struct mst__tuple_key *key) {
  return key->ip6 ? !key->addr[0] && !key->addr[1] : !(key->word >> 32);
}

static void *alloc_zeroed(const struct mst_env *env, size_t bytes) {
  void *memory = env->alloc(env->ctx, bytes);
  if (memory) memset(memory, 0, bytes);
  return memory;
}

int mst__tuple_table_init(struct mst__tuple_table *table, const struct mst_env *env) {
  *table = (struct mst__tuple_table){.mask4 = FIRST_SLOTS - 1, .mask6 = FIRST_SLOTS - 1};
  env->random(env->ctx, table->secret, sizeof table->secret);
  table->secret[1] |= 1; /* a multiplier of zero would hash all alike */
  table->secret[3] |= 1;
  table->entries4 = alloc_zeroed(env, FIRST_SLOTS * sizeof *table->entries4);
  table->entries6 = alloc_zeroed(env, FIRST_SLOTS * sizeof *table->entries6);
  if (table->entries4 && table->entries6) return 0;
  mst__tuple_table_free(table, env);
  return -MST_ENOMEM;
}

void mst__tuple_table_free(struct mst__tuple_table *table, const struct mst_env *env) {
  if (table->entries4) env->free(env->ctx, table->entries4, (table->mask4 + (size_t)1) * sizeof *table->entries4);
  if (table->entries6) env->free(env->ctx, table->entries6, (table->mask6 + (size_t)1) * sizeof *table->entries6);
  table->entries4 = NULL;
  table->entries6 = NULL;
}

static void put4(struct mst__tuple_table *table, uint64_t entry) {
  uint32_t at = mst__tuple_hash4(table, entry & ~(uint64_t)MST__HOLDER_MAX);
  while (table->entries4[at]) at = (at + 1) & table->mask4;
  table->entries4[at] = entry;
}

static void put6(struct mst__tuple_table *table, const struct mst__tuple6 *entry) {
  uint32_t at = mst__tuple_hash6(table, entry->addr, entry->word & ~(uint64_t)MST__HOLDER_MAX);
  while (table->entries6[at].word) at = (at + 1) & table->mask6;
  table->entries6[at] = *entry;
}

static int grow4(struct mst__tuple_table *table, const struct mst_env *env) {
  uint64_t *old = table->entries4;
  size_t slots = table->mask4 + (size_t)1;
  uint64_t *bigger = alloc_zeroed(env, 2 * slots * sizeof *bigger);
  if (!bigger) return -MST_ENOMEM;
  table->entries4 = bigger;
  table->mask4 = (uint32_t)(2 * slots - 1);
  for (size_t i = 0; i < slots; i++)
    if (old[i]) put4(table, old[i]);
  env->free(env->ctx, old, slots * sizeof *old);
  return 0;
}

static int grow6(struct mst__tuple_table *table, const struct mst_env *env) {
  struct mst__tuple6 *old = table->entries6;
  size_t slots = table->mask6 + (size_t)1;
  struct mst__tuple6 *bigger = alloc_zeroed(env, 2 * slots * sizeof *bigger);
  if (!bigger) return -MST_ENOMEM;
  table->entries6 = bigger;
  table->mask6 = (uint32_t)(2 * slots - 1);
  for (size_t i = 0; i < slots; i++)
    if (old[i].word) put6(table, &old[i]);
  env->free(env->ctx, old, slots * sizeof *old);
  return 0;
}

/* Half full is where linear probing still finds most keys in their first cache line. */
static bool needs_room(uint32_t count, uint32_t mask) {
  return 2 * ((uint64_t)count + 1) > (uint64_t)mask + 1;
}

int mst__tuple_table_add(struct mst__tuple_table *table, const struct mst_env *env, const struct mst__tuple_key *key,
                         uint32_t holder) {
  if (key->ip6) {
    if (needs_room(table->count6, table->mask6) && grow6(table, env)) return -MST_ENOMEM;
    put6(table, &(struct mst__tuple6){.addr = {key->addr[0], key->addr[1]}, .word = key->word | holder});
    table->count6++;
    table->wildcards6 += is_wildcard(key);
  } else {
    if (needs_room(table->count4, table->mask4) && grow4(table, env)) return -MST_ENOMEM;
    put4(table, key->word | holder);
    table->count4++;
    table->wildcards4 += is_wildcard(key);
  }
  return 0;
}

static uint32_t position4(const struct mst__tuple_table *table, const struct mst__tuple_key *key) {
  uint32_t at = mst__tuple_hash4(table, key->word);
  while ((table->entries4[at] ^ key->word) > MST__HOLDER_MAX) {
    MST_ASSERT(table->entries4[at]);
    at = (at + 1) & table->mask4;
  }
  return at;
}

static uint32_t position6(const struct mst__tuple_table *table, const struct mst__tuple_key *key) {
  uint32_t at = mst__tuple_hash6(table, key->addr, key->word);
  const struct mst__tuple6 *entries = table->entries6;
  while ((entries[at].word ^ key->word) > MST__HOLDER_MAX || entries[at].addr[0] != key->addr[0] ||
         entries[at].addr[1] != key->addr[1]) {
    MST_ASSERT(entries[at].word);
    at = (at + 1) & table->mask6;
  }
  return at;
}

void mst__tuple_table_set(struct mst__tuple_table *table, const struct mst__tuple_key *key, uint32_t holder) {
  if (key->ip6)
    table->entries6[position6(table, key)].word = key->word | holder;
  else
    table->entries4[position4(table, key)] = key->word | holder;
}

/* Remove by moving up what follows, so that no tombstones lengthen later probes: an entry moves to the hole unless its
 * own place lies after the hole. */
static void remove4(struct mst__tuple_table *table, uint32_t hole) {
  uint64_t *entries = table->entries4;
  for (uint32_t at = (hole + 1) & table->mask4; entries[at]; at = (at + 1) & table->mask4) {
    uint32_t home = mst__tuple_hash4(table, entries[at] & ~(uint64_t)MST__HOLDER_MAX);
    if (((at - home) & table->mask4) < ((at - hole) & table->mask4)) continue;
    entries[hole] = entries[at];
    hole = at;
  }
  entries[hole] = 0;
}

static void remove6(struct mst__tuple_table *table, uint32_t hole) {
  struct mst__tuple6 *entries = table->entries6;
  for (uint32_t at = (hole + 1) & table->mask6; entries[at].word; at = (at + 1) & table->mask6) {
    uint32_t home = mst__tuple_hash6(table, entries[at].addr, entries[at].word & ~(uint64_t)MST__HOLDER_MAX);
    if (((at - home) & table->mask6) < ((at - hole) & table->mask6)) continue;
    entries[hole] = entries[at];
    hole = at;
  }
  entries[hole].word = 0;
}

void mst__tuple_table_remove(struct mst__tuple_table *table, const struct mst__tuple_key *key) {
  if (key->ip6) {
    remove6(table, position6(table, key));
    table->count6--;
    table->wildcards6 -= is_wildcard(key);
  } else {
    remove4(table, position4(table, key));
    table->count4--;
    table->wildcards4 -= is_wildcard(key);
  }
}
