/* Questions to the daemon, each with its answer before the next. */
#include "attach_internal.h"
#include "os/env.h"
#include <errno.h>
#include <unistd.h>

void mst__attach_take_news(struct mst_attach *attach) {
  const struct mst__control_header *header = &attach->received.message.header;
  switch (header->type) {
  case MST__CONTROL_ROUTES_CHANGED: attach->route_generation++; break;
  case MST__CONTROL_SOCKETS:
    attach->sockets_asked = true;
    attach->sockets_serial = header->serial;
    break;
  default: mst__control_close_fds(&attach->received); /* an answer that came too late */
  }
}

int mst__attach_call(struct mst_attach *attach, void *message, size_t bytes, enum mst__control_type answer) {
  struct mst__control_header *header = message;
  const struct mst__control_header *got = &attach->received.message.header;
  if (attach->state != MST__ATTACH_UP) return -MST_ENETDOWN;
  header->serial = ++attach->serial;
  uint32_t serial = header->serial;
  uint64_t until_ns = mst__os_clock_ns() + (uint64_t)attach->wait_ms * 1000000;
  int status = mst__control_send(attach->control, message, bytes, NULL, 0, false) ? 0 : 1;
  while (status == 1) {
    status = mst__control_receive(attach->control, &attach->received, false);
    if (status != 1) break;
    if (got->type == answer && got->serial == serial) return 0;
    mst__attach_take_news(attach);
    if (mst__os_clock_ns() >= until_ns) break; /* much news and no answer */
  }
  mst__attach_lost(attach);
  return -MST_ENETDOWN;
}

void mst__attach_tell(struct mst_attach *attach, void *message, size_t bytes) {
  if (attach->state == MST__ATTACH_UP && mst__control_send(attach->control, message, bytes, NULL, 0, false))
    mst__attach_lost(attach);
}

static int ask_route(struct mst_attach *attach, const struct mst_addr *destination, struct mst_route *out) {
  struct mst__control_route question = {.header = {.type = MST__CONTROL_ROUTE}, .destination = *destination};
  int error = mst__attach_call(attach, &question, sizeof question, MST__CONTROL_ROUTED);
  if (error) return error;
  const struct mst__control_routed *answer = (const void *)attach->received.message.bytes;
  *out = (struct mst_route){.source = answer->source, .mtu = answer->mtu, .flags = answer->flags};
  return answer->error;
}

int mst_attach_route(void *ctx, const struct mst_addr *destination, struct mst_route *out) {
  struct mst_attach *attach = ctx;
  uint64_t hash = mst__hash(&attach->lease_key, destination->bytes, sizeof destination->bytes);
  struct mst__attach_route *known = &attach->routes[hash & (MST__ATTACH_ROUTES - 1)];
  if (attach->state != MST__ATTACH_UP) return -MST_ENETDOWN;
  if (known->generation != attach->route_generation || !mst_addr_equal(&known->destination, destination)) {
    struct mst_route route = {0};
    uint64_t generation = attach->route_generation; /* news may come before the answer */
    int error = ask_route(attach, destination, &route);
    if (error == -MST_ENETDOWN) return error;
    *known = (struct mst__attach_route){
        .destination = *destination, .generation = generation, .route = route, .error = error};
  }
  *out = known->route;
  return known->error;
}
