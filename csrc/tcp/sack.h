/* What the receiver reports by SACK (RFC 2018 4) and D-SACK (RFC 2883 4). */
#ifndef MST_TCP_SACK_H
#define MST_TCP_SACK_H

#include "wire/tcp.h"

struct mst_conn;

#define MST__SACK_RECENT 4     /* as many blocks as fit in a segment without timestamps */
#define MST__SACK_DUPLICATES 2 /* that wait for an ACK of their own; a batch seldom brings more */

struct mst__sack {
  uint32_t recent[MST__SACK_RECENT]; /* a byte of each run that had news, the newest first */
  uint8_t recent_count, duplicate_count;
  uint32_t duplicate_segment; /* which segment the newest duplicate came in, as the stack counts them */
  struct mst__sack_block duplicates[MST__SACK_DUPLICATES]; /* oldest first */
};

/* A segment that begins with `seq` came out of order: an ACK is owed for it. */
void mst__sack_arrived(struct mst_conn *conn, uint32_t seq);

/* `block` was here already; it is told once. */
void mst__sack_duplicate(struct mst_conn *conn, struct mst__sack_block block);

/* The part of [seq, end) that RCV.NXT has passed, if any, is a duplicate. */
void mst__sack_old(struct mst_conn *conn, uint32_t seq, uint32_t end);

/* Fill in the blocks for a segment that has `room` bytes left for options. */
void mst__sack_fill(const struct mst_conn *conn, uint32_t room, struct mst__tcp_options *options);

/* Something is to be told that no segment has told yet. */
bool mst__sack_wanted(const struct mst_conn *conn);

/* A segment with blocks has gone. */
void mst__sack_sent(struct mst_conn *conn);

#endif
