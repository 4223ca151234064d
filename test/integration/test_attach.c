/* An app's side of multistackd when the other end is not as it should be: absent, mute, mad, gone and back. */
#include "unit/unit.h"

#include "control/socket.h"
#include "daemon_rig.h"
#include <dirent.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

/* For an answer that comes, and for one that does not. */
static uint32_t patience_ms = 5000;
#define SOON_MS 300u

static int open_at(const char *path, mst_attach **attach, struct mst_failure *failure) {
  struct mst_attach_options options = {.size = sizeof options, .path = path, .wait_ms = patience_ms};
  *attach = NULL;
  return mst_attach_open(&options, attach, failure);
}

static unsigned open_descriptors(void) {
  unsigned count = 0;
  DIR *folder = opendir("/proc/self/fd");
  while (readdir(folder)) count++;
  closedir(folder);
  return count;
}

/* --- a daemon of the test's own making --- */

struct fake {
  char path[96];
  pid_t pid;
};

/* What it does with one connection; it hangs up when it returns. */
typedef void fake_fn(int fd, struct mst__control_received *received);

static void fake_serve(int listener, fake_fn *serve) {
  static struct mst__control_received received;
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) _exit(1);
    serve(fd, &received);
    close(fd);
  }
}

static struct fake fake_open(fake_fn *serve, int backlog) {
  static unsigned number;
  struct fake fake;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(fake.path, sizeof fake.path, "/tmp/multistack-fake-%d-%u", getpid(), number++);
  strcpy(address.sun_path, fake.path);
  int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, backlog)) rig_fail("fake");
  fake.pid = fork();
  if (fake.pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (serve) fake_serve(listener, serve);
    for (;;) pause();
  }
  close(listener);
  return fake;
}

static void fake_close(struct fake *fake) {
  kill(fake->pid, SIGKILL);
  waitpid(fake->pid, NULL, 0);
  unlink(fake->path);
}

static void hang_up(int fd, struct mst__control_received *received) {
  (void)fd;
  (void)received;
}

static void hang_up_after_hello(int fd, struct mst__control_received *received) {
  if (mst__control_receive(fd, received, false) == 1) mst__control_close_fds(received);
}

static void say_nothing(int fd, struct mst__control_received *received) {
  while (mst__control_receive(fd, received, false) == 1) mst__control_close_fds(received);
}

static void talk_rubbish(int fd, struct mst__control_received *received) {
  static const char rubbish[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
  hang_up_after_hello(fd, received);
  send(fd, rubbish, sizeof rubbish, MSG_NOSIGNAL);
}

static void speak_another_version(int fd, struct mst__control_received *received) {
  struct mst__control_refused no = {
      .header = {.type = MST__CONTROL_REFUSED}, .error = -MST_EPROTO, .message = "speaks versions 7 to 9"};
  hang_up_after_hello(fd, received);
  mst__control_send(fd, &no, sizeof no, NULL, 0, false);
}

static int welcome(int fd, struct mst__control_received *received) {
  struct mst__control_welcome yes = {.header = {.type = MST__CONTROL_WELCOME}, .version = MST__CONTROL_VERSION};
  int bell[2];
  hang_up_after_hello(fd, received);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bell)) _exit(1);
  mst__control_send(fd, &yes, sizeof yes, &bell[1], 1, false);
  close(bell[1]);
  return bell[0];
}

/* Good until it is asked something. */
static void hang_up_after_welcome(int fd, struct mst__control_received *received) {
  int bell = welcome(fd, received);
  mst__control_receive(fd, received, false);
  close(bell);
}

/* News without end, and never the answer. */
static void chatter(int fd, struct mst__control_received *received) {
  static const struct mst__control_plain news = {.header = {.type = MST__CONTROL_ROUTES_CHANGED}};
  int bell = welcome(fd, received);
  while (!mst__control_send(fd, &news, sizeof news, NULL, 0, false)) {
  }
  close(bell);
}

/* Rings although nobody has asked for it. */
static void ring_without_reason(int fd, struct mst__control_received *received) {
  static const char rings[64];
  int bell = welcome(fd, received);
  if (write(bell, rings, sizeof rings) < 0) _exit(1);
  say_nothing(fd, received);
  close(bell);
}

/* --- what is told to a program that starts --- */

static void refusal_is(fake_fn *serve, int code, const char *says) {
  struct fake fake = fake_open(serve, 8);
  struct mst_failure failure = {0};
  mst_attach *attach;
  unsigned before = open_descriptors();
  assert_int_equal(open_at(fake.path, &attach, &failure), code);
  assert_null(attach);
  assert_int_equal(failure.code, code);
  assert_non_null(strstr(failure.message, says));
  assert_non_null(strstr(failure.message, fake.path));
  assert_int_equal(open_descriptors(), before);
  fake_close(&fake);
}

static void no_daemon_is_told_with_what_to_do(void **state) {
  struct mst_failure failure = {0};
  mst_attach *attach;
  (void)state;
  assert_int_equal(open_at("/nonexistent/control", &attach, &failure), -MST_ENOENT);
  assert_non_null(strstr(failure.message, "/nonexistent/control"));
  assert_non_null(strstr(failure.message, "start it, or set MULTISTACK=embedded"));
}

static void what_is_no_daemon_is_told(void **state) {
  (void)state;
  refusal_is(hang_up, -MST_EPROTO, "hung up");
  refusal_is(hang_up_after_hello, -MST_EPROTO, "hung up");
  refusal_is(talk_rubbish, -MST_EPROTO, "no multistackd");
  refusal_is(speak_another_version, -MST_EPROTO, "versions 7 to 9");
  patience_ms = SOON_MS;
  refusal_is(say_nothing, -MST_ETIMEDOUT, "does not answer");
  patience_ms = 5000;
}

/* Nobody accepts, and the queue is full: connecting itself does not end. */
static void full_queue_is_a_timeout(void **state) {
  struct fake fake = fake_open(NULL, 0);
  mst_attach *attach;
  int waiting[2];
  (void)state;
  for (int i = 0; i < 2; i++) waiting[i] = mst__control_connect(fake.path, 1);
  patience_ms = SOON_MS;
  assert_int_equal(open_at(fake.path, &attach, NULL), -MST_ETIMEDOUT);
  patience_ms = 5000;
  for (int i = 0; i < 2; i++)
    if (waiting[i] >= 0) close(waiting[i]);
  fake_close(&fake);
}

/* --- later --- */

static void answer_that_never_comes_is_a_network_that_is_down(void **state) {
  fake_fn *kinds[] = {hang_up_after_welcome, chatter};
  (void)state;
  patience_ms = 1000;
  for (unsigned i = 0; i < 2; i++) {
    struct fake fake = fake_open(kinds[i], 8);
    struct mst_tuple tuple = {.addr = MST_ADDR_ANY4, .port = 80, .protocol = MST_TCP};
    mst_attach *attach;
    assert_int_equal(open_at(fake.path, &attach, NULL), 0);
    assert_int_equal(mst_attach_lease(attach, &tuple), -MST_ENETDOWN);
    assert_false(mst_attach_is_up(attach));
    assert_int_equal(mst_attach_lease(attach, &tuple), -MST_ENETDOWN);
    mst_attach_close(attach);
    fake_close(&fake);
  }
  patience_ms = 5000;
}

static uint64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Turn as a loop would until `limit_ms` is over; returns how often it woke. */
static unsigned turns(mst_attach *attach, unsigned limit_ms) {
  uint64_t end_ns = now_ns(CLOCK_MONOTONIC) + (uint64_t)limit_ms * 1000000, at_ns;
  unsigned count = 0;
  while ((at_ns = now_ns(CLOCK_MONOTONIC)) < end_ns) {
    mst_attach_process(attach, at_ns);
    mst_attach_flush(attach);
    uint64_t deadline_ns = mst_attach_deadline(attach);
    if (deadline_ns > end_ns) deadline_ns = end_ns;
    struct pollfd wait = {.fd = mst_attach_wait_fd(attach), .events = POLLIN};
    bool idle = mst_attach_sleep(attach);
    poll(&wait, 1, idle && deadline_ns > at_ns ? (int)((deadline_ns - at_ns + 999999) / 1000000) : 0);
    count++;
  }
  return count;
}

static void without_a_daemon_nothing_spins(void **state) {
  struct fake fake = fake_open(hang_up_after_welcome, 8);
  struct mst_tuple tuple = {.addr = MST_ADDR_ANY4, .port = 80, .protocol = MST_TCP};
  mst_attach *attach;
  (void)state;
  assert_int_equal(open_at(fake.path, &attach, NULL), 0);
  fake_close(&fake);
  mst_attach_lease(attach, &tuple);
  assert_in_range(turns(attach, 500), 1, 40); /* 0, 50, 100, 200 ms ... */
  mst_attach_close(attach);
}

/* One that welcomes and hangs up, again and again, is not asked as fast as it can answer. */
static void daemon_that_comes_and_goes_does_not_make_one_spin(void **state) {
  struct fake fake = fake_open(hang_up_after_welcome, 8);
  (void)state;
  struct mst_tuple tuple = {.addr = MST_ADDR_ANY4, .port = 80, .protocol = MST_TCP};
  mst_attach *attach;
  assert_int_equal(open_at(fake.path, &attach, NULL), 0);
  mst_attach_lease(attach, &tuple);
  assert_in_range(turns(attach, 500), 1, 60);
  mst_attach_close(attach);
  fake_close(&fake);
}

static void rings_without_reason_do_not_make_one_spin(void **state) {
  struct fake fake = fake_open(ring_without_reason, 8);
  mst_attach *attach;
  (void)state;
  assert_int_equal(open_at(fake.path, &attach, NULL), 0);
  assert_in_range(turns(attach, 300), 1, 20);
  assert_true(mst_attach_is_up(attach));
  mst_attach_close(attach);
  fake_close(&fake);
}

static void a_thousand_attachments_leave_nothing(void **state) {
  struct daemon_rig *rig = *state;
  mst_attach *attach;
  assert_int_equal(open_at(rig->path, &attach, NULL), 0);
  mst_attach_close(attach);
  unsigned before = open_descriptors();
  for (unsigned i = 0; i < 1000; i++) {
    struct mst_tuple tuple = {.protocol = MST_TCP};
    assert_int_equal(mst_addr_parse("127.0.0.1", &tuple.addr), 0);
    assert_int_equal(open_at(rig->path, &attach, NULL), 0);
    assert_int_equal(mst_attach_lease(attach, &tuple), 0);
    mst_attach_close(attach);
  }
  assert_int_equal(open_descriptors(), before);
}

static void child_of_fork_does_not_disturb_its_parent(void **state) {
  struct daemon_rig *rig = *state;
  struct app app;
  struct mst_endpoint local = endpoint("127.0.0.1", 7400);
  mst_binding *binding;
  app_open(&app, rig->spec);
  assert_int_equal(mst_bind(app.stack, MST_TCP, &local, 0, &binding), 0);
  int ready[2];
  assert_int_equal(pipe(ready), 0);
  pid_t child = fork();
  if (child == 0) {
    close(ready[1]);
    mst_host_close(app.host);
    char byte; /* lives on beyond its parent's attachment */
    _exit(read(ready[0], &byte, 1) < 0);
  }
  close(ready[0]);
  mst_unbind(binding);
  assert_int_equal(mst_bind(app.stack, MST_TCP, &local, 0, &binding), 0); /* the channel is as it was */
  mst_host_close(app.host);
  struct mst_tuple tuple = {.addr = local.addr, .port = local.port, .protocol = MST_TCP};
  mst_attach *later;
  int error = -MST_EADDRINUSE;
  assert_int_equal(open_at(rig->path, &later, NULL), 0);
  for (unsigned i = 0; i < 1000 && error == -MST_EADDRINUSE; i++) error = mst_attach_lease(later, &tuple);
  assert_int_equal(error, 0); /* though the child is there, the parent's leases have ended */
  mst_attach_close(later);
  close(ready[1]);
  assert_true(app_ended_well(child));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_daemon_is_told_with_what_to_do),
      cmocka_unit_test(what_is_no_daemon_is_told),
      cmocka_unit_test(full_queue_is_a_timeout),
      cmocka_unit_test(answer_that_never_comes_is_a_network_that_is_down),
      cmocka_unit_test(without_a_daemon_nothing_spins),
      cmocka_unit_test(daemon_that_comes_and_goes_does_not_make_one_spin),
      cmocka_unit_test(rings_without_reason_do_not_make_one_spin),
      cmocka_unit_test(a_thousand_attachments_leave_nothing),
      cmocka_unit_test(child_of_fork_does_not_disturb_its_parent),
  };
  return cmocka_run_group_tests(tests, daemon_setup, daemon_teardown);
}
