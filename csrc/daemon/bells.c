/* Doorbells. What the two sides share must not let one of them block the other.
 *
 * App to daemon: an eventfd. The daemon has it in its epoll, edge-triggered, and neither reads nor writes it, so
 * nothing that the app does with it matters but that the daemon looks around.
 *
 * Daemon to app: a pipe and not an eventfd. O_NONBLOCK belongs to an open file, not to a descriptor: of an eventfd an
 * app could clear it and fill the counter, and the daemon's next write would never return. The ends of a pipe are two
 * open files. */
#include "daemon.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void rung(struct mst__daemon *daemon, struct mst__watch *watch) {
  (void)daemon;
  (void)watch; /* the loop is awake, and looks at all channels */
}

int mst__bells_make(struct mst__client *client, int app_fds[2]) {
  int pipe_fds[2];
  int doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (doorbell < 0) return -MST_EMFILE;
  if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK)) {
    close(doorbell);
    return -MST_EMFILE;
  }
  client->doorbell = (struct mst__watch){.ready = rung, .client = client, .fd = doorbell};
  client->bell = pipe_fds[1];
  app_fds[0] = doorbell;
  app_fds[1] = pipe_fds[0];
  return mst__daemon_watch(client->daemon, &client->doorbell, EPOLLIN | EPOLLET);
}

void mst__bell_ring(void *ctx) {
  const struct mst__client *client = ctx;
  ssize_t written = write(client->bell, "", 1);
  (void)written; /* full: it is readable, which is all that is wanted */
}
