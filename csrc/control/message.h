/* What is said on multistackd's control socket: SOCK_SEQPACKET, one message a packet, in the host's byte order. Each
 * begins with the header; its type fixes its length and the descriptors that come with it. Both ends believe nothing
 * before mst__control_check. */
#ifndef MST_CONTROL_MESSAGE_H
#define MST_CONTROL_MESSAGE_H

#include "multistack/types.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MST__CONTROL_MAGIC 0x4b54534du /* "MSTK" */
#define MST__CONTROL_VERSION 1u        /* the newest that is spoken here */
#define MST__CONTROL_VERSION_FIRST 1u  /* and the oldest */

#define MST__CONTROL_BYTES_MAX 65536u
#define MST__CONTROL_FDS_MAX 4u
#define MST__CONTROL_NAME_BYTES 32u
#define MST__CONTROL_TOKEN_BYTES 16u
#define MST__CONTROL_BLOCK_MAX 64u    /* ports of one ephemeral block */
#define MST__CONTROL_REMOTES_MAX 512u /* flows in one OFFER */

/* X(name, number, fixed part's struct, descriptors). A message is as long as its struct, unless its struct ends in an
 * array whose length the message tells. */
#define MST__CONTROL_MAP(X)                                                                                            \
  X(HELLO, 1, mst__control_hello, 1)               /* app: attach me; with the region's memfd */                       \
  X(WELCOME, 2, mst__control_welcome, 1)           /* with a bell: a socket to ring and to be rung by */               \
  X(REFUSED, 3, mst__control_refused, 0)           /* daemon: no, and why; it hangs up */                              \
  X(LEASE, 4, mst__control_lease, 0)               /* app: hold this tuple */                                          \
  X(LEASED, 5, mst__control_leased, 0)             /* daemon: 0 or the error, and the tuple */                         \
  X(RELEASE, 6, mst__control_release, 0)           /* app: let go; no answer */                                        \
  X(BLOCK, 7, mst__control_block, 0)               /* app: some ephemeral ports of an address */                       \
  X(BLOCK_LEASED, 8, mst__control_block_leased, 0) /* daemon */                                                        \
  X(ROUTE, 9, mst__control_route, 0)               /* app: how is this destination reached */                          \
  X(ROUTED, 10, mst__control_routed, 0)            /* daemon */                                                        \
  X(ROUTES_CHANGED, 11, mst__control_plain, 0)     /* daemon: forget what ROUTED said */                               \
  X(OFFER, 12, mst__control_offer, 0)              /* app: who of my user wants this tuple may take it */              \
  X(OFFERED, 13, mst__control_result, 0)           /* daemon */                                                        \
  X(OBSERVE, 14, mst__control_observe, 0)          /* watcher: instead of HELLO; I only look */                        \
  X(OBSERVING, 15, mst__control_observing, 0)      /* daemon */                                                        \
  X(QUERY, 16, mst__control_text, 0)               /* watcher: JSON text of a question */                              \
  X(ANSWER, 17, mst__control_text, 0)              /* daemon: JSON text in parts */                                    \
  X(SOCKETS, 18, mst__control_plain, 0)            /* daemon to app: which sockets has your stack? */                  \
  X(SOCKETS_ARE, 19, mst__control_text, 0)         /* app: JSON text in parts */                                       \
  X(PACKETS, 20, mst__control_packets, 0)          /* daemon to watcher: captured packets */                           \
  X(YIELD, 21, mst__control_plain, 0)              /* a newer daemon: give way to me */                                \
  X(YIELDED, 22, mst__control_result, 0)           /* daemon: I go, or the error */                                    \
  X(HOLDS, 23, mst__control_holds, 0)              /* app: would a stack of this host get packets to this tuple? */    \
  X(HELD, 24, mst__control_held, 0)                /* daemon */

enum mst__control_type {
#define MST__X(name, number, type, fds) MST__CONTROL_##name = number,
  MST__CONTROL_MAP(MST__X)
#undef MST__X
};

struct mst__control_header {
  uint16_t type;
  uint16_t reserved; /* 0 */
  uint32_t serial;   /* an answer has its question's */
};

struct mst__control_plain {
  struct mst__control_header header;
};

struct mst__control_result {
  struct mst__control_header header;
  int32_t error; /* 0 or -MST_E... */
};

struct mst__control_hello {
  struct mst__control_header header;
  uint32_t magic;
  uint16_t version_first, version_last;
  uint32_t tx_slots, rx_slots, rx_bytes; /* struct mst_channel_options, all given */
  uint32_t reserved;
  uint64_t arena_bytes;
  uint8_t token[MST__CONTROL_TOKEN_BYTES]; /* of WELCOME, when this is the same app after a daemon's death; else 0 */
  char name[MST__CONTROL_NAME_BYTES];      /* of the program, for those who look; NUL-terminated */
};

struct mst__control_welcome {
  struct mst__control_header header;
  uint16_t version; /* spoken from here on */
  uint16_t reserved;
  uint32_t channel; /* its id, for those who look */
  uint8_t token[MST__CONTROL_TOKEN_BYTES];
};

struct mst__control_refused {
  struct mst__control_header header;
  int32_t error;
  char message[192]; /* NUL-terminated */
};

enum mst__control_lease_flags {
  MST__CONTROL_CLAIM = 1, /* I held it before the daemon was restarted */
};

struct mst__control_lease {
  struct mst__control_header header;
  struct mst_tuple tuple;
  uint32_t flags;
};

struct mst__control_leased {
  struct mst__control_header header;
  int32_t error;
  struct mst_tuple tuple;
};

struct mst__control_release {
  struct mst__control_header header;
  struct mst_tuple tuple;
};

struct mst__control_block {
  struct mst__control_header header;
  struct mst_tuple tuple; /* its port is 0 */
  uint32_t count;         /* 1 to MST__CONTROL_BLOCK_MAX */
};

struct mst__control_block_leased {
  struct mst__control_header header;
  int32_t error;
  uint32_t count;
  uint16_t ports[MST__CONTROL_BLOCK_MAX];
};

struct mst__control_route {
  struct mst__control_header header;
  struct mst_addr destination;
};

struct mst__control_routed {
  struct mst__control_header header;
  int32_t error;
  struct mst_addr source;
  uint32_t mtu, flags; /* struct mst_route */
};

struct mst__control_offer {
  struct mst__control_header header;
  struct mst_tuple tuple;
  uint32_t count; /* of remotes; an offer of more flows is made in several messages */
  struct mst_endpoint remotes[MST__CONTROL_REMOTES_MAX];
};

struct mst__control_holds {
  struct mst__control_header header;
  struct mst_tuple tuple; /* without flags */
};

struct mst__control_held {
  struct mst__control_header header;
  uint32_t held; /* 0 or 1 */
};

struct mst__control_observe {
  struct mst__control_header header;
  uint32_t magic;
  uint16_t version_first, version_last;
};

struct mst__control_observing {
  struct mst__control_header header;
  uint16_t version;
  uint16_t reserved;
};

struct mst__control_text {
  struct mst__control_header header;
  uint32_t bytes;
  uint8_t more; /* parts of the same text follow */
  uint8_t reserved[3];
  char text[MST__CONTROL_BYTES_MAX - 16];
};

/* One packet, as it stands among others in PACKETS; the next begins at a multiple of 8 bytes. */
struct mst__control_packet {
  uint64_t time_ns; /* since 1970 */
  uint32_t len;     /* of the packet */
  uint32_t bytes;   /* of it that follow */
  uint32_t channel; /* where it was seen; UINT32_MAX: at the port that was asked for */
  uint8_t outbound; /* sent by the channel, or out of the port */
  uint8_t dropped;  /* and gone no further */
  uint8_t reserved[2];
  uint8_t data[];
};

struct mst__control_packets {
  struct mst__control_header header;
  uint32_t bytes; /* of `data` */
  uint32_t reserved;
  uint64_t missed; /* packets until now that this watcher was too slow for */
  uint8_t data[MST__CONTROL_BYTES_MAX - 24];
};

/* A received message of `bytes` with `fds` descriptors: complete, of a known type, with no more and no less than that
 * type has. */
bool mst__control_check(const void *message, size_t bytes, size_t fds);

/* How long a message is that has `count` elements (bytes of text or packets, remotes) in its array. */
size_t mst__control_bytes(enum mst__control_type type, size_t count);

/* The newest version that both speak; 0: none. */
uint16_t mst__control_common_version(uint16_t first, uint16_t last);

#endif
