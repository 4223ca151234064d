#include "policy.h"
#include "port/port_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNPRIVILEGED_PORT_FILE "/proc/sys/net/ipv4/ip_unprivileged_port_start"

void mst__policy_open(struct mst__policy *policy, const struct mst__daemon_config *config) {
  policy->config = config;
  policy->unprivileged_port_fd = open(UNPRIVILEGED_PORT_FILE, O_RDONLY | O_CLOEXEC);
}

void mst__policy_close(struct mst__policy *policy) {
  if (policy->unprivileged_port_fd >= 0) close(policy->unprivileged_port_fd);
  policy->unprivileged_port_fd = -1;
}

/* It may change while the daemon runs, as it may for the OS's programs. */
static unsigned unprivileged_port_start(const struct mst__policy *policy) {
  char text[16] = "";
  if (pread(policy->unprivileged_port_fd, text, sizeof text - 1, 0) <= 0) return 1024;
  return (unsigned)strtoul(text, NULL, 10);
}

/* --- whether a rule or limit is about a peer --- */

static bool is_about(const struct mst__subject *subject, const struct mst__peer *peer) {
  if (subject->kind == MST__SUBJECT_EVERYONE) return true;
  if (subject->kind == MST__SUBJECT_USER) return subject->id == peer->uid;
  for (unsigned i = 0; i < peer->group_count; i++)
    if (peer->groups[i] == subject->id) return true;
  return peer->gid == subject->id;
}

/* --- whether a rule is about a tuple --- */

static bool has_port(const struct mst__rule *rule, const struct mst_tuple *tuple) {
  bool is_tcp = tuple->protocol == MST_TCP;
  const struct mst__port_range *ranges = is_tcp ? rule->tcp : rule->udp;
  unsigned count = is_tcp ? rule->tcp_count : rule->udp_count;
  for (unsigned i = 0; i < count; i++)
    if (ranges[i].first <= tuple->port && tuple->port <= ranges[i].last) return true;
  return false;
}

/* Whether `addr` begins with the first `bits` of the prefix, both of one family. */
static bool begins_with(const struct mst_addr *addr, const struct mst__prefix *prefix, unsigned bits) {
  unsigned bytes = bits / 8, rest = bits % 8;
  if (mst_addr_is_ip4(addr) != mst_addr_is_ip4(&prefix->addr)) return false;
  if (memcmp(addr->bytes, prefix->addr.bytes, bytes) != 0) return false;
  return !rest || (addr->bytes[bytes] ^ prefix->addr.bytes[bytes]) >> (8 - rest) == 0;
}

static unsigned family_bits(const struct mst_addr *addr) {
  return mst_addr_is_ip4(addr) ? 96 : 0;
}

/* Whether the rule has one of the addresses that `addr` stands for: itself, or as a wildcard its whole family. */
static bool has_some(const struct mst__rule *rule, const struct mst_addr *addr) {
  for (unsigned i = 0; i < rule->prefix_count; i++) {
    unsigned bits = mst_addr_is_any(addr) ? family_bits(addr) : rule->prefixes[i].bits;
    if (begins_with(addr, &rule->prefixes[i], bits)) return true;
  }
  return !rule->prefix_count;
}

/* Whether it has all of them. */
static bool has_all(const struct mst__rule *rule, const struct mst_addr *addr) {
  for (unsigned i = 0; i < rule->prefix_count; i++) {
    const struct mst__prefix *prefix = &rule->prefixes[i];
    if (mst_addr_is_any(addr) && prefix->bits > family_bits(addr)) continue;
    if (begins_with(addr, prefix, prefix->bits)) return true;
  }
  return !rule->prefix_count;
}

static bool has_address(const struct mst__rule *rule, const struct mst_tuple *tuple) {
  bool both_families = mst_addr_equal(&tuple->addr, &MST_ADDR_ANY6) && !(tuple->flags & MST_BIND_V6ONLY);
  if (rule->deny) return has_some(rule, &tuple->addr) || (both_families && has_some(rule, &MST_ADDR_ANY4));
  return has_all(rule, &tuple->addr) && (!both_families || has_all(rule, &MST_ADDR_ANY4));
}

/* --- the decision --- */

struct question {
  const struct mst__peer *peer;
  const struct mst_tuple *tuple; /* NULL: ICMP errors */
};

static bool answers(const struct mst__rule *rule, const struct question *question) {
  if (!is_about(&rule->subject, question->peer)) return false;
  if (question->tuple) return has_port(rule, question->tuple) && has_address(rule, question->tuple);
  return rule->names_icmp && rule->icmp_errors;
}

/* The rule that decides, or NULL. */
static const struct mst__rule *decide(const struct mst__daemon_config *config, const struct question *question) {
  static const enum mst__subject_kind order[] = {MST__SUBJECT_USER, MST__SUBJECT_GROUP, MST__SUBJECT_EVERYONE};
  for (unsigned i = 0; i < sizeof order / sizeof *order; i++) {
    const struct mst__rule *allow = NULL;
    for (unsigned r = 0; r < config->rule_count; r++) {
      const struct mst__rule *rule = &config->rules[r];
      if (rule->subject.kind != order[i] || !answers(rule, question)) continue;
      if (rule->deny) return rule;
      allow = rule;
    }
    if (allow) return allow;
  }
  return NULL;
}

static int deny(const struct mst__rule *rule, const struct mst_tuple *tuple, struct mst_failure *failure) {
  char text[MST_ADDR_TEXT_BYTES], who[32] = "everyone";
  if (rule->subject.kind != MST__SUBJECT_EVERYONE)
    snprintf(who, sizeof who, "%s %u", rule->subject.kind == MST__SUBJECT_USER ? "user" : "group", rule->subject.id);
  return mst__port_fail(failure, -MST_EACCES, "%s %s port %u: multistackd's configuration denies it to %s",
                        tuple->protocol == MST_TCP ? "TCP" : "UDP", mst_addr_format(&tuple->addr, text), tuple->port,
                        who);
}

int mst__policy_may_lease(const struct mst__policy *policy, const struct mst__peer *peer, const struct mst_tuple *tuple,
                          struct mst_failure *failure) {
  char text[MST_ADDR_TEXT_BYTES];
  if (tuple->protocol != MST_TCP && tuple->protocol != MST_UDP)
    return mst__port_fail(failure, -MST_EINVAL, "protocol %u is neither TCP nor UDP", tuple->protocol);
  if (mst_addr_is_multicast(&tuple->addr))
    return mst__port_fail(failure, -MST_EADDRNOTAVAIL, "%s is no unicast address: a stack cannot hold it",
                          mst_addr_format(&tuple->addr, text));
  const struct mst__rule *rule = decide(policy->config, &(struct question){peer, tuple});
  if (rule) return rule->deny ? deny(rule, tuple, failure) : 0;
  if (!tuple->port || peer->uid == 0) return 0;
  unsigned first = unprivileged_port_start(policy);
  if (tuple->port >= first) return 0;
  const char *protocol = tuple->protocol == MST_TCP ? "tcp" : "udp";
  return mst__port_fail(failure, -MST_EACCES,
                        "ports below %u are root's; to allow this one, put into multistackd's configuration: "
                        "user %u { allow { %s = %u } }",
                        first, peer->uid, protocol, tuple->port);
}

bool mst__policy_may_send_icmp(const struct mst__policy *policy, const struct mst__peer *peer) {
  const struct mst__rule *rule = decide(policy->config, &(struct question){.peer = peer});
  return rule && !rule->deny;
}

/* --- limits --- */

/* A rate of 0 is no limit. */
static bool is_more(enum mst__config_limit limit, uint64_t value, uint64_t than) {
  bool is_rate = limit == MST__LIMIT_PACKETS_PER_S || limit == MST__LIMIT_BYTES_PER_S;
  if (is_rate && (!value || !than)) return than && !value;
  return value > than;
}

static uint64_t limit_of(const struct mst__daemon_config *config, const struct mst__peer *peer,
                         enum mst__config_limit limit) {
  uint64_t group_value = 0;
  bool has_group = false;
  for (unsigned i = 0; i < config->limit_section_count; i++) {
    const struct mst__limit_section *section = &config->limit_sections[i];
    uint64_t value = section->limits.value[limit];
    if (!(section->named & 1u << limit) || !is_about(&section->subject, peer)) continue;
    if (section->subject.kind == MST__SUBJECT_USER) return value;
    if (!has_group || is_more(limit, value, group_value)) group_value = value;
    has_group = true;
  }
  return has_group ? group_value : config->limits.value[limit];
}

struct mst__limits mst__policy_limits(const struct mst__policy *policy, const struct mst__peer *peer) {
  struct mst__limits limits;
  for (unsigned i = 0; i < MST__LIMIT_COUNT; i++)
    limits.value[i] = limit_of(policy->config, peer, (enum mst__config_limit)i);
  return limits;
}
