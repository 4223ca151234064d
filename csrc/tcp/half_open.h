/* The SYN cache (RFC 4987 3.4): what is kept of a passive connection until its handshake is done, a fifth of a
 * connection; and SYN cookies (RFC 4987 3.6), which keep nothing. */
#ifndef MST_TCP_HALF_OPEN_H
#define MST_TCP_HALF_OPEN_H

#include "tcp/conn.h"

struct mst__half_open {
  struct mst__flow flow;
  struct mst_listener *listener;
  struct mst__list age; /* in the listener's list, oldest first */
  struct mst__alarm alarm;
  uint64_t sent_ns;    /* when the SYN,ACK went first; 0: not yet */
  uint64_t repeats_ns; /* when a repeated SYN was last answered */
  uint32_t irs, iss;
  uint32_t path_mtu;
  uint16_t peer_window, window; /* of the SYN, and of our SYN,ACK */
  uint8_t retries;
  struct mst__throttle challenges;
  struct mst__terms terms;
};

static inline struct mst__half_open *mst__flow_half_open(struct mst__flow *flow) {
  return (struct mst__half_open *)(void *)flow;
}

/* --- half_open.c --- */
/* Keep `seed` and answer its SYN. False: no memory. */
bool mst__half_open_new(const struct mst__half_open *seed);
/* Send the SYN,ACK of `h` with this timestamp. 0 or -MST_EAGAIN. */
int mst__syn_ack_send(const struct mst__half_open *h, uint32_t tsval);
void mst__half_open_input(struct mst__half_open *h, const struct mst__ip *ip, struct mst__tcp *tcp);
void mst__half_open_icmp(struct mst__half_open *h, const struct mst__icmp_error *error);
void mst__half_open_free(struct mst__half_open *h);
void mst__half_open_reset(struct mst__half_open *h); /* and free it */
void mst__half_open_destroy(mst_stack *stack);       /* all, without a word to the peers */
void mst__half_open_each(const struct mst_listener *listener, void (*each)(const struct mst_tcp_info *, void *),
                         void *user);
/* The connection in SYN-RECEIVED that `h` stands for, whose handshake the segment at hand is to finish. NULL: no memory
 * or too many. */
struct mst_conn *mst__half_open_to_conn(const struct mst__half_open *h);

/* --- cookie.c --- */
/* Answer the SYN that `h` tells of without keeping anything; its `iss` is set. */
void mst__cookie_send(struct mst__half_open *h);
enum mst__cookie {
  MST__COOKIE_NONE,
  MST__COOKIE_LATER, /* of a peer that has a cookie, but not its first segment: that is to come again */
  MST__COOKIE_GOOD,
};
/* What cookie of ours `tcp`, an ACK to a listener, acknowledges. `h` has flow and listener; where it is good, it gets
 * what the handshake has settled. */
enum mst__cookie mst__cookie_check(struct mst__half_open *h, const struct mst__tcp *tcp);

#endif
