/* Proportional rate reduction: the window follows what is delivered, down to ssthresh, through a round trip
 * (RFC 6937 3.1). */
#include "tcp/conn.h"

void mst__prr_begin(struct mst_conn *conn) {
  struct mst__recovery *r = &conn->recovery;
  r->recover_fs = conn->snd_nxt - conn->snd_una;
  r->prr_delivered = r->prr_out = 0;
}

static uint32_t positive(uint32_t a, uint32_t b) {
  return a > b ? a - b : 0;
}

/* Segments are sent whole, so what is due is rounded up to one (CEIL), once: prr_out counts it. Else what was lost
 * would wait for a part of a segment, and when the last that was delivered is a short one, for the timer. */
static uint32_t due(const struct mst__recovery *r, uint64_t until_now, uint32_t segment) {
  uint32_t bytes = positive((uint32_t)until_now, r->prr_out);
  return (bytes + segment - 1) / segment * segment;
}

static uint32_t proportional(const struct mst__recovery *r, uint32_t ssthresh, uint32_t segment) {
  uint64_t scaled = (uint64_t)r->prr_delivered * ssthresh;
  return due(r, (scaled + r->recover_fs - 1) / r->recover_fs, segment);
}

/* The slow-start reduction bound while the recovery makes progress, else the conservative one. */
static uint32_t bounded(const struct mst_conn *conn, const struct mst__ack *ack, uint32_t room) {
  const struct mst__recovery *r = &conn->recovery;
  bool progress = ack->acked_bytes && conn->sent.lost_bytes <= ack->prior_lost_bytes;
  uint32_t segment = mst__segment_bytes(conn), limit = due(r, r->prr_delivered, segment);
  if (progress) {
    if (limit < ack->delivered_bytes) limit = ack->delivered_bytes;
    limit += segment;
  }
  return room < limit ? room : limit;
}

void mst__prr_on_ack(struct mst_conn *conn, const struct mst__ack *ack) {
  struct mst__recovery *r = &conn->recovery;
  uint32_t ssthresh = conn->cc.ssthresh, pipe = mst__recovery_flight(conn), segment = mst__segment_bytes(conn);
  r->prr_delivered += ack->delivered_bytes;
  uint32_t sndcnt = pipe > ssthresh ? proportional(r, ssthresh, segment) : bounded(conn, ack, ssthresh - pipe);
  if (!r->prr_out && sndcnt < segment && r->phase == MST__PHASE_RECOVERY) sndcnt = segment; /* the fast retransmit */
  conn->cc.cwnd = pipe + sndcnt;
}

void mst__prr_sent(struct mst_conn *conn, uint32_t bytes) {
  conn->recovery.prr_out += bytes;
}
