/* The words of a configuration: numbers, lists of ports and addresses, names. Each is given whole and NUL-terminated;
 * what is wrong is told in `failure`, without the place. */
#ifndef MST_DAEMON_CONFIG_VALUE_H
#define MST_DAEMON_CONFIG_VALUE_H

#include "config.h"

/* A decimal number, perhaps with k, M or G (thousands) or Ki, Mi or Gi (1024s) behind it, from `least` to `most`. 0 or
 * -MST_EINVAL, -MST_ERANGE. */
int mst__value_number(const char *text, uint64_t least, uint64_t most, uint64_t *out, struct mst_failure *failure);

/* "80, 443, 8000-8999"; nothing and "none" are no ports. 0 or -MST_EINVAL. */
int mst__value_ports(const char *text, struct mst__port_range out[MST__RULE_PORTS_MAX], uint8_t *count,
                     struct mst_failure *failure);

/* "10.0.0.0/8, ::1". 0 or -MST_EINVAL. */
int mst__value_prefixes(const char *text, struct mst__prefix out[MST__RULE_PREFIXES_MAX], uint8_t *count,
                        struct mst_failure *failure);

/* "none" or "errors". */
int mst__value_icmp(const char *text, bool *errors, struct mst_failure *failure);

int mst__value_log_level(const char *text, enum mst_log_level *out, struct mst_failure *failure);

/* A name of the system's databases, or a number. 0 or -MST_EINVAL. */
int mst__value_user(const char *text, uint32_t *uid, struct mst_failure *failure);
int mst__value_group(const char *text, uint32_t *gid, struct mst_failure *failure);

/* Copy a text that has to fit into `room` bytes with its NUL. 0 or -MST_EINVAL. */
int mst__value_text(const char *text, char *out, size_t room, struct mst_failure *failure);

/* What the file and the command line both say. 0 or -MST_EINVAL. */
int mst__config_set_socket(struct mst__daemon_config *config, const char *path, struct mst_failure *failure);
int mst__config_set_user(struct mst__daemon_config *config, const char *name, struct mst_failure *failure);
int mst__config_add_port(struct mst__daemon_config *config, const char *spec, struct mst_failure *failure);

#endif
