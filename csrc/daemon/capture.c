/* Packets for watchers. What the switch shows is copied into a buffer of the watcher's, which the loop sends from; when
 * that is full, packets are missed and counted, and nothing waits. */
#include "host/host_internal.h"
#include "observe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BUFFER_BYTES ((size_t)1 << 20)
#define RECORD_BYTES_MAX (sizeof((struct mst__control_packets *)0)->data)
#define USER_CAPTURES_MAX 2u /* of one user; there are 8, and root gets some in any case */
#define USERS_CAPTURES_MAX 6u

struct mst__recording {
  int capture; /* in the switch */
  uint32_t snap_bytes;
  int64_t realtime_offset_ns;
  uint64_t missed;
  size_t begin, end; /* of what is to be sent */
  _Alignas(8) uint8_t buffer[];
};

static size_t record_bytes(uint32_t bytes) {
  return (offsetof(struct mst__control_packet, data) + bytes + 7) & ~(size_t)7;
}

static void seen(void *user, const struct mst_switch_seen *packet) {
  struct mst__watcher *watcher = user;
  struct mst__recording *recording = watcher->recording;
  if (!packet->port) {
    const struct mst__client *app = mst__app_of(watcher->client->daemon, packet->id);
    if (!app || !mst__observe_sees(watcher->client, app)) return;
  }
  uint32_t bytes = packet->len < recording->snap_bytes ? packet->len : recording->snap_bytes;
  if (recording->end + record_bytes(bytes) > BUFFER_BYTES) {
    recording->missed++;
    return;
  }
  struct mst__control_packet *record = (void *)(recording->buffer + recording->end);
  *record = (struct mst__control_packet){
      .time_ns = packet->now_ns + (uint64_t)recording->realtime_offset_ns,
      .len = packet->len,
      .bytes = bytes,
      .channel = packet->port ? UINT32_MAX : packet->id,
      .outbound = packet->outbound,
      .dropped = packet->drop != MST_DROP_NONE,
  };
  memcpy(record->data, packet->data, bytes);
  memset(record->data + bytes, 0, record_bytes(bytes) - offsetof(struct mst__control_packet, data) - bytes);
  bool first = recording->begin == recording->end;
  recording->end += record_bytes(bytes);
  if (first) mst__observe_wait_for(watcher);
}

/* As many whole records as one message has room for. */
static size_t message_bytes(const struct mst__recording *recording) {
  size_t bytes = 0;
  while (recording->begin + bytes < recording->end) {
    const struct mst__control_packet *record = (const void *)(recording->buffer + recording->begin + bytes);
    size_t more = record_bytes(record->bytes);
    if (bytes + more > RECORD_BYTES_MAX) break;
    bytes += more;
  }
  return bytes;
}

static void make_room(struct mst__recording *recording) {
  if (recording->begin < BUFFER_BYTES / 2 && recording->begin < recording->end) return;
  memmove(recording->buffer, recording->buffer + recording->begin, recording->end - recording->begin);
  recording->end -= recording->begin;
  recording->begin = 0;
}

bool mst__capture_pending(const struct mst__watcher *watcher) {
  return watcher->recording && watcher->recording->begin < watcher->recording->end;
}

int mst__capture_send(struct mst__watcher *watcher) {
  struct mst__recording *recording = watcher->recording;
  struct mst__control_packets *message = (void *)watcher->client->daemon->received.message.bytes;
  size_t bytes = message_bytes(recording);
  *(struct mst__control_header *)message =
      (struct mst__control_header){.type = MST__CONTROL_PACKETS, .serial = watcher->serial};
  message->bytes = (uint32_t)bytes;
  message->reserved = 0;
  message->missed = recording->missed;
  memcpy(message->data, recording->buffer + recording->begin, bytes);
  int error = mst__control_send(watcher->client->control.fd, message, mst__control_bytes(MST__CONTROL_PACKETS, bytes),
                                NULL, 0, true);
  if (error) return error;
  recording->begin += bytes;
  make_room(recording);
  return 0;
}

/* --- beginning and end --- */

static bool too_many(const struct mst__watcher *watcher) {
  unsigned own = 0, users = 0;
  if (mst__observe_sees_all(watcher->client)) return false;
  MST__LIST_EACH(node, &watcher->client->daemon->watchers) {
    const struct mst__watcher *other = MST__CONTAINER(node, struct mst__watcher, node);
    if (!other->recording || mst__observe_sees_all(other->client)) continue;
    users++;
    own += other->client->peer.uid == watcher->client->peer.uid;
  }
  return own >= USER_CAPTURES_MAX || users >= USERS_CAPTURES_MAX;
}

static int refuse(struct mst_failure *failure, int error, const char *why) {
  failure->code = error;
  snprintf(failure->message, sizeof failure->message, "%s", why);
  return error;
}

static int may_capture(const struct mst__watcher *watcher, struct mst_failure *failure) {
  const struct mst__question *question = &watcher->question;
  if (mst__observe_sees_all(watcher->client)) return 0;
  if (*question->port)
    return refuse(failure, -MST_EACCES,
                  "a port carries packets of every user: only root and the daemon's own user "
                  "may see them; name a channel of yours");
  if (question->channel < 0) return 0;
  const struct mst__client *app =
      question->channel <= INT32_MAX ? mst__app_of(watcher->client->daemon, (unsigned)question->channel) : NULL;
  if (app && mst__observe_sees(watcher->client, app)) return 0;
  return refuse(failure, -MST_EACCES, "you have no channel of this number");
}

static struct mst_switch_filter filter_of(const struct mst__question *question) {
  struct mst_switch_filter filter = {
      .size = sizeof filter,
      .id = question->channel < 0 ? MST_SWITCH_ANY : (uint32_t)question->channel,
      .protocol = question->protocol,
      .addr = question->has_address ? question->address : MST_ADDR_ANY6,
      .port = question->number,
  };
  snprintf(filter.port_name, sizeof filter.port_name, "%s", question->port);
  return filter;
}

int mst__capture_begin(struct mst__watcher *watcher, struct mst_failure *failure) {
  int error = may_capture(watcher, failure);
  if (error) return error;
  if (too_many(watcher)) return refuse(failure, -MST_ENOBUFS, "too many captures at once; end another first");
  struct mst__recording *recording = malloc(sizeof *recording + BUFFER_BYTES);
  if (!recording) return refuse(failure, -MST_ENOMEM, "no memory for packets");
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint32_t most = RECORD_BYTES_MAX - offsetof(struct mst__control_packet, data);
  *recording = (struct mst__recording){
      .snap_bytes = watcher->question.snap_bytes < most ? watcher->question.snap_bytes : most,
      .realtime_offset_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - (int64_t)mst__os_clock_ns(),
  };
  struct mst_switch_filter filter = filter_of(&watcher->question);
  recording->capture = mst_switch_capture(watcher->client->daemon->sw, &filter, seen, watcher);
  if (recording->capture < 0) {
    error = recording->capture;
    free(recording);
    return refuse(failure, error, "the switch has no room for another capture");
  }
  watcher->recording = recording;
  return 0;
}

bool mst__capture_next(struct mst__watcher *watcher) {
  mst__json_put(&watcher->text, "{\"capturing\":true}");
  return false;
}

void mst__capture_end(struct mst__watcher *watcher) {
  struct mst__recording *recording = watcher->recording;
  if (!recording) return;
  mst_switch_capture_end(watcher->client->daemon->sw, recording->capture);
  watcher->recording = NULL;
  free(recording);
}
