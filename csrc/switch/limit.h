/* A rate in something per second, with bursts of 10 ms of it: the generic cell rate algorithm (ITU-T I.371), a token
 * bucket that remembers a time instead of tokens. */
#ifndef MST_SWITCH_LIMIT_H
#define MST_SWITCH_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define MST__LIMIT_BURST_NS 10000000ull

struct mst__limit {
  uint64_t rate;    /* per second, 0: no limit */
  uint64_t paid_ns; /* until when what was taken has been paid for */
};

/* When the next may be taken. */
static inline uint64_t mst__limit_at(const struct mst__limit *limit) {
  if (!limit->rate || limit->paid_ns < MST__LIMIT_BURST_NS) return 0;
  return limit->paid_ns - MST__LIMIT_BURST_NS;
}

/* How much may be taken now; what is taken on top has to be waited for afterwards. */
static inline uint64_t mst__limit_room(const struct mst__limit *limit, uint64_t now_ns) {
  if (!limit->rate) return UINT64_MAX;
  uint64_t at_ns = mst__limit_at(limit), saved_ns = MST__LIMIT_BURST_NS;
  if (at_ns > now_ns) return 0;
  if (limit->paid_ns > now_ns) saved_ns = now_ns - at_ns;
  return (uint64_t)((unsigned __int128)saved_ns * limit->rate / 1000000000u) + 1;
}

static inline void mst__limit_take(struct mst__limit *limit, uint64_t now_ns, uint64_t amount) {
  if (!limit->rate) return;
  if (limit->paid_ns < now_ns) limit->paid_ns = now_ns;
  limit->paid_ns += (uint64_t)((unsigned __int128)amount * 1000000000u / limit->rate);
}

#endif
