/* The loop contract: process, flush, deadline.
 *
 *   ports -> switch -> rx rings -> stacks (input, timers, callbacks) -> flush -> tx rings -> switch -> ports, rx rings
 *
 * goes round while something moves, up to a budget; what is left then shows as a deadline of 0. */
#include "host_internal.h"
#include "switch/switch_internal.h"
#include <sched.h>

#define ROUNDS 8u
#define INPUT_BATCH 64u
#define PORT_BUDGET 256u
#define CHANNEL_BUDGET 1024u

/* How often the OS's news are looked for while packets keep the host busy. */
#define OS_LOOK_NS 1000000u

/* Receive what the ring holds now; what comes on top waits for the next round. */
static size_t input(struct mst__host_stack *entry, uint64_t now_ns) {
  struct mst_packet packets[INPUT_BATCH];
  size_t total = 0, count;
  do {
    count = mst_channel_receive(entry->channel, packets, INPUT_BATCH);
    if (!count) break;
    mst_stack_input(entry->stack, packets, count, now_ns);
    mst_channel_release(entry->channel, count);
    total += count;
  } while (count == INPUT_BATCH && total < CHANNEL_BUDGET);
  return total;
}

static size_t one_round(struct mst_host *host) {
  uint64_t now_ns = mst__os_clock_ns();
  size_t moved = mst_switch_process_ports(host->sw, PORT_BUDGET, now_ns);
  for (struct mst__host_stack *entry = host->stacks; entry; entry = entry->next) {
    if (entry->attach) mst__shared_process(entry, now_ns);
    moved += input(entry, now_ns);
    if (mst_stack_next_deadline(entry->stack) <= now_ns) mst_stack_advance(entry->stack, now_ns);
    mst_stack_flush(entry->stack, now_ns);
  }
  return moved + mst_switch_process_channels(host->sw, CHANNEL_BUDGET, now_ns);
}

/* Looked for when there is nothing else to do, since it costs a system call. */
static void look_at_os(struct mst_host *host, bool idle) {
  uint64_t now_ns = mst__os_clock_ns();
  if (!idle && now_ns - host->os_looked_ns < OS_LOOK_NS) return;
  host->os_looked_ns = now_ns;
  mst__os_linux_events(host->os, host->sw);
}

/* A device that is gone: its descriptors would be readable for ever. */
static void look_for_dead_ports(struct mst_host *host) {
  for (unsigned i = 0; i < host->sw->port_count; i++) {
    struct mst__switch_port *port = &host->sw->ports[i];
    if (!port->down || port->down_told) continue;
    port->down_told = true;
    mst__host_port_died(host, port->port);
  }
}

/* While nothing comes, whoever waits for this core has more to do on it. */
static void poll_on(struct mst_host *host, bool moved) {
  if (moved)
    host->poll_until_ns = mst__os_clock_ns() + host->poll_ns;
  else
    sched_yield();
}

size_t mst_host_process(mst_host *host) {
  size_t total = 0;
  mst__host_wait_for_ports(host);
  for (unsigned round = 0; round < ROUNDS; round++) {
    size_t moved = one_round(host);
    total += moved;
    host->work_left = moved != 0;
    if (!moved) break;
  }
  if (host->poll_ns) poll_on(host, total != 0);
  for (struct mst__host_stack *entry = host->stacks; entry; entry = entry->next)
    if (entry->attach) mst_attach_flush(entry->attach);
  if (host->os) look_at_os(host, total == 0);
  look_for_dead_ports(host);
  return total;
}

void mst_host_flush(mst_host *host) {
  uint64_t now_ns = mst__os_clock_ns();
  for (struct mst__host_stack *entry = host->stacks; entry; entry = entry->next) {
    mst_stack_flush(entry->stack, now_ns);
    if (entry->attach && !mst__shared_flush(entry)) host->work_left = true;
  }
  if (mst_switch_process_channels(host->sw, CHANNEL_BUDGET, now_ns)) host->work_left = true;
  mst__trace_file_flush(host);
}

uint64_t mst_host_deadline(const mst_host *host) {
  if (host->work_left || (host->poll_ns && mst__os_clock_ns() < host->poll_until_ns)) return 0;
  uint64_t earliest = mst_switch_deadline(host->sw);
  for (const struct mst__host_stack *entry = host->stacks; entry; entry = entry->next) {
    uint64_t deadline = mst_stack_next_deadline(entry->stack);
    uint64_t attach_deadline = entry->attach ? mst_attach_deadline(entry->attach) : UINT64_MAX;
    if (attach_deadline < deadline) deadline = attach_deadline;
    if (deadline < earliest) earliest = deadline;
  }
  return earliest;
}
