#include "group_flow.h"
#include "group.h"
#include "switch_internal.h"

/* Buckets for all there can be, so that the table never grows while packets wait. */
#define BUCKETS MST__GROUP_FLOWS_MAX

/* How many of a group that is gone are freed when another is pinned. */
#define FREE_AT_ONCE 8u

/* A flow moves in its list at most so often. */
#define TOUCH_MS 100u

struct mst__group_flow_key mst__group_flow_key(const struct mst__tuple_key *local,
                                               const struct mst__tuple_key *remote) {
  struct mst__group_flow_key key = {.local_word = local->word, .remote_word = remote->word};
  if (local->ip6) memcpy(key.local, local->addr, sizeof key.local);
  if (remote->ip6) memcpy(key.remote, remote->addr, sizeof key.remote);
  return key;
}

uint64_t mst__group_flow_hash(const struct mst_switch *sw, const struct mst__group_flow_key *key) {
  const uint64_t *secret = sw->tuples.secret;
  uint64_t hash = mst__tuple_mix(key->local_word ^ secret[2], key->remote_word ^ secret[3]);
  hash ^= mst__tuple_mix(key->local[0] ^ hash ^ secret[0], key->local[1] ^ secret[1]);
  return mst__tuple_mix(key->remote[0] ^ hash ^ secret[2], key->remote[1] ^ hash ^ secret[1]);
}

static uint32_t hash_in(const struct mst_switch *sw, uint64_t serial, const struct mst__group_flow_key *key) {
  return (uint32_t)mst__tuple_mix(mst__group_flow_hash(sw, key) ^ serial, sw->tuples.secret[3]);
}

static bool is_of(const struct mst__group_flow *flow, uint64_t serial, const struct mst__group_flow_key *key) {
  return flow->serial == serial && !memcmp(&flow->key, key, sizeof *key);
}

static struct mst__group_flow *look_up(const struct mst_switch *sw, const struct mst__group *group,
                                       const struct mst__group_flow_key *key) {
  if (!sw->flows.by_key.buckets) return NULL;
  struct mst__hash_node *node = mst__hash_first(&sw->flows.by_key, hash_in(sw, group->serial, key));
  for (; node; node = mst__hash_next(node)) {
    struct mst__group_flow *flow = MST__CONTAINER(node, struct mst__group_flow, node);
    if (is_of(flow, group->serial, key)) return flow;
  }
  return NULL;
}

static void discard(struct mst_switch *sw, struct mst__group_flow *flow) {
  mst__hash_table_remove(&sw->flows.by_key, &flow->node);
  mst__list_remove(&flow->of_group);
  mst__switch_free(sw, flow, sizeof *flow);
}

void mst__group_flow_unpin(struct mst_switch *sw, struct mst__group *group, struct mst__group_flow *flow) {
  group->flow_count--;
  discard(sw, flow);
}

static void free_some_gone(struct mst_switch *sw, unsigned count) {
  while (count-- && !mst__list_empty(&sw->flows.gone))
    discard(sw, MST__CONTAINER(sw->flows.gone.next, struct mst__group_flow, of_group));
}

static struct mst__group_flow *oldest(const struct mst__group *group) {
  return MST__CONTAINER(group->flows.next, struct mst__group_flow, of_group);
}

static struct mst__group *fullest(const struct mst_switch *sw) {
  struct mst__group *full = NULL;
  for (unsigned i = 0; i < sw->group_room; i++)
    if (sw->groups[i] && (!full || sw->groups[i]->flow_count > full->flow_count)) full = sw->groups[i];
  return full;
}

/* The switch's flows are shared by those who need them: the group with most of them gives one up. */
static void make_room(struct mst_switch *sw, struct mst__group *group) {
  if (group->flow_count == MST__GROUP_FLOWS_OF_GROUP_MAX) mst__group_flow_unpin(sw, group, oldest(group));
  free_some_gone(sw, FREE_AT_ONCE);
  if (sw->flows.by_key.count < MST__GROUP_FLOWS_MAX) return;
  struct mst__group *from = group->flow_count > MST__GROUP_FLOWS_MAX / 8 ? group : fullest(sw);
  mst__group_flow_unpin(sw, from, oldest(from));
}

static struct mst__group_flow *add(struct mst_switch *sw, struct mst__group *group,
                                   const struct mst__group_flow_key *key) {
  if (!sw->flows.by_key.buckets && !mst__hash_table_init(&sw->flows.by_key, &sw->env, BUCKETS)) return NULL;
  make_room(sw, group);
  struct mst__group_flow *flow = mst__switch_alloc(sw, sizeof *flow);
  if (!flow) return NULL;
  flow->serial = group->serial;
  flow->key = *key;
  mst__hash_table_insert(&sw->flows.by_key, &sw->env, &flow->node, hash_in(sw, group->serial, key));
  mst__list_push_back(&group->flows, &flow->of_group);
  group->flow_count++;
  return flow;
}

static bool is_seated(const struct mst__group *group, const struct mst__group_flow *flow) {
  const struct mst__group_member *member = &group->members[flow->seat];
  return member->holding && member->occupant == flow->occupant;
}

/* Flows that were declared for a wildcard have no local address. */
static struct mst__group_flow *look_up_declared(const struct mst_switch *sw, const struct mst__group *group,
                                                const struct mst__group_flow_key *key) {
  struct mst__group_flow_key any = *key;
  any.local_word &= 0xffffffff;
  any.local[0] = any.local[1] = 0;
  return look_up(sw, group, &any);
}

struct mst__group_flow *mst__group_flow_find(struct mst_switch *sw, const struct mst__group *group,
                                             const struct mst__group_flow_key *key) {
  struct mst__group_flow *flow = look_up(sw, group, key);
  if (flow && is_seated(group, flow)) return flow;
  if (!group->declared) return NULL;
  flow = look_up_declared(sw, group, key);
  return flow && is_seated(group, flow) ? flow : NULL;
}

static void touch(const struct mst_switch *sw, struct mst__group *group, struct mst__group_flow *flow) {
  uint32_t now_ms = (uint32_t)(sw->now_ns / 1000000u);
  if (now_ms - flow->touched_ms < TOUCH_MS) return;
  flow->touched_ms = now_ms;
  mst__list_remove(&flow->of_group);
  mst__list_push_back(&group->flows, &flow->of_group);
}

struct mst__group_flow *mst__group_flow_pin(struct mst_switch *sw, struct mst__group *group, uint16_t seat,
                                            const struct mst__group_flow_key *key) {
  struct mst__group_flow *flow = look_up(sw, group, key);
  if (!flow) flow = add(sw, group, key);
  if (!flow) return NULL;
  uint32_t occupant = group->members[seat].occupant;
  if (flow->seat != seat || flow->occupant != occupant) flow->closing = false;
  flow->seat = seat;
  flow->occupant = occupant;
  touch(sw, group, flow);
  return flow;
}

void mst__group_flow_forget_group(struct mst_switch *sw, struct mst__group *group) {
  mst__list_splice(&sw->flows.gone, &group->flows);
}

void mst__group_flow_free_all(struct mst_switch *sw) {
  if (!sw->flows.by_key.buckets) return;
  free_some_gone(sw, MST__GROUP_FLOWS_MAX);
  mst__hash_table_free(&sw->flows.by_key, &sw->env);
}
