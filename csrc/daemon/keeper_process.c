/* The keeper itself. It waits, in one poll: for its master; for a new one; and without a master for the end of the last
 * app, or of its patience. */
#include "keeper.h"
#include "keeper_store.h"
#include "os/env.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct keeper {
  int listener, master; /* master -1: none */
  pid_t master_pid;
  bool adopted; /* the master knows all that is held */
  uid_t uid;
  uint32_t keep_s;
  uint64_t deadline_ns;         /* while there is no master that is adopted */
  const struct mst__list *told; /* the last record that an adopting master was told, or the list's head */
  struct mst__keeper_store store;
  struct pollfd *apps; /* without a master: the pidfds of those that live */
  unsigned app_count;
  const char *path;
};

static struct mst__keeper_packet heard, reply;

/* The kernel closes all that is held. */
static _Noreturn void end(const struct keeper *keeper) {
  unlink(keeper->path);
  _exit(0);
}

/* --- without a master -------------------------------------------------------------------------------------------- */

static bool is_app(const struct mst__held *held) {
  return held->key_bytes && held->bytes[0] == MST__KEEPER_APP && held->fd_count;
}

/* Leave room for the listener in front. */
static void find_apps(struct keeper *keeper) {
  free(keeper->apps);
  keeper->app_count = 0;
  keeper->apps = calloc(keeper->store.count + 1, sizeof *keeper->apps);
  if (!keeper->apps) end(keeper);
  MST__LIST_EACH(at, &keeper->store.all) {
    const struct mst__held *held = MST__CONTAINER(at, struct mst__held, in_order);
    if (is_app(held)) keeper->apps[++keeper->app_count] = (struct pollfd){.fd = held->fds[0], .events = POLLIN};
  }
}

static void master_is_gone(struct keeper *keeper) {
  close(keeper->master);
  keeper->master = -1;
  if (keeper->adopted) keeper->deadline_ns = mst__os_clock_ns() + (uint64_t)keeper->keep_s * 1000000000u;
  keeper->adopted = false;
  find_apps(keeper);
}

static void forget_dead_apps(struct keeper *keeper) {
  unsigned alive = 0;
  for (unsigned i = 1; i <= keeper->app_count; i++)
    if (!keeper->apps[i].revents) keeper->apps[++alive] = keeper->apps[i];
  keeper->app_count = alive;
}

/* --- a new master ------------------------------------------------------------------------------------------------ */

/* A packet of one record. */
static int answer(int fd, enum mst__keeper_type type, const void *value, uint16_t value_bytes, const int *one_fd) {
  mst__keeper_clear(&reply);
  mst__keeper_put(
      &reply, &(struct mst__keeper_record){
                  .type = type, .value = value, .value_bytes = value_bytes, .fds = one_fd, .fd_count = one_fd != NULL});
  return mst__keeper_send(fd, &reply);
}

static void candidate(struct keeper *keeper) {
  struct ucred peer;
  socklen_t bytes = sizeof peer;
  int fd = accept4(keeper->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) || (peer.uid != 0 && peer.uid != keeper->uid)) {
    answer(fd, MST__KEEPER_DENIED, NULL, 0, NULL);
    close(fd);
  } else if (keeper->master >= 0) {
    uint32_t pid = (uint32_t)keeper->master_pid;
    answer(fd, MST__KEEPER_BUSY, &pid, sizeof pid, NULL);
    close(fd);
  } else {
    const struct mst__keeper_welcome welcome = {.version = MST__KEEPER_VERSION, .pid = (uint32_t)getpid()};
    keeper->master = fd;
    keeper->master_pid = peer.pid;
    keeper->told = &keeper->store.all;
    if (answer(fd, MST__KEEPER_WELCOME, &welcome, sizeof welcome, &keeper->listener)) master_is_gone(keeper);
  }
}

/* As much as a packet holds; ALL when that was the rest. False: the master is to go. */
static bool tell_more(struct keeper *keeper, const struct mst__keeper_record *question) {
  struct mst__keeper_more more;
  if (keeper->adopted || question->value_bytes < sizeof more) return false;
  memcpy(&more, question->value, sizeof more);
  keeper->keep_s = more.keep_s;
  struct mst__keeper_record record;
  bool room = true;
  mst__keeper_clear(&reply);
  while (room && keeper->told->next != &keeper->store.all) {
    record = mst__held_record(MST__CONTAINER(keeper->told->next, struct mst__held, in_order));
    room = mst__keeper_put(&reply, &record);
    if (room) keeper->told = keeper->told->next;
  }
  record = (struct mst__keeper_record){.type = MST__KEEPER_ALL};
  keeper->adopted = room && mst__keeper_put(&reply, &record);
  return mst__keeper_send(keeper->master, &reply) == 0;
}

/* --- with a master ----------------------------------------------------------------------------------------------- */

static void hold(struct keeper *keeper, const struct mst__keeper_record *record, bool lost) {
  if (!lost && !mst__keeper_store_put(&keeper->store, record)) return;
  for (unsigned i = 0; i < record->fd_count; i++) close(record->fds[i]);
  struct mst__keeper_record full = *record;
  full.type = MST__KEEPER_FULL;
  full.value_bytes = full.fd_count = 0;
  mst__keeper_clear(&reply);
  mst__keeper_put(&reply, &full);
  mst__keeper_send(keeper->master, &reply); /* when it does not listen, it has been told before */
}

static void drop(struct keeper *keeper, const struct mst__keeper_record *record) {
  struct mst__held *held = mst__keeper_store_find(&keeper->store, record->key, record->key_bytes);
  if (held) mst__keeper_store_drop(&keeper->store, held);
}

/* False: the master is to go. */
static bool obey(struct keeper *keeper, const struct mst__keeper_record *record, bool lost) {
  if (record->type == MST__KEEPER_MORE) return tell_more(keeper, record);
  if (!keeper->adopted) return false;
  switch (record->type) {
  case MST__KEEPER_HOLD: hold(keeper, record, lost); return true;
  case MST__KEEPER_DROP: drop(keeper, record); return true;
  case MST__KEEPER_SETTLE: return answer(keeper->master, MST__KEEPER_SETTLED, NULL, 0, NULL) == 0;
  case MST__KEEPER_END: end(keeper);
  default: return false;
  }
}

/* All that it has said: its end may be behind it, and a new master at the door. */
static void hear_master(struct keeper *keeper) {
  struct mst__keeper_record record;
  bool good = true, lost;
  while (good) {
    int got = mst__keeper_receive(keeper->master, &heard);
    if (got == -EAGAIN) return;
    good = got == 1;
    while (good && mst__keeper_next(&heard, &record, &lost)) good = obey(keeper, &record, lost);
    mst__keeper_close_rest(&heard);
  }
  master_is_gone(keeper);
}

static int patience_ms(const struct keeper *keeper) {
  if (keeper->adopted) return -1;
  uint64_t now_ns = mst__os_clock_ns();
  if (now_ns >= keeper->deadline_ns || (keeper->master < 0 && !keeper->app_count)) return 0;
  uint64_t ms = (keeper->deadline_ns - now_ns) / 1000000 + 1;
  return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static void wait_and_serve(struct keeper *keeper) {
  struct pollfd two[2] = {{.fd = keeper->listener, .events = POLLIN}, {.fd = keeper->master, .events = POLLIN}};
  bool alone = keeper->master < 0;
  struct pollfd *fds = alone ? keeper->apps : two;
  fds[0] = two[0];
  int ready = poll(fds, alone ? keeper->app_count + 1 : 2, patience_ms(keeper));
  if (ready < 0) return; /* by a signal, or out of memory for a moment */
  if (ready == 0) end(keeper);
  short called = fds[0].revents;
  if (alone)
    forget_dead_apps(keeper);
  else if (two[1].revents)
    hear_master(keeper); /* before a new one: it may have ended */
  if (called) candidate(keeper);
}

void mst__keeper_be(const struct mst__keeper_seed *seed, int master, int listener) {
  struct keeper keeper = {.listener = listener,
                          .master = master,
                          .master_pid = (pid_t)seed->master_pid,
                          .adopted = true,
                          .uid = geteuid(),
                          .keep_s = seed->keep_s,
                          .path = seed->path};
  if (mst__keeper_store_init(&keeper.store, true) || answer(master, MST__KEEPER_ALL, NULL, 0, NULL)) _exit(1);
  for (;;) wait_and_serve(&keeper);
}
