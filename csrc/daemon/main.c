/* multistackd: several user-space stacks of programs that need not trust each other, on one host's devices. */
#include "config.h"
#include "daemon.h"
#include "host/host_internal.h"
#include "life.h"
#include "privilege.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void signalled(struct mst__daemon *daemon, struct mst__watch *watch) {
  struct signalfd_siginfo info;
  if (read(watch->fd, &info, sizeof info) == sizeof info) daemon->stopping = true;
}

static void packets_ready(struct mst__daemon *daemon, struct mst__watch *watch) {
  (void)daemon;
  (void)watch; /* the loop processes the host next */
}

static int watch_signals(struct mst__daemon *daemon) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, NULL);
  int fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return -errno;
  daemon->signals = (struct mst__watch){.ready = signalled, .fd = fd};
  return mst__daemon_watch(daemon, &daemon->signals, EPOLLIN);
}

static int open_daemon(struct mst__daemon *daemon, struct mst_failure *failure) {
  const struct mst__daemon_config *config = daemon->config;
  const char *ports[MST__CONFIG_PORTS_MAX + 1] = {0};
  for (unsigned i = 0; i < config->port_count; i++) ports[i] = config->ports[i];
  struct mst_host_options options = {.size = sizeof options, .ports = ports, .embedded = true};
  mst__policy_open(&daemon->policy, config);
  options.threads = config->threads;
  options.log = mst__log_env;
  options.log_ctx = &daemon->log;
  daemon->epoll = epoll_create1(EPOLL_CLOEXEC);
  mst__list_init(&daemon->clients);
  mst__list_init(&daemon->gone);
  mst__list_init(&daemon->watchers);
  mst__list_init(&daemon->leaving);
  options.open_port = mst__life_open_port;
  options.open_port_ctx = daemon;
  int error = mst__life_open(daemon, failure);
  if (!error) error = mst_host_open(&options, &daemon->host, failure);
  if (error) return error;
  daemon->sw = mst_host_switch(daemon->host);
  daemon->packets = (struct mst__watch){.ready = packets_ready, .fd = mst_host_wait_fd(daemon->host)};
  error = mst__daemon_watch(daemon, &daemon->packets, EPOLLIN);
  if (!error) error = watch_signals(daemon);
  if (!error) error = mst__fault_catch(daemon);
  if (!error) error = mst__life_begin(daemon);
  if (!error) return mst__server_listen(daemon, config->socket_path, failure);
  snprintf(failure->message, sizeof failure->message, "epoll: %s", strerror(-error));
  return error;
}

static int give_up_rights(struct mst__daemon *daemon, struct mst_failure *failure) {
  char summary[MST__PRIVILEGE_SUMMARY_BYTES];
  int error = mst__privilege_drop(daemon->config, summary, failure);
  if (!error) error = mst__privilege_confine(MST__CONFINE_DAEMON, failure);
  if (!error) mst__log(&daemon->log, MST_LOG_INFO, "%s", summary);
  return error;
}

/* One that yields lets go of nothing; one that could not begin leaves to the next what was there before. */
static void close_daemon(struct mst__daemon *daemon, bool failed) {
  bool others = daemon->life && mst__life_listener(daemon) >= 0 && failed;
  if (!daemon->clients.next) return; /* it was nothing yet */
  if (daemon->yields) {
    mst__life_close(daemon, true);
    return;
  }
  while (!mst__list_empty(&daemon->clients))
    mst__client_close(MST__CONTAINER(daemon->clients.next, struct mst__client, node));
  mst__leaving_finish(daemon);
  if (daemon->listener.fd > 0 && !others) unlink(daemon->config->socket_path);
  mst_host_close(daemon->host);
  mst__life_close(daemon, failed);
  mst__policy_close(&daemon->policy);
}

static int run(const struct mst__daemon_config *config) {
  static struct mst__daemon daemon;
  struct mst_failure failure = {0};
  daemon.config = config;
  mst__log_init(&daemon.log, config->log_level);
  int error = mst__privilege_prepare(config, &failure);
  if (!error && config->action == MST__DAEMON_UPGRADE) error = mst__life_replace(config->socket_path, &failure);
  if (!error) error = open_daemon(&daemon, &failure);
  if (!error) error = give_up_rights(&daemon, &failure);
  if (error) {
    mst__log(&daemon.log, MST_LOG_ERROR, "%s", failure.message);
  } else {
    mst__log(&daemon.log, MST_LOG_INFO, "serving %s", config->socket_path);
    mst__daemon_run(&daemon);
  }
  close_daemon(&daemon, error != 0);
  return error ? 1 : 0;
}

int main(int argc, char **argv) {
  struct mst__daemon_config config;
  struct mst_failure failure = {0};
  int status = 0;
  mst__config_init(&config);
  if (mst__config_read(argc, argv, &config, &failure)) {
    fprintf(stderr, "multistackd: %s\n", failure.message);
    status = 2;
  } else if (config.action == MST__DAEMON_HELP) {
    fputs(mst__config_usage, stdout);
  } else if (config.action == MST__DAEMON_VERSION) {
    puts("multistackd " MST__VERSION);
  } else if (config.action != MST__DAEMON_CHECK) {
    status = run(&config);
  }
  mst__config_free(&config);
  return status;
}
