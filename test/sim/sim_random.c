/* Random scenarios by seed; world.h says what they are made of and what must hold.
 *
 *   sim_random [--count N] [--seed FIRST] [--jobs N] [--without FEATURE,...] [--verbose] [--print] [--shrink]
 *
 * --print shows each packet at the edge of each stack; --shrink leaves out what a failing scenario does not need to
 * fail. A scenario that kills its process or takes too long is a failure like others. */
#include "world.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 64
#define PROGRESS_S 30
#define SCENARIO_SECONDS_MAX 120 /* by the wall clock */

#ifdef __SANITIZE_ADDRESS__
#define COUNT_DEFAULT 300
#else
#define COUNT_DEFAULT 1000
#endif

struct options {
  uint64_t count, first, jobs, off;
  bool verbose, print, shrink;
};

/* What a worker tells of itself. */
struct worker {
  volatile uint64_t seed, passed, failed;
  pid_t pid;
};

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_without(uint64_t off) {
  const char *before = " --without ";
  for (int f = 0; f < WORLD_FEATURE_COUNT; f++) {
    if (!(off >> f & 1)) continue;
    printf("%s%s", before, world_feature_name((enum world_feature)f));
    before = ",";
  }
}

static void print_repeat(uint64_t seed, uint64_t off) {
  printf("  repeat: npm run test:sim -- --seed %" PRIu64 " --count 1", seed);
  print_without(off);
  printf(" --verbose --print\n");
  fflush(stdout);
}

static bool run_one(const struct options *o, uint64_t seed, uint64_t off, uint64_t *on) {
  struct world *w = calloc(1, sizeof *w);
  if (!w) abort();
  w->seed = seed;
  w->off = off;
  w->verbose = o->verbose;
  w->print = o->print;
  alarm(SCENARIO_SECONDS_MAX);
  bool ok = world_run(w);
  if (on) *on = w->on;
  free(w);
  return ok;
}

/* --- one after the other, in as many processes as wanted --- */

static void work(const struct options *o, struct worker *worker, uint64_t begin) {
  for (uint64_t seed = begin; seed < o->first + o->count; seed += o->jobs) {
    worker->seed = seed;
    if (run_one(o, seed, o->off, NULL)) {
      worker->passed++;
      continue;
    }
    worker->failed++;
    print_repeat(seed, o->off);
  }
  fflush(stdout);
  _exit(0);
}

static void start(const struct options *o, struct worker *worker, uint64_t begin) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) abort();
  if (!pid) work(o, worker, begin);
  worker->pid = pid;
}

static uint64_t sum_failed(const struct worker *workers, uint64_t jobs, uint64_t *passed) {
  uint64_t failed = 0;
  *passed = 0;
  for (uint64_t i = 0; i < jobs; i++) {
    failed += workers[i].failed;
    *passed += workers[i].passed;
  }
  return failed;
}

static void print_progress(const struct options *o, const struct worker *workers, double begin_s) {
  static double last_s;
  uint64_t passed, failed;
  if (now_s() - last_s < PROGRESS_S || o->count <= 5000) return;
  last_s = now_s();
  failed = sum_failed(workers, o->jobs, &passed);
  double rate = (double)(passed + failed) / (now_s() - begin_s + 1e-9);
  printf("%" PRIu64 " of %" PRIu64 " scenarios, %" PRIu64 " failed, %.0f a second\n", passed + failed, o->count, failed,
         rate);
  fflush(stdout);
}

/* A worker is gone. If not of its own will, another takes over behind the scenario that it died of. */
static bool is_over(const struct options *o, struct worker *worker, int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  int how = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
  printf("seed %" PRIu64 ": %s %d\n", worker->seed,
         !WIFSIGNALED(status) ? "exit"
         : how == SIGALRM     ? "took too long, signal"
                              : "killed by signal",
         how);
  print_repeat(worker->seed, o->off);
  worker->failed++;
  start(o, worker, worker->seed + o->jobs);
  return false;
}

static uint64_t run_all(const struct options *o) {
  size_t bytes = JOBS_MAX * sizeof(struct worker);
  struct worker *workers = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (workers == MAP_FAILED) abort();
  double begin_s = now_s();
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, NULL);
  for (uint64_t i = 0; i < o->jobs; i++) start(o, &workers[i], o->first + i);
  for (uint64_t left = o->jobs; left;) {
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) {
      sigtimedwait(&child, NULL, &(struct timespec){.tv_sec = PROGRESS_S});
      print_progress(o, workers, begin_s);
      continue;
    }
    for (uint64_t i = 0; i < o->jobs; i++)
      if (workers[i].pid == pid && is_over(o, &workers[i], status)) left--;
  }
  uint64_t passed, failed = sum_failed(workers, o->jobs, &passed);
  double took_s = now_s() - begin_s;
  printf("%" PRIu64 " scenarios in %.1f s, %.0f a second\n", o->count, took_s, (double)o->count / took_s);
  printf("%" PRIu64 " passed, %" PRIu64 " failed, 0 skipped\n", passed, failed);
  return failed;
}

/* --- shrinking --- */

/* Whether it still fails; in a process of its own, which may die of it, and in silence. */
static bool fails_without(const struct options *o, uint64_t off) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) abort();
  if (!pid) {
    if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) abort();
    _exit(run_one(o, o->first, off, NULL) ? 0 : 1);
  }
  int status;
  waitpid(pid, &status, 0);
  return status != 0;
}

static int shrink(const struct options *o) {
  uint64_t off = o->off;
  if (!fails_without(o, off)) {
    printf("seed %" PRIu64 " does not fail\n", o->first);
    return 0;
  }
  for (int f = 0; f < WORLD_FEATURE_COUNT; f++)
    if (!(off >> f & 1) && fails_without(o, off | 1ull << f)) off |= 1ull << f;
  print_repeat(o->first, off);
  run_one(o, o->first, off, NULL);
  return 1;
}

/* --- the command line --- */

static uint64_t parse_features(char *list) {
  uint64_t set = 0;
  for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
    int f = 0;
    while (f < WORLD_FEATURE_COUNT && strcmp(name, world_feature_name((enum world_feature)f)) != 0) f++;
    if (f == WORLD_FEATURE_COUNT) {
      fprintf(stderr, "no feature %s\n", name);
      exit(2);
    }
    set |= 1ull << f;
  }
  return set;
}

static bool parse_flag(struct options *o, const char *name) {
  if (!strcmp(name, "--verbose")) return o->verbose = true;
  if (!strcmp(name, "--print")) return o->print = true;
  if (!strcmp(name, "--shrink")) return o->shrink = true;
  return false;
}

static bool parse_value(struct options *o, const char *name, char *value) {
  uint64_t *number = !strcmp(name, "--count")  ? &o->count
                     : !strcmp(name, "--seed") ? &o->first
                     : !strcmp(name, "--jobs") ? &o->jobs
                                               : NULL;
  if (!strcmp(name, "--without")) {
    o->off = parse_features(value);
    return true;
  }
  if (!number) return false;
  *number = strtoull(value, NULL, 0);
  return true;
}

int main(int argc, char **argv) {
  struct options o = {.count = COUNT_DEFAULT, .first = 1, .jobs = 1};
  for (int i = 1; i < argc; i++) {
    if (parse_flag(&o, argv[i])) continue;
    if (i + 1 < argc && parse_value(&o, argv[i], argv[i + 1])) {
      i++;
      continue;
    }
    fprintf(
        stderr,
        "usage: %s [--count N] [--seed FIRST] [--jobs N] [--without FEATURE,...] [--verbose] [--print] [--shrink]\n",
        argv[0]);
    return 2;
  }
  if (o.shrink) return shrink(&o);
  if (o.jobs < 1 || o.jobs > JOBS_MAX) o.jobs = 1;
  return run_all(&o) ? 1 : 0;
}
