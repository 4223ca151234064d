/* What the two SYNs settle (RFC 9293 3.7.1, RFC 7323 2.2 and 3.2, RFC 2018 2). One place reads it and one writes it,
 * whether a connection keeps it or something smaller does. */
#include "tcp/conn.h"

uint8_t mst__window_scale(uint32_t receive_buffer_bytes) {
  uint8_t scale = 0;
  while (scale < MST__WINDOW_SCALE_MAX && (65535u << scale) < receive_buffer_bytes) scale++;
  return scale;
}

void mst__terms_of_syn(struct mst__terms *terms, const struct mst__tcp *tcp, uint8_t rcv_wscale, bool sack) {
  const struct mst__tcp_options *o = &tcp->options;
  *terms = (struct mst__terms){
      .wscale_ok = o->has & MST__HAS_WSCALE,
      .ts_ok = o->has & MST__HAS_TIMESTAMPS,
      .sack_ok = sack && o->has & MST__HAS_SACK_PERMITTED,
  };
  if (o->has & MST__HAS_MSS) terms->peer_mss = o->mss < MST__MSS_MIN ? MST__MSS_MIN : o->mss;
  if (terms->wscale_ok) {
    terms->snd_wscale = o->wscale > MST__WINDOW_SCALE_MAX ? MST__WINDOW_SCALE_MAX : o->wscale;
    terms->rcv_wscale = rcv_wscale;
  }
  if (terms->ts_ok) terms->ts_recent = o->tsval;
}

void mst__terms_to_options(const struct mst__terms *terms, uint16_t mss, bool answer, struct mst__tcp_options *o) {
  o->has = MST__HAS_MSS;
  o->mss = mss;
  if (!answer || terms->wscale_ok) o->has |= MST__HAS_WSCALE;
  o->wscale = terms->rcv_wscale;
  if (!answer || terms->ts_ok) o->has |= MST__HAS_TIMESTAMPS;
  if (terms->sack_ok) o->has |= MST__HAS_SACK_PERMITTED; /* RFC 2018 2 */
}

void mst__conn_terms(const struct mst_conn *conn, struct mst__terms *terms) {
  *terms = (struct mst__terms){
      .ts_recent = conn->ts_recent,
      .peer_mss = (uint16_t)conn->peer_mss,
      .snd_wscale = conn->snd_wscale,
      .rcv_wscale = conn->rcv_wscale,
      .wscale_ok = conn->wscale_ok,
      .ts_ok = conn->ts_ok,
      .sack_ok = conn->sack_ok,
      .ecn = conn->ecn.syn,
  };
}

void mst__conn_set_terms(struct mst_conn *conn, const struct mst__terms *terms) {
  conn->peer_mss = terms->peer_mss;
  conn->snd_wscale = terms->snd_wscale;
  conn->rcv_wscale = terms->rcv_wscale;
  conn->wscale_ok = terms->wscale_ok;
  conn->ts_ok = terms->ts_ok;
  conn->sack_ok = terms->sack_ok;
  conn->ecn.syn = terms->ecn;
  conn->ts_recent = terms->ts_recent;
  conn->ts_recent_at_ns = conn->stack->now_ns;
  mst__conn_set_path_mtu(conn, conn->path_mtu);
}
