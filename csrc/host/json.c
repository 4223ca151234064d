#include "json.h"
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 4096u

/* At least `bytes` more and a NUL. */
static void make_room(struct mst__json *json, size_t bytes) {
  size_t wanted = json->length + bytes + 1, room = json->room ? json->room : FIRST_ROOM;
  if (!json->grows || wanted <= json->room) return;
  while (room < wanted) room *= 2;
  char *out = realloc(json->out, room);
  json->failed |= !out;
  if (!out) return;
  json->out = out;
  json->room = room;
}

static void append(struct mst__json *json, const char *text, size_t bytes) {
  make_room(json, bytes);
  size_t fits = json->length < json->room ? json->room - json->length - 1 : 0;
  if (fits > bytes) fits = bytes;
  if (json->length < json->room) {
    memcpy(json->out + json->length, text, fits);
    json->out[json->length + fits] = 0;
  }
  json->length += json->failed ? fits : bytes;
}

void mst__json_put(struct mst__json *json, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it does not see va_start when it inlines this */
  int n = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (n > 0) append(json, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* Bytes of the character that begins here (RFC 3629); 0: none does. */
static size_t character(const unsigned char *text, size_t bytes) {
  unsigned first = text[0];
  size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length > bytes) return 0;
  for (size_t i = 1; i < length; i++)
    if ((text[i] & 0xc0) != 0x80) return 0;
  bool overlong = (first == 0xe0 && text[1] < 0xa0) || (first == 0xf0 && text[1] < 0x90);
  bool surrogate = first == 0xed && text[1] >= 0xa0, beyond = first == 0xf4 && text[1] >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

void mst__json_put_text(struct mst__json *json, const char *text, size_t bytes) {
  const unsigned char *at = (const unsigned char *)text, *end = at + bytes;
  append(json, "\"", 1);
  while (at < end) {
    const unsigned char *plain = at;
    size_t length = 0;
    while (at < end && *at >= 0x20 && *at != '"' && *at != '\\' && *at != 0x7f &&
           (length = character(at, (size_t)(end - at))))
      at += length;
    append(json, (const char *)plain, (size_t)(at - plain));
    if (at == end) break;
    if (*at == '"' || *at == '\\')
      mst__json_put(json, "\\%c", *at);
    else
      mst__json_put(json, "\\u%04x", *at < 0x80 ? *at : 0xfffdu);
    at++;
  }
  append(json, "\"", 1);
}

void mst__json_put_string(struct mst__json *json, const char *text) {
  mst__json_put_text(json, text, strlen(text));
}

void mst__json_put_endpoint(struct mst__json *json, const struct mst_endpoint *endpoint) {
  char address[MST_ADDR_TEXT_BYTES], zone[IF_NAMESIZE];
  mst_addr_format(&endpoint->addr, address);
  bool zoned = endpoint->scope_id && if_indextoname(endpoint->scope_id, zone);
  mst__json_put(json, "{\"address\":\"%s%s%s\",\"port\":%u}", address, zoned ? "%" : "", zoned ? zone : "",
                endpoint->port);
}
