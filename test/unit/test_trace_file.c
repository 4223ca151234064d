/* The event trace in its written form, and as a file of a host. */
#include "multistack/host.h"
#include "multistack/trace.h"
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct mst_trace_event segment(void) {
  return (struct mst_trace_event){
      .size = sizeof(struct mst_trace_event),
      .now_ns = 1234567,
      .kind = MST_TRACE_SEGMENT_RECEIVED,
      .conn_id = 7,
      .snd_una = 1,
      .snd_nxt = 3001,
      .rcv_nxt = 1,
      .snd_wnd_bytes = 65535,
      .cwnd_bytes = 10000,
      .ssthresh_bytes = UINT32_MAX,
      .flight_bytes = 3000,
      .srtt_ns = 20000999,
      .seq = 1,
      .end = 1,
      .ack = 1,
      .window_bytes = 65535,
      .flags = 16,
      .segments = 1,
      .sack_count = 2,
      .sack = {{2001, 3001}, {1001, 1501}},
  };
}

static void json_of_segments(void **state) {
  (void)state;
  char line[MST_TRACE_JSON_BYTES];
  struct mst_trace_event event = segment();
  size_t length = mst_trace_json(&event, 2, line, sizeof line);
  assert_int_equal(length, strlen(line));
  assert_string_equal(
      line, "{\"time\":1.234567,\"name\":\"tcp:segment_received\",\"group_id\":\"2.7\",\"data\":{\"snd_una\":1,"
            "\"snd_nxt\":3001,\"rcv_nxt\":1,\"snd_wnd_bytes\":65535,\"cwnd_bytes\":10000,"
            "\"flight_bytes\":3000,\"srtt_us\":20000,\"flags\":\".\",\"seq\":1,\"end\":1,\"ack\":1,"
            "\"window_bytes\":65535,\"sack\":[[2001,3001],[1001,1501]]}}");
  event.kind = MST_TRACE_SEGMENT_SENT;
  event.flags = 8 | 16;
  event.end = 3001;
  event.sack_count = 0;
  event.segments = 3;
  event.ecn = 2;
  event.retransmission = true;
  event.ssthresh_bytes = 20000;
  mst_trace_json(&event, 2, line, sizeof line);
  assert_non_null(strstr(line, "\"ssthresh_bytes\":20000,"));
  assert_non_null(strstr(line,
                         "\"flags\":\"P.\",\"seq\":1,\"end\":3001,\"ack\":1,\"window_bytes\":65535,\"segments\":3,"
                         "\"ecn\":2,\"retransmission\":true}}"));
}

static void json_of_other_kinds(void **state) {
  (void)state;
  char line[MST_TRACE_JSON_BYTES];
  struct mst_trace_event event = segment();
  event.kind = MST_TRACE_STATE_UPDATED;
  event.state = MST_ESTABLISHED;
  event.old_state = MST_SYN_SENT;
  event.local = (struct mst_endpoint){.addr = addr("10.0.0.1"), .port = 1234};
  event.remote = (struct mst_endpoint){.addr = addr("fd00::2"), .port = 80};
  mst_trace_json(&event, 0, line, sizeof line);
  assert_non_null(strstr(line, "\"old\":\"SYN-SENT\",\"new\":\"ESTABLISHED\",\"local\":\"10.0.0.1:1234\","
                               "\"remote\":\"[fd00::2]:80\"}}"));
  event.kind = MST_TRACE_RTT_SAMPLED;
  event.rtt_ns = 5000;
  event.rto_ns = 200000000;
  mst_trace_json(&event, 0, line, sizeof line);
  assert_non_null(strstr(line, "\"rtt_us\":5,\"rttvar_us\":0,\"min_rtt_us\":0,\"rto_us\":200000}}"));
  event.kind = MST_TRACE_TIMER_EXPIRED;
  event.timer = "persist";
  mst_trace_json(&event, 0, line, sizeof line);
  assert_non_null(strstr(line, "\"timer\":\"persist\"}}"));
  event.kind = MST_TRACE_SEGMENT_LOST;
  mst_trace_json(&event, 0, line, sizeof line);
  assert_non_null(strstr(line, "\"name\":\"tcp:segment_lost\""));
}

/* The longest line there can be fits, and a short buffer is cut and not overrun. */
static void json_is_bounded(void **state) {
  (void)state;
  char line[MST_TRACE_JSON_BYTES], cut[21];
  struct mst_trace_event event;
  for (int kind = 0; kind < MST_TRACE_KINDS; kind++) {
    memset(&event, 0xff, sizeof event);
    event.kind = (enum mst_trace_kind)kind;
    event.state = event.old_state = MST_SYN_RECEIVED;
    event.sack_count = 4;
    event.ssthresh_bytes--;
    event.timer = "a name of some length";
    event.retransmission = true;
    size_t length = mst_trace_json(&event, UINT32_MAX, line, sizeof line);
    assert_true(length < MST_TRACE_JSON_BYTES);
    assert_int_equal(mst_trace_json(&event, UINT32_MAX, cut, sizeof cut), length);
    assert_int_equal(strlen(cut), sizeof cut - 1);
    assert_int_equal(mst_trace_json(&event, UINT32_MAX, NULL, 0), length);
  }
}

static void ended(mst_conn *conn, unsigned events, void *user) {
  (void)conn;
  if (events & MST_EV_ERROR) *(bool *)user = true;
}

/* A refused connection on a host that is alone; returns what the trace file says. */
static char *trace_of(struct mst_host_options *options, const char *path) {
  static char text[16384];
  mst_host *host;
  mst_stack *stack;
  mst_conn *conn;
  bool done = false;
  struct mst_endpoint remote = {.addr = addr("127.0.0.1"), .port = 9};
  assert_int_equal(mst_host_open(options, &host, NULL), 0);
  assert_int_equal(mst_host_add_stack(host, NULL, &stack), 0);
  assert_int_equal(mst_connect(stack, NULL, &remote, ended, &done, &conn), 0);
  mst_host_flush(host);
  while (!done) {
    mst_host_process(host);
    mst_host_flush(host);
  }
  mst_close(conn);
  FILE *file = fopen(path, "rb"); /* what was traced is there when the loop would sleep */
  assert_non_null(file);
  size_t bytes = fread(text, 1, sizeof text - 1, file);
  text[bytes] = '\0';
  fclose(file);
  mst_host_close(host);
  return text;
}

static void check_refused(char *text) {
  double first_ms = -1;
  sscanf(strchr(text, '\n') + 1, "{\"time\":%lf", &first_ms);
  assert_true(first_ms > 0); /* the host's clock, from the first call on */
  const char *want[] = {"\"file_schema\":\"urn:ietf:params:qlog:file:sequential\"",
                        "\"old\":\"CLOSED\",\"new\":\"SYN-SENT\"",
                        "tcp:segment_sent",
                        "tcp:segment_received",
                        "\"old\":\"SYN-SENT\",\"new\":\"CLOSED\"",
                        NULL};
  char *rest = text;
  for (size_t i = 0; want[i]; i++) {
    char *end = strchr(rest, '\n');
    assert_non_null(end);
    *end = '\0';
    if (!strstr(rest, want[i])) fail_msg("line %zu is %s", i, rest);
    assert_int_equal(rest[0], '{');
    assert_int_equal(end[-1], '}');
    rest = end + 1;
  }
  assert_string_equal(rest, "");
}

static void host_writes_a_file(void **state) {
  (void)state;
  char path[] = "/tmp/multistack-test-XXXXXX";
  close(mkstemp(path));
  struct mst_host_options options = {.size = sizeof options, .trace_path = path};
  check_refused(trace_of(&options, path));
  setenv("MULTISTACK_TRACE", path, 1);
  check_refused(trace_of(NULL, path));
  unsetenv("MULTISTACK_TRACE");
  unlink(path);
}

static void a_file_that_cannot_be_opened(void **state) {
  (void)state;
  mst_host *host;
  struct mst_failure failure = {0};
  struct mst_host_options options = {.size = sizeof options, .trace_path = "/nowhere/at/all.qlog"};
  assert_int_equal(mst_host_open(&options, &host, &failure), -MST_ENOENT);
  assert_string_equal(failure.message,
                      "trace /nowhere/at/all.qlog: cannot open it for writing: No such file or directory");
}

static void count(void *ctx, enum mst_log_level level, const char *line) {
  (void)level;
  if (strstr(line, "trace: cannot write: No space left on device")) ++*(int *)ctx;
}

/* A full disk is said once; the program goes on. */
static void a_file_that_cannot_be_written(void **state) {
  (void)state;
  int said = 0;
  struct mst_host_options options = {.size = sizeof options, .trace_path = "/dev/full", .log = count, .log_ctx = &said};
  trace_of(&options, "/dev/null");
  assert_int_equal(said, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(json_of_segments),
      cmocka_unit_test(json_of_other_kinds),
      cmocka_unit_test(json_is_bounded),
      cmocka_unit_test(host_writes_a_file),
      cmocka_unit_test(a_file_that_cannot_be_opened),
      cmocka_unit_test(a_file_that_cannot_be_written),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
