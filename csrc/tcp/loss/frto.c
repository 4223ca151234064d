/* Forward RTO recovery (RFC 5682): after a timeout new data tells whether the old had only been late. */
#include "tcp/conn.h"

/* Whether something that was not sent before may go, into the window that this ACK offers. */
static bool has_new_data(const struct mst_conn *conn, const struct mst__tcp *tcp) {
  uint32_t segment = mst__segment_bytes(conn), unsent = mst__queue_end(conn) - conn->snd_nxt;
  uint32_t edge = tcp->ack + ((uint32_t)tcp->window << conn->snd_wscale);
  bool waits = unsent < segment && !conn->nodelay && !conn->fin_wanted; /* Nagle's algorithm may hold it back */
  return !conn->fin_sent && unsent && !waits && mst__seq_ge(edge, conn->snd_nxt + segment);
}

/* The ACK has left a part of what was sent again (2.1 step 2a). */
static bool left_a_part(const struct mst_conn *conn) {
  const struct mst__sent *first = mst__sent_first(&conn->sent);
  return first && first->flags & MST__SENT_RETRANSMITTED && !(first->flags & MST__SENT_LOST);
}

static void conventional(struct mst_conn *conn, uint32_t segments_max) {
  uint32_t window = segments_max * mst__segment_bytes(conn);
  conn->recovery.frto = MST__FRTO_OFF;
  if (conn->cc.cwnd > window) conn->cc.cwnd = window;
}

/* Step 2: the retransmitted segment is answered. */
static void after_retransmission(struct mst_conn *conn, const struct mst__ack *ack) {
  struct mst__recovery *r = &conn->recovery;
  if (!ack->acked_bytes) {
    if (!conn->sack_ok && ack->duplicate) conventional(conn, 1); /* 2.1 step 2a */
    return;
  }
  bool told_all = mst__seq_ge(conn->snd_una, r->point);
  if (told_all || left_a_part(conn) || !has_new_data(conn, ack->tcp)) return conventional(conn, 2);
  r->frto = MST__FRTO_NEW_DATA;
  conn->cc.cwnd = mst__recovery_flight(conn) + 2 * mst__segment_bytes(conn);
}

/* Step 3: the first answer to new data, or to what was late. */
static void after_new_data(struct mst_conn *conn, struct mst__ack *ack) {
  struct mst__recovery *r = &conn->recovery;
  if (!ack->acked_bytes && !ack->duplicate && !ack->sacked) return;
  bool beyond = mst__seq_gt(conn->snd_una, r->point) || (ack->any && mst__seq_gt(ack->newest_end, r->point));
  if (beyond || !ack->original) return conventional(conn, 3); /* a */
  r->frto = MST__FRTO_OFF;                                    /* b */
  mst__undo_timeout(conn, ack);
}

void mst__frto_on_ack(struct mst_conn *conn, struct mst__ack *ack) {
  if (conn->recovery.frto == MST__FRTO_WAIT)
    after_retransmission(conn, ack);
  else if (conn->recovery.frto == MST__FRTO_NEW_DATA)
    after_new_data(conn, ack);
}
