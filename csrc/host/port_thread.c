/* A port with a thread of its own: the system calls and copies of its device are made there, and the switch's thread
 * only writes and reads memory. The two meet in two rings, which are channels used in one direction each:
 *
 *   device ── receive ──> [ thread ] ── rx ring ──> the switch's thread
 *   device <── transmit ── [ thread ] <── tx ring ── the switch's thread
 *
 * What is rare (tuples, statistics) is called on the inner port by the switch's thread, under the lock that this one
 * holds while it works. The thread begins at the first packet that is looked for, so that it has no more rights than
 * the process has by then. */
#include "host_internal.h"
#include "switch/channel_end.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BATCH 64u
#define WAIT_FDS_MAX 512u
#define RING_SLOTS 4096u
#define RING_BYTES (8u << 20)

struct port_thread {
  struct mst_port port;
  struct mst_port_ops ops; /* those that the inner port has */
  struct mst_port *inner;
  pthread_mutex_t lock;
  atomic_uint callers; /* that wait for the lock; the thread lets them go first */
  pthread_t thread;
  bool running;
  atomic_bool stop;
  atomic_int error; /* of the inner port, for good */

  struct mst__port_ring {
    mst_channel *channel; /* its stack's side is the consumer's */
    struct mst__channel_end producer;
    uint32_t *ends;
    int bell;         /* eventfd: wakes the consumer */
    atomic_bool rung; /* and has been written since it was read */
  } rx, tx;
  atomic_bool tx_full; /* the switch's thread wants to hear of room */
  atomic_ullong rx_dropped;

  size_t given;                   /* to the switch, and not yet released */
  struct mst_packet taken[BATCH]; /* from the tx ring, by the thread */
  size_t taken_count, taken_sent;
};

static struct port_thread *self(struct mst_port *port) {
  return (struct port_thread *)port;
}

/* --- rings --- */

static int ring_open(struct mst__port_ring *ring) {
  const struct mst_channel_options options = {
      .size = sizeof options, .rx_slots = RING_SLOTS, .rx_bytes = RING_BYTES, .arena_bytes = 4096};
  ring->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (ring->bell < 0) return -MST_EMFILE;
  ring->ends = calloc(RING_SLOTS, sizeof *ring->ends);
  int error = ring->ends ? mst_channel_create(&options, &ring->channel) : -MST_ENOMEM;
  if (!error) mst__channel_end_init(&ring->producer, mst__channel_geometry(ring->channel), ring->ends);
  return error;
}

static void ring_close(struct mst__port_ring *ring) {
  if (ring->bell >= 0) close(ring->bell);
  free(ring->ends);
  mst_channel_destroy(ring->channel);
}

/* Once until it is heard. */
static void ring_bell(struct mst__port_ring *ring) {
  static const uint64_t one = 1;
  if (atomic_exchange(&ring->rung, true)) return;
  ssize_t written = write(ring->bell, &one, sizeof one);
  (void)written; /* its count cannot overflow */
}

/* True when it had been rung; what came before is to be looked at after this. One whose write is still under way stays
 * rung. */
static bool hear_bell(struct mst__port_ring *ring) {
  uint64_t count;
  if (!atomic_load(&ring->rung)) return false;
  if (read(ring->bell, &count, sizeof count) > 0) atomic_store(&ring->rung, false);
  return true;
}

/* --- the thread --- */

static size_t carry_in(struct port_thread *t) {
  struct mst_port_rx received[BATCH];
  int count = t->inner->ops->receive(t->inner, received, BATCH);
  if (count < 0) atomic_store(&t->error, count);
  if (count <= 0) {
    if (count < 0) ring_bell(&t->rx);
    return 0;
  }
  for (int i = 0; i < count; i++) {
    uint8_t *room = mst__rx_reserve(&t->rx.producer, received[i].len);
    if (!room) {
      atomic_fetch_add_explicit(&t->rx_dropped, 1, memory_order_relaxed);
      continue;
    }
    memcpy(room, received[i].data, received[i].len);
    mst__rx_commit(&t->rx.producer, received[i].len, received[i].gso_size, received[i].flags);
  }
  t->inner->ops->release(t->inner);
  mst__rx_publish(&t->rx.producer);
  ring_bell(&t->rx);
  return (size_t)count;
}

/* Until the device is full. */
static size_t carry_out(struct port_thread *t) {
  if (t->taken_sent == t->taken_count) {
    t->taken_count = mst_channel_receive(t->tx.channel, t->taken, BATCH);
    t->taken_sent = 0;
  }
  size_t before = t->taken_sent;
  for (; t->taken_sent < t->taken_count; t->taken_sent++) {
    const struct mst_packet *frame = &t->taken[t->taken_sent];
    uint8_t *room = t->inner->ops->tx_reserve(t->inner, frame->len);
    if (!room) break;
    memcpy(room, frame->iov[0].base, frame->len);
    t->inner->ops->tx_commit(t->inner, frame->len, frame->gso_size, frame->flags);
  }
  size_t sent = t->taken_sent - before;
  if (!sent) return 0;
  t->inner->ops->flush(t->inner);
  mst_channel_release(t->tx.channel, sent);
  if (atomic_exchange(&t->tx_full, false)) ring_bell(&t->rx);
  return sent;
}

static size_t carry(struct port_thread *t) {
  while (atomic_load_explicit(&t->callers, memory_order_relaxed)) sched_yield();
  pthread_mutex_lock(&t->lock);
  size_t moved = carry_in(t);
  moved += carry_out(t);
  pthread_mutex_unlock(&t->lock);
  return moved;
}

static void *run(void *user) {
  struct port_thread *t = user;
  struct pollfd fds[WAIT_FDS_MAX];
  int inner_fds[WAIT_FDS_MAX - 1];
  unsigned count = t->inner->ops->wait_fds(t->inner, inner_fds, WAIT_FDS_MAX - 1);
  for (unsigned i = 0; i < count; i++) fds[i] = (struct pollfd){.fd = inner_fds[i], .events = POLLIN};
  fds[count] = (struct pollfd){.fd = t->tx.bell, .events = POLLIN};
  while (!atomic_load(&t->stop) && !atomic_load(&t->error)) {
    if (carry(t)) continue;
    bool full = t->taken_sent < t->taken_count;
    if (mst_channel_sleep(t->tx.channel) || full) poll(fds, count + 1, -1);
    mst_channel_wake(t->tx.channel);
    hear_bell(&t->tx);
  }
  return NULL;
}

/* Signals are the first thread's. */
static void start(struct port_thread *t) {
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);
  sigdelset(&all, SIGSEGV);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  t->running = !pthread_create(&t->thread, NULL, run, t);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!t->running) atomic_store(&t->error, -MST_EAGAIN);
}

/* --- the switch's thread --- */

static size_t take(struct port_thread *t, struct mst_packet *packets, unsigned count) {
  size_t got = mst_channel_receive(t->rx.channel, packets, count);
  return got || !hear_bell(&t->rx) ? got : mst_channel_receive(t->rx.channel, packets, count);
}

static int thread_receive(struct mst_port *port, struct mst_port_rx *out, unsigned count) {
  struct port_thread *t = self(port);
  struct mst_packet packets[BATCH];
  if (!t->running) start(t);
  t->given = take(t, packets, count < BATCH ? count : BATCH);
  if (!t->given) return atomic_load(&t->error);
  for (size_t i = 0; i < t->given; i++)
    out[i] = (struct mst_port_rx){.data = packets[i].iov[0].base,
                                  .len = packets[i].len,
                                  .gso_size = packets[i].gso_size,
                                  .flags = packets[i].flags};
  return (int)t->given;
}

static void thread_release(struct mst_port *port) {
  struct port_thread *t = self(port);
  mst_channel_release(t->rx.channel, t->given);
  t->given = 0;
}

static uint8_t *thread_tx_reserve(struct mst_port *port, uint32_t bytes) {
  struct port_thread *t = self(port);
  uint8_t *room = mst__rx_reserve(&t->tx.producer, bytes);
  if (room) return room;
  atomic_store(&t->tx_full, true);
  return mst__rx_reserve(&t->tx.producer, bytes); /* there may be room since */
}

static void thread_tx_commit(struct mst_port *port, uint32_t len, uint16_t gso_size, uint8_t flags) {
  if (len) mst__rx_commit(&self(port)->tx.producer, len, gso_size, flags);
}

static void thread_flush(struct mst_port *port) {
  struct port_thread *t = self(port);
  mst__rx_publish(&t->tx.producer);
  atomic_thread_fence(memory_order_seq_cst);
  if (mst__bell_take(&t->tx.producer.header->rx_bell)) ring_bell(&t->tx);
}

static void lock(struct port_thread *t) {
  atomic_fetch_add(&t->callers, 1);
  pthread_mutex_lock(&t->lock);
  atomic_fetch_sub(&t->callers, 1);
}

static int thread_tuple_add(struct mst_port *port, const struct mst_tuple *tuple) {
  struct port_thread *t = self(port);
  lock(t);
  int error = t->inner->ops->tuple_add(t->inner, tuple);
  pthread_mutex_unlock(&t->lock);
  return error;
}

static void thread_tuple_remove(struct mst_port *port, const struct mst_tuple *tuple) {
  struct port_thread *t = self(port);
  lock(t);
  t->inner->ops->tuple_remove(t->inner, tuple);
  pthread_mutex_unlock(&t->lock);
}

static unsigned thread_wait_fds(struct mst_port *port, int *fds, unsigned count) {
  if (count) fds[0] = self(port)->rx.bell;
  return count != 0;
}

static void thread_get_stats(struct mst_port *port, struct mst_port_stats *out) {
  struct port_thread *t = self(port);
  lock(t);
  t->inner->ops->get_stats(t->inner, out);
  pthread_mutex_unlock(&t->lock);
  out->rx_dropped += atomic_load_explicit(&t->rx_dropped, memory_order_relaxed);
}

static unsigned thread_export_fds(struct mst_port *port, int *fds, unsigned count) {
  struct port_thread *t = self(port);
  return t->inner->ops->export_fds(t->inner, fds, count);
}

static int thread_begin(struct mst_port *port) {
  struct port_thread *t = self(port);
  lock(t);
  int error = t->inner->ops->begin(t->inner);
  pthread_mutex_unlock(&t->lock);
  return error;
}

static void thread_close(struct mst_port *port) {
  struct port_thread *t = self(port);
  if (t->running) {
    atomic_store(&t->stop, true);
    ring_bell(&t->tx);
    pthread_join(t->thread, NULL);
  }
  t->inner->ops->close(t->inner);
  ring_close(&t->rx);
  ring_close(&t->tx);
  pthread_mutex_destroy(&t->lock);
  free(t);
}

int mst__port_thread(struct mst_port *inner, struct mst_port **out) {
  struct port_thread *t = calloc(1, sizeof *t);
  if (!t) return -MST_ENOMEM;
  t->inner = inner;
  t->port = *inner;
  t->port.ops = &t->ops;
  t->ops = (struct mst_port_ops){
      .receive = thread_receive,
      .release = thread_release,
      .tx_reserve = thread_tx_reserve,
      .tx_commit = thread_tx_commit,
      .flush = thread_flush,
      .tuple_add = inner->ops->tuple_add ? thread_tuple_add : NULL,
      .tuple_remove = inner->ops->tuple_remove ? thread_tuple_remove : NULL,
      .wait_fds = thread_wait_fds,
      .get_stats = thread_get_stats,
      .close = thread_close,
      .export_fds = inner->ops->export_fds ? thread_export_fds : NULL,
      .begin = inner->ops->begin ? thread_begin : NULL,
  };
  t->rx.bell = t->tx.bell = -1;
  pthread_mutex_init(&t->lock, NULL);
  int error = ring_open(&t->rx);
  if (!error) error = ring_open(&t->tx);
  if (!error) {
    *out = &t->port;
    return 0;
  }
  ring_close(&t->rx);
  ring_close(&t->tx);
  pthread_mutex_destroy(&t->lock);
  free(t);
  return error;
}
