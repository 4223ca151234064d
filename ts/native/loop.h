// The loop contract plugged into libuv: a poll handle on the wait fd, a timer for the deadline, prepare to send what
// the program wrote during this turn, check to receive. None of them keeps the loop alive, but the poll handle does
// while the program has an active socket.
#pragma once

#include <functional>
#include <uv.h>

namespace multistack {

/** What the loop drives. */
class Driver {
public:
  /** Deliver what is ready and send. Returns nanoseconds until Process is next wanted; 0: now; UINT64_MAX: never. */
  virtual uint64_t Prepare() = 0;
  /** Receive, run timers and deliver. */
  virtual void Process() = 0;

protected:
  ~Driver() = default;
};

class Loop {
public:
  /** Start driving `driver`. Returns null and a libuv error when the loop refuses. */
  static Loop *Start(uv_loop_t *uv, int wait_fd, Driver *driver, int *error);

  /** Whether the program has sockets that should keep the process alive. */
  void SetActive(bool active);

  /** Stop driving; the object frees itself and then calls `closed`. */
  void Close(std::function<void()> closed);

private:
  explicit Loop(Driver *driver) : driver_(driver) {}
  void OnPrepare();
  void OnCheck();
  template <typename Handle> void Adopt(Handle *handle);
  template <typename Handle> void CloseHandle(Handle *handle);

  Driver *driver_;
  uv_poll_t poll_{};
  uv_timer_t timer_{};
  uv_prepare_t prepare_{};
  uv_check_t check_{};
  uv_idle_t idle_{}; // active while there is work at once: it makes the loop not sleep
  bool due_ = false;
  int open_handles_ = 0;
  std::function<void()> closed_;
};

} // namespace multistack
