/* A real multistackd of the test's own, and programs that attach to it. */
#ifndef TEST_DAEMON_RIG_H
#define TEST_DAEMON_RIG_H

#include "multistack/multistack.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RIG_LIMIT_MS 30000 /* for anything that must happen at all */

struct daemon_rig {
  char folder[64], path[96], spec[104];
  pid_t pid;
  int log; /* its stderr */
};

static inline void rig_fail(const char *what) {
  fprintf(stderr, "%s (%s)\n", what, strerror(errno));
  _exit(1);
}

/* Wait until the daemon has written a line with `text`. */
static inline bool daemon_says(struct daemon_rig *rig, const char *text) {
  static char seen[1 << 16];
  size_t length = 0;
  struct pollfd wait = {.fd = rig->log, .events = POLLIN};
  while (poll(&wait, 1, RIG_LIMIT_MS) == 1) {
    ssize_t got = read(rig->log, seen + length, sizeof seen - 1 - length);
    if (got <= 0) return false;
    seen[length += (size_t)got] = 0;
    if (strstr(seen, text)) return true;
    if (length > sizeof seen / 2) length = 0;
  }
  return false;
}

/* Start the daemon, again or for the first time. `arguments`: after --socket PATH, NULL-terminated, or NULL. */
static inline void daemon_start(struct daemon_rig *rig, const char *const *arguments) {
  int log[2];
  if (pipe(log)) rig_fail("pipe");
  rig->pid = fork();
  if (rig->pid == 0) {
    const char *argv[40] = {MST_TEST_DAEMON, "--socket", rig->path};
    for (unsigned i = 0; arguments && arguments[i] && i < 36; i++) argv[3 + i] = arguments[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log[1], STDERR_FILENO);
    close(log[0]);
    close(log[1]);
    if (getenv("RIG_DAEMON")) argv[0] = getenv("RIG_DAEMON");
    execv(argv[0], (char *const *)(uintptr_t)argv);
    rig_fail(argv[0]);
  }
  close(log[1]);
  rig->log = log[0];
  if (!daemon_says(rig, "serving")) rig_fail("multistackd did not come up");
}

static inline void daemon_open(struct daemon_rig *rig, const char *const *arguments) {
  snprintf(rig->folder, sizeof rig->folder, "/tmp/multistack-test-XXXXXX");
  if (!mkdtemp(rig->folder)) rig_fail("mkdtemp");
  chmod(rig->folder, 0755);
  snprintf(rig->path, sizeof rig->path, "%s/control", rig->folder);
  snprintf(rig->spec, sizeof rig->spec, "unix:%s", rig->path);
  daemon_start(rig, arguments);
}

/* Returns what waitpid says. */
static inline int daemon_end(struct daemon_rig *rig, int signal_number) {
  int status = 0;
  kill(rig->pid, signal_number);
  waitpid(rig->pid, &status, 0);
  close(rig->log);
  return status;
}

static inline void daemon_close(struct daemon_rig *rig) {
  daemon_end(rig, SIGTERM);
  unlink(rig->path);
  rmdir(rig->folder);
}

/* Of a group of tests: one daemon for all, without ports. */
static inline int daemon_setup(void **state) {
  static struct daemon_rig rig;
  daemon_open(&rig, NULL);
  *state = &rig;
  return 0;
}

static inline int daemon_teardown(void **state) {
  daemon_close(*state);
  return 0;
}

/* --- an app: a host attached to the rig's daemon --- */

struct app {
  mst_host *host;
  mst_stack *stack;
};

static inline void app_open(struct app *app, const char *spec) {
  const char *ports[] = {spec, NULL};
  struct mst_host_options options = {.size = sizeof options, .ports = ports};
  struct mst_failure failure = {0};
  if (mst_host_open(&options, &app->host, &failure)) {
    fprintf(stderr, "%s\n", failure.message);
    _exit(1);
  }
  if (mst_host_add_stack(app->host, NULL, &app->stack)) rig_fail("mst_host_add_stack");
}

/* One turn of an event loop, which waits at most `limit_ms`. */
static inline void app_turn(struct app *app, int limit_ms) {
  mst_host_flush(app->host);
  uint64_t deadline_ns = mst_host_deadline(app->host), now_ns = mst_host_now(app->host);
  int wait_ms = limit_ms;
  if (deadline_ns <= now_ns)
    wait_ms = 0;
  else if (deadline_ns - now_ns < (uint64_t)limit_ms * 1000000)
    wait_ms = (int)((deadline_ns - now_ns + 999999) / 1000000);
  struct pollfd wait = {.fd = mst_host_wait_fd(app->host), .events = POLLIN};
  poll(&wait, 1, wait_ms);
  mst_host_process(app->host);
}

static inline struct mst_endpoint endpoint(const char *addr, uint16_t port) {
  struct mst_endpoint out = {.port = port};
  if (mst_addr_parse(addr, &out.addr)) rig_fail(addr);
  return out;
}

/* Run `body` in a process of its own; it tells by a byte on the pipe that it is ready. */
static inline pid_t app_process(void (*body)(void *ctx, int ready_fd), void *ctx) {
  int ready[2];
  char byte;
  if (pipe(ready)) rig_fail("pipe");
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ready[0]);
    body(ctx, ready[1]);
    _exit(0);
  }
  close(ready[1]);
  if (read(ready[0], &byte, 1) != 1) rig_fail("an app did not get ready");
  close(ready[0]);
  return pid;
}

static inline void app_ready(int ready_fd) {
  if (write(ready_fd, "", 1) != 1) rig_fail("ready");
  close(ready_fd);
}

/* True: it ended well. */
static inline bool app_ended_well(pid_t pid) {
  int status;
  return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#endif
