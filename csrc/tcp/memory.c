/* What a stack may take in all (mst_stack_options.memory_max_bytes), and how it behaves before that: under pressure
 * windows close toward what is used, send buffers take no more than a little, SYNs are refused. Payload stops below the
 * limit, so that what keeps connections going (records of what was sent, TIME-WAIT) still fits; only then is what came
 * out of order let go. What was acknowledged in order never is.
 *
 * Of payload, what is to be sent stops first, then what has come. What has come leaves by being read, and what is to be
 * sent only when the peer can take it: two ends full of that would wait for each other for ever. The last part is for
 * writers that have nothing under way: no ACK brings them back, and while others hold what they have, or take at once
 * what they gave back, the pressure may never end. */
#include "tcp/conn.h"

#define MEMORY_MAX_DEFAULT (1ull << 30)
#define STARVED_ASKED 8

void mst__memory_init(mst_stack *stack, uint64_t max_bytes) {
  struct mst__memory *memory = &stack->memory;
  if (!max_bytes) max_bytes = MEMORY_MAX_DEFAULT;
  memory->max_bytes = max_bytes;
  memory->first_bytes = max_bytes - max_bytes / 16;
  memory->receive_bytes = max_bytes - max_bytes / 8;
  memory->send_bytes = max_bytes - max_bytes * 3 / 16;
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

static bool fits(mst_stack *stack, uint64_t bytes, uint64_t limit) {
  uint64_t all = stack->stats.memory_bytes + bytes;
  if (all <= limit) return true;
  mst__memory_grant(stack, all);
  return false;
}

bool mst__memory_to_receive(mst_stack *stack, uint64_t bytes) {
  return fits(stack, bytes, stack->memory.receive_bytes);
}

bool mst__memory_to_send(mst_stack *stack, uint64_t bytes, bool first) {
  return fits(stack, bytes, first ? stack->memory.first_bytes : stack->memory.send_bytes);
}

static bool has_first(const mst_stack *stack) {
  return stack->stats.memory_bytes + MST__SEND_CHUNK_LEAST <= stack->memory.first_bytes;
}

/* The next writer in turn that has nothing under way; few are asked at a time. */
static struct mst_conn *next_starved(struct mst__memory *memory) {
  for (int asked = 0; asked < STARVED_ASKED && !mst__list_empty(&memory->waiting); asked++) {
    struct mst_conn *conn = MST__CONTAINER(memory->waiting.next, struct mst_conn, memory_node);
    if (!conn->sendq.bytes) return conn;
    mst__list_remove(&conn->memory_node);
    mst__list_push_back(&memory->waiting, &conn->memory_node);
  }
  return NULL;
}

void mst__memory_tell_starved(mst_stack *stack) {
  struct mst_conn *conn = has_first(stack) ? next_starved(&stack->memory) : NULL;
  if (!conn) return;
  mst__list_remove(&conn->memory_node);
  mst__tell_writer(conn);
}

bool mst__memory_starves(mst_stack *stack) {
  return stack->memory.pressure && !has_first(stack) && next_starved(&stack->memory);
}

void mst__memory_returned(mst_stack *stack) {
  struct mst__memory *memory = &stack->memory;
  struct mst__list *node;
  if (stack->stats.memory_bytes >= memory->low_bytes) return mst__memory_tell_starved(stack);
  memory->pressure = false;
  while ((node = mst__list_pop_front(&memory->waiting)))
    mst__tell_writer(MST__CONTAINER(node, struct mst_conn, memory_node));
}
