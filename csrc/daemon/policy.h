/* Who may hold what, and how much of it: the OS's own rule, and what the configuration says beside it.
 *
 * Without a rule everybody may hold what the OS would let them bind: ports below net.ipv4.ip_unprivileged_port_start
 * are root's. The rules of the peer's user come before those of its groups, and these before those for everyone; the
 * first of these three that speaks of a tuple decides, and where it both denies and allows, it denies. A rule with
 * addresses denies a wildcard that has one of them, and allows a wildcard only if it has all of its addresses. */
#ifndef MST_DAEMON_POLICY_H
#define MST_DAEMON_POLICY_H

#include "config.h"

/* Who is at the other end of a control connection, as the kernel tells. */
#define MST__PEER_GROUPS_MAX 64u
struct mst__peer {
  uid_t uid;
  gid_t gid;
  pid_t pid; /* of who connected; it may have ended */
  unsigned group_count;
  gid_t groups[MST__PEER_GROUPS_MAX]; /* of all its groups, those that the configuration names */
};

struct mst__policy {
  const struct mst__daemon_config *config;
  int unprivileged_port_fd; /* net.ipv4.ip_unprivileged_port_start; -1: no such thing, 1024 */
};

/* `config` is borrowed until close. Asks for nothing that has to be done as root. */
void mst__policy_open(struct mst__policy *policy, const struct mst__daemon_config *config);
void mst__policy_close(struct mst__policy *policy);

/* Read who is connected to the Unix socket `fd`. 0, or -MST_E...: not connected, or in too many groups. */
int mst__policy_read_peer(const struct mst__policy *policy, int fd, struct mst__peer *out);

/* Whether the peer may hold `tuple` (port 0: a port that the switch chooses). 0, -MST_EACCES, or -MST_EADDRNOTAVAIL for
 * an address that nobody can hold, with the reason and the remedy in `failure` (may be NULL). Whether the address is
 * one of this host is the switch's to say. */
int mst__policy_may_lease(const struct mst__policy *policy, const struct mst__peer *peer, const struct mst_tuple *tuple,
                          struct mst_failure *failure);

/* Whether the peer may send ICMP errors about what its tuples received. */
bool mst__policy_may_send_icmp(const struct mst__policy *policy, const struct mst__peer *peer);

/* A limit is what the section for the peer's user says, else the largest that one for a group of its says, else what
 * holds for everyone. */
struct mst__limits mst__policy_limits(const struct mst__policy *policy, const struct mst__peer *peer);

#endif
