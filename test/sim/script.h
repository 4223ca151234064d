/* A test as packets on a line in time: one stack, and one raw peer whose every segment the test writes. A segment is a
 * line of text, much as tcpdump prints it:
 *
 *   S 0 win 65535 <mss 1460,sackOK,TS 100 0,wscale 7>       SYN
 *   S. 0 ack 1                                              SYN,ACK
 *   P. 1:1001 ack 1 win 500                                 1,000 bytes
 *   F. 1001 ack 1
 *
 * Flags are S F R P U E W A and '.' for ACK ('?': with ACK or without; '-': none at all). Sequence numbers are relative
 * to the initial ones of each side. `win` is the field as on the wire, `urg` the urgent pointer's field. Options are
 *
 *   mss N  sackOK  wscale N  TS VALUE ECHO  sack 1001:2001 3001:4001  uto 30s|5m  accecn0|accecn1 N N N  hex 1e04ffff
 *
 * where a timestamp `@N` is N after the stack's first one. [ect0] [ect1] [ce] [noecn] [tos N] [ttl N] are of the IP
 * header. In a segment that is expected, what is not written is not compared (PSH too); `<-TS>` wants the option
 * absent, `TS * 5` takes any value. Data is compared: each byte of either stream is script_byte of its sequence number.
 */
#ifndef TEST_SIM_SCRIPT_H
#define TEST_SIM_SCRIPT_H

#include "packet.h"
#include "sim.h"
#include "spec.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct script {
  struct sim *sim;
  struct sim_node *node, *peer;
  mst_stack *stack;
  mst_listener *listener;
  mst_conn *conn;
  unsigned events;         /* told since script_events */
  unsigned listener_calls; /* the same */

  bool ip6;
  uint16_t local_port, peer_port;
  uint32_t peer_isn, iss; /* iss is learned from the SYN */
  bool iss_known;
  bool timestamps; /* put them in all segments that list no other options than SACK blocks */
  uint32_t ts_base, ts_value, ts_recent;
  uint32_t ts_first; /* the stack's, once ts_known */
  bool ts_known;
  bool ts_fixed; /* ts_value stays; else it is ts_base plus the milliseconds since the start */
  uint64_t start_ns;
  uint32_t written, read; /* bytes of each stream so far */

  struct sim_segment last; /* the last that `out` took */
  struct sim_packet *last_packet;
};

struct script_options {
  struct mst_stack_options stack;
  bool ip6;
  uint32_t route_mtu; /* 0: 1500 */
  uint32_t peer_isn;  /* 0: 0x10000000 */
  uint64_t seed;
};

struct script *script_open(const struct script_options *options);

/* Ends the script: the stack is destroyed and must have given everything back. */
void script_close(struct script *s);

static inline uint8_t script_byte(uint32_t position) {
  return (uint8_t)(position * 31 + (position >> 8) * 17 + (position >> 16) + 7);
}

#define script_in(s, spec) script_in_at(s, spec, __FILE__, __LINE__)
#define script_out(s, spec) script_out_at(s, 0, spec, __FILE__, __LINE__)
/* A segment that comes `ms` after now, not sooner and at most 3 ms later. */
#define script_out_after(s, ms, spec) script_out_at(s, ms, spec, __FILE__, __LINE__)
/* Nothing comes for so long (0: nothing is waiting). */
#define script_silence(s, ms) script_silence_at(s, ms, __FILE__, __LINE__)
void script_in_at(struct script *s, const char *spec, const char *file, int line);
void script_out_at(struct script *s, double ms, const char *spec, const char *file, int line);
void script_silence_at(struct script *s, double ms, const char *file, int line);
/* script_in of a line with numbers: `format` has up to two %u. */
void script_in_with(struct script *s, const char *format, uint32_t a, uint32_t b);

/* Take the next segment that comes within `ms`, whatever it is: it is in s->last; false: none. */
bool script_next(struct script *s, double ms);
/* Drop what has come. Returns how many. */
size_t script_drain(struct script *s);
/* Let time pass. */
void script_wait(struct script *s, double ms);

/* What relative numbers of a segment from the stack, or from the peer, count from. */
struct spec_base script_base(const struct script *s, bool from_stack);
/* s->last and when it came, as text. */
void script_print(struct script *s, char *out, size_t room);
/* Parse a segment as the peer would send it. `data` holds its bytes. */
void script_segment(struct script *s, const char *spec, struct sim_segment *out, uint8_t *data, size_t room);
/* Send it. */
void script_inject(struct script *s, const struct sim_segment *segment);
/* An ICMP error from a router about a packet that the stack has sent with this sequence number (relative). For IPv6 the
 * type and code are ICMPv6's. */
void script_icmp(struct script *s, uint8_t type, uint8_t code, uint32_t mtu, uint32_t seq);

/* Wait for the flush: call after using the API on the stack. */
void script_flush(struct script *s);

void script_listen(struct script *s, unsigned backlog);
void script_connect(struct script *s); /* to port 8080 of the peer; the SYN is still to be taken */
void script_accept(struct script *s);  /* into s->conn; fails when there is none */

/* Handshakes without and with options, to ESTABLISHED: `options` is what the peer's SYN has, "" for none. */
void script_establish(struct script *s, const char *options, unsigned window);        /* passive */
void script_establish_active(struct script *s, const char *options, unsigned window); /* active */

/* A passive handshake, and an orderly end that leaves the stack in TIME-WAIT. */
void script_time_wait(struct script *s);

void script_write(struct script *s, uint32_t bytes); /* all must be taken */
/* Read just this many bytes and compare. */
void script_read(struct script *s, uint32_t bytes);
/* What was told since the last call. */
unsigned script_events(struct script *s);
enum mst_tcp_state script_state(struct script *s);
struct mst_tcp_info script_info(struct script *s);
struct mst_stack_stats script_stats(struct script *s);
uint64_t script_drops(struct script *s, enum mst_drop reason);

#endif
