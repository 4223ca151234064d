/* The inside of a stack: what TCP and UDP share. */
#ifndef MST_STACK_STACK_H
#define MST_STACK_STACK_H

#include "base/hash.h"
#include "base/list.h"
#include "base/wheel.h"
#include "multistack/stack.h"
#include "wire/icmp.h"
#include "wire/ip.h"

struct mst_listener;
struct mst_udp;
struct mst__cc_ops;

/* A held local tuple, shared by a listener or socket and by connections. The lease ends with the last reference. */
struct mst_binding {
  struct mst__hash_node node; /* in mst_stack.bindings, by protocol and port */
  mst_stack *stack;
  struct mst_tuple tuple;
  uint32_t refs;
  struct mst_listener *listener;   /* TCP: at most one */
  struct mst_udp *udp;             /* UDP: at most one */
  struct mst__list ephemeral_node; /* TCP: in the pool that connections without a bound port share */
};

/* The state of TCP that belongs to the stack and not to one connection. */
struct mst__tcp_stack {
  struct mst__hash_table conns; /* struct mst__flow by four-tuple */
  struct mst__hash_key isn_key; /* RFC 6528's secret */
  struct mst__list all;         /* every mst_conn, by all_node */
  struct mst__list time_wait;   /* every mst__time_wait, oldest first */
  struct mst__list listeners;
  struct mst__list ephemeral[2]; /* wildcard bindings that connections share, of IPv4 and of IPv6 */
  uint32_t ephemeral_count;
  uint64_t conn_ids; /* given so far */
  const struct mst__cc_ops *congestion_control;
  uint32_t half_open_count;
  uint8_t syn_cookies;       /* enum mst_syn_cookies */
  uint8_t ecn;               /* enum mst_ecn */
  uint8_t mtu_probing;       /* enum mst_mtu_probing */
  uint64_t challenge_second; /* RFC 5961 7: challenge ACKs are limited per second */
  uint32_t challenge_count;
  uint32_t send_buffer_bytes, receive_buffer_bytes, conns_max;
  bool no_sack;
};

/* The bounds on what mst__alloc gives in all, and who waits for memory; tcp/memory.c. */
struct mst__memory {
  uint64_t max_bytes;
  uint64_t receive_bytes, send_bytes; /* of all, while what has come or is to be sent may still be taken */
  uint64_t first_bytes;               /* the same of a little for who has nothing under way */
  uint64_t high_bytes, low_bytes;     /* where pressure begins and ends */
  struct mst__list waiting;           /* connections whose writer was turned away under pressure, by memory_node */
  bool pressure;
};

struct mst__udp_stack {
  struct mst__list sockets;
};

struct mst_stack {
  struct mst_env env;
  struct mst_net net;
  struct mst_stack_stats stats;
  void (*trace)(void *ctx, const struct mst_trace_event *event); /* NULL: nobody listens */
  void *trace_ctx;
  uint64_t now_ns; /* of the last input, advance or flush */
  struct mst__hash_key hash_key;
  struct mst__hash_table bindings;
  struct mst__hash_table paths; /* struct mst__path: what is known of destinations */
  struct mst__list path_age;    /* the same, oldest first */
  struct mst__wheel wheel;
  struct mst__list output;   /* connections with something to send, by output_node */
  struct mst__list events;   /* connections and others with something to tell: struct mst__notice */
  struct mst__list borrowed; /* connections that still point into the packets of this input */
  uint64_t priority_state;   /* of mst__priority */
  struct mst__memory memory;
  struct mst__tcp_stack tcp;
  struct mst__udp_stack udp;
};

/* Something to call once the packets of a batch are through. `run` is called when taken off the list. */
struct mst__notice {
  struct mst__list node;
  void (*run)(struct mst__notice *notice);
};
void mst__stack_notify(mst_stack *stack, struct mst__notice *notice);

/* A timer whose owner is called. */
struct mst__alarm {
  struct mst__timer timer;
  void (*run)(struct mst__alarm *alarm);
};

void *mst__alloc(mst_stack *stack, size_t bytes); /* not zeroed */
void *mst__zalloc(mst_stack *stack, size_t bytes);
void mst__free(mst_stack *stack, void *memory, size_t bytes);
uint32_t mst__random32(mst_stack *stack);
/* A number for a tree's balance: cheap, and unpredictable from outside. */
static inline uint32_t mst__priority(mst_stack *stack) {
  uint64_t x = stack->priority_state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  stack->priority_state = x;
  return (uint32_t)((x * 0x2545f4914f6cdd1dull) >> 32); /* xorshift64* */
}
static inline void mst__drop(mst_stack *stack, enum mst_drop reason) {
  stack->stats.drops[reason]++;
}

/* --- bindings (binding.c) --- */
int mst__binding_open(mst_stack *stack, const struct mst_tuple *tuple, mst_binding **out);
void mst__binding_destroy(mst_stack *stack); /* all that are left */
mst_binding *mst__binding_ref(mst_binding *binding);
void mst__binding_unref(mst_binding *binding);
/* The binding that packets to (protocol, addr, port) reach: exact, then the family's wildcard; only such whose
 * `wanted` holds (NULL: any). */
mst_binding *mst__binding_find(mst_stack *stack, uint8_t protocol, const struct mst_addr *addr, uint16_t port,
                               bool (*wanted)(const mst_binding *binding));

/* --- paths (path.c) --- */
/* The route to `destination` with its MTU lowered by what ICMP told. 0 or net.route's error. */
int mst__path_route(mst_stack *stack, const struct mst_addr *destination, struct mst_route *out);
/* ICMP said that packets above `mtu` do not get through; `sent` is what they had (RFC 1191 5: a report without an
 * MTU is answered by the next plateau below it). Returns the MTU now in force. */
uint32_t mst__path_too_big(mst_stack *stack, const struct mst_addr *destination, uint32_t mtu, uint32_t sent);

/* Packets of `mtu` were seen to pass, whatever was known before; `unfinished`: larger ones may. */
void mst__path_learn(mst_stack *stack, const struct mst_addr *destination, uint32_t mtu, bool unfinished);
/* What was learned so of late, into *mtu, else it is left alone. True: unfinished. */
bool mst__path_learned(mst_stack *stack, const struct mst_addr *destination, uint32_t *mtu);

/* A SYN that asked for ECN was answered, or only the one without that went after it. */
void mst__path_ecn_tried(mst_stack *stack, const struct mst_addr *destination, bool passed);
/* The latter again and again, of late. */
bool mst__path_ecn_blocked(mst_stack *stack, const struct mst_addr *destination);

void mst__path_destroy(mst_stack *stack);

/* --- output (stack.c) --- */
/* Hand a packet to the net and count it. 0 or -MST_EAGAIN. */
int mst__stack_output(mst_stack *stack, const struct mst_packet *packet);

/* --- the transports --- */
int mst__tcp_stack_init(mst_stack *stack, const struct mst_stack_options *options);
void mst__tcp_stack_destroy(mst_stack *stack);
void mst__tcp_input(mst_stack *stack, const struct mst__ip *ip, const struct mst_packet *packet);
void mst__tcp_icmp(mst_stack *stack, const struct mst__icmp_error *error);
void mst__tcp_flush(mst_stack *stack);
void mst__memory_init(mst_stack *stack, uint64_t max_bytes);
/* High_bytes would be exceeded: note the pressure; whether `bytes` in all may be. */
bool mst__memory_grant(mst_stack *stack, uint64_t bytes);
/* Whether so many bytes more may be taken for what has come, or is to be sent (`first`: a little, for a connection that
 * has nothing under way); if not, the pressure is noted. */
bool mst__memory_to_receive(mst_stack *stack, uint64_t bytes);
bool mst__memory_to_send(mst_stack *stack, uint64_t bytes, bool first);
/* Under pressure something was given back. */
void mst__memory_returned(mst_stack *stack);
/* Under pressure: if there is a little, a writer that has nothing under way is told. */
void mst__memory_tell_starved(mst_stack *stack);
/* Whether there is nothing even for those. */
bool mst__memory_starves(mst_stack *stack);
void mst__tcp_end_of_input(mst_stack *stack); /* let go of the packets of this batch */

void mst__udp_stack_init(mst_stack *stack);
void mst__udp_stack_destroy(mst_stack *stack);
void mst__udp_input(mst_stack *stack, const struct mst__ip *ip, uint8_t packet_flags);
void mst__udp_icmp(mst_stack *stack, const struct mst__icmp_error *error);

#endif
