/* Boxes that know streams: what they do to a segment depends on others. */
#include "middlebox.h"
#include "packet.h"
#include "sim_internal.h"

#include <stdlib.h>
#include <string.h>

static bool after(uint32_t a, uint32_t b) {
  return (int32_t)(a - b) > 0;
}

/* --- sequence numbers rewritten --- */

struct sequence_box {
  struct sim_box box;
  uint64_t seed;
  bool honest;
};

/* By how much the stream from one port to another is shifted: never little, so that numbers of the two sides do not
 * meet. */
static uint32_t shift(const struct sequence_box *sequence, uint16_t from, uint16_t to) {
  struct sim_random random = {sequence->seed ^ ((uint64_t)from << 16 | to)};
  return 0x40000000u + (uint32_t)sim_random_below(&random, 0x80000000u);
}

static void shift_sack(uint8_t *option, uint32_t by) {
  for (size_t at = 2; at + 4 <= option[1]; at += 4) sim_put32(option + at, sim_get32(option + at) - by);
}

static void sequence_packet(struct sim_box *box, const struct sim_hop *hop, uint8_t *packet, size_t bytes) {
  const struct sequence_box *sequence = (const struct sequence_box *)(const void *)box;
  struct sim_tcp_view view;
  sim_tcp_view(packet, bytes, &view);
  uint8_t *tcp = packet + view.ip_bytes;
  uint32_t back = shift(sequence, view.destination_port, view.source_port);
  sim_put32(tcp + 4, view.seq + shift(sequence, view.source_port, view.destination_port));
  if (view.flags & SIM_ACK) sim_put32(tcp + 8, view.ack - back);
  const uint8_t *sack = sim_tcp_option(&view, 5);
  if (sack && sequence->honest) shift_sack(packet + (sack - packet), back);
  sim_packet_finish(packet, bytes);
  sim_box_pass(hop, packet, bytes);
}

struct sim_box *sim_box_sequence(struct sim *sim, uint64_t seed, bool honest) {
  struct sequence_box *sequence = (struct sequence_box *)(void *)sim_box_new(sim, sizeof *sequence, "sequence");
  sequence->box.packet = sequence_packet;
  sequence->seed = seed;
  sequence->honest = honest;
  return &sequence->box;
}

/* --- segments cut --- */

struct split_box {
  struct sim_box box;
  uint32_t payload_bytes;
};

static void split_packet(struct sim_box *box, const struct sim_hop *hop, uint8_t *packet, size_t bytes) {
  uint32_t most = ((const struct split_box *)(const void *)box)->payload_bytes;
  struct sim_tcp_view view;
  sim_tcp_view(packet, bytes, &view);
  if (view.data_bytes <= most) return sim_box_pass(hop, packet, bytes);
  uint8_t out[65536];
  size_t headers = view.ip_bytes + view.tcp_bytes;
  for (size_t at = 0; at < view.data_bytes; at += most) {
    size_t n = view.data_bytes - at < most ? view.data_bytes - at : most;
    memcpy(out, packet, headers);
    memcpy(out + headers, view.data + at, n);
    sim_put32(out + view.ip_bytes + 4, view.seq + (uint32_t)at);
    if (at + n < view.data_bytes) out[view.ip_bytes + 13] &= (uint8_t) ~(SIM_FIN | SIM_PSH);
    if (at) out[view.ip_bytes + 13] &= (uint8_t)~SIM_CWR;
    sim_packet_finish(out, headers + n);
    sim_box_pass(hop, out, headers + n);
  }
}

struct sim_box *sim_box_split(struct sim *sim, uint32_t payload_bytes) {
  struct split_box *split = (struct split_box *)(void *)sim_box_new(sim, sizeof *split, "split");
  split->box.packet = split_packet;
  split->payload_bytes = payload_bytes;
  return &split->box;
}

/* --- one packet of a flow held back --- */

#define HELD_MAX 16

struct held {
  struct sim_hop hop;
  uint16_t source_port, destination_port;
  uint64_t until_ns;
  unsigned packets;
  size_t bytes; /* 0: free */
  uint8_t packet[65536];
};

struct holding_box {
  struct sim_box box;
  uint64_t hold_ns;
  uint32_t most;
  struct held *held[HELD_MAX];
};

static struct held *held_of(struct holding_box *holding, const struct sim_tcp_view *view) {
  for (int i = 0; i < HELD_MAX; i++) {
    struct held *held = holding->held[i];
    if (!held || !held->bytes) continue;
    if (held->source_port == view->source_port && held->destination_port == view->destination_port) return held;
  }
  return NULL;
}

static void hand_on(struct held *held) {
  size_t bytes = held->bytes;
  held->bytes = 0;
  sim_box_pass(&held->hop, held->packet, bytes);
}

/* Keep it for a while; with no place for it, it goes. */
static void hold(struct holding_box *holding, const struct sim_hop *hop, const struct sim_tcp_view *view,
                 const uint8_t *packet, size_t bytes) {
  for (int i = 0; i < HELD_MAX; i++) {
    if (!holding->held[i]) holding->held[i] = (struct held *)(void *)calloc(1, sizeof(struct held));
    struct held *held = holding->held[i];
    if (!held) abort();
    if (held->bytes) continue;
    held->hop = *hop;
    held->source_port = view->source_port;
    held->destination_port = view->destination_port;
    held->until_ns = holding->box.sim->now_ns + holding->hold_ns;
    held->packets = 1;
    held->bytes = bytes;
    memcpy(held->packet, packet, bytes);
    return sim_box_wake_at(&holding->box, held->until_ns);
  }
  sim_box_pass(hop, packet, bytes);
}

static void hold_is_over(struct sim_box *box) {
  struct holding_box *holding = (struct holding_box *)(void *)box;
  for (int i = 0; i < HELD_MAX; i++) {
    struct held *held = holding->held[i];
    if (held && held->bytes && held->until_ns <= box->sim->now_ns) hand_on(held);
  }
}

static void holding_destroy(struct sim_box *box) {
  struct holding_box *holding = (struct holding_box *)(void *)box;
  for (int i = 0; i < HELD_MAX; i++) free(holding->held[i]);
}

static struct holding_box *holding_new(struct sim *sim, const char *name, uint32_t most, uint64_t hold_ns) {
  struct holding_box *holding = (struct holding_box *)(void *)sim_box_new(sim, sizeof *holding, name);
  holding->box.wake = hold_is_over;
  holding->box.destroy = holding_destroy;
  holding->most = most;
  holding->hold_ns = hold_ns;
  return holding;
}

/* --- segments merged --- */

static bool follows(const struct holding_box *holding, const struct held *held, const struct sim_tcp_view *view,
                    const uint8_t *packet) {
  struct sim_tcp_view first;
  sim_tcp_view(held->packet, held->bytes, &first);
  bool same_ecn = packet[0] == held->packet[0] && packet[1] == held->packet[1];
  return same_ecn && view->seq == first.seq + first.data_bytes && view->tcp_bytes == first.tcp_bytes &&
         !after(first.ack, view->ack) && first.data_bytes + view->data_bytes <= holding->most;
}

static void append(struct held *held, const struct sim_tcp_view *view) {
  uint32_t seq = sim_get32(held->packet + view->ip_bytes + 4);
  memcpy(held->packet + held->bytes, view->data, view->data_bytes);
  memcpy(held->packet + view->ip_bytes, view->tcp, view->tcp_bytes);
  sim_put32(held->packet + view->ip_bytes + 4, seq);
  held->bytes += view->data_bytes;
  sim_packet_finish(held->packet, held->bytes);
}

static void merge_packet(struct sim_box *box, const struct sim_hop *hop, uint8_t *packet, size_t bytes) {
  struct holding_box *holding = (struct holding_box *)(void *)box;
  struct sim_tcp_view view;
  sim_tcp_view(packet, bytes, &view);
  bool plain = view.data_bytes && (view.flags & ~SIM_PSH) == SIM_ACK;
  struct held *held = held_of(holding, &view);
  if (held && plain && follows(holding, held, &view, packet)) {
    append(held, &view);
    if (view.flags & SIM_PSH) hand_on(held);
    return;
  }
  if (held) hand_on(held);
  if (plain && !(view.flags & SIM_PSH)) return hold(holding, hop, &view, packet, bytes);
  sim_box_pass(hop, packet, bytes);
}

struct sim_box *sim_box_merge(struct sim *sim, uint32_t payload_bytes, uint64_t hold_ns) {
  struct holding_box *holding = holding_new(sim, "merge", payload_bytes, hold_ns);
  holding->box.packet = merge_packet;
  return &holding->box;
}

/* --- ACKs thinned --- */

static void thin_packet(struct sim_box *box, const struct sim_hop *hop, uint8_t *packet, size_t bytes) {
  struct holding_box *holding = (struct holding_box *)(void *)box;
  struct sim_tcp_view view;
  sim_tcp_view(packet, bytes, &view);
  bool pure = !view.data_bytes && view.flags == SIM_ACK;
  struct held *held = held_of(holding, &view);
  if (held && pure) {
    struct sim_tcp_view last;
    sim_tcp_view(held->packet, held->bytes, &last);
    if (view.seq != last.seq) { /* a keepalive probe, or an answer to one */
      hand_on(held);
      return hold(holding, hop, &view, packet, bytes);
    }
    if (after(last.ack, view.ack)) return; /* it is late, and tells nothing */
    memcpy(held->packet, packet, bytes);
    held->bytes = bytes;
    if (++held->packets >= holding->most) hand_on(held);
    return;
  }
  if (held) hand_on(held);
  if (pure && holding->most > 1) return hold(holding, hop, &view, packet, bytes);
  sim_box_pass(hop, packet, bytes);
}

struct sim_box *sim_box_thin_acks(struct sim *sim, unsigned most, uint64_t hold_ns) {
  struct holding_box *holding = holding_new(sim, "thin_acks", most, hold_ns);
  holding->box.packet = thin_packet;
  return &holding->box;
}

/* --- a firewall that knows no window scale --- */

#define FLOWS_MAX 64

struct window_flow {
  uint16_t source_port, destination_port; /* of the data; 0: free */
  uint32_t ack;
  uint16_t window_max;
  bool ack_known;
};

struct window_box {
  struct sim_box box;
  struct window_flow flows[FLOWS_MAX];
};

static struct window_flow *window_flow(struct window_box *window, uint16_t source, uint16_t destination) {
  for (int i = 0; i < FLOWS_MAX; i++) {
    struct window_flow *flow = &window->flows[i];
    if (!flow->source_port) *flow = (struct window_flow){.source_port = source, .destination_port = destination};
    if (flow->source_port == source && flow->destination_port == destination) return flow;
  }
  return NULL;
}

static void window_packet(struct sim_box *box, const struct sim_hop *hop, uint8_t *packet, size_t bytes) {
  struct window_box *window = (struct window_box *)(void *)box;
  struct sim_tcp_view view;
  sim_tcp_view(packet, bytes, &view);
  struct window_flow *back = window_flow(window, view.destination_port, view.source_port);
  struct window_flow *own = window_flow(window, view.source_port, view.destination_port);
  if (back && !(view.flags & SIM_RST)) {
    bool ack = view.flags & SIM_ACK;
    if (ack && (!back->ack_known || after(view.ack, back->ack))) back->ack = view.ack;
    back->ack_known |= ack;
    if (view.window > back->window_max) back->window_max = view.window;
  }
  uint32_t end = view.seq + (uint32_t)view.data_bytes;
  if (own && own->ack_known && view.data_bytes && after(end, own->ack + own->window_max)) return;
  sim_box_pass(hop, packet, bytes);
}

struct sim_box *sim_box_unscaled_window(struct sim *sim) {
  struct window_box *window = (struct window_box *)(void *)sim_box_new(sim, sizeof *window, "unscaled_window");
  window->box.packet = window_packet;
  return &window->box;
}

/* --- address translation --- */

struct nat_flow {
  uint16_t inside_port, outside_port; /* 0: free */
  uint64_t used_ns;
};

struct nat_box {
  struct sim_box box;
  struct sim_node *inside;
  uint64_t idle_ns;
  struct nat_flow flows[FLOWS_MAX];
};

static bool forgotten(const struct nat_box *nat, const struct nat_flow *flow) {
  return nat->box.sim->now_ns - flow->used_ns > nat->idle_ns;
}

static uint16_t outside_port(struct nat_box *nat, uint16_t inside) {
  for (int i = 0; i < FLOWS_MAX; i++) {
    struct nat_flow *flow = &nat->flows[i];
    if (flow->inside_port && flow->inside_port != inside) continue;
    if (!flow->inside_port)
      *flow = (struct nat_flow){.inside_port = inside, .outside_port = inside};
    else if (forgotten(nat, flow))
      flow->outside_port = (uint16_t)(flow->outside_port + 1000);
    flow->used_ns = nat->box.sim->now_ns;
    return flow->outside_port;
  }
  return 0;
}

static uint16_t inside_port(struct nat_box *nat, uint16_t outside) {
  for (int i = 0; i < FLOWS_MAX; i++) {
    struct nat_flow *flow = &nat->flows[i];
    if (!flow->inside_port || flow->outside_port != outside) continue;
    if (forgotten(nat, flow)) return 0;
    flow->used_ns = nat->box.sim->now_ns;
    return flow->inside_port;
  }
  return 0;
}

static void nat_packet(struct sim_box *box, const struct sim_hop *hop, uint8_t *packet, size_t bytes) {
  struct nat_box *nat = (struct nat_box *)(void *)box;
  struct sim_tcp_view view;
  sim_tcp_view(packet, bytes, &view);
  bool out = hop->from == nat->inside;
  uint16_t port = out ? outside_port(nat, view.source_port) : inside_port(nat, view.destination_port);
  if (!port) return;
  sim_put16(packet + view.ip_bytes + (out ? 0 : 2), port);
  sim_packet_finish(packet, bytes);
  sim_box_pass(hop, packet, bytes);
}

struct sim_box *sim_box_nat(struct sim *sim, struct sim_node *inside, uint64_t idle_ns) {
  struct nat_box *nat = (struct nat_box *)(void *)sim_box_new(sim, sizeof *nat, "nat");
  nat->box.packet = nat_packet;
  nat->inside = inside;
  nat->idle_ns = idle_ns;
  return &nat->box;
}
