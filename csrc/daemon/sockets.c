/* The sockets of the stacks, which only their apps know. What an app says is believed in nothing: it is bounded in
 * size and time, and handed on as a string whose contents are the watcher's to doubt. */
#include "observe.h"
#include "switch/switch_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX ((size_t)1 << 20)
#define TEXT_BYTES_MAX_ALL ((size_t)64 << 20)
#define PATIENCE_NS 500000000ull

enum told_state { ASKED, TOLD, TOO_MUCH, GONE };
static const char *const state_names[] = {"silent", "told", "too_much", "gone"};

/* What one app has said to one question, for as many watchers as have asked. */
struct mst__told {
  unsigned refs;
  enum told_state state;
  uint32_t serial;
  struct mst__daemon *daemon;
  char *text;
  size_t bytes;
};

/* What one watcher waits for. */
struct mst__gather {
  uint64_t deadline_ns;
  unsigned count;
  struct expected {
    struct mst__owner owner;
    struct mst__told *told;
  } apps[];
};

static void drop_text(struct mst__told *told) {
  told->daemon->told_bytes -= told->bytes;
  free(told->text);
  told->text = NULL;
  told->bytes = 0;
}

static void unref(struct mst__told *told) {
  if (!told || --told->refs) return;
  drop_text(told);
  free(told);
}

/* An app that has not answered yet is not asked again: its answer will be of when it gives it. */
static struct mst__told *ask_app(struct mst__client *app) {
  struct mst__told *told = app->told;
  if (told) {
    told->refs++;
    return told;
  }
  if (!(told = calloc(1, sizeof *told))) return NULL;
  *told = (struct mst__told){.refs = 2, .serial = ++app->daemon->sockets_serial, .daemon = app->daemon};
  app->told = told;
  struct mst__control_plain question = {.header = {.type = MST__CONTROL_SOCKETS, .serial = told->serial}};
  mst__client_send(app, &question, sizeof question); /* may close it, which is an answer */
  return told;
}

int mst__sockets_ask(struct mst__watcher *watcher, struct mst_failure *failure) {
  struct mst__daemon *daemon = watcher->client->daemon;
  unsigned room = daemon->sw->channel_room;
  struct mst__gather *gather = calloc(1, sizeof *gather + room * sizeof *gather->apps);
  watcher->gather = gather;
  watcher->waiting = gather != NULL;
  if (gather) gather->deadline_ns = daemon->now_ns + PATIENCE_NS;
  for (unsigned id = 0; gather && id < room; id++) {
    struct mst__client *app = mst__app_of(daemon, id);
    bool wanted = watcher->question.channel < 0 || watcher->question.channel == id;
    if (!app || !wanted || !mst__observe_sees(watcher->client, app)) continue;
    struct expected *expected = &gather->apps[gather->count++];
    expected->owner = mst__answer_owner(app);
    expected->told = ask_app(app);
  }
  watcher->waiting = gather && !mst__sockets_ready(watcher);
  if (gather) return 0;
  snprintf(failure->message, sizeof failure->message, "no memory to ask the apps; try again");
  return -MST_ENOMEM;
}

bool mst__sockets_ready(const struct mst__watcher *watcher) {
  const struct mst__gather *gather = watcher->gather;
  if (watcher->client->daemon->now_ns >= gather->deadline_ns) return true;
  for (unsigned i = 0; i < gather->count; i++)
    if (gather->apps[i].told && gather->apps[i].told->state == ASKED) return false;
  return true;
}

uint64_t mst__sockets_deadline_ns(const struct mst__watcher *watcher) {
  return watcher->gather->deadline_ns;
}

void mst__sockets_forget(struct mst__watcher *watcher) {
  struct mst__gather *gather = watcher->gather;
  watcher->gather = NULL;
  watcher->waiting = false;
  for (unsigned i = 0; gather && i < gather->count; i++) unref(gather->apps[i].told);
  free(gather);
}

bool mst__sockets_next(struct mst__watcher *watcher) {
  struct mst__gather *gather = watcher->gather;
  if (watcher->next == gather->count) {
    mst__json_put(&watcher->text, "]}");
    mst__sockets_forget(watcher);
    return false;
  }
  struct expected *expected = &gather->apps[watcher->next++];
  const struct mst__told *told = expected->told;
  enum told_state state = told ? told->state : ASKED;
  mst__answer_element(watcher);
  mst__answer_put_owner(&watcher->text, &expected->owner);
  mst__json_put(&watcher->text, ",\"state\":\"%s\",\"sockets\":", state_names[state]);
  if (state == TOLD)
    mst__json_put_text(&watcher->text, told->text, told->bytes);
  else
    mst__json_put(&watcher->text, "null");
  mst__json_put(&watcher->text, "}");
  unref(expected->told);
  expected->told = NULL;
  return true;
}

/* --- answers --- */

/* No more will come of it that is worth waiting for. */
static void settle(struct mst__told *told, enum told_state state) {
  told->state = state;
  if (state != TOLD) drop_text(told);
}

static bool append(struct mst__told *told, const char *text, size_t bytes) {
  struct mst__daemon *daemon = told->daemon;
  if (!bytes) return true;
  if (told->bytes + bytes > TEXT_BYTES_MAX || daemon->told_bytes + bytes > TEXT_BYTES_MAX_ALL) return false;
  char *more = realloc(told->text, told->bytes + bytes);
  if (!more) return false;
  told->text = more;
  memcpy(told->text + told->bytes, text, bytes);
  told->bytes += bytes;
  daemon->told_bytes += bytes;
  return true;
}

void mst__sockets_are(struct mst__client *app, const struct mst__control_text *text) {
  struct mst__told *told = app->told;
  if (!told || told->serial != text->header.serial) {
    mst__client_refuse(app, text->header.serial, -MST_EPROTO, "it tells of sockets that nobody has asked for");
    return;
  }
  if (told->state == ASKED && !append(told, text->text, text->bytes)) settle(told, TOO_MUCH);
  if (text->more) return;
  if (told->state == ASKED) settle(told, TOLD);
  app->told = NULL;
  unref(told);
}

void mst__sockets_app_gone(struct mst__client *app) {
  struct mst__told *told = app->told;
  app->told = NULL;
  if (told && told->state == ASKED) settle(told, GONE);
  unref(told);
}
