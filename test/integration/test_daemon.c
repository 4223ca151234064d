/* Processes that do not trust each other, through one daemon: data arrives whole, leases follow the OS's rules, and a
 * process that dies leaves nothing behind. Without privilege. */
#include "unit/unit.h"

#include "daemon_rig.h"
#include "pattern.h"

#define BULK_BYTES (64ull << 20)

struct transfer {
  const char *spec;
  uint16_t port;
  uint64_t bytes;
};

struct end {
  mst_conn *conn;
  uint64_t moved, total;
  bool over;
};

static void receive(mst_conn *conn, unsigned events, void *user) {
  static uint8_t buffer[1 << 16];
  struct end *end = user;
  ptrdiff_t n;
  (void)events;
  while ((n = mst_read(conn, buffer, sizeof buffer)) > 0) {
    if (!is_pattern(end->moved, buffer, (size_t)n)) rig_fail("wrong bytes");
    end->moved += (uint64_t)n;
  }
  if (n == -MST_EAGAIN) return;
  if (n < 0) rig_fail(mst_strerror((int)n));
  mst_close(conn);
  end->over = true;
}

static void accept_one(mst_listener *listener, void *user) {
  struct end *end = user;
  end->conn = mst_accept(listener);
  mst_conn_set_event(end->conn, receive, end);
  receive(end->conn, 0, end);
}

static void serve(void *ctx, int ready_fd) {
  const struct transfer *transfer = ctx;
  struct app app;
  struct end end = {0};
  struct mst_endpoint local = endpoint("127.0.0.1", transfer->port);
  mst_binding *binding;
  mst_listener *listener;
  app_open(&app, transfer->spec);
  int error = mst_bind(app.stack, MST_TCP, &local, 0, &binding);
  if (error) rig_fail(mst_strerror(error));
  if (mst_listen(binding, 0, accept_one, &end, &listener)) rig_fail("listen");
  app_ready(ready_fd);
  while (!end.over) app_turn(&app, RIG_LIMIT_MS);
  if (end.moved != transfer->bytes) rig_fail("too few bytes");
  for (int i = 0; i < 20; i++) app_turn(&app, 1); /* the last ACK */
  mst_host_close(app.host);
}

static void transmit(mst_conn *conn, unsigned events, void *user) {
  struct end *end = user;
  if (events & MST_EV_ERROR) rig_fail(mst_strerror(mst_conn_error(conn)));
  while (end->moved < end->total) {
    uint64_t left = end->total - end->moved;
    ptrdiff_t n = mst_write(conn, pattern_at(end->moved), left < PATTERN_BYTES ? (size_t)left : PATTERN_BYTES);
    if (n == -MST_EAGAIN || n == -MST_ENOTCONN) return;
    if (n < 0) rig_fail(mst_strerror((int)n));
    end->moved += (uint64_t)n;
  }
  if (!end->over) mst_shutdown(conn);
  end->over = true;
}

/* The peer has all of it, the FIN too. */
static bool delivered(const mst_conn *conn) {
  struct mst_tcp_info info;
  mst_conn_get_info(conn, &info);
  return info.state == MST_FIN_WAIT_2 || info.state == MST_TIME_WAIT || info.state == MST_CLOSED;
}

static void send_all(const struct transfer *transfer) {
  struct app app;
  struct end end = {.total = transfer->bytes};
  struct mst_endpoint remote = endpoint("127.0.0.1", transfer->port);
  app_open(&app, transfer->spec);
  int error = mst_connect(app.stack, NULL, &remote, transmit, &end, &end.conn);
  assert_int_equal(error, 0);
  transmit(end.conn, 0, &end);
  while (!end.over || !delivered(end.conn)) app_turn(&app, RIG_LIMIT_MS);
  mst_close(end.conn);
  mst_host_close(app.host);
}

static void data_between_two_processes_arrives_whole(void **state) {
  struct daemon_rig *rig = *state;
  struct transfer transfer = {.spec = rig->spec, .port = 7001, .bytes = BULK_BYTES};
  pid_t server = app_process(serve, &transfer);
  send_all(&transfer);
  assert_true(app_ended_well(server));
}

static void tuple_is_held_by_one(void **state) {
  struct daemon_rig *rig = *state;
  struct app first, second;
  struct mst_endpoint local = endpoint("127.0.0.1", 7002);
  mst_binding *held, *again;
  app_open(&first, rig->spec);
  app_open(&second, rig->spec);
  assert_int_equal(mst_bind(first.stack, MST_TCP, &local, 0, &held), 0);
  assert_int_equal(mst_bind(second.stack, MST_TCP, &local, 0, &again), -MST_EADDRINUSE);
  mst_host_close(first.host); /* leases go with the channel, at once or as soon as the daemon has heard of it */
  struct mst_attach_options options = {.size = sizeof options, .path = rig->path};
  mst_attach *later;
  assert_int_equal(mst_attach_open(&options, &later, NULL), 0);
  struct mst_tuple tuple = {.addr = local.addr, .port = local.port, .protocol = MST_TCP};
  assert_int_equal(mst_attach_lease(later, &tuple), 0);
  mst_attach_close(later);
  mst_host_close(second.host);
}

#define NOBODY 65534

/* What a lease of its own gives to a process of that user. */
static int lease_as(const struct daemon_rig *rig, uid_t uid, const struct mst_tuple *wanted) {
  pid_t pid = fork();
  if (pid == 0) {
    struct mst_attach_options options = {.size = sizeof options, .path = rig->path};
    struct mst_tuple tuple = *wanted;
    mst_attach *attach;
    if (uid != geteuid() && (setgid(uid) || setuid(uid))) _exit(255);
    if (mst_attach_open(&options, &attach, NULL)) _exit(254);
    _exit(-mst_attach_lease(attach, &tuple));
  }
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  return -WEXITSTATUS(status);
}

/* As the OS would give it to bind(). */
static void ports_below_1024_are_the_privileged_ones(void **state) {
  struct daemon_rig *rig = *state;
  struct mst_tuple tuple = {.port = 80, .protocol = MST_TCP, .addr = endpoint("127.0.0.1", 0).addr};
  if (geteuid() == 0) assert_int_equal(lease_as(rig, 0, &tuple), 0);
  assert_int_equal(lease_as(rig, geteuid() ? geteuid() : NOBODY, &tuple), -MST_EACCES);
  tuple.port = 7080;
  assert_int_equal(lease_as(rig, geteuid() ? geteuid() : NOBODY, &tuple), 0);
}

static void tuple_is_shared_by_one_user_only(void **state) {
  struct daemon_rig *rig = *state;
  struct mst_attach_options options = {.size = sizeof options, .path = rig->path};
  struct mst_tuple tuple = {
      .port = 7003, .protocol = MST_TCP, .flags = MST_BIND_GROUP, .addr = endpoint("127.0.0.1", 0).addr};
  mst_attach *first;
  assert_int_equal(mst_attach_open(&options, &first, NULL), 0);
  assert_int_equal(mst_attach_lease(first, &tuple), 0);
  assert_int_equal(lease_as(rig, geteuid(), &tuple), 0);
  if (geteuid() == 0) assert_int_equal(lease_as(rig, NOBODY, &tuple), -MST_EADDRINUSE);
  tuple.flags = 0;
  assert_int_equal(lease_as(rig, geteuid(), &tuple), -MST_EADDRINUSE);
  mst_attach_close(first);
}

int main(void) {
  pattern_init();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(data_between_two_processes_arrives_whole),
      cmocka_unit_test(tuple_is_held_by_one),
      cmocka_unit_test(ports_below_1024_are_the_privileged_ones),
      cmocka_unit_test(tuple_is_shared_by_one_user_only),
  };
  return cmocka_run_group_tests(tests, daemon_setup, daemon_teardown);
}
