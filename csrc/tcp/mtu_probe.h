/* Packetization-layer path MTU discovery (RFC 4821, RFC 8899): sizes are tried by the connection's own data, and what
 * ICMP does not tell is found by what arrives. MTUs are bytes of IP packet. */
#ifndef MST_TCP_MTU_PROBE_H
#define MST_TCP_MTU_PROBE_H

#include <stdbool.h>
#include <stdint.h>

struct mst_conn;

struct mst__mtu_probe {
  uint32_t limit;    /* of the first hop, when the connection began: the announced MSS goes by it */
  uint32_t high;     /* search_high; the path's MTU in use is search_low */
  uint32_t seq, mtu; /* the probe under way begins here and makes packets of so much; mtu 0: there is none */
  uint32_t held_mtu, held_until; /* ICMP's word that contradicts what arrived, and what would refute it */
  uint64_t next_ns;              /* no probe before this */
  uint16_t proven_bytes;         /* the largest payload known to have arrived */
  bool searching, held;
  bool repairing; /* the probe at `seq` was lost and nothing else, and is to go again in smaller segments */
  bool shrunk;    /* a black hole is suspected: what arrives next proves it */
};

#define MST__MTU_PROBE_WAIT UINT32_MAX

/* Established. */
void mst__mtu_probe_start(struct mst_conn *conn);
/* Payload that a probe may have now; 0: no probe; MST__MTU_PROBE_WAIT: one goes when the congestion window has room,
 * which the next ACKs make. The rooms are bytes. */
uint32_t mst__mtu_probe_bytes(struct mst_conn *conn, uint32_t unsent, uint32_t window_room, uint32_t cwnd_room);
/* [seq, seq + bytes) went in one packet. */
void mst__mtu_probe_sent(struct mst_conn *conn, uint32_t seq, uint32_t bytes);
/* A segment with such a payload has arrived, sent once. */
void mst__mtu_proven(struct mst_conn *conn, uint16_t payload_bytes);
/* Something was found lost. False: the probe alone, which is no sign of congestion (RFC 4821 7.6.2). */
bool mst__mtu_probe_loss(struct mst_conn *conn);
/* SND.UNA has moved, with `shrunk`. */
void mst__mtu_delivered(struct mst_conn *conn);
/* The retransmission timer went off, for the conn->retries'th time. */
void mst__mtu_timeout(struct mst_conn *conn);
/* ICMP says that a packet with the number `seq` was too big for `mtu` (0: untold). */
void mst__mtu_too_big(struct mst_conn *conn, uint32_t mtu, uint32_t seq);

#endif
