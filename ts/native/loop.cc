#include "loop.h"

#include <cstdint>

namespace multistack {

template <typename Handle> void Loop::Adopt(Handle *handle) {
  handle->data = this;
  uv_unref(reinterpret_cast<uv_handle_t *>(handle));
  open_handles_++;
}

Loop *Loop::Start(uv_loop_t *uv, int wait_fd, Driver *driver, int *error) {
  auto *loop = new Loop(driver);
  *error = uv_poll_init(uv, &loop->poll_, wait_fd);
  if (*error != 0) {
    delete loop;
    return nullptr;
  }
  uv_timer_init(uv, &loop->timer_);
  uv_prepare_init(uv, &loop->prepare_);
  uv_check_init(uv, &loop->check_);
  uv_idle_init(uv, &loop->idle_);
  loop->Adopt(&loop->poll_);
  loop->Adopt(&loop->timer_);
  loop->Adopt(&loop->prepare_);
  loop->Adopt(&loop->check_);
  loop->Adopt(&loop->idle_);

  uv_poll_start(&loop->poll_, UV_READABLE,
                [](uv_poll_t *handle, int, int) { static_cast<Loop *>(handle->data)->due_ = true; });
  uv_prepare_start(&loop->prepare_, [](uv_prepare_t *handle) { static_cast<Loop *>(handle->data)->OnPrepare(); });
  uv_check_start(&loop->check_, [](uv_check_t *handle) { static_cast<Loop *>(handle->data)->OnCheck(); });
  return loop;
}

void Loop::OnPrepare() {
  const uint64_t wait_ns = driver_ != nullptr ? driver_->Prepare() : UINT64_MAX;
  if (driver_ == nullptr) return; // closed by what Prepare delivered

  if (wait_ns == 0) {
    due_ = true;
    uv_idle_start(&idle_, [](uv_idle_t *) {});
    return;
  }
  uv_idle_stop(&idle_);
  if (wait_ns == UINT64_MAX) {
    uv_timer_stop(&timer_);
    return;
  }
  constexpr uint64_t kNsPerMs = 1'000'000;
  uv_timer_start(
      &timer_, [](uv_timer_t *handle) { static_cast<Loop *>(handle->data)->due_ = true; },
      (wait_ns + kNsPerMs - 1) / kNsPerMs, 0);
}

void Loop::OnCheck() {
  if (!due_ || driver_ == nullptr) return;
  due_ = false;
  driver_->Process();
}

void Loop::SetActive(bool active) {
  auto *handle = reinterpret_cast<uv_handle_t *>(&poll_);
  if (active) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

template <typename Handle> void Loop::CloseHandle(Handle *handle) {
  uv_close(reinterpret_cast<uv_handle_t *>(handle), [](uv_handle_t *closing) {
    auto *loop = static_cast<Loop *>(closing->data);
    if (--loop->open_handles_ > 0) return;
    const std::function<void()> closed = std::move(loop->closed_);
    delete loop;
    closed();
  });
}

void Loop::Close(std::function<void()> closed) {
  driver_ = nullptr;
  closed_ = std::move(closed);
  CloseHandle(&poll_);
  CloseHandle(&timer_);
  CloseHandle(&prepare_);
  CloseHandle(&check_);
  CloseHandle(&idle_);
}

} // namespace multistack
