/* Who may hold what: the OS's rule, and each way in which a rule of the configuration widens or narrows it. */
#include "daemon/policy.h"
#include "unit.h"
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct mst__daemon_config config;
static struct mst__policy policy;

static const struct mst__peer root = {.pid = 1};
static const struct mst__peer alice = {.uid = 1000, .gid = 1000, .pid = 2};
static const struct mst__peer bob = {.uid = 1001, .gid = 1001, .pid = 3, .group_count = 2, .groups = {33, 44}};

static void unprivileged_ports_start_at(const char *text) {
  int fd = policy.unprivileged_port_fd;
  if (ftruncate(fd, 0) || pwrite(fd, text, strlen(text), 0) != (ssize_t)strlen(text)) abort();
}

/* In place of the system's value, which may be another, one of the test's. */
static int setup(void **state) {
  (void)state;
  mst__config_init(&config);
  mst__policy_open(&policy, &config);
  mst__policy_close(&policy);
  policy.unprivileged_port_fd = memfd_create("ip_unprivileged_port_start", MFD_CLOEXEC);
  unprivileged_ports_start_at("1024\n");
  return 0;
}

static int teardown(void **state) {
  (void)state;
  mst__policy_close(&policy);
  mst__config_free(&config);
  return 0;
}

static void configure(const char *text) {
  struct mst_failure failure;
  if (mst__config_parse(text, strlen(text), "f", &config, &failure)) fail_msg("%s", failure.message);
}

static struct mst_tuple tuple(const char *address, uint16_t port) {
  return (struct mst_tuple){.addr = addr(address), .port = port, .protocol = MST_TCP};
}

static int may(const struct mst__peer *peer, const char *address, uint16_t port) {
  struct mst_tuple wanted = tuple(address, port);
  return mst__policy_may_lease(&policy, peer, &wanted, NULL);
}

static void low_ports_are_roots(void **state) {
  (void)state;
  assert_int_equal(may(&root, "0.0.0.0", 80), 0);
  assert_int_equal(may(&alice, "0.0.0.0", 80), -MST_EACCES);
  assert_int_equal(may(&alice, "::1", 1), -MST_EACCES);
  assert_int_equal(may(&alice, "::1", 1023), -MST_EACCES);
  assert_int_equal(may(&alice, "::1", 1024), 0);
  assert_int_equal(may(&alice, "127.0.0.1", 0), 0);
}

static void the_administrator_says_what_is_low(void **state) {
  (void)state;
  unprivileged_ports_start_at("80\n");
  assert_int_equal(may(&alice, "::1", 80), 0);
  assert_int_equal(may(&alice, "::1", 79), -MST_EACCES);
  unprivileged_ports_start_at("0\n");
  assert_int_equal(may(&alice, "::1", 1), 0);
  unprivileged_ports_start_at("65536\n");
  assert_int_equal(may(&alice, "::1", 65535), -MST_EACCES);
}

static void without_proc_low_is_below_1024(void **state) {
  (void)state;
  mst__policy_close(&policy);
  assert_int_equal(may(&alice, "::1", 1023), -MST_EACCES);
  assert_int_equal(may(&alice, "::1", 1024), 0);
}

static void nobody_holds_what_is_no_unicast_address(void **state) {
  (void)state;
  configure("allow { tcp = \"0-65535\" }");
  assert_int_equal(may(&root, "224.0.0.1", 80), -MST_EADDRNOTAVAIL);
  assert_int_equal(may(&root, "255.255.255.255", 8080), -MST_EADDRNOTAVAIL);
  assert_int_equal(may(&alice, "ff02::1", 8080), -MST_EADDRNOTAVAIL);
  struct mst_tuple icmp = {.addr = addr("::1"), .protocol = MST_ICMP6};
  assert_int_equal(mst__policy_may_lease(&policy, &root, &icmp, NULL), -MST_EINVAL);
}

static void an_allow_widens(void **state) {
  (void)state;
  configure("user 1000 { allow { tcp = \"80, 443\" } }");
  assert_int_equal(may(&alice, "0.0.0.0", 80), 0);
  assert_int_equal(may(&alice, "::", 443), 0);
  assert_int_equal(may(&alice, "::", 81), -MST_EACCES);
  assert_int_equal(may(&bob, "::", 80), -MST_EACCES);
  struct mst_tuple udp = tuple("::", 80);
  udp.protocol = MST_UDP;
  assert_int_equal(mst__policy_may_lease(&policy, &alice, &udp, NULL), -MST_EACCES);
}

static void an_allow_of_a_group_is_for_its_members(void **state) {
  (void)state;
  configure("group 44 { allow { tcp = 80 } }\ngroup 1000 { allow { udp = 53 tcp = 53 } }");
  assert_int_equal(may(&bob, "::", 80), 0);
  assert_int_equal(may(&alice, "::", 80), -MST_EACCES);
  assert_int_equal(may(&alice, "::", 53), 0); /* the primary one counts */
}

static void an_allow_with_addresses_is_for_these(void **state) {
  (void)state;
  configure("allow { tcp = 80 addresses = \"10.0.0.0/9, ::1\" }");
  assert_int_equal(may(&alice, "10.127.255.255", 80), 0);
  assert_int_equal(may(&alice, "10.128.0.0", 80), -MST_EACCES);
  assert_int_equal(may(&alice, "::1", 80), 0);
  assert_int_equal(may(&alice, "::2", 80), -MST_EACCES);
  assert_int_equal(may(&alice, "0.0.0.0", 80), -MST_EACCES); /* holds other addresses too */
  assert_int_equal(may(&alice, "::", 80), -MST_EACCES);
}

static void a_wildcard_wants_all_its_addresses_allowed(void **state) {
  (void)state;
  configure("user 1000 { allow { tcp = 80 addresses = \"0.0.0.0/0\" } }\n"
            "user 1001 { allow { tcp = 80 addresses = \"::/0\" } }\n"
            "user 1002 { allow { tcp = 80 addresses = \"::/0, 0.0.0.0/0\" } }\n");
  struct mst__peer both = {.uid = 1002, .gid = 1002};
  struct mst_tuple ip6_alone = tuple("::", 80);
  ip6_alone.flags = MST_BIND_V6ONLY;
  assert_int_equal(may(&alice, "0.0.0.0", 80), 0);
  assert_int_equal(may(&alice, "::1", 80), -MST_EACCES);
  assert_int_equal(may(&alice, "::", 80), -MST_EACCES);
  assert_int_equal(may(&bob, "::", 80), -MST_EACCES); /* IPv4 as well */
  assert_int_equal(may(&bob, "10.0.0.1", 80), -MST_EACCES);
  assert_int_equal(mst__policy_may_lease(&policy, &bob, &ip6_alone, NULL), 0);
  assert_int_equal(mst__policy_may_lease(&policy, &alice, &ip6_alone, NULL), -MST_EACCES);
  assert_int_equal(may(&both, "::", 80), 0);
}

static void a_deny_narrows(void **state) {
  (void)state;
  configure("deny { tcp = \"8000-8999\" addresses = \"10.0.0.0/8\" }");
  assert_int_equal(may(&root, "10.1.2.3", 8080), -MST_EACCES);
  assert_int_equal(may(&alice, "10.1.2.3", 8080), -MST_EACCES);
  assert_int_equal(may(&alice, "0.0.0.0", 8080), -MST_EACCES); /* holds one that is denied */
  assert_int_equal(may(&alice, "::", 8080), -MST_EACCES);
  struct mst_tuple ip6_alone = tuple("::", 8080);
  ip6_alone.flags = MST_BIND_V6ONLY;
  assert_int_equal(mst__policy_may_lease(&policy, &alice, &ip6_alone, NULL), 0);
  assert_int_equal(may(&alice, "192.0.2.1", 8080), 0);
  assert_int_equal(may(&alice, "::1", 8080), 0);
  assert_int_equal(may(&alice, "10.1.2.3", 9000), 0);
}

static void the_switchs_choice_is_port_0(void **state) {
  (void)state;
  configure("deny { tcp = \"1-65535\" }\nuser 1001 { deny { tcp = \"0-65535\" } }");
  assert_int_equal(may(&alice, "::1", 40000), -MST_EACCES);
  assert_int_equal(may(&alice, "::1", 0), 0);
  assert_int_equal(may(&bob, "::1", 0), -MST_EACCES);
}

static void the_user_comes_before_the_group_before_everyone(void **state) {
  (void)state;
  configure("deny { tcp = \"1-65535\" }\n"
            "group 33 { allow { tcp = \"8080, 8081\" } }\n"
            "user 1001 { deny { tcp = 8081 } allow { tcp = 9000 } }\n"
            "user 1000 { allow { tcp = 80 } deny { tcp = 80 } }\n");
  assert_int_equal(may(&bob, "::", 8080), 0);
  assert_int_equal(may(&bob, "::", 8081), -MST_EACCES);
  assert_int_equal(may(&bob, "::", 9000), 0);
  assert_int_equal(may(&bob, "::", 9001), -MST_EACCES);
  assert_int_equal(may(&alice, "::", 80), -MST_EACCES); /* of two that say both, the deny */
}

static void says_why_and_what_to_do(void **state) {
  (void)state;
  struct mst_failure failure;
  struct mst_tuple wanted = tuple("10.0.0.1", 80);
  assert_int_equal(mst__policy_may_lease(&policy, &alice, &wanted, &failure), -MST_EACCES);
  assert_non_null(strstr(failure.message, "below 1024"));
  const char *remedy = strstr(failure.message, "user 1000 {");
  assert_non_null(remedy);
  configure(remedy);
  assert_int_equal(mst__policy_may_lease(&policy, &alice, &wanted, &failure), 0);
  configure("group 1000 { deny { tcp = 8080 } }");
  wanted.port = 8080;
  assert_int_equal(mst__policy_may_lease(&policy, &alice, &wanted, &failure), -MST_EACCES);
  assert_non_null(strstr(failure.message, "TCP 10.0.0.1 port 8080"));
  assert_non_null(strstr(failure.message, "group 1000"));
}

static void icmp_is_by_permission(void **state) {
  (void)state;
  assert_false(mst__policy_may_send_icmp(&policy, &root));
  configure("group 33 { allow { icmp = errors } }\nuser 1000 { allow { icmp = none tcp = 80 } }");
  assert_true(mst__policy_may_send_icmp(&policy, &bob));
  assert_false(mst__policy_may_send_icmp(&policy, &alice));
  configure("user 1001 { deny { icmp = errors } }");
  assert_false(mst__policy_may_send_icmp(&policy, &bob));
}

static void limits_are_the_users_or_the_groups_or_everyones(void **state) {
  (void)state;
  configure("limit { leases = 10 packets_per_s = 1k }\n"
            "group 33 { limit { leases = 20 packets_per_s = 5k bytes_per_s = 0 } }\n"
            "group 44 { limit { leases = 15 packets_per_s = 0 bytes_per_s = 9 } }\n"
            "user 1001 { limit { leases = 5 } }\n");
  struct mst__limits limits = mst__policy_limits(&policy, &alice);
  assert_int_equal(limits.value[MST__LIMIT_LEASES], 10);
  assert_int_equal(limits.value[MST__LIMIT_PACKETS_PER_S], 1000);
  assert_int_equal(limits.value[MST__LIMIT_MEMORY], 256u << 20);
  limits = mst__policy_limits(&policy, &bob);
  assert_int_equal(limits.value[MST__LIMIT_LEASES], 5);
  assert_int_equal(limits.value[MST__LIMIT_PACKETS_PER_S], 0); /* the largest: none */
  assert_int_equal(limits.value[MST__LIMIT_BYTES_PER_S], 0);
  struct mst__peer carol = {.uid = 1002, .gid = 33, .group_count = 1, .groups = {44}};
  assert_int_equal(mst__policy_limits(&policy, &carol).value[MST__LIMIT_LEASES], 20);
}

static void the_kernel_tells_who_is_there(void **state) {
  (void)state;
  int pair[2];
  struct mst__peer peer;
  char text[64];
  snprintf(text, sizeof text, "group %u { allow { tcp = 1 } }", getgid());
  configure(text);
  assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
  assert_int_equal(mst__policy_read_peer(&policy, pair[0], &peer), 0);
  assert_int_equal(peer.uid, geteuid());
  assert_int_equal(peer.gid, getegid());
  assert_int_equal(peer.pid, getpid());
  for (unsigned i = 0; i < peer.group_count; i++) assert_int_equal(peer.groups[i], getgid());
  close(pair[0]);
  close(pair[1]);
  assert_true(mst__policy_read_peer(&policy, pair[0], &peer) < 0);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(low_ports_are_roots),
      TEST(the_administrator_says_what_is_low),
      TEST(without_proc_low_is_below_1024),
      TEST(nobody_holds_what_is_no_unicast_address),
      TEST(an_allow_widens),
      TEST(an_allow_of_a_group_is_for_its_members),
      TEST(an_allow_with_addresses_is_for_these),
      TEST(a_wildcard_wants_all_its_addresses_allowed),
      TEST(a_deny_narrows),
      TEST(the_switchs_choice_is_port_0),
      TEST(the_user_comes_before_the_group_before_everyone),
      TEST(says_why_and_what_to_do),
      TEST(icmp_is_by_permission),
      TEST(limits_are_the_users_or_the_groups_or_everyones),
      TEST(the_kernel_tells_who_is_there),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
