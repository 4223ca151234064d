/* Urgent pointer, segment text and FIN (RFC 9293 3.10.7.4, sixth to eighth), and when to acknowledge. */
#include "tcp/trace.h"

/* RFC 9293 3.8.5, with the urgent pointer of RFC 6093 (it points behind the last urgent byte). */
static void urgent_input(struct mst_conn *conn, const struct mst__tcp *tcp) {
  if (!(tcp->flags & MST__URG)) return;
  conn->stack->stats.tcp_urgent++;
  uint32_t up = tcp->seq + tcp->urgent, read = conn->rcv_nxt - conn->recvq.bytes;
  if (!mst__seq_gt(up, read) || (conn->urgent && !mst__seq_gt(up, conn->rcv_up))) return;
  conn->rcv_up = up;
  conn->urgent = true;
  mst__conn_notify(conn, MST_EV_READABLE);
}

/* RFC 9293 3.8.6.3: at least every second full-sized segment, within 500 ms; at once while the peer starts. */
static void schedule_ack(struct mst_conn *conn, uint32_t bytes) {
  uint32_t full = mst__conn_announced_mss(conn);
  uint32_t segment = bytes < full ? bytes : full;
  if (segment > conn->rcv_mss) conn->rcv_mss = segment;
  conn->unacked_segment_bytes += bytes;
  mst__output_wanted(conn);
  if (conn->quickacks || conn->unacked_segment_bytes >= 2 * conn->rcv_mss)
    conn->ack_now = true;
  else if (!mst__timer_is_set(conn, MST__TIMER_DELACK))
    mst__timer_set(conn, MST__TIMER_DELACK, conn->stack->now_ns + MST__DELACK_NS);
}

static void borrow_noted(struct mst_conn *conn) {
  if (!mst__list_linked(&conn->borrowed_node)) mst__list_push_back(&conn->stack->borrowed, &conn->borrowed_node);
}

static void in_order(struct mst_conn *conn, const struct mst__tcp *tcp) {
  mst_stack *stack = conn->stack;
  if (!mst__recvq_append(&conn->recvq, stack, tcp->payload, tcp->payload_bytes))
    return mst__drop(stack, MST_DROP_NO_MEMORY);
  borrow_noted(conn);
  conn->rcv_nxt += tcp->payload_bytes;
  schedule_ack(conn, tcp->payload_bytes);
  if (conn->recvq.ofo_first) {
    conn->rcv_nxt = mst__recvq_join(&conn->recvq, stack, conn->rcv_nxt);
    conn->ack_now = true; /* RFC 5681 4.2: a gap was filled */
  }
  mst__conn_notify(conn, MST_EV_READABLE);
}

static void out_of_order(struct mst_conn *conn, const struct mst__tcp *tcp) {
  mst_stack *stack = conn->stack;
  if (!mst__recvq_insert(&conn->recvq, stack, tcp->seq, tcp->payload, tcp->payload_bytes,
                         2 * conn->receive_buffer_bytes))
    mst__drop(stack, MST_DROP_TCP_OFO_FULL);
}

/* RFC 5681 4.2: a duplicate at once, so that the sender can count them. */
static void owe_duplicate(struct mst_conn *conn) {
  if (conn->acks_owed < UINT16_MAX) conn->acks_owed++;
  mst__output_wanted(conn);
}

static bool takes_text(const struct mst_conn *conn) {
  return conn->state == MST_ESTABLISHED || conn->state == MST_FIN_WAIT_1 || conn->state == MST_FIN_WAIT_2;
}

static void fin_reached(struct mst_conn *conn) {
  conn->fin_pending = false;
  conn->fin_received = true;
  conn->rcv_nxt++;
  conn->rcv_adv = mst__seq_max(conn->rcv_adv, conn->rcv_nxt);
  if (conn->urgent && mst__seq_gt(conn->rcv_up, conn->rcv_nxt)) conn->rcv_up = conn->rcv_nxt;
  conn->ack_now = true;
  mst__output_wanted(conn);
  mst__conn_notify(conn, MST_EV_READABLE);
  switch (conn->state) {
  case MST_ESTABLISHED: mst__set_state(conn, MST_CLOSE_WAIT); break;
  case MST_FIN_WAIT_1: mst__set_state(conn, MST_CLOSING); break;
  case MST_FIN_WAIT_2: mst__time_wait_enter(conn); break;
  default: break;
  }
}

void mst__text_input(struct mst_conn *conn, struct mst__tcp *tcp) {
  if (!takes_text(conn)) return;
  if (conn->orphan && tcp->payload_bytes) { /* RFC 1122 4.2.2.13 */
    mst__drop(conn->stack, MST_DROP_TCP_AFTER_CLOSE);
    mst__reset_send(conn);
    return mst__conn_die(conn, -MST_ECONNRESET);
  }
  urgent_input(conn, tcp);
  if (tcp->flags & MST__FIN) {
    conn->fin_pending = true;
    conn->fin_seq = tcp->seq + tcp->payload_bytes;
  }
  if (tcp->seq != conn->rcv_nxt) {
    if (tcp->payload_bytes) out_of_order(conn, tcp);
    return owe_duplicate(conn);
  }
  conn->bytes_received += tcp->payload_bytes;
  if (tcp->payload_bytes) in_order(conn, tcp);
  if (conn->fin_pending && conn->fin_seq == conn->rcv_nxt) fin_reached(conn);
}

/* Let go of the packets of this batch. */
void mst__tcp_end_of_input(mst_stack *stack) {
  struct mst__list *node;
  while ((node = mst__list_pop_front(&stack->borrowed))) {
    struct mst_conn *conn = MST__CONTAINER(node, struct mst_conn, borrowed_node);
    uint32_t lost;
    if (mst__recvq_detach(&conn->recvq, stack, &lost)) continue;
    mst__drop(stack, MST_DROP_NO_MEMORY);
    if (!conn->fin_received && mst__seq_le(conn->last_ack_sent, conn->rcv_nxt - lost)) {
      conn->rcv_nxt -= lost; /* not yet acknowledged: the peer sends it again */
      continue;
    }
    if (conn->error) continue; /* it is dead already, and was told why */
    if (conn->state != MST_CLOSED) mst__reset_send(conn);
    mst__conn_die(conn, -MST_ENOMEM);
  }
}
