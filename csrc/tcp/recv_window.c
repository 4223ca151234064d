/* The window that is offered (RFC 9293 3.8.6.2.2), and how far it may grow: dynamic right-sizing, as Linux has it. The
 * window begins small, and whenever the application has read more in one round trip than in any before, the limit
 * becomes twice that and what slow start may add meanwhile. */
#include "tcp/conn.h"

#define RTT_MIN_NS MST__MS /* no finer than timestamps tell; what is too long only makes the window larger */
#define ROUND_BYTES_FIRST 14600

/* Under memory pressure just enough that a reader who keeps up never finds the window closed. */
static uint32_t limit_now(const struct mst_conn *conn) {
  uint32_t limit = conn->receive_buffer_bytes, few = 4 * (conn->rcv_mss ? conn->rcv_mss : MST__MSS_DEFAULT_IP4);
  return conn->stack->memory.pressure && few < limit ? few : limit;
}

/* RFC 9293 3.8.6.2.2: an increase is offered once it is worth min(buffer / 2, a segment). */
uint32_t mst__receive_window(const struct mst_conn *conn) {
  uint32_t held = conn->recvq.bytes, limit = limit_now(conn);
  uint32_t space = held < limit ? limit - held : 0, field_max = 65535u << conn->rcv_wscale;
  /* Our SYN,ACK may have to say it again, and without a scale (RFC 7323 2.2). */
  if (conn->state < MST_ESTABLISHED) field_max = 65535;
  if (space > field_max) space = field_max;
  uint32_t promised = conn->rcv_adv - conn->rcv_nxt;
  if (space <= promised) return promised;
  uint32_t worth = limit / 2, mss = conn->rcv_mss ? conn->rcv_mss : MST__MSS_DEFAULT_IP4;
  if (mss < worth) worth = mss;
  return space - promised >= worth ? space : promised;
}

void mst__window_opened(struct mst_conn *conn) {
  if (conn->state < MST_ESTABLISHED || conn->fin_received) return;
  uint32_t promised = conn->rcv_adv - conn->rcv_nxt;
  if (promised > conn->receive_buffer_bytes / 2) return; /* it cannot double */
  uint32_t window = mst__receive_window(conn);
  uint32_t worth = conn->receive_buffer_bytes / 2, two = 2 * conn->rcv_mss;
  if (two < worth) worth = two;
  if (window - promised < worth || window - promised < promised) return;
  conn->ack_now = true;
  mst__output_wanted(conn);
}

/* The first byte that the application has not read. */
static uint32_t read_seq(const struct mst_conn *conn) {
  return conn->rcv_nxt - conn->recvq.bytes;
}

void mst__recv_tuning_start(struct mst_conn *conn) {
  conn->tuning = (struct mst__recv_tuning){
      .round_start_ns = conn->stack->now_ns,
      .round_seq = read_seq(conn),
      .round_bytes = ROUND_BYTES_FIRST,
      .window_start_ns = conn->stack->now_ns,
      .window_seq = conn->rcv_adv,
  };
}

/* The echo of a timestamp that we sent tells how long ago: once for each, and only from a sender that is busy. */
static void sample_by_timestamp(struct mst_conn *conn, const struct mst__tcp *tcp) {
  struct mst__recv_tuning *t = &conn->tuning;
  uint32_t echo = tcp->options.tsecr;
  if (echo == t->last_echo || tcp->payload_bytes < conn->rcv_mss) return;
  t->last_echo = echo;
  uint64_t sample_ns = (mst__ts_now(conn->stack, conn->ts_offset) - echo) * MST__MS;
  if (sample_ns > MST__RTO_MAX_NS) return; /* an echo of what was never sent */
  if (sample_ns < RTT_MIN_NS) sample_ns = RTT_MIN_NS;
  t->rtt_ns = t->rtt_ns ? (7 * t->rtt_ns + sample_ns) / 8 : sample_ns;
}

/* Without timestamps: a whole window takes a round trip or more, so the shortest time is the best. */
static void sample_by_window(struct mst_conn *conn) {
  struct mst__recv_tuning *t = &conn->tuning;
  if (mst__seq_lt(conn->rcv_nxt, t->window_seq)) return;
  uint64_t sample_ns = conn->stack->now_ns - t->window_start_ns;
  if (sample_ns < RTT_MIN_NS) sample_ns = RTT_MIN_NS;
  if (!t->rtt_ns || sample_ns < t->rtt_ns) t->rtt_ns = sample_ns;
  t->window_start_ns = conn->stack->now_ns;
  t->window_seq = mst__seq_max(conn->rcv_adv, conn->rcv_nxt + 1);
}

void mst__recv_tuning_sample(struct mst_conn *conn, const struct mst__tcp *tcp) {
  if (conn->receive_buffer_fixed) return;
  if (conn->ts_ok)
    sample_by_timestamp(conn, tcp);
  else
    sample_by_window(conn);
}

static uint64_t round_trip_ns(const struct mst_conn *conn) {
  if (conn->tuning.rtt_ns) return conn->tuning.rtt_ns;
  return conn->srtt_ns > RTT_MIN_NS ? conn->srtt_ns : RTT_MIN_NS; /* the handshake's */
}

/* `bytes` were read in a round trip, after `earlier` in the best one before. */
static void grow(struct mst_conn *conn, uint32_t bytes, uint32_t earlier) {
  uint32_t most = conn->stack->tcp.receive_buffer_bytes;
  uint64_t wanted = 2ull * bytes + 16ull * conn->rcv_mss;
  /* In slow start it will be several times as much by the time that our window is used; growth beyond doubling is no
   * slow start but a gap that was filled. */
  wanted += 2 * (bytes - earlier < earlier ? wanted * (bytes - earlier) / earlier : wanted);
  if (conn->stack->memory.pressure) return;
  if (wanted > most) wanted = most;
  if (wanted > conn->receive_buffer_bytes) conn->receive_buffer_bytes = (uint32_t)wanted;
}

void mst__recv_tuning_read(struct mst_conn *conn) {
  struct mst__recv_tuning *t = &conn->tuning;
  uint64_t now_ns = conn->stack->now_ns;
  if (!t->round_bytes || conn->receive_buffer_fixed) return; /* 0: not established yet */
  if (now_ns - t->round_start_ns < round_trip_ns(conn)) return;
  uint32_t bytes = read_seq(conn) - t->round_seq;
  if (bytes > t->round_bytes) {
    grow(conn, bytes, t->round_bytes);
    t->round_bytes = bytes;
  }
  t->round_start_ns = now_ns;
  t->round_seq = read_seq(conn);
}
