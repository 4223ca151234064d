/* What a stack may take in all (mst_stack_options.memory_max_bytes), and how it behaves before that: under pressure
 * windows close toward what is used, send buffers take no more than a little, SYNs are refused. Payload stops below the
 * limit, so that what keeps connections going (records of what was sent, TIME-WAIT) still fits; only then is what came
 * out of order let go. What was acknowledged in order never is. */
#include "tcp/conn.h"

#define MEMORY_MAX_DEFAULT (1ull << 30)

void mst__memory_init(mst_stack *stack, uint64_t max_bytes) {
  struct mst__memory *memory = &stack->memory;
  if (!max_bytes) max_bytes = MEMORY_MAX_DEFAULT;
  memory->max_bytes = max_bytes;
  memory->payload_bytes = max_bytes - max_bytes / 16;
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

void mst__memory_relieved(mst_stack *stack) {
  struct mst__list *node;
  stack->memory.pressure = false;
  while ((node = mst__list_pop_front(&stack->memory.waiting)))
    mst__tell_writer(MST__CONTAINER(node, struct mst_conn, memory_node));
}
