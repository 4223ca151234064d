/* A small set of sequence numbers, as ranges in order that neither overlap nor touch. */
#ifndef TEST_SIM_RANGES_H
#define TEST_SIM_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SIM_RANGES_MAX 256

struct sim_ranges {
  struct sim_range {
    uint32_t left, right;
  } at[SIM_RANGES_MAX];
  size_t count;
  bool overflowed; /* it has forgotten some */
};

static inline bool sim_after(uint32_t a, uint32_t b) {
  return (int32_t)(a - b) > 0;
}

static inline void sim_ranges_add(struct sim_ranges *set, uint32_t left, uint32_t right) {
  size_t first = 0, last;
  while (first < set->count && sim_after(left, set->at[first].right)) first++;
  for (last = first; last < set->count && !sim_after(set->at[last].left, right); last++) {
    if (sim_after(left, set->at[last].left)) left = set->at[last].left;
    if (sim_after(set->at[last].right, right)) right = set->at[last].right;
  }
  if (first == last && set->count == SIM_RANGES_MAX) {
    set->overflowed = true;
    return;
  }
  memmove(set->at + first + 1, set->at + last, (set->count - last) * sizeof *set->at);
  set->count += first + 1 - last;
  set->at[first] = (struct sim_range){left, right};
}

/* Forget what is before `from`. */
static inline void sim_ranges_trim(struct sim_ranges *set, uint32_t from) {
  size_t gone = 0;
  while (gone < set->count && !sim_after(set->at[gone].right, from)) gone++;
  memmove(set->at, set->at + gone, (set->count - gone) * sizeof *set->at);
  set->count -= gone;
  if (set->count && sim_after(from, set->at[0].left)) set->at[0].left = from;
}

static inline bool sim_ranges_cover(const struct sim_ranges *set, uint32_t left, uint32_t right) {
  for (size_t i = 0; i < set->count; i++)
    if (!sim_after(set->at[i].left, left) && !sim_after(right, set->at[i].right)) return true;
  return false;
}

#endif
