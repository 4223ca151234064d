/* Is a packet that a channel sent well formed, and which tuples does it name? Looks at the switch's own copy of its
 * headers alone. Stricter than what is taken from a wire: no IP options and no extension headers, since stacks of ours
 * send none; the header checksum of IPv4 must hold. */
#ifndef MST_SWITCH_VALIDATE_H
#define MST_SWITCH_VALIDATE_H

#include "channel_end.h"
#include "multistack/drop.h"
#include "tuple_table.h"

/* A packet from a channel, on its way through the switch. */
struct mst__outgoing {
  struct mst__taken taken;
  /* Filled by mst__validate. */
  struct mst__tuple_key source, destination;
  uint32_t l3_bytes;     /* of the IP header */
  uint32_t header_bytes; /* of IP and transport header */
  uint8_t protocol;
  /* Filled by who forwards it. */
  uint32_t source_hash, destination_hash;
  enum mst_drop drop;
};

/* ICMP: it is well formed so far, but nothing is said of what it carries, and no tuples are named. */
enum mst_drop mst__validate(struct mst__outgoing *packet);

/* The addresses of a packet that was validated. */
struct mst_addr mst__outgoing_source(const struct mst__outgoing *packet);
struct mst_addr mst__outgoing_destination(const struct mst__outgoing *packet);

#endif
