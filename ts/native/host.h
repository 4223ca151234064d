// One host and one stack per Node environment (the main thread and each worker have their own), and the way their
// events take to JavaScript. The stack calls back while it processes; those events are only noted. When processing is
// done each slot that has any is delivered by a callback of its own, so that ticks and promises run in between, and
// the program may do anything in it: close any socket, or end the process.
#pragma once

#include <memory>
#include <napi.h>
#include <string>
#include <vector>

#include "loop.h"
#include "slots.h"

namespace multistack {

/** What a callback tells; the values are those of ts/src/native.ts. */
enum class Event : int32_t {
  kConnected = 1, // value: 0 or the error
  kRead = 2,      // value: bytes in the slab, 0: end of stream, < 0: the error
  kWritable = 3,  // value: 0 or the error
  kConnection = 4 // value: the new connection's id
};

struct HostOptions {
  std::vector<std::string> ports;
  std::string pcap_path;
  std::string congestion_control; // empty: the stack's default
  std::string trace_path;         // empty: the environment decides
  bool embedded = false;          // never on a multistackd
};

class Host final : public Driver {
public:
  /** Throws an Error with `code` and a message that says what to do. `*owner` is the result until it closes. */
  static void Open(Napi::Env env, const HostOptions &options, Napi::Uint8Array slab, Napi::Function on_event,
                   Host **owner);
  Host(const Host &) = delete;
  Host &operator=(const Host &) = delete;

  /** Close all sockets, wait a bounded time until their peers have what was written, and give the devices back. The
   * object frees itself when libuv has let go of it. */
  void Close();

  Slots &slots() { return slots_; }
  mst_stack *stack() { return stack_; }
  mst_host *get() { return host_; }
  Loop &loop() { return *loop_; }
  size_t slab_bytes() const { return slab_bytes_; }

  /** Deliver `slot` at the next occasion. */
  void Queue(Slot &slot);

  /** What the stack calls; `user` is the slot. */
  static void OnListenerEvent(mst_listener *listener, void *user);
  static void OnConnEvent(mst_conn *conn, unsigned events, void *user);

  uint64_t Prepare() override;
  void Process() override;

private:
  Host(Napi::Env env, Host **owner) : env_(env), owner_(owner) {}
  ~Host() = default;

  void OpenStack(const HostOptions &options);
  void Dispatch();
  void DeliverAll(std::vector<int32_t> &ready);
  void DeliverConn(Slot &slot);
  void DeliverReads(int32_t id);
  void DeliverConnections(int32_t id);
  void Call(int32_t id, Event event, int32_t value);
  void CloseSockets();
  void Drain();

  Napi::Env env_;
  Host **owner_;
  mst_host *host_ = nullptr; // null: closed, maybe by what was just delivered
  mst_stack *stack_ = nullptr;
  Loop *loop_ = nullptr;
  bool alone_ = false;
  bool dispatching_ = false;
  Slots slots_;
  std::vector<int32_t> ready_listeners_; // delivered first: who connects finds its peer accepted
  std::vector<int32_t> ready_;
  std::vector<int32_t> delivering_;
  Napi::Reference<Napi::Uint8Array> slab_;
  uint8_t *slab_data_ = nullptr;
  size_t slab_bytes_ = 0;
  Napi::FunctionReference on_event_;
  std::unique_ptr<Napi::AsyncContext> context_;
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
};

} // namespace multistack
