/* Attacks that are known by name: floods, blind injection (RFC 5961), misbehaving receivers (Savage et al., 1999),
 * sockstress. What they cost is bounded, and who means well is served all the while. */
#include "sim/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MSS 1000u

/* A segment that is made once and sent often. */
struct shot {
  struct script *s;
  struct sim_segment segment;
  uint8_t packet[160];
};

static void load(struct shot *shot, struct script *s, const char *line) {
  static uint8_t data[64];
  shot->s = s;
  script_segment(s, line, &shot->segment, data, sizeof data);
}

static void fire(struct shot *shot) {
  size_t bytes = sim_segment_build(shot->packet, &shot->segment);
  sim_input(shot->s->node, shot->packet, bytes, 0);
}

static uint32_t noise(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state ^ *state >> 15;
}

/* --- floods --- */

/* A million SYNs from everywhere; a legitimate client in their midst is served each time, with a cookie. */
static void syn_flood(void **state) {
  (void)state;
  enum { ROUNDS = 20, SYNS = 50000 };
  struct script *s = script_open(NULL);
  script_listen(s, 128);
  struct shot shot;
  uint32_t chance = 1;
  load(&shot, s, "S 0 win 1000 <mss 1460,sackOK,TS 5 0,wscale 7>");
  size_t before = s->node->memory.bytes;
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < SYNS; i++) {
      uint32_t address = noise(&chance);
      shot.segment.source =
          mst_addr_ip4((uint8_t[]){11, (uint8_t)(address >> 16), (uint8_t)(address >> 8), (uint8_t)address});
      shot.segment.source_port = (uint16_t)(1 + address % 65535);
      shot.segment.seq = noise(&chance);
      fire(&shot);
      if (i % 1000 == 0) script_wait(s, 1), script_drain(s);
    }
    script_drain(s);
    assert_true(s->node->memory.bytes - before < 128 * 256 + 65536);
    s->peer_port = (uint16_t)(20000 + round);
    s->iss_known = false;
    s->read = s->written = 1;
    script_in(s, "S 0 win 65535 <mss 1460,TS 100 0,wscale 7>");
    script_out(s, "S. 0 ack 1 <mss 1460,TS * 100,wscale 7>");
    script_in_with(s, "P. 1:101 ack 1 win 1000 <TS 101 %u>", s->ts_recent, 0);
    script_accept(s);
    s->timestamps = true;
    script_out(s, ". 1 ack 101");
    script_read(s, 100);
    script_write(s, 50);
    script_out(s, "P. 1:51 ack 101");
    mst_abort(s->conn);
    s->conn = NULL;
    script_drain(s);
  }
  struct mst_stack_stats stats = script_stats(s);
  assert_true(stats.tcp_syncookies_sent >= ROUNDS * SYNS - 128 * 10);
  assert_int_equal(stats.tcp_passive_opens, ROUNDS);
  script_wait(s, 300000);
  script_drain(s);
  assert_int_equal(script_stats(s).conns, 0);
  script_close(s);
}

/* Cookies are in use, and an attacker who sees none of them guesses. */
static void cookie_guesses(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.stack.syn_cookies = MST_SYN_COOKIES_ALWAYS});
  script_listen(s, 0);
  script_in(s, "S 0 win 1000");
  script_drain(s);
  struct shot shot;
  uint32_t chance = 7;
  load(&shot, s, ". 1 ack 1 win 1000");
  for (int i = 0; i < 500000; i++) {
    shot.segment.source_port = (uint16_t)(1 + noise(&chance) % 8000);
    shot.segment.seq = noise(&chance);
    shot.segment.ack = noise(&chance);
    fire(&shot);
    if (i % 1000 == 0) script_drain(s);
  }
  script_drain(s);
  assert_int_equal(script_stats(s).tcp_syncookies_failed, 500000);
  assert_int_equal(script_stats(s).tcp_passive_opens, 0);
  script_close(s);
}

/* SYN and ACK from the same hosts, faster than the program accepts: what waits is bounded. */
static void connection_flood(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_listen(s, 64);
  for (uint16_t port = 1; port <= 2000; port++) {
    s->peer_port = port;
    s->iss_known = false;
    script_in(s, "S 0 win 1000");
    if (!script_next(s, 0)) continue;
    script_in(s, ". 1 ack 1 win 1000");
  }
  struct mst_stack_stats stats = script_stats(s);
  assert_int_equal(stats.conns, 64);
  assert_true(stats.tcp_listen_overflows >= 2000 - 64);
  script_close(s);
}

/* --- blind injection: the attacker knows the four-tuple and nothing else --- */

/* RFC 5961 1.2 and 3: a reset anywhere in the window used to do, so 2^32 / window of them were enough. */
static void blind_reset(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000,wscale 7", 65535);
  struct shot shot;
  load(&shot, s, "R 100");
  uint32_t window = script_info(s).rcv_wnd;
  assert_true(window >= 65535);
  for (uint64_t i = 0; i < (1ull << 32) / window + 1; i++, shot.segment.seq += window) fire(&shot);
  script_flush(s);
  script_drain(s);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  assert_int_equal(mst_conn_error(s->conn), 0);
  assert_in_range(script_stats(s).tcp_challenge_acks, 1, 2);
  script_close(s);
}

/* RFC 5961 1.2 and 4: so did a SYN. */
static void blind_syn(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000,wscale 7", 65535);
  struct shot shot;
  load(&shot, s, "S 100");
  uint32_t window = script_info(s).rcv_wnd;
  for (uint64_t i = 0; i < (1ull << 32) / window + 1; i++, shot.segment.seq += window) fire(&shot);
  script_flush(s);
  script_drain(s);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  script_close(s);
}

/* RFC 5961 1.2 and 5: of data, half of all ACK values used to be good, so two guesses found one. Now it is a part of
 * MAX.SND.WND / 2^32. */
static void blind_data(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 1000);
  struct shot shot;
  load(&shot, s, "P. 1:33 ack 1");
  shot.segment.ack += 1001; /* nothing was sent: [SND.UNA - 1000, SND.NXT] is good */
  for (uint32_t i = 0; i < 65536; i++, shot.segment.ack += 65536) {
    if (i == 65535) continue; /* the one that hits */
    fire(&shot);
  }
  script_flush(s);
  script_drain(s);
  assert_int_equal(mst_readable_bytes(s->conn), 0);
  assert_int_equal(script_drops(s, MST_DROP_TCP_ACK_INVALID), 65535);
  script_in(s, "P. 1:33 ack -999");
  assert_int_equal(mst_readable_bytes(s->conn), 32);
  script_close(s);
}

/* An ACK that is acceptable but forged does no harm either: it acknowledges nothing that was not sent. */
static void blind_ack(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  script_write(s, 5000);
  assert_int_equal(script_drain(s), 5);
  struct shot shot;
  load(&shot, s, ". 1 ack 5002");
  for (uint32_t i = 0; i < 32000; i++, shot.segment.ack += 65536) fire(&shot);
  script_flush(s);
  script_drain(s);
  assert_int_equal(script_info(s).unacked_bytes, 5000);
  assert_int_equal(script_drops(s, MST_DROP_TCP_ACK_INVALID), 32000);
  script_close(s);
}

/* The idle scan, and all that counts somebody else's packets: the IP identification of one connection tells nothing of
 * what others have sent (RFC 6864; DF is set). */
static void idle_scan(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 1000);
  uint16_t port = s->peer_port;
  uint32_t iss = s->iss;
  script_in(s, ". 0 ack 1");
  script_out(s, ". 1 ack 1");
  uint16_t before = sim_get16(s->last_packet->bytes + 4);
  s->peer_port++;
  s->iss_known = false;
  script_establish(s, "mss 1000", 1000);
  for (uint32_t i = 0; i < 10; i++) {
    script_in_with(s, "P. %u:%u ack 1", 1 + i * 10, 11 + i * 10);
    script_out(s, ". 1");
  }
  script_in(s, ". 1 ack 900000 win 1000");
  script_drain(s);
  assert_int_not_equal(sim_get16(s->last_packet->bytes + 4), before);
  s->peer_port = 1;
  script_in(s, ". 1 ack 77");
  script_out(s, "R 77");
  assert_int_equal(sim_get16(s->last_packet->bytes + 4), 0);
  s->peer_port = port;
  s->iss = iss;
  script_in(s, ". 0 ack 1");
  script_out(s, ". 1 ack 1");
  assert_int_equal((uint16_t)(sim_get16(s->last_packet->bytes + 4) - before), 1);
  script_close(s);
}

/* --- two ends that contradict each other --- */

/* Each answers the other's nonsense with an ACK that is nonsense there. It ends. */
static void ack_storm(void **state) {
  (void)state;
  static const char *const nonsense[] = {". 900000 ack 1", ". 1 ack 900000", ". -900000 ack 1", "S. 900000 ack 1"};
  for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
    struct script *s = script_open(NULL);
    script_establish(s, "mss 1000", 1000);
    unsigned answers = 0;
    script_in(s, nonsense[i]);
    while (script_next(s, 0)) {
      assert_true(++answers < 50);
      script_in(s, nonsense[i]);
    }
    assert_in_range(answers, 1, 11);
    script_wait(s, 5000); /* and a question in earnest is answered again */
    script_in(s, ". 0 ack 1");
    script_out(s, ". 1 ack 1");
    script_close(s);
  }
}

static void ack_storm_in_time_wait(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_time_wait(s);
  unsigned answers = 0;
  script_in(s, ". 900000 ack 2");
  while (script_next(s, 0)) {
    assert_true(++answers < 50);
    script_in(s, ". 900000 ack 2");
  }
  assert_in_range(answers, 1, 10);
  script_close(s);
}

/* --- misbehaving receivers: Savage, Cardwell, Wetherall, Anderson, "TCP congestion control with a misbehaving
 * receiver" --- */

static struct script *sender(const char *options, uint32_t bytes) {
  struct script *s =
      script_open(&(struct script_options){.stack = {.congestion_control = "newreno", .send_buffer_bytes = 4 << 20}});
  script_establish(s, options, 65535);
  script_in(s, ". 1 ack 1 win 65535");
  script_write(s, bytes);
  assert_int_equal(script_drain(s), 10);
  return s;
}

/* One segment acknowledged in 1,000 pieces grows the window by no more than one piece would (RFC 3465 2.1). */
static void ack_division(void **state) {
  (void)state;
  struct script *s = sender("mss 1000,wscale 8", 200000);
  for (uint32_t ack = 2; ack <= 1 + MSS; ack++) script_in_with(s, ". 1 ack %u win 65535", ack, 0);
  assert_in_range(script_info(s).snd_cwnd_bytes, 10 * MSS, 11 * MSS);
  assert_true(script_drain(s) <= 4);
  script_close(s);
}

/* Duplicate ACKs of nothing: at most what is outstanding can have left the network. */
static void duplicate_ack_spoofing(void **state) {
  (void)state;
  for (int sack = 0; sack < 2; sack++) {
    struct script *s = sender(sack ? "mss 1000,sackOK,wscale 8" : "mss 1000,wscale 8", 250000);
    uint32_t cwnd = script_info(s).snd_cwnd_bytes;
    size_t sent = 0;
    for (int i = 0; i < 20; i++) {
      script_in(s, ". 1 ack 1 win 65535");
      sent += script_drain(s);
    }
    assert_true(sent <= (sack ? 0 : 20)); /* with SACK an ACK without blocks tells nothing */
    assert_true(script_info(s).snd_cwnd_bytes <= cwnd);
    script_close(s);
  }
}

/* The ACK of what was never sent is none, and is answered. */
static void optimistic_ack(void **state) {
  (void)state;
  struct script *s = sender("mss 1000,wscale 8", 200000);
  script_in_with(s, ". 1 ack %u win 65535", 1 + 10 * MSS + 1, 0);
  script_out(s, ". 10001 ack 1");
  script_silence(s, 0);
  assert_int_equal(script_info(s).snd_cwnd_bytes, 10 * MSS);
  assert_int_equal(script_info(s).unacked_bytes, 10 * MSS);
  script_close(s);
}

/* An ACK in the middle of a segment: what is sent again begins there. */
static void ack_of_half_a_segment(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  script_write(s, 3000);
  assert_int_equal(script_drain(s), 3);
  script_in(s, ". 1 ack 1501");
  script_wait(s, 500);
  assert_true(script_drain(s) >= 1);
  script_in(s, ". 1 ack 1502");
  for (int i = 0; i < 5 && script_info(s).unacked_bytes; i++) {
    script_wait(s, 2000);
    if (!script_next(s, 0)) continue;
    assert_int_equal(s->last.seq - s->iss, 1502);
    for (uint32_t at = 0; at < s->last.data_bytes; at++) assert_int_equal(s->last.data[at], script_byte(1502 + at));
    script_drain(s);
  }
  script_in(s, ". 1 ack 3001");
  assert_int_equal(script_info(s).unacked_bytes, 0);
  script_close(s);
}

/* --- SACK blocks --- */

static void put_sack(struct sim_segment *segment, unsigned count, const uint32_t blocks[][2]) {
  uint8_t *p = segment->options;
  *p++ = 1, *p++ = 1, *p++ = 5, *p++ = (uint8_t)(2 + 8 * count);
  for (unsigned i = 0; i < count; i++, p += 8) {
    sim_put32(p, blocks[i][0]);
    sim_put32(p + 4, blocks[i][1]);
  }
  segment->options_bytes = (uint8_t)(p - segment->options);
}

/* `una`: the first byte outstanding of some four megabytes in flight. */
static struct script *large_flight(uint32_t *una, uint32_t *end) {
  struct script *s =
      script_open(&(struct script_options){.stack = {.congestion_control = "newreno", .send_buffer_bytes = 16 << 20}});
  script_establish(s, "mss 1000,sackOK,wscale 14", 65535);
  script_in(s, ". 1 ack 1 win 65535");
  *una = *end = 1;
  for (int round = 0; round < 14; round++) {
    size_t room = mst_writable_bytes(s->conn);
    script_write(s, (uint32_t)room);
    do {
      if (s->last.data_bytes) *end = s->last.seq - s->iss + s->last.data_bytes;
    } while (script_next(s, 0));
    if (*end - *una > 4 << 20) break;
    for (; *una < *end; *una += MSS)
      script_in_with(s, ". 1 ack %u win 65535", *una + MSS < *end ? *una + MSS : *end, 0);
    *una = *end;
  }
  assert_true(*end - *una > 3 << 20);
  return s;
}

/* Inverted, empty, outside of what is outstanding: nothing is believed. */
static void senseless_sacks(void **state) {
  (void)state;
  struct script *s = sender("mss 1000,sackOK,wscale 8", 200000);
  static const int32_t senseless[][2] = {{5000, 3000},  {3000, 3000},   {10001, 11001},         {9001, 10002},
                                         {-5000, 3000}, {-9000, -5000}, {1 << 30, 1 << 30 | 9}, {2001, INT32_MIN}};
  for (size_t i = 0; i < sizeof senseless / sizeof *senseless; i++) {
    struct sim_segment segment;
    script_segment(s, ". 1 ack 1 win 65535", &segment, NULL, 0);
    put_sack(&segment, 1,
             (const uint32_t[][2]){{s->iss + (uint32_t)senseless[i][0], s->iss + (uint32_t)senseless[i][1]}});
    script_inject(s, &segment);
    script_inject(s, &segment);
    script_silence(s, 0);
    assert_int_equal(script_info(s).flight_bytes, 10 * MSS);
    assert_int_equal(script_info(s).snd_cwnd_bytes, 10 * MSS);
  }
  script_close(s);
}

/* Each ACK with four blocks, of any size and anywhere in the flight, or ragged: 40,000 of them are soon dealt with, and
 * memory is bounded by what is outstanding. (The test's time limit is what fails, were each ACK to cost the flight.) */
static void sack_noise(void **state) {
  (void)state;
  for (int kind = 0; kind < 3; kind++) {
    uint32_t una, end, chance = 5;
    struct script *s = large_flight(&una, &end);
    size_t before = s->node->memory.bytes;
    for (int i = 0; i < 40000; i++) {
      struct sim_segment segment;
      uint32_t blocks[4][2];
      script_segment(s, ". 1 ack 1 win 65535", &segment, NULL, 0);
      segment.ack = s->iss + una;
      for (int b = 0; b < 4; b++) {
        uint32_t left = una + noise(&chance) % (end - una - 3000), bytes = 1 + noise(&chance) % 2500;
        if (kind == 1) left = end - 2500 - noise(&chance) % 1000000; /* at the far end */
        if (kind == 2) bytes = 1 + noise(&chance) % 400;             /* never a whole segment */
        blocks[b][0] = s->iss + left;
        blocks[b][1] = s->iss + left + bytes;
      }
      put_sack(&segment, 4, (const uint32_t(*)[2])blocks);
      script_inject(s, &segment);
      script_drain(s);
    }
    assert_true(s->node->memory.bytes < before + (4 << 20));
    assert_int_equal(mst_conn_error(s->conn), 0);
    script_close(s);
  }
}

/* All is SACKed, then nothing was, over and over (RFC 2018 8 lets a receiver change its mind). */
static void reneging_without_end(void **state) {
  (void)state;
  uint32_t una, end;
  struct script *s = large_flight(&una, &end);
  for (int i = 0; i < 2000; i++) {
    struct sim_segment segment;
    script_segment(s, ". 1 ack 1 win 65535", &segment, NULL, 0);
    segment.ack = s->iss + una;
    put_sack(&segment, 1, (const uint32_t[][2]){{s->iss + una + MSS, s->iss + end}});
    script_inject(s, &segment);
    una += MSS; /* and then an ACK that stops where the block began */
    script_in_with(s, ". 1 ack %u win 65535", una, 0);
    while (script_next(s, 0))
      if (s->last.seq + s->last.data_bytes - s->iss > end) end = s->last.seq + s->last.data_bytes - s->iss;
  }
  assert_int_equal(mst_conn_error(s->conn), 0);
  script_close(s);
}

/* --- lies --- */

/* Echoes from the future, from the far past, and of nothing make no round trip of it. */
static void timestamp_lies(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000,TS 1000 0", 65535);
  uint32_t end = 1;
  for (int i = 0; i < 50; i++) {
    script_write(s, 500);
    assert_true(script_next(s, 0));
    uint32_t echo = s->ts_recent;
    end += 500;
    script_wait(s, 50);
    static const uint32_t lies[] = {1u << 31, 1u << 30, 1000000, 0x7fffffff, 500000000};
    char line[96];
    snprintf(line, sizeof line, ". 1 ack %u <TS %u %u>", end, 2000 + (unsigned)i, echo + lies[i % 5]);
    script_in(s, line);
    script_drain(s);
    assert_in_range(script_info(s).rtt_us, 0, 60000);
    assert_true(script_info(s).rto_us <= 1000000);
  }
  script_close(s);
}

/* Urgent pointers everywhere: the stream is what it is, and nothing is kept for them. */
static void urgent_games(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 65535);
  size_t before = s->node->memory.bytes;
  for (uint32_t i = 0; i < 2000; i++) {
    char line[64];
    snprintf(line, sizeof line, "U. 1 ack 1 urg %u", i * 33 % 65536);
    script_in(s, line);
    script_drain(s);
  }
  assert_true(s->node->memory.bytes - before < 4096);
  script_in(s, "UP. 1:501 ack 1 urg 65535");
  script_in(s, "U. 501:1001 ack 1 urg 0");
  script_in(s, "PU. 1001:1501 ack 1 urg 1");
  script_read(s, 1500);
  script_in(s, "FU. 1501 ack 1 urg 9");
  char byte;
  assert_int_equal(mst_read(s->conn, &byte, 1), 0);
  assert_false(mst_conn_urgent(s->conn));
  script_close(s);
}

/* --- windows --- */

/* Closed, open by a byte, closed: no tiny segments go out for it (RFC 9293 3.8.6.2.1). */
static void window_games(void **state) {
  (void)state;
  struct script *s = script_open(NULL);
  script_establish(s, "mss 1000", 10000);
  script_write(s, 30000);
  script_drain(s);
  script_in_with(s, ". 1 ack %u win 0", 10001, 0);
  size_t sent = 0;
  for (uint32_t i = 0; i < 5000; i++) {
    script_in_with(s, ". 1 ack %u win %u", 10001, i % 2 ? 0 : 1 + i % 400);
    sent += script_drain(s);
  }
  assert_true(sent <= 5);
  /* Shrunk and grown by all that it can be: what was sent stays sent, and is not sent anew each time. */
  script_in_with(s, ". 1 ack %u win 10000", 10001, 0);
  assert_true(script_drain(s) >= 1);
  uint64_t before = script_stats(s).tcp_out_segs;
  for (uint32_t i = 0; i < 1000; i++) script_in_with(s, ". 1 ack %u win %u", 10001, i % 2 ? 10000 : 500);
  script_drain(s);
  assert_true(script_stats(s).tcp_out_segs - before <= 2 * 1000);
  script_close(s);
}

/* sockstress: many connections whose peers take nothing and answer every probe. Once the program has closed them they
 * end, and until then they cost next to nothing. */
static void sockstress(void **state) {
  (void)state;
  enum { CONNS = 200 };
  struct script *s = script_open(NULL);
  uint32_t iss[CONNS];
  script_listen(s, CONNS);
  size_t before = s->node->memory.bytes;
  for (int i = 0; i < CONNS; i++) {
    s->peer_port = (uint16_t)(1000 + i);
    s->iss_known = false;
    s->written = 1;
    script_establish(s, "mss 1000", 0);
    iss[i] = s->iss;
    script_write(s, 2000);
    mst_close(s->conn);
    s->conn = NULL;
  }
  script_drain(s);
  assert_true((s->node->memory.bytes - before) / CONNS < 8192);
  uint64_t probes = 0;
  for (int minute = 0; minute < 120 && script_stats(s).conns; minute++) {
    script_wait(s, 60000);
    while (script_next(s, 0)) {
      if (s->last.flags & SIM_RST) continue;
      probes++;
      s->peer_port = s->last.destination_port;
      s->iss = iss[s->peer_port - 1000];
      script_in(s, ". 1 ack 1 win 0");
    }
  }
  assert_int_equal(script_stats(s).conns, 0);
  assert_int_equal(s->node->memory.bytes < before + 65536, true);
  assert_true(probes / CONNS <= 60);
  script_close(s);
}

/* --- what arrives out of order --- */

/* Single bytes with gaps between them, over all of a window: memory stays near what the window promised. */
static void tiny_segments(void **state) {
  (void)state;
  enum { BUFFER = 256 << 10 };
  struct script *s = script_open(&(struct script_options){.stack.receive_buffer_bytes = BUFFER});
  script_establish(s, "mss 1000,wscale 0", 65535);
  size_t before = s->node->memory.bytes;
  uint32_t chance = 3;
  for (uint32_t i = 0; i < 60000; i++) {
    uint32_t at = 3 + noise(&chance) % 65000;
    script_in_with(s, "P. %u:%u ack 1", at, at + 1);
    if (i % 100 == 0) script_drain(s);
  }
  script_drain(s);
  assert_true(s->node->memory.bytes - before <= 3 * BUFFER);
  for (uint32_t seq = 1; seq < 60001; seq += 1000) script_in_with(s, "P. %u:%u ack 1", seq, seq + 1000);
  script_read(s, 60000);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(syn_flood),
      cmocka_unit_test(cookie_guesses),
      cmocka_unit_test(connection_flood),
      cmocka_unit_test(blind_reset),
      cmocka_unit_test(blind_syn),
      cmocka_unit_test(blind_data),
      cmocka_unit_test(blind_ack),
      cmocka_unit_test(idle_scan),
      cmocka_unit_test(ack_storm),
      cmocka_unit_test(ack_storm_in_time_wait),
      cmocka_unit_test(ack_division),
      cmocka_unit_test(duplicate_ack_spoofing),
      cmocka_unit_test(optimistic_ack),
      cmocka_unit_test(ack_of_half_a_segment),
      cmocka_unit_test(senseless_sacks),
      cmocka_unit_test(sack_noise),
      cmocka_unit_test(reneging_without_end),
      cmocka_unit_test(timestamp_lies),
      cmocka_unit_test(urgent_games),
      cmocka_unit_test(window_games),
      cmocka_unit_test(sockstress),
      cmocka_unit_test(tiny_segments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
