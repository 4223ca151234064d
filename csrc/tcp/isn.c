/* What only we can know of a four-tuple: initial sequence numbers (RFC 6528), which grow, and timestamp offsets (RFC
 * 7323 5.4). */
#include "tcp/conn.h"
#include <string.h>

uint64_t mst__flow_secret(mst_stack *stack, const struct mst__flow *flow, enum mst__secret purpose, uint64_t more) {
  uint8_t data[45];
  memcpy(data, flow->local_addr.bytes, 16);
  memcpy(data + 16, flow->remote_addr.bytes, 16);
  mst__put16(data + 32, flow->local_port);
  mst__put16(data + 34, flow->remote_port);
  data[36] = (uint8_t)purpose;
  memcpy(data + 37, &more, sizeof more);
  return mst__hash(&stack->tcp.isn_key, data, sizeof data);
}

uint32_t mst__isn(mst_stack *stack, const struct mst__flow *flow) {
  return mst__isn_clock(stack->now_ns) + (uint32_t)mst__flow_secret(stack, flow, MST__SECRET_ISN, 0);
}

uint32_t mst__ts_offset(mst_stack *stack, const struct mst__flow *flow) {
  return (uint32_t)mst__flow_secret(stack, flow, MST__SECRET_TS_OFFSET, 0);
}
