/* BBR's model of the path (draft-ietf-ccwg-bbr-06, 5.5): rounds, the most bandwidth, the least round trip, how much is
 * acknowledged at once, and what losses say of the volume that fits. */
#include "tcp/cc/cc.h"

#define BETA 0.7
#define LOSS_THRESH 0.02
#define FULL_BW_GROWTH 1.25
#define FULL_BW_ROUNDS 3
#define PROBE_RTT_INTERVAL_NS 5000000000ull
#define MIN_RTT_FILTER_NS 10000000000ull
#define EXTRA_ACKED_ROUNDS 5 /* of each of two windows: ExtraAckedFilterLen is 10 */
#define MIN_PIPE_SEGMENTS 4u
#define QUANTUM_MAX_BYTES 65536u
#define OFFLOAD_QUANTA 3u

static uint32_t max32(uint32_t a, uint32_t b) {
  return a > b ? a : b;
}
static uint32_t min32(uint32_t a, uint32_t b) {
  return a < b ? a : b;
}
static uint64_t max64(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

void mst__bbr_model_init(struct mst__bbr *bbr, uint64_t now_ns) {
  *bbr = (struct mst__bbr){
      .min_rtt_stamp_ns = now_ns,
      .probe_rtt_min_stamp_ns = now_ns,
      .extra_acked_interval_start_ns = now_ns,
      .inflight_longterm = MST__BBR_INFINITE,
      .probe_up_acked_per_inc = MST__BBR_INFINITE,
      .undo_state = MST__BBR_STATES,
      .random = (uint32_t)(now_ns ^ now_ns >> 32) | 1,
  };
  mst__bbr_reset_shortterm_model(bbr);
}

uint64_t mst__bbr_max_bw(const struct mst__bbr *bbr) {
  return max64(bbr->max_bw[0], bbr->max_bw[1]);
}

void mst__bbr_reset_congestion_signals(struct mst__bbr *bbr) {
  bbr->is_loss_in_round = false;
  bbr->bw_latest = 0;
  bbr->inflight_latest = 0;
}

void mst__bbr_reset_shortterm_model(struct mst__bbr *bbr) {
  bbr->bw_shortterm = MST__BBR_INFINITE_BW;
  bbr->inflight_shortterm = MST__BBR_INFINITE;
}

void mst__bbr_reset_full_bw(struct mst__bbr *bbr, uint64_t full_bw) {
  bbr->full_bw = full_bw;
  bbr->full_bw_count = 0;
  bbr->full_bw_now = false;
}

/* --- bandwidth --- */

/* 5.5.10.3 */
void mst__bbr_update_latest_signals(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  bbr->loss_round_start = false;
  bbr->bw_latest = max64(bbr->bw_latest, step->rate);
  bbr->inflight_latest = max32(bbr->inflight_latest, (uint32_t)step->ack->sample_bytes);
  if (step->ack->prior_delivered < bbr->loss_round_delivered) return;
  bbr->loss_round_delivered = step->ack->delivered;
  bbr->loss_round_start = true;
}

void mst__bbr_advance_latest_signals(struct mst__bbr_step *step) {
  if (!step->bbr->loss_round_start) return;
  step->bbr->bw_latest = step->rate;
  step->bbr->inflight_latest = (uint32_t)step->ack->sample_bytes;
}

/* 5.5.1 */
static void update_round(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  bbr->round_start = step->ack->prior_delivered >= bbr->next_round_delivered;
  if (!bbr->round_start) return;
  bbr->next_round_delivered = step->ack->delivered;
  bbr->round_count++;
  if (bbr->rounds_since_probe_up < UINT16_MAX) bbr->rounds_since_probe_up++;
}

/* 5.5.6: one step of the two that the filter is long. Without a sample the old one stays. */
void mst__bbr_advance_max_bw_filter(struct mst__bbr *bbr) {
  if (!bbr->max_bw[0]) return;
  bbr->max_bw[1] = bbr->max_bw[0];
  bbr->max_bw[0] = 0;
}

static bool is_probing_bw(const struct mst__bbr *bbr) {
  return bbr->state == MST__BBR_STARTUP || bbr->state == MST__BBR_PROBE_BW_REFILL || bbr->state == MST__BBR_PROBE_BW_UP;
}

/* Once a round with losses, while bandwidth is not probed: no more than what has just been delivered. */
static void adapt_lower_bounds(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  if (!bbr->is_loss_in_round || is_probing_bw(bbr)) return;
  if (bbr->bw_shortterm == MST__BBR_INFINITE_BW) bbr->bw_shortterm = mst__bbr_max_bw(bbr);
  if (bbr->inflight_shortterm == MST__BBR_INFINITE) bbr->inflight_shortterm = step->cc->cwnd;
  bbr->bw_shortterm = max64(bbr->bw_latest, (uint64_t)(BETA * (double)bbr->bw_shortterm));
  bbr->inflight_shortterm = max32(bbr->inflight_latest, (uint32_t)(BETA * bbr->inflight_shortterm));
}

void mst__bbr_update_congestion_signals(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  update_round(step);
  if (step->rate && (!step->app_limited || step->rate >= mst__bbr_max_bw(bbr)))
    bbr->max_bw[0] = max64(bbr->max_bw[0], step->rate);
  if (!bbr->loss_round_start) return;
  adapt_lower_bounds(step);
  bbr->is_loss_in_round = false;
}

/* 5.3.1.2 */
void mst__bbr_check_full_bw_reached(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  if (bbr->full_bw_now || !bbr->round_start || step->app_limited || !step->rate) return;
  if ((double)step->rate >= (double)bbr->full_bw * FULL_BW_GROWTH) {
    mst__bbr_reset_full_bw(bbr, step->rate);
    return;
  }
  bbr->full_bw_now = ++bbr->full_bw_count >= FULL_BW_ROUNDS;
  if (bbr->full_bw_now) bbr->full_bw_reached = true;
}

/* --- round trips --- */

/* 5.3.4.3 */
void mst__bbr_update_min_rtt(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  uint64_t now_ns = step->ack->now_ns, rtt_ns = step->ack->rtt_ns;
  bbr->probe_rtt_expired = now_ns > bbr->probe_rtt_min_stamp_ns + PROBE_RTT_INTERVAL_NS;
  bool lower = !bbr->probe_rtt_min_delay_ns || rtt_ns < bbr->probe_rtt_min_delay_ns;
  if (rtt_ns && (lower || bbr->probe_rtt_expired)) {
    bbr->probe_rtt_min_delay_ns = rtt_ns;
    bbr->probe_rtt_min_stamp_ns = now_ns;
  }
  if (!bbr->probe_rtt_min_delay_ns) return;
  bool expired = now_ns > bbr->min_rtt_stamp_ns + MIN_RTT_FILTER_NS;
  if (bbr->min_rtt_ns && bbr->probe_rtt_min_delay_ns >= bbr->min_rtt_ns && !expired) return;
  bbr->min_rtt_ns = bbr->probe_rtt_min_delay_ns;
  bbr->min_rtt_stamp_ns = bbr->probe_rtt_min_stamp_ns;
}

/* --- volume --- */

/* 5.5.9: what is acknowledged beyond bw for a while, at most in the last rounds. */
void mst__bbr_update_ack_aggregation(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  uint64_t now_ns = step->ack->now_ns, interval_us = (now_ns - bbr->extra_acked_interval_start_ns) / 1000;
  double expected = (double)bbr->bw * (double)interval_us / 1e6;
  if (bbr->extra_acked_delivered <= expected) {
    bbr->extra_acked_delivered = 0;
    bbr->extra_acked_interval_start_ns = now_ns;
    expected = 0;
  }
  bbr->extra_acked_delivered += step->ack->delivered_bytes;
  uint32_t extra = min32((uint32_t)(bbr->extra_acked_delivered - expected), step->cc->cwnd);
  uint8_t rounds = bbr->full_bw_reached ? EXTRA_ACKED_ROUNDS : 1; /* in Startup, one round is remembered */
  if (bbr->round_start && ++bbr->extra_acked_rounds >= rounds) {
    bbr->extra_acked_rounds = 0;
    bbr->extra_acked[1] = bbr->full_bw_reached ? bbr->extra_acked[0] : 0;
    bbr->extra_acked[0] = 0;
  }
  bbr->extra_acked[0] = max32(bbr->extra_acked[0], extra);
}

uint32_t mst__bbr_bdp_multiple(const struct mst__cc *cc, uint64_t bw, double gain) {
  const struct mst__bbr *bbr = &cc->state.bbr;
  if (!bbr->min_rtt_ns || !bw) return cc->cwnd;
  double bytes = gain * (double)bw * (double)bbr->min_rtt_ns / 1e9;
  return bytes < MST__BBR_INFINITE ? (uint32_t)bytes : MST__BBR_INFINITE - 1;
}

/* 5.6.4.2, QuantizationBudget. */
uint32_t mst__bbr_inflight(const struct mst__cc *cc, uint64_t bw, double gain) {
  uint32_t bytes = mst__bbr_bdp_multiple(cc, bw, gain);
  uint64_t quantum = cc->pacing_rate / 1000; /* 5.6.3 */
  if (quantum > QUANTUM_MAX_BYTES) quantum = QUANTUM_MAX_BYTES;
  bytes = max32(bytes, OFFLOAD_QUANTA * max32((uint32_t)quantum, 2 * cc->mss));
  bytes = max32(bytes, MIN_PIPE_SEGMENTS * cc->mss);
  return cc->state.bbr.state == MST__BBR_PROBE_BW_UP ? bytes + 2 * cc->mss : bytes;
}

/* --- loss --- */

/* 5.5.11.1 */
void mst__bbr_save_state(struct mst__cc *cc) {
  struct mst__bbr *bbr = &cc->state.bbr;
  bbr->prior_cwnd = max32(bbr->timed_out || bbr->state == MST__BBR_PROBE_RTT ? bbr->prior_cwnd : 0, cc->cwnd);
  bbr->undo_state = MST__BBR_STATES;
  bbr->undo_bw_shortterm = bbr->bw_shortterm;
  bbr->undo_inflight_shortterm = bbr->inflight_shortterm;
  bbr->undo_inflight_longterm = bbr->inflight_longterm;
}

void mst__bbr_note_loss(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  if (!bbr->is_loss_in_round) {
    bbr->loss_round_delivered = step->ack->delivered;
    mst__bbr_save_state(step->cc);
  }
  bbr->is_loss_in_round = true;
  if (bbr->loss_events < UINT8_MAX) bbr->loss_events++;
}

/* 5.5.10.2. What was in flight when the newest segment that has arrived was sent, has arrived by now or is lost. */
bool mst__bbr_inflight_is_too_high(const struct mst__bbr_step *step) {
  return step->lost > LOSS_THRESH * step->tx_in_flight;
}
