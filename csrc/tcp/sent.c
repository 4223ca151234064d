#include "tcp/trace.h"

#define QUEUE_STEPS_MAX 16
#define CRUMBS_FROM 64 /* records */

void mst__sent_init(struct mst_conn *conn) {
  struct mst__sent_queue *queue = &conn->sent;
  mst__list_init(&queue->in_flight);
  mst__list_init(&queue->lost);
}

struct mst__sent *mst__sent_reserve(struct mst_conn *conn) {
  struct mst__sent_queue *queue = &conn->sent;
  if (queue->spare_used) return mst__alloc(conn->stack, sizeof(struct mst__sent));
  queue->spare_used = true;
  return &queue->spare;
}

void mst__sent_release(struct mst_conn *conn, struct mst__sent *sent) {
  if (sent == &conn->sent.spare)
    conn->sent.spare_used = false;
  else
    mst__free(conn->stack, sent, sizeof *sent);
}

static void insert(struct mst_conn *conn, struct mst__sent *sent) {
  mst__seq_tree_insert(&conn->sent.tree, &sent->node, mst__priority(conn->stack));
  conn->sent.count++;
}

static void erase(struct mst_conn *conn, struct mst__sent *sent) {
  mst__seq_tree_remove(&conn->sent.tree, &sent->node);
  mst__list_remove(&sent->place);
  conn->sent.count--;
  mst__sent_release(conn, sent);
}

void mst__sent_clear(struct mst_conn *conn) {
  struct mst__sent_queue *queue = &conn->sent;
  while (queue->tree.first) erase(conn, mst__sent_first(queue));
  queue->flight_bytes = queue->lost_bytes = queue->sacked_bytes = queue->retransmitted_bytes = 0;
}

static void stamp(struct mst_conn *conn, struct mst__sent *sent) {
  struct mst__sent_queue *queue = &conn->sent;
  uint64_t now_ns = conn->stack->now_ns;
  if (!queue->flight_bytes) queue->first_sent_ns = queue->delivered_ns = now_ns;
  sent->sent_ns = now_ns;
  sent->delivered = queue->delivered;
  sent->delivered_ns = queue->delivered_ns;
  sent->first_sent_ns = queue->first_sent_ns;
  sent->lost = (uint32_t)queue->lost_total;
  sent->flags &= (uint8_t)~MST__SENT_APP_LIMITED;
  if (queue->app_limited) sent->flags |= MST__SENT_APP_LIMITED;
}

static bool is_plain(const struct mst__sent *sent) {
  return !(sent->flags & (MST__SENT_SACKED | MST__SENT_LOST | MST__SENT_RETRANSMITTED));
}

/* What went out at the same moment in whole segments is one run. */
static bool continues(const struct mst_conn *conn, const struct mst__sent *last, uint32_t segment_bytes) {
  return last && is_plain(last) && last->sent_ns == conn->stack->now_ns && last->segment_bytes == segment_bytes &&
         mst__sent_bytes(last) % segment_bytes == 0 && last->delivered == conn->sent.delivered &&
         !(last->flags & MST__SENT_APP_LIMITED) == !conn->sent.app_limited;
}

/* Very many tiny segments are kept as if they were fewer and larger, or the records would outweigh the data. */
static bool is_crumb(const struct mst__sent_queue *queue, const struct mst__sent *last, uint32_t bytes,
                     uint32_t segment_bytes) {
  return queue->count >= CRUMBS_FROM && is_plain(last) && mst__sent_bytes(last) + bytes <= segment_bytes;
}

/* A crumb counts as sent with the last one that joined it. */
static void sent_anew(struct mst_conn *conn, struct mst__sent *last) {
  stamp(conn, last);
  mst__list_remove(&last->place);
  mst__list_push_back(&conn->sent.in_flight, &last->place);
}

void mst__sent_add(struct mst_conn *conn, struct mst__sent *sent, uint32_t seq, uint32_t end, uint32_t segment_bytes) {
  struct mst__sent_queue *queue = &conn->sent;
  struct mst__sent *last = mst__sent_last(queue);
  bool run = continues(conn, last, segment_bytes);
  if (run || is_crumb(queue, last, end - seq, segment_bytes)) {
    last->end = end;
    queue->flight_bytes += end - seq;
    if (!run) sent_anew(conn, last);
    return mst__sent_release(conn, sent);
  }
  sent->node.seq = seq;
  sent->end = end;
  sent->segment_bytes = (uint16_t)segment_bytes;
  sent->flags = 0;
  stamp(conn, sent);
  insert(conn, sent);
  mst__list_push_back(&queue->in_flight, &sent->place);
  queue->flight_bytes += end - seq;
}

struct mst__sent *mst__sent_split(struct mst_conn *conn, struct mst__sent *sent, uint32_t seq) {
  MST_ASSERT(mst__seq_gt(seq, sent->node.seq) && mst__seq_lt(seq, sent->end));
  struct mst__sent *rest = mst__sent_reserve(conn);
  if (!rest) return NULL;
  *rest = *sent;
  rest->place = (struct mst__list){0};
  rest->node.seq = seq;
  sent->end = seq;
  insert(conn, rest);
  if (mst__list_linked(&sent->place)) mst__list_insert_before(sent->place.next, &rest->place);
  return rest;
}

/* Out of the list and the counts that it stands in. */
static void unaccount(struct mst_conn *conn, struct mst__sent *sent, uint32_t bytes) {
  struct mst__sent_queue *queue = &conn->sent;
  if (sent->flags & MST__SENT_SACKED) {
    queue->sacked_bytes -= bytes;
  } else if (sent->flags & MST__SENT_LOST) {
    queue->lost_bytes -= bytes;
  } else {
    queue->flight_bytes -= bytes;
    if (sent->flags & MST__SENT_RETRANSMITTED) queue->retransmitted_bytes -= bytes;
  }
}

void mst__sent_again(struct mst_conn *conn, struct mst__sent *sent) {
  struct mst__sent_queue *queue = &conn->sent;
  uint32_t bytes = mst__sent_bytes(sent);
  unaccount(conn, sent, bytes);
  mst__list_remove(&sent->place);
  sent->flags = (uint8_t)((sent->flags & ~MST__SENT_LOST) | MST__SENT_RETRANSMITTED);
  sent->segment_bytes = (uint16_t)mst__segment_bytes(conn);
  stamp(conn, sent);
  mst__list_push_back(&queue->in_flight, &sent->place);
  queue->flight_bytes += bytes;
  queue->retransmitted_bytes += bytes;
}

/* Into `lost`, the lower number first. Nearly always that is at one of the ends; where it is not, near will do. */
static void queue_lost(struct mst__sent_queue *queue, struct mst__sent *sent) {
  struct mst__list *after = queue->lost.prev;
  if (mst__list_empty(&queue->lost) || mst__seq_lt(sent->node.seq, mst__sent_at(queue->lost.next)->node.seq))
    after = &queue->lost;
  for (int i = 0; i < QUEUE_STEPS_MAX && after != &queue->lost; i++, after = after->prev)
    if (mst__seq_lt(mst__sent_at(after)->node.seq, sent->node.seq)) break;
  mst__list_insert_before(after->next, &sent->place);
}

void mst__sent_mark_lost(struct mst_conn *conn, struct mst__sent *sent) {
  uint32_t bytes = mst__sent_bytes(sent);
  unaccount(conn, sent, bytes);
  mst__list_remove(&sent->place);
  if (sent->flags & MST__SENT_RETRANSMITTED) conn->stack->stats.tcp_lost_retransmit++;
  sent->flags |= MST__SENT_LOST;
  queue_lost(&conn->sent, sent);
  conn->sent.lost_bytes += bytes;
  conn->sent.lost_total += bytes;
  mst__trace_lost(conn, sent->node.seq, sent->end);
}

void mst__sent_first_goes_next(struct mst_conn *conn) {
  struct mst__sent *first = mst__sent_first(&conn->sent);
  mst__list_remove(&first->place);
  mst__list_insert_before(conn->sent.lost.next, &first->place);
}

/* `later` begins where `sent` ends and is counted as `sent` is. */
static void join(struct mst_conn *conn, struct mst__sent *sent, struct mst__sent *later) {
  sent->end = later->end;
  erase(conn, later);
}

void mst__sent_mark_all_lost(struct mst_conn *conn) {
  struct mst__sent *sent = mst__sent_first(&conn->sent), *before = NULL, *next;
  for (; sent; sent = next) {
    next = mst__sent_next(sent);
    if (sent->flags & MST__SENT_SACKED) {
      before = NULL;
      continue;
    }
    if (!(sent->flags & MST__SENT_LOST)) mst__sent_mark_lost(conn, sent);
    sent->segment_bytes = (uint16_t)mst__segment_bytes(conn); /* a SACK of it is rounded to what goes again */
    mst__list_remove(&sent->place);
    mst__list_push_back(&conn->sent.lost, &sent->place);
    if (before && before->flags == sent->flags)
      join(conn, before, sent);
    else
      before = sent;
  }
}

void mst__sent_gather_lost(struct mst_conn *conn, struct mst__sent *sent, uint32_t bytes) {
  struct mst__sent *next;
  while (mst__sent_bytes(sent) < bytes && (next = mst__sent_next(sent)) && next->flags & MST__SENT_LOST)
    join(conn, sent, next);
}

static void back_to_flight(struct mst_conn *conn, struct mst__sent *sent) {
  struct mst__sent_queue *queue = &conn->sent;
  uint32_t bytes = mst__sent_bytes(sent);
  struct mst__list *after = queue->in_flight.prev;
  while (after != &queue->in_flight && mst__sent_at(after)->sent_ns > sent->sent_ns) after = after->prev;
  mst__list_insert_before(after->next, &sent->place);
  queue->flight_bytes += bytes;
  if (sent->flags & MST__SENT_RETRANSMITTED) queue->retransmitted_bytes += bytes;
}

void mst__sent_unmark_lost(struct mst_conn *conn, struct mst__sent *sent) {
  unaccount(conn, sent, mst__sent_bytes(sent));
  mst__list_remove(&sent->place);
  sent->flags &= (uint8_t)~MST__SENT_LOST;
  back_to_flight(conn, sent);
}

struct mst__sent *mst__sent_mark_sacked(struct mst_conn *conn, struct mst__sent *sent) {
  uint32_t bytes = mst__sent_bytes(sent);
  unaccount(conn, sent, bytes);
  mst__list_remove(&sent->place);
  sent->flags = (uint8_t)((sent->flags & ~MST__SENT_LOST) | MST__SENT_SACKED);
  conn->sent.sacked_bytes += bytes;
  struct mst__sent *next = mst__sent_next(sent), *prev = mst__sent_of(mst__seq_tree_prev(&sent->node));
  if (next && next->flags & MST__SENT_SACKED) join(conn, sent, next);
  if (!prev || !(prev->flags & MST__SENT_SACKED)) return sent;
  join(conn, prev, sent);
  return prev;
}

void mst__sent_forget_sacks(struct mst_conn *conn) {
  for (struct mst__sent *sent = mst__sent_first(&conn->sent); sent; sent = mst__sent_next(sent)) {
    if (!(sent->flags & MST__SENT_SACKED)) continue;
    unaccount(conn, sent, mst__sent_bytes(sent));
    sent->flags = (uint8_t)((sent->flags & ~MST__SENT_SACKED) | MST__SENT_RETRANSMITTED); /* its times mean nothing */
    back_to_flight(conn, sent);
  }
}

void mst__sent_remove_front(struct mst_conn *conn, struct mst__sent *sent, uint32_t bytes) {
  unaccount(conn, sent, bytes);
  sent->node.seq += bytes;
  if (sent->node.seq == sent->end) erase(conn, sent);
}

bool mst__sent_check(const struct mst_conn *conn) {
  const struct mst__sent_queue *queue = &conn->sent;
  uint32_t flight = 0, lost = 0, sacked = 0, retransmitted = 0, count = 0, seq = conn->snd_una;
  for (struct mst__sent *sent = mst__sent_first(queue); sent; sent = mst__sent_next(sent), count++) {
    uint32_t bytes = mst__sent_bytes(sent);
    if (sent->node.seq != seq || !bytes || mst__seq_gt(sent->end, conn->snd_nxt)) return false;
    if (mst__list_linked(&sent->place) != !(sent->flags & MST__SENT_SACKED)) return false;
    seq = sent->end;
    if (sent->flags & MST__SENT_SACKED) {
      sacked += bytes;
    } else if (sent->flags & MST__SENT_LOST) {
      lost += bytes;
    } else {
      flight += bytes;
      if (sent->flags & MST__SENT_RETRANSMITTED) retransmitted += bytes;
    }
  }
  if (count && seq != conn->snd_nxt) return false;
  uint64_t at_ns = 0;
  MST__LIST_EACH(place, &queue->in_flight) {
    if (mst__sent_at(place)->sent_ns < at_ns) return false;
    at_ns = mst__sent_at(place)->sent_ns;
  }
  return flight == queue->flight_bytes && lost == queue->lost_bytes && sacked == queue->sacked_bytes &&
         retransmitted == queue->retransmitted_bytes && count == queue->count;
}
