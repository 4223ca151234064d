/* The master's side: starting a keeper, adopting one, and telling it everything again when it has died. */
#include "keeper.h"
#include "keeper_store.h"
#include "os/env.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_S 5     /* a keeper that takes longer is none */
#define LISTEN_S 1     /* and one that does not read for so long */
#define END_MS 5000    /* for the kernel to close what it held */
#define SETTLE_MS 100  /* and for it to have done what it was told */
#define SHORT_LIFE_S 1 /* a keeper that dies sooner ... */
#define SHORT_LIVES 5u /* ... so often in turn is not started again */
#define CONNECTS 10    /* while keepers come and go */

struct mst__keeper {
  int nursery; /* to the nursery */
  pid_t nursery_pid;
  int fd;       /* to the process; -1: there is none */
  int listener; /* a copy of what it listens at */
  int pidfd;
  pid_t pid;
  struct mst__keeper_store store; /* what it holds, or will when `out` is sent */
  struct mst__keeper_packet out;
  char path[128];
  struct mst__keeper_options options;
  time_t born_s;
  unsigned short_lives;
  bool unsettled; /* something was dropped that it may still have */
};

static struct mst__keeper_packet heard;

__attribute__((format(printf, 3, 4))) static void say(const struct mst__keeper *keeper, enum mst_log_level level,
                                                      const char *format, ...) {
  char line[256];
  va_list arguments;
  if (!keeper->options.log) return;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  keeper->options.log(keeper->options.log_ctx, level, line);
}

__attribute__((format(printf, 3, 4))) static int fail(struct mst_failure *failure, int code, const char *format, ...) {
  va_list arguments;
  failure->code = code;
  va_start(arguments, format);
  vsnprintf(failure->message, sizeof failure->message, format, arguments);
  va_end(arguments);
  return code;
}

static time_t clock_s(void) {
  return (time_t)(mst__os_clock_ns() / 1000000000u);
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* Of whoever has a copy. */
static void hang_up(int *fd) {
  if (*fd >= 0) shutdown(*fd, SHUT_RDWR);
  close_fd(fd);
}

/* --- starting one ------------------------------------------------------------------------------------------------ */

static int pidfd_of(pid_t pid) {
  return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void limit_waiting(int fd) {
  struct timeval listens = {.tv_sec = LISTEN_S}, answers = {.tv_sec = ANSWER_S};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &listens, sizeof listens);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &answers, sizeof answers);
}

/* Whatever it was that failed, the process is of no use any more. */
static void bury(struct mst__keeper *keeper) {
  close_fd(&keeper->fd);
  if (keeper->pidfd >= 0) syscall(SYS_pidfd_send_signal, keeper->pidfd, SIGKILL, NULL, 0);
  close_fd(&keeper->pidfd);
  keeper->pid = 0;
}

static int hear(int fd) {
  int got = mst__keeper_receive(fd, &heard);
  if (got == 1) return 0;
  return got ? got : -ECONNRESET;
}

/* 0 or -errno. */
static int start_nursery(struct mst__keeper *keeper) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) return -errno;
  pid_t pid = fork();
  if (!pid) mst__keeper_nursery(ends[1], keeper->options.uid, keeper->options.gid);
  int error = pid < 0 ? -errno : 0;
  close(ends[1]);
  limit_waiting(ends[0]);
  keeper->nursery = ends[0];
  keeper->nursery_pid = pid;
  return error;
}

/* Have one born whose end of the socket is `end`. 0 or -errno. */
static int ask_nursery(struct mst__keeper *keeper, int end) {
  struct mst__keeper_seed seed = {.keep_s = keeper->options.keep_s, .master_pid = (uint32_t)getpid()};
  const int fds[2] = {end, keeper->listener};
  struct mst__keeper_record record = {
      .type = MST__KEEPER_START, .value = &seed, .value_bytes = sizeof seed, .fds = fds, .fd_count = 2};
  uint32_t pid = 0;
  bool lost;
  strcpy(seed.path, keeper->path);
  mst__keeper_clear(&heard);
  mst__keeper_put(&heard, &record);
  int error = mst__keeper_send(keeper->nursery, &heard);
  if (!error) error = hear(keeper->nursery);
  if (!error && mst__keeper_next(&heard, &record, &lost) && record.value_bytes == sizeof pid)
    memcpy(&pid, record.value, sizeof pid);
  keeper->pid = (pid_t)pid;
  return error || pid ? error : -EAGAIN;
}

/* 0 or -errno. */
static int start(struct mst__keeper *keeper) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) return -errno;
  fcntl(ends[1], F_SETFL, O_NONBLOCK);
  int error = ask_nursery(keeper, ends[1]);
  close(ends[1]);
  limit_waiting(ends[0]);
  keeper->fd = ends[0];
  keeper->pidfd = error ? -1 : pidfd_of(keeper->pid);
  keeper->born_s = clock_s();
  mst__keeper_clear(&keeper->out);
  if (!error) error = hear(ends[0]); /* that it is ready */
  if (error) bury(keeper);
  return error;
}

/* ETOOMANYREFS: so many descriptors are under way as this user may have open; the keeper is about to take them. */
static int send_out(struct mst__keeper *keeper) {
  static const struct timespec pause = {.tv_nsec = 1000000};
  int error = keeper->out.used ? mst__keeper_send(keeper->fd, &keeper->out) : 0;
  for (int i = 0; i < LISTEN_S * 1000 && error == -ETOOMANYREFS; i++) {
    nanosleep(&pause, NULL);
    error = mst__keeper_send(keeper->fd, &keeper->out);
  }
  mst__keeper_clear(&keeper->out);
  return error;
}

static int tell(struct mst__keeper *keeper, const struct mst__keeper_record *record) {
  if (mst__keeper_put(&keeper->out, record)) return 0;
  int error = send_out(keeper);
  if (!error) mst__keeper_put(&keeper->out, record);
  return error;
}

static int tell_everything(struct mst__keeper *keeper) {
  int error = 0;
  for (struct mst__list *at = keeper->store.all.next; !error && at != &keeper->store.all; at = at->next) {
    struct mst__keeper_record record = mst__held_record(MST__CONTAINER(at, struct mst__held, in_order));
    error = tell(keeper, &record);
  }
  return error ? error : send_out(keeper);
}

/* It has died, or does not listen. */
static void replace(struct mst__keeper *keeper) {
  pid_t before = keeper->pid;
  bury(keeper);
  keeper->short_lives = clock_s() - keeper->born_s > SHORT_LIFE_S ? 0 : keeper->short_lives + 1;
  int error = keeper->short_lives < SHORT_LIVES ? start(keeper) : -ECHILD;
  if (!error) error = tell_everything(keeper);
  if (error) {
    if (keeper->fd >= 0) bury(keeper);
    say(keeper, MST_LOG_ERROR,
        "the keeper, pid %d, has ended, and there is none in its place (%s): connections will "
        "not outlive this daemon",
        (int)before, strerror(-error));
    return;
  }
  say(keeper, MST_LOG_WARN, "the keeper, pid %d, has ended: pid %d is in its place and holds %u things", (int)before,
      (int)keeper->pid, keeper->store.count);
}

/* --- adopting one ------------------------------------------------------------------------------------------------ */

/* 0, -ECONNRESET (it has just ended), or a failure that is told. */
static int introduce(struct mst__keeper *keeper, int fd, struct mst_failure *failure) {
  struct mst__keeper_welcome welcome;
  struct mst__keeper_record record;
  bool lost;
  int error = hear(fd);
  if (error == -ECONNRESET) return error;
  if (error)
    return fail(failure, -MST_ETIMEDOUT, "%s: a keeper is there but does not answer (%s): end it, and what it holds",
                keeper->path, strerror(-error));
  if (!mst__keeper_next(&heard, &record, &lost)) record.type = 0;
  uint32_t pid = 0;
  if (record.type == MST__KEEPER_BUSY && record.value_bytes == sizeof pid) {
    memcpy(&pid, record.value, sizeof pid);
    return fail(failure, -MST_EBUSY, "%.*s: already running, pid %u",
                (int)(strlen(keeper->path) - strlen(MST__KEEPER_SUFFIX)), keeper->path, pid);
  }
  if (record.type == MST__KEEPER_DENIED)
    return fail(failure, -MST_EPERM, "%s: another user's daemon has this socket: choose another one", keeper->path);
  if (record.type == MST__KEEPER_WELCOME && record.value_bytes == sizeof welcome && record.fd_count == 1) {
    keeper->listener = record.fds[0];
    memcpy(&welcome, record.value, sizeof welcome);
    keeper->pid = (pid_t)welcome.pid;
    keeper->pidfd = pidfd_of(keeper->pid);
    if (welcome.version == MST__KEEPER_VERSION) return 0;
  }
  mst__keeper_close_rest(&heard);
  return fail(failure, -MST_EPROTO, "%s: the keeper is of another version: end it, and what it holds", keeper->path);
}

/* 0 or -errno; -EMFILE: what it holds is more than this process may have. */
static int take_over(struct mst__keeper *keeper) {
  struct mst__keeper_record record;
  bool lost = false, all = false;
  int error = 0;
  const struct mst__keeper_more more = {.keep_s = keeper->options.keep_s};
  const struct mst__keeper_record question = {.type = MST__KEEPER_MORE, .value = &more, .value_bytes = sizeof more};
  while (!error && !all) {
    mst__keeper_clear(&heard);
    mst__keeper_put(&heard, &question);
    error = mst__keeper_send(keeper->fd, &heard);
    if (!error) error = hear(keeper->fd);
    while (!error && !all && mst__keeper_next(&heard, &record, &lost)) {
      all = record.type == MST__KEEPER_ALL;
      if (lost) error = -EMFILE;
      if (!all && !error) error = mst__keeper_store_put(&keeper->store, &record);
    }
    mst__keeper_close_rest(&heard);
  }
  return error;
}

static int adopt(struct mst__keeper *keeper, int fd, struct mst_failure *failure) {
  limit_waiting(fd);
  int error = introduce(keeper, fd, failure);
  if (error) {
    close(fd);
    return error;
  }
  keeper->fd = fd;
  keeper->born_s = clock_s() - SHORT_LIFE_S - 1;
  keeper->store.owns = true; /* until they are given to somebody */
  error = take_over(keeper);
  if (error)
    return fail(failure, error == -EMFILE ? -MST_EMFILE : -MST_EIO, "%s: cannot take over what the keeper holds: %s%s",
                keeper->path, strerror(-error),
                error == -EMFILE ? ": raise the limit of open files (ulimit -n, LimitNOFILE)" : "");
  say(keeper, MST_LOG_INFO, "adopted a keeper that holds %u things", keeper->store.count);
  return 0;
}

/* --- open -------------------------------------------------------------------------------------------------------- */

static struct sockaddr_un address_of(const struct mst__keeper *keeper) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, keeper->path);
  return address;
}

/* 0, -EADDRINUSE (another was faster), or -errno. */
static int listen_and_start(struct mst__keeper *keeper) {
  struct sockaddr_un address = address_of(keeper);
  int fd = keeper->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (fchmod(fd, 0600) || bind(fd, (const struct sockaddr *)&address, sizeof address)) return -errno;
  int error = chown(keeper->path, keeper->options.uid, keeper->options.gid) || listen(fd, 8) ? -errno : start(keeper);
  if (error) unlink(keeper->path);
  return error;
}

/* One attempt: -EAGAIN wants another. */
static int adopt_or_start(struct mst__keeper *keeper, struct mst_failure *failure) {
  struct sockaddr_un address = address_of(keeper);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), error = 0;
  if (fd < 0) return fail(failure, -MST_EMFILE, "%s: no socket: %s", keeper->path, strerror(errno));
  if (!connect(fd, (const struct sockaddr *)&address, sizeof address)) {
    error = adopt(keeper, fd, failure);
    return error == -ECONNRESET ? -EAGAIN : error;
  }
  error = errno;
  close(fd);
  if (error == ECONNREFUSED) unlink(keeper->path); /* its listener is gone */
  if (error == ECONNREFUSED || error == ENOENT) {
    error = -listen_and_start(keeper);
    if (!error) return 0;
    close_fd(&keeper->listener);
    if (error == EADDRINUSE) return -EAGAIN;
  }
  return fail(failure, error == EACCES || error == EPERM ? -MST_EACCES : -MST_EIO, "%s: %s", keeper->path,
              strerror(error));
}

static void forget(struct mst__keeper *keeper) {
  hang_up(&keeper->nursery); /* which ends it */
  if (keeper->nursery_pid > 0) waitpid(keeper->nursery_pid, NULL, 0);
  hang_up(&keeper->fd);
  close_fd(&keeper->listener);
  close_fd(&keeper->pidfd);
  mst__keeper_store_free(&keeper->store);
  free(keeper);
}

int mst__keeper_open(const struct mst__keeper_options *options, struct mst__keeper **out, struct mst_failure *failure) {
  static const struct sockaddr_un longest;
  size_t bytes = strlen(options->socket_path) + sizeof MST__KEEPER_SUFFIX;
  if (bytes > sizeof longest.sun_path)
    return fail(failure, -MST_EINVAL, "%s: a socket's path has at most %zu characters here", options->socket_path,
                sizeof longest.sun_path - sizeof MST__KEEPER_SUFFIX);
  struct mst__keeper *keeper = calloc(1, sizeof *keeper);
  if (!keeper || mst__keeper_store_init(&keeper->store, false)) {
    free(keeper);
    return fail(failure, -MST_ENOMEM, "out of memory");
  }
  keeper->nursery = keeper->fd = keeper->listener = keeper->pidfd = -1;
  keeper->options = *options;
  keeper->options.socket_path = NULL;
  snprintf(keeper->path, sizeof keeper->path, "%s" MST__KEEPER_SUFFIX, options->socket_path);
  int error = start_nursery(keeper);
  if (error) {
    forget(keeper);
    return fail(failure, -MST_EAGAIN, "cannot start a process: %s", strerror(-error));
  }
  error = -EAGAIN;
  for (int i = 0; i < CONNECTS && error == -EAGAIN; i++) error = adopt_or_start(keeper, failure);
  if (error == -EAGAIN) error = fail(failure, -MST_EBUSY, "%s: other daemons start at the same time", keeper->path);
  if (error) {
    forget(keeper);
    return error;
  }
  *out = keeper;
  return 0;
}

void mst__keeper_each_adopted(struct mst__keeper *keeper,
                              void (*each)(void *ctx, const struct mst__keeper_record *record), void *ctx) {
  keeper->store.owns = false;
  for (struct mst__list *at = keeper->store.all.next, *next; at != &keeper->store.all; at = next) {
    next = at->next;
    struct mst__keeper_record record = mst__held_record(MST__CONTAINER(at, struct mst__held, in_order));
    each(ctx, &record);
  }
}

/* --- hold and drop ----------------------------------------------------------------------------------------------- */

static void tell_or_replace(struct mst__keeper *keeper, const struct mst__keeper_record *record) {
  if (keeper->fd >= 0 && tell(keeper, record)) replace(keeper); /* by one that is told everything */
}

int mst__keeper_hold(struct mst__keeper *keeper, const struct mst__keeper_record *record) {
  struct mst__keeper_record hold = *record;
  hold.type = MST__KEEPER_HOLD;
  int error = mst__keeper_store_put(&keeper->store, &hold);
  if (error) return error;
  tell_or_replace(keeper, &hold);
  return 0;
}

void mst__keeper_drop(struct mst__keeper *keeper, const void *key, uint16_t key_bytes) {
  struct mst__held *held = mst__keeper_store_find(&keeper->store, key, key_bytes);
  if (!held) return;
  uint8_t copy[MST__KEEPER_BYTES_MAX]; /* the key may be the record's own */
  memcpy(copy, key, key_bytes);
  mst__keeper_store_drop(&keeper->store, held);
  keeper->unsettled = true;
  tell_or_replace(keeper, &(struct mst__keeper_record){.type = MST__KEEPER_DROP, .key = copy, .key_bytes = key_bytes});
}

void mst__keeper_flush(struct mst__keeper *keeper) {
  if (keeper->fd >= 0 && send_out(keeper)) replace(keeper);
}

static void hear_news(struct mst__keeper *keeper, bool *settled) {
  struct mst__keeper_record record;
  bool lost;
  while (mst__keeper_next(&heard, &record, &lost)) {
    if (record.type == MST__KEEPER_SETTLED) *settled = true;
    if (record.type == MST__KEEPER_FULL)
      say(keeper, MST_LOG_ERROR,
          "the keeper has no more descriptors: what comes on top will not outlive this daemon: "
          "raise the limit of open files (ulimit -n, LimitNOFILE)");
  }
  mst__keeper_close_rest(&heard);
}

bool mst__keeper_settle(struct mst__keeper *keeper) {
  bool settled = false;
  if (!keeper->unsettled) return false;
  keeper->unsettled = false;
  tell_or_replace(keeper, &(struct mst__keeper_record){.type = MST__KEEPER_SETTLE});
  mst__keeper_flush(keeper);
  while (keeper->fd >= 0 && !settled) {
    struct pollfd ready = {.fd = keeper->fd, .events = POLLIN};
    if (poll(&ready, 1, SETTLE_MS) == 1 && mst__keeper_receive(keeper->fd, &heard) == 1) {
      hear_news(keeper, &settled);
      continue;
    }
    replace(keeper); /* the one that had the descriptors has ended, and with it they */
    settled = true;
  }
  return true;
}

int mst__keeper_wait_fd(const struct mst__keeper *keeper) {
  return keeper->fd;
}

pid_t mst__keeper_pid(const struct mst__keeper *keeper) {
  return keeper->pid;
}

void mst__keeper_process(struct mst__keeper *keeper) {
  bool settled;
  struct pollfd ready = {.fd = keeper->fd, .events = POLLIN};
  if (keeper->fd < 0 || poll(&ready, 1, 0) != 1) return;
  if (mst__keeper_receive(keeper->fd, &heard) != 1) {
    replace(keeper);
    return;
  }
  hear_news(keeper, &settled);
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

void mst__keeper_end(struct mst__keeper *keeper) {
  if (keeper->fd >= 0) {
    mst__keeper_clear(&keeper->out);
    tell(keeper, &(struct mst__keeper_record){.type = MST__KEEPER_END});
    struct pollfd ended = {.fd = keeper->pidfd, .events = POLLIN};
    if (send_out(keeper))
      bury(keeper);
    else if (ended.fd >= 0)
      poll(&ended, 1, END_MS);
  }
  unlink(keeper->path); /* of one that was killed, or had no right to */
  forget(keeper);
}

void mst__keeper_leave(struct mst__keeper *keeper) {
  if (keeper->fd >= 0) send_out(keeper);
  forget(keeper);
}
