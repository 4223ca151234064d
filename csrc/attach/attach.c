/* Life of an attachment: its region, its connection to the daemon, and how it is found again. */
#include "attach_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 5000u
#define ARENA_BYTES ((size_t)192 << 20)
#define LOOK_NS 1000000u
#define RECONNECT_MS 1u /* an event loop waits for it: connecting to who listens takes microseconds */
#define RETRY_FIRST_NS 50000000u
#define RETRY_LAST_NS 1000000000u

static int fail(struct mst_failure *failure, int code, const char *what, const char *path, const char *advice) {
  if (!failure) return code;
  failure->code = code;
  snprintf(failure->message, sizeof failure->message, "unix:%.107s: %s: %s%s", path, what, mst_strerror(code), advice);
  return code;
}

/* --- connecting --- */

static int watch(const struct mst_attach *attach, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  return epoll_ctl(attach->wait_fd, EPOLL_CTL_ADD, fd, &event) ? -MST_ENOMEM : 0;
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd); /* which takes it out of the epoll too */
  *fd = -1;
}

static int say_hello(struct mst_attach *attach) {
  struct mst__control_hello hello = {
      .header = {.type = MST__CONTROL_HELLO, .serial = ++attach->serial},
      .magic = MST__CONTROL_MAGIC,
      .version_first = MST__CONTROL_VERSION_FIRST,
      .version_last = MST__CONTROL_VERSION,
      .tx_slots = attach->channel_options.tx_slots,
      .rx_slots = attach->channel_options.rx_slots,
      .rx_bytes = attach->channel_options.rx_bytes,
      .arena_bytes = attach->channel_options.arena_bytes,
  };
  int region = mst_channel_fd(attach->channel);
  memcpy(hello.token, attach->token, sizeof hello.token);
  memcpy(hello.name, attach->name, sizeof hello.name);
  return mst__control_send(attach->control, &hello, sizeof hello, &region, 1, false);
}

/* Ask to be attached, waiting at most so long. The answer comes in its own time. 0 or -errno. */
static int ask(struct mst_attach *attach, uint32_t wait_ms) {
  int fd = mst__control_connect(attach->path, wait_ms);
  if (fd < 0) return fd;
  attach->control = fd;
  mst_channel_restart(attach->channel);
  int error = watch(attach, fd);
  if (!error) error = say_hello(attach);
  if (error) {
    close_fd(&attach->control);
    return error;
  }
  mst__control_limit(fd, attach->wait_ms);
  attach->state = MST__ATTACH_ASKED;
  attach->retry_at_ns = attach->now_ns + (uint64_t)attach->wait_ms * 1000000;
  return 0;
}

void mst__attach_lost(struct mst_attach *attach) {
  close_fd(&attach->control);
  close_fd(&attach->bell);
  mst__attach_forget_sockets(attach);
  attach->rings = 0;
  /* At once the first time, for it may be an upgrade, unless it was there for a moment only. */
  if (attach->state == MST__ATTACH_UP && attach->now_ns - attach->up_since_ns > RETRY_LAST_NS)
    attach->retry_after_ns = 0;
  attach->state = MST__ATTACH_DOWN;
  attach->retry_at_ns = attach->now_ns + attach->retry_after_ns;
  attach->retry_after_ns = attach->retry_after_ns ? 2 * attach->retry_after_ns : RETRY_FIRST_NS;
  if (attach->retry_after_ns > RETRY_LAST_NS) attach->retry_after_ns = RETRY_LAST_NS;
}

/* WELCOME is in attach->received. */
static int settle(struct mst_attach *attach) {
  const struct mst__control_welcome *welcome = (const void *)attach->received.message.bytes;
  attach->bell = attach->received.fds[0];
  attach->received.fd_count = 0;
  memcpy(attach->token, welcome->token, sizeof attach->token);
  attach->route_generation++;
  attach->state = MST__ATTACH_UP;
  attach->up_since_ns = attach->now_ns;
  int error = watch(attach, attach->bell);
  return error ? error : mst__attach_claim_leases(attach);
}

static int refused(const struct mst_attach *attach, struct mst_failure *failure) {
  const struct mst__control_refused *no = (const void *)attach->received.message.bytes;
  if (failure) {
    failure->code = no->error;
    snprintf(failure->message, sizeof failure->message, "unix:%.107s: %.191s", attach->path, no->message);
  }
  return no->error < 0 ? no->error : -MST_EPROTO;
}

/* The first time, a program wants to know at once. */
static int attach_now(struct mst_attach *attach, struct mst_failure *failure) {
  int error = ask(attach, attach->wait_ms);
  if (error == -EAGAIN) error = -MST_ETIMEDOUT;
  if (error == -ENOENT || error == -ECONNREFUSED)
    return fail(failure, error, "no multistackd there", attach->path, "; start it, or set MULTISTACK=embedded");
  bool hung_up = error == -EPIPE || error == -ECONNRESET; /* before it was even told who we are */
  if (error && !hung_up) return fail(failure, error, "cannot reach multistackd", attach->path, "");
  int got = hung_up ? 0 : mst__control_receive(attach->control, &attach->received, false);
  if (got == -EAGAIN)
    return fail(failure, -MST_ETIMEDOUT, "multistackd does not answer", attach->path, "; see its log");
  if (got == 1 && attach->received.message.header.type == MST__CONTROL_REFUSED) return refused(attach, failure);
  if (got != 1 || attach->received.message.header.type != MST__CONTROL_WELCOME) {
    mst__control_close_fds(&attach->received);
    return fail(failure, -MST_EPROTO, "what listens there is no multistackd, or hung up", attach->path, "");
  }
  error = settle(attach);
  return error ? fail(failure, error, "attaching", attach->path, "") : 0;
}

/* --- opening and closing --- */

static void set_options(struct mst_attach *attach, const struct mst_attach_options *options) {
  struct mst_channel_options *channel = &attach->channel_options;
  if (options && options->channel.size) *channel = options->channel;
  channel->size = sizeof *channel;
  channel->shared = true;
  /* All are given, so that both sides make the same of them. */
  if (!channel->tx_slots) channel->tx_slots = 1024;
  if (!channel->rx_slots) channel->rx_slots = 1024;
  if (!channel->rx_bytes) channel->rx_bytes = 2u << 20;
  if (!channel->arena_bytes) channel->arena_bytes = ARENA_BYTES;
  attach->wait_ms = options && options->wait_ms ? options->wait_ms : WAIT_MS;
  const char *name = options && options->name ? options->name : program_invocation_short_name;
  snprintf(attach->name, sizeof attach->name, "%s", name);
}

int mst_attach_open(const struct mst_attach_options *options, mst_attach **out, struct mst_failure *failure) {
  const char *path = options && options->path ? options->path : MST_ATTACH_DEFAULT_PATH;
  if (options && options->size != sizeof *options) return fail(failure, -MST_EINVAL, "options.size", path, "");
  struct mst_attach *attach = calloc(1, sizeof *attach);
  if (!attach) return fail(failure, -MST_ENOMEM, "attaching", path, "");
  attach->control = attach->bell = -1;
  attach->wait_fd = epoll_create1(EPOLL_CLOEXEC);
  set_options(attach, options);
  attach->path = strdup(path);
  int error = attach->path ? 0 : fail(failure, -MST_ENOMEM, "attaching", path, "");
  if (!error && attach->wait_fd < 0) error = fail(failure, -MST_EMFILE, "epoll_create1", path, "");
  if (!error) error = mst__attach_leases_init(attach);
  if (!error && (error = mst_channel_create(&attach->channel_options, &attach->channel)))
    fail(failure, error, "making the shared region", path, "");
  if (!error) error = attach_now(attach, failure);
  if (error) {
    mst_attach_close(attach);
    return error;
  }
  mst__attach_remember(attach);
  *out = attach;
  return 0;
}

void mst_attach_close(mst_attach *attach) {
  if (!attach) return;
  mst__attach_forget(attach);
  close_fd(&attach->control);
  close_fd(&attach->bell);
  close_fd(&attach->wait_fd);
  mst_channel_destroy(attach->channel);
  mst__attach_leases_free(attach);
  mst__attach_forget_sockets(attach);
  free(attach->path);
  free(attach);
}

/* --- the loop contract --- */

mst_channel *mst_attach_channel(mst_attach *attach) {
  return attach->channel;
}

int mst_attach_wait_fd(const mst_attach *attach) {
  return attach->wait_fd;
}

bool mst_attach_is_here(const mst_attach *attach) {
  return attach->state != MST__ATTACH_ELSEWHERE;
}

bool mst_attach_is_up(const mst_attach *attach) {
  return attach->state == MST__ATTACH_UP;
}

uint64_t mst_attach_route_generation(const mst_attach *attach) {
  return attach->route_generation;
}

uint64_t mst_attach_deadline(const mst_attach *attach) {
  return attach->state == MST__ATTACH_UP ? UINT64_MAX : attach->retry_at_ns;
}

/* True when the daemon has rung, so there are packets. */
static bool take_rings(struct mst_attach *attach) {
  char bytes[16];
  bool rung = mst_channel_wake(attach->channel);
  if (rung) attach->rings++;
  if (attach->rings <= 0 || attach->bell < 0) return rung;
  size_t rings = (size_t)attach->rings;
  ssize_t got = recv(attach->bell, bytes, rings < sizeof bytes ? rings : sizeof bytes, MSG_DONTWAIT);
  if (got > 0) attach->rings -= (int)got;
  return rung;
}

/* Whoever rings more than was asked for keeps nobody awake. */
static void take_surplus(struct mst_attach *attach) {
  char bytes[64];
  ssize_t got = attach->bell < 0 ? 0 : recv(attach->bell, bytes, sizeof bytes, MSG_DONTWAIT);
  if (got > 0) attach->rings -= (int)got;
}

static void take_message(struct mst_attach *attach) {
  switch (attach->received.message.header.type) {
  case MST__CONTROL_WELCOME:
    if (attach->state == MST__ATTACH_ASKED && !settle(attach)) return;
    mst__control_close_fds(&attach->received);
    mst__attach_lost(attach);
    return;
  case MST__CONTROL_REFUSED: mst__attach_lost(attach); return;
  default: mst__attach_take_news(attach);
  }
}

static void take_messages(struct mst_attach *attach) {
  while (attach->control >= 0) {
    int got = mst__control_receive(attach->control, &attach->received, true);
    if (got == -EAGAIN) return;
    if (got == 1)
      take_message(attach);
    else
      mst__attach_lost(attach);
  }
}

void mst_attach_process(mst_attach *attach, uint64_t now_ns) {
  attach->now_ns = now_ns;
  bool rung = take_rings(attach), woken_otherwise = attach->asleep && !rung;
  attach->asleep = false;
  /* News cost a system call: they are looked for when they may be what has woken us, else now and then. */
  if (woken_otherwise || now_ns - attach->looked_ns >= LOOK_NS) {
    attach->looked_ns = now_ns;
    take_messages(attach);
    take_surplus(attach);
  }
  if (attach->state == MST__ATTACH_ASKED && now_ns >= attach->retry_at_ns) mst__attach_lost(attach);
  if (attach->state == MST__ATTACH_DOWN && now_ns >= attach->retry_at_ns && ask(attach, RECONNECT_MS))
    mst__attach_lost(attach);
  if (attach->sockets_asked || attach->sockets_text) mst__attach_tell_sockets(attach);
}

void mst_attach_flush(mst_attach *attach) {
  if (attach->state != MST__ATTACH_UP || !mst_channel_must_ring(attach->channel)) return;
  ssize_t sent = send(attach->bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  (void)sent; /* full: the daemon has been rung before and has not looked yet; gone: the control socket tells */
}

bool mst_attach_sleep(mst_attach *attach) {
  attach->asleep = true;
  return attach->state != MST__ATTACH_UP || mst_channel_sleep(attach->channel);
}
