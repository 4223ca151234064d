/* What a daemon, the keeper's master, and its keeper say to each other: packets of records over SOCK_SEQPACKET, each
 * record with descriptors of its own. Both are of one host, so of one byte order; they may be of different builds. */
#ifndef MST_DAEMON_KEEPER_WIRE_H
#define MST_DAEMON_KEEPER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MST__KEEPER_VERSION 1u
#define MST__KEEPER_BYTES_MAX 256u /* of key and value together */
#define MST__KEEPER_FDS_MAX 8u     /* of a record */
#define MST__KEEPER_PACKET_BYTES 32768u
#define MST__KEEPER_PACKET_FDS 96u /* ten packets may be under way, and 1,024 descriptors */

enum mst__keeper_type {
  MST__KEEPER_HOLD = 1, /* this, in the place of what has the same key; from the keeper: this is held */
  MST__KEEPER_DROP,     /* master: what has this key */
  MST__KEEPER_END,      /* master: everything, and go */
  MST__KEEPER_WELCOME,  /* keeper, to whoever connects: struct mst__keeper_welcome, and the socket it listens at */
  MST__KEEPER_BUSY,     /* the same: value is the pid (uint32_t) of its master, which lives */
  MST__KEEPER_DENIED,   /* the same: it is another user's */
  MST__KEEPER_MORE,     /* new master: the next packet of what is held; value is struct mst__keeper_more */
  MST__KEEPER_ALL,      /* keeper: there is no more; it obeys from here on */
  MST__KEEPER_FULL,     /* keeper: this key is not held, for want of descriptors or memory */
  MST__KEEPER_START,    /* to the nursery: a keeper; struct mst__keeper_seed, the keeper's end, where it listens */
  MST__KEEPER_STARTED,  /* nursery: its pid (uint32_t), 0: it could not be started */
  MST__KEEPER_SETTLE,   /* master: say when all of this is done */
  MST__KEEPER_SETTLED,  /* keeper: it is */
};

struct mst__keeper_welcome {
  uint32_t version;
  uint32_t pid; /* the keeper's */
};

struct mst__keeper_more {
  uint32_t keep_s; /* from now on */
};

struct mst__keeper_record {
  enum mst__keeper_type type;
  uint16_t key_bytes, value_bytes;
  uint8_t fd_count;
  const void *key, *value;
  const int *fds;
};

struct mst__keeper_packet {
  uint32_t used, fd_count;
  uint32_t read, fds_read; /* by mst__keeper_next */
  bool fds_lost;           /* the receiver's descriptor limit is reached */
  int fds[MST__KEEPER_PACKET_FDS];
  uint8_t bytes[MST__KEEPER_PACKET_BYTES];
};

void mst__keeper_clear(struct mst__keeper_packet *packet);
/* Append; false: there is no room. */
bool mst__keeper_put(struct mst__keeper_packet *packet, const struct mst__keeper_record *record);
/* The next record of a received packet, which it points into; `fds` are the taker's. Records behind the first lost
 * descriptor have none left: fd_count is 0 and `*lost` true. False: there are no more, or what follows is none. */
bool mst__keeper_next(struct mst__keeper_packet *packet, struct mst__keeper_record *out, bool *lost);
/* Close what was received and not taken. */
void mst__keeper_close_rest(struct mst__keeper_packet *packet);

/* Never raises a signal. Blocks as the socket does. 0 or -errno. */
int mst__keeper_send(int fd, const struct mst__keeper_packet *packet);
/* 1; 0: the other end is gone; -errno. */
int mst__keeper_receive(int fd, struct mst__keeper_packet *packet);

#endif
