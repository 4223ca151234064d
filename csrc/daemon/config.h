/* What multistackd is told: the command line first, then the configuration file, then what holds without either. All
 * of it is read before a port is opened; nothing is read again later. */
#ifndef MST_DAEMON_CONFIG_H
#define MST_DAEMON_CONFIG_H

#include "multistack/env.h"
#include "multistack/error.h"
#include "multistack/types.h"
#include <sys/types.h>

#define MST__CONFIG_FILE "/etc/multistack/multistackd.conf"
#define MST__CONFIG_FILE_BYTES_MAX (1u << 20)
#define MST__CONFIG_SOCKET "/run/multistack/default"
#define MST__CONFIG_USER "multistack"

#define MST__CONFIG_PORTS_MAX 16u
#define MST__CONFIG_SPEC_BYTES 256u /* of a port's spec, with its NUL */
#define MST__CONFIG_THREADS_MAX 64u
#define MST__CONFIG_CHANNELS_MAX 4096u

/* --- who: everyone, one user, one group --- */

enum mst__subject_kind { MST__SUBJECT_EVERYONE, MST__SUBJECT_GROUP, MST__SUBJECT_USER };

struct mst__subject {
  enum mst__subject_kind kind;
  uint32_t id; /* uid or gid; 0 for everyone */
};

/* --- what may be held: an `allow` or a `deny` --- */

struct mst__port_range {
  uint16_t first, last; /* both included; 0 stands for a port that the switch chooses */
};

struct mst__prefix {
  struct mst_addr addr;
  uint8_t bits; /* of the 128 of mst_addr */
};

#define MST__RULE_PORTS_MAX 64u
#define MST__RULE_PREFIXES_MAX 32u

struct mst__rule {
  struct mst__subject subject;
  bool deny;
  bool names_icmp, icmp_errors; /* `icmp`: whether the rule speaks of it, and allows (or denies) errors */
  uint8_t tcp_count, udp_count, prefix_count;
  struct mst__port_range tcp[MST__RULE_PORTS_MAX], udp[MST__RULE_PORTS_MAX];
  struct mst__prefix prefixes[MST__RULE_PREFIXES_MAX]; /* none: any address */
};

/* --- how much: a `limit` --- */

enum mst__config_limit {
  MST__LIMIT_PACKETS_PER_S, /* that a channel sends; 0: as many as it can */
  MST__LIMIT_BYTES_PER_S,   /* the same */
  MST__LIMIT_MEMORY,        /* bytes of a channel's region */
  MST__LIMIT_LEASES,        /* of a channel */
  MST__LIMIT_USER_LEASES,   /* of all channels of one user */
  MST__LIMIT_USER_CHANNELS, /* of one user */
  MST__LIMIT_COUNT
};

struct mst__limits {
  uint64_t value[MST__LIMIT_COUNT]; /* by enum mst__config_limit */
};

/* What one section says; what it does not name is left to others. */
struct mst__limit_section {
  struct mst__subject subject;
  uint32_t named; /* bit 1 << enum mst__config_limit */
  struct mst__limits limits;
};

/* --- all of it --- */

enum mst__daemon_action {
  MST__DAEMON_RUN,
  MST__DAEMON_UPGRADE, /* replace the daemon that runs on the same socket */
  MST__DAEMON_CHECK,   /* the configuration was all that there was to check */
  MST__DAEMON_HELP,
  MST__DAEMON_VERSION,
};

struct mst__daemon_config {
  enum mst__daemon_action action;
  char socket_path[108];                                     /* of the control socket, absolute */
  char ports[MST__CONFIG_PORTS_MAX][MST__CONFIG_SPEC_BYTES]; /* specs for mst_port_open */
  unsigned port_count;                                       /* 0: this host's processes among themselves */
  char user[33];                                             /* whom to become when started as root; "": nobody else */
  uid_t user_uid;
  gid_t user_gid;
  uint32_t threads;             /* data threads */
  uint32_t spin_us;             /* after work, look on for so long before sleeping */
  uint32_t keep_s;              /* the keeper holds on for so long without a daemon */
  uint32_t channels;            /* at most, of all users */
  enum mst_log_level log_level; /* the least important that is told */
  struct mst__limits limits;    /* where no section says otherwise */
  struct mst__rule *rules;      /* owned */
  unsigned rule_count;
  struct mst__limit_section *limit_sections; /* owned */
  unsigned limit_section_count;
};

/* What holds without a file and without arguments. Owns nothing yet. */
void mst__config_init(struct mst__daemon_config *config);
void mst__config_free(struct mst__daemon_config *config);

/* Read the command line and the file that it names, or MST__CONFIG_FILE if that is there. 0, or -MST_EINVAL (a bad
 * argument or file), -MST_ENOENT, -MST_EACCES, -MST_EIO (the file cannot be read), -MST_ENOMEM, told by `failure` in
 * one line: where, what, and what is allowed. `config` is to be freed in either case. Uses getopt's globals. */
int mst__config_read(int argc, char **argv, struct mst__daemon_config *config, struct mst_failure *failure);

/* The text of a configuration file, over what `config` has; `name` is for messages. The errors of mst__config_read. Not
 * re-entrant: libconfuse has no context. */
int mst__config_parse(const char *text, size_t bytes, const char *name, struct mst__daemon_config *config,
                      struct mst_failure *failure);

/* What --help prints. */
extern const char mst__config_usage[];

#endif
