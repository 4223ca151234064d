/* A port that records what another port carries. */
#include "port_internal.h"

#include <stdlib.h>
#include <time.h>

#define ETHERNET_BYTES 14u

struct pcap_port {
  struct mst_port port;
  struct mst_port_ops ops; /* those that the inner port has */
  struct mst_port *inner;
  mst_pcap *pcap;
  const uint8_t *room; /* where the packet under way will be, behind layer 2 */
};

static struct pcap_port *self(struct mst_port *port) {
  return (struct pcap_port *)port;
}

static uint64_t realtime_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int pcap_receive(struct mst_port *port, struct mst_port_rx *out, unsigned count) {
  struct pcap_port *p = self(port);
  int n = p->inner->ops->receive(p->inner, out, count);
  uint64_t now = n > 0 ? realtime_ns() : 0;
  for (int i = 0; i < n; i++)
    mst_pcap_write(p->pcap, p->port.name, false, &(struct mst_iov){out[i].data, out[i].len}, 1, now);
  return n;
}

static void pcap_release(struct mst_port *port) {
  struct pcap_port *p = self(port);
  p->inner->ops->release(p->inner);
}

static uint8_t *pcap_tx_reserve(struct mst_port *port, uint32_t bytes) {
  struct pcap_port *p = self(port);
  uint8_t *room = p->inner->ops->tx_reserve(p->inner, bytes);
  p->room = room;
  return room;
}

static void pcap_tx_commit(struct mst_port *port, uint32_t len, uint16_t gso_size, uint8_t flags) {
  struct pcap_port *p = self(port);
  uint32_t layer2 = p->port.caps & MST_PORT_ETHERNET ? ETHERNET_BYTES : 0;
  if (len > layer2 && p->room)
    mst_pcap_write(p->pcap, p->port.name, true, &(struct mst_iov){p->room + layer2, len - layer2}, 1, realtime_ns());
  p->room = NULL;
  p->inner->ops->tx_commit(p->inner, len, gso_size, flags);
}

static void pcap_flush(struct mst_port *port) {
  struct pcap_port *p = self(port);
  p->inner->ops->flush(p->inner);
}

static int pcap_tuple_add(struct mst_port *port, const struct mst_tuple *tuple) {
  struct pcap_port *p = self(port);
  return p->inner->ops->tuple_add(p->inner, tuple);
}

static void pcap_tuple_remove(struct mst_port *port, const struct mst_tuple *tuple) {
  struct pcap_port *p = self(port);
  p->inner->ops->tuple_remove(p->inner, tuple);
}

static unsigned pcap_wait_fds(struct mst_port *port, int *fds, unsigned count) {
  struct pcap_port *p = self(port);
  return p->inner->ops->wait_fds(p->inner, fds, count);
}

static void pcap_get_stats(struct mst_port *port, struct mst_port_stats *out) {
  struct pcap_port *p = self(port);
  p->inner->ops->get_stats(p->inner, out);
}

static unsigned pcap_export_fds(struct mst_port *port, int *fds, unsigned count) {
  struct pcap_port *p = self(port);
  return p->inner->ops->export_fds(p->inner, fds, count);
}

static int pcap_begin(struct mst_port *port) {
  struct pcap_port *p = self(port);
  return p->inner->ops->begin(p->inner);
}

static void pcap_close(struct mst_port *port) {
  struct pcap_port *p = self(port);
  p->inner->ops->close(p->inner);
  mst_pcap_close(p->pcap);
  free(p);
}

int mst_port_pcap(struct mst_port *inner, const char *path, struct mst_port **out, struct mst_failure *failure) {
  *out = NULL;
  struct pcap_port *p = calloc(1, sizeof *p);
  if (!p) return mst__port_fail(failure, -MST_ENOMEM, "pcap %s: out of memory", path);
  int error = mst_pcap_open(path, &p->pcap, failure);
  if (error) {
    free(p);
    return error;
  }
  p->inner = inner;
  p->port = *inner;
  p->port.ops = &p->ops;
  p->ops = (struct mst_port_ops){
      .receive = pcap_receive,
      .release = pcap_release,
      .tx_reserve = pcap_tx_reserve,
      .tx_commit = pcap_tx_commit,
      .flush = pcap_flush,
      .tuple_add = inner->ops->tuple_add ? pcap_tuple_add : NULL,
      .tuple_remove = inner->ops->tuple_remove ? pcap_tuple_remove : NULL,
      .wait_fds = pcap_wait_fds,
      .get_stats = pcap_get_stats,
      .close = pcap_close,
      .export_fds = inner->ops->export_fds ? pcap_export_fds : NULL,
      .begin = inner->ops->begin ? pcap_begin : NULL,
  };
  *out = &p->port;
  return 0;
}
