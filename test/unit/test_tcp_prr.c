/* Proportional rate reduction counts in bytes and sends whole segments: what comes of it over a recovery. */
#include "sim/script.h"
#include "tcp/conn.h"
#include <stdlib.h>

enum { MSS = 1000, RECOVER_FS = 40 * MSS + 7, STEPS = 60, ROUNDS = 200 };

struct recovery {
  mst_conn *conn;
  uint64_t delivered, out;
  uint32_t sndcnt;
};

static uint32_t chance(uint32_t below) {
  return (uint32_t)rand() % below;
}

static struct script *established(void) {
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000,sackOK", 65535);
  srand(1);
  return s;
}

/* What the test told the connection of itself is not true: it goes without a word of it to the peer. */
static void close_quietly(struct script *s) {
  s->conn->snd_nxt = s->conn->snd_una;
  s->conn->sent.flight_bytes = 0;
  s->conn->recovery.phase = MST__PHASE_OPEN;
  script_close(s);
}

static void begin(struct recovery *r, struct script *s, uint32_t ssthresh) {
  *r = (struct recovery){.conn = s->conn};
  r->conn->snd_nxt = r->conn->snd_una + RECOVER_FS;
  r->conn->cc.ssthresh = ssthresh;
  r->conn->sent.flight_bytes = RECOVER_FS - 3 * MSS;
  r->conn->recovery.phase = MST__PHASE_RECOVERY;
  mst__prr_begin(r->conn);
}

/* `bytes` of what is under way arrive; SND.UNA moves or does not. */
static void arrive(struct recovery *r, uint32_t bytes, bool forward) {
  if (bytes > r->conn->sent.flight_bytes) bytes = r->conn->sent.flight_bytes;
  struct mst__ack ack = {.delivered_bytes = bytes, .acked_bytes = forward ? bytes : 0};
  r->delivered += bytes;
  r->conn->sent.flight_bytes -= bytes;
  mst__prr_on_ack(r->conn, &ack);
  r->sndcnt = r->conn->cc.cwnd - r->conn->sent.flight_bytes;
}

static void send(struct recovery *r, uint32_t bytes) {
  r->out += bytes;
  r->conn->sent.flight_bytes += bytes;
  mst__prr_sent(r->conn, bytes);
}

/* Nothing that was left unsent is lost, nothing that was rounded up is given twice: while the flight is above ssthresh,
 * all that may have been sent is less than a segment above the share of what was delivered. */
static void proportional_part(void **state) {
  struct script *s = established();
  (void)state;
  for (int round = 0; round < ROUNDS; round++) {
    struct recovery r;
    begin(&r, s, RECOVER_FS / 4 + chance(RECOVER_FS / 2));
    while (r.conn->sent.flight_bytes > r.conn->cc.ssthresh + 2 * MSS) {
      arrive(&r, 1 + chance(2 * MSS), chance(2));
      uint64_t share = (r.delivered * r.conn->cc.ssthresh + RECOVER_FS - 1) / RECOVER_FS;
      assert_true(r.out + r.sndcnt < share + MSS);
      assert_true(r.out + r.sndcnt >= share);
      send(&r, chance(4) ? r.sndcnt : r.sndcnt / 2);
    }
  }
  close_quietly(s);
}

/* The same without progress below ssthresh: packets are conserved. */
static void conservative_bound(void **state) {
  struct script *s = established();
  (void)state;
  for (int round = 0; round < ROUNDS; round++) {
    struct recovery r;
    begin(&r, s, RECOVER_FS);
    r.conn->sent.flight_bytes = RECOVER_FS / 2;
    for (int step = 0; step < STEPS; step++) {
      arrive(&r, 1 + chance(MSS), false);
      assert_true(r.out + r.sndcnt < r.delivered + MSS);
      send(&r, chance(4) ? r.sndcnt : 0);
    }
  }
  close_quietly(s);
}

/* With progress, one segment more for each ACK, as the RFC has it; never beyond ssthresh, not even by a part of one. */
static void slow_start_bound(void **state) {
  struct script *s = established();
  (void)state;
  for (int round = 0; round < ROUNDS; round++) {
    struct recovery r;
    begin(&r, s, RECOVER_FS / 2);
    r.conn->sent.flight_bytes = RECOVER_FS / 4;
    for (int step = 0; step < STEPS; step++) {
      uint64_t before = r.delivered;
      arrive(&r, 1 + chance(MSS), true);
      uint64_t banked = r.delivered > r.out ? r.delivered - r.out : 0, arrived = r.delivered - before;
      uint64_t limit = (banked > arrived ? banked : arrived) + MSS;
      assert_true(r.sndcnt < limit + MSS);
      assert_true(r.conn->cc.cwnd <= r.conn->cc.ssthresh || r.sndcnt <= MSS);
      send(&r, chance(4) ? r.sndcnt : 0);
    }
  }
  close_quietly(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(proportional_part),
      cmocka_unit_test(conservative_bound),
      cmocka_unit_test(slow_start_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
