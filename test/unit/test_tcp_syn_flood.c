/* Half-open connections: the SYN cache and SYN cookies (RFC 4987 3.4 and 3.6). */
#include "sim/script.h"

#include <stdio.h>
#include <stdlib.h>

static struct script *open_with(enum mst_syn_cookies cookies, unsigned backlog) {
  struct script *s = script_open(&(struct script_options){.stack.syn_cookies = cookies});
  script_listen(s, backlog);
  return s;
}

/* A SYN from another port, and the SYN,ACK to it. */
static void syn(struct script *s, uint16_t port, const char *options) {
  char line[96];
  s->peer_port = port;
  s->iss_known = false;
  s->read = s->written = 1;
  snprintf(line, sizeof line, "S 0 win 1000 <%s>", options);
  script_in(s, line);
  if (!script_next(s, 0)) fail_msg("no SYN,ACK");
  assert_int_equal(s->last.flags, SIM_SYN | SIM_ACK);
  assert_int_equal(s->last.ack, s->peer_isn + 1);
}

/* --- the cache --- */

/* Until the handshake is done, a connection is a small record. */
static void record_is_small(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_NEVER, 1000);
  size_t before = s->node->memory.bytes;
  for (uint16_t port = 1; port <= 1000; port++) syn(s, port, "mss 1460,TS 5 0,wscale 7");
  assert_true((s->node->memory.bytes - before) / 1000 <= 208);
  assert_int_equal(script_stats(s).conns, 1000);
  script_close(s);
}

/* RFC 9293 3.8.3, MUST-23: SYN segments are sent for at least three minutes; the SYN,ACK is one. */
static void syn_ack_for_three_minutes(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ON_OVERFLOW, 0);
  syn(s, 1, "mss 1460");
  for (unsigned ms = 1000; ms <= 64000; ms *= 2) script_out_after(s, ms, "S. 0 ack 1 <mss 1460>");
  assert_int_equal(script_stats(s).conns, 1);
  assert_int_equal(script_stats(s).tcp_retrans_segs, 7);
  script_wait(s, 60000);
  assert_true(s->sim->now_ns - s->start_ns >= 180 * SIM_S);
  assert_int_equal(script_stats(s).conns, 1);
  script_silence(s, 120000);
  assert_int_equal(script_stats(s).conns, 0);
  assert_int_equal(script_stats(s).tcp_attempt_fails, 1);
  script_close(s);
}

/* A peer that repeats its SYN is answered twice a second at most, and does not stop the backing off. */
static void repeated_syns_are_limited(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ON_OVERFLOW, 0);
  syn(s, 1, "mss 1460");
  for (int i = 0; i < 100; i++) script_in(s, "S 0 win 1000 <mss 1460>");
  assert_int_equal(script_drain(s), 1);
  script_wait(s, 600);
  script_in(s, "S 0 win 1000 <mss 1460>");
  script_out(s, "S. 0 ack 1");
  script_out_after(s, 400, "S. 0 ack 1");
  script_in(s, ". 1 ack 1 win 1000");
  script_accept(s);
  script_close(s);
}

/* Who has been answered by a record keeps what was agreed; a timestamp that is older than its SYN's is not it. */
static void what_was_agreed(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ON_OVERFLOW, 0);
  syn(s, 1, "mss 1000,TS 500 0,wscale 3");
  script_in(s, ". 1 ack 1 win 1000 <TS 499 0>");
  script_out(s, ". 1 ack 1 <TS * 500>");
  script_in(s, ". 1 ack 1 win 1000 <-TS>");
  script_silence(s, 0);
  assert_int_equal(script_drops(s, MST_DROP_TCP_PAWS), 2);
  s->timestamps = true;
  script_in(s, ". 1 ack 1 win 1000 <TS 501 1>");
  script_accept(s);
  assert_int_equal(script_info(s).snd_wnd, 8000);
  script_write(s, 2000);
  script_out(s, ". 1:989 ack 1 <TS * 501>");
  script_close(s);
}

/* As Linux: the ACK that finds the queue for accept full is dropped, the peer's next one or the answer to our SYN,ACK
 * does it. */
static void accept_queue_full(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ON_OVERFLOW, 2);
  uint32_t iss[3];
  for (uint16_t port = 1; port <= 2; port++) {
    syn(s, port, "mss 1460");
    iss[port] = s->iss;
  }
  s->peer_port = 1;
  s->iss = iss[1];
  script_in(s, ". 1 ack 1 win 1000");
  syn(s, 3, "mss 1460");
  script_in(s, ". 1 ack 1 win 1000");
  s->peer_port = 2;
  s->iss = iss[2];
  script_in(s, ". 1 ack 1 win 1000");
  script_silence(s, 0);
  assert_int_equal(script_stats(s).tcp_listen_overflows, 1);
  assert_int_equal(script_stats(s).tcp_listen_drops, 1);
  assert_int_equal(script_drops(s, MST_DROP_TCP_BACKLOG), 1);
  script_accept(s);
  script_out_after(s, 1000, "S. 0 ack 1");
  script_in(s, "P. 1:11 ack 1 win 1000");
  script_accept(s);
  script_accept(s);
  struct mst_endpoint remote;
  mst_conn_remote(s->conn, &remote);
  assert_int_equal(remote.port, 2);
  script_read(s, 10);
  script_close(s);
}

/* The connection is made when the handshake is done. Without memory then, its peer's next segment does it. */
static void no_memory_at_the_ack(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ON_OVERFLOW, 0);
  syn(s, 1, "mss 1460");
  s->node->memory.fail_at = s->node->memory.calls + 1;
  script_in(s, ". 1 ack 1 win 1000");
  script_silence(s, 0);
  assert_int_equal(script_drops(s, MST_DROP_NO_MEMORY), 1);
  assert_int_equal(script_stats(s).conns, 1);
  script_in(s, "P. 1:11 ack 1 win 1000");
  script_accept(s);
  script_read(s, 10);
  script_close(s);
}

/* The ring was full: the SYN,ACK goes as soon as there is room, not after a timeout. */
static void ring_full(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ON_OVERFLOW, 0);
  s->node->refuse = 1000000;
  script_in(s, "S 0 win 1000 <mss 1460>");
  script_silence(s, 5);
  s->node->refuse = 0;
  script_out_after(s, 0.1, "S. 0 ack 1 <mss 1460>");
  script_out_after(s, 1000, "S. 0 ack 1");
  script_close(s);
}

/* A router's word about our SYN,ACK counts, and no other router's. */
static void path_mtu_of_half_open(void **state) {
  (void)state;
  struct script *s = script_open(&(struct script_options){.route_mtu = 9000});
  script_listen(s, 0);
  syn(s, 1, "mss 8000");
  script_icmp(s, 3, 4, 1400, 5);
  assert_int_equal(script_stats(s).tcp_pmtu_reductions, 0);
  script_icmp(s, 3, 4, 1400, 0);
  assert_int_equal(script_stats(s).tcp_pmtu_reductions, 1);
  script_icmp(s, 3, 1, 0, 0);
  script_in(s, ". 1 ack 1 win 65535");
  script_accept(s);
  script_write(s, 3000);
  script_out(s, ". 1:1361 ack 1");
  script_close(s);
}

/* --- cookies --- */

static void cookie_on_overflow(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ON_OVERFLOW, 2);
  syn(s, 1, "mss 1460");
  syn(s, 2, "mss 1460");
  size_t before = s->node->memory.bytes;
  syn(s, 3, "mss 1400,wscale 7");
  assert_int_equal(s->node->memory.bytes, before);
  assert_int_equal(script_stats(s).conns, 2);
  assert_int_equal(script_stats(s).tcp_syncookies_sent, 1);
  assert_int_equal(script_stats(s).tcp_req_q_full_do_cookies, 1);
  assert_int_equal(script_stats(s).drops[MST_DROP_TCP_BACKLOG], 0);
  script_in(s, ". 1 ack 1 win 1000");
  script_silence(s, 0);
  assert_int_equal(script_stats(s).tcp_syncookies_recv, 1);
  script_accept(s);
  assert_int_equal(script_state(s), MST_ESTABLISHED);
  assert_int_equal(script_info(s).snd_wnd, 1000); /* without timestamps no scale was agreed on */
  script_in(s, "P. 1:101 ack 1 win 60000");
  script_read(s, 100);
  script_drain(s);
  script_write(s, 3000);
  script_out(s, ". 1:1361 ack 101"); /* 1,360 stands for 1,400 */
  script_close(s);
}

static void no_scale_without_timestamps(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ALWAYS, 0);
  script_in(s, "S 0 win 1000 <mss 1460,wscale 7>");
  script_out(s, "S. 0 ack 1 win 65535 <mss 1460,-wscale,-TS>");
  assert_int_equal(script_stats(s).conns, 0);
  script_close(s);
}

/* The timestamp carries the window scale, whatever the time. */
static void timestamps_carry_the_rest(void **state) {
  (void)state;
  for (unsigned scale = 0; scale <= 14; scale++) {
    char line[64];
    struct script *s = open_with(MST_SYN_COOKIES_ALWAYS, 0);
    script_wait(s, 13.0 * scale);
    snprintf(line, sizeof line, "S 0 win 1000 <mss 1460,TS 77 0,wscale %u>", scale);
    script_in(s, line);
    script_out(s, "S. 0 ack 1 <mss 1460,TS * 77,wscale 7>");
    snprintf(line, sizeof line, ". 1 ack 1 win 3 <TS 78 %u>", s->ts_recent);
    script_wait(s, 20);
    uint32_t cookie_stamp = s->ts_recent;
    script_in(s, line);
    script_accept(s);
    assert_int_equal(script_info(s).snd_wnd, 3u << scale);
    s->timestamps = true;
    script_in(s, "P. 1:11 ack 1 <TS 79 0>");
    script_out(s, ". 1 ack 11 <TS * 79>");
    assert_in_range(s->ts_recent - cookie_stamp, 20, 20 + 64); /* our clock goes on from there */
    script_close(s);
  }
}

/* And what else was offered: SACK, ECN of RFC 3168. */
static void timestamps_carry_sack_and_ecn(void **state) {
  (void)state;
  for (int sack = 0; sack < 2; sack++)
    for (int ecn = 0; ecn < 2; ecn++) {
      char line[96];
      struct script *s = open_with(MST_SYN_COOKIES_ALWAYS, 0);
      snprintf(line, sizeof line, "S%s 0 win 1000 <mss 1460,TS 77 0%s>", ecn ? "EW" : "", sack ? ",sackOK" : "");
      script_in(s, line);
      snprintf(line, sizeof line, "S%s. 0 ack 1 <TS * 77,%ssackOK>", ecn ? "E" : "", sack ? "" : "-");
      script_out(s, line);
      snprintf(line, sizeof line, ". 1 ack 1 win 1000 <TS 78 %u>", s->ts_recent);
      script_in(s, line);
      script_accept(s);
      struct mst_tcp_info info = script_info(s);
      assert_int_equal(info.ecn_mode, ecn);
      assert_int_equal(!!(info.options & MST_TCPI_OPT_SACK), sack);
      script_close(s);
    }
}

/* Without timestamps there is no place for either, and neither is promised. */
static void no_sack_nor_ecn_without_timestamps(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ALWAYS, 0);
  script_in(s, "SEW 0 win 1000 <mss 1460,sackOK>");
  script_out(s, "S. 0 ack 1 <mss 1460,-sackOK,-TS>");
  script_in(s, ". 1 ack 1 win 1000");
  script_accept(s);
  assert_int_equal(script_info(s).ecn_mode, 0);
  assert_int_equal(script_info(s).options & MST_TCPI_OPT_SACK, 0);
  script_close(s);
}

static void no_scale_offered(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ALWAYS, 0);
  script_in(s, "S 0 win 1000 <mss 1460,TS 77 0>");
  script_out(s, "S. 0 ack 1 <TS * 77,-wscale>");
  char line[64];
  snprintf(line, sizeof line, ". 1 ack 1 win 1000 <TS 78 %u>", s->ts_recent);
  script_in(s, line);
  script_accept(s);
  assert_int_equal(script_info(s).snd_wnd, 1000);
  script_close(s);
}

/* The segments that follow are never larger than the peer said, and not much smaller when it said something usual. */
static void mss_of_cookie(void **state) {
  (void)state;
  static const uint16_t said[] = {64, 500, 536, 1000, 1220, 1300, 1360, 1400, 1440, 1452, 1460, 1461, 8000, 8960, 9000};
  for (int ip6 = 0; ip6 < 2; ip6++)
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
      struct script *s = script_open(
          &(struct script_options){.ip6 = ip6, .route_mtu = 9000, .stack.syn_cookies = MST_SYN_COOKIES_ALWAYS});
      script_listen(s, 0);
      char line[64];
      snprintf(line, sizeof line, "mss %u", said[i]);
      syn(s, 1, line);
      script_in(s, ". 1 ack 1 win 65535");
      script_accept(s);
      assert_true(script_info(s).snd_mss <= said[i]);
      if (said[i] >= 1220 && said[i] <= 1500) assert_true(script_info(s).snd_mss >= said[i] - 110u);
      script_close(s);
    }
}

static void mss_not_said(void **state) {
  (void)state;
  for (int ip6 = 0; ip6 < 2; ip6++) {
    struct script *s = script_open(&(struct script_options){.ip6 = ip6, .stack.syn_cookies = MST_SYN_COOKIES_ALWAYS});
    script_listen(s, 0);
    script_in(s, "S 0 win 65535");
    script_out(s, "S. 0 ack 1");
    script_in(s, ". 1 ack 1 win 65535");
    script_accept(s);
    assert_int_equal(script_info(s).snd_mss, ip6 ? 1220 : 536);
    script_close(s);
  }
}

/* The bare ACK was lost: the first data does it; so does a FIN. */
static void cookie_with_data_and_fin(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ALWAYS, 0);
  syn(s, 1, "mss 1460");
  script_in(s, "FP. 1:101 ack 1 win 1000");
  script_out(s, ". 1 ack 102");
  script_accept(s);
  assert_int_equal(script_state(s), MST_CLOSE_WAIT);
  script_read(s, 100);
  script_close(s);
}

/* A cookie belongs to its tuple, its SYN and its time, and each bit of it counts. */
static void what_is_no_cookie(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ALWAYS, 0);
  syn(s, 1, "mss 1460");
  uint32_t iss = s->iss;
  for (int bit = 0; bit < 32; bit++) {
    s->iss = iss ^ 1u << bit;
    script_in(s, ". 1 ack 1 win 1000");
    if (bit >= 17) script_out(s, "R 1");
    script_drain(s); /* a little more may be a later segment's */
  }
  s->iss = iss;
  script_in(s, ". 2 ack 1 win 1000");
  script_silence(s, 0);
  s->peer_port = 2;
  script_in(s, ". 1 ack 1 win 1000");
  script_out(s, "R 1");
  assert_int_equal(script_stats(s).tcp_syncookies_failed, 34);
  assert_int_equal(script_stats(s).conns, 0);
  s->peer_port = 1;
  script_in(s, "S. 1 ack 1 win 1000");
  script_out(s, "R 1");
  script_in(s, "R. 1 ack 1 win 1000");
  script_silence(s, 0);
  script_in(s, ". 1 ack 1 win 1000");
  script_accept(s);
  script_close(s);
}

/* Whatever its number: no later segment passes for the first, nor what is left of a connection that is over. */
static void later_is_never_first(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ALWAYS, 0);
  syn(s, 1, "mss 1000");
  for (unsigned at = 2; at <= 65535; at++) {
    char line[64];
    snprintf(line, sizeof line, ". %u ack %u win 1000", at, at % 4 ? 1 : at);
    script_in(s, line);
    script_drain(s);
    assert_int_equal(script_stats(s).conns, 0);
  }
  script_close(s);
}

/* The first segment of somebody who has a cookie was lost: the later ones are not answered by a reset, they come again.
 */
static void first_segment_was_lost(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ALWAYS, 0);
  syn(s, 1, "mss 1000");
  script_in(s, ". 1001:2001 ack 1 win 1000");
  script_in(s, "FP. 2001:2501 ack 1 win 1000");
  script_silence(s, 0);
  assert_int_equal(script_drops(s, MST_DROP_TCP_NO_CONN), 2);
  script_in(s, ". 1:1001 ack 1 win 1000");
  script_out(s, ". 1 ack 1001");
  script_accept(s);
  script_in(s, ". 1001:2001 ack 1 win 1000");
  script_in(s, "FP. 2001:2501 ack 1 win 1000");
  script_read(s, 2500);
  script_close(s);
}

/* Good for one minute at least and two at most. */
static void cookie_grows_old(void **state) {
  (void)state;
  for (int old = 0; old < 2; old++) {
    struct script *s = open_with(MST_SYN_COOKIES_ALWAYS, 0);
    syn(s, 1, "mss 1460");
    uint32_t iss = s->iss;
    script_wait(s, 60000);
    syn(s, 2, "mss 1460"); /* cookies are still in use */
    if (old) script_wait(s, 70000);
    s->peer_port = 1;
    s->iss = iss;
    script_in(s, ". 1 ack 1 win 1000");
    if (old) script_out(s, "R 1");
    script_silence(s, 0);
    assert_int_equal(script_stats(s).conns, !old);
    script_close(s);
  }
}

/* While none has been sent for a while, none is believed: who guesses has no target. */
static void no_cookie_was_sent(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ALWAYS, 0);
  for (uint32_t i = 0; i < 1000; i++) {
    s->iss = i * 2654435761u;
    script_in(s, ". 1 ack 1 win 1000");
    script_out(s, "R 1");
  }
  assert_int_equal(script_stats(s).tcp_syncookies_failed, 0);
  script_close(s);
}

/* The cookies that one peer sees tell nothing of another's. */
static void cookies_look_random(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ALWAYS, 0);
  unsigned ones[32] = {0};
  uint32_t last = 0;
  for (uint16_t port = 1; port <= 4000; port++) {
    syn(s, port, "mss 1460");
    for (int bit = 0; bit < 32; bit++) ones[bit] += s->iss >> bit & 1;
    assert_int_not_equal(s->iss, last);
    last = s->iss;
  }
  for (int bit = 0; bit < 32; bit++) assert_in_range(ones[bit], 1800, 2200);
  script_close(s);
}

/* The oldest gives way to newcomers when it has been silent for some seconds; until then they get cookies. */
static void oldest_gives_way(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ON_OVERFLOW, 1);
  syn(s, 1, "mss 1460");
  script_wait(s, 6900);
  script_drain(s);
  syn(s, 2, "mss 1460");
  assert_int_equal(script_stats(s).tcp_syncookies_sent, 1);
  script_wait(s, 200);
  script_drain(s);
  syn(s, 3, "mss 1460");
  assert_int_equal(script_stats(s).tcp_syncookies_sent, 1);
  assert_int_equal(script_stats(s).tcp_attempt_fails, 1);
  assert_int_equal(script_stats(s).conns, 1);
  script_close(s);
}

static void never(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_NEVER, 2);
  syn(s, 1, "mss 1460");
  syn(s, 2, "mss 1460");
  s->peer_port = 3;
  script_in(s, "S 0 win 1000");
  script_silence(s, 0);
  assert_int_equal(script_stats(s).tcp_syncookies_sent, 0);
  assert_int_equal(script_stats(s).tcp_req_q_full_drop, 1);
  assert_int_equal(script_stats(s).tcp_listen_drops, 1);
  script_close(s);
}

/* No memory for a record is no reason to refuse. */
static void cookie_for_lack_of_memory(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ON_OVERFLOW, 0);
  s->node->memory.fail_at = s->node->memory.calls + 1;
  syn(s, 1, "mss 1460");
  assert_int_equal(script_stats(s).tcp_syncookies_sent, 1);
  script_in(s, ". 1 ack 1 win 1000");
  script_accept(s);
  script_close(s);
}

/* A cookie's ACK finds no place: it is dropped, not reset, and the next may find one. */
static void cookie_accept_queue_full(void **state) {
  (void)state;
  struct script *s = open_with(MST_SYN_COOKIES_ALWAYS, 1);
  syn(s, 1, "mss 1460");
  uint32_t iss = s->iss;
  syn(s, 2, "mss 1460");
  script_in(s, ". 1 ack 1 win 1000");
  s->peer_port = 1;
  s->iss = iss;
  script_in(s, ". 1 ack 1 win 1000");
  script_silence(s, 0);
  assert_int_equal(script_stats(s).tcp_listen_overflows, 1);
  script_accept(s);
  script_in(s, "P. 1:11 ack 1 win 1000");
  script_accept(s);
  script_read(s, 10);
  script_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(record_is_small),
      cmocka_unit_test(syn_ack_for_three_minutes),
      cmocka_unit_test(repeated_syns_are_limited),
      cmocka_unit_test(what_was_agreed),
      cmocka_unit_test(accept_queue_full),
      cmocka_unit_test(no_memory_at_the_ack),
      cmocka_unit_test(ring_full),
      cmocka_unit_test(path_mtu_of_half_open),
      cmocka_unit_test(cookie_on_overflow),
      cmocka_unit_test(no_scale_without_timestamps),
      cmocka_unit_test(timestamps_carry_the_rest),
      cmocka_unit_test(timestamps_carry_sack_and_ecn),
      cmocka_unit_test(no_sack_nor_ecn_without_timestamps),
      cmocka_unit_test(no_scale_offered),
      cmocka_unit_test(mss_of_cookie),
      cmocka_unit_test(mss_not_said),
      cmocka_unit_test(cookie_with_data_and_fin),
      cmocka_unit_test(what_is_no_cookie),
      cmocka_unit_test(first_segment_was_lost),
      cmocka_unit_test(later_is_never_first),
      cmocka_unit_test(cookie_grows_old),
      cmocka_unit_test(no_cookie_was_sent),
      cmocka_unit_test(cookies_look_random),
      cmocka_unit_test(oldest_gives_way),
      cmocka_unit_test(never),
      cmocka_unit_test(cookie_for_lack_of_memory),
      cmocka_unit_test(cookie_accept_queue_full),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
