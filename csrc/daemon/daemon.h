/* The daemon's parts, as they see each other. One thread: it moves packets, and between that serves the control
 * socket, a little at a time. */
#ifndef MST_DAEMON_DAEMON_H
#define MST_DAEMON_DAEMON_H

#include "base/list.h"
#include "control/socket.h"
#include "log.h"
#include "multistack/host.h"
#include "policy.h"
#include <signal.h>

struct mst__daemon;
struct mst__life;
struct mst__limbo;
struct mst__client;

/* Something that the loop waits for. `ready` may close any client but the loop's own. */
struct mst__watch {
  void (*ready)(struct mst__daemon *daemon, struct mst__watch *watch);
  struct mst__client *client; /* whose it is, or NULL */
  int fd;
};

enum mst__client_kind { MST__CLIENT_NEW, MST__CLIENT_APP, MST__CLIENT_WATCHER, MST__CLIENT_GONE };

/* A connection to the control socket. */
struct mst__client {
  struct mst__list node; /* in daemon->clients, or in daemon->gone until the batch of events is over */
  struct mst__daemon *daemon;
  enum mst__client_kind kind;
  struct mst__watch control;
  struct mst__peer peer;
  struct mst__limits limits;
  uint64_t since_ns;
  /* Of an app: */
  char name[MST__CONTROL_NAME_BYTES];
  uint8_t token[MST__CONTROL_TOKEN_BYTES];
  struct mst__limbo *limbo; /* what it held before the daemon was restarted; NULL: nothing */
  int pidfd;
  mst_channel *channel;
  unsigned id;            /* of the channel in the switch */
  uint64_t rung_in_sleep; /* the daemon's, when it was rung last */
  struct mst__watch bell; /* between the daemon and the app: see bell.c */
  uint8_t *region;        /* the channel's, mapped here */
  size_t region_bytes;
  struct mst__told *told;       /* what it is being asked: sockets.c */
  volatile sig_atomic_t broken; /* some of the region's memory could not be had: see fault.c */
  /* Of a watcher: */
  struct mst__watcher *watcher;
};

struct mst__daemon {
  const struct mst__daemon_config *config;
  struct mst__policy policy;
  struct mst__log log;
  mst_host *host;
  mst_switch *sw;
  int epoll;
  unsigned client_count;
  struct mst__watch listener, packets, signals;
  struct mst__list clients, gone, leaving;
  uint64_t now_ns;
  uint64_t control_next_ns; /* not before, while packets move */
  uint64_t channels_looked_ns;
  uint64_t sleeps; /* how often channels were asked to ring */
  struct mst__life *life;
  uint32_t route_generation;
  uint32_t sockets_serial;
  struct mst__list watchers;
  size_t told_bytes; /* by apps of their sockets, and not yet told on */
  bool stopping;
  bool yields; /* to another daemon */
  struct mst__control_received received;
};

/* loop.c */
int mst__daemon_watch(struct mst__daemon *daemon, struct mst__watch *watch, uint32_t events);
void mst__daemon_run(struct mst__daemon *daemon);
/* What has happened: `count` events of its epoll, and what is due at daemon->now_ns. */
struct epoll_event;
void mst__daemon_events(struct mst__daemon *daemon, const struct epoll_event *events, int count);

/* server.c: connections to the control socket. */
int mst__server_listen(struct mst__daemon *daemon, const char *path, struct mst_failure *failure);
void mst__client_close(struct mst__client *client);
/* To a client, which is closed when it does not take it. */
void mst__client_send(struct mst__client *client, const void *message, size_t bytes);
void mst__client_refuse(struct mst__client *client, uint32_t serial, int error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void mst__server_routes_changed(struct mst__daemon *daemon);

/* app.c: what an app asks. */
void mst__app_hello(struct mst__client *client, struct mst__control_received *received);
void mst__app_message(struct mst__client *client, struct mst__control_received *received);
void mst__app_gone(struct mst__client *client);

/* The app of a channel, or NULL. */
struct mst__client *mst__app_of(const struct mst__daemon *daemon, unsigned id);

/* observe.c: those who only look. */
void mst__observe_hello(struct mst__client *client, const struct mst__control_observe *hello);
void mst__observe_ready(struct mst__client *client);
void mst__observe_gone(struct mst__client *client);
/* When something is due, UINT64_MAX: nothing; and doing it. */
uint64_t mst__observe_deadline_ns(const struct mst__daemon *daemon);
void mst__observe_due(struct mst__daemon *daemon);
/* sockets.c: an app answers, or never will. */
void mst__sockets_are(struct mst__client *app, const struct mst__control_text *text);
void mst__sockets_app_gone(struct mst__client *app);

/* Say something about a client in the log. */
#define MST__CLIENT_LOG(client, level, ...)                                                                            \
  mst__log_about(&(client)->daemon->log, (client)->daemon->now_ns, level,                                              \
                 &(struct mst__log_subject){.channel = (client)->kind == MST__CLIENT_APP ? (int)(client)->id : -1,     \
                                            .pid = (client)->peer.pid,                                                 \
                                            .uid = (client)->peer.uid,                                                 \
                                            .program = *(client)->name ? (client)->name : "?"},                        \
                 __VA_ARGS__)

/* fault.c: memory of an app that is not there when it is touched (SIGBUS) breaks that app's channel and nothing else.
 */
int mst__fault_catch(struct mst__daemon *daemon);
/* Close the channels whose memory was not there, and those that are abusive. */
void mst__fault_close_channels(struct mst__daemon *daemon);

/* leaving.c: let go of a channel whose app has gone, a little in each turn of the loop. */
void mst__leaving_add(struct mst__daemon *daemon, unsigned id);
void mst__leaving_go_on(struct mst__daemon *daemon);
void mst__leaving_finish(struct mst__daemon *daemon);

/* bell.c: `app_fd` is the app's end, to be closed when it is sent. */
int mst__bell_make(struct mst__client *client, int *app_fd);
void mst__bell_ring(void *client);

#endif
