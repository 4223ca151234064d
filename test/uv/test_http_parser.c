/* The HTTP parser of the examples, each case fed whole and cut at every place. */
#include "http_parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct outcome {
  unsigned requests, continues;
  int bad; /* the status, or 0 */
  int keep_alive, is_head;
};

static void feed(struct http_parser *parser, const char *data, size_t bytes, struct outcome *outcome) {
  while (bytes && !outcome->bad) {
    size_t used = 0;
    enum http_event event = http_parser_feed(parser, data, bytes, &used);
    assert_true(used > 0 && used <= bytes);
    if (event == HTTP_MORE) assert_int_equal(used, bytes);
    data += used;
    bytes -= used;
    if (event == HTTP_BAD) outcome->bad = parser->status;
    if (event == HTTP_CONTINUE) ++outcome->continues;
    if (event != HTTP_REQUEST) continue;
    ++outcome->requests;
    outcome->keep_alive = parser->keep_alive;
    outcome->is_head = parser->is_head;
  }
}

static struct outcome parse_cut(const char *text, size_t bytes, size_t cut) {
  static struct http_parser parser;
  struct outcome outcome = {0};
  http_parser_init(&parser);
  feed(&parser, text, cut, &outcome);
  feed(&parser, text + cut, bytes - cut, &outcome);
  return outcome;
}

/* The same whole, cut in two anywhere, and byte by byte. */
static struct outcome parse(const char *text) {
  static struct http_parser parser;
  size_t bytes = strlen(text);
  struct outcome whole = parse_cut(text, bytes, bytes), single = {0};
  for (size_t cut = 0; cut < bytes; ++cut) {
    struct outcome outcome = parse_cut(text, bytes, cut);
    assert_memory_equal(&outcome, &whole, sizeof whole);
  }
  http_parser_init(&parser);
  for (size_t i = 0; i < bytes; ++i) feed(&parser, text + i, 1, &single);
  assert_memory_equal(&single, &whole, sizeof whole);
  return whole;
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

static void expect_requests(const char *text, unsigned requests) {
  struct outcome outcome = parse(text);
  assert_int_equal(outcome.bad, 0);
  assert_int_equal(outcome.requests, requests);
}

static void expect_bad(const char *text, int status) {
  struct outcome outcome = parse(text);
  assert_int_equal(outcome.bad, status);
}

static void requests_follow_each_other(void **state) {
  (void)state;
  expect_requests(GET, 1);
  expect_requests(GET GET GET, 3);
  expect_requests("\r\n\n" GET, 1);
  expect_requests("GET / HTTP/1.1\nHost: a\n\n", 1);
  expect_requests("GET / HTTP/1.1\r\nHost: a\r\n", 0);
}

static void bodies_are_skipped(void **state) {
  (void)state;
  expect_requests("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /" GET, 2);
  expect_requests("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" GET, 2);
  expect_requests("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nxy" GET, 2);
  expect_requests("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "5;a=b\r\nGET /\r\n00\r\n\r\n" GET,
                  2);
  expect_requests("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
                  "A\r\n0123456789\r\n0\r\nT: v\r\nU: w\r\n\r\n" GET,
                  2);
}

static void framing_that_cannot_be_trusted(void **state) {
  (void)state;
  expect_bad("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
  expect_bad("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400);
  expect_bad("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400);
  expect_bad("GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400);
  expect_bad("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400);
  expect_bad("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400);
  expect_bad("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501);
  expect_bad("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 400);
  expect_bad("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx", 400);
  expect_bad("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1111111111111111\r\n", 413);
}

static void heads_that_are_refused(void **state) {
  (void)state;
  expect_bad("GET / HTTP/1.1\r\n\r\n", 400);
  expect_bad("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
  expect_bad("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400);
  expect_bad("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400);
  expect_bad("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
  expect_bad("GET /\r\n\r\n", 400);
  expect_bad("GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400);
  expect_bad("nonsense\r\n\r\n", 400);
}

static void what_the_answer_must_know(void **state) {
  (void)state;
  assert_true(parse(GET).keep_alive);
  assert_false(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n").keep_alive);
  assert_false(parse("GET / HTTP/1.0\r\n\r\n").keep_alive);
  assert_true(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
  assert_true(parse("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").is_head);
  struct outcome outcome = parse("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nxy");
  assert_int_equal(outcome.continues, 1);
  assert_int_equal(outcome.requests, 1);
}

static void a_head_without_end(void **state) {
  static char text[HTTP_HEAD_MAX_BYTES + 100];
  (void)state;
  memset(text, 'y', sizeof text);
  memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
  struct outcome outcome = parse_cut(text, sizeof text, 1000);
  assert_int_equal(outcome.bad, 431);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(requests_follow_each_other),     cmocka_unit_test(bodies_are_skipped),
      cmocka_unit_test(framing_that_cannot_be_trusted), cmocka_unit_test(heads_that_are_refused),
      cmocka_unit_test(what_the_answer_must_know),      cmocka_unit_test(a_head_without_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
