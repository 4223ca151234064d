/* HyStart++. Names of constants are RFC 9406 4.3's. A round ends, as BBR's do, with the ACK of what was sent after it
 * began: the same as reaching windowEnd, with and without SACK.
 *
 * The delay of a round shows what the round before it did to the queue, a doubling too late where the queue is shorter
 * than the path. So Conservative Slow Start begins for a second reason, the original HyStart's (which RFC 9438 4.10
 * allows): when ACKs come close upon each other for half of a round trip, so does data at the bottleneck, and what is
 * sent in answer fills the other half. Wrong, it costs a few rounds at 5/4 instead of 2. */
#include "tcp/cc/hystart.h"
#include "tcp/cc/cc.h"

#define MIN_RTT_THRESH_US 4000u
#define MAX_RTT_THRESH_US 16000u
#define MIN_RTT_DIVISOR 8u
#define N_RTT_SAMPLE 8u
#define CSS_GROWTH_DIVISOR 4u
#define CSS_ROUNDS 5u

#define TRAIN_GAP_NS 2000000u   /* farther apart ACKs are no train */
#define TRAIN_LEAST_SEGMENTS 16 /* a smaller window proves nothing */
#define BASELINE_NONE_US 1u     /* no round trip is below it: slow start does not resume */

void mst__hystart_init(struct mst__hystart *hystart) {
  *hystart = (struct mst__hystart){0};
}

static void take_sample(struct mst__hystart *h, uint64_t rtt_ns) {
  if (!rtt_ns) return;
  uint64_t us = rtt_ns / 1000;
  uint32_t rtt_us = us > UINT32_MAX ? UINT32_MAX : us ? (uint32_t)us : 1;
  if (!h->current_round_min_rtt_us || rtt_us < h->current_round_min_rtt_us) h->current_round_min_rtt_us = rtt_us;
  if (h->rtt_samples < N_RTT_SAMPLE) h->rtt_samples++;
}

/* True: Conservative Slow Start has lasted long enough. */
static bool next_round(struct mst__hystart *h, const struct mst__cc_ack *ack) {
  h->round_end = ack->delivered;
  h->train_start_ns = h->train_ns = ack->now_ns;
  h->last_round_min_rtt_us = h->current_round_min_rtt_us;
  h->current_round_min_rtt_us = 0;
  h->rtt_samples = 0;
  return h->css_baseline_min_rtt_us && ++h->css_rounds >= CSS_ROUNDS; /* a round that it began in counts */
}

static uint32_t rtt_thresh_us(uint32_t last_us) {
  uint32_t thresh = last_us / MIN_RTT_DIVISOR;
  if (thresh < MIN_RTT_THRESH_US) return MIN_RTT_THRESH_US;
  return thresh > MAX_RTT_THRESH_US ? MAX_RTT_THRESH_US : thresh;
}

static void judge_delay(struct mst__hystart *h) {
  uint32_t last = h->last_round_min_rtt_us, current = h->current_round_min_rtt_us;
  if (h->rtt_samples < N_RTT_SAMPLE) return;
  if (h->css_baseline_min_rtt_us) {
    if (current < h->css_baseline_min_rtt_us) h->css_baseline_min_rtt_us = 0; /* the increase was none */
  } else if (last && current - last < UINT32_MAX / 2 && current - last >= rtt_thresh_us(last)) {
    h->css_baseline_min_rtt_us = current;
    h->css_rounds = 0;
  }
}

static void judge_train(struct mst__hystart *h, const struct mst__cc *cc, const struct mst__cc_ack *ack) {
  if (!ack->delivered) return;
  if (ack->now_ns - h->train_ns > TRAIN_GAP_NS) h->train_start_ns = ack->now_ns;
  h->train_ns = ack->now_ns;
  if (h->css_baseline_min_rtt_us || cc->cwnd / TRAIN_LEAST_SEGMENTS < cc->mss) return;
  uint64_t pipe_ns = ack->min_rtt_ns / 2, jitter_ns = MIN_RTT_THRESH_US * 1000ull;
  if (ack->now_ns - h->train_start_ns <= (pipe_ns > jitter_ns ? pipe_ns : jitter_ns)) return;
  h->css_baseline_min_rtt_us = BASELINE_NONE_US;
  h->css_rounds = 0;
}

uint32_t mst__hystart_on_ack(struct mst__hystart *h, struct mst__cc *cc, const struct mst__cc_ack *ack,
                             uint32_t earned_bytes, uint32_t limit_bytes) {
  uint32_t grow = earned_bytes < limit_bytes ? earned_bytes : limit_bytes;
  if (ack->delivered && ack->prior_delivered >= h->round_end && next_round(h, ack)) {
    cc->ssthresh = cc->cwnd;
    return 0;
  }
  take_sample(h, ack->rtt_ns);
  judge_delay(h);
  judge_train(h, cc, ack);
  return h->css_baseline_min_rtt_us ? grow / CSS_GROWTH_DIVISOR : grow;
}

bool mst__hystart_queue_stands(const struct mst__hystart *h, const struct mst__cc_ack *ack) {
  if (h->css_baseline_min_rtt_us != BASELINE_NONE_US || h->rtt_samples < N_RTT_SAMPLE) return false;
  uint32_t path_us = (uint32_t)(ack->min_rtt_ns / 1000);
  return h->current_round_min_rtt_us >= path_us + rtt_thresh_us(path_us);
}
