/* Events as lines of JSON, in the shape of qlog. TRACE.md describes them. */
#include "multistack/trace.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct line {
  char *out;
  size_t room, length;
};

__attribute__((format(printf, 2, 3))) static void put(struct line *line, const char *format, ...) {
  bool fits = line->length < line->room;
  va_list args;
  va_start(args, format);
  /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it does not see va_start when it inlines this */
  int n = vsnprintf(fits ? line->out + line->length : NULL, fits ? line->room - line->length : 0, format, args);
  va_end(args);
  if (n > 0) line->length += (size_t)n;
}

/* "[2001:db8::1]:80" */
static void put_endpoint(struct line *line, const char *name, const struct mst_endpoint *endpoint) {
  char text[MST_ADDR_TEXT_BYTES];
  bool ip4 = mst_addr_is_ip4(&endpoint->addr);
  mst_addr_format(&endpoint->addr, text);
  put(line, ",\"%s\":\"%s%s%s:%u\"", name, ip4 ? "" : "[", text, ip4 ? "" : "]", endpoint->port);
}

static void put_flags(struct line *line, unsigned flags) {
  static const char letters[] = "FSRP.UEWA";
  put(line, ",\"flags\":\"");
  for (unsigned i = 0; letters[i]; i++)
    if (flags & 1u << i) put(line, "%c", letters[i]);
  put(line, "\"");
}

static void put_segment(struct line *line, const struct mst_trace_event *e) {
  put_flags(line, e->flags);
  put(line, ",\"seq\":%" PRIu32 ",\"end\":%" PRIu32, e->seq, e->end);
  if (e->flags & 16) put(line, ",\"ack\":%" PRIu32, e->ack);
  put(line, ",\"window_bytes\":%" PRIu32, e->window_bytes);
  if (e->sack_count) {
    put(line, ",\"sack\":[");
    for (unsigned i = 0; i < e->sack_count && i < sizeof e->sack / sizeof *e->sack; i++)
      put(line, "%s[%" PRIu32 ",%" PRIu32 "]", i ? "," : "", e->sack[i].left, e->sack[i].right);
    put(line, "]");
  }
  if (e->segments > 1) put(line, ",\"segments\":%u", e->segments);
  if (e->ecn) put(line, ",\"ecn\":%u", e->ecn);
  if (e->retransmission) put(line, ",\"retransmission\":true");
}

static void put_times(struct line *line, const struct mst_trace_event *e) {
  put(line, ",\"rttvar_us\":%" PRIu64 ",\"min_rtt_us\":%" PRIu64 ",\"rto_us\":%" PRIu64, e->rttvar_ns / 1000,
      e->min_rtt_ns / 1000, e->rto_ns / 1000);
  if (e->pacing_rate) put(line, ",\"pacing_rate\":%" PRIu64, e->pacing_rate);
}

/* What is about this kind alone. */
static void put_kind(struct line *line, const struct mst_trace_event *e) {
  switch (e->kind) {
  case MST_TRACE_SEGMENT_SENT:
  case MST_TRACE_SEGMENT_RECEIVED: return put_segment(line, e);
  case MST_TRACE_SEGMENT_LOST: put(line, ",\"seq\":%" PRIu32 ",\"end\":%" PRIu32, e->seq, e->end); return;
  case MST_TRACE_STATE_UPDATED:
    put(line, ",\"old\":\"%s\",\"new\":\"%s\"", mst_tcp_state_name(e->old_state), mst_tcp_state_name(e->state));
    put_endpoint(line, "local", &e->local);
    put_endpoint(line, "remote", &e->remote);
    return;
  case MST_TRACE_METRICS_UPDATED: return put_times(line, e);
  case MST_TRACE_RTT_SAMPLED: put(line, ",\"rtt_us\":%" PRIu64, e->rtt_ns / 1000); return put_times(line, e);
  case MST_TRACE_TIMER_EXPIRED: put(line, ",\"timer\":\"%s\"", e->timer); return;
  default: return;
  }
}

static void put_time(struct line *line, uint64_t ns) {
  put(line, "%" PRIu64 ".%06u", ns / 1000000, (unsigned)(ns % 1000000));
}

size_t mst_trace_json(const struct mst_trace_event *e, unsigned stack, char *out, size_t bytes) {
  struct line line = {out, bytes, 0};
  put(&line, "{\"time\":");
  put_time(&line, e->now_ns);
  put(&line, ",\"name\":\"tcp:%s\",\"group_id\":\"%u.%" PRIu64 "\",\"data\":{\"snd_una\":%" PRIu32,
      mst_trace_kind_name(e->kind), stack, e->conn_id, e->snd_una);
  put(&line, ",\"snd_nxt\":%" PRIu32 ",\"rcv_nxt\":%" PRIu32 ",\"snd_wnd_bytes\":%" PRIu32 ",\"cwnd_bytes\":%" PRIu32,
      e->snd_nxt, e->rcv_nxt, e->snd_wnd_bytes, e->cwnd_bytes);
  if (e->ssthresh_bytes && e->ssthresh_bytes != UINT32_MAX)
    put(&line, ",\"ssthresh_bytes\":%" PRIu32, e->ssthresh_bytes);
  put(&line, ",\"flight_bytes\":%" PRIu32, e->flight_bytes);
  if (e->srtt_ns) put(&line, ",\"srtt_us\":%" PRIu64, e->srtt_ns / 1000);
  put_kind(&line, e);
  put(&line, "}}");
  return line.length;
}

size_t mst_trace_json_header(const char *title, uint64_t epoch_unix_ns, char *out, size_t bytes) {
  struct line line = {out, bytes, 0};
  put(&line,
      "{\"file_schema\":\"urn:ietf:params:qlog:file:sequential\",\"serialization_format\":\"application/x-ndjson\","
      "\"title\":\"%s\",\"event_schemas\":[\"urn:multistack:tcp\"],\"trace\":{\"common_fields\":{\"time_format\":"
      "\"relative_to_epoch\",\"reference_time\":{\"clock_type\":\"monotonic\",\"epoch\":\"unknown\","
      "\"epoch_unix_ms\":",
      title);
  put_time(&line, epoch_unix_ns);
  put(&line, "}}}}");
  return line.length;
}
