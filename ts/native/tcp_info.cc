#include "tcp_info.h"

#include <cstdint>

namespace multistack {
namespace {

Napi::Object Endpoint(Napi::Env env, const mst_endpoint &endpoint) {
  char text[MST_ADDR_TEXT_BYTES];
  Napi::Object result = Napi::Object::New(env);
  result.Set("address", mst_addr_format(&endpoint.addr, text));
  result.Set("port", Napi::Number::New(env, endpoint.port));
  return result;
}

Napi::Array Options(Napi::Env env, unsigned options) {
  const struct {
    unsigned bit;
    const char *name;
  } names[] = {
      {MST_TCPI_OPT_TIMESTAMPS, "timestamps"}, {MST_TCPI_OPT_SACK, "sack"},
      {MST_TCPI_OPT_WSCALE, "wscale"},         {MST_TCPI_OPT_ECN, "ecn"},
      {MST_TCPI_OPT_ECN_SEEN, "ecnseen"},
  };
  Napi::Array result = Napi::Array::New(env);
  for (const auto &option : names) {
    if ((options & option.bit) != 0) result.Set(result.Length(), option.name);
  }
  return result;
}

struct Count {
  const char *name;
  uint64_t value;
};

/** Counts and times that are always known. */
void SetNumbers(Napi::Object &out, const mst_tcp_info &info) {
  const Count counts[] = {
      {"retransmits", info.retransmits},
      {"probes", info.probes},
      {"backoff", info.backoff},
      {"sndWscale", info.snd_wscale},
      {"rcvWscale", info.rcv_wscale},
      {"rtoUs", info.rto_us},
      {"atoUs", info.ato_us},
      {"rttUs", info.rtt_us},
      {"rttvarUs", info.rttvar_us},
      {"minRttUs", info.min_rtt_us},
      {"sndMss", info.snd_mss},
      {"rcvMss", info.rcv_mss},
      {"advmss", info.advmss},
      {"pmtu", info.pmtu},
      {"sndCwndBytes", info.snd_cwnd_bytes},
      {"sndWnd", info.snd_wnd},
      {"rcvWnd", info.rcv_wnd},
      {"unackedBytes", info.unacked_bytes},
      {"notsentBytes", info.notsent_bytes},
      {"unreadBytes", info.unread_bytes},
      {"flightBytes", info.flight_bytes},
      {"sackedBytes", info.sacked_bytes},
      {"lostBytes", info.lost_bytes},
      {"retransBytes", info.retrans_bytes},
      {"deliveredBytes", info.delivered_bytes},
      {"deliveredCe", info.delivered_ce},
      {"receivedCe", info.received_ce},
      {"dsackDups", info.dsack_dups},
      {"reordSeen", info.reord_seen},
      {"rcvOoopack", info.rcv_ooopack},
      {"rcvRttUs", info.rcv_rtt_us},
      {"rcvSpaceBytes", info.rcv_space_bytes},
      {"deliveryRate", info.delivery_rate},
      {"bytesSent", info.bytes_sent},
      {"bytesRetrans", info.bytes_retrans},
      {"bytesAcked", info.bytes_acked},
      {"bytesReceived", info.bytes_received},
      {"segsOut", info.segs_out},
      {"segsIn", info.segs_in},
      {"dataSegsOut", info.data_segs_out},
      {"dataSegsIn", info.data_segs_in},
      {"totalRetrans", info.total_retrans},
      {"busyTimeUs", info.busy_time_us},
      {"rwndLimitedUs", info.rwnd_limited_us},
      {"sndbufLimitedUs", info.sndbuf_limited_us},
      {"totalRto", info.total_rto},
      {"totalRtoRecoveries", info.total_rto_recoveries},
      {"totalRtoTimeMs", info.total_rto_time_ms},
  };
  for (const Count &count : counts) {
    out.Set(count.name, Napi::Number::New(out.Env(), static_cast<double>(count.value)));
  }
}

/** Those that have a value for "not known". */
void SetKnown(Napi::Object &out, const mst_tcp_info &info) {
  const struct {
    Count count;
    uint64_t unknown;
  } counts[] = {
      {{"sndSsthreshBytes", info.snd_ssthresh_bytes}, UINT32_MAX},
      {{"lastDataSentMs", info.last_data_sent_ms}, UINT32_MAX},
      {{"lastDataRecvMs", info.last_data_recv_ms}, UINT32_MAX},
      {{"lastAckRecvMs", info.last_ack_recv_ms}, UINT32_MAX},
      {{"pacingRate", info.pacing_rate}, UINT64_MAX},
      {{"maxPacingRate", info.max_pacing_rate}, UINT64_MAX},
  };
  for (const auto &[count, unknown] : counts) {
    if (count.value == unknown) continue;
    out.Set(count.name, Napi::Number::New(out.Env(), static_cast<double>(count.value)));
  }
}

} // namespace

Napi::Object DescribeTcp(Napi::Env env, const mst_tcp_info &info) {
  const char *const ecn_modes[] = {"none", "classic", "accurate"};
  Napi::Object result = Napi::Object::New(env);
  result.Set("state", mst_tcp_state_name(info.state));
  result.Set("local", Endpoint(env, info.local));
  if (info.state == MST_LISTEN) return result;
  result.Set("remote", Endpoint(env, info.remote));
  if (info.congestion_control == nullptr) return result;
  result.Set("caState", mst_tcp_ca_state_name(info.ca_state));
  result.Set("congestionControl", info.congestion_control);
  result.Set("options", Options(env, info.options));
  result.Set("ecnMode", ecn_modes[info.ecn_mode <= 2 ? info.ecn_mode : 0]);
  result.Set("deliveryRateAppLimited", Napi::Boolean::New(env, info.delivery_rate_app_limited));
  SetNumbers(result, info);
  SetKnown(result, info);
  return result;
}

} // namespace multistack
