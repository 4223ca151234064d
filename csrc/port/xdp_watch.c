/* Follow a device's end and this host's addresses by rtnetlink. */
#include "xdp.h"
#include "xdp_maps.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUPS (RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR)

static bool address_of(const struct ifaddrs *entry, struct mst_addr *out) {
  if (!entry->ifa_addr) return false;
  if (entry->ifa_addr->sa_family == AF_INET) {
    *out = mst_addr_ip4((const uint8_t *)&((const struct sockaddr_in *)entry->ifa_addr)->sin_addr);
    return true;
  }
  if (entry->ifa_addr->sa_family != AF_INET6) return false;
  memcpy(out->bytes, &((const struct sockaddr_in6 *)entry->ifa_addr)->sin6_addr, 16);
  return true;
}

static bool contains(const struct mst_addr *addrs, size_t count, const struct mst_addr *addr) {
  for (size_t i = 0; i < count; i++)
    if (mst_addr_equal(&addrs[i], addr)) return true;
  return false;
}

/* Bring local_addrs to what the OS has now. Out of memory: it stays as it was until the next change. */
static void sync_addresses(struct mst__xdp_watch *watch) {
  struct ifaddrs *list, *entry;
  if (getifaddrs(&list)) return;
  size_t count = 0, room = 0;
  for (entry = list; entry; entry = entry->ifa_next) room++;
  struct mst_addr *addrs = calloc(room ? room : 1, sizeof *addrs);
  for (entry = list; addrs && entry; entry = entry->ifa_next)
    if (address_of(entry, &addrs[count]) && !contains(addrs, count, &addrs[count])) count++;
  freeifaddrs(list);
  if (!addrs) return;

  uint8_t present = 1;
  for (size_t i = 0; i < count; i++)
    if (!contains(watch->addrs, watch->count, &addrs[i]))
      bpf_map_update_elem(watch->local_addrs, &addrs[i], &present, BPF_ANY);
  for (size_t i = 0; i < watch->count; i++)
    if (!contains(addrs, count, &watch->addrs[i])) bpf_map_delete_elem(watch->local_addrs, &watch->addrs[i]);
  free(watch->addrs);
  watch->addrs = addrs;
  watch->count = count;
}

int mst__xdp_watch_open(struct mst__xdp_watch *watch, unsigned ifindex, int local_addrs) {
  *watch = (struct mst__xdp_watch){.ifindex = ifindex, .local_addrs = local_addrs};
  watch->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (watch->fd < 0) return -errno;
  struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = GROUPS};
  if (bind(watch->fd, (struct sockaddr *)&addr, sizeof addr)) {
    int error = -errno;
    mst__xdp_watch_close(watch);
    return error;
  }
  sync_addresses(watch);
  return 0;
}

void mst__xdp_watch_close(struct mst__xdp_watch *watch) {
  if (watch->fd >= 0) close(watch->fd);
  watch->fd = -1;
  free(watch->addrs);
  watch->addrs = NULL;
}

/* Listen to nothing more and forget what is queued: nobody asks again, and the descriptor must stay quiet. */
static void device_is_gone(struct mst__xdp_watch *watch) {
  struct sockaddr_nl nothing = {.nl_family = AF_NETLINK};
  char ignored;
  (void)bind(watch->fd, (struct sockaddr *)&nothing, sizeof nothing);
  while (recv(watch->fd, &ignored, sizeof ignored, MSG_TRUNC) >= 0 || errno == EINTR || errno == ENOBUFS) continue;
  watch->gone = true;
}

void mst__xdp_watch_poll(struct mst__xdp_watch *watch) {
  _Alignas(struct nlmsghdr) char buffer[16384];
  bool addresses_changed = false, gone = false;
  for (;;) {
    ssize_t bytes = recv(watch->fd, buffer, sizeof buffer, 0);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0 && errno == ENOBUFS) { /* events were lost: look at everything anew */
      char name[IF_NAMESIZE];
      addresses_changed = true;
      gone = gone || !if_indextoname(watch->ifindex, name);
      continue;
    }
    if (bytes <= 0) break;
    for (struct nlmsghdr *message = (void *)buffer; NLMSG_OK(message, bytes); message = NLMSG_NEXT(message, bytes)) {
      const struct ifinfomsg *link = NLMSG_DATA(message);
      if (message->nlmsg_type == RTM_NEWADDR || message->nlmsg_type == RTM_DELADDR) addresses_changed = true;
      if (message->nlmsg_type == RTM_DELLINK && link->ifi_family == AF_UNSPEC &&
          (unsigned)link->ifi_index == watch->ifindex)
        gone = true;
    }
  }
  if (gone) device_is_gone(watch);
  if (addresses_changed) sync_addresses(watch);
}
