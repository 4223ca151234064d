/* CUBIC (rfc8312bis, published as RFC 9438). Windows in its formulas are segments, times are seconds. */
#include "tcp/cc/cc.h"

#define C 0.4                               /* 5 */
#define BETA 0.7                            /* 4.6 */
#define ALPHA (3 * (1 - BETA) / (1 + BETA)) /* 4.3 */

static double cube_root(double x) {
  if (x <= 0) return 0;
  double r = x > 1 ? x / 3 : 1;
  for (int i = 0; i < 40; i++) {
    double next = (2 * r + x / (r * r)) / 3;
    double change = next > r ? next - r : r - next;
    r = next;
    if (change < 1e-9 * r) break;
  }
  return r;
}

static double segments(const struct mst__cc *cc, uint32_t bytes) {
  return (double)bytes / cc->mss;
}

static void cubic_init(struct mst__cc *cc, uint64_t now_ns) {
  (void)now_ns;
  cc->state.cubic.epoch_start_ns = 0;
  cc->state.cubic.w_max = 0;
  cc->state.cubic.w_est = 0;
  cc->state.cubic.k = 0;
  cc->state.cubic.growth_bytes = 0;
  cc->state.cubic.cwnd_prior = 0;
}

/* 4.2: a new congestion-avoidance stage. */
static void epoch_begin(struct mst__cc *cc, uint64_t now_ns) {
  double cwnd = segments(cc, cc->cwnd);
  cc->state.cubic.epoch_start_ns = now_ns;
  cc->state.cubic.w_est = cwnd;
  cc->state.cubic.growth_bytes = 0;
  if (cwnd >= cc->state.cubic.w_max) {
    cc->state.cubic.w_max = cwnd;
    cc->state.cubic.k = 0;
  } else {
    cc->state.cubic.k = cube_root((cc->state.cubic.w_max - cwnd) / C);
  }
}

static double w_cubic(const struct mst__cc *cc, double t) {
  double d = t - cc->state.cubic.k;
  return C * d * d * d + cc->state.cubic.w_max;
}

/* 4.3: the window that Reno would have. */
static void w_est_grow(struct mst__cc *cc, uint32_t acked_bytes) {
  double alpha = cc->state.cubic.w_est >= segments(cc, cc->state.cubic.cwnd_prior) ? 1 : ALPHA;
  cc->state.cubic.w_est += alpha * acked_bytes / cc->cwnd;
}

static void congestion_avoidance(struct mst__cc *cc, const struct mst__cc_ack *ack) {
  if (!cc->state.cubic.epoch_start_ns) epoch_begin(cc, ack->now_ns);
  w_est_grow(cc, ack->acked_bytes);
  double t = (double)(ack->now_ns - cc->state.cubic.epoch_start_ns) / 1e9;
  double cwnd = segments(cc, cc->cwnd);
  if (w_cubic(cc, t) < cc->state.cubic.w_est) { /* Reno-friendly region */
    if (cc->state.cubic.w_est > cwnd) cc->cwnd = (uint32_t)(cc->state.cubic.w_est * cc->mss);
    return;
  }
  double target = w_cubic(cc, t + (double)ack->srtt_ns / 1e9);
  if (target < cwnd) target = cwnd;
  if (target > 1.5 * cwnd) target = 1.5 * cwnd;
  /* 4.4: (target - cwnd) / cwnd for each segment acknowledged. */
  double grow = (target - cwnd) / cwnd * ack->acked_bytes + cc->state.cubic.growth_bytes;
  cc->cwnd += (uint32_t)grow / cc->mss * cc->mss;
  cc->state.cubic.growth_bytes = (uint32_t)grow % cc->mss;
}

static void cubic_on_ack(struct mst__cc *cc, const struct mst__cc_ack *ack) {
  if (ack->recovering || !ack->acked_bytes) return;
  if (!ack->cwnd_limited) {
    cc->state.cubic.epoch_start_ns = 0; /* 4.2: time without data to send does not count */
    return;
  }
  if (cc->cwnd < cc->ssthresh) {
    cc->cwnd += ack->acked_bytes;
    return;
  }
  congestion_avoidance(cc, ack);
}

/* 4.6 multiplicative decrease and 4.7 fast convergence. */
static void decrease(struct mst__cc *cc, uint32_t flight_bytes) {
  double cwnd = segments(cc, cc->cwnd);
  cc->state.cubic.cwnd_prior = cc->cwnd;
  cc->state.cubic.w_max = cwnd < cc->state.cubic.w_max ? cwnd * (1 + BETA) / 2 : cwnd;
  uint32_t ssthresh = (uint32_t)(flight_bytes * BETA), least = 2 * cc->mss;
  cc->ssthresh = ssthresh > least ? ssthresh : least;
  cc->state.cubic.epoch_start_ns = 0;
}

static void cubic_on_congestion(struct mst__cc *cc, enum mst__cc_signal signal, uint32_t flight_bytes,
                                uint64_t now_ns) {
  (void)now_ns;
  decrease(cc, flight_bytes);
  cc->cwnd = signal == MST__CC_TIMEOUT ? cc->mss : cc->ssthresh; /* 4.8 */
}

const struct mst__cc_ops mst__cc_cubic = {
    .name = "cubic",
    .init = cubic_init,
    .on_ack = cubic_on_ack,
    .on_congestion = cubic_on_congestion,
};
