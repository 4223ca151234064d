/* The system calls that are left to the daemon and to the keeper. */
#include "port/port_internal.h"
#include "privilege.h"
#include <errno.h>
#include <linux/bpf.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { DAEMON = MST__CONFINE_DAEMON, KEEPER = MST__CONFINE_KEEPER, BOTH = DAEMON | KEEPER };

/* Whatever their arguments: they act on what the process has open or mapped, or on itself. NULL ends each list. */
static const char *const allowed_both[] = {
    /* waiting */
    "poll", "ppoll", "nanosleep", "clock_nanosleep",
    /* descriptors */
    "close", "fcntl",
    /* sockets */
    "accept4", "getsockopt", "recvmsg", "sendmsg", "setsockopt",
    /* memory, time, chance */
    "brk", "madvise", "mremap", "munmap", "clock_gettime", "clock_getres", "gettimeofday", "getrandom",
    /* signals, the end */
    "exit", "exit_group", "futex", "getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid",
    "restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "set_robust_list", "sigaltstack",
    "tgkill",
    /* its sockets' names, at the end */
    "unlink", "unlinkat",
#ifdef __SANITIZE_ADDRESS__
    /* what the sanitizers do when a process ends */
    "clone", "getdents", "getdents64", "mmap", "mprotect", "open", "openat", "prctl", "process_vm_readv", "ptrace",
    "readlink", "readlinkat", "wait4",
#endif
    NULL};

static const char *const allowed_daemon[] = {
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "pipe2", "signalfd4",
    "timerfd_create", "timerfd_settime", "read", "readv", "pread64", "write", "writev", "pwrite64", "fstat",
    "newfstatat", "lseek",
    /* reservations, rtnetlink, raw sockets and AF_XDP's kicks */
    "bind", "getpeername", "getsockname", "listen", "recvfrom", "recvmmsg", "sendmmsg", "sendto", "shutdown",
    /* threads */
    "membarrier", "sched_getaffinity", "sched_setaffinity", "sched_yield",
    /* a keeper, and its end */
    "pidfd_open", "pidfd_send_signal", "socketpair", "wait4", "waitid", NULL};

/* Nobody makes these by accident. */
static const char *const deadly[] = {"execve",
                                     "execveat",
                                     "fork",
                                     "vfork",
                                     "ptrace",
                                     "process_vm_readv",
                                     "process_vm_writev",
                                     "pidfd_getfd",
                                     "kcmp",
                                     "mount",
                                     "umount2",
                                     "move_mount",
                                     "fsopen",
                                     "pivot_root",
                                     "chroot",
                                     "unshare",
                                     "setns",
                                     "open_by_handle_at",
                                     "init_module",
                                     "finit_module",
                                     "delete_module",
                                     "kexec_load",
                                     "kexec_file_load",
                                     "reboot",
                                     "swapon",
                                     "swapoff",
                                     "iopl",
                                     "ioperm",
                                     "settimeofday",
                                     "clock_settime",
                                     "sethostname",
                                     "keyctl",
                                     "add_key",
                                     "request_key",
                                     "userfaultfd",
                                     "perf_event_open",
                                     "io_uring_setup",
                                     "setuid",
                                     "setgid",
                                     "setreuid",
                                     "setregid",
                                     "setresuid",
                                     "setresgid",
                                     "setgroups",
                                     "setfsuid",
                                     "setfsgid",
                                     "capset",
                                     NULL};

#define IS(argument, value) SCMP_CMP64(argument, SCMP_CMP_EQ, (value), 0)
#define HAS_NOT(argument, bits) SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, (bits), 0)
#define HAS(argument, bits) SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, (bits), (bits))
#define NAMESPACES                                                                                                     \
  (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* Where it is the argument that tells. */
static const struct rule {
  unsigned who;
  uint32_t action;
  const char *name;
  struct scmp_arg_cmp argument;
} rules[] = {
    /* no code comes into being */
    {BOTH, SCMP_ACT_ALLOW, "mmap", HAS_NOT(2, PROT_EXEC)},
    {BOTH, SCMP_ACT_ALLOW, "mprotect", HAS_NOT(2, PROT_EXEC)},
    /* reservations, rtnetlink and sock_diag, the service manager's socket */
    {DAEMON, SCMP_ACT_ALLOW, "socket", IS(0, AF_INET)},
    {DAEMON, SCMP_ACT_ALLOW, "socket", IS(0, AF_INET6)},
    {DAEMON, SCMP_ACT_ALLOW, "socket", IS(0, AF_NETLINK)},
    {DAEMON, SCMP_ACT_ALLOW, "socket", IS(0, AF_UNIX)},
    /* held tuples, in the XDP program's maps */
    {DAEMON, SCMP_ACT_ALLOW, "bpf", IS(0, BPF_MAP_LOOKUP_ELEM)},
    {DAEMON, SCMP_ACT_ALLOW, "bpf", IS(0, BPF_MAP_UPDATE_ELEM)},
    {DAEMON, SCMP_ACT_ALLOW, "bpf", IS(0, BPF_MAP_DELETE_ELEM)},
    {DAEMON, SCMP_ACT_ALLOW, "bpf", IS(0, BPF_MAP_GET_NEXT_KEY)},
    /* the MTU of a route's device */
    {DAEMON, SCMP_ACT_ALLOW, "ioctl", IS(1, SIOCGIFNAME)},
    {DAEMON, SCMP_ACT_ALLOW, "ioctl", IS(1, SIOCGIFMTU)},
    /* more descriptors, where the limit lets it */
    {DAEMON, SCMP_ACT_ALLOW, "prlimit64", IS(1, RLIMIT_NOFILE)},
    {DAEMON, SCMP_ACT_ALLOW, "setrlimit", IS(0, RLIMIT_NOFILE)},
    {DAEMON, SCMP_ACT_ALLOW, "getrlimit", IS(0, RLIMIT_NOFILE)},
#ifndef __SANITIZE_ADDRESS__
    /* threads here, processes there; clone3 would hide what it makes */
    {DAEMON, SCMP_ACT_ALLOW, "clone", HAS(0, CLONE_THREAD)},
    {DAEMON, SCMP_ACT_KILL_PROCESS, "clone", HAS_NOT(0, CLONE_THREAD)},
    {KEEPER, SCMP_ACT_ALLOW, "clone", HAS_NOT(0, NAMESPACES)},
#endif
    {KEEPER, SCMP_ACT_ALLOW, "prctl", IS(0, PR_SET_NAME)},
};

/* A call that this architecture or this libseccomp does not know needs no rule. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *name, const struct scmp_arg_cmp *argument) {
  int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return 0;
  int error = seccomp_rule_add_array(filter, action, number, argument ? 1 : 0, argument);
  return error == -EDOM || error == -EEXIST ? 0 : error;
}

static int add_all(scmp_filter_ctx filter, uint32_t action, const char *const *names) {
  int error = 0;
  while (!error && *names) error = add(filter, action, *names++, NULL);
  return error;
}

static int add_rules(scmp_filter_ctx filter, unsigned who) {
  int error = add_all(filter, SCMP_ACT_ALLOW, allowed_both);
  if (!error && who & DAEMON) error = add_all(filter, SCMP_ACT_ALLOW, allowed_daemon);
  for (unsigned i = 0; !error && i < sizeof rules / sizeof *rules; i++)
    if (rules[i].who & who) error = add(filter, rules[i].action, rules[i].name, &rules[i].argument);
  if (!error) error = add_all(filter, SCMP_ACT_KILL_PROCESS, deadly);
  /* The C library then does it by clone. */
  return error ? error : add(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", NULL);
}

static int load(scmp_filter_ctx filter, unsigned who) {
  int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (!error) error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
  /* These better the filter, and may be unknown: the kernel logs what it refuses; rules are found by bisection; and the
   * processor's store bypass stays on, as nothing that is not trusted runs in here. */
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
  if (!error) error = add_rules(filter, who);
  return error ? error : seccomp_load(filter);
}

int mst__privilege_confine(enum mst__confine who, struct mst_failure *failure) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  int error = filter ? load(filter, who) : -MST_ENOMEM;
  if (filter) seccomp_release(filter);
  if (!error) return 0;
  return mst__port_fail(failure, error, "seccomp: %s: the kernel needs CONFIG_SECCOMP_FILTER", strerror(-error));
}
