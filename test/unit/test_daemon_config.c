/* What multistackd is told: the file, the command line, and one clear line for each thing that is wrong with them. */
#include "daemon/config.h"
#include "unit.h"
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct mst__daemon_config config;
static struct mst_failure failure;

static int setup(void **state) {
  (void)state;
  mst__config_init(&config);
  failure = (struct mst_failure){0};
  return 0;
}

static int teardown(void **state) {
  (void)state;
  mst__config_free(&config);
  return 0;
}

static void expect_failure(int result, const char *part) {
  if (!result) fail_msg("nothing was wrong; expected \"%s\"", part);
  if (!strstr(failure.message, part)) fail_msg("\"%s\" lacks \"%s\"", failure.message, part);
  assert_int_equal(failure.code, result);
  assert_null(strchr(failure.message, '\n'));
}

static void accept(const char *text) {
  if (mst__config_parse(text, strlen(text), "f", &config, &failure)) fail_msg("%s", failure.message);
}

/* `text` is refused with a line that has `part`. */
static void refuse(const char *text, const char *part) {
  mst__config_free(&config);
  mst__config_init(&config);
  expect_failure(mst__config_parse(text, strlen(text), "f", &config, &failure), part);
  assert_int_equal(failure.code, -MST_EINVAL);
}

#define READ(...)                                                                                                      \
  mst__config_read((int)COUNT(((char *[]){"multistackd", __VA_ARGS__})), (char *[]){"multistackd", __VA_ARGS__, NULL}, \
                   &config, &failure)

/* --- the file --- */

static void has_defaults(void **state) {
  (void)state;
  accept("");
  accept("# nothing\n");
  assert_string_equal(config.socket_path, "/run/multistack/default");
  assert_int_equal(config.port_count, 0);
  assert_int_equal(config.threads, 1);
  assert_int_equal(config.spin_us, 50);
  assert_int_equal(config.keep_s, 60);
  assert_int_equal(config.channels, 1024);
  assert_int_equal(config.limits.value[MST__LIMIT_MEMORY], 256u << 20);
  assert_int_equal(config.limits.value[MST__LIMIT_PACKETS_PER_S], 0);
}

static void reads_settings(void **state) {
  (void)state;
  accept("ports = {\"xdp:eth0,mode=native\", \"xdp:lo\"}\n"
         "socket = /run/other/socket\nrun_as = root\nthreads = 2\nspin_us = 0\nkeep_s = 3600\n"
         "channels = 64\nlog = debug\n"
         "limit { memory = 1Gi packets_per_s = 10k }\nlimit { bytes_per_s = 1M }\n");
  assert_int_equal(config.port_count, 2);
  assert_string_equal(config.ports[0], "xdp:eth0,mode=native");
  assert_string_equal(config.ports[1], "xdp:lo");
  assert_string_equal(config.socket_path, "/run/other/socket");
  assert_string_equal(config.user, "root");
  assert_int_equal(config.threads, 2);
  assert_int_equal(config.spin_us, 0);
  assert_int_equal(config.keep_s, 3600);
  assert_int_equal(config.channels, 64);
  assert_int_equal(config.log_level, MST_LOG_DEBUG);
  assert_int_equal(config.limits.value[MST__LIMIT_MEMORY], 1u << 30);
  assert_int_equal(config.limits.value[MST__LIMIT_PACKETS_PER_S], 10000);
  assert_int_equal(config.limits.value[MST__LIMIT_BYTES_PER_S], 1000000);
  assert_int_equal(config.limit_section_count, 0);
}

static void ports_may_be_appended(void **state) {
  (void)state;
  accept("ports = {\"xdp:lo\"}\nports += \"xdp:eth0\"\n");
  assert_int_equal(config.port_count, 2);
}

static void one_port_needs_no_braces(void **state) {
  (void)state;
  accept("ports = \"tap:mst0,addr=10.0.0.2\"\n");
  assert_int_equal(config.port_count, 1);
}

static void reads_rules(void **state) {
  (void)state;
  accept("allow { tcp = \"80, 443,8000-8999\" }\n"
         "user \"1000\" {\n  deny { udp = \"0-65535\" addresses = \"10.0.0.0/8, ::1, fe80::/10, 192.0.2.1\" }\n"
         "  allow { icmp = errors }\n  limit { leases = 5 }\n}\n"
         "group root { allow { tcp = 22 } limit { memory = 4Mi } }\n");
  assert_int_equal(config.rule_count, 4);
  const struct mst__rule *rule = config.rules;
  assert_int_equal(rule->subject.kind, MST__SUBJECT_EVERYONE);
  assert_false(rule->deny);
  assert_int_equal(rule->tcp_count, 3);
  assert_int_equal(rule->tcp[0].last, 80);
  assert_int_equal(rule->tcp[2].first, 8000);
  assert_int_equal(rule->tcp[2].last, 8999);
  assert_int_equal(rule->udp_count, 0);
  assert_int_equal(rule->prefix_count, 0);

  rule++;
  assert_int_equal(rule->subject.kind, MST__SUBJECT_USER);
  assert_int_equal(rule->subject.id, 1000);
  assert_true(rule->deny);
  assert_int_equal(rule->tcp_count, 0); /* of this section alone */
  assert_int_equal(rule->udp[0].last, 65535);
  assert_int_equal(rule->prefix_count, 4);
  assert_int_equal(rule->prefixes[0].bits, 104);
  assert_int_equal(rule->prefixes[1].bits, 128);
  assert_int_equal(rule->prefixes[2].bits, 10);
  assert_int_equal(rule->prefixes[3].bits, 128);
  assert_false(rule->names_icmp);

  rule++;
  assert_true(rule->names_icmp);
  assert_true(rule->icmp_errors);
  assert_false(rule->deny);

  rule++;
  assert_int_equal(rule->subject.kind, MST__SUBJECT_GROUP);
  assert_int_equal(rule->subject.id, 0);

  assert_int_equal(config.limit_section_count, 2);
  const struct mst__limit_section *limit = config.limit_sections;
  assert_int_equal(limit[0].named, 1u << MST__LIMIT_LEASES);
  assert_int_equal(limit[0].limits.value[MST__LIMIT_LEASES], 5);
  assert_int_equal(limit[1].subject.kind, MST__SUBJECT_GROUP);
  assert_int_equal(limit[1].named, 1u << MST__LIMIT_MEMORY);
}

static void says_where_and_what(void **state) {
  (void)state;
  refuse("\n\nthreads = 0\n", "f:3: threads: \"0\" is not a number from 1 to 64");
  refuse("user \"1\" {\n\n  allow {\n    tcp = \"80,x\"\n  }\n}\n", "f:4: tcp: \"x\" is no port");
  refuse("thread = 1\n", "f:1: no such option 'thread': there are ports, socket, run_as, threads");
  refuse("user 1 { allow { port = 80 } }\n", "there are tcp, udp, addresses, icmp");
}

static void refuses_numbers(void **state) {
  (void)state;
  refuse("spin_us = -1", "f:1: spin_us");
  refuse("spin_us = 1000001", "spin_us");
  refuse("keep_s = 99999999999999999999999999", "from 0 to 3600");
  refuse("keep_s = 18446744073709551616", "keep_s");          /* 2^64 */
  refuse("limit { memory = 18014398509481985Ki }", "memory"); /* 2^64 + 1024 */
  refuse("limit { memory = 1024 }", "memory");
  refuse("limit { memory = 256MB }", "Ki, Mi and Gi");
  refuse("threads = 0x1", "threads");
  refuse("threads = 1.5", "threads");
  refuse("threads = \"\"", "threads");
  refuse("threads = \" 1\"", "threads");
  refuse("channels = 4097", "channels");
}

static void refuses_ports_and_addresses(void **state) {
  (void)state;
  refuse("allow { tcp = 65536 }", "65536");
  refuse("allow { tcp = 90-80 }", "90-80");
  refuse("allow { tcp = \"80,,90\" }", "is no port");
  refuse("allow { udp = \"80-\" }", "80-");
  refuse("allow { udp = \"99999999999999999999\" }", "is no port");
  refuse("allow { addresses = \"10.0.0.0/33\" tcp = 1 }", "10.0.0.0/33");
  refuse("allow { addresses = \"::/129\" tcp = 1 }", "::/129");
  refuse("allow { addresses = \"10.0.0/8\" tcp = 1 }", "10.0.0/8");
  refuse("allow { addresses = \"10.0.0.1/\" tcp = 1 }", "10.0.0.1/");
  refuse("allow { addresses = \"\" tcp = 1 }", "no address");
  refuse("allow { addresses = \"localhost\" tcp = 1 }", "localhost");
  refuse("allow { icmp = all }", "\"none\" nor \"errors\"");
  refuse("allow { addresses = \"::1\" }", "allow names nothing");
  refuse("allow { tcp = \"\" }", "allow names nothing");
  refuse("user 1 { deny { } }", "deny names nothing");
}

static void refuses_other_words(void **state) {
  (void)state;
  refuse("socket = run/x", "no absolute path");
  refuse("log = loud", "\"warning\"");
  refuse("run_as = no-such-user-here", "no user \"no-such-user-here\"");
  refuse("user no-such-user-here { limit { leases = 1 } }", "no user");
  refuse("user no-such-user-here { }", "no user");
  refuse("group no-such-group-here { limit { leases = 1 } }", "no group");
  refuse("user 4294967295 { }", "no user");
  refuse("ports = {\"xdp:lo\", \"xdp:lo\"}", "named twice");
}

static void refuses_what_is_said_twice(void **state) {
  (void)state;
  refuse("threads = 1\nthreads = 2\n", "f:2: threads is set a second time");
  refuse("ports = \"xdp:lo\"\nports = \"xdp:eth0\"\n", "f:2: ports is set a second time");
  refuse("allow { icmp = none icmp = none }", "icmp is set a second time");
  refuse("allow { tcp = 80\n tcp = 81 }", "f:2: tcp is set a second time");
  refuse("user 1 { }\nuser 1 { }\n", "f:2");
}

static void refuses_broken_syntax(void **state) {
  (void)state;
  refuse("allow {", "f:1");
  refuse("}", "f:1");
  refuse("threads", "f:1");
  refuse("user { }", "f:1");
  refuse("allow \"x\" { }", "f:1");
  refuse("socket = \"/x", "f:");
  refuse("\x01\x02\x1b[31m = 3", "f:1");
  refuse("threads = 1\n\"\" = 2\n", "f:2: an empty name");
  refuse("include(\"/etc/passwd\")", "no such option");
}

static void refuses_bytes_that_are_no_text(void **state) {
  (void)state;
  static const char text[] = "threads = 1\n\nlog = \0debug\n";
  expect_failure(mst__config_parse(text, sizeof text - 1, "f", &config, &failure), "f:3: a NUL byte");
}

static void bounds_what_is_long(void **state) {
  (void)state;
  size_t bytes = 100000;
  char *text = malloc(bytes + 64);
  assert_non_null(text);
  memset(text, 'x', bytes + 64);
  memcpy(text, "user ", 5);
  strcpy(text + bytes, " { }");
  refuse(text, "no user \"xxx");
  memcpy(text, "socket = /", 10);
  text[bytes] = 0;
  refuse(text, "is too long: at most 100 bytes");
  memcpy(text, "ports = x/", 10);
  refuse(text, "is too long: at most 255 bytes");
  refuse(text + 20, "f:1");
  free(text);
}

static void bounds_how_many(void **state) {
  (void)state;
  char text[4096] = "allow { tcp = \"1", ports[4096] = "ports = {\"p\"";
  for (unsigned i = 0; i < 64; i++) strcat(text, ", 7");
  strcat(text, "\" }");
  refuse(text, "more than 64 ports");
  strcpy(text, "deny { tcp = 1 addresses = \"::1");
  for (unsigned i = 0; i < 32; i++) strcat(text, ", ::1");
  strcat(text, "\" }");
  refuse(text, "more than 32 addresses");
  for (unsigned i = 0; i < 16; i++) sprintf(ports + strlen(ports), ", \"p%u\"", i);
  strcat(ports, "}");
  refuse(ports, "at most 16");
}

/* --- the command line --- */

static char path[] = "/tmp/multistack-config-XXXXXX";

static void write_file(const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
  fclose(file);
}

static void the_command_line_wins(void **state) {
  (void)state;
  write_file("ports = \"xdp:eth0\" threads = 3 socket = /a spin_us = 7 run_as = root\n");
  assert_int_equal(READ("-c", path, "--port", "xdp:lo", "-p", "tap:t,addr=10.0.0.1", "--threads=2", "--socket", "/b"),
                   0);
  assert_int_equal(config.action, MST__DAEMON_RUN);
  assert_int_equal(config.port_count, 2);
  assert_string_equal(config.ports[0], "xdp:lo");
  assert_string_equal(config.ports[1], "tap:t,addr=10.0.0.1");
  assert_int_equal(config.threads, 2);
  assert_string_equal(config.socket_path, "/b");
  assert_int_equal(config.spin_us, 7);
}

static void reads_what_to_do(void **state) {
  (void)state;
  write_file("");
  assert_int_equal(READ("-c", path, "--upgrade", "--foreground"), 0);
  assert_int_equal(config.action, MST__DAEMON_UPGRADE);
  assert_int_equal(READ("--config", path, "--check"), 0);
  assert_int_equal(config.action, MST__DAEMON_CHECK);
  assert_int_equal(READ("--help", "--nonsense"), 0);
  assert_int_equal(config.action, MST__DAEMON_HELP);
  assert_int_equal(READ("-V"), 0);
  assert_int_equal(config.action, MST__DAEMON_VERSION);
}

static void refuses_arguments(void **state) {
  (void)state;
  write_file("");
  expect_failure(READ("--prot", "x"), "no option \"--prot\"");
  expect_failure(READ("-c"), "a value is missing behind \"-c\"");
  expect_failure(READ("eth0"), "\"eth0\" is no option");
  expect_failure(READ("-c", path, "-t", "many"), "--threads: \"many\"");
  expect_failure(READ("-c", path, "-s", "here"), "--socket: \"here\"");
  expect_failure(READ("-c", path, "-u", "no-such-user-here"), "--user: there is no user");
  expect_failure(READ("-c", path, "-p", "a", "-p", "a"), "--port: \"a\" is named twice");
  expect_failure(READ("-c", path, "-p1", "-p2", "-p3", "-p4", "-p5", "-p6", "-p7", "-p8", "-p9", "-p10", "-p11", "-p12",
                      "-p13", "-p14", "-p15", "-p16", "-p17", "-p18", "-p19"),
                 "at most 16");
}

static void refuses_files_that_it_cannot_read(void **state) {
  (void)state;
  expect_failure(READ("-c", "/no/such/file"), "/no/such/file: cannot read it");
  assert_int_equal(failure.code, -MST_ENOENT);
  expect_failure(READ("-c", "/"), "/: cannot read it");
  expect_failure(READ("-c", "/dev/zero"), "larger than");
  if (geteuid() == 0) return; /* reads all */
  write_file("");
  chmod(path, 0);
  expect_failure(READ("-c", path), "Permission denied");
  chmod(path, 0600);
}

static void a_file_is_named_in_what_is_wrong_with_it(void **state) {
  (void)state;
  write_file("threads = 1\nfoo = 1\n");
  char expected[64];
  snprintf(expected, sizeof expected, "%s:2: no such option", path);
  expect_failure(READ("-c", path), expected);
}

static int make_file(void **state) {
  (void)state;
  int fd = mkstemp(path);
  return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state) {
  (void)state;
  return unlink(path);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(has_defaults),
      TEST(reads_settings),
      TEST(one_port_needs_no_braces),
      TEST(ports_may_be_appended),
      TEST(reads_rules),
      TEST(says_where_and_what),
      TEST(refuses_numbers),
      TEST(refuses_ports_and_addresses),
      TEST(refuses_other_words),
      TEST(refuses_what_is_said_twice),
      TEST(refuses_broken_syntax),
      TEST(refuses_bytes_that_are_no_text),
      TEST(bounds_what_is_long),
      TEST(bounds_how_many),
      TEST(the_command_line_wins),
      TEST(reads_what_to_do),
      TEST(refuses_arguments),
      TEST(refuses_files_that_it_cannot_read),
      TEST(a_file_is_named_in_what_is_wrong_with_it),
  };
  return cmocka_run_group_tests(tests, make_file, remove_file);
}
