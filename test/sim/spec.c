/* Segments as text. On purpose independent of csrc/wire. */
#include "spec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_MSS = 2, KIND_WSCALE = 3, KIND_SACK_OK = 4, KIND_SACK = 5, KIND_TS = 8, KIND_UTO = 28 };
#define KIND_ACCECN(order) (172 + 2 * (order))
#define ECN_MASK 3

/* --- reading --- */

static uint16_t flag_of(char c) {
  static const char letters[] = "FSRP.UEWA";
  const char *at = c ? strchr(letters, c) : NULL;
  return at ? (uint16_t)(1u << (at - letters)) : 0;
}

struct reader {
  const char *at;
  const char *error;
};

static void skip(struct reader *r) {
  while (*r->at == ' ' || *r->at == ',') r->at++;
}

static bool at_number(struct reader *r) {
  skip(r);
  const char *p = *r->at == '-' ? r->at + 1 : r->at;
  return *p >= '0' && *p <= '9';
}

static uint32_t number(struct reader *r) {
  if (!at_number(r)) {
    r->error = "a number is missing";
    return 0;
  }
  char *end;
  uint32_t value = (uint32_t)strtoll(r->at, &end, 0);
  r->at = end;
  return value;
}

static bool literal(struct reader *r, const char *text) {
  skip(r);
  size_t n = strlen(text);
  if (strncmp(r->at, text, n)) return false;
  r->at += n;
  return true;
}

static struct spec_value value(struct reader *r) {
  struct spec_value v = {.any = literal(r, "*")};
  if (v.any) return v;
  v.relative = literal(r, "@");
  v.value = number(r);
  return v;
}

static void parse_blocks(struct reader *r, struct spec_options *o) {
  o->sack = true;
  while (at_number(r) && o->sack_count < 4 && !r->error) {
    struct spec_block *block = &o->sack_blocks[o->sack_count++];
    block->left = number(r);
    if (!literal(r, ":")) r->error = "a SACK block is LEFT:RIGHT";
    block->right = number(r);
  }
}

static void parse_accecn(struct reader *r, struct spec_options *o, uint8_t order) {
  o->accecn = true;
  o->accecn_order = order;
  while (at_number(r) && o->accecn_count < 3) o->accecn_counters[o->accecn_count++] = number(r);
}

static void parse_uto(struct reader *r, struct spec_options *o) {
  o->uto = true;
  o->uto_value = number(r) & 0x7fff;
  if (literal(r, "m")) o->uto_value |= 0x8000; /* RFC 5482 3.1: G, minutes */
  literal(r, "s");
}

static void parse_hex(struct reader *r, uint8_t out[40], uint8_t *bytes) {
  unsigned byte;
  int used;
  skip(r);
  while (*bytes < 40 && sscanf(r->at, "%2x%n", &byte, &used) == 1 && used == 2) {
    out[(*bytes)++] = (uint8_t)byte;
    r->at += 2;
  }
}

static bool parse_absent(struct reader *r, struct spec_options *o) {
  if (literal(r, "-mss")) return o->no_mss = true;
  if (literal(r, "-wscale")) return o->no_wscale = true;
  if (literal(r, "-sackOK")) return o->no_sack_ok = true;
  if (literal(r, "-sack")) return o->no_sack = true;
  if (literal(r, "-TS")) return o->no_ts = true;
  if (literal(r, "-uto")) return o->no_uto = true;
  if (literal(r, "-accecn")) return o->no_accecn = true;
  return false;
}

static void parse_option(struct reader *r, struct spec_options *o) {
  if (parse_absent(r, o)) return;
  if (literal(r, "mss")) {
    o->mss = true;
    o->mss_value = number(r);
  } else if (literal(r, "wscale")) {
    o->wscale = true;
    o->wscale_value = number(r);
  } else if (literal(r, "sackOK")) {
    o->sack_ok = true;
  } else if (literal(r, "sack")) {
    parse_blocks(r, o);
  } else if (literal(r, "TS")) {
    o->ts = true;
    o->tsval = value(r);
    o->tsecr = value(r);
  } else if (literal(r, "uto")) {
    parse_uto(r, o);
  } else if (literal(r, "accecn0")) {
    parse_accecn(r, o, 0);
  } else if (literal(r, "accecn1")) {
    parse_accecn(r, o, 1);
  } else if (literal(r, "hex")) {
    parse_hex(r, o->hex, &o->hex_bytes);
  } else {
    r->error = "unknown TCP option";
  }
}

static enum spec_address address(struct reader *r) {
  if (literal(r, "multicast")) return SPEC_MULTICAST;
  if (literal(r, "broadcast")) return SPEC_BROADCAST;
  if (literal(r, "any")) return SPEC_ANY;
  if (literal(r, "self")) return SPEC_SELF;
  r->error = "an address is multicast, broadcast, any or self";
  return SPEC_USUAL;
}

/* What is in brackets is of the IP header, or no field at all. */
static void parse_bracket(struct reader *r, struct spec *spec) {
  static const struct {
    const char *name;
    uint8_t ecn;
  } codepoints[] = {{"noecn", 0}, {"ect1", 1}, {"ect0", 2}, {"ce", 3}};
  for (size_t i = 0; i < sizeof codepoints / sizeof *codepoints; i++) {
    if (!literal(r, codepoints[i].name)) continue;
    spec->has_tos = true;
    spec->tos |= codepoints[i].ecn;
    spec->tos_mask |= ECN_MASK;
    return;
  }
  if (literal(r, "tos ")) {
    spec->has_tos = true;
    spec->tos |= (uint8_t)(number(r) & ~(uint32_t)ECN_MASK);
    spec->tos_mask |= 0xfc;
  } else if (literal(r, "ttl")) {
    spec->has_ttl = true;
    spec->ttl = (uint8_t)number(r);
  } else if (literal(r, "badsum")) {
    spec->bad_checksum = true;
  } else if (literal(r, "other")) {
    spec->other_data = true;
  } else if (literal(r, "from")) {
    spec->source = address(r);
  } else if (literal(r, "to")) {
    spec->destination = address(r);
  } else if (literal(r, "ipopt")) {
    parse_hex(r, spec->ip_options, &spec->ip_options_bytes);
  } else {
    r->error = "unknown word in brackets";
  }
}

static void parse_field(struct reader *r, struct spec *spec) {
  if (literal(r, "ack")) {
    spec->has_ack = true;
    spec->ack = number(r);
  } else if (literal(r, "win")) {
    spec->has_window = true;
    spec->window = number(r);
  } else if (literal(r, "urg")) {
    spec->has_urgent = true;
    spec->urgent = number(r);
  } else if (literal(r, "<")) {
    spec->has_options = true;
    while (!r->error && !literal(r, ">")) parse_option(r, &spec->options);
  } else if (literal(r, "[")) {
    while (!r->error && !literal(r, "]")) parse_bracket(r, spec);
  } else {
    r->error = "unknown field";
  }
}

const char *spec_parse(const char *text, struct spec *out) {
  struct reader r = {.at = text};
  *out = (struct spec){0};
  for (; flag_of(*r.at); r.at++) out->flags |= flag_of(*r.at);
  out->psh_given = out->flags & SIM_PSH;
  out->ack_either = *r.at == '?';
  r.at += out->ack_either || (*r.at == '-' && r.at[1] == ' ');
  if (*r.at && *r.at != ' ') return "unknown flag";
  if (at_number(&r)) {
    out->has_seq = true;
    out->seq = number(&r);
    if (literal(&r, ":")) out->bytes = number(&r) - out->seq;
    if (literal(&r, "/")) out->step = number(&r);
  }
  for (skip(&r); *r.at && !r.error; skip(&r)) parse_field(&r, out);
  return r.error;
}

/* --- options on the wire --- */

static uint32_t absolute(struct spec_value v, const struct spec_base *base) {
  return v.relative ? base->ts + v.value : v.value;
}

static uint8_t *put_ts(uint8_t *p, const struct spec_options *o, const struct spec_base *base) {
  *p++ = KIND_TS, *p++ = 10;
  sim_put32(p, absolute(o->tsval, base));
  sim_put32(p + 4, absolute(o->tsecr, base));
  return p + 8;
}

static uint8_t *put_sack(uint8_t *p, const struct spec_options *o, const struct spec_base *base) {
  *p++ = 1, *p++ = 1, *p++ = KIND_SACK, *p++ = (uint8_t)(2 + 8 * o->sack_count);
  for (uint8_t i = 0; i < o->sack_count; i++, p += 8) {
    sim_put32(p, base->ack + o->sack_blocks[i].left);
    sim_put32(p + 4, base->ack + o->sack_blocks[i].right);
  }
  return p;
}

static uint8_t *put_accecn(uint8_t *p, const struct spec_options *o) {
  *p++ = (uint8_t)KIND_ACCECN(o->accecn_order), *p++ = (uint8_t)(2 + 3 * o->accecn_count);
  for (uint8_t i = 0; i < o->accecn_count; i++, p += 3) {
    p[0] = (uint8_t)(o->accecn_counters[i] >> 16);
    sim_put16(p + 1, o->accecn_counters[i] & 0xffff);
  }
  return p;
}

void spec_put_options(struct sim_segment *segment, const struct spec_options *o, const struct spec_base *base) {
  uint8_t scratch[128], *p = scratch;
  if (o->mss) {
    *p++ = KIND_MSS, *p++ = 4;
    sim_put16(p, o->mss_value);
    p += 2;
  }
  if (o->sack_ok) *p++ = KIND_SACK_OK, *p++ = 2;
  if (o->ts != o->sack_ok) *p++ = 1, *p++ = 1;
  if (o->ts) p = put_ts(p, o, base);
  if (o->wscale) *p++ = 1, *p++ = KIND_WSCALE, *p++ = 3, *p++ = (uint8_t)o->wscale_value;
  if (o->uto) {
    *p++ = KIND_UTO, *p++ = 4;
    sim_put16(p, o->uto_value);
    p += 2;
  }
  if (o->accecn) p = put_accecn(p, o);
  if (o->sack) p = put_sack(p, o, base);
  memcpy(p, o->hex, o->hex_bytes);
  p += o->hex_bytes;
  size_t bytes = (size_t)(p - scratch);
  if (bytes > sizeof segment->options) bytes = sizeof segment->options;
  memcpy(segment->options, scratch, bytes);
  segment->options_bytes = (uint8_t)bytes;
}

static void get_counters(const uint8_t *p, struct spec_options *o, uint8_t order) {
  o->accecn = true;
  o->accecn_order = order;
  for (int i = 0; i < 3 && p[1] >= 5 + 3 * i; i++)
    o->accecn_counters[o->accecn_count++] = (uint32_t)p[2 + 3 * i] << 16 | sim_get16(p + 3 + 3 * i);
}

static void get_blocks(const uint8_t *p, struct spec_options *o) {
  o->sack = true;
  for (int i = 0; i < 4 && p[1] >= 10 + 8 * i; i++)
    o->sack_blocks[o->sack_count++] = (struct spec_block){sim_get32(p + 2 + 8 * i), sim_get32(p + 6 + 8 * i)};
}

struct spec_options spec_get_options(const struct sim_segment *segment) {
  struct spec_options o = {0};
  const uint8_t *p = segment->options, *end = p + segment->options_bytes;
  while (p < end && *p) {
    if (*p == 1) {
      p++;
      continue;
    }
    if (p + 1 >= end || p[1] < 2 || p + p[1] > end) break;
    switch (*p) {
    case KIND_MSS: o.mss = true, o.mss_value = sim_get16(p + 2); break;
    case KIND_WSCALE: o.wscale = true, o.wscale_value = p[2]; break;
    case KIND_SACK_OK: o.sack_ok = true; break;
    case KIND_SACK: get_blocks(p, &o); break;
    case KIND_TS: o.ts = true, o.tsval.value = sim_get32(p + 2), o.tsecr.value = sim_get32(p + 6); break;
    case KIND_UTO: o.uto = true, o.uto_value = sim_get16(p + 2); break;
    case KIND_ACCECN(0): get_counters(p, &o, 0); break;
    case KIND_ACCECN(1): get_counters(p, &o, 1); break;
    default: break;
    }
    p += p[1];
  }
  return o;
}

/* --- printing --- */

struct text {
  char *out;
  size_t room, used;
};

static void put(struct text *t, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(t->out + t->used, t->room - t->used, format, args);
  va_end(args);
  if (n > 0) t->used += (size_t)n < t->room - t->used ? (size_t)n : t->room - t->used - 1;
}

static void print_blocks(struct text *t, const struct spec_options *o, uint32_t base) {
  put(t, "sack");
  for (uint8_t i = 0; i < o->sack_count; i++)
    put(t, " %u:%u", o->sack_blocks[i].left - base, o->sack_blocks[i].right - base);
  put(t, ",");
}

static void print_options(struct text *t, const struct spec_options *o, const struct spec_base *base) {
  put(t, "<");
  if (o->mss) put(t, "mss %u,", o->mss_value);
  if (o->sack_ok) put(t, "sackOK,");
  if (o->ts && base->from_stack) put(t, "TS @%u %u,", o->tsval.value - base->ts, o->tsecr.value);
  if (o->ts && !base->from_stack) put(t, "TS %u %u,", o->tsval.value, o->tsecr.value);
  if (o->wscale) put(t, "wscale %u,", o->wscale_value);
  if (o->uto) put(t, "uto %u%c,", o->uto_value & 0x7fff, o->uto_value & 0x8000 ? 'm' : 's');
  if (o->accecn) put(t, "accecn%u", o->accecn_order);
  for (uint8_t i = 0; i < o->accecn_count; i++) put(t, " %u", o->accecn_counters[i]);
  if (o->accecn) put(t, ",");
  if (o->sack) print_blocks(t, o, base->ack);
  if (t->used && t->out[t->used - 1] == ',') t->used--;
  put(t, ">");
}

static void print_flags(struct text *t, uint16_t flags) {
  static const char order[] = "SFRPUEWA.";
  for (const char *c = order; *c; c++)
    if (flags & flag_of(*c)) put(t, "%c", *c);
  if (!flags) put(t, "-");
}

void spec_print(char *out, size_t room, const struct sim_segment *g, const struct spec_base *base) {
  static const char *const codepoints[] = {"", " [ect1]", " [ect0]", " [ce]"};
  struct text t = {out, room, 0};
  uint32_t seq = g->seq - base->seq;
  *out = 0;
  print_flags(&t, g->flags);
  put(&t, " %d", (int32_t)seq);
  if (g->data_bytes) put(&t, ":%u", seq + g->data_bytes);
  if (g->flags & SIM_ACK) put(&t, " ack %d", (int32_t)(g->ack - base->ack));
  put(&t, " win %u", g->window);
  if (g->flags & SIM_URG) put(&t, " urg %u", g->urgent);
  put(&t, "%s", codepoints[g->tos & ECN_MASK]);
  struct spec_options options = spec_get_options(g);
  if (g->options_bytes) put(&t, " ");
  if (g->options_bytes) print_options(&t, &options, base);
}

/* --- comparing --- */

static void differs(struct text *why, const char *field, uint32_t got, uint32_t wanted) {
  put(why, "%s%s is %d, not %d", why->used ? "; " : "", field, (int32_t)got, (int32_t)wanted);
}

static void presence(struct text *why, const char *option, bool got, bool wanted, bool unwanted) {
  if (wanted && !got) put(why, "%sno %s", why->used ? "; " : "", option);
  if (unwanted && got) put(why, "%s%s is there", why->used ? "; " : "", option);
}

static void compare_blocks(struct text *why, const struct spec_options *want, const struct spec_options *got,
                           uint32_t base) {
  bool same = want->sack_count == got->sack_count;
  for (uint8_t i = 0; same && i < want->sack_count; i++)
    same = want->sack_blocks[i].left == got->sack_blocks[i].left - base &&
           want->sack_blocks[i].right == got->sack_blocks[i].right - base;
  if (!same) put(why, "%sother SACK blocks", why->used ? "; " : "");
}

static void compare_accecn(struct text *why, const struct spec_options *want, const struct spec_options *got) {
  bool same = want->accecn_order == got->accecn_order && want->accecn_count == got->accecn_count;
  for (uint8_t i = 0; same && i < want->accecn_count; i++) same = want->accecn_counters[i] == got->accecn_counters[i];
  if (!same) put(why, "%sother AccECN counters", why->used ? "; " : "");
}

static void compare_value(struct text *why, const char *field, struct spec_value want, uint32_t got,
                          const struct spec_base *base) {
  if (want.any || absolute(want, base) == got) return;
  uint32_t from = want.relative ? base->ts : 0;
  differs(why, field, got - from, want.value);
}

static void compare_options(struct text *why, const struct spec_options *want, const struct spec_options *got,
                            const struct spec_base *base) {
  presence(why, "mss", got->mss, want->mss, want->no_mss);
  presence(why, "wscale", got->wscale, want->wscale, want->no_wscale);
  presence(why, "sackOK", got->sack_ok, want->sack_ok, want->no_sack_ok);
  presence(why, "TS", got->ts, want->ts, want->no_ts);
  presence(why, "sack", got->sack, want->sack, want->no_sack);
  presence(why, "uto", got->uto, want->uto, want->no_uto);
  presence(why, "accecn", got->accecn, want->accecn, want->no_accecn);
  if (want->mss && got->mss && want->mss_value != got->mss_value) differs(why, "mss", got->mss_value, want->mss_value);
  if (want->wscale && got->wscale && want->wscale_value != got->wscale_value)
    differs(why, "wscale", got->wscale_value, want->wscale_value);
  if (want->uto && got->uto && want->uto_value != got->uto_value) differs(why, "uto", got->uto_value, want->uto_value);
  if (want->ts && got->ts) {
    compare_value(why, "TSval", want->tsval, got->tsval.value, base);
    compare_value(why, "TSecr", want->tsecr, got->tsecr.value, base);
  }
  if (want->sack && got->sack) compare_blocks(why, want, got, base->ack);
  if (want->accecn && got->accecn) compare_accecn(why, want, got);
}

bool spec_matches(const struct spec *spec, const struct sim_segment *g, const struct spec_base *base, char *reason,
                  size_t room) {
  struct text why = {reason, room, 0};
  uint16_t ignore = (uint16_t)((spec->psh_given ? 0 : SIM_PSH) | (spec->ack_either ? SIM_ACK : 0));
  uint32_t seq = g->seq - base->seq, ack = g->ack - base->ack;
  *reason = 0;
  if ((g->flags & ~ignore) != (spec->flags & ~ignore)) put(&why, "other flags");
  if (spec->has_seq && seq != spec->seq) differs(&why, "seq", seq, spec->seq);
  if (spec->has_seq && g->data_bytes != spec->bytes) differs(&why, "length", g->data_bytes, spec->bytes);
  if (spec->has_ack && ack != spec->ack) differs(&why, "ack", ack, spec->ack);
  if (spec->has_window && g->window != spec->window) differs(&why, "win", g->window, spec->window);
  if (spec->has_urgent && g->urgent != spec->urgent) differs(&why, "urg", g->urgent, spec->urgent);
  if (spec->has_ttl && g->ttl != spec->ttl) differs(&why, "ttl", g->ttl, spec->ttl);
  if (spec->has_tos && (g->tos & spec->tos_mask) != spec->tos) differs(&why, "tos", g->tos, spec->tos);
  struct spec_options got = spec_get_options(g);
  const uint8_t hex_bytes = spec->options.hex_bytes;
  if (hex_bytes && (hex_bytes != g->options_bytes || memcmp(spec->options.hex, g->options, hex_bytes)))
    put(&why, "%sother bytes of options", why.used ? "; " : "");
  compare_options(&why, &spec->options, &got, base);
  return why.used == 0;
}
