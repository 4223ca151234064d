/* Nodes and the clock. */
#include "sim.h"
#include "middlebox.h"
#include "packet.h"
#include "sim_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim *sim_new(uint64_t seed) {
  struct sim *sim = calloc(1, sizeof *sim);
  if (!sim) abort();
  sim->random.state = seed;
  sim->now_ns = 1000 * SIM_S;
  return sim;
}

size_t sim_free(struct sim *sim) {
  size_t left = 0;
  for (size_t i = 0; i < sim->node_count; i++) {
    struct sim_node *node = sim->nodes[i];
    if (node->stack) {
      mst_stack_destroy(node->stack);
      left += node->memory.blocks + node->lease_count;
    }
    for (struct sim_packet *packet; (packet = sim_take(node));) free(packet);
    free(node);
  }
  for (size_t i = 0; i < sim->flight_count; i++) free(sim->flight[i]);
  free(sim->flight);
  sim_boxes_free(sim);
  free(sim);
  return left;
}

/* --- what a stack asks of its host --- */

static void random_bytes(void *ctx, void *out, size_t bytes) {
  struct sim_node *node = ctx;
  for (size_t i = 0; i < bytes; i++) ((uint8_t *)out)[i] = (uint8_t)sim_random_next(&node->random);
}

static void *node_alloc(void *ctx, size_t bytes) {
  return sim_memory_alloc(&((struct sim_node *)ctx)->memory, bytes);
}

static void node_free(void *ctx, void *memory, size_t bytes) {
  sim_memory_free(&((struct sim_node *)ctx)->memory, memory, bytes);
}

static bool conflicts(const struct sim_node *node, const struct mst_tuple *tuple) {
  for (size_t i = 0; i < node->lease_count; i++) {
    const struct mst_tuple *held = &node->leases[i];
    if (held->protocol != tuple->protocol || held->port != tuple->port) continue;
    if (mst_addr_is_any(&held->addr) || mst_addr_is_any(&tuple->addr) || mst_addr_equal(&held->addr, &tuple->addr))
      return true;
  }
  return false;
}

static int lease(void *ctx, struct mst_tuple *tuple) {
  struct sim_node *node = ctx;
  if (!mst_addr_is_any(&tuple->addr) && !mst_addr_is_loopback(&tuple->addr) &&
      !mst_addr_equal(&tuple->addr, &node->ip4) && !mst_addr_equal(&tuple->addr, &node->ip6))
    return -MST_EADDRNOTAVAIL;
  if (node->lease_count == SIM_LEASES_MAX) return -MST_ENOBUFS;
  bool any = tuple->port == 0;
  for (int attempt = 0; any && attempt < 100000; attempt++) {
    tuple->port = (uint16_t)(32768 + sim_random_below(&node->random, 28232));
    if (!conflicts(node, tuple)) break;
  }
  if (conflicts(node, tuple)) return any ? -MST_ENOBUFS : -MST_EADDRINUSE;
  node->leases[node->lease_count++] = *tuple;
  return 0;
}

static void release(void *ctx, const struct mst_tuple *tuple) {
  struct sim_node *node = ctx;
  for (size_t i = 0; i < node->lease_count; i++) {
    const struct mst_tuple *held = &node->leases[i];
    if (held->protocol != tuple->protocol || held->port != tuple->port || !mst_addr_equal(&held->addr, &tuple->addr))
      continue;
    node->leases[i] = node->leases[--node->lease_count];
    return;
  }
  fprintf(stderr, "a stack released port %u, which it does not hold\n", tuple->port);
  abort();
}

static int route(void *ctx, const struct mst_addr *destination, struct mst_route *out) {
  struct sim_node *node = ctx;
  if (node->route_error) return node->route_error;
  *out = (struct mst_route){.source = node->ip6, .mtu = node->route_mtu};
  if (mst_addr_is_ip4(destination)) out->source = node->ip4;
  if (mst_addr_is_loopback(destination)) {
    out->source = *destination;
    out->flags = MST_ROUTE_LOCAL;
  }
  return 0;
}

/* The switch drops what comes from a tuple that the stack does not hold. Here it is a bug, but for the reset that
 * answers a packet which comes late. True: it may go. */
static bool check_source(const struct sim_node *node, const struct mst_packet *packet) {
  const uint8_t *header = packet->iov[0].base;
  struct mst_tuple tuple = {.addr = MST_ADDR_ANY4};
  struct mst_addr destination;
  size_t ip = sim_ip_header(header, packet->iov[0].len, &tuple.protocol);
  if (!ip || (tuple.protocol != MST_TCP && tuple.protocol != MST_UDP)) return true;
  sim_ip_addresses(header, &tuple.addr, &destination);
  tuple.port = sim_get16(header + ip);
  if (conflicts(node, &tuple)) return true;
  if (tuple.protocol == MST_TCP && header[ip + 13] & SIM_RST) return false;
  fprintf(stderr, "a stack sent from port %u, which it does not hold\n", tuple.port);
  abort();
}

static int output(void *ctx, const struct mst_packet *packet) {
  struct sim_node *node = ctx;
  if (sim_random_chance(&node->random, node->refuse)) {
    node->refused++;
    if (!node->want_flush) node->flush_at_ns = node->sim->now_ns + 50 * SIM_US;
    node->want_flush = true;
    return -MST_EAGAIN;
  }
  if (!check_source(node, packet)) return 0;
  node->outputs++;
  sim_send(node, packet);
  return 0;
}

/* --- nodes --- */

static struct sim_node *add_node(struct sim *sim) {
  if (sim->node_count == SIM_NODES_MAX) abort();
  struct sim_node *node = calloc(1, sizeof *node);
  if (!node) abort();
  uint8_t number = (uint8_t)(sim->node_count + 1);
  node->sim = sim;
  node->ip4 = mst_addr_ip4((uint8_t[]){10, 0, 0, number});
  node->ip6.bytes[0] = 0xfd;
  node->ip6.bytes[15] = number;
  node->random.state = sim_random_next(&sim->random);
  node->route_mtu = 1500;
  node->received_end = &node->received;
  sim->nodes[sim->node_count++] = node;
  return node;
}

struct sim_node *sim_add_stack_with(struct sim *sim, const struct mst_stack_options *given, struct sim_memory memory) {
  struct sim_node *node = add_node(sim);
  node->memory = memory;
  struct mst_stack_options options = {0};
  if (given) options = *given;
  options.size = sizeof options;
  options.env = (struct mst_env){.ctx = node, .alloc = node_alloc, .free = node_free, .random = random_bytes};
  options.net = (struct mst_net){.ctx = node, .lease = lease, .release = release, .route = route, .output = output};
  if (mst_stack_create(&options, &node->stack) == 0) return node;
  node->stack = NULL;
  return NULL;
}

struct sim_node *sim_add_stack(struct sim *sim, const struct mst_stack_options *options) {
  return sim_add_stack_with(sim, options, (struct sim_memory){.random = {sim_random_next(&sim->random)}});
}

struct sim_node *sim_add_raw(struct sim *sim) {
  return add_node(sim);
}

struct sim_packet *sim_take(struct sim_node *raw) {
  struct sim_packet *packet = raw->received;
  if (!packet) return NULL;
  raw->received = packet->next;
  if (!raw->received) raw->received_end = &raw->received;
  return packet;
}

void sim_turn(struct sim_node *node) {
  if (node->wake_at_ns <= node->sim->now_ns) node->wake_at_ns = 0;
  if (node->app) node->app(node, node->user);
  if (!node->stack) return;
  node->want_flush = false;
  mst_stack_flush(node->stack, node->sim->now_ns);
}

void sim_input(struct sim_node *to, const void *bytes, size_t len, uint8_t flags) {
  struct mst_packet packet = {
      .len = (uint32_t)len, .flags = flags, .iov_count = 1, .iov = {{.base = bytes, .len = len}}};
  mst_stack_input(to->stack, &packet, 1, to->sim->now_ns);
}

/* --- the clock --- */

#define BATCH_MAX 64

/* A box has asked for its time. */
static void wake_box(struct sim *sim) {
  struct sim_packet *call = sim_flight_pop(sim);
  call->box->wake(call->box);
  free(call);
}

/* Hand over packets that are due and go to one node. */
static struct sim_node *deliver(struct sim *sim) {
  struct sim_packet *packets[BATCH_MAX];
  struct mst_packet batch[BATCH_MAX];
  struct sim_node *to = sim->flight[0]->to;
  size_t count = 0;
  while (count < BATCH_MAX && sim->flight_count && sim->flight[0]->at_ns <= sim->now_ns && sim->flight[0]->to == to) {
    struct sim_packet *packet = packets[count] = sim_flight_pop(sim);
    if (to->stack && to->tap)
      to->tap(to, &(struct sim_seen){packet->bytes, packet->len, packet->gso_size, false, packet->forged,
                                     packet->corrupted});
    batch[count++] = (struct mst_packet){.len = packet->len,
                                         .gso_size = packet->gso_size,
                                         .flags = packet->flags,
                                         .iov_count = 1,
                                         .iov = {{.base = packet->bytes, .len = packet->len}}};
  }
  if (to->stack) mst_stack_input(to->stack, batch, count, sim->now_ns);
  for (size_t i = 0; i < count; i++) {
    if (to->stack) {
      free(packets[i]);
      continue;
    }
    packets[i]->next = NULL;
    *to->received_end = packets[i];
    to->received_end = &packets[i]->next;
  }
  return to;
}

static uint64_t wake_ns(const struct sim_node *node) {
  if (!node->stack) return UINT64_MAX;
  uint64_t at = mst_stack_next_deadline(node->stack);
  if (node->want_flush && node->flush_at_ns < at) at = node->flush_at_ns;
  return node->wake_at_ns && node->wake_at_ns < at ? node->wake_at_ns : at;
}

static uint64_t next_event_ns(const struct sim *sim) {
  uint64_t next = sim->flight_count ? sim->flight[0]->at_ns : UINT64_MAX;
  for (size_t i = 0; i < sim->node_count; i++) {
    uint64_t at = wake_ns(sim->nodes[i]);
    if (at < next) next = at;
  }
  return next;
}

bool sim_step(struct sim *sim, uint64_t until_ns) {
  uint64_t next = next_event_ns(sim);
  if (next > until_ns || next == UINT64_MAX) {
    if (until_ns != UINT64_MAX && until_ns > sim->now_ns) sim->now_ns = until_ns;
    return false;
  }
  sim->idle_rounds = next > sim->now_ns ? 0 : sim->idle_rounds + 1;
  if (sim->idle_rounds > 1000000) {
    fprintf(stderr, "the clock stands still at %llu ns\n", (unsigned long long)sim->now_ns);
    abort();
  }
  if (next > sim->now_ns) sim->now_ns = next;
  sim->events++;
  if (sim->flight_count && sim->flight[0]->at_ns <= sim->now_ns) {
    if (sim->flight[0]->to)
      sim_turn(deliver(sim));
    else
      wake_box(sim);
    return true;
  }
  for (size_t i = 0; i < sim->node_count; i++) {
    struct sim_node *node = sim->nodes[i];
    if (wake_ns(node) > sim->now_ns) continue;
    mst_stack_advance(node->stack, sim->now_ns);
    sim_turn(node);
  }
  return true;
}

void sim_run_for(struct sim *sim, uint64_t duration_ns) {
  uint64_t until = sim->now_ns + duration_ns;
  while (sim_step(sim, until)) continue;
}

bool sim_run_until(struct sim *sim, bool (*done)(void *), void *user, uint64_t duration_ns) {
  uint64_t until = sim->now_ns + duration_ns;
  while (!done(user))
    if (!sim_step(sim, until)) return done(user);
  return true;
}
