// What a program may ask about its host: statistics and connections.
#include <string>

#include "exports.h"
#include "host.h"
#include "js.h"
#include "tcp_info.h"

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
        array.Set(array.Length(), DescribeTcp(array.Env(), *tcp));
      },
      &result);
  return result;
}

/** tcpInfo(conn): undefined when the number names no open connection. */
napi_value TcpInfo(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  Slot *slot = args.host != nullptr ? args.host->slots().Find(args.Int(0)) : nullptr;
  if (slot == nullptr || slot->kind != Kind::kConn) return nullptr;
  mst_tcp_info tcp{};
  mst_conn_get_info(slot->conn, &tcp);
  return DescribeTcp(env, tcp);
}

} // namespace

const std::vector<Export> &ReportExports() {
  static const std::vector<Export> exports = {{"stats", Stats}, {"sockets", Sockets}, {"tcpInfo", TcpInfo}};
  return exports;
}

} // namespace multistack
