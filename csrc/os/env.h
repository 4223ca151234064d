/* What a process has of its OS, in the shapes of mst_env: memory, chance, time. Any thread. */
#ifndef MST_OS_ENV_H
#define MST_OS_ENV_H

#include <stddef.h>
#include <stdint.h>

/* Of the C library. */
void *mst__os_alloc(void *ctx, size_t bytes);
void mst__os_free(void *ctx, void *memory, size_t bytes);
/* Of the kernel. */
void mst__os_random(void *ctx, void *out, size_t bytes);
/* CLOCK_MONOTONIC. */
uint64_t mst__os_clock_ns(void);

#endif
