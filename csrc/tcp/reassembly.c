/* Bytes that came out of order: runs in an ordered set, each a list of chunks. */
#include "base/seq.h"
#include "tcp/recvq.h"

#define RUN_CHUNK_BYTES_MAX 65536

static struct mst__recv_chunk *run_of(struct mst__seq_node *node) {
  return node ? MST__CONTAINER(node, struct mst__recv_chunk, node) : NULL;
}

static struct mst__recv_chunk *run_after(const struct mst__recvq *queue, const struct mst__recv_chunk *run) {
  return run_of(run ? mst__seq_tree_next(&run->node) : queue->runs.first);
}

/* xorshift32: the set's shape must not follow from what a peer sends, and nobody sees the numbers. */
static uint32_t priority(struct mst__recvq *queue, mst_stack *stack) {
  uint32_t x = queue->balance;
  while (!x) x = mst__random32(stack);
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return queue->balance = x;
}

/* Room for the next bytes of a run that ends with `last`. The longer a run, the larger its chunks, so that it has few.
 */
static struct mst__recv_chunk *chunk_for(struct mst__recvq *queue, mst_stack *stack, const struct mst__recv_chunk *last,
                                         uint32_t bytes, uint32_t room) {
  bool larger = last && mst__recv_chunk_memory(last) < RUN_CHUNK_BYTES_MAX && last->capacity >= bytes;
  uint32_t capacity = mst__recv_chunk_capacity(larger ? last->capacity + 1 : bytes);
  uint32_t memory = capacity + (uint32_t)sizeof(struct mst__recv_chunk);
  if (queue->ofo_bytes > room || memory > room - queue->ofo_bytes) return NULL;
  struct mst__recv_chunk *chunk = mst__recv_chunk_new(stack, capacity);
  if (chunk) queue->ofo_bytes += memory;
  return chunk;
}

/* Append to the run `run`. */
static bool run_extend(struct mst__recvq *queue, mst_stack *stack, struct mst__recv_chunk *run, struct mst__text text,
                       uint32_t room) {
  struct mst__recv_chunk *last = run->run_last;
  uint32_t here = mst__recv_chunk_room(last) < text.bytes ? mst__recv_chunk_room(last) : text.bytes;
  struct mst__recv_chunk *chunk = NULL;
  if (here < text.bytes && !(chunk = chunk_for(queue, stack, last, text.bytes - here, room))) return false;
  mst__recv_chunk_fill(last, text.data, here);
  if (chunk) {
    mst__recv_chunk_fill(chunk, text.data + here, text.bytes - here);
    last->next = run->run_last = chunk;
  }
  run->run_end += text.bytes;
  return true;
}

static struct mst__recv_chunk *run_new(struct mst__recvq *queue, mst_stack *stack, struct mst__text text,
                                       uint32_t room) {
  struct mst__recv_chunk *run = chunk_for(queue, stack, NULL, text.bytes, room);
  if (!run) return NULL;
  mst__recv_chunk_fill(run, text.data, text.bytes);
  run->node.seq = text.seq;
  run->run_end = text.seq + text.bytes;
  run->run_last = run;
  mst__seq_tree_insert(&queue->runs, &run->node, priority(queue, stack));
  return run;
}

/* `after` begins where `run` ends. */
static void run_merge(struct mst__recvq *queue, struct mst__recv_chunk *run, struct mst__recv_chunk *after) {
  mst__seq_tree_remove(&queue->runs, &after->node);
  run->run_last->next = after;
  run->run_last = after->run_last;
  run->run_end = after->run_end;
}

/* Keep bytes of which none are held; `before` is the last run that begins before them. */
static bool keep(struct mst__recvq *queue, mst_stack *stack, struct mst__recv_chunk *before, struct mst__text text,
                 uint32_t room) {
  struct mst__recv_chunk *after = run_after(queue, before);
  if (before && before->run_end == text.seq) {
    if (!run_extend(queue, stack, before, text, room)) return false;
  } else if (!(before = run_new(queue, stack, text, room))) {
    return false;
  }
  if (after && after->node.seq == before->run_end) run_merge(queue, before, after);
  return true;
}

static struct mst__text text_from(struct mst__text text, uint32_t bytes) {
  return (struct mst__text){.seq = text.seq + bytes, .bytes = text.bytes - bytes, .data = text.data + bytes};
}

/* Each turn either ends with a run that reaches the end of the text, or makes two runs one: what a segment costs was
 * paid for by those that made the runs. */
bool mst__recvq_insert(struct mst__recvq *queue, mst_stack *stack, struct mst__text text, uint32_t room,
                       struct mst__sack_block *duplicate) {
  *duplicate = (struct mst__sack_block){0};
  while (text.bytes) {
    struct mst__recv_chunk *before = run_of(mst__seq_tree_find(&queue->runs, text.seq));
    if (before && mst__seq_gt(before->run_end, text.seq)) { /* the front is held already */
      uint32_t held = before->run_end - text.seq;
      if (held > text.bytes) held = text.bytes;
      if (duplicate->left == duplicate->right)
        *duplicate = (struct mst__sack_block){.left = text.seq, .right = text.seq + held};
      text = text_from(text, held);
      continue;
    }
    const struct mst__recv_chunk *after = run_after(queue, before);
    struct mst__text piece = text;
    if (after && after->node.seq - text.seq < piece.bytes) piece.bytes = after->node.seq - text.seq;
    if (!keep(queue, stack, before, piece, room)) return false;
    text = text_from(text, piece.bytes);
  }
  return true;
}

/* Small ones go together, or a peer could make us hold a whole chunk for each byte. */
static void chunk_in_order(struct mst__recvq *queue, mst_stack *stack, struct mst__recv_chunk *chunk) {
  uint32_t bytes = mst__recv_chunk_bytes(chunk);
  queue->bytes += bytes;
  if (!queue->last || bytes > mst__recv_chunk_room(queue->last)) return mst__recvq_link(queue, chunk);
  mst__recv_chunk_fill(queue->last, chunk->data + chunk->begin, bytes);
  mst__recv_chunk_free(stack, chunk);
}

uint32_t mst__recvq_join(struct mst__recvq *queue, mst_stack *stack, uint32_t rcv_nxt) {
  uint32_t lost;
  if (mst__recvq_gap(queue, rcv_nxt)) return rcv_nxt;
  if (queue->borrowed && !mst__recvq_detach(queue, stack, &lost)) return rcv_nxt - lost;
  struct mst__recv_chunk *run = run_of(queue->runs.first);
  if (!run) return rcv_nxt; /* pruned to make room for the bytes before it */
  uint32_t end = run->run_end;
  mst__seq_tree_remove(&queue->runs, &run->node);
  while (run) {
    struct mst__recv_chunk *next = run->next;
    queue->ofo_bytes -= mst__recv_chunk_memory(run);
    chunk_in_order(queue, stack, run);
    run = next;
  }
  return end;
}

bool mst__recvq_run(const struct mst__recvq *queue, uint32_t seq, struct mst__sack_block *out) {
  const struct mst__recv_chunk *run = run_of(mst__seq_tree_find(&queue->runs, seq));
  if (!run || !mst__seq_gt(run->run_end, seq)) return false;
  *out = (struct mst__sack_block){.left = run->node.seq, .right = run->run_end};
  return true;
}

static bool run_free(struct mst__recvq *queue, mst_stack *stack, struct mst__recv_chunk *run) {
  if (!run) return false;
  mst__seq_tree_remove(&queue->runs, &run->node);
  for (const struct mst__recv_chunk *c = run; c; c = c->next) queue->ofo_bytes -= mst__recv_chunk_memory(c);
  mst__recv_chunks_free(stack, run);
  return true;
}

bool mst__recvq_prune(struct mst__recvq *queue, mst_stack *stack) {
  if (!run_free(queue, stack, run_of(queue->runs.last))) return false;
  stack->stats.tcp_ofo_pruned++;
  return true;
}

void mst__reassembly_free(struct mst__recvq *queue, mst_stack *stack) {
  while (run_free(queue, stack, run_of(queue->runs.first))) continue;
}
