/* How long a channel's turns take, by samples: one turn of SAMPLE_MEAN on average is timed and stands for so many.
 * Which ones is random, so that it falls in with nobody's rhythm. */
#ifndef MST_SWITCH_SAMPLE_H
#define MST_SWITCH_SAMPLE_H

#include "switch_internal.h"

#define MST__SAMPLE_MEAN 64u

/* 0: this turn is not timed. */
static inline uint64_t mst__sample_begin(struct mst_switch *sw) {
  if (MST_LIKELY(sw->sample_in > 1 || !sw->clock_ns)) {
    sw->sample_in--;
    return 0;
  }
  sw->sample_random ^= sw->sample_random << 13; /* xorshift (Marsaglia, 2003) */
  sw->sample_random ^= sw->sample_random >> 17;
  sw->sample_random ^= sw->sample_random << 5;
  sw->sample_in = 1 + sw->sample_random % (2 * MST__SAMPLE_MEAN - 1);
  return sw->clock_ns(sw->clock_ctx);
}

static inline void mst__sample_end(const struct mst_switch *sw, struct mst__switch_channel *channel,
                                   uint64_t begin_ns) {
  if (MST_UNLIKELY(begin_ns)) channel->stats.cpu_ns += MST__SAMPLE_MEAN * (sw->clock_ns(sw->clock_ctx) - begin_ns);
}

#endif
