/* Listeners: SYN in LISTEN (RFC 9293 3.10.7.2), half-open connections, the queue for accept. */
#include "tcp/half_open.h"

#define BACKLOG_DEFAULT 128
#define HALF_OPEN_MAX 16384 /* of the whole stack */

static void run_notice(struct mst__notice *notice) {
  struct mst_listener *listener = MST__CONTAINER(notice, struct mst_listener, notice);
  listener->event(listener, listener->user);
}

int mst_listen(mst_binding *binding, unsigned backlog, mst_listener_event_cb event, void *user, mst_listener **out) {
  mst_stack *stack = binding->stack;
  if (binding->tuple.protocol != MST_TCP || !event) return -MST_EINVAL;
  if (binding->listener) return -MST_EADDRINUSE;
  struct mst_listener *listener = mst__zalloc(stack, sizeof *listener);
  if (!listener) return -MST_ENOMEM;
  listener->binding = mst__binding_ref(binding);
  listener->stack = stack;
  listener->backlog = backlog ? backlog : BACKLOG_DEFAULT;
  listener->event = event;
  listener->user = user;
  listener->notice.run = run_notice;
  mst__list_init(&listener->half_open);
  mst__list_init(&listener->ready);
  mst__list_push_back(&stack->tcp.listeners, &listener->node);
  binding->listener = listener;
  *out = listener;
  return 0;
}

static void reset_all(struct mst__list *conns) {
  struct mst__list *node;
  while ((node = mst__list_pop_front(conns))) {
    struct mst_conn *conn = MST__CONTAINER(node, struct mst_conn, listener_node);
    conn->listener = NULL;
    if (conn->state != MST_CLOSED && conn->state != MST_TIME_WAIT) mst__reset_send(conn);
    mst__conn_free(conn);
  }
}

void mst_listener_close(mst_listener *listener) {
  while (!mst__list_empty(&listener->half_open))
    mst__half_open_reset(MST__CONTAINER(listener->half_open.next, struct mst__half_open, age));
  reset_all(&listener->ready);
  mst__list_remove(&listener->node);
  mst__list_remove(&listener->notice.node);
  listener->binding->listener = NULL;
  mst__tcp_binding_unref(listener->binding);
  mst__free(listener->stack, listener, sizeof *listener);
}

void mst_listener_local(const mst_listener *listener, struct mst_endpoint *out) {
  mst_binding_local(listener->binding, out);
}

mst_conn *mst_accept(mst_listener *listener) {
  struct mst__list *node = mst__list_pop_front(&listener->ready);
  if (!node) return NULL;
  struct mst_conn *conn = MST__CONTAINER(node, struct mst_conn, listener_node);
  listener->ready_count--;
  conn->listener = NULL;
  return conn;
}

void mst__listener_conn_ready(struct mst_conn *conn) {
  struct mst_listener *listener = conn->listener;
  mst__list_push_back(&listener->ready, &conn->listener_node);
  listener->ready_count++;
  conn->accept_ready = true;
  mst__stack_notify(listener->stack, &listener->notice);
}

void mst__listener_conn_gone(struct mst_conn *conn) {
  struct mst_listener *listener = conn->listener;
  if (!listener) return;
  if (conn->accept_ready) listener->ready_count--;
  mst__list_remove(&conn->listener_node);
  conn->listener = NULL;
}

bool mst__listener_full(struct mst_listener *listener) {
  struct mst_stack_stats *stats = &listener->stack->stats;
  if (listener->ready_count < listener->backlog) return false;
  stats->tcp_listen_overflows++;
  stats->tcp_listen_drops++;
  return true;
}

/* Room for one more half-open connection; the oldest gives way once it has left its SYN,ACK unanswered for a while (RFC
 * 4987 3.4), so that a flood of SYNs does not shut the listener for as long as they are answered again. With cookies
 * newcomers can do without, and a longer while is good for peers whose path is bad: their late ACK would be reset. */
static bool half_open_room(struct mst_listener *listener, bool cookies) {
  mst_stack *stack = listener->stack;
  if (listener->half_open_count < listener->backlog && stack->tcp.half_open_count < HALF_OPEN_MAX) return true;
  if (mst__list_empty(&listener->half_open)) return false;
  struct mst__half_open *oldest = MST__CONTAINER(listener->half_open.next, struct mst__half_open, age);
  if (oldest->retries < (cookies ? 3 : 1)) return false;
  stack->stats.tcp_attempt_fails++;
  mst__half_open_free(oldest);
  return true;
}

static uint16_t first_window(const mst_stack *stack) {
  uint32_t bytes = stack->tcp.receive_buffer_bytes;
  return bytes < 65535 ? (uint16_t)bytes : 65535;
}

static enum mst_drop refuse(struct mst_listener *listener, enum mst_drop reason) {
  listener->stack->stats.tcp_listen_drops++;
  return reason;
}

/* Why a SYN is refused, or NONE: it was answered, from a record or by a cookie. */
static enum mst_drop answer_syn(struct mst__half_open *h, const struct mst__tcp *tcp, const uint32_t *above) {
  struct mst_listener *listener = h->listener;
  mst_stack *stack = listener->stack;
  bool cookies = stack->tcp.syn_cookies != MST_SYN_COOKIES_NEVER && !above;
  struct mst_route route;
  if (mst__listener_full(listener)) return MST_DROP_TCP_BACKLOG;
  if (stack->memory.pressure) return refuse(listener, MST_DROP_NO_MEMORY);
  if (stack->stats.conns >= stack->tcp.conns_max) return refuse(listener, MST_DROP_NO_MEMORY);
  if (mst__path_route(stack, &h->flow.remote_addr, &route)) return refuse(listener, MST_DROP_NO_ROUTE);
  h->irs = tcp->seq;
  h->iss = mst__isn(stack, &h->flow);
  if (above && !mst__seq_gt(h->iss, *above)) h->iss = *above + 65536;
  h->path_mtu = route.mtu;
  h->peer_window = tcp->window;
  mst__terms_of_syn(&h->terms, tcp, mst__window_scale(stack->tcp.receive_buffer_bytes), !stack->tcp.no_sack);
  h->terms.ecn = mst__ecn_syn_first(stack->tcp.ecn, tcp);
  bool always = cookies && stack->tcp.syn_cookies == MST_SYN_COOKIES_ALWAYS;
  bool room = !always && half_open_room(listener, cookies);
  if (room && mst__half_open_new(h)) return MST_DROP_NONE;
  if (!always) (*(cookies ? &stack->stats.tcp_req_q_full_do_cookies : &stack->stats.tcp_req_q_full_drop))++;
  if (!cookies) return refuse(listener, room ? MST_DROP_NO_MEMORY : MST_DROP_TCP_BACKLOG);
  mst__cookie_send(h);
  return MST_DROP_NONE;
}

/* The handshake is done by the ACK of a good cookie. Why there is no connection yet, or NONE. */
static enum mst_drop cookie_input(struct mst__half_open *h, const struct mst__ip *ip, struct mst__tcp *tcp) {
  struct mst_route route;
  if (mst__listener_full(h->listener)) return MST_DROP_TCP_BACKLOG;
  if (mst__path_route(h->listener->stack, &ip->source, &route)) return MST_DROP_NO_ROUTE;
  h->path_mtu = route.mtu;
  tcp->options.tsecr = 0; /* not the time that it was sent, for a cookie was in it */
  struct mst_conn *conn = mst__half_open_to_conn(h);
  if (!conn) return MST_DROP_NO_MEMORY;
  mst__conn_input(conn, ip, tcp);
  return MST_DROP_NONE;
}

bool mst__listen_input(mst_binding *binding, const struct mst__ip *ip, struct mst__tcp *tcp, const uint32_t *above) {
  mst_stack *stack = binding->stack;
  struct mst__half_open h = {
      .flow = {.local_addr = ip->destination,
               .remote_addr = ip->source,
               .local_port = tcp->destination_port,
               .remote_port = tcp->source_port},
      .listener = binding->listener,
      .window = first_window(stack),
  };
  uint8_t flags = tcp->flags & (MST__SYN | MST__ACK | MST__RST);
  enum mst_drop drop = MST_DROP_TCP_NO_CONN;
  enum mst__cookie cookie = flags == MST__ACK ? mst__cookie_check(&h, tcp) : MST__COOKIE_NONE;
  if (flags == MST__SYN) drop = answer_syn(&h, tcp, above);
  if (cookie == MST__COOKIE_GOOD) drop = cookie_input(&h, ip, tcp);
  if (!drop) return true;
  mst__drop(stack, drop);
  if (flags & MST__ACK && !cookie) mst__reset_reply(stack, ip, tcp);
  return false;
}
