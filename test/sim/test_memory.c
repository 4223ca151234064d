/* Out of memory is an ordinary path: over the life of a connection, on each of several ways through it, the Nth
 * allocation fails, for every N, on either side, once or from then on. Nothing crashes, nothing leaks, and there is an
 * end or an error. */
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES 30000

/* Ways through the life of a connection. */
struct path {
  const char *name;
  const uint64_t *lose; /* packet numbers, of both directions */
  struct mst_stack_options options;
  uint32_t mark; /* chance of CE */
  bool small;    /* segments of 500 bytes: many records, many blocks */
  bool ip6;
  bool abort; /* the client breaks off in the middle */
  bool leave; /* the client closes with data unread, and writes no end */
  bool stop;  /* the listener goes while connections are half open or wait */
  bool again; /* the client opens the same connection again, through TIME-WAIT */
};

static const uint64_t few[] = {4, 9, 10, 20, UINT64_MAX};
static const uint64_t many[] = {5, 7, 9, 11, 13, 16, 17, 18, 22, 30, 31, 33, 40, UINT64_MAX};
static const uint64_t handshake[] = {0, 1, 3, 5, UINT64_MAX};

static const struct path paths[] = {
    {.name = "plain", .lose = few},
    {.name = "without SACK", .lose = few, .options.no_sack = true},
    {.name = "SACK recovery", .lose = many, .small = true},
    {.name = "the handshake is lost", .lose = handshake, .ip6 = true},
    {.name = "ECN", .lose = few, .options.ecn = MST_ECN_CLASSIC, .mark = 200000},
    {.name = "accurate ECN", .lose = few, .options.ecn = MST_ECN_ACCURATE, .mark = 200000, .small = true},
    {.name = "SYN cookies", .lose = few, .options.syn_cookies = MST_SYN_COOKIES_ALWAYS},
    {.name = "BBR", .lose = many, .options.congestion_control = "bbr"},
    {.name = "a memory limit", .lose = many, .options.memory_max_bytes = 60000, .small = true},
    {.name = "abort", .lose = few, .abort = true},
    {.name = "close with data unread", .lose = few, .leave = true},
    {.name = "the listener closes", .lose = handshake, .stop = true},
    {.name = "TIME-WAIT and again", .lose = few, .again = true},
};

struct side {
  const struct path *path;
  struct sim_node *node;
  mst_conn *conn;
  size_t sent, received;
  bool leaves, waits, shut, eof, over;
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
  while (side->conn && !side->eof && !(side->leaves && side->received > BYTES / 3) &&
         (n = mst_read(side->conn, buffer, sizeof buffer)) >= 0) {
    side->eof = n == 0;
    for (ptrdiff_t i = 0; i < n; i++) assert_int_equal(buffer[i], byte_at(side->received + (size_t)i));
    side->received += (size_t)n;
  }
  if (side->conn && side->leaves && side->received > BYTES / 3) {
    if (side->path->abort)
      mst_abort(side->conn);
    else
      mst_close(side->conn);
    return end_with(side, -MST_ECANCELED);
  }
  while (side->conn && side->sent < BYTES) {
    size_t want = BYTES - side->sent < sizeof buffer ? BYTES - side->sent : sizeof buffer;
    for (size_t i = 0; i < want; i++) buffer[i] = byte_at(side->sent + i);
    n = mst_write(side->conn, buffer, want);
    if (n <= 0) break;
    side->sent += (size_t)n;
  }
  if (side->conn && side->sent == BYTES && !side->shut && (side->eof || !side->waits))
    side->shut = mst_shutdown(side->conn) == 0;
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

static bool add(struct scene *scene, struct side *side, const struct path *path, struct sim_memory memory) {
  side->path = path;
  side->node = sim_add_stack_with(scene->sim, &path->options, memory);
  if (!side->node) return false;
  side->node->app = app;
  side->node->user = side;
  side->node->out.delay_ns = 5 * SIM_MS;
  side->node->out.lose = path->lose;
  side->node->out.mark = path->mark;
  if (path->small) side->node->route_mtu = path->ip6 ? 1280 : 576;
  return true;
}

static struct mst_endpoint server_endpoint(const struct scene *scene, const struct path *path) {
  const struct sim_node *node = scene->server.node;
  return (struct mst_endpoint){.addr = path->ip6 ? node->ip6 : node->ip4, .port = 80};
}

static int open_listener(struct scene *scene, const struct path *path) {
  mst_binding *binding;
  struct mst_endpoint local = server_endpoint(scene, path);
  int rc = mst_bind(scene->server.node->stack, MST_TCP, &local, 0, &binding);
  if (rc) return rc;
  rc = mst_listen(binding, 8, on_listener, scene, &scene->listener);
  mst_unbind(binding);
  return rc;
}

static int open_client(struct scene *scene, const struct path *path) {
  mst_binding *binding;
  struct mst_endpoint local = {.addr = path->ip6 ? MST_ADDR_ANY6 : MST_ADDR_ANY4, .port = 4000};
  struct mst_endpoint remote = server_endpoint(scene, path);
  int rc = mst_bind(scene->client.node->stack, MST_TCP, &local, 0, &binding);
  if (rc) return rc;
  rc = mst_connect(scene->client.node->stack, binding, &remote, on_event, &scene->client, &scene->client.conn);
  mst_unbind(binding);
  if (!rc) sim_turn(scene->client.node);
  return rc;
}

static bool is_over(const struct scene *scene) {
  return scene->client.over && !scene->server.conn;
}

/* From the SYN until both have ended, well or with an error. */
static void live(struct scene *scene, const struct path *path) {
  uint64_t begin_ns = scene->sim->now_ns, end_ns = begin_ns + 3600 * SIM_S;
  scene->client.leaves = path->abort || path->leave;
  scene->client.waits = path->again; /* the server ends first, and has the TIME-WAIT */
  while (!is_over(scene) && sim_step(scene->sim, end_ns)) {
    if (!path->stop || !scene->listener || scene->sim->now_ns < begin_ns + 12 * SIM_MS) continue;
    mst_listener_close(scene->listener);
    scene->listener = NULL;
  }
}

static void check_ends(const struct scene *scene, const struct path *path, bool for_ever) {
  if (!for_ever && !path->stop) assert_true(scene->client.over);
  if (!scene->client.over || scene->client.error) return;
  assert_int_equal(scene->client.received, BYTES);
  if (scene->server.over && !scene->server.error) assert_int_equal(scene->server.received, BYTES);
}

static void once_more(struct scene *scene, const struct path *path) {
  struct side *sides[] = {&scene->client, &scene->server};
  for (int i = 0; i < 2; i++) *sides[i] = (struct side){.path = path, .node = sides[i]->node};
  sim_run_for(scene->sim, SIM_S);
  int rc = open_client(scene, path);
  if (rc)
    assert_true(rc == -MST_ENOMEM || rc == -MST_EADDRINUSE); /* the client's own TIME-WAIT */
  else
    live(scene, path);
}

/* Returns how many allocations there were. */
static uint64_t run(const struct path *path, bool server_fails, uint64_t fail_at, bool for_ever) {
  struct scene scene = {.sim = sim_new(7)};
  struct sim_memory failing = {.fail_at = fail_at, .fail_after = for_ever}, plenty = {0};
  uint64_t calls = UINT64_MAX;
  bool made = add(&scene, &scene.client, path, server_fails ? plenty : failing) &&
              add(&scene, &scene.server, path, server_fails ? failing : plenty);
  if (made) {
    int rc = open_listener(&scene, path);
    if (!rc) rc = open_client(&scene, path);
    if (rc) assert_int_equal(rc, -MST_ENOMEM);
    if (!rc) {
      live(&scene, path);
      check_ends(&scene, path, for_ever);
      if (path->again) once_more(&scene, path);
      sim_run_for(scene.sim, 200 * SIM_S); /* TIME-WAIT ends */
    }
    calls = scene.sim->nodes[server_fails]->memory.calls;
  }
  assert_int_equal(sim_free(scene.sim), 0);
  return calls;
}

static void each(const struct path *path, bool for_ever) {
  for (int server = 0; server < 2; server++) {
    uint64_t all = run(path, server, 0, false);
    assert_in_range(all, 5, 10000);
    for (uint64_t n = 1; n <= all; n++) run(path, server, n, for_ever);
    if (!for_ever) print_message("%s: %llu allocations\n", path->name, (unsigned long long)all);
  }
}

static void each_once(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) each(&paths[i], false);
}

static void each_for_ever(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) each(&paths[i], true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_once),
      cmocka_unit_test(each_for_ever),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
