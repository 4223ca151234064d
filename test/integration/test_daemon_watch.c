/* Who asks for sockets gets an answer, whatever the apps that know them do: one says rubbish, one says too much, one
 * says nothing, and one watcher never reads. */
#include "unit/unit.h"

#include "attach/attach_internal.h"
#include "daemon_rig.h"
#include <sys/socket.h>
#include <sys/time.h>

static struct mst__control_received received;

static int rubbish(void *ctx, char *out, size_t bytes) {
  (void)ctx;
  return snprintf(out, bytes, "\xff\"rub\nbish");
}

static mst_attach *attach(const struct daemon_rig *rig) {
  struct mst_attach_options options = {.size = sizeof options, .path = rig->path};
  mst_attach *out;
  assert_int_equal(mst_attach_open(&options, &out, NULL), 0);
  return out;
}

static int watcher(const struct daemon_rig *rig) {
  struct timeval limit = {.tv_sec = RIG_LIMIT_MS / 1000};
  struct mst__control_observe hello = {.header = {.type = MST__CONTROL_OBSERVE},
                                       .magic = MST__CONTROL_MAGIC,
                                       .version_first = MST__CONTROL_VERSION_FIRST,
                                       .version_last = MST__CONTROL_VERSION};
  int fd = mst__control_connect(rig->path, RIG_LIMIT_MS);
  assert_true(fd >= 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  assert_int_equal(mst__control_send(fd, &hello, sizeof hello, NULL, 0, false), 0);
  assert_int_equal(mst__control_receive(fd, &received, false), 1);
  assert_int_equal(received.message.header.type, MST__CONTROL_OBSERVING);
  return fd;
}

static void ask(int fd, const char *question) {
  static struct mst__control_text text;
  text = (struct mst__control_text){.header = {.type = MST__CONTROL_QUERY}, .bytes = (uint32_t)strlen(question)};
  memcpy(text.text, question, strlen(question));
  size_t bytes = mst__control_bytes(MST__CONTROL_QUERY, strlen(question));
  assert_int_equal(mst__control_send(fd, &text, bytes, NULL, 0, false), 0);
}

static const char *answer(int fd) {
  static char all[1 << 20];
  const struct mst__control_text *part = (const void *)received.message.bytes;
  size_t length = 0;
  do {
    assert_int_equal(mst__control_receive(fd, &received, false), 1);
    assert_int_equal(received.message.header.type, MST__CONTROL_ANSWER);
    assert_true(length + part->bytes < sizeof all);
    memcpy(all + length, part->text, part->bytes);
    length += part->bytes;
  } while (part->more);
  all[length] = 0;
  return all;
}

/* 10 MiB, without an end. */
static void say_too_much(const mst_attach *app) {
  static struct mst__control_text text;
  assert_int_equal(mst__control_receive(app->control, &received, false), 1);
  assert_int_equal(received.message.header.type, MST__CONTROL_SOCKETS);
  text.header =
      (struct mst__control_header){.type = MST__CONTROL_SOCKETS_ARE, .serial = received.message.header.serial};
  text.bytes = sizeof text.text;
  text.more = 1;
  memset(text.text, '[', sizeof text.text);
  for (int i = 0; i < 160; i++)
    assert_int_equal(mst__control_send(app->control, &text, sizeof text, NULL, 0, false), 0);
}

static void apps_that_lie_or_are_silent(void **state) {
  const struct daemon_rig *rig = *state;
  mst_attach *liar = attach(rig), *talker = attach(rig), *silent = attach(rig);
  int deaf = watcher(rig), fd = watcher(rig);
  mst_attach_set_sockets(liar, rubbish, NULL);
  ask(deaf, "{\"what\":\"sockets\"}"); /* and is not read */
  ask(fd, "{\"what\":\"sockets\"}");
  say_too_much(talker);
  struct pollfd wait = {.fd = mst_attach_wait_fd(liar), .events = POLLIN};
  assert_int_equal(poll(&wait, 1, RIG_LIMIT_MS), 1);
  mst_attach_process(liar, 1000000000);
  const char *text = answer(fd);
  assert_non_null(strstr(text, "\"state\":\"told\",\"sockets\":\"\\ufffd\\\"rub\\u000abish\""));
  assert_non_null(strstr(text, "\"state\":\"too_much\",\"sockets\":null"));
  assert_non_null(strstr(text, "\"state\":\"silent\",\"sockets\":null"));
  ask(fd, "{\"what\":\"channels\"}");
  assert_non_null(strstr(answer(fd), "\"channel\":2,"));
  close(deaf);
  close(fd);
  mst_attach_close(liar);
  mst_attach_close(talker);
  mst_attach_close(silent);
}

static void bad_questions_are_answered(void **state) {
  const char *const questions[] = {
      "", "[]", "{", "{\"what\":\"x\"}", "{\"what\":{}}", "{\"what\":\"channels\"}}", "{\"a\":1}"};
  int fd = watcher(*state);
  for (unsigned i = 0; i < COUNT(questions); i++) {
    ask(fd, questions[i]);
    assert_non_null(strstr(answer(fd), "{\"error\":{\"code\":\"EINVAL\",\"message\":\""));
  }
  close(fd);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(apps_that_lie_or_are_silent),
      cmocka_unit_test(bad_questions_are_answered),
  };
  return cmocka_run_group_tests(tests, daemon_setup, daemon_teardown);
}
