/* UDP sockets of a stack (RFC 768, RFC 1122 4.1). */
#ifndef MULTISTACK_UDP_H
#define MULTISTACK_UDP_H

#include "stack.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mst_udp mst_udp;

/* Datagrams wait since the last call, or (error != 0) an ICMP error about what was sent has come. */
typedef void (*mst_udp_event_cb)(mst_udp *udp, int error, void *user);

/* A socket on `binding` (MST_UDP, may be unbound after this), or on an ephemeral wildcard port where it is NULL.
 * 0, -MST_EADDRINUSE, -MST_EADDRNOTAVAIL, -MST_ENOMEM. */
int mst_udp_open(mst_stack *stack, mst_binding *binding, mst_udp_event_cb event, void *user, mst_udp **out);

/* The pointer is dead after this. */
void mst_udp_close(mst_udp *udp);

/* Take datagrams only from `remote` and send to it by default; NULL undoes. 0, -MST_ENETUNREACH. */
int mst_udp_connect(mst_udp *udp, const struct mst_endpoint *remote);
void mst_udp_local(const mst_udp *udp, struct mst_endpoint *out);

/* Send one datagram; the bytes are copied. `remote` may be NULL on a connected socket. `local` chooses the source
 * address of a socket on a wildcard (RFC 1122 4.1.3.5): what mst_udp_receive told, so that who asked is answered from
 * the address that was asked; NULL or a wildcard: the binding's own or the route's. Its port is not looked at. 0,
 * -MST_EMSGSIZE (does not fit the path without fragments), -MST_ENETUNREACH, -MST_EDESTADDRREQ, -MST_EADDRNOTAVAIL
 * (`local` is not of the binding), -MST_EAGAIN (ring full), -MST_ENOMEM. */
int mst_udp_send(mst_udp *udp, const struct mst_iov *iov, size_t count, const struct mst_endpoint *local,
                 const struct mst_endpoint *remote);

/* Take the oldest datagram. Returns its size (what exceeds `bytes` is cut), or -MST_EAGAIN. `remote` and `local` may
 * be NULL. */
ptrdiff_t mst_udp_receive(mst_udp *udp, void *buffer, size_t bytes, struct mst_endpoint *remote,
                          struct mst_endpoint *local);

struct mst_udp_info {
  struct mst_endpoint local, remote; /* remote.port 0: not connected */
  uint32_t unread_bytes;             /* of datagrams that wait */
};
/* Call `each` for every socket; it must not change the stack. */
void mst_stack_each_udp(const mst_stack *stack, void (*each)(const struct mst_udp_info *info, void *user), void *user);

#ifdef __cplusplus
}
#endif
#endif
