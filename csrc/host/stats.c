/* All statistics of a host as one JSON object. */
#include "host_internal.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Appends as snprintf does: counts on when the room is used up. */
struct writer {
  char *out;
  size_t room, length;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...) {
  bool fits = w->length < w->room;
  char *to = fits ? w->out + w->length : NULL;
  size_t room = fits ? w->room - w->length : 0;
  va_list args;
  va_start(args, format);
  /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it does not see va_start when it inlines this */
  int n = vsnprintf(to, room, format, args);
  va_end(args);
  if (n > 0) w->length += (size_t)n;
}

static void put_string(struct writer *w, const char *text) {
  put(w, "\"");
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\')
      put(w, "\\%c", c);
    else if (c < 0x20)
      put(w, "\\u%04x", c);
    else
      put(w, "%c", c);
  }
  put(w, "\"");
}

static void put_drops(struct writer *w, const uint64_t *drops) {
  const char *comma = "";
  put(w, "\"drops\":{");
  for (int i = 1; i < MST_DROP_COUNT; i++) {
    if (!drops[i]) continue;
    put(w, "%s\"%s\":%" PRIu64, comma, mst_drop_name((enum mst_drop)i), drops[i]);
    comma = ",";
  }
  put(w, "}");
}

static void put_switch_stats(struct writer *w, const struct mst_switch_stats *stats) {
  put(w,
      "\"to_channel_packets\":%" PRIu64 ",\"to_channel_bytes\":%" PRIu64 ",\"from_channel_packets\":%" PRIu64
      ",\"from_channel_bytes\":%" PRIu64 ",",
      stats->to_channel_packets, stats->to_channel_bytes, stats->from_channel_packets, stats->from_channel_bytes);
  put_drops(w, stats->drops);
}

struct port_writer {
  struct writer *w;
  const char *comma;
};

static void put_port(struct mst_port *port, void *user) {
  struct port_writer *p = user;
  struct writer *w = p->w;
  struct mst_port_stats stats = {0};
  port->ops->get_stats(port, &stats);
  put(w, "%s{\"name\":", p->comma);
  put_string(w, port->name);
  put(w, ",\"mode\":");
  put_string(w, stats.mode);
  put(w, ",\"reason\":");
  put_string(w, stats.reason);
  put(w, ",\"mtu\":%" PRIu32 ",\"queues\":%" PRIu32 ",\"zero_copy\":%s", port->mtu, stats.queues,
      stats.zero_copy ? "true" : "false");
  put(w,
      ",\"rx_packets\":%" PRIu64 ",\"rx_bytes\":%" PRIu64 ",\"tx_packets\":%" PRIu64 ",\"tx_bytes\":%" PRIu64
      ",\"rx_dropped\":%" PRIu64 ",\"tx_dropped\":%" PRIu64 "}",
      stats.rx_packets, stats.rx_bytes, stats.tx_packets, stats.tx_bytes, stats.rx_dropped, stats.tx_dropped);
  p->comma = ",";
}

static uint64_t counter_value(const struct mst_stack_stats *stats, const struct mst_stack_counter *counter) {
  uint64_t value;
  memcpy(&value, (const char *)stats + counter->offset, sizeof value);
  return value;
}

/* By our names, and under "nstat" by Linux's. */
static void put_counters(struct writer *w, const struct mst_stack_stats *stats) {
  const struct mst_stack_counter *counter;
  const char *comma = "";
  for (size_t i = 0; (counter = mst_stack_counter_at(i)) && counter->offset < offsetof(struct mst_stack_stats, drops);
       i++)
    put(w, ",\"%s\":%" PRIu64, counter->name, counter_value(stats, counter));
  put(w, ",\"nstat\":{");
  for (size_t i = 0; (counter = mst_stack_counter_at(i)); i++) {
    if (!counter->nstat) continue;
    put(w, "%s\"%s\":%" PRIu64, comma, counter->nstat, counter_value(stats, counter));
    comma = ",";
  }
  put(w, "}");
}

static void put_stack(struct writer *w, const struct mst__host_stack *entry) {
  struct mst_stack_stats stats;
  struct mst_switch_stats channel = {0};
  mst_stack_get_stats(entry->stack, &stats);
  mst_switch_channel_stats(entry->host->sw, entry->id, &channel);
  put(w, "{\"channel\":{\"id\":%u,", entry->id);
  put_switch_stats(w, &channel);
  put(w, "}");
  put_counters(w, &stats);
  put(w, ",\"conns\":%" PRIu64 ",\"time_wait\":%" PRIu64 ",\"memory_bytes\":%" PRIu64 ",", stats.conns, stats.time_wait,
      stats.memory_bytes);
  put_drops(w, stats.drops);
  put(w, "}");
}

int mst_host_stats_json(mst_host *host, char *out, size_t bytes) {
  struct writer w = {out, bytes, 0};
  struct mst_switch_stats stats;
  struct port_writer ports = {&w, ""};
  put(&w, "{\"ports\":[");
  mst_switch_each_port(host->sw, put_port, &ports);
  put(&w, "],\"switch\":{");
  mst_switch_get_stats(host->sw, &stats);
  put_switch_stats(&w, &stats);
  put(&w, "},\"stacks\":[");
  for (const struct mst__host_stack *entry = host->stacks; entry; entry = entry->next) {
    put_stack(&w, entry);
    if (entry->next) put(&w, ",");
  }
  put(&w, "]}");
  return (int)w.length;
}
