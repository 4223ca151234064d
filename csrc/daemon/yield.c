/* One daemon in the place of another: the old one ends without a word to the keeper, and the new one finds all there.
 */
#include "life_internal.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_S 5
#define END_MS 10000

static bool may_replace(const struct mst__client *client) {
  return client->peer.uid == 0 || client->peer.uid == geteuid();
}

void mst__life_yield(struct mst__client *client, const struct mst__control_header *question) {
  struct mst__daemon *daemon = client->daemon;
  struct mst__control_result answer = {.header = {.type = MST__CONTROL_YIELDED, .serial = question->serial},
                                       .error = may_replace(client) ? 0 : -MST_EPERM};
  mst__client_send(client, &answer, sizeof answer);
  if (answer.error) {
    MST__CLIENT_LOG(client, MST_LOG_WARN, "wants to replace this daemon, and is neither root nor its user");
    return;
  }
  mst__log(&daemon->log, MST_LOG_INFO, "pid %d takes the place of this daemon", (int)client->peer.pid);
  daemon->stopping = daemon->yields = true;
}

static int fail(struct mst_failure *failure, int code, const char *path, const char *why) {
  failure->code = code;
  snprintf(failure->message, sizeof failure->message, "%.107s: %s", path, why);
  return code;
}

/* 0: it has agreed; 1: there is none that could. */
static int ask(int fd, const char *path, struct mst_failure *failure) {
  static struct mst__control_received received;
  const struct mst__control_plain question = {.header = {.type = MST__CONTROL_YIELD, .serial = 1}};
  struct timeval limit = {.tv_sec = ANSWER_S};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (mst__control_send(fd, &question, sizeof question, NULL, 0, false)) return 1;
  int got = mst__control_receive(fd, &received, false);
  if (got != 1) return 1; /* the keeper holds its socket, and nobody is there; or the keeper will tell */
  if (received.message.header.type == MST__CONTROL_YIELDED) {
    int error = ((const struct mst__control_result *)(const void *)received.message.bytes)->error;
    if (!error) return 0;
    return fail(failure, error, path, "the daemon there makes room for its own user and root alone");
  }
  mst__control_close_fds(&received);
  return fail(failure, -MST_EPROTO, path, "what listens there makes no room");
}

int mst__life_replace(const char *path, struct mst_failure *failure) {
  int fd = mst__control_connect(path, 5000);
  if (fd < 0) return 0; /* there is none */
  int error = ask(fd, path, failure);
  struct pollfd ended = {.fd = fd, .events = POLLIN};
  if (!error && poll(&ended, 1, END_MS) != 1)
    error = fail(failure, -MST_ETIMEDOUT, path, "the daemon there has agreed to go, and does not: end it");
  close(fd);
  return error == 1 ? 0 : error;
}
