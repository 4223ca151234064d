// What a program may ask about its host: statistics and connections.
#include <string>

#include "exports.h"
#include "host.h"
#include "js.h"

namespace multistack {
namespace {

/** stats(): the JSON text of mst_host_stats_json, undefined without a host. */
napi_value Stats(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  if (args.host == nullptr) return nullptr;
  std::string json;
  int length = mst_host_stats_json(args.host->get(), nullptr, 0);
  while (length > static_cast<int>(json.size())) {
    json.resize(static_cast<size_t>(length));
    length = mst_host_stats_json(args.host->get(), json.data(), json.size() + 1);
  }
  napi_value result = nullptr;
  napi_create_string_utf8(env, json.data(), static_cast<size_t>(length), &result);
  return result;
}

Napi::Object Endpoint(Napi::Env env, const mst_endpoint &endpoint) {
  char text[MST_ADDR_TEXT_BYTES];
  Napi::Object result = Napi::Object::New(env);
  result.Set("address", mst_addr_format(&endpoint.addr, text));
  result.Set("port", Napi::Number::New(env, endpoint.port));
  return result;
}

Napi::Object Describe(Napi::Env env, const mst_tcp_info &info) {
  Napi::Object socket = Napi::Object::New(env);
  socket.Set("state", mst_tcp_state_name(info.state));
  socket.Set("local", Endpoint(env, info.local));
  if (info.state == MST_LISTEN) return socket;
  socket.Set("remote", Endpoint(env, info.remote));
  socket.Set("congestionControl", info.congestion_control != nullptr ? info.congestion_control : "");
  const struct {
    const char *name;
    double value;
  } numbers[] = {
      {"rttUs", static_cast<double>(info.rtt_us)},
      {"congestionWindowBytes", static_cast<double>(info.snd_cwnd_bytes)},
      {"unackedBytes", static_cast<double>(info.unacked_bytes)},
      {"unsentBytes", static_cast<double>(info.notsent_bytes)},
      {"unreadBytes", static_cast<double>(info.unread_bytes)},
      {"retransmits", static_cast<double>(info.total_retrans)},
      {"bytesSent", static_cast<double>(info.bytes_sent)},
      {"bytesReceived", static_cast<double>(info.bytes_received)},
  };
  for (const auto &number : numbers) {
    socket.Set(number.name, Napi::Number::New(env, number.value));
  }
  return socket;
}

/** sockets(): every connection and listener of the stack. */
napi_value Sockets(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  Napi::Array result = Napi::Array::New(env);
  if (args.host == nullptr) return result;
  mst_stack_each_conn(
      args.host->stack(),
      [](const mst_tcp_info *tcp, void *user) {
        auto &array = *static_cast<Napi::Array *>(user);
        const Napi::HandleScope scope(array.Env());
        array.Set(array.Length(), Describe(array.Env(), *tcp));
      },
      &result);
  return result;
}

} // namespace

const std::vector<Export> &ReportExports() {
  static const std::vector<Export> exports = {{"stats", Stats}, {"sockets", Sockets}};
  return exports;
}

} // namespace multistack
