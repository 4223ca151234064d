#include "group.h"
#include "switch_internal.h"

static const struct mst__group *group_of(const struct mst_switch *sw, uint32_t holder) {
  return sw->groups[holder - MST__HOLDER_GROUP];
}

static uint64_t mix_key(const struct mst_switch *sw, uint64_t hash, const struct mst__tuple_key *key) {
  const uint64_t *secret = sw->tuples.secret;
  if (key->ip6) hash = mst__tuple_mix(hash ^ key->addr[0] ^ secret[0], secret[1] ^ key->addr[1]);
  return mst__tuple_mix(hash ^ key->word ^ secret[2], secret[3]);
}

/* By rendezvous hashing: a flow stays with its member while the group changes, but for those that a new member wins
 * and those that a leaving one gives up. */
struct mst__switch_channel *mst__holder_pick_of_group(const struct mst_switch *sw, uint32_t holder,
                                                      const struct mst__tuple_key *local,
                                                      const struct mst__tuple_key *remote) {
  const struct mst__group *group = group_of(sw, holder);
  uint64_t flow = mix_key(sw, mix_key(sw, 0, local), remote), best = 0;
  const struct mst__group_member *winner = group->members;
  for (uint32_t i = 0; i < group->count; i++) {
    uint64_t score = mst__tuple_mix(flow ^ group->members[i].seat, sw->tuples.secret[1] ^ flow);
    if (score < best) continue;
    best = score;
    winner = &group->members[i];
  }
  return sw->channels[winner->id];
}

bool mst__holder_group_has(const struct mst_switch *sw, uint32_t holder, unsigned id) {
  return mst__group_member_of(group_of(sw, holder), id) != NULL;
}

uint32_t mst__holder_find(struct mst_switch *sw, const struct mst__tuple_key *key, const struct mst_addr *addr) {
  uint32_t holder = mst__tuple_find(&sw->tuples, key);
  if (holder) return holder;
  holder = mst__tuple_find_any(&sw->tuples, key->ip6, key->word);
  return holder && mst__is_local(sw, addr) ? holder : 0;
}
