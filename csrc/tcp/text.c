/* Urgent pointer, segment text and FIN (RFC 9293 3.10.7.4, sixth to eighth). */
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

static void borrow_noted(struct mst_conn *conn) {
  if (!mst__list_linked(&conn->borrowed_node)) mst__list_push_back(&conn->stack->borrowed, &conn->borrowed_node);
}

/* Append what is in order, up to the first run that came before it. False: out of memory. */
static bool append(struct mst_conn *conn, struct mst__text *text) {
  uint32_t gap = mst__recvq_gap(&conn->recvq, conn->rcv_nxt), bytes = text->bytes < gap ? text->bytes : gap;
  if (bytes && !mst__recvq_append(&conn->recvq, conn->stack, text->data, bytes)) return false;
  conn->rcv_nxt += bytes;
  *text = (struct mst__text){.seq = text->seq + bytes, .bytes = text->bytes - bytes, .data = text->data + bytes};
  return true;
}

/* Step over what is held already: the copy that came first stays. */
static void skip_held(struct mst_conn *conn, struct mst__text *text, struct mst__sack_block *duplicate) {
  uint32_t held = conn->rcv_nxt - text->seq;
  if (held > text->bytes) held = text->bytes;
  if (duplicate->left == duplicate->right)
    *duplicate = (struct mst__sack_block){.left = text->seq, .right = text->seq + held};
  *text = (struct mst__text){.seq = text->seq + held, .bytes = text->bytes - held, .data = text->data + held};
}

/* Runs that the bytes reach come in between. */
static void append_and_join(struct mst_conn *conn, struct mst__text text) {
  struct mst__sack_block duplicate = {0};
  conn->ack_now = true; /* RFC 5681 4.2: a gap is filled, or a part of it */
  do {
    uint32_t before;
    if (!append(conn, &text)) return mst__drop(conn->stack, MST_DROP_NO_MEMORY);
    before = conn->rcv_nxt;
    conn->rcv_nxt = mst__recvq_join(&conn->recvq, conn->stack, before);
    if (mst__seq_lt(conn->rcv_nxt, before)) return mst__drop(conn->stack, MST_DROP_NO_MEMORY);
    skip_held(conn, &text, &duplicate);
  } while (text.bytes);
  mst__sack_duplicate(conn, duplicate);
}

static void in_order(struct mst_conn *conn, const struct mst__tcp *tcp) {
  uint32_t before = conn->rcv_nxt;
  struct mst__text text = {.seq = tcp->seq, .bytes = tcp->payload_bytes, .data = tcp->payload};
  if (conn->recvq.runs.first)
    append_and_join(conn, text);
  else if (!append(conn, &text))
    return mst__drop(conn->stack, MST_DROP_NO_MEMORY);
  if (conn->recvq.borrowed) borrow_noted(conn);
  if (conn->rcv_nxt == before) return;
  conn->bytes_received += conn->rcv_nxt - before;
  mst__ack_schedule(conn, tcp->payload_bytes);
  mst__recv_tuning_sample(conn, tcp);
  mst__conn_notify(conn, MST_EV_READABLE);
}

static void out_of_order(struct mst_conn *conn, const struct mst__tcp *tcp) {
  struct mst__recvq *queue = &conn->recvq;
  struct mst__text text = {.seq = tcp->seq, .bytes = tcp->payload_bytes, .data = tcp->payload};
  struct mst__sack_block duplicate;
  conn->rcv_ooopack++;
  uint32_t room = 2 * conn->receive_buffer_bytes;
  room = queue->memory_bytes < room ? room - queue->memory_bytes : 0;
  conn->quickacks = MST__QUICKACKS;
  conn->stack->stats.tcp_ofo_queue++;
  if (!mst__recvq_insert(queue, conn->stack, text, room, &duplicate)) mst__drop(conn->stack, MST_DROP_TCP_OFO_FULL);
  mst__sack_duplicate(conn, duplicate);
  mst__sack_arrived(conn, tcp->seq);
}

static bool takes_text(const struct mst_conn *conn) {
  return conn->state == MST_ESTABLISHED || conn->state == MST_FIN_WAIT_1 || conn->state == MST_FIN_WAIT_2;
}

static void fin_reached(struct mst_conn *conn) {
  conn->fin_pending = false;
  conn->fin_received = true;
  conn->rcv_nxt++;
  conn->rcv_adv = mst__seq_max(conn->rcv_adv, conn->rcv_nxt);
  if (conn->urgent && mst__seq_gt(conn->rcv_up, conn->rcv_nxt)) conn->rcv_up = conn->rcv_nxt; /* there is no more */
  if (!conn->recvq.bytes) conn->urgent = false;
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
    conn->stack->stats.tcp_abort_on_data++;
    mst__reset_send(conn);
    return mst__conn_die(conn, -MST_ECONNRESET);
  }
  urgent_input(conn, tcp);
  if (tcp->flags & MST__FIN) {
    conn->fin_pending = true;
    conn->fin_seq = tcp->seq + tcp->payload_bytes;
  }
  if (tcp->payload_bytes) mst__text_came(conn, tcp);
  if (tcp->seq != conn->rcv_nxt) {
    if (tcp->payload_bytes) return out_of_order(conn, tcp);
    if (tcp->flags & MST__FIN) mst__owe_ack(conn);
    return;
  }
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
      conn->bytes_received -= lost;
      conn->sack.duplicate_count = 0; /* what was here twice may now not be here at all */
      conn->rcv_nxt -= lost;          /* not yet acknowledged: the peer sends it again */
      continue;
    }
    if (conn->error) continue; /* it is dead already, and was told why */
    if (conn->state != MST_CLOSED) mst__reset_send(conn);
    mst__conn_die(conn, -MST_ENOMEM);
  }
}
