/* An HTTP/1.1 request parser (RFC 9112), fed with bytes as they come: it finds where each request ends, body included,
 * and what the response must know of it. */
#ifndef MULTISTACK_EXAMPLES_HTTP_PARSER_H
#define MULTISTACK_EXAMPLES_HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX_BYTES 8192

enum http_event {
  HTTP_MORE,     /* all bytes are used and the request is not complete */
  HTTP_CONTINUE, /* the client waits for "100 Continue" before it sends the body */
  HTTP_REQUEST,  /* a request is complete; feed the rest of the bytes for the next */
  HTTP_BAD,      /* `status` says why; the connection cannot go on */
};

struct http_parser {
  int state;
  int status;
  bool keep_alive; /* the connection persists after this request */
  bool is_head;    /* HEAD: the response has no body */
  uint64_t body_left;
  uint32_t line_bytes; /* of the chunk-size line or of the trailer */
  uint32_t head_bytes; /* kept in `head` from earlier feeds */
  char head[HTTP_HEAD_MAX_BYTES];
};

void http_parser_init(struct http_parser *parser);

/* Use up to `bytes` of `data`; `*used` says how many. */
enum http_event http_parser_feed(struct http_parser *parser, const char *data, size_t bytes, size_t *used);

#endif
