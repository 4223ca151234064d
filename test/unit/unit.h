/* What every unit test includes: cmocka, the things it needs before it, and chance by seed. */
#ifndef TEST_UNIT_H
#define TEST_UNIT_H

#include "sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static inline struct mst_addr addr(const char *text) {
  struct mst_addr out;
  if (mst_addr_parse(text, &out)) abort();
  return out;
}

static inline void fill_random(struct sim_random *random, void *out, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) ((uint8_t *)out)[i] = (uint8_t)sim_random_next(random);
}

/* A heap copy of the exact size, so that a sanitizer sees a read past the end. free() it. */
static inline uint8_t *exact(const void *data, size_t bytes) {
  uint8_t *copy = malloc(bytes ? bytes : 1);
  if (!copy) abort();
  if (bytes) memcpy(copy, data, bytes);
  return copy;
}

#endif
