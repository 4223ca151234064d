/* The daemon asks which sockets the stack has: an answer in as many messages as it takes, none of which is waited for.
 */
#include "attach_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static void wait_for_room(const struct mst_attach *attach, bool wait) {
  struct epoll_event event = {.events = wait ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.fd = attach->control};
  epoll_ctl(attach->wait_fd, EPOLL_CTL_MOD, attach->control, &event);
}

void mst_attach_set_sockets(mst_attach *attach, int (*sockets)(void *ctx, char *out, size_t bytes), void *ctx) {
  attach->sockets = sockets;
  attach->sockets_ctx = ctx;
}

void mst__attach_forget_sockets(struct mst_attach *attach) {
  free(attach->sockets_text);
  attach->sockets_text = NULL;
}

static void list(struct mst_attach *attach) {
  static const char none[] = "[]";
  size_t room = MST_ATTACH_SOCKETS_BYTES;
  int length = -1;
  attach->sockets_asked = false;
  mst__attach_forget_sockets(attach);
  if (!(attach->sockets_text = malloc(room))) return; /* who asks sees that there is no answer */
  if (attach->sockets) length = attach->sockets(attach->sockets_ctx, attach->sockets_text, room);
  if (length < 0 || (size_t)length >= room) /* a part of it would be no JSON */
    memcpy(attach->sockets_text, none, length = sizeof none - 1);
  attach->sockets_length = (size_t)length;
  attach->sockets_told = 0;
}

/* One message. 0 or -errno. */
static int tell_part(struct mst_attach *attach) {
  struct mst__control_text *text = (void *)attach->received.message.bytes;
  size_t left = attach->sockets_length - attach->sockets_told;
  size_t bytes = left < sizeof text->text ? left : sizeof text->text;
  text->header = (struct mst__control_header){.type = MST__CONTROL_SOCKETS_ARE, .serial = attach->sockets_serial};
  text->bytes = (uint32_t)bytes;
  text->more = bytes < left;
  memset(text->reserved, 0, sizeof text->reserved);
  memcpy(text->text, attach->sockets_text + attach->sockets_told, bytes);
  int error =
      mst__control_send(attach->control, text, mst__control_bytes(MST__CONTROL_SOCKETS_ARE, bytes), NULL, 0, true);
  if (!error) attach->sockets_told += bytes;
  return error;
}

void mst__attach_tell_sockets(struct mst_attach *attach) {
  int error = 0;
  if (attach->state != MST__ATTACH_UP) return;
  if (attach->sockets_asked && !attach->sockets_text) list(attach);
  if (!attach->sockets_text) return;
  while (!error && attach->sockets_told < attach->sockets_length) error = tell_part(attach);
  wait_for_room(attach, error == -EAGAIN);
  if (error != -EAGAIN) mst__attach_forget_sockets(attach);
  if (error && error != -EAGAIN) mst__attach_lost(attach);
}
