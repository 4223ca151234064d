/* Loss recovery where two of its rules meet. */
#include "sim/script.h"
#include "tcp/conn.h"

enum { SEGMENTS = 40, BYTES = 10 };

/* Many small segments are outstanding, each with a record of its own. */
static struct script *many_outstanding(void) {
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000,sackOK", 65535);
  mst_conn_set_option(s->conn, MST_TCP_NODELAY, 1);
  for (int i = 0; i < SEGMENTS; i++) {
    script_write(s, BYTES);
    script_flush(s);
    script_wait(s, 0.01);
  }
  script_drain(s);
  assert_int_equal(s->conn->sent.count, SEGMENTS);
  return s;
}

static struct mst__sent *record(struct script *s, int number) {
  struct mst__sent *sent = mst__sent_first(&s->conn->sent);
  while (number--) sent = mst__sent_next(sent);
  return sent;
}

/* RFC 6298 5.4: a timeout sends the earliest again, whatever stands before it in the list of lost ones. */
static void timeout_resends_the_earliest(void **state) {
  (void)state;
  struct script *s = many_outstanding();
  mst_conn *conn = s->conn;
  mst__sent_mark_lost(conn, record(s, 0));
  for (int i = 2; i < SEGMENTS; i++) mst__sent_mark_lost(conn, record(s, i));
  mst__sent_mark_lost(conn, record(s, 1)); /* too many behind it: it lands in the middle */
  mst__sent_remove_front(conn, record(s, 0), BYTES);
  assert_ptr_not_equal(mst__recovery_next(conn), record(s, 0));
  conn->snd_una += BYTES;
  assert_true(mst__sent_check(conn));
  mst__recovery_on_timeout(conn);
  assert_ptr_equal(mst__recovery_next(conn), record(s, 0));
  assert_true(mst__sent_check(conn));
  script_close(s);
}

/* RFC 4015 3.1: a recovery that was spurious and yet marked by the network ends, and its reduction stays: the window is
 * ssthresh, not the little that RFC 6937 had let it be. */
static void marked_and_spurious(void **state) {
  (void)state;
  struct script *s = many_outstanding();
  mst_conn *conn = s->conn;
  mst__sent_mark_lost(conn, record(s, 0));
  mst__recovery_enter(conn, MST__PHASE_RECOVERY, MST__CC_LOSS);
  conn->cc.cwnd = 100;
  conn->ecn.mode = MST__ECN_CLASSIC;
  conn->recovery.undo_retransmits = BYTES;
  struct mst__tcp tcp = {.flags = MST__ACK | MST__ECE};
  struct mst__ack ack = {.tcp = &tcp, .dsack = true, .dsack_left = conn->snd_una, .dsack_right = conn->snd_una + BYTES};
  assert_true(mst__undo_on_ack(conn, &ack));
  assert_int_equal(conn->recovery.phase, MST__PHASE_OPEN);
  assert_int_equal(conn->cc.cwnd, conn->cc.ssthresh);
  assert_true(conn->cc.cwnd >= conn->cc.mss);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(timeout_resends_the_earliest),
      cmocka_unit_test(marked_and_spurious),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
