/* From a spec, "kind:device,option=value,...", to a port. */
#include "port_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int mst__port_fail(struct mst_failure *failure, int code, const char *format, ...) {
  if (!strcmp(mst_err_name(code), "UNKNOWN")) code = -MST_EIO;
  if (!failure) return code;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(failure->message, sizeof failure->message, format, arguments);
  va_end(arguments);
  failure->code = code;
  return code;
}

void mst__port_reason(char reason[MST__PORT_REASON_BYTES], const char *format, ...) {
  char text[MST__PORT_REASON_BYTES];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (strstr(reason, text)) return;
  size_t length = strlen(reason);
  snprintf(reason + length, MST__PORT_REASON_BYTES - length, "%s%s", length ? "; " : "", text);
}

bool mst__port_option(char **options, char **key, char **value) {
  char *word;
  do {
    word = strsep(options, ",");
    if (!word) return false;
  } while (!*word);
  *key = strsep(&word, "=");
  *value = word ? word : *key + strlen(*key);
  return true;
}

static const struct {
  const char *kind;
  int (*open)(const char *device, char *options, struct mst__port_legacy *legacy, struct mst_port **out,
              struct mst_failure *failure);
} kinds[] = {
    {"xdp", mst__xdp_open},
    {"tap", mst__tap_open},
};

static int open_port(const char *spec, struct mst__port_legacy *legacy, struct mst_port **out,
                     struct mst_failure *failure) {
  static const char usage[] = "write xdp:DEVICE[,mode=native|generic][,queues=N] or "
                              "tap:NAME[,host=ADDR/LEN][,addr=ADDR]";
  *out = NULL;
  const char *colon = strchr(spec, ':');
  if (!colon) return mst__port_fail(failure, -MST_EINVAL, "port \"%s\" has no device: %s", spec, usage);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    size_t length = strlen(kinds[i].kind);
    if ((size_t)(colon - spec) != length || strncmp(spec, kinds[i].kind, length)) continue;
    char *options = strdup(colon + 1);
    if (!options) return mst__port_fail(failure, -MST_ENOMEM, "port \"%s\": out of memory", spec);
    char *rest = options;
    const char *device = strsep(&rest, ",");
    char none[1] = "";
    int result = *device ? kinds[i].open(device, rest ? rest : none, legacy, out, failure)
                         : mst__port_fail(failure, -MST_EINVAL, "port \"%s\" has no device: %s", spec, usage);
    free(options);
    return result;
  }
  return mst__port_fail(failure, -MST_EINVAL, "port \"%s\" is of no kind that is known: %s", spec, usage);
}

int mst_port_open_adopted(const char *spec, const int *fds, unsigned count, struct mst_port **out,
                          struct mst_failure *failure) {
  struct mst__port_legacy legacy;
  for (unsigned i = 0; i < MST_PORT_EXPORT_MAX; i++) legacy.fds[i] = i < count ? fds[i] : -1;
  int result = open_port(spec, &legacy, out, failure);
  for (unsigned i = 0; i < count; i++)
    if (i >= MST_PORT_EXPORT_MAX || legacy.fds[i] >= 0) close(fds[i]);
  return result;
}

int mst_port_open(const char *spec, struct mst_port **out, struct mst_failure *failure) {
  return mst_port_open_adopted(spec, NULL, 0, out, failure);
}
