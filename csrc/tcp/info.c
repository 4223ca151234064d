/* What a connection tells about itself. */
#include "tcp/half_open.h"
#include <string.h>

const char *mst_tcp_state_name(enum mst_tcp_state state) {
  static const char *const names[] = {
      [MST_CLOSED] = "CLOSED",           [MST_LISTEN] = "LISTEN",
      [MST_SYN_SENT] = "SYN-SENT",       [MST_SYN_RECEIVED] = "SYN-RECEIVED",
      [MST_ESTABLISHED] = "ESTABLISHED", [MST_FIN_WAIT_1] = "FIN-WAIT-1",
      [MST_FIN_WAIT_2] = "FIN-WAIT-2",   [MST_CLOSE_WAIT] = "CLOSE-WAIT",
      [MST_CLOSING] = "CLOSING",         [MST_LAST_ACK] = "LAST-ACK",
      [MST_TIME_WAIT] = "TIME-WAIT",
  };
  return (unsigned)state < sizeof names / sizeof *names ? names[state] : "UNKNOWN";
}

const char *mst_tcp_ca_state_name(enum mst_tcp_ca_state state) {
  static const char *const names[] = {
      [MST_CA_OPEN] = "Open",         [MST_CA_DISORDER] = "Disorder", [MST_CA_CWR] = "CWR",
      [MST_CA_RECOVERY] = "Recovery", [MST_CA_LOSS] = "Loss",
  };
  return (unsigned)state < sizeof names / sizeof *names ? names[state] : "Unknown";
}

static uint32_t us(uint64_t ns) {
  return ns / 1000 < UINT32_MAX ? (uint32_t)(ns / 1000) : UINT32_MAX;
}

/* How long ago, in milliseconds; 0: never. */
static uint32_t ago_ms(const mst_conn *conn, uint64_t at_ns) {
  uint64_t ms = (conn->stack->now_ns - at_ns) / MST__MS;
  return at_ns && ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static enum mst_tcp_ca_state ca_state(const mst_conn *conn) {
  switch (conn->recovery.phase) {
  case MST__PHASE_CWR: return MST_CA_CWR;
  case MST__PHASE_RECOVERY: return MST_CA_RECOVERY;
  case MST__PHASE_LOSS: return MST_CA_LOSS;
  default: break;
  }
  bool disorder = conn->sack_ok ? conn->sent.sacked_bytes != 0 : conn->recovery.reno.duplicate_acks != 0;
  return disorder ? MST_CA_DISORDER : MST_CA_OPEN;
}

/* Who and how: identity, and what the handshake settled. */
static void tell_terms(const mst_conn *conn, struct mst_tcp_info *out) {
  out->state = (enum mst_tcp_state)conn->state;
  mst_conn_local(conn, &out->local);
  mst_conn_remote(conn, &out->remote);
  out->congestion_control = conn->cc.ops->name;
  out->options = (uint8_t)((conn->ts_ok ? MST_TCPI_OPT_TIMESTAMPS : 0) | (conn->sack_ok ? MST_TCPI_OPT_SACK : 0) |
                           (conn->wscale_ok ? MST_TCPI_OPT_WSCALE : 0) | (conn->ecn.mode ? MST_TCPI_OPT_ECN : 0) |
                           (conn->ecn.seen ? MST_TCPI_OPT_ECN_SEEN : 0));
  out->snd_wscale = conn->snd_wscale;
  out->rcv_wscale = conn->rcv_wscale;
  out->snd_mss = conn->cc.mss;
  out->rcv_mss = conn->rcv_mss;
  out->advmss = mst__conn_announced_mss(conn);
  out->pmtu = conn->path_mtu;
}

static void tell_windows(const mst_conn *conn, struct mst_tcp_info *out) {
  uint32_t sent = conn->snd_nxt - conn->snd_una;
  bool established = conn->state >= MST_ESTABLISHED;
  out->ca_state = established ? ca_state(conn) : MST_CA_OPEN;
  out->snd_cwnd_bytes = conn->cc.cwnd;
  out->snd_ssthresh_bytes = conn->cc.ssthresh;
  out->snd_wnd = conn->snd_wnd;
  out->rcv_wnd = conn->rcv_adv - conn->rcv_nxt;
  out->unacked_bytes = sent;
  out->notsent_bytes = conn->sendq.bytes > sent ? conn->sendq.bytes - sent : 0;
  out->unread_bytes = conn->recvq.bytes;
  out->flight_bytes = established ? mst__recovery_flight(conn) : sent;
  out->pacing_rate = conn->cc.pacing_rate ? conn->cc.pacing_rate : UINT64_MAX;
  out->max_pacing_rate = conn->pacing_max ? conn->pacing_max : UINT64_MAX;
}

static void tell_times(const mst_conn *conn, struct mst_tcp_info *out) {
  const struct mst__chrono *chrono = &conn->chrono;
  uint64_t rwnd_ns = mst__chrono_spent(conn, MST__CHRONO_RWND_LIMITED);
  uint64_t sndbuf_ns = mst__chrono_spent(conn, MST__CHRONO_SNDBUF_LIMITED);
  out->retransmits = conn->retries;
  out->probes = conn->probes;
  out->backoff = conn->probes ? conn->probes : conn->retries;
  out->rto_us = us(conn->rto_ns);
  out->ato_us = conn->quickacks ? 0 : us(MST__DELACK_NS);
  out->rtt_us = us(conn->srtt_ns);
  out->rttvar_us = us(conn->rttvar_ns);
  out->min_rtt_us = us(conn->min_rtt_ns);
  out->last_data_sent_ms = ago_ms(conn, conn->last_data_ns);
  out->last_data_recv_ms = ago_ms(conn, conn->last_data_received_ns);
  out->last_ack_recv_ms = ago_ms(conn, conn->state >= MST_ESTABLISHED ? conn->last_heard_ns : 0);
  out->busy_time_us = (mst__chrono_spent(conn, MST__CHRONO_BUSY) + rwnd_ns + sndbuf_ns) / 1000;
  out->rwnd_limited_us = rwnd_ns / 1000;
  out->sndbuf_limited_us = sndbuf_ns / 1000;
  out->total_rto = chrono->total_rto;
  out->total_rto_recoveries = chrono->total_rto_recoveries;
  out->total_rto_time_ms = (uint32_t)(chrono->total_rto_time_ns / MST__MS);
}

/* One that was limited by the application tells nothing of the path, unless it is higher. */
void mst__rate_note(struct mst_conn *conn, uint64_t bytes, uint64_t interval_ns, bool app_limited) {
  if (!interval_ns || !bytes) return;
  if (app_limited &&
      (unsigned __int128)bytes * conn->rate_interval_ns < (unsigned __int128)conn->rate_bytes * interval_ns)
    return;
  conn->rate_bytes = bytes;
  conn->rate_interval_ns = interval_ns;
  conn->rate_app_limited = app_limited;
}

static void tell_recovery(const mst_conn *conn, struct mst_tcp_info *out) {
  const struct mst__sent_queue *sent = &conn->sent;
  out->sacked_bytes = sent->sacked_bytes;
  out->lost_bytes = sent->lost_bytes;
  out->retrans_bytes = sent->retransmitted_bytes;
  out->delivered_bytes = sent->delivered;
  out->dsack_dups = (uint32_t)conn->recovery.dsacks;
  out->reord_seen = (uint32_t)conn->recovery.reordered;
  if (conn->rate_interval_ns)
    out->delivery_rate = (uint64_t)((double)conn->rate_bytes * 1e9 / (double)conn->rate_interval_ns);
  out->delivery_rate_app_limited = conn->rate_app_limited;
  out->rcv_ooopack = conn->rcv_ooopack;
  out->rcv_rtt_us = us(conn->tuning.rtt_ns);
  out->rcv_space_bytes = conn->tuning.round_bytes;
}

static void tell_counts(const mst_conn *conn, struct mst_tcp_info *out) {
  out->bytes_sent = conn->bytes_sent;
  out->bytes_retrans = conn->bytes_retrans;
  out->bytes_acked = conn->bytes_acked;
  out->bytes_received = conn->bytes_received;
  out->segs_out = conn->segs_out;
  out->segs_in = conn->segs_in;
  out->data_segs_out = conn->data_segs_out;
  out->data_segs_in = conn->data_segs_in;
  out->total_retrans = conn->total_retrans;
}

static void tell_ecn(const mst_conn *conn, struct mst_tcp_info *out) {
  const struct mst__accecn *a = &conn->ecn.accurate;
  out->ecn_mode = conn->ecn.mode;
  out->delivered_ce = conn->ecn.delivered_ce;
  out->received_ce = conn->ecn.received_ce;
  out->delivered_e0_bytes = a->s_bytes[MST__E0B];
  out->delivered_e1_bytes = a->s_bytes[MST__E1B];
  out->delivered_ce_bytes = a->s_bytes[MST__CEB];
  out->received_e0_bytes = a->r_bytes[MST__E0B];
  out->received_e1_bytes = a->r_bytes[MST__E1B];
  out->received_ce_bytes = a->r_bytes[MST__CEB];
}

void mst_conn_get_info_sized(const mst_conn *conn, struct mst_tcp_info *out, size_t size) {
  struct mst_tcp_info info = {.size = size < sizeof info ? size : sizeof info};
  tell_terms(conn, &info);
  tell_windows(conn, &info);
  tell_times(conn, &info);
  tell_counts(conn, &info);
  tell_ecn(conn, &info);
  tell_recovery(conn, &info);
  memcpy(out, &info, info.size);
}

void mst_stack_each_conn(const mst_stack *stack, void (*each)(const struct mst_tcp_info *info, void *user),
                         void *user) {
  MST__LIST_EACH(node, &stack->tcp.listeners) {
    const struct mst_listener *listener = MST__CONTAINER(node, struct mst_listener, node);
    struct mst_tcp_info info = {.size = sizeof info, .state = MST_LISTEN};
    mst_listener_local(listener, &info.local);
    each(&info, user);
    mst__half_open_each(listener, each, user);
  }
  MST__LIST_EACH(node, &stack->tcp.all) {
    const struct mst_conn *conn = MST__CONTAINER(node, struct mst_conn, all_node);
    if (!conn->hashed) continue; /* over; in TIME-WAIT its record tells */
    struct mst_tcp_info info;
    mst_conn_get_info(conn, &info);
    each(&info, user);
  }
  mst__time_wait_each(stack, each, user);
}
