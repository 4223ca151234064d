/* A switch in virtual time, and a program of steps that a hostile stack takes: what it writes to its region, what it
 * asks for, and when the others go on. Nothing that comes to the others, or leaves by the port, may have a source that
 * the hostile one does not hold; what is theirs stays as they left it; and what is counted is what has happened.
 *
 *   hostile ──┐                ┌── victim   holds VICTIM_PORT
 *             ├── [ switch ] ──┤
 *   honest  ──┘       │        └── accomplice: a limbo of the hostile one's owner
 *                     └── port ── far end */
#include "fuzz_input.h"
#include "multistack/switch.h"
#include "sim/packet.h"
#include "switch/channel_layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHECK(condition) ((condition) ? (void)0 : abort())

enum { HOSTILE, VICTIM, HONEST, CHANNELS };
enum { HOSTILE_OWNER = 1, VICTIM_OWNER = 2, HONEST_OWNER = 3 };
enum { VICTIM_PORT = 2, HONEST_PORT = 3, FAR_PORT = 4 };
enum { TX_SLOTS = 16, ARENA_BYTES = 8192, GUARD_BYTES = 65536, HELD_MAX = 64 };
static const char marker[] = "honest or far: ";

/* --- channels, once for all runs, each between pages that nobody may touch --- */

struct lane {
  mst_channel *channel;
  const struct mst__channel_geometry *at;
  unsigned id;
  uint64_t received; /* all packets that have come out of it */
};

static void put_guard(uint8_t *at) {
  (void)!mmap(at, GUARD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

static void make_lane(struct lane *lane) {
  const struct mst_channel_options options = {
      .size = sizeof options, .tx_slots = TX_SLOTS, .rx_slots = 16, .rx_bytes = 256u << 10, .arena_bytes = ARENA_BYTES};
  CHECK(mst_channel_create(&options, &lane->channel) == 0);
  lane->at = mst__channel_geometry(lane->channel);
  put_guard(lane->at->region - GUARD_BYTES);
  put_guard(lane->at->region + lane->at->region_bytes);
}

static struct mst__tx_slot *slots_of(const struct lane *lane) {
  return mst__tx_ring(lane->at);
}
static uint8_t *arena_of(const struct lane *lane) {
  return lane->at->region + lane->at->arena_offset;
}

/* --- a run --- */

struct held {
  struct mst_tuple tuples[HELD_MAX];
  unsigned count;
};

struct fuzz;
struct fuzz_port {
  struct mst_port port;
  struct fuzz *fuzz;
  struct mst_port_rx rx; /* what comes next; data NULL: nothing */
  uint8_t *room;
  uint32_t room_bytes;
  bool full;
};

struct fuzz {
  struct input in;
  mst_switch *sw;
  struct mst_switch_os os;
  struct lane *lane; /* CHANNELS of them */
  unsigned accomplice;
  struct fuzz_port port;
  uint64_t now_ns, far_sent, far_seen, honest_sent, honest_seen, told;
  int64_t reserved;
  bool deaf;                /* the victim reads nothing */
  struct held before, held; /* what the hostile one held before this step, and since */
  uint64_t random;
};

static void fuzz_random(void *ctx, void *out, size_t bytes) {
  fuzz_random_bytes(&((struct fuzz *)ctx)->random, out, bytes);
}

/* --- the host --- */

static struct mst_addr address(unsigned which) {
  static const char *const text[] = {"10.0.0.1", "0.0.0.0", "127.0.0.1", "fd00::1", "::", "10.9.9.9", "fd00::9"};
  struct mst_addr out;
  CHECK(mst_addr_parse(text[which % (sizeof text / sizeof *text)], &out) == 0);
  return out;
}

static struct mst_endpoint endpoint_of(unsigned which, uint16_t port) {
  return (struct mst_endpoint){.addr = address(which), .port = port};
}

static bool is_local(const struct mst_addr *addr) {
  struct mst_addr ip4 = address(0), ip6 = address(3);
  return mst_addr_is_loopback(addr) || mst_addr_equal(addr, &ip4) || mst_addr_equal(addr, &ip6);
}

static int os_reserve(void *ctx, struct mst_tuple *tuple, intptr_t *cookie) {
  struct fuzz *f = ctx;
  if (!mst_addr_is_any(&tuple->addr) && !is_local(&tuple->addr)) return -MST_EADDRNOTAVAIL;
  *cookie = tuple->port;
  f->reserved++;
  return 0;
}
static void os_unreserve(void *ctx, intptr_t cookie) {
  (void)cookie;
  CHECK(--((struct fuzz *)ctx)->reserved >= 0);
}
static int os_route(void *ctx, const struct mst_addr *destination, struct mst_next_hop *out) {
  (void)ctx;
  *out = (struct mst_next_hop){.source = *destination, .gateway = *destination, .mtu = MST_PACKET_BYTES_MAX};
  out->local = is_local(destination);
  if (out->local) return 0;
  if (destination->bytes[15] & 1) return -MST_ENETUNREACH;
  out->source = address(mst_addr_is_ip4(destination) ? 0 : 3);
  out->ifindex = 7;
  return 0;
}
static enum mst_neighbour_state os_neighbour(void *ctx, unsigned ifindex, const struct mst_addr *addr, uint8_t mac[6]) {
  (void)ifindex;
  memcpy(mac, "\x02\x00\x00\x00\x00\x99", 6);
  uint8_t last = addr->bytes[15];
  return last & 4 && ((struct fuzz *)ctx)->now_ns % 3 ? MST_NEIGHBOUR_PENDING
         : last & 8                                   ? MST_NEIGHBOUR_KNOWN
                                                      : MST_NEIGHBOUR_FAILED;
}

/* --- who may have sent a packet --- */

static void note_held(const struct mst_tuple *tuple, void *user) {
  struct held *held = user;
  if (held->count < HELD_MAX) held->tuples[held->count++] = *tuple;
}

static bool covers(const struct mst_tuple *tuple, uint8_t protocol, const struct mst_addr *addr, uint16_t port) {
  if (tuple->protocol != protocol || tuple->port != port) return false;
  if (!mst_addr_is_any(&tuple->addr)) return mst_addr_equal(&tuple->addr, addr);
  bool both = !mst_addr_is_ip4(&tuple->addr) && !(tuple->flags & MST_BIND_V6ONLY);
  return is_local(addr) && (both || mst_addr_is_ip4(&tuple->addr) == mst_addr_is_ip4(addr));
}

static bool is_held(const struct held *held, uint8_t protocol, const struct mst_addr *addr, uint16_t port) {
  for (unsigned i = 0; i < held->count; i++)
    if (covers(&held->tuples[i], protocol, addr, port)) return true;
  return false;
}

static bool is_marked(const uint8_t *packet, size_t bytes) {
  return bytes >= sizeof marker && !memcmp(packet + bytes - sizeof marker, marker, sizeof marker);
}

/* A whole packet that the switch has let through. */
static void judge(struct fuzz *f, const uint8_t *packet, size_t bytes) {
  struct mst_addr source, destination, far4 = address(5), far6 = address(6);
  uint8_t protocol;
  size_t l3 = sim_ip_header(packet, bytes, &protocol);
  CHECK(l3 && bytes >= l3 + 8);
  CHECK(packet[0] >> 4 == 6 ||
        (packet[0] == 0x45 && sim_get16(packet + 2) == bytes && !(sim_get16(packet + 6) & 0x3fff)));
  sim_ip_addresses(packet, &source, &destination);
  uint16_t port = sim_get16(packet + l3);
  if (protocol == MST_ICMP || protocol == MST_ICMP6) { /* the switch to the honest one, or the far end to anybody */
    CHECK(++f->told <= f->honest_sent + f->far_sent);
  } else if (mst_addr_equal(&source, &far4) || mst_addr_equal(&source, &far6)) {
    CHECK(++f->far_seen <= f->far_sent);
  } else if (port == HONEST_PORT && protocol == MST_UDP && is_marked(packet, bytes)) {
    CHECK(++f->honest_seen <= f->honest_sent);
  } else if (!is_held(&f->before, protocol, &source, port)) {
    CHECK(is_held(&f->held, protocol, &source, port));
  }
}

static void receive(struct fuzz *f, struct lane *lane) {
  struct mst_packet packet;
  while (mst_channel_receive(lane->channel, &packet, 1) == 1) {
    uint8_t *exact = malloc(packet.len);
    CHECK(exact);
    memcpy(exact, packet.iov[0].base, packet.len);
    judge(f, exact, packet.len);
    free(exact);
    mst_channel_release(lane->channel, 1);
    lane->received++;
  }
}

/* --- the port: one packet in each direction at a time, in memory of just its size --- */

static int port_receive(struct mst_port *base, struct mst_port_rx *out, unsigned count) {
  struct fuzz_port *port = (struct fuzz_port *)base;
  if (!count || !port->rx.data) return 0;
  *out = port->rx;
  return 1;
}

static void port_release(struct mst_port *base) {
  struct fuzz_port *port = (struct fuzz_port *)base;
  free((void *)(uintptr_t)port->rx.data);
  port->rx.data = NULL;
}

static uint8_t *port_reserve(struct mst_port *base, uint32_t bytes) {
  struct fuzz_port *port = (struct fuzz_port *)base;
  free(port->room);
  port->room = port->full ? NULL : malloc(bytes);
  port->room_bytes = bytes;
  return port->room;
}

static void port_commit(struct mst_port *base, uint32_t len, uint16_t gso_size, uint8_t flags) {
  struct fuzz_port *port = (struct fuzz_port *)base;
  uint32_t l2 = base->caps & MST_PORT_ETHERNET ? 14 : 0;
  CHECK(port->room && len <= port->room_bytes);
  CHECK((!gso_size || base->caps & MST_PORT_TX_GSO) && (!(flags & MST_CSUM_PARTIAL) || base->caps & MST_PORT_TX_CSUM));
  if (len) judge(port->fuzz, port->room + l2, len - l2);
  free(port->room);
  port->room = NULL;
}

static void port_flush(struct mst_port *base) {
  (void)base;
}
static unsigned port_wait_fds(struct mst_port *base, int *fds, unsigned count) {
  (void)base;
  (void)fds;
  (void)count;
  return 0;
}
static void port_get_stats(struct mst_port *base, struct mst_port_stats *out) {
  (void)base;
  *out = (struct mst_port_stats){0};
}
static void port_close(struct mst_port *base) {
  port_release(base);
  free(((struct fuzz_port *)base)->room);
}

static void add_port(struct fuzz *f, uint8_t how) {
  static const struct mst_port_ops ops = {.receive = port_receive,
                                          .release = port_release,
                                          .tx_reserve = port_reserve,
                                          .tx_commit = port_commit,
                                          .flush = port_flush,
                                          .wait_fds = port_wait_fds,
                                          .get_stats = port_get_stats,
                                          .close = port_close};
  struct mst_port *port = &f->port.port;
  f->port.fuzz = f;
  *port = (struct mst_port){.ops = &ops, .name = "fuzz", .ifindex = 7};
  port->caps = how & (MST_PORT_TX_GSO | MST_PORT_TX_CSUM | MST_PORT_RX_CSUM_PARTIAL | MST_PORT_ETHERNET);
  if (how & 16) port->caps |= MST_PORT_OS_LOOPBACK;
  port->mtu = how & 32 ? 1500 : MST_PACKET_BYTES_MAX;
  CHECK(mst_switch_add_port(f->sw, port) == 0);
}

/* --- what the hostile one writes --- */

static void write_index(struct fuzz *f) {
  struct mst__channel_header *header = mst__channel_header(f->lane[HOSTILE].at);
  struct mst__ring_index *index[] = {&header->tx_head, &header->tx_tail, &header->rx_head,
                                     &header->rx_tail, &header->tx_bell, &header->rx_bell};
  uint8_t which = input_byte(&f->in);
  uint32_t base = which & 128 ? index[which >> 3 & 3]->value : which & 64 ? input_word(&f->in) << 16 : 0;
  index[which % 6]->value = base + (uint32_t)(int8_t)input_byte(&f->in);
}

static void write_bytes(struct fuzz *f) {
  const struct lane *lane = &f->lane[HOSTILE];
  uint32_t where = input_word(&f->in), count = input_byte(&f->in) % 32;
  uint8_t *area = where & 0x8000 ? arena_of(lane) : lane->at->region + lane->at->tx_offset;
  for (uint32_t i = 0; i < count; i++) area[(where + i) % 4096] = input_byte(&f->in);
}

static struct mst_tuple tuple_of(struct fuzz *f) {
  uint8_t what = input_byte(&f->in), where = input_byte(&f->in);
  return (struct mst_tuple){.addr = address(where),
                            .port = what & 7,
                            .protocol = what & 8     ? MST_TCP
                                        : what & 128 ? what
                                                     : MST_UDP,
                            .flags = what >> 4 & 7};
}

static size_t build(struct fuzz *f, uint8_t *out, unsigned from, unsigned to, size_t data_bytes) {
  static const uint8_t data[4096];
  struct mst_tuple source = tuple_of(f), destination = tuple_of(f);
  struct mst_endpoint a = endpoint_of(from, source.port), b = endpoint_of(to, destination.port);
  if (source.protocol != MST_TCP) return sim_udp_build(out, &a, &b, data, data_bytes);
  struct sim_segment segment = {.source = a.addr,
                                .destination = b.addr,
                                .source_port = a.port,
                                .destination_port = b.port,
                                .flags = SIM_ACK,
                                .ttl = 64,
                                .data = data,
                                .data_bytes = (uint32_t)data_bytes};
  return sim_segment_build(out, &segment);
}

/* A packet in the next slot that is nearly right: its payload in pieces, and a few bytes changed after all. */
static void write_packet(struct fuzz *f) {
  const struct lane *lane = &f->lane[HOSTILE];
  struct mst__channel_header *header = mst__channel_header(lane->at);
  struct mst__tx_slot *slot = &slots_of(lane)[header->tx_head.value % TX_SLOTS];
  uint8_t shape = input_byte(&f->in), addresses = input_byte(&f->in), pieces = shape & 3;
  bool ip6 = shape & 16;
  static const uint8_t from4[] = {0, 2, 0, 5}, from6[] = {3, 3, 6, 3};
  uint8_t packet[5000];
  size_t bytes =
      build(f, packet, ip6 ? from6[addresses & 3] : from4[addresses & 3],
            ip6 ? from6[addresses >> 2 & 3] : from4[addresses >> 2 & 3], shape & 4 ? input_word(&f->in) % 4000 : 20);
  size_t room = pieces ? 40 + input_byte(&f->in) % 153 : MST_CHANNEL_INLINE_BYTES, head = bytes < room ? bytes : room;
  slot->descriptor = (struct mst__tx_descriptor){.len = (uint32_t)bytes,
                                                 .flags = shape & 8 ? MST_CSUM_PARTIAL : 0,
                                                 .inline_bytes = (uint32_t)head,
                                                 .gso_size = shape & 32 ? (uint16_t)input_word(&f->in) : 0};
  memcpy(slot->bytes, packet, head);
  size_t left = bytes - head, at = 0;
  for (unsigned i = 0; i < pieces && left; i++) {
    size_t piece = i + 1 == pieces ? left : input_word(&f->in) % (left + 1);
    memcpy(arena_of(lane) + at, packet + bytes - left, piece);
    slot->descriptor.frags[i].offset = (uint32_t)(lane->at->arena_offset + at);
    slot->descriptor.frags[i].len = (uint32_t)piece;
    slot->descriptor.frag_count++;
    at += piece, left -= piece;
  }
  for (int changes = shape >> 6; changes > 0; changes--) {
    uint32_t where = input_word(&f->in);
    ((uint8_t *)slot)[where % sizeof *slot] = input_byte(&f->in);
  }
  header->tx_head.value++;
}

/* --- what the hostile one asks for --- */

static void ask(struct fuzz *f) {
  unsigned hostile = f->lane[HOSTILE].id, other = f->accomplice;
  struct mst_tuple tuple = tuple_of(f);
  struct mst_endpoint remotes[3];
  uint16_t ports[64];
  uint8_t what = input_byte(&f->in);
  for (unsigned i = 0; i < 3; i++) remotes[i] = endpoint_of(what + i, what & 7);
  unsigned to = what & 64 ? other : f->lane[what >> 4 & 1 ? VICTIM : HONEST].id;
  switch (what & 15) {
  case 0:
  case 1:
  case 2: mst_switch_lease(f->sw, hostile, &tuple); break;
  case 3: mst_switch_lease(f->sw, other, &tuple); break;
  case 4: mst_switch_release(f->sw, hostile, &tuple); break;
  case 5: mst_switch_release(f->sw, other, &tuple); break;
  case 6: mst_switch_offer(f->sw, hostile, &tuple, remotes, what >> 6); break;
  case 7: mst_switch_offer(f->sw, other, &tuple, remotes, what >> 6); break;
  case 8: mst_switch_declare(f->sw, hostile, &tuple, remotes, what >> 6); break;
  case 9: CHECK(mst_switch_transfer(f->sw, hostile, to, &tuple) == 0 ? to == other : 1); break;
  case 10: CHECK(mst_switch_transfer(f->sw, to, hostile, &tuple) == 0 ? to == other : 1); break;
  case 11:
    mst_switch_lease_block(f->sw, hostile, (enum mst_protocol)tuple.protocol, &tuple.addr, what >> 4, ports);
    break;
  case 12: mst_switch_blame(f->sw, hostile, input_word(&f->in)); break;
  case 13: mst_switch_route(f->sw, &tuple.addr, &(struct mst_route){0}); break;
  case 14:
    tuple.addr = address(what & 64 ? 0 : 2);
    mst_switch_adopt_lease(f->sw, hostile, &tuple, MST_SWITCH_NO_COOKIE);
    break;
  default: mst_switch_declare(f->sw, other, &tuple, remotes, what >> 6); break;
  }
}

static void attach(struct fuzz *f, unsigned which, uint32_t owner, uint8_t limits) {
  const struct mst_switch_channel_options rights = {.size = sizeof rights,
                                                    .owner = owner,
                                                    .leases_max = limits & 1 ? 4 : 30,
                                                    .packets_per_s = limits & 2 ? 1000 : 0,
                                                    .bytes_per_s = limits & 4 ? 100000 : 0};
  mst_channel_restart(f->lane[which].channel);
  CHECK(mst_switch_attach(f->sw, f->lane[which].channel, &rights, &f->lane[which].id) == 0);
}

/* Gone, at once or by and by, and there again. */
static void leave_and_come(struct fuzz *f) {
  unsigned id = f->lane[HOSTILE].id;
  uint8_t how = input_byte(&f->in);
  if (how & 8) {
    mst_switch_abandon(f->sw, id);
    if (how & 16) mst_switch_process(f->sw, 8, f->now_ns);
    while (!mst_switch_detach_some(f->sw, id, 1 + how % 4)) mst_switch_process(f->sw, 8, f->now_ns);
  } else {
    mst_switch_detach(f->sw, id);
  }
  attach(f, HOSTILE, HOSTILE_OWNER, how);
}

/* --- what the others do --- */

static void honest_sends(struct fuzz *f) {
  uint8_t bytes[200], where = input_byte(&f->in);
  struct mst_endpoint from = endpoint_of(0, HONEST_PORT), to = endpoint_of(where & 8 ? 5 : 0, where & 7);
  size_t len = sim_udp_build(bytes, &from, &to, marker, sizeof marker);
  struct mst_packet packet = {.len = (uint32_t)len, .iov_count = 1, .iov = {{bytes, len}}};
  f->honest_sent += mst_channel_send(f->lane[HONEST].channel, &packet) == 0;
}

static void far_sends(struct fuzz *f) {
  uint8_t packet[5000], shape = input_byte(&f->in);
  bool ip6 = shape & 1;
  size_t bytes = build(f, packet, ip6 ? 6 : 5, ip6 ? 3 : 0, 20 + shape);
  size_t headers = ip6 ? 40 : 20;
  for (int i = shape >> 6; i > 0; i--) {
    size_t at = input_word(&f->in) % bytes;
    if (at >= headers) packet[at] = input_byte(&f->in);
  }
  if (f->port.rx.data) return;
  uint8_t *exact = malloc(bytes);
  CHECK(exact);
  memcpy(exact, packet, bytes);
  f->port.rx = (struct mst_port_rx){.data = exact,
                                    .len = (uint32_t)bytes,
                                    .gso_size = shape & 2 ? (uint16_t)input_word(&f->in) : 0,
                                    .flags = shape >> 2 & 7};
  f->far_sent += 100; /* it may be many segments by the time that it arrives */
}

static void pass(struct fuzz *f) {
  static const uint64_t steps_ns[] = {0, 1, 100000, 1000000, 11000000, 1000000000, 10000000000, 1000000000000};
  uint8_t how = input_byte(&f->in);
  f->now_ns += steps_ns[how & 7];
  if (how & 8) mst_switch_neighbours_changed(f->sw);
  if (how & 16) mst_switch_routes_changed(f->sw);
  mst_switch_sleep(f->sw);
  mst_switch_wake(f->sw);
  CHECK(mst_switch_process(f->sw, 1 + (how >> 5) * 50u, f->now_ns) <=
        4 * (1 + (how >> 5) * 50u) + 2 * TX_SLOTS * CHANNELS);
}

/* --- a step, and what must hold after it --- */

static void step(struct fuzz *f) {
  switch (input_byte(&f->in) % 16) {
  case 0: write_index(f); break;
  case 1: write_bytes(f); break;
  case 2:
    if (input_byte(&f->in) & 1)
      f->deaf = !f->deaf;
    else
      f->port.full = !f->port.full;
    break;
  case 3: far_sends(f); break;
  case 4: honest_sends(f); break;
  case 5: leave_and_come(f); break;
  case 6:
  case 7:
  case 8: ask(f); break;
  case 9:
  case 10:
  case 11: pass(f); break;
  default: write_packet(f); break;
  }
}

static bool is_filled(const uint8_t *at, size_t bytes, uint8_t with) {
  for (size_t i = 0; i < bytes; i++)
    if (at[i] != with) return false;
  return true;
}

static void check_counters(struct fuzz *f) {
  struct mst_switch_stats all, one;
  uint64_t sums[MST_DROP_COUNT] = {0};
  for (unsigned i = 0; i < CHANNELS; i++) {
    CHECK(mst_switch_channel_stats(f->sw, f->lane[i].id, &one) == 0);
    for (unsigned r = 0; r < MST_DROP_COUNT; r++) sums[r] += one.drops[r];
    if (i != HOSTILE && !(i == VICTIM && f->deaf)) CHECK(one.to_channel_packets == f->lane[i].received);
    if (i == HONEST) CHECK(one.from_channel_packets <= f->honest_sent);
  }
  mst_switch_get_stats(f->sw, &all);
  for (unsigned r = 0; r < MST_DROP_COUNT; r++) CHECK(sums[r] <= all.drops[r]);
  CHECK(!mst_switch_is_abusive(f->sw, f->lane[VICTIM].id) && !mst_switch_is_abusive(f->sw, f->lane[HONEST].id));
}

static void check(struct fuzz *f) {
  struct mst_endpoint victim = endpoint_of(0, VICTIM_PORT);
  f->before = f->held;
  f->held.count = 0;
  mst_switch_each_lease(f->sw, f->lane[HOSTILE].id, note_held, &f->held);
  CHECK(!is_held(&f->held, MST_UDP, &victim.addr, VICTIM_PORT));
  CHECK(mst_switch_holds(f->sw, MST_UDP, &victim));
  if (!f->deaf) receive(f, &f->lane[VICTIM]);
  receive(f, &f->lane[HONEST]);
  const struct lane *lane = &f->lane[VICTIM];
  CHECK(is_filled(arena_of(lane), ARENA_BYTES, 0x5a));
  CHECK(is_filled((const uint8_t *)slots_of(lane), TX_SLOTS * sizeof(struct mst__tx_slot), 0x5a));
  CHECK(mst__channel_header(lane->at)->tx_head.value == 0 && mst__channel_header(lane->at)->tx_tail.value == 0);
  check_counters(f);
}

static void lease_own(struct fuzz *f, unsigned which, uint16_t port) {
  struct mst_tuple tuple = {.addr = address(0), .port = port, .protocol = MST_UDP};
  CHECK(mst_switch_lease(f->sw, f->lane[which].id, &tuple) == 0);
}

static void set_up(struct fuzz *f) {
  const struct mst_switch_channel_options rights = {.size = sizeof rights, .owner = HOSTILE_OWNER};
  struct mst_switch_options options = {.size = sizeof options,
                                       .env = {.ctx = f, .alloc = fuzz_alloc, .free = fuzz_free, .random = fuzz_random},
                                       .os = &f->os};
  f->os = (struct mst_switch_os){
      .ctx = f, .reserve = os_reserve, .unreserve = os_unreserve, .route = os_route, .neighbour = os_neighbour};
  CHECK(mst_switch_create(&options, &f->sw) == 0);
  attach(f, HOSTILE, HOSTILE_OWNER, input_byte(&f->in));
  attach(f, VICTIM, VICTIM_OWNER, 0);
  attach(f, HONEST, HONEST_OWNER, 0);
  CHECK(mst_switch_attach(f->sw, NULL, &rights, &f->accomplice) == 0);
  lease_own(f, VICTIM, VICTIM_PORT);
  lease_own(f, HONEST, HONEST_PORT);
  add_port(f, input_byte(&f->in));
  memset(f->lane[HOSTILE].at->region + f->lane[HOSTILE].at->tx_offset, 0, TX_SLOTS * sizeof(struct mst__tx_slot));
  memset(arena_of(&f->lane[HOSTILE]), 0, ARENA_BYTES);
  memset(arena_of(&f->lane[VICTIM]), 0x5a, ARENA_BYTES);
  memset(slots_of(&f->lane[VICTIM]), 0x5a, TX_SLOTS * sizeof(struct mst__tx_slot));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct lane lanes[CHANNELS];
  if (!lanes[0].channel)
    for (unsigned i = 0; i < CHANNELS; i++) make_lane(&lanes[i]);
  struct fuzz fuzz = {.in = {data, data + size}, .lane = lanes, .now_ns = 1}, *f = &fuzz;
  if (size > 1024) return 0;
  for (unsigned i = 0; i < CHANNELS; i++) lanes[i].received = 0;
  set_up(f);
  while (f->in.at < f->in.end) {
    step(f);
    check(f);
  }
  f->deaf = false;
  check(f);
  mst_switch_destroy(f->sw);
  CHECK(f->reserved == 0);
  return 0;
}
