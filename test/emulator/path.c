#include "path.h"

#include <stddef.h>

enum series { LOSS, REORDER, DUPLICATE, CORRUPT };

#define BARE_BYTES_MAX 120u      /* headers and their options */
#define BARE_SERIES (1ull << 32) /* where the numbers of packets without data begin */

/* splitmix64's finish. */
static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

uint64_t path_random(uint64_t seed, uint64_t series, uint64_t index) {
  return mix(mix(seed + series * 0x9e3779b97f4a7c15ull) + index * 0x9e3779b97f4a7c15ull);
}

static bool happens(uint64_t seed, enum series series, uint64_t index, uint32_t ppm) {
  return ppm && path_random(seed, series, index) % 1000000 < ppm;
}

/* The number that decides what befalls the packet that has come now. */
static uint64_t fate(struct path *path, uint32_t bytes) {
  path->index++;
  if (bytes > BARE_BYTES_MAX) return path->index - path->bare;
  return BARE_SERIES + ++path->bare;
}

static bool loss_begins(const struct path *path, const struct path_options *options, uint64_t seed, uint64_t number) {
  for (size_t i = 0; i < PATH_DROPS_MAX && options->drops[i]; i++)
    if (options->drops[i] == path->index) return true;
  return happens(seed, LOSS, number, options->loss_ppm);
}

static bool is_lost(struct path *path, const struct path_options *options, uint64_t seed, uint64_t number,
                    uint64_t now_ns) {
  if (now_ns < path->lossy_until_ns) return true;
  if (!loss_begins(path, options, seed, number)) return false;
  path->lossy_until_ns = now_ns + options->loss_burst_ns;
  return true;
}

struct path_verdict path_enter(struct path *path, const struct path_options *options, uint64_t seed, uint32_t bytes,
                               uint64_t now_ns) {
  struct path_verdict verdict = {0};
  uint64_t number = fate(path, bytes);
  if (is_lost(path, options, seed, number, now_ns)) {
    verdict.lost = true;
    return verdict;
  }
  if (path->free_ns < now_ns) path->free_ns = now_ns;
  if (options->rate_bps) {
    uint64_t waiting_bytes = (path->free_ns - now_ns) * options->rate_bps / 8000000000ull;
    if (options->queue_bytes && waiting_bytes + bytes > options->queue_bytes) {
      verdict.overflowed = true;
      return verdict;
    }
    verdict.marked = options->mark_bytes && waiting_bytes > options->mark_bytes;
    path->free_ns += bytes * 8000000000ull / options->rate_bps;
  }
  verdict.due_ns = path->free_ns + options->delay_ns;
  verdict.reordered = happens(seed, REORDER, number, options->reorder_ppm);
  if (verdict.reordered) verdict.due_ns += options->reorder_ns;
  verdict.duplicated = happens(seed, DUPLICATE, number, options->duplicate_ppm);
  verdict.corrupted = happens(seed, CORRUPT, number, options->corrupt_ppm);
  return verdict;
}
