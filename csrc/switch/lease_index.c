/* Leases by tuple and by port number, and what conflicts with what: as Linux has it without SO_REUSEADDR, a wildcard
 * stands in the way of every address of its family and port, unless all of them share and belong to one owner. */
#include "base/tuple.h"
#include "group.h"
#include "switch_internal.h"

/* Who holds a port number, by any address: a wildcard must know. */
struct mst__port_use {
  struct mst__hash_node node;
  uint16_t port;
  uint8_t protocol;
  struct {
    uint32_t all, exclusive;
  } by_family[2];          /* IPv4, IPv6 */
  struct mst__list leases; /* of_port */
};

struct mst__families mst__families_of(const struct mst_tuple *tuple) {
  bool ip4 = mst_addr_is_ip4(&tuple->addr);
  bool both = !ip4 && mst_addr_is_any(&tuple->addr) && !(tuple->flags & MST_BIND_V6ONLY);
  return (struct mst__families){.ip4 = ip4 || both, .ip6 = !ip4};
}

struct mst__lease *mst__lease_find(const struct mst_switch *sw, const struct mst_tuple *tuple) {
  struct mst__hash_node *node = mst__hash_first(&sw->leases, mst__tuple_key_hash(&sw->lease_key, tuple));
  for (; node; node = mst__hash_next(node)) {
    struct mst__lease *lease = MST__CONTAINER(node, struct mst__lease, node);
    if (mst__tuple_same(&lease->tuple, tuple)) return lease;
  }
  return NULL;
}

static uint32_t use_hash(const struct mst_switch *sw, const struct mst_tuple *tuple) {
  uint8_t key[3] = {tuple->port & 0xff, (uint8_t)(tuple->port >> 8), tuple->protocol};
  return (uint32_t)mst__hash(&sw->lease_key, key, sizeof key);
}

static struct mst__port_use *find_use(const struct mst_switch *sw, const struct mst_tuple *tuple) {
  struct mst__hash_node *node = mst__hash_first(&sw->port_uses, use_hash(sw, tuple));
  for (; node; node = mst__hash_next(node)) {
    struct mst__port_use *use = MST__CONTAINER(node, struct mst__port_use, node);
    if (use->port == tuple->port && use->protocol == tuple->protocol) return use;
  }
  return NULL;
}

static struct mst__port_use *make_use(struct mst_switch *sw, const struct mst_tuple *tuple) {
  struct mst__port_use *use = mst__switch_alloc(sw, sizeof *use);
  if (!use) return NULL;
  use->port = tuple->port;
  use->protocol = tuple->protocol;
  mst__list_init(&use->leases);
  mst__hash_table_insert(&sw->port_uses, &sw->env, &use->node, use_hash(sw, tuple));
  return use;
}

static void count_use(struct mst__port_use *use, const struct mst_tuple *tuple, uint32_t one) {
  struct mst__families families = mst__families_of(tuple);
  bool exclusive = !(tuple->flags & MST_BIND_GROUP);
  use->by_family[0].all += families.ip4 ? one : 0;
  use->by_family[1].all += families.ip6 ? one : 0;
  use->by_family[0].exclusive += families.ip4 && exclusive ? one : 0;
  use->by_family[1].exclusive += families.ip6 && exclusive ? one : 0;
}

int mst__lease_index_add(struct mst_switch *sw, struct mst__lease *lease) {
  struct mst__port_use *use = find_use(sw, &lease->tuple);
  if (!use) use = make_use(sw, &lease->tuple);
  if (!use) return -MST_ENOMEM;
  count_use(use, &lease->tuple, 1);
  mst__list_push_back(&use->leases, &lease->of_port);
  mst__hash_table_insert(&sw->leases, &sw->env, &lease->node, mst__tuple_key_hash(&sw->lease_key, &lease->tuple));
  return 0;
}

void mst__lease_index_remove(struct mst_switch *sw, struct mst__lease *lease) {
  struct mst__port_use *use = find_use(sw, &lease->tuple);
  mst__hash_table_remove(&sw->leases, &lease->node);
  mst__list_remove(&lease->of_port);
  count_use(use, &lease->tuple, (uint32_t)-1);
  if (!mst__list_empty(&use->leases)) return;
  mst__hash_table_remove(&sw->port_uses, &use->node);
  mst__switch_free(sw, use, sizeof *use);
}

static bool overlaps(const struct mst__families *a, const struct mst__families *b) {
  return (a->ip4 && b->ip4) || (a->ip6 && b->ip6);
}

/* Of groups alone: does somebody else own one that stands in the way? `any`: so does every address, and another
 * wildcard of the same family whoever has it, since only one of them can stand in the tuple table. */
static bool strangers(const struct mst__port_use *use, const struct mst_tuple *tuple, uint32_t owner) {
  struct mst__families families = mst__families_of(tuple);
  bool any = mst_addr_is_any(&tuple->addr);
  MST__LIST_EACH(node, &use->leases) {
    const struct mst__lease *lease = MST__CONTAINER(node, struct mst__lease, of_port);
    struct mst__families held = mst__families_of(&lease->tuple);
    if (!any && !mst_addr_is_any(&lease->tuple.addr)) continue;
    if (!overlaps(&families, &held)) continue;
    if (any && mst_addr_is_any(&lease->tuple.addr)) return true;
    if (!lease->group || lease->group->owner != owner) return true;
  }
  return false;
}

bool mst__lease_conflicts(const struct mst_switch *sw, const struct mst_tuple *tuple, uint32_t owner) {
  const struct mst__port_use *use = find_use(sw, tuple);
  if (!use) return false;
  struct mst__families families = mst__families_of(tuple);
  bool group = tuple->flags & MST_BIND_GROUP;
  if (mst_addr_is_any(&tuple->addr)) {
    for (int i = 0; i < 2; i++) {
      bool asked = i ? families.ip6 : families.ip4;
      if (asked && (group ? use->by_family[i].exclusive : use->by_family[i].all)) return true;
    }
    return group && strangers(use, tuple, owner);
  }
  if (mst__lease_find(sw, tuple)) return true;
  if (!mst__tuple_find_any(&sw->tuples, families.ip6, mst__tuple_word(tuple->port, tuple->protocol))) return false;
  return !group || use->by_family[families.ip6].exclusive || strangers(use, tuple, owner);
}
