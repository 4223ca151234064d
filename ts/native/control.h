// A socket to multistackd's control socket: Node's own net has no SOCK_SEQPACKET.
#pragma once

#include <memory>
#include <napi.h>
#include <uv.h>

namespace multistack {

/**
 * new ControlSocket(path, onMessage): connected, or it throws. onMessage(bytes) for each message; onMessage(null,
 * errno) once when the other end is gone (0) or receiving fails. It keeps the loop alive until it is closed.
 */
class ControlSocket : public Napi::ObjectWrap<ControlSocket> {
public:
  static Napi::Function Define(Napi::Env env);
  explicit ControlSocket(const Napi::CallbackInfo &info);

private:
  /** What libuv holds until it has closed. */
  struct Poll {
    uv_poll_t handle{};
    ControlSocket *socket = nullptr;
    int fd = -1;
    napi_async_cleanup_hook_handle cleanup = nullptr;
  };

  void Send(const Napi::CallbackInfo &info);
  void SetReading(const Napi::CallbackInfo &info);
  void Close(const Napi::CallbackInfo &info);

  void Stop();
  void Start();
  void OnReadable();
  /** False: closed by who was told. */
  bool Tell(const Napi::Value &message, int error);

  Poll *poll_ = nullptr; // null: closed
  Napi::FunctionReference on_message_;
  std::unique_ptr<Napi::AsyncContext> context_;
};

} // namespace multistack
