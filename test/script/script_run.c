/* script_run FOLDER-OR-FILE ...: runs packet scripts, each in IPv4 and in IPv6. README.md has the language. */
#include "run.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void run_log(struct run *run, const char *format, ...) {
  char *line = run->log[run->log_count++ % RUN_LOG_LINES];
  int used = snprintf(line, RUN_LINE_BYTES, "%11.3f ms  ", run_now_ms(run));
  va_list args;
  va_start(args, format);
  vsnprintf(line + used, RUN_LINE_BYTES - (size_t)used, format, args);
  va_end(args);
}

static void fail_text(struct run *run, const char *why) {
  const char *line = run->at < run->line_count ? run->lines[run->at] : "";
  print_error("%s:%zu: (%s, %.3f ms) %s\n", run->path, run->at + 1, run->ip6 ? "IPv6" : "IPv4", run_now_ms(run), why);
  print_error("  the line    %s\n  before that\n", line);
  size_t first = run->log_count > RUN_LOG_LINES ? run->log_count - RUN_LOG_LINES : 0;
  for (size_t i = first; i < run->log_count; i++) print_error("  %s\n", run->log[i % RUN_LOG_LINES]);
}

void run_fail(struct run *run, const char *format, ...) {
  char why[4 * RUN_LINE_BYTES];
  va_list args;
  va_start(args, format);
  vsnprintf(why, sizeof why, format, args);
  va_end(args);
  fail_text(run, why);
  _fail(run->path, (int)run->at + 1);
  abort(); /* _fail does not return */
}

/* --- one file --- */

static void read_lines(struct run *run) {
  FILE *file = fopen(run->path, "r");
  char line[RUN_LINE_BYTES];
  if (!file) fail_msg("%s cannot be read", run->path);
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    run->lines = realloc(run->lines, (run->line_count + 1) * sizeof *run->lines);
    if (!run->lines) abort();
    run->lines[run->line_count++] = strdup(line);
  }
  fclose(file);
}

static void run_free(struct run *run) {
  for (size_t i = 0; i < run->line_count; i++) free(run->lines[i]);
  free(run->lines);
  if (run->binding) mst_unbind(run->binding);
  if (run->s) script_close(run->s);
  free(run);
}

static bool run_family(const char *path, bool ip6) {
  struct run *run = calloc(1, sizeof *run);
  if (!run) abort();
  run->path = path;
  run->ip6 = ip6;
  run->tolerance_ns = 3 * SIM_MS;
  read_lines(run);
  run_script(run);
  bool ran = !run->skipped && run->s;
  run_free(run);
  return ran;
}

static void run_file(void **state) {
  const char *path = *state;
  bool ran4 = run_family(path, false), ran6 = run_family(path, true);
  if (!ran4 && !ran6) fail_msg("%s does nothing", path);
}

/* --- all of them --- */

struct files {
  char **paths;
  size_t count;
};

static void add(struct files *files, const char *path) {
  files->paths = realloc(files->paths, (files->count + 1) * sizeof *files->paths);
  if (!files->paths) abort();
  files->paths[files->count++] = strdup(path);
}

static bool is_script(const char *name) {
  size_t length = strlen(name);
  return length > 4 && !strcmp(name + length - 4, ".pkt");
}

static void collect(struct files *files, const char *path) {
  struct dirent **entries;
  struct stat status;
  if (stat(path, &status) || !S_ISDIR(status.st_mode)) return add(files, path);
  int count = scandir(path, &entries, NULL, alphasort);
  for (int i = 0; i < count; i++) {
    char inner[1024];
    snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
    bool folder = entries[i]->d_type == DT_DIR;
    if (entries[i]->d_name[0] != '.' && (folder || is_script(inner))) collect(files, inner);
    free(entries[i]);
  }
  if (count >= 0) free(entries);
}

int main(int argc, char **argv) {
  struct files files = {0};
  for (int i = 1; i < argc; i++) collect(&files, argv[i]);
  if (!files.count) {
    fprintf(stderr, "usage: script_run FOLDER-OR-FILE ...\n");
    return 2;
  }
  struct CMUnitTest *tests = calloc(files.count, sizeof *tests);
  if (!tests) abort();
  for (size_t i = 0; i < files.count; i++) {
    tests[i].name = files.paths[i];
    tests[i].test_func = run_file;
    tests[i].initial_state = files.paths[i];
  }
  int failed = _cmocka_run_group_tests("scripts", tests, files.count, NULL, NULL);
  for (size_t i = 0; i < files.count; i++) free(files.paths[i]);
  free(files.paths);
  free(tests);
  return failed;
}
