/* The system calls that are left to the daemon. */
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

/* Whatever their arguments: they act on what the daemon has open or mapped, or on itself. */
static const char *const allowed[] = {
    /* waiting */
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "poll",
    "ppoll",
    "eventfd2",
    "pipe2",
    "signalfd4",
    "timerfd_create",
    "timerfd_settime",
    "nanosleep",
    "clock_nanosleep",
    /* descriptors */
    "read",
    "readv",
    "pread64",
    "write",
    "writev",
    "pwrite64",
    "close",
    "fcntl",
    "fstat",
    "newfstatat",
    "lseek",
    /* sockets: the control socket, reservations, rtnetlink, raw sockets and AF_XDP's kicks */
    "accept4",
    "bind",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    /* memory */
    "brk",
    "madvise",
    "mremap",
    "munmap",
    /* time, chance */
    "clock_gettime",
    "clock_getres",
    "gettimeofday",
    "getrandom",
    /* threads, signals, the end */
    "exit",
    "exit_group",
    "futex",
    "getpid",
    "getppid",
    "gettid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "membarrier",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_setaffinity",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
    "tgkill",
    /* its sockets' names, at the end */
    "unlink",
    "unlinkat",
    /* another keeper in the place of one that has died, which gives up yet more */
    "capset",
    "chdir",
    "close_range",
    "dup2",
    "dup3",
    "fork",
    "pidfd_open",
    "pidfd_send_signal",
    "seccomp",
    "setsid",
    "socketpair",
    "wait4",
    "waitid",
#ifdef __SANITIZE_ADDRESS__
    /* what the sanitizers do when the process ends */
    "clone",
    "getdents64",
    "mmap",
    "mprotect",
    "open",
    "openat",
    "prctl",
    "process_vm_readv",
    "ptrace",
    "readlink",
    "readlinkat",
#endif
};

/* Nobody makes these by accident. */
static const char *const deadly[] = {
    "execve",
    "execveat",
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
};

#define IS(argument, value) SCMP_CMP64(argument, SCMP_CMP_EQ, (value))
#define HAS_NOT(argument, bits) SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, (bits), 0)
#define NAMESPACES                                                                                                     \
  (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* Allowed with this argument. */
static const struct {
  const char *name;
  struct scmp_arg_cmp argument;
} allowed_with[] = {
    /* no code comes into being */
    {"mmap", HAS_NOT(2, PROT_EXEC)},
    {"mprotect", HAS_NOT(2, PROT_EXEC)},
    /* reservations, rtnetlink and sock_diag, the service manager's socket */
    {"socket", IS(0, AF_INET)},
    {"socket", IS(0, AF_INET6)},
    {"socket", IS(0, AF_NETLINK)},
    {"socket", IS(0, AF_UNIX)},
    /* held tuples, in the XDP program's maps */
    {"bpf", IS(0, BPF_MAP_LOOKUP_ELEM)},
    {"bpf", IS(0, BPF_MAP_UPDATE_ELEM)},
    {"bpf", IS(0, BPF_MAP_DELETE_ELEM)},
    {"bpf", IS(0, BPF_MAP_GET_NEXT_KEY)},
    /* the MTU of a route's device */
    {"ioctl", IS(1, SIOCGIFNAME)},
    {"ioctl", IS(1, SIOCGIFMTU)},
    /* more descriptors, where the limit lets it */
    {"prlimit64", IS(1, RLIMIT_NOFILE)},
    {"setrlimit", IS(0, RLIMIT_NOFILE)},
    {"getrlimit", IS(0, RLIMIT_NOFILE)},
    /* threads, and the keeper's process; clone3 would hide which namespaces they are in */
    {"clone", HAS_NOT(0, NAMESPACES)},
    /* it gives up what it may */
    {"prctl", IS(0, PR_SET_NAME)},
    {"prctl", IS(0, PR_SET_NO_NEW_PRIVS)},
    {"prctl", IS(0, PR_SET_DUMPABLE)},
    {"prctl", IS(0, PR_CAPBSET_READ)},
    {"prctl", IS(0, PR_CAPBSET_DROP)},
};

/* A call that this architecture or this libseccomp does not know needs no rule. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *name, const struct scmp_arg_cmp *argument) {
  int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return 0;
  int error = seccomp_rule_add_array(filter, action, number, argument ? 1 : 0, argument);
  return error == -EDOM || error == -EEXIST ? 0 : error;
}

static int add_rules(scmp_filter_ctx filter) {
  int error = 0;
  for (unsigned i = 0; !error && i < sizeof allowed / sizeof *allowed; i++)
    error = add(filter, SCMP_ACT_ALLOW, allowed[i], NULL);
  for (unsigned i = 0; !error && i < sizeof allowed_with / sizeof *allowed_with; i++)
    error = add(filter, SCMP_ACT_ALLOW, allowed_with[i].name, &allowed_with[i].argument);
  for (unsigned i = 0; !error && i < sizeof deadly / sizeof *deadly; i++)
    error = add(filter, SCMP_ACT_KILL_PROCESS, deadly[i], NULL);
  /* The C library then makes threads by clone. */
  return error ? error : add(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", NULL);
}

static int load(scmp_filter_ctx filter) {
  int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (!error) error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
  /* These better the filter, and may be unknown: the kernel logs what it refuses; rules are found by bisection; and the
   * processor's store bypass stays on, as nothing that is not trusted runs in here. */
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
  if (!error) error = add_rules(filter);
  return error ? error : seccomp_load(filter);
}

int mst__privilege_confine(struct mst_failure *failure) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  int error = filter ? load(filter) : -MST_ENOMEM;
  if (filter) seccomp_release(filter);
  if (!error) return 0;
  return mst__port_fail(failure, error, "seccomp: %s: the kernel needs CONFIG_SECCOMP_FILTER", strerror(-error));
}
