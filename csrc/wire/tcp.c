#include "tcp.h"
#include "checksum.h"
#include "ip.h"
#include <string.h>

enum {
  END = 0,
  NOP = 1,
  MSS = 2,
  WSCALE = 3,
  SACK_PERMITTED = 4,
  SACK = 5,
  TIMESTAMPS = 8,
  USER_TIMEOUT = 28,
  ACCECN0 = 172,
  ACCECN1 = 174
};

static uint32_t get24(const uint8_t *p) {
  return (uint32_t)p[0] << 16 | mst__get16(p + 1);
}

/* Whole fields count, whatever the length (draft-ietf-tcpm-accurate-ecn 3.2.3). */
static void parse_accecn(const uint8_t *option, uint8_t bytes, struct mst__tcp_options *out) {
  unsigned count = (bytes - 2u) / 3;
  out->has |= MST__HAS_ACCECN;
  out->accecn_order1 = option[0] == ACCECN1;
  out->accecn_count = (uint8_t)(count < MST__ACCECN_COUNTERS ? count : MST__ACCECN_COUNTERS);
  for (unsigned i = 0; i < out->accecn_count; i++)
    out->accecn[mst__accecn_counter_at(out->accecn_order1, i)] = get24(option + 2 + 3 * i);
}

static void parse_timestamps(const uint8_t *option, struct mst__tcp_options *out) {
  out->has |= MST__HAS_TIMESTAMPS;
  out->tsval = mst__get32(option + 2);
  out->tsecr = mst__get32(option + 6);
}

static void parse_option(const uint8_t *option, uint8_t bytes, bool syn, struct mst__tcp_options *out) {
  uint8_t kind = option[0];
  if (kind == TIMESTAMPS && bytes == 10) {
    parse_timestamps(option, out);
  } else if (kind == SACK && bytes >= 10 && (bytes - 2) % 8 == 0) {
    out->sack_count = (uint8_t)((bytes - 2) / 8); /* at most 4, since option space is 40 bytes */
    for (unsigned i = 0; i < out->sack_count; i++)
      out->sack[i] = (struct mst__sack_block){mst__get32(option + 2 + 8 * i), mst__get32(option + 6 + 8 * i)};
  } else if (kind == ACCECN0 || kind == ACCECN1) {
    parse_accecn(option, bytes, out);
  } else if (kind == USER_TIMEOUT && bytes == 4 && mst__get16(option + 2) & 0x7fff) { /* RFC 5482 3.4 */
    out->has |= MST__HAS_USER_TIMEOUT;
    out->user_timeout = mst__get16(option + 2);
  } else if (syn && kind == MSS && bytes == 4) {
    out->has |= MST__HAS_MSS;
    out->mss = mst__get16(option + 2);
  } else if (syn && kind == WSCALE && bytes == 3) {
    out->has |= MST__HAS_WSCALE;
    out->wscale = option[2];
  } else if (syn && kind == SACK_PERMITTED && bytes == 2) {
    out->has |= MST__HAS_SACK_PERMITTED;
  }
}

/* What nearly all segments have, laid out as RFC 7323 appendix A advises. */
static bool timestamps_alone(const uint8_t *p, size_t bytes) {
  static const uint8_t begin[4] = {NOP, NOP, TIMESTAMPS, 10};
  return bytes == 12 && !memcmp(p, begin, sizeof begin);
}

static void parse_options(const uint8_t *p, size_t bytes, bool syn, struct mst__tcp_options *out) {
  *out = (struct mst__tcp_options){0};
  if (timestamps_alone(p, bytes)) return parse_timestamps(p + 2, out);
  while (bytes > 0 && p[0] != END) {
    size_t length = 1;
    if (p[0] != NOP) {
      if (bytes < 2 || p[1] < 2 || p[1] > bytes) return;
      length = p[1];
      parse_option(p, (uint8_t)length, syn, out);
    }
    p += length;
    bytes -= length;
  }
}

enum mst_drop mst__tcp_parse(const uint8_t *segment, size_t bytes, struct mst__tcp *out) {
  if (bytes < MST__TCP_HEADER_BYTES) return MST_DROP_SHORT;
  size_t header_bytes = (segment[12] >> 4) * 4u;
  if (header_bytes < MST__TCP_HEADER_BYTES || header_bytes > bytes) return MST_DROP_TCP_HEADER;
  out->source_port = mst__get16(segment);
  out->destination_port = mst__get16(segment + 2);
  out->seq = mst__get32(segment + 4);
  out->ack = mst__get32(segment + 8);
  out->flags = segment[13];
  out->ae = segment[12] & 1;
  out->window = mst__get16(segment + 14);
  out->checksum = mst__get16(segment + 16);
  out->urgent = mst__get16(segment + 18);
  out->header_bytes = (uint8_t)header_bytes;
  out->payload = segment + header_bytes;
  out->payload_bytes = (uint32_t)(bytes - header_bytes);
  parse_options(segment + MST__TCP_HEADER_BYTES, header_bytes - MST__TCP_HEADER_BYTES, (out->flags & MST__SYN) != 0,
                &out->options);
  out->ip_ecn = MST__NOT_ECT;
  out->gso_size = 0;
  return MST_DROP_NONE;
}

static uint8_t *put4(uint8_t *p, uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  p[0] = a;
  p[1] = b;
  p[2] = c;
  p[3] = d;
  return p + 4;
}

static uint8_t *put_sack(uint8_t *p, uint8_t *end, const struct mst__tcp_options *options) {
  size_t count = options->sack_count, fit = (size_t)(end - p - 4) / 8; /* the others leave at least 8 bytes */
  if (count > fit) count = fit;
  if (!count) return p;
  p = put4(p, NOP, NOP, SACK, (uint8_t)(2 + 8 * count));
  for (size_t i = 0; i < count; i++, p += 8) {
    mst__put32(p, options->sack[i].left);
    mst__put32(p + 4, options->sack[i].right);
  }
  return p;
}

/* Padded by NOPs behind. */
static uint8_t *put_accecn(uint8_t *p, const struct mst__tcp_options *options) {
  uint8_t *begin = p;
  *p++ = options->accecn_order1 ? ACCECN1 : ACCECN0;
  *p++ = (uint8_t)(2 + 3 * options->accecn_count);
  for (unsigned i = 0; i < options->accecn_count; i++, p += 3) {
    uint32_t value = options->accecn[mst__accecn_counter_at(options->accecn_order1, i)];
    p[0] = (uint8_t)(value >> 16);
    mst__put16(p + 1, (uint16_t)value);
  }
  while ((p - begin) % 4) *p++ = NOP;
  return p;
}

/* Each step keeps the alignment to 4 bytes, with NOPs in front as Linux has them; SACK permitted takes the place of the
 * timestamps' NOPs. */
size_t mst__tcp_build_options(uint8_t *out, const struct mst__tcp_options *options) {
  uint8_t *p = out;
  bool sack_permitted = (options->has & MST__HAS_SACK_PERMITTED) != 0;
  if (options->has & MST__HAS_MSS) p = put4(p, MSS, 4, (uint8_t)(options->mss >> 8), (uint8_t)options->mss);
  if (options->has & MST__HAS_TIMESTAMPS) {
    p = put4(p, sack_permitted ? SACK_PERMITTED : NOP, sack_permitted ? 2 : NOP, TIMESTAMPS, 10);
    mst__put32(p, options->tsval);
    mst__put32(p + 4, options->tsecr);
    p += 8;
  } else if (sack_permitted) {
    p = put4(p, NOP, NOP, SACK_PERMITTED, 2);
  }
  if (options->has & MST__HAS_WSCALE) p = put4(p, NOP, WSCALE, 3, options->wscale);
  if (options->has & MST__HAS_USER_TIMEOUT)
    p = put4(p, USER_TIMEOUT, 4, (uint8_t)(options->user_timeout >> 8), (uint8_t)options->user_timeout);
  if (options->has & MST__HAS_ACCECN) p = put_accecn(p, options);
  if (options->sack_count > 0) p = put_sack(p, out + MST__TCP_OPTIONS_MAX, options);
  return (size_t)(p - out);
}

size_t mst__tcp_build(uint8_t *out, const struct mst__tcp *tcp) {
  size_t header_bytes = MST__TCP_HEADER_BYTES + mst__tcp_build_options(out + MST__TCP_HEADER_BYTES, &tcp->options);
  mst__put16(out, tcp->source_port);
  mst__put16(out + 2, tcp->destination_port);
  mst__put32(out + 4, tcp->seq);
  mst__put32(out + 8, tcp->ack);
  out[12] = (uint8_t)(header_bytes / 4 << 4 | tcp->ae);
  out[13] = tcp->flags;
  mst__put16(out + 14, tcp->window);
  mst__put16(out + 16, 0);
  mst__put16(out + 18, tcp->urgent);
  return header_bytes;
}

bool mst__tcp_checksum_ok(const struct mst_addr *source, const struct mst_addr *destination, const uint8_t *segment,
                          size_t bytes, bool allow_partial) {
  uint64_t pseudo = mst__csum_pseudo(source, destination, MST_TCP, (uint32_t)bytes);
  if (allow_partial && bytes >= MST__TCP_HEADER_BYTES) {
    uint16_t field;
    memcpy(&field, segment + 16, 2);
    if (field == mst__csum_fold(pseudo)) return true;
  }
  return mst__csum_fold(mst__csum_add(pseudo, segment, bytes)) == 0xffff;
}
