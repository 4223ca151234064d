/* What the parts of the simulator share. */
#ifndef TEST_SIM_INTERNAL_H
#define TEST_SIM_INTERNAL_H

#include "sim.h"

/* The packets under way, ordered by arrival. */
void sim_flight_push(struct sim *sim, struct sim_packet *packet);
struct sim_packet *sim_flight_pop(struct sim *sim);

/* A packet on its way through a link's boxes, and then the link. */
struct sim_parcel {
  const uint8_t *bytes;
  size_t len;
  uint16_t gso_size;
  uint8_t flags;
  bool forged;
};
/* Past all boxes. */
void sim_transmit(struct sim_node *from, const struct sim_parcel *parcel);
/* A box of `bytes` in all, zeroed but for what every box has. */
struct sim_box *sim_box_new(struct sim *sim, size_t bytes, const char *name);
void sim_boxes_free(struct sim *sim);

#endif
