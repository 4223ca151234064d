/* The work of an HTTP server with one fixed answer, on either stack. */
#ifndef BENCH_HTTP_WORK_H
#define BENCH_HTTP_WORK_H

#include "net.h"

/* An accept_cb: serve HTTP on the connection. `user` is a size_t: bytes of the body, at most HTTP_BODY_MAX_BYTES. */
#define HTTP_BODY_MAX_BYTES 65536
void http_accept(struct conn *conn, void *user);

/* Bytes of one answer to GET, with a body of `body_bytes`. */
size_t http_answer_bytes(size_t body_bytes);

#endif
