/* Local ports for connections that did not bind one. Wildcard ports are leased as they are needed and shared by
 * connections to different peers; which number it is, is the lease's unpredictable choice (RFC 6056). */
#include "tcp/conn.h"

#define TRIES 8      /* ports of the pool that are looked at before another is leased */
#define KEEP_MAX 128 /* unused ports that the pool keeps */

static bool is_free(mst_stack *stack, struct mst__flow *flow, const mst_binding *binding) {
  flow->local_port = binding->tuple.port;
  return !mst__flow_find(stack, flow);
}

static mst_binding *take_pooled(mst_stack *stack, struct mst__list *pool, struct mst__flow *flow, uint32_t tries) {
  for (uint32_t i = 0; i < tries && !mst__list_empty(pool); i++) {
    struct mst__list *node = mst__list_pop_front(pool);
    mst__list_push_back(pool, node);
    mst_binding *binding = MST__CONTAINER(node, mst_binding, ephemeral_node);
    if (is_free(stack, flow, binding)) return binding;
  }
  return NULL;
}

int mst__ephemeral_take(mst_stack *stack, struct mst__flow *flow, mst_binding **out) {
  bool ip4 = mst_addr_is_ip4(&flow->remote_addr);
  struct mst__list *pool = &stack->tcp.ephemeral[ip4 ? 0 : 1];
  *out = take_pooled(stack, pool, flow, TRIES);
  if (*out) {
    mst__binding_ref(*out);
    return 0;
  }
  struct mst_tuple tuple = {
      .addr = ip4 ? MST_ADDR_ANY4 : MST_ADDR_ANY6, .protocol = MST_TCP, .flags = ip4 ? 0 : MST_BIND_V6ONLY};
  int rc = mst__binding_open(stack, &tuple, out);
  if (!rc) {
    mst__list_push_back(pool, &(*out)->ephemeral_node);
    stack->tcp.ephemeral_count++;
    mst__binding_ref(*out);
    flow->local_port = (*out)->tuple.port;
    return 0;
  }
  *out = take_pooled(stack, pool, flow, stack->tcp.ephemeral_count);
  if (!*out) return rc == -MST_ENOMEM ? rc : -MST_EADDRNOTAVAIL;
  mst__binding_ref(*out);
  return 0;
}

static void leave_pool(mst_binding *binding) {
  mst__list_remove(&binding->ephemeral_node);
  binding->stack->tcp.ephemeral_count--;
  mst__binding_unref(binding);
}

void mst__tcp_binding_unref(mst_binding *binding) {
  bool pooled = mst__list_linked(&binding->ephemeral_node);
  if (pooled && binding->refs == 2 && binding->stack->tcp.ephemeral_count > KEEP_MAX) leave_pool(binding);
  mst__binding_unref(binding);
}

void mst__ephemeral_destroy(mst_stack *stack) {
  for (int i = 0; i < 2; i++)
    while (!mst__list_empty(&stack->tcp.ephemeral[i]))
      leave_pool(MST__CONTAINER(stack->tcp.ephemeral[i].next, mst_binding, ephemeral_node));
}
