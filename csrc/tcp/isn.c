/* Initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323 5.4): per four-tuple, secret, growing. */
#include "tcp/conn.h"
#include <string.h>

static uint64_t flow_secret(mst_stack *stack, const struct mst__flow *flow, uint8_t purpose) {
  uint8_t data[37];
  memcpy(data, flow->local_addr.bytes, 16);
  memcpy(data + 16, flow->remote_addr.bytes, 16);
  mst__put16(data + 32, flow->local_port);
  mst__put16(data + 34, flow->remote_port);
  data[36] = purpose;
  return mst__hash(&stack->tcp.isn_key, data, sizeof data);
}

/* RFC 6528 3: ISN = M + F(...), M a timer of 4 microseconds. */
uint32_t mst__isn(mst_stack *stack, const struct mst__flow *flow) {
  return (uint32_t)(stack->now_ns / 4000) + (uint32_t)flow_secret(stack, flow, 0);
}

uint32_t mst__ts_offset(mst_stack *stack, const struct mst__flow *flow) {
  return (uint32_t)flow_secret(stack, flow, 1);
}
