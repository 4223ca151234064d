/* Whose packets of a group's flows are. */
#include "group.h"
#include "switch_internal.h"
#include "wire/tcp.h"

static struct mst__group *group_of(const struct mst_switch *sw, uint32_t holder) {
  return sw->groups[holder - MST__HOLDER_GROUP];
}

/* Whether new flows can go to a member at all, and which members come first. */
enum standing { GONE, AWAY, DRAINING, SERVING };

static enum standing standing_of(const struct mst_switch *sw, const struct mst__group_member *member) {
  if (!member->holding) return GONE;
  if (mst__in_limbo(sw->channels[member->id])) return AWAY;
  return member->draining ? DRAINING : SERVING;
}

/* Rendezvous hashing among the best there are: a new flow's member changes only when that member leaves, or one joins
 * that wins it. */
static const struct mst__group_member *spread(const struct mst_switch *sw, const struct mst__group *group,
                                              const struct mst__group_flow_key *key) {
  const struct mst__group_member *winner = NULL;
  uint64_t flow = mst__group_flow_hash(sw, key), best = 0;
  enum standing best_standing = GONE;
  for (uint32_t i = 0; i < group->room; i++) {
    enum standing standing = standing_of(sw, &group->members[i]);
    if (standing < best_standing || standing == GONE) continue;
    uint64_t score = mst__tuple_mix(flow ^ group->members[i].seed, sw->tuples.secret[1] ^ flow);
    if (standing == best_standing && score < best) continue;
    best_standing = standing;
    best = score;
    winner = &group->members[i];
  }
  return winner;
}

static const struct mst__group_member *someone_away(const struct mst_switch *sw, const struct mst__group *group) {
  for (uint32_t i = 0; i < group->room; i++)
    if (standing_of(sw, &group->members[i]) == AWAY) return &group->members[i];
  return NULL;
}

static bool opens_connection(const uint8_t *tcp) {
  return (tcp[13] & (MST__SYN | MST__ACK | MST__RST)) == MST__SYN;
}

/* The member that has the flow pinned. A SYN after the end of what was pinned is news, and so for somebody who serves.
 */
static const struct mst__group_member *pinned(struct mst_switch *sw, const struct mst__group *group,
                                              const struct mst__group_flow_key *key, const uint8_t *tcp) {
  const struct mst__group_flow *flow = mst__group_flow_find(sw, group, key);
  if (!flow) return NULL;
  const struct mst__group_member *member = &group->members[flow->seat];
  return member->draining && flow->closing && tcp && opens_connection(tcp) ? NULL : member;
}

struct mst__switch_channel *mst__holder_pick_of_group(struct mst_switch *sw, uint32_t holder,
                                                      const struct mst__tuple_key *local,
                                                      const struct mst__tuple_key *remote, const uint8_t *tcp) {
  const struct mst__group *group = group_of(sw, holder);
  struct mst__group_flow_key key = mst__group_flow_key(local, remote);
  const struct mst__group_member *member = pinned(sw, group, &key, tcp);
  /* The middle of a connection that nobody here knows: it may be of a member that is away, and another's answer would
   * be a reset. */
  if (!member && tcp && !opens_connection(tcp)) member = someone_away(sw, group);
  if (!member) member = spread(sw, group, &key);
  return sw->channels[member->id];
}

static void note_end(struct mst_switch *sw, struct mst__group *group, struct mst__group_flow *flow, uint8_t flags) {
  if (flags & MST__SYN) flow->closing = false;
  if (flags & MST__FIN) flow->closing = true;
  if (flags & MST__RST) mst__group_flow_unpin(sw, group, flow);
}

bool mst__holder_group_sends(struct mst_switch *sw, uint32_t holder, unsigned id, const struct mst__outgoing *packet) {
  struct mst__group *group = group_of(sw, holder);
  const struct mst__group_member *member = mst__group_member_of(group, id);
  if (!member) return false;
  uint16_t seat = (uint16_t)(member - group->members);
  struct mst__group_flow_key key = mst__group_flow_key(&packet->source, &packet->destination);
  uint8_t flags = packet->protocol == MST_TCP ? packet->taken.bytes[packet->l3_bytes + 13] : 0;
  /* A reset ends a flow of the member's own, and begins none. */
  struct mst__group_flow *flow = mst__group_flow_find(sw, group, &key);
  if (flags & MST__RST && (!flow || flow->seat != seat)) return true;
  flow = mst__group_flow_pin(sw, group, seat, &key);
  if (flow) note_end(sw, group, flow, flags);
  return true;
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
