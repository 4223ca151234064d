/* A timer lies in the level of the highest base-64 digit in which its tick differs from the wheel's: so all of one
 * level come before all of the next, and those of a level lie in slots above the wheel's own digit. Level 0's own slot
 * holds what is due now. */
#include "wheel.h"
#include "assert.h"

#define DIGIT_MASK (MST__WHEEL_SLOTS - 1)
#define SPAN_MASK ((1ull << (MST__WHEEL_LEVELS * MST__WHEEL_BITS)) - 1)

void mst__wheel_init(struct mst__wheel *wheel, uint64_t now_ns) {
  *wheel = (struct mst__wheel){.now_tick = now_ns >> MST__WHEEL_TICK_BITS};
  for (unsigned level = 0; level < MST__WHEEL_LEVELS; level++)
    for (unsigned slot = 0; slot < MST__WHEEL_SLOTS; slot++) mst__list_init(&wheel->slots[level][slot]);
}

/* Rounded up, so that no timer is early. */
static uint64_t tick_of(uint64_t at_ns) {
  return (at_ns >> MST__WHEEL_TICK_BITS) + ((at_ns & ((1ull << MST__WHEEL_TICK_BITS) - 1)) != 0);
}

static void place(struct mst__wheel *wheel, struct mst__timer *timer) {
  uint64_t tick = tick_of(timer->at_ns);
  uint64_t span_end = wheel->now_tick | SPAN_MASK;
  if (tick < wheel->now_tick) tick = wheel->now_tick;
  if (tick > span_end) tick = span_end; /* placed anew from there */
  unsigned level = (63 - (unsigned)__builtin_clzll((tick ^ wheel->now_tick) | 1)) / MST__WHEEL_BITS;
  unsigned slot = (tick >> (level * MST__WHEEL_BITS)) & DIGIT_MASK;
  mst__list_push_back(&wheel->slots[level][slot], &timer->node);
  wheel->occupied[level] |= 1ull << slot;
}

void mst__wheel_arm(struct mst__wheel *wheel, struct mst__timer *timer, uint64_t at_ns) {
  mst__wheel_disarm(wheel, timer);
  timer->at_ns = at_ns;
  place(wheel, timer);
}

void mst__wheel_disarm(struct mst__wheel *wheel, struct mst__timer *timer) {
  struct mst__list *next = timer->node.next;
  if (!next) return;
  mst__list_remove(&timer->node);
  if (!mst__list_empty(next)) return;
  /* It was the last of its list, and `next` is that list's head: one of our slots, or a list of due timers. */
  uintptr_t offset = (uintptr_t)next - (uintptr_t)&wheel->slots[0][0];
  if (offset >= sizeof wheel->slots) return;
  uintptr_t index = offset / sizeof(struct mst__list);
  wheel->occupied[index / MST__WHEEL_SLOTS] &= ~(1ull << (index % MST__WHEEL_SLOTS));
}

/* The lowest level that is occupied holds the earliest timers; false when none does. */
static bool earliest(const struct mst__wheel *wheel, unsigned *level, unsigned *slot, uint64_t *tick) {
  for (unsigned l = 0; l < MST__WHEEL_LEVELS; l++) {
    if (!wheel->occupied[l]) continue;
    unsigned shift = l * MST__WHEEL_BITS;
    *level = l;
    *slot = (unsigned)__builtin_ctzll(wheel->occupied[l]);
    *tick = (((wheel->now_tick >> shift) & ~(uint64_t)DIGIT_MASK) | *slot) << shift;
    return true;
  }
  return false;
}

void mst__wheel_advance(struct mst__wheel *wheel, uint64_t now_ns, struct mst__list *due) {
  uint64_t target = now_ns >> MST__WHEEL_TICK_BITS, tick;
  unsigned level, slot;
  struct mst__list todo, far;
  mst__list_init(&far);
  while (earliest(wheel, &level, &slot, &tick) && tick <= target) {
    MST_ASSERT(tick >= wheel->now_tick);
    wheel->now_tick = tick;
    mst__list_init(&todo);
    mst__list_splice(&todo, &wheel->slots[level][slot]);
    wheel->occupied[level] &= ~(1ull << slot);
    for (struct mst__list *node; (node = mst__list_pop_front(&todo));) {
      struct mst__timer *timer = MST__CONTAINER(node, struct mst__timer, node);
      uint64_t timer_tick = tick_of(timer->at_ns);
      if (timer_tick <= tick)
        mst__list_push_back(due, node);
      else if (timer_tick > (tick | SPAN_MASK))
        mst__list_push_back(&far, node);
      else
        place(wheel, timer);
    }
  }
  if (target > wheel->now_tick) wheel->now_tick = target;
  for (struct mst__list *node; (node = mst__list_pop_front(&far));)
    place(wheel, MST__CONTAINER(node, struct mst__timer, node));
}

uint64_t mst__wheel_next_ns(const struct mst__wheel *wheel) {
  unsigned level, slot;
  uint64_t tick;
  return earliest(wheel, &level, &slot, &tick) ? tick << MST__WHEEL_TICK_BITS : MST__WHEEL_NEVER;
}
