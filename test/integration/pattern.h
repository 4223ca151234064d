/* What is sent, either way: one endless pattern, so that each byte that arrives can be compared. */
#ifndef MST_TEST_PATTERN_H
#define MST_TEST_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PATTERN_BYTES 1048573u
static uint8_t pattern[2 * PATTERN_BYTES];

/* Once, before the rest. */
static void pattern_init(void) {
  uint64_t x = 88172645463325252ull;
  for (size_t i = 0; i < PATTERN_BYTES; i++) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    pattern[i] = pattern[i + PATTERN_BYTES] = (uint8_t)(x >> 32);
  }
}

/* PATTERN_BYTES of it. */
static const uint8_t *pattern_at(uint64_t position) {
  return pattern + position % PATTERN_BYTES;
}

static bool is_pattern(uint64_t position, const uint8_t *data, size_t bytes) {
  while (bytes) {
    size_t n = bytes < PATTERN_BYTES ? bytes : PATTERN_BYTES;
    if (memcmp(data, pattern_at(position), n)) return false;
    position += n, data += n, bytes -= n;
  }
  return true;
}

#endif
