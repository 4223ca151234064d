/* Congestion control: a table of hooks. A hook may write only cwnd, ssthresh and pacing_rate, and its own private part;
 * it sees no connection. All windows are bytes. */
#ifndef MST_TCP_CC_CC_H
#define MST_TCP_CC_CC_H

#include <stdbool.h>
#include <stdint.h>

struct mst__cc;

/* What an acknowledgment of new data told. */
struct mst__cc_ack {
  uint64_t now_ns;
  uint64_t rtt_ns;  /* a fresh sample, or 0 */
  uint64_t srtt_ns; /* 0 before the first sample */
  uint32_t acked_bytes;
  bool cwnd_limited; /* the window was what held the sender back (RFC 9293 3.8.6, RFC 7661's concern) */
};

struct mst__cc_ops {
  const char *name;
  /* A new connection, cwnd and ssthresh are set already; only the private part. */
  void (*init)(struct mst__cc *cc);
  /* New data was acknowledged outside of loss recovery: grow. */
  void (*on_ack)(struct mst__cc *cc, const struct mst__cc_ack *ack);
  /* Loss was found without a timeout, once a window: set ssthresh and cwnd. */
  void (*on_loss)(struct mst__cc *cc, uint32_t flight_bytes, uint64_t now_ns);
  /* The retransmission timer went off: set ssthresh; cwnd becomes one segment. */
  void (*on_timeout)(struct mst__cc *cc, uint32_t flight_bytes, uint64_t now_ns);
};

struct mst__cc {
  const struct mst__cc_ops *ops;
  uint32_t cwnd, ssthresh;
  uint32_t mss;         /* sender's maximum segment size */
  uint64_t pacing_rate; /* bytes a second, 0: none */
  union {
    struct {
      uint32_t acked_bytes;
    } newreno;
    struct {
      uint64_t epoch_start_ns; /* 0: no epoch */
      double k;                /* seconds */
      double w_max, w_est;     /* segments */
      uint32_t cwnd_prior;
      uint32_t growth_bytes; /* earned, less than a segment */
    } cubic;
  } state;
};

extern const struct mst__cc_ops mst__cc_newreno, mst__cc_cubic;

/* By name, or NULL. */
const struct mst__cc_ops *mst__cc_find(const char *name);

#endif
