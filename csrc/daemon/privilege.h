/* What multistackd may do, and how it gives up the rest. In this order:
 *
 *   mst__privilege_prepare   as who started it: the folder of the control socket, descriptors for many leases
 *   (the keeper is made, ports are opened, the control socket is bound)
 *   mst__privilege_drop      becomes its user and keeps two capabilities
 *   mst__privilege_confine   leaves itself the system calls of its loop
 *
 * Started by another than root it stays who it is, and keeps of these capabilities those that it has. */
#ifndef MST_DAEMON_PRIVILEGE_H
#define MST_DAEMON_PRIVILEGE_H

#include "config.h"

int mst__privilege_prepare(const struct mst__daemon_config *config, struct mst_failure *failure);

/* Afterwards: no way back to root or to more (no_new_privs, an empty bounding set), no core file, and no other program
 * of the same user can look into this one (not dumpable). Kept, and only with ports, are CAP_NET_BIND_SERVICE  a lease
 * of a port below 1024 is reserved by a socket that is bound to it; CAP_NET_ADMIN         the OS is asked to resolve a
 * neighbour (RTM_NEWNEIGH with NTF_USE); CAP_BPF               only where the kernel (before 5.19) wants it for writing
 * to maps that are open already. `summary` gets what came of it, for the log. 0 or -MST_EPERM, -MST_EINVAL: then
 * nothing must be served. Only the calling thread drops: call it before there are others. */
#define MST__PRIVILEGE_SUMMARY_BYTES 160u
int mst__privilege_drop(const struct mst__daemon_config *config, char summary[MST__PRIVILEGE_SUMMARY_BYTES],
                        struct mst_failure *failure);

/* The system calls that are left are those that packets, channels and leases take, or those of a keeper: no file is
 * opened, no program executed, no code mapped. A call that nobody makes by accident (exec, ptrace, mount, another user
 * id ...) ends the process: it is an attack under way, and the keeper and the service manager see to it that a fresh
 * daemon goes on. Any other fails with EPERM and is logged by the kernel: a libc that does something in a new way must
 * not cost everybody their network. For all threads, and those to come. 0 or -MST_ENOSYS, -MST_ENOMEM. */
enum mst__confine {
  MST__CONFINE_DAEMON = 1,
  MST__CONFINE_KEEPER = 2, /* and the nursery, which forks keepers: the daemon forks no more */
};
int mst__privilege_confine(enum mst__confine who, struct mst_failure *failure);

#endif
