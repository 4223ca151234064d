/* TCP header and options (RFC 9293 3.1 and 3.2, RFC 7323, RFC 2018, RFC 3168, accurate ECN): parse and build, pure. */
#ifndef MST_WIRE_TCP_H
#define MST_WIRE_TCP_H

#include "multistack/drop.h"
#include "multistack/types.h"

#define MST__TCP_HEADER_BYTES 20
#define MST__TCP_OPTIONS_MAX 40

enum mst__tcp_flags {
  MST__FIN = 0x01,
  MST__SYN = 0x02,
  MST__RST = 0x04,
  MST__PSH = 0x08,
  MST__ACK = 0x10,
  MST__URG = 0x20,
  MST__ECE = 0x40,
  MST__CWR = 0x80,
};

enum mst__tcp_has {
  MST__HAS_MSS = 1,
  MST__HAS_WSCALE = 2,
  MST__HAS_SACK_PERMITTED = 4,
  MST__HAS_TIMESTAMPS = 8,
  MST__HAS_ACCECN = 16,
  MST__HAS_USER_TIMEOUT = 32,
};

/* Byte counters of the accurate ECN option, in order 0 (draft-ietf-tcpm-accurate-ecn 3.2.3). */
enum mst__accecn_counter { MST__E0B, MST__CEB, MST__E1B, MST__ACCECN_COUNTERS };

struct mst__sack_block {
  uint32_t left, right;
};

struct mst__tcp_options {
  uint32_t tsval, tsecr;
  uint16_t mss;
  uint16_t user_timeout; /* RFC 5482 3.3: the granularity bit, then 15 bits which are not all 0 */
  uint8_t has;           /* MST__HAS_... */
  uint8_t wscale;        /* as on the wire, not yet capped at 14 */
  uint8_t sack_count;
  struct mst__sack_block sack[4];
  bool accecn_order1;                    /* the option's fields come in the opposite order */
  uint8_t accecn_count;                  /* of its fields: the first so many in that order */
  uint32_t accecn[MST__ACCECN_COUNTERS]; /* 24 bits each, by enum mst__accecn_counter */
};

struct mst__tcp {
  uint32_t seq, ack;
  uint16_t source_port, destination_port;
  uint16_t window, checksum, urgent;
  uint8_t flags;
  bool ae; /* the flag before CWR, once NS (draft-ietf-tcpm-accurate-ecn 3.1.1) */
  uint8_t header_bytes;
  const uint8_t *payload;
  uint32_t payload_bytes;
  struct mst__tcp_options options;

  /* Of the packet that brought it; not of the header. */
  uint8_t ip_ecn;    /* enum mst__ip_ecn */
  uint16_t gso_size; /* payload of each segment that it stands for; 0: it is one */
};

/* How many segments it stands for. */
static inline uint32_t mst__tcp_segments(const struct mst__tcp *tcp) {
  return tcp->gso_size && tcp->payload_bytes > tcp->gso_size ? (tcp->payload_bytes - 1) / tcp->gso_size + 1 : 1;
}

/* The counter in field `i` of the option, in either order. */
static inline unsigned mst__accecn_counter_at(bool order1, unsigned i) {
  return order1 ? MST__E1B - i : i;
}

/* The three flags that the accurate ECN draft reads as one number: AE, CWR, ECE. */
static inline uint8_t mst__tcp_ace(const struct mst__tcp *tcp) {
  return (uint8_t)(tcp->ae << 2 | tcp->flags >> 6);
}
static inline void mst__tcp_set_ace(struct mst__tcp *tcp, uint8_t ace) {
  tcp->ae = ace >> 2 & 1;
  tcp->flags = (uint8_t)((tcp->flags & ~(MST__ECE | MST__CWR)) | (ace & 3) << 6);
}

/* Parse a segment of `bytes` bytes; the checksum is the caller's. An option of impossible length ends the options
 * (RFC 9293 3.2, MUST-7), it is no reason to drop; a data offset outside the segment is TCP_HEADER. MSS,
 * window scale and SACK permitted are read of a SYN alone (RFC 9293 3.7.1, RFC 7323 2.2, RFC 2018 2). */
enum mst_drop mst__tcp_parse(const uint8_t *segment, size_t bytes, struct mst__tcp *out);

/* Write options in Linux's order (MSS, SACK permitted, timestamps, window scale), then AccECN; SACK blocks last, as
 * many as fit, padded to a multiple of 4; returns the bytes, at most 40. */
size_t mst__tcp_build_options(uint8_t *out, const struct mst__tcp_options *options);

/* Write the fixed header and the options behind it from `tcp` (payload, checksum and header_bytes are not read, the
 * checksum field is left 0); returns the header's bytes. */
size_t mst__tcp_build(uint8_t *out, const struct mst__tcp *tcp);

/* Whether the checksum of a received segment holds; `allow_partial`: the pseudo-header's sum alone will do. */
bool mst__tcp_checksum_ok(const struct mst_addr *source, const struct mst_addr *destination, const uint8_t *segment,
                          size_t bytes, bool allow_partial);

#endif
