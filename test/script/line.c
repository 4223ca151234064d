/* One line after the other: families, time, loops. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the head: before there is a stack --- */

/* only ip4|ip6 */
static void line_only(struct run *run, char *arguments) {
  const char *family = word_need(run, &arguments, "the family");
  if (strcmp(family, run->ip6 ? "ip6" : "ip4")) run->skipped = true;
}

/* let NAME = EXPRESSION, which has been expanded */
static void line_let(struct run *run, char *arguments) {
  const char *name = word_need(run, &arguments, "the name"), *equals = word_need(run, &arguments, "=");
  if (strcmp(equals, "=")) run_fail(run, "let is: let NAME = EXPRESSION");
  const char *at = arguments;
  variable_set(run, name, evaluate(run, &at));
  while (*at == ' ') at++;
  if (*at) run_fail(run, "\"%s\" is too much", at);
}

static bool head_line(struct run *run, const char *name, char *arguments) {
  if (!strcmp(name, "only"))
    line_only(run, arguments);
  else if (!strcmp(name, "stack"))
    stack_option(run, arguments);
  else if (!strcmp(name, "tolerance"))
    run->tolerance_ns = word_duration(run, word_need(run, &arguments, "the time"));
  else if (!strcmp(name, "let"))
    line_let(run, arguments);
  else
    return false;
  return true;
}

/* --- loops --- */

static void loop_begin(struct run *run, char *arguments) {
  int64_t times = word_number(run, word_need(run, &arguments, "how often"));
  if (times < 1 || run->loop_count == RUN_LOOPS_MAX)
    run_fail(run, "repeat at least once, and no deeper than %d", RUN_LOOPS_MAX);
  run->loops[run->loop_count].line = run->at;
  run->loops[run->loop_count++].left = times - 1;
}

static void loop_end(struct run *run) {
  if (!run->loop_count) run_fail(run, "end without repeat");
  if (run->loops[run->loop_count - 1].left-- > 0)
    run->at = run->loops[run->loop_count - 1].line;
  else
    run->loop_count--;
}

/* --- time --- */

/* The time that the line begins with, and *given; without one it is now. */
static uint64_t line_time(struct run *run, char **line, bool *given) {
  const struct sim *sim = run->s->sim;
  bool relative = **line == '+';
  *given = relative || (**line >= '0' && **line <= '9');
  if (!*given) return sim->now_ns;
  *line += relative;
  uint64_t time = word_duration(run, word_next(line));
  if (relative) return sim->now_ns + time;
  if (run->s->start_ns + time < sim->now_ns) run_fail(run, "that time is over");
  return run->s->start_ns + time;
}

/* --- lines --- */

static void silence(struct run *run, char *arguments) {
  uint64_t duration = word_duration(run, word_need(run, &arguments, "how long"));
  word_end(run, arguments);
  packets_none_until(run, run->s->sim->now_ns + duration);
}

static void ignore(struct run *run, char *arguments) {
  const char *duration = word_next(&arguments);
  packets_ignore(run, duration ? word_duration(run, duration) : 0);
}

/* The `later` that ends a line holds the flush back. */
static bool cut_later(char *line) {
  size_t length = strlen(line);
  if (length < 5 || strcmp(line + length - 5, "later") || (length > 5 && line[length - 6] != ' ')) return false;
  line[length - 5] = 0;
  return true;
}

static void call_line(struct run *run, const char *name, char *arguments) {
  bool later = cut_later(arguments);
  if (!call_run(run, name, arguments)) run_fail(run, "\"%s\" is no line", name);
  if (!later) script_flush(run->s);
}

static void timed_line(struct run *run, char *line) {
  bool given;
  uint64_t at_ns = line_time(run, &line, &given);
  while (*line == ' ') line++;
  if (line[0] == '>') {
    line++;
    while (*line == ' ') line++;
    return packet_out(run, line, at_ns);
  }
  char *name = word_next(&line);
  while (*line == ' ') line++;
  if (name && !strcmp(name, "expect") && !given) return expect(run, line);
  if (name && !strcmp(name, "ignore") && !given) return ignore(run, line);
  packets_none_until(run, at_ns);
  if (!name) return;
  if (!strcmp(name, "<")) return packet_in(run, line, true);
  if (!strcmp(name, "<<")) return packet_in(run, line, false);
  if (!strcmp(name, "silence")) return silence(run, line);
  if (!strcmp(name, "expect")) return expect(run, line);
  if (!strcmp(name, "ignore")) return ignore(run, line);
  call_line(run, name, line);
}

/* False: the line is for the other family, or for nobody. */
static bool strip(struct run *run, const char **line) {
  while (**line == ' ') ++*line;
  if (!strncmp(*line, "ip4:", 4) || !strncmp(*line, "ip6:", 4)) {
    if (run->ip6 != ((*line)[2] == '6')) return false;
    *line += 4;
    while (**line == ' ') ++*line;
  }
  return **line && **line != '#';
}

static void cut_comment(char *line) {
  char *comment = strstr(line, " #");
  if (comment) *comment = 0;
  for (size_t n = strlen(line); n && (line[n - 1] == ' ' || line[n - 1] == '\n'); n--) line[n - 1] = 0;
}

static void one_line(struct run *run) {
  const char *line = run->lines[run->at];
  char plain[RUN_LINE_BYTES], text[RUN_LINE_BYTES], copy[RUN_LINE_BYTES];
  if (!strip(run, &line)) return;
  snprintf(plain, sizeof plain, "%s", line);
  cut_comment(plain);
  expand(run, plain, text);
  snprintf(copy, sizeof copy, "%s", text);
  char *at = copy, *name = word_next(&at);
  if (!strcmp(name, "repeat")) return loop_begin(run, at);
  if (!strcmp(name, "end")) return loop_end(run);
  if (head_line(run, name, at)) return;
  run_open(run);
  timed_line(run, text);
}

void run_script(struct run *run) {
  variable_set(run, "mss", run->ip6 ? 1440 : 1460);
  variable_set(run, "default_mss", run->ip6 ? 1220 : 536);
  variable_set(run, "headers", run->ip6 ? 60 : 40);
  for (run->at = 0; run->at < run->line_count && !run->skipped; run->at++) one_line(run);
  if (run->loop_count) run_fail(run, "repeat without end");
  if (run->skipped || !run->s) return;
  run->at = run->line_count ? run->line_count - 1 : 0;
  packets_none_until(run, run->s->sim->now_ns);
}
