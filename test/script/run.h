/* A packet script being run: one file, one address family, one stack and its raw peer. README.md has the language. */
#ifndef TEST_SCRIPT_RUN_H
#define TEST_SCRIPT_RUN_H

#include "sim/script.h"

#include <stdint.h>

#define RUN_LINE_BYTES 512
#define RUN_FLOWS_MAX 8
#define RUN_VARIABLES_MAX 32
#define RUN_LOOPS_MAX 4
#define RUN_LOG_LINES 16

/* One of several connections of a script: what of struct script is one connection's. */
struct run_flow {
  bool known;
  mst_conn *conn;
  unsigned events;
  uint16_t local_port, peer_port;
  uint32_t peer_isn, iss, ts_first, ts_recent, written, read;
  bool iss_known, ts_known, timestamps;
};

struct run_variable {
  char name[24];
  int64_t value;
};

struct run {
  const char *path;
  char **lines;
  size_t line_count, at; /* at: the line that is run, from 0 */
  bool ip6, skipped;

  struct script_options options;
  char congestion[24];
  struct script *s; /* NULL until the first line that needs it */
  uint64_t tolerance_ns;

  struct run_flow flows[RUN_FLOWS_MAX];
  unsigned flow;
  mst_binding *binding;

  struct run_variable variables[RUN_VARIABLES_MAX];
  size_t variable_count;
  struct {
    size_t line;
    int64_t left;
  } loops[RUN_LOOPS_MAX];
  size_t loop_count;

  char log[RUN_LOG_LINES][RUN_LINE_BYTES]; /* what has gone by, for who reads a failure */
  size_t log_count;
};

/* The script fails: says where, why, and what has gone before. Does not return. */
_Noreturn void run_fail(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
void run_log(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
double run_now_ms(const struct run *run);

/* --- line.c: one line after the other --- */
void run_script(struct run *run);

/* --- words.c: what a line is made of --- */
/* The next word of the line, ended with NUL; NULL: there is none. */
char *word_next(char **at);
/* The next word, which must be there. `what` it is. */
char *word_need(struct run *run, char **at, const char *what);
void word_end(struct run *run, char *at);
int64_t word_number(struct run *run, const char *word);
/* 40ms, 1.5s, 2m, 1h, or seconds. */
uint64_t word_duration(struct run *run, const char *word);
bool word_is_duration(const char *word);
/* EAGAIN and so on, negative; or a number. */
int64_t word_result(struct run *run, const char *word);
const char *error_name(int64_t code);
/* Replace $name and {expression}. */
void expand(struct run *run, const char *line, char out[RUN_LINE_BYTES]);
int64_t evaluate(struct run *run, const char **at);
void variable_set(struct run *run, const char *name, int64_t value);

/* --- packets.c: what passes between peer and stack --- */
/* The next that comes until then, whatever it is, in s->last. */
bool packet_next(struct run *run, uint64_t until_ns);
/* Time passes, and nothing comes. */
void packets_none_until(struct run *run, uint64_t until_ns);
void packet_in(struct run *run, const char *spec, bool flush);
void packet_out(struct run *run, const char *spec, uint64_t at_ns);
void packets_ignore(struct run *run, uint64_t duration_ns);
void packet_icmp(struct run *run, char *arguments);

/* --- calls.c: the interface of the stack --- */
/* False: there is no such call. */
bool call_run(struct run *run, const char *name, char *arguments);
void flow_select(struct run *run, unsigned number);
void run_open(struct run *run);
/* Of the line `set` and `stack`. */
void stack_option(struct run *run, char *arguments);
bool tcp_option_of(const char *name, enum mst_tcp_option *out);

/* --- expect.c --- */
void expect(struct run *run, char *arguments);
/* A field of mst_tcp_info by its name. */
bool info_field(struct run *run, const char *name, size_t length, int64_t *out);

#endif
