/* The addresses of a tap device: from the spec to the OS, by rtnetlink. */
#include "tap.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define AWAIT_LOCAL_MS 1000

static int parse_host(char *text, struct mst__tap_address *out) {
  char *bits_text = strchr(text, '/'), *end;
  if (!bits_text) return -MST_EINVAL;
  *bits_text++ = 0;
  if (mst_addr_parse(text, &out->addr) || mst_addr_is_any(&out->addr)) return -MST_EINVAL;
  unsigned long bits = strtoul(bits_text, &end, 10);
  if (!*bits_text || *end || bits > (mst_addr_is_ip4(&out->addr) ? 32 : 128)) return -MST_EINVAL;
  out->prefix_bits = (uint8_t)bits;
  return 0;
}

static int parse_addr(const char *text, struct mst__tap_config *out) {
  struct mst_addr addr;
  if (mst_addr_parse(text, &addr) || mst_addr_is_any(&addr) || mst_addr_is_multicast(&addr)) return -MST_EINVAL;
  struct mst_addr *slot = mst_addr_is_ip4(&addr) ? &out->addr4 : &out->addr6;
  if (!mst_addr_is_any(slot)) return -MST_EEXIST;
  *slot = addr;
  return 0;
}

int mst__tap_parse(const char *device, char *options, struct mst__tap_config *out, struct mst_failure *failure) {
  char *key, *value;
  *out = (struct mst__tap_config){.addr4 = MST_ADDR_ANY4, .addr6 = MST_ADDR_ANY6};
  while (mst__port_option(&options, &key, &value)) {
    int error = -MST_EINVAL;
    if (!strcmp(key, "host")) {
      if (out->host_count == MST__TAP_HOSTS_MAX)
        return mst__port_fail(failure, -MST_EINVAL, "tap:%s: more than %d host addresses", device, MST__TAP_HOSTS_MAX);
      error = parse_host(value, &out->hosts[out->host_count]);
      if (error) return mst__port_fail(failure, error, "tap:%s: host=%s: write host=ADDR/LEN", device, value);
      out->host_count++;
    } else if (!strcmp(key, "addr")) {
      error = parse_addr(value, out);
      if (error == -MST_EEXIST)
        return mst__port_fail(failure, -MST_EINVAL, "tap:%s: addr=%s: one address of each family at most", device,
                              value);
      if (error) return mst__port_fail(failure, error, "tap:%s: addr=%s: write addr=ADDR", device, value);
    } else {
      return mst__port_fail(failure, -MST_EINVAL,
                            "tap:%s: option \"%s=%s\" is not known: there are host=ADDR/LEN and addr=ADDR", device, key,
                            value);
    }
  }
  if (mst_addr_is_any(&out->addr4) && mst_addr_is_any(&out->addr6))
    return mst__port_fail(failure, -MST_EINVAL, "tap:%s: the stack has no address on it: add addr=ADDR", device);
  return 0;
}

/* --- rtnetlink --------------------------------------------------------------------------------------------------- */

static struct nlmsghdr *request(void *buffer, uint16_t type) {
  struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = type;
  message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
  return message;
}

static void put_addr(struct nlmsghdr *message, uint16_t attribute, const struct mst_addr *addr) {
  if (mst_addr_is_ip4(addr))
    mnl_attr_put(message, attribute, 4, addr->bytes + 12);
  else
    mnl_attr_put(message, attribute, 16, addr->bytes);
}

static int transact(struct mnl_socket *socket, struct nlmsghdr *message) {
  char answer[1024];
  if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0) return -errno;
  ssize_t bytes = mnl_socket_recvfrom(socket, answer, sizeof answer);
  if (bytes < 0) return -errno;
  return mnl_cb_run(answer, (size_t)bytes, 0, mnl_socket_get_portid(socket), NULL, NULL) < 0 ? -errno : 0;
}

static int add_address(struct mnl_socket *socket, unsigned ifindex, const struct mst__tap_address *host) {
  char buffer[256];
  struct nlmsghdr *message = request(buffer, RTM_NEWADDR);
  struct ifaddrmsg *address = mnl_nlmsg_put_extra_header(message, sizeof *address);
  address->ifa_family = mst_addr_is_ip4(&host->addr) ? AF_INET : AF_INET6;
  address->ifa_prefixlen = host->prefix_bits;
  address->ifa_flags = address->ifa_family == AF_INET6 ? IFA_F_NODAD : 0; /* nobody there would answer */
  address->ifa_index = ifindex;
  put_addr(message, IFA_LOCAL, &host->addr);
  put_addr(message, IFA_ADDRESS, &host->addr);
  return transact(socket, message);
}

static int add_route(struct mnl_socket *socket, unsigned ifindex, const struct mst_addr *addr) {
  char buffer[256];
  struct nlmsghdr *message = request(buffer, RTM_NEWROUTE);
  struct rtmsg *route = mnl_nlmsg_put_extra_header(message, sizeof *route);
  route->rtm_family = mst_addr_is_ip4(addr) ? AF_INET : AF_INET6;
  route->rtm_dst_len = route->rtm_family == AF_INET ? 32 : 128;
  route->rtm_table = RT_TABLE_MAIN;
  route->rtm_protocol = RTPROT_STATIC;
  route->rtm_scope = RT_SCOPE_LINK;
  route->rtm_type = RTN_UNICAST;
  put_addr(message, RTA_DST, addr);
  mnl_attr_put_u32(message, RTA_OIF, ifindex);
  return transact(socket, message);
}

/* Is this the news that `data`, an address of 16 bytes, is now this host's? */
static int is_local_route(const struct nlmsghdr *message, void *data) {
  const struct rtmsg *route = mnl_nlmsg_get_payload(message);
  const struct nlattr *attribute;
  if (message->nlmsg_type != RTM_NEWROUTE || route->rtm_type != RTN_LOCAL) return MNL_CB_OK;
  mnl_attr_for_each(attribute, message, sizeof *route) {
    if (mnl_attr_get_type(attribute) == RTA_DST && mnl_attr_get_payload_len(attribute) == 16 &&
        !memcmp(mnl_attr_get_payload(attribute), data, 16))
      return MNL_CB_STOP;
  }
  return MNL_CB_OK;
}

/* An IPv6 address is the host's only some time after the OS has confirmed it; until then packets to it are lost. */
static void await_local(struct mnl_socket *news, const struct mst_addr *addr) {
  char buffer[16384];
  struct mst_addr wanted = *addr;
  struct pollfd pollfd = {.fd = mnl_socket_get_fd(news), .events = POLLIN};
  while (poll(&pollfd, 1, AWAIT_LOCAL_MS) == 1) {
    ssize_t bytes = mnl_socket_recvfrom(news, buffer, sizeof buffer);
    if (bytes < 0 || mnl_cb_run(buffer, (size_t)bytes, 0, 0, is_local_route, &wanted) != MNL_CB_OK) return;
  }
}

static int add_host(struct mnl_socket *socket, struct mnl_socket *news, unsigned ifindex,
                    const struct mst__tap_address *host) {
  int error = add_address(socket, ifindex, host);
  if (!error && !mst_addr_is_ip4(&host->addr)) await_local(news, &host->addr);
  return error;
}

static bool prefix_leads_to(const struct mst__tap_address *host, const struct mst_addr *addr) {
  unsigned bits = host->prefix_bits + (mst_addr_is_ip4(&host->addr) ? 96u : 0u);
  for (unsigned bit = 0; bit < bits; bit++) {
    unsigned mask = 0x80u >> (bit & 7);
    if ((host->addr.bytes[bit / 8] ^ addr->bytes[bit / 8]) & mask) return false;
  }
  return true;
}

static int lead_to(struct mnl_socket *socket, unsigned ifindex, const struct mst__tap_config *config,
                   const struct mst_addr *addr) {
  if (mst_addr_is_any(addr)) return 0;
  for (unsigned i = 0; i < config->host_count; i++)
    if (prefix_leads_to(&config->hosts[i], addr)) return 0;
  return add_route(socket, ifindex, addr);
}

int mst__tap_configure(unsigned ifindex, const struct mst__tap_config *config) {
  struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  struct mnl_socket *news = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  int error = !socket || !news || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
                      mnl_socket_bind(news, RTMGRP_IPV6_ROUTE, MNL_SOCKET_AUTOPID) < 0
                  ? -errno
                  : 0;
  for (unsigned i = 0; !error && i < config->host_count; i++)
    error = add_host(socket, news, ifindex, &config->hosts[i]);
  if (!error) error = lead_to(socket, ifindex, config, &config->addr4);
  if (!error) error = lead_to(socket, ifindex, config, &config->addr6);
  if (socket) mnl_socket_close(socket);
  if (news) mnl_socket_close(news);
  return error;
}
