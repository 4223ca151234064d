#include "observe.h"
#include "switch_internal.h"
#include "wire/ip.h"

int mst__need_scratch(struct mst_switch *sw) {
  if (!sw->scratch) sw->scratch = mst__switch_alloc(sw, MST__SCRATCH_BYTES);
  return sw->scratch ? 0 : -MST_ENOMEM;
}

void mst__own_packet(struct mst_switch *sw, struct mst__taken *taken) {
  uint8_t *next = sw->scratch;
  memcpy(next, taken->bytes, taken->inline_bytes);
  next += taken->inline_bytes;
  if (!taken->frag_count) return;
  for (unsigned i = 0; i < taken->frag_count; i++) {
    memcpy(next, taken->base + taken->frags[i].offset, taken->frags[i].len);
    next += taken->frags[i].len;
  }
  taken->base = sw->scratch;
  taken->frags[0] = (struct mst__tx_frag){.offset = taken->inline_bytes, .len = taken->len - taken->inline_bytes};
  taken->frag_count = 1;
}

/* --- who sees what --- */

static bool is_endpoint(const struct mst_switch_filter *filter, const struct mst_addr *addr, uint16_t port) {
  return (mst_addr_is_any(&filter->addr) || mst_addr_equal(&filter->addr, addr)) &&
         (!filter->port || filter->port == port);
}

static bool matches(const struct mst_switch_filter *filter, const struct mst_switch_seen *packet) {
  struct mst__ip ip;
  if (mst_addr_is_any(&filter->addr) && !filter->port && !filter->protocol) return true;
  if (mst__ip_parse(packet->data, packet->len, &ip)) return false;
  if (filter->protocol && filter->protocol != ip.protocol) return false;
  bool has_ports = (ip.protocol == MST_TCP || ip.protocol == MST_UDP) && ip.payload_bytes >= 4;
  return is_endpoint(filter, &ip.source, has_ports ? mst__get16(ip.payload) : 0) ||
         is_endpoint(filter, &ip.destination, has_ports ? mst__get16(ip.payload + 2) : 0);
}

static void show(const struct mst_switch *sw, const struct mst_switch_seen *packet) {
  for (unsigned i = 0; i < MST__CAPTURES_MAX; i++) {
    const struct mst__capture *capture = &sw->captures[i];
    if (!capture->seen) continue;
    const struct mst_switch_filter *filter = &capture->filter;
    bool here = packet->port ? !strcmp(packet->port, filter->port_name)
                             : !*filter->port_name && (filter->id == MST_SWITCH_ANY || filter->id == packet->id);
    if (here && matches(filter, packet)) capture->seen(capture->user, packet);
  }
}

void mst__observe_channel(struct mst_switch *sw, const struct mst__switch_channel *channel,
                          struct mst_switch_seen *packet) {
  packet->id = channel->id;
  packet->now_ns = sw->now_ns;
  if (channel->pcap)
    mst_pcap_write(channel->pcap, channel->pcap_name, packet->outbound, &(struct mst_iov){packet->data, packet->len}, 1,
                   sw->now_ns + (uint64_t)sw->realtime_offset_ns);
  show(sw, packet);
}

void mst__observe_port(struct mst_switch *sw, const struct mst__switch_port *port, struct mst_switch_seen *packet) {
  packet->id = MST_SWITCH_ANY;
  packet->now_ns = sw->now_ns;
  packet->port = port->port->name;
  show(sw, packet);
}

/* A channel's packet lies in the scratch already, header and payload in their places. */
void mst__observe_departing(struct mst_switch *sw, const struct mst__switch_port *port,
                            const struct mst__departing *packet) {
  uint8_t *next = sw->scratch;
  memmove(next, packet->header, packet->header_bytes);
  next += packet->header_bytes;
  uint32_t left = packet->payload_bytes;
  for (const struct mst_iov *iov = packet->payload; left; left -= (uint32_t)iov->len, iov++) {
    memmove(next, iov->base, iov->len);
    next += iov->len;
  }
  mst__observe_port(sw, port,
                    &(struct mst_switch_seen){.data = sw->scratch,
                                              .len = packet->header_bytes + packet->payload_bytes,
                                              .gso_size = packet->gso_size,
                                              .flags = packet->flags,
                                              .outbound = true});
}

/* --- who asks --- */

int mst_switch_capture(mst_switch *sw, const struct mst_switch_filter *filter, mst_switch_seen_fn *seen, void *user) {
  if (filter->size != sizeof *filter || !seen) return -MST_EINVAL;
  if (!memchr(filter->port_name, 0, sizeof filter->port_name)) return -MST_EINVAL;
  unsigned i = 0;
  while (i < MST__CAPTURES_MAX && sw->captures[i].seen) i++;
  if (i == MST__CAPTURES_MAX) return -MST_ENOBUFS;
  int error = mst__need_scratch(sw);
  if (error) return error;
  sw->captures[i] = (struct mst__capture){.filter = *filter, .seen = seen, .user = user};
  sw->observers++;
  return (int)i;
}

void mst_switch_capture_end(mst_switch *sw, int capture) {
  if (capture < 0 || (unsigned)capture >= MST__CAPTURES_MAX || !sw->captures[capture].seen) return;
  sw->captures[capture].seen = NULL;
  sw->observers--;
}

void mst_switch_tee(mst_switch *sw, unsigned id, mst_pcap *pcap, const char *name) {
  struct mst__switch_channel *channel = mst__channel_of(sw, id);
  if (!channel || (pcap && mst__need_scratch(sw))) return;
  sw->observers -= channel->pcap != NULL;
  sw->observers += pcap != NULL;
  channel->pcap = pcap;
  strncpy(channel->pcap_name, name ? name : "", sizeof channel->pcap_name - 1);
}
