/* Captures: packets as channels send and get them, or as they pass a port, shown to whoever asked. While nobody does,
 * a packet costs one look at mst_switch.observers. */
#ifndef MST_SWITCH_OBSERVE_H
#define MST_SWITCH_OBSERVE_H

#include "channel_end.h"
#include "multistack/switch.h"

#define MST__CAPTURES_MAX 8u
#define MST__SCRATCH_BYTES (MST_PACKET_BYTES_MAX + 1u)

struct mst__switch_channel;
struct mst__switch_port;
struct mst__departing;

struct mst__capture {
  struct mst_switch_filter filter;
  mst_switch_seen_fn *seen; /* NULL: free */
  void *user;
};

/* Room for one packet, for those who need it as a whole in the switch's own memory. 0 or -MST_ENOMEM. */
int mst__need_scratch(struct mst_switch *sw);
/* Copy a taken packet to mst_switch.scratch as a whole. Its payload is in the scratch from here on, so that what is
 * looked at there is what is sent. */
void mst__own_packet(struct mst_switch *sw, struct mst__taken *taken);

/* What is seen: `packet` without where and when. `data` is not in anybody's shared memory. */
void mst__observe_channel(struct mst_switch *sw, const struct mst__switch_channel *channel,
                          struct mst_switch_seen *packet);
void mst__observe_port(struct mst_switch *sw, const struct mst__switch_port *port, struct mst_switch_seen *packet);
void mst__observe_departing(struct mst_switch *sw, const struct mst__switch_port *port,
                            const struct mst__departing *packet);

#endif
