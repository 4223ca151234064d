/* A listener changes hands: who holds its tuple tells which flows are its own, and another may take it. */
#include "host_internal.h"
#include <stdlib.h>

struct flows {
  const struct mst_tuple *tuple;
  struct mst_endpoint *remotes;
  size_t count, room;
  bool no_memory;
};

static bool is_of(const struct mst_tuple *tuple, const struct mst_tcp_info *info) {
  return info->state != MST_LISTEN && info->local.port == tuple->port &&
         (mst_addr_is_any(&tuple->addr) || mst_addr_equal(&tuple->addr, &info->local.addr));
}

static void gather(const struct mst_tcp_info *info, void *user) {
  struct flows *flows = user;
  if (!is_of(flows->tuple, info)) return;
  if (flows->count == flows->room) {
    size_t room = flows->room ? 2 * flows->room : 64;
    struct mst_endpoint *bigger = realloc(flows->remotes, room * sizeof *bigger);
    if (!bigger) {
      flows->no_memory = true;
      return;
    }
    flows->remotes = bigger;
    flows->room = room;
  }
  flows->remotes[flows->count++] = info->remote;
}

static struct mst__host_stack *entry_of(mst_host *host, const mst_stack *stack) {
  struct mst__host_stack *entry = host->stacks;
  while (entry && entry->stack != stack) entry = entry->next;
  return entry;
}

int mst_host_offer(mst_host *host, mst_stack *stack, const struct mst_tuple *tuple) {
  struct mst__host_stack *entry = entry_of(host, stack);
  struct flows flows = {.tuple = tuple};
  if (!entry) return -MST_EBADF;
  mst_stack_each_conn(stack, gather, &flows);
  int error = flows.no_memory ? -MST_ENOMEM
              : entry->attach ? mst_attach_offer(entry->attach, tuple, flows.remotes, flows.count)
                              : mst_switch_offer(host->sw, entry->id, tuple, flows.remotes, flows.count);
  free(flows.remotes);
  return error;
}

static void count_alive(const struct mst_tcp_info *info, void *user) {
  struct flows *flows = user;
  if (is_of(flows->tuple, info) && info->state != MST_TIME_WAIT) flows->count++;
}

size_t mst_host_flows(const mst_stack *stack, const struct mst_tuple *tuple) {
  struct flows flows = {.tuple = tuple};
  mst_stack_each_conn(stack, count_alive, &flows);
  return flows.count;
}
