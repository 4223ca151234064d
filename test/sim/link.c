/* The links: segmentation, then middleboxes, then the queue, then chance, then time. */
#include "middlebox.h"
#include "packet.h"
#include "sim.h"
#include "sim_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool earlier(const struct sim_packet *a, const struct sim_packet *b) {
  return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void sim_flight_push(struct sim *sim, struct sim_packet *packet) {
  if (sim->flight_count == sim->flight_room) {
    sim->flight_room = sim->flight_room ? sim->flight_room * 2 : 256;
    sim->flight = realloc(sim->flight, sim->flight_room * sizeof *sim->flight);
    if (!sim->flight) abort();
  }
  packet->order = sim->order++;
  size_t i = sim->flight_count++;
  for (; i && earlier(packet, sim->flight[(i - 1) / 2]); i = (i - 1) / 2) sim->flight[i] = sim->flight[(i - 1) / 2];
  sim->flight[i] = packet;
}

struct sim_packet *sim_flight_pop(struct sim *sim) {
  struct sim_packet *top = sim->flight[0], *last = sim->flight[--sim->flight_count];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < sim->flight_count; i = child) {
    if (child + 1 < sim->flight_count && earlier(sim->flight[child + 1], sim->flight[child])) child++;
    if (!earlier(sim->flight[child], last)) break;
    sim->flight[i] = sim->flight[child];
  }
  sim->flight[i] = last;
  return top;
}

static struct sim_node *node_at(struct sim_node *from, const struct mst_addr *addr) {
  if (mst_addr_is_loopback(addr)) return from;
  struct sim *sim = from->sim;
  for (size_t i = 0; i < sim->node_count; i++) {
    struct sim_node *node = sim->nodes[i];
    if (mst_addr_equal(addr, &node->ip4) || mst_addr_equal(addr, &node->ip6)) return node;
  }
  return NULL;
}

static struct sim_packet *new_packet(const struct sim_parcel *parcel) {
  struct sim_packet *packet = malloc(sizeof *packet + parcel->len);
  if (!packet) abort();
  *packet = (struct sim_packet){
      .len = (uint32_t)parcel->len,
      .gso_size = parcel->gso_size,
      .flags = parcel->flags,
      .forged = parcel->forged,
  };
  memcpy(packet->bytes, parcel->bytes, parcel->len);
  return packet;
}

/* Bytes that wait before one that comes now. */
static uint64_t queued_bytes(const struct sim *sim, const struct sim_link *link) {
  if (!link->rate_bps || link->idle_at_ns <= sim->now_ns) return 0;
  return (uint64_t)((double)(link->idle_at_ns - sim->now_ns) * (double)link->rate_bps / 8e9);
}

/* When the last bit of `bytes` leaves. */
static uint64_t departs(struct sim *sim, struct sim_link *link, size_t bytes) {
  if (!link->rate_bps) return sim->now_ns;
  uint64_t start = link->idle_at_ns > sim->now_ns ? link->idle_at_ns : sim->now_ns;
  return link->idle_at_ns = start + (uint64_t)((double)bytes * 8e9 / (double)link->rate_bps);
}

static bool is_ect(const uint8_t *bytes) {
  return (bytes[0] >> 4 == 4 ? bytes[1] : bytes[1] >> 4) & 3;
}

/* The queue's law: it marks what can be marked and drops the rest. False: drop. */
static bool aqm_passes(struct sim_node *from, uint64_t queued, const uint8_t *bytes, bool *mark) {
  struct sim_link *link = &from->out;
  if (!link->aqm_bytes || queued <= link->aqm_bytes) return true;
  uint64_t over = queued - link->aqm_bytes;
  if (over < link->aqm_bytes && sim_random_below(&from->random, link->aqm_bytes) >= over) return true;
  *mark = is_ect(bytes);
  return *mark;
}

static bool is_bad_time(struct sim_node *from) {
  struct sim_link *link = &from->out;
  if (sim_random_chance(&from->random, link->bad ? link->bad_end : link->bad_start)) link->bad = !link->bad;
  return link->bad;
}

static bool is_lost(struct sim_node *from, struct sim_link *link, uint64_t number, const uint8_t *bytes, size_t len) {
  if (link->filter && link->filter(link->filter_ctx, number, bytes, len)) return true;
  for (const uint64_t *n = link->lose; n && *n <= number && *n != UINT64_MAX; n++)
    if (*n == number) return true;
  if (link->burst_left) {
    link->burst_left--;
    return true;
  }
  if (sim_random_chance(&from->random, link->burst_start)) {
    link->burst_left = link->burst_packets;
    return true;
  }
  if (is_bad_time(from) && sim_random_chance(&from->random, link->bad_loss)) return true;
  return sim_random_chance(&from->random, link->loss);
}

static void too_big(struct sim_node *from, const uint8_t *bytes, size_t len, uint32_t mtu) {
  uint8_t icmp[1300];
  bool v4 = bytes[0] >> 4 == 4;
  struct mst_addr router = from->ip4;
  if (!v4) router = from->ip6;
  router.bytes[15] = 254;
  size_t n = sim_icmp_build(icmp, &router, v4 ? 3 : 2, v4 ? 4 : 0, mtu, bytes, len, v4 ? 548 : 1232);
  struct sim_packet *packet = new_packet(&(struct sim_parcel){.bytes = icmp, .len = n});
  packet->to = from;
  packet->at_ns = from->sim->now_ns + from->out.delay_ns;
  sim_flight_push(from->sim, packet);
}

static uint64_t arrives(struct sim_node *from, uint64_t leaves_ns) {
  struct sim_link *link = &from->out;
  uint64_t at_ns = leaves_ns + link->delay_ns + sim_random_below(&from->random, link->jitter_ns + 1);
  if (sim_random_chance(&from->random, link->reorder)) return at_ns + link->reorder_ns;
  if (link->keep_order && at_ns < link->last_at_ns) at_ns = link->last_at_ns;
  return link->last_at_ns = at_ns;
}

static void launch(struct sim_node *from, struct sim_node *to, const struct sim_parcel *parcel, uint64_t leaves_ns,
                   bool mark) {
  struct sim_link *link = &from->out;
  struct sim_packet *packet = new_packet(parcel);
  if (mark) {
    sim_packet_set_ecn(packet->bytes, 3);
    link->marked++;
  }
  bool checked = !(parcel->flags & (MST_CSUM_PARTIAL | MST_CSUM_VALID));
  if (checked && sim_random_chance(&from->random, link->corrupt)) {
    /* One bit: the Internet checksum always shows it. */
    size_t bit = sim_random_below(&from->random, parcel->len * 8);
    packet->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    packet->corrupted = true;
  }
  packet->to = to;
  packet->at_ns = arrives(from, leaves_ns);
  if (to == from) packet->at_ns += SIM_US; /* or two ends that always answer would stop the clock */
  sim_flight_push(from->sim, packet);
}

/* Of the longest packet that a router sees of it. */
static size_t packet_bytes(const struct sim_parcel *parcel) {
  uint8_t protocol = 0;
  if (!parcel->gso_size) return parcel->len;
  size_t ip = sim_ip_header(parcel->bytes, parcel->len, &protocol);
  return ip + (size_t)(parcel->bytes[ip + 12] >> 4) * 4 + parcel->gso_size;
}

void sim_transmit(struct sim_node *from, const struct sim_parcel *parcel) {
  struct sim_link *link = &from->out;
  struct mst_addr source, destination;
  sim_ip_addresses(parcel->bytes, &source, &destination);
  struct sim_node *to = node_at(from, &destination);
  uint64_t number = link->packets++, queued = queued_bytes(from->sim, link);
  if (link->mtu && packet_bytes(parcel) > link->mtu) {
    link->lost++;
    if (link->too_big_icmp) too_big(from, parcel->bytes, parcel->len, link->mtu);
    return;
  }
  bool full = link->rate_bps && link->queue_bytes && queued + parcel->len > link->queue_bytes;
  bool mark = is_ect(parcel->bytes) && sim_random_chance(&from->random, link->mark);
  if (!to || full || !aqm_passes(from, queued, parcel->bytes, &mark)) {
    link->lost++;
    return;
  }
  uint64_t leaves_ns = departs(from->sim, link, parcel->len);
  if (is_lost(from, link, number, parcel->bytes, parcel->len)) {
    link->lost++;
    return;
  }
  launch(from, to, parcel, leaves_ns, mark);
  if (sim_random_chance(&from->random, link->duplicate)) launch(from, to, parcel, leaves_ns, mark);
}

/* By way of the boxes. */
static void enter(struct sim_node *from, const struct sim_parcel *parcel) {
  if (!from->out.box_count || parcel->gso_size) return sim_transmit(from, parcel);
  struct sim_hop hop = {.from = from};
  sim_box_pass(&hop, parcel->bytes, parcel->len);
}

/* Cut a TCP packet into segments of gso_size, as a device does (sequence numbers grow; FIN and PSH only on the last,
 * CWR only on the first). */
static void segment(struct sim_node *from, const uint8_t *bytes, size_t len, uint16_t gso_size) {
  uint8_t protocol = 0, out[65536];
  size_t ip = sim_ip_header(bytes, len, &protocol);
  size_t headers = ip + (size_t)(bytes[ip + 12] >> 4) * 4;
  uint32_t seq = sim_get32(bytes + ip + 4);
  for (size_t at = headers; at < len; at += gso_size) {
    bool first = at == headers, last = at + gso_size >= len;
    size_t payload = last ? len - at : gso_size;
    memcpy(out, bytes, headers);
    memcpy(out + headers, bytes + at, payload);
    sim_put32(out + ip + 4, seq + (uint32_t)(at - headers));
    if (!last) out[ip + 13] &= (uint8_t) ~(SIM_FIN | SIM_PSH);
    if (!first) out[ip + 13] &= (uint8_t)~SIM_CWR;
    if (ip == 20) sim_put16(out + 4, sim_get16(bytes + 4) + (uint32_t)((at - headers) / gso_size));
    sim_packet_finish(out, headers + payload);
    enter(from, &(struct sim_parcel){.bytes = out, .len = headers + payload});
  }
}

/* What every packet of a stack must be: as long as it says, with a right IPv4 checksum, and a right transport
 * checksum or the pseudo-header's. */
static void check_output(const uint8_t *bytes, size_t len, const struct mst_packet *packet) {
  uint8_t protocol = 0;
  size_t ip = sim_ip_header(bytes, len, &protocol);
  size_t said = !ip ? 0 : ip == 40 ? 40u + sim_get16(bytes + 4) : sim_get16(bytes + 2);
  uint8_t copy[65536];
  memcpy(copy, bytes, len);
  if (packet->flags & MST_CSUM_PARTIAL || packet->gso_size) sim_packet_finish(copy, len);
  bool tso = packet->gso_size && (protocol != MST_TCP || len <= packet->gso_size);
  if (!ip || said != len || tso || !sim_packet_checksums_ok(copy, len)) {
    fprintf(stderr, "a stack sent a bad packet: %zu bytes, says %zu, protocol %d, gso %d, flags %d\n", len, said,
            protocol, packet->gso_size, packet->flags);
    abort();
  }
}

void sim_send(struct sim_node *from, const struct mst_packet *packet) {
  uint8_t bytes[65536];
  size_t len = 0;
  for (size_t i = 0; i < packet->iov_count; i++) {
    if (len + packet->iov[i].len > sizeof bytes) abort();
    if (packet->iov[i].len) memcpy(bytes + len, packet->iov[i].base, packet->iov[i].len);
    len += packet->iov[i].len;
  }
  if (len != packet->len || len < 20 || packet->iov_count > MST_PACKET_IOV_MAX) {
    fprintf(stderr, "a stack sent a packet of %u bytes whose parts have %zu\n", packet->len, len);
    abort();
  }
  if (from->stack) check_output(bytes, len, packet);
  if (from->stack && from->tap) from->tap(from, &(struct sim_seen){bytes, len, packet->gso_size, .sent = true});
  if (from->out.keep_gso && !from->out.box_count) {
    sim_transmit(from, &(struct sim_parcel){bytes, len, packet->gso_size, packet->flags, false});
  } else if (packet->gso_size) {
    segment(from, bytes, len, packet->gso_size);
  } else {
    if (packet->flags & MST_CSUM_PARTIAL) sim_packet_finish(bytes, len);
    enter(from, &(struct sim_parcel){.bytes = bytes, .len = len});
  }
}
