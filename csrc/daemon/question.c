#include "question.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* --- a flat JSON object (RFC 8259) --- */

struct reader {
  const char *at, *end;
};

struct value {
  bool is_text;
  char text[MST__QUESTION_TEXT_BYTES];
  int64_t number;
};

static void skip_space(struct reader *r) {
  while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at) r->at++;
}

static bool take(struct reader *r, char c) {
  skip_space(r);
  if (r->at == r->end || *r->at != c) return false;
  r->at++;
  return true;
}

/* Without escapes: no name and no address needs them. */
static bool take_text(struct reader *r, char out[MST__QUESTION_TEXT_BYTES]) {
  size_t length = 0;
  if (!take(r, '"')) return false;
  for (; r->at < r->end && *r->at != '"'; r->at++) {
    if (*r->at == '\\' || (unsigned char)*r->at < 0x20 || length == MST__QUESTION_TEXT_BYTES - 1) return false;
    out[length++] = *r->at;
  }
  out[length] = 0;
  return take(r, '"');
}

static bool take_number(struct reader *r, int64_t *out) {
  int digits = 0;
  skip_space(r);
  for (*out = 0; r->at < r->end && *r->at >= '0' && *r->at <= '9' && digits < 15; digits++)
    *out = *out * 10 + (*r->at++ - '0');
  return digits > 0;
}

static bool take_value(struct reader *r, struct value *out) {
  skip_space(r);
  out->is_text = r->at < r->end && *r->at == '"';
  return out->is_text ? take_text(r, out->text) : take_number(r, &out->number);
}

/* --- what it means --- */

__attribute__((format(printf, 2, 3))) static int fail(struct mst_failure *failure, const char *format, ...) {
  va_list args;
  va_start(args, format);
  failure->code = -MST_EINVAL;
  /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it does not see va_start when it inlines this */
  vsnprintf(failure->message, sizeof failure->message, format, args);
  va_end(args);
  return -MST_EINVAL;
}

static bool set_text(struct mst__question *out, const char *name, const char *text) {
  if (!strcmp(name, "what")) {
    memcpy(out->what, text, sizeof out->what);
  } else if (!strcmp(name, "port")) {
    memcpy(out->port, text, sizeof out->port);
  } else if (!strcmp(name, "protocol")) {
    out->protocol = !strcmp(text, "tcp") ? MST_TCP : !strcmp(text, "udp") ? MST_UDP : 0;
    return out->protocol != 0;
  } else if (!strcmp(name, "address")) {
    out->has_address = true;
    return !mst_addr_parse(text, &out->address);
  } else {
    return false;
  }
  return true;
}

static bool set_number(struct mst__question *out, const char *name, int64_t number) {
  if (!strcmp(name, "channel")) {
    out->channel = number;
  } else if (!strcmp(name, "number") && number > 0 && number <= 65535) {
    out->number = (uint16_t)number;
  } else if (!strcmp(name, "snap_bytes") && number > 0 && number <= 65535) {
    out->snap_bytes = (uint32_t)number;
  } else {
    return false;
  }
  return true;
}

int mst__question_parse(const char *text, size_t bytes, struct mst__question *out, struct mst_failure *failure) {
  struct reader r = {text, text + bytes};
  char name[MST__QUESTION_TEXT_BYTES];
  struct value value = {0};
  *out = (struct mst__question){.channel = -1, .snap_bytes = UINT32_MAX};
  if (bytes > MST__QUESTION_BYTES_MAX) return fail(failure, "a question has at most %u bytes", MST__QUESTION_BYTES_MAX);
  if (!take(&r, '{')) return fail(failure, "a question is one JSON object");
  bool first = true;
  while (!take(&r, '}')) {
    if ((!first && !take(&r, ',')) || !take_text(&r, name) || !take(&r, ':') || !take_value(&r, &value))
      return fail(failure, "a question is one JSON object of short strings and whole numbers");
    if (!(value.is_text ? set_text(out, name, value.text) : set_number(out, name, value.number)))
      return fail(failure, "the question has a member, or a value of it, that is not known here");
    first = false;
  }
  skip_space(&r);
  return r.at == r.end ? 0 : fail(failure, "something follows the question");
}
