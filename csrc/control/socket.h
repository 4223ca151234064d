/* SOCK_SEQPACKET sockets with descriptors, for the control socket. */
#ifndef MST_CONTROL_SOCKET_H
#define MST_CONTROL_SOCKET_H

#include "message.h"

/* A message as it was received, checked; `fds` are the receiver's to close. */
struct mst__control_received {
  union {
    struct mst__control_header header;
    _Alignas(16) uint8_t bytes[MST__CONTROL_BYTES_MAX];
  } message;
  size_t bytes;
  int fds[MST__CONTROL_FDS_MAX];
  unsigned fd_count;
};

/* Connect to the daemon at `path`. This, and sending and receiving on it, wait at most `wait_ms` (not 0): then -EAGAIN.
 * A descriptor or -errno. */
int mst__control_connect(const char *path, uint32_t wait_ms);
/* The same limit for a connection that exists. */
void mst__control_limit(int fd, uint32_t wait_ms);

/* Send a whole message. Never a signal. 0 or -errno; -EAGAIN with `dontwait`: the other end does not read. */
int mst__control_send(int fd, const void *message, size_t bytes, const int *fds, unsigned fd_count, bool dontwait);

/* Receive one. 1; 0: the other end is gone; -EAGAIN; -EPROTO: it was no message; -EMFILE: descriptors came with it that
 * could not be taken; -errno. Descriptors that do not fit
 * are closed. */
int mst__control_receive(int fd, struct mst__control_received *out, bool dontwait);

void mst__control_close_fds(struct mst__control_received *received);

#endif
