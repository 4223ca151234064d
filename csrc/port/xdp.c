/* AF_XDP on a NIC, a veth or lo: one socket for each receive queue, the first of which transmits too. */
#include "xdp.h"
#include "xdp_maps.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define RX_FRAME_BYTES 4096u
#define RETRY_NS 200000 /* between looks at a transmit ring that was full */
#define BUSY_RETRY_NS 10000000
#define BUSY_RETRIES 100u

struct xdp_port {
  struct mst_port port;
  struct mst__xdp_device device;
  struct mst__xdp_program program;
  struct mst__xdp_watch watch;
  struct mst__xdp_loopback *loopback; /* transmits on lo, else NULL */
  struct mst__xdp_queue *queues;
  uint32_t queue_count;
  uint32_t next_queue; /* where receive begins: each queue has its turn */
  struct mst__xdp_bounce bounce;
  uint8_t *void_frame; /* what is written while the device is down goes nowhere */
  uint8_t *reserved;   /* by frame_tx_reserve */
  int retry_timer;
  bool retry_armed;
  time_t watched_s; /* coarse clock at the last look at `watch` */
  long watched_ns;
  uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, tx_dropped;
  char reason[MST__PORT_REASON_BYTES];
};

struct open_options {
  enum mst__xdp_mode mode;
  uint32_t queues; /* 0: all */
};

static struct xdp_port *self(struct mst_port *port) {
  return (struct xdp_port *)port;
}

/* --- receive ----------------------------------------------------------------------------------------------------- */

/* Once a tick of the coarse clock, which costs no system call: the loop's rounds are far more frequent. */
static void watch_sometimes(struct xdp_port *p) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  if (now.tv_nsec == p->watched_ns && now.tv_sec == p->watched_s) return;
  p->watched_s = now.tv_sec;
  p->watched_ns = now.tv_nsec;
  mst__xdp_watch_poll(&p->watch);
}

/* When the kernel takes no more to transmit it does not say when it would again: look after a while. */
static void arm_retry(struct xdp_port *p) {
  static const struct itimerspec once = {.it_value.tv_nsec = RETRY_NS};
  if (!p->retry_armed && !p->watch.gone) p->retry_armed = timerfd_settime(p->retry_timer, 0, &once, NULL) == 0;
}

static void retry_if_due(struct xdp_port *p) {
  static const struct itimerspec never;
  uint64_t expirations;
  if (!p->retry_armed) return;
  if (p->watch.gone) {
    p->retry_armed = timerfd_settime(p->retry_timer, 0, &never, NULL) != 0;
  } else if (read(p->retry_timer, &expirations, sizeof expirations) > 0) {
    p->retry_armed = false;
    if (!mst__xdp_queue_flush(&p->queues[0])) arm_retry(p);
  }
}

static int xdp_receive(struct mst_port *port, struct mst_port_rx *out, unsigned count) {
  struct xdp_port *p = self(port);
  watch_sometimes(p);
  retry_if_due(p);
  if (p->watch.gone) return -MST_ENETDOWN;
  unsigned n = 0;
  for (uint32_t i = 0; i < p->queue_count && n < count; i++) {
    struct mst__xdp_queue *queue = &p->queues[(p->next_queue + i) % p->queue_count];
    n += mst__xdp_queue_receive(queue, &p->bounce, out + n, count - n);
  }
  if (++p->next_queue >= p->queue_count) p->next_queue = 0;
  for (unsigned i = 0; i < n; i++) {
    p->rx_bytes += out[i].len;
    if (p->device.loopback) out[i].flags = MST_CSUM_VALID; /* it has not left this host's memory */
  }
  p->rx_packets += n;
  return (int)n;
}

static void xdp_release(struct mst_port *port) {
  struct xdp_port *p = self(port);
  for (uint32_t i = 0; i < p->queue_count; i++) mst__xdp_queue_release(&p->queues[i]);
  p->bounce.used = 0;
}

/* --- transmit ---------------------------------------------------------------------------------------------------- */

static uint8_t *loopback_tx_reserve(struct mst_port *port, uint32_t bytes) {
  struct xdp_port *p = self(port);
  if (bytes > MST_PACKET_BYTES_MAX) return NULL;
  uint8_t *room = mst__xdp_loopback_reserve(p->loopback, bytes);
  if (room) return room;
  p->tx_dropped += mst__xdp_loopback_flush(p->loopback);
  return mst__xdp_loopback_reserve(p->loopback, bytes);
}

static void loopback_tx_commit(struct mst_port *port, uint32_t len, uint16_t gso_size, uint8_t flags) {
  struct xdp_port *p = self(port);
  (void)gso_size;
  (void)flags;
  mst__xdp_loopback_commit(p->loopback, len);
  p->tx_packets += len > 0;
  p->tx_bytes += len;
}

static void loopback_flush(struct mst_port *port) {
  struct xdp_port *p = self(port);
  p->tx_dropped += mst__xdp_loopback_flush(p->loopback);
}

static uint8_t *frame_tx_reserve(struct mst_port *port, uint32_t bytes) {
  struct xdp_port *p = self(port);
  if (bytes > MST__XDP_TX_BYTES_MAX) return NULL;
  p->reserved = mst__xdp_queue_reserve(&p->queues[0]);
  if (!p->reserved && (p->watch.gone || p->queues[0].tx_down)) p->reserved = p->void_frame;
  if (!p->reserved) arm_retry(p);
  return p->reserved;
}

static void frame_tx_commit(struct mst_port *port, uint32_t len, uint16_t gso_size, uint8_t flags) {
  struct xdp_port *p = self(port);
  (void)gso_size;
  if (len <= MST__ETHERNET_BYTES || len > MST__XDP_TX_BYTES_MAX) return;
  struct mst__checksum_place checksum;
  bool partial = flags & MST_CSUM_PARTIAL;
  if (p->reserved == p->void_frame ||
      (partial && !mst__port_checksum_place(p->reserved + MST__ETHERNET_BYTES, len - MST__ETHERNET_BYTES, &checksum))) {
    p->tx_dropped++;
    return;
  }
  mst__xdp_queue_commit(&p->queues[0], len, partial ? &checksum : NULL);
  p->tx_packets++;
  p->tx_bytes += len;
}

static void frame_flush(struct mst_port *port) {
  struct xdp_port *p = self(port);
  if (!mst__xdp_queue_flush(&p->queues[0])) arm_retry(p);
}

/* --- the rest ---------------------------------------------------------------------------------------------------- */

static int xdp_tuple_add(struct mst_port *port, const struct mst_tuple *tuple) {
  struct xdp_port *p = self(port);
  if (mst_addr_is_any(&tuple->addr)) mst__xdp_watch_poll(&p->watch); /* an address that was added a moment ago */
  return p->watch.gone ? -MST_ENETDOWN : mst__xdp_program_hold(&p->program, tuple);
}

static void xdp_tuple_remove(struct mst_port *port, const struct mst_tuple *tuple) {
  mst__xdp_program_unhold(&self(port)->program, tuple);
}

static unsigned xdp_wait_fds(struct mst_port *port, int *fds, unsigned count) {
  struct xdp_port *p = self(port);
  unsigned n = 0;
  if (n < count) fds[n++] = p->watch.fd;
  if (n < count && p->retry_timer >= 0) fds[n++] = p->retry_timer;
  for (uint32_t i = 0; i < p->queue_count && n < count; i++) fds[n++] = p->queues[i].rx_fd;
  return n;
}

static void xdp_get_stats(struct mst_port *port, struct mst_port_stats *out) {
  const struct xdp_port *p = self(port);
  *out = (struct mst_port_stats){.rx_packets = p->rx_packets,
                                 .rx_bytes = p->rx_bytes,
                                 .tx_packets = p->tx_packets,
                                 .tx_bytes = p->tx_bytes,
                                 .tx_dropped = p->tx_dropped,
                                 .queues = p->queue_count,
                                 .zero_copy = p->queues[0].zero_copy};
  strcpy(out->mode, p->program.native ? "native" : "generic");
  memcpy(out->reason, p->reason, sizeof out->reason);
  out->rx_dropped = mst__xdp_program_unserved(&p->program);
  struct xdp_statistics kernel;
  socklen_t bytes = sizeof kernel;
  for (uint32_t i = 0; i < p->queue_count; i++) {
    if (getsockopt(p->queues[i].rx_fd, SOL_XDP, XDP_STATISTICS, &kernel, &bytes)) continue;
    out->rx_dropped += kernel.rx_dropped + kernel.rx_ring_full;
  }
  if (p->queues[0].tx_fd >= 0 && !getsockopt(p->queues[0].tx_fd, SOL_XDP, XDP_STATISTICS, &kernel, &bytes))
    out->tx_dropped += kernel.tx_invalid_descs;
}

static unsigned xdp_export_fds(struct mst_port *port, int *fds, unsigned count) {
  return mst__xdp_program_export(&self(port)->program, fds, count);
}

static int xdp_begin(struct mst_port *port) {
  return mst__xdp_program_begin(&self(port)->program);
}

static void xdp_close(struct mst_port *port) {
  struct xdp_port *p = self(port);
  mst__xdp_program_close(&p->program); /* first: from here on all packets are the OS's */
  for (uint32_t i = 0; p->queues && i < p->queue_count; i++) mst__xdp_queue_close(&p->queues[i]);
  free(p->queues);
  if (p->loopback) mst__xdp_loopback_close(p->loopback);
  mst__xdp_watch_close(&p->watch);
  if (p->retry_timer >= 0) close(p->retry_timer);
  free(p->bounce.data);
  free(p->void_frame);
  free(p);
}

static const struct mst_port_ops frame_ops = {
    .receive = xdp_receive,
    .release = xdp_release,
    .tx_reserve = frame_tx_reserve,
    .tx_commit = frame_tx_commit,
    .flush = frame_flush,
    .tuple_add = xdp_tuple_add,
    .tuple_remove = xdp_tuple_remove,
    .wait_fds = xdp_wait_fds,
    .get_stats = xdp_get_stats,
    .close = xdp_close,
    .export_fds = xdp_export_fds,
    .begin = xdp_begin,
};

static const struct mst_port_ops loopback_ops = {
    .receive = xdp_receive,
    .release = xdp_release,
    .tx_reserve = loopback_tx_reserve,
    .tx_commit = loopback_tx_commit,
    .flush = loopback_flush,
    .tuple_add = xdp_tuple_add,
    .tuple_remove = xdp_tuple_remove,
    .wait_fds = xdp_wait_fds,
    .get_stats = xdp_get_stats,
    .close = xdp_close,
    .export_fds = xdp_export_fds,
    .begin = xdp_begin,
};

/* --- open -------------------------------------------------------------------------------------------------------- */

static int parse_options(const char *device, char *rest, struct open_options *out, struct mst_failure *failure) {
  char *key, *value, *end;
  while (mst__port_option(&rest, &key, &value)) {
    if (!strcmp(key, "mode") && !strcmp(value, "native")) {
      out->mode = MST__XDP_NATIVE;
    } else if (!strcmp(key, "mode") && !strcmp(value, "generic")) {
      out->mode = MST__XDP_GENERIC;
    } else if (!strcmp(key, "queues") && *value) {
      unsigned long queues = strtoul(value, &end, 10);
      if (*end || !queues || queues > MST__XDP_QUEUES_MAX)
        return mst__port_fail(failure, -MST_EINVAL, "xdp:%s: queues=%s: write a number from 1 to %d", device, value,
                              MST__XDP_QUEUES_MAX);
      out->queues = (uint32_t)queues;
    } else {
      return mst__port_fail(failure, -MST_EINVAL,
                            "xdp:%s: option \"%s=%s\" is not known: there are mode=native, mode=generic and queues=N",
                            device, key, value);
    }
  }
  return 0;
}

/* The kernel lets go of a queue a moment after the program that had it has ended: a restart waits for that. */
static int open_queue(struct xdp_port *p, uint32_t index, bool transmit) {
  static const struct timespec pause = {.tv_nsec = BUSY_RETRY_NS};
  for (unsigned retries = BUSY_RETRIES;; retries--) {
    int error = mst__xdp_queue_open(&p->queues[index], &p->device, index, transmit, p->program.native, p->reason);
    if (error != -EBUSY || !retries) return error;
    nanosleep(&pause, NULL);
  }
}

static int open_queues(struct xdp_port *p, struct mst_failure *failure) {
  p->queues = calloc(p->queue_count, sizeof *p->queues);
  if (!p->queues) return mst__port_fail(failure, -MST_ENOMEM, "xdp:%s: out of memory", p->device.name);
  for (uint32_t i = 0; i < p->queue_count; i++) p->queues[i].rx_fd = p->queues[i].tx_fd = -1;
  for (uint32_t i = 0; i < p->queue_count; i++) {
    bool transmit = i == 0 && !p->device.loopback;
    int error = open_queue(p, i, transmit);
    int fd = error ? -1 : p->queues[i].rx_fd;
    if (!error && bpf_map_update_elem(p->program.sockets, &i, &fd, BPF_ANY)) error = -errno;
    if (!error) continue;
    if (error == -EAFNOSUPPORT)
      return mst__port_fail(failure, -MST_ENOSYS,
                            "xdp:%s: this kernel has no AF_XDP sockets: one built with CONFIG_XDP_SOCKETS is wanted",
                            p->device.name);
    if (error == -EPERM || error == -EACCES)
      return mst__port_fail(failure, -MST_EPERM,
                            "xdp:%s: not permitted to open an AF_XDP socket: run as root, or with the capabilities "
                            "CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON and CAP_IPC_LOCK",
                            p->device.name);
    if (error == -ENOBUFS)
      return mst__port_fail(failure, -MST_ENOBUFS,
                            "xdp:%s: not permitted to lock memory for packets: raise `ulimit -l` or add CAP_IPC_LOCK",
                            p->device.name);
    if (error == -EBUSY)
      return mst__port_fail(failure, -MST_EBUSY,
                            "xdp:%s: queue %u has an AF_XDP socket of another program: end that, or choose fewer "
                            "queues with queues=N",
                            p->device.name, i);
    return mst__port_fail(failure, error, "xdp:%s: cannot bind an AF_XDP socket to queue %u: %s", p->device.name, i,
                          strerror(-error));
  }
  return 0;
}

/* Before Linux 6.6 a packet that is larger than a frame is lost, so promise no more. In native mode none comes; in
 * generic mode and on lo the OS merges and leaves unsegmented what it can. */
static void limit_to_one_frame(struct xdp_port *p) {
  uint32_t most = RX_FRAME_BYTES - XDP_PACKET_HEADROOM - MST__ETHERNET_BYTES;
  if (p->program.frags && p->queues[0].multi_buffer) return;
  if (p->port.mtu > most) p->port.mtu = most;
  if (!p->program.native) mst__port_reason(p->reason, "packets above %u bytes are lost before Linux 6.6", most);
}

static int open_transmit(struct xdp_port *p, struct mst_failure *failure) {
  if (p->device.loopback) {
    int error = mst__xdp_loopback_open(&p->loopback);
    if (error)
      return mst__port_fail(failure, error, "xdp:%s: cannot open a raw socket (%s): run as root, or add CAP_NET_RAW",
                            p->device.name, strerror(-error));
    return 0;
  }
  p->retry_timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  p->void_frame = malloc(MST__XDP_TX_BYTES_MAX);
  if (p->retry_timer < 0 || !p->void_frame)
    return mst__port_fail(failure, p->void_frame ? -errno : -MST_ENOMEM, "xdp:%s: no timer or no memory",
                          p->device.name);
  return 0;
}

static int open_parts(struct xdp_port *p, const struct open_options *options, struct mst__port_legacy *legacy,
                      struct mst_failure *failure) {
  int error = mst__xdp_program_open(&p->program, &p->device, options->mode, legacy, p->reason, failure);
  if (error) return error;
  error = mst__xdp_watch_open(&p->watch, p->device.ifindex, p->program.local_addrs);
  if (error)
    return mst__port_fail(failure, error, "xdp:%s: cannot follow the host's addresses by rtnetlink: %s", p->device.name,
                          strerror(-error));
  p->bounce.data = malloc(MST__XDP_BOUNCE_BYTES);
  if (!p->bounce.data) return mst__port_fail(failure, -MST_ENOMEM, "xdp:%s: out of memory", p->device.name);
  error = open_queues(p, failure);
  if (error) return error;
  if (p->queues[0].tx_checksum) p->port.caps |= MST_PORT_TX_CSUM;
  limit_to_one_frame(p);
  return open_transmit(p, failure);
}

static void describe(struct xdp_port *p) {
  p->port = (struct mst_port){.ifindex = p->device.ifindex, .addr4 = MST_ADDR_ANY4, .addr6 = MST_ADDR_ANY6};
  snprintf(p->port.name, sizeof p->port.name, "xdp:%s", p->device.name);
  memcpy(p->port.mac, p->device.mac, sizeof p->port.mac);
  if (p->device.loopback) {
    p->port.ops = &loopback_ops;
    p->port.caps = MST_PORT_OS_LOOPBACK | MST_PORT_RX_CSUM_PARTIAL;
    p->port.mtu = p->device.mtu < MST_PACKET_BYTES_MAX ? p->device.mtu : MST_PACKET_BYTES_MAX;
  } else {
    uint32_t most = MST__XDP_TX_BYTES_MAX - MST__ETHERNET_BYTES;
    p->port.ops = &frame_ops;
    p->port.caps = MST_PORT_ETHERNET | (p->device.hardware ? 0 : MST_PORT_RX_CSUM_PARTIAL);
    p->port.mtu = p->device.mtu < most ? p->device.mtu : most;
  }
}

int mst__xdp_open(const char *device, char *options, struct mst__port_legacy *legacy, struct mst_port **out,
                  struct mst_failure *failure) {
  struct open_options wanted = {0};
  int error = parse_options(device, options, &wanted, failure);
  if (error) return error;
  struct xdp_port *p = calloc(1, sizeof *p);
  if (!p) return mst__port_fail(failure, -MST_ENOMEM, "xdp:%s: out of memory", device);
  p->program.link = p->program.legacy_unserved = p->watch.fd = p->retry_timer = -1;
  error = mst__xdp_device_query(device, &p->device, failure);
  if (error) {
    free(p);
    return error;
  }
  if (p->device.queues > MST__XDP_QUEUES_MAX) p->device.queues = MST__XDP_QUEUES_MAX;
  p->queue_count = wanted.queues && wanted.queues < p->device.queues ? wanted.queues : p->device.queues;
  if (p->queue_count < p->device.queues)
    mst__port_reason(p->reason, "queues=%u of %u", p->queue_count, p->device.queues);
  describe(p);
  error = open_parts(p, &wanted, legacy, failure);
  if (error) {
    xdp_close(&p->port);
    return error;
  }
  *out = &p->port;
  return 0;
}
