/* Packets of records. */
#include "keeper_wire.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct head {
  uint8_t type, fd_count;
  uint16_t key_bytes, value_bytes;
};

void mst__keeper_clear(struct mst__keeper_packet *packet) {
  packet->used = packet->fd_count = packet->read = packet->fds_read = 0;
  packet->fds_lost = false;
}

bool mst__keeper_put(struct mst__keeper_packet *packet, const struct mst__keeper_record *record) {
  struct head head = {.type = (uint8_t)record->type,
                      .fd_count = record->fd_count,
                      .key_bytes = record->key_bytes,
                      .value_bytes = record->value_bytes};
  size_t bytes = sizeof head + head.key_bytes + head.value_bytes;
  if (packet->used + bytes > sizeof packet->bytes || packet->fd_count + head.fd_count > MST__KEEPER_PACKET_FDS)
    return false;
  uint8_t *at = packet->bytes + packet->used;
  memcpy(at, &head, sizeof head);
  if (head.key_bytes) memcpy(at + sizeof head, record->key, head.key_bytes);
  if (head.value_bytes) memcpy(at + sizeof head + head.key_bytes, record->value, head.value_bytes);
  if (head.fd_count) memcpy(packet->fds + packet->fd_count, record->fds, head.fd_count * sizeof *record->fds);
  packet->used += (uint32_t)bytes;
  packet->fd_count += head.fd_count;
  return true;
}

bool mst__keeper_next(struct mst__keeper_packet *packet, struct mst__keeper_record *out, bool *lost) {
  struct head head;
  *lost = false;
  if (packet->used - packet->read < sizeof head) return false;
  const uint8_t *at = packet->bytes + packet->read;
  memcpy(&head, at, sizeof head);
  size_t bytes = sizeof head + head.key_bytes + head.value_bytes;
  if (packet->used - packet->read < bytes || head.fd_count > MST__KEEPER_FDS_MAX ||
      head.key_bytes + head.value_bytes > (int)MST__KEEPER_BYTES_MAX)
    return false;
  if (packet->fd_count - packet->fds_read < head.fd_count) {
    if (!packet->fds_lost) return false;
    mst__keeper_close_rest(packet); /* they cannot be told apart from here on */
    head.fd_count = 0;
    *lost = true;
  }
  *out = (struct mst__keeper_record){.type = head.type,
                                     .key_bytes = head.key_bytes,
                                     .value_bytes = head.value_bytes,
                                     .fd_count = head.fd_count,
                                     .key = at + sizeof head,
                                     .value = at + sizeof head + head.key_bytes,
                                     .fds = packet->fds + packet->fds_read};
  packet->read += (uint32_t)bytes;
  packet->fds_read += head.fd_count;
  return true;
}

void mst__keeper_close_rest(struct mst__keeper_packet *packet) {
  while (packet->fds_read < packet->fd_count) close(packet->fds[packet->fds_read++]);
}

union fd_control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(MST__KEEPER_PACKET_FDS * sizeof(int))];
};

int mst__keeper_send(int fd, const struct mst__keeper_packet *packet) {
  union fd_control control;
  struct iovec iov = {.iov_base = (void *)packet->bytes, .iov_len = packet->used};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
  if (packet->fd_count) {
    size_t bytes = packet->fd_count * sizeof *packet->fds;
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(bytes);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(header), packet->fds, bytes);
  }
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : 0;
}

static void take_fds(struct mst__keeper_packet *packet, struct msghdr *message) {
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t bytes = header->cmsg_len - CMSG_LEN(0);
    memcpy(packet->fds, CMSG_DATA(header), bytes);
    packet->fd_count = (uint32_t)(bytes / sizeof *packet->fds);
  }
}

int mst__keeper_receive(int fd, struct mst__keeper_packet *packet) {
  union fd_control control;
  struct iovec iov = {.iov_base = packet->bytes, .iov_len = sizeof packet->bytes};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t received;
  mst__keeper_clear(packet);
  do {
    received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;
  take_fds(packet, &message);
  packet->fds_lost = message.msg_flags & MSG_CTRUNC;
  packet->used = (uint32_t)received;
  return received > 0;
}
