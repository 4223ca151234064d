/* Loss recovery: which bytes are lost and when to send them again. One of the tables is chosen at the handshake. A hook
 * decides; tcp/output.c sends what `next` names. */
#ifndef MST_TCP_LOSS_LOSS_H
#define MST_TCP_LOSS_LOSS_H

#include <stdbool.h>
#include <stdint.h>

struct mst_conn;

struct mst__loss_ack {
  uint32_t acked_bytes; /* 0: a duplicate */
  bool duplicate;       /* RFC 5681 2's definition */
};

struct mst__loss_ops {
  const char *name;
  void (*init)(struct mst_conn *conn);
  /* An acceptable ACK has come; SND.UNA has been moved already. */
  void (*on_ack)(struct mst_conn *conn, const struct mst__loss_ack *ack);
  /* The retransmission timer went off. */
  void (*on_timeout)(struct mst_conn *conn);
  /* Send all that is outstanding again, without blaming congestion: the path MTU has shrunk, or the window closed. */
  void (*resend_all)(struct mst_conn *conn);
  /* Bytes to send again now: from *seq on, at most *bytes. False: none. */
  bool (*next)(const struct mst_conn *conn, uint32_t *seq, uint32_t *bytes);
  /* They were sent, `bytes` of them. */
  void (*on_retransmitted)(struct mst_conn *conn, uint32_t seq, uint32_t bytes);
  /* Bytes thought to be in the network, to compare with the window below. */
  uint32_t (*flight)(const struct mst_conn *conn);
  /* Fast recovery is under way: the window does not grow. */
  bool (*recovering)(const struct mst_conn *conn);
  /* What may be added to cwnd for the moment. */
  uint32_t (*allowance)(const struct mst_conn *conn);
};

enum mst__reno_phase { MST__RENO_OPEN, MST__RENO_RECOVERY, MST__RENO_LOSS };

struct mst__reno {
  uint32_t recover;          /* RFC 6582 3.2 */
  uint32_t rtx_nxt, rtx_end; /* what is to be sent again: [rtx_nxt, rtx_end) */
  uint32_t inflation_bytes;  /* segments that have left the network, told by duplicate ACKs */
  uint16_t duplicate_acks;
  uint8_t phase; /* enum mst__reno_phase */
};

extern const struct mst__loss_ops mst__loss_reno;

#endif
