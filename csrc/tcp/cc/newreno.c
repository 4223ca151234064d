/* Slow start and congestion avoidance as standardised (RFC 5681 3.1), with byte counting (RFC 3465), HyStart++ (RFC
 * 9406) at the start and the alternative backoff with ECN (RFC 8511). */
#include "tcp/cc/cc.h"

#define BETA_LOSS 0.5
#define BETA_ECN 0.8 /* RFC 8511 3.1 */

/* L: segments that one ACK may earn in slow start. */
#define L_FIRST 8u         /* RFC 9406 4.3, not paced */
#define L 2u               /* RFC 3465 2.2 */
#define L_AFTER_TIMEOUT 1u /* 2.3 */

static void newreno_init(struct mst__cc *cc, uint64_t now_ns) {
  (void)now_ns;
  cc->state.newreno = (struct mst__newreno){0};
}

static uint32_t slow_start(struct mst__cc *cc, const struct mst__cc_ack *ack, uint32_t earned) {
  struct mst__newreno *s = &cc->state.newreno;
  if (cc->ssthresh == UINT32_MAX) return mst__hystart_on_ack(&s->hystart, cc, ack, earned, L_FIRST * cc->mss);
  uint32_t limit = (s->timed_out ? L_AFTER_TIMEOUT : L) * cc->mss;
  return earned < limit ? earned : limit;
}

static void newreno_on_ack(struct mst__cc *cc, const struct mst__cc_ack *ack) {
  struct mst__newreno *s = &cc->state.newreno;
  uint32_t earned = mst__cc_earned(cc, ack);
  if (!ack->cwnd_limited) earned = 0;
  if (cc->cwnd < cc->ssthresh) {
    uint32_t grow = slow_start(cc, ack, earned), room = cc->ssthresh - cc->cwnd;
    cc->cwnd += grow < room ? grow : room;
    return;
  }
  s->timed_out = false;
  s->acked_bytes += earned;
  if (s->acked_bytes < cc->cwnd) return;
  s->acked_bytes -= cc->cwnd;
  if (s->acked_bytes > cc->cwnd) s->acked_bytes = cc->cwnd;
  cc->cwnd += cc->mss;
}

/* RFC 5681 (4): from FlightSize, not from cwnd; and RFC 3168 6.1.2: with ECN down to one segment. */
static void newreno_on_congestion(struct mst__cc *cc, enum mst__cc_signal signal, uint32_t flight_bytes,
                                  uint64_t now_ns) {
  (void)now_ns;
  double beta = signal == MST__CC_ECN ? BETA_ECN : BETA_LOSS;
  uint32_t used = flight_bytes < cc->cwnd ? flight_bytes : cc->cwnd; /* RFC 8511 3.1 */
  uint32_t window = (uint32_t)(used * beta), mss = cc->mss;
  cc->ssthresh = window > 2 * mss ? window : 2 * mss;
  cc->cwnd = cc->ssthresh;
  if (signal == MST__CC_ECN) cc->cwnd = window > mss ? window : mss;
  if (signal == MST__CC_TIMEOUT) cc->cwnd = mss;
  cc->held_bytes = 0;
  cc->state.newreno.acked_bytes = 0;
  cc->state.newreno.timed_out = signal == MST__CC_TIMEOUT;
}

static void newreno_on_undo(struct mst__cc *cc) {
  cc->state.newreno.timed_out = false;
}

const struct mst__cc_ops mst__cc_newreno = {
    .name = "newreno",
    .init = newreno_init,
    .on_ack = newreno_on_ack,
    .on_congestion = newreno_on_congestion,
    .on_undo = newreno_on_undo,
};
