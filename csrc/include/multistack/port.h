/* A port: something that the switch sends and receives on. A port carries bytes and knows nothing of tuples' owners,
 * routes or checksums; what it cannot do itself (segmentation, checksums) it says in its capabilities, and the switch
 * does it while it copies. */
#ifndef MULTISTACK_PORT_H
#define MULTISTACK_PORT_H

#include "env.h"
#include "error.h"
#include "packet.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mst_port_caps {
  MST_PORT_TX_GSO = 1,          /* takes packets with gso_size */
  MST_PORT_TX_CSUM = 2,         /* takes MST_CSUM_PARTIAL */
  MST_PORT_RX_CSUM_PARTIAL = 4, /* may receive packets whose checksum is only the pseudo-header's sum (veth, lo) */
  MST_PORT_ETHERNET = 8,        /* transmits frames: the switch writes an Ethernet header of 14 bytes in front */
  MST_PORT_OS_LOOPBACK = 16,    /* leads to the OS stack's own sockets on this host */
};

struct mst_port_stats {
  uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
  uint64_t rx_dropped, tx_dropped; /* by the device or the kernel, where it tells */
  char mode[32];                   /* "native", "generic", "tap", "memory" ... : the mode in force */
  char reason[160];                /* why it is not the best mode; empty when it is */
  uint32_t queues;
  bool zero_copy;
};

/* A received packet, as mst_port_ops.receive reports it. */
struct mst_port_rx {
  const uint8_t *data; /* the IP packet, contiguous, without layer 2 */
  uint32_t len;
  uint16_t gso_size;
  uint8_t flags; /* MST_CSUM_... */
};

struct mst_port;

struct mst_port_ops {
  /* Up to `count` packets, valid until release, which gives all of them back. Returns how many, or -MST_ENETDOWN when
   * the device is gone (for good). Never blocks. */
  int (*receive)(struct mst_port *port, struct mst_port_rx *out, unsigned count);
  void (*release)(struct mst_port *port);

  /* Room for one frame of `bytes` (layer 2 included), or NULL when the port is full: then the switch stops taking from
   * its channels until the port's wait fd says that it has moved on. */
  uint8_t *(*tx_reserve)(struct mst_port *port, uint32_t bytes);
  /* Send what was written to the room; len 0 gives the room back unused. */
  void (*tx_commit)(struct mst_port *port, uint32_t len, uint16_t gso_size, uint8_t flags);
  /* Push committed frames out: one system call at most a batch. */
  void (*flush)(struct mst_port *port);

  /* From now on packets to `tuple` (and ICMP errors that quote it) come to this port / go to the OS stack again.
   * 0 or -MST_E.... Ports that see all packets leave these NULL. */
  int (*tuple_add)(struct mst_port *port, const struct mst_tuple *tuple);
  void (*tuple_remove)(struct mst_port *port, const struct mst_tuple *tuple);

  /* Append the descriptors to wait on (readable: packets have come, or room is free again) to `fds`, at most `count`;
   * returns how many. They stay the same for the port's life. */
  unsigned (*wait_fds)(struct mst_port *port, int *fds, unsigned count);

  void (*get_stats)(struct mst_port *port, struct mst_port_stats *out);
  void (*close)(struct mst_port *port);

  /* Append descriptors that keep the port's place at its device, packets of its tuples out of the OS stack and all,
   * while a copy of them is open anywhere: what mst_port_open_adopted wants. They stay the port's own. At most
   * MST_PORT_EXPORT_MAX and `count`; returns how many. NULL: there is nothing to keep. */
  unsigned (*export_fds)(struct mst_port *port, int *fds, unsigned count);
  /* All tuples that are held by now have been added: bring their packets. 0 or -MST_E.... The switch calls it when it
   * gets the port. NULL: packets come since the port was opened. */
  int (*begin)(struct mst_port *port);
};

#define MST_PORT_EXPORT_MAX 4

/* The part of a port that the switch sees; an implementation embeds it first. */
struct mst_port {
  const struct mst_port_ops *ops;
  char name[48];                /* "xdp:eth0" */
  uint32_t caps;                /* MST_PORT_... */
  uint32_t mtu;                 /* bytes of IP packet */
  unsigned ifindex;             /* of the device whose traffic it carries, 0: none */
  uint8_t mac[6];               /* source address of frames, with MST_PORT_ETHERNET */
  struct mst_addr addr4, addr6; /* the port's own addresses where the OS does not have them (tap); else wildcards */
};

/* Open a port by its spec. On failure `failure` (may be NULL) says what failed, on what, why, and what to do.
 *   xdp:DEVICE[,mode=native|generic][,queues=N]   AF_XDP on a NIC, a veth or lo
 *   tap:NAME[,host=ADDR/LEN][,addr=ADDR]...        a TAP device: `host` is the OS's address on it, `addr` the stack's
 * 0, -MST_EINVAL (bad spec), -MST_ENODEV, -MST_EPERM, -MST_EBUSY (another XDP program is there), -MST_ENOSYS ... */
int mst_port_open(const char *spec, struct mst_port **out, struct mst_failure *failure);

/* The same in the place of a port of the same spec whose process has ended and of which `fds` are kept: they are the
 * new port's from here on, or closed, on failure too. From the end of the old one to `begin` of the new one packets of
 * tuples that the old one held are dropped, and never the OS's. Where the device is another by now, the port is opened
 * afresh. */
int mst_port_open_adopted(const char *spec, const int *fds, unsigned count, struct mst_port **out,
                          struct mst_failure *failure);

/* Two ports that are the two ends of one wire in memory, without privilege: what one sends the other receives. */
int mst_port_memory_pair(uint32_t mtu, struct mst_port **a, struct mst_port **b);

/* Wrap a port: every packet in either direction is written to `path` as pcapng (LINKTYPE_RAW) too. The wrapper owns
 * `inner`. 0 or -MST_E... of opening the file. */
int mst_port_pcap(struct mst_port *inner, const char *path, struct mst_port **out, struct mst_failure *failure);

/* Write packets as pcapng; what the pcap port and a channel's tee are made of. */
typedef struct mst_pcap mst_pcap;
int mst_pcap_open(const char *path, mst_pcap **out, struct mst_failure *failure);
/* `interface` names where it was seen and becomes an interface of the file at its first use. `outbound`: direction. */
void mst_pcap_write(mst_pcap *pcap, const char *interface, bool outbound, const struct mst_iov *iov, size_t count,
                    uint64_t realtime_ns);
void mst_pcap_close(mst_pcap *pcap);

#ifdef __cplusplus
}
#endif
#endif
