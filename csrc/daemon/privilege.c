#include "privilege.h"
#include "port/port_internal.h"
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Leaks are found by tracing oneself. */
#ifdef __SANITIZE_ADDRESS__
#define DUMPABLE 1
#else
#define DUMPABLE 0
#endif

#define DESCRIPTORS (1u << 20) /* a lease has one, and there may be many */

static bool changes_user(const struct mst__daemon_config *config) {
  return geteuid() == 0 && *config->user;
}

/* --- before --- */

static int make_folder(const char *path, const struct mst__daemon_config *config) {
  if (mkdir(path, 0755)) return errno == EEXIST ? 0 : -errno;
  if (chmod(path, 0755)) return -errno; /* whatever the umask */
  if (!changes_user(config)) return 0;
  return chown(path, config->user_uid, config->user_gid) ? -errno : 0;
}

static void raise_descriptors(void) {
  struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};
  if (!setrlimit(RLIMIT_NOFILE, &limit) || getrlimit(RLIMIT_NOFILE, &limit)) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int mst__privilege_prepare(const struct mst__daemon_config *config, struct mst_failure *failure) {
  char folder[sizeof config->socket_path];
  size_t bytes = (size_t)(strrchr(config->socket_path, '/') - config->socket_path);
  memcpy(folder, config->socket_path, bytes);
  folder[bytes] = 0;
  raise_descriptors();
  int error = bytes ? make_folder(folder, config) : 0;
  if (!error) return 0;
  return mst__port_fail(failure, error, "%s, the control socket's folder: cannot make it: %s", folder,
                        strerror(-error));
}

/* --- capabilities --- */

enum { BIND_SERVICE = 1, ADMIN = 2, BPF = 4 };

static const struct {
  unsigned bit, number;
  const char *name;
} wanted[] = {
    {BIND_SERVICE, CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE"},
    {ADMIN, CAP_NET_ADMIN, "CAP_NET_ADMIN"},
    {BPF, CAP_BPF, "CAP_BPF"},
};
#define WANTED (sizeof wanted / sizeof *wanted)

static unsigned permitted_now(void) {
  unsigned bits = 0;
  for (unsigned i = 0; i < WANTED; i++)
    if (capng_have_capability(CAPNG_PERMITTED, wanted[i].number) == 1) bits |= wanted[i].bit;
  return bits;
}

static int keep(unsigned permitted, unsigned effective) {
  capng_clear(CAPNG_SELECT_ALL);
  for (unsigned i = 0; i < WANTED; i++) {
    if (permitted & wanted[i].bit) capng_update(CAPNG_ADD, CAPNG_PERMITTED, wanted[i].number);
    if (effective & wanted[i].bit) capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, wanted[i].number);
  }
  return capng_apply(CAPNG_SELECT_CAPS) ? -errno : 0;
}

/* Whether writing to a map that is open takes a capability: ask, without it, for one that is not open. */
static bool maps_take_a_capability(void) {
  union bpf_attr attribute = {.map_fd = (uint32_t)-1};
  return syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attribute, sizeof attribute) && errno == EPERM;
}

static int reduce_capabilities(bool has_ports, unsigned *kept) {
  if (capng_get_caps_process()) return -EPERM;
  unsigned bits = has_ports ? permitted_now() : 0;
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  int error = keep(bits, bits & ~(unsigned)BPF);
  if (error) return error;
  if (!maps_take_a_capability()) bits &= ~(unsigned)BPF;
  *kept = bits;
  return keep(bits, bits);
}

/* --- who --- */

static int become_user(const struct mst__daemon_config *config) {
  if (prctl(PR_SET_KEEPCAPS, 1) || setgroups(0, NULL)) return -errno;
  if (setresgid(config->user_gid, config->user_gid, config->user_gid)) return -errno;
  if (setresuid(config->user_uid, config->user_uid, config->user_uid)) return -errno;
  return prctl(PR_SET_KEEPCAPS, 0) ? -errno : 0;
}

/* For good: what is exec'ed gets no more either. Needs CAP_SETPCAP; who has not got it could not add any. */
static void empty_bounding_set(void) {
  for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
    prctl(PR_CAPBSET_DROP, capability);
}

static int shut_the_doors(void) {
  struct rlimit none = {0, 0};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, DUMPABLE)) return -errno;
  return setrlimit(RLIMIT_CORE, &none) ? -errno : 0;
}

static void summarize(char summary[MST__PRIVILEGE_SUMMARY_BYTES], bool has_ports, unsigned kept) {
  int used = snprintf(summary, MST__PRIVILEGE_SUMMARY_BYTES, "runs as uid %u with ", geteuid());
  for (unsigned i = 0; i < WANTED; i++)
    if (kept & wanted[i].bit)
      used += snprintf(summary + used, MST__PRIVILEGE_SUMMARY_BYTES - (size_t)used, "%s%s",
                       kept & (wanted[i].bit - 1) ? ", " : "", wanted[i].name);
  if (!kept) used += snprintf(summary + used, MST__PRIVILEGE_SUMMARY_BYTES - (size_t)used, "no capabilities");
  if (has_ports && !(kept & BIND_SERVICE))
    snprintf(summary + used, MST__PRIVILEGE_SUMMARY_BYTES - (size_t)used,
             "; without CAP_NET_BIND_SERVICE no port below 1024 can be leased");
}

int mst__privilege_drop(const struct mst__daemon_config *config, char summary[MST__PRIVILEGE_SUMMARY_BYTES],
                        struct mst_failure *failure) {
  unsigned kept = 0;
  bool changes = changes_user(config);
  empty_bounding_set();
  int error = changes ? become_user(config) : 0;
  if (!error) error = reduce_capabilities(config->port_count > 0, &kept);
  if (!error) error = shut_the_doors();
  if (!error && geteuid() != 0 && !setresuid(0, 0, 0)) error = -MST_EPERM;
  summarize(summary, config->port_count > 0, kept);
  if (!error) return 0;
  return mst__port_fail(failure, error, "giving up privileges%s%s: %s", changes ? " to run as " : "",
                        changes ? config->user : "", strerror(-error));
}
