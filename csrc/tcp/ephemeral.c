/* Local ports for connections that did not bind one. Wildcard ports are leased, which is the lease's unpredictable
 * choice (RFC 6056 3.3.1), and shared by connections to different peers: which of them is chance again, so that one
 * peer does not learn from its own connections what port the next one to another peer has. */
#include "tcp/conn.h"

#define POOL 128  /* ports among which connections are spread; more than these are given back when unused */
#define SPREAD 64 /* one of so many of the pool's, those that rest the longest, is taken */
#define FRESH 8   /* one connection in so many gets a new port, so that the pool's are not known for long */
#define TRIES 8   /* ports of the pool that are looked at before another is leased */

static bool is_free(mst_stack *stack, struct mst__flow *flow, const mst_binding *binding, bool reuse) {
  flow->local_port = binding->tuple.port;
  const struct mst__flow *there = mst__flow_find(stack, flow);
  return !there || (reuse && mst__time_wait_may_reuse(there));
}

/* The first that is free, from the one at `skip` on; it goes to the end of the queue. */
static mst_binding *take_pooled(mst_stack *stack, struct mst__list *pool, struct mst__flow *flow, uint32_t skip,
                                uint32_t tries, bool reuse) {
  struct mst__list *node = pool->next;
  while (skip-- && node != pool) node = node->next;
  for (; tries && node != pool; tries--, node = node->next) {
    mst_binding *binding = MST__CONTAINER(node, mst_binding, ephemeral_node);
    if (!is_free(stack, flow, binding, reuse)) continue;
    mst__list_remove(node);
    mst__list_push_back(pool, node);
    return mst__binding_ref(binding);
  }
  return NULL;
}

static int lease(mst_stack *stack, struct mst__list *pool, struct mst__flow *flow, mst_binding **out) {
  bool ip4 = mst_addr_is_ip4(&flow->remote_addr);
  struct mst_tuple tuple = {
      .addr = ip4 ? MST_ADDR_ANY4 : MST_ADDR_ANY6, .protocol = MST_TCP, .flags = ip4 ? 0 : MST_BIND_V6ONLY};
  int rc = mst__binding_open(stack, &tuple, out);
  if (rc) return rc;
  mst__list_push_back(pool, &(*out)->ephemeral_node);
  stack->tcp.ephemeral_count++;
  mst__binding_ref(*out);
  flow->local_port = (*out)->tuple.port;
  return 0;
}

int mst__ephemeral_take(mst_stack *stack, struct mst__flow *flow, mst_binding **out) {
  struct mst__list *pool = &stack->tcp.ephemeral[mst_addr_is_ip4(&flow->remote_addr) ? 0 : 1];
  uint32_t all = stack->tcp.ephemeral_count, chance = mst__random32(stack);
  bool fresh = all < POOL || chance % FRESH == 0;
  *out = fresh ? NULL : take_pooled(stack, pool, flow, chance / FRESH % SPREAD, TRIES, false);
  if (*out) return 0;
  int rc = lease(stack, pool, flow, out);
  if (!rc) return 0;
  *out = take_pooled(stack, pool, flow, 0, all, false);
  if (!*out) *out = take_pooled(stack, pool, flow, 0, all, true);
  if (*out) return 0;
  return rc == -MST_ENOBUFS || rc == -MST_EADDRINUSE ? -MST_EADDRNOTAVAIL : rc;
}

static void leave_pool(mst_binding *binding) {
  mst__list_remove(&binding->ephemeral_node);
  binding->stack->tcp.ephemeral_count--;
  mst__binding_unref(binding);
}

/* The port that has rested the longest leaves, so that the pool renews itself; or this one, if that is in use. */
static void shrink_pool(mst_binding *binding) {
  struct mst__list *pool = &binding->stack->tcp.ephemeral[mst_addr_is_ip4(&binding->tuple.addr) ? 0 : 1];
  mst_binding *oldest = MST__CONTAINER(pool->next, mst_binding, ephemeral_node);
  if (oldest->refs == 1)
    leave_pool(oldest);
  else if (binding->refs == 1)
    leave_pool(binding);
}

void mst__tcp_binding_unref(mst_binding *binding) {
  bool pooled = mst__list_linked(&binding->ephemeral_node);
  mst__binding_unref(binding);
  if (pooled && binding->stack->tcp.ephemeral_count > POOL) shrink_pool(binding);
}

void mst__ephemeral_destroy(mst_stack *stack) {
  for (int i = 0; i < 2; i++)
    while (!mst__list_empty(&stack->tcp.ephemeral[i]))
      leave_pool(MST__CONTAINER(stack->tcp.ephemeral[i].next, mst_binding, ephemeral_node));
}
