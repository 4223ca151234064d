/* Watchers: connections that only look. Each has one question under way; its answer is made piece by piece, as the
 * watcher reads it, so that none has more memory here than one piece. */
#ifndef MST_DAEMON_OBSERVE_H
#define MST_DAEMON_OBSERVE_H

#include "daemon.h"
#include "host/json.h"
#include "question.h"

struct mst__gather;

/* Whose a channel is, which may be gone when it is told. */
struct mst__owner {
  unsigned channel;
  uid_t uid;
  pid_t pid;
  char program[MST__CONTROL_NAME_BYTES];
};

struct mst__watcher {
  struct mst__list node; /* in daemon->watchers */
  struct mst__client *client;
  uint32_t events; /* of epoll that are waited for */
  struct mst__question question;
  uint32_t serial;
  unsigned kind;         /* of question: answer.c */
  bool answering;        /* and takes no other question meanwhile */
  bool waiting;          /* for apps: sockets.c */
  bool last;             /* `text` ends the answer */
  bool comma;            /* something stands before the next element */
  unsigned next;         /* where to go on */
  struct mst__json text; /* the piece of the answer that is being sent, up to `sent` */
  size_t sent;
  uint64_t moved_ns;                /* when it last took something */
  struct mst__gather *gather;       /* while apps are asked */
  struct mst__recording *recording; /* once a capture was asked for: then nothing else can be */
};

/* observe.c */
/* Wait for what is now to come: a question, or that the watcher reads. */
void mst__observe_wait_for(struct mst__watcher *watcher);
/* Go on with the answer, as far as the watcher takes it. May close it. */
void mst__observe_go_on(struct mst__watcher *watcher);
/* The answer is an error. */
void mst__observe_fail(struct mst__watcher *watcher, int error, const char *why);
/* A uid sees its own; root and the daemon's own uid everything. */
bool mst__observe_sees_all(const struct mst__client *watcher);
bool mst__observe_sees(const struct mst__client *watcher, const struct mst__client *app);

/* answer.c */
/* 0, or the error with its reason. */
int mst__answer_begin(struct mst__watcher *watcher, struct mst_failure *failure);
/* Write the next piece of the answer, some KiB if there is so much. False: that was the last. */
bool mst__answer_next(struct mst__watcher *watcher);
struct mst__owner mst__answer_owner(const struct mst__client *app);
/* The members that say whose a channel is. */
void mst__answer_put_owner(struct mst__json *json, const struct mst__owner *owner);
/* The next element of the list begins. */
void mst__answer_element(struct mst__watcher *watcher);

/* sockets.c: each app is asked for its sockets, once at a time, whoever waits for it. The shapes of answer.c's. */
int mst__sockets_ask(struct mst__watcher *watcher, struct mst_failure *failure);
bool mst__sockets_next(struct mst__watcher *watcher);
/* Nobody is waited for any more. */
bool mst__sockets_ready(const struct mst__watcher *watcher);
uint64_t mst__sockets_deadline_ns(const struct mst__watcher *watcher);
void mst__sockets_forget(struct mst__watcher *watcher);

/* capture.c: the shapes of answer.c's. */
int mst__capture_begin(struct mst__watcher *watcher, struct mst_failure *failure);
bool mst__capture_next(struct mst__watcher *watcher);
/* Whether packets wait to be sent, and sending some: 0 or -errno. */
bool mst__capture_pending(const struct mst__watcher *watcher);
int mst__capture_send(struct mst__watcher *watcher);
void mst__capture_end(struct mst__watcher *watcher);

#endif
