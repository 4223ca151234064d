/* Any free port, unpredictable (RFC 6056 3.3.1): guesses first, then the whole range from a random start. */
#include "switch_internal.h"

#define EPHEMERAL_FIRST 32768u
#define EPHEMERAL_COUNT 28232u /* to 60999, Linux' range */
#define EPHEMERAL_GUESSES 64u

int mst__lease_ephemeral(struct mst_switch *sw, struct mst__switch_channel *channel, struct mst_tuple *tuple) {
  struct mst_tuple attempt = *tuple;
  uint32_t offset = 0;
  for (uint32_t i = 0; i < EPHEMERAL_GUESSES + EPHEMERAL_COUNT; i++) {
    if (i <= EPHEMERAL_GUESSES)
      sw->env.random(sw->env.ctx, &offset, sizeof offset);
    else
      offset++;
    attempt.port = (uint16_t)(EPHEMERAL_FIRST + offset % EPHEMERAL_COUNT);
    if (mst__lease_find(sw, &attempt) || mst__lease_conflicts(sw, &attempt, channel->options.owner)) continue;
    int error = mst__lease_take(sw, channel, &attempt, NULL);
    if (!error) tuple->port = attempt.port;
    if (error != -MST_EADDRINUSE) return error;
  }
  return -MST_ENOBUFS;
}
