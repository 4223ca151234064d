/* What the OS says of a device: flags, MTU, hardware address, driver, queues. */
#include "xdp.h"

#include <errno.h>
#include <glob.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int device_ioctl(int fd, struct ifreq *request, const char *name, unsigned long command) {
  snprintf(request->ifr_name, sizeof request->ifr_name, "%s", name);
  return ioctl(fd, command, request) < 0 ? -errno : 0;
}

/* What software devices hand over may have never seen a wire. */
static void query_driver(int fd, struct mst__xdp_device *out) {
  struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
  struct ifreq request = {.ifr_data = (void *)&info};
  if (device_ioctl(fd, &request, out->name, SIOCETHTOOL)) return;
  snprintf(out->driver, sizeof out->driver, "%s", info.driver);
  out->hardware = strchr(info.bus_info, ':') && strncmp(out->driver, "virtio", 6) != 0;
}

static uint32_t query_queues(int fd, const char *name) {
  struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
  struct ifreq request = {.ifr_data = (void *)&channels};
  if (!device_ioctl(fd, &request, name, SIOCETHTOOL)) {
    uint32_t count = channels.combined_count + channels.rx_count;
    return count ? count : 1;
  }
  char pattern[64];
  snprintf(pattern, sizeof pattern, "/sys/class/net/%s/queues/rx-*", name);
  glob_t found = {0};
  uint32_t count = glob(pattern, GLOB_NOSORT, NULL, &found) ? 1 : (uint32_t)found.gl_pathc;
  globfree(&found);
  return count;
}

static int query(int fd, const char *name, struct mst__xdp_device *out, struct mst_failure *failure) {
  struct ifreq request;
  int error = device_ioctl(fd, &request, name, SIOCGIFFLAGS);
  if (error) return mst__port_fail(failure, error, "xdp:%s: cannot ask for the device's flags: %m", name);
  out->loopback = request.ifr_flags & IFF_LOOPBACK;
  if (!(request.ifr_flags & IFF_UP))
    return mst__port_fail(failure, -MST_ENETDOWN, "xdp:%s: the device is down: bring it up with `ip link set %s up`",
                          name, name);
  error = device_ioctl(fd, &request, name, SIOCGIFHWADDR);
  if (error) return mst__port_fail(failure, error, "xdp:%s: cannot ask for the hardware address: %m", name);
  if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER && !out->loopback)
    return mst__port_fail(failure, -MST_EOPNOTSUPP,
                          "xdp:%s: the device does not carry Ethernet frames: choose one that does, or a tap port",
                          name);
  memcpy(out->mac, request.ifr_hwaddr.sa_data, sizeof out->mac);
  error = device_ioctl(fd, &request, name, SIOCGIFMTU);
  if (error) return mst__port_fail(failure, error, "xdp:%s: cannot ask for the MTU: %m", name);
  out->mtu = (uint32_t)request.ifr_mtu;
  query_driver(fd, out);
  out->queues = query_queues(fd, name);
  return 0;
}

int mst__xdp_device_query(const char *name, struct mst__xdp_device *out, struct mst_failure *failure) {
  memset(out, 0, sizeof *out);
  if (strlen(name) >= sizeof out->name || !(out->ifindex = if_nametoindex(name)))
    return mst__port_fail(failure, -MST_ENODEV, "xdp:%s: no such device: `ip link` lists those that there are", name);
  strcpy(out->name, name);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return mst__port_fail(failure, -errno, "xdp:%s: cannot open a socket: %m", name);
  int result = query(fd, name, out, failure);
  close(fd);
  return result;
}
