/* Listeners: SYN in LISTEN (RFC 9293 3.10.7.2), half-open connections, the queue for accept. */
#include "tcp/trace.h"

#define BACKLOG_DEFAULT 128

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
  reset_all(&listener->half_open);
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
  mst__list_remove(&conn->listener_node);
  listener->half_open_count--;
  mst__list_push_back(&listener->ready, &conn->listener_node);
  listener->ready_count++;
  conn->accept_ready = true;
  mst__stack_notify(listener->stack, &listener->notice);
}

void mst__listener_conn_gone(struct mst_conn *conn) {
  struct mst_listener *listener = conn->listener;
  if (!listener) return;
  if (conn->accept_ready)
    listener->ready_count--;
  else
    listener->half_open_count--;
  mst__list_remove(&conn->listener_node);
  conn->listener = NULL;
}

static struct mst_conn *half_open(struct mst_listener *listener, const struct mst__flow *flow,
                                  const struct mst__tcp *tcp, uint32_t mtu) {
  struct mst_conn *conn = mst__conn_new(listener->stack, listener->binding, flow);
  if (!conn) return NULL;
  conn->passive = true;
  conn->irs = tcp->seq;
  conn->rcv_nxt = conn->rcv_adv = conn->last_ack_sent = tcp->seq + 1;
  conn->snd_wnd = conn->snd_wnd_max = tcp->window;
  conn->path_mtu = mtu;
  mst__conn_init_window(conn);
  struct mst__terms terms;
  mst__terms_of_syn(&terms, tcp, conn->rcv_wscale, !conn->stack->tcp.no_sack);
  mst__conn_set_terms(conn, &terms);
  conn->listener = listener;
  mst__list_push_back(&listener->half_open, &conn->listener_node);
  listener->half_open_count++;
  mst__set_state(conn, MST_SYN_RECEIVED);
  conn->syn_wanted = true;
  mst__output_wanted(conn);
  return conn;
}

/* Room for one more half-open connection; the oldest gives way once it has left its SYN,ACK unanswered for a while (RFC
 * 4987 3.4), so that a flood of SYNs does not shut the listener for as long as they are answered again. */
static bool half_open_room(struct mst_listener *listener) {
  if (listener->half_open_count < listener->backlog) return true;
  struct mst_conn *oldest = MST__CONTAINER(listener->half_open.next, struct mst_conn, listener_node);
  if (!oldest->syn_retransmitted) return false;
  listener->stack->stats.tcp_attempt_fails++;
  mst__conn_free(oldest);
  return true;
}

/* Why a segment cannot open a connection, or NONE. */
static enum mst_drop refuses(struct mst_listener *listener, const struct mst__ip *ip, const struct mst__tcp *tcp,
                             struct mst_route *route) {
  if ((tcp->flags & (MST__SYN | MST__ACK | MST__RST)) != MST__SYN) return MST_DROP_TCP_NO_CONN;
  if (listener->ready_count >= listener->backlog || !half_open_room(listener)) return MST_DROP_TCP_BACKLOG;
  return mst__path_route(listener->stack, &ip->source, route) ? MST_DROP_NO_ROUTE : MST_DROP_NONE;
}

struct mst_conn *mst__listen_input(mst_binding *binding, const struct mst__ip *ip, const struct mst__tcp *tcp) {
  struct mst_listener *listener = binding->listener;
  mst_stack *stack = binding->stack;
  struct mst_route route;
  enum mst_drop drop = refuses(listener, ip, tcp, &route);
  if (drop) {
    mst__drop(stack, drop);
    if (tcp->flags & MST__ACK) mst__reset_reply(stack, ip, tcp);
    return NULL;
  }
  struct mst__flow flow = {
      .local_addr = ip->destination,
      .remote_addr = ip->source,
      .local_port = tcp->destination_port,
      .remote_port = tcp->source_port,
  };
  struct mst_conn *conn = half_open(listener, &flow, tcp, route.mtu);
  if (!conn) mst__drop(stack, MST_DROP_NO_MEMORY);
  return conn;
}
