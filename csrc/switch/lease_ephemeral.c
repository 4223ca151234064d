/* Any free port, unpredictable (RFC 6056 3.3.1): guesses first, then the whole range from a random start. */
#include "switch_internal.h"

#define EPHEMERAL_FIRST 32768u
#define EPHEMERAL_COUNT 28232u /* to 60999, Linux' range */
#define EPHEMERAL_GUESSES 64u

#define BLOCK_MAX 64u

/* Where the search goes on: a block takes one range in one pass. */
struct search {
  uint32_t attempts, offset;
};

static uint16_t next_port(struct mst_switch *sw, struct search *search) {
  if (search->attempts <= EPHEMERAL_GUESSES)
    sw->env.random(sw->env.ctx, &search->offset, sizeof search->offset);
  else
    search->offset++;
  search->attempts++;
  return (uint16_t)(EPHEMERAL_FIRST + search->offset % EPHEMERAL_COUNT);
}

static int take_any(struct mst_switch *sw, struct mst__switch_channel *channel, struct mst_tuple *tuple,
                    struct search *search) {
  while (search->attempts < EPHEMERAL_GUESSES + EPHEMERAL_COUNT) {
    tuple->port = next_port(sw, search);
    if (mst__lease_find(sw, tuple) || mst__lease_conflicts(sw, tuple, channel->options.owner)) continue;
    int error = mst__lease_take(sw, channel, tuple, NULL);
    if (error != -MST_EADDRINUSE) return error;
  }
  return -MST_ENOBUFS;
}

int mst__lease_ephemeral(struct mst_switch *sw, struct mst__switch_channel *channel, struct mst_tuple *tuple) {
  struct mst_tuple attempt = *tuple;
  struct search search = {0};
  int error = take_any(sw, channel, &attempt, &search);
  if (!error) tuple->port = attempt.port;
  return error;
}

int mst_switch_lease_block(mst_switch *sw, unsigned id, enum mst_protocol protocol, const struct mst_addr *addr,
                           unsigned count, uint16_t *ports) {
  struct mst__switch_channel *channel = mst__channel_of(sw, id);
  if (!channel) return -MST_EBADF;
  struct mst_tuple tuple = {.addr = *addr, .protocol = (uint8_t)protocol};
  int error = count ? mst__lease_check(sw, channel, &tuple) : -MST_EINVAL;
  struct search search = {0};
  unsigned taken = 0;
  for (; !error && taken < count && taken < BLOCK_MAX && mst__may_hold_more(channel); taken++) {
    if (search.attempts < EPHEMERAL_GUESSES) search.attempts = 0; /* each port has its guesses, one pass for all */
    error = take_any(sw, channel, &tuple, &search);
    if (error) break;
    ports[taken] = tuple.port;
  }
  return taken ? (int)taken : error;
}
