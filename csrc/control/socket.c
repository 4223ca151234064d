#include "socket.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

void mst__control_limit(int fd, uint32_t wait_ms) {
  struct timeval limit = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); /* of connecting too */
}

int mst__control_connect(const char *path, uint32_t wait_ms) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  mst__control_limit(fd, wait_ms);
  if (!connect(fd, (const struct sockaddr *)&address, sizeof address)) return fd;
  int error = -errno;
  close(fd);
  return error;
}

int mst__control_send(int fd, const void *message, size_t bytes, const int *fds, unsigned fd_count, bool dontwait) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(MST__CONTROL_FDS_MAX * sizeof(int))];
  struct iovec iov = {.iov_base = (void *)message, .iov_len = bytes};
  struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
  if (fd_count) {
    memset(control, 0, sizeof control);
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    memcpy(CMSG_DATA(cmsg), fds, fd_count * sizeof(int));
  }
  ssize_t sent;
  do sent = sendmsg(fd, &header, MSG_NOSIGNAL | (dontwait ? MSG_DONTWAIT : 0));
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : 0;
}

/* More than were expected are the kernel's to cut off (MSG_CTRUNC), and it closes those. */
static void take_fds(struct msghdr *header, struct mst__control_received *out) {
  for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
    if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) continue;
    unsigned count = (unsigned)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    const unsigned char *from = CMSG_DATA(cmsg);
    for (unsigned i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, from + i * sizeof fd, sizeof fd);
      if (out->fd_count < MST__CONTROL_FDS_MAX)
        out->fds[out->fd_count++] = fd;
      else
        close(fd);
    }
  }
}

int mst__control_receive(int fd, struct mst__control_received *out, bool dontwait) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(MST__CONTROL_FDS_MAX * sizeof(int))];
  struct iovec iov = {.iov_base = out->message.bytes, .iov_len = sizeof out->message.bytes};
  struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t got;
  do got = recvmsg(fd, &header, MSG_CMSG_CLOEXEC | (dontwait ? MSG_DONTWAIT : 0));
  while (got < 0 && errno == EINTR);
  out->fd_count = 0;
  if (got < 0) return -errno;
  take_fds(&header, out);
  out->bytes = (size_t)got;
  if (got == 0) { /* or an empty message, which may bring descriptors */
    mst__control_close_fds(out);
    return 0;
  }
  bool cut = header.msg_flags & MSG_CTRUNC;
  if (!cut && !(header.msg_flags & MSG_TRUNC) && mst__control_check(out->message.bytes, out->bytes, out->fd_count))
    return 1;
  mst__control_close_fds(out);
  return cut ? -EMFILE : -EPROTO;
}

void mst__control_close_fds(struct mst__control_received *received) {
  for (unsigned i = 0; i < received->fd_count; i++) close(received->fds[i]);
  received->fd_count = 0;
}
