#include "host.h"

#include <algorithm>
#include <cstdio>
#include <poll.h>

namespace multistack {
namespace {

constexpr int kReadsPerEvent = 32; // as libuv: a busy connection does not starve the others
constexpr int kAcceptsPerEvent = 256;
constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kDrainNs = 1000 * kNsPerMs;

[[noreturn]] void ThrowFailure(Napi::Env env, int code, const char *message) {
  const Napi::Error error = Napi::Error::New(env, *message != '\0' ? message : mst_strerror(code));
  error.Set("code", mst_err_name(code));
  error.Set("errno", Napi::Number::New(env, code));
  throw error;
}

} // namespace

void Host::Open(Napi::Env env, const HostOptions &options, Napi::Uint8Array slab, Napi::Function on_event,
                Host **owner) {
  auto *host = new Host(env, owner);
  try {
    host->OpenStack(options);
  } catch (...) {
    delete host;
    throw;
  }
  uv_loop_t *uv = nullptr;
  napi_get_uv_event_loop(env, &uv);
  int error = 0;
  host->loop_ = Loop::Start(uv, mst_host_wait_fd(host->host_), host, &error);
  if (host->loop_ == nullptr) {
    mst_host_close(host->host_);
    delete host;
    ThrowFailure(env, error, uv_strerror(error));
  }
  host->slab_ = Napi::Persistent(slab);
  host->slab_data_ = slab.Data();
  host->slab_bytes_ = slab.ByteLength();
  host->on_event_ = Napi::Persistent(on_event);
  host->context_ = std::make_unique<Napi::AsyncContext>(env, "multistack");
  napi_add_async_cleanup_hook(
      env, [](napi_async_cleanup_hook_handle, void *self) { static_cast<Host *>(self)->Close(); }, host,
      &host->cleanup_);
  *owner = host;
}

static std::string UnknownCongestionControl(const std::string &name) {
  std::string message = "there is no congestion control '" + name + "'; there are:";
  for (size_t i = 0; mst_congestion_control_name(i) != nullptr; i++) {
    message += std::string(" ") + mst_congestion_control_name(i);
  }
  return message;
}

void Host::OpenStack(const HostOptions &options) {
  std::vector<const char *> ports;
  for (const std::string &port : options.ports) {
    ports.push_back(port.c_str());
  }
  alone_ = ports.empty();
  ports.push_back(nullptr);

  mst_host_options host_options{};
  host_options.size = sizeof host_options;
  host_options.ports = ports.data();
  host_options.pcap_path = options.pcap_path.empty() ? nullptr : options.pcap_path.c_str();
  host_options.embedded = options.embedded;
  host_options.trace_path = options.trace_path.empty() ? nullptr : options.trace_path.c_str();
  mst_failure failure{};
  int error = mst_host_open(&host_options, &host_, &failure);
  if (error < 0) {
    host_ = nullptr;
    ThrowFailure(env_, error, failure.message);
  }
  mst_stack_options stack_options{};
  stack_options.size = sizeof stack_options;
  if (!options.congestion_control.empty()) stack_options.congestion_control = options.congestion_control.c_str();
  error = mst_host_add_stack(host_, &stack_options, &stack_);
  if (error < 0) {
    mst_host_close(host_);
    host_ = nullptr;
    ThrowFailure(env_, error, error == -MST_EINVAL ? UnknownCongestionControl(options.congestion_control).c_str() : "");
  }
}

void Host::Close() {
  if (host_ == nullptr) return;
  const Napi::HandleScope scope(env_);
  CloseSockets();
  if (!alone_) Drain();
  mst_host_close(host_);
  host_ = nullptr;
  stack_ = nullptr;
  *owner_ = nullptr;
  slab_.Reset();
  on_event_.Reset();
  context_.reset();
  loop_->Close([this] {
    napi_remove_async_cleanup_hook(cleanup_);
    delete this;
  });
  loop_ = nullptr;
}

void Host::CloseSockets() {
  slots_.ForEach([this](Slot &slot) {
    if (slot.kind == Kind::kConn) mst_close(slot.conn);
    if (slot.kind == Kind::kListener) mst_listener_close(slot.listener);
    if (slot.kind == Kind::kBinding) mst_unbind(slot.binding);
    slots_.Give(slot);
  });
}

/** The OS goes on sending for a program that has ended; this stack ends with the program, so it sends first. */
void Host::Drain() {
  const uint64_t end_ns = mst_host_now(host_) + kDrainNs;
  mst_host_flush(host_);
  for (uint64_t now_ns = mst_host_now(host_); now_ns < end_ns; now_ns = mst_host_now(host_)) {
    bool undelivered = false;
    mst_stack_each_conn(
        stack_,
        [](const mst_tcp_info *info, void *user) {
          const bool fin_unacked =
              info->state == MST_FIN_WAIT_1 || info->state == MST_CLOSING || info->state == MST_LAST_ACK;
          if (info->unacked_bytes + info->notsent_bytes > 0 || fin_unacked) *static_cast<bool *>(user) = true;
        },
        &undelivered);
    if (!undelivered) return;

    const uint64_t deadline_ns = std::clamp(mst_host_deadline(host_), now_ns, end_ns);
    pollfd wait{mst_host_wait_fd(host_), POLLIN, 0};
    poll(&wait, 1, static_cast<int>((deadline_ns - now_ns + kNsPerMs - 1) / kNsPerMs));
    mst_host_process(host_);
    mst_host_flush(host_);
  }
}

void Host::Queue(Slot &slot) {
  if (slot.queued) return;
  slot.queued = true;
  (slot.kind == Kind::kListener ? ready_listeners_ : ready_).push_back(slot.id);
}

void Host::OnConnEvent(mst_conn * /*conn*/, unsigned events, void *user) {
  Slot &slot = *static_cast<Slot *>(user);
  slot.events |= events;
  slot.host->Queue(slot);
}

void Host::OnListenerEvent(mst_listener * /*listener*/, void *user) {
  Slot &slot = *static_cast<Slot *>(user);
  slot.host->Queue(slot);
}

uint64_t Host::Prepare() {
  Dispatch();
  if (host_ == nullptr) return UINT64_MAX;
  mst_host_flush(host_);
  if (!ready_.empty() || !ready_listeners_.empty()) return 0;
  const uint64_t deadline_ns = mst_host_deadline(host_);
  if (deadline_ns == UINT64_MAX) return UINT64_MAX;
  const uint64_t now_ns = mst_host_now(host_);
  return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

void Host::Process() {
  mst_host_process(host_);
  Dispatch();
}

void Host::Dispatch() {
  if (dispatching_) return;
  dispatching_ = true;
  DeliverAll(ready_listeners_);
  if (host_ != nullptr) DeliverAll(ready_);
  dispatching_ = false;
}

void Host::DeliverAll(std::vector<int32_t> &ready) {
  if (ready.empty()) return;
  delivering_.swap(ready);
  for (size_t i = 0; i < delivering_.size() && host_ != nullptr; i++) {
    Slot *slot = slots_.Find(delivering_[i]);
    if (slot == nullptr) continue;
    slot->queued = false;
    if (slot->kind == Kind::kListener) {
      DeliverConnections(slot->id);
    } else {
      DeliverConn(*slot);
    }
  }
  delivering_.clear();
}

void Host::DeliverConn(Slot &slot) {
  const int32_t id = slot.id;
  const unsigned events = slot.events;
  slot.events = 0;
  const int error = (events & MST_EV_ERROR) != 0 ? mst_conn_error(slot.conn) : 0;

  if (slot.connecting && (events & (MST_EV_CONNECTED | MST_EV_ERROR)) != 0) {
    slot.connecting = false;
    slot.connected = (events & MST_EV_CONNECTED) != 0;
    Call(id, Event::kConnected, slot.connected ? 0 : error);
    if (slots_.Find(id) == nullptr) return;
  }
  if (slot.blocked && (events & (MST_EV_WRITABLE | MST_EV_ERROR)) != 0) {
    slot.blocked = false;
    Call(id, Event::kWritable, error);
    if (slots_.Find(id) == nullptr) return;
  }
  if (slot.reading && (events & (MST_EV_READABLE | MST_EV_ERROR)) != 0) DeliverReads(id);
}

void Host::DeliverReads(int32_t id) {
  for (int i = 0; i < kReadsPerEvent; i++) {
    Slot *slot = slots_.Find(id);
    if (slot == nullptr || !slot->reading) return;
    const ptrdiff_t count = mst_read(slot->conn, slab_data_, slot->read_limit);
    if (count == -MST_EAGAIN) return;
    if (count <= 0) slot->reading = false;
    Call(id, Event::kRead, static_cast<int32_t>(count));
  }
  Slot *slot = slots_.Find(id);
  if (slot == nullptr || !slot->reading) return;
  slot->events |= MST_EV_READABLE;
  Queue(*slot);
}

void Host::DeliverConnections(int32_t id) {
  for (int i = 0; i < kAcceptsPerEvent; i++) {
    Slot *listener = slots_.Find(id);
    mst_conn *conn = listener != nullptr ? mst_accept(listener->listener) : nullptr;
    if (conn == nullptr) return;
    Slot *slot = slots_.Take(Kind::kConn);
    if (slot == nullptr) {
      mst_abort(conn);
      return;
    }
    slot->host = this;
    slot->conn = conn;
    slot->connected = true;
    slot->read_limit = static_cast<uint32_t>(slab_bytes_);
    mst_conn_set_event(conn, OnConnEvent, slot);
    Call(id, Event::kConnection, slot->id);
  }
  Slot *listener = slots_.Find(id);
  if (listener != nullptr) Queue(*listener);
}

/** One callback into JavaScript. What it throws is an uncaught exception of the program. */
void Host::Call(int32_t id, Event event, int32_t value) {
  if (host_ == nullptr) return;
  const Napi::HandleScope scope(env_);
  napi_value arguments[3];
  napi_create_int32(env_, id, &arguments[0]);
  napi_create_int32(env_, static_cast<int32_t>(event), &arguments[1]);
  napi_create_int32(env_, value, &arguments[2]);
  const napi_status status =
      napi_make_callback(env_, *context_, slab_.Value(), on_event_.Value(), 3, arguments, nullptr);
  if (status != napi_pending_exception) return;
  napi_value exception = nullptr;
  napi_get_and_clear_last_exception(env_, &exception);
  napi_fatal_exception(env_, exception);
}

} // namespace multistack
