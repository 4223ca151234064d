/* CUBIC (rfc8312bis, published as RFC 9438), with HyStart++ (RFC 9406) and the alternative backoff with ECN (RFC 8511).
 *
 * Where it is other than Linux's CUBIC, so that the two share a link as equals:
 * - The Reno-friendly window grows by a whole segment a round once it has reached cwnd_prior (4.3), where losses are
 *   not a full queue's; Linux stays at 0.53. In a queue that both share ours does too: with a whole segment it would be
 *   the one whose packets are dropped, and have little more than a third of the link.
 * - The window of congestion avoidance is computed for each ACK; Linux does so at most every 31 ms.
 * - Slow start ends by HyStart++ alone; Linux looks at trains of ACKs too, and has no conservative phase after it.
 * And alike, beyond the RFC: slow start has no limit L for one ACK, since receivers that coalesce segments acknowledge
 * 64 KB at once, and no more is earned than has arrived; and until a loss tells where the limit is, or a
 * queue that it is near, congestion avoidance grows by at least a twentieth a round, for the cubic of zero W_max - cwnd
 * would be flat for seconds. */
#include "tcp/cc/cc.h"

#define C 0.4                               /* 5 */
#define BETA 0.7                            /* 4.6 */
#define BETA_ECN 0.85                       /* RFC 8511 4.1 */
#define ALPHA (3 * (1 - BETA) / (1 + BETA)) /* 4.3 */
#define GROWTH_MAX 0.5                      /* of what is acknowledged: 4.2, less than slow start's */
#define GROWTH_UNKNOWN 0.05
#define PACING_GAIN 1.25
#define QUEUE_LEAST_NS 500000u /* round trips vary by so much without a queue */

/* Newton's method from a guess within a factor of two: five steps are exact to a float's precision. */
static double cube_root(double x) {
  if (x <= 0) return 0;
  double guess = 1;
  while (guess * guess * guess < x) guess *= 2;
  while (guess * guess * guess > 8 * x) guess /= 2;
  for (int i = 0; i < 6; i++) guess -= (guess - x / (guess * guess)) / 3;
  return guess;
}

static void cubic_init(struct mst__cc *cc, uint64_t now_ns) {
  mst__hystart_init(&cc->state.cubic.hystart);
  cc->state.cubic.now = (struct mst__cubic){.seen_ns = now_ns};
  cc->state.cubic.before = cc->state.cubic.now;
}

/* 4.2: a new stage of congestion avoidance. Without a W_max (4.8 after a timeout, 4.10 after HyStart++), or when it is
 * reached already, K is 0 and W_max is the window. */
static void epoch_begin(struct mst__cc *cc, uint64_t now_ns) {
  struct mst__cubic *s = &cc->state.cubic.now;
  s->epoch_ns = now_ns ? now_ns : 1;
  s->w_est = cc->cwnd;
  s->carry = 0;
  if (!s->cwnd_prior) s->cwnd_prior = cc->cwnd;
  if (!s->w_max_known || cc->cwnd >= s->w_max) {
    s->w_max = cc->cwnd;
    s->k = 0;
  } else {
    s->k = cube_root((s->w_max - cc->cwnd) / (C * cc->mss));
  }
}

static double w_cubic(const struct mst__cc *cc, uint64_t t_ns) {
  const struct mst__cubic *s = &cc->state.cubic.now;
  double d = (double)t_ns / 1e9 - s->k;
  return C * cc->mss * d * d * d + s->w_max;
}

/* Others may be in the queue, and a flow that probes faster than they do makes it overflow in its own turns. */
static bool queue_shows(const struct mst__cc_ack *ack) {
  return ack->srtt_ns > ack->min_rtt_ns + ack->min_rtt_ns / 8 + QUEUE_LEAST_NS;
}

/* By how much the window shall grow for what `share` of it was acknowledged. */
static double growth(struct mst__cc *cc, const struct mst__cc_ack *ack, double share) {
  struct mst__cubic *s = &cc->state.cubic.now;
  uint64_t t_ns = ack->now_ns - s->epoch_ns;
  double cwnd = cc->cwnd + (double)s->carry;
  double alpha = s->w_est >= s->cwnd_prior && !queue_shows(ack) ? 1 : ALPHA; /* 4.3 */
  s->w_est += alpha * cc->mss * share;
  if (w_cubic(cc, t_ns) < s->w_est) return s->w_est - cwnd; /* the Reno-friendly region */
  double target = w_cubic(cc, t_ns + ack->srtt_ns);
  return (target - cwnd) * share; /* 4.4, 4.5 */
}

static void congestion_avoidance(struct mst__cc *cc, const struct mst__cc_ack *ack, uint32_t earned) {
  struct mst__cubic *s = &cc->state.cubic.now;
  if (!s->epoch_ns) epoch_begin(cc, ack->now_ns);
  double grow = growth(cc, ack, (double)earned / cc->cwnd);
  double least = s->w_max_known || queue_shows(ack) ? 0 : GROWTH_UNKNOWN * earned, most = GROWTH_MAX * earned;
  if (grow < least) grow = least;
  if (grow > most) grow = most;
  grow += s->carry;
  if (grow < cc->mss) { /* less than a segment is of no use */
    s->carry = (float)grow;
    return;
  }
  uint32_t bytes = (uint32_t)grow / cc->mss * cc->mss;
  cc->cwnd += bytes;
  s->carry = (float)(grow - bytes);
}

/* 4.2, 5.8: time in which the window could not grow is none for W_cubic. */
static void skip_time(struct mst__cc *cc, uint64_t now_ns) {
  struct mst__cubic *s = &cc->state.cubic.now;
  if (s->epoch_ns) s->epoch_ns += now_ns - s->seen_ns;
  s->seen_ns = now_ns;
}

/* Where losses have shown the limit and a queue stands, data is spread a little: the segment by which a window grows
 * would else be the third of a burst, and in a queue that is nearly full the third is the one that is dropped. */
static void spread(struct mst__cc *cc, const struct mst__cc_ack *ack) {
  bool wanted = cc->state.cubic.now.w_max_known && cc->cwnd >= cc->ssthresh && ack->srtt_ns && queue_shows(ack);
  cc->pacing_rate = wanted ? (uint64_t)(PACING_GAIN * 1e9 * cc->cwnd / (double)ack->srtt_ns) : 0;
}

/* The first slow start: where the limit is, nobody knows yet. In a queue that stands congestion avoidance finds it by
 * the cubic, without dropping a window of packets as Conservative Slow Start would in a few more rounds. */
static uint32_t first_slow_start(struct mst__cc *cc, const struct mst__cc_ack *ack, uint32_t earned) {
  struct mst__hystart *hystart = &cc->state.cubic.hystart;
  uint32_t grow = mst__hystart_on_ack(hystart, cc, ack, earned, MST__HYSTART_UNLIMITED);
  if (mst__hystart_queue_stands(hystart, ack)) cc->ssthresh = cc->cwnd;
  return grow;
}

static void cubic_on_ack(struct mst__cc *cc, const struct mst__cc_ack *ack) {
  if (!ack->cwnd_limited) return skip_time(cc, ack->now_ns);
  uint32_t earned = mst__cc_earned(cc, ack);
  cc->state.cubic.now.seen_ns = ack->now_ns;
  if (cc->cwnd < cc->ssthresh) {
    uint32_t grow = cc->ssthresh == UINT32_MAX ? first_slow_start(cc, ack, earned) : earned;
    uint32_t room = cc->ssthresh - cc->cwnd;
    if (grow > room) grow = room;
    cc->cwnd += grow;
    cc->pacing_rate = 0;
    return;
  }
  if (!earned) return;
  congestion_avoidance(cc, ack, earned);
  spread(cc, ack);
}

/* 4.6 says FlightSize, lest a window that was not used counts. Ours does not grow then and decays, so cwnd serves (4.6
 * allows it so), unless much less is under way. */
static double reduction_base(const struct mst__cc *cc, uint32_t flight_bytes) {
  return flight_bytes < cc->cwnd / 2 ? flight_bytes : cc->cwnd;
}

/* 4.6 multiplicative decrease, 4.7 fast convergence, 4.8 timeout. */
static void cubic_on_congestion(struct mst__cc *cc, enum mst__cc_signal signal, uint32_t flight_bytes,
                                uint64_t now_ns) {
  struct mst__cubic *s = &cc->state.cubic.now;
  double beta = signal == MST__CC_ECN ? BETA_ECN : BETA, cwnd = cc->cwnd;
  uint32_t window = (uint32_t)(reduction_base(cc, flight_bytes) * beta), mss = cc->mss;
  cc->state.cubic.before = *s;
  s->w_max = s->w_max_known && cwnd < s->w_max ? cwnd * (1 + BETA) / 2 : cwnd;
  s->w_max_known = signal != MST__CC_TIMEOUT;
  s->cwnd_prior = cc->cwnd;
  s->epoch_ns = 0;
  s->seen_ns = now_ns;
  cc->ssthresh = window > 2 * mss ? window : 2 * mss;
  cc->cwnd = cc->ssthresh;
  if (signal == MST__CC_ECN) cc->cwnd = window > mss ? window : mss;
  if (signal == MST__CC_TIMEOUT) cc->cwnd = mss;
  cc->held_bytes = 0;
}

/* 4.9 */
static void cubic_on_undo(struct mst__cc *cc) {
  cc->state.cubic.now = cc->state.cubic.before;
}

static void cubic_on_start(struct mst__cc *cc, uint64_t now_ns) {
  skip_time(cc, now_ns);
}

const struct mst__cc_ops mst__cc_cubic = {
    .name = "cubic",
    .init = cubic_init,
    .on_ack = cubic_on_ack,
    .on_congestion = cubic_on_congestion,
    .on_undo = cubic_on_undo,
    .on_start = cubic_on_start,
};
