#include "tcp/conn.h"
#include <string.h>

#define BLOCK_BYTES 8
#define OPTION_BYTES 4 /* kind and length, with two NOPs in front */

/* An ACK that is owed for an earlier segment of the same run would now tell the same: one of them is enough. */
void mst__sack_arrived(struct mst_conn *conn, uint32_t seq) {
  struct mst__sack *sack = &conn->sack;
  struct mst__sack_block run;
  unsigned kept = 1, owed = 1;
  uint32_t recent[MST__SACK_RECENT + 1] = {seq};
  if (!conn->sack_ok || !mst__recvq_run(&conn->recvq, seq, &run)) return mst__owe_ack(conn);
  for (unsigned i = 0; i < sack->recent_count; i++) {
    uint32_t other = sack->recent[i];
    bool same = mst__seq_ge(other, run.left) && mst__seq_lt(other, run.right);
    if (same || mst__seq_lt(other, conn->rcv_nxt)) continue;
    recent[kept++] = other;
    owed += i < conn->acks_owed;
  }
  if (conn->acks_owed > sack->recent_count) owed += conn->acks_owed - sack->recent_count;
  conn->acks_owed = (uint16_t)owed;
  sack->recent_count = (uint8_t)(kept < MST__SACK_RECENT ? kept : MST__SACK_RECENT);
  memcpy(sack->recent, recent, sizeof sack->recent);
  mst__output_wanted(conn);
}

void mst__sack_duplicate(struct mst_conn *conn, struct mst__sack_block block) {
  struct mst__sack *sack = &conn->sack;
  uint32_t segment = (uint32_t)conn->stack->stats.tcp_in_segs;
  if (!conn->sack_ok || block.left == block.right) return;
  if (sack->duplicate_count && sack->duplicate_segment == segment) return; /* RFC 2883 4.2: only the first part of it */
  sack->duplicate_segment = segment;
  if (sack->duplicate_count == MST__SACK_DUPLICATES) {
    memmove(sack->duplicates, sack->duplicates + 1, sizeof sack->duplicates - sizeof *sack->duplicates);
    sack->duplicate_count--;
  }
  sack->duplicates[sack->duplicate_count++] = block;
}

void mst__sack_old(struct mst_conn *conn, uint32_t seq, uint32_t end) {
  if (!mst__seq_lt(seq, conn->rcv_nxt)) return;
  mst__sack_duplicate(conn, (struct mst__sack_block){.left = seq, .right = mst__seq_min(end, conn->rcv_nxt)});
}

bool mst__sack_wanted(const struct mst_conn *conn) {
  return conn->sack_ok && (conn->sack.duplicate_count || (conn->acks_owed && conn->recvq.runs.first));
}

/* Add the run that holds `seq`, unless it is there already after the first `from` blocks. */
static void add_run(const struct mst_conn *conn, uint32_t seq, unsigned from, struct mst__tcp_options *options) {
  struct mst__sack_block run;
  if (mst__seq_lt(seq, conn->rcv_nxt) || !mst__recvq_run(&conn->recvq, seq, &run)) return;
  for (unsigned i = from; i < options->sack_count; i++)
    if (options->sack[i].left == run.left) return;
  options->sack[options->sack_count++] = run;
}

/* RFC 2018 4: first the block that holds the segment that triggered this ACK, then what was reported most recently. A
 * D-SACK goes before, and the larger block that it is a part of right behind it (RFC 2883 4). Of several ACKs that are
 * owed after a batch, each is for the segment that called for it. */
void mst__sack_fill(const struct mst_conn *conn, uint32_t room, struct mst__tcp_options *options) {
  const struct mst__sack *sack = &conn->sack;
  if (room < OPTION_BYTES + BLOCK_BYTES) return;
  unsigned fit = (room - OPTION_BYTES) / BLOCK_BYTES, first = 0, duplicates = sack->duplicate_count > 0;
  if (fit > 4) fit = 4;
  if (duplicates) {
    options->sack[options->sack_count++] = sack->duplicates[0];
    if (fit > 1) add_run(conn, sack->duplicates[0].left, duplicates, options);
  } else if (conn->acks_owed && sack->recent_count) {
    first = conn->acks_owed < sack->recent_count ? conn->acks_owed - 1u : sack->recent_count - 1u;
  }
  for (unsigned i = first; i < sack->recent_count && options->sack_count < fit; i++)
    add_run(conn, sack->recent[i], duplicates, options);
}

void mst__sack_sent(struct mst_conn *conn) {
  struct mst__sack *sack = &conn->sack;
  if (!sack->duplicate_count) return;
  if (mst__seq_lt(sack->duplicates[0].left, conn->rcv_nxt))
    conn->stack->stats.tcp_dsack_old_sent++;
  else
    conn->stack->stats.tcp_dsack_ofo_sent++;
  sack->duplicates[0] = sack->duplicates[MST__SACK_DUPLICATES - 1];
  sack->duplicate_count--;
}
