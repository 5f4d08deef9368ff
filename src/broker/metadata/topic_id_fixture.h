// For tests: ids of topics, made from numbers.
#pragma once

#include <cstdint>

#include "base/uuid.h"

namespace weir::broker {

constexpr TopicId id_of(uint8_t number) {
  TopicId id;
  id.bytes[0] = number;
  return id;
}

}  // namespace weir::broker
