#include "stack/stack.h"
#include <string.h>

void *mst__alloc(mst_stack *stack, size_t bytes) {
  uint64_t all = stack->stats.memory_bytes + bytes;
  if (all > stack->memory.high_bytes && !mst__memory_grant(stack, all)) return NULL;
  void *memory = stack->env.alloc(stack->env.ctx, bytes);
  if (memory) stack->stats.memory_bytes += bytes;
  return memory;
}

void *mst__zalloc(mst_stack *stack, size_t bytes) {
  void *memory = mst__alloc(stack, bytes);
  return memory ? memset(memory, 0, bytes) : NULL;
}

void mst__free(mst_stack *stack, void *memory, size_t bytes) {
  if (!memory) return;
  stack->stats.memory_bytes -= bytes;
  stack->env.free(stack->env.ctx, memory, bytes);
  if (stack->memory.pressure) mst__memory_returned(stack);
}

uint32_t mst__random32(mst_stack *stack) {
  uint32_t value;
  stack->env.random(stack->env.ctx, &value, sizeof value);
  return value;
}

void mst__stack_notify(mst_stack *stack, struct mst__notice *notice) {
  if (!mst__list_linked(&notice->node)) mst__list_push_back(&stack->events, &notice->node);
}

int mst__stack_output(mst_stack *stack, const struct mst_packet *packet) {
  int rc = stack->net.output(stack->net.ctx, packet);
  if (rc) return rc;
  stack->stats.ip_out_requests++;
  stack->stats.ip_out_octets += packet->len;
  return 0;
}

static bool options_valid(const struct mst_stack_options *o) {
  return o && o->size >= sizeof *o && o->env.alloc && o->env.free && o->env.random && o->net.lease && o->net.release &&
         o->net.route && o->net.output;
}

static int tables_init(mst_stack *stack) {
  stack->env.random(stack->env.ctx, &stack->hash_key, sizeof stack->hash_key);
  if (!mst__hash_table_init(&stack->bindings, &stack->env, 64)) return -MST_ENOMEM;
  if (!mst__hash_table_init(&stack->paths, &stack->env, 64)) return -MST_ENOMEM;
  return 0;
}

int mst_stack_create(const struct mst_stack_options *options, mst_stack **out) {
  if (!options_valid(options)) return -MST_EINVAL;
  mst_stack *stack = options->env.alloc(options->env.ctx, sizeof *stack);
  if (!stack) return -MST_ENOMEM;
  memset(stack, 0, sizeof *stack);
  stack->env = options->env;
  stack->net = options->net;
  stack->trace = options->trace;
  stack->trace_ctx = options->trace_ctx;
  stack->priority_state = (uint64_t)mst__random32(stack) << 32 | 1; /* not 0 */
  mst__list_init(&stack->output);
  mst__list_init(&stack->events);
  mst__list_init(&stack->borrowed);
  mst__list_init(&stack->path_age);
  mst__wheel_init(&stack->wheel, 0);
  mst__memory_init(stack, options->memory_max_bytes);
  mst__udp_stack_init(stack);
  int rc = mst__tcp_stack_init(stack, options);
  if (!rc) rc = tables_init(stack);
  if (rc) {
    mst_stack_destroy(stack);
    return rc;
  }
  *out = stack;
  return 0;
}

void mst_stack_destroy(mst_stack *stack) {
  mst__udp_stack_destroy(stack);
  mst__tcp_stack_destroy(stack);
  mst__path_destroy(stack);
  mst__binding_destroy(stack);
  struct mst_env env = stack->env;
  env.free(env.ctx, stack, sizeof *stack);
}

static void input_icmp(mst_stack *stack, const struct mst__ip *ip) {
  struct mst__icmp_error error;
  stack->stats.icmp_in_msgs++;
  enum mst_drop drop = mst__icmp_parse(ip, &error);
  if (drop) return mst__drop(stack, drop);
  if (error.kind == MST__ICMP_OTHER) return mst__drop(stack, MST_DROP_ICMP);
  if (error.protocol == MST_TCP) return mst__tcp_icmp(stack, &error);
  if (error.protocol == MST_UDP) return mst__udp_icmp(stack, &error);
  mst__drop(stack, MST_DROP_PROTOCOL);
}

static void count_ecn(struct mst_stack_stats *stats, uint8_t tos) {
  switch (tos & MST__ECN_MASK) {
  case MST__NOT_ECT: stats->ip_in_no_ect_pkts++; break;
  case MST__ECT1: stats->ip_in_ect1_pkts++; break;
  case MST__ECT0: stats->ip_in_ect0_pkts++; break;
  default: stats->ip_in_ce_pkts++; break;
  }
}

static void input_packet(mst_stack *stack, const struct mst_packet *packet) {
  struct mst__ip ip;
  stack->stats.ip_in_receives++;
  stack->stats.ip_in_octets += packet->len;
  enum mst_drop drop = mst__ip_parse(packet->iov[0].base, packet->iov[0].len, &ip);
  if (drop) return mst__drop(stack, drop);
  count_ecn(&stack->stats, ip.tos);
  switch (ip.protocol) {
  case MST_TCP: return mst__tcp_input(stack, &ip, packet);
  case MST_UDP: return mst__udp_input(stack, &ip, packet->flags);
  case MST_ICMP:
  case MST_ICMP6: return input_icmp(stack, &ip);
  default: return mst__drop(stack, MST_DROP_PROTOCOL);
  }
}

static void set_now(mst_stack *stack, uint64_t now_ns) {
  if (now_ns > stack->now_ns) stack->now_ns = now_ns;
}

static void dispatch(mst_stack *stack) {
  struct mst__list *node;
  while ((node = mst__list_pop_front(&stack->events))) {
    struct mst__notice *notice = MST__CONTAINER(node, struct mst__notice, node);
    notice->run(notice);
  }
}

void mst_stack_input(mst_stack *stack, const struct mst_packet *packets, size_t count, uint64_t now_ns) {
  set_now(stack, now_ns);
  for (size_t i = 0; i < count; i++) input_packet(stack, &packets[i]);
  dispatch(stack);
  mst__tcp_end_of_input(stack);
}

void mst_stack_advance(mst_stack *stack, uint64_t now_ns) {
  set_now(stack, now_ns);
  struct mst__list due, *node;
  mst__list_init(&due);
  mst__wheel_advance(&stack->wheel, stack->now_ns, &due);
  while ((node = mst__list_pop_front(&due))) {
    struct mst__timer *timer = MST__CONTAINER(node, struct mst__timer, node);
    struct mst__alarm *alarm = MST__CONTAINER(timer, struct mst__alarm, timer);
    alarm->run(alarm);
  }
  dispatch(stack);
}

void mst_stack_flush(mst_stack *stack, uint64_t now_ns) {
  set_now(stack, now_ns);
  mst__tcp_flush(stack);
}

uint64_t mst_stack_next_deadline(const mst_stack *stack) {
  return mst__list_empty(&stack->events) ? mst__wheel_next_ns(&stack->wheel) : 0;
}

static uint64_t table_bytes(const struct mst__hash_table *table) {
  return ((uint64_t)table->mask + 1) * sizeof *table->buckets;
}

void mst_stack_get_stats(const mst_stack *stack, struct mst_stack_stats *out) {
  *out = stack->stats;
  out->memory_bytes +=
      sizeof *stack + table_bytes(&stack->bindings) + table_bytes(&stack->paths) + table_bytes(&stack->tcp.conns);
}
