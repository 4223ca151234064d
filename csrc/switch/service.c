/* Whose turn it is. Channels with packets waiting stand in a ring and are served in turn, as many bytes each (surplus
 * round robin: whoever took more than its share waits for longer), with a charge for each packet, so that small ones
 * count for what they cost; a channel's own limits come on top. */
#include "sample.h"
#include "switch_internal.h"

/* In bytes; a packet's charge is about what its headers cost of a copy. */
#define QUANTUM 32768
#define QUANTA_ALONE 32
#define PACKET_CHARGE 192
#define DEBT_MAX (4 << 20)

/* What one process call takes on, whatever its budget of packets. */
#define CALL_CHARGE_MAX (4 << 20)

static void charge(struct mst_switch *sw, struct mst__switch_channel *from, const struct mst__batch_result *result) {
  int64_t bytes = (int64_t)(result->bytes + sw->surcharge) + (int64_t)result->count * PACKET_CHARGE;
  sw->call_charge += bytes;
  from->deficit -= bytes;
  if (from->deficit < -DEBT_MAX) from->deficit = -DEBT_MAX;
  from->last_count = result->count;
  from->last_charge = (uint32_t)bytes;
  mst__rate_take(&from->packets_limit, sw->now_ns, result->count);
  mst__rate_take(&from->bytes_limit, sw->now_ns, result->bytes);
}

static uint32_t waiting_of(struct mst_switch *sw, struct mst__switch_channel *from) {
  bool broken;
  uint32_t waiting = mst__tx_waiting(&from->end, &broken);
  if (MST_UNLIKELY(broken)) mst__blame(sw, from, MST_DROP_DESCRIPTOR);
  return waiting;
}

/* So many packets like the last ones are about `bytes`. */
static uint32_t packets_of(const struct mst__switch_channel *from, uint64_t bytes) {
  if (!from->last_charge) return 1;
  if (bytes > UINT32_MAX) bytes = UINT32_MAX;
  uint64_t packets = bytes * from->last_count / from->last_charge + 1;
  return packets > MST__BATCH ? MST__BATCH : (uint32_t)packets;
}

static uint32_t within_limits(const struct mst_switch *sw, struct mst__switch_channel *from, uint32_t count) {
  uint64_t packets = mst__rate_room(&from->packets_limit, sw->now_ns);
  uint64_t bytes = mst__rate_room(&from->bytes_limit, sw->now_ns);
  if (count > packets) count = (uint32_t)packets;
  if (bytes != UINT64_MAX) {
    uint32_t fit = bytes ? packets_of(from, bytes) : 0;
    if (count > fit) count = fit;
  }
  if (!count) from->hold = MST__HOLD_LIMIT;
  return count;
}

static uint32_t batch_size(const struct mst_switch *sw, struct mst__switch_channel *from, uint32_t left, bool alone) {
  uint32_t count = left < MST__BATCH ? left : MST__BATCH;
  if (!alone) {
    uint32_t share = packets_of(from, (uint64_t)from->deficit);
    if (count > share) count = share;
  }
  return MST_UNLIKELY(from->limited) ? within_limits(sw, from, count) : count;
}

/* One channel's turn. Returns how many packets were forwarded or dropped. */
static size_t serve(struct mst_switch *sw, struct mst__switch_channel *from, size_t budget, bool alone) {
  uint32_t waiting = waiting_of(sw, from), done = 0;
  if (waiting > budget) waiting = (uint32_t)budget;
  if (from->deficit > QUANTUM) from->deficit = QUANTUM; /* left over from when it was alone */
  from->deficit += alone ? QUANTUM * QUANTA_ALONE : QUANTUM;
  from->hold = MST__HOLD_NOT;
  while (done < waiting && from->deficit > 0 && sw->call_charge < CALL_CHARGE_MAX) {
    uint32_t count = batch_size(sw, from, waiting - done, alone);
    if (!count) break;
    struct mst__batch_result result = mst__forward_batch(sw, from, count);
    charge(sw, from, &result);
    done += result.count;
    if (result.count < count) break;
  }
  return done;
}

static void note_deadline(struct mst_switch *sw, const struct mst__switch_channel *from) {
  uint64_t at_ns = UINT64_MAX;
  if (from->hold == MST__HOLD_LIMIT) {
    uint64_t packets_ns = mst__rate_at(&from->packets_limit), bytes_ns = mst__rate_at(&from->bytes_limit);
    at_ns = packets_ns > bytes_ns ? packets_ns : bytes_ns;
  } else if (from->hold == MST__HOLD_RECEIVER) {
    at_ns = mst__patience_end(from->stuck_on);
  }
  if (at_ns < sw->deadline_ns) sw->deadline_ns = at_ns;
}

/* After a turn: back into the ring, or out of it until the next call. */
static void settle(struct mst_switch *sw, struct mst__switch_channel *from) {
  if (from->hold != MST__HOLD_NOT) {
    note_deadline(sw, from);
  } else if (waiting_of(sw, from)) {
    mst__list_push_back(&sw->ready, &from->ready);
    return;
  }
  if (from->deficit > 0) from->deficit = 0;
}

static void enlist(struct mst_switch *sw) {
  for (unsigned id = 0; id < sw->channel_room; id++) {
    struct mst__switch_channel *channel = mst__live_channel(sw, id);
    if (channel && !mst__list_linked(&channel->ready) && waiting_of(sw, channel))
      mst__list_push_back(&sw->ready, &channel->ready);
  }
}

size_t mst_switch_process_channels(mst_switch *sw, unsigned budget, uint64_t now_ns) {
  size_t early = sw->forwarded_early, done = 0;
  sw->forwarded_early = 0;
  sw->now_ns = now_ns;
  sw->deadline_ns = UINT64_MAX;
  sw->call_charge = 0;
  if (sw->waiting_count) mst__neighbour_expire(sw);
  enlist(sw);
  struct mst__list *node;
  while (done < budget && sw->call_charge < CALL_CHARGE_MAX && (node = mst__list_pop_front(&sw->ready))) {
    struct mst__switch_channel *from = MST__CONTAINER(node, struct mst__switch_channel, ready);
    uint64_t begin_ns = mst__sample_begin(sw);
    done += serve(sw, from, budget - done, mst__list_empty(&sw->ready));
    mst__sample_end(sw, from, begin_ns);
    settle(sw, from);
  }
  mst__ports_flush(sw);
  return early + done;
}

/* Bounded by what the ring held at first; what it costs others is taken from the channel's next turns. */
void mst__forward_waiting(struct mst_switch *sw, struct mst__switch_channel *from) {
  if (mst__in_limbo(from)) return;
  uint32_t waiting = waiting_of(sw, from);
  while (waiting) {
    uint32_t count = waiting < MST__BATCH ? waiting : MST__BATCH;
    struct mst__batch_result result = mst__forward_batch(sw, from, count);
    charge(sw, from, &result);
    sw->forwarded_early += result.count;
    if (result.count < count) return;
    waiting -= count;
  }
}

uint64_t mst_switch_deadline(const mst_switch *sw) {
  return sw->deadline_ns;
}

/* --- sleep --- */

/* Packets wait, and not for something that will be told of: a receiver that moves, a port's descriptor, a deadline. */
static bool has_work(struct mst__switch_channel *channel) {
  bool broken;
  uint32_t waiting = mst__tx_waiting(&channel->end, &broken);
  if (broken) return true;
  if (!waiting || channel->hold == MST__HOLD_PORT || channel->hold == MST__HOLD_LIMIT) return false;
  return channel->hold == MST__HOLD_NOT || mst__rx_has_moved(&channel->stuck_on->end);
}

bool mst_switch_sleep(mst_switch *sw) {
  struct mst__switch_channel *channel;
  bool idle = mst__list_empty(&sw->ready);
  for (unsigned id = 0; id < sw->channel_room; id++)
    if ((channel = mst__live_channel(sw, id))) mst__bell_set(&channel->end.header->tx_bell);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  for (unsigned id = 0; id < sw->channel_room && idle; id++)
    if ((channel = mst__live_channel(sw, id))) idle = !has_work(channel);
  return idle;
}

void mst_switch_wake(mst_switch *sw) {
  struct mst__switch_channel *channel;
  for (unsigned id = 0; id < sw->channel_room; id++)
    if ((channel = mst__live_channel(sw, id))) mst__bell_take(&channel->end.header->tx_bell);
}
