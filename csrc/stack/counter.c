/* The names of the counters. */
#include "multistack/stack.h"

const struct mst_stack_counter *mst_stack_counter_at(size_t index) {
  static const struct mst_stack_counter counters[] = {
#define MST__X(field, nstat_name, what)                                                                                \
  {.name = #field, .nstat = nstat_name, .text = what, .offset = offsetof(struct mst_stack_stats, field)},
      MST_STACK_COUNTER_MAP(MST__X)
#undef MST__X
  /* What a reason for drops counts and Linux counts too. */
#define DROP(reason, nstat_name, what)                                                                                 \
  {.name = "drops." #reason,                                                                                           \
   .nstat = nstat_name,                                                                                                \
   .text = what,                                                                                                       \
   .offset = offsetof(struct mst_stack_stats, drops) + MST_DROP_##reason * sizeof(uint64_t)}
          DROP(IP_HEADER, "IpInHdrErrors", "packets with a malformed IP header"),
      DROP(PROTOCOL, "IpInUnknownProtos", "packets of a transport protocol that is not carried"),
      DROP(TCP_CHECKSUM, "TcpInCsumErrors", "segments with a wrong checksum"),
      DROP(UDP_CHECKSUM, "UdpInCsumErrors", "datagrams with a wrong checksum"),
      DROP(UDP_BUFFER, "UdpRcvbufErrors", "datagrams for which a receive buffer had no room"),
      DROP(TCP_PAWS, "TcpExtPAWSEstab", "segments older than the last timestamp (RFC 7323 5.3)"),
      DROP(TCP_OFO_FULL, "TcpExtTCPOFODrop", "segments out of order for which there was no room"),
#undef DROP
  };
  return index < sizeof counters / sizeof *counters ? &counters[index] : NULL;
}
