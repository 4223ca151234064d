/* The switch's parts, as they see each other. */
#ifndef MST_SWITCH_INTERNAL_H
#define MST_SWITCH_INTERNAL_H

#include "base/hash.h"
#include "base/list.h"
#include "channel_end.h"
#include "group_flow.h"
#include "lease.h"
#include "multistack/switch.h"
#include "observe.h"
#include "rate.h"
#include "tuple_table.h"
#include "validate.h"

#define MST__CHANNELS_MAX 4096u
#define MST__PORTS_MAX 16u

/* A holder in the tuple table: a channel's id + 1, or from here on a group. */
#define MST__HOLDER_GROUP 0x4000u
#define MST__GROUPS_MAX (MST__HOLDER_MAX - MST__HOLDER_GROUP + 1)

/* How many packets are looked at together, so that their look-ups wait for memory together. */
#define MST__BATCH 32u
#define MST__BATCH_BYTES (MST__BATCH * sizeof(struct mst__outgoing) + 64)

/* A forwarding step that must be tried again later; other results are drop reasons, MST_DROP_NONE of them. */
#define MST__BLOCKED (-1)

/* Why a channel that has packets waiting is not served. */
enum mst__hold {
  MST__HOLD_NOT,
  MST__HOLD_RECEIVER, /* stuck_on has no room */
  MST__HOLD_PORT,     /* a port has none */
  MST__HOLD_LIMIT,    /* it has sent as much as it may */
};

/* A receiver's account with those whom it holds up; patience.c. */
struct mst__patience {
  uint32_t attempts; /* to deliver to it, all in vain, since since_ns */
  bool over;         /* it stayed full for longer than senders wait */
  bool harming;      /* the credit is running */
  uint64_t since_ns, settled_ns, credit_ns;
};

/* In last_receiver: 0: none yet, a channel's id + 1, or this. */
#define MST__RECEIVER_PORT UINT32_MAX

struct mst__switch_channel {
  unsigned id;
  struct mst_switch_channel_options options;
  bool dirty;            /* received something that is not yet published */
  uint32_t resume_bytes; /* of the next packet: payload that has been segmented and sent already */
  struct mst__patience patience;
  struct mst__channel_end end;
  struct mst_switch_stats stats;
  /* As a sender, service.c: */
  struct mst__list ready; /* in the switch's ring of those with work */
  int64_t deficit;        /* bytes that it may still take, or has taken too many */
  enum mst__hold hold;
  struct mst__switch_channel *stuck_on;
  uint32_t last_count, last_charge; /* of its last batch */
  bool limited;
  struct mst__rate packets_limit, bytes_limit, icmp_rate;
  uint32_t abuse_points; /* at abuse_at_ns; abuse.c */
  bool abusive;
  uint64_t abuse_at_ns;
  uint32_t last_receiver;    /* of what it sent last */
  uint64_t others_until_ns;  /* it has sent to more than one lately */
  struct mst__list holdings; /* of_channel */
  uint32_t lease_count;      /* of holdings */
  mst_pcap *pcap;
  char pcap_name[32];
};

struct mst__switch_port {
  struct mst_port *port;
  bool used;      /* has packets that are not flushed */
  bool down;      /* the device is gone, for good */
  bool down_told; /* the host has been told */
};

/* What is known of the way to one destination. */
struct mst__route {
  struct mst_addr destination;
  uint32_t route_generation; /* of the switch when it was asked; another: stale */
  uint32_t neighbour_generation;
  int error;
  struct mst_next_hop hop;
  struct mst__switch_port *port; /* that carries hop.ifindex, or NULL */
  uint8_t mac[6];                /* of hop.gateway, while neighbour_generation is current */
};

#define MST__ROUTES 1024u /* power of two */

struct mst_switch {
  struct mst_env env;
  const struct mst_switch_os *os;
  uint64_t (*clock_ns)(void *ctx);
  void *clock_ctx;
  uint32_t sample_in, sample_random; /* sample.h */
  int64_t realtime_offset_ns;        /* what captures add to now_ns */
  uint64_t now_ns;                   /* of the process call in progress */

  struct mst__tuple_table tuples;
  struct mst__switch_channel **channels; /* by id, NULL: free */
  unsigned channel_room;
  unsigned observers; /* captures and tees; observe.c */
  struct mst__capture captures[MST__CAPTURES_MAX];
  uint8_t *scratch;       /* MST__SCRATCH_BYTES, or NULL */
  struct mst__list ready; /* channels with work, in the order of their turns */
  int64_t call_charge;    /* of the process call in progress; service.c */
  uint64_t surcharge;     /* of the packet in progress, beside its bytes: what had to be asked for it */
  uint64_t deadline_ns;   /* when a channel that is held up may go on */
  struct mst__switch_channel *dirty[MST__BATCH * 4];
  unsigned dirty_count;

  struct mst__switch_port ports[MST__PORTS_MAX];
  unsigned port_count;
  bool own_addresses; /* some port has addresses that the OS does not have */

  struct mst__hash_key lease_key;
  struct mst__hash_table leases;
  struct mst__hash_table port_uses; /* lease_index.c */
  struct mst__group **groups;       /* by holder - MST__HOLDER_GROUP */
  unsigned group_room, group_hint;  /* none is free before the hint */
  uint64_t group_serial;
  struct mst__group_flow_table flows;

  struct mst__route *routes; /* direct-mapped */
  uint32_t route_generation, neighbour_generation;
  struct mst__list waiting; /* neighbour_queue.c */
  unsigned waiting_count;

  size_t forwarded_early; /* by releases since the last process call, which counts them as its own */
  struct mst_switch_stats stats;
  struct mst__outgoing *batch; /* MST__BATCH of them, in batch_memory, aligned */
  void *batch_memory;
};

static inline void mst__count_drop(struct mst_switch *sw, struct mst__switch_channel *channel, enum mst_drop reason) {
  sw->stats.drops[reason]++;
  if (channel) channel->stats.drops[reason]++;
}

static inline void *mst__switch_alloc(struct mst_switch *sw, size_t bytes) {
  void *memory = sw->env.alloc(sw->env.ctx, bytes);
  if (memory) memset(memory, 0, bytes);
  return memory;
}
static inline void mst__switch_free(struct mst_switch *sw, void *memory, size_t bytes) {
  if (memory) sw->env.free(sw->env.ctx, memory, bytes);
}

/* NULL: there is none of this id. */
static inline struct mst__switch_channel *mst__channel_of(const struct mst_switch *sw, unsigned id) {
  return id < sw->channel_room ? sw->channels[id] : NULL;
}
static inline bool mst__may_hold_more(const struct mst__switch_channel *channel) {
  return !channel->options.leases_max || channel->lease_count < channel->options.leases_max;
}
static inline void mst__hold(struct mst__switch_channel *channel, struct mst__holding *holding) {
  mst__list_push_back(&channel->holdings, &holding->of_channel);
  channel->lease_count++;
}
static inline void mst__let_go(struct mst__switch_channel *channel, struct mst__holding *holding) {
  mst__list_remove(&holding->of_channel);
  channel->lease_count--;
}
/* In limbo a channel has no stack: it holds leases, sends nothing, and what it should get is dropped. */
static inline bool mst__in_limbo(const struct mst__switch_channel *channel) {
  return !channel->end.header;
}
static inline struct mst__switch_channel *mst__live_channel(const struct mst_switch *sw, unsigned id) {
  struct mst__switch_channel *channel = sw->channels[id];
  return channel && !mst__in_limbo(channel) ? channel : NULL;
}

/* holder.c: the channel that gets the packets of a flow to a tuple that `holder` holds; `tcp` is the packet's TCP
 * header, NULL: it has none. Whether `id` is (one of) the holder, and whether it is and now sends this packet. */
struct mst__switch_channel *mst__holder_pick_of_group(struct mst_switch *sw, uint32_t holder,
                                                      const struct mst__tuple_key *local,
                                                      const struct mst__tuple_key *remote, const uint8_t *tcp);
bool mst__holder_group_has(const struct mst_switch *sw, uint32_t holder, unsigned id);
bool mst__holder_group_sends(struct mst_switch *sw, uint32_t holder, unsigned id, const struct mst__outgoing *packet);
static inline struct mst__switch_channel *mst__holder_pick(struct mst_switch *sw, uint32_t holder,
                                                           const struct mst__tuple_key *local,
                                                           const struct mst__tuple_key *remote, const uint8_t *tcp) {
  if (MST_LIKELY(holder < MST__HOLDER_GROUP)) return sw->channels[holder - 1];
  return mst__holder_pick_of_group(sw, holder, local, remote, tcp);
}
static inline bool mst__holder_is(const struct mst_switch *sw, uint32_t holder, unsigned id) {
  if (MST_LIKELY(holder < MST__HOLDER_GROUP)) return holder == id + 1;
  return mst__holder_group_has(sw, holder, id);
}
static inline bool mst__holder_sends(struct mst_switch *sw, uint32_t holder, unsigned id,
                                     const struct mst__outgoing *packet) {
  if (MST_LIKELY(holder < MST__HOLDER_GROUP)) return holder == id + 1;
  return mst__holder_group_sends(sw, holder, id, packet);
}
/* The holder of a tuple that packets to `key` at `addr` reach: exactly, else the wildcard where `addr` is local. */
uint32_t mst__holder_find(struct mst_switch *sw, const struct mst__tuple_key *key, const struct mst_addr *addr);

/* route_cache.c */
bool mst__is_local(struct mst_switch *sw, const struct mst_addr *addr);
struct mst__route *mst__route_find(struct mst_switch *sw, const struct mst_addr *destination);
struct mst__switch_port *mst__port_of_address(struct mst_switch *sw, const struct mst_addr *addr);
/* The port by which a packet leaves that nobody here holds the destination of; its route in `route` unless the port
 * needs none. MST_DROP_NONE or a reason. */
enum mst_drop mst__port_for(struct mst_switch *sw, const struct mst_addr *source, const struct mst_addr *destination,
                            struct mst__switch_port **port, struct mst__route **route);

/* deliver.c: into a channel's ring. MST__BLOCKED: full, and the sender may wait. */
int mst__deliver_outgoing(struct mst_switch *sw, struct mst__switch_channel *from, struct mst__switch_channel *to,
                          const struct mst__outgoing *packet);
enum mst_drop mst__deliver_bytes(struct mst_switch *sw, struct mst__switch_channel *to, const uint8_t *data,
                                 uint32_t len, uint16_t gso_size, uint8_t flags);
void mst__deliver_publish(struct mst_switch *sw);

/* A packet on its way to a port: headers in the switch's memory, payload anywhere. */
struct mst__departing {
  const uint8_t *header;
  uint32_t l3_bytes, header_bytes, payload_bytes;
  uint16_t gso_size;
  uint8_t flags, protocol;
  bool ip6;
  unsigned iov_count;
  struct mst_iov payload[1 + MST_PACKET_IOV_MAX];
};

/* forward_channel.c: the first `count` waiting packets, at most MST__BATCH. */
struct mst__batch_result {
  uint32_t count; /* forwarded or dropped; fewer than asked for: the next one has to wait */
  uint64_t bytes; /* of those that were forwarded */
};
struct mst__batch_result mst__forward_batch(struct mst_switch *sw, struct mst__switch_channel *from, uint32_t count);
/* service.c: all that a channel has sent until now, before a change of what it holds. */
void mst__forward_waiting(struct mst_switch *sw, struct mst__switch_channel *from);

/* abuse.c: count a drop of what a channel has sent, and hold it against it. */
void mst__blame(struct mst_switch *sw, struct mst__switch_channel *channel, enum mst_drop reason);

/* patience.c. A receiver has no room: MST__BLOCKED, or the reason to drop. */
void mst__patience_init(struct mst_switch *sw, struct mst__switch_channel *channel);
int mst__patience_full(struct mst_switch *sw, struct mst__switch_channel *from, struct mst__switch_channel *to);
/* It has room again. */
void mst__patience_moved(struct mst_switch *sw, struct mst__switch_channel *to);
/* When those who wait for it may go on without it. */
uint64_t mst__patience_end(const struct mst__switch_channel *to);
/* `from` sends to another than before. */
void mst__patience_note_other(struct mst_switch *sw, struct mst__switch_channel *from, uint32_t receiver);

/* icmp_out.c: what mst__validate takes for ICMP. */
int mst__forward_icmp(struct mst_switch *sw, struct mst__switch_channel *from, struct mst__outgoing *packet);
/* leave.c: out of this switch by whatever port leads on. */
int mst__leave(struct mst_switch *sw, struct mst__switch_channel *from, struct mst__outgoing *packet);
/* transmit.c: push out what ports have been given. */
void mst__ports_flush(struct mst_switch *sw);
/* Through this port; `resume_bytes` is where to go on after MST__BLOCKED, 0 at first. */
int mst__transmit(struct mst_switch *sw, struct mst__switch_port *port, const uint8_t mac[6],
                  const struct mst__departing *packet, uint32_t *resume_bytes);
void mst__gather(uint8_t *to, const struct mst_iov *iov, uint32_t offset, uint32_t bytes);

/* refuse.c: what a host or router answers to a packet that it drops for `reason`: a reset to a TCP segment that nobody
 * holds the destination of (RFC 9293 3.10.7.1), else an ICMP error (RFC 792, RFC 4443). Writes at most
 * MST__REFUSAL_BYTES, checksums complete; 0: there is no answer. */
#define MST__REFUSAL_BYTES 320u
struct mst__refused {
  const uint8_t *header; /* IP without options or extension headers, and the transport's */
  uint32_t l3_bytes, header_bytes;
  uint32_t len; /* of the whole packet */
  uint8_t protocol;
};
uint32_t mst__refusal(const struct mst__refused *packet, enum mst_drop reason, uint32_t mtu, uint8_t *out);
/* Answer so to the channel that sent it, which would wait in vain otherwise. */
void mst__explain(struct mst_switch *sw, struct mst__switch_channel *from, const struct mst__refused *packet,
                  enum mst_drop reason, uint32_t mtu);

/* neighbour_queue.c: packets that wait until their next hop is known. */
enum mst_drop mst__neighbour_wait(struct mst_switch *sw, struct mst__switch_channel *from, unsigned ifindex,
                                  const struct mst_addr *gateway, const struct mst__departing *packet);
bool mst__neighbour_is_waited_for(const struct mst_switch *sw, unsigned ifindex, const struct mst_addr *gateway);
/* Ask again and send what can be sent. */
void mst__neighbour_retry(struct mst_switch *sw);
/* Drop what has waited too long. */
void mst__neighbour_expire(struct mst_switch *sw);
/* A channel that has left gets no news of its packets, nor does the next one of its id. */
void mst__neighbour_forget_channel(struct mst_switch *sw, unsigned id);
void mst__neighbour_free(struct mst_switch *sw);

#endif
