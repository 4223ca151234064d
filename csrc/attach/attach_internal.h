/* The parts of an attachment, as they see each other. */
#ifndef MST_ATTACH_INTERNAL_H
#define MST_ATTACH_INTERNAL_H

#include "base/hash.h"
#include "base/list.h"
#include "control/socket.h"
#include "multistack/attach.h"

enum mst__attach_state {
  MST__ATTACH_DOWN,  /* there is no daemon; looked for at retry_at_ns */
  MST__ATTACH_ASKED, /* HELLO is on its way; given up at retry_at_ns */
  MST__ATTACH_UP,
  MST__ATTACH_ELSEWHERE, /* this is a child of the process that is attached */
};

/* A tuple that is held here, in `leases`. */
struct mst__attach_lease {
  struct mst__hash_node node;
  struct mst_tuple tuple;
  bool ephemeral; /* out of a block, and goes back to the pool */
};

/* Ephemeral ports of one address that are held and not in use. */
struct mst__attach_pool {
  struct mst_addr addr;
  uint8_t protocol, flags;
  uint32_t count;
  uint32_t ask_next;                      /* how many to ask for when it is empty: few at first */
  uint64_t used;                          /* the greater, the later it was used */
  uint16_t ports[MST__CONTROL_BLOCK_MAX]; /* in the order in which they came back */
};
#define MST__ATTACH_POOLS 8u
#define MST__ATTACH_ROUTES 64u /* power of two */
#define MST__ATTACH_HELD 16u   /* power of two */

struct mst_attach {
  struct mst__list of_process; /* fork.c */
  char *path;
  char name[MST__CONTROL_NAME_BYTES];
  struct mst_channel_options channel_options;
  mst_channel *channel;
  int (*sockets)(void *ctx, char *out, size_t bytes);
  void *sockets_ctx;
  uint32_t wait_ms;

  enum mst__attach_state state;
  int control;        /* the socket, or -1 */
  int bell;           /* socket: written to ring the daemon, readable when it has rung */
  int wait_fd;        /* epoll of `control` and `bell` */
  int rings;          /* in `bell`, or about to be */
  bool asleep;        /* the caller has said so */
  uint64_t looked_ns; /* for news */
  uint32_t serial;
  uint8_t token[MST__CONTROL_TOKEN_BYTES];
  uint64_t now_ns, up_since_ns, retry_at_ns, retry_after_ns;
  uint64_t route_generation;
  bool sockets_asked;
  uint32_t sockets_serial;
  char *sockets_text; /* on its way to the daemon, or NULL */
  size_t sockets_length, sockets_told;

  struct mst_env env;
  struct mst__hash_key lease_key;
  struct mst__hash_table leases;
  struct mst__attach_pool pools[MST__ATTACH_POOLS];
  uint64_t pool_uses;

  struct mst__attach_route {
    struct mst_addr destination;
    uint64_t generation; /* another than the attachment's: stale */
    struct mst_route route;
    int error;
  } routes[MST__ATTACH_ROUTES]; /* by hash */

  struct mst__attach_held {
    struct mst_endpoint local;
    uint8_t protocol;
    uint64_t until_ns;      /* how long it is believed */
  } held[MST__ATTACH_HELD]; /* by hash */

  struct mst__control_received received;
};

/* attach.c: hang up; the daemon is looked for from now on. */
void mst__attach_lost(struct mst_attach *attach);

/* fork.c: those of this process, which a child must let go of. */
void mst__attach_remember(struct mst_attach *attach);
void mst__attach_forget(struct mst_attach *attach);

/* call.c: ask and wait for the answer of that type, which is then in attach->received; what else comes is taken in
 * passing. 0, -MST_ENETDOWN: the daemon has gone, or does not answer in time. */
int mst__attach_call(struct mst_attach *attach, void *message, size_t bytes, enum mst__control_type answer);
/* Without an answer. */
void mst__attach_tell(struct mst_attach *attach, void *message, size_t bytes);
/* Take the message in attach->received, which is no answer. */
void mst__attach_take_news(struct mst_attach *attach);

/* sockets.c: tell the daemon of the stack's sockets, as far as it takes them now. */
void mst__attach_tell_sockets(struct mst_attach *attach);
void mst__attach_forget_sockets(struct mst_attach *attach);

/* lease.c */
int mst__attach_leases_init(struct mst_attach *attach);
void mst__attach_leases_free(struct mst_attach *attach);
/* To a daemon that has come after another. 0 or -MST_ENETDOWN. */
int mst__attach_claim_leases(struct mst_attach *attach);

#endif
