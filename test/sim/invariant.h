/* What must hold at the edge of a stack, whatever the network does: a tap reads all that a stack sends and takes in, as
 * the stack itself sees it, and keeps a model of each connection. After each event the stack's own state is looked at
 * too. The first thing that does not hold is kept as a line of text. */
#ifndef TEST_SIM_INVARIANT_H
#define TEST_SIM_INVARIANT_H

#include "sim.h"

struct sim_watch;

struct sim_watch *sim_watch_new(struct sim *sim);
void sim_watch_free(struct sim_watch *watch);

/* Take the tap of a node. Before its first packet. `recut`: something on the way cuts its segments anew, so that a part
 * of one may be SACKed, which a sender need not note. */
void sim_watch_node(struct sim_watch *watch, struct sim_node *node, bool recut);

/* After an event. NULL: all holds; or what did not. The text lives as long as the watch. */
const char *sim_watch_check(struct sim_watch *watch);

/* Print each packet as it passes, with relative sequence numbers, from now on. */
void sim_watch_print(struct sim_watch *watch);

#endif
