/* What the files of this library share. */
#ifndef MST_UV_INTERNAL_H
#define MST_UV_INTERNAL_H

#include "multistack/uv.h"

#include <stddef.h>

enum { MST__UV_TCP = 1, MST__UV_UDP };

/* Flags of a handle; the names are libuv's. */
enum {
  MST__UV_ACTIVE = 1,        /* listens or reads */
  MST__UV_REF = 2,           /* counts for the loop's life while it is active */
  MST__UV_CLOSING = 4,       /* mst_uv_close was called */
  MST__UV_READING = 8,       /* read_start or recv_start */
  MST__UV_READABLE = 16,     /* connected, and no error was told */
  MST__UV_WRITABLE = 32,     /* the same, and no shutdown was asked for */
  MST__UV_SHUT = 64,         /* FIN was handed to the stack; shutdown_status is to be told */
  MST__UV_ACCEPTING = 128,   /* the connection callback is running */
  MST__UV_NODELAY = 256,     /* to be set on the connection to come */
  MST__UV_KEEPALIVE = 512,   /* the same */
  MST__UV_CONNECTED = 1024,  /* UDP: has a peer; TCP: was established */
  MST__UV_ERROR_TOLD = 2048, /* as on a kernel's socket, later reads give EOF and later writes UV_EPIPE */
  MST__UV_UNREAD = 4096,     /* UDP: datagrams or an error wait */
};

/* Largest number of buffers handed to the stack in one call. */
#define MST__UV_IOV 16

/* What libuv suggests to alloc_cb, and how many reads it does in one turn. */
#define MST__UV_READ_BYTES 65536
#define MST__UV_READS_PER_TURN 32

/* --- loop.c --- */

/* The loop is alive while `live` is above 0. */
void mst__uv_live_add(mst_uv_t *uv);
void mst__uv_live_remove(mst_uv_t *uv);

/* `member` is the node within the handle. */
#define MST__UV_FROM_NODE(pointer, member)                                                                             \
  ((mst_uv_handle_t *)(void *)((char *)(pointer)-offsetof(mst_uv_handle_t, member)))

static inline void mst__uv_list_init(struct mst_uv_node *head) {
  head->next = head->prev = head;
}

static inline void mst__uv_list_push(struct mst_uv_node *head, struct mst_uv_node *node) {
  node->next = head;
  node->prev = head->prev;
  head->prev->next = node;
  head->prev = node;
}

/* Unlink; nothing happens when it is in no list. */
static inline void mst__uv_list_remove(struct mst_uv_node *node) {
  if (!node->next) return;
  node->prev->next = node->next;
  node->next->prev = node->prev;
  node->next = node->prev = NULL;
}

/* --- handle.c --- */

void mst__uv_handle_init(mst_uv_handle_t *handle, mst_uv_t *uv, int type);
void mst__uv_handle_activate(mst_uv_handle_t *handle, bool active);
/* Have mst__uv_handle_deliver called from the loop, in this turn or the next. */
void mst__uv_handle_pend(mst_uv_handle_t *handle);
void mst__uv_handle_deliver(mst_uv_handle_t *handle);
void mst__uv_handle_finish_close(mst_uv_handle_t *handle);

#define MST__UV_HANDLE(h) ((mst_uv_handle_t *)(void *)(h))

/* --- address.c --- */

/* 0 or UV_EINVAL. */
int mst__uv_endpoint(const struct sockaddr *addr, struct mst_endpoint *out);
/* The shape of getsockname: writes at most *namelen bytes and sets the length of the whole. */
int mst__uv_sockaddr(const struct mst_endpoint *endpoint, int family, struct sockaddr *name, int *namelen);
/* The kernel takes a wildcard destination for loopback. */
void mst__uv_endpoint_destination(struct mst_endpoint *endpoint);

/* Copy the buffers' descriptions, to `small` (of 4) where they fit. UV_ENOMEM. */
int mst__uv_bufs_copy(uv_buf_t **out, uv_buf_t *small, const uv_buf_t *bufs, unsigned nbufs);
size_t mst__uv_bufs_bytes(const uv_buf_t *bufs, unsigned nbufs);
/* At most MST__UV_IOV of them, the first without `skip` bytes. Returns how many. */
size_t mst__uv_bufs_iov(const uv_buf_t *bufs, unsigned nbufs, size_t skip, struct mst_iov *iov);

/* --- tcp.c, tcp_read.c, tcp_write.c, udp.c --- */

void mst__uv_tcp_event(mst_conn *conn, unsigned events, void *user);
void mst__uv_tcp_adopt(mst_uv_tcp_t *tcp, mst_conn *conn, int family);
void mst__uv_tcp_deliver(mst_uv_tcp_t *tcp);
void mst__uv_tcp_close(mst_uv_tcp_t *tcp);
void mst__uv_tcp_finish_close(mst_uv_tcp_t *tcp);
void mst__uv_tcp_read(mst_uv_tcp_t *tcp);
void mst__uv_tcp_accept_more(mst_uv_tcp_t *tcp);
/* Hand queued writes to the stack, then the FIN that was asked for. */
void mst__uv_tcp_write_more(mst_uv_tcp_t *tcp);
/* Fail what is queued. */
void mst__uv_tcp_write_cancel(mst_uv_tcp_t *tcp, int status);
/* Call back what is done: writes, then the shutdown. */
void mst__uv_tcp_write_callbacks(mst_uv_tcp_t *tcp);

void mst__uv_udp_deliver(mst_uv_udp_t *udp);
void mst__uv_udp_close(mst_uv_udp_t *udp);
void mst__uv_udp_finish_close(mst_uv_udp_t *udp);

#endif
