/* TCP of a stack: whose segment is it, and ICMP about it. */
#include "tcp/half_open.h"
#include "tcp/trace.h"

#define SEND_BUFFER_BYTES_DEFAULT (4u << 20)
#define RECEIVE_BUFFER_BYTES_DEFAULT (6u << 20)
#define BUFFER_BYTES_MAX (1u << 30)
#define CONNS_MAX_DEFAULT (1u << 20)

static uint32_t buffer_bytes(uint32_t wanted, uint32_t otherwise) {
  if (!wanted) return otherwise;
  return wanted < BUFFER_BYTES_MAX ? wanted : BUFFER_BYTES_MAX;
}

int mst__tcp_stack_init(mst_stack *stack, const struct mst_stack_options *options) {
  struct mst__tcp_stack *tcp = &stack->tcp;
  mst__list_init(&tcp->all);
  mst__list_init(&tcp->time_wait);
  mst__list_init(&tcp->listeners);
  mst__list_init(&tcp->ephemeral[0]);
  mst__list_init(&tcp->ephemeral[1]);
  tcp->send_buffer_bytes = buffer_bytes(options->send_buffer_bytes, SEND_BUFFER_BYTES_DEFAULT);
  tcp->receive_buffer_bytes = buffer_bytes(options->receive_buffer_bytes, RECEIVE_BUFFER_BYTES_DEFAULT);
  tcp->no_sack = options->no_sack;
  tcp->conns_max = options->conns_max ? options->conns_max : CONNS_MAX_DEFAULT;
  tcp->syn_cookies = (uint8_t)options->syn_cookies;
  tcp->congestion_control = mst__cc_find(options->congestion_control ? options->congestion_control : "cubic");
  if (!tcp->congestion_control) return -MST_EINVAL;
  if ((unsigned)options->ecn > MST_ECN_ACCURATE) return -MST_EINVAL;
  tcp->ecn = (uint8_t)options->ecn;
  if ((unsigned)options->mtu_probing > MST_MTU_PROBING_ALWAYS) return -MST_EINVAL;
  tcp->mtu_probing = (uint8_t)options->mtu_probing;
  stack->env.random(stack->env.ctx, &tcp->isn_key, sizeof tcp->isn_key);
  return mst__hash_table_init(&tcp->conns, &stack->env, 1024) ? 0 : -MST_ENOMEM;
}

void mst__tcp_stack_destroy(mst_stack *stack) {
  struct mst__tcp_stack *tcp = &stack->tcp;
  if (!tcp->conns.buckets) return;
  while (!mst__list_empty(&tcp->all)) {
    struct mst_conn *conn = MST__CONTAINER(tcp->all.next, struct mst_conn, all_node);
    mst__conn_free(conn);
  }
  mst__half_open_destroy(stack);
  while (!mst__list_empty(&tcp->listeners))
    mst_listener_close(MST__CONTAINER(tcp->listeners.next, struct mst_listener, node));
  mst__time_wait_destroy(stack);
  mst__ephemeral_destroy(stack);
  mst__hash_table_free(&tcp->conns, &stack->env);
}

static bool checksum_ok(mst_stack *stack, const struct mst__ip *ip, uint8_t packet_flags) {
  if (packet_flags & (MST_CSUM_VALID | MST_CSUM_PARTIAL)) return true;
  if (mst__tcp_checksum_ok(&ip->source, &ip->destination, ip->payload, ip->payload_bytes, false)) return true;
  mst__drop(stack, MST_DROP_TCP_CHECKSUM);
  return false;
}

/* RFC 9293 3.9.2.3, MUST-57 and MUST-63: not to or from many or nobody, and not from the very tuple it goes to. */
static bool may_be_answered(const struct mst__ip *ip, const struct mst__tcp *tcp) {
  if (mst_addr_is_multicast(&ip->source) || mst_addr_is_any(&ip->source)) return false;
  if (mst_addr_is_multicast(&ip->destination) || mst_addr_is_any(&ip->destination)) return false;
  return tcp->source_port != tcp->destination_port || !mst_addr_equal(&ip->source, &ip->destination);
}

static bool has_listener(const mst_binding *binding) {
  return binding->listener != NULL;
}

static inline void untraced_input(struct mst_conn *conn, const struct mst__ip *ip, struct mst__tcp *tcp) {
  if (conn->state == MST_SYN_SENT) return mst__syn_sent_input(conn, ip, tcp);
  mst__sync_input(conn, ip, tcp);
}

static void traced_input(struct mst_conn *conn, const struct mst__ip *ip, struct mst__tcp *tcp) {
  mst_stack *stack = conn->stack;
  struct mst__flow key = conn->flow; /* the connection may not survive */
  struct mst__metrics before;
  mst__trace_received(conn, ip, tcp, &before);
  untraced_input(conn, ip, tcp);
  mst__trace_metrics(stack, &key, &before);
}

void mst__conn_input(struct mst_conn *conn, const struct mst__ip *ip, struct mst__tcp *tcp) {
  conn->segs_in++;
  conn->data_segs_in += tcp->payload_bytes != 0;
  if (mst__traced(conn->stack))
    traced_input(conn, ip, tcp);
  else
    untraced_input(conn, ip, tcp);
}

void mst__tcp_input(mst_stack *stack, const struct mst__ip *ip, const struct mst_packet *packet) {
  struct mst__tcp tcp;
  enum mst_drop drop = mst__tcp_parse(ip->payload, ip->payload_bytes, &tcp);
  if (drop) return mst__drop(stack, drop);
  if (!checksum_ok(stack, ip, packet->flags)) return;
  tcp.ip_ecn = ip->tos & MST__ECN_MASK;
  tcp.gso_size = packet->gso_size;
  stack->stats.tcp_in_segs++;
  struct mst__flow key = {
      .local_addr = ip->destination,
      .remote_addr = ip->source,
      .local_port = tcp.destination_port,
      .remote_port = tcp.source_port,
  };
  struct mst__flow *flow = mst__flow_find(stack, &key);
  if (flow && flow->kind == MST__FLOW_CONN) return mst__conn_input(mst__flow_conn(flow), ip, &tcp);
  if (flow && flow->kind == MST__FLOW_HALF_OPEN) return mst__half_open_input(mst__flow_half_open(flow), ip, &tcp);
  if (flow) return mst__time_wait_input(stack, flow, ip, &tcp);
  if (!may_be_answered(ip, &tcp)) return mst__drop(stack, MST_DROP_SOURCE_ADDRESS);
  mst_binding *binding = mst__binding_find(stack, MST_TCP, &ip->destination, tcp.destination_port, has_listener);
  if (binding) {
    mst__listen_input(binding, ip, &tcp, NULL);
    return;
  }
  mst__drop(stack, MST_DROP_TCP_NO_CONN);
  mst__reset_reply(stack, ip, &tcp);
}

static int icmp_error_code(enum mst__icmp_kind kind) {
  switch (kind) {
  case MST__ICMP_NET_UNREACHABLE: return -MST_ENETUNREACH;
  case MST__ICMP_PORT_UNREACHABLE:
  case MST__ICMP_PROTOCOL_UNREACHABLE: return -MST_ECONNREFUSED;
  case MST__ICMP_PROHIBITED: return -MST_EACCES;
  default: return -MST_EHOSTUNREACH;
  }
}

/* RFC 9293 3.9.2.2, MUST-56: an unreachable host or net is soft; RFC 5461 4.2: but not when it says so of the
 * retransmitted SYN too, lest a person wait for minutes. */
static bool ends_attempt(const struct mst_conn *conn, enum mst__icmp_kind kind) {
  switch (kind) {
  case MST__ICMP_PORT_UNREACHABLE:
  case MST__ICMP_PROTOCOL_UNREACHABLE:
  case MST__ICMP_PROHIBITED: return true;
  case MST__ICMP_HOST_UNREACHABLE:
  case MST__ICMP_NET_UNREACHABLE: return conn->soft_error && conn->retries;
  default: return false;
  }
}

/* RFC 5927 4: only what quotes a segment under way is believed; and 5: no ICMP ends an established connection. */
void mst__tcp_icmp(mst_stack *stack, const struct mst__icmp_error *error) {
  struct mst__flow key = {
      .local_addr = error->source,
      .remote_addr = error->destination,
      .local_port = error->source_port,
      .remote_port = error->destination_port,
  };
  struct mst__flow *flow = mst__flow_find(stack, &key);
  if (!flow || flow->kind == MST__FLOW_TIME_WAIT) return mst__drop(stack, MST_DROP_ICMP);
  if (flow->kind == MST__FLOW_HALF_OPEN) return mst__half_open_icmp(mst__flow_half_open(flow), error);
  struct mst_conn *conn = mst__flow_conn(flow);
  bool under_way = error->has_seq && mst__seq_ge(error->seq, conn->snd_una) && mst__seq_lt(error->seq, conn->snd_nxt);
  if (!under_way) return mst__drop(stack, MST_DROP_ICMP);
  if (error->kind == MST__ICMP_TOO_BIG) return mst__mtu_too_big(conn, error->mtu, error->seq);
  int code = icmp_error_code(error->kind);
  if (conn->state == MST_SYN_SENT && ends_attempt(conn, error->kind)) return mst__conn_die(conn, code);
  conn->soft_error = (int16_t)code;
}
