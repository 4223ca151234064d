#ifndef MST_HOST_OS_LINUX_INTERNAL_H
#define MST_HOST_OS_LINUX_INTERNAL_H

#include "multistack/switch.h"
#include <libmnl/libmnl.h>

/* Neighbour resolutions that were started lately. */
#define MST__ATTEMPTS 64u
#define MST__ATTEMPT_NS 5000000000ull

struct mst__os_linux {
  struct mst_switch_os ops;
  struct mnl_socket *questions; /* one question, one answer */
  struct mnl_socket *events;    /* subscribed to changes */
  unsigned sequence, port_id;
  struct mst__attempt {
    struct mst_addr addr;
    unsigned ifindex;
    uint64_t at_ns;
  } attempts[MST__ATTEMPTS];
  unsigned next_attempt;
};

int mst__netlink_open(struct mst__os_linux *os);
void mst__netlink_close(struct mst__os_linux *os);

/* Ask the kernel and give the answer to `each` (may be NULL). 0 or -errno. Does not wait: the kernel answers within the
 * call that asks. */
int mst__netlink_ask(struct mst__os_linux *os, struct nlmsghdr *message, mnl_cb_t each, void *user);

/* Whether any socket of the OS's, in whatever state but TIME-WAIT, has this local TCP port (or it cannot be told). */
bool mst__netlink_tcp_port_is_live(uint16_t port);

#endif
