/* Channels whose app has gone. To let go of a lease takes the kernel some microseconds, and an app may have had
 * thousands: they are released a few at a time, between packets, so that the others notice nothing. */
#include "daemon.h"
#include <stdlib.h>

#define LEASES_AT_ONCE 32u

struct leaving {
  struct mst__list node;
  unsigned id; /* a limbo by now */
};

void mst__leaving_add(struct mst__daemon *daemon, unsigned id) {
  mst_switch_abandon(daemon->sw, id);
  if (mst_switch_detach_some(daemon->sw, id, LEASES_AT_ONCE)) return;
  struct leaving *leaving = malloc(sizeof *leaving);
  if (!leaving) {
    mst_switch_detach(daemon->sw, id);
    return;
  }
  leaving->id = id;
  mst__list_push_back(&daemon->leaving, &leaving->node);
}

void mst__leaving_go_on(struct mst__daemon *daemon) {
  struct mst__list *node = mst__list_pop_front(&daemon->leaving);
  if (!node) return;
  struct leaving *leaving = MST__CONTAINER(node, struct leaving, node);
  if (mst_switch_detach_some(daemon->sw, leaving->id, LEASES_AT_ONCE))
    free(leaving);
  else
    mst__list_push_back(&daemon->leaving, node);
}

void mst__leaving_finish(struct mst__daemon *daemon) {
  while (!mst__list_empty(&daemon->leaving)) mst__leaving_go_on(daemon);
}
