/* Held local tuples. */
#include "stack/stack.h"

static uint32_t binding_hash(mst_stack *stack, uint8_t protocol, uint16_t port) {
  uint8_t key[3] = {protocol, (uint8_t)(port >> 8), (uint8_t)port};
  return (uint32_t)mst__hash(&stack->hash_key, key, sizeof key);
}

static mst_binding *first(mst_stack *stack, uint8_t protocol, uint16_t port, struct mst__hash_node **at) {
  *at = mst__hash_first(&stack->bindings, binding_hash(stack, protocol, port));
  return *at ? MST__CONTAINER(*at, mst_binding, node) : NULL;
}

static mst_binding *next(struct mst__hash_node **at) {
  *at = mst__hash_next(*at);
  return *at ? MST__CONTAINER(*at, mst_binding, node) : NULL;
}

static bool same_tuple(const struct mst_tuple *a, const struct mst_tuple *b) {
  return a->protocol == b->protocol && a->port == b->port && mst_addr_equal(&a->addr, &b->addr) &&
         (a->flags & MST_BIND_V6ONLY) == (b->flags & MST_BIND_V6ONLY);
}

static mst_binding *find_same(mst_stack *stack, const struct mst_tuple *tuple) {
  struct mst__hash_node *at;
  for (mst_binding *b = first(stack, tuple->protocol, tuple->port, &at); b; b = next(&at))
    if (same_tuple(&b->tuple, tuple)) return b;
  return NULL;
}

static bool wildcard_covers(const struct mst_tuple *wildcard, const struct mst_addr *addr) {
  if (mst_addr_is_ip4(&wildcard->addr)) return mst_addr_is_ip4(addr);
  return !mst_addr_is_ip4(addr) || !(wildcard->flags & MST_BIND_V6ONLY);
}

mst_binding *mst__binding_find(mst_stack *stack, uint8_t protocol, const struct mst_addr *addr, uint16_t port,
                               bool (*wanted)(const mst_binding *binding)) {
  struct mst__hash_node *at;
  mst_binding *wildcard = NULL;
  for (mst_binding *b = first(stack, protocol, port, &at); b; b = next(&at)) {
    if (b->tuple.protocol != protocol || b->tuple.port != port || (wanted && !wanted(b))) continue;
    if (mst_addr_equal(&b->tuple.addr, addr)) return b;
    if (mst_addr_is_any(&b->tuple.addr) && wildcard_covers(&b->tuple, addr)) wildcard = b;
  }
  return wildcard;
}

int mst__binding_open(mst_stack *stack, const struct mst_tuple *tuple, mst_binding **out) {
  mst_binding *binding = tuple->port ? find_same(stack, tuple) : NULL;
  if (binding) {
    if (binding->listener || binding->udp) return -MST_EADDRINUSE;
    *out = mst__binding_ref(binding);
    return 0;
  }
  binding = mst__zalloc(stack, sizeof *binding);
  if (!binding) return -MST_ENOMEM;
  binding->stack = stack;
  binding->tuple = *tuple;
  binding->refs = 1;
  int rc = stack->net.lease(stack->net.ctx, &binding->tuple);
  if (rc) {
    mst__free(stack, binding, sizeof *binding);
    return rc;
  }
  mst__hash_table_insert(&stack->bindings, &stack->env, &binding->node,
                         binding_hash(stack, tuple->protocol, binding->tuple.port));
  *out = binding;
  return 0;
}

mst_binding *mst__binding_ref(mst_binding *binding) {
  binding->refs++;
  return binding;
}

static void binding_free(mst_binding *binding) {
  mst_stack *stack = binding->stack;
  mst__hash_table_remove(&stack->bindings, &binding->node);
  stack->net.release(stack->net.ctx, &binding->tuple);
  mst__free(stack, binding, sizeof *binding);
}

void mst__binding_unref(mst_binding *binding) {
  if (--binding->refs == 0) binding_free(binding);
}

void mst__binding_destroy(mst_stack *stack) {
  if (!stack->bindings.buckets) return;
  for (uint32_t i = 0; i <= stack->bindings.mask; i++)
    while (stack->bindings.buckets[i]) binding_free(MST__CONTAINER(stack->bindings.buckets[i], mst_binding, node));
  mst__hash_table_free(&stack->bindings, &stack->env);
}

int mst_bind(mst_stack *stack, enum mst_protocol protocol, const struct mst_endpoint *local, unsigned bind_flags,
             mst_binding **out) {
  if (protocol != MST_TCP && protocol != MST_UDP) return -MST_EINVAL;
  if (mst_addr_is_multicast(&local->addr)) return -MST_EADDRNOTAVAIL;
  struct mst_tuple tuple = {
      .addr = local->addr, .port = local->port, .protocol = (uint8_t)protocol, .flags = (uint8_t)bind_flags};
  return mst__binding_open(stack, &tuple, out);
}

void mst_unbind(mst_binding *binding) {
  mst__binding_unref(binding);
}

void mst_binding_local(const mst_binding *binding, struct mst_endpoint *out) {
  *out = (struct mst_endpoint){.addr = binding->tuple.addr, .port = binding->tuple.port};
}
