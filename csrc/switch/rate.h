/* A rate in something per second, with bursts of 10 ms of it: the generic cell rate algorithm (ITU-T I.371), a token
 * bucket that remembers a time instead of tokens. */
#ifndef MST_SWITCH_RATE_H
#define MST_SWITCH_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define MST__RATE_BURST_NS 10000000ull

struct mst__rate {
  uint64_t per_s;   /* 0: no limit */
  uint64_t paid_ns; /* until when what was taken has been paid for */
};

/* When the next may be taken. */
static inline uint64_t mst__rate_at(const struct mst__rate *rate) {
  if (!rate->per_s || rate->paid_ns < MST__RATE_BURST_NS) return 0;
  return rate->paid_ns - MST__RATE_BURST_NS;
}

/* How much may be taken now; what is taken on top has to be waited for afterwards. */
static inline uint64_t mst__rate_room(const struct mst__rate *rate, uint64_t now_ns) {
  if (!rate->per_s) return UINT64_MAX;
  uint64_t at_ns = mst__rate_at(rate), saved_ns = MST__RATE_BURST_NS;
  if (at_ns > now_ns) return 0;
  if (rate->paid_ns > now_ns) saved_ns = now_ns - at_ns;
  return (uint64_t)((unsigned __int128)saved_ns * rate->per_s / 1000000000u) + 1;
}

static inline void mst__rate_take(struct mst__rate *rate, uint64_t now_ns, uint64_t amount) {
  if (!rate->per_s) return;
  if (rate->paid_ns < now_ns) rate->paid_ns = now_ns;
  rate->paid_ns += (uint64_t)((unsigned __int128)amount * 1000000000u / rate->per_s);
}

#endif
