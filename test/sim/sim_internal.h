/* What the parts of the simulator share. */
#ifndef TEST_SIM_INTERNAL_H
#define TEST_SIM_INTERNAL_H

#include "sim.h"

/* The packets under way, ordered by arrival. */
void sim_flight_push(struct sim *sim, struct sim_packet *packet);
struct sim_packet *sim_flight_pop(struct sim *sim);

#endif
