/* A TAP device: the OS on one side, the port on the other, and between them the virtio-net header, so that segments of
 * 64 KB and unfinished checksums cross as they are.
 *
 * The device does neither ARP nor ND (IFF_NOARP): the OS then addresses every frame to the device's own hardware
 * address, and the port does the same. It goes when its descriptor does. */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define RX_BYTES (1u << 20)

/* What goes before each packet. */
struct prefix {
  struct virtio_net_hdr virtio;
  struct ethhdr ethernet;
};
_Static_assert(sizeof(struct prefix) == 24, "no padding");

#define PACKET_MOST ((uint32_t)sizeof(struct prefix) + MST_PACKET_BYTES_MAX)

struct tap_port {
  struct mst_port port;
  int fd;
  int wait; /* an epoll of fd, which leaves it when the device is gone: fd would be readable for ever */
  bool gone;
  uint8_t *rx;
  uint32_t rx_used;
  uint8_t *tx; /* prefix and packet */
  uint32_t tx_room;
  uint64_t rx_packets, rx_bytes, rx_dropped, tx_packets, tx_bytes, tx_dropped;
};

static struct tap_port *self(struct mst_port *port) {
  return (struct tap_port *)port;
}

/* --- receive ----------------------------------------------------------------------------------------------------- */

static void device_is_gone(struct tap_port *p) {
  epoll_ctl(p->wait, EPOLL_CTL_DEL, p->fd, NULL);
  p->gone = true;
}

static bool is_ip(const struct prefix *prefix) {
  return prefix->ethernet.h_proto == htobe16(ETH_P_IP) || prefix->ethernet.h_proto == htobe16(ETH_P_IPV6);
}

static uint8_t checksum_flags(const struct virtio_net_hdr *virtio) {
  if (virtio->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) return MST_CSUM_PARTIAL;
  return virtio->flags & VIRTIO_NET_HDR_F_DATA_VALID ? MST_CSUM_VALID : 0;
}

static int tap_receive(struct mst_port *port, struct mst_port_rx *out, unsigned count) {
  struct tap_port *p = self(port);
  unsigned n = 0;
  while (n < count && !p->gone && p->rx_used + PACKET_MOST <= RX_BYTES) {
    uint8_t *at = p->rx + p->rx_used;
    ssize_t bytes = read(p->fd, at, PACKET_MOST);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0 && errno != EAGAIN && errno != EIO) device_is_gone(p); /* EIO: it is down and may come up */
    if (bytes < 0) break;
    const struct prefix *prefix = (const void *)at;
    if ((size_t)bytes <= sizeof *prefix || !is_ip(prefix)) {
      p->rx_dropped++;
      continue;
    }
    out[n].data = at + sizeof *prefix;
    out[n].len = (uint32_t)bytes - (uint32_t)sizeof *prefix;
    out[n].gso_size = prefix->virtio.gso_type != VIRTIO_NET_HDR_GSO_NONE ? prefix->virtio.gso_size : 0;
    out[n].flags = checksum_flags(&prefix->virtio);
    p->rx_bytes += out[n].len;
    p->rx_used += ((uint32_t)bytes + 63) & ~63u;
    n++;
  }
  p->rx_packets += n;
  return p->gone && !n ? -MST_ENETDOWN : (int)n;
}

static void tap_release(struct mst_port *port) {
  self(port)->rx_used = 0;
}

/* --- transmit ---------------------------------------------------------------------------------------------------- */

static uint8_t *tap_tx_reserve(struct mst_port *port, uint32_t bytes) {
  struct tap_port *p = self(port);
  if (bytes > MST_PACKET_BYTES_MAX) return NULL;
  p->tx_room = bytes;
  return p->tx + sizeof(struct prefix);
}

/* Say in virtio's words what the packet leaves to its receiver; false when it cannot be said. */
static bool describe_offload(struct virtio_net_hdr *virtio, const uint8_t *packet, uint32_t len, uint16_t gso_size,
                             uint8_t flags) {
  struct mst__checksum_place checksum;
  memset(virtio, 0, sizeof *virtio);
  if (flags & MST_CSUM_VALID) virtio->flags = VIRTIO_NET_HDR_F_DATA_VALID;
  if (!(flags & MST_CSUM_PARTIAL)) return !gso_size;
  if (!mst__port_checksum_place(packet, len, &checksum)) return false;
  virtio->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  virtio->csum_start = (uint16_t)(ETH_HLEN + checksum.start);
  virtio->csum_offset = checksum.offset;
  if (!gso_size) return true;
  if (checksum.offset != MST__TCP_CHECKSUM_OFFSET) return false;
  virtio->gso_type = packet[0] >> 4 == 6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
  /* CWR is for the first segment alone (RFC 3168 6.1.2): not every device that segments knows. */
  if (packet[checksum.start + 13] & 0x80) virtio->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
  virtio->gso_size = gso_size;
  virtio->hdr_len = (uint16_t)(ETH_HLEN + checksum.start + (packet[checksum.start + 12] >> 4) * 4u);
  return true;
}

/* What the OS does not take is lost, as on any link. */
static void tap_tx_commit(struct mst_port *port, uint32_t len, uint16_t gso_size, uint8_t flags) {
  struct tap_port *p = self(port);
  struct prefix *prefix = (void *)p->tx;
  const uint8_t *packet = p->tx + sizeof *prefix;
  if (!len || len > p->tx_room) return;
  p->tx_room = 0;
  if (len < 20 || !describe_offload(&prefix->virtio, packet, len, gso_size, flags)) {
    p->tx_dropped++;
    return;
  }
  prefix->ethernet.h_proto = htobe16(packet[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP);
  ssize_t written;
  do {
    written = write(p->fd, p->tx, sizeof *prefix + len);
  } while (written < 0 && errno == EINTR);
  if (written < 0) {
    p->tx_dropped++;
    return;
  }
  p->tx_packets++;
  p->tx_bytes += len;
}

/* A TAP takes one packet a system call, so each is on its way since its commit. */
static void tap_flush(struct mst_port *port) {
  (void)port;
}

/* --- the rest ---------------------------------------------------------------------------------------------------- */

static unsigned tap_wait_fds(struct mst_port *port, int *fds, unsigned count) {
  if (!count) return 0;
  fds[0] = self(port)->wait;
  return 1;
}

static void tap_get_stats(struct mst_port *port, struct mst_port_stats *out) {
  const struct tap_port *p = self(port);
  *out = (struct mst_port_stats){.rx_packets = p->rx_packets,
                                 .rx_bytes = p->rx_bytes,
                                 .rx_dropped = p->rx_dropped,
                                 .tx_packets = p->tx_packets,
                                 .tx_bytes = p->tx_bytes,
                                 .tx_dropped = p->tx_dropped,
                                 .mode = "tap",
                                 .queues = 1};
}

static unsigned tap_export_fds(struct mst_port *port, int *fds, unsigned count) {
  if (!count) return 0;
  fds[0] = self(port)->fd;
  return 1;
}

static void tap_close(struct mst_port *port) {
  struct tap_port *p = self(port);
  if (p->wait >= 0) close(p->wait);
  if (p->fd >= 0) close(p->fd);
  free(p->rx);
  free(p->tx);
  free(p);
}

static const struct mst_port_ops tap_ops = {
    .receive = tap_receive,
    .release = tap_release,
    .tx_reserve = tap_tx_reserve,
    .tx_commit = tap_tx_commit,
    .flush = tap_flush,
    .wait_fds = tap_wait_fds,
    .get_stats = tap_get_stats,
    .close = tap_close,
    .export_fds = tap_export_fds,
};

/* --- open -------------------------------------------------------------------------------------------------------- */

/* The device of a port that has ended, which waits for whom holds its descriptor. */
static bool adopt_device(struct tap_port *p, const char *device, struct mst__port_legacy *legacy) {
  const int kind = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  struct ifreq request = {0};
  int fd = legacy->fds[0];
  if (fd < 0 || ioctl(fd, TUNGETIFF, &request) || (request.ifr_flags & kind) != kind ||
      strcmp(request.ifr_name, device) != 0)
    return false;
  p->fd = fd;
  legacy->fds[0] = -1;
  snprintf(p->port.name, sizeof p->port.name, "tap:%s", device);
  return true;
}

static int create_device(struct tap_port *p, const char *device, struct mst_failure *failure) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  int header_bytes = sizeof(struct virtio_net_hdr);
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
  p->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (p->fd < 0 && errno != EACCES && errno != EPERM)
    return mst__port_fail(failure, -MST_ENOSYS, "tap:%s: cannot open /dev/net/tun (%m): load the module tun", device);
  if (p->fd < 0 || ioctl(p->fd, TUNSETIFF, &request)) {
    if (errno == EBUSY)
      return mst__port_fail(failure, -MST_EBUSY, "tap:%s: the device is in use by another program: choose another name",
                            device);
    if (errno == EPERM || errno == EACCES)
      return mst__port_fail(failure, -MST_EPERM,
                            "tap:%s: not permitted to make a TAP device: run as root, or add CAP_NET_ADMIN", device);
    return mst__port_fail(failure, -errno, "tap:%s: cannot make a TAP device: %m: choose another name", device);
  }
  snprintf(p->port.name, sizeof p->port.name, "tap:%s", request.ifr_name);
  if (ioctl(p->fd, TUNSETVNETHDRSZ, &header_bytes) || ioctl(p->fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6))
    return mst__port_fail(failure, -errno, "tap:%s: cannot set offloads: %m", device);
  return 0;
}

/* Without ARP, up; learn its index, MTU and hardware address. */
static int bring_up(struct tap_port *p, int query, struct mst_failure *failure) {
  struct ifreq request = {0};
  struct prefix *prefix = (void *)p->tx;
  strcpy(request.ifr_name, p->port.name + strlen("tap:"));
  if (ioctl(query, SIOCGIFINDEX, &request)) goto failed;
  p->port.ifindex = (unsigned)request.ifr_ifindex;
  if (ioctl(query, SIOCGIFMTU, &request)) goto failed;
  p->port.mtu = (uint32_t)request.ifr_mtu;
  if (ioctl(query, SIOCGIFHWADDR, &request)) goto failed;
  memcpy(prefix->ethernet.h_dest, request.ifr_hwaddr.sa_data, ETH_ALEN);
  memcpy(prefix->ethernet.h_source, request.ifr_hwaddr.sa_data, ETH_ALEN);
  prefix->ethernet.h_source[ETH_ALEN - 1] ^= 1; /* not the device's own, which the OS takes for an echo */
  if (ioctl(query, SIOCGIFFLAGS, &request)) goto failed;
  request.ifr_flags |= IFF_UP | IFF_NOARP;
  if (ioctl(query, SIOCSIFFLAGS, &request)) goto failed;
  return 0;
failed:
  return mst__port_fail(failure, -errno, "%s: cannot bring the device up: %m", p->port.name);
}

static int open_device(struct tap_port *p, const char *device, const struct mst__tap_config *config,
                       struct mst__port_legacy *legacy, struct mst_failure *failure) {
  p->rx = malloc(RX_BYTES);
  p->tx = calloc(1, PACKET_MOST);
  p->wait = epoll_create1(EPOLL_CLOEXEC);
  if (!p->rx || !p->tx) return mst__port_fail(failure, -MST_ENOMEM, "tap:%s: out of memory", device);
  if (p->wait < 0) return mst__port_fail(failure, -errno, "tap:%s: no descriptor to wait on: %m", device);
  int error = adopt_device(p, device, legacy) ? 0 : create_device(p, device, failure);
  if (error) return error;
  int query = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (query < 0) return mst__port_fail(failure, -errno, "tap:%s: cannot open a socket: %m", device);
  error = bring_up(p, query, failure);
  close(query);
  if (error) return error;
  error = mst__tap_configure(p->port.ifindex, config);
  if (error)
    return mst__port_fail(failure, error, "%s: the OS refused an address or a route: %s", p->port.name,
                          strerror(-error));
  if (epoll_ctl(p->wait, EPOLL_CTL_ADD, p->fd, &(struct epoll_event){.events = EPOLLIN}))
    return mst__port_fail(failure, -errno, "%s: cannot wait on the device: %m", p->port.name);
  return 0;
}

int mst__tap_open(const char *device, char *options, struct mst__port_legacy *legacy, struct mst_port **out,
                  struct mst_failure *failure) {
  struct mst__tap_config config;
  int error = mst__tap_parse(device, options, &config, failure);
  if (error) return error;
  if (strlen(device) >= IFNAMSIZ)
    return mst__port_fail(failure, -MST_EINVAL, "tap:%s: a device's name has at most %d characters", device,
                          IFNAMSIZ - 1);
  struct tap_port *p = calloc(1, sizeof *p);
  if (!p) return mst__port_fail(failure, -MST_ENOMEM, "tap:%s: out of memory", device);
  p->fd = p->wait = -1;
  p->port.ops = &tap_ops;
  p->port.caps = MST_PORT_TX_GSO | MST_PORT_TX_CSUM;
  p->port.addr4 = config.addr4;
  p->port.addr6 = config.addr6;
  error = open_device(p, device, &config, legacy, failure);
  if (error) {
    tap_close(&p->port);
    return error;
  }
  *out = &p->port;
  return 0;
}
