/* Birth and death of a connection, and what it tells its holder. */
#include "tcp/trace.h"
#include <string.h>

static uint32_t load32(const uint8_t *p) {
  uint32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

static uint32_t flow_hash(mst_stack *stack, const struct mst__flow *flow) {
  const uint8_t *local = flow->local_addr.bytes, *remote = flow->remote_addr.bytes;
  uint32_t ports = (uint32_t)flow->local_port << 16 | flow->remote_port;
  if (mst_addr_is_ip4(&flow->local_addr))
    return (uint32_t)mst__hash_words(&stack->hash_key, (uint64_t)ports << 32 | load32(local + 12), load32(remote + 12));
  uint8_t key[36];
  memcpy(key, &ports, 4);
  memcpy(key + 4, local, 16);
  memcpy(key + 20, remote, 16);
  return (uint32_t)mst__hash(&stack->hash_key, key, sizeof key);
}

static bool same_flow(const struct mst__flow *a, const struct mst__flow *b) {
  return a->local_port == b->local_port && a->remote_port == b->remote_port &&
         mst_addr_equal(&a->remote_addr, &b->remote_addr) && mst_addr_equal(&a->local_addr, &b->local_addr);
}

struct mst__flow *mst__flow_find(mst_stack *stack, const struct mst__flow *key) {
  struct mst__hash_node *node = mst__hash_first(&stack->tcp.conns, flow_hash(stack, key));
  for (; node; node = mst__hash_next(node)) {
    struct mst__flow *flow = MST__CONTAINER(node, struct mst__flow, node);
    if (same_flow(flow, key)) return flow;
  }
  return NULL;
}

void mst__flow_insert(mst_stack *stack, struct mst__flow *flow) {
  mst__hash_table_insert(&stack->tcp.conns, &stack->env, &flow->node, flow_hash(stack, flow));
}

static void run_notice(struct mst__notice *notice) {
  struct mst_conn *conn = MST__CONTAINER(notice, struct mst_conn, notice);
  unsigned events = conn->events;
  conn->events = 0;
  if (events && conn->event) conn->event(conn, events, conn->user);
}

struct mst_conn *mst__conn_new(mst_stack *stack, mst_binding *binding, const struct mst__flow *flow) {
  if (stack->stats.conns >= stack->tcp.conns_max) return NULL;
  struct mst_conn *conn = mst__zalloc(stack, sizeof *conn);
  if (!conn) return NULL;
  conn->flow = *flow;
  conn->stack = stack;
  conn->id = ++stack->tcp.conn_ids;
  conn->binding = mst__binding_ref(binding);
  conn->notice.run = run_notice;
  conn->alarm.run = mst__timers_run;
  conn->rto_ns = MST__RTO_INITIAL_NS;
  conn->ttl = 64;
  conn->quickacks = MST__QUICKACKS;
  conn->linger_ms = -1;
  conn->keepalive_idle_ms = 7200000;
  conn->keepalive_interval_ms = 75000;
  conn->keepalive_count = 9;
  conn->send_buffer_bytes = stack->tcp.send_buffer_bytes;
  conn->receive_buffer_bytes = stack->tcp.receive_buffer_bytes;
  if (conn->receive_buffer_bytes > MST__RECEIVE_BYTES_FIRST) conn->receive_buffer_bytes = MST__RECEIVE_BYTES_FIRST;
  conn->cc.ops = stack->tcp.congestion_control;
  conn->ecn.wanted = stack->tcp.ecn;
  conn->loss = &mst__loss_reno;
  conn->sack_ok = !stack->tcp.no_sack;
  conn->iss = mst__isn(stack, flow);
  conn->snd_una = conn->snd_nxt = conn->snd_sml = conn->iss;
  mst__sent_init(conn);
  conn->ts_offset = mst__ts_offset(stack, flow);
  conn->last_heard_ns = stack->now_ns;
  mst__list_push_back(&stack->tcp.all, &conn->all_node);
  mst__flow_insert(stack, &conn->flow);
  conn->hashed = true;
  stack->stats.conns++;
  return conn;
}

static bool is_ip4(const struct mst_conn *conn) {
  return mst_addr_is_ip4(&conn->flow.remote_addr);
}

uint32_t mst__conn_header_bytes(const struct mst_conn *conn) {
  return (is_ip4(conn) ? MST__IP4_HEADER_BYTES : MST__IP6_HEADER_BYTES) + MST__TCP_HEADER_BYTES;
}

uint16_t mst__conn_announced_mss(const struct mst_conn *conn) {
  uint32_t limit = conn->mtu_probe.limit, mtu = limit > conn->path_mtu ? limit : conn->path_mtu;
  return (uint16_t)(mtu - mst__conn_header_bytes(conn));
}

uint32_t mst__conn_send_mss(const struct mst_conn *conn) {
  if (conn->peer_mss) return conn->peer_mss;
  return is_ip4(conn) ? MST__MSS_DEFAULT_IP4 : MST__MSS_DEFAULT_IP6;
}

/* RFC 9293 3.7.1: Eff.snd.MSS = min(SendMSS, MMS_S) - TCPhdrsize - IPoptionsize, and RFC 6691. */
static void update_mss(struct mst_conn *conn) {
  uint32_t carried = conn->path_mtu - mst__conn_header_bytes(conn), peer = mst__conn_send_mss(conn);
  conn->snd_mss = carried < peer ? carried : peer;
  if (conn->snd_mss < MST__MSS_MIN) conn->snd_mss = MST__MSS_MIN;
  conn->cc.mss = mst__segment_bytes(conn);
  /* RFC 5681 3.1: a window is of one segment, and ssthresh of two, at least; of the size that they now have. */
  if (conn->cc.cwnd && conn->cc.cwnd < conn->cc.mss) conn->cc.cwnd = conn->cc.mss;
  if (conn->cc.ssthresh && conn->cc.ssthresh < 2 * conn->cc.mss) conn->cc.ssthresh = 2 * conn->cc.mss;
}

void mst__conn_set_path_mtu(struct mst_conn *conn, uint32_t mtu) {
  conn->path_mtu = mtu;
  update_mss(conn);
}

void mst__conn_init_window(struct mst_conn *conn) {
  uint32_t most = conn->stack->tcp.receive_buffer_bytes; /* RFC 7323 2.3: no later segment can change the scale */
  if (conn->receive_buffer_fixed) most = conn->receive_buffer_bytes;
  conn->rcv_wscale = mst__window_scale(most);
}

/* RFC 6928 2: IW = min(10 * MSS, max(2 * MSS, 14600)); RFC 6298 5.7 and RFC 5681 3.1 after a lost SYN. */
uint32_t mst__initial_window(const struct mst_conn *conn) {
  uint32_t mss = conn->cc.mss;
  if (conn->syn_retransmitted) return mss;
  uint32_t least = 2 * mss > 14600 ? 2 * mss : 14600;
  return 10 * mss < least ? 10 * mss : least;
}

void mst__conn_established(struct mst_conn *conn) {
  mst_stack *stack = conn->stack;
  mst__set_state(conn, MST_ESTABLISHED);
  mst__mtu_probe_start(conn);
  conn->cc.cwnd = mst__initial_window(conn);
  conn->cc.ssthresh = UINT32_MAX;
  conn->cc.ops->init(&conn->cc, stack->now_ns);
  mst__recovery_init(conn);
  mst__recv_tuning_start(conn);
  conn->retries = 0;
  /* RFC 6298 5.7 */
  if (conn->syn_retransmitted && !conn->rtt_known) conn->rto_ns = 3 * MST__SECOND;
  if (!conn->rtt_known && !conn->syn_retransmitted) conn->rto_ns = MST__RTO_INITIAL_NS;
  mst__keepalive_restart(conn);
  if (conn->listener) {
    stack->stats.tcp_passive_opens++;
    mst__listener_conn_ready(conn);
  }
  if (!conn->passive) mst__conn_notify(conn, MST_EV_CONNECTED);
}

void mst__conn_notify(struct mst_conn *conn, unsigned events) {
  if (conn->orphan) return;
  conn->events |= (uint8_t)events;
  if (conn->event) mst__stack_notify(conn->stack, &conn->notice);
}

static void unhash(struct mst_conn *conn) {
  if (!conn->hashed) return;
  mst__hash_table_remove(&conn->stack->tcp.conns, &conn->flow.node);
  conn->hashed = false;
}

void mst__conn_free(struct mst_conn *conn) {
  mst_stack *stack = conn->stack;
  mst__listener_conn_gone(conn);
  mst__timers_stop(conn);
  unhash(conn);
  mst__list_remove(&conn->all_node);
  mst__list_remove(&conn->output_node);
  mst__list_remove(&conn->borrowed_node);
  mst__list_remove(&conn->memory_node);
  mst__list_remove(&conn->notice.node);
  mst__sendq_free(&conn->sendq, stack);
  mst__sent_clear(conn);
  mst__recvq_free(&conn->recvq, stack);
  mst__tcp_binding_unref(conn->binding);
  stack->stats.conns--;
  mst__free(stack, conn, sizeof *conn);
}

void mst__conn_die(struct mst_conn *conn, int error) {
  mst_stack *stack = conn->stack;
  bool established = conn->state >= MST_ESTABLISHED;
  if (error && !established) stack->stats.tcp_attempt_fails++;
  if (error && established) stack->stats.tcp_estab_resets++;
  if (conn->state != MST_TIME_WAIT) mst__set_state(conn, MST_CLOSED); /* there a record goes on */
  conn->error = (int16_t)error;
  if (conn->orphan || conn->listener) {
    mst__conn_free(conn);
    return;
  }
  mst__timers_stop(conn);
  unhash(conn);
  mst__list_remove(&conn->output_node);
  mst__list_remove(&conn->memory_node);
  mst__sendq_free(&conn->sendq, stack);
  mst__sent_clear(conn);
  if (error) mst__conn_notify(conn, MST_EV_ERROR);
}
