/* fork(). What is attached is the parent: the child's copies of the descriptors are closed, so that the channel ends
 * with the parent and not later, and the region is not mapped there. */
#include "attach_internal.h"
#include <pthread.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mst__list all = {&all, &all};

static void before(void) {
  pthread_mutex_lock(&lock);
}

static void after(void) {
  pthread_mutex_unlock(&lock);
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void in_child(void) {
  MST__LIST_EACH(node, &all) {
    struct mst_attach *attach = MST__CONTAINER(node, struct mst_attach, of_process);
    attach->state = MST__ATTACH_ELSEWHERE;
    close_fd(&attach->control);
    close_fd(&attach->bell);
    close_fd(&attach->wait_fd);
    mst_channel_disown(attach->channel);
  }
  after();
}

static void watch_forks(void) {
  pthread_atfork(before, after, in_child);
}

void mst__attach_remember(struct mst_attach *attach) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  before();
  mst__list_push_back(&all, &attach->of_process);
  after();
}

void mst__attach_forget(struct mst_attach *attach) {
  if (!attach->of_process.next) return;
  before();
  mst__list_remove(&attach->of_process);
  after();
}
