/* Segments as text, for tests: what a line says of one, and how one is printed. The syntax is script.h's. */
#ifndef TEST_SIM_SPEC_H
#define TEST_SIM_SPEC_H

#include "packet.h"

#include <stdbool.h>
#include <stddef.h>

struct spec_value {
  uint32_t value;
  bool any;      /* '*' */
  bool relative; /* '@': counted from the stack's first timestamp */
};

struct spec_block {
  uint32_t left, right;
};

/* Options that a line lists, or that a segment has. */
struct spec_options {
  bool mss, wscale, sack_ok, ts, sack, uto, accecn;
  bool no_mss, no_wscale, no_sack_ok, no_ts, no_sack, no_uto, no_accecn; /* <-mss>: must be absent */
  uint32_t mss_value, wscale_value, uto_value;
  struct spec_value tsval, tsecr;
  uint8_t sack_count, accecn_count, accecn_order; /* order 0 or 1 (kinds 172 and 174) */
  struct spec_block sack_blocks[4];
  uint32_t accecn_counters[3];
  uint8_t hex_bytes;
  uint8_t hex[40];
};

/* Addresses that no peer of good faith has. */
enum spec_address { SPEC_USUAL, SPEC_MULTICAST, SPEC_BROADCAST, SPEC_ANY, SPEC_SELF /* the stack's own */ };

struct spec {
  uint16_t flags; /* SIM_... */
  bool psh_given, ack_either, has_seq, has_ack, has_window, has_urgent, has_options, has_tos, has_ttl;
  bool bad_checksum, other_data; /* other_data: other bytes than the stream has there */
  uint32_t seq, bytes, step;     /* step: of `1:3001/1000`; 0: one segment */
  uint32_t ack, window, urgent;
  uint8_t tos, tos_mask, ttl;
  enum spec_address source, destination;
  uint8_t ip_options_bytes, ip_options[40];
  struct spec_options options;
};

/* Where relative numbers begin. */
struct spec_base {
  uint32_t seq, ack; /* initial sequence numbers of the segment's sender and of the other side */
  uint32_t ts;       /* the stack's first timestamp */
  bool from_stack;
};

/* Read a line. NULL, or what is wrong with it. */
const char *spec_parse(const char *text, struct spec *out);

void spec_put_options(struct sim_segment *segment, const struct spec_options *options, const struct spec_base *base);
/* Absolute numbers; any and relative are false. */
struct spec_options spec_get_options(const struct sim_segment *segment);

/* Print a segment so that spec_parse would take it. */
void spec_print(char *out, size_t room, const struct sim_segment *segment, const struct spec_base *base);

/* Whether a segment is what the line says. `why` then says what differs, "" if nothing does. */
bool spec_matches(const struct spec *spec, const struct sim_segment *segment, const struct spec_base *base, char *why,
                  size_t room);

#endif
