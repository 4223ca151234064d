#include "flow.h"

#include <stdlib.h>

static uint8_t byte_at(uint64_t position) {
  return (uint8_t)(position * 167 + (position >> 9) * 29 + 3);
}

static void write_more(struct flow_end *end) {
  uint8_t data[8192];
  while (end->conn && end->sent < end->to_send) {
    size_t n = end->to_send - end->sent < sizeof data ? (size_t)(end->to_send - end->sent) : sizeof data;
    for (size_t i = 0; i < n; i++) data[i] = byte_at(end->sent + i);
    ptrdiff_t taken = mst_write(end->conn, data, n);
    if (taken <= 0) return;
    end->sent += (uint64_t)taken;
  }
}

static void read_all(struct flow_end *end) {
  uint8_t data[8192];
  ptrdiff_t n;
  while ((n = mst_read(end->conn, data, sizeof data)) > 0) {
    for (ptrdiff_t i = 0; i < n; i++) end->wrong |= data[i] != byte_at(end->received + (uint64_t)i);
    end->received += (uint64_t)n;
  }
}

static void on_event(mst_conn *conn, unsigned events, void *user) {
  struct flow_end *end = user;
  if (events & MST_EV_ERROR) end->error = mst_conn_error(conn);
  if (events & MST_EV_READABLE) read_all(end);
  if (events & (MST_EV_CONNECTED | MST_EV_WRITABLE)) write_more(end);
}

static void on_listener(mst_listener *listener, void *user) {
  struct flow_end *end = user;
  end->conn = mst_accept(listener);
  if (!end->conn) abort();
  mst_conn_set_event(end->conn, on_event, end);
  read_all(end);
  write_more(end);
}

void flow_open(struct flow *flow, const struct flow_options *options) {
  *flow = (struct flow){.sim = sim_new(options->seed)};
  struct flow_end *ends[] = {&flow->client, &flow->server};
  for (int i = 0; i < 2; i++) {
    ends[i]->flow = flow;
    ends[i]->node = sim_add_stack(flow->sim, i ? &options->server : &options->client);
    if (!ends[i]->node) abort();
    if (options->mtu) ends[i]->node->route_mtu = options->mtu;
  }
  flow->client.node->out = options->forward;
  flow->server.node->out = options->back;
  flow->client.to_send = options->to_server;
  flow->server.to_send = options->to_client;
  struct sim_node *server = flow->server.node;
  struct mst_endpoint at = {.addr = options->ip6 ? server->ip6 : server->ip4, .port = 80};
  mst_binding *binding;
  mst_listener *listener;
  if (mst_bind(server->stack, MST_TCP, &at, 0, &binding)) abort();
  if (mst_listen(binding, 0, on_listener, &flow->server, &listener)) abort();
  mst_unbind(binding);
  if (mst_connect(flow->client.node->stack, NULL, &at, on_event, &flow->client, &flow->client.conn)) abort();
}

static bool all_came(void *user) {
  const struct flow *flow = user;
  return flow->server.received == flow->client.to_send && flow->client.received == flow->server.to_send;
}

bool flow_run(struct flow *flow, double seconds) {
  write_more(&flow->client);
  write_more(&flow->server);
  sim_turn(flow->client.node);
  sim_turn(flow->server.node);
  bool done = sim_run_until(flow->sim, all_came, flow, (uint64_t)(seconds * 1e9));
  return done && !flow->client.wrong && !flow->server.wrong;
}

struct mst_tcp_info flow_info(const struct flow_end *end) {
  struct mst_tcp_info info;
  mst_conn_get_info(end->conn, &info);
  return info;
}

struct mst_stack_stats flow_stats(const struct flow_end *end) {
  struct mst_stack_stats stats;
  mst_stack_get_stats(end->node->stack, &stats);
  return stats;
}

size_t flow_close(struct flow *flow) {
  return sim_free(flow->sim);
}
