/* Where a connection's time goes: how long it had something to send, and what held it back meanwhile. */
#ifndef MST_TCP_CHRONO_H
#define MST_TCP_CHRONO_H

#include <stdint.h>

struct mst_conn;

enum mst__chrono_kind {
  MST__CHRONO_IDLE,
  MST__CHRONO_BUSY,           /* something is to be sent or acknowledged, and nothing below holds for it */
  MST__CHRONO_RWND_LIMITED,   /* the peer's window is used up */
  MST__CHRONO_SNDBUF_LIMITED, /* all was sent, and the application waits for room to write more */
  MST__CHRONO_KINDS
};

struct mst__chrono {
  uint64_t since_ns, spent_ns[MST__CHRONO_KINDS]; /* of IDLE nothing is kept */
  uint64_t rto_since_ns;                          /* when the first of a row of timeouts came; 0: none */
  uint64_t total_rto_time_ns;
  uint16_t total_rto, total_rto_recoveries;
  uint8_t kind; /* enum mst__chrono_kind */
};

/* What has been sent and acknowledged may have changed what the time goes to. */
void mst__chrono_update(struct mst_conn *conn);
/* The retransmission timer went off. */
void mst__chrono_timeout(struct mst_conn *conn);
/* Nanoseconds until now. */
uint64_t mst__chrono_spent(const struct mst_conn *conn, enum mst__chrono_kind kind);

#endif
