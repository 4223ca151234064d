/* What a receiver whose ring is full may cost others. Its senders wait for a while, so that nothing is lost between two
 * stacks of a host; but a sender's ring is one queue, and what waits behind may be for somebody else. So a receiver
 * that does not move at all is waited for once, and one that moves a little now and then has a credit: the time in
 * which it holds up senders of other owners that have somebody else to talk to. The credit comes back slowly, and
 * without it the receiver loses packets, which are its own. */
#include "switch_internal.h"

/* How long, and through how many attempts, one is waited for that does not move. */
#define EPISODE_NS 10000000ull
#define EPISODE_ATTEMPTS 8u

#define CREDIT_NS 10000000ull
#define CREDIT_SHARE 100u /* a nanosecond comes back in so many */

/* How long a sender that has sent to another receiver counts as one that might again. */
#define OTHERS_NS 100000000ull

void mst__patience_note_other(struct mst_switch *sw, struct mst__switch_channel *from, uint32_t receiver) {
  if (from->last_receiver || receiver == MST__RECEIVER_PORT) from->others_until_ns = sw->now_ns + OTHERS_NS;
  from->last_receiver = receiver;
}

static bool harms(const struct mst_switch *sw, const struct mst__switch_channel *from,
                  const struct mst__switch_channel *to) {
  return from->options.owner != to->options.owner && sw->now_ns < from->others_until_ns;
}

/* Bring the account up to date. */
static void settle(const struct mst_switch *sw, struct mst__patience *patience) {
  uint64_t elapsed_ns = sw->now_ns - patience->settled_ns;
  patience->settled_ns = sw->now_ns;
  if (patience->harming) {
    patience->credit_ns = elapsed_ns < patience->credit_ns ? patience->credit_ns - elapsed_ns : 0;
    return;
  }
  patience->credit_ns += elapsed_ns / CREDIT_SHARE;
  if (patience->credit_ns > CREDIT_NS) patience->credit_ns = CREDIT_NS;
}

void mst__patience_init(struct mst_switch *sw, struct mst__switch_channel *channel) {
  channel->patience = (struct mst__patience){.credit_ns = CREDIT_NS, .settled_ns = sw->now_ns};
}

int mst__patience_full(struct mst_switch *sw, struct mst__switch_channel *from, struct mst__switch_channel *to) {
  struct mst__patience *patience = &to->patience;
  if (patience->attempts++ == 0) patience->since_ns = sw->now_ns;
  if (patience->attempts > EPISODE_ATTEMPTS && sw->now_ns - patience->since_ns > EPISODE_NS) patience->over = true;
  settle(sw, patience);
  bool harmful = harms(sw, from, to);
  bool drop = patience->over || (harmful && !patience->credit_ns);
  patience->harming = !drop && (harmful || patience->harming);
  if (drop) return MST_DROP_RX_FULL;
  from->hold = MST__HOLD_RECEIVER;
  from->stuck_on = to;
  return MST__BLOCKED;
}

void mst__patience_moved(struct mst_switch *sw, struct mst__switch_channel *to) {
  settle(sw, &to->patience);
  to->patience.attempts = 0;
  to->patience.over = to->patience.harming = false;
}

uint64_t mst__patience_end(const struct mst__switch_channel *to) {
  const struct mst__patience *patience = &to->patience;
  uint64_t end_ns = patience->since_ns + EPISODE_NS + 1;
  uint64_t credit_end_ns = patience->settled_ns + patience->credit_ns;
  return patience->harming && credit_end_ns < end_ns ? credit_end_ns : end_ns;
}
