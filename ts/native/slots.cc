#include "slots.h"

namespace multistack {

Slot *Slots::Take(Kind kind) {
  if (free_.empty()) {
    if (slots_.size() > static_cast<size_t>(kIndexMask)) return nullptr;
    slots_.emplace_back();
    slots_.back().id = static_cast<int32_t>(slots_.size() - 1) | (1 << kIndexBits);
    free_.push_back(static_cast<uint32_t>(slots_.size() - 1));
  }
  Slot &slot = slots_[free_.back()];
  free_.pop_back();
  const int32_t id = slot.id;
  slot = Slot{};
  slot.id = id;
  slot.kind = kind;
  return &slot;
}

void Slots::Give(Slot &slot) {
  const int32_t index = slot.id & kIndexMask;
  const int32_t generation = (slot.id >> kIndexBits) % (kGenerations - 1) + 1;
  slot.kind = Kind::kFree;
  slot.id = index | (generation << kIndexBits);
  free_.push_back(static_cast<uint32_t>(index));
}

} // namespace multistack
