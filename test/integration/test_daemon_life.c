/* Death and replacement of multistackd and of its apps, with the OS's own stack as the peer: connections go on, byte by
 * byte, over a daemon that was killed and another in its place; what is gone for good is the OS's again. */
#include "port_rig.h"

#include "daemon_echo.h"
#include <bpf/libbpf.h>

#define PORT 5000
#define PEERS 8
#define SOME_BYTES (4ull << 20)

struct place {
  const char *port, *device, *address; /* the daemon's port, and where the app listens */
  int peers;                           /* the namespace that they are in */
};

static const struct place veth = {"xdp:here0", "here0", "10.7.0.1", THERE};
static const struct place veth6 = {"xdp:here0,mode=generic", "here0", "fd07::1", THERE};
static const struct place lo = {"xdp:lo", "lo", "127.0.0.1", HERE};
static const struct place tap = {"tap:mstlife0,host=10.9.0.1/24,addr=10.9.0.2", NULL, "10.9.0.2", HERE};

static struct daemon_rig rig;

/* --- peers: connections of the OS's ------------------------------------------------------------------------------ */

struct peer {
  int fd;
  uint64_t sent, received;
};

static struct peer peer_connect(const struct place *place) {
  return (struct peer){.fd = rig_socket(place->peers, SOCK_STREAM, place->address, PORT, false)};
}

/* Until it takes no more. */
static void peer_send(struct peer *peer) {
  for (;;) {
    ssize_t n = send(peer->fd, pattern_at(peer->sent), PATTERN_BYTES, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) fail_msg("a connection was lost: %s", strerror(errno));
    peer->sent += (uint64_t)n;
  }
}

static void peer_receive(struct peer *peer) {
  static uint8_t buffer[1 << 16];
  ssize_t n;
  while ((n = recv(peer->fd, buffer, sizeof buffer, 0)) > 0) {
    assert_true(is_pattern(peer->received, buffer, (size_t)n));
    peer->received += (uint64_t)n;
  }
  if (n == 0) fail_msg("a connection was closed");
  if (errno != EAGAIN) fail_msg("a connection was lost: %s", strerror(errno));
}

/* Each gets `bytes` more of its own back, with as much on the way at the end. */
static void peers_exchange(struct peer *peers, unsigned count, uint64_t bytes) {
  struct pollfd waits[PEERS];
  uint64_t wanted[PEERS];
  for (unsigned i = 0; i < count; i++) wanted[i] = peers[i].received + bytes;
  for (unsigned busy = count; busy;) {
    busy = 0;
    for (unsigned i = 0; i < count; i++) {
      bool more = peers[i].received < wanted[i];
      waits[i] = (struct pollfd){.fd = more ? peers[i].fd : -1, .events = POLLIN | POLLOUT};
      busy += more;
    }
    if (busy && poll(waits, count, RIG_LIMIT_MS) <= 0) fail_msg("nothing moves any more");
    for (unsigned i = 0; i < count; i++) {
      if (waits[i].revents) peer_send(&peers[i]);
      if (waits[i].revents) peer_receive(&peers[i]);
    }
  }
}

/* What the OS says of a connection that it knows nothing of. */
static void expect_reset(struct peer *peer) {
  char byte;
  ssize_t n;
  do {
    n = send(peer->fd, "x", 1, MSG_NOSIGNAL);
    struct pollfd wait = {.fd = peer->fd, .events = POLLIN};
    if (poll(&wait, 1, RIG_LIMIT_MS) != 1) fail_msg("the OS does not answer");
    if (n > 0 || errno == EAGAIN) n = recv(peer->fd, &byte, 1, 0);
  } while (n > 0);
  assert_int_equal(n, -1);
  assert_int_equal(errno, ECONNRESET);
  close(peer->fd);
}

/* --- the daemon and its app -------------------------------------------------------------------------------------- */

static const struct place *here; /* of the test under way */
static unsigned bind_flags;

static void echo_app(void *ctx, int ready_fd) {
  struct app app;
  struct mst_endpoint local = endpoint(here->address, PORT);
  mst_binding *binding;
  mst_listener *listener;
  (void)ctx;
  app_open(&app, rig.spec);
  int error = mst_bind(app.stack, MST_TCP, &local, bind_flags, &binding);
  if (!error) error = mst_listen(binding, 64, echo_accept, NULL, &listener);
  if (error) rig_fail(mst_strerror(error));
  app_ready(ready_fd);
  for (;;) app_turn(&app, RIG_LIMIT_MS);
}

static const char *arguments[8];
static char config_file[32];

static void begin(const struct place *place, unsigned keep_s) {
  int fd = mkstemp(strcpy(config_file, "/tmp/mst-life-XXXXXX"));
  here = place;
  if (place->peers == THERE) rig_veth(1);
  assert_true(dprintf(fd, "keep_s = %u\n", keep_s) > 0);
  close(fd);
  arguments[0] = "--port";
  arguments[1] = place->port;
  arguments[2] = "--config";
  arguments[3] = config_file;
  arguments[4] = NULL;
  daemon_open(&rig, arguments);
}

static void end_app(pid_t app) {
  kill(app, SIGKILL);
  waitpid(app, NULL, 0);
}

static uint32_t attached_program(void) {
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  if (!here->device) return if_nametoindex("mstlife0");
  assert_int_equal(bpf_xdp_query((int)if_nametoindex(here->device), 0, &query), 0);
  return query.prog_id;
}

/* Neither a program nor a device, nor a reservation, nor a file. */
static void expect_nothing_left(void) {
  assert_int_equal(attached_program(), 0);
  if (here->device) {
    int fd = rig_socket(HERE, SOCK_STREAM, here->address, PORT, true);
    close(fd);
  }
  assert_int_equal(rmdir(rig.folder), 0);
  unlink(config_file);
  if (here->peers == THERE) rig_no_veth();
}

static void end(void) {
  assert_int_equal(daemon_end(&rig, SIGTERM), 0);
  expect_nothing_left();
}

/* --- tests ------------------------------------------------------------------------------------------------------- */

static void connections_outlive_a_killed_daemon(const struct place *place) {
  struct peer peers[PEERS];
  begin(place, 60);
  pid_t app = app_process(echo_app, NULL);
  for (unsigned i = 0; i < PEERS; i++) peers[i] = peer_connect(place);
  peers_exchange(peers, PEERS, SOME_BYTES / PEERS);
  for (unsigned deaths = 0; deaths < 3; deaths++) {
    daemon_end(&rig, SIGKILL);
    for (unsigned i = 0; i < PEERS; i++) peer_send(&peers[i]);
    assert_int_not_equal(attached_program(), 0);
    daemon_start(&rig, arguments);
    peers_exchange(peers, PEERS, SOME_BYTES / PEERS);
  }
  struct peer late = peer_connect(place); /* the listener is there too */
  peers_exchange(&late, 1, SOME_BYTES);
  close(late.fd);
  for (unsigned i = 0; i < PEERS; i++) close(peers[i].fd);
  end_app(app);
  end();
}

static void over_veth(void **state) {
  (void)state;
  connections_outlive_a_killed_daemon(&veth);
}
static void over_veth_generic_ip6(void **state) {
  (void)state;
  connections_outlive_a_killed_daemon(&veth6);
}
static void over_lo(void **state) {
  (void)state;
  connections_outlive_a_killed_daemon(&lo);
}
static void over_tap(void **state) {
  (void)state;
  connections_outlive_a_killed_daemon(&tap);
}

/* None is given a segment of another's connection, which it would reset. */
static void the_members_of_a_group_keep_their_connections(void **state) {
  struct peer peers[PEERS];
  pid_t apps[3];
  (void)state;
  begin(&veth, 60);
  bind_flags = MST_BIND_GROUP;
  for (unsigned i = 0; i < 3; i++) apps[i] = app_process(echo_app, NULL);
  bind_flags = 0;
  for (unsigned i = 0; i < PEERS; i++) peers[i] = peer_connect(&veth);
  peers_exchange(peers, PEERS, SOME_BYTES / PEERS);
  for (unsigned deaths = 0; deaths < 3; deaths++) {
    daemon_end(&rig, SIGKILL);
    for (unsigned i = 0; i < PEERS; i++) peer_send(&peers[i]);
    daemon_start(&rig, arguments);
    peers_exchange(peers, PEERS, SOME_BYTES / PEERS);
  }
  for (unsigned i = 0; i < PEERS; i++) close(peers[i].fd);
  for (unsigned i = 0; i < 3; i++) end_app(apps[i]);
  end();
}

static void upgrade(void) {
  const char *upgraded[8];
  struct daemon_rig before = rig;
  memcpy(upgraded, arguments, sizeof upgraded);
  upgraded[4] = "--upgrade";
  upgraded[5] = NULL;
  daemon_start(&rig, upgraded);
  int status;
  assert_int_equal(waitpid(before.pid, &status, 0), before.pid);
  assert_int_equal(status, 0);
  close(before.log);
}

static void an_upgrade_loses_no_connection(void **state) {
  struct peer peers[PEERS];
  (void)state;
  begin(&veth, 60);
  pid_t app = app_process(echo_app, NULL);
  for (unsigned i = 0; i < PEERS; i++) peers[i] = peer_connect(&veth);
  for (unsigned upgrades = 0; upgrades < 3; upgrades++) {
    peers_exchange(peers, PEERS, SOME_BYTES / PEERS);
    for (unsigned i = 0; i < PEERS; i++) peer_send(&peers[i]);
    upgrade();
  }
  peers_exchange(peers, PEERS, SOME_BYTES / PEERS);
  for (unsigned i = 0; i < PEERS; i++) close(peers[i].fd);
  end_app(app);
  end();
}

static void an_upgrade_of_nothing_is_a_start(void **state) {
  (void)state;
  here = &veth;
  rig_veth(1);
  arguments[0] = "--port";
  arguments[1] = veth.port;
  arguments[2] = "--upgrade";
  arguments[3] = NULL;
  daemon_open(&rig, arguments);
  end();
}

/* Its exit status; what it says on stderr into `said`. */
static int run_second(char *said, size_t bytes) {
  int log[2], status;
  assert_int_equal(pipe(log), 0);
  pid_t pid = fork();
  if (!pid) {
    dup2(log[1], STDERR_FILENO);
    execl(MST_TEST_DAEMON, MST_TEST_DAEMON, "--socket", rig.path, NULL);
    _exit(99);
  }
  close(log[1]);
  ssize_t got = read(log[0], said, bytes - 1);
  said[got > 0 ? got : 0] = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  close(log[0]);
  return WEXITSTATUS(status);
}

static void a_second_daemon_says_that_there_is_one(void **state) {
  char said[512], pid[32];
  (void)state;
  begin(&veth, 60);
  pid_t app = app_process(echo_app, NULL);
  struct peer peer = peer_connect(&veth);
  assert_int_equal(run_second(said, sizeof said), 1);
  snprintf(pid, sizeof pid, "pid %d", rig.pid);
  assert_non_null(strstr(said, "already running"));
  assert_non_null(strstr(said, pid));
  peers_exchange(&peer, 1, SOME_BYTES);
  close(peer.fd);
  end_app(app);
  end();
}

static void a_killed_apps_peers_hear_of_it(void **state) {
  (void)state;
  begin(&veth, 60);
  pid_t app = app_process(echo_app, NULL);
  struct peer peer = peer_connect(&veth);
  peers_exchange(&peer, 1, SOME_BYTES);
  end_app(app);
  expect_reset(&peer);
  app = app_process(echo_app, NULL); /* the tuple is free */
  peer = peer_connect(&veth);
  peers_exchange(&peer, 1, SOME_BYTES);
  close(peer.fd);
  end_app(app);
  end();
}

/* Its process ends with the echo app of a daemon that does not see it. */
/* The keeper has a copy of what keeps the OS's programs out, but never longer than the daemon. */
static void what_is_released_can_be_leased_again_at_once(void **state) {
  (void)state;
  begin(&veth, 60);
  struct mst_attach_options options = {.size = sizeof options, .path = rig.path};
  mst_attach *attach;
  assert_int_equal(mst_attach_open(&options, &attach, NULL), 0);
  const uint8_t protocols[] = {MST_TCP, MST_UDP};
  for (int i = 0; i < 400; i++) {
    struct mst_tuple tuple = {.protocol = protocols[i % 2], .port = 7300, .addr = endpoint("10.7.0.1", 0).addr};
    assert_int_equal(mst_attach_lease(attach, &tuple), 0);
    mst_attach_release(attach, &tuple);
  }
  mst_attach_close(attach);
  end();
}

static void an_app_that_dies_without_a_daemon_leaves_nothing(void **state) {
  (void)state;
  begin(&veth, 60);
  pid_t app = app_process(echo_app, NULL), other;
  here = &lo; /* lives on, with another tuple */
  other = app_process(echo_app, NULL);
  here = &veth;
  struct peer peer = peer_connect(&veth);
  peers_exchange(&peer, 1, SOME_BYTES);
  daemon_end(&rig, SIGKILL);
  end_app(app);
  assert_int_not_equal(attached_program(), 0);
  daemon_start(&rig, arguments);
  expect_reset(&peer);
  end_app(other);
  end();
}

static void wait_for_no_program(void) {
  for (int i = 0; attached_program() && i < RIG_LIMIT_MS; i++) poll(NULL, 0, 1); /* nothing tells of it */
}

static void without_a_daemon_for_long_all_is_the_oss(void **state) {
  (void)state;
  begin(&veth, 1);
  pid_t app = app_process(echo_app, NULL);
  struct peer peer = peer_connect(&veth);
  peers_exchange(&peer, 1, SOME_BYTES);
  daemon_end(&rig, SIGKILL);
  assert_int_not_equal(attached_program(), 0);
  wait_for_no_program();
  expect_reset(&peer);
  rig_kernel_tcp(THERE, veth.address, PORT);
  unlink(rig.path); /* of a daemon that was killed */
  end_app(app);
  expect_nothing_left();
}

static void with_the_last_app_all_is_the_oss(void **state) {
  (void)state;
  begin(&veth, 3600);
  pid_t app = app_process(echo_app, NULL);
  daemon_end(&rig, SIGKILL);
  end_app(app);
  wait_for_no_program();
  unlink(rig.path);
  expect_nothing_left();
}

int main(void) {
  pattern_init();
  rig_begin();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(over_veth),
      cmocka_unit_test(over_veth_generic_ip6),
      cmocka_unit_test(over_lo),
      cmocka_unit_test(over_tap),
      cmocka_unit_test(the_members_of_a_group_keep_their_connections),
      cmocka_unit_test(an_upgrade_loses_no_connection),
      cmocka_unit_test(an_upgrade_of_nothing_is_a_start),
      cmocka_unit_test(a_second_daemon_says_that_there_is_one),
      cmocka_unit_test(a_killed_apps_peers_hear_of_it),
      cmocka_unit_test(what_is_released_can_be_leased_again_at_once),
      cmocka_unit_test(an_app_that_dies_without_a_daemon_leaves_nothing),
      cmocka_unit_test(without_a_daemon_for_long_all_is_the_oss),
      cmocka_unit_test(with_the_last_app_all_is_the_oss),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
