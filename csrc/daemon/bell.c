/* The bell between the daemon and an app: a pair of sockets, by which either wakes the other. What the two share must
 * not let one of them block the other, so nothing here depends on O_NONBLOCK: that belongs to an open file and not to a
 * descriptor, and whoever has an end may change it. (Of an eventfd an app could clear it and fill the counter, and the
 * daemon's next write would never return. A pipe would have two open files, but raises SIGPIPE in an app whose daemon
 * has died.)
 *
 * A socket wakes its reader in the kernel's synchronous way: the reader is put where the writer runs, which is about to
 * sleep; to wake another core costs ten times as much. */
#include "daemon.h"
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The loop is awake, and looks at all channels. More than one ring for each time that it went to sleep is without
 * reason, and held against the app. */
static void rung(struct mst__daemon *daemon, struct mst__watch *watch) {
  struct mst__client *client = watch->client;
  char bytes[64];
  ssize_t rings = recv(watch->fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (rings == 0) mst__client_close(client);
  if (rings <= 0) return;
  if (client->rung_in_sleep != daemon->sleeps) rings--;
  client->rung_in_sleep = daemon->sleeps;
  if (rings) mst_switch_blame(daemon->sw, client->id, (unsigned)rings);
}

int mst__bell_make(struct mst__client *client, int *app_fd) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) return -MST_EMFILE;
  client->bell = (struct mst__watch){.ready = rung, .client = client, .fd = fds[0]};
  *app_fd = fds[1];
  return mst__daemon_watch(client->daemon, &client->bell, EPOLLIN);
}

void mst__bell_ring(void *ctx) {
  const struct mst__client *client = ctx;
  ssize_t sent = send(client->bell.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  (void)sent; /* full: it is readable, which is all that is wanted; gone: so is the control socket */
}
