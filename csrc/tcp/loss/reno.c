/* Loss by counting duplicate ACKs, without SACK: fast retransmit (RFC 5681 3.2) with NewReno's partial ACKs (RFC 6582).
 * Each duplicate tells that a segment has left the network; that alone makes limited transmit (RFC 3042). */
#include "tcp/conn.h"

#define DUPLICATE_THRESHOLD 3 /* RFC 5681 3.2 */

static void reno_init(struct mst_conn *conn) {
  /* RFC 6582 3.2 step 1, one less: else the loss of the very first segment would never pass step 2. */
  conn->recovery.point = conn->iss - 1;
}

/* The first segment outstanding. */
static void mark_first(struct mst_conn *conn) {
  struct mst__sent *first = mst__sent_first(&conn->sent);
  if (!first || first->flags & MST__SENT_LOST) return;
  uint32_t segment = first->segment_bytes;
  if (mst__sent_bytes(first) > segment) mst__sent_split(conn, first, first->node.seq + segment);
  mst__sent_mark_lost(conn, first);
}

static bool on_duplicate(struct mst_conn *conn) {
  struct mst__recovery *r = &conn->recovery;
  if (r->phase == MST__PHASE_LOSS) return false;
  uint32_t segment = mst__segment_bytes(conn), outstanding = conn->snd_nxt - conn->snd_una;
  r->reno.left_bytes += segment;
  if (r->reno.left_bytes > outstanding) r->reno.left_bytes = outstanding;
  if (r->reno.duplicate_acks < UINT16_MAX) r->reno.duplicate_acks++;
  if (r->phase == MST__PHASE_RECOVERY || r->reno.duplicate_acks != DUPLICATE_THRESHOLD) return false;
  /* RFC 6582 3.2 step 2: duplicates that a timeout's own retransmissions caused are no sign of loss. */
  if (r->phase != MST__PHASE_CWR && !mst__seq_gt(conn->snd_una - 1, r->point)) return false;
  mark_first(conn);
  return true;
}

/* RFC 6937 3.1: what the duplicates had announced was counted when they came. The hole itself was not. */
static void on_new(struct mst_conn *conn, struct mst__ack *ack) {
  struct mst__recovery *r = &conn->recovery;
  uint32_t hole = mst__segment_bytes(conn);
  uint32_t announced = ack->acked_bytes > hole ? ack->acked_bytes - hole : 0;
  if (announced > r->reno.left_bytes) announced = r->reno.left_bytes;
  r->reno.left_bytes -= announced;
  ack->delivered_bytes -= announced < ack->delivered_bytes ? announced : ack->delivered_bytes;
  r->reno.duplicate_acks = 0;
  if (r->phase == MST__PHASE_OPEN) r->reno.left_bytes = 0;
  /* Keep it near, or it would be ahead again after 2^31 bytes. */
  if (r->phase == MST__PHASE_OPEN && mst__seq_gt(conn->snd_una - 1, r->point)) r->point = conn->snd_una - 2;
  /* Step 3, partial acknowledgment: the next hole. */
  if (r->phase == MST__PHASE_RECOVERY && mst__seq_lt(conn->snd_una, r->point)) mark_first(conn);
}

static bool reno_detect(struct mst_conn *conn, struct mst__ack *ack) {
  if (ack->acked_bytes) on_new(conn, ack);
  if (!ack->duplicate) return false;
  ack->delivered_bytes += mst__segment_bytes(conn); /* RFC 6937 3.1 */
  return on_duplicate(conn);
}

static void reno_on_timeout(struct mst_conn *conn) {
  mst__sent_mark_all_lost(conn);
  conn->recovery.reno.left_bytes = 0;
  conn->recovery.reno.duplicate_acks = 0;
}

static void reno_on_leave(struct mst_conn *conn) {
  conn->recovery.reno.left_bytes = 0;
}

/* RFC 3042 2: before recovery two segments at most go out for duplicates. */
static uint32_t reno_left(const struct mst_conn *conn) {
  const struct mst__recovery *r = &conn->recovery;
  uint32_t two = 2 * mst__segment_bytes(conn);
  return r->phase == MST__PHASE_OPEN && r->reno.left_bytes > two ? two : r->reno.left_bytes;
}

const struct mst__loss_ops mst__loss_reno = {
    .name = "reno",
    .init = reno_init,
    .detect = reno_detect,
    .on_timeout = reno_on_timeout,
    .on_leave = reno_on_leave,
    .left = reno_left,
};
