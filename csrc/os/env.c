#include "env.h"
#include <stdlib.h>
#include <sys/random.h>
#include <sys/types.h>
#include <time.h>

void *mst__os_alloc(void *ctx, size_t bytes) {
  (void)ctx;
  return malloc(bytes); /* aligned to 16 by the C library */
}

void mst__os_free(void *ctx, void *memory, size_t bytes) {
  (void)ctx;
  (void)bytes;
  free(memory);
}

void mst__os_random(void *ctx, void *out, size_t bytes) {
  (void)ctx;
  uint8_t *to = out;
  while (bytes) {
    ssize_t n = getrandom(to, bytes, 0);
    if (n < 0) continue; /* EINTR: nothing else can happen with a valid buffer */
    to += n;
    bytes -= (size_t)n;
  }
}

uint64_t mst__os_clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
