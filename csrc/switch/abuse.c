/* What a channel does wrong, weighed. A stack of ours does none of it, but stacks have faults and a lease may be lost
 * while packets are on their way: so points leak away, and only who goes on and on is called abusive. */
#include "switch_internal.h"

#define LEAK_PER_S 1000u
#define POINTS_MAX 10000u

/* Points of what a well-behaved sender does not send; what happens to anybody (no route, a full ring) has none, nor
 * what a remote host can make a stack say (ICMP, say). */
static const uint16_t points_of[MST_DROP_COUNT] = {
    [MST_DROP_DESCRIPTOR] = 100,
    [MST_DROP_SHORT] = 10,
    [MST_DROP_VERSION] = 10,
    [MST_DROP_IP_HEADER] = 10,
    [MST_DROP_IP_CHECKSUM] = 10,
    [MST_DROP_IP_OPTION] = 10,
    [MST_DROP_FRAGMENT] = 10,
    [MST_DROP_TCP_HEADER] = 10,
    [MST_DROP_UDP_HEADER] = 10,
    [MST_DROP_SOURCE_ADDRESS] = 10,
    [MST_DROP_DESTINATION_ADDRESS] = 1,
    [MST_DROP_SOURCE_NOT_HELD] = 1,
};

static void add(const struct mst_switch *sw, struct mst__switch_channel *channel, uint32_t points) {
  uint64_t leaked = (sw->now_ns - channel->abuse_at_ns) / (1000000000u / LEAK_PER_S);
  if (leaked) {
    channel->abuse_points -= leaked < channel->abuse_points ? (uint32_t)leaked : channel->abuse_points;
    channel->abuse_at_ns = sw->now_ns;
  }
  channel->abuse_points += points < POINTS_MAX ? points : POINTS_MAX;
  if (channel->abuse_points < POINTS_MAX) return;
  channel->abuse_points = POINTS_MAX;
  channel->abusive = true;
}

void mst__blame(struct mst_switch *sw, struct mst__switch_channel *channel, enum mst_drop reason) {
  mst__count_drop(sw, channel, reason);
  if (points_of[reason]) add(sw, channel, points_of[reason]);
}

void mst_switch_blame(mst_switch *sw, unsigned id, unsigned points) {
  struct mst__switch_channel *channel = mst__channel_of(sw, id);
  if (channel) add(sw, channel, points);
}

bool mst_switch_is_abusive(const mst_switch *sw, unsigned id) {
  const struct mst__switch_channel *channel = mst__channel_of(sw, id);
  return channel && channel->abusive;
}
