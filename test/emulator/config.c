#include "config.h"

#include <stdlib.h>
#include <string.h>

static bool set_class(struct flow_class *class, const char *name, uint64_t value) {
  if (!strcmp(name, "port"))
    class->port = (uint16_t)value;
  else if (!strcmp(name, "seed"))
    class->seed = value;
  else if (!strcmp(name, "shared"))
    class->shared = value;
  else if (!strcmp(name, "goal_bytes"))
    class->goal_bytes = value;
  else if (!strcmp(name, "goal_ms"))
    class->goal_ns = value * 1000000;
  else if (!strcmp(name, "goal_from_ms"))
    class->goal_from_ns = value * 1000000;
  else
    return false;
  return true;
}

static bool set_drop(struct path_options *path, uint64_t index) {
  size_t i = 0;
  while (i < PATH_DROPS_MAX && path->drops[i]) i++;
  if (i == PATH_DROPS_MAX) return false;
  path->drops[i] = index;
  return true;
}

static bool set_path(struct path_options *path, const char *name, uint64_t value) {
  const struct {
    const char *name;
    uint64_t *wide;
    uint32_t *narrow;
    uint64_t unit;
  } fields[] = {
      {"rate", &path->rate_bps, NULL, 1},
      {"delay_us", &path->delay_ns, NULL, 1000},
      {"queue", &path->queue_bytes, NULL, 1},
      {"mark", &path->mark_bytes, NULL, 1},
      {"reorder_us", &path->reorder_ns, NULL, 1000},
      {"loss", NULL, &path->loss_ppm, 1},
      {"burst_us", &path->loss_burst_ns, NULL, 1000},
      {"reorder", NULL, &path->reorder_ppm, 1},
      {"duplicate", NULL, &path->duplicate_ppm, 1},
      {"corrupt", NULL, &path->corrupt_ppm, 1},
  };
  if (!strcmp(name, "drop")) return set_drop(path, value);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    if (strcmp(name, fields[i].name)) continue;
    if (fields[i].wide)
      *fields[i].wide = value * fields[i].unit;
    else
      *fields[i].narrow = (uint32_t)value;
    return true;
  }
  return false;
}

bool flow_class_parse(const char *line, struct flow_class *out) {
  char text[1024], *rest = text;
  int part = 0;
  memset(out, 0, sizeof *out);
  if (snprintf(text, sizeof text, "%s", line) >= (int)sizeof text) return false;
  for (char *word; (word = strtok_r(rest, " \t\n", &rest));) {
    if (!strcmp(word, "|")) {
      if (++part > 2) return false;
      continue;
    }
    char *equals = strchr(word, '='), *end;
    if (!equals) return false;
    *equals = 0;
    uint64_t value = strtoull(equals + 1, &end, 10);
    if (*end || end == equals + 1) return false;
    if (part ? !set_path(&out->path[part - 1], word, value) : !set_class(out, word, value)) return false;
  }
  return out->port;
}

int flow_classes_read(FILE *in, struct flow_class *out, size_t max) {
  char line[1024];
  size_t count = 0;
  while (fgets(line, sizeof line, in)) {
    if (line[0] == '\n' || line[0] == '#') continue;
    if (count == max || !flow_class_parse(line, &out[count])) {
      fprintf(stderr, "emulator: %s: %s", count == max ? "too many classes" : "not a class", line);
      return -1;
    }
    count++;
  }
  return (int)count;
}
