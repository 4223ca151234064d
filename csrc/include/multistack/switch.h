/* The switch: which packet goes to whom, and who may send as what.
 *
 * A tuple that a channel holds belongs to that channel alone. Every packet is copied first and validated on the copy.
 * One thread. The switch makes no system call itself: what it needs of the OS (a reservation of each tuple, routes,
 * neighbours) it asks of mst_switch_os; without one it is alone on its host, as in tests and between memory ports. */
#ifndef MULTISTACK_SWITCH_H
#define MULTISTACK_SWITCH_H

#include "channel.h"
#include "drop.h"
#include "port.h"
#include "stack.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mst_switch mst_switch;

/* Where a packet to some destination goes. */
struct mst_next_hop {
  struct mst_addr source;  /* preferred source address */
  struct mst_addr gateway; /* the neighbour to resolve: the gateway or the destination itself */
  unsigned ifindex;        /* device it leaves by; 0 with `local` */
  uint32_t mtu;
  bool local; /* an address of this host */
};

enum mst_neighbour_state { MST_NEIGHBOUR_KNOWN, MST_NEIGHBOUR_PENDING, MST_NEIGHBOUR_FAILED };

struct mst_switch_os {
  void *ctx;
  /* Take `tuple` from the OS's programs: bind a kernel socket to it. With port 0 choose a free one and write it back.
   * 0, -MST_EADDRINUSE, -MST_EACCES, -MST_EADDRNOTAVAIL. `*cookie` names the reservation. */
  int (*reserve)(void *ctx, struct mst_tuple *tuple, intptr_t *cookie);
  void (*unreserve)(void *ctx, intptr_t cookie);
  /* The OS's route. 0, -MST_ENETUNREACH, -MST_EHOSTUNREACH. */
  int (*route)(void *ctx, const struct mst_addr *destination, struct mst_next_hop *out);
  /* The OS's neighbour entry; PENDING starts resolution and the switch asks again after mst_switch_neighbours_changed.
   */
  enum mst_neighbour_state (*neighbour)(void *ctx, unsigned ifindex, const struct mst_addr *addr, uint8_t mac[6]);
};

struct mst_switch_options {
  size_t size; /* sizeof(struct mst_switch_options) */
  struct mst_env env;
  const struct mst_switch_os *os; /* must outlive the switch; NULL: alone on its host */
  /* What channels' CPU time is measured with, at random samples of one turn in 64; never 0. NULL: it is not measured.
   */
  uint64_t (*clock_ns)(void *ctx);
  void *clock_ctx;
};

int mst_switch_create(const struct mst_switch_options *options, mst_switch **out);
void mst_switch_destroy(mst_switch *sw); /* ports are closed, channels are not */

/* The switch owns the port from here on. A device is carried by one port at most: else -MST_EEXIST. */
int mst_switch_add_port(mst_switch *sw, struct mst_port *port);

/* Whose a channel is and what it may do. */
struct mst_switch_channel_options {
  size_t size;    /* sizeof(struct mst_switch_channel_options) */
  uint32_t owner; /* tuples are shared and handed over among channels of one owner (a user id) */
  /* The stack sleeps and packets have come for it. Called within process calls, calls nothing here. NULL: it need not
   * be rung. */
  void (*ring)(void *ctx);
  void *ring_ctx;
  uint32_t leases_max; /* tuples that it may hold, 0: any number */
  /* What it may send, with bursts of 10 ms of it, 0: as much as its share is; the rest waits in its ring. */
  uint64_t packets_per_s, bytes_per_s;
  /* It may send ICMP port unreachable, 1,000 a second, to whoever has sent to a tuple that it holds; else no ICMP. */
  bool icmp_errors;
};

/* Channels are named by small integers. `options` may be NULL. Without a channel (NULL) the id is a limbo: it holds
 * leases for a stack that is away, and packets to it are dropped and counted. Detaching frees all leases of the id.
 * A channel takes about 1 KiB of the switch's memory and 4 bytes for each slot of its receive ring, a lease about 130
 * bytes, a group's about 400 with up to four members.
 * 0, -MST_EINVAL, -MST_ENOMEM, -MST_ENOBUFS. */
int mst_switch_attach(mst_switch *sw, mst_channel *channel, const struct mst_switch_channel_options *options,
                      unsigned *id);
void mst_switch_detach(mst_switch *sw, unsigned id);
/* The same a little at a time, where letting go of thousands of leases at once would keep the others waiting: the
 * channel is not touched any more, the id is a limbo until all is released. True when nothing is left, and the id is
 * free. */
void mst_switch_abandon(mst_switch *sw, unsigned id);
bool mst_switch_detach_some(mst_switch *sw, unsigned id, unsigned leases);

/* What a capture shows. */
#define MST_SWITCH_ANY UINT32_MAX
struct mst_switch_filter {
  size_t size;          /* sizeof(struct mst_switch_filter) */
  uint32_t id;          /* packets of this channel, or MST_SWITCH_ANY; without port_name */
  uint8_t protocol;     /* 0: any */
  struct mst_addr addr; /* of either end, a wildcard: any */
  uint16_t port;        /* of that end, 0: any */
  char port_name[48]; /* as packets pass the port of this name (mst_port.name), instead of channels; "": at channels */
};
struct mst_switch_seen {
  const uint8_t *data; /* the IP packet, the switch's own copy, until the call returns */
  uint32_t len;
  uint16_t gso_size;
  uint8_t flags;      /* MST_CSUM_... */
  uint32_t id;        /* of the channel that sends or gets it; at a port MST_SWITCH_ANY */
  const char *port;   /* NULL: at a channel */
  bool outbound;      /* from the channel, or out of the port */
  enum mst_drop drop; /* what became of it; of what is sent by a channel, and of what a port receives */
  uint64_t now_ns;    /* of the process call */
};
typedef void mst_switch_seen_fn(void *user, const struct mst_switch_seen *packet);

/* From now on `seen` is called for each packet that matches, within process calls; it calls nothing here. A packet
 * between two channels is seen at both. What cannot be parsed matches only where nothing is asked of it. Returns the
 * capture's number, or -MST_EINVAL, -MST_ENOMEM, -MST_ENOBUFS (8 at once). */
int mst_switch_capture(mst_switch *sw, const struct mst_switch_filter *filter, mst_switch_seen_fn *seen, void *user);
void mst_switch_capture_end(mst_switch *sw, int capture);

/* Write packets of this channel, both directions, to `pcap` too (NULL: stop). The caller keeps `pcap`. */
void mst_switch_tee(mst_switch *sw, unsigned id, mst_pcap *pcap, const char *name);

/* Hold `tuple` for channel `id`; the shapes and errors of mst_net.lease. MST_BIND_GROUP shares it among channels of one
 * owner; with others' it is -MST_EADDRINUSE. -MST_ENOBUFS: the channel holds as many as it may.
 * MST_BIND_TAKE succeeds a channel that offers the tuple; where nobody holds it, it is leased as without. */
int mst_switch_lease(mst_switch *sw, unsigned id, struct mst_tuple *tuple);
/* Hold `count` free ports of (protocol, addr), at most 64, unpredictable ones (RFC 6056), each a lease of its own that
 * is released by itself. Returns how many there were, in `ports` (host byte order), or the error of mst_switch_lease
 * when there was none; -MST_EINVAL without a count. */
int mst_switch_lease_block(mst_switch *sw, unsigned id, enum mst_protocol protocol, const struct mst_addr *addr,
                           unsigned count, uint16_t *ports);

/* Nothing happens when the channel does not hold it. */
void mst_switch_release(mst_switch *sw, unsigned id, const struct mst_tuple *tuple);

/* Hold a tuple, with its port number, whose reservation in the OS exists already: `cookie` names it as
 * mst_switch_os.reserve would have, and is the switch's from here on when there is no error. MST_SWITCH_NO_COOKIE: it
 * needs none (a port's own address, or a group that has one). -MST_EINVAL, and the errors of mst_switch_lease. */
#define MST_SWITCH_NO_COOKIE ((intptr_t)-1)
int mst_switch_adopt_lease(mst_switch *sw, unsigned id, const struct mst_tuple *tuple, intptr_t cookie);

/* What names the reservation of a tuple that is held; MST_SWITCH_NO_COOKIE: there is none. */
intptr_t mst_switch_reservation(const mst_switch *sw, const struct mst_tuple *tuple);

/* What one channel holds is another's of the same owner from here on, with no moment between in which it is nobody's:
 * neither the OS nor a port notices. Of a group it is the seat that is handed over, with its flows. What `from_id` has
 * sent before is forwarded first. 0, -MST_EBADF (no such ids), -MST_EACCES (of different owners), -MST_ENOENT
 * (`from_id` does not hold it), -MST_EADDRINUSE (`to_id` is of the group already), -MST_ENOBUFS (`to_id` holds as many
 * as it may). */
int mst_switch_transfer(mst_switch *sw, unsigned from_id, unsigned to_id, const struct mst_tuple *tuple);

/* A flow of a group, to one remote endpoint, belongs to the member that sent in it last, and stays with it whoever
 * joins or leaves; only flows in which nobody has sent are spread among the members by hash. 65,536 flows of a group
 * are remembered and 262,144 of all (112 bytes each), those that were silent for longest are forgotten first. While a
 * member is in limbo, TCP segments of flows that nobody has are dropped, unless they open a connection.
 *
 * Tell of flows that a member has (after a restart, before it could send): they belong to it from here on. 0,
 * -MST_EBADF (no such id, or it does not hold the tuple), -MST_ENOMEM, -MST_ENOBUFS. */
int mst_switch_declare(mst_switch *sw, unsigned id, const struct mst_tuple *tuple, const struct mst_endpoint *remotes,
                       size_t count);

/* The same, and whoever of the same owner leases the tuple with MST_BIND_TAKE succeeds the channel: new flows are the
 * successor's then, and those that are declared, or in which the channel sends, stay until it releases the tuple. May
 * be called again to tell of more flows. */
int mst_switch_offer(mst_switch *sw, unsigned id, const struct mst_tuple *tuple, const struct mst_endpoint *remotes,
                     size_t count);

/* Call `each` for every tuple that the channel holds; it must not change what is held. -MST_EBADF for an unknown id. */
int mst_switch_each_lease(const mst_switch *sw, unsigned id, void (*each)(const struct mst_tuple *tuple, void *user),
                          void *user);

/* True when somebody holds a tuple that packets to (protocol, addr, port) would reach. */
bool mst_switch_holds(const mst_switch *sw, enum mst_protocol protocol, const struct mst_endpoint *local);

/* The shape of mst_net.route. */
int mst_switch_route(mst_switch *sw, const struct mst_addr *destination, struct mst_route *out);

/* Routes, addresses or neighbours of the OS have changed: drop what was cached, send what waited. */
void mst_switch_routes_changed(mst_switch *sw);
void mst_switch_neighbours_changed(mst_switch *sw);

/* Forward up to `budget` packets from each port and as many from all channels together, and a few MiB at most. Returns
 * how many were forwarded or dropped: 0 means that nothing is left to do before something moves or
 * mst_switch_deadline. `now_ns` stamps captures, and bounds how long packets wait for a neighbour or a receiver.
 *
 * Channels that have something to send are served in turn, as many bytes each, with a charge for each packet. A
 * receiver whose ring is full holds up its senders for at most 10 ms while it does not move, and those of other owners
 * that have somebody else to talk to for at most 1 % of the time; then packets to it are dropped. */
size_t mst_switch_process(mst_switch *sw, unsigned budget, uint64_t now_ns);

/* The two halves of it, for a driver that knows which side has work. */
size_t mst_switch_process_ports(mst_switch *sw, unsigned budget, uint64_t now_ns);
size_t mst_switch_process_channels(mst_switch *sw, unsigned budget, uint64_t now_ns);

/* When there is something to do again though nothing moves: a channel at its limit may go on, or a full receiver has
 * been waited for long enough. In the time of now_ns; UINT64_MAX: never. Valid until the next process call. */
uint64_t mst_switch_deadline(const mst_switch *sw);

/* A channel has done again and again what no honest stack does: impossible ring indices or descriptors, malformed
 * packets, sources that it does not hold. A few mistakes are counted as drops and forgotten with time. Once true it
 * stays true. */
bool mst_switch_is_abusive(const mst_switch *sw, unsigned id);
/* Hold something else against a channel: an impossible descriptor has 100 points, a forged source 1; with 10,000 it is
 * abusive, and 1,000 are forgotten in a second. In the time of the last process call. */
void mst_switch_blame(mst_switch *sw, unsigned id, unsigned points);

/* From now on channels ring when they have sent or released packets. False: there is something to process already, so
 * there is no reason to sleep. mst_switch_wake ends it. */
bool mst_switch_sleep(mst_switch *sw);
void mst_switch_wake(mst_switch *sw);

struct mst_switch_stats {
  uint64_t to_channel_packets, to_channel_bytes; /* delivered to this channel */
  uint64_t from_channel_packets, from_channel_bytes;
  uint64_t drops[MST_DROP_COUNT];
  uint64_t cpu_ns; /* spent on what this channel sent, estimated */
};
/* Of one channel; drops are of what it sent and of what it should have got. Returns -MST_EBADF for an unknown id. */
int mst_switch_channel_stats(const mst_switch *sw, unsigned id, struct mst_switch_stats *out);
/* Of the whole switch, ports included. */
void mst_switch_get_stats(const mst_switch *sw, struct mst_switch_stats *out);
/* Call `each` for every port. */
void mst_switch_each_port(const mst_switch *sw, void (*each)(struct mst_port *port, void *user), void *user);

#ifdef __cplusplus
}
#endif
#endif
