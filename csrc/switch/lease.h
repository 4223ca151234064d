/* Leases: the tuples that are held, by whom, and what else the slow path knows of them. */
#ifndef MST_SWITCH_LEASE_H
#define MST_SWITCH_LEASE_H

#include "base/hash.h"
#include "base/list.h"
#include "multistack/switch.h"
#include "tuple_table.h"

struct mst__group;
struct mst__switch_channel;

/* That a channel holds a tuple, alone or with others. */
struct mst__holding {
  struct mst__list of_channel;
  struct mst__lease *lease;
};

/* A tuple that somebody holds. */
struct mst__lease {
  struct mst__hash_node node; /* in leases, by tuple */
  struct mst__list of_port;   /* of a mst__port_use */
  struct mst_tuple tuple;
  bool reserved; /* in the OS, named by cookie */
  intptr_t cookie;
  uint32_t holder;          /* in the tuple table */
  struct mst__group *group; /* NULL: one channel alone has it */
  struct mst__holding alone;
};

/* --- lease_index.c: what is held, and what stands in the way of what --- */

struct mst__families {
  bool ip4, ip6;
};
struct mst__families mst__families_of(const struct mst_tuple *tuple);

struct mst__lease *mst__lease_find(const struct mst_switch *sw, const struct mst_tuple *tuple);
/* Put a lease in, or take it out. 0 or -MST_ENOMEM. */
int mst__lease_index_add(struct mst_switch *sw, struct mst__lease *lease);
void mst__lease_index_remove(struct mst_switch *sw, struct mst__lease *lease);
/* Whether `tuple` cannot be held beside what is held, if `owner` asks. */
bool mst__lease_conflicts(const struct mst_switch *sw, const struct mst_tuple *tuple, uint32_t owner);

/* --- lease.c --- */

/* Whether the channel may ask for this tuple at all. 0, -MST_EINVAL, -MST_EADDRNOTAVAIL, -MST_ENOBUFS. */
int mst__lease_check(struct mst_switch *sw, const struct mst__switch_channel *channel, const struct mst_tuple *tuple);

/* Take a tuple with a port number that nobody holds. Its reservation exists already, or is made. */
int mst__lease_take(struct mst_switch *sw, struct mst__switch_channel *channel, const struct mst_tuple *tuple,
                    const intptr_t *cookie);
/* Let go of all that a channel holds. */
bool mst__lease_release_some(struct mst_switch *sw, struct mst__switch_channel *channel, unsigned count);

/* --- lease_ephemeral.c: any free port --- */

int mst__lease_ephemeral(struct mst_switch *sw, struct mst__switch_channel *channel, struct mst_tuple *tuple);

#endif
