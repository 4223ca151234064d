/* Congestion control: a table of hooks. A hook may write only cwnd, ssthresh and pacing_rate, and its own private part;
 * it sees no connection. All windows are bytes. */
#ifndef MST_TCP_CC_CC_H
#define MST_TCP_CC_CC_H

#include "tcp/cc/bbr.h"
#include "tcp/cc/hystart.h"
#include <stdbool.h>
#include <stdint.h>

struct mst__cc;

/* What an acknowledgment told; one for each that delivered something, cumulatively or by SACK. */
struct mst__cc_ack {
  uint64_t now_ns;
  uint64_t rtt_ns;     /* a fresh sample, or 0 */
  uint64_t srtt_ns;    /* 0 before the first sample */
  uint64_t min_rtt_ns; /* the same */

  uint32_t acked_bytes;        /* by SND.UNA's move */
  uint32_t delivered_bytes;    /* known to have arrived since the last call, by SND.UNA or by SACK */
  uint32_t lost_bytes;         /* found lost since the last call */
  uint32_t ce_bytes;           /* reported as marked with CE since the last call */
  uint32_t flight_bytes;       /* thought to be in the network after this ACK */
  uint32_t prior_flight_bytes; /* and before it */

  /* The delivery rate (draft-cheng-iccrg-delivery-rate-estimation): sample_bytes arrived in interval_ns. */
  uint64_t delivered;       /* all bytes that have arrived */
  uint64_t prior_delivered; /* what `delivered` was when the newest segment acknowledged now was sent: ends rounds */
  uint64_t sample_bytes, interval_ns; /* interval_ns 0: no sample */
  uint64_t lost, prior_lost;          /* all bytes found lost, and as of when that newest segment was sent */
  bool app_limited;                   /* the sender had nothing to send during the sample */

  bool reordering;   /* the path has been seen to reorder: SACK alone does not hint at a loss */
  bool cwnd_limited; /* the window was what held the sender back (RFC 7661's concern) */
  bool recovering;   /* loss recovery governs cwnd, unless rate_based */
};

enum mst__cc_signal {
  MST__CC_LOSS,   /* found without a timeout, once a window */
  MST__CC_ECN,    /* the network marked, once a window */
  MST__CC_TIMEOUT /* the retransmission timer went off: cwnd becomes one segment */
};

struct mst__cc_ops {
  const char *name;
  bool rate_based; /* it sets cwnd during loss recovery too: no proportional rate reduction; and after a rest */
  /* A new connection, or another algorithm's takes over: cwnd and ssthresh are set; only the private part. */
  void (*init)(struct mst__cc *cc, uint64_t now_ns);
  void (*on_ack)(struct mst__cc *cc, const struct mst__cc_ack *ack);
  /* The network is congested: set ssthresh, and cwnd to where the reduction shall end. `flight_bytes` is RFC 5681's
   * FlightSize: sent and not acknowledged cumulatively. */
  void (*on_congestion)(struct mst__cc *cc, enum mst__cc_signal signal, uint32_t flight_bytes, uint64_t now_ns);
  /* The last signal was none: cwnd and ssthresh are again what they were; the private part is to follow. May be NULL.
   */
  void (*on_undo)(struct mst__cc *cc);
  /* Data goes out after nothing was under way. May be NULL. */
  void (*on_start)(struct mst__cc *cc, uint64_t now_ns);
};

struct mst__newreno {
  struct mst__hystart hystart;
  uint32_t acked_bytes; /* towards the next segment of growth */
  bool timed_out;       /* slow start is that after a timeout */
};

/* RFC 9438's variables; windows are bytes, K is seconds. */
struct mst__cubic {
  uint64_t epoch_ns; /* when congestion avoidance began, later by all rests since; 0: it has not */
  uint64_t seen_ns;  /* up to when that is accounted for */
  double k, w_max, w_est;
  float carry;         /* of growth: less than a segment */
  uint32_t cwnd_prior; /* at the last reduction */
  bool w_max_known;    /* by a loss */
};

struct mst__cc {
  const struct mst__cc_ops *ops;
  uint32_t cwnd, ssthresh;
  uint32_t mss;         /* sender's maximum segment size */
  uint32_t held_bytes;  /* delivered, and counting as growth once SND.UNA moves */
  uint64_t pacing_rate; /* bytes a second, 0: none */
  union {
    struct mst__newreno newreno;
    struct {
      struct mst__hystart hystart;
      struct mst__cubic now, before; /* before the last reduction, to undo it (4.9.2) */
    } cubic;
    struct mst__bbr bbr;
  } state;
};

extern const struct mst__cc_ops mst__cc_newreno, mst__cc_cubic, mst__cc_bbr;

/* By name, or NULL. */
const struct mst__cc_ops *mst__cc_find(const char *name);
/* `ops` takes over in the middle of a connection: it goes on with the window that there is. */
void mst__cc_switch(struct mst__cc *cc, const struct mst__cc_ops *ops, uint64_t now_ns);

/* --- what the window-based ones share --- */

/* The bytes that an ACK earns growth for: all that were delivered, by SACK too, but none of what was delivered before
 * or during recovery; and not before SND.UNA moves (RFC 5681 3.2), unless that waits for a late segment only. */
static inline uint32_t mst__cc_earned(struct mst__cc *cc, const struct mst__cc_ack *ack) {
  uint32_t earned = cc->held_bytes + ack->delivered_bytes;
  bool now = ack->acked_bytes || ack->reordering;
  cc->held_bytes = now || ack->recovering ? 0 : earned;
  return now && !ack->recovering ? earned : 0;
}

#endif
