/* What a connection tells about itself. */
#include "tcp/conn.h"

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

void mst_conn_get_info(const mst_conn *conn, struct mst_tcp_info *out) {
  uint32_t sent = conn->snd_nxt - conn->snd_una;
  *out = (struct mst_tcp_info){
      .state = conn->state,
      .congestion_control = conn->cc.ops->name,
      .rto_us = (uint32_t)(conn->rto_ns / 1000),
      .rtt_us = (uint32_t)(conn->srtt_ns / 1000),
      .rttvar_us = (uint32_t)(conn->rttvar_ns / 1000),
      .min_rtt_us = (uint32_t)(conn->min_rtt_ns / 1000),
      .snd_mss = conn->cc.mss,
      .rcv_mss = conn->rcv_mss,
      .pmtu = conn->path_mtu,
      .snd_cwnd_bytes = conn->cc.cwnd,
      .snd_ssthresh_bytes = conn->cc.ssthresh,
      .snd_wnd = conn->snd_wnd,
      .rcv_wnd = conn->rcv_adv - conn->rcv_nxt,
      .unacked_bytes = sent,
      .unsent_bytes = conn->sendq.bytes > sent ? conn->sendq.bytes - sent : 0,
      .unread_bytes = conn->recvq.bytes,
      .retransmits = conn->retries,
      .total_retrans = conn->total_retrans,
      .bytes_sent = conn->bytes_sent,
      .bytes_acked = conn->bytes_acked,
      .bytes_received = conn->bytes_received,
      .segs_out = conn->segs_out,
      .segs_in = conn->segs_in,
  };
  mst_conn_local(conn, &out->local);
  mst_conn_remote(conn, &out->remote);
}

void mst_stack_each_conn(const mst_stack *stack, void (*each)(const struct mst_tcp_info *info, void *user),
                         void *user) {
  MST__LIST_EACH(node, &stack->tcp.listeners) {
    struct mst_tcp_info info = {.state = MST_LISTEN};
    mst_listener_local(MST__CONTAINER(node, struct mst_listener, node), &info.local);
    each(&info, user);
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
