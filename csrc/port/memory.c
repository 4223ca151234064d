/* Two ports that are the ends of one wire in memory.
 *
 *   end 0 --- pipe[0] ---> end 1          each pipe: one producer, one consumer, a ring of variable records
 *   end 0 <-- pipe[1] ---- end 1
 *
 *   pipe.data  | record | record | (free) ... | skip |     record = header, packet, padding to 16 bytes
 *              ^ tail: consumer's                          indices run freely; masked where they are used
 *
 * The two ends may live in two threads. An end's eventfd is readable while packets wait for it, or once its peer has
 * made room that it had asked for in vain. */
#include "multistack/port.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PIPE_BYTES (1u << 20)
#define RECORD_ALIGN 16u

struct record {
  uint32_t len; /* of the packet */
  uint16_t gso_size;
  uint8_t flags;
  uint8_t skip; /* no packet: the rest of the ring up to its wrap */
  uint64_t unused;
};

struct pipe {
  _Alignas(64) _Atomic uint32_t head; /* producer's, published at flush */
  uint32_t reserved;                  /* producer's: where the next record goes, ahead of head until flush */
  uint32_t room;                      /* producer's: bytes of the reservation under way, 0 when none */
  _Alignas(64) _Atomic uint32_t tail; /* consumer's */
  uint32_t taken;                     /* consumer's: up to here received, not yet released */
  _Atomic bool producer_waits;
  uint8_t *data;
};

struct wire {
  struct pipe pipe[2]; /* indexed by the producing end */
  int event[2];        /* indexed by the end that waits on it */
  _Atomic bool signalled[2];
  _Atomic bool closed[2];
  _Atomic int references;
};

struct memory_port {
  struct mst_port port;
  struct wire *wire;
  int end;
  uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, tx_dropped;
};

static struct memory_port *self(struct mst_port *port) {
  return (struct memory_port *)port;
}

static void signal_end(struct wire *wire, int end) {
  if (!atomic_exchange(&wire->signalled[end], true)) eventfd_write(wire->event[end], 1);
}

static bool pipe_empty(struct pipe *pipe) {
  return atomic_load_explicit(&pipe->head, memory_order_acquire) == pipe->taken;
}

/* Nothing waits any more: make the eventfd unreadable, unless something came in between. */
static void quiet(struct memory_port *p, struct pipe *in) {
  eventfd_t ignored;
  if (!atomic_load_explicit(&p->wire->signalled[p->end], memory_order_relaxed)) return;
  if (eventfd_read(p->wire->event[p->end], &ignored) < 0) return; /* the signal is on its way */
  atomic_store(&p->wire->signalled[p->end], false);
  if (!pipe_empty(in)) signal_end(p->wire, p->end);
}

static int memory_receive(struct mst_port *port, struct mst_port_rx *out, unsigned count) {
  struct memory_port *p = self(port);
  struct pipe *in = &p->wire->pipe[!p->end];
  bool closed = atomic_load(&p->wire->closed[!p->end]); /* before the head: what was sent before closing arrives */
  uint32_t head = atomic_load_explicit(&in->head, memory_order_acquire);
  unsigned n = 0;
  while (n < count && in->taken != head) {
    const struct record *record = (const void *)(in->data + (in->taken & (PIPE_BYTES - 1)));
    if (record->skip) {
      in->taken += PIPE_BYTES - (in->taken & (PIPE_BYTES - 1));
      continue;
    }
    out[n].data = (const uint8_t *)(record + 1);
    out[n].len = record->len;
    out[n].gso_size = record->gso_size;
    out[n].flags = record->flags;
    p->rx_bytes += record->len;
    in->taken += (uint32_t)sizeof *record + ((record->len + RECORD_ALIGN - 1) & ~(RECORD_ALIGN - 1));
    n++;
  }
  p->rx_packets += n;
  if (in->taken == head) quiet(p, in);
  if (!n && closed && pipe_empty(in)) return -MST_ENETDOWN;
  return (int)n;
}

static void memory_release(struct mst_port *port) {
  struct memory_port *p = self(port);
  struct pipe *in = &p->wire->pipe[!p->end];
  if (atomic_load_explicit(&in->tail, memory_order_relaxed) == in->taken) return;
  atomic_store(&in->tail, in->taken);
  if (atomic_exchange(&in->producer_waits, false)) signal_end(p->wire, !p->end);
}

/* Space for `bytes` in one piece, put behind a skip record where the ring wraps; false when there is not so much. */
static bool pipe_room(struct pipe *pipe, uint32_t bytes) {
  uint32_t to_wrap = PIPE_BYTES - (pipe->reserved & (PIPE_BYTES - 1));
  uint32_t skipped = to_wrap < bytes ? to_wrap : 0;
  if (pipe->reserved + skipped + bytes - atomic_load(&pipe->tail) > PIPE_BYTES) return false;
  if (skipped) {
    struct record *record = (void *)(pipe->data + (pipe->reserved & (PIPE_BYTES - 1)));
    *record = (struct record){.skip = 1};
    pipe->reserved += skipped;
  }
  return true;
}

static uint8_t *memory_tx_reserve(struct mst_port *port, uint32_t bytes) {
  struct memory_port *p = self(port);
  struct pipe *pipe = &p->wire->pipe[p->end];
  uint32_t need = (uint32_t)sizeof(struct record) + ((bytes + RECORD_ALIGN - 1) & ~(RECORD_ALIGN - 1));
  if (bytes > MST_PACKET_BYTES_MAX) return NULL;
  if (!pipe_room(pipe, need)) {
    atomic_store(&pipe->producer_waits, true);
    if (!pipe_room(pipe, need)) return NULL;
    atomic_store(&pipe->producer_waits, false);
  }
  pipe->room = bytes;
  return pipe->data + (pipe->reserved & (PIPE_BYTES - 1)) + sizeof(struct record);
}

static void memory_tx_commit(struct mst_port *port, uint32_t len, uint16_t gso_size, uint8_t flags) {
  struct memory_port *p = self(port);
  struct pipe *pipe = &p->wire->pipe[p->end];
  if (!len || len > pipe->room) return;
  pipe->room = 0;
  if (atomic_load_explicit(&p->wire->closed[!p->end], memory_order_relaxed)) {
    p->tx_dropped++;
    return;
  }
  struct record *record = (void *)(pipe->data + (pipe->reserved & (PIPE_BYTES - 1)));
  *record = (struct record){.len = len, .gso_size = gso_size, .flags = flags};
  pipe->reserved += (uint32_t)sizeof *record + ((len + RECORD_ALIGN - 1) & ~(RECORD_ALIGN - 1));
  p->tx_packets++;
  p->tx_bytes += len;
}

static void memory_flush(struct mst_port *port) {
  struct memory_port *p = self(port);
  struct pipe *pipe = &p->wire->pipe[p->end];
  if (atomic_load_explicit(&pipe->head, memory_order_relaxed) == pipe->reserved) return;
  atomic_store(&pipe->head, pipe->reserved);
  signal_end(p->wire, !p->end);
}

static unsigned memory_wait_fds(struct mst_port *port, int *fds, unsigned count) {
  struct memory_port *p = self(port);
  if (!count) return 0;
  fds[0] = p->wire->event[p->end];
  return 1;
}

static void memory_get_stats(struct mst_port *port, struct mst_port_stats *out) {
  const struct memory_port *p = self(port);
  *out = (struct mst_port_stats){.rx_packets = p->rx_packets,
                                 .rx_bytes = p->rx_bytes,
                                 .tx_packets = p->tx_packets,
                                 .tx_bytes = p->tx_bytes,
                                 .tx_dropped = p->tx_dropped,
                                 .mode = "memory",
                                 .queues = 1};
}

static void wire_free(struct wire *wire) {
  for (int end = 0; end < 2; end++) {
    if (wire->event[end] >= 0) close(wire->event[end]);
    free(wire->pipe[end].data);
  }
  free(wire);
}

static void memory_close(struct mst_port *port) {
  struct memory_port *p = self(port);
  struct wire *wire = p->wire;
  atomic_store(&wire->closed[p->end], true);
  signal_end(wire, !p->end);
  free(p);
  if (atomic_fetch_sub(&wire->references, 1) == 1) wire_free(wire);
}

static const struct mst_port_ops memory_ops = {
    .receive = memory_receive,
    .release = memory_release,
    .tx_reserve = memory_tx_reserve,
    .tx_commit = memory_tx_commit,
    .flush = memory_flush,
    .wait_fds = memory_wait_fds,
    .get_stats = memory_get_stats,
    .close = memory_close,
};

/* NULL: out of memory or descriptors; errno says which. */
static struct wire *wire_create(void) {
  struct wire *wire = aligned_alloc(_Alignof(struct wire), sizeof *wire);
  if (!wire) return NULL;
  memset(wire, 0, sizeof *wire);
  wire->references = 2;
  wire->event[0] = wire->event[1] = -1;
  for (int end = 0; end < 2; end++) {
    wire->pipe[end].data = aligned_alloc(64, PIPE_BYTES);
    wire->event[end] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!wire->pipe[end].data || wire->event[end] < 0) {
      int error = wire->pipe[end].data ? errno : ENOMEM;
      wire_free(wire);
      errno = error;
      return NULL;
    }
  }
  return wire;
}

static struct mst_port *end_create(struct wire *wire, int end, uint32_t mtu) {
  struct memory_port *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  p->port = (struct mst_port){.ops = &memory_ops,
                              .caps = MST_PORT_TX_GSO | MST_PORT_TX_CSUM,
                              .mtu = mtu,
                              .addr4 = MST_ADDR_ANY4,
                              .addr6 = MST_ADDR_ANY6};
  strcpy(p->port.name, end ? "memory:1" : "memory:0");
  p->wire = wire;
  p->end = end;
  return &p->port;
}

int mst_port_memory_pair(uint32_t mtu, struct mst_port **a, struct mst_port **b) {
  if (mtu < 68 || mtu > MST_PACKET_BYTES_MAX) return -MST_EINVAL; /* 68: RFC 791's least MTU */
  struct wire *wire = wire_create();
  if (!wire) return -errno;
  *a = end_create(wire, 0, mtu);
  *b = end_create(wire, 1, mtu);
  if (*a && *b) return 0;
  free(*a);
  free(*b);
  wire_free(wire);
  *a = *b = NULL;
  return -MST_ENOMEM;
}
