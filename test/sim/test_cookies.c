/* Many clients at once over a bad link, to a listener that cannot keep them all half open: whoever speaks first is
 * served, from the SYN cache or by a cookie, and what each sends comes back to it. */
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CLIENTS = 300, BYTES = 3000 };

struct client {
  mst_conn *conn;
  size_t sent, received;
  bool done;
  int error;
};

struct scene {
  struct sim *sim;
  struct sim_node *near, *far;
  mst_listener *listener;
  mst_conn *served[2 * CLIENTS];
  size_t served_count;
  struct client clients[CLIENTS];
};

static uint8_t byte_at(const struct client *client, const struct scene *scene, size_t position) {
  return (uint8_t)((size_t)(client - scene->clients) * 7 + position * 13 + (position >> 8));
}

static void on_listener(mst_listener *listener, void *user) {
  struct scene *scene = user;
  mst_conn *conn;
  while (scene->served_count < 2 * CLIENTS && (conn = mst_accept(listener)))
    scene->served[scene->served_count++] = conn;
}

/* Sends back what comes. */
static void serve(struct sim_node *node, void *user) {
  struct scene *scene = user;
  for (size_t i = 0; i < scene->served_count; i++) {
    mst_conn *conn = scene->served[i];
    uint8_t buffer[BYTES];
    ptrdiff_t n = mst_read(conn, buffer, sizeof buffer);
    if (n > 0) assert_int_equal(mst_write(conn, buffer, (size_t)n), n);
    if (n > 0 || n == -MST_EAGAIN) continue;
    mst_close(conn);
    scene->served[i--] = scene->served[--scene->served_count];
  }
  node->wake_at_ns = node->sim->now_ns + 200 * SIM_MS;
}

static void ask(struct sim_node *node, void *user) {
  struct scene *scene = user;
  for (size_t i = 0; i < CLIENTS; i++) {
    struct client *client = &scene->clients[i];
    uint8_t buffer[BYTES];
    if (!client->conn) continue;
    for (size_t at = client->sent; at < BYTES; at++) buffer[at] = byte_at(client, scene, at);
    ptrdiff_t n = client->sent < BYTES ? mst_write(client->conn, buffer + client->sent, BYTES - client->sent) : 0;
    if (n > 0) client->sent += (size_t)n;
    n = mst_read(client->conn, buffer, sizeof buffer);
    for (ptrdiff_t at = 0; at < n; at++)
      assert_int_equal(buffer[at], byte_at(client, scene, client->received + (size_t)at));
    if (n > 0) client->received += (size_t)n;
    if (n < 0 && n != -MST_EAGAIN) client->error = (int)n;
    if (client->received < BYTES && !client->error) continue;
    mst_close(client->conn);
    client->conn = NULL;
    client->done = true;
  }
  node->wake_at_ns = node->sim->now_ns + 200 * SIM_MS;
}

static bool all_done(void *user) {
  const struct scene *scene = user;
  for (size_t i = 0; i < CLIENTS; i++)
    if (!scene->clients[i].done) return false;
  return true;
}

static struct sim_node *add(struct scene *scene, const struct mst_stack_options *options,
                            void (*app)(struct sim_node *, void *)) {
  struct sim_node *node = sim_add_stack(scene->sim, options);
  assert_non_null(node);
  node->app = app;
  node->user = scene;
  node->out.delay_ns = 20 * SIM_MS;
  node->out.jitter_ns = 5 * SIM_MS;
  node->out.loss = 50000;
  node->out.duplicate = 20000;
  return node;
}

static struct mst_stack_stats stats_after(uint64_t seed, enum mst_syn_cookies cookies) {
  struct scene *scene = calloc(1, sizeof *scene);
  if (!scene) abort();
  scene->sim = sim_new(seed);
  scene->near = add(scene, NULL, ask);
  scene->far = add(scene, &(struct mst_stack_options){.syn_cookies = cookies}, serve);
  mst_binding *binding;
  struct mst_endpoint local = {.addr = MST_ADDR_ANY4, .port = 80}, remote = {.addr = scene->far->ip4, .port = 80};
  assert_int_equal(mst_bind(scene->far->stack, MST_TCP, &local, 0, &binding), 0);
  assert_int_equal(mst_listen(binding, 16, on_listener, scene, &scene->listener), 0);
  mst_unbind(binding);
  for (size_t i = 0; i < CLIENTS; i++)
    assert_int_equal(mst_connect(scene->near->stack, NULL, &remote, NULL, NULL, &scene->clients[i].conn), 0);
  sim_turn(scene->near);
  sim_turn(scene->far);
  assert_true(sim_run_until(scene->sim, all_done, scene, 600 * SIM_S));
  unsigned failed = 0;
  for (size_t i = 0; i < CLIENTS; i++) failed += scene->clients[i].error != 0;
  if (cookies != MST_SYN_COOKIES_NEVER) assert_int_equal(failed, 0);
  struct mst_stack_stats stats;
  mst_stack_get_stats(scene->far->stack, &stats);
  assert_int_equal(sim_free(scene->sim), 0);
  free(scene);
  return stats;
}

static void on_overflow(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 5; seed++) {
    struct mst_stack_stats stats = stats_after(seed, MST_SYN_COOKIES_ON_OVERFLOW);
    assert_true(stats.tcp_syncookies_sent >= CLIENTS / 2);
    assert_true(stats.tcp_passive_opens > stats.tcp_syncookies_recv);
  }
}

static void always(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 5; seed++) {
    struct mst_stack_stats stats = stats_after(seed, MST_SYN_COOKIES_ALWAYS);
    assert_int_equal(stats.tcp_passive_opens, CLIENTS);
    assert_true(stats.tcp_syncookies_recv >= CLIENTS);
  }
}

static void never(void **state) {
  (void)state;
  struct mst_stack_stats stats = stats_after(1, MST_SYN_COOKIES_NEVER);
  assert_int_equal(stats.tcp_syncookies_sent, 0);
  assert_true(stats.tcp_req_q_full_drop > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(on_overflow),
      cmocka_unit_test(always),
      cmocka_unit_test(never),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
