// What a program may ask about its host: statistics and connections.
#include <string>

#include "exports.h"
#include "host.h"
#include "js.h"

namespace multistack {
namespace {

/** What `write` writes, as snprintf does. */
template <typename Write> napi_value Text(napi_env env, Write write) {
  std::string json;
  int length = write(nullptr, 0);
  while (length > static_cast<int>(json.size())) {
    json.resize(static_cast<size_t>(length));
    length = write(json.data(), json.size() + 1);
  }
  napi_value result = nullptr;
  napi_create_string_utf8(env, json.data(), static_cast<size_t>(length), &result);
  return result;
}

/** stats(): the JSON text of mst_host_stats_json, undefined without a host. */
napi_value Stats(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  if (args.host == nullptr) return nullptr;
  return Text(env, [&](char *out, size_t bytes) { return mst_host_stats_json(args.host->get(), out, bytes); });
}

/** sockets(): the JSON text of every socket of the stack, undefined without a host. */
napi_value Sockets(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  if (args.host == nullptr) return nullptr;
  return Text(env, [&](char *out, size_t bytes) { return mst_host_sockets_json(args.host->get(), out, bytes); });
}

/** tcpInfo(conn): JSON text, undefined when the number names no open connection. */
napi_value TcpInfo(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  Slot *slot = args.host != nullptr ? args.host->slots().Find(args.Int(0)) : nullptr;
  if (slot == nullptr || slot->kind != Kind::kConn) return nullptr;
  mst_tcp_info tcp{};
  mst_conn_get_info(slot->conn, &tcp);
  return Text(env, [&](char *out, size_t bytes) { return mst_tcp_info_json(&tcp, out, bytes); });
}

} // namespace

const std::vector<Export> &ReportExports() {
  static const std::vector<Export> exports = {{"stats", Stats}, {"sockets", Sockets}, {"tcpInfo", TcpInfo}};
  return exports;
}

} // namespace multistack
