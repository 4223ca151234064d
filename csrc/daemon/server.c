/* The control socket: who connects, what each is, and its messages. */
#include "daemon.h"
#include "host/host_internal.h"
#include "life.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 256

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

void mst__client_close(struct mst__client *client) {
  struct mst__daemon *daemon = client->daemon;
  if (client->kind == MST__CLIENT_GONE) return;
  if (client->kind == MST__CLIENT_APP) mst__app_gone(client);
  if (client->kind == MST__CLIENT_WATCHER) mst__observe_gone(client);
  client->kind = MST__CLIENT_GONE;
  close_fd(&client->control.fd);
  close_fd(&client->bell.fd);
  mst__list_remove(&client->node);
  mst__list_push_back(&daemon->gone, &client->node);
  daemon->client_count--;
}

void mst__client_send(struct mst__client *client, const void *message, size_t bytes) {
  if (client->kind == MST__CLIENT_GONE) return;
  if (mst__control_send(client->control.fd, message, bytes, NULL, 0, true)) mst__client_close(client);
}

void mst__client_refuse(struct mst__client *client, uint32_t serial, int error, const char *format, ...) {
  struct mst__control_refused refused = {.header = {.type = MST__CONTROL_REFUSED, .serial = serial}, .error = error};
  va_list args;
  va_start(args, format);
  vsnprintf(refused.message, sizeof refused.message, format, args);
  va_end(args);
  MST__CLIENT_LOG(client, MST_LOG_WARN, "refused: %s", refused.message);
  mst__client_send(client, &refused, sizeof refused);
  mst__client_close(client);
}

static void take_message(struct mst__client *client, struct mst__control_received *received) {
  const struct mst__control_header *header = &received->message.header;
  if (client->kind == MST__CLIENT_APP)
    mst__app_message(client, received);
  else if (header->type == MST__CONTROL_HELLO)
    mst__app_hello(client, received);
  else if (header->type == MST__CONTROL_OBSERVE)
    mst__observe_hello(client, (const void *)received->message.bytes);
  else if (header->type == MST__CONTROL_YIELD)
    mst__life_yield(client, header);
  else
    mst__client_refuse(client, header->serial, -MST_EPROTO, "a connection begins with HELLO or OBSERVE");
  mst__control_close_fds(received);
}

/* One message, so that others get their turn. */
static void client_ready(struct mst__daemon *daemon, struct mst__watch *watch) {
  if (watch->client->kind == MST__CLIENT_WATCHER) {
    mst__observe_ready(watch->client);
    return;
  }
  int got = mst__control_receive(watch->fd, &daemon->received, true);
  if (got == 1)
    take_message(watch->client, &daemon->received);
  else if (got == -EPROTO)
    mst__client_refuse(watch->client, 0, -MST_EPROTO, "what it sent is no message of the protocol");
  else if (got != -EAGAIN)
    mst__client_close(watch->client);
}

/* Connections beside channels, of those who only look. */
#define WATCHERS_MAX 16u

static unsigned connections_of(const struct mst__daemon *daemon, uid_t uid) {
  unsigned count = 0;
  MST__LIST_EACH(node, &daemon->clients) {
    count += MST__CONTAINER(node, struct mst__client, node)->peer.uid == uid;
  }
  return count;
}

/* One user cannot take all connections from the others. */
static int admit(struct mst__client *client) {
  struct mst__daemon *daemon = client->daemon;
  int error = mst__policy_read_peer(&daemon->policy, client->control.fd, &client->peer);
  if (error) return error;
  client->limits = mst__policy_limits(&daemon->policy, &client->peer);
  uint64_t most = client->limits.value[MST__LIMIT_USER_CHANNELS];
  if (daemon->client_count > daemon->config->channels + WATCHERS_MAX) return -MST_EMFILE;
  if (most && connections_of(daemon, client->peer.uid) > most + WATCHERS_MAX) return -MST_EMFILE;
  return mst__daemon_watch(daemon, &client->control, EPOLLIN);
}

static void listener_ready(struct mst__daemon *daemon, struct mst__watch *watch) {
  int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  struct mst__client *client = calloc(1, sizeof *client);
  if (!client) {
    close(fd);
    return;
  }
  client->daemon = daemon;
  client->control = (struct mst__watch){.ready = client_ready, .client = client, .fd = fd};
  client->bell.fd = client->pidfd = -1;
  client->since_ns = daemon->now_ns;
  mst__list_push_back(&daemon->clients, &client->node);
  daemon->client_count++;
  int error = admit(client);
  if (error) mst__client_refuse(client, 0, error, "too many connections, or of nobody known: %s", mst_strerror(error));
}

/* A descriptor or -errno. */
static int listen_at(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  strcpy(address.sun_path, path);
  unlink(path);
  if (!bind(fd, (const struct sockaddr *)&address, sizeof address) && !chmod(path, 0666) && !listen(fd, BACKLOG))
    return fd;
  int error = -errno;
  close(fd);
  return error;
}

int mst__server_listen(struct mst__daemon *daemon, const char *path, struct mst_failure *failure) {
  int fd = mst__life_listener(daemon), error = 0;
  if (fd < 0) {
    fd = listen_at(path);
    if (fd < 0)
      error = fd;
    else
      mst__life_hold_listener(daemon, fd);
  }
  if (!error) {
    daemon->listener = (struct mst__watch){.ready = listener_ready, .fd = fd};
    error = mst__daemon_watch(daemon, &daemon->listener, EPOLLIN);
  }
  if (!error) return 0;
  failure->code = error;
  snprintf(failure->message, sizeof failure->message, "control socket %.107s: %s", path, strerror(-error));
  return error;
}

void mst__server_routes_changed(struct mst__daemon *daemon) {
  static const struct mst__control_plain news = {.header = {.type = MST__CONTROL_ROUTES_CHANGED}};
  for (struct mst__list *at = daemon->clients.next, *next; at != &daemon->clients; at = next) {
    next = at->next;
    struct mst__client *client = MST__CONTAINER(at, struct mst__client, node);
    if (client->kind == MST__CLIENT_APP) mst__client_send(client, &news, sizeof news);
  }
}
