#include "config.h"
#include "config_value.h"
#include "port/port_internal.h"
#include "text.h"
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char mst__config_usage[] =
    "multistackd: the ports of this host, shared by programs that bring stacks of their own\n"
    "\n"
    "  multistackd [OPTION]...\n"
    "\n"
    "  -c, --config FILE   read this file instead of " MST__CONFIG_FILE "\n"
    "  -p, --port SPEC     open this port, in place of those of the file; up to 16 times\n"
    "                        xdp:DEVICE[,mode=native|generic][,queues=N]\n"
    "                        tap:NAME[,host=ADDR/LEN][,addr=ADDR]\n"
    "  -s, --socket PATH   the control socket (" MST__CONFIG_SOCKET ")\n"
    "  -u, --user NAME     whom to become once the ports are open (" MST__CONFIG_USER ", if there is such a user)\n"
    "  -t, --threads N     data threads (1)\n"
    "      --upgrade       take over from the daemon that runs on the same socket; no connection is lost\n"
    "      --check         read the configuration, say what is wrong with it, and end\n"
    "      --foreground    stay in the foreground, which is what it always does\n"
    "  -h, --help          print this\n"
    "  -V, --version       print the version\n";

void mst__config_init(struct mst__daemon_config *config) {
  *config = (struct mst__daemon_config){
      .socket_path = MST__CONFIG_SOCKET,
      .threads = 1,
      .spin_us = 50,
      .keep_s = 60,
      .channels = 1024,
      .log_level = MST_LOG_INFO,
      .limits.value = {[MST__LIMIT_MEMORY] = 256ull << 20,
                       [MST__LIMIT_LEASES] = 16384,
                       [MST__LIMIT_USER_LEASES] = 65536,
                       [MST__LIMIT_USER_CHANNELS] = 256},
  };
}

void mst__config_free(struct mst__daemon_config *config) {
  free(config->rules);
  free(config->limit_sections);
  config->rules = NULL;
  config->limit_sections = NULL;
  config->rule_count = config->limit_section_count = 0;
}

/* --- what the file and the command line both say --- */

int mst__config_set_socket(struct mst__daemon_config *config, const char *path, struct mst_failure *failure) {
  /* The keeper's socket stands beside it. */
  if (*path == '/')
    return mst__value_text(path, config->socket_path, sizeof config->socket_path - strlen(".keeper"), failure);
  return mst__port_fail(failure, -MST_EINVAL, "\"%s\" is no absolute path, as " MST__CONFIG_SOCKET " is",
                        MST__TEXT_SHOWN(path));
}

int mst__config_set_user(struct mst__daemon_config *config, const char *name, struct mst_failure *failure) {
  uint32_t uid;
  int error = mst__value_user(name, &uid, failure);
  if (error) return error;
  const struct passwd *entry = getpwuid(uid);
  if (!entry) return mst__port_fail(failure, -MST_EINVAL, "%u is no user of this system: its group is unknown", uid);
  config->user_uid = entry->pw_uid;
  config->user_gid = entry->pw_gid;
  return mst__value_text(name, config->user, sizeof config->user, failure);
}

int mst__config_add_port(struct mst__daemon_config *config, const char *spec, struct mst_failure *failure) {
  if (config->port_count == MST__CONFIG_PORTS_MAX)
    return mst__port_fail(failure, -MST_EINVAL, "\"%s\" is one port too many: at most %u", MST__TEXT_SHOWN(spec),
                          MST__CONFIG_PORTS_MAX);
  for (unsigned i = 0; i < config->port_count; i++)
    if (!strcmp(config->ports[i], spec))
      return mst__port_fail(failure, -MST_EINVAL, "\"%s\" is named twice", MST__TEXT_SHOWN(spec));
  int error = mst__value_text(spec, config->ports[config->port_count], MST__CONFIG_SPEC_BYTES, failure);
  if (!error) config->port_count++;
  return error;
}

/* --- the command line --- */

struct arguments {
  enum mst__daemon_action action;
  const char *file, *socket, *user, *threads;
  const char *ports[MST__CONFIG_PORTS_MAX + 1];
  unsigned port_count;
};

static int read_arguments(int argc, char **argv, struct arguments *out, struct mst_failure *failure) {
  enum { UPGRADE = 256, CHECK, FOREGROUND };
  static const struct option longs[] = {
      {"config", required_argument, NULL, 'c'},
      {"port", required_argument, NULL, 'p'},
      {"socket", required_argument, NULL, 's'},
      {"user", required_argument, NULL, 'u'},
      {"threads", required_argument, NULL, 't'},
      {"upgrade", no_argument, NULL, UPGRADE},
      {"check", no_argument, NULL, CHECK},
      {"foreground", no_argument, NULL, FOREGROUND},
      {"help", no_argument, NULL, 'h'},
      {"version", no_argument, NULL, 'V'},
      {NULL, 0, NULL, 0},
  };
  *out = (struct arguments){.action = MST__DAEMON_RUN};
  opterr = optind = 0; /* 0: from the beginning, also when it has read another command line before */
  for (int option; (option = getopt_long(argc, argv, ":c:p:s:u:t:hV", longs, NULL)) != -1;) {
    switch (option) {
    case 'c': out->file = optarg; break;
    case 'p':
      if (out->port_count <= MST__CONFIG_PORTS_MAX) out->ports[out->port_count++] = optarg;
      break;
    case 's': out->socket = optarg; break;
    case 'u': out->user = optarg; break;
    case 't': out->threads = optarg; break;
    case UPGRADE: out->action = MST__DAEMON_UPGRADE; break;
    case CHECK: out->action = MST__DAEMON_CHECK; break;
    case FOREGROUND: break;
    case 'h': out->action = MST__DAEMON_HELP; return 0;
    case 'V': out->action = MST__DAEMON_VERSION; return 0;
    default:
      return mst__port_fail(failure, -MST_EINVAL, "%s \"%s\": see multistackd --help",
                            option == ':' ? "a value is missing behind" : "there is no option",
                            MST__TEXT_SHOWN(argv[optind - 1]));
    }
  }
  if (optind == argc) return 0;
  return mst__port_fail(failure, -MST_EINVAL, "\"%s\" is no option: see multistackd --help",
                        MST__TEXT_SHOWN(argv[optind]));
}

/* Put the option's name in front of what is wrong with its value. */
static int blame(const char *option, int error, struct mst_failure *failure) {
  if (!error || !failure) return error;
  struct mst_failure value = *failure;
  return mst__port_fail(failure, error, "%s: %s", option, value.message);
}

static int apply_arguments(const struct arguments *arguments, struct mst__daemon_config *config,
                           struct mst_failure *failure) {
  int error = 0;
  if (arguments->socket) error = blame("--socket", mst__config_set_socket(config, arguments->socket, failure), failure);
  if (!error && arguments->user)
    error = blame("--user", mst__config_set_user(config, arguments->user, failure), failure);
  if (!error && arguments->threads) {
    uint64_t threads;
    error = mst__value_number(arguments->threads, 1, MST__CONFIG_THREADS_MAX, &threads, failure);
    if (error) return blame("--threads", error, failure);
    config->threads = (uint32_t)threads;
  }
  if (arguments->port_count) config->port_count = 0;
  for (unsigned i = 0; !error && i < arguments->port_count; i++)
    error = blame("--port", mst__config_add_port(config, arguments->ports[i], failure), failure);
  return error;
}

/* --- the file --- */

static int read_file(const char *path, struct mst__daemon_config *config, struct mst_failure *failure) {
  FILE *file = fopen(path, "re");
  char *text = malloc(MST__CONFIG_FILE_BYTES_MAX + 1);
  size_t bytes = file && text ? fread(text, 1, MST__CONFIG_FILE_BYTES_MAX + 1, file) : 0;
  int error = 0;
  if (!file || ferror(file))
    error = mst__port_fail(failure, -errno, "%s: cannot read it: %s", path, strerror(errno));
  else if (!text)
    error = mst__port_fail(failure, -MST_ENOMEM, "%s: out of memory", path);
  else if (bytes > MST__CONFIG_FILE_BYTES_MAX)
    error = mst__port_fail(failure, -MST_EINVAL, "%s: larger than %u bytes: this is no configuration file", path,
                           MST__CONFIG_FILE_BYTES_MAX);
  else
    error = mst__config_parse(text, bytes, path, config, failure);
  free(text);
  if (file) fclose(file);
  return error;
}

static int read_default_file(struct mst__daemon_config *config, struct mst_failure *failure) {
  int error = read_file(MST__CONFIG_FILE, config, failure);
  return error == -MST_ENOENT ? 0 : error;
}

int mst__config_read(int argc, char **argv, struct mst__daemon_config *config, struct mst_failure *failure) {
  struct arguments arguments;
  mst__config_init(config);
  int error = read_arguments(argc, argv, &arguments, failure);
  if (error) return error;
  config->action = arguments.action;
  if (config->action == MST__DAEMON_HELP || config->action == MST__DAEMON_VERSION) return 0;
  error = arguments.file ? read_file(arguments.file, config, failure) : read_default_file(config, failure);
  if (!error) error = apply_arguments(&arguments, config, failure);
  if (!error && !*config->user && getpwnam(MST__CONFIG_USER))
    error = mst__config_set_user(config, MST__CONFIG_USER, failure);
  return error;
}
