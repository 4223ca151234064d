/* What BBR knows of the path and where it stands. Names are those of draft-ietf-ccwg-bbr-06 (BBRv3) without "BBR.". */
#ifndef MST_TCP_CC_BBR_H
#define MST_TCP_CC_BBR_H

#include <stdbool.h>
#include <stdint.h>

struct mst__cc;
struct mst__cc_ack;

enum mst__bbr_state {
  MST__BBR_STARTUP,
  MST__BBR_DRAIN,
  MST__BBR_PROBE_BW_DOWN,
  MST__BBR_PROBE_BW_CRUISE,
  MST__BBR_PROBE_BW_REFILL,
  MST__BBR_PROBE_BW_UP,
  MST__BBR_PROBE_RTT,
  MST__BBR_STATES
};

enum mst__bbr_ack_phase {
  MST__BBR_ACKS_INIT,
  MST__BBR_ACKS_REFILLING,
  MST__BBR_ACKS_PROBE_STARTING,
  MST__BBR_ACKS_PROBE_FEEDBACK,
  MST__BBR_ACKS_PROBE_STOPPING
};

#define MST__BBR_INFINITE UINT32_MAX
#define MST__BBR_INFINITE_BW UINT64_MAX

/* Rates are bytes a second, volumes bytes. */
struct mst__bbr {
  uint64_t max_bw[2]; /* of this ProbeBW cycle and of the last */
  uint64_t bw, bw_latest, bw_shortterm, undo_bw_shortterm, full_bw;
  uint64_t min_rtt_ns, min_rtt_stamp_ns; /* min_rtt_ns 0: none */
  uint64_t probe_rtt_min_delay_ns, probe_rtt_min_stamp_ns;
  uint64_t probe_rtt_done_stamp_ns; /* 0: none */
  uint64_t cycle_stamp_ns;
  uint64_t next_round_delivered, loss_round_delivered;
  uint64_t limited_until; /* samples of what was sent before so much was delivered are ProbeRTT's, and low */
  uint64_t extra_acked_interval_start_ns;
  uint32_t extra_acked_delivered, extra_acked[2]; /* of this window of rounds and of the last */
  uint32_t inflight_latest, inflight_shortterm, inflight_longterm, undo_inflight_shortterm, undo_inflight_longterm;
  uint32_t prior_cwnd, probe_up_acked_per_inc, bw_probe_up_acked;
  uint32_t bw_probe_wait_ms, random;
  uint32_t lost_seen; /* low bits of all that was found lost */
  uint32_t round_count, drain_start_round;
  uint16_t rounds_since_probe_up;
  uint8_t state, undo_state, ack_phase;
  uint8_t full_bw_count, bw_probe_up_rounds, extra_acked_rounds, loss_events;
  bool full_bw_reached : 1, full_bw_now : 1, round_start : 1, loss_round_start : 1, is_loss_in_round : 1,
      is_bw_probe_sample : 1, prev_probe_too_high : 1, prev_probe_precautionary : 1, probe_rtt_round_done : 1,
      probe_rtt_expired : 1, idle_restart : 1, rtt_seen : 1, marked : 1, timed_out : 1;
};

/* An ACK, and what follows from it. */
struct mst__bbr_step {
  struct mst__cc *cc;
  struct mst__bbr *bbr;
  const struct mst__cc_ack *ack;
  uint64_t rate;               /* RS.delivery_rate; 0: no sample */
  uint32_t lost, tx_in_flight; /* RS.lost, RS.tx_in_flight */
  bool app_limited;            /* RS.is_app_limited */
};

/* --- bbr_model.c: 5.5, what ACKs and losses say of the path --- */
void mst__bbr_model_init(struct mst__bbr *bbr, uint64_t now_ns);
void mst__bbr_update_latest_signals(struct mst__bbr_step *step);
void mst__bbr_update_congestion_signals(struct mst__bbr_step *step);
void mst__bbr_update_ack_aggregation(struct mst__bbr_step *step);
void mst__bbr_check_full_bw_reached(struct mst__bbr_step *step);
void mst__bbr_update_min_rtt(struct mst__bbr_step *step);
void mst__bbr_advance_latest_signals(struct mst__bbr_step *step);
void mst__bbr_advance_max_bw_filter(struct mst__bbr *bbr);
void mst__bbr_reset_congestion_signals(struct mst__bbr *bbr);
void mst__bbr_reset_shortterm_model(struct mst__bbr *bbr);
void mst__bbr_reset_full_bw(struct mst__bbr *bbr, uint64_t full_bw);
void mst__bbr_note_loss(struct mst__bbr_step *step);
void mst__bbr_save_state(struct mst__cc *cc);
bool mst__bbr_inflight_is_too_high(const struct mst__bbr_step *step);
uint64_t mst__bbr_max_bw(const struct mst__bbr *bbr);
/* `gain` times the bandwidth-delay product (5.6.4.2), and with what offloads need. */
uint32_t mst__bbr_bdp_multiple(const struct mst__cc *cc, uint64_t bw, double gain);
uint32_t mst__bbr_inflight(const struct mst__cc *cc, uint64_t bw, double gain);

#endif
