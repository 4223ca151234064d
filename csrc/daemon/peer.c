/* Who is connected. */
#include "policy.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_named(const struct mst__daemon_config *config, gid_t gid) {
  for (unsigned i = 0; i < config->rule_count; i++)
    if (config->rules[i].subject.kind == MST__SUBJECT_GROUP && config->rules[i].subject.id == gid) return true;
  for (unsigned i = 0; i < config->limit_section_count; i++)
    if (config->limit_sections[i].subject.kind == MST__SUBJECT_GROUP && config->limit_sections[i].subject.id == gid)
      return true;
  return false;
}

static int read_groups(const struct mst__policy *policy, int fd, struct mst__peer *out) {
  gid_t all[NGROUPS_MAX];
  socklen_t bytes = sizeof all;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, all, &bytes)) return -errno;
  for (unsigned i = 0; i < bytes / sizeof *all; i++) {
    if (!is_named(policy->config, all[i])) continue;
    if (out->group_count == MST__PEER_GROUPS_MAX) return -MST_ERANGE;
    out->groups[out->group_count++] = all[i];
  }
  return 0;
}

/* For the log alone: by now the number may be another's. */
static void read_program(struct mst__peer *out) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/comm", out->pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t bytes = fd < 0 ? 0 : read(fd, out->program, sizeof out->program - 1);
  if (fd >= 0) close(fd);
  if (bytes > 0 && out->program[bytes - 1] == '\n') bytes--;
  if (bytes <= 0) out->program[0] = '?';
  out->program[bytes <= 0 ? 1 : bytes] = 0;
}

int mst__policy_read_peer(const struct mst__policy *policy, int fd, struct mst__peer *out) {
  struct ucred credentials;
  socklen_t bytes = sizeof credentials;
  *out = (struct mst__peer){0};
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes)) return -errno;
  if (credentials.pid <= 0) return -MST_ENOTCONN;
  out->uid = credentials.uid;
  out->gid = credentials.gid;
  out->pid = credentials.pid;
  read_program(out);
  return read_groups(policy, fd, out);
}
