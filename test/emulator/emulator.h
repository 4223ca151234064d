/* A link emulator in user space: it joins the far ends of veths, each with one host behind it, and lets each TCP
 * connection cross a virtual link of its own. Frames go where their MAC address says: the host behind device i has the
 * address 02:4d:53:00:00:i (i from 1). What is no TCP segment, or of no class, crosses at once; broadcasts are dropped,
 * so the hosts must know their neighbours. Offloads must be off on the hosts' devices: a frame above the MTU or without
 * its checksum is counted as refused. */
#ifndef EMULATOR_H
#define EMULATOR_H

#include "flow.h"

enum { EMULATOR_DEVICES_MAX = 32 };

struct emulator_options {
  const char *const *devices; /* names, in this network namespace */
  size_t device_count;
  const struct flow_class *classes;
  size_t class_count;
  FILE *trace; /* a line for each segment and what befell it; NULL: no */
};

struct emulator_counters {
  uint64_t frames, refused, strays, send_failures;
  uint64_t late_ns_max, late_ns_sum, timed; /* how far after its time a packet left */
};

struct emulator;

/* NULL and a message on stderr when a device cannot be opened. */
struct emulator *emulator_open(const struct emulator_options *options);
/* Until `*stop` is not 0, which a signal handler may set. */
void emulator_run(struct emulator *emulator, const volatile int *stop);
/* Flows and counters, as lines of JSON. */
void emulator_report(const struct emulator *emulator, FILE *out);
const struct flows *emulator_flows(const struct emulator *emulator);
const struct emulator_counters *emulator_counters(const struct emulator *emulator);
void emulator_close(struct emulator *emulator);

/* The MAC address of the host behind device `number` (from 1), as text. */
#define EMULATOR_MAC_FORMAT "02:4d:53:00:00:%02x"

#endif
