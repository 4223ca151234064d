/* MultiStack for libuv: a user-space stack on a uv_loop_t, and handles on it that behave as libuv's own do.
 *
 * mst_uv_t joins a stack to a loop; mst_uv_tcp_t and mst_uv_udp_t are uv_tcp_t and uv_udp_t on that stack. Names,
 * arguments, callbacks and their order are libuv's with the prefix mst_uv_ for uv_, so libuv's manual holds; what
 * differs is said here. Errors are libuv's negative UV_E... numbers. Callbacks come from the loop, never from within a
 * call. Handles and requests are the caller's memory: a handle's until its close callback, a request's until its own.
 * As in libuv, the loop is alive while a referenced handle listens or reads, a request is under way or a handle closes.
 * One loop, one thread: nothing here locks. */
#ifndef MULTISTACK_UV_H
#define MULTISTACK_UV_H

#include <multistack/host.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mst_uv_s mst_uv_t;
typedef struct mst_uv_handle_s mst_uv_handle_t;
typedef struct mst_uv_tcp_s mst_uv_tcp_t;
typedef struct mst_uv_udp_s mst_uv_udp_t;
typedef struct mst_uv_connect_s mst_uv_connect_t;
typedef struct mst_uv_write_s mst_uv_write_t;
typedef struct mst_uv_shutdown_s mst_uv_shutdown_t;
typedef struct mst_uv_udp_send_s mst_uv_udp_send_t;

typedef void (*mst_uv_detach_cb)(mst_uv_t *uv);
typedef void (*mst_uv_walk_cb)(mst_uv_handle_t *handle, void *arg);
typedef void (*mst_uv_close_cb)(mst_uv_handle_t *handle);
typedef void (*mst_uv_connection_cb)(mst_uv_tcp_t *server, int status);
typedef void (*mst_uv_connect_cb)(mst_uv_connect_t *req, int status);
typedef void (*mst_uv_alloc_cb)(mst_uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buf);
typedef void (*mst_uv_read_cb)(mst_uv_tcp_t *tcp, ssize_t nread, const uv_buf_t *buf);
typedef void (*mst_uv_write_cb)(mst_uv_write_t *req, int status);
typedef void (*mst_uv_shutdown_cb)(mst_uv_shutdown_t *req, int status);
typedef void (*mst_uv_udp_send_cb)(mst_uv_udp_send_t *req, int status);
typedef void (*mst_uv_udp_recv_cb)(mst_uv_udp_t *udp, ssize_t nread, const uv_buf_t *buf, const struct sockaddr *addr,
                                   unsigned flags);

/* --- the stack on the loop --- */

/* Open a host with `options` (NULL: no ports, so alone on its host and without privilege), add a stack to it, and join
 * it to `loop`. 0, or UV_E..., told in full by `failure` (may be NULL). `uv` is the caller's memory until the detach
 * callback. */
int mst_uv_init(uv_loop_t *loop, mst_uv_t *uv, const struct mst_host_options *options, struct mst_failure *failure);

/* Join a host that the caller opened to `loop`; new handles are made on `stack`, one of the host's. From here to the
 * detach callback the loop drives the host: nobody else calls mst_host_process. 0, UV_E.... */
int mst_uv_attach(uv_loop_t *loop, mst_uv_t *uv, mst_host *host, mst_stack *stack);

/* Undo init or attach, once all handles are closed (else UV_EBUSY). The loop is kept alive until what closed
 * connections had still to send is acknowledged, 3 seconds at most; then a host that mst_uv_init opened is closed and
 * `cb` (may be NULL) called. A process that ends without it loses what was not sent yet, as no kernel sends it. */
int mst_uv_detach(mst_uv_t *uv, mst_uv_detach_cb cb);

/* Call `cb` for each handle that is not yet closed; it may close that handle. */
void mst_uv_walk(mst_uv_t *uv, mst_uv_walk_cb cb, void *arg);

mst_host *mst_uv_host(const mst_uv_t *uv);
mst_stack *mst_uv_stack(const mst_uv_t *uv);

/* --- what all handles share --- */

/* Close a TCP or UDP handle; requests under way get UV_ECANCELED, then `cb` (may be NULL) comes. */
void mst_uv_close(mst_uv_handle_t *handle, mst_uv_close_cb cb);
int mst_uv_is_active(const mst_uv_handle_t *handle);
int mst_uv_is_closing(const mst_uv_handle_t *handle);
void mst_uv_ref(mst_uv_handle_t *handle);
void mst_uv_unref(mst_uv_handle_t *handle);
int mst_uv_has_ref(const mst_uv_handle_t *handle);
uv_loop_t *mst_uv_handle_get_loop(const mst_uv_handle_t *handle);
void *mst_uv_handle_get_data(const mst_uv_handle_t *handle);
void mst_uv_handle_set_data(mst_uv_handle_t *handle, void *data);
/* No kernel descriptor stands behind a handle: UV_ENOTSUP, or UV_EBADF where libuv has none either. */
int mst_uv_fileno(const mst_uv_handle_t *handle, uv_os_fd_t *fd);

/* --- TCP --- */

/* 0. Sends nothing and holds nothing until bind, listen or connect. */
int mst_uv_tcp_init(mst_uv_t *uv, mst_uv_tcp_t *tcp);

/* `flags`: UV_TCP_IPV6ONLY; MST_UV_TCP_TAKE: take the address over from a listener that was offered. UV_EADDRINUSE is
 * told by the listen or connect that follows. */
#define MST_UV_TCP_TAKE 0x100u
int mst_uv_tcp_bind(mst_uv_tcp_t *tcp, const struct sockaddr *addr, unsigned flags);
int mst_uv_listen(mst_uv_tcp_t *tcp, int backlog, mst_uv_connection_cb cb);
/* Let a successor of the same user, in this or another process, take the listener's address (MST_UV_TCP_TAKE):
 * mst_host_offer, which says when this one may be closed. 0, UV_EINVAL (it does not listen), UV_E.... */
int mst_uv_tcp_offer(mst_uv_tcp_t *tcp);
/* Connections of the listener's address, half-open ones too: mst_host_flows. 0 where it does not listen. */
size_t mst_uv_tcp_flows(const mst_uv_tcp_t *tcp);
/* Once for each connection callback, in it or later; the next connection waits for it. */
int mst_uv_accept(mst_uv_tcp_t *server, mst_uv_tcp_t *client);
int mst_uv_tcp_connect(mst_uv_connect_t *req, mst_uv_tcp_t *tcp, const struct sockaddr *addr, mst_uv_connect_cb cb);

int mst_uv_read_start(mst_uv_tcp_t *tcp, mst_uv_alloc_cb alloc_cb, mst_uv_read_cb read_cb);
int mst_uv_read_stop(mst_uv_tcp_t *tcp);

/* The buffers stay the caller's and unchanged until `cb` (may be NULL). */
int mst_uv_write(mst_uv_write_t *req, mst_uv_tcp_t *tcp, const uv_buf_t bufs[], unsigned nbufs, mst_uv_write_cb cb);
int mst_uv_try_write(mst_uv_tcp_t *tcp, const uv_buf_t bufs[], unsigned nbufs);
/* FIN after all queued writes. */
int mst_uv_shutdown(mst_uv_shutdown_t *req, mst_uv_tcp_t *tcp, mst_uv_shutdown_cb cb);
/* Bytes of queued writes that the stack has not taken yet. */
size_t mst_uv_stream_get_write_queue_size(const mst_uv_tcp_t *tcp);
int mst_uv_is_readable(const mst_uv_tcp_t *tcp);
int mst_uv_is_writable(const mst_uv_tcp_t *tcp);

int mst_uv_tcp_close_reset(mst_uv_tcp_t *tcp, mst_uv_close_cb cb);
int mst_uv_tcp_getsockname(const mst_uv_tcp_t *tcp, struct sockaddr *name, int *namelen);
int mst_uv_tcp_getpeername(const mst_uv_tcp_t *tcp, struct sockaddr *name, int *namelen);
int mst_uv_tcp_nodelay(mst_uv_tcp_t *tcp, int enable);
int mst_uv_tcp_keepalive(mst_uv_tcp_t *tcp, int enable, unsigned delay_s);
/* Of our own, after TCP_NOTSENT_LOWAT: the stack takes no more than leaves `bytes` not yet sent, and more when less
 * than half of them are left; the rest waits in the write queue, where it can still be thought better of. 0, the
 * default: as much as the send buffer holds. Before a connection too. UV_EINVAL: more than INT32_MAX. */
int mst_uv_tcp_notsent_lowat(mst_uv_tcp_t *tcp, unsigned bytes);

/* The connection beneath, for options and statistics that libuv has no name for; NULL when there is none. It is the
 * handle's: neither close it nor set its event callback. */
mst_conn *mst_uv_tcp_conn(const mst_uv_tcp_t *tcp);

/* --- UDP --- */

int mst_uv_udp_init(mst_uv_t *uv, mst_uv_udp_t *udp);
/* `flags`: UV_UDP_IPV6ONLY. */
int mst_uv_udp_bind(mst_uv_udp_t *udp, const struct sockaddr *addr, unsigned flags);
/* NULL undoes. */
int mst_uv_udp_connect(mst_uv_udp_t *udp, const struct sockaddr *addr);
/* `addr` is NULL on a connected handle, and only there. */
int mst_uv_udp_send(mst_uv_udp_send_t *req, mst_uv_udp_t *udp, const uv_buf_t bufs[], unsigned nbufs,
                    const struct sockaddr *addr, mst_uv_udp_send_cb cb);
int mst_uv_udp_try_send(mst_uv_udp_t *udp, const uv_buf_t bufs[], unsigned nbufs, const struct sockaddr *addr);
int mst_uv_udp_recv_start(mst_uv_udp_t *udp, mst_uv_alloc_cb alloc_cb, mst_uv_udp_recv_cb recv_cb);
int mst_uv_udp_recv_stop(mst_uv_udp_t *udp);
int mst_uv_udp_getsockname(const mst_uv_udp_t *udp, struct sockaddr *name, int *namelen);
int mst_uv_udp_getpeername(const mst_uv_udp_t *udp, struct sockaddr *name, int *namelen);
size_t mst_uv_udp_get_send_queue_size(const mst_uv_udp_t *udp);
size_t mst_uv_udp_get_send_queue_count(const mst_uv_udp_t *udp);

/* --- the memory of handles and requests: `data`, and `handle` of a request, are public; the rest is private --- */

struct mst_uv_node {
  struct mst_uv_node *next, *prev;
};

struct mst_uv_s {
  void *data;
  uv_loop_t *loop;
  /* private */
  mst_host *host;
  mst_stack *stack;
  uv_poll_t poll;
  uv_timer_t timer;
  uv_prepare_t prepare;
  uv_check_t check;
  uv_idle_t idle;
  struct mst_uv_node pending;
  struct mst_uv_node closing;
  struct mst_uv_node handles;
  mst_uv_detach_cb detach_cb;
  uint64_t timer_at_ns;
  uint64_t detach_at_ns;
  size_t live;
  unsigned flags;
  unsigned unclosed;
};

#define MST_UV_HANDLE_FIELDS                                                                                           \
  void *data;                                                                                                          \
  /* private */                                                                                                        \
  mst_uv_t *uv;                                                                                                        \
  mst_uv_close_cb close_cb;                                                                                            \
  struct mst_uv_node node, all;                                                                                        \
  uint32_t flags;                                                                                                      \
  uint8_t type;                                                                                                        \
  uint8_t family;

struct mst_uv_handle_s {
  MST_UV_HANDLE_FIELDS
};

struct mst_uv_write_queue {
  mst_uv_write_t *first, *last;
};

struct mst_uv_tcp_s {
  MST_UV_HANDLE_FIELDS
  int delayed_error;
  int shutdown_status;
  unsigned keepalive_delay_s;
  unsigned notsent_lowat;
  mst_binding *binding;
  mst_listener *listener;
  mst_conn *conn;
  mst_conn *accepted;
  mst_uv_connection_cb connection_cb;
  mst_uv_alloc_cb alloc_cb;
  mst_uv_read_cb read_cb;
  mst_uv_connect_t *connect_req;
  mst_uv_shutdown_t *shutdown_req;
  struct mst_uv_write_queue queued;
  struct mst_uv_write_queue done;
  size_t queued_bytes;
};

struct mst_uv_udp_s {
  MST_UV_HANDLE_FIELDS
  mst_udp *udp;
  mst_uv_alloc_cb alloc_cb;
  mst_uv_udp_recv_cb recv_cb;
  mst_uv_udp_send_t *first, *last;
  size_t queued_bytes;
  size_t queued_count;
  int error;
  struct sockaddr_storage peer;
};

struct mst_uv_connect_s {
  void *data;
  mst_uv_tcp_t *handle;
  /* private */
  mst_uv_connect_cb cb;
};

struct mst_uv_shutdown_s {
  void *data;
  mst_uv_tcp_t *handle;
  /* private */
  mst_uv_shutdown_cb cb;
};

struct mst_uv_write_s {
  void *data;
  mst_uv_tcp_t *handle;
  /* private */
  mst_uv_write_cb cb;
  mst_uv_write_t *next;
  uv_buf_t *bufs; /* what is left; `bufs_small` or from malloc */
  unsigned nbufs;
  unsigned at;
  int status;
  uv_buf_t bufs_small[4];
};

struct mst_uv_udp_send_s {
  void *data;
  mst_uv_udp_t *handle;
  /* private */
  mst_uv_udp_send_cb cb;
  mst_uv_udp_send_t *next;
  uv_buf_t *bufs;
  unsigned nbufs;
  int status;
  size_t bytes;
  uv_buf_t bufs_small[4];
  struct sockaddr_storage addr;
};

#ifdef __cplusplus
}
#endif
#endif
