/* Transmit on lo: whole IP packets by raw sockets, a batch in one sendmmsg for each run of one family. */
#include "xdp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH_PACKETS 256u
#define BATCH_BYTES (1u << 19)
#define SEND_BUFFER_BYTES (4 << 20)

struct mst__xdp_loopback {
  int fd4, fd6;      /* fd6 -1: a kernel without IPv6 */
  unsigned count;    /* packets in the batch */
  uint32_t used;     /* bytes of the batch */
  uint32_t reserved; /* bytes of the reservation under way */
  uint8_t *data;
  struct mmsghdr messages[BATCH_PACKETS];
  struct iovec iov[BATCH_PACKETS];
  union {
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
  } to[BATCH_PACKETS];
};

static int open_raw(int family) {
  int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW); /* headers included */
  if (fd < 0) return -errno;
  int bytes = SEND_BUFFER_BYTES, none = 0;
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes))
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &none, sizeof none);
  return fd;
}

int mst__xdp_loopback_open(struct mst__xdp_loopback **out) {
  struct mst__xdp_loopback *loopback = calloc(1, sizeof *loopback);
  if (!loopback) return -ENOMEM;
  loopback->fd6 = -1;
  loopback->fd4 = open_raw(AF_INET);
  if (loopback->fd4 >= 0) loopback->fd6 = open_raw(AF_INET6);
  loopback->data = malloc(BATCH_BYTES);
  if (loopback->fd4 < 0 || !loopback->data) {
    int error = loopback->fd4 < 0 ? loopback->fd4 : -ENOMEM;
    mst__xdp_loopback_close(loopback);
    return error;
  }
  for (unsigned i = 0; i < BATCH_PACKETS; i++)
    loopback->messages[i].msg_hdr =
        (struct msghdr){.msg_name = &loopback->to[i], .msg_iov = &loopback->iov[i], .msg_iovlen = 1};
  *out = loopback;
  return 0;
}

void mst__xdp_loopback_close(struct mst__xdp_loopback *loopback) {
  if (loopback->fd4 >= 0) close(loopback->fd4);
  if (loopback->fd6 >= 0) close(loopback->fd6);
  free(loopback->data);
  free(loopback);
}

uint8_t *mst__xdp_loopback_reserve(struct mst__xdp_loopback *loopback, uint32_t bytes) {
  if (loopback->count == BATCH_PACKETS || loopback->used + bytes > BATCH_BYTES) return NULL;
  loopback->reserved = bytes;
  return loopback->data + loopback->used;
}

void mst__xdp_loopback_commit(struct mst__xdp_loopback *loopback, uint32_t len) {
  const uint8_t *packet = loopback->data + loopback->used;
  unsigned i = loopback->count;
  if (len < 20 || len > loopback->reserved) return;
  memset(&loopback->to[i], 0, sizeof loopback->to[i]);
  if (packet[0] >> 4 == 6) {
    if (len < 40) return;
    loopback->to[i].in6.sin6_family = AF_INET6;
    memcpy(&loopback->to[i].in6.sin6_addr, packet + 24, 16);
    loopback->messages[i].msg_hdr.msg_namelen = sizeof loopback->to[i].in6;
  } else {
    loopback->to[i].in.sin_family = AF_INET;
    memcpy(&loopback->to[i].in.sin_addr, packet + 16, 4);
    loopback->messages[i].msg_hdr.msg_namelen = sizeof loopback->to[i].in;
  }
  loopback->iov[i] = (struct iovec){.iov_base = loopback->data + loopback->used, .iov_len = len};
  loopback->used += (len + 15) & ~15u;
  loopback->count++;
}

static bool is_ip6(const struct mst__xdp_loopback *loopback, unsigned i) {
  return loopback->to[i].in.sin_family == AF_INET6;
}

/* What the kernel refuses is lost, as on any full or broken link; the rest goes on behind it. */
static unsigned send_run(struct mst__xdp_loopback *loopback, unsigned first, unsigned end) {
  int fd = is_ip6(loopback, first) ? loopback->fd6 : loopback->fd4;
  unsigned refused = 0;
  while (first < end) {
    int sent = sendmmsg(fd, loopback->messages + first, end - first, MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) refused++;
    first += sent < 0 ? 1 : (unsigned)sent;
  }
  return refused;
}

unsigned mst__xdp_loopback_flush(struct mst__xdp_loopback *loopback) {
  unsigned refused = 0;
  for (unsigned first = 0; first < loopback->count;) {
    unsigned end = first + 1;
    while (end < loopback->count && is_ip6(loopback, end) == is_ip6(loopback, first)) end++;
    refused += send_run(loopback, first, end);
    first = end;
  }
  loopback->count = 0;
  loopback->used = 0;
  return refused;
}
