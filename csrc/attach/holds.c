/* Who gets packets to a tuple, here or in another program: asked before a connection that may go to either stack. */
#include "attach_internal.h"
#include "os/env.h"

/* That nobody holds it is not believed for a moment: a server may begin to listen right now. */
#define BELIEVE_NS 100000000u

static bool ask(struct mst_attach *attach, enum mst_protocol protocol, const struct mst_endpoint *local) {
  struct mst__control_holds question = {
      .header = {.type = MST__CONTROL_HOLDS},
      .tuple = {.addr = local->addr, .port = local->port, .protocol = (uint8_t)protocol},
  };
  if (mst__attach_call(attach, &question, sizeof question, MST__CONTROL_HELD)) return false;
  return ((const struct mst__control_held *)(const void *)attach->received.message.bytes)->held;
}

bool mst_attach_holds(mst_attach *attach, enum mst_protocol protocol, const struct mst_endpoint *local) {
  uint64_t hash = mst__hash(&attach->lease_key, local->addr.bytes, sizeof local->addr.bytes) + local->port;
  struct mst__attach_held *known = &attach->held[hash & (MST__ATTACH_HELD - 1)];
  uint64_t now_ns = mst__os_clock_ns();
  if (attach->state != MST__ATTACH_UP) return false;
  if (now_ns < known->until_ns && known->protocol == protocol && known->local.port == local->port &&
      mst_addr_equal(&known->local.addr, &local->addr))
    return true;
  if (!ask(attach, protocol, local)) return false;
  *known = (struct mst__attach_held){.local = *local, .protocol = (uint8_t)protocol, .until_ns = now_ns + BELIEVE_NS};
  return true;
}
