#include "log.h"
#include "text.h"
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* systemd names the journal's stream by device and inode, for those who have it and redirect stderr. */
static bool is_journal(int fd) {
  const char *text = getenv("JOURNAL_STREAM");
  char *end;
  struct stat status;
  if (!text || fstat(fd, &status)) return false;
  uintmax_t device = strtoumax(text, &end, 10);
  if (*end != ':') return false;
  uintmax_t inode = strtoumax(end + 1, &end, 10);
  return device == status.st_dev && inode == status.st_ino;
}

void mst__log_init(struct mst__log *log, enum mst_log_level level) {
  *log = (struct mst__log){.level = level, .fd = STDERR_FILENO, .journal = is_journal(STDERR_FILENO)};
}

/* --- writing --- */

/* A pipe or socket that is writable has room for a line; a file and a terminal take it. */
static bool put(int fd, const char *line, size_t bytes) {
  struct pollfd writable = {.fd = fd, .events = POLLOUT};
  return poll(&writable, 1, 0) == 1 && writable.revents & POLLOUT && write(fd, line, bytes) == (ssize_t)bytes;
}

struct line {
  char text[MST__LOG_LINE_BYTES_MAX];
  size_t used; /* less than sizeof text */
};

static void add_list(struct line *line, const char *format, va_list arguments) {
  int bytes = vsnprintf(line->text + line->used, sizeof line->text - line->used, format, arguments);
  line->used += bytes > 0 ? (size_t)bytes : 0;
  if (line->used >= sizeof line->text) line->used = sizeof line->text - 1;
}

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  add_list(line, format, arguments);
  va_end(arguments);
}

static void begin(const struct mst__log *log, struct line *line, enum mst_log_level level) {
  static const int priorities[] = {
      [MST_LOG_ERROR] = 3, [MST_LOG_WARN] = 4, [MST_LOG_INFO] = 6, [MST_LOG_DEBUG] = 7}; /* syslog's */
  static const char *const names[] = {
      [MST_LOG_ERROR] = "error: ", [MST_LOG_WARN] = "warning: ", [MST_LOG_INFO] = "", [MST_LOG_DEBUG] = "debug: "};
  line->used = 0;
  if (log->journal)
    add(line, "<%d>", priorities[level]);
  else
    add(line, "multistackd: %s", names[level]);
}

/* One line whatever is in it, and no control sequence for the terminal that shows it. */
static void end(struct mst__log *log, struct line *line) {
  for (size_t i = 0; i < line->used; i++)
    if ((unsigned char)line->text[i] < ' ' || line->text[i] == 0x7f) line->text[i] = '?';
  if (line->used == sizeof line->text - 1) line->used--;
  line->text[line->used++] = '\n';
  if (!put(log->fd, line->text, line->used)) log->lost++;
}

static void say_lost(struct mst__log *log) {
  struct line line;
  uint64_t lost = log->lost;
  if (!lost) return;
  begin(log, &line, MST_LOG_WARN);
  add(&line, "%" PRIu64 " lines of this log were lost: whoever reads it did not keep up", lost);
  log->lost = 0;
  end(log, &line);
  if (log->lost) log->lost = lost;
}

void mst__log(struct mst__log *log, enum mst_log_level level, const char *format, ...) {
  struct line line;
  va_list arguments;
  if (level > log->level) return;
  say_lost(log);
  begin(log, &line, level);
  va_start(arguments, format);
  add_list(&line, format, arguments);
  va_end(arguments);
  end(log, &line);
}

void mst__log_env(void *ctx, enum mst_log_level level, const char *line) {
  mst__log(ctx, level, "%s", line);
}

/* --- about a program --- */

/* The user's record; a new user gets that of whoever was seen least lately. */
static struct mst__log_user *user_of(struct mst__log *log, uid_t uid, uint64_t now_ns) {
  struct mst__log_user *oldest = log->users;
  for (unsigned i = 0; i < MST__LOG_USERS; i++) {
    struct mst__log_user *user = &log->users[i];
    if (user->used && user->uid == uid) return user;
    if (oldest->used && (!user->used || user->seen_ns < oldest->seen_ns)) oldest = user;
  }
  *oldest = (struct mst__log_user){.uid = uid, .used = true, .lines = MST__LOG_BURST, .refilled_ns = now_ns};
  return oldest;
}

static bool may_write(struct mst__log_user *user, uint64_t now_ns) {
  uint64_t more = (now_ns - user->refilled_ns) / MST__LOG_REFILL_NS;
  user->seen_ns = now_ns;
  user->refilled_ns += more * MST__LOG_REFILL_NS;
  user->lines = more >= MST__LOG_BURST - user->lines ? MST__LOG_BURST : user->lines + (uint32_t)more;
  if (user->lines) {
    user->lines--;
    return true;
  }
  user->suppressed += user->suppressed < UINT32_MAX;
  return false;
}

void mst__log_about(struct mst__log *log, uint64_t now_ns, enum mst_log_level level,
                    const struct mst__log_subject *subject, const char *format, ...) {
  struct line line;
  va_list arguments;
  if (level > log->level) return;
  struct mst__log_user *user = user_of(log, subject->uid, now_ns);
  if (!may_write(user, now_ns)) return;
  say_lost(log);
  begin(log, &line, level);
  if (subject->channel >= 0) add(&line, "channel %d, ", subject->channel);
  add(&line, "pid %d \"%s\", uid %u: ", subject->pid, MST__TEXT_SHOWN(subject->program), subject->uid);
  va_start(arguments, format);
  add_list(&line, format, arguments);
  va_end(arguments);
  if (user->suppressed) add(&line, " (%u lines about uid %u were left out)", user->suppressed, user->uid);
  user->suppressed = 0;
  end(log, &line);
}
