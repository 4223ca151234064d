#include "config_value.h"
#include "port/port_internal.h"
#include "text.h"
#include <ctype.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- numbers --- */

/* Digits alone, no sign and no space. False: none, or too large. */
static bool digits(const char **text, uint64_t *out) {
  const char *p = *text;
  uint64_t value = 0;
  for (; isdigit((unsigned char)*p); p++)
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
      return false;
  bool any = p != *text;
  *text = p;
  *out = value;
  return any;
}

static const struct {
  const char *name;
  uint64_t factor;
} units[] = {{"", 1},           {"k", 1000}, {"M", 1000000}, {"G", 1000000000}, {"Ki", 1ull << 10}, {"Mi", 1ull << 20},
             {"Gi", 1ull << 30}};

static bool number(const char *text, uint64_t *out) {
  if (!digits(&text, out)) return false;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (!strcmp(text, units[i].name)) return !__builtin_mul_overflow(*out, units[i].factor, out);
  return false;
}

int mst__value_number(const char *text, uint64_t least, uint64_t most, uint64_t *out, struct mst_failure *failure) {
  if (number(text, out) && *out >= least && *out <= most) return 0;
  return mst__port_fail(failure, -MST_EINVAL,
                        "\"%s\" is not a number from %" PRIu64 " to %" PRIu64
                        " (k, M, G, Ki, Mi and Gi may stand behind it)",
                        MST__TEXT_SHOWN(text), least, most);
}

/* --- lists --- */

#define WORD_BYTES 64u

/* The next word of a list with commas, without the spaces around it. False: no more. A word that is too long comes cut,
 * which no valid one is. */
static bool next_word(const char **text, char word[WORD_BYTES]) {
  const char *from = *text;
  if (!*from) return false;
  const char *end = strchrnul(from, ',');
  *text = *end ? end + 1 : end;
  while (from < end && isspace((unsigned char)*from)) from++;
  while (end > from && isspace((unsigned char)end[-1])) end--;
  size_t bytes = (size_t)(end - from);
  if (bytes >= WORD_BYTES) bytes = WORD_BYTES - 1;
  memcpy(word, from, bytes);
  word[bytes] = 0;
  return true;
}

static bool port_range(const char *word, struct mst__port_range *out) {
  uint64_t first, last;
  if (!digits(&word, &first)) return false;
  last = first;
  if (*word == '-') {
    word++;
    if (!digits(&word, &last)) return false;
  }
  *out = (struct mst__port_range){(uint16_t)first, (uint16_t)last};
  return !*word && first <= last && last <= UINT16_MAX;
}

int mst__value_ports(const char *text, struct mst__port_range out[MST__RULE_PORTS_MAX], uint8_t *count,
                     struct mst_failure *failure) {
  char word[WORD_BYTES];
  *count = 0;
  if (!strcmp(text, "none")) return 0;
  while (next_word(&text, word)) {
    struct mst__port_range range;
    if (!port_range(word, &range))
      return mst__port_fail(failure, -MST_EINVAL,
                            "\"%s\" is no port: write numbers and ranges from 0 to 65535, as in \"80, 8000-8999\"",
                            MST__TEXT_SHOWN(word));
    if (*count == MST__RULE_PORTS_MAX)
      return mst__port_fail(failure, -MST_EINVAL, "more than %u ports and ranges: use more than one section",
                            MST__RULE_PORTS_MAX);
    out[(*count)++] = range;
  }
  return 0;
}

static bool prefix(char *word, struct mst__prefix *out) {
  char *slash = strchr(word, '/');
  if (slash) *slash = 0;
  if (mst_addr_parse(word, &out->addr)) return false;
  uint64_t offset = mst_addr_is_ip4(&out->addr) && !strchr(word, ':') ? 96 : 0, bits = 128 - offset;
  const char *text = slash ? slash + 1 : "";
  if (slash && (!digits(&text, &bits) || *text || bits > 128 - offset)) return false;
  out->bits = (uint8_t)(offset + bits);
  return true;
}

int mst__value_prefixes(const char *text, struct mst__prefix out[MST__RULE_PREFIXES_MAX], uint8_t *count,
                        struct mst_failure *failure) {
  char word[WORD_BYTES], parsed[WORD_BYTES];
  *count = 0;
  while (next_word(&text, word)) {
    struct mst__prefix next;
    memcpy(parsed, word, sizeof parsed);
    if (!prefix(parsed, &next))
      return mst__port_fail(failure, -MST_EINVAL, "\"%s\" is no address: write as in \"10.0.0.0/8, ::1\"",
                            MST__TEXT_SHOWN(word));
    if (*count == MST__RULE_PREFIXES_MAX)
      return mst__port_fail(failure, -MST_EINVAL, "more than %u addresses: use more than one section",
                            MST__RULE_PREFIXES_MAX);
    out[(*count)++] = next;
  }
  if (*count) return 0;
  return mst__port_fail(failure, -MST_EINVAL, "no address: write as in \"10.0.0.0/8, ::1\", or leave it out for any");
}

/* --- one of several words --- */

int mst__value_icmp(const char *text, bool *errors, struct mst_failure *failure) {
  *errors = !strcmp(text, "errors");
  if (*errors || !strcmp(text, "none")) return 0;
  return mst__port_fail(failure, -MST_EINVAL, "\"%s\" is neither \"none\" nor \"errors\"", MST__TEXT_SHOWN(text));
}

int mst__value_log_level(const char *text, enum mst_log_level *out, struct mst_failure *failure) {
  static const char *const names[] = {
      [MST_LOG_ERROR] = "error", [MST_LOG_WARN] = "warning", [MST_LOG_INFO] = "info", [MST_LOG_DEBUG] = "debug"};
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(text, names[i])) continue;
    *out = (enum mst_log_level)i;
    return 0;
  }
  return mst__port_fail(failure, -MST_EINVAL, "\"%s\" is none of \"error\", \"warning\", \"info\" and \"debug\"",
                        MST__TEXT_SHOWN(text));
}

/* --- names --- */

/* UINT32_MAX is what system calls take for "no such id". */
static bool id_number(const char *text, uint32_t *out) {
  uint64_t value;
  if (!digits(&text, &value) || *text || value >= UINT32_MAX) return false;
  *out = (uint32_t)value;
  return true;
}

int mst__value_user(const char *text, uint32_t *uid, struct mst_failure *failure) {
  if (id_number(text, uid)) return 0;
  const struct passwd *entry = getpwnam(text);
  if (!entry) return mst__port_fail(failure, -MST_EINVAL, "there is no user \"%s\"", MST__TEXT_SHOWN(text));
  *uid = entry->pw_uid;
  return 0;
}

int mst__value_group(const char *text, uint32_t *gid, struct mst_failure *failure) {
  if (id_number(text, gid)) return 0;
  const struct group *entry = getgrnam(text);
  if (!entry) return mst__port_fail(failure, -MST_EINVAL, "there is no group \"%s\"", MST__TEXT_SHOWN(text));
  *gid = entry->gr_gid;
  return 0;
}

int mst__value_text(const char *text, char *out, size_t room, struct mst_failure *failure) {
  size_t bytes = strlen(text);
  if (bytes >= room)
    return mst__port_fail(failure, -MST_EINVAL, "\"%s\" is too long: at most %zu bytes", MST__TEXT_SHOWN(text),
                          room - 1);
  memcpy(out, text, bytes + 1);
  return 0;
}
