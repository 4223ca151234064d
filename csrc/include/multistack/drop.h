/* Why a packet was dropped. A bad packet is never an error to a caller: it is counted under one of these. */
#ifndef MULTISTACK_DROP_H
#define MULTISTACK_DROP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, text) */
#define MST_DROP_MAP(X)                                                                                                \
  X(NONE, "not dropped")                                                                                               \
  X(SHORT, "shorter than its headers say")                                                                             \
  X(VERSION, "IP version is neither 4 nor 6")                                                                          \
  X(IP_HEADER, "malformed IP header")                                                                                  \
  X(IP_CHECKSUM, "wrong IPv4 header checksum")                                                                         \
  X(IP_OPTION, "IP option or extension header that is not accepted")                                                   \
  X(FRAGMENT, "fragment")                                                                                              \
  X(PROTOCOL, "transport protocol that is not carried")                                                                \
  X(TCP_HEADER, "malformed TCP header or options")                                                                     \
  X(TCP_CHECKSUM, "wrong TCP checksum")                                                                                \
  X(UDP_HEADER, "malformed UDP header")                                                                                \
  X(UDP_CHECKSUM, "wrong UDP checksum")                                                                                \
  X(ICMP, "malformed or untrusted ICMP message")                                                                       \
  X(ICMP_RATE, "more ICMP messages than a channel may send")                                                           \
  X(SOURCE_NOT_HELD, "source tuple is not held by the sender")                                                         \
  X(SOURCE_ADDRESS, "source address is a broadcast, multicast or wildcard address")                                    \
  X(DESTINATION_ADDRESS, "destination address cannot be sent to")                                                      \
  X(NOT_HELD, "destination tuple is held by nobody")                                                                   \
  X(NO_ROUTE, "no route to the destination")                                                                           \
  X(NO_PORT, "the route leaves by a device that has no port")                                                          \
  X(NEIGHBOUR, "the neighbour did not answer or too many packets wait for it")                                         \
  X(TOO_BIG, "larger than the path or the port carries")                                                               \
  X(RX_FULL, "the receiver's ring is full")                                                                            \
  X(AWAY, "the receiver has gone and its tuple is kept for its return")                                                \
  X(TX_FULL, "the port's transmit ring is full")                                                                       \
  X(DESCRIPTOR, "descriptor that points outside its region or contradicts itself")                                     \
  X(PORT_DOWN, "the port's device is down or gone")                                                                    \
  X(TCP_SEQUENCE, "outside the receive window (RFC 9293 3.10.7.4, first)")                                             \
  X(TCP_PAWS, "older than the last timestamp (RFC 7323 5.3)")                                                          \
  X(TCP_NO_CONN, "no connection and no listener")                                                                      \
  X(TCP_RST_INVALID, "reset that does not match RCV.NXT exactly (RFC 5961 3.2)")                                       \
  X(TCP_SYN_IN_WINDOW, "SYN in a synchronized state (RFC 5961 4.2)")                                                   \
  X(TCP_ACK_INVALID, "acknowledges what was never sent, or is too old (RFC 5961 5.2)")                                 \
  X(TCP_NO_ACK, "synchronized segment without ACK")                                                                    \
  X(TCP_AFTER_CLOSE, "data for a connection whose receiver is gone")                                                   \
  X(TCP_BACKLOG, "the listener's queue is full")                                                                       \
  X(TCP_DUPLICATE, "wholly duplicate data")                                                                            \
  X(TCP_OFO_FULL, "no room for data out of order")                                                                     \
  X(UDP_NO_SOCKET, "no UDP socket")                                                                                    \
  X(UDP_BUFFER, "UDP receive buffer full")                                                                             \
  X(NO_MEMORY, "out of memory")

enum mst_drop {
#define MST__X(name, text) MST_DROP_##name,
  MST_DROP_MAP(MST__X)
#undef MST__X
      MST_DROP_COUNT
};

/* "source_not_held" style name and text of a reason; static storage; NULL past the end. */
const char *mst_drop_name(enum mst_drop reason);
const char *mst_drop_text(enum mst_drop reason);

#ifdef __cplusplus
}
#endif
#endif
