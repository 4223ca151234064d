/* A group: channels of one owner that share a tuple. Which of them a packet goes to depends on its flow alone. */
#ifndef MST_SWITCH_GROUP_H
#define MST_SWITCH_GROUP_H

#include "lease.h"

#define MST__GROUP_MEMBERS_MAX 256u

struct mst__group_member {
  uint64_t seat; /* random; what flows are spread by, so that they stay when the seat is handed to another channel */
  struct mst__holding *holding;
  uint16_t id;
};

struct mst__group {
  struct mst__lease *lease;
  uint32_t owner;
  struct mst__group_member *members;
  uint32_t count, room;
};

/* A group without members, named in lease->group and lease->holder. 0, -MST_ENOMEM, -MST_ENOBUFS. */
int mst__group_make(struct mst_switch *sw, struct mst__lease *lease, uint32_t owner);
void mst__group_free(struct mst_switch *sw, struct mst__group *group);

struct mst__group_member *mst__group_member_of(const struct mst__group *group, unsigned id);
/* 0, -MST_EADDRINUSE for a member, -MST_ENOMEM, -MST_ENOBUFS. */
int mst__group_join(struct mst_switch *sw, struct mst__group *group, struct mst__switch_channel *channel);
void mst__group_leave(struct mst_switch *sw, struct mst__group *group, struct mst__switch_channel *channel);
/* The seat of one channel goes to another that has none. */
void mst__group_hand_over(struct mst__group *group, struct mst__switch_channel *from, struct mst__switch_channel *to);

#endif
