/* Flows of groups: which member has which remote endpoint. A flow is pinned to the member that has sent in it last, or
 * has declared it, and stays there whatever becomes of the group's other members. Bounded: the flow that was silent for
 * longest goes first, and is then spread again like a new one. */
#ifndef MST_SWITCH_GROUP_FLOW_H
#define MST_SWITCH_GROUP_FLOW_H

#include "base/hash.h"
#include "base/list.h"
#include "multistack/switch.h"
#include "tuple_table.h"

#define MST__GROUP_FLOWS_MAX 262144u         /* of the switch */
#define MST__GROUP_FLOWS_OF_GROUP_MAX 65536u /* 7 MiB */

struct mst__group;

struct mst__group_flow {
  struct mst__hash_node node;
  struct mst__list of_group; /* the one that has been silent for longest first */
  uint64_t serial;           /* of the group, which may be gone */
  struct mst__group_flow_key {
    uint64_t local[2], remote[2], local_word, remote_word;
  } key;
  uint32_t touched_ms;
  uint32_t occupant; /* of the seat when it was pinned; another by now: nobody's */
  uint16_t seat;
  bool closing; /* its member has sent a FIN: a SYN means another connection */
};

struct mst__group_flow_table {
  struct mst__hash_table by_key;
  struct mst__list gone; /* of groups that are gone, to be freed bit by bit */
};

struct mst__group_flow_key mst__group_flow_key(const struct mst__tuple_key *local, const struct mst__tuple_key *remote);
uint64_t mst__group_flow_hash(const struct mst_switch *sw, const struct mst__group_flow_key *key);

/* NULL: none, or its member has left. */
struct mst__group_flow *mst__group_flow_find(struct mst_switch *sw, const struct mst__group *group,
                                             const struct mst__group_flow_key *key);
/* Pin a flow to a seat, whoever had it. NULL when there is no memory: it stays where spreading leaves it. */
struct mst__group_flow *mst__group_flow_pin(struct mst_switch *sw, struct mst__group *group, uint16_t seat,
                                            const struct mst__group_flow_key *key);
void mst__group_flow_unpin(struct mst_switch *sw, struct mst__group *group, struct mst__group_flow *flow);
/* The group is going. */
void mst__group_flow_forget_group(struct mst_switch *sw, struct mst__group *group);
void mst__group_flow_free_all(struct mst_switch *sw);

#endif
