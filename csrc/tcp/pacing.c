/* Pacing: data goes in quanta, each when the last has had its time at the pacing rate. */
#include "tcp/conn.h"

#define QUANTUM_NS MST__MS           /* worth of data in a quantum, */
#define QUANTUM_MAX_BYTES 65536u     /* at most what one GSO packet carries, */
#define QUANTUM_MIN_SEGMENTS 2u      /* and at least what calls forth an ACK */
#define CATCH_UP_NS (2 * QUANTUM_NS) /* a timer that was late so much costs no throughput */

/* Bytes a second. */
static uint64_t rate_of(const struct mst_conn *conn) {
  uint64_t rate = conn->cc.pacing_rate, max = conn->pacing_max;
  return max && (!rate || max < rate) ? max : rate;
}

static uint32_t quantum(const struct mst_conn *conn, uint64_t rate) {
  uint64_t bytes = rate / (MST__SECOND / QUANTUM_NS);
  uint32_t least = QUANTUM_MIN_SEGMENTS * mst__segment_bytes(conn);
  if (bytes > QUANTUM_MAX_BYTES) bytes = QUANTUM_MAX_BYTES;
  return bytes > least ? (uint32_t)bytes : least;
}

uint32_t mst__pacing_room(struct mst_conn *conn, uint32_t room) {
  uint64_t rate = rate_of(conn);
  if (!room) return 0;
  if (conn->pacing_at_ns > conn->stack->now_ns) {
    mst__timer_set(conn, MST__TIMER_PACING, conn->pacing_at_ns);
    return 0;
  }
  uint32_t bytes = quantum(conn, rate);
  return room < bytes ? room : bytes;
}

void mst__pacing_account(struct mst_conn *conn, uint32_t bytes) {
  uint64_t rate = rate_of(conn), now_ns = conn->stack->now_ns;
  if (conn->pacing_at_ns + CATCH_UP_NS < now_ns) conn->pacing_at_ns = now_ns - CATCH_UP_NS;
  conn->pacing_at_ns += bytes * MST__SECOND / rate;
}
