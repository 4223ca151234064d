/* The keeper, with daemons that are killed: what it holds is one end of a pipe, and the other end, here, tells when
 * nobody holds it any more. */
#include "daemon/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_MS 10000
#define NOBODY 65534
#define RECORDS 300u

static char folder[] = "/tmp/mst-keeper-XXXXXX", path[64], keeper_path[80], last_line[256];
static int pipe_read, pipe_write; /* the daemons hold the second */

/* --- rig --------------------------------------------------------------------------------------------------------- */

static void note(void *ctx, enum mst_log_level level, const char *line) {
  (void)ctx;
  (void)level;
  snprintf(last_line, sizeof last_line, "%s", line);
}

static int open_keeper(struct mst__keeper **out, uint32_t keep_s, struct mst_failure *failure) {
  struct mst__keeper_options options = {
      .socket_path = path, .keep_s = keep_s, .uid = geteuid(), .gid = getegid(), .log = note};
  return mst__keeper_open(&options, out, failure);
}

static struct mst__keeper *must_open(uint32_t keep_s) {
  struct mst__keeper *keeper;
  struct mst_failure failure = {0};
  if (open_keeper(&keeper, keep_s, &failure)) fail_msg("%s", failure.message);
  return keeper;
}

static int hold(struct mst__keeper *keeper, const char *key, const char *value, int fd) {
  return mst__keeper_hold(keeper, &(struct mst__keeper_record){.key = key,
                                                               .key_bytes = (uint16_t)strlen(key),
                                                               .value = value,
                                                               .value_bytes = (uint16_t)strlen(value),
                                                               .fds = &fd,
                                                               .fd_count = fd >= 0});
}

static int pidfd_of(pid_t pid) {
  return (int)syscall(SYS_pidfd_open, pid, 0);
}

static pid_t start_app(void) {
  pid_t pid = fork();
  if (pid) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) pause();
}

static void end_process(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}

/* A daemon that holds an app, the pipe, and RECORDS more by numbers, of which it has dropped the first. */
static void be_daemon(pid_t app, uint32_t keep_s, int tell) {
  struct mst__keeper *keeper;
  struct mst_failure failure;
  char key[16], value[16];
  if (open_keeper(&keeper, keep_s, &failure)) _exit(1);
  if (app) hold(keeper, "App", "", pidfd_of(app));
  for (unsigned i = 0; i <= RECORDS; i++) {
    snprintf(key, sizeof key, "%u", i);
    snprintf(value, sizeof value, "value %u", i);
    if (hold(keeper, key, "before", -1) || hold(keeper, key, value, pipe_write)) _exit(1);
  }
  mst__keeper_drop(keeper, "0", 1);
  mst__keeper_flush(keeper);
  pid_t pid = mst__keeper_pid(keeper);
  if (write(tell, &pid, sizeof pid) == sizeof pid) pause();
  _exit(1);
}

struct scene {
  pid_t app, daemon, keeper;
};

static struct scene begin(uint32_t keep_s) {
  struct scene scene = {.app = start_app()};
  int pipe_fds[2], both[2];
  assert_int_equal(pipe2(both, O_CLOEXEC), 0);
  pipe_read = both[0];
  pipe_write = both[1];
  assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
  scene.daemon = fork();
  if (!scene.daemon) be_daemon(scene.app, keep_s, pipe_fds[1]);
  close(pipe_fds[1]);
  close(pipe_write);
  assert_int_equal(read(pipe_fds[0], &scene.keeper, sizeof scene.keeper), sizeof scene.keeper);
  close(pipe_fds[0]);
  return scene;
}

static bool is_held(void) {
  struct pollfd pollfd = {.fd = pipe_read, .events = POLLIN};
  return poll(&pollfd, 1, 0) == 0;
}

static void expect_nothing_left(void) {
  struct pollfd pollfd = {.fd = pipe_read, .events = POLLIN};
  struct stat info;
  assert_int_equal(poll(&pollfd, 1, LIMIT_MS), 1);
  assert_int_equal(pollfd.revents, POLLHUP);
  close(pipe_read);
  assert_int_equal(stat(keeper_path, &info), -1); /* it goes before the descriptors do */
  assert_int_equal(errno, ENOENT);
}

static void expect_end_of(int pidfd) {
  struct pollfd pollfd = {.fd = pidfd, .events = POLLIN};
  assert_int_equal(poll(&pollfd, 1, LIMIT_MS), 1);
  close(pidfd);
}

static void kill_and_wait(pid_t pid) {
  int pidfd = pidfd_of(pid);
  kill(pid, SIGKILL);
  expect_end_of(pidfd);
}

/* --- tests ------------------------------------------------------------------------------------------------------- */

struct adopted {
  unsigned count, apps;
  int fds[RECORDS + 2];
};

static void take(void *ctx, const struct mst__keeper_record *record) {
  struct adopted *adopted = ctx;
  char expected[32];
  assert_int_equal(record->type, MST__KEEPER_HOLD);
  assert_int_equal(record->fd_count, 1);
  adopted->fds[adopted->count++] = record->fds[0];
  if (*(const char *)record->key == MST__KEEPER_APP) {
    adopted->apps++;
    return;
  }
  snprintf(expected, sizeof expected, "%uvalue %u", adopted->count - 1,
           adopted->count - 1); /* in order, behind the app */
  assert_int_equal(record->key_bytes + record->value_bytes, strlen(expected));
  assert_memory_equal(record->key, expected, strlen(expected));
  assert_int_equal(write(record->fds[0], "x", 1), 1);
}

static void what_a_killed_daemon_held_is_adopted(void **state) {
  (void)state;
  char bytes[2 * RECORDS];
  struct scene scene = begin(60);
  int keeper_end = pidfd_of(scene.keeper);
  end_process(scene.daemon);
  assert_true(is_held());
  struct mst__keeper *keeper = must_open(60);
  assert_int_equal(mst__keeper_pid(keeper), scene.keeper);
  struct adopted adopted = {0};
  mst__keeper_each_adopted(keeper, take, &adopted);
  assert_int_equal(adopted.count, RECORDS + 1);
  assert_int_equal(adopted.apps, 1);
  assert_int_equal(read(pipe_read, bytes, sizeof bytes), RECORDS);

  for (unsigned i = 0; i < adopted.count; i++) close(adopted.fds[i]);
  assert_true(is_held()); /* by the keeper still */
  mst__keeper_end(keeper);
  expect_nothing_left();
  expect_end_of(keeper_end);
  end_process(scene.app);
}

static void what_is_dropped_is_let_go(void **state) {
  (void)state;
  struct scene scene = begin(60);
  end_process(scene.daemon);
  struct mst__keeper *keeper = must_open(60);
  struct adopted adopted = {0};
  mst__keeper_each_adopted(keeper, take, &adopted);
  char byte, key[16];
  while (poll(&(struct pollfd){.fd = pipe_read, .events = POLLIN}, 1, 0) == 1)
    assert_int_equal(read(pipe_read, &byte, 1), 1);
  for (unsigned i = 0; i < adopted.count; i++) close(adopted.fds[i]);
  for (unsigned i = 1; i <= RECORDS; i++) {
    assert_true(is_held());
    snprintf(key, sizeof key, "%u", i);
    mst__keeper_drop(keeper, key, (uint16_t)strlen(key));
  }
  mst__keeper_flush(keeper);
  struct pollfd pollfd = {.fd = pipe_read, .events = POLLIN};
  assert_int_equal(poll(&pollfd, 1, LIMIT_MS), 1);
  assert_int_equal(pollfd.revents, POLLHUP);
  mst__keeper_end(keeper);
  expect_nothing_left();
  end_process(scene.app);
}

static void it_ends_with_the_last_app(void **state) {
  (void)state;
  struct scene scene = begin(3600);
  end_process(scene.daemon);
  assert_true(is_held());
  end_process(scene.app);
  expect_nothing_left();
}

static void it_ends_when_nobody_comes(void **state) {
  (void)state;
  struct scene scene = begin(1);
  end_process(scene.daemon);
  assert_true(is_held());
  expect_nothing_left();
  end_process(scene.app);
}

static void visitors_do_not_prolong_it(void **state) {
  (void)state;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct scene scene = begin(1);
  strcpy(address.sun_path, keeper_path);
  end_process(scene.daemon);
  int visitor = -1;
  do { /* who connects, says nothing or nonsense, and goes or stays */
    close(visitor);
    visitor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  } while (!connect(visitor, (void *)&address, sizeof address) && send(visitor, "nonsense", 8, MSG_NOSIGNAL) == 8 &&
           is_held());
  close(visitor);
  expect_nothing_left();
  end_process(scene.app);
}

static void a_second_daemon_is_told_of_the_first(void **state) {
  (void)state;
  struct mst__keeper *keeper;
  struct mst_failure failure = {0};
  char pid[32];
  struct scene scene = begin(60);
  assert_int_equal(open_keeper(&keeper, 60, &failure), -MST_EBUSY);
  snprintf(pid, sizeof pid, "pid %d", scene.daemon);
  assert_non_null(strstr(failure.message, pid));
  assert_true(is_held());
  end_process(scene.daemon);
  end_process(scene.app);
  expect_nothing_left();
}

static int open_as_nobody(void) {
  int status;
  pid_t child = fork();
  if (!child) {
    struct mst__keeper *keeper;
    struct mst_failure failure = {0};
    if (setgid(NOBODY) || setuid(NOBODY)) _exit(0);
    _exit(-open_keeper(&keeper, 60, &failure));
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  return -WEXITSTATUS(status);
}

static void another_user_gets_nothing(void **state) {
  (void)state;
  struct scene scene = begin(60);
  end_process(scene.daemon);
  assert_int_equal(open_as_nobody(), -MST_EACCES); /* by the socket's mode */
  assert_int_equal(chmod(keeper_path, 0666), 0);
  assert_int_equal(open_as_nobody(), -MST_EPERM);
  assert_true(is_held());
  end_process(scene.app);
  expect_nothing_left();
}

static void a_keeper_that_is_killed_is_replaced(void **state) {
  (void)state;
  int both[2];
  struct mst__keeper *keeper = must_open(60);
  pid_t app = start_app(), before = mst__keeper_pid(keeper);
  int app_fd = pidfd_of(app);
  assert_int_equal(pipe2(both, O_CLOEXEC), 0);
  pipe_read = both[0];
  assert_int_equal(hold(keeper, "App", "", app_fd), 0);
  assert_int_equal(hold(keeper, "1", "value 1", both[1]), 0);
  mst__keeper_flush(keeper);
  kill(before, SIGKILL);
  struct pollfd pollfd = {.fd = mst__keeper_wait_fd(keeper), .events = POLLIN};
  assert_int_equal(poll(&pollfd, 1, LIMIT_MS), 1);
  last_line[0] = 0;
  mst__keeper_process(keeper);
  pid_t after = mst__keeper_pid(keeper);
  assert_int_not_equal(after, before);
  assert_non_null(strstr(last_line, "the keeper, pid"));

  kill_and_wait(after); /* unnoticed until something is to be told */
  assert_int_equal(hold(keeper, "2", "value 2", both[1]), 0);
  mst__keeper_flush(keeper);
  assert_int_not_equal(mst__keeper_pid(keeper), after);
  mst__keeper_leave(keeper);
  close(both[1]);
  close(app_fd);
  assert_true(is_held());

  keeper = must_open(60);
  struct adopted adopted = {0};
  mst__keeper_each_adopted(keeper, take, &adopted);
  assert_int_equal(adopted.count, 3);
  char bytes[4];
  assert_int_equal(read(pipe_read, bytes, sizeof bytes), 2);
  for (unsigned i = 0; i < adopted.count; i++) close(adopted.fds[i]);
  mst__keeper_end(keeper);
  expect_nothing_left();
  end_process(app);
}

static void one_that_cannot_live_is_given_up(void **state) {
  (void)state;
  struct mst__keeper *keeper = must_open(60);
  for (int i = 0; i < 10 && mst__keeper_pid(keeper); i++) {
    kill_and_wait(mst__keeper_pid(keeper));
    mst__keeper_process(keeper);
  }
  assert_int_equal(mst__keeper_pid(keeper), 0);
  assert_int_equal(mst__keeper_wait_fd(keeper), -1);
  assert_non_null(strstr(last_line, "will not outlive"));
  assert_int_equal(hold(keeper, "1", "", -1), 0); /* goes nowhere */
  mst__keeper_flush(keeper);
  mst__keeper_end(keeper);
  struct stat info;
  assert_int_equal(stat(keeper_path, &info), -1);
}

static void what_two_kills_have_left_is_no_obstacle(void **state) {
  (void)state;
  struct scene scene = begin(60);
  kill(scene.keeper, SIGKILL);
  end_process(scene.daemon);
  end_process(scene.app);
  struct pollfd pollfd = {.fd = pipe_read, .events = POLLIN};
  assert_int_equal(poll(&pollfd, 1, LIMIT_MS), 1);
  struct mst__keeper *keeper = must_open(60);
  struct adopted adopted = {0};
  mst__keeper_each_adopted(keeper, take, &adopted);
  assert_int_equal(adopted.count, 0);
  mst__keeper_end(keeper);
  expect_nothing_left();
}

static unsigned long status_of(pid_t pid, const char *field) {
  char name[64], line[256];
  snprintf(name, sizeof name, "/proc/%d/status", pid);
  FILE *file = fopen(name, "r");
  assert_non_null(file);
  while (fgets(line, sizeof line, file))
    if (!strncmp(line, field, strlen(field))) break;
  fclose(file);
  return strtoul(line + strlen(field), NULL, 16);
}

static void it_has_no_rights_and_ignores_the_terminal(void **state) {
  (void)state;
  struct scene scene = begin(60);
  assert_int_equal(status_of(scene.keeper, "CapEff:\t"), 0);
  assert_int_equal(status_of(scene.keeper, "CapPrm:\t"), 0);
  assert_int_equal(status_of(scene.keeper, "CapBnd:\t"), 0);
  assert_int_equal(status_of(scene.keeper, "NoNewPrivs:\t"), 1);
  assert_int_not_equal(getsid(scene.keeper), getsid(0));
  kill(scene.keeper, SIGTERM);
  kill(scene.keeper, SIGINT);
  kill(scene.keeper, SIGHUP);
  end_process(scene.daemon);
  struct mst__keeper *keeper = must_open(60);
  assert_int_equal(mst__keeper_pid(keeper), scene.keeper);
  mst__keeper_end(keeper);
  expect_nothing_left();
  end_process(scene.app);
}

static int hold_more_than_it_may(void) {
  struct mst__keeper *keeper;
  struct mst_failure failure = {0};
  struct rlimit few = {.rlim_cur = 64, .rlim_max = 64};
  char key[16];
  if (setrlimit(RLIMIT_NOFILE, &few) || setgid(NOBODY) || setuid(NOBODY)) return 1;
  if (open_keeper(&keeper, 60, &failure)) return 2;
  for (unsigned i = 0; i < 100; i++) {
    snprintf(key, sizeof key, "%u", i);
    if (hold(keeper, key, "", 0)) return 3;
  }
  mst__keeper_flush(keeper);
  pid_t before = mst__keeper_pid(keeper);
  struct pollfd pollfd = {.fd = mst__keeper_wait_fd(keeper), .events = POLLIN};
  if (poll(&pollfd, 1, LIMIT_MS) != 1) return 4;
  mst__keeper_process(keeper);
  if (mst__keeper_pid(keeper) != before || !strstr(last_line, "limit of open files")) return 5;
  mst__keeper_end(keeper);
  return 0;
}

static void too_few_descriptors_are_told(void **state) {
  (void)state;
  int status;
  pid_t child = fork();
  if (!child) _exit(hold_more_than_it_may());
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

static void it_holds_so_much_and_no_more(void **state) {
  (void)state;
  char key[16];
  struct mst__keeper *keeper = must_open(60);
  for (unsigned i = 0; i < 65536 + 4096; i++) {
    snprintf(key, sizeof key, "%u", i);
    assert_int_equal(hold(keeper, key, "a tuple and its owner", -1), 0);
  }
  mst__keeper_flush(keeper);
  for (unsigned i = 0; i < 256; i++) {
    snprintf(key, sizeof key, "port %u", i);
    assert_int_equal(hold(keeper, key, "", -1), 0);
  }
  assert_int_equal(hold(keeper, "one more", "", -1), -MST_ENOBUFS);
  assert_int_equal(hold(keeper, "17", "another owner", -1), 0);
  mst__keeper_end(keeper);
}

int main(void) {
  if (geteuid()) {
    printf("skipped: needs root\n");
    return 77;
  }
  if (!mkdtemp(folder) || chmod(folder, 0777)) return 1;
  snprintf(path, sizeof path, "%s/control", folder);
  snprintf(keeper_path, sizeof keeper_path, "%s%s", path, MST__KEEPER_SUFFIX);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_a_killed_daemon_held_is_adopted),
      cmocka_unit_test(what_is_dropped_is_let_go),
      cmocka_unit_test(it_ends_with_the_last_app),
      cmocka_unit_test(it_ends_when_nobody_comes),
      cmocka_unit_test(visitors_do_not_prolong_it),
      cmocka_unit_test(a_second_daemon_is_told_of_the_first),
      cmocka_unit_test(another_user_gets_nothing),
      cmocka_unit_test(a_keeper_that_is_killed_is_replaced),
      cmocka_unit_test(one_that_cannot_live_is_given_up),
      cmocka_unit_test(what_two_kills_have_left_is_no_obstacle),
      cmocka_unit_test(it_has_no_rights_and_ignores_the_terminal),
      cmocka_unit_test(too_few_descriptors_are_told),
      cmocka_unit_test(it_holds_so_much_and_no_more),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  rmdir(folder);
  return failed;
}
