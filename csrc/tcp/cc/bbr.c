/* BBR version 3 (draft-ietf-ccwg-bbr-06): the state machine of 5.3 and the control parameters of 5.6.
 *
 * What is told here in one call for an ACK, the draft tells for each lost packet: the volume at which losses crossed
 * the threshold (5.5.10.2) is computed for all that an ACK shows to be lost as if it were one packet. To ECN the draft
 * has no answer; a mark counts as a loss here, as RFC 3168 5 wants it. */
#include "tcp/cc/cc.h"

#define BETA 0.7
#define LOSS_THRESH 0.02
#define HEADROOM 0.15
#define PACING_MARGIN 0.99
#define MIN_PIPE_SEGMENTS 4u
#define INITIAL_SEGMENTS 10u
#define PROBE_RTT_DURATION_NS 200000000u
#define STARTUP_FULL_LOSS_COUNT 6
#define RENO_ROUNDS_MAX 63u
#define DRAIN_ROUNDS 3

static const double pacing_gain[MST__BBR_STATES] = {
    [MST__BBR_STARTUP] = 2.77,        [MST__BBR_DRAIN] = 0.5,         [MST__BBR_PROBE_BW_DOWN] = 0.9,
    [MST__BBR_PROBE_BW_CRUISE] = 1.0, [MST__BBR_PROBE_BW_REFILL] = 1, [MST__BBR_PROBE_BW_UP] = 1.25,
    [MST__BBR_PROBE_RTT] = 1.0,
};
static const double cwnd_gain[MST__BBR_STATES] = {
    [MST__BBR_STARTUP] = 2,         [MST__BBR_DRAIN] = 2,           [MST__BBR_PROBE_BW_DOWN] = 2,
    [MST__BBR_PROBE_BW_CRUISE] = 2, [MST__BBR_PROBE_BW_REFILL] = 2, [MST__BBR_PROBE_BW_UP] = 2.25,
    [MST__BBR_PROBE_RTT] = 0.5,
};

static uint32_t max32(uint32_t a, uint32_t b) {
  return a > b ? a : b;
}
static uint32_t min32(uint32_t a, uint32_t b) {
  return a < b ? a : b;
}

static bool in_probe_bw(const struct mst__bbr *bbr) {
  return bbr->state >= MST__BBR_PROBE_BW_DOWN && bbr->state <= MST__BBR_PROBE_BW_UP;
}

/* Different for flows that begin at different times, and the same in each run. */
static uint32_t random_below(struct mst__bbr *bbr, uint64_t now_ns, uint32_t limit) {
  bbr->random = (bbr->random ^ (uint32_t)now_ns) * 2654435761u + 0x9e3779b9u;
  bbr->random ^= bbr->random >> 15;
  return bbr->random % limit;
}

/* --- from state to state --- */

static void start_round(struct mst__bbr_step *step) {
  step->bbr->next_round_delivered = step->ack->delivered;
}

static uint32_t target_inflight(const struct mst__cc *cc) {
  return min32(mst__bbr_bdp_multiple(cc, cc->state.bbr.bw, 1), cc->cwnd);
}

static void start_down(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  mst__bbr_reset_congestion_signals(bbr);
  bbr->probe_up_acked_per_inc = MST__BBR_INFINITE;
  /* 5.3.3.8.3, PickProbeWait */
  bbr->rounds_since_probe_up = (uint16_t)random_below(bbr, step->ack->now_ns, 2);
  bbr->bw_probe_wait_ms = 2000 + random_below(bbr, step->ack->now_ns, 1000);
  bbr->cycle_stamp_ns = step->ack->now_ns;
  bbr->ack_phase = MST__BBR_ACKS_PROBE_STOPPING;
  start_round(step);
  bbr->state = MST__BBR_PROBE_BW_DOWN;
}

static void start_refill(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  mst__bbr_reset_shortterm_model(bbr);
  bbr->bw_probe_up_rounds = 0;
  bbr->bw_probe_up_acked = 0;
  bbr->prev_probe_precautionary = false;
  bbr->ack_phase = MST__BBR_ACKS_REFILLING;
  start_round(step);
  bbr->state = MST__BBR_PROBE_BW_REFILL;
}

/* By 1, 2, 4, 8 ... segments in successive rounds. */
static void raise_slope(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  bbr->probe_up_acked_per_inc = max32(step->cc->cwnd >> bbr->bw_probe_up_rounds, step->cc->mss);
  if (bbr->bw_probe_up_rounds < 30) bbr->bw_probe_up_rounds++;
}

static void start_up(struct mst__bbr_step *step) {
  step->bbr->ack_phase = MST__BBR_ACKS_PROBE_STARTING;
  start_round(step);
  mst__bbr_reset_full_bw(step->bbr, step->rate);
  step->bbr->state = MST__BBR_PROBE_BW_UP;
  raise_slope(step);
}

/* 5.3.1.3 */
static void check_startup_high_loss(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  if (bbr->full_bw_reached || !bbr->loss_round_start) return;
  bool high =
      step->ack->recovering && bbr->loss_events >= STARTUP_FULL_LOSS_COUNT && mst__bbr_inflight_is_too_high(step);
  bbr->loss_events = 0;
  if (!high) return;
  bbr->undo_state = MST__BBR_STARTUP;
  bbr->full_bw_reached = true;
  bbr->inflight_longterm = max32(mst__bbr_bdp_multiple(step->cc, mst__bbr_max_bw(bbr), 1), bbr->inflight_latest);
}

static void check_startup_done(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  check_startup_high_loss(step);
  if (bbr->state != MST__BBR_STARTUP || !bbr->full_bw_reached) return;
  bbr->state = MST__BBR_DRAIN;
  bbr->drain_start_round = bbr->round_count;
}

static void check_drain_done(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  if (bbr->state != MST__BBR_DRAIN) return;
  if (step->ack->flight_bytes <= mst__bbr_inflight(step->cc, bbr->bw, 1) ||
      bbr->round_count > bbr->drain_start_round + DRAIN_ROUNDS)
    start_down(step);
}

/* --- ProbeBW --- */

static uint32_t inflight_with_headroom(const struct mst__cc *cc) {
  uint32_t bound = cc->state.bbr.inflight_longterm;
  if (bound == MST__BBR_INFINITE) return bound;
  uint32_t headroom = max32(cc->mss, (uint32_t)(HEADROOM * bound));
  return max32(bound > headroom ? bound - headroom : 0, MIN_PIPE_SEGMENTS * cc->mss);
}

/* 5.3.3.8: seldom enough for Reno and CUBIC to live beside it. */
static bool probes_bw_again(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  uint32_t reno_rounds = min32(target_inflight(step->cc) / step->cc->mss, RENO_ROUNDS_MAX);
  if (step->ack->now_ns <= bbr->cycle_stamp_ns + bbr->bw_probe_wait_ms * 1000000ull &&
      bbr->rounds_since_probe_up < reno_rounds)
    return false;
  start_refill(step);
  return true;
}

static bool is_time_to_cruise(const struct mst__bbr_step *step) {
  uint32_t flight = step->ack->flight_bytes;
  return flight <= inflight_with_headroom(step->cc) &&
         flight <= mst__bbr_inflight(step->cc, mst__bbr_max_bw(step->bbr), 1);
}

/* 5.3.3.7 */
static bool is_time_to_go_down(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  if (bbr->prev_probe_too_high && step->ack->flight_bytes >= bbr->inflight_longterm) {
    bbr->prev_probe_precautionary = true;
    return true;
  }
  if (step->ack->cwnd_limited && step->cc->cwnd >= bbr->inflight_longterm) {
    mst__bbr_reset_full_bw(bbr, step->rate); /* the bound limits, not the path */
    return false;
  }
  return bbr->full_bw_now;
}

static void probe_inflight_upward(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  if (!step->ack->cwnd_limited || step->cc->cwnd < bbr->inflight_longterm) return;
  bbr->bw_probe_up_acked += step->ack->delivered_bytes;
  uint32_t steps = bbr->bw_probe_up_acked / bbr->probe_up_acked_per_inc;
  bbr->bw_probe_up_acked -= steps * bbr->probe_up_acked_per_inc;
  bbr->inflight_longterm += steps * step->cc->mss;
  if (bbr->round_start) raise_slope(step);
}

/* 5.3.3.9. True: the state was changed. */
static bool adapt_longterm_model(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  if (bbr->ack_phase == MST__BBR_ACKS_PROBE_STARTING && bbr->round_start) bbr->ack_phase = MST__BBR_ACKS_PROBE_FEEDBACK;
  if (bbr->ack_phase == MST__BBR_ACKS_PROBE_STOPPING && bbr->round_start) {
    bbr->is_bw_probe_sample = false;
    bbr->ack_phase = MST__BBR_ACKS_INIT;
    if (in_probe_bw(bbr) && !step->app_limited) mst__bbr_advance_max_bw_filter(bbr);
    if (in_probe_bw(bbr) && bbr->prev_probe_precautionary && !bbr->prev_probe_too_high) {
      start_refill(step);
      return true;
    }
  }
  if (mst__bbr_inflight_is_too_high(step) || bbr->inflight_longterm == MST__BBR_INFINITE) return false;
  bbr->inflight_longterm = max32(bbr->inflight_longterm, step->tx_in_flight);
  if (bbr->state == MST__BBR_PROBE_BW_UP) probe_inflight_upward(step);
  return false;
}

static void update_probe_bw_cycle(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  if (!bbr->full_bw_reached || adapt_longterm_model(step)) return;
  switch (bbr->state) {
  case MST__BBR_PROBE_BW_DOWN:
    if (!probes_bw_again(step) && is_time_to_cruise(step)) bbr->state = MST__BBR_PROBE_BW_CRUISE;
    break;
  case MST__BBR_PROBE_BW_CRUISE: probes_bw_again(step); break;
  case MST__BBR_PROBE_BW_REFILL:
    if (!bbr->round_start) break;
    bbr->is_bw_probe_sample = true;
    start_up(step);
    break;
  case MST__BBR_PROBE_BW_UP:
    if (!is_time_to_go_down(step)) break;
    bbr->prev_probe_too_high = false;
    start_down(step);
    break;
  default: break;
  }
}

/* --- ProbeRTT --- */

static void restore_cwnd(struct mst__cc *cc) {
  cc->cwnd = max32(cc->cwnd, cc->state.bbr.prior_cwnd);
}

static uint32_t probe_rtt_cwnd(const struct mst__cc *cc) {
  return max32(mst__bbr_bdp_multiple(cc, cc->state.bbr.bw, cwnd_gain[MST__BBR_PROBE_RTT]), MIN_PIPE_SEGMENTS * cc->mss);
}

static void check_probe_rtt_done(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  if (!bbr->probe_rtt_done_stamp_ns || step->ack->now_ns <= bbr->probe_rtt_done_stamp_ns) return;
  bbr->probe_rtt_min_stamp_ns = step->ack->now_ns;
  restore_cwnd(step->cc);
  mst__bbr_reset_shortterm_model(bbr);
  bbr->state = MST__BBR_STARTUP;
  if (!bbr->full_bw_reached) return;
  start_down(step);
  bbr->state = MST__BBR_PROBE_BW_CRUISE;
}

static void handle_probe_rtt(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  bbr->limited_until = step->ack->delivered + step->ack->flight_bytes;
  if (!bbr->probe_rtt_done_stamp_ns) {
    if (step->ack->flight_bytes > probe_rtt_cwnd(step->cc)) return;
    bbr->probe_rtt_done_stamp_ns = step->ack->now_ns + PROBE_RTT_DURATION_NS;
    bbr->probe_rtt_round_done = false;
    start_round(step);
    return;
  }
  if (bbr->round_start) bbr->probe_rtt_round_done = true;
  if (bbr->probe_rtt_round_done) check_probe_rtt_done(step);
}

/* 5.3.4.3 */
static void check_probe_rtt(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  if (bbr->state != MST__BBR_PROBE_RTT && bbr->probe_rtt_expired && !bbr->idle_restart) {
    bbr->prior_cwnd = max32(bbr->timed_out ? bbr->prior_cwnd : 0, step->cc->cwnd);
    bbr->state = MST__BBR_PROBE_RTT;
    bbr->probe_rtt_done_stamp_ns = 0;
    bbr->ack_phase = MST__BBR_ACKS_PROBE_STOPPING;
    start_round(step);
  }
  if (bbr->state == MST__BBR_PROBE_RTT) handle_probe_rtt(step);
  if (step->ack->sample_bytes) bbr->idle_restart = false;
}

/* --- loss --- */

/* 5.5.10.2 */
static void handle_inflight_too_high(struct mst__bbr_step *step, uint32_t inflight) {
  struct mst__bbr *bbr = step->bbr;
  bbr->prev_probe_too_high = true;
  bbr->is_bw_probe_sample = false; /* once for each probe */
  if (!step->app_limited) bbr->inflight_longterm = max32(inflight, (uint32_t)(target_inflight(step->cc) * BETA));
  if (bbr->state != MST__BBR_PROBE_BW_UP) return;
  bbr->undo_state = MST__BBR_PROBE_BW_UP;
  start_down(step);
}

/* Of the flight, `lost` was lost in all and `now` of it is news: where did losses cross the threshold? */
static uint32_t inflight_at_loss(const struct mst__bbr_step *step, uint32_t now) {
  double inflight_prev = (double)step->tx_in_flight - now, lost_prev = (double)step->lost - now;
  double prefix = (LOSS_THRESH * inflight_prev - lost_prev) / (1 - LOSS_THRESH);
  double at = inflight_prev + (prefix > 0 ? prefix : 0);
  return at > 0 ? (uint32_t)at : 0;
}

static void handle_losses(struct mst__bbr_step *step) {
  struct mst__bbr *bbr = step->bbr;
  uint32_t news = (uint32_t)step->ack->lost - bbr->lost_seen;
  bbr->lost_seen = (uint32_t)step->ack->lost;
  if (!news && !bbr->marked) return;
  bool marked = bbr->marked;
  bbr->marked = false;
  mst__bbr_note_loss(step);
  if (!bbr->is_bw_probe_sample) return;
  if (mst__bbr_inflight_is_too_high(step))
    handle_inflight_too_high(step, inflight_at_loss(step, min32(news, step->lost)));
  else if (marked)
    handle_inflight_too_high(step, step->tx_in_flight);
}

/* --- control: 5.6 --- */

static void set_pacing_rate(struct mst__cc *cc, double gain) {
  struct mst__bbr *bbr = &cc->state.bbr;
  uint64_t rate = (uint64_t)(gain * (double)bbr->bw * PACING_MARGIN);
  if (rate && (bbr->full_bw_reached || rate > cc->pacing_rate)) cc->pacing_rate = rate;
}

/* Until a round trip is known, 1 ms stands for it. */
static void init_pacing_rate(struct mst__cc *cc, uint64_t srtt_ns) {
  double seconds = (double)(srtt_ns ? srtt_ns : 1000000) / 1e9;
  cc->pacing_rate = (uint64_t)(pacing_gain[MST__BBR_STARTUP] * cc->cwnd / seconds);
}

/* 5.6.4.7 */
static uint32_t cwnd_cap(const struct mst__cc *cc) {
  const struct mst__bbr *bbr = &cc->state.bbr;
  uint32_t cap = MST__BBR_INFINITE;
  if (bbr->state == MST__BBR_PROBE_RTT || bbr->state == MST__BBR_PROBE_BW_CRUISE)
    cap = inflight_with_headroom(cc);
  else if (in_probe_bw(bbr))
    cap = bbr->inflight_longterm;
  return max32(min32(cap, bbr->inflight_shortterm), MIN_PIPE_SEGMENTS * cc->mss);
}

/* 5.6.4.6 */
static void set_cwnd(struct mst__bbr_step *step) {
  struct mst__cc *cc = step->cc;
  struct mst__bbr *bbr = step->bbr;
  uint32_t acked = step->ack->delivered_bytes, extra = max32(bbr->extra_acked[0], bbr->extra_acked[1]);
  uint32_t max_inflight = max32(mst__bbr_bdp_multiple(cc, bbr->bw, cwnd_gain[bbr->state]) + extra,
                                mst__bbr_inflight(cc, bbr->bw, cwnd_gain[bbr->state]));
  if (bbr->timed_out && step->ack->prior_delivered >= bbr->loss_round_delivered) {
    bbr->timed_out = false; /* what was sent after the timeout arrives */
    restore_cwnd(cc);
  }
  if (bbr->full_bw_reached)
    cc->cwnd = min32(cc->cwnd + acked, max_inflight);
  else if (cc->cwnd < max_inflight || step->ack->delivered < INITIAL_SEGMENTS * cc->mss)
    cc->cwnd += acked;
  cc->cwnd = max32(cc->cwnd, MIN_PIPE_SEGMENTS * cc->mss);
  if (bbr->state == MST__BBR_PROBE_RTT) cc->cwnd = min32(cc->cwnd, probe_rtt_cwnd(cc));
  cc->cwnd = min32(cc->cwnd, cwnd_cap(cc));
}

/* --- the hooks --- */

static void bbr_init(struct mst__cc *cc, uint64_t now_ns) {
  mst__bbr_model_init(&cc->state.bbr, now_ns);
  init_pacing_rate(cc, 0);
}

static struct mst__bbr_step make_step(struct mst__cc *cc, const struct mst__cc_ack *ack) {
  struct mst__bbr_step step = {.cc = cc, .bbr = &cc->state.bbr, .ack = ack};
  if (ack->interval_ns) step.rate = (uint64_t)((double)ack->sample_bytes * 1e9 / (double)ack->interval_ns);
  step.lost = (uint32_t)(ack->lost - ack->prior_lost);
  step.tx_in_flight = (uint32_t)ack->sample_bytes + step.lost;
  step.app_limited = ack->app_limited || ack->prior_delivered < step.bbr->limited_until;
  return step;
}

static void bbr_on_ack(struct mst__cc *cc, const struct mst__cc_ack *ack) {
  struct mst__bbr_step step = make_step(cc, ack);
  struct mst__bbr *bbr = step.bbr;
  if (!bbr->rtt_seen && ack->srtt_ns) {
    bbr->rtt_seen = true;
    init_pacing_rate(cc, ack->srtt_ns);
  }
  handle_losses(&step);
  mst__bbr_update_latest_signals(&step);
  mst__bbr_update_congestion_signals(&step);
  mst__bbr_update_ack_aggregation(&step);
  mst__bbr_check_full_bw_reached(&step);
  check_startup_done(&step);
  check_drain_done(&step);
  update_probe_bw_cycle(&step);
  mst__bbr_update_min_rtt(&step);
  check_probe_rtt(&step);
  mst__bbr_advance_latest_signals(&step);
  uint64_t max_bw = mst__bbr_max_bw(bbr);
  bbr->bw = max_bw < bbr->bw_shortterm ? max_bw : bbr->bw_shortterm;
  set_pacing_rate(cc, pacing_gain[bbr->state]);
  set_cwnd(&step);
}

static void bbr_on_congestion(struct mst__cc *cc, enum mst__cc_signal signal, uint32_t flight_bytes, uint64_t now_ns) {
  (void)flight_bytes, (void)now_ns;
  struct mst__bbr *bbr = &cc->state.bbr;
  if (signal == MST__CC_ECN) {
    bbr->marked = true;
    return;
  }
  mst__bbr_save_state(cc);
  if (signal != MST__CC_TIMEOUT) return;
  bbr->timed_out = true;
  cc->cwnd = cc->mss;
}

/* 5.5.11.2 */
static void bbr_on_undo(struct mst__cc *cc) {
  struct mst__bbr *bbr = &cc->state.bbr;
  restore_cwnd(cc);
  bbr->timed_out = bbr->is_loss_in_round = false;
  mst__bbr_reset_full_bw(bbr, 0);
  if (bbr->bw_shortterm < bbr->undo_bw_shortterm) bbr->bw_shortterm = bbr->undo_bw_shortterm;
  bbr->inflight_shortterm = max32(bbr->inflight_shortterm, bbr->undo_inflight_shortterm);
  bbr->inflight_longterm = max32(bbr->inflight_longterm, bbr->undo_inflight_longterm);
  if (bbr->undo_state == MST__BBR_STARTUP) bbr->full_bw_reached = false;
  if (bbr->state != MST__BBR_PROBE_RTT && bbr->undo_state == MST__BBR_STARTUP) bbr->state = MST__BBR_STARTUP;
  if (in_probe_bw(bbr) && bbr->undo_state == MST__BBR_PROBE_BW_UP && bbr->state != MST__BBR_PROBE_BW_UP) {
    struct mst__cc_ack none = {.delivered = bbr->next_round_delivered};
    start_refill(&(struct mst__bbr_step){.cc = cc, .bbr = bbr, .ack = &none});
  }
  bbr->undo_state = MST__BBR_STATES;
}

/* 5.4 */
static void bbr_on_start(struct mst__cc *cc, uint64_t now_ns) {
  struct mst__bbr *bbr = &cc->state.bbr;
  bbr->idle_restart = true;
  bbr->extra_acked_interval_start_ns = now_ns;
  bbr->extra_acked_delivered = 0;
  if (in_probe_bw(bbr)) set_pacing_rate(cc, 1);
  if (bbr->state != MST__BBR_PROBE_RTT) return;
  struct mst__cc_ack none = {.now_ns = now_ns, .delivered = bbr->next_round_delivered};
  check_probe_rtt_done(&(struct mst__bbr_step){.cc = cc, .bbr = bbr, .ack = &none});
}

const struct mst__cc_ops mst__cc_bbr = {
    .name = "bbr",
    .rate_based = true,
    .init = bbr_init,
    .on_ack = bbr_on_ack,
    .on_congestion = bbr_on_congestion,
    .on_undo = bbr_on_undo,
    .on_start = bbr_on_start,
};
