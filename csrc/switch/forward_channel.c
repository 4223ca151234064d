/* From a channel: the fast path. A batch is copied out of the ring and validated, and what its look-ups will touch is
 * asked of memory; then each packet is checked against the tuple table and handed on. */
#include "switch_internal.h"

static void prefetch_lookups(struct mst_switch *sw, struct mst__outgoing *packet) {
  const struct mst__tuple_table *table = &sw->tuples;
  if (MST_LIKELY(!packet->source.ip6)) {
    packet->source_hash = mst__tuple_hash4(table, packet->source.word);
    packet->destination_hash = mst__tuple_hash4(table, packet->destination.word);
    __builtin_prefetch(&table->entries4[packet->source_hash]);
    __builtin_prefetch(&table->entries4[packet->destination_hash]);
  } else {
    packet->source_hash = mst__tuple_hash6(table, packet->source.addr, packet->source.word);
    packet->destination_hash = mst__tuple_hash6(table, packet->destination.addr, packet->destination.word);
    __builtin_prefetch(&table->entries6[packet->source_hash]);
    __builtin_prefetch(&table->entries6[packet->destination_hash]);
  }
}

static inline uint32_t find(const struct mst__tuple_table *table, const struct mst__tuple_key *key, uint32_t hash) {
  return MST_LIKELY(!key->ip6) ? mst__tuple_find4(table, key->word, hash)
                               : mst__tuple_find6(table, key->addr, key->word, hash);
}

/* A stack sends only from tuples that it holds. A wildcard covers the host's own addresses and no others. */
static inline bool source_is_held(struct mst_switch *sw, const struct mst__switch_channel *from,
                                  const struct mst__outgoing *packet) {
  uint32_t holder = find(&sw->tuples, &packet->source, packet->source_hash);
  if (MST_LIKELY(holder)) return mst__holder_sends(sw, holder, from->id, packet);
  holder = mst__tuple_find_any(&sw->tuples, packet->source.ip6, packet->source.word);
  if (!holder || !mst__holder_is(sw, holder, from->id)) return false;
  struct mst_addr addr = mst__outgoing_source(packet);
  return mst__is_local(sw, &addr) && mst__holder_sends(sw, holder, from->id, packet);
}

static inline uint32_t destination_holder(struct mst_switch *sw, const struct mst__outgoing *packet) {
  uint32_t holder = find(&sw->tuples, &packet->destination, packet->destination_hash);
  if (MST_LIKELY(holder)) return holder;
  holder = mst__tuple_find_any(&sw->tuples, packet->destination.ip6, packet->destination.word);
  if (!holder) return 0;
  struct mst_addr addr = mst__outgoing_destination(packet);
  return mst__is_local(sw, &addr) ? holder : 0;
}

static int malformed(struct mst_switch *sw, struct mst__switch_channel *from, struct mst__outgoing *packet) {
  return packet->drop == MST_DROP_ICMP ? mst__forward_icmp(sw, from, packet) : (int)packet->drop;
}

static inline int forward(struct mst_switch *sw, struct mst__switch_channel *from, struct mst__outgoing *packet) {
  if (MST_UNLIKELY(packet->drop)) return malformed(sw, from, packet);
  if (MST_UNLIKELY(!source_is_held(sw, from, packet))) return MST_DROP_SOURCE_NOT_HELD;
  uint32_t holder = destination_holder(sw, packet);
  if (MST_UNLIKELY(!holder)) return mst__leave(sw, from, packet);
  const uint8_t *tcp = packet->protocol == MST_TCP ? packet->taken.bytes + packet->l3_bytes : NULL;
  struct mst__switch_channel *to = mst__holder_pick(sw, holder, &packet->destination, &packet->source, tcp);
  return mst__deliver_outgoing(sw, from, to, packet);
}

/* False: it has to wait. */
static inline bool forward_and_count(struct mst_switch *sw, struct mst__switch_channel *from,
                                     struct mst__outgoing *packet, struct mst__batch_result *done) {
  int result = forward(sw, from, packet);
  if (result == MST__BLOCKED) return false;
  from->resume_bytes = 0;
  if (MST_UNLIKELY(result != MST_DROP_NONE)) {
    packet->drop = (enum mst_drop)result;
    mst__blame(sw, from, packet->drop);
  } else {
    done->bytes += packet->taken.len;
  }
  return true;
}

static struct mst__batch_result forward_observed(struct mst_switch *sw, struct mst__switch_channel *from,
                                                 uint32_t count) {
  struct mst__batch_result done = {0};
  for (; done.count < count; done.count++) {
    struct mst__outgoing *packet = &sw->batch[done.count];
    bool whole = packet->drop != MST_DROP_DESCRIPTOR;
    if (whole) mst__own_packet(sw, &packet->taken);
    if (!forward_and_count(sw, from, packet, &done)) break;
    if (!whole) continue;
    mst__observe_channel(sw, from,
                         &(struct mst_switch_seen){.data = sw->scratch,
                                                   .len = packet->taken.len,
                                                   .gso_size = packet->taken.gso_size,
                                                   .flags = packet->taken.flags,
                                                   .outbound = true,
                                                   .drop = packet->drop});
  }
  return done;
}

static struct mst__batch_result forward_taken(struct mst_switch *sw, struct mst__switch_channel *from, uint32_t count) {
  struct mst__batch_result done = {0};
  if (MST_UNLIKELY(sw->observers)) return forward_observed(sw, from, count);
  while (done.count < count && forward_and_count(sw, from, &sw->batch[done.count], &done)) done.count++;
  return done;
}

struct mst__batch_result mst__forward_batch(struct mst_switch *sw, struct mst__switch_channel *from, uint32_t count) {
  struct mst__outgoing *batch = sw->batch;
  for (uint32_t i = 0; i < count; i++) {
    batch[i].drop = mst__tx_take(&from->end, i, &batch[i].taken) ? mst__validate(&batch[i]) : MST_DROP_DESCRIPTOR;
    if (MST_LIKELY(!batch[i].drop)) prefetch_lookups(sw, &batch[i]);
  }
  sw->surcharge = 0;
  struct mst__batch_result done = forward_taken(sw, from, count);
  from->stats.from_channel_packets += done.count;
  from->stats.from_channel_bytes += done.bytes;
  mst__deliver_publish(sw);
  mst__tx_done(&from->end, done.count);
  return done;
}
