/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* What the XDP program and the port that loads it agree on. IPv4 addresses are IPv4-mapped, ports in host order. */
#ifndef MST_PORT_XDP_MAPS_H
#define MST_PORT_XDP_MAPS_H

#include <linux/types.h>

/* `held_ports`: one bit a port, TCP's 65536 and then UDP's, in words of 64: the one look-up that OS traffic costs. */
#define MST__XDP_PORT_WORDS (2 * 65536 / 64)
#define MST__XDP_PORT_WORD(udp, port) ((((__u32)(udp) << 16) | (port)) >> 6)
#define MST__XDP_PORT_BIT(port) (1ull << ((port)&63))

/* `held_tuples`: the value counts how often the tuple was added. */
struct mst__xdp_tuple {
  __u8 addr[16]; /* exact or a wildcard, :: or ::ffff:0.0.0.0 */
  __u16 port;
  __u8 protocol;
  __u8 zero;
};
#define MST__XDP_TUPLES_MAX (1 << 18)

/* `local_addrs`: this host's own addresses. A wildcard tuple holds no others: a router's packets to other hosts pass.
 */
struct mst__xdp_addr {
  __u8 addr[16];
};
#define MST__XDP_LOCAL_ADDRS_MAX 65536

/* `fragmented`: datagrams whose first fragment was to a held tuple; the later fragments say no ports. */
struct mst__xdp_fragment {
  __u8 source[16];
  __u8 destination[16];
  __u32 id;
  __u32 protocol;
};
#define MST__XDP_FRAGMENTS_MAX 4096

#define MST__XDP_QUEUES_MAX 256

/* `unserved`: one count, of held tuples' packets that were dropped since no socket serves their queue. */

#endif
