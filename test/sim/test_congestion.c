/* Congestion control in whole stacks: connections of one node through one rate-limited link, in virtual time. */
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FLOWS_MAX 4

struct flow {
  struct bottleneck *net;
  mst_conn *conn;
  uint64_t limit; /* bytes to send; 0: no end */
  uint64_t sent, received;
  uint64_t done_ns; /* when all of `limit` had arrived */
};

struct bottleneck {
  struct sim *sim;
  struct sim_node *sender, *receiver;
  struct flow flows[FLOWS_MAX];
  int flow_count, accepted;
};

static void feed(struct flow *f) {
  static const uint8_t bytes[65536];
  while (!f->limit || f->sent < f->limit) {
    uint64_t left = f->limit ? f->limit - f->sent : sizeof bytes;
    ptrdiff_t n = mst_write(f->conn, bytes, left < sizeof bytes ? (size_t)left : sizeof bytes);
    if (n < 0) return;
    f->sent += (uint64_t)n;
  }
}

static void on_sender(mst_conn *conn, unsigned events, void *user) {
  (void)conn;
  assert_int_equal(events & MST_EV_ERROR, 0);
  if (events & (MST_EV_WRITABLE | MST_EV_CONNECTED)) feed(user);
}

static void on_receiver(mst_conn *conn, unsigned events, void *user) {
  struct flow *f = user;
  (void)events;
  size_t n = mst_readable_bytes(conn);
  f->received += n;
  mst_consume(conn, n);
  if (f->limit && !f->done_ns && f->received >= f->limit) f->done_ns = f->net->sim->now_ns;
}

static void on_listener(mst_listener *listener, void *user) {
  struct bottleneck *net = user;
  for (mst_conn *conn; (conn = mst_accept(listener));) {
    struct flow *f = &net->flows[net->accepted++];
    mst_conn_set_event(conn, on_receiver, f);
    on_receiver(conn, 0, f);
  }
}

static struct bottleneck *open_net(uint64_t rate_bps, uint64_t rtt_ns, uint32_t queue_bytes) {
  struct bottleneck *net = calloc(1, sizeof *net);
  mst_binding *binding;
  mst_listener *listener;
  struct mst_stack_options options = {.send_buffer_bytes = 16 << 20, .receive_buffer_bytes = 16 << 20};
  if (!net) abort();
  net->sim = sim_new(7);
  net->sender = sim_add_stack(net->sim, &options);
  net->receiver = sim_add_stack(net->sim, &options);
  net->sender->out = (struct sim_link){.rate_bps = rate_bps, .delay_ns = rtt_ns / 2, .queue_bytes = queue_bytes};
  net->receiver->out = (struct sim_link){.delay_ns = rtt_ns / 2};
  struct mst_endpoint at = {.addr = net->receiver->ip4, .port = 80};
  assert_int_equal(mst_bind(net->receiver->stack, MST_TCP, &at, 0, &binding), 0);
  assert_int_equal(mst_listen(binding, 0, on_listener, net, &listener), 0);
  mst_unbind(binding);
  return net;
}

static struct flow *add_flow(struct bottleneck *net, const char *algorithm, uint64_t limit) {
  struct flow *f = &net->flows[net->flow_count++];
  struct mst_endpoint to = {.addr = net->receiver->ip4, .port = 80};
  *f = (struct flow){.net = net, .limit = limit};
  assert_int_equal(mst_connect(net->sender->stack, NULL, &to, on_sender, f, &f->conn), 0);
  assert_int_equal(mst_conn_set_congestion_control(f->conn, algorithm), 0);
  sim_turn(net->sender);
  /* Flows are told apart by the order in which they are accepted. */
  while (net->accepted < net->flow_count) sim_step(net->sim, net->sim->now_ns + SIM_S);
  return f;
}

static void close_net(struct bottleneck *net) {
  for (int i = 0; i < net->flow_count; i++) mst_abort(net->flows[i].conn);
  assert_int_equal(sim_free(net->sim), 0);
  free(net);
}

/* Bits a second of payload of each flow in the next `duration_ns`. */
static void measure(struct bottleneck *net, uint64_t duration_ns, double *bps) {
  for (int i = 0; i < net->flow_count; i++) bps[i] = (double)net->flows[i].received;
  sim_run_for(net->sim, duration_ns);
  for (int i = 0; i < net->flow_count; i++)
    bps[i] = ((double)net->flows[i].received - bps[i]) * 8e9 / (double)duration_ns;
}

static struct mst_tcp_info info_of(const struct flow *f) {
  struct mst_tcp_info info = {0};
  mst_conn_get_info(f->conn, &info);
  return info;
}

/* Each alone fills a link whose queue holds what the path does. */
static void fills_the_link(void **state) {
  (void)state;
  static const char *const names[] = {"cubic", "reno", "bbr"};
  static const uint64_t rtts_ms[] = {1, 20, 100};
  for (size_t i = 0; i < 3; i++) {
    for (size_t j = 0; j < 3; j++) {
      uint32_t bdp = (uint32_t)(50000000 / 8000 * rtts_ms[j]);
      struct bottleneck *net = open_net(50000000, rtts_ms[j] * SIM_MS, bdp < 65536 ? 65536 : bdp);
      double bps[FLOWS_MAX];
      struct flow *f = add_flow(net, names[i], 0);
      sim_run_for(net->sim, 3 * SIM_S);
      measure(net, 20 * SIM_S, bps);
      struct mst_tcp_info info = info_of(f);
      print_message("%s, %llu ms: %.1f Mb/s, srtt %.1f ms, %llu lost, %u sent again\n", names[i],
                    (unsigned long long)rtts_ms[j], bps[0] / 1e6, info.rtt_us / 1e3,
                    (unsigned long long)net->sender->out.lost, info.total_retrans);
      assert_true(bps[0] > 42e6);
      close_net(net);
    }
  }
}

/* BBR's queue is short where CUBIC's is full. */
static void bbr_keeps_the_queue_short(void **state) {
  (void)state;
  double srtt_ms[2];
  for (int i = 0; i < 2; i++) {
    struct bottleneck *net = open_net(50000000, 20 * SIM_MS, 500000);
    struct flow *f = add_flow(net, i ? "cubic" : "bbr", 0);
    double sum = 0;
    sim_run_for(net->sim, 5 * SIM_S);
    for (int n = 0; n < 1000; n++) {
      sim_run_for(net->sim, 10 * SIM_MS);
      sum += info_of(f).rtt_us / 1e3;
    }
    srtt_ms[i] = sum / 1000;
    close_net(net);
  }
  print_message("bbr %.1f ms, cubic %.1f ms\n", srtt_ms[0], srtt_ms[1]);
  assert_true(srtt_ms[0] < 26);
  assert_true(srtt_ms[1] > 50);
}

static double share_of_first(const char *a, const char *b, uint64_t head_start_ns) {
  struct bottleneck *net = open_net(50000000, 20 * SIM_MS, 125000);
  double bps[FLOWS_MAX];
  net->sender->out.jitter_ns = 0;
  add_flow(net, a, 0);
  sim_run_for(net->sim, head_start_ns);
  add_flow(net, b, 0);
  sim_run_for(net->sim, 10 * SIM_S);
  measure(net, 40 * SIM_S, bps);
  print_message("%s %.1f, %s %.1f Mb/s\n", a, bps[0] / 1e6, b, bps[1] / 1e6);
  assert_true(bps[0] + bps[1] > 45e6);
  close_net(net);
  return bps[0] / (bps[0] + bps[1]);
}

static void shares(void **state) {
  (void)state;
  double cubic = share_of_first("cubic", "cubic", 3 * SIM_S), reno = share_of_first("newreno", "newreno", 3 * SIM_S);
  double bbr = share_of_first("bbr", "bbr", 3 * SIM_S), mixed = share_of_first("cubic", "newreno", 0);
  assert_true(cubic > 0.35 && cubic < 0.65);
  assert_true(reno > 0.35 && reno < 0.65);
  assert_true(bbr > 0.25 && bbr < 0.75);
  assert_true(mixed > 0.3 && mixed < 0.8);
}

/* BBR's own: losses that are no congestion. CUBIC's window is near 38 segments then (RFC 9438, table 1). */
static void random_loss(void **state) {
  (void)state;
  double bps[2][FLOWS_MAX];
  for (int i = 0; i < 2; i++) {
    struct bottleneck *net = open_net(50000000, 40 * SIM_MS, 250000);
    net->sender->out.loss = 5000;
    add_flow(net, i ? "cubic" : "bbr", 0);
    sim_run_for(net->sim, 3 * SIM_S);
    measure(net, 20 * SIM_S, bps[i]);
    close_net(net);
  }
  print_message("bbr %.1f, cubic %.1f Mb/s\n", bps[0][0] / 1e6, bps[1][0] / 1e6);
  assert_true(bps[0][0] > 35e6);
  assert_true(bps[1][0] > 3e6);
}

/* Slow start on a path with a queue: the queue does not overflow much, and 100 KB take three round trips. */
static void start(void **state) {
  (void)state;
  struct bottleneck *net = open_net(50000000, 40 * SIM_MS, 1000000);
  uint64_t before = net->sim->now_ns;
  struct flow *f = add_flow(net, "cubic", 100000);
  sim_run_for(net->sim, SIM_S);
  double ms = (double)(f->done_ns - before) / 1e6;
  print_message("100 KB in %.1f ms\n", ms);
  assert_true(f->done_ns && ms < 5 * 40); /* the handshake, then 10, 20 and 40 segments */
  add_flow(net, "cubic", 0);
  sim_run_for(net->sim, 2 * SIM_S);
  print_message("%llu lost\n", (unsigned long long)net->sender->out.lost);
  assert_true(net->sender->out.lost < 60);
  close_net(net);
}

/* MST_TCP_MAX_PACING_RATE in a whole stack. */
static void paced(void **state) {
  (void)state;
  struct bottleneck *net = open_net(100000000, 20 * SIM_MS, 500000);
  double bps[FLOWS_MAX];
  struct flow *f = add_flow(net, "cubic", 0);
  assert_int_equal(mst_conn_set_option(f->conn, MST_TCP_MAX_PACING_RATE, 10000000 / 8), 0);
  sim_run_for(net->sim, SIM_S);
  measure(net, 5 * SIM_S, bps);
  print_message("%.2f Mb/s, srtt %.1f ms\n", bps[0] / 1e6, info_of(f).rtt_us / 1e3);
  assert_true(bps[0] > 9.7e6 && bps[0] < 10.3e6);
  assert_true(info_of(f).rtt_us < 23000);
  close_net(net);
}

/* From one to the next while data is under way. */
static void switched(void **state) {
  (void)state;
  static const char *const names[] = {"bbr", "cubic", "bbr", "newreno", "cubic"};
  struct bottleneck *net = open_net(50000000, 20 * SIM_MS, 125000);
  double bps[FLOWS_MAX];
  struct flow *f = add_flow(net, "newreno", 0);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    sim_run_for(net->sim, 2 * SIM_S);
    assert_int_equal(mst_conn_set_congestion_control(f->conn, names[i]), 0);
    assert_string_equal(info_of(f).congestion_control, names[i]);
    measure(net, 5 * SIM_S, bps);
    print_message("%s %.1f Mb/s\n", names[i], bps[0] / 1e6);
    assert_true(bps[0] > 38e6);
  }
  assert_int_equal(mst_conn_set_congestion_control(f->conn, "vegas"), -MST_ENOENT);
  close_net(net);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fills_the_link), cmocka_unit_test(bbr_keeps_the_queue_short),
      cmocka_unit_test(shares),         cmocka_unit_test(random_loss),
      cmocka_unit_test(start),          cmocka_unit_test(paced),
      cmocka_unit_test(switched),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
