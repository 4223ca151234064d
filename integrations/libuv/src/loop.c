/* A host on a uv_loop_t. One turn of the loop:
 *
 *   prepare   flush what the application wrote, arm the timer or, when there is work at once, the idle handle, which
 *             makes the poll that follows not wait
 *   poll      the host's wait fd says that packets have come
 *   check     process the host, deliver what was deferred, close what is closing
 *
 * All work is done in check, so a callback never comes from within the caller's own call. */
#include "internal.h"

#include <errno.h>
#include <string.h>

#define X(name, number, message) _Static_assert(MST_##name == name, "MST_E... and UV_E... are the same numbers");
MST_ERROR_MAP(X)
#undef X
_Static_assert(UV_ECONNRESET == -ECONNRESET, "libuv's errors are negative errno numbers");

enum {
  READY = 1,     /* process the host in the next check */
  OWNS_HOST = 2, /* opened by mst_uv_init */
  DETACHING = 4,
};

/* Rounds in one check while work is left: between stacks of one host, each saves a turn of the loop. */
enum { ROUNDS_PER_TURN = 4 };

enum { LOOP_HANDLES = 5 };

#define DETACH_MAX_NS 3000000000u

void mst__uv_live_add(mst_uv_t *uv) {
  if (uv->live++ == 0) uv_ref((uv_handle_t *)&uv->poll);
}

void mst__uv_live_remove(mst_uv_t *uv) {
  if (--uv->live == 0) uv_unref((uv_handle_t *)&uv->poll);
}

/* Take the list as it is now, so that what is added meanwhile waits for the next round, as in libuv. */
static void take_list(struct mst_uv_node *from, struct mst_uv_node *to) {
  mst__uv_list_init(to);
  if (from->next == from) return;
  *to = *from;
  to->next->prev = to->prev->next = to;
  mst__uv_list_init(from);
}

static mst_uv_handle_t *pop_handle(struct mst_uv_node *list) {
  struct mst_uv_node *node = list->next;
  if (node == list) return NULL;
  mst__uv_list_remove(node);
  return MST__UV_FROM_NODE(node, node);
}

static void deliver(mst_uv_t *uv) {
  struct mst_uv_node list;
  mst_uv_handle_t *handle;
  take_list(&uv->pending, &list);
  while ((handle = pop_handle(&list))) mst__uv_handle_deliver(handle);
  take_list(&uv->closing, &list);
  while ((handle = pop_handle(&list))) mst__uv_handle_finish_close(handle);
}

static bool deferred_waits(const mst_uv_t *uv) {
  return uv->pending.next != &uv->pending || uv->closing.next != &uv->closing;
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  mst_uv_t *uv = poll->data;
  (void)status;
  (void)events;
  uv->flags |= READY;
}

static void on_timer(uv_timer_t *timer) {
  mst_uv_t *uv = timer->data;
  uv->flags |= READY;
}

/* Its being active makes the loop's poll return at once. */
static void on_idle(uv_idle_t *idle) {
  (void)idle;
}

static void on_check(uv_check_t *check) {
  mst_uv_t *uv = check->data;
  unsigned rounds = ROUNDS_PER_TURN;
  uv_idle_stop(&uv->idle);
  if (!(uv->flags & READY)) {
    deliver(uv);
    return;
  }
  uv->flags &= ~READY;
  do {
    mst_host_process(uv->host);
    deliver(uv);
    mst_host_flush(uv->host);
  } while (--rounds && mst_host_deadline(uv->host) == 0);
}

static void on_loop_handle_closed(uv_handle_t *handle) {
  mst_uv_t *uv = handle->data;
  if (--uv->unclosed) return;
  if (uv->flags & OWNS_HOST) mst_host_close(uv->host);
  uv->host = NULL;
  if (uv->detach_cb) uv->detach_cb(uv);
}

static void close_loop_handles(mst_uv_t *uv) {
  uv_close((uv_handle_t *)&uv->poll, on_loop_handle_closed);
  uv_close((uv_handle_t *)&uv->timer, on_loop_handle_closed);
  uv_close((uv_handle_t *)&uv->prepare, on_loop_handle_closed);
  uv_close((uv_handle_t *)&uv->check, on_loop_handle_closed);
  uv_close((uv_handle_t *)&uv->idle, on_loop_handle_closed);
}

static void count_undelivered(const struct mst_tcp_info *info, void *user) {
  size_t *count = user;
  bool closed_here = info->state == MST_FIN_WAIT_1 || info->state == MST_CLOSING || info->state == MST_LAST_ACK;
  if (closed_here || info->unacked_bytes || info->notsent_bytes) ++*count;
}

static bool detach_is_due(mst_uv_t *uv) {
  size_t undelivered = 0;
  if (mst_host_now(uv->host) >= uv->detach_at_ns) return true;
  mst_stack_each_conn(uv->stack, count_undelivered, &undelivered);
  return undelivered == 0;
}

/* The earliest of the deadlines that are in force, in the host's clock. */
static uint64_t next_deadline(const mst_uv_t *uv) {
  uint64_t deadline = mst_host_deadline(uv->host);
  if ((uv->flags & DETACHING) && uv->detach_at_ns < deadline) return uv->detach_at_ns;
  return deadline;
}

static void arm_timer(mst_uv_t *uv, uint64_t deadline, uint64_t now) {
  /* One that fires early does no harm, so a deadline that moves away costs nothing. */
  if (uv_is_active((uv_handle_t *)&uv->timer) && uv->timer_at_ns <= deadline) return;
  uv->timer_at_ns = deadline;
  uv_timer_start(&uv->timer, on_timer, (deadline - now + 999999) / 1000000, 0);
}

static void on_prepare(uv_prepare_t *prepare) {
  mst_uv_t *uv = prepare->data;
  uint64_t deadline, now;
  mst_host_flush(uv->host);
  if ((uv->flags & DETACHING) && detach_is_due(uv)) {
    close_loop_handles(uv);
    return;
  }
  deadline = next_deadline(uv);
  if (deadline == UINT64_MAX) {
    uv_timer_stop(&uv->timer);
  } else if (deadline == 0 || deadline <= (now = mst_host_now(uv->host))) {
    uv->flags |= READY;
  } else {
    arm_timer(uv, deadline, now);
  }
  if ((uv->flags & READY) || deferred_waits(uv)) uv_idle_start(&uv->idle, on_idle);
}

static void start(mst_uv_t *uv) {
  uv_timer_init(uv->loop, &uv->timer);
  uv_prepare_init(uv->loop, &uv->prepare);
  uv_check_init(uv->loop, &uv->check);
  uv_idle_init(uv->loop, &uv->idle);
  uv->poll.data = uv->timer.data = uv->prepare.data = uv->check.data = uv->idle.data = uv;
  uv_poll_start(&uv->poll, UV_READABLE, on_readable);
  uv_prepare_start(&uv->prepare, on_prepare);
  uv_check_start(&uv->check, on_check);
  uv_unref((uv_handle_t *)&uv->poll);
  uv_unref((uv_handle_t *)&uv->timer);
  uv_unref((uv_handle_t *)&uv->prepare);
  uv_unref((uv_handle_t *)&uv->check);
  uv_unref((uv_handle_t *)&uv->idle);
  uv->unclosed = LOOP_HANDLES;
  uv->flags |= READY;
}

static int attach(uv_loop_t *loop, mst_uv_t *uv, mst_host *host, mst_stack *stack, unsigned flags) {
  void *data = uv->data;
  memset(uv, 0, sizeof *uv);
  uv->data = data;
  uv->loop = loop;
  uv->host = host;
  uv->stack = stack;
  uv->flags = flags;
  mst__uv_list_init(&uv->pending);
  mst__uv_list_init(&uv->closing);
  mst__uv_list_init(&uv->handles);
  int err = uv_poll_init(loop, &uv->poll, mst_host_wait_fd(host));
  if (err) return err;
  start(uv);
  return 0;
}

int mst_uv_attach(uv_loop_t *loop, mst_uv_t *uv, mst_host *host, mst_stack *stack) {
  return attach(loop, uv, host, stack, 0);
}

int mst_uv_init(uv_loop_t *loop, mst_uv_t *uv, const struct mst_host_options *options, struct mst_failure *failure) {
  static const struct mst_host_options defaults = {.size = sizeof defaults};
  mst_host *host;
  mst_stack *stack;
  int err = mst_host_open(options ? options : &defaults, &host, failure);
  if (err) return err;
  err = mst_host_add_stack(host, NULL, &stack);
  if (!err) err = attach(loop, uv, host, stack, OWNS_HOST);
  if (!err) return 0;
  mst_host_close(host);
  if (failure) {
    failure->code = err;
    uv_strerror_r(err, failure->message, sizeof failure->message);
  }
  return err;
}

int mst_uv_detach(mst_uv_t *uv, mst_uv_detach_cb cb) {
  if (uv->handles.next != &uv->handles) return UV_EBUSY;
  if (uv->flags & DETACHING) return UV_EALREADY;
  uv->flags |= DETACHING;
  uv->detach_cb = cb;
  uv->detach_at_ns = mst_host_now(uv->host) + DETACH_MAX_NS;
  mst__uv_live_add(uv);
  return 0;
}

void mst_uv_walk(mst_uv_t *uv, mst_uv_walk_cb cb, void *arg) {
  for (struct mst_uv_node *at = uv->handles.next, *next; at != &uv->handles; at = next) {
    next = at->next;
    cb(MST__UV_FROM_NODE(at, all), arg);
  }
}

mst_host *mst_uv_host(const mst_uv_t *uv) {
  return uv->host;
}

mst_stack *mst_uv_stack(const mst_uv_t *uv) {
  return uv->stack;
}
