/* The parts of an xdp port.
 *
 *   xdp.c           the port: opening, the operations                 xdp_device.c   what the OS says of the device
 *   xdp_program.c   load, attach, held tuples                         xdp_watch.c    changes of device and addresses
 *   xdp_queue.c     the frames and rings of one receive queue         xdp_socket.c   AF_XDP sockets
 *   xdp_loopback.c  transmit on lo                                    xdp_object.c   the program's object file,
 * embedded xdp.bpf.c       the program itself */
#ifndef MST_PORT_XDP_H
#define MST_PORT_XDP_H

#include "port_internal.h"

#include <net/if.h>
#include <xdp/xsk.h>

#define MST__ETHERNET_BYTES 14u

/* --- device ------------------------------------------------------------------------------------------------------ */

struct mst__xdp_device {
  char name[IF_NAMESIZE];
  char driver[32]; /* "" when it does not say */
  unsigned ifindex;
  uint32_t mtu;
  uint32_t queues; /* receive queues */
  uint8_t mac[6];
  bool loopback;
  bool hardware; /* a real wire, where no checksum arrives unfinished */
};

/* Ask the OS about `name`; -MST_ENODEV, -MST_ENETDOWN, -MST_EOPNOTSUPP (no Ethernet). */
int mst__xdp_device_query(const char *name, struct mst__xdp_device *out, struct mst_failure *failure);

/* --- program ----------------------------------------------------------------------------------------------------- */

enum mst__xdp_mode { MST__XDP_BEST, MST__XDP_NATIVE, MST__XDP_GENERIC };

struct bpf_object;

struct mst__xdp_program {
  struct bpf_object *object;
  int link; /* detaches when it is closed, so after kill -9 too */
  int held_ports, held_tuples, local_addrs, sockets, unserved;
  uint64_t unserved_before; /* of the program whose link was adopted */
  int legacy_unserved;      /* its map, while it is in the link; -1: none */
  uint16_t *tuples_of_port; /* [2][65536]: how many tuples stand behind a bit of held_ports */
  bool native;
  bool frags; /* takes packets of several buffers */
  bool waits; /* for mst__xdp_program_begin: another is in the adopted link still */
};

/* Load, and attach or adopt the legacy's link. On failure nothing is left. Adds to `reason` why it is not native. */
int mst__xdp_program_open(struct mst__xdp_program *program, const struct mst__xdp_device *device,
                          enum mst__xdp_mode mode, struct mst__port_legacy *legacy, char *reason,
                          struct mst_failure *failure);
/* Replace the program in an adopted link. 0 or -errno. */
int mst__xdp_program_begin(struct mst__xdp_program *program);
unsigned mst__xdp_program_export(const struct mst__xdp_program *program, int *fds, unsigned count);
uint64_t mst__xdp_program_unserved(const struct mst__xdp_program *program);
void mst__xdp_program_close(struct mst__xdp_program *program);
int mst__xdp_program_hold(struct mst__xdp_program *program, const struct mst_tuple *tuple);
void mst__xdp_program_unhold(struct mst__xdp_program *program, const struct mst_tuple *tuple);

/* --- watch ------------------------------------------------------------------------------------------------------- */

/* Follows the device and this host's addresses by rtnetlink, and keeps the program's local_addrs. */
struct mst__xdp_watch {
  int fd;
  int local_addrs;
  unsigned ifindex;
  struct mst_addr *addrs; /* what local_addrs holds */
  size_t count;
  bool gone; /* the device is */
};

int mst__xdp_watch_open(struct mst__xdp_watch *watch, unsigned ifindex, int local_addrs);
void mst__xdp_watch_close(struct mst__xdp_watch *watch);
/* Take in what has happened; one system call when nothing has. */
void mst__xdp_watch_poll(struct mst__xdp_watch *watch);

/* --- socket ------------------------------------------------------------------------------------------------------ */

struct mst__xdp_mapping {
  void *memory; /* NULL: none */
  size_t bytes;
};

/* All return -errno when they fail. */
int mst__xdp_socket_open(void);
/* Name the memory that frames lie in. `metadata_bytes`: what stands in front of each frame to transmit, or 0. */
int mst__xdp_socket_register(int fd, void *frames, size_t bytes, uint32_t frame_bytes, uint32_t metadata_bytes);
/* Make ring `option` (XDP_TX_RING and so on) with `count` entries, a power of two. */
int mst__xdp_socket_producer(int fd, int option, uint32_t count, struct mst__xdp_mapping *mapping,
                             struct xsk_ring_prod *out);
int mst__xdp_socket_consumer(int fd, int option, uint32_t count, struct mst__xdp_mapping *mapping,
                             struct xsk_ring_cons *out);
void mst__xdp_socket_unmap(struct mst__xdp_mapping *mapping);
/* With XDP_SHARED_UMEM: to the queue and on the memory, fill and completion ring of `shared_with`. */
int mst__xdp_socket_bind(int fd, unsigned ifindex, uint32_t queue, uint16_t flags, int shared_with);

/* --- queue ------------------------------------------------------------------------------------------------------- */

/* The most that a frame to transmit can hold. */
#define MST__XDP_TX_BYTES_MAX (4096u - 32u)

struct mst__xdp_queue {
  int rx_fd, tx_fd; /* tx_fd -1: does not transmit */
  struct xsk_ring_prod fill, tx;
  struct xsk_ring_cons completion, rx;
  struct mst__xdp_mapping fill_map, completion_map, rx_map, tx_map;
  uint8_t *frames;
  size_t frames_bytes;

  uint32_t rx_first, rx_held; /* descriptors received and not yet released */
  uint32_t rx_frames;

  uint64_t *tx_free; /* frames that nobody has */
  uint32_t tx_free_count, tx_frames;
  uint32_t tx_pending; /* committed, not yet submitted */
  bool tx_down;        /* the device has refused the last kick: it is down */
  bool zero_copy, multi_buffer;
  bool tx_checksum; /* the kernel completes checksums */
};

struct mst__xdp_bounce; /* where a packet of several buffers becomes contiguous */

/* Bind sockets to receive queue `index`, with `transmit` one that sends too. Adds to `reason` why it is not zero-copy.
 * Returns 0 or -errno. */
int mst__xdp_queue_open(struct mst__xdp_queue *queue, const struct mst__xdp_device *device, uint32_t index,
                        bool transmit, bool native, char *reason);
void mst__xdp_queue_close(struct mst__xdp_queue *queue);
struct mst__xdp_bounce {
  uint8_t *data;
  uint32_t used;
};
#define MST__XDP_BOUNCE_BYTES (1u << 19)

unsigned mst__xdp_queue_receive(struct mst__xdp_queue *queue, struct mst__xdp_bounce *bounce, struct mst_port_rx *out,
                                unsigned count);
void mst__xdp_queue_release(struct mst__xdp_queue *queue);

uint8_t *mst__xdp_queue_reserve(struct mst__xdp_queue *queue);
/* `checksum`: what the transport checksum still lacks, NULL when it is complete. */
void mst__xdp_queue_commit(struct mst__xdp_queue *queue, uint32_t len, const struct mst__checksum_place *checksum);
/* False: the kernel would not take all now, and says nothing when it would; flush again some time later. */
bool mst__xdp_queue_flush(struct mst__xdp_queue *queue);

/* --- loopback ---------------------------------------------------------------------------------------------------- */

/* Transmit to the OS's own sockets by raw IP sockets. A frame that AF_XDP sent on lo would come in as if from outside
 * and need sysctls (accept_local, route_localnet); a packet of a raw socket goes the way of the OS's own. */
struct mst__xdp_loopback;

int mst__xdp_loopback_open(struct mst__xdp_loopback **out);
void mst__xdp_loopback_close(struct mst__xdp_loopback *loopback);
uint8_t *mst__xdp_loopback_reserve(struct mst__xdp_loopback *loopback, uint32_t bytes);
void mst__xdp_loopback_commit(struct mst__xdp_loopback *loopback, uint32_t len);
/* Returns how many were refused. */
unsigned mst__xdp_loopback_flush(struct mst__xdp_loopback *loopback);

#endif
