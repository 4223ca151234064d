/* Leases: taking and letting go of tuples. Who holds what is announced in this order: the OS's programs are shut out,
 * the ports bring the packets, the tuple table hands them on; and it is undone in the opposite order, the ports last,
 * so that the OS never sees, and resets, what was ours. */
#include "group.h"
#include "switch_internal.h"

/* The keys by which a tuple stands in the table: one, or two for a wildcard of both families. */
static unsigned keys_of(const struct mst_tuple *tuple, struct mst__tuple_key keys[2]) {
  struct mst__families families = mst__families_of(tuple);
  keys[0] = mst__tuple_key(&tuple->addr, tuple->port, tuple->protocol);
  if (!(families.ip4 && families.ip6)) return 1;
  keys[1] = mst__tuple_key(&MST_ADDR_ANY4, tuple->port, tuple->protocol);
  return 2;
}

/* --- ports and the tuple table --- */

static void ports_remove(struct mst_switch *sw, const struct mst_tuple *tuple, unsigned count) {
  while (count--) {
    struct mst_port *port = sw->ports[count].port;
    if (port->ops->tuple_remove) port->ops->tuple_remove(port, tuple);
  }
}

static int ports_add(struct mst_switch *sw, const struct mst_tuple *tuple) {
  for (unsigned i = 0; i < sw->port_count; i++) {
    struct mst_port *port = sw->ports[i].port;
    int error = port->ops->tuple_add && !sw->ports[i].down ? port->ops->tuple_add(port, tuple) : 0;
    if (error) {
      ports_remove(sw, tuple, i);
      return error;
    }
  }
  return 0;
}

static int table_add(struct mst_switch *sw, const struct mst__lease *lease) {
  struct mst__tuple_key keys[2];
  unsigned count = keys_of(&lease->tuple, keys);
  for (unsigned i = 0; i < count; i++) {
    int error = mst__tuple_table_add(&sw->tuples, &sw->env, &keys[i], lease->holder);
    if (error) {
      if (i) mst__tuple_table_remove(&sw->tuples, &keys[0]);
      return error;
    }
  }
  return 0;
}

static void table_set(struct mst_switch *sw, const struct mst__lease *lease) {
  struct mst__tuple_key keys[2];
  unsigned count = keys_of(&lease->tuple, keys);
  while (count--) mst__tuple_table_set(&sw->tuples, &keys[count], lease->holder);
}

static void table_remove(struct mst_switch *sw, const struct mst__lease *lease) {
  struct mst__tuple_key keys[2];
  unsigned count = keys_of(&lease->tuple, keys);
  while (count--) mst__tuple_table_remove(&sw->tuples, &keys[count]);
}

/* --- one tuple --- */

static void unreserve(struct mst_switch *sw, const struct mst__lease *lease) {
  if (lease->reserved) sw->os->unreserve(sw->os->ctx, lease->cookie);
}

/* A port's own address is not the OS's, so there is nothing to take from its programs. */
static int reserve(struct mst_switch *sw, struct mst__lease *lease, const intptr_t *cookie) {
  if (cookie) {
    lease->cookie = *cookie;
    lease->reserved = *cookie != MST_SWITCH_NO_COOKIE;
    return 0;
  }
  if (!sw->os || mst__port_of_address(sw, &lease->tuple.addr)) return 0;
  int error = sw->os->reserve(sw->os->ctx, &lease->tuple, &lease->cookie);
  if (error) return error;
  lease->reserved = true;
  /* Sockets can be bound to broadcast addresses, and to any address where a sysctl says so. */
  if (mst_addr_is_any(&lease->tuple.addr) || mst__is_local(sw, &lease->tuple.addr)) return 0;
  unreserve(sw, lease);
  return -MST_EADDRNOTAVAIL;
}

/* Reservation, ports, table; undone when one fails, but for a reservation that was there before. */
static int announce(struct mst_switch *sw, struct mst__lease *lease, const intptr_t *cookie) {
  int error = reserve(sw, lease, cookie);
  if (error) return error;
  error = ports_add(sw, &lease->tuple);
  if (!error) {
    error = mst__lease_index_add(sw, lease);
    if (!error) {
      error = table_add(sw, lease);
      if (!error) return 0;
      mst__lease_index_remove(sw, lease);
    }
    ports_remove(sw, &lease->tuple, sw->port_count);
  }
  if (!cookie) unreserve(sw, lease);
  return error;
}

static int set_holder(struct mst_switch *sw, struct mst__lease *lease, struct mst__switch_channel *channel) {
  if (lease->tuple.flags & MST_BIND_GROUP) {
    int error = mst__group_make(sw, lease, channel->options.owner);
    if (error) return error;
    error = mst__group_join(sw, lease->group, channel);
    if (error) mst__group_free(sw, lease->group);
    return error;
  }
  lease->holder = channel->id + 1;
  lease->alone.lease = lease;
  mst__hold(channel, &lease->alone);
  return 0;
}

static void unset_holder(struct mst_switch *sw, struct mst__lease *lease, struct mst__switch_channel *channel) {
  if (!lease->group) {
    mst__let_go(channel, &lease->alone);
    return;
  }
  mst__group_leave(sw, lease->group, channel);
  mst__group_free(sw, lease->group);
}

/* Its last holder gives it up. */
static void withdraw(struct mst_switch *sw, struct mst__lease *lease, struct mst__switch_channel *channel) {
  table_remove(sw, lease);
  mst__lease_index_remove(sw, lease);
  unreserve(sw, lease);
  ports_remove(sw, &lease->tuple, sw->port_count);
  unset_holder(sw, lease, channel);
  mst__switch_free(sw, lease, sizeof *lease);
}

int mst__lease_take(struct mst_switch *sw, struct mst__switch_channel *channel, const struct mst_tuple *tuple,
                    const intptr_t *cookie) {
  struct mst__lease *lease = mst__switch_alloc(sw, sizeof *lease);
  if (!lease) return -MST_ENOMEM;
  lease->tuple = *tuple;
  lease->tuple.flags &= MST_BIND_V6ONLY | MST_BIND_GROUP;
  int error = set_holder(sw, lease, channel);
  if (!error) {
    error = announce(sw, lease, cookie);
    if (!error) return 0;
    unset_holder(sw, lease, channel);
  }
  mst__switch_free(sw, lease, sizeof *lease);
  return error;
}

/* --- groups --- */

static bool same_families(const struct mst__lease *there, const struct mst_tuple *tuple) {
  return (there->tuple.flags & MST_BIND_V6ONLY) == (tuple->flags & MST_BIND_V6ONLY);
}

/* One channel's alone: it becomes a group's of one, so that another can join. */
static int make_shared(struct mst_switch *sw, struct mst__lease *lease) {
  struct mst__switch_channel *channel = sw->channels[lease->holder - 1];
  int error = mst__group_make(sw, lease, channel->options.owner);
  if (error) return error;
  error = mst__group_join(sw, lease->group, channel);
  if (error) {
    mst__group_free(sw, lease->group);
    lease->group = NULL;
    lease->holder = channel->id + 1;
    return error;
  }
  mst__let_go(channel, &lease->alone);
  table_set(sw, lease);
  return 0;
}

/* A group's that only has one member left, and was never meant to have more, is that one's alone. */
static void make_exclusive(struct mst_switch *sw, struct mst__lease *lease) {
  struct mst__group *group = lease->group;
  const struct mst__group_member *last = group->members;
  while (!last->holding) last++;
  if (last->offers) return;
  struct mst__switch_channel *channel = sw->channels[last->id];
  mst__group_leave(sw, group, channel);
  mst__group_free(sw, group);
  lease->group = NULL;
  lease->holder = channel->id + 1;
  lease->alone.lease = lease;
  mst__hold(channel, &lease->alone);
  table_set(sw, lease);
}

/* Whether a channel of `owner` that asks for `tuple` can share what is held there. */
static bool can_join(const struct mst__lease *there, const struct mst_tuple *tuple, uint32_t owner) {
  return there->tuple.flags & tuple->flags & MST_BIND_GROUP && there->group->owner == owner &&
         same_families(there, tuple);
}

static bool can_succeed(const struct mst__lease *there, const struct mst_tuple *tuple, uint32_t owner) {
  return tuple->flags & MST_BIND_TAKE && there->group && there->group->owner == owner &&
         mst__group_is_offered(there->group) && same_families(there, tuple);
}

static int succeed(struct mst_switch *sw, struct mst__lease *there, struct mst__switch_channel *channel) {
  int error = mst__group_join(sw, there->group, channel);
  if (!error) mst__group_succeed(there->group);
  return error;
}

static int take_or_join(struct mst_switch *sw, struct mst__switch_channel *channel, const struct mst_tuple *tuple,
                        const intptr_t *cookie) {
  struct mst__lease *there = mst__lease_find(sw, tuple);
  if (there && can_succeed(there, tuple, channel->options.owner)) return succeed(sw, there, channel);
  if (there && can_join(there, tuple, channel->options.owner)) return mst__group_join(sw, there->group, channel);
  if (there || mst__lease_conflicts(sw, tuple, channel->options.owner)) return -MST_EADDRINUSE;
  return mst__lease_take(sw, channel, tuple, cookie);
}

static bool may_hold(struct mst_switch *sw, const struct mst_addr *addr) {
  if (mst_addr_is_any(addr)) return true;
  if (mst_addr_is_multicast(addr)) return false;
  /* With an OS it is its reservation that tells. */
  return sw->os || mst__is_local(sw, addr);
}

int mst__lease_check(struct mst_switch *sw, const struct mst__switch_channel *channel, const struct mst_tuple *tuple) {
  if (tuple->protocol != MST_TCP && tuple->protocol != MST_UDP) return -MST_EINVAL;
  if (!may_hold(sw, &tuple->addr)) return -MST_EADDRNOTAVAIL;
  return mst__may_hold_more(channel) ? 0 : -MST_ENOBUFS;
}

int mst_switch_lease(mst_switch *sw, unsigned id, struct mst_tuple *tuple) {
  struct mst__switch_channel *channel = mst__channel_of(sw, id);
  if (!channel) return -MST_EBADF;
  int error = mst__lease_check(sw, channel, tuple);
  if (error) return error;
  return tuple->port ? take_or_join(sw, channel, tuple, NULL) : mst__lease_ephemeral(sw, channel, tuple);
}

int mst_switch_adopt_lease(mst_switch *sw, unsigned id, const struct mst_tuple *tuple, intptr_t cookie) {
  struct mst__switch_channel *channel = mst__channel_of(sw, id);
  if (!channel) return -MST_EBADF;
  if (!tuple->port || (cookie != MST_SWITCH_NO_COOKIE && !sw->os)) return -MST_EINVAL;
  int error = mst__lease_check(sw, channel, tuple);
  if (error) return error;
  /* A group has one reservation: the first that is told. */
  if (cookie != MST_SWITCH_NO_COOKIE && mst__lease_find(sw, tuple)) return -MST_EADDRINUSE;
  return take_or_join(sw, channel, tuple, &cookie);
}

intptr_t mst_switch_reservation(const mst_switch *sw, const struct mst_tuple *tuple) {
  const struct mst__lease *lease = mst__lease_find(sw, tuple);
  return lease && lease->reserved ? lease->cookie : MST_SWITCH_NO_COOKIE;
}

static struct mst__lease *find_held(const struct mst_switch *sw, const struct mst_tuple *tuple, unsigned id) {
  struct mst__lease *lease = mst__lease_find(sw, tuple);
  return lease && mst__holder_is(sw, lease->holder, id) ? lease : NULL;
}

int mst_switch_transfer(mst_switch *sw, unsigned from_id, unsigned to_id, const struct mst_tuple *tuple) {
  struct mst__switch_channel *from = mst__channel_of(sw, from_id), *to = mst__channel_of(sw, to_id);
  if (!from || !to) return -MST_EBADF;
  if (from->options.owner != to->options.owner) return -MST_EACCES;
  struct mst__lease *lease = find_held(sw, tuple, from_id);
  if (!lease) return -MST_ENOENT;
  if (from == to) return 0;
  if (lease->group && mst__group_member_of(lease->group, to_id)) return -MST_EADDRINUSE;
  if (!mst__may_hold_more(to)) return -MST_ENOBUFS;
  mst__forward_waiting(sw, from); /* as in mst_switch_release */
  if (lease->group) {
    mst__group_hand_over(lease->group, from, to);
    return 0;
  }
  lease->holder = to_id + 1;
  table_set(sw, lease);
  mst__let_go(from, &lease->alone);
  mst__hold(to, &lease->alone);
  return 0;
}

static void leave_lease(struct mst_switch *sw, struct mst__lease *lease, struct mst__switch_channel *channel) {
  if (!lease->group || lease->group->count == 1) {
    withdraw(sw, lease, channel);
    return;
  }
  mst__group_leave(sw, lease->group, channel);
  if (lease->group->count == 1 && !(lease->tuple.flags & MST_BIND_GROUP)) make_exclusive(sw, lease);
}

void mst_switch_release(mst_switch *sw, unsigned id, const struct mst_tuple *tuple) {
  struct mst__switch_channel *channel = mst__channel_of(sw, id);
  struct mst__lease *lease = channel ? find_held(sw, tuple, id) : NULL;
  if (!lease) return;
  /* What was sent from the tuple, a last reset perhaps, is judged by what was held when it was sent. */
  mst__forward_waiting(sw, channel);
  leave_lease(sw, lease, channel);
}

/* Flows that were told of: a wildcard's have no local address, since nobody says which. */
static int pin_all(struct mst_switch *sw, struct mst__lease *lease, unsigned id, const struct mst_endpoint *remotes,
                   size_t count) {
  struct mst__group *group = lease->group;
  uint16_t seat = (uint16_t)(mst__group_member_of(group, id) - group->members);
  struct mst__tuple_key local = mst__tuple_key(&lease->tuple.addr, lease->tuple.port, lease->tuple.protocol);
  if (mst_addr_is_any(&lease->tuple.addr)) group->declared = true;
  for (size_t i = 0; i < count; i++) {
    struct mst__tuple_key remote = mst__tuple_key(&remotes[i].addr, remotes[i].port, lease->tuple.protocol);
    struct mst__group_flow_key key = mst__group_flow_key(&local, &remote);
    if (!mst__group_flow_pin(sw, group, seat, &key)) return -MST_ENOMEM;
  }
  return 0;
}

int mst_switch_declare(mst_switch *sw, unsigned id, const struct mst_tuple *tuple, const struct mst_endpoint *remotes,
                       size_t count) {
  struct mst__lease *lease = mst__channel_of(sw, id) ? find_held(sw, tuple, id) : NULL;
  if (!lease) return -MST_EBADF;
  return lease->group ? pin_all(sw, lease, id, remotes, count) : 0;
}

int mst_switch_offer(mst_switch *sw, unsigned id, const struct mst_tuple *tuple, const struct mst_endpoint *remotes,
                     size_t count) {
  struct mst__lease *lease = mst__channel_of(sw, id) ? find_held(sw, tuple, id) : NULL;
  if (!lease) return -MST_EBADF;
  int error = lease->group ? 0 : make_shared(sw, lease);
  if (error) return error;
  mst__group_member_of(lease->group, id)->offers = true;
  return pin_all(sw, lease, id, remotes, count);
}

bool mst__lease_release_some(struct mst_switch *sw, struct mst__switch_channel *channel, unsigned count) {
  for (; count && !mst__list_empty(&channel->holdings); count--)
    leave_lease(sw, MST__CONTAINER(channel->holdings.next, struct mst__holding, of_channel)->lease, channel);
  return mst__list_empty(&channel->holdings);
}

int mst_switch_each_lease(const mst_switch *sw, unsigned id, void (*each)(const struct mst_tuple *tuple, void *user),
                          void *user) {
  const struct mst__switch_channel *channel = mst__channel_of(sw, id);
  if (!channel) return -MST_EBADF;
  MST__LIST_EACH(node, &channel->holdings)
  each(&MST__CONTAINER(node, struct mst__holding, of_channel)->lease->tuple, user);
  return 0;
}

bool mst_switch_holds(const mst_switch *sw, enum mst_protocol protocol, const struct mst_endpoint *local) {
  struct mst__tuple_key key = mst__tuple_key(&local->addr, local->port, (uint8_t)protocol);
  /* Asking for a route may remember it, which changes nothing that a caller can see. */
  return mst__holder_find((struct mst_switch *)sw, &key, &local->addr) != 0;
}
