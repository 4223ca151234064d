/* Doorbells. What the two sides share must not let one of them block the other: each way is a pipe, whose ends are two
 * open files. (O_NONBLOCK belongs to an open file, not to a descriptor: of an eventfd an app could clear it and fill
 * the counter, and the daemon's next write would never return.)
 *
 * A pipe wakes its reader in the kernel's synchronous way: the reader is put where the writer runs, which is about to
 * sleep; to wake another core costs ten times as much. */
#include "daemon.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

/* The loop is awake, and looks at all channels. */
static void rung(struct mst__daemon *daemon, struct mst__watch *watch) {
  char bytes[64];
  (void)daemon;
  ssize_t got = read(watch->fd, bytes, sizeof bytes);
  (void)got;
}

int mst__bells_make(struct mst__client *client, int app_fds[2]) {
  int to_daemon[2], to_app[2];
  if (pipe2(to_daemon, O_CLOEXEC | O_NONBLOCK)) return -MST_EMFILE;
  if (pipe2(to_app, O_CLOEXEC | O_NONBLOCK)) {
    close(to_daemon[0]);
    close(to_daemon[1]);
    return -MST_EMFILE;
  }
  client->doorbell = (struct mst__watch){.ready = rung, .client = client, .fd = to_daemon[0]};
  client->bell = to_app[1];
  app_fds[0] = to_daemon[1];
  app_fds[1] = to_app[0];
  return mst__daemon_watch(client->daemon, &client->doorbell, EPOLLIN);
}

void mst__bell_ring(void *ctx) {
  const struct mst__client *client = ctx;
  ssize_t written = write(client->bell, "", 1);
  (void)written; /* full: it is readable, which is all that is wanted */
}
