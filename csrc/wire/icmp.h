/* ICMP (RFC 792) and ICMPv6 (RFC 4443) errors and what they quote: parse and build, pure. */
#ifndef MST_WIRE_ICMP_H
#define MST_WIRE_ICMP_H

#include "ip.h"

enum mst__icmp_kind {
  MST__ICMP_OTHER,            /* an echo, a redirect ...: not for a stack */
  MST__ICMP_TOO_BIG,          /* fragmentation needed (RFC 1191), packet too big (RFC 8201) */
  MST__ICMP_NET_UNREACHABLE,  /* soft */
  MST__ICMP_HOST_UNREACHABLE, /* soft */
  MST__ICMP_PORT_UNREACHABLE, /* hard in SYN-SENT, else soft (RFC 5927 5.2) */
  MST__ICMP_PROTOCOL_UNREACHABLE,
  MST__ICMP_PROHIBITED,
  MST__ICMP_TIME_EXCEEDED,
  MST__ICMP_PARAMETER_PROBLEM,
};

struct mst__icmp_error {
  enum mst__icmp_kind kind;
  uint32_t mtu;                        /* of TOO_BIG, 0 from routers that predate RFC 1191 */
  struct mst_addr source, destination; /* of the quoted packet: source is who had sent it */
  uint16_t source_port, destination_port;
  uint8_t protocol; /* of the quoted packet */
  bool has_seq;     /* the quote reaches TCP's sequence number */
  uint32_t seq;
};

/* Parse an ICMP or ICMPv6 message that `ip` carries; its checksum is verified. Kind OTHER: the rest is not filled. */
enum mst_drop mst__icmp_parse(const struct mst__ip *ip, struct mst__icmp_error *out);

#endif
