#include "host_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

void *mst__host_alloc(void *ctx, size_t bytes) {
  (void)ctx;
  return malloc(bytes); /* aligned to 16 by the C library */
}

void mst__host_free(void *ctx, void *memory, size_t bytes) {
  (void)ctx;
  (void)bytes;
  free(memory);
}

void mst__host_random(void *ctx, void *out, size_t bytes) {
  (void)ctx;
  uint8_t *to = out;
  while (bytes) {
    ssize_t n = getrandom(to, bytes, 0);
    if (n < 0) continue; /* EINTR: nothing else can happen with a valid buffer */
    to += n;
    bytes -= (size_t)n;
  }
}

void mst__host_log_stderr(void *ctx, enum mst_log_level level, const char *line) {
  (void)ctx;
  if (level <= MST_LOG_WARN) fprintf(stderr, "multistack: %s\n", line);
}

uint64_t mst__host_clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
