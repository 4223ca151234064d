/* A tap port's device on the OS's side. */
#ifndef MST_PORT_TAP_H
#define MST_PORT_TAP_H

#include "port_internal.h"

struct mst__tap_address {
  struct mst_addr addr;
  uint8_t prefix_bits; /* as written: at most 32 for IPv4, 128 for IPv6 */
};

#define MST__TAP_HOSTS_MAX 4

/* What the spec asks for. */
struct mst__tap_config {
  struct mst__tap_address hosts[MST__TAP_HOSTS_MAX]; /* the OS's addresses on the device */
  unsigned host_count;
  struct mst_addr addr4, addr6; /* the stack's, wildcards when there is none */
};

int mst__tap_parse(const char *device, char *options, struct mst__tap_config *out, struct mst_failure *failure);

/* Give the device its addresses, and the stack's addresses a route where no prefix leads to them. 0 or -errno. */
int mst__tap_configure(unsigned ifindex, const struct mst__tap_config *config);

#endif
