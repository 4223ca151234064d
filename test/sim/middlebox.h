/* What stands between two nodes and meddles: a chain of boxes on a link, each a small filter with its own chance. A box
 * sees TCP packets one by one, cut to segments and with whole checksums, before the link's queue, loss and delay; what
 * is not TCP passes it by. The simulator owns all boxes.
 *
 * A box that works on one direction is put on one link by sim_box_add; one that must see both (it rewrites what the
 * other side sends back) on a path by sim_box_add_both. */
#ifndef TEST_SIM_MIDDLEBOX_H
#define TEST_SIM_MIDDLEBOX_H

#include "sim.h"

/* Where a packet is: on the link of `from`, before box number `next`. */
struct sim_hop {
  struct sim_node *from;
  unsigned next;
  bool forged;
};

struct sim_box {
  struct sim_box *next;
  struct sim *sim;
  const char *name;
  struct sim_random random;
  /* Takes a packet, which it may change and which has room for 64 bytes more, and hands on what it likes with
   * sim_box_pass. */
  void (*packet)(struct sim_box *box, const struct sim_hop *hop, uint8_t *packet, size_t bytes);
  /* The time that was asked for by sim_box_wake_at has come. May be NULL in a box that never asks. */
  void (*wake)(struct sim_box *box);
  void (*destroy)(struct sim_box *box); /* frees what hangs on it; may be NULL */
};

void sim_box_add(struct sim_node *from, struct sim_box *box);
/* `inside` and `outside` are its two sides; the chain of the second is the mirror of the first. */
void sim_box_add_both(struct sim_node *inside, struct sim_node *outside, struct sim_box *box);

/* On to the next box, or the link. Checksums are whole. */
void sim_box_pass(const struct sim_hop *hop, const uint8_t *packet, size_t bytes);
const char *sim_box_name(const struct sim_box *box);
void sim_box_wake_at(struct sim_box *box, uint64_t at_ns);

/* --- what there is; `seed` is of the box's own chance --- */

/* Options are taken out, of SYNs, of all other segments or of both. */
enum sim_strip {
  SIM_STRIP_MSS = 1,
  SIM_STRIP_WSCALE = 2,
  SIM_STRIP_SACK_PERMITTED = 4,
  SIM_STRIP_SACK = 8,
  SIM_STRIP_TIMESTAMPS = 16,
  SIM_STRIP_UNKNOWN = 32, /* all that are none of these */
};
struct sim_strip_options {
  unsigned kinds; /* SIM_STRIP_... */
  bool syns, rest;
  bool pad;           /* NOPs stay in their place; else the header gets shorter */
  uint16_t mss_clamp; /* announce no more than this; 0: leave it */
};
struct sim_box *sim_box_strip(struct sim *sim, const struct sim_strip_options *options);

/* ECN fields of IP, TCP's ECN flags of SYNs and of the rest are cleared; or SYNs that ask for ECN are lost. */
struct sim_bleach_options {
  bool ip, syn_flags, flags, drop_ecn_syn;
};
struct sim_box *sim_box_bleach(struct sim *sim, const struct sim_bleach_options *options);

/* A firewall that makes initial sequence numbers random: both streams are shifted, ACKs shifted back, and SACK blocks
 * too when it is `honest`. For both directions. */
struct sim_box *sim_box_sequence(struct sim *sim, uint64_t seed, bool honest);

/* Segments with more payload are cut. */
struct sim_box *sim_box_split(struct sim *sim, uint32_t payload_bytes);

/* Segments that follow each other within `hold_ns` become one of up to `payload_bytes`, with the last one's ACK,
 * window and options. */
struct sim_box *sim_box_merge(struct sim *sim, uint32_t payload_bytes, uint64_t hold_ns);

/* Of `most` pure ACKs that come within `hold_ns` only the last passes. */
struct sim_box *sim_box_thin_acks(struct sim *sim, unsigned most, uint64_t hold_ns);

/* Knows no window scale, and loses what goes beyond the largest window field that it has seen. For both directions. */
struct sim_box *sim_box_unscaled_window(struct sim *sim);

/* Address translation that forgets a connection after `idle_ns` and then gives it another outside port. For both. */
struct sim_box *sim_box_nat(struct sim *sim, struct sim_node *inside, uint64_t idle_ns);

/* Somebody who knows the addresses and ports but sees no sequence numbers: after a packet, by chance (per million), one
 * of a reset, a SYN or data is forged in the sender's name. `in_window`: the sequence number lies where it would be
 * looked at, and with bad luck hits exactly. */
struct sim_box *sim_box_blind(struct sim *sim, uint64_t seed, uint32_t chance, bool in_window);

#endif
