/* The chain of boxes, and those that change headers and know no streams. */
#include "middlebox.h"
#include "packet.h"
#include "sim_internal.h"

#include <stdlib.h>
#include <string.h>

enum { KIND_MSS = 2, KIND_WSCALE = 3, KIND_SACK_PERMITTED = 4, KIND_SACK = 5, KIND_TIMESTAMPS = 8 };

/* --- the chain --- */

struct sim_box *sim_box_new(struct sim *sim, size_t bytes, const char *name) {
  struct sim_box *box = calloc(1, bytes);
  if (!box) abort();
  box->sim = sim;
  box->name = name;
  box->next = sim->boxes;
  sim->boxes = box;
  return box;
}

void sim_boxes_free(struct sim *sim) {
  for (struct sim_box *box; (box = sim->boxes);) {
    sim->boxes = box->next;
    if (box->destroy) box->destroy(box);
    free(box);
  }
}

void sim_box_add(struct sim_node *from, struct sim_box *box) {
  if (from->out.box_count == SIM_BOXES_MAX) abort();
  from->out.boxes[from->out.box_count++] = box;
}

void sim_box_add_both(struct sim_node *inside, struct sim_node *outside, struct sim_box *box) {
  sim_box_add(inside, box);
  sim_box_add(outside, box);
  struct sim_link *link = &outside->out;
  memmove(link->boxes + 1, link->boxes, (link->box_count - 1) * sizeof *link->boxes);
  link->boxes[0] = box;
}

void sim_box_pass(const struct sim_hop *hop, const uint8_t *packet, size_t bytes) {
  const struct sim_link *link = &hop->from->out;
  struct sim_tcp_view view;
  if (hop->next == link->box_count || !sim_tcp_view(packet, bytes, &view))
    return sim_transmit(hop->from, &(struct sim_parcel){.bytes = packet, .len = bytes, .forged = hop->forged});
  uint8_t copy[65536 + 64];
  memcpy(copy, packet, bytes);
  struct sim_hop onward = {hop->from, hop->next + 1, hop->forged};
  struct sim_box *box = link->boxes[hop->next];
  box->packet(box, &onward, copy, bytes);
}

const char *sim_box_name(const struct sim_box *box) {
  return box->name;
}

void sim_box_wake_at(struct sim_box *box, uint64_t at_ns) {
  struct sim_packet *call = calloc(1, sizeof *call);
  if (!call) abort();
  call->box = box;
  call->at_ns = at_ns;
  sim_flight_push(box->sim, call);
}

/* --- options taken out --- */

struct strip_box {
  struct sim_box box;
  struct sim_strip_options options;
};

static unsigned strip_bit(uint8_t kind) {
  switch (kind) {
  case KIND_MSS: return SIM_STRIP_MSS;
  case KIND_WSCALE: return SIM_STRIP_WSCALE;
  case KIND_SACK_PERMITTED: return SIM_STRIP_SACK_PERMITTED;
  case KIND_SACK: return SIM_STRIP_SACK;
  case KIND_TIMESTAMPS: return SIM_STRIP_TIMESTAMPS;
  default: return SIM_STRIP_UNKNOWN;
  }
}

/* Copies the options that stay; returns their bytes, a multiple of 4. */
static size_t strip_options(const struct sim_strip_options *o, const struct sim_tcp_view *view, uint8_t *out) {
  const uint8_t *at = view->options, *end = at + view->option_bytes;
  size_t n = 0;
  while (at < end && *at) {
    size_t len = *at == 1 ? 1 : end - at < 2 || at[1] < 2 || at[1] > end - at ? (size_t)(end - at) : at[1];
    bool taken = *at != 1 && o->kinds & strip_bit(*at);
    if (taken && o->pad) memset(out + n, 1, len);
    if (!taken) memcpy(out + n, at, len);
    if (!taken && *at == KIND_MSS && len == 4 && o->mss_clamp && sim_get16(at + 2) > o->mss_clamp)
      sim_put16(out + n + 2, o->mss_clamp);
    if (!taken || o->pad) n += len;
    at += len;
  }
  while (n % 4) out[n++] = 0;
  return n;
}

static void strip_packet(struct sim_box *box, const struct sim_hop *hop, uint8_t *packet, size_t bytes) {
  const struct strip_box *strip = (const struct strip_box *)(const void *)box;
  struct sim_tcp_view view;
  sim_tcp_view(packet, bytes, &view);
  if (!(view.flags & SIM_SYN ? strip->options.syns : strip->options.rest)) return sim_box_pass(hop, packet, bytes);
  uint8_t options[44];
  size_t n = strip_options(&strip->options, &view, options), tcp = view.ip_bytes;
  memmove(packet + tcp + 20 + n, view.data, view.data_bytes);
  memcpy(packet + tcp + 20, options, n);
  packet[tcp + 12] = (uint8_t)((20 + n) / 4 << 4 | (packet[tcp + 12] & 15));
  bytes = tcp + 20 + n + view.data_bytes;
  sim_packet_finish(packet, bytes);
  sim_box_pass(hop, packet, bytes);
}

struct sim_box *sim_box_strip(struct sim *sim, const struct sim_strip_options *options) {
  struct strip_box *strip = (struct strip_box *)(void *)sim_box_new(sim, sizeof *strip, "strip");
  strip->box.packet = strip_packet;
  strip->options = *options;
  return &strip->box;
}

/* --- ECN bleached --- */

struct bleach_box {
  struct sim_box box;
  struct sim_bleach_options options;
};

static void bleach_packet(struct sim_box *box, const struct sim_hop *hop, uint8_t *packet, size_t bytes) {
  const struct sim_bleach_options *o = &((const struct bleach_box *)(const void *)box)->options;
  struct sim_tcp_view view;
  sim_tcp_view(packet, bytes, &view);
  uint8_t ecn_flags = view.flags & (SIM_ECE | SIM_CWR);
  bool syn = view.flags & SIM_SYN;
  if (o->drop_ecn_syn && syn && ecn_flags == (SIM_ECE | SIM_CWR)) return;
  if (syn ? o->syn_flags : o->flags) {
    packet[view.ip_bytes + 12] &= 0xf0; /* AE (RFC 9768) and what is reserved */
    packet[view.ip_bytes + 13] &= (uint8_t) ~(SIM_ECE | SIM_CWR);
  }
  if (o->ip) sim_packet_set_ecn(packet, 0);
  sim_packet_finish(packet, bytes);
  sim_box_pass(hop, packet, bytes);
}

struct sim_box *sim_box_bleach(struct sim *sim, const struct sim_bleach_options *options) {
  struct bleach_box *bleach = (struct bleach_box *)(void *)sim_box_new(sim, sizeof *bleach, "bleach");
  bleach->box.packet = bleach_packet;
  bleach->options = *options;
  return &bleach->box;
}

/* --- a blind attacker --- */

struct blind_box {
  struct sim_box box;
  uint32_t chance;
  bool in_window;
};

/* After the packet of the sender whose name is used, which it may have been able to cause. */
static size_t forge(struct blind_box *blind, const struct sim_tcp_view *seen, const uint8_t *packet, uint8_t *out) {
  static const uint8_t flags[] = {SIM_RST, SIM_RST | SIM_ACK, SIM_SYN, SIM_SYN | SIM_ACK, SIM_ACK | SIM_PSH, SIM_FIN};
  struct sim_random *random = &blind->box.random;
  size_t tcp = seen->ip_bytes, data = sim_random_below(random, 100);
  memcpy(out, packet, tcp + 20);
  uint32_t seq = seen->seq + (uint32_t)seen->data_bytes, jump = (uint32_t)sim_random_next(random);
  /* Outside: half of the numbers away, which no window covers. */
  seq += blind->in_window ? 1 + jump % 20000 : 0x40000000u + jump % 0x80000000u;
  sim_put32(out + tcp + 4, seq);
  sim_put32(out + tcp + 8, seen->ack + 0x40000000u + (uint32_t)sim_random_next(random) % 0x40000000u);
  out[tcp + 12] = 5 << 4;
  out[tcp + 13] = flags[sim_random_below(random, sizeof flags)];
  if (out[tcp + 13] & SIM_RST) data = 0;
  memset(out + tcp + 20, 0x66, data);
  sim_packet_finish(out, tcp + 20 + data);
  return tcp + 20 + data;
}

static void blind_packet(struct sim_box *box, const struct sim_hop *hop, uint8_t *packet, size_t bytes) {
  struct blind_box *blind = (struct blind_box *)(void *)box;
  struct sim_tcp_view view;
  uint8_t out[256];
  sim_box_pass(hop, packet, bytes);
  sim_tcp_view(packet, bytes, &view);
  /* Not in a handshake: who waits for a SYN,ACK must take any SYN for the peer's own (RFC 9293 3.5, figure 7). */
  if (view.flags & SIM_SYN || !sim_random_chance(&box->random, blind->chance)) return;
  struct sim_hop forged = {hop->from, hop->next, true};
  sim_box_pass(&forged, out, forge(blind, &view, packet, out));
}

struct sim_box *sim_box_blind(struct sim *sim, uint64_t seed, uint32_t chance, bool in_window) {
  struct blind_box *blind = (struct blind_box *)(void *)sim_box_new(sim, sizeof *blind, "blind");
  blind->box.packet = blind_packet;
  blind->box.random.state = seed;
  blind->chance = chance;
  blind->in_window = in_window;
  return &blind->box;
}
