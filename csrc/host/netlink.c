/* rtnetlink: questions that the kernel answers at once, and news of what has changed. */
#include "host_internal.h"
#include "os_linux_internal.h"
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static struct mnl_socket *open_socket(unsigned groups) {
  struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (!nl) return NULL;
  if (!mnl_socket_bind(nl, groups, MNL_SOCKET_AUTOPID)) return nl;
  mnl_socket_close(nl);
  return NULL;
}

int mst__netlink_open(struct mst__os_linux *os) {
  os->questions = open_socket(0);
  os->events = open_socket(RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                           RTMGRP_IPV6_ROUTE);
  if (os->questions && os->events) {
    os->port_id = mnl_socket_get_portid(os->questions);
    return 0;
  }
  int error = -errno;
  mst__netlink_close(os);
  return error;
}

void mst__netlink_close(struct mst__os_linux *os) {
  if (os->questions) mnl_socket_close(os->questions);
  if (os->events) mnl_socket_close(os->events);
  os->questions = os->events = NULL;
}

int mst__netlink_ask(struct mst__os_linux *os, struct nlmsghdr *message, mnl_cb_t each, void *user) {
  char buffer[8192];
  message->nlmsg_flags |= NLM_F_REQUEST;
  message->nlmsg_seq = ++os->sequence;
  if (mnl_socket_sendto(os->questions, message, message->nlmsg_len) < 0) return -errno;
  ssize_t bytes = mnl_socket_recvfrom(os->questions, buffer, sizeof buffer);
  if (bytes < 0) return -errno;
  return mnl_cb_run(buffer, (size_t)bytes, os->sequence, os->port_id, each, user) < 0 ? -errno : 0;
}

/* --- sockets of the OS's programs --- */

static int on_socket(const struct nlmsghdr *message, void *user) {
  const struct inet_diag_msg *found = mnl_nlmsg_get_payload(message);
  const uint16_t *port = user;
  return ntohs(found->id.idiag_sport) == *port ? MNL_CB_ERROR : MNL_CB_OK;
}

/* Dump the sockets of one family; 0: none of them has the port. */
static int look_for_port(struct mnl_socket *nl, int family, uint16_t port) {
  char buffer[16384];
  struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  message->nlmsg_seq = (uint32_t)family;
  struct inet_diag_req_v2 *request = mnl_nlmsg_put_extra_header(message, sizeof *request);
  request->sdiag_family = (uint8_t)family;
  request->sdiag_protocol = IPPROTO_TCP;
  request->idiag_states = ~(1u << TCP_TIME_WAIT | 1u << TCP_CLOSE);
  if (mnl_socket_sendto(nl, message, message->nlmsg_len) < 0) return -1;
  for (;;) {
    ssize_t bytes = mnl_socket_recvfrom(nl, buffer, sizeof buffer);
    int result = bytes < 0
                     ? MNL_CB_ERROR
                     : mnl_cb_run(buffer, (size_t)bytes, (uint32_t)family, mnl_socket_get_portid(nl), on_socket, &port);
    if (result <= MNL_CB_STOP) return result;
  }
}

bool mst__netlink_tcp_port_is_live(uint16_t port) {
  struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
  if (!nl) return true;
  bool live = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) || look_for_port(nl, AF_INET, port) ||
              look_for_port(nl, AF_INET6, port);
  mnl_socket_close(nl);
  return live;
}

/* --- news --- */

struct news {
  bool routes, neighbours;
};

static int on_news(const struct nlmsghdr *message, void *user) {
  struct news *news = user;
  if (message->nlmsg_type == RTM_NEWNEIGH || message->nlmsg_type == RTM_DELNEIGH)
    news->neighbours = true;
  else
    news->routes = true;
  return MNL_CB_OK;
}

void mst__os_linux_events(struct mst__os_linux *os, mst_switch *sw) {
  char buffer[32768];
  struct news news = {0};
  ssize_t bytes;
  while ((bytes = mnl_socket_recvfrom(os->events, buffer, sizeof buffer)) > 0 ||
         (bytes < 0 && (errno == ENOBUFS || errno == EINTR))) {
    if (bytes > 0)
      mnl_cb_run(buffer, (size_t)bytes, 0, 0, on_news, &news);
    else if (errno == ENOBUFS)
      news.routes = true; /* some were lost: anything may have changed */
  }
  if (news.routes)
    mst_switch_routes_changed(sw);
  else if (news.neighbours)
    mst_switch_neighbours_changed(sw);
}

int mst__os_linux_wait_fd(const struct mst__os_linux *os) {
  return mnl_socket_get_fd(os->events);
}
