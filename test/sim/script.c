/* One raw peer that speaks packet scripts to a stack. */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static struct spec parse_spec(const char *text) {
  struct spec spec;
  const char *error = spec_parse(text, &spec);
  if (error) fail_at(__FILE__, __LINE__, "%s: \"%s\"", error, text);
  return spec;
}

struct spec_base script_base(const struct script *s, bool from_stack) {
  return from_stack ? (struct spec_base){s->iss, s->peer_isn, s->ts_first, true}
                    : (struct spec_base){s->peer_isn, s->iss, s->ts_first, false};
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
      .tos = spec.tos,
      .ttl = spec.ttl,
      .data = data,
      .data_bytes = spec.bytes,
  };
  bool silent = spec.has_options && (spec.flags & SIM_SYN || spec.options.no_ts || !spec.options.sack);
  if (s->timestamps && !(spec.flags & SIM_RST) && !spec.options.ts && !silent) {
    spec.options.ts = true;
    spec.options.tsval.value = ts_value(s);
    spec.options.tsecr.value = spec.flags & SIM_ACK ? s->ts_recent : 0;
  }
  struct spec_base base = script_base(s, false);
  spec_put_options(out, &spec.options, &base);
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

void script_in_with(struct script *s, const char *format, uint32_t a, uint32_t b) {
  char line[96];
  snprintf(line, sizeof line, format, a, b);
  script_in(s, line);
}

/* --- segments out --- */

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
  struct spec_options options = spec_get_options(&s->last);
  if (options.ts) s->ts_recent = options.tsval.value;
  if (options.ts && !s->ts_known) s->ts_first = s->ts_recent;
  s->ts_known |= options.ts;
  return true;
}

void script_print(struct script *s, char *out, size_t room) {
  struct spec_base base = script_base(s, true);
  spec_print(out, room, &s->last, &base);
  size_t used = strlen(out);
  snprintf(out + used, room - used, " at %.3f ms", (double)(s->last_packet->at_ns - s->start_ns) / 1e6);
}

void script_out_at(struct script *s, double ms, const char *text, const char *file, int line) {
  struct spec spec = parse_spec(text);
  uint64_t asked = s->sim->now_ns;
  if (!script_next(s, ms ? ms + 3 : 0)) fail_at(file, line, "expected \"%s\", nothing came", text);
  char got[256], why[256];
  script_print(s, got, sizeof got);
  struct spec_base base = script_base(s, true);
  if (!spec_matches(&spec, &s->last, &base, why, sizeof why))
    fail_at(file, line, "expected \"%s\", got \"%s\": %s", text, got, why);
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
  script_print(s, got, sizeof got);
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
  if (!s->listener) script_listen(s, 0);
  snprintf(line, sizeof line, "S 0 win %u %s%s%s", window, *options ? "<" : "", options, *options ? ">" : "");
  script_in(s, line);
  script_out(s, "S. 0 ack 1");
  s->timestamps = spec_get_options(&s->last).ts;
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

void script_time_wait(struct script *s) {
  script_establish(s, "mss 1000", 1000);
  mst_shutdown(s->conn);
  script_flush(s);
  script_out(s, "F. 1 ack 1");
  script_in(s, "F. 1 ack 2");
  script_out(s, ". 2 ack 2");
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
