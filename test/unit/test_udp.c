/* UDP sockets of a stack, against a raw node on a simulated link. */
#include "sim/packet.h"
#include "unit.h"

struct events {
  unsigned count;
  int error, errors;
  mst_udp *close_when_told;
};

static void on_event(mst_udp *udp, int error, void *user) {
  struct events *events = user;
  events->count++;
  if (error) {
    events->error = error;
    events->errors++;
  }
  if (events->close_when_told == udp) mst_udp_close(udp);
}

struct world {
  struct sim *sim;
  struct sim_node *host, *peer;
  mst_udp *udp;
  struct events events;
  bool ip4;
};

static struct mst_endpoint at(const struct world *w, const struct sim_node *node, uint16_t port) {
  return (struct mst_endpoint){.addr = w->ip4 ? node->ip4 : node->ip6, .port = port};
}

static void world_new(struct world *w, bool ip4) {
  *w = (struct world){.sim = sim_new(1), .ip4 = ip4};
  w->host = sim_add_stack(w->sim, NULL);
  w->peer = sim_add_raw(w->sim);
}

static void open_socket(struct world *w, struct mst_addr local, uint16_t port, unsigned flags) {
  mst_binding *binding;
  struct mst_endpoint endpoint = {.addr = local, .port = port};
  assert_int_equal(mst_bind(w->host->stack, MST_UDP, &endpoint, flags, &binding), 0);
  assert_int_equal(mst_udp_open(w->host->stack, binding, on_event, &w->events, &w->udp), 0);
  mst_unbind(binding);
}

/* A socket on the wildcard's port 53. */
static void world_with_socket(struct world *w, bool ip4) {
  world_new(w, ip4);
  open_socket(w, MST_ADDR_ANY6, 53, 0);
}

static void world_free(struct world *w) {
  assert_int_equal(sim_free(w->sim), 0);
}

static uint64_t drops(const struct world *w, enum mst_drop reason) {
  struct mst_stack_stats stats;
  mst_stack_get_stats(w->host->stack, &stats);
  return stats.drops[reason];
}

static struct mst_stack_stats stats_of(const struct world *w) {
  struct mst_stack_stats stats;
  mst_stack_get_stats(w->host->stack, &stats);
  return stats;
}

/* A datagram from the peer's port to ours. */
static void arrive(struct world *w, uint16_t from_port, uint16_t to_port, const void *data, size_t bytes) {
  struct mst_endpoint from = at(w, w->peer, from_port), to = at(w, w->host, to_port);
  uint8_t *packet = malloc(bytes + 100);
  size_t length = sim_udp_build(packet, &from, &to, data, bytes);
  sim_input(w->host, packet, length, 0);
  free(packet);
}

static ptrdiff_t receive(struct world *w, char *out, size_t bytes, struct mst_endpoint *remote,
                         struct mst_endpoint *local) {
  return mst_udp_receive(w->udp, out, bytes, remote, local);
}

static int send_to(struct world *w, const void *data, size_t bytes, const struct mst_endpoint *to) {
  struct mst_iov iov = {data, bytes};
  return mst_udp_send(w->udp, &iov, 1, NULL, to);
}

/* What arrived at the peer: checks the headers, returns the payload. free() the packet. */
static struct sim_packet *sent(struct world *w, const uint8_t **data, size_t *bytes) {
  sim_run_for(w->sim, SIM_S);
  struct sim_packet *packet = sim_take(w->peer);
  assert_non_null(packet);
  uint8_t protocol;
  size_t ip = sim_ip_header(packet->bytes, packet->len, &protocol);
  assert_int_equal(ip, w->ip4 ? 20 : 40);
  assert_int_equal(protocol, MST_UDP);
  assert_true(sim_packet_checksums_ok(packet->bytes, packet->len));
  assert_int_equal(sim_get16(packet->bytes + ip + 4), packet->len - ip);
  assert_int_equal(packet->bytes[w->ip4 ? 8 : 7], 64);
  *data = packet->bytes + ip + 8;
  *bytes = packet->len - ip - 8;
  return packet;
}

static void receives_with_both_addresses(void **state) {
  (void)state;
  for (int ip4 = 0; ip4 < 2; ip4++) {
    struct world w;
    world_with_socket(&w, ip4);
    arrive(&w, 4000, 53, "first", 5);
    arrive(&w, 4001, 53, "", 0);
    arrive(&w, 4002, 53, "third", 5);
    assert_int_equal(w.events.count, 3);
    char data[16];
    struct mst_endpoint remote, local;
    assert_int_equal(receive(&w, data, sizeof data, &remote, &local), 5);
    assert_memory_equal(data, "first", 5);
    struct mst_endpoint peer = at(&w, w.peer, 4000), us = at(&w, w.host, 53);
    assert_true(mst_addr_equal(&remote.addr, &peer.addr) && remote.port == 4000);
    assert_true(mst_addr_equal(&local.addr, &us.addr) && local.port == 53);
    assert_int_equal(receive(&w, NULL, 0, &remote, NULL), 0);
    assert_int_equal(remote.port, 4001);
    assert_int_equal(receive(&w, data, 2, NULL, NULL), 5); /* cut, and its size told */
    assert_memory_equal(data, "thrst", 5);
    assert_int_equal(receive(&w, data, sizeof data, NULL, NULL), -MST_EAGAIN);
    assert_int_equal(stats_of(&w).udp_in_datagrams, 3);
    world_free(&w);
  }
}

static void one_event_for_a_batch(void **state) {
  (void)state;
  struct world w;
  world_with_socket(&w, true);
  struct mst_endpoint from = at(&w, w.peer, 1), to = at(&w, w.host, 53);
  uint8_t bytes[8][64];
  struct mst_packet batch[8];
  for (int i = 0; i < 8; i++) {
    size_t length = sim_udp_build(bytes[i], &from, &to, "x", 1);
    batch[i] = (struct mst_packet){.len = (uint32_t)length, .iov_count = 1, .iov = {{bytes[i], length}}};
  }
  mst_stack_input(w.host->stack, batch, 8, w.sim->now_ns);
  assert_int_equal(w.events.count, 1);
  for (int i = 0; i < 8; i++) assert_int_equal(receive(&w, NULL, 0, NULL, NULL), 1);
  world_free(&w);
}

static void sends_short_and_long_datagrams(void **state) {
  (void)state;
  static uint8_t big[1472];
  struct sim_random random = {8};
  fill_random(&random, big, sizeof big);
  static const size_t sizes[] = {0, 1, 7, 143, 144, 145, 151, 152, 153, 163, 164, 165, 200, 1000, 1452};
  for (int ip4 = 0; ip4 < 2; ip4++) {
    struct world w;
    world_with_socket(&w, ip4);
    struct mst_endpoint to = at(&w, w.peer, 99);
    for (size_t i = 0; i < COUNT(sizes); i++) {
      struct mst_iov iov[3] = {{big, sizes[i] / 3}, {NULL, 0}, {big + sizes[i] / 3, sizes[i] - sizes[i] / 3}};
      assert_int_equal(mst_udp_send(w.udp, iov, 3, NULL, &to), 0);
      const uint8_t *data;
      size_t bytes;
      struct sim_packet *packet = sent(&w, &data, &bytes);
      assert_int_equal(bytes, sizes[i]);
      assert_memory_equal(data, big, bytes);
      struct mst_addr source, destination, us = at(&w, w.host, 0).addr;
      sim_ip_addresses(packet->bytes, &source, &destination);
      assert_true(mst_addr_equal(&source, &us));
      assert_true(mst_addr_equal(&destination, &to.addr));
      assert_int_equal(sim_get16(data - 8), 53);
      assert_int_equal(sim_get16(data - 6), 99);
      free(packet);
    }
    assert_int_equal(stats_of(&w).udp_out_datagrams, COUNT(sizes));
    world_free(&w);
  }
}

static void never_sends_more_than_the_path_carries(void **state) {
  (void)state;
  static uint8_t big[70000];
  for (int ip4 = 0; ip4 < 2; ip4++) {
    struct world w;
    world_with_socket(&w, ip4);
    struct mst_endpoint to = at(&w, w.peer, 99);
    size_t fits = ip4 ? 1472 : 1452;
    assert_int_equal(send_to(&w, big, fits, &to), 0);
    assert_int_equal(send_to(&w, big, fits + 1, &to), -MST_EMSGSIZE);
    assert_int_equal(send_to(&w, big, sizeof big, &to), -MST_EMSGSIZE);
    struct mst_iov huge[2] = {{big, SIZE_MAX}, {big, 2}};
    assert_int_equal(mst_udp_send(w.udp, huge, 2, NULL, &to), -MST_EMSGSIZE);
    w.host->route_mtu = 65536;
    fits = ip4 ? 65507 : 65535 - 48;
    assert_int_equal(send_to(&w, big, fits, &to), 0);
    assert_int_equal(send_to(&w, big, fits + 1, &to), -MST_EMSGSIZE);
    assert_int_equal(stats_of(&w).udp_out_datagrams, 2);
    world_free(&w);
  }
}

static void says_why_it_cannot_send(void **state) {
  (void)state;
  struct world w;
  world_with_socket(&w, true);
  struct mst_endpoint to = at(&w, w.peer, 99), nowhere = {.addr = MST_ADDR_ANY4, .port = 1}, no_port = to;
  no_port.port = 0;
  assert_int_equal(send_to(&w, "x", 1, NULL), -MST_EDESTADDRREQ);
  assert_int_equal(send_to(&w, "x", 1, &nowhere), -MST_EINVAL);
  assert_int_equal(send_to(&w, "x", 1, &no_port), -MST_EINVAL);
  w.host->route_error = -MST_ENETUNREACH;
  assert_int_equal(send_to(&w, "x", 1, &to), -MST_ENETUNREACH);
  assert_int_equal(mst_udp_connect(w.udp, &to), -MST_ENETUNREACH);
  w.host->route_error = 0;
  w.host->refuse = 1000000;
  assert_int_equal(send_to(&w, "x", 1, &to), -MST_EAGAIN);
  static const uint8_t big[1000];
  assert_int_equal(send_to(&w, big, sizeof big, &to), -MST_EAGAIN);
  w.host->refuse = 0;
  w.host->memory.fail_at = w.host->memory.calls + 1;
  assert_int_equal(send_to(&w, big, sizeof big, &to), -MST_ENOMEM);
  assert_int_equal(stats_of(&w).udp_out_datagrams, 0);
  world_free(&w);
}

static void the_family_must_fit_the_binding(void **state) {
  (void)state;
  static const struct {
    const char *local;
    unsigned flags;
    bool ip4, ip6;
  } rows[] = {
      {"::", 0, true, true},        {"::", MST_BIND_V6ONLY, false, true}, {"0.0.0.0", 0, true, false},
      {"10.0.0.1", 0, true, false}, {"fd00::1", 0, false, true},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    struct world w;
    world_new(&w, true);
    open_socket(&w, addr(rows[i].local), 53, rows[i].flags);
    struct mst_endpoint to4 = {.addr = w.peer->ip4, .port = 9}, to6 = {.addr = w.peer->ip6, .port = 9};
    assert_int_equal(send_to(&w, "x", 1, &to4), rows[i].ip4 ? 0 : -MST_ENETUNREACH);
    assert_int_equal(send_to(&w, "x", 1, &to6), rows[i].ip6 ? 0 : -MST_ENETUNREACH);
    for (int ip4 = 0; ip4 < 2; ip4++) {
      w.ip4 = ip4;
      arrive(&w, 9, 53, "x", 1);
      assert_int_equal(receive(&w, NULL, 0, NULL, NULL), (ip4 ? rows[i].ip4 : rows[i].ip6) ? 1 : -MST_EAGAIN);
    }
    world_free(&w);
  }
}

/* A server on the wildcard answers from the address that was asked (RFC 1122 4.1.3.5). */
static void the_source_can_be_chosen(void **state) {
  (void)state;
  for (int exact = 0; exact < 2; exact++) {
    struct world w;
    world_new(&w, true);
    open_socket(&w, exact ? w.host->ip4 : MST_ADDR_ANY6, 53, 0);
    struct mst_endpoint to = at(&w, w.peer, 9), own = at(&w, w.host, 0), other = {.addr = addr("10.9.9.9")};
    struct mst_endpoint ip6 = {.addr = w.host->ip6}, many = {.addr = addr("224.0.0.1")}, any = {.addr = MST_ADDR_ANY6};
    struct mst_iov iov = {"x", 1};
    assert_int_equal(mst_udp_send(w.udp, &iov, 1, &ip6, &to), -MST_EADDRNOTAVAIL);
    assert_int_equal(mst_udp_send(w.udp, &iov, 1, &many, &to), -MST_EADDRNOTAVAIL);
    assert_int_equal(mst_udp_send(w.udp, &iov, 1, &other, &to), exact ? -MST_EADDRNOTAVAIL : 0);
    assert_int_equal(mst_udp_send(w.udp, &iov, 1, &own, &to), 0);
    assert_int_equal(mst_udp_send(w.udp, &iov, 1, &any, &to), 0);
    assert_int_equal(mst_udp_connect(w.udp, &to), 0);
    assert_int_equal(mst_udp_send(w.udp, &iov, 1, &other, NULL), exact ? -MST_EADDRNOTAVAIL : 0);
    assert_int_equal(mst_udp_send(w.udp, &iov, 1, NULL, NULL), 0);
    const struct mst_addr expected[] = {other.addr, own.addr, own.addr, other.addr, own.addr};
    for (size_t i = 0; i < COUNT(expected); i++) {
      const uint8_t *data;
      size_t bytes;
      struct mst_addr source, destination;
      if (exact && mst_addr_equal(&expected[i], &other.addr)) continue;
      struct sim_packet *packet = sent(&w, &data, &bytes);
      sim_ip_addresses(packet->bytes, &source, &destination);
      assert_true(mst_addr_equal(&source, &expected[i]));
      free(packet);
    }
    world_free(&w);
  }
}

static void a_tuple_has_one_socket(void **state) {
  (void)state;
  struct world w;
  world_new(&w, true);
  mst_binding *binding, *other;
  mst_udp *udp, *second;
  struct mst_endpoint endpoint = {.addr = MST_ADDR_ANY4, .port = 53};
  assert_int_equal(mst_bind(w.host->stack, MST_UDP, &endpoint, 0, &binding), 0);
  assert_int_equal(mst_udp_open(w.host->stack, binding, on_event, &w.events, &udp), 0);
  assert_int_equal(mst_udp_open(w.host->stack, binding, on_event, &w.events, &second), -MST_EADDRINUSE);
  assert_int_equal(mst_bind(w.host->stack, MST_UDP, &endpoint, 0, &other), -MST_EADDRINUSE);
  mst_udp_close(udp);
  assert_int_equal(mst_udp_open(w.host->stack, binding, on_event, &w.events, &second), 0);
  mst_unbind(binding);
  assert_int_equal(w.host->lease_count, 1);
  mst_udp_close(second);
  assert_int_equal(w.host->lease_count, 0);

  assert_int_equal(mst_bind(w.host->stack, MST_TCP, &endpoint, 0, &binding), 0);
  assert_int_equal(mst_udp_open(w.host->stack, binding, on_event, &w.events, &udp), -MST_EINVAL);
  mst_unbind(binding);
  world_free(&w);
}

static void takes_an_ephemeral_port(void **state) {
  (void)state;
  struct world w;
  world_new(&w, true);
  assert_int_equal(mst_udp_open(w.host->stack, NULL, on_event, &w.events, &w.udp), 0);
  struct mst_endpoint local;
  mst_udp_local(w.udp, &local);
  assert_true(local.port >= 1024);
  assert_true(mst_addr_is_any(&local.addr));
  arrive(&w, 9, local.port, "hi", 2);
  assert_int_equal(receive(&w, NULL, 0, NULL, NULL), 2);
  world_free(&w);
}

static void connected_it_hears_its_peer_alone(void **state) {
  (void)state;
  struct world w;
  world_with_socket(&w, true);
  struct mst_endpoint peer = at(&w, w.peer, 99), local, us = at(&w, w.host, 53);
  assert_int_equal(mst_udp_connect(w.udp, &peer), 0);
  mst_udp_local(w.udp, &local);
  assert_true(mst_addr_equal(&local.addr, &us.addr) && local.port == 53);
  arrive(&w, 98, 53, "no", 2);
  assert_int_equal(w.events.count, 0);
  assert_int_equal(drops(&w, MST_DROP_UDP_NO_SOCKET), 1);
  arrive(&w, 99, 53, "yes", 3);
  assert_int_equal(receive(&w, NULL, 0, NULL, NULL), 3);
  assert_int_equal(send_to(&w, "re", 2, NULL), 0);
  const uint8_t *data;
  size_t bytes;
  struct sim_packet *packet = sent(&w, &data, &bytes);
  assert_int_equal(sim_get16(data - 6), 99);
  free(packet);
  assert_int_equal(mst_udp_connect(w.udp, NULL), 0);
  assert_int_equal(send_to(&w, "re", 2, NULL), -MST_EDESTADDRREQ);
  arrive(&w, 98, 53, "now", 3);
  assert_int_equal(receive(&w, NULL, 0, NULL, NULL), 3);
  world_free(&w);
}

static void drops_bad_datagrams_and_counts_them(void **state) {
  (void)state;
  struct world w;
  world_with_socket(&w, true);
  struct mst_endpoint from = at(&w, w.peer, 9), to = at(&w, w.host, 53);
  uint8_t packet[128];

  size_t bytes = sim_udp_build(packet, &from, &to, "data", 4);
  packet[30] ^= 1;
  sim_input(w.host, packet, bytes, 0);
  assert_int_equal(drops(&w, MST_DROP_UDP_CHECKSUM), 1);
  sim_input(w.host, packet, bytes, MST_CSUM_VALID); /* the port vouches */
  assert_int_equal(receive(&w, NULL, 0, NULL, NULL), 4);
  sim_input(w.host, packet, bytes, MST_CSUM_PARTIAL);
  assert_int_equal(receive(&w, NULL, 0, NULL, NULL), 4);
  memset(packet + 26, 0, 2); /* none at all (RFC 768) */
  sim_input(w.host, packet, bytes, 0);
  assert_int_equal(receive(&w, NULL, 0, NULL, NULL), 4);

  bytes = sim_udp_build(packet, &from, &to, "data", 4);
  sim_put16(packet + 24, 200);
  sim_input(w.host, packet, bytes, 0);
  assert_int_equal(drops(&w, MST_DROP_UDP_HEADER), 1);

  static const char *const sources[] = {"224.0.0.1", "255.255.255.255", "0.0.0.0"};
  for (size_t i = 0; i < COUNT(sources); i++) {
    struct mst_endpoint strange = {.addr = addr(sources[i]), .port = 9};
    bytes = sim_udp_build(packet, &strange, &to, "data", 4);
    sim_input(w.host, packet, bytes, 0);
    assert_int_equal(drops(&w, MST_DROP_SOURCE_ADDRESS), i + 1);
  }

  arrive(&w, 9, 54, "data", 4);
  assert_int_equal(drops(&w, MST_DROP_UDP_NO_SOCKET), 1);
  assert_int_equal(stats_of(&w).udp_no_ports, 1);

  w.host->memory.fail_at = w.host->memory.calls + 1;
  arrive(&w, 9, 53, "data", 4);
  assert_int_equal(drops(&w, MST_DROP_NO_MEMORY), 1);
  assert_int_equal(receive(&w, NULL, 0, NULL, NULL), -MST_EAGAIN);
  assert_int_equal(stats_of(&w).udp_in_datagrams, 3);
  world_free(&w);
}

static void the_queue_is_bounded_for_datagrams_of_any_size(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1000, 60000};
  static uint8_t data[60000];
  for (size_t i = 0; i < COUNT(sizes); i++) {
    struct world w;
    world_with_socket(&w, true);
    size_t taken = 0, again = 0;
    uint64_t before = stats_of(&w).memory_bytes;
    while (!drops(&w, MST_DROP_UDP_BUFFER)) arrive(&w, 9, 53, data, sizes[i]), taken++;
    assert_in_range(stats_of(&w).memory_bytes - before, 500000, 1 << 20);
    while (receive(&w, NULL, 0, NULL, NULL) >= 0) again++;
    assert_int_equal(again, taken - 1);
    assert_int_equal(stats_of(&w).memory_bytes, before);
    arrive(&w, 9, 53, data, sizes[i]);
    assert_int_equal(receive(&w, NULL, 0, NULL, NULL), sizes[i]);
    world_free(&w);
  }
}

static void closing_gives_all_back(void **state) {
  (void)state;
  struct world w;
  world_with_socket(&w, true);
  for (int i = 0; i < 10; i++) arrive(&w, 9, 53, "data", 4);
  mst_udp_close(w.udp);
  assert_int_equal(w.host->lease_count, 0);
  arrive(&w, 9, 53, "data", 4);
  assert_int_equal(drops(&w, MST_DROP_UDP_NO_SOCKET), 1);
  world_free(&w);
}

static void closing_inside_the_callback_is_safe(void **state) {
  (void)state;
  struct world w;
  world_with_socket(&w, true);
  w.events.close_when_told = w.udp;
  arrive(&w, 9, 53, "data", 4);
  assert_int_equal(w.events.count, 1);
  arrive(&w, 9, 53, "data", 4);
  assert_int_equal(w.events.count, 1);
  world_free(&w);
}

static void close_other(mst_udp *udp, int error, void *user) {
  (void)udp;
  (void)error;
  mst_udp **other = user;
  if (*other) mst_udp_close(*other);
  *other = NULL;
}

static void closing_one_that_waits_to_be_told_is_safe(void **state) {
  (void)state;
  struct world w;
  world_new(&w, true);
  mst_udp *sockets[2];
  struct mst_packet batch[2];
  uint8_t bytes[2][64];
  for (int i = 0; i < 2; i++) {
    struct mst_endpoint local;
    assert_int_equal(mst_udp_open(w.host->stack, NULL, close_other, &sockets[1 - i], &sockets[i]), 0);
    mst_udp_local(sockets[i], &local);
    struct mst_endpoint from = at(&w, w.peer, 9), to = at(&w, w.host, local.port);
    size_t length = sim_udp_build(bytes[i], &from, &to, "x", 1);
    batch[i] = (struct mst_packet){.len = (uint32_t)length, .iov_count = 1, .iov = {{bytes[i], length}}};
  }
  mst_stack_input(w.host->stack, batch, 2, w.sim->now_ns);
  assert_non_null(sockets[0]);
  assert_null(sockets[1]);
  world_free(&w);
}

/* --- what the net sees --- */

struct net {
  struct mst_packet packet;
  uint8_t bytes[2000];
  int refuse_ip6;
};

static void *net_alloc(void *ctx, size_t bytes) {
  (void)ctx;
  return malloc(bytes);
}

static void net_free(void *ctx, void *memory, size_t bytes) {
  (void)ctx;
  (void)bytes;
  free(memory);
}

static void net_random(void *ctx, void *out, size_t bytes) {
  (void)ctx;
  memset(out, 1, bytes);
}

static int net_lease(void *ctx, struct mst_tuple *tuple) {
  struct net *net = ctx;
  if (!mst_addr_is_ip4(&tuple->addr) && net->refuse_ip6) return net->refuse_ip6;
  if (!tuple->port) tuple->port = 5000;
  return 0;
}

static void net_release(void *ctx, const struct mst_tuple *tuple) {
  (void)ctx;
  (void)tuple;
}

static int net_route(void *ctx, const struct mst_addr *destination, struct mst_route *out) {
  (void)ctx;
  *out = (struct mst_route){.source = *destination, .mtu = 1500};
  return 0;
}

static int net_output(void *ctx, const struct mst_packet *packet) {
  struct net *net = ctx;
  net->packet = *packet;
  size_t at = 0;
  for (unsigned i = 0; i < packet->iov_count; at += packet->iov[i++].len)
    memcpy(net->bytes + at, packet->iov[i].base, packet->iov[i].len);
  assert_int_equal(at, packet->len);
  return 0;
}

static mst_stack *net_stack(struct net *net) {
  struct mst_stack_options options = {
      .size = sizeof options,
      .env = {.ctx = net, .alloc = net_alloc, .free = net_free, .random = net_random},
      .net = {.ctx = net, .lease = net_lease, .release = net_release, .route = net_route, .output = net_output},
  };
  mst_stack *stack;
  assert_int_equal(mst_stack_create(&options, &stack), 0);
  return stack;
}

static void packets_have_the_meaning_of_a_virtio_header(void **state) {
  (void)state;
  struct net net = {0};
  mst_stack *stack = net_stack(&net);
  mst_udp *udp;
  assert_int_equal(mst_udp_open(stack, NULL, on_event, NULL, &udp), 0);
  static const uint8_t data[1000];
  struct mst_endpoint to = {.addr = addr("10.0.0.9"), .port = 7};
  for (size_t bytes = 0; bytes <= sizeof data; bytes++) {
    struct mst_iov iov = {data, bytes};
    assert_int_equal(mst_udp_send(udp, &iov, 1, NULL, &to), 0);
    assert_int_equal(net.packet.len, 28 + bytes);
    assert_int_equal(net.packet.flags, MST_CSUM_PARTIAL);
    assert_int_equal(net.packet.gso_size, 0);
    /* Up to what the channel copies whole in one piece, and beyond that the headers alone. */
    assert_int_equal(net.packet.iov_count, 28 + bytes <= 192 ? 1 : 2);
    assert_int_equal(net.packet.iov[0].len, 28 + bytes <= 192 ? 28 + bytes : 28);
    uint32_t sum = 2 * (0x0a00 + 0x0009) + MST_UDP + 8 + (uint32_t)bytes; /* from and to 10.0.0.9 */
    assert_int_equal(sim_get16(net.bytes + 26), sum);
  }
  mst_stack_destroy(stack);
}

static void sends_from_where_it_is_bound(void **state) {
  (void)state;
  struct net net = {0};
  mst_stack *stack = net_stack(&net);
  mst_binding *binding;
  mst_udp *udp;
  struct mst_endpoint local = {.addr = addr("127.0.0.2"), .port = 53}, to = {.addr = addr("127.0.0.1"), .port = 7};
  assert_int_equal(mst_bind(stack, MST_UDP, &local, 0, &binding), 0);
  assert_int_equal(mst_udp_open(stack, binding, on_event, NULL, &udp), 0);
  mst_unbind(binding);
  assert_int_equal(mst_udp_send(udp, NULL, 0, NULL, &to), 0);
  assert_memory_equal(net.bytes + 12, local.addr.bytes + 12, 4);
  assert_int_equal(sim_get16(net.bytes + 20), 53);
  assert_int_equal(mst_udp_connect(udp, &to), 0);
  assert_int_equal(mst_udp_send(udp, NULL, 0, NULL, NULL), 0);
  assert_memory_equal(net.bytes + 12, local.addr.bytes + 12, 4);
  mst_stack_destroy(stack);
}

static void does_without_ip6_where_there_is_none(void **state) {
  (void)state;
  static const int refusals[] = {-MST_EADDRNOTAVAIL, -MST_EAFNOSUPPORT, -MST_EACCES};
  for (size_t i = 0; i < COUNT(refusals); i++) {
    struct net net = {.refuse_ip6 = refusals[i]};
    mst_stack *stack = net_stack(&net);
    mst_udp *udp;
    int rc = mst_udp_open(stack, NULL, on_event, NULL, &udp);
    assert_int_equal(rc, refusals[i] == -MST_EACCES ? -MST_EACCES : 0);
    if (!rc) {
      struct mst_endpoint local;
      mst_udp_local(udp, &local);
      assert_true(mst_addr_is_ip4(&local.addr) && local.port == 5000);
    }
    mst_stack_destroy(stack);
  }
}

/* --- ICMP --- */

/* A router reports about a datagram that we sent to the port of the peer. */
static void error_arrives(struct world *w, uint16_t remote_port, uint8_t type, uint8_t code, uint32_t mtu) {
  struct mst_endpoint from = at(w, w->host, 53), to = at(w, w->peer, remote_port);
  struct mst_addr router = w->ip4 ? addr("192.0.2.254") : addr("2001:db8::fe");
  uint8_t quoted[128], packet[256];
  size_t bytes = sim_udp_build(quoted, &from, &to, "data", 4);
  bytes = sim_icmp_build(packet, &router, type, code, mtu, quoted, bytes, 128);
  sim_input(w->host, packet, bytes, 0);
}

static void a_connected_socket_is_told_of_hard_errors(void **state) {
  (void)state;
  static const struct {
    bool ip4;
    uint8_t type, code;
    int error;
  } rows[] = {
      {true, 3, 3, -MST_ECONNREFUSED},
      {false, 1, 4, -MST_ECONNREFUSED},
      {true, 3, 2, -MST_ENOPROTOOPT},
      {true, 3, 13, -MST_EHOSTUNREACH},
      {true, 3, 4, -MST_EMSGSIZE},
      {false, 2, 0, -MST_EMSGSIZE},
      {true, 12, 0, -MST_EPROTO},
      {true, 3, 1, 0},
      {true, 11, 0, 0},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    struct world w;
    world_with_socket(&w, rows[i].ip4);
    struct mst_endpoint peer = at(&w, w.peer, 99);
    assert_int_equal(mst_udp_connect(w.udp, &peer), 0);
    error_arrives(&w, 98, rows[i].type, rows[i].code, 1300); /* about another's datagram */
    assert_int_equal(w.events.count, 0);
    assert_int_equal(drops(&w, MST_DROP_ICMP), 1);
    error_arrives(&w, 99, rows[i].type, rows[i].code, 1300);
    assert_int_equal(w.events.errors, rows[i].error != 0);
    assert_int_equal(w.events.error, rows[i].error);
    world_free(&w);
  }
}

static void an_unconnected_socket_is_not_told(void **state) {
  (void)state;
  struct world w;
  world_with_socket(&w, true);
  error_arrives(&w, 99, 3, 3, 0);
  assert_int_equal(w.events.count, 0);
  world_free(&w);
}

static void error_and_datagrams_are_told_apart(void **state) {
  (void)state;
  struct world w;
  world_with_socket(&w, true);
  struct mst_endpoint peer = at(&w, w.peer, 99), us = at(&w, w.host, 53);
  assert_int_equal(mst_udp_connect(w.udp, &peer), 0);
  uint8_t quoted[64], bytes[2][256];
  size_t quoted_bytes = sim_udp_build(quoted, &us, &peer, "data", 4);
  struct mst_packet batch[2];
  size_t length = sim_udp_build(bytes[0], &peer, &us, "x", 1);
  batch[0] = (struct mst_packet){.len = (uint32_t)length, .iov_count = 1, .iov = {{bytes[0], length}}};
  length = sim_icmp_build(bytes[1], &peer.addr, 3, 3, 0, quoted, quoted_bytes, 64);
  batch[1] = (struct mst_packet){.len = (uint32_t)length, .iov_count = 1, .iov = {{bytes[1], length}}};
  mst_stack_input(w.host->stack, batch, 2, w.sim->now_ns);
  assert_int_equal(w.events.count, 2);
  assert_int_equal(w.events.errors, 1);
  mst_stack_input(w.host->stack, batch + 1, 1, w.sim->now_ns); /* the datagram was told of already */
  assert_int_equal(w.events.count, 3);
  assert_int_equal(w.events.errors, 2);
  assert_int_equal(receive(&w, NULL, 0, NULL, NULL), 1);
  world_free(&w);
}

static void a_reported_mtu_holds_for_its_destination_for_a_while(void **state) {
  (void)state;
  static const uint8_t big[1472];
  for (int ip4 = 0; ip4 < 2; ip4++) {
    struct world w;
    world_with_socket(&w, ip4);
    struct sim_node *other = sim_add_raw(w.sim);
    struct mst_endpoint to = at(&w, w.peer, 99), to_other = at(&w, other, 99);
    size_t headers = ip4 ? 28 : 48;
    error_arrives(&w, 99, ip4 ? 3 : 2, ip4 ? 4 : 0, 1400);
    assert_int_equal(send_to(&w, big, 1400 - headers, &to), 0);
    assert_int_equal(send_to(&w, big, 1401 - headers, &to), -MST_EMSGSIZE);
    assert_int_equal(send_to(&w, big, 1500 - headers, &to_other), 0);
    /* A forged one cannot take it below what any path carries. */
    error_arrives(&w, 99, ip4 ? 3 : 2, ip4 ? 4 : 0, 1);
    size_t least = ip4 ? 552 : 1280;
    assert_int_equal(send_to(&w, big, least - headers, &to), 0);
    assert_int_equal(send_to(&w, big, least - headers + 1, &to), -MST_EMSGSIZE);
    sim_run_for(w.sim, 600 * SIM_S + 1);
    mst_stack_advance(w.host->stack, w.sim->now_ns);
    assert_int_equal(send_to(&w, big, 1500 - headers, &to), 0);
    world_free(&w);
  }
}

static void two_stacks_talk(void **state) {
  (void)state;
  struct sim *sim = sim_new(2);
  struct sim_node *a = sim_add_stack(sim, NULL), *b = sim_add_stack(sim, NULL);
  struct events events[2] = {{0}, {0}};
  mst_udp *ua, *ub;
  assert_int_equal(mst_udp_open(a->stack, NULL, on_event, &events[0], &ua), 0);
  assert_int_equal(mst_udp_open(b->stack, NULL, on_event, &events[1], &ub), 0);
  struct mst_endpoint to, from;
  mst_udp_local(ub, &to);
  struct mst_addr peers[] = {b->ip4, b->ip6};
  for (int family = 0; family < 2; family++) {
    to.addr = peers[family];
    for (size_t bytes = 0; bytes < 1400; bytes += 7) {
      uint8_t out[1400], in[1400];
      memset(out, (int)bytes, sizeof out);
      struct mst_iov iov = {out, bytes};
      assert_int_equal(mst_udp_send(ua, &iov, 1, NULL, &to), 0);
      sim_run_for(sim, SIM_MS);
      assert_int_equal(mst_udp_receive(ub, in, sizeof in, &from, NULL), bytes);
      assert_memory_equal(in, out, bytes);
      assert_int_equal(mst_udp_send(ub, &iov, 1, NULL, &from), 0);
      sim_run_for(sim, SIM_MS);
      assert_int_equal(mst_udp_receive(ua, in, sizeof in, NULL, NULL), bytes);
    }
  }
  assert_int_equal(events[0].count, 400);
  assert_int_equal(sim_free(sim), 0);
}

static void every_failing_allocation_is_survived(void **state) {
  (void)state;
  static const uint8_t big[1000];
  for (uint64_t n = 1; n < 40; n++) {
    struct sim *sim = sim_new(3);
    struct sim_node *host = sim_add_stack_with(sim, NULL, (struct sim_memory){.fail_at = n});
    mst_udp *udp;
    struct events events = {0};
    if (host && mst_udp_open(host->stack, NULL, on_event, &events, &udp) == 0) {
      struct world w = {.sim = sim, .host = host, .peer = sim_add_raw(sim), .udp = udp, .ip4 = true};
      struct mst_endpoint local, to = at(&w, w.peer, 9);
      mst_udp_local(udp, &local);
      for (int i = 0; i < 3; i++) {
        arrive(&w, 9, local.port, big, sizeof big);
        int rc = send_to(&w, big, sizeof big, &to);
        assert_true(rc == 0 || rc == -MST_ENOMEM);
      }
    }
    assert_int_equal(sim_free(sim), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(receives_with_both_addresses),
      cmocka_unit_test(one_event_for_a_batch),
      cmocka_unit_test(sends_short_and_long_datagrams),
      cmocka_unit_test(never_sends_more_than_the_path_carries),
      cmocka_unit_test(says_why_it_cannot_send),
      cmocka_unit_test(the_family_must_fit_the_binding),
      cmocka_unit_test(the_source_can_be_chosen),
      cmocka_unit_test(a_tuple_has_one_socket),
      cmocka_unit_test(takes_an_ephemeral_port),
      cmocka_unit_test(connected_it_hears_its_peer_alone),
      cmocka_unit_test(drops_bad_datagrams_and_counts_them),
      cmocka_unit_test(the_queue_is_bounded_for_datagrams_of_any_size),
      cmocka_unit_test(closing_gives_all_back),
      cmocka_unit_test(closing_inside_the_callback_is_safe),
      cmocka_unit_test(closing_one_that_waits_to_be_told_is_safe),
      cmocka_unit_test(packets_have_the_meaning_of_a_virtio_header),
      cmocka_unit_test(sends_from_where_it_is_bound),
      cmocka_unit_test(does_without_ip6_where_there_is_none),
      cmocka_unit_test(a_connected_socket_is_told_of_hard_errors),
      cmocka_unit_test(an_unconnected_socket_is_not_told),
      cmocka_unit_test(error_and_datagrams_are_told_apart),
      cmocka_unit_test(a_reported_mtu_holds_for_its_destination_for_a_while),
      cmocka_unit_test(two_stacks_talk),
      cmocka_unit_test(every_failing_allocation_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
