/* A pcapng file (draft-ietf-opsawg-pcapng): one section, an interface for each name, an enhanced packet block for each
 * packet. Each block is one system call, so the file is whole at every moment, whatever ends the process. */
#include "port_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define BLOCK_SECTION 0x0A0D0D0Au
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET 6u
#define BYTE_ORDER_MAGIC 0x1A2B3C4Du
#define LINKTYPE_RAW 101
#define OPTION_END 0
#define OPTION_IF_NAME 2
#define OPTION_IF_TSRESOL 9
#define OPTION_EPB_FLAGS 2
#define NANOSECONDS 9 /* 10^-9 */
#define INBOUND 1u
#define OUTBOUND 2u
#define NAME_MOST 64

struct mst_pcap {
  int fd;
  bool broken; /* a write failed, the disk is full say: no more is written */
  char (*names)[NAME_MOST];
  uint32_t name_count;
};

struct option {
  uint16_t code, length;
};

struct section_block {
  uint32_t type, length, magic;
  uint16_t major, minor;
  int64_t section_length;
  uint32_t length_again;
} __attribute__((packed));

struct interface_head {
  uint32_t type, length;
  uint16_t link_type, reserved;
  uint32_t snap_length;
  struct option resolution;
  uint8_t resolution_value, padding[3];
  struct option name;
};

struct interface_tail {
  struct option end;
  uint32_t length_again;
};

struct packet_head {
  uint32_t type, length, interface, time_high, time_low, captured, original;
};

struct packet_tail {
  struct option flags;
  uint32_t flags_value;
  struct option end;
  uint32_t length_again;
};

static void write_block(struct mst_pcap *pcap, struct iovec *iov, int count) {
  size_t bytes = 0;
  ssize_t written;
  for (int i = 0; i < count; i++) bytes += iov[i].iov_len;
  do {
    written = writev(pcap->fd, iov, count);
  } while (written < 0 && errno == EINTR);
  if (written == (ssize_t)bytes) return;
  pcap->broken = true;
  off_t end = lseek(pcap->fd, 0, SEEK_CUR); /* cut the torn block off, so that the file stays readable */
  if (written > 0 && end >= written && ftruncate(pcap->fd, end - written)) return;
}

static void write_section(struct mst_pcap *pcap) {
  struct section_block block = {.type = BLOCK_SECTION,
                                .length = sizeof block,
                                .magic = BYTE_ORDER_MAGIC,
                                .major = 1,
                                .section_length = -1,
                                .length_again = sizeof block};
  write_block(pcap, &(struct iovec){&block, sizeof block}, 1);
}

/* `name` is padded with zeros to NAME_MOST. */
static void write_interface(struct mst_pcap *pcap, char *name) {
  size_t name_bytes = strlen(name), padded = (name_bytes + 3) & ~(size_t)3;
  struct interface_head head = {.type = BLOCK_INTERFACE,
                                .link_type = LINKTYPE_RAW,
                                .resolution = {OPTION_IF_TSRESOL, 1},
                                .resolution_value = NANOSECONDS,
                                .name = {OPTION_IF_NAME, (uint16_t)name_bytes}};
  struct interface_tail tail = {.end = {OPTION_END, 0}};
  head.length = tail.length_again = (uint32_t)(sizeof head + padded + sizeof tail);
  write_block(pcap, (struct iovec[]){{&head, sizeof head}, {name, padded}, {&tail, sizeof tail}}, 3);
}

/* The number of the interface `name`, or -1 when there is no memory for a new one. */
static int64_t interface_number(struct mst_pcap *pcap, const char *name) {
  for (uint32_t i = 0; i < pcap->name_count; i++)
    if (!strncmp(pcap->names[i], name, NAME_MOST - 1)) return i;
  void *names = realloc(pcap->names, (pcap->name_count + 1) * sizeof *pcap->names);
  if (!names) return -1;
  pcap->names = names;
  memset(pcap->names[pcap->name_count], 0, NAME_MOST);
  snprintf(pcap->names[pcap->name_count], NAME_MOST, "%s", name);
  write_interface(pcap, pcap->names[pcap->name_count]);
  return pcap->name_count++;
}

int mst_pcap_open(const char *path, mst_pcap **out, struct mst_failure *failure) {
  *out = NULL;
  mst_pcap *pcap = calloc(1, sizeof *pcap);
  if (!pcap) return mst__port_fail(failure, -MST_ENOMEM, "pcap %s: out of memory", path);
  pcap->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (pcap->fd < 0) {
    int error = mst__port_fail(failure, -errno, "pcap %s: cannot open it for writing: %s", path, strerror(errno));
    free(pcap);
    return error;
  }
  write_section(pcap);
  if (pcap->broken) {
    mst_pcap_close(pcap);
    return mst__port_fail(failure, -MST_EIO, "pcap %s: cannot write to it: is the disk full?", path);
  }
  *out = pcap;
  return 0;
}

void mst_pcap_write(mst_pcap *pcap, const char *interface, bool outbound, const struct mst_iov *iov, size_t count,
                    uint64_t realtime_ns) {
  static const uint8_t padding[3];
  struct iovec pieces[MST_PACKET_IOV_MAX + 3];
  if (pcap->broken || count > MST_PACKET_IOV_MAX) return;
  int64_t number = interface_number(pcap, interface);
  if (number < 0 || pcap->broken) return;

  uint32_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    pieces[1 + i] = (struct iovec){(void *)(uintptr_t)iov[i].base, iov[i].len};
    bytes += (uint32_t)iov[i].len;
  }
  uint32_t padded = (bytes + 3) & ~3u;
  struct packet_head head = {.type = BLOCK_PACKET,
                             .length = (uint32_t)(sizeof head + padded + sizeof(struct packet_tail)),
                             .interface = (uint32_t)number,
                             .time_high = (uint32_t)(realtime_ns >> 32),
                             .time_low = (uint32_t)realtime_ns,
                             .captured = bytes,
                             .original = bytes};
  struct packet_tail tail = {.flags = {OPTION_EPB_FLAGS, 4},
                             .flags_value = outbound ? OUTBOUND : INBOUND,
                             .end = {OPTION_END, 0},
                             .length_again = head.length};
  pieces[0] = (struct iovec){&head, sizeof head};
  pieces[1 + count] = (struct iovec){(void *)(uintptr_t)padding, padded - bytes};
  pieces[2 + count] = (struct iovec){&tail, sizeof tail};
  write_block(pcap, pieces, (int)count + 3);
}

void mst_pcap_close(mst_pcap *pcap) {
  close(pcap->fd);
  free(pcap->names);
  free(pcap);
}
