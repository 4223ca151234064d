/* What a stack may take in all (mst_stack_options.memory_max_bytes), and how it behaves before that: under pressure
 * windows close toward what is used, send buffers take no more than a little, SYNs are refused. Payload stops below the
 * limit, so that what keeps connections going (records of what was sent, TIME-WAIT) still fits; only then is what came
 * out of order let go. What was acknowledged in order never is. */
#include "tcp/conn.h"

#define MEMORY_MAX_DEFAULT (1ull << 30)
#define STARVED_ASKED 8

void mst__memory_init(mst_stack *stack, uint64_t max_bytes) {
  struct mst__memory *memory = &stack->memory;
  if (!max_bytes) max_bytes = MEMORY_MAX_DEFAULT;
  memory->max_bytes = max_bytes;
  memory->payload_bytes = max_bytes - max_bytes / 16;
  memory->send_bytes = max_bytes - max_bytes / 8;
  memory->high_bytes = max_bytes - max_bytes / 4;
  memory->low_bytes = max_bytes - max_bytes * 3 / 8;
  mst__list_init(&memory->waiting);
}

bool mst__memory_grant(mst_stack *stack, uint64_t bytes) {
  struct mst__memory *memory = &stack->memory;
  /* Nothing would end a pressure that began with so little in use: only what is given back does. */
  if (!memory->pressure && stack->stats.memory_bytes >= memory->low_bytes) {
    stack->stats.tcp_memory_pressures++;
    memory->pressure = true;
  }
  return bytes <= memory->max_bytes;
}

/* What has come leaves by being read, and what is to be sent only when the peer can take it: two ends full of that
 * would wait for each other for ever. So a part is for what comes alone. */
bool mst__memory_to_send(mst_stack *stack, uint64_t bytes) {
  uint64_t all = stack->stats.memory_bytes + bytes;
  if (all <= stack->memory.send_bytes) return true;
  mst__memory_grant(stack, all);
  return false;
}

/* While others hold what they have the pressure may never end: what they give back, a writer may have at once that has
 * nothing under way, since no ACK will bring it back. Few are asked at a time, in turn. */
static void tell_starved(struct mst__memory *memory) {
  for (int asked = 0; asked < STARVED_ASKED; asked++) {
    struct mst__list *node = mst__list_pop_front(&memory->waiting);
    if (!node) return;
    struct mst_conn *conn = MST__CONTAINER(node, struct mst_conn, memory_node);
    if (!conn->sendq.bytes) return mst__tell_writer(conn);
    mst__list_push_back(&memory->waiting, node);
  }
}

void mst__memory_returned(mst_stack *stack) {
  struct mst__memory *memory = &stack->memory;
  struct mst__list *node;
  uint64_t taken = stack->stats.memory_bytes;
  if (taken >= memory->low_bytes) {
    if (taken + MST__SEND_CHUNK_LEAST <= memory->send_bytes) tell_starved(memory);
    return;
  }
  memory->pressure = false;
  while ((node = mst__list_pop_front(&memory->waiting)))
    mst__tell_writer(MST__CONTAINER(node, struct mst_conn, memory_node));
}
