/* The nursery: it gives up all that a keeper must not have, and forks one when it is asked to. */
#include "keeper.h"
#include "keeper_store.h"
#include "privilege.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FDS_WANTED (2u * MST__KEEPER_HELD_MAX)
#define MASTER 3

static struct mst__keeper_packet packet;

static void drop_rights(uid_t uid, gid_t gid) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  if (!geteuid() && (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))) _exit(1);
  if (syscall(SYS_capset, &header, none)) _exit(1);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static void raise_descriptor_limit(void) {
  struct rlimit limit, wanted = {FDS_WANTED, FDS_WANTED};
  if (getrlimit(RLIMIT_NOFILE, &limit)) return;
  if (limit.rlim_max < FDS_WANTED && !setrlimit(RLIMIT_NOFILE, &wanted)) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/* What else the daemon had open would outlive it. */
static void keep_only(int master) {
  int copy = fcntl(master, F_DUPFD_CLOEXEC, MASTER + 1);
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < MASTER; fd++)
    if (null < 0 || dup2(null, fd) < 0) _exit(1);
  if (dup2(copy, MASTER) < 0 || close_range(MASTER + 1, ~0u, 0)) _exit(1);
}

static void leave_the_group(void) {
  static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT, SIGCHLD};
  sigset_t none;
  setsid();
  for (int number = 1; number < SIGRTMIN; number++) signal(number, SIG_DFL);
  for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* 0: not for want of trying. */
static uint32_t start(const struct mst__keeper_record *record) {
  struct mst__keeper_seed seed;
  if (record->type != MST__KEEPER_START || record->fd_count != 2 || record->value_bytes != sizeof seed) return 0;
  memcpy(&seed, record->value, sizeof seed);
  pid_t pid = fork();
  if (!pid) {
    prctl(PR_SET_NAME, "multistack-keep", 0, 0, 0);
    close(MASTER);
    mst__keeper_be(&seed, record->fds[0], record->fds[1]);
  }
  close(record->fds[0]);
  close(record->fds[1]);
  return pid > 0 ? (uint32_t)pid : 0;
}

void mst__keeper_nursery(int master, uid_t uid, gid_t gid) {
  struct mst__keeper_record record;
  bool lost;
  prctl(PR_SET_NAME, "mst-nursery", 0, 0, 0);
  leave_the_group();
  keep_only(master);
  raise_descriptor_limit();
  drop_rights(uid, gid);
  if (chdir("/") || mst__privilege_confine(MST__CONFINE_KEEPER, NULL)) _exit(1);
  while (mst__keeper_receive(MASTER, &packet) == 1 && mst__keeper_next(&packet, &record, &lost)) {
    uint32_t pid = start(&record);
    mst__keeper_clear(&packet);
    mst__keeper_put(
        &packet, &(struct mst__keeper_record){.type = MST__KEEPER_STARTED, .value = &pid, .value_bytes = sizeof pid});
    if (mst__keeper_send(MASTER, &packet)) break;
  }
  _exit(0);
}
