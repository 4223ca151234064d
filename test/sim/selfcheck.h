/* What must hold inside a stack between events. */
#ifndef TEST_SIM_SELFCHECK_H
#define TEST_SIM_SELFCHECK_H

#include "sim.h"

/* False: something does not hold; `out` says what. */
bool sim_self_check(const struct sim_node *node, char *out, size_t bytes);

/* Retransmission timeouts of the stack so far. */
uint64_t sim_self_timeouts(const struct sim_node *node);

#endif
