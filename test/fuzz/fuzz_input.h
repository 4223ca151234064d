/* What the fuzz targets that are programs of steps share: their input, read to its end and zeroes after that, and an
 * environment whose chance is a number. */
#ifndef TEST_FUZZ_INPUT_H
#define TEST_FUZZ_INPUT_H

#include "multistack/env.h"
#include <stdint.h>
#include <stdlib.h>

struct input {
  const uint8_t *at, *end;
};

static inline uint8_t input_byte(struct input *in) {
  return in->at < in->end ? *in->at++ : 0;
}
static inline uint32_t input_word(struct input *in) {
  uint32_t high = input_byte(in);
  return high << 8 | input_byte(in);
}

static inline void *fuzz_alloc(void *ctx, size_t bytes) {
  (void)ctx;
  return malloc(bytes);
}
static inline void fuzz_free(void *ctx, void *memory, size_t bytes) {
  (void)ctx;
  (void)bytes;
  free(memory);
}
static inline void fuzz_random_bytes(uint64_t *state, void *out, size_t bytes) {
  for (uint8_t *at = out; bytes--; at++) *at = (uint8_t)((*state = *state * 6364136223846793005u + 1) >> 33);
}

#endif
