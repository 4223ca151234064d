/* When to acknowledge (RFC 9293 3.8.6.3, RFC 5681 4.2): every second full-sized segment, the rest after a while; each
 * at once where the peer starts, starts again, or mends a loss, since its window is small then and grows by our ACKs.
 */
#include "tcp/conn.h"

/* A smaller size is believed when it comes twice and the peer had more to send. */
static void measure(struct mst_conn *conn, const struct mst__tcp *tcp) {
  uint32_t bytes = tcp->gso_size ? tcp->gso_size : tcp->payload_bytes;
  if (bytes == conn->rcv_mss && bytes == conn->last_segment_bytes) return;
  uint32_t full = mst__conn_announced_mss(conn);
  if (bytes > full) bytes = full;
  bool again = bytes == conn->last_segment_bytes && !(tcp->flags & MST__PSH) && bytes >= MST__MSS_DEFAULT_IP4;
  if (bytes > conn->rcv_mss || again) conn->rcv_mss = bytes;
  conn->last_segment_bytes = (uint16_t)bytes;
}

void mst__text_came(struct mst_conn *conn, const struct mst__tcp *tcp) {
  conn->last_data_received_ns = conn->stack->now_ns;
  measure(conn, tcp);
}

void mst__ack_schedule(struct mst_conn *conn, uint32_t bytes) {
  conn->unacked_segment_bytes += bytes;
  mst__output_wanted(conn);
  if (conn->quickacks || conn->unacked_segment_bytes >= 2 * conn->rcv_mss)
    conn->ack_now = true;
  else if (!mst__timer_is_set(conn, MST__TIMER_DELACK))
    mst__timer_set(conn, MST__TIMER_DELACK, conn->stack->now_ns + MST__DELACK_NS);
}

void mst__owe_ack(struct mst_conn *conn) {
  if (conn->acks_owed < UINT16_MAX) conn->acks_owed++;
  mst__output_wanted(conn);
}
