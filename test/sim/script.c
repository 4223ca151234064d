/* One raw peer that speaks packet scripts to a stack. */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Options that a specification lists; `any` is for '*'. */
struct wanted {
  bool mss, wscale, sack_ok, ts, no_mss, no_wscale, no_sack_ok, no_ts;
  bool any_tsval, any_tsecr;
  uint32_t mss_value, wscale_value, tsval, tsecr;
};

struct spec {
  uint8_t flags;
  bool psh_given, ack_either, has_seq, has_ack, has_window, has_urgent, has_options;
  uint32_t seq, bytes, ack, window, urgent;
  struct wanted wanted;
};

static void fail_at(const char *file, int line, const char *format, ...) {
  va_list args;
  va_start(args, format);
  print_error("%s:%d: ", file, line);
  char text[1024];
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  print_error("%s\n", text);
  _fail(file, line);
}

/* --- reading specifications --- */

static uint8_t flag_of(char c) {
  switch (c) {
  case 'S': return SIM_SYN;
  case 'F': return SIM_FIN;
  case 'R': return SIM_RST;
  case 'P': return SIM_PSH;
  case 'U': return SIM_URG;
  case 'E': return SIM_ECE;
  case 'W': return SIM_CWR;
  case '.': return SIM_ACK;
  default: return 0;
  }
}

static uint32_t number(const char **at) {
  char *end;
  uint32_t value = (uint32_t)strtoll(*at, &end, 0);
  if (end == *at) fail_at(__FILE__, __LINE__, "a number is missing at \"%s\"", *at);
  *at = end;
  return value;
}

static bool word(const char **at, const char *text) {
  while (**at == ' ' || **at == ',') ++*at;
  size_t n = strlen(text);
  if (strncmp(*at, text, n)) return false;
  *at += n;
  return true;
}

static uint32_t number_or_any(const char **at, bool *any) {
  *any = word(at, "*");
  return *any ? 0 : number(at);
}

static void parse_options(const char **at, struct wanted *w) {
  while (!word(at, ">")) {
    if (word(at, "mss")) {
      w->mss = true;
      w->mss_value = number(at);
    } else if (word(at, "wscale")) {
      w->wscale = true;
      w->wscale_value = number(at);
    } else if (word(at, "sackOK")) {
      w->sack_ok = true;
    } else if (word(at, "TS")) {
      w->ts = true;
      w->tsval = number_or_any(at, &w->any_tsval);
      w->tsecr = number_or_any(at, &w->any_tsecr);
    } else if (word(at, "-mss")) {
      w->no_mss = true;
    } else if (word(at, "-wscale")) {
      w->no_wscale = true;
    } else if (word(at, "-sackOK")) {
      w->no_sack_ok = true;
    } else if (word(at, "-TS")) {
      w->no_ts = true;
    } else {
      fail_at(__FILE__, __LINE__, "unknown option at \"%s\"", *at);
    }
  }
}

static struct spec parse_spec(const char *text) {
  struct spec spec = {0};
  const char *at = text;
  for (; flag_of(*at); at++) spec.flags |= flag_of(*at);
  spec.psh_given = spec.flags & SIM_PSH;
  spec.ack_either = *at == '?';
  at += spec.ack_either;
  while (*at == ' ') at++;
  if (*at == '-' || (*at >= '0' && *at <= '9')) {
    spec.has_seq = true;
    spec.seq = number(&at);
    if (*at == ':') {
      at++;
      spec.bytes = number(&at) - spec.seq;
    }
  }
  while (*at) {
    if (word(&at, "ack")) {
      spec.has_ack = true;
      spec.ack = number(&at);
    } else if (word(&at, "win")) {
      spec.has_window = true;
      spec.window = number(&at);
    } else if (word(&at, "urg")) {
      spec.has_urgent = true;
      spec.urgent = number(&at);
    } else if (word(&at, "<")) {
      spec.has_options = true;
      parse_options(&at, &spec.wanted);
    } else if (*at) {
      fail_at(__FILE__, __LINE__, "cannot read \"%s\" in \"%s\"", at, text);
    }
  }
  return spec;
}

/* --- options on the wire --- */

static void put_options(struct sim_segment *segment, const struct wanted *w) {
  uint8_t *p = segment->options;
  if (w->mss) {
    *p++ = 2, *p++ = 4;
    sim_put16(p, w->mss_value);
    p += 2;
  }
  if (w->sack_ok) *p++ = 4, *p++ = 2;
  if (w->ts) {
    if (!w->sack_ok) *p++ = 1, *p++ = 1;
    *p++ = 8, *p++ = 10;
    sim_put32(p, w->tsval);
    sim_put32(p + 4, w->tsecr);
    p += 8;
  } else if (w->sack_ok) {
    *p++ = 1, *p++ = 1;
  }
  if (w->wscale) *p++ = 1, *p++ = 3, *p++ = 3, *p++ = (uint8_t)w->wscale_value;
  segment->options_bytes = (uint8_t)(p - segment->options);
}

static struct wanted get_options(const struct sim_segment *segment) {
  struct wanted w = {0};
  const uint8_t *p = segment->options, *end = p + segment->options_bytes;
  while (p < end && *p) {
    if (*p == 1) {
      p++;
      continue;
    }
    if (p + 1 >= end || p[1] < 2 || p + p[1] > end) break;
    if (*p == 2) w.mss = true, w.mss_value = sim_get16(p + 2);
    if (*p == 3) w.wscale = true, w.wscale_value = p[2];
    if (*p == 4) w.sack_ok = true;
    if (*p == 8) w.ts = true, w.tsval = sim_get32(p + 2), w.tsecr = sim_get32(p + 6);
    p += p[1];
  }
  return w;
}

/* --- opening and closing --- */

struct script *script_open(const struct script_options *options) {
  static const struct script_options none;
  if (!options) options = &none;
  struct script *s = calloc(1, sizeof *s);
  if (!s) abort();
  s->sim = sim_new(options->seed);
  s->node = sim_add_stack(s->sim, &options->stack);
  assert_non_null(s->node);
  s->peer = sim_add_raw(s->sim);
  s->stack = s->node->stack;
  if (options->route_mtu) s->node->route_mtu = options->route_mtu;
  s->ip6 = options->ip6;
  s->local_port = 80;
  s->peer_port = 8080;
  s->peer_isn = options->peer_isn ? options->peer_isn : 0x10000000;
  s->ts_base = 1000;
  s->start_ns = s->sim->now_ns;
  s->written = s->read = 1;
  return s;
}

void script_close(struct script *s) {
  free(s->last_packet);
  size_t left = sim_free(s->sim);
  free(s);
  assert_int_equal(left, 0);
}

/* --- segments in --- */

static const struct mst_addr *addr_of(const struct script *s, const struct sim_node *node) {
  return s->ip6 ? &node->ip6 : &node->ip4;
}

static uint32_t ts_value(const struct script *s) {
  return s->ts_fixed ? s->ts_value : s->ts_base + (uint32_t)((s->sim->now_ns - s->start_ns) / SIM_MS);
}

void script_segment(struct script *s, const char *text, struct sim_segment *out, uint8_t *data, size_t room) {
  struct spec spec = parse_spec(text);
  assert_true(spec.bytes <= room);
  *out = (struct sim_segment){
      .source = *addr_of(s, s->peer),
      .destination = *addr_of(s, s->node),
      .source_port = s->peer_port,
      .destination_port = s->local_port,
      .seq = s->peer_isn + spec.seq,
      .ack = spec.has_ack ? s->iss + spec.ack : 0,
      .window = spec.has_window ? (uint16_t)spec.window : 65535,
      .urgent = (uint16_t)spec.urgent,
      .flags = spec.flags,
      .data = data,
      .data_bytes = spec.bytes,
  };
  if (!spec.has_options && s->timestamps && !(spec.flags & SIM_RST)) {
    spec.wanted = (struct wanted){.ts = true, .tsval = ts_value(s), .tsecr = s->ts_recent};
    if (!(spec.flags & SIM_ACK)) spec.wanted.tsecr = 0;
  }
  put_options(out, &spec.wanted);
  uint32_t first = spec.seq + (spec.flags & SIM_SYN ? 1 : 0);
  for (uint32_t i = 0; i < spec.bytes; i++) data[i] = script_byte(first + i);
}

void script_inject(struct script *s, const struct sim_segment *segment) {
  uint8_t *packet = malloc(128 + segment->data_bytes);
  if (!packet) abort();
  size_t bytes = sim_segment_build(packet, segment);
  sim_input(s->node, packet, bytes, 0);
  free(packet);
  script_flush(s);
}

void script_in_at(struct script *s, const char *text, const char *file, int line) {
  (void)file, (void)line;
  static uint8_t data[65536];
  struct sim_segment segment;
  script_segment(s, text, &segment, data, sizeof data);
  script_inject(s, &segment);
}

void script_icmp(struct script *s, uint8_t type, uint8_t code, uint32_t mtu, uint32_t seq) {
  struct sim_segment sent = {
      .source = *addr_of(s, s->node),
      .destination = *addr_of(s, s->peer),
      .source_port = s->local_port,
      .destination_port = s->peer_port,
      .seq = s->iss + seq,
      .flags = SIM_ACK,
  };
  uint8_t quoted[128], packet[1500];
  size_t quoted_bytes = sim_segment_build(quoted, &sent);
  struct mst_addr router = *addr_of(s, s->peer);
  router.bytes[15] = 254;
  size_t bytes = sim_icmp_build(packet, &router, type, code, mtu, quoted, quoted_bytes, 28 + (s->ip6 ? 20 : 0));
  sim_input(s->node, packet, bytes, 0);
  script_flush(s);
}

/* --- segments out --- */

static void print_segment(struct script *s, char *out, size_t room, const struct sim_segment *g) {
  char flags[9] = {0};
  size_t n = 0;
  for (const char *c = "SFRPUEW."; *c; c++)
    if (g->flags & flag_of(*c)) flags[n++] = *c;
  uint32_t seq = g->seq - s->iss;
  int used = snprintf(out, room, "%s %u:%u ack %u win %u urg %u at %.3f ms", flags, seq, seq + g->data_bytes,
                      g->flags & SIM_ACK ? g->ack - s->peer_isn : 0, g->window, g->urgent,
                      (double)(s->last_packet->at_ns - s->start_ns) / 1e6);
  struct wanted w = get_options(g);
  used += snprintf(out + used, room - (size_t)used, " <");
  if (w.mss) used += snprintf(out + used, room - (size_t)used, "mss %u,", w.mss_value);
  if (w.sack_ok) used += snprintf(out + used, room - (size_t)used, "sackOK,");
  if (w.ts) used += snprintf(out + used, room - (size_t)used, "TS %u %u,", w.tsval, w.tsecr);
  if (w.wscale) used += snprintf(out + used, room - (size_t)used, "wscale %u", w.wscale_value);
  snprintf(out + used, room - (size_t)used, ">");
}

bool script_next(struct script *s, double ms) {
  uint64_t until = s->sim->now_ns + (uint64_t)(ms * 1e6);
  while (!s->peer->received)
    if (!sim_step(s->sim, until)) break;
  struct sim_packet *packet = sim_take(s->peer);
  if (!packet) return false;
  free(s->last_packet);
  s->last_packet = packet;
  assert_true(sim_packet_checksums_ok(packet->bytes, packet->len));
  if (!sim_segment_parse(packet->bytes, packet->len, &s->last)) fail_msg("a packet that is no TCP segment");
  if (s->last.flags & SIM_SYN) {
    if (!s->iss_known) s->iss = s->last.seq;
    s->iss_known = true;
  }
  struct wanted options = get_options(&s->last);
  if (options.ts) s->ts_recent = options.tsval;
  return true;
}

static bool options_match(const struct wanted *want, const struct wanted *got) {
  if (want->mss && (!got->mss || got->mss_value != want->mss_value)) return false;
  if (want->wscale && (!got->wscale || got->wscale_value != want->wscale_value)) return false;
  if (want->sack_ok && !got->sack_ok) return false;
  if (want->ts && !got->ts) return false;
  if (want->ts && !want->any_tsval && want->tsval != got->tsval) return false;
  if (want->ts && !want->any_tsecr && want->tsecr != got->tsecr) return false;
  return !(want->no_mss && got->mss) && !(want->no_wscale && got->wscale) && !(want->no_sack_ok && got->sack_ok) &&
         !(want->no_ts && got->ts);
}

static bool segment_matches(struct script *s, const struct spec *spec) {
  const struct sim_segment *g = &s->last;
  uint8_t ignore = (uint8_t)((spec->psh_given ? 0 : SIM_PSH) | (spec->ack_either ? SIM_ACK : 0));
  if ((g->flags & ~ignore) != (spec->flags & ~ignore)) return false;
  if (spec->has_seq && (g->seq - s->iss != spec->seq || g->data_bytes != spec->bytes)) return false;
  if (spec->has_ack && g->ack - s->peer_isn != spec->ack) return false;
  if (spec->has_window && g->window != spec->window) return false;
  if (spec->has_urgent && g->urgent != spec->urgent) return false;
  struct wanted got = get_options(g);
  return options_match(&spec->wanted, &got);
}

void script_out_at(struct script *s, double ms, const char *text, const char *file, int line) {
  struct spec spec = parse_spec(text);
  uint64_t asked = s->sim->now_ns;
  if (!script_next(s, ms ? ms + 3 : 0)) fail_at(file, line, "expected \"%s\", nothing came", text);
  char got[256];
  print_segment(s, got, sizeof got, &s->last);
  if (!segment_matches(s, &spec)) fail_at(file, line, "expected \"%s\", got \"%s\"", text, got);
  double after_ms = (double)(s->last_packet->at_ns - asked) / 1e6;
  if (ms && s->last_packet->at_ns < asked) fail_at(file, line, "\"%s\" had been there before", got);
  if (ms && after_ms < ms - 0.001) fail_at(file, line, "\"%s\" came after %.3f ms, not %.3f", got, after_ms, ms);
  uint32_t seq = s->last.seq - s->iss;
  for (uint32_t i = 0; i < s->last.data_bytes; i++)
    if (s->last.data[i] != script_byte(seq + i)) fail_at(file, line, "\"%s\": byte %u is wrong", got, i);
}

void script_silence_at(struct script *s, double ms, const char *file, int line) {
  if (!script_next(s, ms)) return;
  char got[256];
  print_segment(s, got, sizeof got, &s->last);
  fail_at(file, line, "expected nothing, got \"%s\"", got);
}

size_t script_drain(struct script *s) {
  size_t count = 0;
  while (script_next(s, 0)) count++;
  return count;
}

void script_wait(struct script *s, double ms) {
  sim_run_for(s->sim, (uint64_t)(ms * 1e6));
}

void script_flush(struct script *s) {
  sim_turn(s->node);
}

/* --- the stack's side --- */

static void on_event(mst_conn *conn, unsigned events, void *user) {
  struct script *s = user;
  assert_ptr_equal(conn, s->conn);
  assert_true(events != 0);
  s->events |= events;
}

static void on_listener(mst_listener *listener, void *user) {
  struct script *s = user;
  (void)listener;
  s->listener_calls++;
}

void script_listen(struct script *s, unsigned backlog) {
  mst_binding *binding;
  struct mst_endpoint local = {.addr = s->ip6 ? MST_ADDR_ANY6 : MST_ADDR_ANY4, .port = s->local_port};
  assert_int_equal(mst_bind(s->stack, MST_TCP, &local, 0, &binding), 0);
  assert_int_equal(mst_listen(binding, backlog, on_listener, s, &s->listener), 0);
  mst_unbind(binding);
}

void script_connect(struct script *s) {
  struct mst_endpoint remote = {.addr = *addr_of(s, s->peer), .port = s->peer_port};
  assert_int_equal(mst_connect(s->stack, NULL, &remote, on_event, s, &s->conn), 0);
  struct mst_endpoint local;
  mst_conn_local(s->conn, &local);
  s->local_port = local.port;
  script_flush(s);
}

void script_accept(struct script *s) {
  s->conn = mst_accept(s->listener);
  assert_non_null(s->conn);
  mst_conn_set_event(s->conn, on_event, s);
}

void script_establish(struct script *s, const char *options, unsigned window) {
  char line[256];
  struct wanted got;
  if (!s->listener) script_listen(s, 0);
  snprintf(line, sizeof line, "S 0 win %u %s%s%s", window, *options ? "<" : "", options, *options ? ">" : "");
  script_in(s, line);
  script_out(s, "S. 0 ack 1");
  got = get_options(&s->last);
  s->timestamps = got.ts;
  snprintf(line, sizeof line, ". 1 ack 1 win %u", window);
  script_in(s, line);
  script_accept(s);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
}

void script_establish_active(struct script *s, const char *options, unsigned window) {
  char line[256];
  script_connect(s);
  script_out(s, "S 0");
  s->timestamps = strstr(options, "TS") != NULL;
  snprintf(line, sizeof line, "S. 0 ack 1 win %u %s%s%s", window, *options ? "<" : "", options, *options ? ">" : "");
  script_in(s, line);
  script_out(s, ". 1 ack 1");
  assert_int_equal(script_events(s) & MST_EV_CONNECTED, MST_EV_CONNECTED);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
}

void script_write(struct script *s, uint32_t bytes) {
  uint8_t data[4096];
  while (bytes) {
    uint32_t n = bytes < sizeof data ? bytes : sizeof data;
    for (uint32_t i = 0; i < n; i++) data[i] = script_byte(s->written + i);
    assert_int_equal(mst_write(s->conn, data, n), n);
    s->written += n;
    bytes -= n;
  }
  script_flush(s);
}

void script_read(struct script *s, uint32_t bytes) {
  uint8_t data[4096];
  while (bytes) {
    uint32_t n = bytes < sizeof data ? bytes : sizeof data;
    ptrdiff_t got = mst_read(s->conn, data, n);
    if (got <= 0) fail_msg("mst_read: %td with %u bytes expected", got, bytes);
    for (ptrdiff_t i = 0; i < got; i++)
      if (data[i] != script_byte(s->read + (uint32_t)i)) fail_msg("byte %u is wrong", s->read + (uint32_t)i);
    s->read += (uint32_t)got;
    bytes -= (uint32_t)got;
  }
  script_flush(s);
}

unsigned script_events(struct script *s) {
  unsigned events = s->events;
  s->events = 0;
  return events;
}

enum mst_tcp_state script_state(struct script *s) {
  return script_info(s).state;
}

struct mst_tcp_info script_info(struct script *s) {
  struct mst_tcp_info info;
  mst_conn_get_info(s->conn, &info);
  return info;
}

struct mst_stack_stats script_stats(struct script *s) {
  struct mst_stack_stats stats;
  mst_stack_get_stats(s->stack, &stats);
  return stats;
}

uint64_t script_drops(struct script *s, enum mst_drop reason) {
  return script_stats(s).drops[reason];
}
