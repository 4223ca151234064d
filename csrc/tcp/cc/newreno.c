/* Slow start and congestion avoidance as standardised (RFC 5681 3.1), with byte counting (RFC 3465, L = 2). */
#include "tcp/cc/cc.h"

static void newreno_init(struct mst__cc *cc, uint64_t now_ns) {
  (void)now_ns;
  cc->state.newreno.acked_bytes = 0;
}

static void newreno_on_ack(struct mst__cc *cc, const struct mst__cc_ack *ack) {
  if (!ack->cwnd_limited || ack->recovering || !ack->acked_bytes) return;
  if (cc->cwnd < cc->ssthresh) {
    uint32_t limit = 2 * cc->mss; /* RFC 3465 2.2 */
    cc->cwnd += ack->acked_bytes < limit ? ack->acked_bytes : limit;
    return;
  }
  cc->state.newreno.acked_bytes += ack->acked_bytes;
  if (cc->state.newreno.acked_bytes < cc->cwnd) return;
  cc->state.newreno.acked_bytes -= cc->cwnd;
  cc->cwnd += cc->mss;
}

/* RFC 5681 (4): ssthresh = max(FlightSize / 2, 2 * SMSS). */
static uint32_t half_flight(const struct mst__cc *cc, uint32_t flight_bytes) {
  uint32_t half = flight_bytes / 2, least = 2 * cc->mss;
  return half > least ? half : least;
}

static void newreno_on_congestion(struct mst__cc *cc, enum mst__cc_signal signal, uint32_t flight_bytes,
                                  uint64_t now_ns) {
  (void)now_ns;
  cc->ssthresh = half_flight(cc, flight_bytes);
  cc->cwnd = signal == MST__CC_TIMEOUT ? cc->mss : cc->ssthresh;
  cc->state.newreno.acked_bytes = 0;
}

const struct mst__cc_ops mst__cc_newreno = {
    .name = "newreno",
    .init = newreno_init,
    .on_ack = newreno_on_ack,
    .on_congestion = newreno_on_congestion,
};
