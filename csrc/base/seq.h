/* Sequence-number arithmetic, modulo 2^32 (RFC 9293 3.4). */
#ifndef MST_BASE_SEQ_H
#define MST_BASE_SEQ_H

#include <stdbool.h>
#include <stdint.h>

static inline bool mst__seq_lt(uint32_t a, uint32_t b) {
  return (int32_t)(a - b) < 0;
}
static inline bool mst__seq_le(uint32_t a, uint32_t b) {
  return (int32_t)(a - b) <= 0;
}
static inline bool mst__seq_gt(uint32_t a, uint32_t b) {
  return (int32_t)(a - b) > 0;
}
static inline bool mst__seq_ge(uint32_t a, uint32_t b) {
  return (int32_t)(a - b) >= 0;
}
static inline uint32_t mst__seq_max(uint32_t a, uint32_t b) {
  return mst__seq_gt(a, b) ? a : b;
}
static inline uint32_t mst__seq_min(uint32_t a, uint32_t b) {
  return mst__seq_lt(a, b) ? a : b;
}

#endif
