/* HyStart++ (RFC 9406): the first slow start ends when round trips grow longer, before the queue overflows; or when the
 * pipe is full. */
#ifndef MST_TCP_CC_HYSTART_H
#define MST_TCP_CC_HYSTART_H

#include <stdbool.h>
#include <stdint.h>

struct mst__cc;
struct mst__cc_ack;

/* Times are microseconds; 0: none. */
struct mst__hystart {
  uint64_t train_start_ns, train_ns; /* of a round's ACKs that follow each other closely: the first, and the last */
  uint64_t round_end;                /* the round is over when what was sent after so many delivered bytes arrives */
  uint32_t last_round_min_rtt_us, current_round_min_rtt_us;
  uint32_t css_baseline_min_rtt_us; /* not 0: in Conservative Slow Start */
  uint8_t rtt_samples, css_rounds;
};

#define MST__HYSTART_UNLIMITED UINT32_MAX

void mst__hystart_init(struct mst__hystart *hystart);

/* An ACK came in the first slow start (ssthresh is not known): by how much the window grows for `earned_bytes`, of
 * which at most `limit_bytes` count (L * SMSS of 4.2). Sets ssthresh when slow start is over. */
uint32_t mst__hystart_on_ack(struct mst__hystart *hystart, struct mst__cc *cc, const struct mst__cc_ack *ack,
                             uint32_t earned_bytes, uint32_t limit_bytes);

/* Data fills the pipe, and all round trips of this round are longer than the path's: a queue stands. */
bool mst__hystart_queue_stands(const struct mst__hystart *hystart, const struct mst__cc_ack *ack);

#endif
