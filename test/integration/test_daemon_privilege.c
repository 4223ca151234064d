/* What the daemon may still do when it has given up the rest: each case in a process of its own, in a network namespace
 * of its own. As root; without, what does not need it. */
#include "daemon/keeper.h"
#include "daemon/privilege.h"
#include "host/host_internal.h"
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct mst__daemon_config config;

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      dprintf(STDERR_FILENO, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, strerror(errno));                     \
      _exit(1);                                                                                                        \
    }                                                                                                                  \
  } while (0)

/* What waitpid says of a process that runs `body`. */
static int status_of(void (*body)(void)) {
  int status;
  fflush(NULL);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return status;
}

static void in_a_process(void (*body)(void)) {
  int status = status_of(body);
  if (!WIFEXITED(status) || WEXITSTATUS(status)) fail_msg("ended with status %#x", (unsigned)status);
}

static void needs_root(void) {
  if (geteuid() != 0) skip();
}

static void drop(void) {
  char summary[MST__PRIVILEGE_SUMMARY_BYTES];
  struct mst_failure failure = {0};
  if (!mst__privilege_drop(&config, summary, &failure)) return;
  dprintf(STDERR_FILENO, "%s\n", failure.message);
  _exit(1);
}

static void confine(void) {
  struct mst_failure failure = {0};
  if (!mst__privilege_confine(MST__CONFINE_DAEMON, &failure)) return;
  dprintf(STDERR_FILENO, "%s\n", failure.message);
  _exit(1);
}

/* A field of /proc/self/status, in hexadecimal. */
static unsigned long long proc_status(const char *field) {
  char line[256];
  unsigned long long value = ~0ull;
  FILE *file = fopen("/proc/self/status", "r");
  CHECK(file);
  while (fgets(line, sizeof line, file))
    if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
      value = strtoull(line + strlen(field) + 1, NULL, 16);
  fclose(file);
  return value;
}

#define NET_BIND_SERVICE (1ull << 10)
#define NET_ADMIN (1ull << 12)
#define NET_RAW (1ull << 13)

/* --- who it is then --- */

static void keeps_two_capabilities(void) {
  drop();
  CHECK(getuid() == config.user_uid && geteuid() == config.user_uid && getegid() == config.user_gid);
  CHECK(getgroups(0, NULL) == 0);
  CHECK(proc_status("CapPrm") == (NET_BIND_SERVICE | NET_ADMIN));
  CHECK(proc_status("CapEff") == (NET_BIND_SERVICE | NET_ADMIN));
  CHECK(proc_status("CapInh") == 0);
  CHECK(proc_status("CapAmb") == 0);
  CHECK(proc_status("CapBnd") == 0);
  CHECK(proc_status("NoNewPrivs") == 1);
#ifndef __SANITIZE_ADDRESS__
  CHECK(prctl(PR_GET_DUMPABLE) == 0);
#endif
  struct rlimit core;
  CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
}

static void cannot_go_back(void) {
  drop();
  CHECK(setuid(0) && errno == EPERM);
  CHECK(setgid(0) && errno == EPERM);
  CHECK(setgroups(1, &(gid_t){0}) && errno == EPERM);
  CHECK(open("/proc/1/mem", O_RDONLY) < 0);
}

static void without_ports_it_keeps_none(void) {
  config.port_count = 0;
  drop();
  CHECK(proc_status("CapPrm") == 0);
}

static void root_may_stay_root_without_its_powers(void) {
  config.user[0] = 0;
  drop();
  CHECK(geteuid() == 0);
  CHECK(proc_status("CapEff") == (NET_BIND_SERVICE | NET_ADMIN));
}

static void an_ordinary_user_stays_itself(void) {
  char summary[MST__PRIVILEGE_SUMMARY_BYTES];
  struct mst_failure failure;
  if (geteuid() == 0) CHECK(!setgroups(0, NULL) && !setresgid(65534, 65534, 65534) && !setresuid(65534, 65534, 65534));
  uid_t uid = geteuid();
  CHECK(mst__privilege_drop(&config, summary, &failure) == 0);
  CHECK(geteuid() == uid && proc_status("CapPrm") == 0);
  CHECK(strstr(summary, "no capabilities; without CAP_NET_BIND_SERVICE no port below 1024"));
}

/* As a service manager starts it, with User= and AmbientCapabilities=. */
static void a_user_with_capabilities_keeps_its_share(void) {
  struct {
    uint32_t version;
    int pid;
    struct {
      uint32_t effective, permitted, inheritable;
    } words[2];
  } capabilities = {.version = 0x20080522};
  CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0);
  CHECK(!setgroups(0, NULL) && !setresgid(65534, 65534, 65534) && !setresuid(65534, 65534, 65534));
  uint32_t some = NET_BIND_SERVICE | NET_ADMIN | NET_RAW;
  capabilities.words[0].effective = capabilities.words[0].permitted = capabilities.words[0].inheritable = some;
  CHECK(syscall(SYS_capset, &capabilities, capabilities.words) == 0);
  CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 10, 0, 0) == 0);
  drop();
  CHECK(geteuid() == 65534);
  CHECK(proc_status("CapEff") == (NET_BIND_SERVICE | NET_ADMIN));
  CHECK(proc_status("CapAmb") == 0 && proc_status("CapInh") == 0);
}

static void makes_the_sockets_folder(void) {
  char base[] = "/tmp/multistack-privilege-XXXXXX";
  struct mst_failure failure = {0};
  struct stat status;
  CHECK(mkdtemp(base));
  umask(077);
  snprintf(config.socket_path, sizeof config.socket_path, "%s/run/control", base);
  CHECK(mst__privilege_prepare(&config, &failure) == 0);
  CHECK(mst__privilege_prepare(&config, &failure) == 0); /* there already */
  config.socket_path[strlen(base) + 4] = 0;
  CHECK(stat(config.socket_path, &status) == 0);
  CHECK((status.st_mode & 07777) == 0755);
  CHECK(geteuid() != 0 || (status.st_uid == config.user_uid && status.st_gid == config.user_gid));
  CHECK(rmdir(config.socket_path) == 0);
  snprintf(config.socket_path, sizeof config.socket_path, "%s/a/b/control", base);
  CHECK(mst__privilege_prepare(&config, &failure) == -MST_ENOENT);
  CHECK(strstr(failure.message, "/a/b, the control socket's folder"));
  CHECK(rmdir(base) == 0);
}

/* --- what still works --- */

static void *in_a_thread(void *ctx) {
  *(int *)ctx = 1;
  return ctx;
}

static void loop_goes_on(void) {
  int pair[2], bell[2], ran = 0, byte_fd = memfd_create("region", MFD_ALLOW_SEALING), got_fd;
  pthread_t thread;
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  CHECK(ftruncate(byte_fd, 8192) == 0 && fcntl(byte_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
  drop();
  confine();

  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec iov = {&(char[1]){0}, 1};
  struct msghdr message = {
      .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  control.header =
      (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(&control.header), &byte_fd, sizeof byte_fd);
  CHECK(sendmsg(pair[0], &message, MSG_DONTWAIT | MSG_NOSIGNAL) == 1);
  CHECK(recvmsg(pair[1], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == 1);
  memcpy(&got_fd, CMSG_DATA(&control.header), sizeof got_fd);

  struct stat status;
  CHECK(fstat(got_fd, &status) == 0 && status.st_size == 8192);
  CHECK(fcntl(got_fd, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW));
  char *region = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, got_fd, 0);
  CHECK(region != MAP_FAILED);
  CHECK(mmap(region, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == region);
  CHECK(munmap(region, 8192) == 0);

  int epoll = epoll_create1(EPOLL_CLOEXEC), doorbell = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN | EPOLLET};
  CHECK(epoll >= 0 && doorbell >= 0 && pipe2(bell, O_CLOEXEC | O_NONBLOCK) == 0);
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, doorbell, &event) == 0);
  CHECK(epoll_wait(epoll, &event, 1, 0) == 1);
  CHECK(write(bell[1], "", 1) == 1);

  void *much = malloc(100u << 20);
  CHECK(much && realloc(much, 200u << 20));
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(pthread_create(&thread, NULL, in_a_thread, &ran) == 0 && pthread_join(thread, NULL) == 0 && ran);
}

static char folder[] = "/tmp/multistack-privilege-XXXXXX";

/* The keeper is of before; one in its place is made with what is left. */
static void a_keeper_can_be_replaced(void) {
  char path[64];
  struct mst_failure failure = {0};
  struct mst__keeper *keeper;
  bool changes = geteuid() == 0;
  CHECK(!changes || chown(folder, config.user_uid, config.user_gid) == 0);
  snprintf(path, sizeof path, "%s/control", folder);
  struct mst__keeper_options options = {.socket_path = path,
                                        .keep_s = 60,
                                        .uid = changes ? config.user_uid : geteuid(),
                                        .gid = changes ? config.user_gid : getegid()};
  CHECK(mst__keeper_open(&options, &keeper, &failure) == 0);
  mst__keeper_each_adopted(keeper, NULL, NULL);
  drop();
  confine();
  pid_t first = mst__keeper_pid(keeper);
  int pidfd = (int)syscall(SYS_pidfd_open, first, 0);
  CHECK(pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0);
  struct pollfd died = {.fd = mst__keeper_wait_fd(keeper), .events = POLLIN};
  CHECK(poll(&died, 1, 30000) == 1);
  mst__keeper_process(keeper);
  CHECK(mst__keeper_pid(keeper) > 0 && mst__keeper_pid(keeper) != first);
  mst__keeper_end(keeper);
}

static void test_a_keeper_can_be_replaced(void **state) {
  (void)state;
  assert_non_null(mkdtemp(folder));
  in_a_process(a_keeper_can_be_replaced);
  assert_int_equal(rmdir(folder), 0);
}

static void leases_can_be_reserved(void) {
  struct mst__os_linux *os;
  CHECK(unshare(CLONE_NEWNET) == 0);
  CHECK(mst__os_linux_open(&os, NULL) == 0);
  drop();
  confine();
  const struct mst_switch_os *ops = mst__os_linux_ops(os);
  for (unsigned i = 0; i < 4; i++) {
    struct mst_tuple tuple = {.addr = i & 1 ? MST_ADDR_ANY6 : MST_ADDR_ANY4,
                              .port = (uint16_t)(80 + i),
                              .protocol = i & 2 ? MST_UDP : MST_TCP};
    intptr_t cookie, second;
    CHECK(ops->reserve(ops->ctx, &tuple, &cookie) == 0);
    CHECK(ops->reserve(ops->ctx, &tuple, &second) == -MST_EADDRINUSE); /* asks sock_diag what stands there */
    ops->unreserve(ops->ctx, cookie);
  }
  mst__os_linux_close(os);
}

static void set_up(const char *device, struct ifreq *request) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  snprintf(request->ifr_name, sizeof request->ifr_name, "%s", device);
  request->ifr_flags = IFF_UP;
  CHECK(ioctl(fd, SIOCSIFFLAGS, request) == 0);
  CHECK(ioctl(fd, SIOCGIFINDEX, request) == 0);
  close(fd);
}

static void the_os_can_be_asked(void) {
  struct mst__os_linux *os;
  struct ifreq lo;
  struct mst_addr here;
  struct mst_next_hop hop;
  uint8_t mac[6];
  CHECK(unshare(CLONE_NEWNET) == 0);
  set_up("lo", &lo);
  CHECK(mst__os_linux_open(&os, NULL) == 0 && mst_addr_parse("127.0.0.1", &here) == 0);
  drop();
  confine();
  const struct mst_switch_os *ops = mst__os_linux_ops(os);
  CHECK(ops->route(ops->ctx, &here, &hop) == 0 && hop.local);
  /* Starts resolution, which takes CAP_NET_ADMIN. */
  CHECK(ops->neighbour(ops->ctx, (unsigned)lo.ifr_ifindex, &here, mac) != MST_NEIGHBOUR_FAILED);
  mst__os_linux_close(os);
}

static void maps_can_be_written(void) {
  uint32_t key = 0, value = 7, read_back = 0;
  int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, NULL);
  CHECK(map >= 0);
  drop();
  confine();
  CHECK(bpf_map_update_elem(map, &key, &value, BPF_ANY) == 0);
  CHECK(bpf_map_lookup_elem(map, &key, &read_back) == 0 && read_back == 7);
  CHECK(bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, NULL) < 0);
}

/* --- what does not --- */

static void the_rest_is_refused(void) {
  config.port_count = 0;
  drop();
  confine();
  CHECK(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == EPERM);
  CHECK(socket(AF_INET, SOCK_RAW, IPPROTO_RAW) < 0 && errno == EPERM);
  struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(9)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&peer, sizeof peer) && errno == EPERM);
  CHECK(syscall(SYS_bpf, BPF_PROG_LOAD, NULL, 0) && errno == EPERM);
  CHECK(ioctl(fd, SIOCSIFFLAGS, NULL) && errno == EPERM);
  CHECK(prlimit(0, RLIMIT_CORE, &(struct rlimit){1, 1}, NULL) && errno == EPERM);
  CHECK(syscall(SYS_mkdirat, AT_FDCWD, "/tmp/multistack-must-not-be", 0700) && errno == EPERM);
  CHECK(kill(getppid(), 0) && errno == EPERM);
#ifndef __SANITIZE_ADDRESS__ /* which need these at the end of the process */
  CHECK(open("/etc/passwd", O_RDONLY) < 0 && errno == EPERM);
  CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EPERM);
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(page != MAP_FAILED && mprotect(page, 4096, PROT_READ | PROT_EXEC) && errno == EPERM);
#endif
}

static void (*attack)(void);

static void attacks(void) {
  config.port_count = 0;
  drop();
  confine();
  attack();
}

static void executes(void) {
  execl("/bin/true", "true", (char *)NULL);
}
static void mounts(void) {
  syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, NULL);
}
static void changes_user(void) {
  syscall(SYS_setresuid, 0, 0, 0);
}
static void unshares(void) {
  syscall(SYS_unshare, CLONE_NEWUSER);
}
static void makes_a_ring(void) {
  syscall(SYS_io_uring_setup, 1, NULL);
}
static void looks_into_others(void) {
  syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0);
}
static void *executes_in_a_thread(void *ctx) {
  executes();
  return ctx;
}
static void threads_attack(void) {
  pthread_t thread;
  if (!pthread_create(&thread, NULL, executes_in_a_thread, NULL)) pthread_join(thread, NULL);
}
#ifndef __SANITIZE_ADDRESS__
static void forks(void) {
  if (fork() == 0) _exit(0);
}
static void traces(void) {
  ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
#endif

static void an_attack_ends_the_process(void **state) {
  (void)state;
  void (*const all[])(void) = {
      executes, mounts, changes_user, unshares, makes_a_ring, looks_into_others, threads_attack,
#ifndef __SANITIZE_ADDRESS__
      traces,   forks,
#endif
  };
  for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
    attack = all[i];
    int status = status_of(attacks);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) fail_msg("attack %u: status %#x", i, (unsigned)status);
  }
}

#define AS_ROOT(name)                                                                                                  \
  static void test_##name(void **state) {                                                                              \
    (void)state;                                                                                                       \
    needs_root();                                                                                                      \
    in_a_process(name);                                                                                                \
  }
#define AS_ANYBODY(name)                                                                                               \
  static void test_##name(void **state) {                                                                              \
    (void)state;                                                                                                       \
    in_a_process(name);                                                                                                \
  }

AS_ROOT(keeps_two_capabilities)
AS_ROOT(cannot_go_back)
AS_ROOT(without_ports_it_keeps_none)
AS_ROOT(root_may_stay_root_without_its_powers)
AS_ANYBODY(an_ordinary_user_stays_itself)
AS_ROOT(a_user_with_capabilities_keeps_its_share)
AS_ANYBODY(makes_the_sockets_folder)
AS_ANYBODY(loop_goes_on)
AS_ROOT(leases_can_be_reserved)
AS_ROOT(the_os_can_be_asked)
AS_ROOT(maps_can_be_written)
AS_ANYBODY(the_rest_is_refused)

int main(void) {
  const struct passwd *nobody = getpwnam("nobody");
  mst__config_init(&config);
  config.port_count = 1;
  if (nobody) {
    snprintf(config.user, sizeof config.user, "nobody");
    config.user_uid = nobody->pw_uid;
    config.user_gid = nobody->pw_gid;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_keeps_two_capabilities),
      cmocka_unit_test(test_cannot_go_back),
      cmocka_unit_test(test_without_ports_it_keeps_none),
      cmocka_unit_test(test_root_may_stay_root_without_its_powers),
      cmocka_unit_test(test_an_ordinary_user_stays_itself),
      cmocka_unit_test(test_a_user_with_capabilities_keeps_its_share),
      cmocka_unit_test(test_makes_the_sockets_folder),
      cmocka_unit_test(test_loop_goes_on),
      cmocka_unit_test(test_a_keeper_can_be_replaced),
      cmocka_unit_test(test_leases_can_be_reserved),
      cmocka_unit_test(test_the_os_can_be_asked),
      cmocka_unit_test(test_maps_can_be_written),
      cmocka_unit_test(test_the_rest_is_refused),
      cmocka_unit_test(an_attack_ends_the_process),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
