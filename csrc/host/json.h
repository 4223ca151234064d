/* Writing JSON text (RFC 8259), whatever bytes the strings in it have. */
#ifndef MST_HOST_JSON_H
#define MST_HOST_JSON_H

#include "multistack/types.h"

/* Appends as snprintf does: counts on when the room is used up. With `grows` the room is the C library's and becomes
 * larger as it is needed; what does not fit even so is lost and `failed` is set. */
struct mst__json {
  char *out;
  size_t room, length;
  bool grows, failed;
};

void mst__json_put(struct mst__json *json, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A string with its quotes: control characters escaped, and U+FFFD for each byte that is not part of UTF-8. */
void mst__json_put_text(struct mst__json *json, const char *text, size_t bytes);
void mst__json_put_string(struct mst__json *json, const char *text); /* NUL-terminated */
/* {"address":"127.0.0.1","port":80} */
void mst__json_put_endpoint(struct mst__json *json, const struct mst_endpoint *endpoint);

#endif
