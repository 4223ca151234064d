/* A hierarchical timer wheel. Times are nanoseconds of any monotonic clock; a timer fires at the first advance at or
 * after its time, at most one tick (2^16 ns, 66 us: fine enough to pace by) late and never early. */
#ifndef MST_BASE_WHEEL_H
#define MST_BASE_WHEEL_H

#include "list.h"
#include <stdint.h>

#define MST__WHEEL_NEVER UINT64_MAX

struct mst__timer {
  struct mst__list node;
  uint64_t at_ns; /* when it fires, meaningful while armed */
};

#define MST__WHEEL_TICK_BITS 16
#define MST__WHEEL_BITS 6
#define MST__WHEEL_SLOTS (1 << MST__WHEEL_BITS)
#define MST__WHEEL_LEVELS 8

struct mst__wheel {
  uint64_t now_tick;
  uint64_t occupied[MST__WHEEL_LEVELS]; /* a bit for each slot that is not empty */
  struct mst__list slots[MST__WHEEL_LEVELS][MST__WHEEL_SLOTS];
};

void mst__wheel_init(struct mst__wheel *wheel, uint64_t now_ns);

/* Arm, or move when armed. A time in the past fires at the next advance. */
void mst__wheel_arm(struct mst__wheel *wheel, struct mst__timer *timer, uint64_t at_ns);
void mst__wheel_disarm(struct mst__wheel *wheel, struct mst__timer *timer);
static inline bool mst__timer_armed(const struct mst__timer *timer) {
  return mst__list_linked(&timer->node);
}

/* Move all timers that are due at `now_ns` to `due` (they are then no longer armed, though linked there: take each off
 * with mst__list_pop_front before its owner is called, since that may arm or free it or others in the list;
 * mst__wheel_disarm of a timer in `due` takes it off too). */
void mst__wheel_advance(struct mst__wheel *wheel, uint64_t now_ns, struct mst__list *due);

/* A time by which advance must be called, not later than the earliest timer's tick; MST__WHEEL_NEVER when none. */
uint64_t mst__wheel_next_ns(const struct mst__wheel *wheel);

#endif
