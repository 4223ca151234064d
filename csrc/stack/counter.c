/* The names of the counters. */
#include "multistack/stack.h"

const struct mst_stack_counter *mst_stack_counter(size_t index) {
  static const struct mst_stack_counter counters[] = {
#define MST__X(field, nstat_name, what)                                                                                \
  {.name = #field, .nstat = nstat_name, .text = what, .offset = offsetof(struct mst_stack_stats, field)},
      MST_STACK_COUNTER_MAP(MST__X)
#undef MST__X
  };
  return index < sizeof counters / sizeof *counters ? &counters[index] : NULL;
}
