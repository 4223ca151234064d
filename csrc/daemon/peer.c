/* Who is connected. */
#include "policy.h"
#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

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

int mst__policy_read_peer(const struct mst__policy *policy, int fd, struct mst__peer *out) {
  struct ucred credentials;
  socklen_t bytes = sizeof credentials;
  *out = (struct mst__peer){0};
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes)) return -errno;
  if (credentials.pid <= 0) return -MST_ENOTCONN;
  out->uid = credentials.uid;
  out->gid = credentials.gid;
  out->pid = credentials.pid;
  return read_groups(policy, fd, out);
}
