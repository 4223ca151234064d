/* The TCP connections that cross the emulator. Each has a link of its own, or shares one with the others of its class;
 * the class is named by the server's port. What the application of either end has got can be told from outside: the
 * bytes in order that were handed to its stack. */
#ifndef EMULATOR_FLOW_H
#define EMULATOR_FLOW_H

#include "path.h"

#include <stddef.h>
#include <stdio.h>

enum direction { FORWARD, BACK }; /* client to server, and the other way */

struct flow_class {
  uint16_t port;                  /* of the server */
  bool shared;                    /* one link for all its flows */
  uint64_t seed;                  /* the nth flow of each client is under seed + n */
  uint64_t goal_bytes;            /* when the server has as many is noted */
  uint64_t goal_from_ns, goal_ns; /* what the server gets between these two is noted; from the link's first SYN on */
  struct path_options path[2];
};

/* Payload that has arrived, by offset in the stream: what is in order, and ranges beyond it. */
struct arrived {
  uint64_t bytes;
  struct arrived_range {
    uint64_t begin, end;
  } * ranges;
  size_t count, room;
};

struct flow_side {
  struct path path;
  struct arrived arrived;
  uint32_t isn; /* of the sender of this direction */
  bool has_isn;
  uint64_t sent_bytes; /* the end of what was sent, as an offset */
  uint64_t packets, octets, data_packets, retransmitted;
  uint64_t lost, overflowed, reordered, duplicated, corrupted, marked;
  uint64_t syns;                        /* that arrived */
  uint64_t progress_ns, longest_gap_ns; /* when the last byte in order arrived; between two that did */
};

struct flow_key {
  uint8_t bytes[36]; /* client's and server's address, client's and server's port */
};

struct flow {
  const struct flow_class *class;
  struct flow *shares; /* the flow whose link this uses; itself when its own */
  struct flow *next;   /* in the table's chain */
  struct flow_key key;
  uint32_t number; /* among those of its client and class, from 0 */
  uint64_t seed;
  uint64_t start_ns;           /* its first SYN came */
  uint64_t done_ns;            /* the server has goal_bytes */
  uint64_t goal_got_bytes;     /* what the server got from goal_from_ns to goal_ns */
  uint64_t goal_skipped_bytes; /* and before */
  uint64_t end_ns;             /* last packet */
  struct flow_side side[2];
};

/* A TCP segment's headers, as far as they are of use here. */
struct segment {
  struct flow_key key; /* as if sent by the client; see `reversed` for the server's */
  uint32_t seq, ack, payload_bytes, ip_bytes;
  uint16_t source_port, destination_port;
  uint8_t flags;
  bool ect; /* its sender speaks ECN */
};
enum { SEGMENT_FIN = 1, SEGMENT_SYN = 2, SEGMENT_RST = 4, SEGMENT_ACK = 16 };

/* False: no TCP segment. `data` begins with the IP header. */
bool segment_parse(const uint8_t *data, size_t bytes, struct segment *out);
/* Set CE, where there is ECT. */
void segment_mark(uint8_t *data);

struct flows;
struct flows *flows_new(const struct flow_class *classes, size_t count);
void flows_free(struct flows *flows);

/* The flow of a segment that enters, and its direction; NULL: of no class. */
struct flow *flows_find(struct flows *flows, const struct segment *segment, uint64_t now_ns, enum direction *direction);

/* The segment enters its link. */
struct path_verdict flow_enter(struct flow *flow, enum direction direction, const struct segment *segment,
                               uint64_t now_ns);
/* The segment is handed to the other end. */
void flow_arrive(struct flow *flow, enum direction direction, const struct segment *segment, uint64_t now_ns);

/* In the order of their start; NULL past the end. */
const struct flow *flows_at(const struct flows *flows, size_t index);
/* The last byte of the address of the host that opened it. */
uint8_t flow_client(const struct flow *flow);

/* One line of JSON for each flow. */
void flows_report(const struct flows *flows, FILE *out);

#endif
