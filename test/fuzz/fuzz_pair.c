/* Two stacks, and between them a network that does what the input says: each packet is passed, lost, doubled, held
 * back, marked, cut, merged in part or changed, and the applications read, write, close and change options in between.
 * As long as no packet was changed, every byte must arrive in order and once, and all that sim/invariant.h says must
 * hold; after that there must at least be an end. */
#include "fuzz_input.h"
#include "sim/invariant.h"
#include "sim/middlebox.h"
#include "sim/packet.h"
#include "sim/selfcheck.h"
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) ((condition) ? (void)0 : abort())

#define STREAM_MAX (1u << 20)

struct side {
  struct sim_node *node;
  mst_conn *conn;
  uint32_t sent, received;
  bool dead;
};

struct fuzz {
  struct input in;
  struct sim *sim;
  struct sim_watch *watch;
  struct side side[2];
  mst_listener *listener;
  bool ip6, changed, calm;
};

/* The network asks, too; so the input is read by whoever comes next. */
struct fuzzed_box {
  struct sim_box box;
  struct fuzz *fuzz;
  struct sim_hop hop;
  uint8_t held[66000];
  size_t held_bytes;
};

static uint8_t stream_byte(int side, uint32_t position) {
  return (uint8_t)(position * 7 + (position >> 8) * 31 + (unsigned)side * 101);
}

/* --- the network --- */

static void release_held(struct fuzzed_box *box) {
  size_t bytes = box->held_bytes;
  box->held_bytes = 0;
  if (bytes) sim_box_pass(&box->hop, box->held, bytes);
}

static void release_late(struct sim_box *box) {
  release_held((struct fuzzed_box *)(void *)box);
}

/* One that is held already gives way. */
static void hold(struct fuzzed_box *box, const struct sim_hop *hop, const uint8_t *packet, size_t bytes) {
  release_held(box);
  box->hop = *hop;
  memcpy(box->held, packet, bytes);
  box->held_bytes = bytes;
  sim_box_wake_at(&box->box, box->box.sim->now_ns + SIM_MS * (1 + input_byte(&box->fuzz->in)));
}

static void change(struct fuzz *f, uint8_t *packet, size_t bytes) {
  struct sim_tcp_view view;
  f->changed = true;
  sim_tcp_view(packet, bytes, &view);
  size_t headers = view.ip_bytes + view.tcp_bytes;
  for (int i = input_byte(&f->in) % 4; i >= 0; i--) {
    uint8_t where = input_byte(&f->in);
    size_t at = where < 200 ? view.ip_bytes + where % view.tcp_bytes : input_word(&f->in) % bytes;
    if (at >= headers || at < view.ip_bytes || at - view.ip_bytes == 12) continue; /* lengths stay */
    packet[at] = input_byte(&f->in);
  }
  sim_packet_finish(packet, bytes);
}

static void cut(struct fuzz *f, const struct sim_hop *hop, uint8_t *packet, size_t bytes) {
  struct sim_tcp_view view;
  uint8_t out[66000];
  sim_tcp_view(packet, bytes, &view);
  if (view.data_bytes < 2) return sim_box_pass(hop, packet, bytes);
  size_t first = 1 + input_word(&f->in) % (view.data_bytes - 1), headers = view.ip_bytes + view.tcp_bytes;
  memcpy(out, packet, headers + first);
  out[view.ip_bytes + 13] &= (uint8_t) ~(SIM_FIN | SIM_PSH);
  sim_packet_finish(out, headers + first);
  sim_box_pass(hop, out, headers + first);
  memmove(packet + headers, packet + headers + first, view.data_bytes - first);
  sim_put32(packet + view.ip_bytes + 4, view.seq + (uint32_t)first);
  packet[view.ip_bytes + 13] &= (uint8_t)~SIM_CWR;
  sim_packet_finish(packet, bytes - first);
  sim_box_pass(hop, packet, bytes - first);
}

static void fuzzed_packet(struct sim_box *base, const struct sim_hop *hop, uint8_t *packet, size_t bytes) {
  struct fuzzed_box *box = (struct fuzzed_box *)(void *)base;
  struct fuzz *f = box->fuzz;
  uint8_t what = f->calm ? 0 : input_byte(&f->in) % 32;
  switch (what) {
  case 1:
  case 2:
  case 3:
  case 4: return; /* lost */
  case 5: sim_box_pass(hop, packet, bytes); break;
  case 6:
  case 7:
  case 8: return hold(box, hop, packet, bytes);
  case 9: sim_packet_set_ecn(packet, 3); break;
  case 10: sim_packet_set_ecn(packet, 0); break;
  case 11: return cut(f, hop, packet, bytes);
  case 12: change(f, packet, bytes); break;
  default: break;
  }
  sim_box_pass(hop, packet, bytes);
  if (what > 24) release_held(box);
}

static void add_box(struct fuzz *f, struct sim_node *node) {
  struct fuzzed_box *box = (struct fuzzed_box *)(void *)sim_box_new(f->sim, sizeof *box, "fuzzed");
  box->box.packet = fuzzed_packet;
  box->box.wake = release_late;
  box->fuzz = f;
  sim_box_add(node, &box->box);
}

/* --- the applications --- */

static struct side *side_of(struct fuzz *f, const mst_conn *conn) {
  return f->side[0].conn == conn ? &f->side[0] : &f->side[1];
}

static void on_event(mst_conn *conn, unsigned events, void *user) {
  struct fuzz *f = user;
  if (!(events & MST_EV_ERROR)) return;
  struct side *side = side_of(f, conn);
  side->conn = NULL;
  side->dead = true;
  mst_close(conn);
}

static void on_listener(mst_listener *listener, void *user) {
  struct fuzz *f = user;
  mst_conn *conn = mst_accept(listener);
  if (!conn) return;
  if (f->side[1].conn || f->side[1].dead) return mst_abort(conn);
  f->side[1].conn = conn;
  mst_conn_set_event(conn, on_event, f);
}

static void write_some(struct fuzz *f, int which, uint32_t bytes) {
  static uint8_t data[65536];
  struct side *side = &f->side[which];
  if (side->sent + bytes > STREAM_MAX) return;
  for (uint32_t i = 0; i < bytes; i++) data[i] = stream_byte(which, side->sent + i);
  ptrdiff_t n = mst_write(side->conn, data, bytes);
  if (n > 0) side->sent += (uint32_t)n;
}

static void read_some(struct fuzz *f, int which, uint32_t bytes) {
  static uint8_t data[65536];
  struct side *side = &f->side[which];
  ptrdiff_t n = mst_read(side->conn, data, bytes);
  for (ptrdiff_t i = 0; i < n && !f->changed; i++) CHECK(data[i] == stream_byte(!which, side->received + (uint32_t)i));
  if (n > 0) side->received += (uint32_t)n;
  CHECK(f->changed || side->received <= f->side[!which].sent);
}

static void set_option(struct fuzz *f, mst_conn *conn) {
  static const int32_t values[] = {-1, 0, 1, 2, 100, 5000, 70000, 1 << 20};
  static const char *const names[] = {"cubic", "newreno", "bbr"};
  uint8_t option = input_byte(&f->in) % 24, value = input_byte(&f->in);
  if (option == 23)
    mst_conn_set_congestion_control(conn, names[value % 3]);
  else
    mst_conn_set_option(conn, (enum mst_tcp_option)option, values[value % 8]);
}

static void use_side(struct fuzz *f, uint8_t op) {
  int which = op & 1;
  struct side *side = &f->side[which];
  if (!side->conn) return;
  switch (op >> 1 & 7) {
  case 0:
  case 1: write_some(f, which, input_word(&f->in)); break;
  case 2: write_some(f, which, input_byte(&f->in)); break;
  case 3: read_some(f, which, input_word(&f->in)); break;
  case 4: read_some(f, which, input_byte(&f->in)); break;
  case 5: set_option(f, side->conn); break;
  case 6: mst_shutdown(side->conn); break;
  default:
    if (input_byte(&f->in) & 1) break; /* or most runs would be short */
    mst_conn *conn = side->conn;
    side->conn = NULL;
    side->dead = true;
    if (op & 16) return mst_abort(conn);
    mst_close(conn);
  }
}

/* --- one run --- */

static void check(struct fuzz *f) {
  char what[400];
  const char *wrong = f->changed ? NULL : sim_watch_check(f->watch);
  for (int i = 0; i < 2 && !wrong; i++)
    if (!sim_self_check(f->side[i].node, what, sizeof what)) wrong = what;
  if (!wrong) return;
  fprintf(stderr, "%s\n", wrong);
  abort();
}

static void run_until(struct fuzz *f, uint64_t end_ns, int steps_max) {
  for (int steps = 0; steps < steps_max && sim_step(f->sim, end_ns); steps++) check(f);
}

static void pass_time(struct fuzz *f, uint8_t how) {
  static const uint64_t unit[] = {10 * SIM_US, SIM_MS, 10 * SIM_MS, 100 * SIM_MS, SIM_S, 10 * SIM_S};
  run_until(f, f->sim->now_ns + unit[how % 6] * (1 + how / 16), 300);
}

static void add_stack(struct fuzz *f, int which) {
  static const uint32_t buffers[] = {0, 0, 5000, 70000}, mtus[] = {1500, 1500, 1280, 9000};
  uint8_t shape = input_byte(&f->in), more = input_byte(&f->in);
  struct mst_stack_options options = {
      .congestion_control = shape & 1   ? "newreno"
                            : shape & 2 ? "bbr"
                                        : "cubic",
      .send_buffer_bytes = buffers[shape >> 2 & 3],
      .receive_buffer_bytes = buffers[shape >> 4 & 3],
      .no_sack = shape >> 6 == 3,
      .ecn = (enum mst_ecn)(more & 3),
      .syn_cookies = more & 4 ? MST_SYN_COOKIES_ALWAYS : MST_SYN_COOKIES_ON_OVERFLOW,
      .memory_max_bytes = more & 8 ? 100000 : 0,
  };
  struct sim_node *node = sim_add_stack(f->sim, &options);
  node->route_mtu = mtus[more >> 4 & 3];
  node->out.delay_ns = SIM_MS * (1 + (more >> 6));
  f->side[which].node = node;
  add_box(f, node);
  sim_watch_node(f->watch, node, true);
}

static void set_up(struct fuzz *f) {
  mst_binding *binding;
  f->ip6 = input_byte(&f->in) & 1;
  f->sim = sim_new(1);
  f->watch = sim_watch_new(f->sim);
  for (int i = 0; i < 2; i++) add_stack(f, i);
  struct mst_endpoint local = {.addr = f->ip6 ? f->side[1].node->ip6 : f->side[1].node->ip4, .port = 80};
  CHECK(mst_bind(f->side[1].node->stack, MST_TCP, &local, 0, &binding) == 0);
  CHECK(mst_listen(binding, 3, on_listener, f, &f->listener) == 0);
  mst_unbind(binding);
  CHECK(mst_connect(f->side[0].node->stack, NULL, &local, on_event, f, &f->side[0].conn) == 0);
}

static void finish(struct fuzz *f) {
  f->calm = true;
  for (int i = 0; i < 2; i++)
    if (f->side[i].conn) mst_shutdown(f->side[i].conn);
  for (int round = 0; round < 100; round++) {
    for (int i = 0; i < 2; i++) {
      if (f->side[i].conn) read_some(f, i, 65536);
      sim_turn(f->side[i].node);
    }
    run_until(f, f->sim->now_ns + 20 * SIM_S, 2000);
  }
  for (int i = 0; i < 2; i++)
    if (f->side[i].conn) mst_close(f->side[i].conn);
  sim_watch_free(f->watch);
  CHECK(sim_free(f->sim) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz fuzz = {.in = {data, data + size}}, *f = &fuzz;
  if (size > 2048) return 0;
  set_up(f);
  while (f->in.at < f->in.end) {
    uint8_t op = input_byte(&f->in);
    if (op & 128)
      pass_time(f, input_byte(&f->in));
    else
      use_side(f, op);
    for (int i = 0; i < 2; i++) sim_turn(f->side[i].node);
    check(f);
  }
  finish(f);
  return 0;
}
