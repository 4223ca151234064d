#include "observe.h"
#include "host/host_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define STALL_NS 10000000000ull /* for so long an answer may wait for its reader */
#define MESSAGES_PER_TURN 8u    /* so that others get theirs */

bool mst__observe_sees_all(const struct mst__client *watcher) {
  return watcher->peer.uid == 0 || watcher->peer.uid == geteuid();
}

bool mst__observe_sees(const struct mst__client *watcher, const struct mst__client *app) {
  return mst__observe_sees_all(watcher) || watcher->peer.uid == app->peer.uid;
}

void mst__observe_hello(struct mst__client *client, const struct mst__control_observe *hello) {
  uint16_t version = mst__control_common_version(hello->version_first, hello->version_last);
  if (hello->magic != MST__CONTROL_MAGIC || !version) {
    mst__client_refuse(client, hello->header.serial, -MST_EPROTO,
                       "multistackd speaks versions %u to %u of the protocol, not %u to %u", MST__CONTROL_VERSION_FIRST,
                       MST__CONTROL_VERSION, hello->version_first, hello->version_last);
    return;
  }
  struct mst__watcher *watcher = calloc(1, sizeof *watcher);
  if (!watcher) {
    mst__client_refuse(client, hello->header.serial, -MST_ENOMEM, "no memory for another watcher");
    return;
  }
  watcher->client = client;
  watcher->text.grows = true;
  watcher->events = EPOLLIN;
  client->kind = MST__CLIENT_WATCHER;
  client->watcher = watcher;
  mst__list_push_back(&client->daemon->watchers, &watcher->node);
  struct mst__control_observing welcome = {.header = {.type = MST__CONTROL_OBSERVING, .serial = hello->header.serial},
                                           .version = version};
  mst__client_send(client, &welcome, sizeof welcome);
}

void mst__observe_gone(struct mst__client *client) {
  struct mst__watcher *watcher = client->watcher;
  client->watcher = NULL;
  mst__sockets_forget(watcher);
  mst__capture_end(watcher);
  mst__list_remove(&watcher->node);
  free(watcher->text.out);
  free(watcher);
}

/* Of a watcher that is busy nothing is wanted but that it reads. */
void mst__observe_wait_for(struct mst__watcher *watcher) {
  bool unsent = watcher->sent < watcher->text.length || mst__capture_pending(watcher);
  bool idle = watcher->waiting || (watcher->recording && watcher->last);
  uint32_t events = !watcher->answering ? EPOLLIN : unsent || !idle ? EPOLLOUT : 0;
  if (events == watcher->events) return;
  struct epoll_event event = {.events = events, .data.ptr = &watcher->client->control};
  watcher->events = events;
  epoll_ctl(watcher->client->daemon->epoll, EPOLL_CTL_MOD, watcher->client->control.fd, &event);
}

/* --- answers --- */

/* 0 or -errno. */
static int send_part(struct mst__watcher *watcher) {
  struct mst__control_text *part = (void *)watcher->client->daemon->received.message.bytes;
  size_t left = watcher->text.length - watcher->sent;
  size_t bytes = left < sizeof part->text ? left : sizeof part->text;
  memset(part, 0, offsetof(struct mst__control_text, text));
  part->header = (struct mst__control_header){.type = MST__CONTROL_ANSWER, .serial = watcher->serial};
  part->bytes = (uint32_t)bytes;
  part->more = !(watcher->last && bytes == left);
  memcpy(part->text, watcher->text.out + watcher->sent, bytes);
  int error = mst__control_send(watcher->client->control.fd, part, mst__control_bytes(MST__CONTROL_ANSWER, bytes), NULL,
                                0, true);
  if (error) return error;
  watcher->sent += bytes;
  watcher->moved_ns = watcher->client->daemon->now_ns;
  return 0;
}

static void finish(struct mst__watcher *watcher) {
  free(watcher->text.out);
  watcher->text = (struct mst__json){.grows = true};
  watcher->sent = 0;
  watcher->answering = watcher->recording != NULL;
}

/* The next part of the answer, or of the packets after it. 0 or -errno. */
static int send_next(struct mst__watcher *watcher) {
  if (watcher->sent == watcher->text.length && watcher->last) return mst__capture_send(watcher);
  if (watcher->sent == watcher->text.length) {
    watcher->text.length = watcher->sent = 0;
    watcher->last = !mst__answer_next(watcher);
  }
  int error = watcher->text.failed ? -ENOMEM : send_part(watcher);
  if (!error && watcher->last && watcher->sent == watcher->text.length) finish(watcher);
  return error;
}

static bool has_next(const struct mst__watcher *watcher) {
  if (!watcher->answering) return false;
  if (watcher->sent < watcher->text.length) return true;
  return watcher->last ? mst__capture_pending(watcher) : !watcher->waiting;
}

void mst__observe_go_on(struct mst__watcher *watcher) {
  int error = 0;
  for (unsigned i = 0; i < MESSAGES_PER_TURN && !error && has_next(watcher); i++) error = send_next(watcher);
  if (error && error != -EAGAIN)
    mst__client_close(watcher->client);
  else
    mst__observe_wait_for(watcher);
}

void mst__observe_fail(struct mst__watcher *watcher, int error, const char *why) {
  watcher->text.length = watcher->sent = 0;
  mst__json_put(&watcher->text, "{\"error\":{\"code\":\"%s\",\"message\":", mst_err_name(error));
  mst__json_put_string(&watcher->text, why);
  mst__json_put(&watcher->text, "}}");
  watcher->last = true;
}

static void begin(struct mst__watcher *watcher) {
  struct mst_failure failure = {0};
  watcher->last = watcher->comma = false;
  watcher->next = 0;
  watcher->moved_ns = watcher->client->daemon->now_ns;
  int error = mst__answer_begin(watcher, &failure);
  watcher->answering = true;
  if (error) mst__observe_fail(watcher, error, failure.message);
  mst__observe_go_on(watcher);
}

static void take_question(struct mst__watcher *watcher, const struct mst__control_received *received) {
  const struct mst__control_text *text = (const void *)received->message.bytes;
  struct mst__client *client = watcher->client;
  if (text->header.type != MST__CONTROL_QUERY || text->more || watcher->answering) {
    mst__client_refuse(client, text->header.serial, -MST_EPROTO, "a watcher asks one question after the other");
    return;
  }
  struct mst_failure failure = {0};
  watcher->serial = text->header.serial;
  int error = mst__question_parse(text->text, text->bytes, &watcher->question, &failure);
  if (!error) {
    begin(watcher);
    return;
  }
  watcher->answering = true;
  watcher->moved_ns = client->daemon->now_ns;
  mst__observe_fail(watcher, error, failure.message);
  mst__observe_go_on(watcher);
}

void mst__observe_ready(struct mst__client *client) {
  struct mst__watcher *watcher = client->watcher;
  struct mst__control_received *received = &client->daemon->received;
  if (watcher->answering && watcher->events == EPOLLOUT) {
    mst__observe_go_on(watcher); /* which finds out if it has gone */
    return;
  }
  int got = mst__control_receive(client->control.fd, received, true);
  if (got == 1)
    take_question(watcher, received);
  else if (got != -EAGAIN)
    mst__client_close(client);
  mst__control_close_fds(received);
}

/* --- time --- */

static uint64_t deadline_of(const struct mst__watcher *watcher) {
  if (!watcher->answering || (watcher->recording && watcher->last)) return UINT64_MAX;
  return watcher->waiting ? mst__sockets_deadline_ns(watcher) : watcher->moved_ns + STALL_NS;
}

uint64_t mst__observe_deadline_ns(const struct mst__daemon *daemon) {
  uint64_t first = UINT64_MAX;
  MST__LIST_EACH(node, &daemon->watchers) {
    uint64_t at_ns = deadline_of(MST__CONTAINER(node, struct mst__watcher, node));
    if (at_ns < first) first = at_ns;
  }
  return first;
}

void mst__observe_due(struct mst__daemon *daemon) {
  for (struct mst__list *at = daemon->watchers.next, *next; at != &daemon->watchers; at = next) {
    struct mst__watcher *watcher = MST__CONTAINER(at, struct mst__watcher, node);
    next = at->next;
    if (watcher->waiting && mst__sockets_ready(watcher)) {
      watcher->waiting = false;
      watcher->moved_ns = daemon->now_ns;
      mst__observe_go_on(watcher);
    } else if (deadline_of(watcher) <= daemon->now_ns) {
      MST__CLIENT_LOG(watcher->client, MST_LOG_INFO, "closed: it asks and does not read the answer");
      mst__client_close(watcher->client);
    }
  }
}
