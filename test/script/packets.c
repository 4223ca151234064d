/* Segments in and out, and the strictness about them: what comes is expected, and what is expected comes. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t now(const struct run *run) {
  return run->s->sim->now_ns;
}

double run_now_ms(const struct run *run) {
  return run->s ? (double)(now(run) - run->s->start_ns) / 1e6 : 0;
}

bool packet_next(struct run *run, uint64_t until_ns) {
  struct script *s = run->s;
  while (!s->peer->received && sim_step(s->sim, until_ns)) continue;
  return s->peer->received && script_next(s, 0);
}

static void last_text(struct run *run, char *out, size_t room) {
  script_print(run->s, out, room);
}

void packets_none_until(struct run *run, uint64_t until_ns) {
  if (!packet_next(run, until_ns)) return;
  char came[RUN_LINE_BYTES];
  last_text(run, came, sizeof came);
  run_fail(run, "a segment came that no line expects:\n  came      > %s", came);
}

void packets_ignore(struct run *run, uint64_t duration_ns) {
  uint64_t until_ns = now(run) + duration_ns;
  while (packet_next(run, until_ns)) {
    char came[RUN_LINE_BYTES];
    last_text(run, came, sizeof came);
    run_log(run, "(> %s)", came);
  }
}

/* --- in --- */

/* IPv4 options go between the headers. */
static size_t insert_ip_options(struct run *run, uint8_t *packet, size_t bytes, const struct spec *spec) {
  if (!spec->ip_options_bytes) return bytes;
  if (run->ip6 || spec->ip_options_bytes % 4) run_fail(run, "IP options are IPv4's, and a multiple of 4 bytes");
  memmove(packet + 20 + spec->ip_options_bytes, packet + 20, bytes - 20);
  memcpy(packet + 20, spec->ip_options, spec->ip_options_bytes);
  packet[0] = (uint8_t)(packet[0] + spec->ip_options_bytes / 4);
  sim_packet_finish(packet, bytes + spec->ip_options_bytes);
  return bytes + spec->ip_options_bytes;
}

static struct mst_addr special_address(const struct run *run, enum spec_address which) {
  static const uint8_t multicast4[4] = {224, 0, 0, 9}, broadcast4[4] = {255, 255, 255, 255};
  switch (which) {
  case SPEC_MULTICAST: return run->ip6 ? (struct mst_addr){{0xff, 2, [15] = 9}} : mst_addr_ip4(multicast4);
  case SPEC_BROADCAST: return mst_addr_ip4(broadcast4);
  case SPEC_ANY: return run->ip6 ? MST_ADDR_ANY6 : MST_ADDR_ANY4;
  default: return run->ip6 ? run->s->node->ip6 : run->s->node->ip4;
  }
}

/* `bytes` from `from` on of the segment that `whole` is. */
static void inject(struct run *run, const struct sim_segment *whole, const struct spec *spec, uint32_t from,
                   uint32_t bytes) {
  struct sim_segment segment = *whole;
  uint8_t *packet = malloc(bytes + 200);
  if (!packet) abort();
  segment.seq = run->s->peer_isn + from;
  segment.data = whole->data + (from - spec->seq);
  segment.data_bytes = bytes;
  if (spec->source) segment.source = special_address(run, spec->source);
  if (spec->destination) segment.destination = special_address(run, spec->destination);
  if (from + bytes != spec->seq + spec->bytes) segment.flags &= (uint16_t) ~(SIM_FIN | SIM_PSH);
  size_t length = insert_ip_options(run, packet, sim_segment_build(packet, &segment), spec);
  if (spec->bad_checksum) packet[length - 1] ^= 1;
  sim_input(run->s->node, packet, length, 0);
  free(packet);
}

void packet_in(struct run *run, const char *text, bool flush) {
  struct spec spec;
  const char *error = spec_parse(text, &spec);
  if (error) run_fail(run, "%s", error);
  run_log(run, "< %s", text);
  uint8_t *data = malloc(spec.bytes + 1);
  if (!data) abort();
  struct sim_segment segment;
  script_segment(run->s, text, &segment, data, spec.bytes);
  for (uint32_t i = 0; spec.other_data && i < spec.bytes; i++) data[i] ^= 0xff;
  uint32_t step = spec.step ? spec.step : spec.bytes, end = spec.seq + spec.bytes, seq = spec.seq;
  do {
    uint32_t bytes = end - seq < step ? end - seq : step;
    inject(run, &segment, &spec, seq, bytes);
    if (flush) script_flush(run->s);
    seq += bytes;
  } while (seq != end);
  free(data);
}

/* --- out --- */

static void check_bytes(struct run *run) {
  const struct sim_segment *g = &run->s->last;
  uint32_t seq = g->seq - run->s->iss;
  for (uint32_t i = 0; i < g->data_bytes; i++)
    if (g->data[i] != script_byte(seq + i)) run_fail(run, "byte %u of the stream is wrong", seq + i);
}

static void check_time(struct run *run, const char *came, uint64_t at_ns) {
  double early_ms = ((double)at_ns - (double)run->s->last_packet->at_ns) / 1e6;
  if (early_ms > 0.001) run_fail(run, "it came %.3f ms early:\n  came      > %s", early_ms, came);
}

static void take(struct run *run, const struct spec *spec, const char *text, uint64_t at_ns) {
  struct script *s = run->s;
  uint64_t until_ns = at_ns > now(run) ? at_ns + run->tolerance_ns : now(run);
  char came[RUN_LINE_BYTES], why[RUN_LINE_BYTES];
  if (!packet_next(run, until_ns)) run_fail(run, "nothing came:\n  expected  > %s", text);
  last_text(run, came, sizeof came);
  struct spec_base base = script_base(s, true);
  const struct mst_addr *local = run->ip6 ? &s->node->ip6 : &s->node->ip4;
  bool other = s->last.destination_port != s->peer_port || s->last.source_port != s->local_port ||
               !mst_addr_equal(&s->last.source, local);
  if (other) run_fail(run, "a segment of another connection came:\n  expected  > %s\n  came      > %s", text, came);
  if (!spec_matches(spec, &s->last, &base, why, sizeof why))
    run_fail(run, "another segment came:\n  expected  > %s\n  came      > %s\n  that is     %s", text, came, why);
  check_time(run, came, at_ns);
  check_bytes(run);
  run_log(run, "> %s", came);
}

void packet_out(struct run *run, const char *text, uint64_t at_ns) {
  struct spec spec;
  const char *error = spec_parse(text, &spec);
  if (error) run_fail(run, "%s", error);
  if (!spec.step) return take(run, &spec, text, at_ns);
  uint32_t end = spec.seq + spec.bytes;
  for (uint32_t seq = spec.seq; seq != end;) {
    struct spec one = spec;
    one.seq = seq;
    one.bytes = end - seq < spec.step ? end - seq : spec.step;
    seq += one.bytes;
    if (seq != end) one.flags &= (uint16_t) ~(SIM_FIN | SIM_PSH);
    if (seq != end) one.psh_given = false;
    char line[RUN_LINE_BYTES];
    snprintf(line, sizeof line, "%.300s (its segment %u:%u)", text, one.seq, seq);
    take(run, &one, line, at_ns);
  }
}

/* --- ICMP --- */

static const struct {
  const char *name;
  int type4, code4, type6, code6;
} kinds[] = {
    {"too-big", 3, 4, 2, 0},
    {"net-unreachable", 3, 0, 1, 0},
    {"host-unreachable", 3, 1, 1, 3},
    {"protocol-unreachable", 3, 2, 4, 1},
    {"port-unreachable", 3, 3, 1, 4},
    {"prohibited", 3, 13, 1, 1},
    {"source-route-failed", 3, 5, -1, 0},
    {"time-exceeded", 11, 0, 3, 0},
    {"parameter-problem", 12, 0, 4, 0},
    {"source-quench", 4, 0, -1, 0},
};

/* icmp KIND [mtu N] [seq N] */
void packet_icmp(struct run *run, char *arguments) {
  const char *kind = word_need(run, &arguments, "the kind"), *word;
  uint32_t mtu = 0, seq = 0;
  while ((word = word_next(&arguments))) {
    const char *value = word_need(run, &arguments, word);
    if (!strcmp(word, "mtu"))
      mtu = (uint32_t)word_number(run, value);
    else if (!strcmp(word, "seq"))
      seq = (uint32_t)word_number(run, value);
    else
      run_fail(run, "\"%s\" is nothing that icmp takes", word);
  }
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strcmp(kinds[i].name, kind)) continue;
    int type = run->ip6 ? kinds[i].type6 : kinds[i].type4, code = run->ip6 ? kinds[i].code6 : kinds[i].code4;
    if (type < 0) run_fail(run, "ICMPv6 has no %s", kind);
    return script_icmp(run->s, (uint8_t)type, (uint8_t)code, mtu, seq);
  }
  run_fail(run, "there is no ICMP %s", kind);
}
