/* What is known of a stack's sockets, as JSON. */
#include "host_internal.h"
#include "json.h"
#include <inttypes.h>

static void put_options(struct mst__json *json, unsigned options) {
  static const char *const names[] = {"timestamps", "sack", "wscale", "ecn", "ecnseen"}; /* by bit */
  const char *comma = "";
  mst__json_put(json, ",\"options\":[");
  for (unsigned bit = 0; bit < sizeof names / sizeof names[0]; bit++) {
    if (!(options & 1u << bit)) continue;
    mst__json_put(json, "%s\"%s\"", comma, names[bit]);
    comma = ",";
  }
  mst__json_put(json, "]");
}

/* X(name, field): counts and times that are always known. */
#define NUMBERS(X)                                                                                                     \
  X(retransmits, retransmits)                                                                                          \
  X(probes, probes)                                                                                                    \
  X(backoff, backoff)                                                                                                  \
  X(sndWscale, snd_wscale)                                                                                             \
  X(rcvWscale, rcv_wscale)                                                                                             \
  X(rtoUs, rto_us)                                                                                                     \
  X(atoUs, ato_us)                                                                                                     \
  X(rttUs, rtt_us)                                                                                                     \
  X(rttvarUs, rttvar_us)                                                                                               \
  X(minRttUs, min_rtt_us)                                                                                              \
  X(sndMss, snd_mss)                                                                                                   \
  X(rcvMss, rcv_mss)                                                                                                   \
  X(advmss, advmss)                                                                                                    \
  X(pmtu, pmtu)                                                                                                        \
  X(sndCwndBytes, snd_cwnd_bytes)                                                                                      \
  X(sndWnd, snd_wnd)                                                                                                   \
  X(rcvWnd, rcv_wnd)                                                                                                   \
  X(unackedBytes, unacked_bytes)                                                                                       \
  X(notsentBytes, notsent_bytes)                                                                                       \
  X(unreadBytes, unread_bytes)                                                                                         \
  X(flightBytes, flight_bytes)                                                                                         \
  X(sackedBytes, sacked_bytes)                                                                                         \
  X(lostBytes, lost_bytes)                                                                                             \
  X(retransBytes, retrans_bytes)                                                                                       \
  X(deliveredBytes, delivered_bytes)                                                                                   \
  X(deliveredCe, delivered_ce)                                                                                         \
  X(receivedCe, received_ce)                                                                                           \
  X(dsackDups, dsack_dups)                                                                                             \
  X(reordSeen, reord_seen)                                                                                             \
  X(rcvOoopack, rcv_ooopack)                                                                                           \
  X(rcvRttUs, rcv_rtt_us)                                                                                              \
  X(rcvSpaceBytes, rcv_space_bytes)                                                                                    \
  X(deliveryRate, delivery_rate)                                                                                       \
  X(bytesSent, bytes_sent)                                                                                             \
  X(bytesRetrans, bytes_retrans)                                                                                       \
  X(bytesAcked, bytes_acked)                                                                                           \
  X(bytesReceived, bytes_received)                                                                                     \
  X(segsOut, segs_out)                                                                                                 \
  X(segsIn, segs_in)                                                                                                   \
  X(dataSegsOut, data_segs_out)                                                                                        \
  X(dataSegsIn, data_segs_in)                                                                                          \
  X(totalRetrans, total_retrans)                                                                                       \
  X(busyTimeUs, busy_time_us)                                                                                          \
  X(rwndLimitedUs, rwnd_limited_us)                                                                                    \
  X(sndbufLimitedUs, sndbuf_limited_us)                                                                                \
  X(totalRto, total_rto)                                                                                               \
  X(totalRtoRecoveries, total_rto_recoveries)                                                                          \
  X(totalRtoTimeMs, total_rto_time_ms)

/* X(name, field, value for "not known") */
#define KNOWN(X)                                                                                                       \
  X(sndSsthreshBytes, snd_ssthresh_bytes, UINT32_MAX)                                                                  \
  X(lastDataSentMs, last_data_sent_ms, UINT32_MAX)                                                                     \
  X(lastDataRecvMs, last_data_recv_ms, UINT32_MAX)                                                                     \
  X(lastAckRecvMs, last_ack_recv_ms, UINT32_MAX)                                                                       \
  X(pacingRate, pacing_rate, UINT64_MAX)                                                                               \
  X(maxPacingRate, max_pacing_rate, UINT64_MAX)

static void put_measured(struct mst__json *json, const struct mst_tcp_info *info) {
  static const char *const ecn_modes[] = {"none", "classic", "accurate"};
  mst__json_put(json, ",\"caState\":\"%s\",\"congestionControl\":", mst_tcp_ca_state_name(info->ca_state));
  mst__json_put_string(json, info->congestion_control);
  put_options(json, info->options);
  mst__json_put(json, ",\"ecnMode\":\"%s\",\"deliveryRateAppLimited\":%s",
                ecn_modes[info->ecn_mode <= 2 ? info->ecn_mode : 0],
                info->delivery_rate_app_limited ? "true" : "false");
#define X(name, field) mst__json_put(json, ",\"" #name "\":%" PRIu64, (uint64_t)info->field);
  NUMBERS(X)
#undef X
#define X(name, field, unknown)                                                                                        \
  if (info->field != (unknown)) mst__json_put(json, ",\"" #name "\":%" PRIu64, (uint64_t)info->field);
  KNOWN(X)
#undef X
}

/* The members of an object. */
static void put_tcp(struct mst__json *json, const struct mst_tcp_info *info) {
  mst__json_put(json, "\"state\":\"%s\",\"local\":", mst_tcp_state_name(info->state));
  mst__json_put_endpoint(json, &info->local);
  if (info->state == MST_LISTEN) return;
  mst__json_put(json, ",\"remote\":");
  mst__json_put_endpoint(json, &info->remote);
  if (info->congestion_control) put_measured(json, info);
}

int mst_tcp_info_json(const struct mst_tcp_info *info, char *out, size_t bytes) {
  struct mst__json json = {.out = out, .room = bytes};
  mst__json_put(&json, "{");
  put_tcp(&json, info);
  mst__json_put(&json, "}");
  return (int)json.length;
}

/* --- a list, which may have to end early --- */

#define END_BYTES 40u /* for the last element and the bracket */

struct list {
  struct mst__json json;
  size_t limit; /* only whole elements, up to here; 0: none */
  uint64_t omitted;
  const char *comma;
};

static size_t begin(struct list *list, const char *protocol) {
  size_t before = list->json.length;
  mst__json_put(&list->json, "%s{\"protocol\":\"%s\",", list->comma, protocol);
  return before;
}

static void end(struct list *list, size_t before) {
  mst__json_put(&list->json, "}");
  if (list->limit && list->json.length + END_BYTES > list->limit) {
    list->json.length = before;
    list->omitted++;
  } else {
    list->comma = ",";
  }
}

static void list_tcp(const struct mst_tcp_info *info, void *user) {
  struct list *list = user;
  if (list->omitted && ++list->omitted) return;
  size_t before = begin(list, "tcp");
  put_tcp(&list->json, info);
  end(list, before);
}

static void list_udp(const struct mst_udp_info *info, void *user) {
  struct list *list = user;
  if (list->omitted && ++list->omitted) return;
  size_t before = begin(list, "udp");
  mst__json_put(&list->json, "\"state\":\"%s\",\"local\":", info->remote.port ? "ESTABLISHED" : "UNCONNECTED");
  mst__json_put_endpoint(&list->json, &info->local);
  if (info->remote.port) {
    mst__json_put(&list->json, ",\"remote\":");
    mst__json_put_endpoint(&list->json, &info->remote);
  }
  mst__json_put(&list->json, ",\"unreadBytes\":%" PRIu32, info->unread_bytes);
  end(list, before);
}

static void list_stack(struct list *list, const mst_stack *stack) {
  mst_stack_each_conn(stack, list_tcp, list);
  mst_stack_each_udp(stack, list_udp, list);
}

int mst_host_sockets_json(mst_host *host, char *out, size_t bytes) {
  struct list list = {.json = {.out = out, .room = bytes}, .comma = ""};
  mst__json_put(&list.json, "[");
  for (const struct mst__host_stack *entry = host->stacks; entry; entry = entry->next) list_stack(&list, entry->stack);
  mst__json_put(&list.json, "]");
  return (int)list.json.length;
}

int mst__host_stack_sockets(void *ctx, char *out, size_t bytes) {
  const struct mst__host_stack *entry = ctx;
  struct list list = {.json = {.out = out, .room = bytes}, .limit = bytes, .comma = ""};
  if (bytes <= END_BYTES) return -MST_EINVAL;
  mst__json_put(&list.json, "[");
  if (entry->stack) list_stack(&list, entry->stack);
  if (list.omitted) mst__json_put(&list.json, "%s{\"omitted\":%" PRIu64 "}", list.comma, list.omitted);
  mst__json_put(&list.json, "]");
  return (int)list.json.length;
}
