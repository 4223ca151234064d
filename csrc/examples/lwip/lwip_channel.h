/* lwIP on a channel: what a stack that was not made for MultiStack needs to live beside others on one address.
 *
 *   lwIP  ip_input() <── copy, checksum made whole ── mst_channel_receive / release    rx ring <── switch
 *         netif->output() ── copy to the arena ─────> mst_channel_send                 tx ring ──> switch
 *
 * It is a model for porting others: nothing but the public header channel.h is used, and nothing in lwIP is changed.
 * The library is Debian's, with a thread of lwIP's own (tcpip_thread) for timers, and one lock around all of lwIP
 * (LOCK_TCPIP_CORE). That lock guards the channel's stack side too, which is for one thread at a time. */
#ifndef MST_EXAMPLES_LWIP_CHANNEL_H
#define MST_EXAMPLES_LWIP_CHANNEL_H

#include <lwip/netif.h>
#include <lwip/tcp.h>
#include <multistack/channel.h>
#include <multistack/types.h>

struct lwip_channel {
  mst_channel *channel;
  /* The two netifs are one address seen from two sides. lwIP hands a packet for its netif's own address back to itself;
   * here that address may be the peer's as well, who is another stack on the same host. So `self` has the addresses, by
   * which lwIP takes packets in, and `wire`, which has none that anybody would send to, carries them out. */
  struct netif wire, self;
  /* Packets were sent or room was made: let the switch look. */
  void (*ring)(void *ctx);
  void *ring_ctx;
  bool in_turn;     /* lwip_channel_process runs, and rings once at its end */
  bool wants_ring;  /* something was sent or released since the last ring */
  bool ring_full;   /* a packet was refused: lwIP has it still and is to try again */
  uint64_t dropped; /* received and not given to lwIP */
};

struct lwip_channel_options {
  mst_channel *channel; /* stays the caller's, for longer than lwIP runs */
  /* Addresses of the tuples that this stack will hold, wildcards for none. No loopback: lwIP keeps 127.0.0.0/8 and ::1
   * to itself. */
  struct mst_addr addr4, addr6;
  uint32_t mtu; /* bytes of IP packet; 0: 1500 */
  void (*ring)(void *ctx);
  void *ring_ctx;
};

/* Start lwIP's thread and make the netifs, once a process: lwIP cannot be stopped, so `lc` is there to its end. 0, or
 * -MST_EADDRNOTAVAIL for a loopback address. */
int lwip_channel_open(struct lwip_channel *lc, const struct lwip_channel_options *options);

/* Give lwIP what has been received; its callbacks run in here, and from lwIP's thread. Call it without the lock when
 * the channel may have packets or room. Returns how many packets came, at most LWIP_CHANNEL_TURN. */
#define LWIP_CHANNEL_TURN 256
size_t lwip_channel_process(struct lwip_channel *lc);

/* A TCP endpoint on a tuple that the channel holds already, to listen or connect from; with the lock. NULL: no memory,
 * or lwIP has one there. */
struct tcp_pcb *lwip_channel_tcp(struct lwip_channel *lc, const struct mst_addr *addr, uint16_t port);

/* The address as lwIP writes it. */
ip_addr_t lwip_channel_addr(const struct mst_addr *addr);

#endif
