// What JavaScript holds of the stack, by number: a connection is an integer there, not a wrapped object, so that no
// weak reference, finalizer or hidden class is paid for it. A number names a slot and its generation: one that was
// closed names nothing any more.
#pragma once

#include <cstdint>
#include <deque>
#include <multistack/multistack.h>
#include <vector>

namespace multistack {

class Host;

enum class Kind : uint8_t { kFree, kBinding, kConn, kListener };

struct Slot {
  Host *host = nullptr;
  union {
    mst_binding *binding = nullptr;
    mst_conn *conn;
    mst_listener *listener;
  };
  int32_t id = 0;
  uint32_t read_limit = 0; // bytes of one read event
  unsigned events = 0;     // MST_EV_... that JavaScript was not yet told
  Kind kind = Kind::kFree;
  bool queued = false;     // in the host's list of slots with events
  bool connecting = false; // the outcome of connect is still to be told
  bool connected = false;
  bool reading = false;
  bool blocked = false; // a write took less than it was given
};

class Slots {
public:
  Slot *Take(Kind kind);
  void Give(Slot &slot);

  /** The slot that `id` names, or null. */
  Slot *Find(int32_t id) {
    const auto index = static_cast<size_t>(id & kIndexMask);
    return index < slots_.size() && slots_[index].id == id && slots_[index].kind != Kind::kFree ? &slots_[index]
                                                                                                : nullptr;
  }

  template <typename Each> void ForEach(Each each) {
    for (Slot &slot : slots_) {
      if (slot.kind != Kind::kFree) each(slot);
    }
  }

private:
  static constexpr int kIndexBits = 20; // index and generation together fit V8's small integers
  static constexpr int32_t kIndexMask = (1 << kIndexBits) - 1;
  static constexpr int32_t kGenerations = 1 << 10;

  std::deque<Slot> slots_; // addresses stay: they are the stack's `user` pointers
  std::vector<uint32_t> free_;
};

} // namespace multistack
