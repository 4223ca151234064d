/* The daemon's log: one line each, whatever is in it; nobody who causes many lines drowns the others, and nobody who
 * does not read it stops the daemon. */
#include "daemon/log.h"
#include "daemon/text.h"
#include "unit.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct mst__log log_;
static int reader;

static int setup(void **state) {
  (void)state;
  int pipe_[2];
  unsetenv("JOURNAL_STREAM");
  if (pipe2(pipe_, O_CLOEXEC | O_NONBLOCK)) return -1;
  mst__log_init(&log_, MST_LOG_INFO);
  reader = pipe_[0];
  log_.fd = pipe_[1];
  return 0;
}

static int teardown(void **state) {
  (void)state;
  close(reader);
  close(log_.fd);
  return 0;
}

/* All that was written since. */
static const char *written(void) {
  static char text[1 << 17];
  ssize_t bytes = read(reader, text, sizeof text - 1);
  text[bytes > 0 ? bytes : 0] = 0;
  return text;
}

static unsigned lines_of(const char *text) {
  unsigned lines = 0;
  for (; *text; text++) lines += *text == '\n';
  return lines;
}

static void expect(const char *part) {
  const char *text = written();
  if (!strstr(text, part)) fail_msg("\"%s\" lacks \"%s\"", text, part);
  assert_int_equal(lines_of(text), 1);
}

static const struct mst__log_subject app = {.channel = 7, .pid = 4711, .uid = 1000, .program = "nginx"};

static void writes_a_line(void **state) {
  (void)state;
  mst__log(&log_, MST_LOG_INFO, "serving %u ports", 3u);
  assert_string_equal(written(), "multistackd: serving 3 ports\n");
  mst__log(&log_, MST_LOG_ERROR, "no ports");
  assert_string_equal(written(), "multistackd: error: no ports\n");
  mst__log_env(&log_, MST_LOG_WARN, "100% odd");
  assert_string_equal(written(), "multistackd: warning: 100% odd\n");
  mst__log(&log_, MST_LOG_DEBUG, "not asked for");
  assert_string_equal(written(), "");
}

static void says_who(void **state) {
  (void)state;
  mst__log_about(&log_, 0, MST_LOG_WARN, &app, "closed: %s", "it rang too often");
  assert_string_equal(written(),
                      "multistackd: warning: channel 7, pid 4711 \"nginx\", uid 1000: closed: it rang too often\n");
  struct mst__log_subject nobody = app;
  nobody.channel = -1;
  mst__log_about(&log_, 0, MST_LOG_INFO, &nobody, "refused");
  assert_string_equal(written(), "multistackd: pid 4711 \"nginx\", uid 1000: refused\n");
}

static void names_are_escaped(void **state) {
  (void)state;
  struct mst__log_subject liar = app;
  liar.program = "a\", uid 0: fine\n<0>\x1b[2J\x80\\";
  mst__log_about(&log_, 0, MST_LOG_WARN, &liar, "refused");
  expect("\"a\\x22, uid 0: fine\\x0a<0>\\x1b[2J\\x80\\x5c\", uid 1000: refused");
  mst__log_about(&log_, 0, MST_LOG_WARN, &app, "says %s", "one\ntwo\x1b\x7f");
  expect("says one?two??");
}

static void escaping_keeps_to_its_room(void **state) {
  (void)state;
  char long_name[300];
  memset(long_name, 1, sizeof long_name);
  long_name[sizeof long_name - 1] = 0;
  for (size_t room = 5; room < 200; room++) {
    char *out = (char *)exact(long_name, room); /* a sanitizer sees what is written past it */
    assert_ptr_equal(mst__text_escape(long_name, out, room), out);
    assert_true(strlen(out) < room);
    assert_string_equal(out + strlen(out) - 3, "...");
    free(out);
  }
  char exactly[5];
  assert_string_equal(mst__text_escape("abcd", exactly, sizeof exactly), "abcd");
  assert_string_equal(mst__text_escape("abcde", exactly, sizeof exactly), "a...");
  assert_string_equal(mst__text_escape("\n", exactly, sizeof exactly), "\\x0a");
  assert_string_equal(mst__text_escape("", exactly, sizeof exactly), "");
}

static void a_long_line_is_cut(void **state) {
  (void)state;
  char text[5000];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = 0;
  mst__log(&log_, MST_LOG_INFO, "%s", text);
  const char *line = written();
  assert_int_equal(lines_of(line), 1);
  assert_true(strlen(line) < MST__LOG_LINE_BYTES_MAX);
  mst__log_about(&log_, 0, MST_LOG_INFO, &app, "%s%s", text, text);
  assert_int_equal(lines_of(written()), 1);
}

static void a_user_gets_so_many_lines(void **state) {
  (void)state;
  struct mst__log_subject other = app;
  other.uid = 1001;
  for (unsigned i = 0; i < 10 * MST__LOG_BURST; i++) mst__log_about(&log_, 5, MST_LOG_INFO, &app, "again");
  assert_int_equal(lines_of(written()), MST__LOG_BURST);
  mst__log_about(&log_, 6, MST_LOG_INFO, &other, "hello");
  expect("uid 1001: hello\n");
  mst__log(&log_, MST_LOG_INFO, "all is well");
  expect("all is well");
  mst__log_about(&log_, 4 + MST__LOG_REFILL_NS, MST_LOG_INFO, &app, "too soon");
  assert_string_equal(written(), "");
  mst__log_about(&log_, 5 + MST__LOG_REFILL_NS, MST_LOG_INFO, &app, "again");
  char expected[80];
  snprintf(expected, sizeof expected, "again (%u lines about uid 1000 were left out)", 9 * MST__LOG_BURST + 1);
  expect(expected);
  for (unsigned i = 0; i < 10 * MST__LOG_BURST; i++)
    mst__log_about(&log_, 1000 * MST__LOG_REFILL_NS, MST_LOG_INFO, &app, "again");
  assert_int_equal(lines_of(written()), MST__LOG_BURST);
}

static void many_users_are_as_one_that_was_forgotten(void **state) {
  (void)state;
  struct mst__log_subject other = app;
  for (unsigned i = 0; i < 2 * MST__LOG_USERS; i++) {
    other.uid = 5000 + i;
    mst__log_about(&log_, 10 + i, MST_LOG_INFO, &other, "hello");
    expect("hello");
  }
}

static void nobody_has_to_read_it(void **state) {
  (void)state;
  int flags = fcntl(log_.fd, F_GETFL);
  assert_int_equal(fcntl(log_.fd, F_SETFL, flags & ~O_NONBLOCK), 0); /* it would block for good */
  for (unsigned i = 0; i < 10000; i++) mst__log(&log_, MST_LOG_INFO, "line %u", i);
  assert_true(log_.lost > 0);
  uint64_t lost = log_.lost;
  while (*written()) {
  }
  mst__log(&log_, MST_LOG_INFO, "again");
  char expected[80];
  snprintf(expected, sizeof expected, "warning: %llu lines of this log were lost", (unsigned long long)lost);
  const char *text = written();
  assert_non_null(strstr(text, expected));
  assert_non_null(strstr(text, "again\n"));
  assert_int_equal(log_.lost, 0);
}

/* Stderr is the journal's when its device and inode are those of JOURNAL_STREAM. */
static void the_journal_gets_priorities(void **state) {
  (void)state;
  struct stat status;
  struct mst__log journal;
  char stream[64];
  assert_int_equal(fstat(STDERR_FILENO, &status), 0);
  snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
  setenv("JOURNAL_STREAM", stream, 1);
  mst__log_init(&journal, MST_LOG_DEBUG);
  assert_true(journal.journal);
  journal.fd = log_.fd;
  mst__log(&journal, MST_LOG_ERROR, "bad");
  mst__log(&journal, MST_LOG_DEBUG, "dull");
  assert_string_equal(written(), "<3>bad\n<7>dull\n");
  setenv("JOURNAL_STREAM", "1:2:3", 1);
  mst__log_init(&journal, MST_LOG_DEBUG);
  assert_false(journal.journal);
  setenv("JOURNAL_STREAM", "nonsense", 1);
  mst__log_init(&journal, MST_LOG_DEBUG);
  assert_false(journal.journal);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(writes_a_line),
      TEST(says_who),
      TEST(names_are_escaped),
      TEST(escaping_keeps_to_its_room),
      TEST(a_long_line_is_cut),
      TEST(a_user_gets_so_many_lines),
      TEST(many_users_are_as_one_that_was_forgotten),
      TEST(nobody_has_to_read_it),
      TEST(the_journal_gets_priorities),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
