/* What main.c runs: a server that listens on `addr`. 0, or the UV_E... of what failed. The sources are compiled twice,
 * the second time with OS_STACK defined, on libuv's own handles. */
#ifndef MULTISTACK_EXAMPLES_SERVER_H
#define MULTISTACK_EXAMPLES_SERVER_H

#include "os.h"

int server_start(mst_uv_t *uv, const struct sockaddr *addr, unsigned bind_flags);
mst_uv_tcp_t *server_listener(void);
/* Close all that server_start opened. */
void server_stop(void);

int os_server_start(mst_uv_t *uv, const struct sockaddr *addr, unsigned bind_flags);
void os_server_stop(void);

#ifdef OS_STACK
#define server_start os_server_start
#define server_listener os_server_listener
#define server_stop os_server_stop
#endif

#endif
