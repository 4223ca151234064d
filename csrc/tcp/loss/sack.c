/* What an acknowledgment says has arrived: its ACK field and its SACK blocks (RFC 2018 5), D-SACK among them (RFC
 * 2883). */
#include "tcp/conn.h"

/* `bytes` of `sent`, up to number `end`, have arrived and were not known to. */
static void delivered(struct mst_conn *conn, const struct mst__sent *sent, uint32_t bytes, uint32_t end,
                      struct mst__ack *ack) {
  if (!ack->any || mst__sent_after(sent->sent_ns, end, ack->newest_sent_ns, ack->newest_end)) {
    ack->any = true;
    ack->newest_end = end;
    ack->newest_sent_ns = sent->sent_ns;
    ack->newest_delivered = sent->delivered;
    ack->newest_delivered_ns = sent->delivered_ns;
    ack->newest_first_sent_ns = sent->first_sent_ns;
    ack->newest_lost = sent->lost;
    ack->newest_app_limited = sent->flags & MST__SENT_APP_LIMITED;
  }
  if (!(sent->flags & MST__SENT_RETRANSMITTED)) {
    ack->original = true;
    ack->rtt_ns = conn->stack->now_ns - sent->sent_ns; /* Karn's: RFC 6298 3 */
    if (!ack->rtt_ns) ack->rtt_ns = 1;
    if (sent->segment_bytes > conn->mtu_probe.proven_bytes && bytes >= sent->segment_bytes)
      mst__mtu_proven(conn, sent->segment_bytes);
  }
  ack->delivered_bytes += bytes;
  if (conn->loss->on_delivered) conn->loss->on_delivered(conn, sent, end, ack);
}

static void acked(struct mst_conn *conn, struct mst__ack *ack) {
  struct mst__sent *sent;
  bool ambiguous = false;
  while ((sent = mst__sent_first(&conn->sent)) && mst__seq_lt(sent->node.seq, conn->snd_una)) {
    uint32_t end = mst__seq_lt(sent->end, conn->snd_una) ? sent->end : conn->snd_una;
    uint32_t bytes = end - sent->node.seq;
    if (sent->flags & MST__SENT_RETRANSMITTED) ambiguous = true;
    if (!(sent->flags & MST__SENT_SACKED)) delivered(conn, sent, bytes, end, ack);
    mst__sent_remove_front(conn, sent, bytes);
  }
  /* What lay behind a hole arrived long ago, if nothing told it before the hole was filled. */
  if (ambiguous) ack->rtt_ns = 0;
}

/* The part of `sent` that [left, right) covers, cut to whole segments, as a record of its own; NULL: no whole segment
 * or no memory. */
static struct mst__sent *covered(struct mst_conn *conn, struct mst__sent *sent, uint32_t left, uint32_t right) {
  uint32_t from = sent->node.seq, segment = sent->segment_bytes;
  if (mst__seq_gt(left, from)) from += (left - from + segment - 1) / segment * segment;
  if (mst__seq_ge(from, sent->end)) return NULL;
  uint32_t to = sent->end;
  if (mst__seq_lt(right, to)) {
    if (mst__seq_le(right, from)) return NULL;
    to = from + (right - from) / segment * segment;
    if (to == from) return NULL;
  }
  if (to != sent->end && !mst__sent_split(conn, sent, to)) return NULL;
  return from == sent->node.seq ? sent : mst__sent_split(conn, sent, from);
}

static void take_block(struct mst_conn *conn, const struct mst__sack_block *block, struct mst__ack *ack) {
  struct mst__sent *sent = mst__sent_of(mst__seq_tree_find(&conn->sent.tree, block->left));
  if (!sent) sent = mst__sent_first(&conn->sent);
  for (; sent && mst__seq_lt(sent->node.seq, block->right); sent = mst__sent_next(sent)) {
    if (sent->flags & MST__SENT_SACKED) continue;
    struct mst__sent *part = covered(conn, sent, block->left, block->right);
    if (!part) continue;
    ack->sacked = true;
    delivered(conn, part, mst__sent_bytes(part), part->end, ack);
    sent = mst__sent_mark_sacked(conn, part);
  }
}

/* RFC 2883 4: the first block reports a duplicate when it lies below the ACK or within the second. */
static bool is_dsack(const struct mst__tcp *tcp) {
  const struct mst__sack_block *first = &tcp->options.sack[0], *second = &tcp->options.sack[1];
  if (mst__seq_le(first->right, tcp->ack)) return true;
  return tcp->options.sack_count > 1 && mst__seq_ge(first->left, second->left) &&
         mst__seq_le(first->right, second->right);
}

static void take_dsack(struct mst_conn *conn, const struct mst__sack_block *block, struct mst__ack *ack) {
  /* Of something sent lately; anything else is the peer's fancy. */
  uint32_t reach = conn->snd_wnd_max + (conn->snd_nxt - ack->prior_una);
  if (mst__seq_gt(block->right, conn->snd_nxt) || mst__seq_lt(block->left, ack->prior_una - reach)) return;
  ack->dsack = true;
  ack->dsack_left = block->left;
  ack->dsack_right = block->right;
  conn->recovery.dsacks++;
  conn->stack->stats.tcp_dsack_recv++;
}

/* Blocks that speak of what is outstanding, in order, so that none seems reordered only because it was told first. */
static size_t usable_blocks(struct mst_conn *conn, struct mst__sack_block *blocks, struct mst__ack *ack) {
  const struct mst__tcp_options *options = &ack->tcp->options;
  size_t count = 0;
  for (size_t i = 0; i < options->sack_count; i++) {
    struct mst__sack_block block = options->sack[i];
    if (!mst__seq_lt(block.left, block.right)) continue;
    if (i == 0 && is_dsack(ack->tcp)) {
      take_dsack(conn, &block, ack);
      continue;
    }
    if (mst__seq_le(block.right, conn->snd_una) || mst__seq_gt(block.right, conn->snd_nxt)) continue;
    if (mst__seq_lt(block.left, conn->snd_una)) continue;
    size_t at = count++;
    for (; at && mst__seq_lt(block.left, blocks[at - 1].left); at--) blocks[at] = blocks[at - 1];
    blocks[at] = block;
  }
  return count;
}

void mst__sent_acked(struct mst_conn *conn, struct mst__ack *ack) {
  acked(conn, ack);
  if (!conn->sack_ok || !ack->tcp->options.sack_count) return;
  struct mst__sack_block blocks[4];
  size_t count = usable_blocks(conn, blocks, ack);
  for (size_t i = 0; i < count; i++) take_block(conn, &blocks[i], ack);
}
