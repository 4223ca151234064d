#include "group.h"
#include "switch_internal.h"

static int grow_groups(struct mst_switch *sw) {
  unsigned room = sw->group_room ? 2 * sw->group_room : 16;
  if (room > MST__GROUPS_MAX) return -MST_ENOBUFS;
  struct mst__group **bigger = mst__switch_alloc(sw, room * sizeof *bigger);
  if (!bigger) return -MST_ENOMEM;
  if (sw->group_room) memcpy(bigger, sw->groups, sw->group_room * sizeof *bigger);
  mst__switch_free(sw, sw->groups, sw->group_room * sizeof *bigger);
  sw->groups = bigger;
  sw->group_room = room;
  return 0;
}

int mst__group_make(struct mst_switch *sw, struct mst__lease *lease, uint32_t owner) {
  unsigned i = sw->group_hint;
  while (i < sw->group_room && sw->groups[i]) i++;
  int error = i == sw->group_room ? grow_groups(sw) : 0;
  if (error) return error;
  struct mst__group *group = mst__switch_alloc(sw, sizeof *group);
  if (!group) return -MST_ENOMEM;
  group->lease = lease;
  group->owner = owner;
  group->serial = ++sw->group_serial;
  mst__list_init(&group->flows);
  sw->groups[i] = group;
  sw->group_hint = i + 1;
  lease->group = group;
  lease->holder = MST__HOLDER_GROUP + i;
  return 0;
}

void mst__group_free(struct mst_switch *sw, struct mst__group *group) {
  unsigned i = group->lease->holder - MST__HOLDER_GROUP;
  mst__group_flow_forget_group(sw, group);
  sw->groups[i] = NULL;
  if (i < sw->group_hint) sw->group_hint = i;
  mst__switch_free(sw, group->members, group->room * sizeof *group->members);
  mst__switch_free(sw, group, sizeof *group);
}

struct mst__group_member *mst__group_member_of(const struct mst__group *group, unsigned id) {
  for (uint32_t i = 0; i < group->room; i++)
    if (group->members[i].id == id && group->members[i].holding) return &group->members[i];
  return NULL;
}

static int grow_members(struct mst_switch *sw, struct mst__group *group) {
  if (group->room == MST__GROUP_MEMBERS_MAX) return -MST_ENOBUFS;
  uint32_t room = group->room ? 2 * group->room : 4;
  struct mst__group_member *bigger = mst__switch_alloc(sw, room * sizeof *bigger);
  if (!bigger) return -MST_ENOMEM;
  if (group->room) memcpy(bigger, group->members, group->room * sizeof *bigger);
  mst__switch_free(sw, group->members, group->room * sizeof *bigger);
  group->members = bigger;
  group->room = room;
  return 0;
}

int mst__group_join(struct mst_switch *sw, struct mst__group *group, struct mst__switch_channel *channel) {
  if (mst__group_member_of(group, channel->id)) return -MST_EADDRINUSE;
  int error = group->count == group->room ? grow_members(sw, group) : 0;
  if (error) return error;
  struct mst__holding *holding = mst__switch_alloc(sw, sizeof *holding);
  if (!holding) return -MST_ENOMEM;
  struct mst__group_member *place = group->members;
  while (place->holding) place++;
  *place = (struct mst__group_member){.holding = holding, .occupant = place->occupant + 1, .id = (uint16_t)channel->id};
  sw->env.random(sw->env.ctx, &place->seed, sizeof place->seed);
  holding->lease = group->lease;
  mst__hold(channel, holding);
  group->count++;
  return 0;
}

void mst__group_leave(struct mst_switch *sw, struct mst__group *group, struct mst__switch_channel *channel) {
  struct mst__group_member *member = mst__group_member_of(group, channel->id);
  mst__let_go(channel, member->holding);
  mst__switch_free(sw, member->holding, sizeof *member->holding);
  member->holding = NULL;
  group->count--;
}

void mst__group_hand_over(struct mst__group *group, struct mst__switch_channel *from, struct mst__switch_channel *to) {
  struct mst__group_member *member = mst__group_member_of(group, from->id);
  member->id = (uint16_t)to->id;
  mst__let_go(from, member->holding);
  mst__hold(to, member->holding);
}

bool mst__group_is_offered(const struct mst__group *group) {
  for (uint32_t i = 0; i < group->room; i++)
    if (group->members[i].holding && group->members[i].offers && !group->members[i].draining) return true;
  return false;
}

void mst__group_succeed(struct mst__group *group) {
  for (uint32_t i = 0; i < group->room; i++)
    if (group->members[i].offers) group->members[i].draining = true;
}
