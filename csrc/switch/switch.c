/* The switch as a whole: its life, its ports and channels, its statistics. */
#include "multistack/switch.h"
#include "switch_internal.h"
#include <limits.h>

#define FIRST_BUCKETS 256u
#define ICMP_PER_S 1000u /* of a channel; Linux' own limit for the host */

static int init_tables(struct mst_switch *sw) {
  int error = mst__tuple_table_init(&sw->tuples, &sw->env);
  if (error) return error;
  if (!mst__hash_table_init(&sw->leases, &sw->env, FIRST_BUCKETS) ||
      !mst__hash_table_init(&sw->port_uses, &sw->env, FIRST_BUCKETS))
    return -MST_ENOMEM;
  sw->batch_memory = mst__switch_alloc(sw, MST__BATCH_BYTES);
  if (!sw->batch_memory) return -MST_ENOMEM;
  sw->batch = (struct mst__outgoing *)(((uintptr_t)sw->batch_memory + 63) & ~(uintptr_t)63);
  if (!sw->os) return 0;
  sw->routes = mst__switch_alloc(sw, MST__ROUTES * sizeof *sw->routes);
  return sw->routes ? 0 : -MST_ENOMEM;
}

static void free_tables(struct mst_switch *sw) {
  mst__tuple_table_free(&sw->tuples, &sw->env);
  mst__hash_table_free(&sw->leases, &sw->env);
  mst__hash_table_free(&sw->port_uses, &sw->env);
  mst__switch_free(sw, sw->batch_memory, MST__BATCH_BYTES);
  mst__switch_free(sw, sw->scratch, MST__SCRATCH_BYTES);
  mst__switch_free(sw, sw->routes, MST__ROUTES * sizeof *sw->routes);
  mst__switch_free(sw, sw->groups, sw->group_room * sizeof *sw->groups);
  mst__switch_free(sw, sw->channels, sw->channel_room * sizeof *sw->channels);
}

int mst_switch_create(const struct mst_switch_options *options, mst_switch **out) {
  if (!options || options->size != sizeof *options || !options->env.alloc || !options->env.free || !options->env.random)
    return -MST_EINVAL;
  struct mst_switch *sw = options->env.alloc(options->env.ctx, sizeof *sw);
  if (!sw) return -MST_ENOMEM;
  memset(sw, 0, sizeof *sw);
  sw->env = options->env;
  sw->os = options->os;
  sw->clock_ns = options->clock_ns;
  sw->clock_ctx = options->clock_ctx;
  sw->route_generation = sw->neighbour_generation = 1;
  sw->deadline_ns = UINT64_MAX;
  mst__list_init(&sw->waiting);
  mst__list_init(&sw->ready);
  mst__list_init(&sw->flows.gone);
  sw->env.random(sw->env.ctx, &sw->lease_key, sizeof sw->lease_key);
  sw->env.random(sw->env.ctx, &sw->sample_random, sizeof sw->sample_random);
  sw->sample_random |= 1;
  int error = init_tables(sw);
  if (error) {
    free_tables(sw);
    mst__switch_free(sw, sw, sizeof *sw);
    return error;
  }
  *out = sw;
  return 0;
}

void mst_switch_destroy(mst_switch *sw) {
  if (!sw) return;
  for (unsigned id = 0; id < sw->channel_room; id++) mst_switch_detach(sw, id);
  mst__neighbour_free(sw);
  mst__group_flow_free_all(sw);
  for (unsigned i = 0; i < sw->port_count; i++) sw->ports[i].port->ops->close(sw->ports[i].port);
  free_tables(sw);
  struct mst_env env = sw->env;
  env.free(env.ctx, sw, sizeof *sw);
}

/* A port that comes late must know what is held already. */
static int announce_leases(struct mst_switch *sw, struct mst_port *port) {
  if (!port->ops->tuple_add) return 0;
  for (uint32_t i = 0; i <= sw->leases.mask; i++) {
    for (struct mst__hash_node *node = sw->leases.buckets[i]; node; node = node->next) {
      int error = port->ops->tuple_add(port, &MST__CONTAINER(node, struct mst__lease, node)->tuple);
      if (error) return error;
    }
  }
  return 0;
}

int mst_switch_add_port(mst_switch *sw, struct mst_port *port) {
  if (sw->port_count == MST__PORTS_MAX) return -MST_ENOBUFS;
  for (unsigned i = 0; i < sw->port_count; i++)
    if (port->ifindex && sw->ports[i].port->ifindex == port->ifindex) return -MST_EEXIST;
  int error = announce_leases(sw, port);
  if (!error && port->ops->begin) error = port->ops->begin(port);
  if (error) return error;
  sw->ports[sw->port_count++] = (struct mst__switch_port){.port = port};
  if (!mst_addr_is_any(&port->addr4) || !mst_addr_is_any(&port->addr6)) sw->own_addresses = true;
  mst_switch_routes_changed(sw);
  return 0;
}

static int grow_channels(struct mst_switch *sw) {
  unsigned room = sw->channel_room ? 2 * sw->channel_room : 16;
  if (room > MST__CHANNELS_MAX) return -MST_ENOBUFS;
  struct mst__switch_channel **bigger = mst__switch_alloc(sw, room * sizeof *bigger);
  if (!bigger) return -MST_ENOMEM;
  if (sw->channel_room) memcpy(bigger, sw->channels, sw->channel_room * sizeof *bigger);
  mst__switch_free(sw, sw->channels, sw->channel_room * sizeof *bigger);
  sw->channels = bigger;
  sw->channel_room = room;
  return 0;
}

static int open_end(struct mst_switch *sw, struct mst__channel_end *end, const mst_channel *channel) {
  if (!channel) return 0;
  const struct mst__channel_geometry *geometry = mst__channel_geometry(channel);
  uint32_t *rx_ends = mst__switch_alloc(sw, geometry->rx_slots * sizeof *rx_ends);
  if (!rx_ends) return -MST_ENOMEM;
  mst__channel_end_init(end, geometry, rx_ends);
  return 0;
}

static void close_end(struct mst_switch *sw, struct mst__channel_end *end) {
  mst__switch_free(sw, end->rx_ends, end->geometry.rx_slots * sizeof *end->rx_ends);
  memset(end, 0, sizeof *end);
}

static void free_channel(struct mst_switch *sw, struct mst__switch_channel *channel) {
  close_end(sw, &channel->end);
  mst__switch_free(sw, channel, sizeof *channel);
}

static void set_options(struct mst__switch_channel *channel, const struct mst_switch_channel_options *options) {
  channel->options = *options;
  channel->packets_limit.per_s = options->packets_per_s;
  channel->bytes_limit.per_s = options->bytes_per_s;
  channel->icmp_rate.per_s = ICMP_PER_S;
  channel->limited = options->packets_per_s || options->bytes_per_s;
}

int mst_switch_attach(mst_switch *sw, mst_channel *channel, const struct mst_switch_channel_options *options,
                      unsigned *id) {
  if (options && options->size != sizeof *options) return -MST_EINVAL;
  unsigned free_id = 0;
  while (free_id < sw->channel_room && sw->channels[free_id]) free_id++;
  int error = free_id == sw->channel_room ? grow_channels(sw) : 0;
  if (!error && options && options->icmp_errors) error = mst__need_scratch(sw);
  if (error) return error;
  struct mst__switch_channel *attached = mst__switch_alloc(sw, sizeof *attached);
  if (!attached) return -MST_ENOMEM;
  attached->id = free_id;
  if (options) set_options(attached, options);
  mst__list_init(&attached->holdings);
  mst__patience_init(sw, attached);
  error = open_end(sw, &attached->end, channel);
  if (error) {
    free_channel(sw, attached);
    return error;
  }
  sw->channels[free_id] = attached;
  *id = free_id;
  return 0;
}

/* Nobody waits for it any more. */
static void forget_receiver(struct mst_switch *sw, const struct mst__switch_channel *gone) {
  for (unsigned id = 0; id < sw->channel_room; id++) {
    struct mst__switch_channel *channel = sw->channels[id];
    if (!channel || channel->stuck_on != gone) continue;
    channel->stuck_on = NULL;
    if (channel->hold == MST__HOLD_RECEIVER) channel->hold = MST__HOLD_NOT;
  }
}

void mst_switch_detach(mst_switch *sw, unsigned id) {
  struct mst__switch_channel *channel = mst__channel_of(sw, id);
  if (!channel) return;
  mst__lease_release_some(sw, channel, UINT_MAX);
  mst__neighbour_forget_channel(sw, id);
  mst__list_remove(&channel->ready);
  sw->observers -= channel->pcap != NULL;
  sw->channels[id] = NULL;
  forget_receiver(sw, channel);
  sw->stats.to_channel_packets += channel->stats.to_channel_packets;
  sw->stats.to_channel_bytes += channel->stats.to_channel_bytes;
  sw->stats.from_channel_packets += channel->stats.from_channel_packets;
  sw->stats.from_channel_bytes += channel->stats.from_channel_bytes;
  sw->stats.cpu_ns += channel->stats.cpu_ns;
  free_channel(sw, channel);
}

void mst_switch_abandon(mst_switch *sw, unsigned id) {
  struct mst__switch_channel *channel = mst__channel_of(sw, id);
  if (!channel) return;
  mst__neighbour_forget_channel(sw, id);
  mst__list_remove(&channel->ready);
  forget_receiver(sw, channel);
  channel->options.ring = NULL;
  close_end(sw, &channel->end);
}

bool mst_switch_detach_some(mst_switch *sw, unsigned id, unsigned leases) {
  struct mst__switch_channel *channel = mst__channel_of(sw, id);
  if (channel && !mst__lease_release_some(sw, channel, leases)) return false;
  mst_switch_detach(sw, id);
  return true;
}

void mst_switch_neighbours_changed(mst_switch *sw) {
  sw->neighbour_generation++;
  if (!sw->waiting_count) return;
  mst__neighbour_retry(sw);
  mst__ports_flush(sw);
}

size_t mst_switch_process(mst_switch *sw, unsigned budget, uint64_t now_ns) {
  size_t done = mst_switch_process_ports(sw, budget, now_ns);
  return done + mst_switch_process_channels(sw, budget, now_ns);
}

int mst_switch_channel_stats(const mst_switch *sw, unsigned id, struct mst_switch_stats *out) {
  const struct mst__switch_channel *channel = mst__channel_of(sw, id);
  if (!channel) return -MST_EBADF;
  *out = channel->stats;
  return 0;
}

void mst_switch_get_stats(const mst_switch *sw, struct mst_switch_stats *out) {
  *out = sw->stats; /* drops, and the packets of channels that are gone */
  for (unsigned id = 0; id < sw->channel_room; id++) {
    const struct mst__switch_channel *channel = sw->channels[id];
    if (!channel) continue;
    out->to_channel_packets += channel->stats.to_channel_packets;
    out->to_channel_bytes += channel->stats.to_channel_bytes;
    out->from_channel_packets += channel->stats.from_channel_packets;
    out->from_channel_bytes += channel->stats.from_channel_bytes;
    out->cpu_ns += channel->stats.cpu_ns;
  }
}

void mst_switch_each_port(const mst_switch *sw, void (*each)(struct mst_port *port, void *user), void *user) {
  for (unsigned i = 0; i < sw->port_count; i++) each(sw->ports[i].port, user);
}
