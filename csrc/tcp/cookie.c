/* SYN cookies (RFC 4987 3.6): the handshake's state travels in our initial sequence number, and in the low bits of our
 * timestamp, and comes back with the peer's ACK.
 *
 *   ISS - F(tuple)   | period 2 | MSS 3 | check 27: G(tuple, period, MSS) - IRS |
 *   TSval - offset   | milliseconds 26 | ECN 1 | SACK permitted 1 | window scale 4 |
 *
 * A cookie is good for one to two minutes, and only while the listener sends them. A blind guess hits with a chance of
 * 2^-28. As IRS is subtracted, not hashed, a later segment of somebody who has a cookie, whose first one was lost,
 * shows how far ahead it is: by a hash alone one of many would pass for the first, and what came before it be missing.
 * Were it added, a connection that had sent as much as it received would look like its own beginning. */
#include "tcp/half_open.h"

#define PERIOD_NS (64 * MST__SECOND)
#define PERIODS 2 /* in which a cookie is good, the one it is made in counted */
#define CHECK_BITS 27
#define AHEAD_MAX 65535 /* the most that a SYN,ACK can offer */
#define MSS_BITS 3
#define TS_BITS 6
#define TS_SACK 16
#define TS_ECN 32       /* as of RFC 3168; the accurate one shows in the ACK */
#define TS_NO_WSCALE 15 /* one more than there can be */

/* RFC 9293 3.7.1 forbids more than the peer takes, so the next lower value stands for what it said. */
static const uint16_t mss_values[2][1 << MSS_BITS] = {
    {MST__MSS_MIN, MST__MSS_DEFAULT_IP4, 1220, 1360, 1440, 1460, 8960, 65495},
    {MST__MSS_MIN, 512, MST__MSS_DEFAULT_IP6, 1340, 1400, 1440, 8940, 65475},
};

static const uint16_t *mss_table(const struct mst__half_open *h) {
  return mss_values[mst_addr_is_ip4(&h->flow.remote_addr) ? 0 : 1];
}

static uint32_t mss_index(const struct mst__half_open *h) {
  uint32_t mss = h->terms.peer_mss, i = (1 << MSS_BITS) - 1;
  if (!mss) mss = mst_addr_is_ip4(&h->flow.remote_addr) ? MST__MSS_DEFAULT_IP4 : MST__MSS_DEFAULT_IP6;
  while (i && mss_table(h)[i] > mss) i--;
  return i;
}

static uint32_t period(const mst_stack *stack) {
  return (uint32_t)(stack->now_ns / PERIOD_NS);
}

static uint32_t bits_of(uint64_t hash, unsigned bits) {
  return (uint32_t)hash & ((1u << bits) - 1);
}

static uint32_t mask(const struct mst__half_open *h) {
  return (uint32_t)mst__flow_secret(h->listener->stack, &h->flow, MST__SECRET_COOKIE_MASK, 0);
}

static uint32_t cookie(const struct mst__half_open *h, uint32_t made_in, uint32_t mss) {
  mst_stack *stack = h->listener->stack;
  uint32_t fields = made_in << MSS_BITS | mss;
  uint64_t hash = mst__flow_secret(stack, &h->flow, MST__SECRET_COOKIE_CHECK, fields);
  return fields << CHECK_BITS | bits_of(hash - h->irs, CHECK_BITS);
}

/* Our clock, with its last bits replaced and never ahead of it (RFC 7323 5.4 wants it to grow). */
static uint32_t stamp(const struct mst__half_open *h) {
  mst_stack *stack = h->listener->stack;
  uint32_t now = mst__ts_now(stack, 0), bits = h->terms.wscale_ok ? h->terms.snd_wscale : TS_NO_WSCALE;
  if (h->terms.sack_ok) bits |= TS_SACK;
  if (h->terms.ecn.mode == MST__ECN_CLASSIC) bits |= TS_ECN;
  uint32_t value = (now & ~((1u << TS_BITS) - 1)) | bits;
  if (value > now) value -= 1u << TS_BITS;
  return value + mst__ts_offset(stack, &h->flow);
}

void mst__cookie_send(struct mst__half_open *h) {
  mst_stack *stack = h->listener->stack;
  h->iss = cookie(h, period(stack), mss_index(h)) + mask(h);
  /* Without timestamps there is no place for the rest: it is not agreed on. */
  if (!h->terms.ts_ok) h->terms = (struct mst__terms){.peer_mss = h->terms.peer_mss, .ecn = h->terms.ecn};
  h->terms.ecn = mst__ecn_syn_cookie(h->terms.ecn, h->terms.ts_ok);
  if (mst__syn_ack_send(h, stamp(h))) return;
  h->listener->cookie_sent_ns = stack->now_ns;
  stack->stats.tcp_syncookies_sent++;
}

static enum mst__cookie judge(struct mst__half_open *h) {
  uint32_t made_in = period(h->listener->stack), value = h->iss - mask(h);
  uint32_t mss = value >> CHECK_BITS & ((1u << MSS_BITS) - 1);
  for (int i = 0; i < PERIODS; i++, made_in--) {
    uint32_t right = cookie(h, made_in, mss), ahead = bits_of(value - right, CHECK_BITS);
    if ((right ^ value) >> CHECK_BITS || ahead > AHEAD_MAX) continue;
    h->terms.peer_mss = mss_table(h)[mss];
    return ahead ? MST__COOKIE_LATER : MST__COOKIE_GOOD;
  }
  return MST__COOKIE_NONE;
}

static void read_stamp(struct mst__half_open *h, const struct mst__tcp *tcp) {
  mst_stack *stack = h->listener->stack;
  const struct mst__tcp_options *o = &tcp->options;
  h->terms.ecn = mst__ecn_syn_of_cookie(stack->tcp.ecn, tcp, false);
  if (!(o->has & MST__HAS_TIMESTAMPS)) return;
  uint32_t bits = o->tsecr - mst__ts_offset(stack, &h->flow), wscale = bits & 15;
  h->terms.ecn = mst__ecn_syn_of_cookie(stack->tcp.ecn, tcp, bits & TS_ECN);
  h->terms.ts_ok = true;
  h->terms.ts_recent = o->tsval;
  h->terms.sack_ok = bits & TS_SACK && !stack->tcp.no_sack;
  h->terms.wscale_ok = wscale != TS_NO_WSCALE;
  if (!h->terms.wscale_ok) return;
  h->terms.snd_wscale = (uint8_t)wscale;
  h->terms.rcv_wscale = mst__window_scale(stack->tcp.receive_buffer_bytes);
}

enum mst__cookie mst__cookie_check(struct mst__half_open *h, const struct mst__tcp *tcp) {
  mst_stack *stack = h->listener->stack;
  uint64_t sent_ns = h->listener->cookie_sent_ns;
  if (!sent_ns || stack->now_ns - sent_ns > PERIODS * PERIOD_NS) return MST__COOKIE_NONE;
  h->irs = tcp->seq - 1;
  h->iss = tcp->ack - 1;
  h->terms = (struct mst__terms){0};
  enum mst__cookie judgement = judge(h);
  if (judgement != MST__COOKIE_GOOD) {
    stack->stats.tcp_syncookies_failed++;
    return judgement;
  }
  stack->stats.tcp_syncookies_recv++;
  read_stamp(h, tcp);
  return judgement;
}
