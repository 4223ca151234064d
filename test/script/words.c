/* Words, numbers, durations, results, variables. */
#include "run.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *word_next(char **at) {
  char *begin = *at;
  while (*begin == ' ') begin++;
  if (!*begin) return NULL;
  char *end = begin;
  while (*end && *end != ' ') end++;
  *at = *end ? end + 1 : end;
  *end = 0;
  return begin;
}

char *word_need(struct run *run, char **at, const char *what) {
  char *word = word_next(at);
  if (!word) run_fail(run, "%s is missing", what);
  return word;
}

void word_end(struct run *run, char *at) {
  char *word = word_next(&at);
  if (word) run_fail(run, "\"%s\" is too much", word);
}

int64_t word_number(struct run *run, const char *word) {
  char *end;
  int64_t value = strtoll(word, &end, 0);
  if (end == word || *end) run_fail(run, "\"%s\" is no number", word);
  return value;
}

static const struct {
  const char *name;
  uint64_t ns;
} units[] = {{"us", SIM_US}, {"ms", SIM_MS}, {"s", SIM_S}, {"m", 60 * SIM_S}, {"h", 3600 * SIM_S}, {"", SIM_S}};

static bool duration(const char *word, uint64_t *out) {
  char *end;
  double value = strtod(word, &end);
  if (end == word || value < 0) return false;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (strcmp(end, units[i].name)) continue;
    *out = (uint64_t)(value * (double)units[i].ns + 0.5);
    return true;
  }
  return false;
}

bool word_is_duration(const char *word) {
  uint64_t ns;
  return duration(word, &ns);
}

uint64_t word_duration(struct run *run, const char *word) {
  uint64_t ns;
  if (!duration(word, &ns)) run_fail(run, "\"%s\" is no time", word);
  return ns;
}

static const struct {
  const char *name;
  int code;
} errors[] = {
#define MST__X(name, number, message) {#name, number},
    MST_ERROR_MAP(MST__X)
#undef MST__X
};

int64_t word_result(struct run *run, const char *word) {
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
    if (!strcmp(errors[i].name, word)) return -errors[i].code;
  return word_number(run, word);
}

const char *error_name(int64_t code) {
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
    if (errors[i].code == -code) return errors[i].name;
  return code ? "a number" : "no error";
}

/* --- variables and expressions --- */

static struct run_variable *variable(struct run *run, const char *name, size_t length) {
  for (size_t i = 0; i < run->variable_count; i++)
    if (!strncmp(run->variables[i].name, name, length) && !run->variables[i].name[length]) return &run->variables[i];
  return NULL;
}

void variable_set(struct run *run, const char *name, int64_t value) {
  size_t length = strlen(name);
  struct run_variable *v = variable(run, name, length);
  if (!v) {
    if (run->variable_count == RUN_VARIABLES_MAX || length >= sizeof v->name) run_fail(run, "no room for \"%s\"", name);
    v = &run->variables[run->variable_count++];
    memcpy(v->name, name, length + 1);
  }
  v->value = value;
}

static size_t name_length(const char *at) {
  size_t n = 0;
  while (isalnum((unsigned char)at[n]) || at[n] == '_') n++;
  return n;
}

static int64_t variable_value(struct run *run, const char **at) {
  size_t length = name_length(*at);
  if (length == 3 && !strncmp(*at, "iss", 3) && run->s) {
    *at += length;
    return run->s->iss;
  }
  struct run_variable *v = variable(run, *at, length);
  int64_t value = v ? v->value : 0;
  if (!v && !(run->s && info_field(run, *at, length, &value)))
    run_fail(run, "there is no variable \"%.*s\"", (int)length, *at);
  *at += length;
  return value;
}

static void skip_spaces(const char **at) {
  while (**at == ' ') ++*at;
}

static int64_t factor(struct run *run, const char **at) {
  skip_spaces(at);
  if (**at == '(') {
    ++*at;
    int64_t value = evaluate(run, at);
    skip_spaces(at);
    if (*(*at)++ != ')') run_fail(run, "a ) is missing");
    return value;
  }
  if (**at == '$') {
    ++*at;
    return variable_value(run, at);
  }
  char *end;
  int64_t value = strtoll(*at, &end, 0);
  if (end == *at) run_fail(run, "a number is missing at \"%s\"", *at);
  *at = end;
  return value;
}

static int64_t term(struct run *run, const char **at) {
  int64_t value = factor(run, at);
  for (skip_spaces(at); **at && strchr("*/%", **at); skip_spaces(at)) {
    char sign = *(*at)++;
    int64_t by = factor(run, at);
    if (sign != '*' && !by) run_fail(run, "division by zero");
    value = sign == '*' ? value * by : sign == '/' ? value / by : value % by;
  }
  return value;
}

int64_t evaluate(struct run *run, const char **at) {
  int64_t value = term(run, at);
  for (skip_spaces(at); **at == '+' || **at == '-'; skip_spaces(at)) {
    char sign = *(*at)++;
    int64_t by = term(run, at);
    value += sign == '+' ? by : -by;
  }
  return value;
}

static int64_t bracketed(struct run *run, const char **at) {
  ++*at;
  int64_t value = evaluate(run, at);
  skip_spaces(at);
  if (*(*at)++ != '}') run_fail(run, "a } is missing");
  return value;
}

void expand(struct run *run, const char *line, char out[RUN_LINE_BYTES]) {
  size_t used = 0;
  while (*line) {
    if (used + 24 >= RUN_LINE_BYTES) run_fail(run, "the line is too long");
    if (*line == '$') {
      line++;
      used += (size_t)snprintf(out + used, RUN_LINE_BYTES - used, "%lld", (long long)variable_value(run, &line));
    } else if (*line == '{') {
      used += (size_t)snprintf(out + used, RUN_LINE_BYTES - used, "%lld", (long long)bracketed(run, &line));
    } else {
      out[used++] = *line++;
    }
  }
  out[used] = 0;
}
