/* multistackd's configuration file, and then what policy makes of it. */
#include "daemon/policy.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition) ((condition) ? (void)0 : abort())

static void check_rules(const struct mst__daemon_config *config) {
  for (unsigned i = 0; i < config->rule_count; i++) {
    const struct mst__rule *rule = &config->rules[i];
    CHECK(rule->tcp_count <= MST__RULE_PORTS_MAX && rule->udp_count <= MST__RULE_PORTS_MAX);
    CHECK(rule->prefix_count <= MST__RULE_PREFIXES_MAX);
    CHECK(rule->tcp_count || rule->udp_count || rule->names_icmp);
    for (unsigned p = 0; p < rule->tcp_count; p++) CHECK(rule->tcp[p].first <= rule->tcp[p].last);
    for (unsigned p = 0; p < rule->prefix_count; p++) CHECK(rule->prefixes[p].bits <= 128);
  }
}

/* Who may hold a wildcard may hold each of its addresses. */
static void check_policy(const struct mst__daemon_config *config) {
  const struct mst__policy policy = {.config = config, .unprivileged_port_fd = -1};
  const struct mst__peer peer = {.uid = 1, .gid = 1};
  static const uint8_t address[4] = {10, 0, 0, 1};
  for (uint16_t port = 0; port < 100; port++) {
    struct mst_tuple any = {.addr = MST_ADDR_ANY4, .port = port, .protocol = port & 1 ? MST_TCP : MST_UDP};
    struct mst_tuple one = any;
    one.addr = mst_addr_ip4(address);
    if (!mst__policy_may_lease(&policy, &peer, &any, NULL)) CHECK(!mst__policy_may_lease(&policy, &peer, &one, NULL));
  }
  mst__policy_limits(&policy, &peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct mst__daemon_config config;
  struct mst_failure failure = {0};
  if (size > 4096) return 0;
  mst__config_init(&config);
  int error = mst__config_parse((const char *)data, size, "f", &config, &failure);
  CHECK(error == failure.code);
  for (const char *c = failure.message; *c; c++) CHECK(*c >= ' ' && *c < 0x7f);
  CHECK(!error || !strncmp(failure.message, "f:", 2));
  CHECK(config.threads >= 1 && config.threads <= MST__CONFIG_THREADS_MAX && config.channels >= 1);
  CHECK(config.socket_path[0] == '/' && memchr(config.socket_path, 0, sizeof config.socket_path));
  check_rules(&config);
  if (!error) check_policy(&config);
  mst__config_free(&config);
  return 0;
}
