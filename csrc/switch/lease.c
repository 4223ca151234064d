/* Leases: taking and letting go of tuples. Who holds what is announced in this order: the OS's programs are shut out,
 * the ports bring the packets, the tuple table hands them on; and it is undone in the opposite order, the ports last,
 * so that the OS never sees, and resets, what was ours. */
#include "switch_internal.h"

#define EPHEMERAL_FIRST 32768u
#define EPHEMERAL_COUNT 28232u /* to 60999, Linux' range */
#define EPHEMERAL_GUESSES 64u

/* How often a port number is held, by any address: a wildcard must know. */
struct port_use {
  struct mst__hash_node node;
  uint16_t port;
  uint8_t protocol;
  struct {
    uint32_t all, exclusive;
  } by_family[2]; /* IPv4, IPv6 */
};

struct families {
  bool ip4, ip6;
};

static struct families families_of(const struct mst_tuple *tuple) {
  bool ip4 = mst_addr_is_ip4(&tuple->addr);
  bool both = !ip4 && mst_addr_is_any(&tuple->addr) && !(tuple->flags & MST_BIND_V6ONLY);
  return (struct families){.ip4 = ip4 || both, .ip6 = !ip4};
}

/* The keys by which a tuple stands in the table: one, or two for a wildcard of both families. */
static unsigned keys_of(const struct mst_tuple *tuple, struct mst__tuple_key keys[2]) {
  struct families families = families_of(tuple);
  keys[0] = mst__tuple_key(&tuple->addr, tuple->port, tuple->protocol);
  if (!(families.ip4 && families.ip6)) return 1;
  keys[1] = mst__tuple_key(&MST_ADDR_ANY4, tuple->port, tuple->protocol);
  return 2;
}

/* --- index by tuple and by port --- */

static uint32_t lease_hash(const struct mst_switch *sw, const struct mst_tuple *tuple) {
  uint8_t key[19];
  memcpy(key, tuple->addr.bytes, 16);
  memcpy(key + 16, &tuple->port, 2);
  key[18] = tuple->protocol;
  return (uint32_t)mst__hash(&sw->lease_key, key, sizeof key);
}

static struct mst__lease *find_lease(const struct mst_switch *sw, const struct mst_tuple *tuple) {
  struct mst__hash_node *node = mst__hash_first(&sw->leases, lease_hash(sw, tuple));
  for (; node; node = mst__hash_next(node)) {
    struct mst__lease *lease = MST__CONTAINER(node, struct mst__lease, node);
    if (lease->tuple.port == tuple->port && lease->tuple.protocol == tuple->protocol &&
        mst_addr_equal(&lease->tuple.addr, &tuple->addr))
      return lease;
  }
  return NULL;
}

static uint32_t use_hash(const struct mst_switch *sw, const struct mst_tuple *tuple) {
  uint8_t key[3] = {tuple->port & 0xff, (uint8_t)(tuple->port >> 8), tuple->protocol};
  return (uint32_t)mst__hash(&sw->lease_key, key, sizeof key);
}

static struct port_use *find_use(const struct mst_switch *sw, const struct mst_tuple *tuple) {
  struct mst__hash_node *node = mst__hash_first(&sw->port_uses, use_hash(sw, tuple));
  for (; node; node = mst__hash_next(node)) {
    struct port_use *use = MST__CONTAINER(node, struct port_use, node);
    if (use->port == tuple->port && use->protocol == tuple->protocol) return use;
  }
  return NULL;
}

static int use_add(struct mst_switch *sw, const struct mst_tuple *tuple) {
  struct port_use *use = find_use(sw, tuple);
  if (!use) {
    use = mst__switch_alloc(sw, sizeof *use);
    if (!use) return -MST_ENOMEM;
    use->port = tuple->port;
    use->protocol = tuple->protocol;
    mst__hash_table_insert(&sw->port_uses, &sw->env, &use->node, use_hash(sw, tuple));
  }
  struct families families = families_of(tuple);
  bool exclusive = !(tuple->flags & MST_BIND_GROUP);
  use->by_family[0].all += families.ip4;
  use->by_family[1].all += families.ip6;
  use->by_family[0].exclusive += families.ip4 && exclusive;
  use->by_family[1].exclusive += families.ip6 && exclusive;
  return 0;
}

static void use_remove(struct mst_switch *sw, const struct mst_tuple *tuple) {
  struct port_use *use = find_use(sw, tuple);
  struct families families = families_of(tuple);
  bool exclusive = !(tuple->flags & MST_BIND_GROUP);
  use->by_family[0].all -= families.ip4;
  use->by_family[1].all -= families.ip6;
  use->by_family[0].exclusive -= families.ip4 && exclusive;
  use->by_family[1].exclusive -= families.ip6 && exclusive;
  if (use->by_family[0].all || use->by_family[1].all) return;
  mst__hash_table_remove(&sw->port_uses, &use->node);
  mst__switch_free(sw, use, sizeof *use);
}

/* Whether holders of a group's tuple and of an overlapping one stand in each other's way, as Linux has it without
 * SO_REUSEADDR: a wildcard with every address of its family and port, unless all of them share. */
static bool conflicts(const struct mst_switch *sw, const struct mst_tuple *tuple) {
  const struct port_use *use = find_use(sw, tuple);
  if (!use) return false;
  struct families families = families_of(tuple);
  bool group = tuple->flags & MST_BIND_GROUP;
  if (mst_addr_is_any(&tuple->addr)) {
    for (int i = 0; i < 2; i++) {
      bool overlaps = i ? families.ip6 : families.ip4;
      if (overlaps && (group ? use->by_family[i].exclusive : use->by_family[i].all)) return true;
    }
    return false;
  }
  if (find_lease(sw, tuple)) return true;
  if (!mst__tuple_find_any(&sw->tuples, families.ip6, mst__tuple_word(tuple->port, tuple->protocol))) return false;
  return !group || use->by_family[families.ip6].exclusive;
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

static int table_add(struct mst_switch *sw, const struct mst_tuple *tuple, uint32_t holder) {
  struct mst__tuple_key keys[2];
  unsigned count = keys_of(tuple, keys);
  for (unsigned i = 0; i < count; i++) {
    int error = mst__tuple_table_add(&sw->tuples, &sw->env, &keys[i], holder);
    if (error) {
      if (i) mst__tuple_table_remove(&sw->tuples, &keys[0]);
      return error;
    }
  }
  return 0;
}

static void table_remove(struct mst_switch *sw, const struct mst_tuple *tuple) {
  struct mst__tuple_key keys[2];
  unsigned count = keys_of(tuple, keys);
  while (count--) mst__tuple_table_remove(&sw->tuples, &keys[count]);
}

/* --- groups --- */

static int group_grow(struct mst_switch *sw) {
  unsigned room = sw->group_room ? 2 * sw->group_room : 16;
  if (room > MST__GROUPS_MAX) return -MST_ENOBUFS;
  struct mst__lease **bigger = mst__switch_alloc(sw, room * sizeof *bigger);
  if (!bigger) return -MST_ENOMEM;
  if (sw->group_room) memcpy(bigger, sw->groups, sw->group_room * sizeof *bigger);
  mst__switch_free(sw, sw->groups, sw->group_room * sizeof *bigger);
  sw->groups = bigger;
  sw->group_room = room;
  return 0;
}

static int group_join(struct mst_switch *sw, struct mst__lease *lease, unsigned id) {
  for (uint32_t i = 0; i < lease->member_count; i++)
    if (lease->members[i] == id) return -MST_EADDRINUSE;
  if (lease->member_count == lease->member_room) {
    uint32_t room = lease->member_room ? 2 * lease->member_room : 4;
    uint16_t *bigger = mst__switch_alloc(sw, room * sizeof *bigger);
    if (!bigger) return -MST_ENOMEM;
    if (lease->member_count) memcpy(bigger, lease->members, lease->member_count * sizeof *bigger);
    mst__switch_free(sw, lease->members, lease->member_room * sizeof *bigger);
    lease->members = bigger;
    lease->member_room = room;
  }
  lease->members[lease->member_count++] = (uint16_t)id;
  return 0;
}

static int group_make(struct mst_switch *sw, struct mst__lease *lease, unsigned id) {
  unsigned i = 0;
  while (i < sw->group_room && sw->groups[i]) i++;
  int error = i == sw->group_room ? group_grow(sw) : 0;
  if (!error) error = group_join(sw, lease, id);
  if (error) return error;
  sw->groups[i] = lease;
  lease->holder = MST__HOLDER_GROUP + i;
  return 0;
}

/* --- one tuple --- */

static void free_lease(struct mst_switch *sw, struct mst__lease *lease) {
  if (lease->holder >= MST__HOLDER_GROUP) sw->groups[lease->holder - MST__HOLDER_GROUP] = NULL;
  mst__switch_free(sw, lease->members, lease->member_room * sizeof *lease->members);
  mst__switch_free(sw, lease, sizeof *lease);
}

/* A port's own address is not the OS's, so there is nothing to take from its programs. */
static int reserve(struct mst_switch *sw, struct mst__lease *lease, const intptr_t *adopted) {
  if (adopted) {
    lease->cookie = *adopted;
    lease->reserved = true;
    return 0;
  }
  if (!sw->os || mst__port_of_address(sw, &lease->tuple.addr)) return 0;
  int error = sw->os->reserve(sw->os->ctx, &lease->tuple, &lease->cookie);
  lease->reserved = !error;
  return error;
}

static void unreserve(struct mst_switch *sw, struct mst__lease *lease) {
  if (lease->reserved) sw->os->unreserve(sw->os->ctx, lease->cookie);
}

/* Reservation, ports, table; undone when one fails, all but a reservation that was adopted. */
static int announce(struct mst_switch *sw, struct mst__lease *lease, const intptr_t *adopted) {
  int error = reserve(sw, lease, adopted);
  if (error) return error;
  error = ports_add(sw, &lease->tuple);
  if (!error) {
    error = use_add(sw, &lease->tuple);
    if (!error) {
      error = table_add(sw, &lease->tuple, lease->holder);
      if (!error) return 0;
      use_remove(sw, &lease->tuple);
    }
    ports_remove(sw, &lease->tuple, sw->port_count);
  }
  if (!adopted) unreserve(sw, lease);
  return error;
}

static void withdraw(struct mst_switch *sw, struct mst__lease *lease) {
  table_remove(sw, &lease->tuple);
  use_remove(sw, &lease->tuple);
  mst__hash_table_remove(&sw->leases, &lease->node);
  mst__list_remove(&lease->of_channel);
  unreserve(sw, lease);
  ports_remove(sw, &lease->tuple, sw->port_count);
  free_lease(sw, lease);
}

/* A tuple with a port number, which nobody holds. */
static int take(struct mst_switch *sw, struct mst__switch_channel *channel, const struct mst_tuple *tuple,
                const intptr_t *adopted) {
  struct mst__lease *lease = mst__switch_alloc(sw, sizeof *lease);
  if (!lease) return -MST_ENOMEM;
  lease->tuple = *tuple;
  lease->holder = channel->id + 1;
  int error = tuple->flags & MST_BIND_GROUP ? group_make(sw, lease, channel->id) : 0;
  if (!error) error = announce(sw, lease, adopted);
  if (error) {
    free_lease(sw, lease);
    return error;
  }
  mst__hash_table_insert(&sw->leases, &sw->env, &lease->node, lease_hash(sw, tuple));
  if (lease->holder < MST__HOLDER_GROUP) mst__list_push_back(&channel->leases, &lease->of_channel);
  return 0;
}

static int take_or_join(struct mst_switch *sw, struct mst__switch_channel *channel, const struct mst_tuple *tuple) {
  struct mst__lease *there = find_lease(sw, tuple);
  if (there && there->tuple.flags & tuple->flags & MST_BIND_GROUP &&
      (there->tuple.flags & MST_BIND_V6ONLY) == (tuple->flags & MST_BIND_V6ONLY))
    return group_join(sw, there, channel->id);
  if (there || conflicts(sw, tuple)) return -MST_EADDRINUSE;
  return take(sw, channel, tuple, NULL);
}

/* Any free port, unpredictable (RFC 6056 3.3.1): guesses first, then the whole range from a random start. */
static int take_ephemeral(struct mst_switch *sw, struct mst__switch_channel *channel, struct mst_tuple *tuple) {
  struct mst_tuple attempt = *tuple;
  uint32_t offset = 0;
  for (uint32_t i = 0; i < EPHEMERAL_GUESSES + EPHEMERAL_COUNT; i++) {
    if (i <= EPHEMERAL_GUESSES)
      sw->env.random(sw->env.ctx, &offset, sizeof offset);
    else
      offset++;
    attempt.port = (uint16_t)(EPHEMERAL_FIRST + offset % EPHEMERAL_COUNT);
    if (find_lease(sw, &attempt) || conflicts(sw, &attempt)) continue;
    int error = take(sw, channel, &attempt, NULL);
    if (!error) tuple->port = attempt.port;
    if (error != -MST_EADDRINUSE) return error;
  }
  return -MST_ENOBUFS;
}

static struct mst__switch_channel *channel_of(const struct mst_switch *sw, unsigned id) {
  return id < sw->channel_room ? sw->channels[id] : NULL;
}

static bool may_hold(struct mst_switch *sw, const struct mst_addr *addr) {
  if (mst_addr_is_any(addr)) return true;
  if (mst_addr_is_multicast(addr)) return false;
  /* With an OS it is its reservation that tells. */
  return sw->os || mst__is_local(sw, addr);
}

int mst_switch_lease(mst_switch *sw, unsigned id, struct mst_tuple *tuple) {
  struct mst__switch_channel *channel = channel_of(sw, id);
  if (!channel) return -MST_EBADF;
  if (tuple->protocol != MST_TCP && tuple->protocol != MST_UDP) return -MST_EINVAL;
  if (!may_hold(sw, &tuple->addr)) return -MST_EADDRNOTAVAIL;
  return tuple->port ? take_or_join(sw, channel, tuple) : take_ephemeral(sw, channel, tuple);
}

int mst_switch_adopt_lease(mst_switch *sw, unsigned id, const struct mst_tuple *tuple, intptr_t cookie) {
  struct mst__switch_channel *channel = channel_of(sw, id);
  if (!channel) return -MST_EBADF;
  if ((tuple->protocol != MST_TCP && tuple->protocol != MST_UDP) || !tuple->port || !sw->os) return -MST_EINVAL;
  if (find_lease(sw, tuple) || conflicts(sw, tuple)) return -MST_EADDRINUSE;
  return take(sw, channel, tuple, &cookie);
}

/* Take a channel out of a lease; true when it was a holder. */
static bool leave_lease(struct mst_switch *sw, struct mst__lease *lease, unsigned id) {
  if (!mst__holder_is(sw, lease->holder, id)) return false;
  if (lease->holder >= MST__HOLDER_GROUP && lease->member_count > 1) {
    uint32_t i = 0;
    while (lease->members[i] != id) i++;
    lease->members[i] = lease->members[--lease->member_count];
    return true;
  }
  withdraw(sw, lease);
  return true;
}

void mst_switch_release(mst_switch *sw, unsigned id, const struct mst_tuple *tuple) {
  struct mst__lease *lease = find_lease(sw, tuple);
  if (!lease) return;
  /* What was sent from the tuple, a last reset perhaps, is judged by what was held when it was sent. */
  if (id < sw->channel_room && sw->channels[id]) mst__forward_waiting(sw, sw->channels[id]);
  leave_lease(sw, lease, id);
}

void mst__lease_release_all(struct mst_switch *sw, struct mst__switch_channel *channel) {
  while (!mst__list_empty(&channel->leases))
    withdraw(sw, MST__CONTAINER(channel->leases.next, struct mst__lease, of_channel));
  for (unsigned i = 0; i < sw->group_room; i++)
    if (sw->groups[i]) leave_lease(sw, sw->groups[i], channel->id);
}

bool mst_switch_holds(const mst_switch *sw, enum mst_protocol protocol, const struct mst_endpoint *local) {
  struct mst__tuple_key key = mst__tuple_key(&local->addr, local->port, (uint8_t)protocol);
  /* Asking for a route may remember it, which changes nothing that a caller can see. */
  return mst__holder_find((struct mst_switch *)sw, &key, &local->addr) != 0;
}
