/* Out of memory is an ordinary path: over the life of a connection the Nth allocation fails, for every N, on either
 * side, once or from then on. Nothing crashes, nothing leaks, and there is an end or an error. */
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES 30000

struct side {
  struct sim_node *node;
  mst_conn *conn;
  size_t sent, received;
  bool shut, eof, over;
  int error;
};

struct scene {
  struct sim *sim;
  struct side client, server;
  mst_listener *listener;
};

static uint8_t byte_at(size_t position) {
  return (uint8_t)(position * 13 + (position >> 8));
}

static void end_with(struct side *side, int error) {
  side->error = error;
  side->over = true;
  side->conn = NULL;
}

static void on_event(mst_conn *conn, unsigned events, void *user) {
  struct side *side = user;
  if (!(events & MST_EV_ERROR)) return;
  int error = mst_conn_error(conn);
  assert_true(error < 0);
  mst_close(conn);
  end_with(side, error);
}

static void on_listener(mst_listener *listener, void *user) {
  struct scene *scene = user;
  mst_conn *conn = mst_accept(listener);
  if (!conn) return;
  scene->server.conn = conn;
  mst_conn_set_event(conn, on_event, &scene->server);
}

static void pump(struct side *side) {
  uint8_t buffer[3000];
  ptrdiff_t n;
  while (side->conn && !side->eof && (n = mst_read(side->conn, buffer, sizeof buffer)) >= 0) {
    side->eof = n == 0;
    for (ptrdiff_t i = 0; i < n; i++) assert_int_equal(buffer[i], byte_at(side->received + (size_t)i));
    side->received += (size_t)n;
  }
  while (side->conn && side->sent < BYTES) {
    size_t want = BYTES - side->sent < sizeof buffer ? BYTES - side->sent : sizeof buffer;
    for (size_t i = 0; i < want; i++) buffer[i] = byte_at(side->sent + i);
    n = mst_write(side->conn, buffer, want);
    if (n <= 0) break;
    side->sent += (size_t)n;
  }
  if (side->conn && side->sent == BYTES && !side->shut) side->shut = mst_shutdown(side->conn) == 0;
  if (side->conn && side->shut && side->eof) {
    mst_close(side->conn);
    end_with(side, 0);
  }
}

static void app(struct sim_node *node, void *user) {
  struct side *side = user;
  pump(side);
  /* Whoever was refused memory tries again. */
  if (side->conn) node->wake_at_ns = node->sim->now_ns + 50 * SIM_MS;
}

static bool add(struct scene *scene, struct side *side, struct sim_memory memory) {
  side->node = sim_add_stack_with(scene->sim, NULL, memory);
  if (!side->node) return false;
  side->node->app = app;
  side->node->user = side;
  side->node->out.delay_ns = 5 * SIM_MS;
  return true;
}

static int open_both(struct scene *scene) {
  mst_binding *binding;
  struct mst_endpoint local = {.addr = MST_ADDR_ANY4, .port = 80};
  int rc = mst_bind(scene->server.node->stack, MST_TCP, &local, 0, &binding);
  if (rc) return rc;
  rc = mst_listen(binding, 8, on_listener, scene, &scene->listener);
  mst_unbind(binding);
  if (rc) return rc;
  struct mst_endpoint remote = {.addr = scene->server.node->ip4, .port = 80};
  rc = mst_connect(scene->client.node->stack, NULL, &remote, on_event, &scene->client, &scene->client.conn);
  if (!rc) sim_turn(scene->client.node);
  return rc;
}

/* Returns how many allocations there were; both sides end well or with an error. */
static uint64_t run(bool server_fails, uint64_t fail_at, bool for_ever) {
  static const uint64_t lose[] = {4, 9, 10, 20, UINT64_MAX};
  struct scene scene = {.sim = sim_new(7)};
  struct sim_memory failing = {.fail_at = fail_at, .fail_after = for_ever}, plenty = {0};
  uint64_t calls = UINT64_MAX;
  bool made = add(&scene, &scene.client, server_fails ? plenty : failing) &&
              add(&scene, &scene.server, server_fails ? failing : plenty);
  if (made) {
    scene.client.node->out.lose = scene.server.node->out.lose = lose;
    int rc = open_both(&scene);
    if (rc) assert_int_equal(rc, -MST_ENOMEM);
    bool opened = rc == 0;
    uint64_t end_ns = scene.sim->now_ns + 3600 * SIM_S;
    while (opened && !(scene.client.over && !scene.server.conn) && sim_step(scene.sim, end_ns)) continue;
    if (opened && !for_ever) assert_true(scene.client.over);
    if (opened && scene.client.over && !scene.client.error) {
      assert_int_equal(scene.client.received, BYTES);
      if (!scene.server.error) assert_int_equal(scene.server.received, BYTES);
    }
    calls = scene.sim->nodes[server_fails]->memory.calls;
  }
  assert_int_equal(sim_free(scene.sim), 0);
  return calls;
}

static void each_once(void **state) {
  (void)state;
  for (int server = 0; server < 2; server++) {
    uint64_t all = run(server, 0, false);
    assert_true(all > 10 && all < 10000);
    for (uint64_t n = 1; n <= all; n++) run(server, n, false);
  }
}

static void each_for_ever(void **state) {
  (void)state;
  for (int server = 0; server < 2; server++) {
    uint64_t all = run(server, 0, false);
    for (uint64_t n = 1; n <= all; n++) run(server, n, true);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_once),
      cmocka_unit_test(each_for_ever),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
