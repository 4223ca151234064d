/* The parts of the statistics that more than one tells. */
#ifndef MST_HOST_STATS_H
#define MST_HOST_STATS_H

#include "json.h"
#include "multistack/switch.h"

/* "drops":{"REASON":count, ...}: those that are not zero. */
void mst__json_put_drops(struct mst__json *json, const uint64_t drops[MST_DROP_COUNT]);
/* The members of an object. */
void mst__json_put_switch_stats(struct mst__json *json, const struct mst_switch_stats *stats);
/* "ports":[...] */
void mst__json_put_ports(struct mst__json *json, const mst_switch *sw);

#endif
