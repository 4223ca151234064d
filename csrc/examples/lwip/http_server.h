/* A small HTTP/1.1 server on lwIP's raw API: every GET is answered by one body, every connection by one answer. */
#ifndef MST_EXAMPLES_LWIP_HTTP_SERVER_H
#define MST_EXAMPLES_LWIP_HTTP_SERVER_H

#include "lwip_channel.h"

/* What is served; lives as long as the process. */
struct http_body {
  const void *data;
  size_t bytes;
};

/* Listen on a tuple that the channel holds. 0, -MST_EADDRINUSE, -MST_ENOMEM. Call it without lwIP's lock. */
int http_server_start(struct lwip_channel *lc, const struct mst_endpoint *local, const struct http_body *body);

#endif
