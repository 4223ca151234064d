/* Hostile clients of a multistackd, one for each rule that it has to hold, and who watches that it does.
 *
 *   hostile client ──┐                      ┌── victim   a channel that gets what is not for it, if it can be got at
 *                    ├── [ multistackd ] ───┤
 *   honest service ──┘        │             └── (the service's other end)
 *                             └── veth ──> sniffer       sees what leaves the host, if anything forged does
 *
 * An attack is a function that does its worst for a while, in a process of its own. */
#ifndef TEST_ATTACK_H
#define TEST_ATTACK_H

#include "integration/daemon_rig.h"
#include "switch/channel_layout.h"
#include <stdatomic.h>

/* Who holds what. The victim's packets may come from the honest client's tuple alone; the hostile one holds HOSTILE. */
#define VICTIM_ADDR "127.0.0.1"
#define VICTIM_PORT 9000
#define HONEST_PORT 9001
#define SERVICE_PORT 9002
#define HOSTILE_PORT 9666
#define WIRE_ADDR "10.7.0.1" /* of this host, on the veth */
#define OUTSIDE_ADDR "10.7.0.2"

struct board {
  bool same_user;             /* without root the hostile clients are of the daemon's user */
  atomic_bool stop;           /* the attack's time is over */
  atomic_bool over;           /* the watchers' too */
  atomic_ullong attempts;     /* packets, messages or whatever the attack is made of */
  atomic_ullong served;       /* requests of the honest service */
  atomic_ullong worst_ns;     /* the longest of them */
  atomic_ullong victim_right; /* packets of the honest client */
  atomic_ullong victim_wrong; /* and all others */
  atomic_ullong wire_wrong;   /* packets on the wire that nobody may send */
};
extern struct board *board;
extern struct daemon_rig rig;

struct attack {
  const char *name, *text;
  void (*run)(void);
};
extern const struct attack attacks_on_packets[], attacks_on_rings[], attacks_on_control[]; /* ends: no name */

static inline bool attack_goes_on(void) {
  return !atomic_load_explicit(&board->stop, memory_order_relaxed);
}
static inline void attempted(uint64_t count) {
  atomic_fetch_add_explicit(&board->attempts, count, memory_order_relaxed);
}

uint64_t attack_random(void);
uint64_t attack_now_ns(void);

/* --- hostile.c: a client that has got in --- */

/* Attached, and holding HOSTILE_PORT of UDP and TCP (tried; the daemon may have closed the channel of the one before a
 * moment ago). NULL when the attack's time is over before. */
mst_attach *hostile_attach(void);
/* Begin anew where the daemon has closed the channel. */
mst_attach *hostile_again(mst_attach *attach);

/* An IPv4 packet of UDP with 8 bytes of payload, its checksums right; to be made wrong by the attack. */
struct forged {
  uint8_t bytes[192];
  uint32_t len;
  uint16_t gso_size;
  uint8_t flags;
};
struct forged forge(const char *source, uint16_t source_port, const char *destination, uint16_t destination_port);
struct forged forge6(const char *source, uint16_t source_port, const char *destination, uint16_t destination_port);
/* The IPv4 header's checksum, after a change of it. */
void forged_checksum(struct forged *packet);
/* Waits for room in the ring. False: the channel was closed, or the time is over. */
bool hostile_send(mst_attach *attach, const struct forged *packet);
/* As many as the time allows, of one kind after the other. */
void hostile_flood(const struct forged *packets, unsigned count);

/* --- watch.c: who watches; each is a process --- */
void watch_victim(void *ctx, int ready_fd);
void watch_service(void *ctx, int ready_fd);
void watch_client(void *ctx, int ready_fd);
void watch_wire(void *ctx, int ready_fd); /* `ctx`: the descriptor of the namespace at the other end of the veth */

#endif
