#include "control.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

namespace multistack {
namespace {

constexpr size_t kMessageBytes = 65536; // the longest of the protocol
constexpr int kMessagesPerEvent = 64;   // so that the loop's other handles get their turn

[[noreturn]] void Throw(Napi::Env env, const std::string &what, int error) {
  Napi::Error failure = Napi::Error::New(env, what + ": " + uv_strerror(-error));
  failure.Set("code", uv_err_name(-error));
  failure.Set("errno", Napi::Number::New(env, -error));
  throw failure;
}

int Connect(Napi::Env env, const std::string &path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) Throw(env, path, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) Throw(env, path, errno);
  if (connect(fd, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0) return fd;
  const int error = errno;
  close(fd);
  Throw(env, path, error);
}

} // namespace

Napi::Function ControlSocket::Define(Napi::Env env) {
  return DefineClass(env, "ControlSocket",
                     {InstanceMethod<&ControlSocket::Send>("send"),
                      InstanceMethod<&ControlSocket::SetReading>("setReading"),
                      InstanceMethod<&ControlSocket::Close>("close")});
}

ControlSocket::ControlSocket(const Napi::CallbackInfo &info) : Napi::ObjectWrap<ControlSocket>(info) {
  const int fd = Connect(info.Env(), info[0].As<Napi::String>());
  uv_loop_t *loop = nullptr;
  napi_get_uv_event_loop(info.Env(), &loop);
  auto *poll = new Poll;
  poll->socket = this;
  poll->fd = fd;
  const int error = uv_poll_init(loop, &poll->handle, fd);
  if (error != 0) {
    delete poll;
    close(fd);
    Throw(info.Env(), "waiting for the control socket", -error);
  }
  poll->handle.data = poll;
  poll_ = poll;
  on_message_ = Napi::Persistent(info[1].As<Napi::Function>());
  context_ = std::make_unique<Napi::AsyncContext>(info.Env(), "multistack.control");
  napi_add_async_cleanup_hook(
      info.Env(),
      [](napi_async_cleanup_hook_handle handle, void *data) {
        auto *closing = static_cast<Poll *>(data);
        if (closing->socket != nullptr) closing->socket->Stop();
        (void)handle; // removed when libuv has let go
      },
      poll, &poll->cleanup);
  Ref(); // until it is closed
  Start();
}

void ControlSocket::Start() {
  uv_poll_start(&poll_->handle, UV_READABLE | UV_DISCONNECT, [](uv_poll_t *handle, int, int) {
    auto *poll = static_cast<Poll *>(handle->data);
    if (poll->socket != nullptr) poll->socket->OnReadable();
  });
}

void ControlSocket::Stop() {
  if (poll_ == nullptr) return;
  Poll *poll = poll_;
  poll_ = nullptr;
  poll->socket = nullptr;
  uv_close(reinterpret_cast<uv_handle_t *>(&poll->handle), [](uv_handle_t *handle) {
    auto *closed = static_cast<Poll *>(handle->data);
    close(closed->fd);
    napi_remove_async_cleanup_hook(closed->cleanup);
    delete closed;
  });
  on_message_.Reset();
  context_.reset();
  Unref();
}

/** send(bytes): one message. Throws EAGAIN when the daemon does not read, EPIPE when it is gone. */
void ControlSocket::Send(const Napi::CallbackInfo &info) {
  if (poll_ == nullptr) Throw(info.Env(), "sending to multistackd", EPIPE);
  const auto bytes = info[0].As<Napi::Uint8Array>();
  const ssize_t sent = send(poll_->fd, bytes.Data(), bytes.ByteLength(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) Throw(info.Env(), "sending to multistackd", errno);
}

/** setReading(on): without it messages wait in the kernel, and then in the daemon. */
void ControlSocket::SetReading(const Napi::CallbackInfo &info) {
  if (poll_ == nullptr) return;
  if (info[0].As<Napi::Boolean>()) {
    Start();
  } else {
    uv_poll_stop(&poll_->handle);
  }
}

void ControlSocket::Close(const Napi::CallbackInfo & /*info*/) {
  Stop();
}

void ControlSocket::OnReadable() {
  static thread_local std::vector<uint8_t> buffer(kMessageBytes);
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  for (int i = 0; i < kMessagesPerEvent && poll_ != nullptr; i++) {
    const ssize_t got = recv(poll_->fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
      const int error = got < 0 ? errno : 0;
      uv_poll_stop(&poll_->handle);
      Tell(env.Null(), error);
      return;
    }
    const Napi::HandleScope each(env);
    if (!Tell(Napi::Buffer<uint8_t>::Copy(env, buffer.data(), static_cast<size_t>(got)), 0)) return;
    if (uv_is_active(reinterpret_cast<uv_handle_t *>(&poll_->handle)) == 0) return; // told to wait
  }
}

bool ControlSocket::Tell(const Napi::Value &message, int error) {
  const Napi::Env env = Env();
  try {
    on_message_.MakeCallback(env.Global(), {message, Napi::Number::New(env, error)}, *context_);
  } catch (const Napi::Error &thrown) {
    napi_fatal_exception(env, thrown.Value());
  }
  return poll_ != nullptr;
}

} // namespace multistack
