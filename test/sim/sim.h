/* Stacks on a simulated network in virtual time. Every node has one IPv4 and one IPv6 address and one link out; a
 * packet goes through its sender's link to the node that has its destination address. All chance comes from the seed,
 * and the clock jumps from event to event, so a run repeats to the byte. */
#ifndef TEST_SIM_H
#define TEST_SIM_H

#include "multistack/multistack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_US 1000ull
#define SIM_MS 1000000ull
#define SIM_S 1000000000ull

/* --- chance --- */

struct sim_random {
  uint64_t state;
};
uint64_t sim_random_next(struct sim_random *random);
uint64_t sim_random_below(struct sim_random *random, uint64_t limit); /* 0 when limit is 0 */
bool sim_random_chance(struct sim_random *random, uint32_t per_million);

/* --- memory: counts, checks sizes, and fails on demand --- */

struct sim_memory {
  uint64_t calls;       /* of alloc */
  uint64_t fail_at;     /* the call that fails, counted from 1; 0: none */
  bool fail_after;      /* all after it fail too */
  uint32_t fail_chance; /* per million, drawn from `random` */
  size_t blocks, bytes, bytes_max;
  size_t bytes_limit; /* 0: none */
  struct sim_random random;
};
void *sim_memory_alloc(void *memory, size_t bytes);
void sim_memory_free(void *memory, void *block, size_t bytes);

/* --- links --- */

#define SIM_BOXES_MAX 12

/* All chances are per million and packet. */
struct sim_link {
  uint64_t delay_ns;
  uint64_t jitter_ns;     /* up to this much more, drawn per packet: packets overtake each other */
  bool keep_order;        /* unless this is set: then a packet waits for those before it */
  uint32_t reorder;       /* chance to be held back by reorder_ns, so that the next ones overtake it */
  uint64_t reorder_ns;    /* also in spite of keep_order */
  uint64_t rate_bps;      /* 0: no limit */
  uint32_t queue_bytes;   /* of the queue before the rate limit; 0: no limit */
  uint32_t aqm_bytes;     /* from so much in the queue on CE is set, or what is not ECT dropped, the likelier the fuller
                             it is, and always from the double on (RFC 3168 5); 0: never */
  uint32_t mark;          /* chance of CE for what is ECT, without any queue */
  uint32_t loss;          /* these three are chances */
  uint32_t duplicate;     /* the copy is delayed on its own */
  uint32_t corrupt;       /* some bits flip and the checksum shows it */
  uint32_t burst_start;   /* a burst of losses begins */
  uint32_t burst_packets; /* and lasts for this many */
  uint32_t bad_start;     /* Gilbert and Elliott: chance that a bad time begins, */
  uint32_t bad_end;       /* that it ends, */
  uint32_t bad_loss;      /* and of loss as long as it lasts */
  uint32_t mtu;           /* what is longer is dropped; 0: 65,535 */
  bool too_big_icmp;      /* and its sender is told (RFC 1191) */
  bool keep_gso;          /* packets with gso_size arrive whole, with the partial checksum they were sent with */
  const uint64_t *lose;   /* packet numbers of this link to lose, counted from 0, ascending; UINT64_MAX ends */
  /* Sees each packet after segmentation, before chance; true: lose it. May be NULL. */
  bool (*filter)(void *ctx, uint64_t number, const uint8_t *packet, size_t bytes);
  void *filter_ctx;

  /* Middleboxes before all of the above, in this order; see middlebox.h. */
  struct sim_box *boxes[SIM_BOXES_MAX];
  unsigned box_count;

  /* Kept by the simulator. */
  uint64_t packets, lost, marked, idle_at_ns, last_at_ns;
  uint32_t burst_left;
  bool bad;
};

/* --- nodes --- */

struct sim;
struct sim_box;
struct sim_packet {
  struct sim_packet *next;
  uint64_t at_ns, order;
  struct sim_node *to;
  struct sim_box *box; /* with `to` NULL: no packet, but the time at which this box wants to be called */
  uint32_t len;
  uint16_t gso_size;
  uint8_t flags;
  bool forged;    /* by somebody who is neither end */
  bool corrupted; /* so that the checksum shows it */
  uint8_t bytes[];
};

/* A packet at the edge of a stack. */
struct sim_seen {
  const uint8_t *bytes;
  size_t len;
  uint16_t gso_size;
  bool sent; /* else received */
  bool forged, corrupted;
};

#define SIM_LEASES_MAX 512

struct sim_node {
  struct sim *sim;
  struct mst_addr ip4, ip6;
  mst_stack *stack; /* NULL: a raw node */
  struct sim_link out;
  struct sim_memory memory;
  struct sim_random random;
  uint32_t route_mtu; /* what route says; 1500 */
  int route_error;    /* what route returns instead of 0 */
  uint32_t refuse;    /* chance per million that output answers -MST_EAGAIN */
  uint64_t outputs, refused;
  bool want_flush; /* after a refusal, at flush_at_ns */
  uint64_t flush_at_ns;
  struct mst_tuple leases[SIM_LEASES_MAX];
  size_t lease_count;

  /* Runs after each event that touched this node, before the flush. May be NULL. */
  void (*app)(struct sim_node *node, void *user);
  void *user;
  uint64_t wake_at_ns; /* the application wants to run at this time; 0: at no time. It is 0 again when it runs. */

  /* Sees each packet that the stack sends, and each before the stack takes it in. May be NULL. */
  void (*tap)(struct sim_node *node, const struct sim_seen *seen);
  void *tap_ctx;

  /* Of a raw node: what arrived, oldest first. */
  struct sim_packet *received, **received_end;
};

#define SIM_NODES_MAX 8

struct sim {
  uint64_t now_ns;
  struct sim_random random;
  struct sim_node *nodes[SIM_NODES_MAX];
  size_t node_count;
  struct sim_packet **flight; /* a heap by (at_ns, order) */
  size_t flight_count, flight_room;
  struct sim_box *boxes; /* all of them, to be freed */
  uint64_t order, events;
  uint64_t idle_rounds; /* deadlines in a row that came without the clock moving */
};

struct sim *sim_new(uint64_t seed);

/* Destroy all. Returns the number of memory blocks and leases that stacks did not give back. */
size_t sim_free(struct sim *sim);

/* Add a stack with addresses 10.0.0.N and fd00::N. `options` may be NULL; env and net are filled in. NULL when
 * mst_stack_create fails with what `memory` allows. */
struct sim_node *sim_add_stack(struct sim *sim, const struct mst_stack_options *options);
struct sim_node *sim_add_stack_with(struct sim *sim, const struct mst_stack_options *options, struct sim_memory memory);
struct sim_node *sim_add_raw(struct sim *sim);

/* Send from a node by its link, as if its stack had. */
void sim_send(struct sim_node *from, const struct mst_packet *packet);

/* Deliver to a stack at once, past all links. */
void sim_input(struct sim_node *to, const void *packet, size_t bytes, uint8_t flags);

/* Run the application hook of a node and flush its stack, at the present time. */
void sim_turn(struct sim_node *node);

/* Go to the next event, if it is not after `until_ns`, and handle it. False: there was none; the clock is then at
 * `until_ns` (unless that is UINT64_MAX). */
bool sim_step(struct sim *sim, uint64_t until_ns);
void sim_run_for(struct sim *sim, uint64_t duration_ns);

/* Run until `done` says so: true; or until the time or the events run out: false. */
bool sim_run_until(struct sim *sim, bool (*done)(void *), void *user, uint64_t duration_ns);

/* The oldest packet of a raw node, unlinked; free() it. NULL: none. */
struct sim_packet *sim_take(struct sim_node *raw);

#endif
