/* What was sent and is not yet acknowledged: a record for each run of segments that went out together, split where the
 * network treated its parts differently. By sequence number they stand in a tree; by time those in the network stand in
 * one list and the lost ones in another, so that each ACK costs what it changes and not what is outstanding. */
#ifndef MST_TCP_SENT_H
#define MST_TCP_SENT_H

#include "base/list.h"
#include "base/seq.h"
#include "base/seq_tree.h"

#include <stdbool.h>
#include <stdint.h>

struct mst_conn;

enum mst__sent_flags {
  MST__SENT_SACKED = 1,        /* in no list */
  MST__SENT_LOST = 2,          /* in `lost`, to be sent again; else in `in_flight` */
  MST__SENT_RETRANSMITTED = 4, /* at least once */
  MST__SENT_APP_LIMITED = 8,   /* the sender had no more to send */
};

struct mst__sent {
  struct mst__seq_node node; /* node.seq is the first number */
  struct mst__list place;    /* in in_flight or lost */
  uint32_t end;              /* the number behind the last; FIN counts */
  uint16_t segment_bytes;    /* payload of its full-sized segments */
  uint8_t flags;             /* MST__SENT_... */
  uint64_t sent_ns;          /* last transmission */
  /* When it was sent (draft-cheng-iccrg-delivery-rate-estimation 3.2): what had been delivered, when the last of that
   * was, and when the segment was sent whose delivery that was. */
  uint64_t delivered, delivered_ns, first_sent_ns;
  uint32_t lost; /* and how much had been lost, the low bits */
};

struct mst__sent_queue {
  struct mst__seq_tree tree;
  struct mst__list in_flight; /* by sent_ns, oldest first */
  struct mst__list lost;      /* to be sent again, lower numbers first */
  uint32_t flight_bytes;      /* of those in in_flight */
  uint32_t lost_bytes, sacked_bytes;
  uint32_t retransmitted_bytes; /* in flight, sent more than once */
  uint32_t count;               /* of records */
  struct mst__sent spare;       /* the first record needs no memory */
  bool spare_used;

  /* The delivery rate, all over the connection. */
  uint64_t delivered, delivered_ns, first_sent_ns, lost_total;
  uint64_t app_limited; /* until so much is delivered, samples are limited by the application; 0: they are not */
};

void mst__sent_init(struct mst_conn *conn);
/* Forget all records, as when nothing had been sent. */
void mst__sent_clear(struct mst_conn *conn);

/* A record for what goes out next, or NULL: no memory; never when nothing is outstanding. Give it to mst__sent_add or
 * mst__sent_release. */
struct mst__sent *mst__sent_reserve(struct mst_conn *conn);
void mst__sent_release(struct mst_conn *conn, struct mst__sent *sent);
/* [seq, end) was sent for the first time, now, in packets with so much payload. */
void mst__sent_add(struct mst_conn *conn, struct mst__sent *sent, uint32_t seq, uint32_t end, uint32_t segment_bytes);

/* Split so that a new record begins at `seq`, which is inside; returns it, or NULL: no memory. */
struct mst__sent *mst__sent_split(struct mst_conn *conn, struct mst__sent *sent, uint32_t seq);
/* It was sent again, now. */
void mst__sent_again(struct mst_conn *conn, struct mst__sent *sent);
void mst__sent_mark_lost(struct mst_conn *conn, struct mst__sent *sent);
/* The first of all, which is lost, is the first to be sent again. */
void mst__sent_first_goes_next(struct mst_conn *conn);
/* Everything but what is SACKed, in order, and what lies together as one: the path MTU has shrunk or the window closed,
 * and segments are cut anew. No sign of congestion. */
void mst__sent_mark_all_lost(struct mst_conn *conn);
/* Let a lost one take in its lost successors until it has `bytes`: small segments go again as one. */
void mst__sent_gather_lost(struct mst_conn *conn, struct mst__sent *sent, uint32_t bytes);
/* It was not lost after all: back to its place in time. */
void mst__sent_unmark_lost(struct mst_conn *conn, struct mst__sent *sent);
/* It has arrived, told by SACK. May join its neighbours: returns the record that now holds it. */
struct mst__sent *mst__sent_mark_sacked(struct mst_conn *conn, struct mst__sent *sent);
/* The receiver has dropped what it had SACKed (RFC 2018 8): everything SACKed counts as in flight again. */
void mst__sent_forget_sacks(struct mst_conn *conn);
/* Take `sent`, or its first `bytes`, off the front. */
void mst__sent_remove_front(struct mst_conn *conn, struct mst__sent *sent, uint32_t bytes);

/* Which of two segments was sent later (RFC 8985 6.2 step 2, RACK_sent_after). */
static inline bool mst__sent_after(uint64_t a_ns, uint32_t a_end, uint64_t b_ns, uint32_t b_end) {
  return a_ns > b_ns || (a_ns == b_ns && mst__seq_gt(a_end, b_end));
}
static inline uint32_t mst__sent_bytes(const struct mst__sent *sent) {
  return sent->end - sent->node.seq;
}
static inline struct mst__sent *mst__sent_of(struct mst__seq_node *node) {
  return node ? MST__CONTAINER(node, struct mst__sent, node) : NULL;
}
static inline struct mst__sent *mst__sent_at(struct mst__list *place) {
  return MST__CONTAINER(place, struct mst__sent, place);
}
static inline struct mst__sent *mst__sent_first(const struct mst__sent_queue *queue) {
  return mst__sent_of(queue->tree.first);
}
static inline struct mst__sent *mst__sent_last(const struct mst__sent_queue *queue) {
  return mst__sent_of(queue->tree.last);
}
static inline struct mst__sent *mst__sent_next(const struct mst__sent *sent) {
  return mst__sent_of(mst__seq_tree_next(&sent->node));
}

/* Whether all that the queue counts is so; for tests, it walks everything. */
bool mst__sent_check(const struct mst_conn *conn);

#endif
