#include "http_parser.h"

#include <string.h>
#include <strings.h>

enum { HEAD, BODY, CHUNK_SIZE, CHUNK_SIZE_REST, CHUNK_DATA, CHUNK_END, TRAILER, TRAILER_LINE };

enum { TRAILER_MAX_BYTES = 8192 };

/* What the fields of one head say. */
struct fields {
  unsigned hosts;
  bool has_length, chunked, has_coding, close, keep_alive, expect;
  uint64_t length;
  int bad;
};

struct span {
  const char *at;
  size_t bytes;
};

static bool span_is(struct span span, const char *text) {
  return span.bytes == strlen(text) && strncasecmp(span.at, text, span.bytes) == 0;
}

static struct span trim(struct span span) {
  while (span.bytes && (*span.at == ' ' || *span.at == '\t')) ++span.at, --span.bytes;
  while (span.bytes && (span.at[span.bytes - 1] == ' ' || span.at[span.bytes - 1] == '\t')) --span.bytes;
  return span;
}

/* The next line without its end; false past the last. */
static bool next_line(struct span *rest, struct span *line) {
  const char *end = rest->bytes ? memchr(rest->at, '\n', rest->bytes) : NULL;
  if (!end) return false;
  *line = (struct span){rest->at, (size_t)(end - rest->at)};
  rest->bytes -= line->bytes + 1;
  rest->at = end + 1;
  if (line->bytes && line->at[line->bytes - 1] == '\r') --line->bytes;
  return true;
}

/* The next member of a comma-separated list (RFC 9110 5.6.1). */
static bool next_member(struct span *list, struct span *member) {
  if (!list->bytes) return false;
  const char *comma = memchr(list->at, ',', list->bytes);
  size_t bytes = comma ? (size_t)(comma - list->at) : list->bytes;
  *member = trim((struct span){list->at, bytes});
  bytes += comma != NULL;
  list->at += bytes;
  list->bytes -= bytes;
  return true;
}

/* RFC 9112 6.3: several equal lengths are one, unequal ones an attack. */
static void take_length(struct fields *fields, struct span value) {
  struct span member;
  while (next_member(&value, &member)) {
    uint64_t length = 0;
    if (!member.bytes || member.bytes > 18) fields->bad = 400;
    for (size_t i = 0; i < member.bytes && !fields->bad; ++i) {
      if (member.at[i] < '0' || member.at[i] > '9') fields->bad = 400;
      length = length * 10 + (uint64_t)(member.at[i] - '0');
    }
    if (fields->has_length && fields->length != length) fields->bad = 400;
    fields->has_length = true;
    fields->length = length;
  }
}

static void take_field(struct fields *fields, struct span name, struct span value) {
  struct span member;
  if (span_is(name, "host")) {
    ++fields->hosts;
  } else if (span_is(name, "content-length")) {
    if (!value.bytes) fields->bad = 400;
    take_length(fields, value);
  } else if (span_is(name, "transfer-encoding")) {
    fields->has_coding = true;
    while (next_member(&value, &member)) {
      if (fields->chunked) fields->bad = 400; /* chunked is the last, and once */
      if (span_is(member, "chunked"))
        fields->chunked = true;
      else
        fields->bad = 501;
    }
  } else if (span_is(name, "connection")) {
    while (next_member(&value, &member)) {
      if (span_is(member, "close")) fields->close = true;
      if (span_is(member, "keep-alive")) fields->keep_alive = true;
    }
  } else if (span_is(name, "expect")) {
    fields->expect = span_is(value, "100-continue");
  }
}

static int take_fields(struct fields *fields, struct span rest) {
  struct span line;
  while (next_line(&rest, &line) && line.bytes) {
    const char *colon = memchr(line.at, ':', line.bytes);
    if (!colon || colon == line.at) return 400;
    struct span name = {line.at, (size_t)(colon - line.at)};
    /* RFC 9112 5.1 and 5.2: no white space before the colon, no folded line. */
    if (memchr(name.at, ' ', name.bytes) || memchr(name.at, '\t', name.bytes)) return 400;
    take_field(fields, name, trim((struct span){colon + 1, line.bytes - name.bytes - 1}));
    if (fields->bad) return fields->bad;
  }
  return 0;
}

/* "METHOD target HTTP/1.x". Returns the minor version, or the negative status. */
static int take_request_line(struct http_parser *parser, struct span line) {
  const char *target = line.bytes ? memchr(line.at, ' ', line.bytes) : NULL;
  if (!target || target == line.at) return -400;
  struct span rest = {target + 1, line.bytes - (size_t)(target - line.at) - 1};
  const char *version = rest.bytes ? memchr(rest.at, ' ', rest.bytes) : NULL;
  if (!version || version == rest.at) return -400;
  rest.bytes -= (size_t)(version - rest.at) + 1;
  if (rest.bytes != 8 || memcmp(version + 1, "HTTP/", 5) || version[7] != '.') return -400;
  if (version[6] != '1' || version[8] < '0' || version[8] > '9') return -505;
  parser->is_head = target - line.at == 4 && memcmp(line.at, "HEAD", 4) == 0;
  return version[8] - '0';
}

/* A whole head. Returns 0 or the status that refuses it. */
static int take_head(struct http_parser *parser, struct span rest, bool *expects) {
  struct fields fields = {0};
  struct span line;
  if (!next_line(&rest, &line)) return 400;
  int minor = take_request_line(parser, line);
  if (minor < 0) return -minor;
  int status = take_fields(&fields, rest);
  if (status) return status;
  if (fields.hosts > 1 || (minor > 0 && !fields.hosts)) return 400;
  if (fields.has_coding && (fields.has_length || !fields.chunked || minor == 0)) return 400;
  parser->keep_alive = minor > 0 ? !fields.close : fields.keep_alive && !fields.close;
  parser->body_left = fields.length;
  parser->state = fields.chunked ? CHUNK_SIZE : fields.length ? BODY : HEAD;
  parser->line_bytes = 0;
  *expects = fields.expect && minor > 0 && parser->state != HEAD;
  return 0;
}

static enum http_event bad(struct http_parser *parser, int status) {
  parser->status = status;
  parser->keep_alive = false;
  return HTTP_BAD;
}

/* Bytes up to and with the empty line that ends a head, from `from` on; 0 when it is not there. */
static size_t head_end(const char *data, size_t bytes, size_t from) {
  const char *at = data + from, *end = data + bytes;
  while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
    ++at;
    if (at < end && *at == '\n') return (size_t)(at - data) + 1;
    if (at + 1 < end && at[0] == '\r' && at[1] == '\n') return (size_t)(at - data) + 2;
  }
  return 0;
}

static enum http_event finish_head(struct http_parser *parser, struct span head) {
  bool expects = false;
  int status = take_head(parser, head, &expects);
  if (status) return bad(parser, status);
  if (expects) return HTTP_CONTINUE;
  return parser->state == HEAD ? HTTP_REQUEST : HTTP_MORE;
}

static enum http_event feed_head(struct http_parser *parser, const char *data, size_t bytes, size_t *used) {
  size_t kept = parser->head_bytes;
  if (!kept && (*data == '\r' || *data == '\n')) { /* RFC 9112 2.2: empty lines before a request are ignored */
    *used = 1;
    return HTTP_MORE;
  }
  size_t end = kept ? 0 : head_end(data, bytes, 0);
  if (end && end <= sizeof parser->head) {
    *used = end;
    return finish_head(parser, (struct span){data, end});
  }
  size_t room = sizeof parser->head - kept, take = bytes < room ? bytes : room;
  memcpy(parser->head + kept, data, take);
  end = head_end(parser->head, kept + take, kept > 3 ? kept - 3 : 0);
  *used = end ? end - kept : take;
  if (end) {
    parser->head_bytes = 0;
    return finish_head(parser, (struct span){parser->head, end});
  }
  parser->head_bytes += (uint32_t)take;
  return parser->head_bytes == sizeof parser->head ? bad(parser, 431) : HTTP_MORE;
}

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of what frames the chunks (RFC 9112 7.1). */
static enum http_event feed_chunk_byte(struct http_parser *parser, char c) {
  switch (parser->state) {
  case CHUNK_SIZE:
    if (hex(c) >= 0) {
      if (++parser->line_bytes > 15) return bad(parser, 413);
      parser->body_left = parser->body_left * 16 + (uint64_t)hex(c);
      return HTTP_MORE;
    }
    if (!parser->line_bytes || !strchr(";\r\n \t", c) || !c) return bad(parser, 400);
    parser->state = CHUNK_SIZE_REST; /* extensions are ignored */
    /* fall through */
  case CHUNK_SIZE_REST:
    if (++parser->line_bytes > HTTP_HEAD_MAX_BYTES) return bad(parser, 400);
    if (c == '\n') parser->state = parser->body_left ? CHUNK_DATA : TRAILER;
    if (c == '\n') parser->line_bytes = 0;
    return HTTP_MORE;
  case CHUNK_END:
    if (c == '\n') parser->state = CHUNK_SIZE;
    return c == '\n' || c == '\r' ? HTTP_MORE : bad(parser, 400);
  case TRAILER:
    if (c == '\n') {
      parser->state = HEAD;
      return HTTP_REQUEST;
    }
    if (c != '\r') parser->state = TRAILER_LINE;
    /* fall through */
  default:
    if (++parser->line_bytes > TRAILER_MAX_BYTES) return bad(parser, 431);
    if (c == '\n') parser->state = TRAILER;
    return HTTP_MORE;
  }
}

/* The body's own bytes: of no interest here. */
static enum http_event skip_body(struct http_parser *parser, size_t bytes, size_t *used) {
  *used = bytes < parser->body_left ? bytes : (size_t)parser->body_left;
  parser->body_left -= *used;
  if (parser->body_left) return HTTP_MORE;
  bool complete = parser->state == BODY;
  parser->state = complete ? HEAD : CHUNK_END;
  return complete ? HTTP_REQUEST : HTTP_MORE;
}

void http_parser_init(struct http_parser *parser) {
  memset(parser, 0, offsetof(struct http_parser, head));
}

enum http_event http_parser_feed(struct http_parser *parser, const char *data, size_t bytes, size_t *used) {
  enum http_event event = HTTP_MORE;
  *used = 0;
  while (event == HTTP_MORE && *used < bytes) {
    size_t step = 1;
    if (parser->state == HEAD)
      event = feed_head(parser, data + *used, bytes - *used, &step);
    else if (parser->state == BODY || parser->state == CHUNK_DATA)
      event = skip_body(parser, bytes - *used, &step);
    else
      event = feed_chunk_byte(parser, data[*used]);
    *used += step;
  }
  return event;
}
