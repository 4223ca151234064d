/* What is sent a second time: what loss recovery names, and the tail loss probe. */
#include "tcp/conn.h"

static void count(const struct mst_conn *conn) {
  struct mst_stack_stats *stats = &conn->stack->stats;
  stats->tcp_retrans_segs++;
  if (conn->recovery.phase == MST__PHASE_RECOVERY) stats->tcp_fast_retrans++;
  if (conn->recovery.phase == MST__PHASE_LOSS) stats->tcp_slow_start_retrans++;
}

/* Send the first `bytes` of `sent` again, or as many as memory's shape allows; 0 or -MST_EAGAIN. */
static int send_again(struct mst_conn *conn, struct mst__sent *sent, uint32_t bytes) {
  uint32_t seq = sent->node.seq, end = mst__queue_end(conn), sent_bytes;
  bool fin = conn->fin_sent && seq + bytes == conn->snd_nxt;
  uint32_t payload = bytes - fin;
  struct mst__segment segment = {.seq = seq, .payload_bytes = payload, .flags = MST__ACK | (fin ? MST__FIN : 0)};
  if (payload && seq + payload == end) segment.flags |= MST__PSH;
  int rc = mst__segment_send(conn, &segment, &sent_bytes);
  if (rc) return rc;
  fin = fin && sent_bytes == payload;
  conn->total_retrans++;
  count(conn);
  mst__recovery_retransmitted(conn, sent, sent_bytes + fin);
  mst__prr_sent(conn, sent_bytes);
  mst__pacing_sent(conn, sent_bytes);
  conn->probe_window = false;
  mst__retransmit_timer_start(conn);
  return 0;
}

/* How much of `sent` may go now. The first byte outstanding may always go; else whole segments, or all of it. */
static uint32_t allowed(struct mst_conn *conn, const struct mst__sent *sent) {
  uint32_t bytes = mst__sent_bytes(sent), segment = mst__segment_bytes(conn), room = mst__congestion_room(conn);
  if (conn->snd_wnd == 0) return conn->probe_window ? 1 : 0; /* RFC 9293 3.8.6.1 */
  if (room < segment && sent->node.seq == conn->snd_una) room = segment;
  room = mst__pacing_limit(conn, room);
  uint32_t most = mst__packet_payload_max(conn);
  if (room > most) room = most;
  if (bytes <= room) return bytes;
  return room - room % segment;
}

int mst__resend(struct mst_conn *conn) {
  struct mst__sent *sent;
  while ((sent = mst__recovery_next(conn))) {
    mst__sent_gather_lost(conn, sent, mst__segment_bytes(conn));
    uint32_t bytes = allowed(conn, sent);
    if (!bytes) return 0;
    int rc = send_again(conn, sent, bytes);
    if (rc) return rc;
  }
  return 0;
}

/* The last segment that was sent, as a record of its own; NULL: it has arrived, or no memory. */
static struct mst__sent *last_segment(struct mst_conn *conn) {
  struct mst__sent *last = mst__sent_last(&conn->sent);
  uint32_t segment = mst__segment_bytes(conn);
  if (!last || last->flags & (MST__SENT_SACKED | MST__SENT_LOST)) return NULL;
  if (mst__sent_bytes(last) <= segment) return last;
  uint32_t tail = mst__sent_bytes(last) % segment;
  return mst__sent_split(conn, last, last->end - (tail ? tail : segment));
}

/* RFC 8985 7.3: something new if there is, for it brings the same answer and more. */
int mst__probe_send(struct mst_conn *conn) {
  uint32_t unsent = mst__queue_end(conn) - conn->snd_nxt, segment = mst__segment_bytes(conn);
  uint32_t bytes = unsent < segment ? unsent : segment;
  bool fresh = !conn->fin_sent && unsent && bytes <= mst__window_room(conn);
  struct mst__sent *last = fresh ? NULL : last_segment(conn);
  int rc = 0;
  if (fresh)
    rc = mst__send_new_segment(conn, bytes, conn->fin_wanted && bytes == unsent);
  else if (last)
    rc = send_again(conn, last, mst__sent_bytes(last));
  if (rc == -MST_EAGAIN) return rc;
  conn->recovery.probe_wanted = false;
  if (!rc && (fresh || last)) mst__tlp_sent(conn, !fresh);
  return 0;
}
