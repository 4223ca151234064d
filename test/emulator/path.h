/* One direction of an emulated link: a bottleneck with a queue, then a delay, and what may befall a packet on the way.
 * A machine without clock: each call takes `now_ns`. What befalls the nth packet with data depends on the seed and on n
 * alone (but for the length of bursts), so that two senders on two links of the same seed meet the same fate, segment
 * by segment, though one sends its ACKs alone and the other with data; those without data have a series of their own.
 */
#ifndef EMULATOR_PATH_H
#define EMULATOR_PATH_H

#include <stdbool.h>
#include <stdint.h>

enum { PATH_DROPS_MAX = 8 };

/* Shares are in parts per million. Zero switches each off. */
struct path_options {
  uint64_t rate_bps;    /* of IP packets, bits a second; 0: without limit */
  uint64_t delay_ns;    /* of propagation */
  uint64_t queue_bytes; /* what may wait for the bottleneck; 0: without limit */
  uint64_t mark_bytes;  /* a packet that finds more than this waiting is marked CE, if its sender speaks ECN */
  uint32_t loss_ppm;    /* of packets at which a loss begins */
  uint32_t reorder_ppm; /* of packets held back by reorder_ns, so that later ones overtake them */
  uint32_t duplicate_ppm, corrupt_ppm;
  uint64_t loss_burst_ns; /* for how long a loss goes on; 0: one packet */
  uint64_t reorder_ns;
  uint64_t drops[PATH_DROPS_MAX]; /* packets lost by index; the first packet is 1 */
};

struct path {
  uint64_t free_ns; /* when the bottleneck has sent all that waits */
  uint64_t index;   /* packets that came */
  uint64_t bare;    /* of them without data, by their size */
  uint64_t lossy_until_ns;
};

struct path_verdict {
  uint64_t due_ns; /* when it arrives */
  bool lost, overflowed, reordered, duplicated, corrupted, marked;
};

/* A packet of `bytes` (IP) enters. */
struct path_verdict path_enter(struct path *path, const struct path_options *options, uint64_t seed, uint32_t bytes,
                               uint64_t now_ns);

/* A number for `index` of the series that `seed` and `series` name. */
uint64_t path_random(uint64_t seed, uint64_t series, uint64_t index);

#endif
