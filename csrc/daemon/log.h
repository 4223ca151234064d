/* Log lines for an operator: one line each, on stderr, saying what happened, to whom, why, and what to do. Under
 * systemd each carries its priority (sd-daemon(3)). A line that stderr does not take at once is lost and counted: the
 * daemon waits for nobody who reads its log. */
#ifndef MST_DAEMON_LOG_H
#define MST_DAEMON_LOG_H

#include "multistack/env.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MST__LOG_LINE_BYTES_MAX 1024u /* what is longer is cut */

/* What one user's programs have said of late; so many users are told apart. */
#define MST__LOG_USERS 64u
#define MST__LOG_BURST 20u               /* lines at once */
#define MST__LOG_REFILL_NS 3000000000ull /* one more line after so long */

struct mst__log {
  enum mst_log_level level; /* the least important that is written */
  int fd;
  bool journal;  /* lines carry a priority */
  uint64_t lost; /* lines that `fd` did not take, since the last that it took */
  struct mst__log_user {
    uid_t uid;
    bool used;
    uint32_t lines;      /* that may still be written */
    uint32_t suppressed; /* since the last that was written */
    uint64_t refilled_ns, seen_ns;
  } users[MST__LOG_USERS];
};

/* Whom a line is about. */
struct mst__log_subject {
  int channel; /* its id in the switch, -1: none */
  pid_t pid;
  uid_t uid;
  const char *program; /* escaped here: it may be anything */
};

void mst__log_init(struct mst__log *log, enum mst_log_level level);

/* One line. */
void mst__log(struct mst__log *log, enum mst_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One line about a program, unless its user has caused too many in a short time: then it is counted, and the next line
 * that is written says how many were not. */
void mst__log_about(struct mst__log *log, uint64_t now_ns, enum mst_log_level level,
                    const struct mst__log_subject *subject, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The shape of mst_env.log, with a struct mst__log as ctx. */
void mst__log_env(void *ctx, enum mst_log_level level, const char *line);

#endif
