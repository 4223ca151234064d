/* SYN-RECEIVED after a passive open (RFC 9293 3.10.7.4): a small record answers until the handshake is done. */
#include "tcp/half_open.h"
#include "tcp/trace.h"

#define RING_FULL_RETRY_NS MST__MS      /* nothing else would tell that there is room again */
#define REPEATED_SYN_NS (500 * MST__MS) /* one answer to repeated SYNs in so long */

static mst_stack *stack_of(const struct mst__half_open *h) {
  return h->listener->stack;
}

static void reply_fill(const struct mst__half_open *h, struct mst__reply *reply) {
  *reply = (struct mst__reply){
      .source = h->flow.local_addr,
      .destination = h->flow.remote_addr,
      .source_port = h->flow.local_port,
      .destination_port = h->flow.remote_port,
      .seq = h->iss + 1,
      .ack = h->irs + 1,
      .window = (uint16_t)(h->window >> h->terms.rcv_wscale),
      .flags = MST__ACK,
      .options = {.has = h->terms.ts_ok ? MST__HAS_TIMESTAMPS : 0, .tsecr = h->terms.ts_recent},
  };
  reply->options.tsval = mst__ts_now(stack_of(h), mst__ts_offset(stack_of(h), &h->flow));
}

int mst__syn_ack_send(const struct mst__half_open *h, uint32_t tsval) {
  struct mst__reply reply;
  uint32_t headers = mst_addr_is_ip4(&h->flow.remote_addr) ? MST__IP4_HEADER_BYTES : MST__IP6_HEADER_BYTES;
  reply_fill(h, &reply);
  reply.flags |= MST__SYN;
  reply.seq = h->iss;
  reply.window = h->window; /* RFC 7323 2.2: not scaled */
  mst__terms_to_options(&h->terms, (uint16_t)(h->path_mtu - headers - MST__TCP_HEADER_BYTES), true, &reply.options);
  reply.options.tsval = tsval;
  reply.ace = mst__ecn_syn_ack(h->terms.ecn, &reply.options);
  return mst__reply_send(stack_of(h), &reply);
}

static void retransmitted(mst_stack *stack) {
  stack->stats.tcp_retrans_segs++;
  stack->stats.tcp_syn_retrans++;
}

static void send_syn_ack(struct mst__half_open *h) {
  mst_stack *stack = stack_of(h);
  uint64_t wait_ns = MST__RTO_INITIAL_NS << h->retries;
  if (wait_ns > MST__RTO_MAX_NS) wait_ns = MST__RTO_MAX_NS;
  if (mst__syn_ack_send(h, mst__ts_now(stack, mst__ts_offset(stack, &h->flow))))
    wait_ns = RING_FULL_RETRY_NS;
  else if (!h->sent_ns)
    h->sent_ns = stack->now_ns;
  else
    retransmitted(stack);
  mst__wheel_arm(&stack->wheel, &h->alarm.timer, stack->now_ns + wait_ns);
}

static void give_up(struct mst__half_open *h) {
  stack_of(h)->stats.tcp_attempt_fails++;
  mst__half_open_free(h);
}

static void timed_out(struct mst__alarm *alarm) {
  struct mst__half_open *h = MST__CONTAINER(alarm, struct mst__half_open, alarm);
  if (!h->sent_ns) return send_syn_ack(h);
  if (h->retries >= MST__SYN_RETRIES) return give_up(h);
  h->retries++;
  mst__ecn_syn_ack_lost(&h->terms.ecn);
  stack_of(h)->stats.tcp_timeouts++;
  send_syn_ack(h);
}

bool mst__half_open_new(const struct mst__half_open *seed) {
  struct mst_listener *listener = seed->listener;
  mst_stack *stack = listener->stack;
  struct mst__half_open *h = mst__alloc(stack, sizeof *h);
  if (!h) return false;
  *h = *seed;
  h->flow.kind = MST__FLOW_HALF_OPEN;
  h->alarm.run = timed_out;
  mst__flow_insert(stack, &h->flow);
  mst__list_push_back(&listener->half_open, &h->age);
  listener->half_open_count++;
  stack->tcp.half_open_count++;
  stack->stats.conns++;
  send_syn_ack(h);
  return true;
}

void mst__half_open_free(struct mst__half_open *h) {
  mst_stack *stack = stack_of(h);
  mst__hash_table_remove(&stack->tcp.conns, &h->flow.node);
  mst__wheel_disarm(&stack->wheel, &h->alarm.timer);
  mst__list_remove(&h->age);
  h->listener->half_open_count--;
  stack->tcp.half_open_count--;
  stack->stats.conns--;
  mst__free(stack, h, sizeof *h);
}

void mst__half_open_reset(struct mst__half_open *h) {
  struct mst__reply reply;
  reply_fill(h, &reply);
  reply.flags |= MST__RST;
  mst__reply_send(stack_of(h), &reply);
  mst__half_open_free(h);
}

static void free_all(struct mst_listener *listener) {
  while (!mst__list_empty(&listener->half_open))
    mst__half_open_free(MST__CONTAINER(listener->half_open.next, struct mst__half_open, age));
}

void mst__half_open_destroy(mst_stack *stack) {
  MST__LIST_EACH(node, &stack->tcp.listeners) free_all(MST__CONTAINER(node, struct mst_listener, node));
}

void mst__half_open_each(const struct mst_listener *listener, void (*each)(const struct mst_tcp_info *, void *),
                         void *user) {
  MST__LIST_EACH(node, &listener->half_open) {
    const struct mst__half_open *h = MST__CONTAINER(node, struct mst__half_open, age);
    struct mst_tcp_info info = {
        .size = sizeof info,
        .state = MST_SYN_RECEIVED,
        .local = {.addr = h->flow.local_addr, .port = h->flow.local_port},
        .remote = {.addr = h->flow.remote_addr, .port = h->flow.remote_port},
        .pmtu = h->path_mtu,
        .snd_wnd = h->peer_window,
        .rcv_wnd = h->window,
        .retransmits = h->retries,
        .total_retrans = h->retries,
    };
    each(&info, user);
  }
}

/* --- input --- */

static void challenge(struct mst__half_open *h) {
  mst_stack *stack = stack_of(h);
  struct mst__reply reply;
  if (!mst__challenge_allowed(stack, &h->challenges)) return;
  reply_fill(h, &reply);
  mst__reply_send(stack, &reply);
}

/* Our answer was lost. The timer is left alone: a peer that repeats itself may not stop the backing off. */
static void repeated_syn(struct mst__half_open *h, const struct mst__tcp *tcp) {
  mst_stack *stack = stack_of(h);
  if (!mst__ecn_syn_again(&h->terms.ecn, stack->tcp.ecn, tcp)) return mst__half_open_reset(h);
  if (h->repeats_ns && stack->now_ns - h->repeats_ns < REPEATED_SYN_NS) return;
  h->repeats_ns = stack->now_ns;
  if (!mst__syn_ack_send(h, mst__ts_now(stack, mst__ts_offset(stack, &h->flow)))) retransmitted(stack);
}

/* RFC 7323 3.2 and 5.3. */
static bool paws_rejects(struct mst__half_open *h, const struct mst__tcp *tcp) {
  if (!h->terms.ts_ok || tcp->flags & MST__RST) return false;
  if (!(tcp->options.has & MST__HAS_TIMESTAMPS)) return true;
  if (!mst__seq_lt(tcp->options.tsval, h->terms.ts_recent)) return false;
  challenge(h);
  return true;
}

/* RFC 5961 3.2 */
static void reset_input(struct mst__half_open *h, const struct mst__tcp *tcp) {
  if (tcp->seq == h->irs + 1) {
    stack_of(h)->stats.tcp_embryonic_rsts++;
    return give_up(h);
  }
  mst__drop(stack_of(h), MST_DROP_TCP_RST_INVALID);
  challenge(h);
}

struct mst_conn *mst__half_open_to_conn(const struct mst__half_open *h) {
  struct mst_conn *conn = mst__conn_new(stack_of(h), h->listener->binding, &h->flow);
  if (!conn) return NULL;
  conn->flow.kind = MST__FLOW_CONN;
  conn->passive = true;
  conn->irs = h->irs;
  conn->rcv_nxt = conn->last_ack_sent = h->irs + 1;
  conn->rcv_adv = conn->rcv_nxt + h->window;
  conn->iss = conn->snd_una = h->iss;
  conn->snd_nxt = conn->snd_sml = h->iss + 1;
  conn->path_mtu = h->path_mtu;
  mst__conn_set_terms(conn, &h->terms);
  conn->syn_retransmitted = h->retries > 0;
  conn->total_retrans = h->retries;
  conn->segs_out = 1u + h->retries;
  conn->segs_in = 1;
  conn->syn_sent_ns = h->retries || h->repeats_ns ? 0 : h->sent_ns; /* Karn */
  conn->listener = h->listener;
  mst__set_state(conn, MST_SYN_RECEIVED);
  return conn;
}

/* The handshake is done. Without memory the record stays: the peer sends again what it has, or answers our SYN,ACK. */
static void establish(struct mst__half_open *h, const struct mst__ip *ip, struct mst__tcp *tcp) {
  mst_stack *stack = stack_of(h);
  if (mst__listener_full(h->listener)) return mst__drop(stack, MST_DROP_TCP_BACKLOG);
  stack->stats.conns--; /* the connection takes this one's place */
  struct mst_conn *conn = mst__half_open_to_conn(h);
  stack->stats.conns++;
  if (!conn) return mst__drop(stack, MST_DROP_NO_MEMORY);
  mst__half_open_free(h);
  mst__conn_input(conn, ip, tcp);
}

void mst__half_open_input(struct mst__half_open *h, const struct mst__ip *ip, struct mst__tcp *tcp) {
  mst_stack *stack = stack_of(h);
  uint32_t rcv_nxt = h->irs + 1;
  bool bare_syn = (tcp->flags & (MST__SYN | MST__ACK | MST__RST)) == MST__SYN;
  if (bare_syn && tcp->seq == h->irs) return repeated_syn(h, tcp);
  if (paws_rejects(h, tcp)) return mst__drop(stack, MST_DROP_TCP_PAWS);
  if (!mst__acceptable(rcv_nxt, rcv_nxt + h->window, tcp)) {
    mst__drop(stack, MST_DROP_TCP_SEQUENCE);
    if (!(tcp->flags & MST__RST)) challenge(h);
    return;
  }
  if (tcp->flags & MST__RST) return reset_input(h, tcp);
  if (tcp->flags & MST__SYN) { /* RFC 5961 4.2 */
    mst__drop(stack, MST_DROP_TCP_SYN_IN_WINDOW);
    return challenge(h);
  }
  if (!(tcp->flags & MST__ACK)) return mst__drop(stack, MST_DROP_TCP_NO_ACK);
  if (tcp->ack != h->iss + 1) {
    mst__drop(stack, MST_DROP_TCP_ACK_INVALID);
    return mst__reset_reply(stack, ip, tcp);
  }
  establish(h, ip, tcp);
}

/* RFC 5927 4.1: only what quotes our SYN,ACK is believed; and 5.2: of what it says, only that it was too large. */
void mst__half_open_icmp(struct mst__half_open *h, const struct mst__icmp_error *error) {
  mst_stack *stack = stack_of(h);
  if (!error->has_seq || error->seq != h->iss) return mst__drop(stack, MST_DROP_ICMP);
  if (error->kind != MST__ICMP_TOO_BIG || error->mtu >= h->path_mtu) return;
  uint32_t now = mst__path_too_big(stack, &h->flow.remote_addr, error->mtu, h->path_mtu);
  if (now >= h->path_mtu) return;
  stack->stats.tcp_pmtu_reductions++;
  h->path_mtu = now;
}
