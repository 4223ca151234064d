/* A group: channels of one owner that share a tuple, or hand it over from one to the other. Which of them gets a packet
 * depends on its flow alone. */
#ifndef MST_SWITCH_GROUP_H
#define MST_SWITCH_GROUP_H

#include "group_flow.h"
#include "lease.h"

#define MST__GROUP_MEMBERS_MAX 256u

/* A member's place. Flows are tied to places, so they go along when a place is handed to another channel. */
struct mst__group_member {
  uint64_t seed;                /* random: what flows are spread by */
  struct mst__holding *holding; /* NULL: the place is free */
  uint32_t occupant;            /* how many have had this place before */
  uint16_t id;
  bool offers;   /* whoever takes the tuple over takes it from this one */
  bool draining; /* somebody has: it keeps its flows and gets no new ones */
};

struct mst__group {
  struct mst__lease *lease;
  uint64_t serial; /* no other group ever has it */
  uint32_t owner;
  bool declared; /* some flows are declared without a local address */
  struct mst__group_member *members;
  uint32_t count, room;
  struct mst__list flows;
  uint32_t flow_count;
};

/* A group without members, named in lease->group and lease->holder. 0, -MST_ENOMEM, -MST_ENOBUFS. */
int mst__group_make(struct mst_switch *sw, struct mst__lease *lease, uint32_t owner);
void mst__group_free(struct mst_switch *sw, struct mst__group *group);

struct mst__group_member *mst__group_member_of(const struct mst__group *group, unsigned id);
/* 0, -MST_EADDRINUSE for a member, -MST_ENOMEM, -MST_ENOBUFS. */
int mst__group_join(struct mst_switch *sw, struct mst__group *group, struct mst__switch_channel *channel);
void mst__group_leave(struct mst_switch *sw, struct mst__group *group, struct mst__switch_channel *channel);
/* The place of one channel goes to another that has none. */
void mst__group_hand_over(struct mst__group *group, struct mst__switch_channel *from, struct mst__switch_channel *to);

/* Somebody offers to be succeeded; from now on whoever does is draining. */
bool mst__group_is_offered(const struct mst__group *group);
void mst__group_succeed(struct mst__group *group);

#endif
