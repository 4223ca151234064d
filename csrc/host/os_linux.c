/* Linux as the switch needs it: reservations by bound sockets, routes and neighbours by rtnetlink. */
#include "host_internal.h"
#include "os_linux_internal.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- reservation: a bound socket that does not listen --- */

static int map_bind_error(int error) {
  switch (error) {
  case EADDRINUSE: return -MST_EADDRINUSE;
  case EACCES:
  case EPERM: return -MST_EACCES;
  case EADDRNOTAVAIL:
  case ENODEV:
  case EINVAL: return -MST_EADDRNOTAVAIL; /* EINVAL: a link-local address without its interface */
  case EAFNOSUPPORT: return -MST_EAFNOSUPPORT;
  case EMFILE:
  case ENFILE:
  case ENOMEM:
  case ENOBUFS: return -MST_ENOBUFS;
  default: return -error;
  }
}

/* Each reservation costs a descriptor: use all that the process may have. */
static bool raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max) return false;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static int open_socket(int family, int protocol) {
  int type = (protocol == MST_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  int fd = socket(family, type, protocol);
  if (fd < 0 && errno == EMFILE && raise_descriptor_limit()) fd = socket(family, type, protocol);
  return fd;
}

static int bind_socket(int fd, const struct mst_tuple *tuple, bool ip4) {
  if (ip4) {
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(tuple->port)};
    memcpy(&sin.sin_addr, tuple->addr.bytes + 12, 4);
    return bind(fd, (struct sockaddr *)&sin, sizeof sin);
  }
  int v6only = !mst_addr_is_any(&tuple->addr) || tuple->flags & MST_BIND_V6ONLY ? 1 : 0;
  if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only)) return -1;
  struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(tuple->port)};
  memcpy(&sin6.sin6_addr, tuple->addr.bytes, 16);
  return bind(fd, (struct sockaddr *)&sin6, sizeof sin6);
}

/* What a socket is bound to; false: nothing. */
static bool name_of(int fd, struct mst_addr *addr, uint16_t *port) {
  union {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
  } name = {0};
  socklen_t bytes = sizeof name;
  if (getsockname(fd, &name.any, &bytes)) return false;
  bool ip4 = name.any.sa_family == AF_INET;
  *addr = ip4 ? mst_addr_ip4((const uint8_t *)&name.in.sin_addr) : MST_ADDR_ANY6;
  if (!ip4) memcpy(addr->bytes, &name.in6.sin6_addr, sizeof addr->bytes);
  *port = ntohs(ip4 ? name.in.sin_port : name.in6.sin6_port);
  return ip4 || name.any.sa_family == AF_INET6;
}

/* Connections of an OS program that has ended stay behind in TIME-WAIT; live ones are not ours to cut off. SO_REUSEADDR
 * binds beside them, but alone it would let every other program that sets it do the same; a socket that listens does
 * not. So it listens for a moment, behind a filter that drops what comes, and what that leaves behind is exclusive. 0
 * or errno. */
static int bind_beside_time_wait(int fd, const struct mst_tuple *tuple, bool ip4) {
  struct sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
  struct sock_fprog filter = {.len = 1, .filter = &drop_all};
  int on = 1, off = 0;
  if (mst__netlink_tcp_port_is_live(tuple->port)) return EADDRINUSE;
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter)) return errno;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on)) return errno;
  if (bind_socket(fd, tuple, ip4) || listen(fd, 1) || shutdown(fd, SHUT_RD)) return errno;
  return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof off) ? errno : 0;
}

static int reserve(void *ctx, struct mst_tuple *tuple, intptr_t *cookie) {
  (void)ctx;
  bool ip4 = mst_addr_is_ip4(&tuple->addr);
  int fd = open_socket(ip4 ? AF_INET : AF_INET6, tuple->protocol);
  if (fd < 0) return map_bind_error(errno);
  int error = bind_socket(fd, tuple, ip4) ? errno : 0;
  if (error == EADDRINUSE && tuple->protocol == MST_TCP && tuple->port) error = bind_beside_time_wait(fd, tuple, ip4);
  if (error) {
    close(fd);
    return map_bind_error(error);
  }
  struct mst_addr addr;
  if (!tuple->port) name_of(fd, &addr, &tuple->port);
  *cookie = fd;
  return 0;
}

static void unreserve(void *ctx, intptr_t cookie) {
  (void)ctx;
  close((int)cookie);
}

int mst__os_linux_reservation_fd(intptr_t cookie) {
  return (int)cookie;
}

int mst__os_linux_reservation_adopt(const struct mst_tuple *tuple, int fd, intptr_t *cookie) {
  struct mst_addr addr;
  uint16_t port;
  if (!name_of(fd, &addr, &port) || port != tuple->port || !mst_addr_equal(&addr, &tuple->addr)) return -MST_EINVAL;
  *cookie = fd;
  return 0;
}

/* --- routes --- */

static struct mst_addr addr_of(const struct nlattr *attr) {
  struct mst_addr addr = MST_ADDR_ANY6;
  if (mnl_attr_get_payload_len(attr) == 4) return mst_addr_ip4(mnl_attr_get_payload(attr));
  if (mnl_attr_get_payload_len(attr) == 16) memcpy(addr.bytes, mnl_attr_get_payload(attr), 16);
  return addr;
}

static void put_addr(struct nlmsghdr *message, uint16_t type, const struct mst_addr *addr) {
  bool ip4 = mst_addr_is_ip4(addr);
  mnl_attr_put(message, type, ip4 ? 4 : 16, addr->bytes + (ip4 ? 12 : 0));
}

static uint32_t metric_mtu(const struct nlattr *metrics) {
  const struct nlattr *attr;
  mnl_attr_for_each_nested(attr, metrics) {
    if (mnl_attr_get_type(attr) == RTAX_MTU) return mnl_attr_get_u32(attr);
  }
  return 0;
}

static int on_route(const struct nlmsghdr *message, void *user) {
  struct mst_next_hop *hop = user;
  const struct rtmsg *route = mnl_nlmsg_get_payload(message);
  const struct nlattr *attr;
  hop->local = route->rtm_type == RTN_LOCAL;
  /* Broadcast, multicast, blackhole and so on are no way to send. */
  if (!hop->local && route->rtm_type != RTN_UNICAST) return MNL_CB_OK;
  mnl_attr_for_each(attr, message, sizeof *route) {
    switch (mnl_attr_get_type(attr)) {
    case RTA_OIF: hop->ifindex = mnl_attr_get_u32(attr); break;
    case RTA_PREFSRC: hop->source = addr_of(attr); break;
    case RTA_GATEWAY: hop->gateway = addr_of(attr); break;
    case RTA_VIA:
      if (mnl_attr_get_payload_len(attr) >= 6) {
        const struct rtvia *via = mnl_attr_get_payload(attr);
        if (via->rtvia_family == AF_INET6 && mnl_attr_get_payload_len(attr) >= 18)
          memcpy(hop->gateway.bytes, via->rtvia_addr, 16);
        else if (via->rtvia_family == AF_INET)
          hop->gateway = mst_addr_ip4(via->rtvia_addr);
      }
      break;
    case RTA_METRICS: hop->mtu = metric_mtu(attr); break;
    default: break;
    }
  }
  return MNL_CB_OK;
}

static uint32_t device_mtu(const struct mst__os_linux *os, unsigned ifindex) {
  struct ifreq request = {.ifr_ifindex = (int)ifindex};
  int fd = mnl_socket_get_fd(os->questions);
  if (ioctl(fd, SIOCGIFNAME, &request) || ioctl(fd, SIOCGIFMTU, &request)) return 0;
  return (uint32_t)request.ifr_mtu;
}

static int route(void *ctx, const struct mst_addr *destination, struct mst_next_hop *out) {
  struct mst__os_linux *os = ctx;
  char buffer[512];
  bool ip4 = mst_addr_is_ip4(destination);
  struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = RTM_GETROUTE;
  struct rtmsg *request = mnl_nlmsg_put_extra_header(message, sizeof *request);
  request->rtm_family = ip4 ? AF_INET : AF_INET6;
  request->rtm_dst_len = ip4 ? 32 : 128;
  put_addr(message, RTA_DST, destination);
  *out = (struct mst_next_hop){.gateway = *destination};
  int error = mst__netlink_ask(os, message, on_route, out);
  if (error) return error == -EHOSTUNREACH ? -MST_EHOSTUNREACH : -MST_ENETUNREACH;
  if (!out->local && !out->ifindex) return -MST_ENETUNREACH;
  if (out->local) {
    out->ifindex = 0;
    if (mst_addr_is_any(&out->source)) out->source = *destination;
    out->mtu = MST_PACKET_BYTES_MAX;
  } else if (!out->mtu) {
    out->mtu = device_mtu(os, out->ifindex);
  }
  return 0;
}

/* --- neighbours --- */

struct neighbour_entry {
  uint16_t state; /* NUD_... */
  bool found, has_mac;
  uint8_t mac[6];
};

static int on_neighbour(const struct nlmsghdr *message, void *user) {
  struct neighbour_entry *entry = user;
  const struct ndmsg *neighbour = mnl_nlmsg_get_payload(message);
  const struct nlattr *attr;
  entry->found = true;
  entry->state = neighbour->ndm_state;
  mnl_attr_for_each(attr, message, sizeof *neighbour) {
    if (mnl_attr_get_type(attr) != NDA_LLADDR || mnl_attr_get_payload_len(attr) != 6) continue;
    memcpy(entry->mac, mnl_attr_get_payload(attr), 6);
    entry->has_mac = true;
  }
  return MNL_CB_OK;
}

static struct nlmsghdr *neighbour_message(char *buffer, uint16_t type, unsigned ifindex, const struct mst_addr *addr,
                                          uint8_t flags) {
  struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = type;
  struct ndmsg *request = mnl_nlmsg_put_extra_header(message, sizeof *request);
  request->ndm_family = mst_addr_is_ip4(addr) ? AF_INET : AF_INET6;
  request->ndm_ifindex = (int)ifindex;
  request->ndm_flags = flags;
  put_addr(message, NDA_DST, addr);
  return message;
}

/* Have the kernel resolve the address, or confirm a stale one, as if it were sending there itself. */
static int use_neighbour(struct mst__os_linux *os, unsigned ifindex, const struct mst_addr *addr) {
  char buffer[512];
  struct nlmsghdr *message = neighbour_message(buffer, RTM_NEWNEIGH, ifindex, addr, NTF_USE);
  message->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK;
  return mst__netlink_ask(os, message, NULL, NULL);
}

/* Whether resolution of this address was started here a short while ago; so a FAILED entry is our answer and not left
 * over from another's attempt. */
static bool started_lately(struct mst__os_linux *os, unsigned ifindex, const struct mst_addr *addr, uint64_t now_ns) {
  for (unsigned i = 0; i < MST__ATTEMPTS; i++) {
    const struct mst__attempt *attempt = &os->attempts[i];
    if (attempt->ifindex == ifindex && mst_addr_equal(&attempt->addr, addr) &&
        now_ns - attempt->at_ns < MST__ATTEMPT_NS)
      return true;
  }
  return false;
}

static enum mst_neighbour_state start(struct mst__os_linux *os, unsigned ifindex, const struct mst_addr *addr,
                                      uint64_t now_ns) {
  os->attempts[os->next_attempt++ % MST__ATTEMPTS] =
      (struct mst__attempt){.addr = *addr, .ifindex = ifindex, .at_ns = now_ns};
  return use_neighbour(os, ifindex, addr) ? MST_NEIGHBOUR_FAILED : MST_NEIGHBOUR_PENDING;
}

static enum mst_neighbour_state neighbour(void *ctx, unsigned ifindex, const struct mst_addr *addr, uint8_t mac[6]) {
  struct mst__os_linux *os = ctx;
  char buffer[512];
  struct neighbour_entry entry = {0};
  uint64_t now_ns = mst__os_clock_ns();
  struct nlmsghdr *message = neighbour_message(buffer, RTM_GETNEIGH, ifindex, addr, 0);
  int error = mst__netlink_ask(os, message, on_neighbour, &entry);
  if (error || !entry.found) return start(os, ifindex, addr, now_ns);
  if (entry.state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP) && entry.has_mac) {
    if (entry.state & NUD_STALE) use_neighbour(os, ifindex, addr);
    memcpy(mac, entry.mac, 6);
    return MST_NEIGHBOUR_KNOWN;
  }
  if (entry.state & NUD_INCOMPLETE) return MST_NEIGHBOUR_PENDING;
  return started_lately(os, ifindex, addr, now_ns) ? MST_NEIGHBOUR_FAILED : start(os, ifindex, addr, now_ns);
}

/* --- life --- */

int mst__os_linux_open(struct mst__os_linux **out, struct mst_failure *failure) {
  struct mst__os_linux *os = calloc(1, sizeof *os);
  int error = os ? mst__netlink_open(os) : -MST_ENOMEM;
  if (error) {
    if (failure) {
      failure->code = error;
      snprintf(failure->message, sizeof failure->message, "rtnetlink: %s", mst_strerror(error));
    }
    free(os);
    return error;
  }
  os->ops = (struct mst_switch_os){
      .ctx = os, .reserve = reserve, .unreserve = unreserve, .route = route, .neighbour = neighbour};
  *out = os;
  return 0;
}

void mst__os_linux_close(struct mst__os_linux *os) {
  mst__netlink_close(os);
  free(os);
}

const struct mst_switch_os *mst__os_linux_ops(struct mst__os_linux *os) {
  return &os->ops;
}
