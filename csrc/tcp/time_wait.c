/* TIME-WAIT (RFC 9293 3.6.1): a small record answers for a connection that is over, for 2 MSL. */
#include "tcp/trace.h"

#define TIME_WAITS_MAX 65536 /* the oldest gives way */
#define REUSE_NS MST__SECOND /* a connection that we open may take a record's place after so long */
#define ISS_DISTANCE 65536   /* of the new connection from the old one */

struct mst__time_wait {
  struct mst__flow flow;
  mst_stack *stack;
  mst_binding *binding;
  struct mst__list age;
  struct mst__alarm alarm;
  uint32_t snd_nxt, rcv_nxt, rcv_adv, ts_recent, ts_offset;
  uint16_t window;
  bool ts_ok;
  struct mst__throttle challenges;
};

static struct mst__time_wait *of_flow(struct mst__flow *flow) {
  return (struct mst__time_wait *)(void *)flow;
}

static void time_wait_free(struct mst__time_wait *tw) {
  mst_stack *stack = tw->stack;
  mst__hash_table_remove(&stack->tcp.conns, &tw->flow.node);
  mst__wheel_disarm(&stack->wheel, &tw->alarm.timer);
  mst__list_remove(&tw->age);
  mst__tcp_binding_unref(tw->binding);
  stack->stats.time_wait--;
  mst__free(stack, tw, sizeof *tw);
}

static void over(struct mst__alarm *alarm) {
  time_wait_free(MST__CONTAINER(alarm, struct mst__time_wait, alarm));
}

static void start_2msl(struct mst__time_wait *tw) {
  mst__wheel_arm(&tw->stack->wheel, &tw->alarm.timer, tw->stack->now_ns + MST__TIME_WAIT_NS);
}

static void acknowledge(const struct mst__time_wait *tw) {
  mst__reply_send(tw->stack, &(struct mst__reply){
                                 .source = tw->flow.local_addr,
                                 .destination = tw->flow.remote_addr,
                                 .source_port = tw->flow.local_port,
                                 .destination_port = tw->flow.remote_port,
                                 .seq = tw->snd_nxt,
                                 .ack = tw->rcv_nxt,
                                 .window = tw->window,
                                 .flags = MST__ACK,
                                 .options = {.has = tw->ts_ok ? MST__HAS_TIMESTAMPS : 0,
                                             .tsval = mst__ts_now(tw->stack, tw->ts_offset),
                                             .tsecr = tw->ts_recent},
                             });
}

static void time_wait_fill(struct mst__time_wait *tw, const struct mst_conn *conn) {
  *tw = (struct mst__time_wait){
      .flow = conn->flow,
      .stack = conn->stack,
      .binding = mst__binding_ref(conn->binding),
      .alarm = {.run = over},
      .snd_nxt = conn->snd_nxt,
      .rcv_nxt = conn->rcv_nxt,
      .rcv_adv = conn->rcv_adv,
      .ts_recent = conn->ts_recent,
      .ts_offset = conn->ts_offset,
      .ts_ok = conn->ts_ok,
  };
  uint32_t window = (conn->rcv_adv - conn->rcv_nxt) >> conn->rcv_wscale;
  tw->window = window > 65535 ? 65535 : (uint16_t)window;
  tw->flow.kind = MST__FLOW_TIME_WAIT;
}

void mst__time_wait_enter(struct mst_conn *conn) {
  mst_stack *stack = conn->stack;
  bool owes_ack = conn->ack_now || conn->acks_owed;
  if (stack->stats.time_wait >= TIME_WAITS_MAX)
    time_wait_free(MST__CONTAINER(stack->tcp.time_wait.next, struct mst__time_wait, age));
  struct mst__time_wait *tw = mst__alloc(stack, sizeof *tw);
  if (tw) time_wait_fill(tw, conn);
  stack->stats.tcp_time_wait++;
  mst__set_state(conn, MST_TIME_WAIT);
  mst__conn_die(conn, 0); /* frees an orphan */
  if (!tw) return;
  mst__flow_insert(stack, &tw->flow);
  mst__list_push_back(&stack->tcp.time_wait, &tw->age);
  stack->stats.time_wait++;
  start_2msl(tw);
  if (owes_ack) acknowledge(tw);
}

static bool has_listener(const mst_binding *binding) {
  return binding->listener != NULL;
}

/* RFC 9293 3.6.1 and RFC 6191 2: a new incarnation may begin when it cannot be mistaken for the old one. */
static bool may_reopen(const struct mst__time_wait *tw, const struct mst__tcp *tcp) {
  if ((tcp->flags & (MST__SYN | MST__ACK | MST__RST)) != MST__SYN) return false;
  bool stamped = tw->ts_ok && tcp->options.has & MST__HAS_TIMESTAMPS;
  if (stamped && tcp->options.tsval != tw->ts_recent) return mst__seq_gt(tcp->options.tsval, tw->ts_recent);
  return mst__seq_gt(tcp->seq, tw->rcv_nxt);
}

bool mst__time_wait_may_reuse(const struct mst__flow *flow) {
  const struct mst__time_wait *tw = (const struct mst__time_wait *)(const void *)flow;
  if (flow->kind != MST__FLOW_TIME_WAIT || !tw->ts_ok) return false;
  return tw->stack->now_ns + MST__TIME_WAIT_NS >= tw->alarm.timer.at_ns + REUSE_NS;
}

void mst__time_wait_reuse(struct mst__flow *flow, struct mst_conn *conn) {
  struct mst__time_wait *tw = of_flow(flow);
  if (!mst__seq_gt(conn->iss, tw->snd_nxt)) conn->iss = tw->snd_nxt + ISS_DISTANCE;
  conn->snd_una = conn->snd_nxt = conn->snd_sml = conn->iss;
  time_wait_free(tw);
}

/* Both are in the table for a moment, so what cannot be opened leaves the old one in place. */
static void reopen(struct mst__time_wait *tw, mst_binding *binding, const struct mst__ip *ip, struct mst__tcp *tcp) {
  if (mst__listen_input(binding, ip, tcp, &tw->snd_nxt)) time_wait_free(tw);
}

/* RFC 1337: a reset does not end TIME-WAIT; RFC 5961 3.2: one that is inexact is challenged. */
static void reset_input(struct mst__time_wait *tw, const struct mst__tcp *tcp) {
  mst__drop(tw->stack, MST_DROP_TCP_RST_INVALID);
  bool inexact = mst__seq_gt(tcp->seq, tw->rcv_nxt) && mst__seq_lt(tcp->seq, tw->rcv_adv);
  if (inexact && mst__challenge_allowed(tw->stack, &tw->challenges)) acknowledge(tw);
}

void mst__time_wait_input(mst_stack *stack, struct mst__flow *flow, const struct mst__ip *ip, struct mst__tcp *tcp) {
  struct mst__time_wait *tw = of_flow(flow);
  if (tcp->flags & MST__RST) return reset_input(tw, tcp);
  mst_binding *binding = mst__binding_find(stack, MST_TCP, &flow->local_addr, flow->local_port, has_listener);
  if (binding && may_reopen(tw, tcp)) {
    return reopen(tw, binding, ip, tcp);
  }
  bool old = tw->ts_ok && tcp->options.has & MST__HAS_TIMESTAMPS && mst__seq_lt(tcp->options.tsval, tw->ts_recent);
  bool fin_again = tcp->flags & MST__FIN && tcp->seq + tcp->payload_bytes + 1 == tw->rcv_nxt;
  if (fin_again && !old) {
    acknowledge(tw);
    return start_2msl(tw);
  }
  mst__drop(stack, old ? MST_DROP_TCP_PAWS : MST_DROP_TCP_SEQUENCE);
  bool bare_ack = !tcp->payload_bytes && !(tcp->flags & (MST__SYN | MST__FIN));
  if (bare_ack && tcp->seq == tw->rcv_nxt) return;
  if (mst__challenge_allowed(stack, &tw->challenges)) acknowledge(tw);
}

void mst__time_wait_destroy(mst_stack *stack) {
  while (!mst__list_empty(&stack->tcp.time_wait))
    time_wait_free(MST__CONTAINER(stack->tcp.time_wait.next, struct mst__time_wait, age));
}

void mst__time_wait_each(const mst_stack *stack, void (*each)(const struct mst_tcp_info *, void *), void *user) {
  MST__LIST_EACH(node, &stack->tcp.time_wait) {
    const struct mst__time_wait *tw = MST__CONTAINER(node, struct mst__time_wait, age);
    struct mst_tcp_info info = {
        .size = sizeof info,
        .state = MST_TIME_WAIT,
        .local = {.addr = tw->flow.local_addr, .port = tw->flow.local_port},
        .remote = {.addr = tw->flow.remote_addr, .port = tw->flow.remote_port},
    };
    each(&info, user);
  }
}
