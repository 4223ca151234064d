/* The same program on libuv's own handles, for comparison: with OS_STACK defined, MultiStack's names below stand for
 * libuv's. That this is a mere list of names shows what porting a libuv program takes. */
#ifndef MULTISTACK_EXAMPLES_OS_H
#define MULTISTACK_EXAMPLES_OS_H

#include <multistack/uv.h>

#ifdef OS_STACK

#define mst_uv_handle_t uv_handle_t
#define mst_uv_tcp_t uv_tcp_t
#define mst_uv_connect_t uv_connect_t
#define mst_uv_write_t uv_write_t
#define mst_uv_shutdown_t uv_shutdown_t

#define mst_uv_walk(uv, cb, arg) uv_walk((uv)->loop, cb, arg)
#define mst_uv_close uv_close
#define mst_uv_is_active uv_is_active
#define mst_uv_is_closing uv_is_closing
#define mst_uv_ref uv_ref
#define mst_uv_unref uv_unref
#define mst_uv_has_ref uv_has_ref

#define mst_uv_tcp_init(uv, tcp) uv_tcp_init((uv)->loop, tcp)
#define mst_uv_tcp_bind uv_tcp_bind
#define mst_uv_tcp_nodelay uv_tcp_nodelay
#define mst_uv_tcp_keepalive uv_tcp_keepalive
#define mst_uv_tcp_getsockname uv_tcp_getsockname
#define mst_uv_tcp_getpeername uv_tcp_getpeername
#define mst_uv_tcp_close_reset uv_tcp_close_reset
#define mst_uv_tcp_connect uv_tcp_connect

/* libuv's stream functions take the base type, and so do their callbacks. */
#define OS_STREAM(tcp) ((uv_stream_t *)(tcp))
#define mst_uv_listen(tcp, backlog, cb) uv_listen(OS_STREAM(tcp), backlog, (uv_connection_cb)(cb))
#define mst_uv_accept(server, client) uv_accept(OS_STREAM(server), OS_STREAM(client))
#define mst_uv_read_start(tcp, alloc_cb, read_cb) uv_read_start(OS_STREAM(tcp), alloc_cb, (uv_read_cb)(read_cb))
#define mst_uv_read_stop(tcp) uv_read_stop(OS_STREAM(tcp))
#define mst_uv_write(req, tcp, bufs, nbufs, cb) uv_write(req, OS_STREAM(tcp), bufs, nbufs, cb)
#define mst_uv_try_write(tcp, bufs, nbufs) uv_try_write(OS_STREAM(tcp), bufs, nbufs)
#define mst_uv_shutdown(req, tcp, cb) uv_shutdown(req, OS_STREAM(tcp), cb)
#define mst_uv_is_readable(tcp) uv_is_readable(OS_STREAM(tcp))
#define mst_uv_is_writable(tcp) uv_is_writable(OS_STREAM(tcp))
#define mst_uv_stream_get_write_queue_size(tcp) uv_stream_get_write_queue_size(OS_STREAM(tcp))

#define mst_uv_udp_t uv_udp_t
#define mst_uv_udp_send_t uv_udp_send_t
#define mst_uv_udp_init(uv, udp) uv_udp_init((uv)->loop, udp)
#define mst_uv_udp_bind uv_udp_bind
#define mst_uv_udp_connect uv_udp_connect
#define mst_uv_udp_send uv_udp_send
#define mst_uv_udp_try_send uv_udp_try_send
#define mst_uv_udp_recv_start uv_udp_recv_start
#define mst_uv_udp_recv_stop uv_udp_recv_stop
#define mst_uv_udp_getsockname uv_udp_getsockname
#define mst_uv_udp_getpeername uv_udp_getpeername

#endif
#endif
