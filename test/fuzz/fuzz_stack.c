/* The whole stack: bytes become packets, clock steps and calls. A hostile peer that nevertheless knows where the
 * connections are, an application that does anything at any time, also inside callbacks, memory that runs out, a ring
 * that is full. Every packet that the stack sends is checked by the simulator, and all must come back at the end. */
#include "fuzz_input.h"
#include "sim/packet.h"
#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition) ((condition) ? (void)0 : abort())

#define FLOWS 4
#define CONNS 8
#define PACKET_MAX 70000

/* What the peer knows of a connection, from what the stack has sent. */
struct flow {
  uint16_t local_port, peer_port;
  uint32_t snd_nxt, rcv_nxt; /* the peer's */
  bool open;
};

struct fuzz {
  struct input in;
  struct sim *sim;
  struct sim_node *node, *peer;
  mst_stack *stack;
  mst_listener *listener;
  mst_udp *udp;
  mst_conn *conns[CONNS];
  struct flow flows[FLOWS];
  bool ip6, timestamps, wide;
  uint8_t mood; /* what callbacks do */
  uint8_t *last;
  size_t last_bytes;
};

/* --- the application --- */

static void forget(struct fuzz *f, mst_conn *conn) {
  for (int i = 0; i < CONNS; i++)
    if (f->conns[i] == conn) f->conns[i] = NULL;
}

static void read_some(mst_conn *conn, size_t bytes) {
  static uint8_t buffer[65536];
  ptrdiff_t n = mst_read(conn, buffer, bytes);
  CHECK(n <= (ptrdiff_t)bytes);
}

static void peek_some(mst_conn *conn, size_t bytes) {
  struct mst_iov spans[5];
  size_t count = mst_peek(conn, spans, 5), held = 0;
  static uint8_t copy[65536];
  for (size_t i = 0; i < count; i++) {
    memcpy(copy, spans[i].base, spans[i].len < sizeof copy ? spans[i].len : sizeof copy);
    held += spans[i].len;
  }
  CHECK(held <= mst_readable_bytes(conn));
  mst_consume(conn, bytes < held ? bytes : held);
}

static void write_some(mst_conn *conn, size_t bytes) {
  static const uint8_t data[65536];
  ptrdiff_t n = mst_write(conn, data, bytes);
  CHECK(n <= (ptrdiff_t)bytes && (n != 0 || !bytes));
}

static void on_event(mst_conn *conn, unsigned events, void *user) {
  struct fuzz *f = user;
  CHECK(events);
  if (f->mood & 1) read_some(conn, 1000);
  if (f->mood & 2) peek_some(conn, 3);
  if (f->mood & 4) write_some(conn, 500);
  if (f->mood & 8) mst_shutdown(conn);
  if (f->mood & 16 || events & MST_EV_ERROR) {
    forget(f, conn);
    mst_close(conn);
  } else if (f->mood & 32) {
    forget(f, conn);
    mst_abort(conn);
  }
}

static mst_conn **free_slot(struct fuzz *f) {
  for (int i = 0; i < CONNS; i++)
    if (!f->conns[i]) return &f->conns[i];
  return NULL;
}

static void accept_one(struct fuzz *f) {
  mst_conn **slot = free_slot(f);
  if (!f->listener || !slot) return;
  *slot = mst_accept(f->listener);
  if (*slot) mst_conn_set_event(*slot, on_event, f);
}

static void on_listener(mst_listener *listener, void *user) {
  struct fuzz *f = user;
  if (f->mood & 64) accept_one(f);
  if (f->mood & 128) {
    mst_listener_close(listener);
    f->listener = NULL;
  }
}

static mst_binding *bind_port(struct fuzz *f, enum mst_protocol protocol, uint16_t port) {
  mst_binding *binding;
  struct mst_endpoint local = {.addr = f->ip6 ? MST_ADDR_ANY6 : MST_ADDR_ANY4, .port = port};
  return mst_bind(f->stack, protocol, &local, 0, &binding) ? NULL : binding;
}

static void listen_again(struct fuzz *f) {
  mst_binding *binding = f->listener ? NULL : bind_port(f, MST_TCP, 80);
  if (!binding) return;
  if (mst_listen(binding, 3, on_listener, f, &f->listener)) f->listener = NULL;
  mst_unbind(binding);
}

static void connect_one(struct fuzz *f) {
  mst_conn **slot = free_slot(f);
  struct flow *flow = &f->flows[input_byte(&f->in) % FLOWS];
  struct mst_endpoint remote = {.addr = f->ip6 ? f->peer->ip6 : f->peer->ip4, .port = flow->peer_port};
  struct mst_endpoint local;
  uint8_t kind = input_byte(&f->in);
  mst_binding *binding = kind & 1 ? bind_port(f, MST_TCP, 80) : NULL;
  if (kind & 2) remote.addr = f->ip6 ? f->node->ip6 : f->node->ip4; /* itself */
  if (kind & 4) remote.port = 80;
  if (slot && mst_connect(f->stack, binding, &remote, on_event, f, slot) == 0) {
    mst_conn_local(*slot, &local);
    *flow =
        (struct flow){.local_port = local.port, .peer_port = remote.port, .snd_nxt = input_word(&f->in), .open = true};
  } else if (slot) {
    *slot = NULL;
  }
  if (binding) mst_unbind(binding);
}

static void on_udp(mst_udp *udp, int error, void *user) {
  struct fuzz *f = user;
  uint8_t buffer[100];
  (void)error;
  if (f->mood & 1) mst_udp_receive(udp, buffer, sizeof buffer, NULL, NULL);
}

static void use_udp(struct fuzz *f) {
  uint8_t kind = input_byte(&f->in);
  struct mst_endpoint remote = {.addr = f->ip6 ? f->peer->ip6 : f->peer->ip4, .port = f->flows[kind % FLOWS].peer_port};
  uint8_t buffer[2000] = {0};
  if (!f->udp) {
    mst_binding *binding = kind & 8 ? bind_port(f, MST_UDP, 80) : NULL;
    if (mst_udp_open(f->stack, binding, on_udp, f, &f->udp)) f->udp = NULL;
    if (binding) mst_unbind(binding);
    return;
  }
  struct mst_iov iov = {buffer, input_word(&f->in) % sizeof buffer};
  switch (kind >> 4 & 3) {
  case 0: mst_udp_send(f->udp, &iov, 1, NULL, kind & 8 ? NULL : &remote); break;
  case 1: mst_udp_receive(f->udp, buffer, iov.len, &remote, NULL); break;
  case 2: mst_udp_connect(f->udp, kind & 8 ? NULL : &remote); break;
  default: mst_udp_close(f->udp); f->udp = NULL;
  }
}

static void use_conn(struct fuzz *f) {
  uint8_t which = input_byte(&f->in), kind = input_byte(&f->in);
  mst_conn *conn = f->conns[which % CONNS];
  if (!conn) return;
  switch (kind % 10) {
  case 0:
  case 1: return write_some(conn, input_word(&f->in));
  case 2:
  case 3: return read_some(conn, input_word(&f->in));
  case 4: return peek_some(conn, input_word(&f->in));
  case 5: mst_shutdown(conn); return;
  case 6: {
    static const int32_t values[] = {-1, 0, 1, 2, 100, 5000, 70000, 1 << 20};
    mst_conn_set_option(conn, (enum mst_tcp_option)(which >> 4), values[input_byte(&f->in) % 8]);
    return;
  }
  case 7: mst_conn_set_congestion_control(conn, which & 128 ? "cubic" : "newreno"); return;
  default:
    forget(f, conn);
    if (kind & 128) return mst_abort(conn);
    return mst_close(conn);
  }
}

/* --- the peer --- */

static void keep_last(struct fuzz *f, const uint8_t *packet, size_t bytes) {
  memmove(f->last, packet, bytes);
  f->last_bytes = bytes;
}

static void inject(struct fuzz *f, const uint8_t *packet, size_t bytes, uint8_t flags) {
  uint8_t *exact = malloc(bytes ? bytes : 1); /* so that a sanitizer sees where it ends */
  CHECK(exact);
  memcpy(exact, packet, bytes);
  sim_input(f->node, exact, bytes, flags);
  free(exact);
}

static size_t peer_options(struct fuzz *f, uint8_t kind, uint8_t *out) {
  size_t n = 0;
  if (kind & 1) {
    out[0] = 2, out[1] = 4;
    sim_put16(out + 2, input_word(&f->in));
    n = 4;
  }
  if (kind & 2 || f->timestamps) {
    out[n] = 1, out[n + 1] = 1, out[n + 2] = 8, out[n + 3] = 10;
    sim_put32(out + n + 4, (uint32_t)(f->sim->now_ns / SIM_MS) + (kind & 4 ? input_word(&f->in) - 32768 : 0));
    sim_put32(out + n + 8, kind & 8 ? input_word(&f->in) : 0);
    n += 12;
  }
  if (kind & 16 || (f->wide && kind & 1)) out[n++] = 3, out[n++] = 3, out[n++] = input_byte(&f->in) & 31;
  if (kind & 32)
    for (uint8_t more = input_byte(&f->in) % 16; more && n < 40; more--) out[n++] = input_byte(&f->in);
  return n;
}

static void send_segment(struct fuzz *f, struct flow *flow, uint8_t flags, int32_t seq_offset, int32_t ack_offset,
                         uint16_t window, uint32_t bytes, uint8_t options) {
  static uint8_t packet[PACKET_MAX];
  static const uint8_t data[65536];
  struct sim_segment segment = {
      .source = f->ip6 ? f->peer->ip6 : f->peer->ip4,
      .destination = f->ip6 ? f->node->ip6 : f->node->ip4,
      .source_port = flow->peer_port,
      .destination_port = flow->local_port,
      .seq = flow->snd_nxt + (uint32_t)seq_offset,
      .ack = flow->rcv_nxt + (uint32_t)ack_offset,
      .window = window,
      .urgent = flags & SIM_URG ? window >> 4 : 0,
      .flags = flags,
      .data = data,
      .data_bytes = bytes > 60000 ? 60000 : bytes,
  };
  segment.options_bytes = (uint8_t)peer_options(f, options, segment.options);
  size_t n = sim_segment_build(packet, &segment);
  keep_last(f, packet, n);
  if (!seq_offset) flow->snd_nxt += segment.data_bytes + !!(flags & SIM_SYN) + !!(flags & SIM_FIN);
  inject(f, packet, n, 0);
}

static struct flow *some_flow(struct fuzz *f) {
  return &f->flows[input_byte(&f->in) % FLOWS];
}

static int32_t offset(struct fuzz *f) {
  int32_t value = (int8_t)input_byte(&f->in);
  return value % 2 ? value * 1024 : value / 2;
}

static void mutated_segment(struct fuzz *f) {
  struct flow *flow = some_flow(f);
  uint8_t flags = input_byte(&f->in), options = input_byte(&f->in);
  int32_t seq = offset(f), ack = offset(f);
  uint16_t window = (uint16_t)input_word(&f->in);
  send_segment(f, flow, flags, seq, ack, window, input_word(&f->in) % 3000, options);
}

static void follow(struct fuzz *f, const struct sim_packet *packet) {
  struct sim_segment segment;
  CHECK(sim_packet_checksums_ok(packet->bytes, packet->len));
  keep_last(f, packet->bytes, packet->len);
  if (!sim_segment_parse(packet->bytes, packet->len, &segment) || segment.flags & SIM_RST) return;
  for (int i = 0; i < FLOWS; i++) {
    struct flow *flow = &f->flows[i];
    if (flow->peer_port != segment.destination_port || flow->local_port != segment.source_port) continue;
    uint32_t end = segment.seq + segment.data_bytes + !!(segment.flags & SIM_SYN) + !!(segment.flags & SIM_FIN);
    if (segment.flags & SIM_SYN || (int32_t)(end - flow->rcv_nxt) > 0) flow->rcv_nxt = end;
    if (segment.flags & SIM_ACK) flow->snd_nxt = segment.ack;
  }
}

/* Flush, and see what the stack has sent. */
static void settle(struct fuzz *f) {
  sim_turn(f->node);
  sim_run_for(f->sim, 0);
  for (struct sim_packet *packet; (packet = sim_take(f->peer));) {
    follow(f, packet);
    free(packet);
  }
}

static void open_flow(struct fuzz *f) {
  struct flow *flow = some_flow(f);
  flow->local_port = 80;
  flow->snd_nxt = input_word(&f->in) << 16;
  send_segment(f, flow, SIM_SYN, 0, 0, 65535, 0, input_byte(&f->in));
  settle(f);
  send_segment(f, flow, SIM_ACK, 0, 0, 65535, 0, 0);
  settle(f);
  accept_one(f);
}

static void raw_packet(struct fuzz *f) {
  uint8_t packet[600] = {0}, how = input_byte(&f->in);
  size_t bytes = input_word(&f->in) % sizeof packet;
  for (size_t i = 0; i < bytes && f->in.at < f->in.end; i++) packet[i] = input_byte(&f->in);
  if (how & 1 && bytes > 40) { /* likely enough to be looked at */
    bool v4 = packet[0] >> 4 != 6;
    packet[0] = v4 ? 0x45 : 0x60;
    memcpy(packet + (v4 ? 12 : 8), v4 ? f->peer->ip4.bytes + 12 : f->peer->ip6.bytes, v4 ? 4 : 16);
    memcpy(packet + (v4 ? 16 : 24), v4 ? f->node->ip4.bytes + 12 : f->node->ip6.bytes, v4 ? 4 : 16);
  }
  if (how & 2) sim_packet_finish(packet, bytes);
  inject(f, packet, bytes, how & 4 ? MST_CSUM_PARTIAL : 0);
}

/* The last packet again, of either direction, with some bytes changed. */
static void replay(struct fuzz *f) {
  uint8_t how = input_byte(&f->in);
  if (!f->last_bytes) return;
  bool v4 = f->last[0] >> 4 == 4;
  for (int i = how & 7; i; i--) {
    uint32_t at = input_word(&f->in) % f->last_bytes;
    f->last[at] = input_byte(&f->in);
  }
  if (how & 8 && f->last_bytes >= 44) { /* to the one who sent it */
    uint8_t swap[16];
    size_t n = v4 ? 4 : 16, at = v4 ? 12 : 8, ports = v4 ? 20 : 40;
    memcpy(swap, f->last + at, n);
    memmove(f->last + at, f->last + at + n, n);
    memcpy(f->last + at + n, swap, n);
    memcpy(swap, f->last + ports, 2);
    memmove(f->last + ports, f->last + ports + 2, 2);
    memcpy(f->last + ports + 2, swap, 2);
  }
  if (how & 16) f->last_bytes = 1 + input_word(&f->in) % f->last_bytes;
  if (how & 32) sim_packet_finish(f->last, f->last_bytes);
  inject(f, f->last, f->last_bytes, how & 64 ? MST_CSUM_VALID : 0);
}

static void icmp_error(struct fuzz *f) {
  uint8_t packet[1500], quoted[2000], protocol, type = input_byte(&f->in), code = input_byte(&f->in);
  uint32_t mtu = input_word(&f->in), quote = input_word(&f->in);
  struct flow *flow = some_flow(f);
  struct sim_segment segment = {.source = f->ip6 ? f->node->ip6 : f->node->ip4,
                                .destination = f->ip6 ? f->peer->ip6 : f->peer->ip4,
                                .source_port = flow->local_port,
                                .destination_port = flow->peer_port,
                                .seq = flow->rcv_nxt + (uint32_t)offset(f)};
  size_t n = sim_segment_build(quoted, &segment);
  if (type & 128 && f->last_bytes && f->last_bytes < sizeof quoted && sim_ip_header(f->last, f->last_bytes, &protocol))
    memcpy(quoted, f->last, n = f->last_bytes);
  static const uint8_t types4[] = {3, 4, 5, 8, 11, 12, 0}, types6[] = {1, 2, 3, 4, 128, 137, 0};
  type = (f->ip6 ? types6 : types4)[type % 7];
  size_t bytes =
      sim_icmp_build(packet, f->ip6 ? &f->peer->ip6 : &f->peer->ip4, type, code % 17, mtu, quoted, n, 20 + quote % 600);
  inject(f, packet, bytes, 0);
}

static void udp_packet(struct fuzz *f) {
  static const uint8_t data[1500];
  uint8_t packet[1600];
  struct mst_endpoint from = {.addr = f->ip6 ? f->peer->ip6 : f->peer->ip4, .port = some_flow(f)->peer_port};
  struct mst_endpoint to = {.addr = f->ip6 ? f->node->ip6 : f->node->ip4, .port = 80};
  if (f->udp && input_byte(&f->in) & 1) mst_udp_local(f->udp, &to);
  to.addr = f->ip6 ? f->node->ip6 : f->node->ip4;
  inject(f, packet, sim_udp_build(packet, &from, &to, data, input_word(&f->in) % sizeof data), 0);
}

/* --- one run --- */

static void pass_time(struct fuzz *f, uint8_t how) {
  static const uint64_t unit[] = {SIM_US, SIM_MS, SIM_MS, 100 * SIM_MS, SIM_S, 10 * SIM_S, 600 * SIM_S, 7200 * SIM_S};
  uint64_t end_ns = f->sim->now_ns + unit[how & 7] * (1 + (how >> 3));
  for (int steps = 0; steps < 500 && sim_step(f->sim, end_ns); steps++) continue;
  settle(f);
}

static void trouble(struct fuzz *f) {
  uint8_t how = input_byte(&f->in);
  f->node->memory.fail_chance = how & 1 ? 10000u * input_byte(&f->in) : 0;
  f->node->refuse = how & 2 ? 3000u * input_byte(&f->in) : 0;
  f->node->route_error = how & 4 ? -MST_ENETUNREACH : 0;
  if (how & 8) f->node->route_mtu = 1280 + input_word(&f->in);
}

static void one_step(struct fuzz *f) {
  uint8_t op = input_byte(&f->in);
  switch (op % 20) {
  case 0: return pass_time(f, input_byte(&f->in));
  case 1: return open_flow(f);
  case 2:
  case 3: mutated_segment(f); break;
  case 4: send_segment(f, some_flow(f), SIM_ACK | SIM_PSH, 0, 0, 65535, input_word(&f->in) % 3000, 0); break;
  case 5: send_segment(f, some_flow(f), SIM_ACK, 0, 0, (uint16_t)input_word(&f->in), 0, 0); break;
  case 6: send_segment(f, some_flow(f), SIM_ACK | SIM_FIN, 0, 0, 65535, input_byte(&f->in), 0); break;
  case 7: send_segment(f, some_flow(f), SIM_ACK | SIM_PSH, offset(f), 0, 65535, input_word(&f->in), 0); break;
  case 8: raw_packet(f); break;
  case 9: replay(f); break;
  case 10: icmp_error(f); break;
  case 11: connect_one(f); break;
  case 12: accept_one(f); break;
  case 13: listen_again(f); break;
  case 14: f->mood = input_byte(&f->in); break;
  case 15: trouble(f); break;
  case 16: use_udp(f); break;
  case 17: udp_packet(f); break;
  default: use_conn(f); break;
  }
  if (!(op & 128)) settle(f); /* else the flush comes later: a batch */
}

static void check(const struct mst_tcp_info *info, void *user) {
  (void)user;
  CHECK(mst_tcp_state_name(info->state) != NULL);
  CHECK(info->state <= MST_TIME_WAIT);
}

static void check_stack(struct fuzz *f) {
  struct mst_stack_stats stats;
  mst_stack_get_stats(f->stack, &stats);
  CHECK(stats.memory_bytes == f->node->memory.bytes);
  CHECK(f->node->memory.bytes < 64u << 20);
  mst_stack_each_conn(f->stack, check, NULL);
  for (int i = 0; i < CONNS; i++) {
    struct mst_tcp_info info;
    if (f->conns[i]) mst_conn_get_info(f->conns[i], &info);
  }
}

static void set_up(struct fuzz *f) {
  uint8_t shape = input_byte(&f->in);
  struct mst_stack_options options = {
      .congestion_control = shape & 1 ? "newreno" : "cubic",
      .send_buffer_bytes = shape & 2 ? 5000 : 0,
      .receive_buffer_bytes = shape & 4 ? 5000 : 0,
      .conns_max = shape & 8 ? 5 : 0,
  };
  f->ip6 = shape & 16;
  f->timestamps = shape & 32;
  f->wide = shape & 64;
  f->sim = sim_new(1);
  f->node = sim_add_stack(f->sim, &options);
  f->peer = sim_add_raw(f->sim);
  f->stack = f->node->stack;
  f->mood = input_byte(&f->in);
  for (uint16_t i = 0; i < FLOWS; i++) f->flows[i] = (struct flow){.local_port = 80, .peer_port = (uint16_t)(1000 + i)};
  listen_again(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint8_t last[PACKET_MAX];
  struct fuzz fuzz = {.in = {data, data + size}, .last = last}, *f = &fuzz;
  if (size > 4096) return 0;
  set_up(f);
  while (f->in.at < f->in.end) {
    one_step(f);
    check_stack(f);
  }
  f->node->memory.fail_chance = f->node->refuse = 0;
  pass_time(f, 7);
  check_stack(f);
  CHECK(sim_free(f->sim) == 0);
  return 0;
}
