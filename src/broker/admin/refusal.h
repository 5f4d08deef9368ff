// What a client is told of a request, or of a part of one, that is not done.
#pragma once

#include <string>

#include "protocol/errors.h"

namespace weir::broker {

struct Refusal {
  protocol::ErrorCode error{};
  std::string message;
};

}  // namespace weir::broker
