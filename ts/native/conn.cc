// The calls that JavaScript makes for its sockets. Each takes the socket's number first and returns a count, a number
// or -errno; a number that names no open socket is -EBADF.
#include "exports.h"

#include <cstring>
#include <net/if.h>
#include <string>

#include "host.h"
#include "js.h"

namespace multistack {
namespace {

/** The slot that the first argument names, or null; also null when the host is closed. */
template <size_t N> Slot *Named(const Args<N> &args) {
  return args.host != nullptr ? args.host->slots().Find(args.Int(0)) : nullptr;
}

template <size_t N> Slot *Named(const Args<N> &args, Kind kind) {
  Slot *slot = Named(args);
  return slot != nullptr && slot->kind == kind ? slot : nullptr;
}

template <size_t N> Slot *Conn(const Args<N> &args) {
  return Named(args, Kind::kConn);
}

/** "fe80::1%eth0" and a port. False: not an address. */
bool ParseEndpoint(napi_env env, napi_value address, int32_t port, mst_endpoint *out) {
  char text[MST_ADDR_TEXT_BYTES + IF_NAMESIZE];
  size_t length = 0;
  if (napi_get_value_string_utf8(env, address, text, sizeof text, &length) != napi_ok) return false;
  *out = {};
  if (char *zone = std::strchr(text, '%')) {
    *zone = '\0';
    out->scope_id = if_nametoindex(zone + 1);
  }
  out->port = static_cast<uint16_t>(port);
  return mst_addr_parse(text, &out->addr) == 0;
}

/** bind(address, port, flags): number or -errno. */
napi_value Bind(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  if (args.host == nullptr) return Integer(env, -MST_ENETDOWN);
  mst_endpoint local;
  if (!ParseEndpoint(env, args.values[0], args.Int(1), &local)) return Integer(env, -MST_EINVAL);
  Slot *slot = args.host->slots().Take(Kind::kBinding);
  if (slot == nullptr) return Integer(env, -MST_EMFILE);
  slot->host = args.host;
  const int error = mst_bind(args.host->stack(), MST_TCP, &local, static_cast<unsigned>(args.Int(2)), &slot->binding);
  if (error == 0) return Integer(env, slot->id);
  args.host->slots().Give(*slot);
  return Integer(env, error);
}

/** listen(binding, backlog): the binding's number is the listener's from here on. */
napi_value Listen(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  Slot *slot = Named(args, Kind::kBinding);
  if (slot == nullptr) return Integer(env, -MST_EBADF);
  mst_listener *listener = nullptr;
  const int error =
      mst_listen(slot->binding, static_cast<unsigned>(args.Int(1)), Host::OnListenerEvent, slot, &listener);
  if (error != 0) return Integer(env, error);
  mst_unbind(slot->binding);
  slot->kind = Kind::kListener;
  slot->listener = listener;
  return Integer(env, 0);
}

/** connect(binding or 0, address, port): number or -errno; the binding is used up when it succeeds. */
napi_value Connect(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  if (args.host == nullptr) return Integer(env, -MST_ENETDOWN);
  Slots &slots = args.host->slots();
  mst_endpoint remote;
  if (!ParseEndpoint(env, args.values[1], args.Int(2), &remote)) return Integer(env, -MST_EINVAL);
  Slot *binding = Named(args, Kind::kBinding);
  if (args.Int(0) != 0 && binding == nullptr) return Integer(env, -MST_EBADF);
  Slot *slot = slots.Take(Kind::kConn);
  if (slot == nullptr) return Integer(env, -MST_EMFILE);

  const int error = mst_connect(args.host->stack(), binding != nullptr ? binding->binding : nullptr, &remote,
                                Host::OnConnEvent, slot, &slot->conn);
  if (error != 0) {
    slots.Give(*slot);
    return Integer(env, error);
  }
  if (binding != nullptr) {
    mst_unbind(binding->binding);
    slots.Give(*binding);
  }
  slot->host = args.host;
  slot->connecting = true;
  slot->read_limit = static_cast<uint32_t>(args.host->slab_bytes());
  return Integer(env, slot->id);
}

napi_value ReadStart(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  Slot *slot = Conn(args);
  if (slot == nullptr) return Integer(env, -MST_EBADF);
  if (!slot->connected) return Integer(env, -MST_ENOTCONN);
  slot->reading = true;
  slot->events |= MST_EV_READABLE; // what came before is told by a read
  args.host->Queue(*slot);
  return Integer(env, 0);
}

napi_value ReadStop(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  if (Slot *slot = Conn(args)) slot->reading = false;
  return nullptr;
}

/** setReadLimit(conn, bytes): how much one read event brings. */
napi_value SetReadLimit(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  Slot *slot = Conn(args);
  const auto bytes = static_cast<size_t>(args.Int(1));
  if (slot != nullptr && bytes > 0 && bytes <= args.host->slab_bytes()) {
    slot->read_limit = static_cast<uint32_t>(bytes);
  }
  return nullptr;
}

constexpr size_t kStringUnits = 16384; // the longest string that writeLatin1 and writeUtf8 are called with

/** All of a short string or nothing: -EAGAIN when the send buffer has no room for all of it. */
napi_value WriteWhole(napi_env env, Slot *slot, const char *data, size_t bytes) {
  if (slot == nullptr) return Integer(env, -MST_EBADF);
  if (bytes == 0) return Integer(env, 0);
  if (mst_writable_bytes(slot->conn) < bytes) return Integer(env, -MST_EAGAIN);
  return Integer(env, static_cast<int32_t>(mst_write(slot->conn, data, bytes)));
}

napi_value WriteLatin1(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  char text[kStringUnits + 1];
  size_t bytes = 0;
  napi_get_value_string_latin1(env, args.values[1], text, sizeof text, &bytes);
  return WriteWhole(env, Conn(args), text, bytes);
}

napi_value WriteUtf8(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  char text[3 * kStringUnits + 1];
  size_t bytes = 0;
  napi_get_value_string_utf8(env, args.values[1], text, sizeof text, &bytes);
  return WriteWhole(env, Conn(args), text, bytes);
}

/** writeBuffer(conn, bytes): how many were taken, 0: none now. */
napi_value WriteBuffer(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  Slot *slot = Conn(args);
  if (slot == nullptr) return Integer(env, -MST_EBADF);
  void *data = nullptr;
  size_t bytes = 0;
  napi_get_buffer_info(env, args.values[1], &data, &bytes);
  if (bytes == 0) return Integer(env, 0);
  const ptrdiff_t taken = mst_write(slot->conn, data, bytes);
  if (taken == -MST_EAGAIN || (taken >= 0 && static_cast<size_t>(taken) < bytes)) slot->blocked = true;
  return Number(env, taken == -MST_EAGAIN ? 0 : taken);
}

napi_value Shutdown(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  Slot *slot = Conn(args);
  return Integer(env, slot != nullptr ? mst_shutdown(slot->conn) : -MST_EBADF);
}

/** close(any, reset) */
napi_value Close(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  Slot *slot = Named(args);
  if (slot == nullptr) return nullptr;
  bool reset = false;
  napi_get_value_bool(env, args.values[1], &reset);
  if (slot->kind == Kind::kBinding) mst_unbind(slot->binding);
  if (slot->kind == Kind::kListener) mst_listener_close(slot->listener);
  if (slot->kind == Kind::kConn && reset) mst_abort(slot->conn);
  if (slot->kind == Kind::kConn && !reset) mst_close(slot->conn);
  args.host->slots().Give(*slot);
  return nullptr;
}

napi_value SetOption(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Slot *slot = Conn(args);
  if (slot == nullptr) return Integer(env, -MST_EBADF);
  return Integer(env, mst_conn_set_option(slot->conn, static_cast<mst_tcp_option>(args.Int(1)), args.Int64(2)));
}

napi_value GetOption(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  Slot *slot = Conn(args);
  if (slot == nullptr) return Integer(env, -MST_EBADF);
  return Number(env, mst_conn_get_option(slot->conn, static_cast<mst_tcp_option>(args.Int(1))));
}

napi_value Endpoint(napi_env env, const mst_endpoint &endpoint) {
  char text[MST_ADDR_TEXT_BYTES + IF_NAMESIZE + 1];
  mst_addr_format(&endpoint.addr, text);
  char zone[IF_NAMESIZE];
  if (endpoint.scope_id != 0 && if_indextoname(endpoint.scope_id, zone) != nullptr) {
    std::strcat(std::strcat(text, "%"), zone); // NOLINT(clang-analyzer-security.insecureAPI.strcpy): room for both
  }
  napi_value result = nullptr;
  napi_value address = nullptr;
  napi_create_array_with_length(env, 2, &result);
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &address);
  napi_set_element(env, result, 0, address);
  napi_set_element(env, result, 1, Integer(env, endpoint.port));
  return result;
}

/** local(any): [address, port] or undefined. */
napi_value Local(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  Slot *slot = Named(args);
  if (slot == nullptr) return nullptr;
  mst_endpoint endpoint{};
  if (slot->kind == Kind::kBinding) mst_binding_local(slot->binding, &endpoint);
  if (slot->kind == Kind::kListener) mst_listener_local(slot->listener, &endpoint);
  if (slot->kind == Kind::kConn) mst_conn_local(slot->conn, &endpoint);
  return Endpoint(env, endpoint);
}

/** remote(conn): [address, port] or undefined. */
napi_value Remote(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  Slot *slot = Conn(args);
  if (slot == nullptr || !slot->connected) return nullptr;
  mst_endpoint endpoint{};
  mst_conn_remote(slot->conn, &endpoint);
  return Endpoint(env, endpoint);
}

mst_tuple TupleOf(const Slot &slot) {
  mst_endpoint local{};
  mst_listener_local(slot.listener, &local);
  mst_tuple tuple{};
  tuple.addr = local.addr;
  tuple.port = local.port;
  tuple.protocol = MST_TCP;
  return tuple;
}

/** offer(listener): see mst_host_offer; 0 or -errno. */
napi_value Offer(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  Slot *slot = Named(args, Kind::kListener);
  if (slot == nullptr) return Integer(env, -MST_EBADF);
  const mst_tuple tuple = TupleOf(*slot);
  return Integer(env, mst_host_offer(args.host->get(), args.host->stack(), &tuple));
}

/** flows(listener): how many connections its address has once all that has come is processed, or -errno. */
napi_value Flows(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  Slot *slot = Named(args, Kind::kListener);
  if (slot == nullptr) return Integer(env, -MST_EBADF);
  const mst_tuple tuple = TupleOf(*slot);
  mst_host_process(args.host->get()); // whom that concerns hears of it in the loop's next turn
  return Number(env, static_cast<int64_t>(mst_host_flows(args.host->stack(), &tuple)));
}

/** holds(address, port): whether a user stack of this host would get packets to it. */
napi_value Holds(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  mst_endpoint endpoint;
  const bool holds = args.host != nullptr && ParseEndpoint(env, args.values[0], args.Int(1), &endpoint) &&
                     mst_host_holds(args.host->get(), MST_TCP, &endpoint);
  napi_value result = nullptr;
  napi_get_boolean(env, holds, &result);
  return result;
}

} // namespace

const std::vector<Export> &ConnExports() {
  static const std::vector<Export> exports = {
      {"bind", Bind},
      {"listen", Listen},
      {"connect", Connect},
      {"readStart", ReadStart},
      {"readStop", ReadStop},
      {"setReadLimit", SetReadLimit},
      {"writeLatin1", WriteLatin1},
      {"writeUtf8", WriteUtf8},
      {"writeBuffer", WriteBuffer},
      {"shutdown", Shutdown},
      {"closeSocket", Close},
      {"setOption", SetOption},
      {"getOption", GetOption},
      {"local", Local},
      {"remote", Remote},
      {"offer", Offer},
      {"flows", Flows},
      {"holds", Holds},
  };
  return exports;
}

} // namespace multistack
