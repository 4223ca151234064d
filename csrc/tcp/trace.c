/* Events for those who asked for them; nothing here runs while nobody did. */
#include "tcp/trace.h"

const char *mst_trace_kind_name(enum mst_trace_kind kind) {
  static const char *const names[] = {
#define MST__X(kind, name, text) name,
      MST_TRACE_MAP(MST__X)
#undef MST__X
  };
  return (unsigned)kind < MST_TRACE_KINDS ? names[kind] : "unknown";
}

/* What every event has. */
static void fill(const struct mst_conn *conn, enum mst_trace_kind kind, struct mst_trace_event *event) {
  *event = (struct mst_trace_event){
      .size = sizeof *event,
      .now_ns = conn->stack->now_ns,
      .kind = kind,
      .conn_id = conn->id,
      .state = (enum mst_tcp_state)conn->state,
      .old_state = (enum mst_tcp_state)conn->state,
      .snd_una = conn->snd_una - conn->iss,
      .snd_nxt = conn->snd_nxt - conn->iss,
      .rcv_nxt = conn->rcv_nxt - conn->irs,
      .snd_wnd_bytes = conn->snd_wnd,
      .cwnd_bytes = conn->cc.cwnd,
      .ssthresh_bytes = conn->cc.ssthresh,
      .flight_bytes = conn->state >= MST_ESTABLISHED ? mst__recovery_flight(conn) : 0,
      .srtt_ns = conn->srtt_ns,
      .rttvar_ns = conn->rttvar_ns,
      .min_rtt_ns = conn->min_rtt_ns,
      .rto_ns = conn->rto_ns,
      .pacing_rate = conn->cc.pacing_rate,
  };
  mst_conn_local(conn, &event->local);
  mst_conn_remote(conn, &event->remote);
}

static void tell(const struct mst_conn *conn, const struct mst_trace_event *event) {
  conn->stack->trace(conn->stack->trace_ctx, event);
}

/* `seq_base` and `ack_base` are the initial numbers of the segment's direction and of the other one. */
static void fill_segment(struct mst_trace_event *event, const struct mst__tcp *tcp, uint32_t seq_base,
                         uint32_t ack_base, uint32_t payload_bytes, uint8_t window_scale) {
  event->seq = tcp->seq - seq_base;
  event->end = event->seq + payload_bytes + !!(tcp->flags & MST__SYN) + !!(tcp->flags & MST__FIN);
  event->ack = tcp->flags & MST__ACK ? tcp->ack - ack_base : 0;
  event->window_bytes = (uint32_t)tcp->window << (tcp->flags & MST__SYN ? 0 : window_scale);
  event->flags = (uint16_t)(tcp->flags | tcp->ae << 8);
  event->segments = 1;
  event->sack_count = tcp->options.sack_count;
  for (unsigned i = 0; i < tcp->options.sack_count; i++)
    event->sack[i] =
        (struct mst_trace_range){tcp->options.sack[i].left - ack_base, tcp->options.sack[i].right - ack_base};
}

void mst__trace_tell(const struct mst_conn *conn, enum mst_trace_kind kind) {
  struct mst_trace_event event;
  fill(conn, kind, &event);
  tell(conn, &event);
}

void mst__trace_tell_lost(const struct mst_conn *conn, uint32_t seq, uint32_t end) {
  struct mst_trace_event event;
  fill(conn, MST_TRACE_SEGMENT_LOST, &event);
  event.seq = seq - conn->iss;
  event.end = end - conn->iss;
  tell(conn, &event);
}

void mst__trace_tell_rtt(const struct mst_conn *conn, uint64_t rtt_ns) {
  struct mst_trace_event event;
  fill(conn, MST_TRACE_RTT_SAMPLED, &event);
  event.rtt_ns = rtt_ns;
  tell(conn, &event);
}

void mst__trace_tell_state(const struct mst_conn *conn, enum mst_tcp_state old_state) {
  struct mst_trace_event event;
  if ((enum mst_tcp_state)conn->state == old_state) return;
  fill(conn, MST_TRACE_STATE_UPDATED, &event);
  event.old_state = old_state;
  tell(conn, &event);
}

void mst__trace_tell_sent(const struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t payload_bytes, uint8_t tos,
                          uint32_t segments) {
  struct mst_trace_event event;
  fill(conn, MST_TRACE_SEGMENT_SENT, &event);
  fill_segment(&event, tcp, conn->iss, conn->irs, payload_bytes, conn->rcv_wscale);
  event.segments = (uint16_t)segments;
  event.ecn = tos & 3;
  event.flight_bytes += payload_bytes;
  bool counted = event.end != event.seq; /* takes sequence numbers */
  event.retransmission = counted && mst__seq_lt(tcp->seq, conn->snd_nxt);
  uint32_t end = tcp->seq + (event.end - event.seq);
  if (counted && mst__seq_gt(end, conn->snd_nxt)) event.snd_nxt = event.end;
  tell(conn, &event);
}

static void note(const struct mst_conn *conn, struct mst__metrics *metrics) {
  *metrics = (struct mst__metrics){
      .conn_id = conn->id,
      .srtt_ns = conn->srtt_ns,
      .rto_ns = conn->rto_ns,
      .pacing_rate = conn->cc.pacing_rate,
      .cwnd = conn->cc.cwnd,
      .ssthresh = conn->cc.ssthresh,
  };
}

void mst__trace_received(const struct mst_conn *conn, const struct mst__ip *ip, const struct mst__tcp *tcp,
                         struct mst__metrics *before) {
  struct mst_trace_event event;
  /* The peer's first number is not yet known: its SYN tells it. */
  uint32_t irs = conn->state == MST_SYN_SENT && tcp->flags & MST__SYN ? tcp->seq : conn->irs;
  fill(conn, MST_TRACE_SEGMENT_RECEIVED, &event);
  fill_segment(&event, tcp, irs, conn->iss, tcp->payload_bytes, conn->snd_wscale);
  event.ecn = ip->tos & 3;
  tell(conn, &event);
  note(conn, before);
}

static const char *timer_name(const struct mst_conn *conn, enum mst__conn_timer timer) {
  switch (timer) {
  case MST__TIMER_RETRANSMIT: return conn->snd_wnd == 0 || conn->snd_una == conn->snd_nxt ? "persist" : "retransmit";
  case MST__TIMER_DELACK: return "delayed_ack";
  case MST__TIMER_KEEPALIVE: return "keepalive";
  case MST__TIMER_END: return "end";
  case MST__TIMER_REORDER: return "reorder";
  case MST__TIMER_PROBE: return "probe";
  default: return "other";
  }
}

void mst__trace_timer(const struct mst_conn *conn, enum mst__conn_timer timer, struct mst__metrics *before) {
  struct mst_trace_event event;
  note(conn, before);
  if (timer == MST__TIMER_PACING) return; /* what it lets go tells enough */
  fill(conn, MST_TRACE_TIMER_EXPIRED, &event);
  event.timer = timer_name(conn, timer);
  tell(conn, &event);
}

void mst__trace_metrics(mst_stack *stack, const struct mst__flow *key, const struct mst__metrics *before) {
  struct mst__flow *flow = mst__flow_find(stack, key);
  if (!flow || flow->kind != MST__FLOW_CONN) return;
  const struct mst_conn *conn = mst__flow_conn(flow);
  struct mst__metrics now;
  note(conn, &now);
  bool same = now.srtt_ns == before->srtt_ns && now.rto_ns == before->rto_ns && now.cwnd == before->cwnd &&
              now.ssthresh == before->ssthresh && now.pacing_rate == before->pacing_rate;
  if (now.conn_id != before->conn_id || same) return;
  mst__trace_tell(conn, MST_TRACE_METRICS_UPDATED);
}
