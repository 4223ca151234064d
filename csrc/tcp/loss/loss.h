/* Loss recovery: which bytes are lost, when to send them again, and how fast meanwhile.
 *
 *   sack.c      what the peer's SACK blocks tell (RFC 2018, RFC 2883)
 *   rack.c      which segments are lost, by time (RFC 8985 6): the detection with SACK
 *   reno.c      the same by counting duplicates (RFC 5681, RFC 6582): the detection without
 *   tlp.c       the tail loss probe (RFC 8985 7)
 *   frto.c      whether a timeout was spurious (RFC 5682)
 *   undo.c      whether a recovery was spurious, by timestamps (RFC 3522) and D-SACK, and its reversal (RFC 4015)
 *   prr.c       the window during a reduction (RFC 6937)
 *   recovery.c  the phases, which call all of them
 *
 * Detection is one of two tables, chosen at the handshake; the rest serves both. What is sent again is the front of
 * conn->sent.lost; tcp/output.c sends it. */
#ifndef MST_TCP_LOSS_LOSS_H
#define MST_TCP_LOSS_LOSS_H

#include "tcp/cc/cc.h"

#include <stdbool.h>
#include <stdint.h>

struct mst_conn;
struct mst__sent;
struct mst__tcp;

/* One acknowledgment and what it told. */
struct mst__ack {
  const struct mst__tcp *tcp;
  uint32_t prior_una, prior_flight_bytes, prior_lost_bytes;
  uint64_t prior_lost_total;
  uint32_t acked_bytes;     /* by SND.UNA's move */
  uint32_t delivered_bytes; /* for the first time, by SND.UNA or SACK */
  bool repeated;            /* it says nothing new at all */
  bool duplicate;           /* the same while data is outstanding: RFC 5681 2's definition */
  bool dsack;               /* it reports dsack_left to dsack_right as received twice (RFC 2883) */
  bool sacked;              /* SACK told something new */
  bool was_recovering;      /* loss recovery governed cwnd before this ACK, or has just set it */
  bool original;            /* something arrived that was sent once and before this recovery's retransmissions */
  uint32_t dsack_left, dsack_right;
  uint64_t rtt_ns; /* 0: no sample */
  /* Of what arrived: the one sent last. */
  bool any;
  bool newest_app_limited;
  uint32_t newest_end, newest_lost;
  uint64_t newest_sent_ns, newest_delivered, newest_delivered_ns, newest_first_sent_ns;
};

struct mst__loss_ops {
  const char *name;
  void (*init)(struct mst_conn *conn);
  /* `sent`, up to number `end`, has arrived for the first time; it is still as it was. May be NULL. */
  void (*on_delivered)(struct mst_conn *conn, const struct mst__sent *sent, uint32_t end, const struct mst__ack *ack);
  /* An ACK, before anything is concluded from it. May be NULL. */
  void (*on_ack)(struct mst_conn *conn, const struct mst__ack *ack);
  /* Mark what `ack` (NULL: the passing of time) shows to be lost. True: it is time for recovery. */
  bool (*detect)(struct mst_conn *conn, struct mst__ack *ack);
  /* The retransmission timer went off: mark. */
  void (*on_timeout)(struct mst_conn *conn);
  /* A phase of recovery was left. */
  void (*on_leave)(struct mst_conn *conn);
  /* Bytes that have left the network without being known by number. NULL: none. */
  uint32_t (*left)(const struct mst_conn *conn);
};

extern const struct mst__loss_ops mst__loss_reno, mst__loss_rack;

enum mst__recovery_phase {
  MST__PHASE_OPEN,
  MST__PHASE_CWR,      /* the window shrinks by the network's mark, nothing is lost */
  MST__PHASE_RECOVERY, /* fast recovery */
  MST__PHASE_LOSS,     /* after a timeout */
};

enum mst__frto_step { MST__FRTO_OFF, MST__FRTO_WAIT, MST__FRTO_NEW_DATA };

struct mst__recovery {
  uint8_t phase;                                                      /* enum mst__recovery_phase */
  uint8_t frto;                                                       /* enum mst__frto_step */
  bool probe_wanted, probe_retransmitted, probe_out, probe_rtt_known; /* RFC 8985 7: TLP.is_retrans, TLP.end_seq set */
  bool undo_known;                                                    /* the state before is kept and may come back */
  bool retransmit_seen;                                               /* retransmit_ts is set */
  uint32_t point;     /* SND.NXT when it began (RFC 6582's recover, RFC 6675's RecoveryPoint) */
  uint32_t probe_end; /* TLP.end_seq */

  /* RFC 6937 */
  uint32_t recover_fs, prr_delivered, prr_out;

  /* Undo */
  uint32_t prior_cwnd, prior_ssthresh;
  uint32_t retransmit_ts;    /* of the first retransmission (RFC 3522 3.2 step 1) */
  uint32_t undo_una;         /* SND.UNA when it began */
  uint32_t undo_retransmits; /* bytes sent again that no D-SACK has reported */

  union {
    struct {
      uint16_t duplicate_acks;
      uint32_t left_bytes; /* have left the network, told by duplicates */
    } reno;
    struct {
      bool reordering_seen, dsack_round_set;
      uint8_t reo_wnd_mult, reo_wnd_persist;
      uint32_t end_seq, fack, dsack_round;
      uint64_t xmit_ns, rtt_ns;
    } rack;
  };
  uint64_t reordered, dsacks; /* segments found reordered, D-SACKs taken */
};

/* --- recovery.c --- */
void mst__recovery_init(struct mst_conn *conn);
/* After the records were brought up to date and before congestion control hears of the ACK. */
void mst__recovery_on_ack(struct mst_conn *conn, struct mst__ack *ack);
/* The retransmission timer went off. */
void mst__recovery_on_timeout(struct mst_conn *conn);
void mst__recovery_on_reorder_timer(struct mst_conn *conn);
/* Enter `phase`, of MST__PHASE_RECOVERY and MST__PHASE_CWR, because of `signal`. */
void mst__recovery_enter(struct mst_conn *conn, enum mst__recovery_phase phase, enum mst__cc_signal signal);
/* Reduce once a window though nothing is to be sent again: the network has marked (RFC 3168 6.1.2), or a loss is
 * repaired already (RFC 8985 7.4.2). */
void mst__recovery_reduce(struct mst_conn *conn, enum mst__cc_signal signal);
/* What is to be sent again now; NULL: nothing. */
struct mst__sent *mst__recovery_next(const struct mst_conn *conn);
/* The first `bytes` of `sent` were sent again. */
void mst__recovery_retransmitted(struct mst_conn *conn, struct mst__sent *sent, uint32_t bytes);

/* --- sack.c --- */
/* Bring the records up to date with the ACK field and the SACK blocks. */
void mst__sent_acked(struct mst_conn *conn, struct mst__ack *ack);

/* --- prr.c --- */
void mst__prr_begin(struct mst_conn *conn);
void mst__prr_on_ack(struct mst_conn *conn, const struct mst__ack *ack);
void mst__prr_sent(struct mst_conn *conn, uint32_t bytes);

/* --- tlp.c --- */
/* New data went out, or an ACK came: set the timer as RFC 8985 7.2 says. */
void mst__tlp_schedule(struct mst_conn *conn);
void mst__tlp_on_timer(struct mst_conn *conn);
void mst__tlp_on_ack(struct mst_conn *conn, const struct mst__ack *ack);
/* A probe went out. */
void mst__tlp_sent(struct mst_conn *conn, bool retransmitted);

/* --- frto.c --- */
void mst__frto_on_ack(struct mst_conn *conn, struct mst__ack *ack);

/* --- undo.c --- */
void mst__undo_remember(struct mst_conn *conn);
/* True: the recovery was spurious and is undone. */
bool mst__undo_on_ack(struct mst_conn *conn, struct mst__ack *ack);
/* The timeout was spurious (RFC 4015 3.2). */
void mst__undo_timeout(struct mst_conn *conn, struct mst__ack *ack);

#endif
