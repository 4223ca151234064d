/* All statistics of a host as one JSON object. */
#include "stats.h"
#include "host_internal.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void mst__json_put_drops(struct mst__json *w, const uint64_t drops[MST_DROP_COUNT]) {
  const char *comma = "";
  mst__json_put(w, "\"drops\":{");
  for (int i = 1; i < MST_DROP_COUNT; i++) {
    if (!drops[i]) continue;
    mst__json_put(w, "%s\"%s\":%" PRIu64, comma, mst_drop_name((enum mst_drop)i), drops[i]);
    comma = ",";
  }
  mst__json_put(w, "}");
}

void mst__json_put_switch_stats(struct mst__json *w, const struct mst_switch_stats *stats) {
  mst__json_put(w,
                "\"to_channel_packets\":%" PRIu64 ",\"to_channel_bytes\":%" PRIu64 ",\"from_channel_packets\":%" PRIu64
                ",\"from_channel_bytes\":%" PRIu64 ",\"cpu_ns\":%" PRIu64 ",",
                stats->to_channel_packets, stats->to_channel_bytes, stats->from_channel_packets,
                stats->from_channel_bytes, stats->cpu_ns);
  mst__json_put_drops(w, stats->drops);
}

struct port_writer {
  struct mst__json *w;
  const char *comma;
};

static void put_port(struct mst_port *port, void *user) {
  struct port_writer *p = user;
  struct mst__json *w = p->w;
  struct mst_port_stats stats = {0};
  port->ops->get_stats(port, &stats);
  mst__json_put(w, "%s{\"name\":", p->comma);
  mst__json_put_string(w, port->name);
  mst__json_put(w, ",\"mode\":");
  mst__json_put_string(w, stats.mode);
  mst__json_put(w, ",\"reason\":");
  mst__json_put_string(w, stats.reason);
  mst__json_put(w, ",\"mtu\":%" PRIu32 ",\"queues\":%" PRIu32 ",\"zero_copy\":%s", port->mtu, stats.queues,
                stats.zero_copy ? "true" : "false");
  mst__json_put(w,
                ",\"rx_packets\":%" PRIu64 ",\"rx_bytes\":%" PRIu64 ",\"tx_packets\":%" PRIu64 ",\"tx_bytes\":%" PRIu64
                ",\"rx_dropped\":%" PRIu64 ",\"tx_dropped\":%" PRIu64 "}",
                stats.rx_packets, stats.rx_bytes, stats.tx_packets, stats.tx_bytes, stats.rx_dropped, stats.tx_dropped);
  p->comma = ",";
}

void mst__json_put_ports(struct mst__json *w, const mst_switch *sw) {
  struct port_writer ports = {w, ""};
  mst__json_put(w, "\"ports\":[");
  mst_switch_each_port(sw, put_port, &ports);
  mst__json_put(w, "]");
}

static uint64_t counter_value(const struct mst_stack_stats *stats, const struct mst_stack_counter *counter) {
  uint64_t value;
  memcpy(&value, (const char *)stats + counter->offset, sizeof value);
  return value;
}

/* By our names, and under "nstat" by Linux's. */
static void put_counters(struct mst__json *w, const struct mst_stack_stats *stats) {
  const struct mst_stack_counter *counter;
  const char *comma = "";
  for (size_t i = 0; (counter = mst_stack_counter_at(i)) && counter->offset < offsetof(struct mst_stack_stats, drops);
       i++)
    mst__json_put(w, ",\"%s\":%" PRIu64, counter->name, counter_value(stats, counter));
  mst__json_put(w, ",\"nstat\":{");
  for (size_t i = 0; (counter = mst_stack_counter_at(i)); i++) {
    if (!counter->nstat) continue;
    mst__json_put(w, "%s\"%s\":%" PRIu64, comma, counter->nstat, counter_value(stats, counter));
    comma = ",";
  }
  mst__json_put(w, "}");
}

static void put_stack(struct mst__json *w, const struct mst__host_stack *entry) {
  struct mst_stack_stats stats;
  struct mst_switch_stats channel = {0};
  mst_stack_get_stats(entry->stack, &stats);
  mst_switch_channel_stats(entry->host->sw, entry->id, &channel);
  mst__json_put(w, "{\"channel\":{\"id\":%u,", entry->id);
  mst__json_put_switch_stats(w, &channel);
  mst__json_put(w, "}");
  put_counters(w, &stats);
  mst__json_put(w, ",\"conns\":%" PRIu64 ",\"time_wait\":%" PRIu64 ",\"memory_bytes\":%" PRIu64 ",", stats.conns,
                stats.time_wait, stats.memory_bytes);
  mst__json_put_drops(w, stats.drops);
  mst__json_put(w, "}");
}

int mst_host_stats_json(mst_host *host, char *out, size_t bytes) {
  struct mst__json w = {.out = out, .room = bytes};
  struct mst_switch_stats stats;
  mst__json_put(&w, "{");
  mst__json_put_ports(&w, host->sw);
  mst__json_put(&w, ",\"switch\":{");
  mst_switch_get_stats(host->sw, &stats);
  mst__json_put_switch_stats(&w, &stats);
  mst__json_put(&w, "},\"stacks\":[");
  for (const struct mst__host_stack *entry = host->stacks; entry; entry = entry->next) {
    put_stack(&w, entry);
    if (entry->next) mst__json_put(&w, ",");
  }
  mst__json_put(&w, "]}");
  return (int)w.length;
}
