/* Leases from the daemon: what is held is remembered, to be claimed again, and ephemeral ports come in blocks. */
#include "attach_internal.h"
#include "base/list.h"
#include "base/tuple.h"
#include "os/env.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 64u
#define FIRST_BLOCK 8u

int mst__attach_leases_init(struct mst_attach *attach) {
  attach->env = (struct mst_env){.alloc = mst__os_alloc, .free = mst__os_free, .random = mst__os_random};
  mst__os_random(NULL, &attach->lease_key, sizeof attach->lease_key);
  return mst__hash_table_init(&attach->leases, &attach->env, FIRST_BUCKETS) ? 0 : -MST_ENOMEM;
}

/* The first lease of a bucket or of a later one; NULL: none. */
static struct mst__attach_lease *first_from(const struct mst_attach *attach, uint32_t bucket) {
  for (; attach->leases.buckets && bucket <= attach->leases.mask; bucket++)
    if (attach->leases.buckets[bucket])
      return MST__CONTAINER(attach->leases.buckets[bucket], struct mst__attach_lease, node);
  return NULL;
}

static struct mst__attach_lease *next_of(const struct mst_attach *attach, const struct mst__attach_lease *lease) {
  if (lease->node.next) return MST__CONTAINER(lease->node.next, struct mst__attach_lease, node);
  return first_from(attach, (lease->node.hash & attach->leases.mask) + 1);
}

void mst__attach_leases_free(struct mst_attach *attach) {
  struct mst__attach_lease *lease;
  while ((lease = first_from(attach, 0))) {
    mst__hash_table_remove(&attach->leases, &lease->node);
    free(lease);
  }
  if (attach->leases.buckets) mst__hash_table_free(&attach->leases, &attach->env);
}

static struct mst__attach_lease *find(const struct mst_attach *attach, const struct mst_tuple *tuple) {
  struct mst__hash_node *node = mst__hash_first(&attach->leases, mst__tuple_key_hash(&attach->lease_key, tuple));
  for (; node; node = mst__hash_next(node)) {
    struct mst__attach_lease *lease = MST__CONTAINER(node, struct mst__attach_lease, node);
    if (mst__tuple_same(&lease->tuple, tuple)) return lease;
  }
  return NULL;
}

static struct mst__attach_lease *remember(struct mst_attach *attach, const struct mst_tuple *tuple, bool ephemeral) {
  struct mst__attach_lease *lease = malloc(sizeof *lease);
  if (!lease) return NULL;
  *lease = (struct mst__attach_lease){.tuple = *tuple, .ephemeral = ephemeral};
  lease->tuple.flags &= (uint8_t)~MST_BIND_TAKE; /* it is ours from here on */
  mst__hash_table_insert(&attach->leases, &attach->env, &lease->node, mst__tuple_key_hash(&attach->lease_key, tuple));
  return lease;
}

static void forget(struct mst_attach *attach, struct mst__attach_lease *lease) {
  mst__hash_table_remove(&attach->leases, &lease->node);
  free(lease);
}

static void tell_release(struct mst_attach *attach, const struct mst_tuple *tuple) {
  struct mst__control_release message = {.header = {.type = MST__CONTROL_RELEASE}, .tuple = *tuple};
  mst__attach_tell(attach, &message, sizeof message);
}

static int ask_lease(struct mst_attach *attach, struct mst_tuple *tuple, uint32_t flags) {
  struct mst__control_lease question = {.header = {.type = MST__CONTROL_LEASE}, .tuple = *tuple, .flags = flags};
  int error = mst__attach_call(attach, &question, sizeof question, MST__CONTROL_LEASED);
  if (error) return error;
  const struct mst__control_leased *answer = (const void *)attach->received.message.bytes;
  if (!answer->error) tuple->port = answer->tuple.port;
  return answer->error;
}

/* --- ephemeral ports --- */

static struct mst_tuple pool_tuple(const struct mst__attach_pool *pool, uint16_t port) {
  return (struct mst_tuple){.addr = pool->addr, .port = port, .protocol = pool->protocol, .flags = pool->flags};
}

static void take_out(struct mst__attach_pool *pool, uint32_t at) {
  memmove(&pool->ports[at], &pool->ports[at + 1], (--pool->count - at) * sizeof *pool->ports);
}

static void give_up(struct mst_attach *attach, struct mst__attach_pool *pool, uint32_t at) {
  struct mst_tuple tuple = pool_tuple(pool, pool->ports[at]);
  struct mst__attach_lease *lease = find(attach, &tuple);
  take_out(pool, at);
  if (lease) forget(attach, lease);
  tell_release(attach, &tuple);
}

static void empty_pool(struct mst_attach *attach, struct mst__attach_pool *pool) {
  while (pool->count) give_up(attach, pool, pool->count - 1);
}

/* Who asks for a port by its number gets it, unless it is in use. */
static void empty_pools_of(struct mst_attach *attach, uint16_t port) {
  for (unsigned i = 0; i < MST__ATTACH_POOLS; i++) {
    struct mst__attach_pool *pool = &attach->pools[i];
    for (uint32_t at = 0; at < pool->count; at++) {
      if (pool->ports[at] != port) continue;
      give_up(attach, pool, at);
      break;
    }
  }
}

static struct mst__attach_pool *find_pool(struct mst_attach *attach, const struct mst_tuple *tuple) {
  for (unsigned i = 0; i < MST__ATTACH_POOLS; i++) {
    struct mst__attach_pool *pool = &attach->pools[i];
    if (pool->used && pool->protocol == tuple->protocol && pool->flags == tuple->flags &&
        mst_addr_equal(&pool->addr, &tuple->addr))
      return pool;
  }
  return NULL;
}

/* For another address than until now: the one that was not used for the longest time makes room. */
static struct mst__attach_pool *take_pool(struct mst_attach *attach, const struct mst_tuple *tuple) {
  struct mst__attach_pool *oldest = &attach->pools[0];
  for (unsigned i = 1; i < MST__ATTACH_POOLS; i++)
    if (attach->pools[i].used < oldest->used) oldest = &attach->pools[i];
  empty_pool(attach, oldest);
  *oldest = (struct mst__attach_pool){
      .addr = tuple->addr, .protocol = tuple->protocol, .flags = tuple->flags, .ask_next = FIRST_BLOCK};
  return oldest;
}

static int fill_pool(struct mst_attach *attach, struct mst__attach_pool *pool) {
  struct mst__control_block question = {
      .header = {.type = MST__CONTROL_BLOCK}, .tuple = pool_tuple(pool, 0), .count = pool->ask_next};
  int error = mst__attach_call(attach, &question, sizeof question, MST__CONTROL_BLOCK_LEASED);
  if (error) return error;
  const struct mst__control_block_leased *answer = (const void *)attach->received.message.bytes;
  if (answer->error) return answer->error;
  for (uint32_t i = 0; i < answer->count; i++) {
    struct mst_tuple tuple = pool_tuple(pool, answer->ports[i]);
    if (remember(attach, &tuple, true))
      pool->ports[pool->count++] = tuple.port;
    else
      tell_release(attach, &tuple);
  }
  if (pool->ask_next < MST__CONTROL_BLOCK_MAX) pool->ask_next *= 2;
  return pool->count ? 0 : -MST_ENOMEM;
}

/* The one that was not used for the longest time; where the daemon chose them nobody can tell (RFC 6056). */
static int take_ephemeral(struct mst_attach *attach, struct mst_tuple *tuple) {
  struct mst__attach_pool *pool = find_pool(attach, tuple);
  if (!pool) pool = take_pool(attach, tuple);
  pool->used = ++attach->pool_uses;
  int error = pool->count ? 0 : fill_pool(attach, pool);
  if (error) return error;
  tuple->port = pool->ports[0];
  take_out(pool, 0);
  return 0;
}

/* --- what a stack asks --- */

/* A server's port, on a wildcard, goes back at once, for another program may want it by its number; so does UDP's, for
 * the daemon tells a sender that nobody is there, and a stack does not. */
static bool wants_pool(const struct mst_tuple *tuple) {
  return !tuple->port && tuple->protocol == MST_TCP && !mst_addr_is_any(&tuple->addr) &&
         !(tuple->flags & (MST_BIND_GROUP | MST_BIND_TAKE));
}

int mst_attach_lease(void *ctx, struct mst_tuple *tuple) {
  struct mst_attach *attach = ctx;
  if (attach->state != MST__ATTACH_UP) return -MST_ENETDOWN;
  if (wants_pool(tuple)) return take_ephemeral(attach, tuple);
  if (tuple->port) empty_pools_of(attach, tuple->port);
  int error = ask_lease(attach, tuple, 0);
  if (error || remember(attach, tuple, false)) return error;
  tell_release(attach, tuple);
  return -MST_ENOMEM;
}

void mst_attach_release(void *ctx, const struct mst_tuple *tuple) {
  struct mst_attach *attach = ctx;
  struct mst__attach_lease *lease = find(attach, tuple);
  if (!lease) return;
  struct mst__attach_pool *pool = lease->ephemeral ? find_pool(attach, &lease->tuple) : NULL;
  if (pool && pool->count < MST__CONTROL_BLOCK_MAX) {
    pool->ports[pool->count++] = lease->tuple.port;
    return;
  }
  tell_release(attach, &lease->tuple);
  forget(attach, lease);
}

int mst_attach_offer(mst_attach *attach, const struct mst_tuple *tuple, const struct mst_endpoint *remotes,
                     size_t count) {
  struct mst__control_offer offer = {.header = {.type = MST__CONTROL_OFFER}, .tuple = *tuple};
  do {
    offer.count = (uint32_t)(count < MST__CONTROL_REMOTES_MAX ? count : MST__CONTROL_REMOTES_MAX);
    if (offer.count) memcpy(offer.remotes, remotes, offer.count * sizeof *remotes);
    size_t bytes = mst__control_bytes(MST__CONTROL_OFFER, offer.count);
    int error = mst__attach_call(attach, &offer, bytes, MST__CONTROL_OFFERED);
    if (!error) error = ((const struct mst__control_result *)(const void *)attach->received.message.bytes)->error;
    if (error) return error;
    remotes += offer.count;
    count -= offer.count;
  } while (count);
  return 0;
}

/* One that was given to somebody else meanwhile is kept: its sockets time out, as they would on a network that has
 * gone.
 */
int mst__attach_claim_leases(struct mst_attach *attach) {
  for (struct mst__attach_lease *lease = first_from(attach, 0); lease; lease = next_of(attach, lease)) {
    struct mst_tuple tuple = lease->tuple;
    if (ask_lease(attach, &tuple, MST__CONTROL_CLAIM) == -MST_ENETDOWN) return -MST_ENETDOWN;
  }
  return 0;
}
