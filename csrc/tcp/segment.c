/* Building segments and handing them to the net. */
#include "tcp/trace.h"
#include "wire/checksum.h"

#define HEADERS_MAX (MST__IP6_HEADER_BYTES + MST__TCP_HEADER_BYTES + MST__TCP_OPTIONS_MAX)

uint32_t mst__ts_now(const mst_stack *stack, uint32_t offset) {
  return (uint32_t)(stack->now_ns / MST__MS) + offset;
}

/* The checksum field gets the pseudo-header's sum; whoever meets a wire completes it. */
static void put_partial_checksum(uint8_t *tcp_header, const struct mst_addr *source, const struct mst_addr *destination,
                                 uint32_t bytes) {
  uint16_t sum = mst__csum_fold(mst__csum_pseudo(source, destination, MST_TCP, bytes));
  __builtin_memcpy(tcp_header + 16, &sum, 2);
}

/* Each connection counts for itself from a secret number on: a counter that others share tells how much is sent to
 * them, and with that what (the idle scan). What belongs to no connection has 0, as it is never fragmented (RFC
 * 6864 4.1). */
static uint16_t ip_id(const struct mst_conn *conn) {
  return (uint16_t)((conn->ts_offset ^ conn->ts_offset >> 16) + conn->segs_out);
}

/* Lay IP and TCP header into `headers`, the lengths of what follows into `ip`; returns how many bytes they are. */
static uint32_t build_headers(uint8_t headers[HEADERS_MAX], struct mst__ip_fields *ip, const struct mst__tcp *tcp,
                              uint32_t payload_bytes) {
  uint32_t ip_bytes = mst_addr_is_ip4(ip->destination) ? MST__IP4_HEADER_BYTES : MST__IP6_HEADER_BYTES;
  uint32_t tcp_bytes = (uint32_t)mst__tcp_build(headers + ip_bytes, tcp);
  ip->payload_bytes = tcp_bytes + payload_bytes;
  mst__ip_build(headers, ip);
  put_partial_checksum(headers + ip_bytes, ip->source, ip->destination, ip->payload_bytes);
  return ip_bytes + tcp_bytes;
}

/* Headers alone so far. What the other places for pieces hold is left as it is. */
static void packet_init(struct mst_packet *packet) {
  packet->flags = MST_CSUM_PARTIAL;
  packet->gso_size = 0;
  packet->iov_count = 1;
}

static void syn_options(const struct mst_conn *conn, bool answer, struct mst__tcp_options *o) {
  struct mst__terms terms;
  mst__conn_terms(conn, &terms);
  mst__terms_to_options(&terms, mst__conn_announced_mss(conn), answer, o);
}

static void fill_options(const struct mst_conn *conn, uint8_t flags, struct mst__tcp_options *o) {
  if (flags & MST__SYN)
    syn_options(conn, flags & MST__ACK, o);
  else if (conn->ts_ok)
    o->has = MST__HAS_TIMESTAMPS;
  o->tsval = mst__ts_now(conn->stack, conn->ts_offset);
  o->tsecr = flags & MST__ACK ? conn->ts_recent : 0;
}

/* RFC 2018 3: as many blocks as fit. Data is not made smaller for them: what it does not tell, a segment of its own
 * does. */
static void fill_sack(const struct mst_conn *conn, uint8_t flags, uint32_t payload, struct mst__tcp_options *o) {
  if (flags & MST__SYN || !(conn->recvq.runs.first || conn->sack.duplicate_count)) return;
  uint32_t used = mst__option_bytes(conn), segment = conn->snd_mss - used;
  if (o->has & MST__HAS_USER_TIMEOUT) used += 4;
  uint32_t room = MST__TCP_OPTIONS_MAX - used;
  if (payload && (payload > segment || segment - payload < room)) room = payload > segment ? 0 : segment - payload;
  if (conn->sack_ok) mst__sack_fill(conn, room, o);
}

static void offered_zero_changed(struct mst_conn *conn, bool zero) {
  conn->offered_zero = zero;
  if (zero)
    conn->stack->stats.tcp_to_zero_window_adv++;
  else
    conn->stack->stats.tcp_from_zero_window_adv++;
}

/* The window field; moves the promised right edge. RFC 7323 2.2: the window of a SYN is never scaled. */
static uint16_t offer_window(struct mst_conn *conn, uint8_t flags) {
  uint8_t scale = flags & MST__SYN ? 0 : conn->rcv_wscale;
  uint32_t window = mst__receive_window(conn), promised = conn->rcv_adv - conn->rcv_nxt;
  /* Rounded up to keep a promise; not without room for it, or many small segments would move the edge on for ever. */
  bool round_up = window <= promised && conn->recvq.bytes + promised <= conn->receive_buffer_bytes;
  if (conn->state < MST_ESTABLISHED) round_up = false; /* beyond what a SYN can say again */
  uint32_t field = (window + (round_up ? (1u << scale) - 1 : 0)) >> scale;
  if (field > 65535) field = 65535;
  uint32_t edge = conn->rcv_nxt + (field << scale);
  if (mst__seq_gt(edge, conn->rcv_adv)) conn->rcv_adv = edge;
  if (!field != conn->offered_zero) offered_zero_changed(conn, !field);
  return (uint16_t)field;
}

/* `told`: with all the blocks that were wanted. */
static void ack_sent(struct mst_conn *conn, bool told) {
  conn->last_ack_sent = conn->rcv_nxt;
  conn->unacked_segment_bytes = 0;
  if (conn->quickacks) conn->quickacks--;
  mst__timer_clear(conn, MST__TIMER_DELACK);
  if (!told && mst__sack_wanted(conn)) return; /* that ACK is still to be sent */
  mst__sack_sent(conn);
  if (conn->acks_owed) conn->acks_owed--;
  conn->ack_now = conn->sack.duplicate_count > 0;
}

static uint32_t gather(struct mst_conn *conn, uint32_t seq, uint32_t bytes, struct mst_packet *packet) {
  size_t spans = mst__sendq_gather(&conn->sendq, seq - conn->snd_una, &bytes, packet->iov + 1, MST_PACKET_IOV_MAX - 1);
  packet->iov_count = (uint8_t)(1 + spans);
  return bytes;
}

/* Point the packet at the segment's bytes; returns how many it got. What memory's shape cuts off must not become a
 * small segment in the middle. */
static uint32_t attach_payload(struct mst_conn *conn, const struct mst__segment *segment, uint32_t segment_max,
                               struct mst_packet *packet) {
  uint32_t wanted = segment->payload_bytes;
  if (!wanted) return 0;
  uint32_t got = gather(conn, segment->seq, wanted, packet);
  if (got == wanted || got <= segment_max || got % segment_max == 0) return got;
  return gather(conn, segment->seq, got - got % segment_max, packet);
}

static void data_sent(struct mst_conn *conn, uint32_t seq, uint32_t bytes, uint32_t segments) {
  conn->last_data_ns = conn->stack->now_ns;
  conn->bytes_sent += bytes;
  conn->data_segs_out += segments;
  if (mst__seq_lt(seq, conn->snd_nxt))
    conn->bytes_retrans += bytes;
  else
    conn->stack->stats.tcp_orig_data_sent += segments;
}

int mst__segment_send(struct mst_conn *conn, const struct mst__segment *segment, uint32_t *sent_bytes) {
  mst_stack *stack = conn->stack;
  struct mst__tcp tcp = {
      .seq = segment->seq,
      .ack = segment->flags & MST__ACK ? conn->rcv_nxt : 0,
      .source_port = conn->flow.local_port,
      .destination_port = conn->flow.remote_port,
      .flags = segment->flags,
  };
  uint32_t adv_before = conn->rcv_adv;
  tcp.window = offer_window(conn, segment->flags);
  fill_options(conn, segment->flags, &tcp.options);

  struct mst_packet packet;
  packet_init(&packet);
  uint32_t segment_max = segment->segment_bytes ? segment->segment_bytes : mst__segment_bytes(conn);
  uint32_t payload = attach_payload(conn, segment, segment_max, &packet);
  mst__user_timeout_fill(conn, segment->flags, payload, &tcp.options);
  fill_sack(conn, segment->flags, payload, &tcp.options);
  if (payload < segment->payload_bytes) tcp.flags &= (uint8_t) ~(MST__FIN | MST__PSH);
  if (payload > segment_max) packet.gso_size = (uint16_t)segment_max;

  uint8_t headers[HEADERS_MAX];
  struct mst__ip_fields ip = {.source = &conn->flow.local_addr,
                              .destination = &conn->flow.remote_addr,
                              .id = ip_id(conn),
                              .protocol = MST_TCP,
                              .ttl = conn->ttl,
                              .tos = conn->tos};
  bool ecn = conn->ecn.mode || tcp.flags & MST__SYN;
  if (ecn) ip.tos |= mst__ecn_mark(conn, &tcp, payload);
  uint32_t header_bytes = build_headers(headers, &ip, &tcp, payload);
  packet.iov[0] = (struct mst_iov){headers, header_bytes};
  packet.len = header_bytes + payload;
  int rc = mst__stack_output(stack, &packet);
  if (rc) {
    conn->rcv_adv = adv_before;
    return rc;
  }
  uint32_t segments = packet.gso_size ? (payload + segment_max - 1) / segment_max : 1;
  stack->stats.tcp_out_segs += segments;
  conn->segs_out += segments;
  mst__trace_sent(conn, &tcp, payload, ip.tos, segments);
  if (payload) data_sent(conn, segment->seq, payload, segments);
  if (ecn) mst__ecn_sent(conn, &tcp, payload);
  if (tcp.flags & MST__ACK) ack_sent(conn, !payload || tcp.options.sack_count);
  if (tcp.options.has & MST__HAS_USER_TIMEOUT && !(tcp.flags & MST__SYN)) conn->user_timeout.wanted = false;
  *sent_bytes = payload;
  return 0;
}

int mst__reply_send(mst_stack *stack, const struct mst__reply *reply) {
  struct mst__tcp tcp = {
      .seq = reply->seq,
      .ack = reply->ack,
      .source_port = reply->source_port,
      .destination_port = reply->destination_port,
      .window = reply->window,
      .flags = reply->flags,
      .options = reply->options,
  };
  mst__tcp_set_ace(&tcp, reply->ace);
  uint8_t headers[HEADERS_MAX];
  struct mst__ip_fields ip = {
      .source = &reply->source, .destination = &reply->destination, .protocol = MST_TCP, .ttl = 64};
  struct mst_packet packet;
  packet_init(&packet);
  packet.len = build_headers(headers, &ip, &tcp, 0);
  packet.iov[0] = (struct mst_iov){headers, packet.len};
  int rc = mst__stack_output(stack, &packet);
  if (rc) return rc;
  stack->stats.tcp_out_segs++;
  if (reply->flags & MST__RST) stack->stats.tcp_out_rsts++;
  return 0;
}

void mst__reset_reply(mst_stack *stack, const struct mst__ip *ip, const struct mst__tcp *tcp) {
  if (tcp->flags & MST__RST) return;
  struct mst__reply reply = {
      .source = ip->destination,
      .destination = ip->source,
      .source_port = tcp->destination_port,
      .destination_port = tcp->source_port,
      .flags = MST__RST,
  };
  if (tcp->flags & MST__ACK) {
    reply.seq = tcp->ack;
  } else {
    reply.flags |= MST__ACK;
    reply.ack = tcp->seq + tcp->payload_bytes + !!(tcp->flags & MST__SYN) + !!(tcp->flags & MST__FIN);
  }
  mst__reply_send(stack, &reply);
}

static void conn_reply(const struct mst_conn *conn, struct mst__reply *reply) {
  *reply = (struct mst__reply){
      .source = conn->flow.local_addr,
      .destination = conn->flow.remote_addr,
      .source_port = conn->flow.local_port,
      .destination_port = conn->flow.remote_port,
      .seq = mst__acceptable_seq(conn),
      .ack = conn->rcv_nxt,
      .flags = MST__ACK,
      .options = {.has = conn->ts_ok ? MST__HAS_TIMESTAMPS : 0,
                  .tsval = mst__ts_now(conn->stack, conn->ts_offset),
                  .tsecr = conn->ts_recent},
  };
}

void mst__reset_send(struct mst_conn *conn) {
  struct mst__reply reply;
  conn_reply(conn, &reply);
  reply.flags |= MST__RST;
  mst__trace_reset(conn, &reply);
  mst__reply_send(conn->stack, &reply);
}
