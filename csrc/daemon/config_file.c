/* The configuration file, read by libconfuse. Each value is checked and taken where it stands, so that what is wrong
 * with it is told with its line; a section is taken at its end, when its parent tells whose it is. */
#include "config_value.h"
#include "port/port_internal.h"
#include "text.h"
#include <confuse.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libconfuse's callbacks are given no context of ours; one file is read at a time. */
static struct {
  struct mst__daemon_config *config;
  struct mst_failure *failure;
  bool told;                        /* what is wrong */
  struct mst__rule rule;            /* the allow or deny under way */
  struct mst__limit_section limits; /* the limit under way */
} reading;

/* --- numbers --- */

enum { NUMBER_THREADS, NUMBER_SPIN_US, NUMBER_KEEP_S, NUMBER_CHANNELS, NUMBER_LIMITS };

static const struct number {
  const char *name;
  uint64_t least, most;
} numbers[] = {
    [NUMBER_THREADS] = {"threads", 1, MST__CONFIG_THREADS_MAX},
    [NUMBER_SPIN_US] = {"spin_us", 0, 1000000},
    [NUMBER_KEEP_S] = {"keep_s", 0, 3600},
    [NUMBER_CHANNELS] = {"channels", 1, MST__CONFIG_CHANNELS_MAX},
    [NUMBER_LIMITS + MST__LIMIT_PACKETS_PER_S] = {"packets_per_s", 0, 1000000000000},
    [NUMBER_LIMITS + MST__LIMIT_BYTES_PER_S] = {"bytes_per_s", 0, 1000000000000000},
    [NUMBER_LIMITS + MST__LIMIT_MEMORY] = {"memory", 4ull << 20, 1ull << 40},
    [NUMBER_LIMITS + MST__LIMIT_LEASES] = {"leases", 0, 1u << 20},
    [NUMBER_LIMITS + MST__LIMIT_USER_LEASES] = {"user_leases", 0, 1u << 20},
    [NUMBER_LIMITS + MST__LIMIT_USER_CHANNELS] = {"user_channels", 0, MST__CONFIG_CHANNELS_MAX},
};

static void take_number(unsigned i, uint64_t value) {
  struct mst__daemon_config *config = reading.config;
  switch (i) {
  case NUMBER_THREADS: config->threads = (uint32_t)value; break;
  case NUMBER_SPIN_US: config->spin_us = (uint32_t)value; break;
  case NUMBER_KEEP_S: config->keep_s = (uint32_t)value; break;
  case NUMBER_CHANNELS: config->channels = (uint32_t)value; break;
  default:
    reading.limits.limits.value[i - NUMBER_LIMITS] = value;
    reading.limits.named |= 1u << (i - NUMBER_LIMITS);
    break;
  }
}

/* --- values --- */

/* Whether its section has this value already; libconfuse would take the last. The default, which no option has, serves
 * to remember it. */
static bool is_second(cfg_opt_t *opt) {
  bool goes_on = opt->nvalues > 1; /* a list */
  return !goes_on && opt->def.number++;
}

static int take_value(const char *name, const char *value, struct mst_failure *failure) {
  struct mst__daemon_config *config = reading.config;
  struct mst__rule *rule = &reading.rule;
  for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    uint64_t out;
    if (strcmp(name, numbers[i].name)) continue;
    int error = mst__value_number(value, numbers[i].least, numbers[i].most, &out, failure);
    if (!error) take_number(i, out);
    return error;
  }
  if (!strcmp(name, "tcp")) return mst__value_ports(value, rule->tcp, &rule->tcp_count, failure);
  if (!strcmp(name, "udp")) return mst__value_ports(value, rule->udp, &rule->udp_count, failure);
  if (!strcmp(name, "addresses")) return mst__value_prefixes(value, rule->prefixes, &rule->prefix_count, failure);
  if (!strcmp(name, "icmp")) {
    rule->names_icmp = true;
    return mst__value_icmp(value, &rule->icmp_errors, failure);
  }
  if (!strcmp(name, "log")) return mst__value_log_level(value, &config->log_level, failure);
  if (!strcmp(name, "socket")) return mst__config_set_socket(config, value, failure);
  if (!strcmp(name, "run_as")) return mst__config_set_user(config, value, failure);
  return mst__config_add_port(config, value, failure);
}

/* A cfg_callback_t. */
static int on_value(cfg_t *section, cfg_opt_t *opt, const char *value, void *result) {
  struct mst_failure failure;
  if (is_second(opt)) {
    cfg_error(section, "%s is set a second time", opt->name);
    return -1;
  }
  if (take_value(opt->name, value, &failure)) {
    cfg_error(section, "%s: %s", opt->name, failure.message);
    return -1;
  }
  *(const char **)result = value;
  return 0;
}

/* --- sections --- */

/* Whose section it is that ends: the parent tells. */
static int subject_of(cfg_t *parent, struct mst__subject *out) {
  struct mst_failure failure;
  const char *title = cfg_title(parent);
  *out = (struct mst__subject){MST__SUBJECT_EVERYONE, 0};
  if (!title) return 0;
  bool is_user = !strcmp(cfg_name(parent), "user");
  out->kind = is_user ? MST__SUBJECT_USER : MST__SUBJECT_GROUP;
  int error = is_user ? mst__value_user(title, &out->id, &failure) : mst__value_group(title, &out->id, &failure);
  if (error) cfg_error(parent, "%s", failure.message);
  return error;
}

/* Append `bytes` of `item` to an array of `*count`. */
static int append(cfg_t *section, void **array, unsigned *count, const void *item, size_t bytes) {
  void *bigger = realloc(*array, (*count + 1) * bytes);
  if (!bigger) {
    cfg_error(section, "out of memory");
    return -1;
  }
  memcpy((char *)bigger + *count * bytes, item, bytes);
  *array = bigger;
  ++*count;
  return 0;
}

static int on_rule(cfg_t *parent, cfg_opt_t *opt) {
  struct mst__rule rule = reading.rule;
  reading.rule = (struct mst__rule){0};
  rule.deny = !strcmp(opt->name, "deny");
  if (!rule.tcp_count && !rule.udp_count && !rule.names_icmp) {
    cfg_error(parent, "%s names nothing: it wants tcp, udp or icmp", opt->name);
    return -1;
  }
  if (subject_of(parent, &rule.subject)) return -1;
  return append(parent, (void **)&reading.config->rules, &reading.config->rule_count, &rule, sizeof rule);
}

static int on_limit(cfg_t *parent, cfg_opt_t *opt) {
  (void)opt;
  struct mst__limit_section section = reading.limits;
  reading.limits = (struct mst__limit_section){0};
  if (subject_of(parent, &section.subject)) return -1;
  if (section.subject.kind != MST__SUBJECT_EVERYONE)
    return append(parent, (void **)&reading.config->limit_sections, &reading.config->limit_section_count, &section,
                  sizeof section);
  for (unsigned i = 0; i < MST__LIMIT_COUNT; i++)
    if (section.named & 1u << i) reading.config->limits.value[i] = section.limits.value[i];
  return 0;
}

static int on_subject(cfg_t *root, cfg_opt_t *opt) {
  (void)root;
  struct mst__subject subject;
  return subject_of(opt->values[opt->nvalues - 1]->section, &subject);
}

/* --- the file --- */

/* A cfg_errfunc_t: one line, "FILE:LINE: WHAT". */
static void on_error(cfg_t *section, const char *format, va_list arguments) {
  char message[sizeof reading.failure->message];
  vsnprintf(message, sizeof message, format, arguments);
  for (char *c = message; *c; c++)
    if (!isprint((unsigned char)*c)) *c = '?'; /* a word of the file that libconfuse repeats */
  size_t used = strlen(message);
  if (!strncmp(message, "no such option", strlen("no such option"))) {
    for (const cfg_opt_t *opt = section->opts; opt->name && used < sizeof message; opt++)
      used += (size_t)snprintf(message + used, sizeof message - used, "%s%s",
                               opt == section->opts ? ": there are " : ", ", opt->name);
  }
  mst__port_fail(reading.failure, -MST_EINVAL, "%s:%d: %s", section->filename, section->line, message);
  reading.told = true;
}

#define VALUE(option)                                                                                                  \
  { .name = (option), .type = CFGT_STR, .flags = CFGF_NODEFAULT, .parsecb = on_value }
#define SECTION(option, inside, more_flags, at_end)                                                                    \
  { .name = (option), .type = CFGT_SEC, .flags = CFGF_MULTI | (more_flags), .subopts = (inside), .validcb = (at_end) }

static cfg_opt_t rule_options[] = {VALUE("tcp"), VALUE("udp"), VALUE("addresses"), VALUE("icmp"), CFG_END()};

static cfg_opt_t limit_options[] = {
    VALUE("packets_per_s"), VALUE("bytes_per_s"),   VALUE("memory"), VALUE("leases"),
    VALUE("user_leases"),   VALUE("user_channels"), CFG_END(),
};

static cfg_opt_t subject_options[] = {
    SECTION("allow", rule_options, 0, on_rule),
    SECTION("deny", rule_options, 0, on_rule),
    SECTION("limit", limit_options, 0, on_limit),
    CFG_END(),
};

static cfg_opt_t options[] = {
    {.name = "ports", .type = CFGT_STR, .flags = CFGF_LIST | CFGF_NODEFAULT, .parsecb = on_value},
    VALUE("socket"),
    VALUE("run_as"),
    VALUE("threads"),
    VALUE("spin_us"),
    VALUE("keep_s"),
    VALUE("channels"),
    VALUE("log"),
    SECTION("allow", rule_options, 0, on_rule),
    SECTION("deny", rule_options, 0, on_rule),
    SECTION("limit", limit_options, 0, on_limit),
    SECTION("user", subject_options, CFGF_TITLE | CFGF_NO_TITLE_DUPES, on_subject),
    SECTION("group", subject_options, CFGF_TITLE | CFGF_NO_TITLE_DUPES, on_subject),
    CFG_END(),
};

static int parse(const char *text, size_t bytes, const char *name) {
  cfg_t *cfg = cfg_init(options, CFGF_NONE);
  FILE *file = fmemopen((void *)text, bytes, "r");
  int result = CFG_FILE_ERROR;
  if (cfg && file) {
    cfg_set_error_function(cfg, on_error);
    cfg->filename = strdup(name);
    result = cfg_parse_fp(cfg, file);
    if (result == CFG_PARSE_ERROR && !reading.told) cfg_error(cfg, "an empty name");
  }
  if (file) fclose(file);
  if (cfg) cfg_free(cfg);
  if (result == CFG_SUCCESS) return 0;
  return result == CFG_FILE_ERROR ? mst__port_fail(reading.failure, -MST_ENOMEM, "%s: out of memory", name)
                                  : -MST_EINVAL;
}

/* libconfuse takes NUL for the end of a word. */
static int check_bytes(const char *text, size_t bytes, const char *name, struct mst_failure *failure) {
  const char *nul = memchr(text, 0, bytes);
  if (!nul) return 0;
  unsigned line = 1;
  for (const char *c = text; c < nul; c++) line += *c == '\n';
  return mst__port_fail(failure, -MST_EINVAL, "%s:%u: a NUL byte: this is no text", name, line);
}

int mst__config_parse(const char *text, size_t bytes, const char *name, struct mst__daemon_config *config,
                      struct mst_failure *failure) {
  if (!bytes) return 0;
  int error = check_bytes(text, bytes, name, failure);
  if (error) return error;
  memset(&reading, 0, sizeof reading);
  reading.config = config;
  reading.failure = failure;
  return parse(text, bytes, name);
}
